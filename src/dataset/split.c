// split: which samples are for calibration, selection and test; the same for the same files, fractions and seed.
//
// Classes are split label by label, so that each part has them in the same proportions. Documents are shuffled and
// split whole. Text that was cut into windows is split into contiguous pieces, in order: windows beside each other
// share sentences and names, and a shuffled split would test a model on the neighbourhood of what it was fitted to.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/store.h"

typedef struct splitter {
    double fraction[3]; // sum 1
    double carry[3];    // what rounding has kept back so far, so that totals come out right over many small groups
    uint8_t *part;      // of each item
} splitter;

static splitter splitter_new(const data_spec *spec, uint8_t *part) {
    splitter s = {.fraction = {0.7, 0.1, 0.2}, .part = part};
    double sum = spec->fraction[0] + spec->fraction[1] + spec->fraction[2];
    for (int p = 0; p < 3 && sum > 0; p++) s.fraction[p] = spec->fraction[p] / sum;
    return s;
}

// Give the first of n items to calib, the next to select, the last to test.
static void assign(splitter *s, const int64_t *items, int64_t n) {
    int rest = s->fraction[0] > 0 ? 0 : s->fraction[1] > 0 ? 1 : 2; // takes what rounding leaves
    int64_t size[3] = {0}, left = n;
    for (int p = 2; p > rest; p--) {
        double want = (double)n * s->fraction[p] + s->carry[p];
        size[p] = (int64_t)floor(want + 0.5);
        if (size[p] < 0) size[p] = 0;
        if (size[p] > left) size[p] = left;
        s->carry[p] = want - (double)size[p];
        left -= size[p];
    }
    size[rest] = left;
    for (int64_t i = 0; i < n; i++) s->part[items[i]] = (uint8_t)(i < size[0] ? 0 : i < size[0] + size[1] ? 1 : 2);
}

// Samples grouped by label (one group when there are none), each group shuffled by a stream of its own.
static bool split_classes(splitter *s, const data_set *set, uint64_t seed, base_err *err) {
    bool labelled = !set->store->unlabelled;
    size_t groups = labelled ? (size_t)set->classes : 1;
    int64_t *at = base_calloc(groups + 1, sizeof *at);
    int64_t *items = base_big_alloc((size_t)set->count, sizeof *items, "the split of the samples", err);
    for (int pass = 0; pass < 2 && items; pass++) { // count, then place
        for (size_t k = 0; k < set->store->chunk_count; k++) {
            const data_chunk *c = &set->store->chunks[k];
            for (int64_t i = 0; c->part == DATA_ALL && i < c->count; i++) {
                size_t group = labelled ? (size_t)c->labels[i] : 0;
                if (pass == 0)
                    at[group + 1]++;
                else
                    items[at[group]++] = c->first + i;
            }
        }
        for (size_t g = 0; pass == 0 && g < groups; g++) at[g + 1] += at[g];
    }
    for (size_t g = 0; items && g < groups; g++) { // now at[g] is the end of group g
        int64_t from = g ? at[g - 1] : 0;
        num_rng rng = num_rng_seed(seed, g);
        num_rng_shuffle(&rng, items + from, (size_t)(at[g] - from));
        assign(s, items + from, at[g] - from);
    }
    bool ok = items != NULL;
    base_big_free(items);
    free(at);
    return ok;
}

static int64_t documents_of(const data_chunk *c) {
    return c->part == DATA_ALL && c->document ? c->document[c->count - 1] + 1 : 0;
}

// Documents of all sources together, shuffled; every sequence goes where its document goes.
static bool split_documents(const data_spec *spec, const data_set *set, uint8_t *part, base_err *err) {
    int64_t documents = 0;
    for (size_t k = 0; k < set->store->chunk_count; k++) documents += documents_of(&set->store->chunks[k]);
    if (documents == 0) return true;
    int64_t *items = base_big_alloc((size_t)documents, sizeof *items, "the split of the documents", err);
    uint8_t *of = items ? base_big_alloc((size_t)documents, 1, "the split of the documents", err) : NULL;
    if (of) {
        splitter s = splitter_new(spec, of);
        for (int64_t i = 0; i < documents; i++) items[i] = i;
        num_rng rng = num_rng_seed(spec->seed, 0);
        num_rng_shuffle(&rng, items, (size_t)documents);
        assign(&s, items, documents);
        int64_t base = 0;
        for (size_t k = 0; k < set->store->chunk_count; k++) {
            const data_chunk *c = &set->store->chunks[k];
            int64_t own = documents_of(c);
            for (int64_t i = 0; own && i < c->count; i++) part[c->first + i] = of[base + c->document[i]];
            base += own;
        }
    }
    bool ok = of != NULL;
    base_big_free(items);
    base_big_free(of);
    return ok;
}

// The windows of each file in order: its beginning, its middle, its end.
static bool split_windows(const data_spec *spec, const data_set *set, uint8_t *part, base_err *err) {
    int64_t *items = base_big_alloc((size_t)set->count, sizeof *items, "the split of the windows", err);
    if (!items) return false;
    for (int64_t i = 0; i < set->count; i++) items[i] = i;
    splitter s = splitter_new(spec, part);
    for (size_t k = 0; k < set->store->chunk_count; k++) {
        const data_chunk *c = &set->store->chunks[k];
        if (c->part == DATA_ALL) assign(&s, items + c->first, c->count);
    }
    base_big_free(items);
    return true;
}

static bool collect(data_set *set, const uint8_t *part, base_err *err) {
    for (int64_t i = 0; i < set->count; i++) set->part_count[part[i]]++;
    for (int p = 0; p < 3; p++) {
        if (set->part_count[p] == 0) continue;
        set->part[p] = base_big_alloc((size_t)set->part_count[p], sizeof(int64_t), "the list of a part", err);
        if (!set->part[p]) return false;
        int64_t n = 0;
        for (int64_t i = 0; i < set->count; i++)
            if (part[i] == p) set->part[p][n++] = i;
    }
    return true;
}

bool data_split(const data_spec *spec, data_set *set, base_err *err) {
    uint8_t *part = base_big_alloc((size_t)set->count, 1, "the split", err);
    if (!part) return false;
    for (size_t k = 0; k < set->store->chunk_count; k++) {
        const data_chunk *c = &set->store->chunks[k];
        if (c->part != DATA_ALL) memset(part + c->first, c->part, (size_t)c->count);
    }
    splitter s = splitter_new(spec, part);
    bool ok;
    if (set->kind == DATA_FEATURES)
        ok = split_classes(&s, set, spec->seed, err);
    else if (spec->bos >= 0)
        ok = split_documents(spec, set, part, err);
    else
        ok = split_windows(spec, set, part, err);
    ok = ok && collect(set, part, err);
    base_big_free(part);
    return ok;
}
