// bnb files: whole blocks of a tensor in bitsandbytes' four-bit types, flat order, the last block short.
//
// The type and the block are the variant's words; else the type is the one whose levels times absmax are the values of
// deq, and the block the one whose largest magnitudes are absmax. README, 10: codes 99.99 %, values 1e-6 of the block's
// largest. Their scale is 1 / absmax, which is infinite for absmax below 2.9e-39: less error than theirs passes there.
#include "kinds.h"

#include "compress/types/types.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct bnb_case {
    const golden_file *f;
    float *w;
    int64_t n;
} bnb_case;
typedef struct bnb_variant {
    int64_t *code, blocks, block;
    float *values, *absmax;
    grid_table table;
} bnb_variant;

static const char *const types[] = {"nf4", "fp4-bnb"};

static bool open_type(const char *type, grid_table *table) {
    type_choice choice;
    base_err err = {0};
    return type_find(type, 4, &choice, &err) && !choice.even && table_build(&choice.type, NULL, table, &err);
}

static bool block_fits(const bnb_case *c, const bnb_variant *b, int64_t block) {
    if ((c->n + block - 1) / block != b->blocks) return false;
    for (int64_t k = 0; k < b->blocks; k++) {
        float most = 0;
        for (int64_t i = k * block; i < c->n && i < (k + 1) * block; i++) most = fmaxf(most, fabsf(c->w[i]));
        if (most != b->absmax[k]) return false;
    }
    return true;
}

// The block in the name, or one whose largest magnitudes are absmax; several can be: powers of two are what they use.
static bool find_block(const bnb_case *c, const char *v, bnb_variant *b) {
    b->block = golden_number(v, "b", 0);
    if (b->block > 0) return (c->n + b->block - 1) / b->block == b->blocks;
    for (b->block = 1; b->block <= 1 << 20; b->block *= 2)
        if (block_fits(c, b, b->block)) return true;
    for (b->block = 1; b->block <= 1 << 20; b->block++)
        if (block_fits(c, b, b->block)) return true;
    return false;
}

static bool find_type(const bnb_case *c, const char *v, bnb_variant *b) {
    for (int k = 0; k < 2; k++)
        if (golden_word(v, k ? "fp4" : "nf4")) return open_type(types[k], &b->table);
    for (int k = 0; k < 2; k++) {
        int64_t same = 0;
        if (!open_type(types[k], &b->table)) return false;
        grid_spec g = {.bits = 4, .table = &b->table, .scale = NUM_F32};
        for (int64_t i = 0; i < c->n; i++) {
            float most = b->absmax[i / b->block];
            same += fabsf(grid_value(&g, (grid_param){most, 0}, (grid_code)b->code[i]) - b->values[i]) <= 1e-6f * most;
        }
        if (same == c->n) return true;
    }
    return false;
}

static void check(const bnb_case *c, const char *v, const bnb_variant *b) {
    grid_spec g = {.bits = 4, .table = &b->table, .scale = NUM_F32};
    grid_code *mine = base_calloc((size_t)c->n, sizeof *mine);
    int64_t equal = 0, near = 0;
    double ours = 0, theirs = 0;
    base_err err = {0};
    for (int64_t at = 0; at < c->n && !err.text[0]; at += b->block) {
        int64_t length = c->n - at < b->block ? c->n - at : b->block;
        double most = (double)b->absmax[at / b->block];
        grid_param p;
        if (!grid_fit(&g, c->w + at, length, NULL, &p, &err)) break;
        grid_encode(&g, p, c->w + at, length, mine + at);
        for (int64_t i = at; i < at + length; i++) {
            double x = (double)c->w[i], got = (double)grid_value(&g, p, mine[i]), wanted = (double)b->values[i];
            equal += mine[i] == b->code[i] || got == wanted; // FP4 has two codes for zero
            near += fabs(got - wanted) <= 1e-6 * most;
            ours += (got - x) * (got - x);
            theirs += (wanted - x) * (wanted - x);
        }
    }
    double share = (double)equal / (double)c->n, ratio = theirs > 0 ? ours / theirs : ours > 0 ? INFINITY : 1;
    bool pass = (share >= 0.9999 && near >= equal) || ratio <= 1;
    golden_verdict(c->f, v, share, ratio, pass && !err.text[0], err.text[0] ? err.text : NULL);
    free(mine);
}

static void check_variant(const bnb_case *c, const char *v) {
    bnb_variant b = {0};
    base_err err = {0};
    size_t bytes, count = 0;
    const num_tensor *t = golden_array(c->f, v, "absmax");
    if (t && num_count(t->ndim, t->dim, t->dtype, &count, &bytes)) b.blocks = (int64_t)count;
    b.absmax = golden_reals(c->f, v, "absmax", -1, &err);
    b.code = b.absmax ? golden_codes(c->f, v, "code", c->n, 16, &err) : NULL;
    // Their code makes NaN of a block whose 1 / absmax is infinite, so deq is not asked to be finite.
    b.values = b.code ? golden_floats(c->f, v, "deq", &count) : NULL;
    if (b.code && (!b.values || (int64_t)count != c->n))
        base_fail(&err, "the array %s.deq has %zu values, and %lld are expected", v, b.values ? count : 0,
                  (long long)c->n);
    if (err.text[0])
        golden_verdict(c->f, v, NAN, NAN, false, err.text);
    else if (!find_block(c, v, &b))
        golden_verdict(c->f, v, NAN, NAN, false, "absmax is not the largest magnitude of blocks of any size");
    else if (!find_type(c, v, &b))
        golden_skip(c->f, v, "the type is not in the name, and deq is not absmax times levels of nf4 or fp4");
    else
        check(c, v, &b);
    base_big_free(b.absmax);
    base_big_free(b.values);
    free(b.code);
}

void golden_bnb(const golden_file *f) {
    bnb_case c = {.f = f};
    size_t count = 0, bytes;
    base_err err = {0};
    const num_tensor *t = golden_array(f, NULL, "W");
    if (t && num_count(t->ndim, t->dim, t->dtype, &count, &bytes)) c.n = (int64_t)count;
    c.w = golden_reals(f, NULL, "W", -1, &err);
    char **v = golden_variants_of(f, (const char *const[]){"code", "absmax"}, 2, &count);
    if (c.w && !count) base_fail(&err, "the file has no variant");
    if (err.text[0]) golden_verdict(f, NULL, NAN, NAN, false, err.text);
    for (size_t i = 0; !err.text[0] && i < count; i++) check_variant(&c, v[i]);
    base_names_free(v, count);
    base_big_free(c.w);
}
