// dataset: opening a set from its spec - every source read and checked, shapes and classes settled, parts split.
#include "dataset/dataset.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/store.h"

const char *const data_part_names[4] = {"calib", "select", "test", "all"};

data_spec *data_spec_new(void) {
    data_spec *s = base_alloc(sizeof *s);
    s->header = -1;
    s->bos = -1;
    return s;
}

void data_spec_free(data_spec *spec) {
    if (!spec) return;
    for (size_t i = 0; i < spec->source_count; i++) {
        free(spec->sources[i].format);
        free(spec->sources[i].path);
        free(spec->sources[i].labels);
    }
    free(spec->sources);
    if (spec->class_names) base_names_free(spec->class_names, (size_t)spec->classes);
    free(spec->name);
    free(spec->folder);
    free(spec->label_column);
    free(spec->level);
    free(spec->vocabulary);
    free(spec);
}

// ---- formats ------------------------------------------------------------------------------------------------------

static const data_format formats[] = {
    {"csv", DATA_FEATURES, data_read_csv}, {"idx", DATA_FEATURES, data_read_idx},
    {"npy", DATA_FEATURES, data_read_npy}, {"tokens", DATA_TOKENS, data_read_tokens},
    {"text", DATA_TOKENS, data_read_text},
};

void data_extension(const char *path, char out[16]) {
    size_t n = strlen(path);
    if (n > 3 && !strcmp(path + n - 3, ".gz")) n -= 3;
    size_t dot = n;
    while (dot > 0 && path[dot - 1] != '.' && path[dot - 1] != '/') dot--;
    if (dot == 0 || path[dot - 1] == '/' || n - dot >= 16) dot = n;
    memcpy(out, path + dot, n - dot);
    out[n - dot] = 0;
}

static const char *format_name(const data_spec *spec, const data_source *source) {
    static const char *const known[][2] = {{"csv", "csv"}, {"tsv", "csv"}, {"txt", "text"}, {"idx", "idx"}};
    char extension[16];
    if (source->format) return source->format;
    data_extension(source->path, extension);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(extension, known[i][0])) return known[i][1];
    if (!strcmp(extension, "npy")) return source->labels || spec->unlabelled ? "npy" : "tokens";
    size_t n = strlen(base_basename(source->path));
    const char *name = base_basename(source->path);
    if (n > 3 && !strcmp(name + n - 3, ".gz")) n -= 3;
    return n > 5 && !strncmp(name + n - 5, "ubyte", 5) ? "idx" : NULL;
}

const data_format *data_format_of(const data_spec *spec, const data_source *source, base_err *err) {
    const char *name = format_name(spec, source);
    for (size_t i = 0; name && i < sizeof formats / sizeof *formats; i++)
        if (!strcmp(formats[i].name, name)) return &formats[i];
    char shown[200];
    base_clean(shown, sizeof shown, name ? name : source->path);
    base_fail(err,
              name ? "format '%s' is not known: csv, idx, npy, tokens or text was expected"
                   : "%s: the format does not show in the name: say format = \"csv\", \"idx\", \"npy\", \"tokens\" "
                     "or \"text\"",
              shown);
    return NULL;
}

// ---- checks of the spec -------------------------------------------------------------------------------------------

static bool check_numbers(const data_spec *s, base_err *err) {
    if (!isfinite(s->scale)) return base_fail(err, "scale is not a finite number");
    if (s->channels < 0 || s->channels > 16)
        return base_fail(err, "%d channel means; at most 16 were expected", s->channels);
    for (int c = 0; c < s->channels; c++)
        if (!isfinite(s->mean[c]) || !isfinite(s->std[c]) || s->std[c] <= 0)
            return base_fail(err, "channel %d: mean %g, std %g: finite numbers and std > 0 were expected", c + 1,
                             s->mean[c], s->std[c]);
    double sum = 0;
    for (int p = 0; p < 3; p++) {
        if (!isfinite(s->fraction[p]) || s->fraction[p] < 0)
            return base_fail(err, "split: the fraction of %s is %g; 0 or more was expected", data_part_names[p],
                             s->fraction[p]);
        sum += s->fraction[p];
    }
    return isfinite(sum) || base_fail(err, "split: the fractions are too large");
}

static bool check_spec(const data_spec *s, base_err *err) {
    if (s->source_count == 0) return base_fail(err, "the dataset names no files");
    if (s->ndim < 0 || s->ndim > 4) return base_fail(err, "shape: %d dimensions; 1 to 4 were expected", s->ndim);
    size_t count, bytes;
    for (int i = 0; i < s->ndim; i++)
        if (s->dim[i] <= 0)
            return base_fail(err, "shape: dimension %d is %lld; 1 or more was expected", i + 1, (long long)s->dim[i]);
    if (s->ndim && !num_count(s->ndim, s->dim, NUM_F32, &count, &bytes))
        return base_fail(err, "shape: the dimensions multiply to more than memory can address");
    const struct {
        const char *name;
        int64_t value, low, high;
    } ranges[] = {
        {"classes", s->classes, 0, DATA_MAX_CLASSES}, {"skip_lines", s->skip_lines, 0, INT64_MAX},
        {"window", s->window, 0, INT32_MAX},          {"vocabulary_size", s->vocabulary_size, 0, DATA_MAX_CLASSES},
        {"bos", s->bos, -1, DATA_MAX_CLASSES - 1},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (ranges[i].value < ranges[i].low || ranges[i].value > ranges[i].high)
            return base_fail(err, "%s = %lld is out of range: %lld to %lld", ranges[i].name, (long long)ranges[i].value,
                             (long long)ranges[i].low, (long long)ranges[i].high);
    for (size_t i = 0; i < s->source_count; i++) {
        if (!s->sources[i].path) return base_fail(err, "source %zu has no file", i + 1);
        if (s->sources[i].part < DATA_CALIB || s->sources[i].part > DATA_ALL)
            return base_fail(err, "source %zu: part %d does not exist", i + 1, s->sources[i].part);
    }
    return check_numbers(s, err);
}

// ---- opening ------------------------------------------------------------------------------------------------------

static bool read_sources(data_reader *r, data_set *set, base_err *err) {
    const data_spec *spec = r->spec;
    set->store->chunks = base_calloc(spec->source_count, sizeof(data_chunk));
    for (size_t i = 0; i < spec->source_count; i++) {
        const data_source *source = &spec->sources[i];
        data_chunk *chunk = &set->store->chunks[set->store->chunk_count++];
        const data_format *format = data_format_of(spec, source, err);
        if (!format || !base_go_on(r->job, err)) return false;
        chunk->path = base_join(spec->folder ? spec->folder : ".", source->path);
        base_clean(chunk->shown, sizeof chunk->shown, chunk->path);
        chunk->part = source->part;
        if (i && format->kind != set->kind)
            return base_fail(err, "%s: a set holds samples with features or tokens, not both", chunk->shown);
        if (i &&
            (format->read == data_read_text) != (data_format_of(spec, &spec->sources[0], err)->read == data_read_text))
            return base_fail(err, "%s: a set holds text or token ids, not both", chunk->shown);
        set->kind = format->kind;
        if (!format->read(r, source, chunk, err)) return false;
    }
    return true;
}

static int64_t product(int ndim, const int64_t *dim) {
    int64_t p = 1;
    for (int i = 0; i < ndim; i++) p *= dim[i]; // checked where the dimensions were read
    return p;
}

static bool settle_shape(const data_spec *spec, data_set *set, base_err *err) {
    const data_chunk *first = &set->store->chunks[0];
    set->ndim = spec->ndim ? spec->ndim : first->ndim;
    for (int i = 0; i < set->ndim; i++) set->dim[i] = spec->ndim ? spec->dim[i] : first->dim[i];
    set->sample_values = product(set->ndim, set->dim);
    for (size_t k = 0; k < set->store->chunk_count; k++) {
        const data_chunk *c = &set->store->chunks[k];
        char has[48], expected[48];
        if (product(c->ndim, c->dim) != set->sample_values)
            return base_fail(err, "%s: a sample is %s, expected %s (%lld values)", c->shown,
                             num_shape_text(has, c->ndim, c->dim), num_shape_text(expected, set->ndim, set->dim),
                             (long long)set->sample_values);
    }
    return true;
}

// x = (raw * scale - mean) / std as one product and one sum.
static bool settle_scale(const data_spec *spec, data_set *set, base_err *err) {
    struct data_store *s = set->store;
    double scale = spec->scale != 0 ? spec->scale : 1;
    s->channels = spec->channels > 1 ? spec->channels : 1;
    if (s->channels > 1 && s->channels != set->dim[0]) {
        char shape[48];
        return base_fail(err, "mean and std have %d entries, but a sample is %s: 1 or %lld were expected", s->channels,
                         num_shape_text(shape, set->ndim, set->dim), (long long)set->dim[0]);
    }
    s->inner = set->sample_values / s->channels;
    for (int c = 0; c < s->channels; c++) {
        double mean = spec->channels ? spec->mean[c] : 0, std = spec->channels ? spec->std[c] : 1;
        s->gain[c] = (float)(scale / std);
        s->shift[c] = (float)(-mean / std);
        if (!isfinite(s->gain[c]) || !isfinite(s->shift[c]))
            return base_fail(err, "channel %d: scale %g, mean %g, std %g go beyond float32", c + 1, scale, mean, std);
    }
    return true;
}

static bool settle_classes(data_reader *r, data_set *set, base_err *err) {
    const data_spec *spec = r->spec;
    char **names;
    int64_t name_count;
    if (!data_labels_resolve(r, set->store->chunks, set->store->chunk_count, &names, &name_count, err)) return false;
    set->classes = spec->classes;
    if (names) {
        set->class_names = names;
        set->classes = name_count;
    } else if (spec->class_names) {
        set->class_names = base_calloc((size_t)spec->classes, sizeof(char *));
        for (int64_t i = 0; i < spec->classes; i++) set->class_names[i] = base_strdup(spec->class_names[i]);
    }
    if (set->classes) return true;
    for (size_t k = 0; k < set->store->chunk_count; k++)
        for (int64_t i = 0; i < set->store->chunks[k].count; i++)
            if (set->store->chunks[k].labels[i] >= set->classes) set->classes = set->store->chunks[k].labels[i] + 1;
    return true;
}

static bool settle_features(data_reader *r, data_set *set, base_err *err) {
    set->store->unlabelled = r->spec->unlabelled;
    if (!settle_shape(r->spec, set, err) || !settle_scale(r->spec, set, err)) return false;
    if (r->spec->unlabelled) {
        set->classes = 0;
        return true;
    }
    return settle_classes(r, set, err);
}

static bool settle_tokens(data_reader *r, data_set *set, base_err *err) {
    const data_spec *spec = r->spec;
    struct data_store *s = set->store;
    if (s->chunks[0].values && !data_text_ids(spec, set, err)) return false;
    if (!set->classes) set->classes = spec->vocabulary_size;
    for (size_t k = 0; k < s->chunk_count; k++) {
        data_chunk *c = &s->chunks[k];
        if (!data_cut(spec, c, err)) return false;
        for (int64_t i = 0; i < c->count; i++)
            if (c->length[i] > set->sample_values) set->sample_values = c->length[i];
        for (int64_t i = 0; i < c->token_count; i++)
            if (c->tokens[i] >= set->classes) set->classes = c->tokens[i] + 1;
    }
    set->ndim = 1;
    set->dim[0] = set->sample_values;
    return true;
}

static void hash_number(base_hash *h, const char *name, double value) {
    char text[96];
    int n = snprintf(text, sizeof text, "%s=%.17g\n", name, value);
    base_hash_add(h, text, (size_t)n);
}

static void hash_text(base_hash *h, const char *name, const char *value) {
    base_hash_add(h, name, strlen(name) + 1);
    base_hash_add(h, value ? value : "", value ? strlen(value) + 1 : 0);
    base_hash_add(h, "\n", 1);
}

// Everything in the spec that changes a sample, its label or its part; names and folders do not.
static void hash_spec(base_hash *h, const data_spec *s) {
    for (int i = 0; i < s->ndim; i++) hash_number(h, "dim", (double)s->dim[i]);
    for (int c = 0; c < s->channels; c++) hash_number(h, "mean", s->mean[c]), hash_number(h, "std", s->std[c]);
    for (int p = 0; p < 3; p++) hash_number(h, "fraction", s->fraction[p]);
    for (int64_t i = 0; s->class_names && i < s->classes; i++) hash_text(h, "class", s->class_names[i]);
    const struct {
        const char *name;
        double value;
    } numbers[] = {
        {"scale", s->scale},
        {"classes", (double)s->classes},
        {"unlabelled", s->unlabelled},
        {"header", s->header},
        {"delimiter", s->delimiter},
        {"skip_lines", (double)s->skip_lines},
        {"bos", (double)s->bos},
        {"window", (double)s->window},
        {"vocabulary_size", (double)s->vocabulary_size},
        {"seed_high", (double)(s->seed >> 32)},
        {"seed_low", (double)(s->seed & 0xFFFFFFFFu)},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) hash_number(h, numbers[i].name, numbers[i].value);
    hash_text(h, "label_column", s->label_column);
    hash_text(h, "level", s->level);
    hash_text(h, "vocabulary", s->vocabulary);
}

static bool hash_set(const data_reader *r, data_set *set, base_err *err) {
    const data_spec *spec = r->spec;
    base_hash *h = base_hash_new();
    bool ok = true;
    hash_spec(h, spec);
    for (size_t i = 0; i < spec->source_count && ok; i++) {
        const char *files[2] = {spec->sources[i].path, spec->sources[i].labels};
        hash_text(h, "format", data_format_of(spec, &spec->sources[i], err)->name);
        hash_number(h, "part", spec->sources[i].part);
        for (int k = 0; k < 2 && ok && files[k]; k++) {
            char hex[33];
            char *path = base_join(spec->folder ? spec->folder : ".", files[k]);
            ok = base_go_on(r->job, err) && base_hash_file(path, hex, err);
            if (ok) hash_text(h, "file", hex);
            free(path);
        }
    }
    base_hash_end(h, set->hash);
    return ok;
}

static bool open_set(data_reader *r, data_set *set, base_err *err) {
    if (!check_spec(r->spec, err) || !read_sources(r, set, err)) return false;
    if (!(set->kind == DATA_FEATURES ? settle_features : settle_tokens)(r, set, err)) return false;
    for (size_t k = 0; k < set->store->chunk_count; k++) {
        set->store->chunks[k].first = set->count;
        set->count += set->store->chunks[k].count;
    }
    return data_split(r->spec, set, err) && hash_set(r, set, err);
}

data_set *data_open(const data_spec *spec, base_job *job, base_err *err) {
    data_reader r = {.spec = spec, .job = job};
    data_set *set = base_alloc(sizeof *set);
    set->store = base_alloc(sizeof *set->store);
    char shown[64];
    base_clean(shown, sizeof shown, spec->name ? spec->name : spec->folder ? base_basename(spec->folder) : "data");
    set->name = base_strdup(shown);
    bool ok = open_set(&r, set, err);
    data_labels_free(&r.labels);
    if (ok) return set;
    base_wrap(err, "dataset '%s': ", set->name);
    data_close(set);
    return NULL;
}

void data_chunk_close(data_chunk *c) {
    free(c->path);
    base_big_free(c->labels);
    base_big_free(c->start);
    base_big_free(c->length);
    base_big_free(c->document);
    base_big_free(c->owned);
    if (c->mapped) num_npz_close(&c->npz);
}

void data_close(data_set *set) {
    if (!set) return;
    for (size_t k = 0; k < set->store->chunk_count; k++) data_chunk_close(&set->store->chunks[k]);
    free(set->store->chunks);
    if (set->store->characters) base_names_free(set->store->characters, (size_t)set->classes);
    free(set->store);
    if (set->class_names) base_names_free(set->class_names, (size_t)set->classes);
    for (int p = 0; p < 3; p++) base_big_free(set->part[p]);
    free(set->vocabulary);
    free(set->name);
    free(set);
}
