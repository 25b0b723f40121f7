// unpack: reading a packed file. Every member, count, size and shape of its description is checked before anything
// is decoded, and the file's table of tensors is changed only when all of it was good.
#include "compress/coding/base.h"
#include "compress/result.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_LAYERS = 100000, MAX_DESCRIPTION = 64 << 20 };

// What the reader carries: the file's tensors, and which of them the description has named.
typedef struct reader {
    const model_tensors *t;
    const char *tensor; // of the layer being read
    bool *claimed;      // [t->count]
    size_t room;        // bytes that decoded weights may still take
    coding_base *base;  // the checkpoint that arrays were coded against; NULL: the file needs none
} reader;

typedef struct packed_layer {
    const char *tensor; // inside the JSON
    model_shape shape;
    int64_t rows, cols;
    float *decoded;
    char entropy[96]; // as coding_describe writes it
    char coders[32];  // as coding_names writes it
    int64_t bytes;    // of its terms as far as they are used
    term **terms;
    int count;
} packed_layer;

bool compress_is_packed(const model_tensors *t) {
    char *text = model_tensors_meta(t, PACKED_KEY);
    free(text);
    return text != NULL;
}

// ---- terms -----------------------------------------------------------------------------------------

static bool read_attr(const term_attr *a, const char *retired, const json_t *o, int64_t *value, base_err *err) {
    const json_t *v = json_object_get(o, a->name);
    char clean[64];
    if (!v) return base_fail(err, "member '%s' is missing", a->name);
    if (!a->choices) {
        if (!json_is_integer(v) || json_integer_value(v) < a->min || json_integer_value(v) > a->max)
            return base_fail(err, "member '%s' is not an integer from %lld to %lld", a->name, (long long)a->min,
                             (long long)a->max);
        *value = json_integer_value(v);
        return true;
    }
    const char *text = json_string_value(v), *at = a->choices;
    for (int64_t i = 0; text && at; i++) {
        size_t n = strcspn(at, "|");
        if (strlen(text) == n && !strncmp(text, at, n) && i >= a->min && i <= a->max) {
            *value = i;
            return true;
        }
        at = at[n] ? at + n + 1 : NULL;
    }
    if (text && retired && !strcmp(text, retired))
        return base_fail(err,
                         "member '%s' is '%s', which an earlier version wrote and whose numbers are made otherwise "
                         "now: compress the model again (forms of today: %s)",
                         a->name, text, a->choices);
    base_clean(clean, sizeof clean, text ? text : "(no text)");
    return base_fail(err, "member '%s' is '%s', expected one of %s", a->name, clean, a->choices);
}

static bool known_members(const term_kind *kind, const json_t *o, base_err *err) {
    const char *key;
    json_t *value;
    char clean[64];
    json_object_foreach((json_t *)o, key, value) {
        bool known = !strcmp(key, "kind") || (kind->max_child && !strcmp(key, "terms"));
        for (int i = 0; i < TERM_MAX_ATTR && kind->attr[i].name; i++) known = known || !strcmp(key, kind->attr[i].name);
        base_clean(clean, sizeof clean, key);
        if (!known) return base_fail(err, "a %s term has the unknown member '%s'", kind->name, clean);
    }
    return true;
}

static const term_kind *find_kind(const json_t *o, base_err *err) {
    const char *name = json_string_value(json_object_get(o, "kind"));
    char clean[64];
    for (size_t i = 0; name && i < term_kind_count; i++)
        if (!strcmp(term_kinds[i]->name, name)) return term_kinds[i];
    base_clean(clean, sizeof clean, name ? name : "(missing)");
    base_fail(err, "the kind of a term is '%s', which is not known", clean);
    return NULL;
}

static const model_tensor *find_coded(const reader *r, const char *name, const char *suffix) {
    char *coded = base_sprintf("%s%s", name, suffix);
    const model_tensor *item = model_tensors_find(r->t, coded);
    free(coded);
    return item && item->t.dtype == NUM_U8 ? item : NULL;
}

// The coded form of array `name`, if the file has one. It may stand for four bytes a weight at most.
static bool read_coded(reader *r, const char *name, term *t, int index, bool *found, base_err *err) {
    const model_tensor *item = NULL;
    const coder *c = NULL;
    *found = false;
    for (size_t k = 0; k < coder_count && !item; k++)
        if ((item = find_coded(r, name, coders[k]->suffix))) c = coders[k];
    if (!item) return true;
    const char *array = t->kind->blob[index];
    int64_t count = 0;
    uint8_t *data = c->decode(item->t.data, item->bytes, (uint64_t)(t->rows * t->cols) * 4 + 64, &count, err);
    if (!data) return base_wrap(err, "coded array %s: ", array);
    *found = r->claimed[item - r->t->items] = true;
    t->blob[index] = (term_blob){.dtype = NUM_U8,
                                 .count = count,
                                 .bytes = (size_t)count,
                                 .data = data,
                                 .owned = data,
                                 .coded_bytes = item->bytes,
                                 .suffix = c->suffix};
    return true;
}

// Arrays coded against the base; those that need the term's other arrays wait for the second call (`late`).
static bool read_deltas(reader *r, const char *path, term *t, bool late, base_err *err) {
    for (int i = 0; i < TERM_MAX_BLOB && t->kind->blob[i]; i++) {
        char *name = packed_blob_name(r->tensor, path, t->kind->blob[i]);
        const model_tensor *item = find_coded(r, name, DELTA_SUFFIX);
        free(name);
        if (!item || r->claimed[item - r->t->items]) continue;
        if (t->blob[i].count)
            return base_fail(err, "array %s is there twice, by itself and against the base", t->kind->blob[i]);
        bool done;
        if (!delta_read(item->t.data, item->bytes, t, i, r->base, r->tensor, path, late, &done, err))
            return base_wrap(err, "coded array %s: ", t->kind->blob[i]);
        r->claimed[item - r->t->items] = done;
    }
    return true;
}

static bool read_blobs(reader *r, const char *path, term *t, base_err *err) {
    for (int i = 0; i < TERM_MAX_BLOB && t->kind->blob[i]; i++) {
        char *name = packed_blob_name(r->tensor, path, t->kind->blob[i]);
        const model_tensor *item = model_tensors_find(r->t, name);
        bool coded;
        bool ok = read_coded(r, name, t, i, &coded, err);
        free(name);
        if (!ok) return false;
        if (coded && item) return base_fail(err, "array %s is there twice, plain and coded", t->kind->blob[i]);
        if (!item) continue; // an array without values is not written: check compares the counts
        r->claimed[item - r->t->items] = true;
        int64_t count = 1;
        for (int d = 0; d < item->t.ndim; d++) count *= item->t.dim[d];
        t->blob[i] = (term_blob){.dtype = item->t.dtype, .count = count, .bytes = item->bytes, .data = item->t.data};
    }
    return read_deltas(r, path, t, false, err) && read_deltas(r, path, t, true, err);
}

static term *read_term(reader *r, const json_t *o, const char *path, int64_t size[3], int depth, base_err *err);

static bool read_children(reader *r, const json_t *o, const char *path, term *t, int depth, base_err *err) {
    const json_t *list = json_object_get(o, "terms");
    size_t n = json_array_size(list);
    if ((list && !json_is_array(list)) || n < (size_t)t->kind->min_child || n > (size_t)t->kind->max_child)
        return base_fail(err, "a %s term holds %zu terms, expected %d to %d", t->kind->name, n, t->kind->min_child,
                         t->kind->max_child);
    for (size_t i = 0; i < n; i++) {
        int64_t size[3];
        if (!t->kind->child_size(t, (int)i, &size[0], &size[1], &size[2], err)) return false;
        char *below = base_sprintf("%s.%zu", path, i);
        term *child = read_term(r, json_array_get(list, i), below, size, depth + 1, err);
        free(below);
        if (!child) return false;
        t->child[t->child_count++] = child;
        if (term_is_container(t) && !child->kind->element_wise)
            return base_fail(err, "a %s term holds a %s term, expected values", t->kind->name, child->kind->name);
    }
    return true;
}

// size: rows, cols, stored values.
static term *read_term(reader *r, const json_t *o, const char *path, int64_t size[3], int depth, base_err *err) {
    if (depth > TERM_MAX_DEPTH) {
        base_fail(err, "terms nest deeper than %d", TERM_MAX_DEPTH);
        return NULL;
    }
    const term_kind *kind = find_kind(o, err);
    if (!kind || !known_members(kind, o, err)) return NULL;
    term *t = term_new(kind, size[0], size[1]);
    t->stored = size[2];
    bool ok = true;
    for (int i = 0; ok && i < TERM_MAX_ATTR && kind->attr[i].name; i++)
        ok = (kind->optional >> i & 1 && !json_object_get(o, kind->attr[i].name)) ||
             read_attr(&kind->attr[i], kind->retired, o, &t->attr[i], err);
    ok = ok && read_blobs(r, path, t, err) && kind->check(t, err) && read_children(r, o, path, t, depth, err);
    if (ok) return t;
    term_free(t);
    return NULL;
}

// ---- layers ----------------------------------------------------------------------------------------

static bool read_shape(reader *r, const json_t *o, packed_layer *l, base_err *err) {
    const json_t *shape = json_object_get(o, "shape"), *rows = json_object_get(o, "rows");
    size_t n = json_array_size(shape), count, bytes;
    if (!json_is_array(shape) || n < 1 || n > 5) return base_fail(err, "its shape is not a list of 1 to 5 sizes");
    l->shape.ndim = (int)n;
    for (size_t d = 0; d < n; d++) {
        const json_t *v = json_array_get(shape, d);
        l->shape.dim[d] = json_integer_value(v);
        if (!json_is_integer(v) || l->shape.dim[d] < 1)
            return base_fail(err, "size %zu of its shape is not positive", d);
    }
    // A few bytes of low-rank factors can stand for any size, so decoded sizes are held against this machine's memory.
    if (!num_count(l->shape.ndim, l->shape.dim, NUM_F32, &count, &bytes) || bytes > r->room)
        return base_fail(err, "its shape is too large for the memory there is");
    r->room -= bytes;
    l->rows = json_integer_value(rows);
    if (!json_is_integer(rows) || l->rows < 1 || (int64_t)count % l->rows)
        return base_fail(err, "its number of rows does not divide its %zu weights", count);
    l->cols = (int64_t)count / l->rows;
    if (l->cols > UINT32_MAX / 2) return base_fail(err, "its rows are longer than 2^31");
    return true;
}

static bool read_terms(reader *r, const json_t *o, packed_layer *l, base_err *err) {
    const json_t *terms = json_object_get(o, "terms"), *bytes = json_object_get(o, "bytes");
    size_t n = json_array_size(terms);
    if (!json_is_array(terms) || n < 1 || n > TERM_MAX_TERMS)
        return base_fail(err, "it has %zu terms, expected 1 to %d", n, TERM_MAX_TERMS);
    int64_t stored = 0, size[3] = {l->rows, l->cols, l->rows * l->cols};
    l->terms = base_calloc(n + 1, sizeof *l->terms);
    while (l->count < (int)n) {
        char path[16];
        snprintf(path, sizeof path, "%d", l->count);
        term *t = read_term(r, json_array_get(terms, (size_t)l->count), path, size, 1, err);
        if (!t) return base_wrap(err, "term %d: ", l->count);
        l->terms[l->count++] = t;
        stored += term_bytes(t);
    }
    l->bytes = stored;
    return (json_is_integer(bytes) && json_integer_value(bytes) == stored) ||
           base_fail(err, "its arrays take %lld bytes, the description says %lld", (long long)stored,
                     (long long)json_integer_value(bytes));
}

// The values, and what is told about the terms.
static bool decode_layer(packed_layer *l, base_err *err) {
    int64_t n = l->rows * l->cols;
    base_buf entropy = {0}, names = {0};
    l->bytes = 0;
    for (int i = 0; i < l->count; i++) {
        l->bytes += term_bytes(l->terms[i]);
        coding_describe(l->terms[i], &entropy);
        coding_names(l->terms[i], &names);
    }
    snprintf(l->entropy, sizeof l->entropy, "%s", entropy.text ? entropy.text : "");
    snprintf(l->coders, sizeof l->coders, "%s", names.text ? names.text : "");
    base_buf_free(&entropy);
    base_buf_free(&names);
    l->decoded = base_big_alloc((size_t)n, sizeof(float), "a decoded weight", err);
    bool ok = l->decoded && terms_decode(l->terms, l->count, l->rows, l->cols, l->decoded, err);
    if (ok && !num_all_finite(l->decoded, (size_t)n)) ok = base_fail(err, "its terms decode to NaN or Inf");
    char clean[160];
    base_clean(clean, sizeof clean, l->tensor);
    return ok || base_wrap(err, "packed tensor '%s': ", clean);
}

static void close_layer(packed_layer *l) {
    for (int k = 0; k < l->count; k++) term_free(l->terms[k]);
    free(l->terms);
    base_big_free(l->decoded);
}

// Less of every layer, as asked. Arrays beside the layers count as they are.
static bool cut_file(const model_tensors *t, const compress_cut *cut, packed_layer *layers, size_t count,
                     base_err *err) {
    cut_layer *list = base_calloc(count + 1, sizeof *list);
    int64_t others = 0;
    for (int i = 0; i < t->count; i++) others += (int64_t)t->items[i].bytes;
    for (size_t i = 0; i < count; i++) {
        list[i] = (cut_layer){layers[i].tensor, layers[i].terms, &layers[i].count};
        others -= layers[i].bytes;
    }
    bool ok = cut_layers(cut, list, (int)count, others, err);
    free(list);
    return ok;
}

static bool read_layer(reader *r, const json_t *o, packed_layer *l, base_err *err) {
    l->tensor = json_string_value(json_object_get(o, "tensor"));
    if (!l->tensor || !*l->tensor || strlen(l->tensor) > TERM_MAX_NAME)
        return base_fail(err, "a packed layer names no tensor");
    r->tensor = l->tensor;
    char clean[160];
    base_clean(clean, sizeof clean, l->tensor);
    if (model_tensors_find(r->t, l->tensor))
        return base_fail(err, "packed tensor '%s': the file also holds it as a plain tensor", clean);
    if (read_shape(r, o, l, err) && read_terms(r, o, l, err)) return true;
    return base_wrap(err, "packed tensor '%s': ", clean);
}

// An array that belongs to a packed tensor by its name but to none of its terms.
static bool all_claimed(const reader *r, const packed_layer *layers, size_t count, base_err *err) {
    for (int i = 0; i < r->t->count; i++) {
        const char *name = r->t->items[i].name;
        for (size_t k = 0; !r->claimed[i] && k < count; k++) {
            size_t n = strlen(layers[k].tensor);
            if (!strncmp(name, layers[k].tensor, n) && name[n] == ':')
                return base_fail(err, "array '%s' belongs to no term of its packed tensor", name);
        }
    }
    return true;
}

static bool read_layers(reader *r, const json_t *list, packed_layer *layers, size_t count, base_err *err) {
    for (size_t i = 0; i < count; i++) {
        if (!read_layer(r, json_array_get(list, i), &layers[i], err)) return false;
        for (size_t k = 0; k < i; k++)
            if (!strcmp(layers[i].tensor, layers[k].tensor)) return base_fail(err, "a tensor is packed twice");
    }
    return all_claimed(r, layers, count, err);
}

static void replace(model_tensors *t, const bool *claimed, packed_layer *layers, size_t count) {
    char **names = base_calloc((size_t)t->count + 1, sizeof *names);
    int n = 0;
    for (int i = 0; i < t->count; i++)
        if (claimed[i]) names[n++] = base_strdup(t->items[i].name);
    for (int i = 0; i < n; i++) {
        model_tensors_drop(t, names[i]);
        free(names[i]);
    }
    free(names);
    for (size_t i = 0; i < count; i++) {
        model_tensors_put(t, layers[i].tensor, NUM_F32, layers[i].shape.ndim, layers[i].shape.dim, layers[i].decoded);
        layers[i].decoded = NULL;
        ((model_tensor *)model_tensors_find(t, layers[i].tensor))->packed = (size_t)layers[i].bytes;
        model_tensor *item = (model_tensor *)model_tensors_find(t, layers[i].tensor);
        snprintf(item->entropy, sizeof item->entropy, "%s", layers[i].entropy);
        snprintf(item->coders, sizeof item->coders, "%s", layers[i].coders);
    }
}

static json_t *parse(const model_tensors *t, base_err *err) {
    char *text = model_tensors_meta(t, PACKED_KEY);
    json_error_t problem;
    json_t *o = NULL;
    if (text && strlen(text) < MAX_DESCRIPTION) o = json_loads(text, JSON_REJECT_DUPLICATES, &problem);
    free(text);
    const json_t *layers = json_object_get(o, "layers");
    if (!json_is_object(o) || !json_is_array(layers) || json_array_size(layers) > MAX_LAYERS) {
        base_fail(err, "the description of packed tensors (metadata " PACKED_KEY
                       ") is not valid JSON with a list of layers");
    } else if (json_integer_value(json_object_get(o, "version")) != PACKED_VERSION) {
        base_fail(err, "the packed form has version %lld, this program reads %d",
                  (long long)json_integer_value(json_object_get(o, "version")), PACKED_VERSION);
    } else {
        return o;
    }
    json_decref(o);
    return NULL;
}

// ---- the base --------------------------------------------------------------------------------------

// The checkpoint that the file was coded against: at `given`, or beside the file under the name it had.
static bool open_base(reader *r, const char *given, base_err *err) {
    char *text = model_tensors_meta(r->t, BASE_KEY);
    if (!text) return true;
    json_t *o = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    const char *name = json_string_value(json_object_get(o, "name"));
    const char *hash = json_string_value(json_object_get(o, "hash"));
    bool ok = name && hash && *name && !strchr(name, '/') && strcmp(name, "..") != 0 && strlen(name) < 256;
    if (!ok) base_fail(err, "the description of its base checkpoint (metadata " BASE_KEY ") is broken");
    char clean[256] = "", shown[64] = "";
    base_clean(clean, sizeof clean, ok ? name : "");
    base_clean(shown, sizeof shown, ok ? hash : "");
    char *folder = base_is_dir(r->t->path) ? base_strdup(r->t->path) : base_dirname(r->t->path);
    char *path = given ? base_strdup(given) : ok ? base_join(folder, name) : NULL;
    if (ok && !base_is_file(path) && !base_is_dir(path))
        ok = base_fail(err,
                       "it is stored against the checkpoint '%s' (xxh128 %s), and there is no %s; give its path "
                       "(--base PATH, or model(path, { base = ... }))",
                       clean, shown, path);
    if (ok) ok = (r->base = coding_base_open(path, err)) || base_wrap(err, "its base: ");
    if (ok && strcmp(coding_base_hash(r->base), hash) != 0)
        ok = base_fail(err, "it is stored against the checkpoint '%s' with xxh128 %s; %s is another one, with %s",
                       clean, shown, path, coding_base_hash(r->base));
    free(folder);
    free(path);
    json_decref(o);
    return ok;
}

bool compress_unpack(model_tensors *t, base_err *err) {
    return compress_unpack_on(t, NULL, err);
}

bool compress_unpack_on(model_tensors *t, const char *base, base_err *err) {
    return compress_unpack_cut(t, base, NULL, err);
}

bool compress_unpack_cut(model_tensors *t, const char *base, const compress_cut *cut, base_err *err) {
    return unpack_within(t, base, cut, (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGE_SIZE), err);
}

bool unpack_within(model_tensors *t, const char *base, const compress_cut *cut, size_t room, base_err *err) {
    bool less = cut && (cut->bits || cut->bytes);
    if (!compress_is_packed(t))
        return !less || base_fail(err, "%s: it holds no compressed layers that could be cut", t->path);
    json_t *o = parse(t, err);
    if (!o) return base_wrap(err, "%s: ", t->path);
    const json_t *list = json_object_get(o, "layers");
    size_t count = json_array_size(list);
    packed_layer *layers = base_calloc(count + 1, sizeof *layers);
    reader r = {.t = t, .claimed = base_calloc((size_t)t->count + 1, sizeof(bool)), .room = room};
    bool ok = open_base(&r, base, err) && read_layers(&r, list, layers, count, err);
    if (ok && less) ok = cut_file(t, cut, layers, count, err);
    for (size_t i = 0; ok && i < count; i++) ok = decode_layer(&layers[i], err);
    ok = ok && model_tensors_intact(t, err);
    if (ok)
        replace(t, r.claimed, layers, count);
    else
        base_wrap(err, "%s: ", t->path);
    for (size_t i = 0; i < count; i++) close_layer(&layers[i]);
    free(layers);
    free(r.claimed);
    coding_base_close(r.base);
    json_decref(o);
    return ok;
}

char *compress_describe(const model_tensors *t, const char *tensor) {
    base_err ignored;
    if (!compress_is_packed(t)) return NULL;
    json_t *o = parse(t, &ignored), *l;
    char *text = NULL;
    size_t i;
    json_array_foreach(json_object_get(o, "layers"), i, l) {
        const char *name = json_string_value(json_object_get(l, "tensor"));
        const char *said = json_string_value(json_object_get(l, "text"));
        if (text || !name || !said || strcmp(name, tensor)) continue;
        char clean[512];
        base_clean(clean, sizeof clean, said);
        text = base_strdup(clean);
    }
    json_decref(o);
    return text;
}
