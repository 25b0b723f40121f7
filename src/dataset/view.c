// view: choices of samples, and batches made from them: raw values normalised, sequences padded at the end.
#include <stdlib.h>
#include <string.h>

#include "dataset/store.h"

static data_view *view_new(const data_set *set, int64_t count, base_err *err) {
    int64_t *index = base_big_alloc((size_t)(count ? count : 1), sizeof *index, "a choice of samples", err);
    if (!index) return NULL;
    data_view *v = base_alloc(sizeof *v);
    *v = (data_view){.set = set, .index = index, .count = count};
    return v;
}

data_view *data_view_part(const data_set *set, data_part part, base_err *err) {
    bool all = part == DATA_ALL;
    int64_t count = all ? set->count : set->part_count[part];
    if (count == 0) {
        base_fail(err, "dataset '%s' has no samples in its %s part (calib %lld, select %lld, test %lld)", set->name,
                  data_part_names[part], (long long)set->part_count[0], (long long)set->part_count[1],
                  (long long)set->part_count[2]);
        return NULL;
    }
    data_view *v = view_new(set, count, err);
    if (!v) return NULL;
    for (int64_t i = 0; i < count; i++) v->index[i] = all ? i : set->part[part][i];
    snprintf(v->label, sizeof v->label, "%s/%s", set->name, data_part_names[part]);
    return v;
}

// The first `count` of a shuffle: a sample of 256 is the beginning of the sample of 512 with the same seed.
data_view *data_view_sample(const data_view *view, int64_t count, uint64_t seed, base_err *err) {
    if (count < 1 || count > view->count || view->count > UINT32_MAX) {
        base_fail(err, "a sample of %lld was asked of %s, which has %lld", (long long)count, view->label,
                  (long long)view->count);
        return NULL;
    }
    data_view *v = view_new(view->set, view->count, err);
    if (!v) return NULL;
    memcpy(v->index, view->index, (size_t)view->count * sizeof *v->index);
    num_rng rng = num_rng_seed(seed, 0);
    for (int64_t i = 0; i < count; i++) {
        int64_t j = i + num_rng_below(&rng, (uint32_t)(view->count - i)), t = v->index[i];
        v->index[i] = v->index[j];
        v->index[j] = t;
    }
    v->count = count;
    snprintf(v->label, sizeof v->label, "%.40s[%lld of %lld, seed %llu]", view->label, (long long)count,
             (long long)view->count, (unsigned long long)seed);
    return v;
}

data_view *data_view_range(const data_view *view, int64_t from, int64_t count, base_err *err) {
    if (from < 0 || count < 1 || from > view->count || count > view->count - from) {
        base_fail(err, "%lld samples from %lld on were asked of %s, which has %lld", (long long)count, (long long)from,
                  view->label, (long long)view->count);
        return NULL;
    }
    data_view *v = view_new(view->set, count, err);
    if (!v) return NULL;
    memcpy(v->index, view->index + from, (size_t)count * sizeof *v->index);
    snprintf(v->label, sizeof v->label, "%.48s[%lld to %lld]", view->label, (long long)from,
             (long long)(from + count - 1));
    return v;
}

data_view *data_view_copy(const data_view *view) {
    base_err err;
    data_view *v = view_new(view->set, view->count, &err);
    if (!v) return NULL;
    memcpy(v->index, view->index, (size_t)view->count * sizeof *v->index);
    memcpy(v->label, view->label, sizeof v->label);
    return v;
}

void data_view_free(data_view *view) {
    if (!view) return;
    base_big_free(view->index);
    free(view);
}

static int by_index(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int64_t data_view_overlap(const data_view *a, const data_view *b) {
    if (a->set != b->set) return 0;
    data_view *x = data_view_copy(a), *y = data_view_copy(b);
    BASE_CHECK(x && y);
    qsort(x->index, (size_t)x->count, sizeof *x->index, by_index);
    qsort(y->index, (size_t)y->count, sizeof *y->index, by_index);
    int64_t both = 0;
    for (int64_t i = 0, k = 0; i < x->count && k < y->count;) {
        if (x->index[i] == y->index[k])
            both++, i++, k++;
        else if (x->index[i] < y->index[k])
            i++;
        else
            k++;
    }
    data_view_free(x);
    data_view_free(y);
    return both;
}

// ---- batches ------------------------------------------------------------------------------------------------------

const data_chunk *data_chunk_of(const data_set *set, int64_t i) {
    const struct data_store *s = set->store;
    for (size_t k = 0; k < s->chunk_count; k++)
        if (i < s->chunks[k].first + s->chunks[k].count) return &s->chunks[k];
    base_bug(__FILE__, __LINE__, "a view holds a sample its set does not have");
}

int64_t data_longest(const data_view *view, int64_t from, int64_t count) {
    int64_t longest = 0;
    for (int64_t i = from; i < from + count; i++) {
        const data_chunk *c = data_chunk_of(view->set, view->index[i]);
        int64_t n = c->length ? c->length[view->index[i] - c->first] : view->set->sample_values;
        if (n > longest) longest = n;
    }
    return longest;
}

int64_t data_view_targets(const data_view *view) {
    if (view->set->kind == DATA_FEATURES) return view->count;
    int64_t targets = 0;
    for (int64_t i = 0; i < view->count; i++) {
        const data_chunk *c = data_chunk_of(view->set, view->index[i]);
        targets += c->length[view->index[i] - c->first];
    }
    return targets;
}

BASE_CLONES static void scale_u8(const uint8_t *raw, float *x, int64_t n, float gain, float shift) {
    for (int64_t i = 0; i < n; i++) x[i] = (float)raw[i] * gain + shift;
}

BASE_CLONES static void scale_f32(float *x, int64_t n, float gain, float shift) {
    for (int64_t i = 0; i < n; i++) x[i] = x[i] * gain + shift;
}

static void fetch_sample(const data_set *set, int64_t index, float *x) {
    const struct data_store *s = set->store;
    const data_chunk *c = data_chunk_of(set, index);
    size_t width = num_dtypes[c->dtype].bytes;
    const uint8_t *raw = c->values + (size_t)(index - c->first) * (size_t)set->sample_values * width;
    if (c->dtype != NUM_U8) num_to_f32(c->dtype, raw, x, (size_t)set->sample_values);
    for (int k = 0; k < s->channels; k++) {
        int64_t at = k * s->inner;
        if (c->dtype == NUM_U8)
            scale_u8(raw + at, x + at, s->inner, s->gain[k], s->shift[k]);
        else
            scale_f32(x + at, s->inner, s->gain[k], s->shift[k]);
    }
}

// Make room for `count` values in one array of the batch; what was in it is given up.
static bool grow(void **array, size_t *capacity, size_t count, size_t size, base_err *err) {
    if (*array && *capacity >= count) return true;
    base_big_free(*array);
    *array = base_big_alloc(count, size, "a batch", err);
    *capacity = *array ? count : 0;
    return *array != NULL;
}

static bool fetch_features(const data_view *view, int64_t from, data_batch *b, base_err *err) {
    const data_set *set = view->set;
    size_t values;
    if (!base_mul((size_t)b->count, (size_t)set->sample_values, &values))
        return base_fail(err, "the batch is too large");
    if (!grow((void **)&b->x, &b->capacity[0], values, sizeof *b->x, err)) return false;
    if (set->store->unlabelled) {
        base_big_free(b->labels);
        b->labels = NULL;
    } else if (!grow((void **)&b->labels, &b->capacity[2], (size_t)b->count, sizeof *b->labels, err)) {
        return false;
    }
    for (int64_t i = 0; i < b->count; i++) {
        int64_t index = view->index[from + i];
        fetch_sample(set, index, b->x + i * set->sample_values);
        const data_chunk *c = data_chunk_of(set, index);
        if (b->labels) b->labels[i] = c->labels[index - c->first];
    }
    for (size_t k = 0; k < set->store->chunk_count; k++)
        if (set->store->chunks[k].mapped && !base_map_intact(&set->store->chunks[k].npz.map, err)) return false;
    return true;
}

static bool fetch_tokens(const data_view *view, int64_t from, data_batch *b, base_err *err) {
    int64_t t = b->length = data_longest(view, from, b->count);
    size_t values;
    if (!base_mul((size_t)b->count, (size_t)t, &values)) return base_fail(err, "the batch is too large");
    if (!grow((void **)&b->tokens, &b->capacity[1], values, sizeof *b->tokens, err) ||
        !grow((void **)&b->labels, &b->capacity[2], values, sizeof *b->labels, err) ||
        !grow((void **)&b->lengths, &b->capacity[3], (size_t)b->count, sizeof *b->lengths, err))
        return false;
    for (int64_t i = 0; i < b->count; i++) {
        const data_chunk *c = data_chunk_of(view->set, view->index[from + i]);
        int64_t k = view->index[from + i] - c->first, n = c->length[k];
        int32_t *tokens = b->tokens + i * t, *labels = b->labels + i * t;
        memcpy(tokens, c->tokens + c->start[k], (size_t)n * sizeof *tokens);
        memcpy(labels, c->tokens + c->start[k] + 1, (size_t)n * sizeof *labels);
        for (int64_t p = n; p < t; p++) tokens[p] = 0, labels[p] = -1;
        b->lengths[i] = (int32_t)n;
    }
    return true;
}

bool data_fetch(const data_view *view, int64_t from, int64_t count, data_batch *batch, base_err *err) {
    if (from < 0 || count < 1 || from > view->count || count > view->count - from)
        return base_fail(err, "%lld samples from %lld on were asked of %s, which has %lld", (long long)count,
                         (long long)from, view->label, (long long)view->count);
    if (batch->kind != view->set->kind) data_batch_free(batch);
    batch->kind = view->set->kind;
    batch->count = count;
    batch->length = 0;
    return (batch->kind == DATA_FEATURES ? fetch_features : fetch_tokens)(view, from, batch, err);
}

void data_batch_free(data_batch *batch) {
    base_big_free(batch->x);
    base_big_free(batch->tokens);
    base_big_free(batch->labels);
    base_big_free(batch->lengths);
    *batch = (data_batch){0};
}

char *data_text(const data_set *set, const int32_t *tokens, int64_t count) {
    base_buf b = {0};
    base_buf_puts(&b, "");
    for (int64_t i = 0; i < count; i++) {
        bool known = tokens[i] >= 0 && tokens[i] < set->classes;
        if (set->store->characters && known) {
            base_buf_puts(&b, set->store->characters[tokens[i]]);
        } else if (set->store->bytes && known) {
            char byte = (char)tokens[i];
            base_buf_add(&b, &byte, 1);
        } else {
            base_buf_printf(&b, "%s%d", i ? " " : "", tokens[i]);
        }
    }
    return b.text;
}
