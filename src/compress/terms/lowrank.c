// Low-rank term: U V, with factors U [rows x r] and V [r x cols] that are terms themselves (dense or uniform).
#include "compress/layer.h"

enum { RANK };

static bool check(const term *t, base_err *err) {
    (void)t, (void)err; // the rank's range is in the attribute row; the factors check themselves
    return true;
}

static bool child_size(const term *t, int index, int64_t *rows, int64_t *cols, int64_t *stored, base_err *err) {
    (void)err;
    *rows = index == 0 ? t->rows : t->attr[RANK];
    *cols = index == 0 ? t->attr[RANK] : t->cols;
    *stored = *rows * *cols;
    return true;
}

static bool decode(const term *t, float *out, base_err *err) {
    int64_t r = t->attr[RANK];
    float *u = base_big_alloc((size_t)(t->rows * r), sizeof *u, "a low-rank factor", err);
    float *v = u ? base_big_alloc((size_t)(r * t->cols), sizeof *v, "a low-rank factor", err) : NULL;
    bool ok = v && term_decode(t->child[0], u, err) && term_decode(t->child[1], v, err);
    if (ok) num_gemm(false, false, t->rows, t->cols, r, 1, u, r, v, t->cols, 1, out, t->cols);
    base_big_free(u);
    base_big_free(v);
    return ok;
}

static void describe(const term *t, base_buf *b) {
    base_buf_printf(b, "lowrank r%lld (", (long long)t->attr[RANK]);
    t->child[0]->kind->describe(t->child[0], b);
    base_buf_puts(b, ")");
}

const term_kind term_lowrank = {
    .name = "lowrank",
    .help = "product of two factors, each a term",
    .attr = {{"rank", 1, INT32_MAX, NULL}},
    .min_child = 2,
    .max_child = 2,
    .check = check,
    .child_size = child_size,
    .decode = decode,
    .describe = describe,
};

term *term_lowrank_new(term *u, term *v) {
    term *t = term_new(&term_lowrank, u->rows, v->cols);
    t->stored = 0;
    t->attr[RANK] = u->cols;
    t->child[0] = u;
    t->child[1] = v;
    t->child_count = 2;
    return t;
}
