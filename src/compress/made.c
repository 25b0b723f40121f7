// made: a layer as a listener of the run sees it when it is finished - its weight before and after, and how often each
// of its codes is used.
#include "compress/made.h"
#include "compress/coding/coding.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_SYMBOLS = 1 << 12 };

static int bits_of(const coding_view *v) {
    return v->width == SYMBOLS_TRITS ? 2 : v->width;
}

static void count_term(const term *t, compress_codes *codes, int *count) {
    for (int i = 0; i < TERM_MAX_BLOB && t->kind->blob[i]; i++) {
        coding_view v;
        int64_t uses[MOST_SYMBOLS];
        if (strcmp(t->kind->blob[i], "codes") != 0 || *count == COMPRESS_MADE_CODES || !coding_view_of(t, i, &v))
            continue;
        int64_t n = v.rows * v.cols;
        if (n < 1 || !coding_count(&v, n, uses)) continue;
        size_t symbols = (size_t)1 << bits_of(&v);
        int64_t *kept = base_calloc(symbols, sizeof *kept);
        memcpy(kept, uses, symbols * sizeof *kept);
        compress_codes *c = &codes[(*count)++];
        *c = (compress_codes){.bits = bits_of(&v), .count = n, .entropy = coding_entropy(uses, n), .use = kept};
        snprintf(c->what, sizeof c->what, "%s", t->kind->name);
    }
    for (int i = 0; i < t->child_count; i++) count_term(t->child[i], codes, count);
}

void made_tell(const compress_plan *plan, const model *m, const compress_result *r, int index) {
    if (!plan->made) return;
    const model_layer *l = &m->layers[index];
    const result_layer *done = &r->layers[index];
    compress_codes codes[COMPRESS_MADE_CODES];
    int count = 0;
    for (int k = 0; k < done->term_count; k++) count_term(done->terms[k], codes, &count);
    compress_made made = {.layer = l->name,
                          .rows = l->out,
                          .cols = l->in,
                          .before = m->weights[l->weight],
                          .after = r->weights[l->weight],
                          .codes = codes,
                          .code_count = count};
    plan->made(plan->made_context, &made);
    for (int k = 0; k < count; k++) free((void *)(uintptr_t)codes[k].use);
}
