// Rotary positions and attention.
//
// Attention goes over blocks of queries and keys with the running maximum and sum of "Online normalizer calculation
// for softmax" (Milakov and Gimelshein 2018), as FlashAttention (Dao et al. 2022) does: only one block of scores
// exists at a time. Forward keeps the logarithm of each row's sum; backward computes the scores again from it.
#include "engine/ops.h"
#include "engine/vexp.h"

#include <math.h>
#include <string.h>

// ---- rotary embedding (Su et al. 2021) ---------------------------------------------------------

// Pair i of a head turns by position * base^(-2i/head_dim). Pairs are (i, i + head_dim/2), or (2i, 2i+1) interleaved.
size_t engine_rope_scratch(const engine_args *a) {
    return (size_t)(a->in_shape[0].dim[1] * op_attr(a, ROPE_HEAD_DIM));
}

// table[t][0..half) = cos, table[t][half..2 half) = sin.
static void rope_table(const engine_args *a, int64_t positions, float *table) {
    const int64_t half = op_attr(a, ROPE_HEAD_DIM) / 2;
    for (int64_t i = 0; i < half; i++) {
        const double angle = pow(a->node->attr[ROPE_BASE], -(double)i / (double)half);
        const double step_cos = cos(angle), step_sin = sin(angle);
        double c = 1, s = 0;
        for (int64_t t = 0; t < positions; t++) {
            // Steps of one position by the addition theorem, started afresh now and then to bound rounding.
            if (t % 64 == 0) {
                c = cos(angle * (double)t);
                s = sin(angle * (double)t);
            }
            table[t * 2 * half + i] = (float)c;
            table[t * 2 * half + half + i] = (float)s;
            const double next = c * step_cos - s * step_sin;
            s = s * step_cos + c * step_sin;
            c = next;
        }
    }
}

static void rope_turn(const engine_args *a, const float *from, float *to, float direction, bool add) {
    const model_shape *s = &a->in_shape[0];
    const int64_t positions = s->dim[1], width = s->dim[2], dim = op_attr(a, ROPE_HEAD_DIM), half = dim / 2;
    const bool interleaved = op_attr(a, ROPE_INTERLEAVED) != 0;
    const int64_t second = interleaved ? 1 : half, step = interleaved ? 2 : 1;
    rope_table(a, positions, a->scratch);
    for (int64_t r = 0; r < s->dim[0] * positions; r++) {
        const float *cosine = a->scratch + r % positions * dim, *sine = cosine + half;
        for (int64_t h = 0; h < width; h += dim) {
            const float *x = from + r * width + h;
            float *y = to + r * width + h;
            for (int64_t i = 0; i < half; i++) {
                const float u = x[i * step], v = x[i * step + second], turn = direction * sine[i];
                const float p = u * cosine[i] - v * turn, q = u * turn + v * cosine[i];
                y[i * step] = add ? y[i * step] + p : p;
                y[i * step + second] = add ? y[i * step + second] + q : q;
            }
        }
    }
}

void engine_rope_forward(const engine_args *a) {
    rope_turn(a, a->in[0], a->out[0], 1, false);
}

void engine_rope_backward(const engine_args *a) {
    if (a->din[0]) rope_turn(a, a->dout[0], a->din[0], -1, true);
}

// ---- attention (Vaswani et al. 2017; grouped queries: Ainslie et al. 2023) ----------------------

enum { QUERIES = 64, KEYS = 128 }; // block of scores: 32 KiB

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

size_t engine_attention_scratch(const engine_args *a) {
    const attention at = attention_of(a);
    // Two blocks of scores, a block of outputs, and three numbers a query.
    return (size_t)(2 * QUERIES * KEYS + QUERIES * at.e + 3 * QUERIES);
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

// Takes a row of `count` scores into the running maximum, sum and output; what is masked becomes 0.
static void soften_row(float *score, int64_t seen, int64_t count, float *top, float *sum, float *out, int64_t e) {
    const float largest = vexp_max(score, seen), highest = largest > *top ? largest : *top;
    const float shrink = expf(*top - highest); // 0 at first, when *top is -infinity
    const float added = vexp_row(score, seen, highest);
    for (int64_t j = seen; j < count; j++) score[j] = 0;
    if (shrink != 1)
        for (int64_t j = 0; j < e; j++) out[j] *= shrink;
    *sum = *sum * shrink + added;
    *top = highest;
}

// Queries [first, first + rows) of one head.
static void attend_block(const engine_args *a, const attention *at, int64_t n, int64_t h, int64_t first, int64_t rows) {
    float *score = a->scratch, *out = score + 2 * QUERIES * KEYS, *top = out + QUERIES * at->e, *sum = top + QUERIES;
    const float *q = a->in[0] + (n * at->t + first) * at->q_width + h * at->d;
    const float *k = a->in[1] + n * at->s * at->k_width + h / at->shared * at->d;
    const float *v = a->in[2] + n * at->s * at->v_width + h / at->shared * at->e;
    memset(out, 0, (size_t)(rows * at->e) * sizeof *out);
    for (int64_t i = 0; i < rows; i++) {
        top[i] = -INFINITY;
        sum[i] = 0;
    }
    for (int64_t j = 0; j < at->s; j += KEYS) {
        const int64_t count = keys_seen(at, first + rows - 1, j, op_min(KEYS, at->s - j));
        if (count == 0) break;
        num_gemm1(false, true, rows, count, at->d, at->scale, q, at->q_width, k + j * at->k_width, at->k_width, 0,
                  score, KEYS);
        for (int64_t i = 0; i < rows; i++) {
            const int64_t seen = keys_seen(at, first + i, j, count);
            if (seen > 0)
                soften_row(score + i * KEYS, seen, count, &top[i], &sum[i], out + i * at->e, at->e);
            else
                memset(score + i * KEYS, 0, (size_t)count * sizeof *score);
        }
        num_gemm1(false, false, rows, at->e, count, 1, score, KEYS, v + j * at->v_width, at->v_width, 1, out, at->e);
    }
    for (int64_t i = 0; i < rows; i++) {
        float *y = a->out[0] + (n * at->t + first + i) * at->o_width + h * at->e;
        const float inverse = sum[i] > 0 ? 1 / sum[i] : sum[i]; // a query that sees no key gives 0; NaN stays
        for (int64_t j = 0; j < at->e; j++) y[j] = out[i * at->e + j] * inverse;
        if (a->save) a->save[(n * at->heads + h) * at->t + first + i] = top[i] + logf(sum[i]);
    }
}

void engine_attention_forward(const engine_args *a) {
    const attention at = attention_of(a);
    for (int64_t n = 0; n < at.n; n++)
        for (int64_t h = 0; h < at.heads; h++)
            for (int64_t first = 0; first < at.t; first += QUERIES)
                attend_block(a, &at, n, h, first, op_min(QUERIES, at.t - first));
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
    for (int64_t i = 0; i < rows; i++) {
        const int64_t seen = keys_seen(at, first + i, key, count);
        float *row = p + i * KEYS, *drow = dp + i * KEYS;
        vexp_row(row, seen, lse[i]);
        memset(row + seen, 0, (size_t)(count - seen) * sizeof *row);
        for (int64_t j = 0; j < count; j++) drow[j] = at->scale * row[j] * (drow[j] - mean[i]);
    }
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
