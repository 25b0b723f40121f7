// Attention (Vaswani et al. 2017; grouped queries: Ainslie et al. 2023).
//
// It goes over blocks of queries and keys with the running maximum and sum of "Online normalizer calculation for
// softmax" (Milakov and Gimelshein 2018), as FlashAttention (Dao et al. 2022) does: only one block of scores exists at
// a time. Forward keeps the logarithm of each row's sum; backward computes the scores again from it.
//
// In forward everything is transposed: the queries of a block lie side by side in the lanes of vectors, scores are
// [key][query] and outputs [feature][query], so that maxima, sums and rescaling never go across a vector, and both
// products are tiles (tile.h) whose broadcast weights are the keys (packed once) and the values (as they are).
#include "engine/ops.h"
#include "engine/tile.h"
#include "engine/vecmath.h"

#include <math.h>
#include <string.h>

enum { QUERIES = 48, KEYS = 64 }; // a block of scores: 12 KiB

// in: queries [N, T, heads*d], keys [N, S, kv_heads*d], values [N, S, kv_heads*e]; out [N, T, heads*e].
typedef struct attention {
    int64_t n, t, s, heads, shared, d, e; // shared: query heads that use one key head
    int64_t q_width, k_width, v_width, o_width;
    float scale;
    bool causal;
} attention;

static attention attention_of(const engine_args *a) {
    const model_shape *q = &a->in_shape[0], *k = &a->in_shape[1], *v = &a->in_shape[2];
    const int64_t heads = op_attr(a, ATTENTION_HEADS);
    const int64_t kv_heads = op_attr(a, ATTENTION_KV_HEADS) > 0 ? op_attr(a, ATTENTION_KV_HEADS) : heads;
    const int64_t d = q->dim[2] / heads, e = v->dim[2] / kv_heads;
    const double scale = a->node->attr[ATTENTION_SCALE];
    return (attention){.n = q->dim[0],
                       .t = q->dim[1],
                       .s = k->dim[1],
                       .heads = heads,
                       .shared = heads / kv_heads,
                       .d = d,
                       .e = e,
                       .q_width = q->dim[2],
                       .k_width = k->dim[2],
                       .v_width = v->dim[2],
                       .o_width = heads * e,
                       .scale = (float)(scale != 0 ? scale : 1 / sqrt((double)d)),
                       .causal = op_attr(a, ATTENTION_CAUSAL) != 0};
}

// Parts of the scratch memory, each a whole number of cache lines. Backward uses `scores` and what follows for its two
// blocks, which is why that comes first.
typedef struct rooms {
    float *scores;             // [KEYS][QUERIES]
    float *queries, *out;      // [d][QUERIES], [e][QUERIES]
    float *top, *sum, *shrink; // [QUERIES]
    float *keys;               // [S / width][d][width], packed
    ptrdiff_t *tap, *at;       // multiples of QUERIES, and of the lanes
} rooms;

static int64_t key_floats(const attention *at) {
    return (at->s + 15) / 16 * 16 * at->d;
}

static rooms rooms_of(const attention *at, float *base) {
    rooms r = {.scores = base};
    r.queries = base + QUERIES * KEYS;
    r.out = r.queries + at->d * QUERIES;
    r.top = r.out + at->e * QUERIES;
    r.sum = r.top + QUERIES;
    r.shrink = r.sum + QUERIES;
    r.keys = r.shrink + QUERIES;
    r.tap = (ptrdiff_t *)(void *)(r.keys + key_floats(at));
    r.at = r.tap + op_max(at->d, KEYS);
    return r;
}

size_t engine_attention_scratch(const engine_args *a) {
    const attention at = attention_of(a);
    const int64_t pointers = op_max(at.d, KEYS) + QUERIES, step = (int64_t)(sizeof(ptrdiff_t) / sizeof(float));
    const int64_t forward = QUERIES * (KEYS + at.d + at.e + 3) + key_floats(&at) + pointers * step;
    const int64_t backward = 2 * QUERIES * KEYS + QUERIES;
    return (size_t)op_max(forward, backward);
}

size_t engine_attention_save(const engine_args *a) {
    const attention at = attention_of(a);
    return (size_t)(at.n * at.heads * at.t);
}

// How many of the keys [first, first + count) query `row` sees. With fewer queries than keys the queries are the last.
static int64_t keys_seen(const attention *at, int64_t row, int64_t first, int64_t count) {
    if (!at->causal) return count;
    return op_max(0, op_min(count, row + at->s - at->t + 1 - first));
}

// Takes `count` rows of scores into the running maximum and sum of each query, turning them into exp(score - maximum);
// what a query does not see (keys from seen[q] on) becomes 0.
BASE_CLONES static void soften_block(float *score, int64_t count, const int64_t *seen, bool masked, float *restrict top,
                                     float *restrict sum, float *restrict shrink) {
    float highest[QUERIES], added[QUERIES];
    for (int64_t j = 0; masked && j < count; j++)
        for (int q = 0; q < QUERIES; q++) score[j * QUERIES + q] = j < seen[q] ? score[j * QUERIES + q] : -INFINITY;
    for (int q = 0; q < QUERIES; q++) {
        highest[q] = top[q];
        added[q] = 0;
    }
    for (int64_t j = 0; j < count; j++)
        for (int q = 0; q < QUERIES; q++)
            highest[q] = score[j * QUERIES + q] > highest[q] ? score[j * QUERIES + q] : highest[q];
    // A query that has seen nothing yet has maximum -infinity; 0 stands in, so that its exp is 0 and not NaN.
    for (int q = 0; q < QUERIES; q++) {
        const float base = highest[q] > -INFINITY ? highest[q] : 0;
        shrink[q] = vec_exp(top[q] - base);
        top[q] = highest[q];
        highest[q] = base;
    }
    for (int64_t j = 0; j < count; j++)
        for (int q = 0; q < QUERIES; q++) {
            const float p = vec_exp(score[j * QUERIES + q] - highest[q]);
            score[j * QUERIES + q] = p;
            added[q] += p;
        }
    for (int q = 0; q < QUERIES; q++) sum[q] = sum[q] * shrink[q] + added[q];
}

BASE_CLONES static void shrink_rows(float *out, const float *shrink, int64_t rows) {
    for (int64_t r = 0; r < rows; r++)
        for (int q = 0; q < QUERIES; q++) out[r * QUERIES + q] *= shrink[q];
}

// The widest block of at most `left` rows: its place in unit->widths.
static int block_of(const tile_unit *u, int64_t left) {
    int i = 0;
    while (i < 2 && u->widths[i + 1] && left < u->widths[i]) i++;
    return i;
}

// y[o][q] (+)= sum over taps of weight[tap][o] x[tap][q] for `rows` outputs. The weights of row o start at
// weight + o row_step; packed: a block of width w has its taps w apart.
static void multiply(const tile_unit *u, tile_strip strip, bool load, int64_t rows, int64_t row_step, bool packed) {
    const tile_finish finish = {.load = load};
    const float *weight = strip.weight;
    float *y = strip.y;
    for (int64_t o = 0; o < rows;) {
        const int i = block_of(u, rows - o), width = u->widths[i];
        strip.weight = weight + o * row_step;
        if (packed) strip.weight_step = width;
        strip.y = y + o * QUERIES;
        strip.valid = width;
        u->strip[i](&strip, &finish);
        o += width;
    }
}

// Keys of one head as tile weights: blocks of the widths `multiply` takes, [d][width] each.
static void pack_keys(const engine_args *a, const attention *at, const tile_unit *u, int64_t n, int64_t h, float *to) {
    const float *k = a->in[1] + n * at->s * at->k_width + h * at->d;
    for (int64_t first = 0; first < at->s; first += KEYS) {
        const int64_t count = op_min(KEYS, at->s - first);
        for (int64_t o = 0; o < count;) {
            const int width = u->widths[block_of(u, count - o)];
            for (int64_t c = 0; c < at->d; c++)
                for (int64_t j = 0; j < width; j++) *to++ = k[(first + o + j) * at->k_width + c];
            o += width;
        }
    }
}

// Queries [first, first + rows) of one head, scaled and transposed; lanes without a query are 0.
static void load_queries(const engine_args *a, const attention *at, int64_t n, int64_t h, int64_t first, int64_t rows,
                         float *to) {
    const float *q = a->in[0] + (n * at->t + first) * at->q_width + h * at->d;
    for (int64_t c = 0; c < at->d; c++)
        for (int64_t i = 0; i < QUERIES; i++) to[c * QUERIES + i] = i < rows ? q[i * at->q_width + c] * at->scale : 0;
}

static void store_outputs(const engine_args *a, const attention *at, const rooms *r, int64_t n, int64_t h,
                          int64_t first, int64_t rows) {
    for (int64_t i = 0; i < rows; i++) {
        float *y = a->out[0] + (n * at->t + first + i) * at->o_width + h * at->e;
        const float sum = r->sum[i], inverse = sum > 0 ? 1 / sum : sum; // a query that sees no key gives 0; NaN stays
        for (int64_t c = 0; c < at->e; c++) y[c] = r->out[c * QUERIES + i] * inverse;
        if (a->save) a->save[(n * at->heads + h) * at->t + first + i] = r->top[i] + logf(sum);
    }
}

static void attend_block(const engine_args *a, const attention *at, const tile_unit *u, const rooms *r, int64_t n,
                         int64_t h, int64_t first, int64_t rows) {
    const float *v = a->in[2] + n * at->s * at->v_width + h / at->shared * at->e;
    tile_strip strip = {.tap = r->tap, .x_at = r->at, .y_at = r->at, .y_step = QUERIES};
    strip.vectors = (rows + u->lanes - 1) / u->lanes;
    load_queries(a, at, n, h, first, rows, r->queries);
    for (int q = 0; q < QUERIES; q++) {
        r->top[q] = -INFINITY;
        r->sum[q] = 0;
    }
    for (int64_t j = 0; j < at->s; j += KEYS) {
        const int64_t all = op_min(KEYS, at->s - j), wide = u->widths[0];
        const int64_t last = keys_seen(at, first + rows - 1, j, all),
                      count = op_min(all, (last + wide - 1) / wide * wide);
        if (count == 0) break;
        int64_t seen[QUERIES];
        for (int q = 0; q < QUERIES; q++) seen[q] = keys_seen(at, op_min(first + q, first + rows - 1), j, count);
        strip.weight = r->keys + j * at->d;
        strip.taps = at->d;
        strip.x = r->queries;
        strip.y = r->scores;
        multiply(u, strip, false, count, at->d, true);
        soften_block(r->scores, count, seen, seen[0] < count, r->top, r->sum, r->shrink);
        if (j > 0) shrink_rows(r->out, r->shrink, at->e);
        strip.weight = v + j * at->v_width;
        strip.weight_step = at->v_width;
        strip.taps = count;
        strip.x = r->scores;
        strip.y = r->out;
        multiply(u, strip, j > 0, at->e, 1, false);
    }
    store_outputs(a, at, r, n, h, first, rows);
}

void engine_attention_forward(const engine_args *a) {
    const attention at = attention_of(a);
    const rooms r = rooms_of(&at, a->scratch);
    const tile_unit *u = tile_best_unit();
    for (int64_t i = 0; i < op_max(at.d, KEYS); i++) r.tap[i] = i * QUERIES;
    for (int64_t i = 0; i < QUERIES / u->lanes; i++) r.at[i] = i * u->lanes;
    // A lane beyond the last query keeps whatever was there before; 0 is harmless.
    memset(r.scores, 0, QUERIES * KEYS * sizeof *r.scores);
    memset(r.out, 0, (size_t)at.e * QUERIES * sizeof *r.out);
    for (int64_t n = 0; n < at.n; n++)
        for (int64_t h = 0; h < at.heads; h++) {
            if (h % at.shared == 0) pack_keys(a, &at, u, n, h / at.shared, r.keys);
            for (int64_t first = 0; first < at.t; first += QUERIES)
                attend_block(a, &at, u, &r, n, h, first, op_min(QUERIES, at.t - first));
        }
}

// A row of scores to probabilities P, and of dP to dS; what is masked is 0 in both.
BASE_CLONES static void score_slopes(float *restrict p, float *restrict dp, int64_t seen, int64_t count, float lse,
                                     float mean, float scale) {
    for (int64_t j = 0; j < seen; j++) {
        p[j] = vec_exp(p[j] - lse);
        dp[j] = scale * p[j] * (dp[j] - mean);
    }
    for (int64_t j = seen; j < count; j++) p[j] = dp[j] = 0;
}

// One block of scores: P = exp(scale Q K^T - lse), dV += P^T dO, dP = dO V^T, dS = scale P (dP - D), dQ += dS K,
// dK += dS^T Q, with D = rowsum(dO O) in `mean`.
static void attend_block_backward(const engine_args *a, const attention *at, int64_t n, int64_t h, int64_t first,
                                  int64_t rows, int64_t key, int64_t count, const float *mean) {
    float *p = a->scratch, *dp = p + QUERIES * KEYS;
    const int64_t q_at = (n * at->t + first) * at->q_width + h * at->d;
    const int64_t k_at = (n * at->s + key) * at->k_width + h / at->shared * at->d;
    const int64_t v_at = (n * at->s + key) * at->v_width + h / at->shared * at->e;
    const float *dout = a->dout[0] + (n * at->t + first) * at->o_width + h * at->e;
    const float *lse = a->save + (n * at->heads + h) * at->t + first;
    num_gemm1(false, true, rows, count, at->d, at->scale, a->in[0] + q_at, at->q_width, a->in[1] + k_at, at->k_width, 0,
              p, KEYS);
    num_gemm1(false, true, rows, count, at->e, 1, dout, at->o_width, a->in[2] + v_at, at->v_width, 0, dp, KEYS);
    for (int64_t i = 0; i < rows; i++)
        score_slopes(p + i * KEYS, dp + i * KEYS, keys_seen(at, first + i, key, count), count, lse[i], mean[i],
                     at->scale);
    if (a->din[2])
        num_gemm1(true, false, count, at->e, rows, 1, p, KEYS, dout, at->o_width, 1, a->din[2] + v_at, at->v_width);
    if (a->din[0])
        num_gemm1(false, false, rows, at->d, count, 1, dp, KEYS, a->in[1] + k_at, at->k_width, 1, a->din[0] + q_at,
                  at->q_width);
    if (a->din[1])
        num_gemm1(true, false, count, at->d, rows, 1, dp, KEYS, a->in[0] + q_at, at->q_width, 1, a->din[1] + k_at,
                  at->k_width);
}

void engine_attention_backward(const engine_args *a) {
    const attention at = attention_of(a);
    float *mean = a->scratch + 2 * QUERIES * KEYS;
    for (int64_t n = 0; n < at.n; n++)
        for (int64_t h = 0; h < at.heads; h++)
            for (int64_t first = 0; first < at.t; first += QUERIES) {
                const int64_t rows = op_min(QUERIES, at.t - first);
                for (int64_t i = 0; i < rows; i++) {
                    const int64_t o = (n * at.t + first + i) * at.o_width + h * at.e;
                    mean[i] = (float)num_dot(a->dout[0] + o, a->out[0] + o, (size_t)at.e);
                }
                for (int64_t key = 0; key < at.s; key += KEYS) {
                    const int64_t count = keys_seen(&at, first + rows - 1, key, op_min(KEYS, at.s - key));
                    if (count > 0) attend_block_backward(a, &at, n, h, first, rows, key, count, mean);
                }
            }
}
