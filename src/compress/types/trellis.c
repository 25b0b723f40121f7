// trellis: bitshift trellis codes for Gaussian weights and their Viterbi search.
//
// Tseng, Sun, Hou, De Sa: QTIP (NeurIPS 2024, arXiv 2406.11235), section 3: state s_t = the last L bits of the stream,
// which moves by k bits a step, each state standing for a pseudo-random value. Values without a stored table:
// 1mad and 3inst are the paper's algorithms 1 and 2 (one value a step); hyb is its section 3.3: a hash of the state
// names one of 512 pairs and the sign of the first of the two. The authors' pairs come of k-means over normal samples;
// here they lie on a golden spiral of the same density, which needs no table in the file. normal gives the 2^L normal
// quantiles in a fixed pseudo-random order, which is the random permutation trellis code the paper compares with (Mao
// and Gray, "Rate-constrained trellis source codes", 2010) and serves several values a step, so k / values bits a
// weight are any fraction (Lee et al., Q-Palette, arXiv 2509.20214: trellis codes at fractional bits).
#include "compress/types/lattice.h"
#include "compress/types/scalar.h"

#include <math.h>
#include <string.h>

// ---- values of states ----------------------------------------------------------------------------

static float value_1mad(uint32_t s) {
    uint32_t x = s * 34038481u + 76625530u;
    uint32_t sum = (x & 255) + (x >> 8 & 255) + (x >> 16 & 255) + (x >> 24);
    return ((float)sum - 510) / 147.8005f;
}

static float value_3inst(uint32_t s) {
    uint32_t x = ((s * 89226354u + 64248484u) & 0x8fff8fffu) ^ 0x3b603b60u;
    return num_f16_to_f32((uint16_t)(x >> 16)) + num_f16_to_f32((uint16_t)x);
}

// QTIP's quantlut_sym: bits 6 .. 14 of s (s + 1) name the pair, bit 15 turns the first of it.
static float value_hyb(uint32_t s, int which) {
    enum { PAIRS = 512 };
    uint32_t x = s * (s + 1);
    double place = x >> 6 & (PAIRS - 1), golden = 2.399963229728653; // pi (3 - sqrt 5)
    double radius = sqrt(-2 * log(1 - (place + 0.5) / PAIRS)), angle = place * golden;
    if (which) return (float)(radius * sin(angle));
    return (float)(x >> 15 & 1 ? -radius * cos(angle) : radius * cos(angle));
}

// A permutation of 0 .. 2^bits - 1: odd multiples and shifts to the right are invertible modulo 2^bits.
static uint32_t shuffled(uint32_t s, int bits, int which) {
    static const uint32_t factor[TRELLIS_MOST_VALUES][2] = {
        {0x9e3779b1u, 0x85ebca6bu}, {0xc2b2ae35u, 0x27d4eb2fu}, {0x165667b1u, 0xd3a2646du}, {0xfd7046c5u, 0xb55a4f09u}};
    uint32_t mask = (uint32_t)((1ull << bits) - 1);
    int shift = (bits + 1) / 2;
    for (int turn = 0; turn < 2; turn++) {
        s = (s * factor[which][turn] + 0x7f4a7c15u * (uint32_t)(which + 1)) & mask;
        s ^= s >> shift;
    }
    return s;
}

static void fill(trellis_code *t) {
    int64_t n = (int64_t)1 << t->bits;
    for (int v = 0; v < t->values; v++) {
        float *value = t->value + v * n;
        double sum = 0;
        for (int64_t s = 0; s < n; s++) {
            if (t->form == TRELLIS_NORMAL)
                value[s] = (float)scalar_normal_quantile(((double)shuffled((uint32_t)s, t->bits, v) + 0.5) / (double)n);
            else if (t->form == TRELLIS_HYB)
                value[s] = value_hyb((uint32_t)s, v);
            else
                value[s] = t->form == TRELLIS_1MAD ? value_1mad((uint32_t)s) : value_3inst((uint32_t)s);
            sum += (double)value[s] * (double)value[s];
        }
        float over = (float)(1 / sqrt(sum / (double)n));
        for (int64_t s = 0; s < n; s++) value[s] *= over;
    }
}

bool trellis_open(trellis_code *t, int form, int bits, int step, int values, base_err *err) {
    *t = (trellis_code){form, bits, step, values, NULL};
    if (step < 1 || step > TRELLIS_MOST_STEP || bits < step || bits > TRELLIS_MOST_BITS || values < 1 ||
        values > TRELLIS_MOST_VALUES)
        return base_fail(err,
                         "a trellis of %d state bits, %d a step for %d values: expected at most %d, 1 to %d, 1 to %d",
                         bits, step, values, TRELLIS_MOST_BITS, TRELLIS_MOST_STEP, TRELLIS_MOST_VALUES);
    if (form == TRELLIS_HYB && (values != 2 || bits < TRELLIS_HYB_LEAST))
        return base_fail(err, "code hyb gives two values a step and needs %d state bits, not %d and %d",
                         TRELLIS_HYB_LEAST, values, bits);
    if (values > 1 && form != TRELLIS_NORMAL && form != TRELLIS_HYB)
        return base_fail(err, "codes 1mad and 3inst give one value a step, not %d (code=\"normal\" gives more)",
                         values);
    t->value = base_big_alloc((size_t)values << bits, sizeof *t->value, "the values of a trellis code", err);
    if (t->value) fill(t);
    return t->value != NULL;
}

void trellis_close(trellis_code *t) {
    base_big_free(t->value);
    t->value = NULL;
}

// ---- Viterbi -------------------------------------------------------------------------------------

// State s comes from (p << (bits - step)) | (s >> step) for any p < 2^step. All loops run over neighbouring states:
// about 2^bits (values + 2) operations a step. With 12 state bits the costs and values (32 kB) stay in the first cache
// and arithmetic bounds the search; with 14 and more (512 kB at 16) reading them from the second cache does.

size_t trellis_room(const trellis_code *t, int64_t steps) {
    size_t n = (size_t)1 << t->bits, before = n >> t->step;
    return (n + before) * sizeof(float) + (size_t)steps * before +
           (size_t)steps * (size_t)t->values * 2 * sizeof(float) + (size_t)steps * sizeof(uint16_t) + 64;
}

BASE_CLONES static void best_before(const float *cost, int64_t n, int64_t choices, float *best, uint8_t *from) {
    memcpy(best, cost, (size_t)n * sizeof *best);
    memset(from, 0, (size_t)n);
    for (int64_t p = 1; p < choices; p++) {
        const float *c = cost + p * n;
        uint8_t name = (uint8_t)p;
        for (int64_t u = 0; u < n; u++) {
            from[u] = c[u] < best[u] ? name : from[u];
            best[u] = c[u] < best[u] ? c[u] : best[u];
        }
    }
}

BASE_CLONES static void distances(const float *value, int64_t n, float x, float w, bool first, float *cost) {
    if (first)
        for (int64_t s = 0; s < n; s++) cost[s] = w * ((value[s] - x) * (value[s] - x));
    else
        for (int64_t s = 0; s < n; s++) cost[s] += w * ((value[s] - x) * (value[s] - x));
}

// cost[u * choices + j] += best[u]; one loop a number of choices, so that the inner one is unrolled.
BASE_CLONES static void add_before(const float *best, int64_t n, int64_t choices, float *cost) {
    if (choices == 2)
        for (int64_t u = 0; u < n; u++)
            for (int j = 0; j < 2; j++) cost[u * 2 + j] += best[u];
    else if (choices == 4)
        for (int64_t u = 0; u < n; u++)
            for (int j = 0; j < 4; j++) cost[u * 4 + j] += best[u];
    else if (choices == 8)
        for (int64_t u = 0; u < n; u++)
            for (int j = 0; j < 8; j++) cost[u * 8 + j] += best[u];
    else
        for (int64_t u = 0; u < n; u++)
            for (int64_t j = 0; j < choices; j++) cost[u * choices + j] += best[u];
}

static void price(const trellis_code *t, const float *x, const float *weight, float *cost) {
    int64_t n = (int64_t)1 << t->bits;
    for (int v = 0; v < t->values; v++) distances(t->value + v * n, n, x[v], weight[v], v == 0, cost);
}

double trellis_viterbi(const trellis_code *t, int64_t steps, const float *x, const float *weight, int64_t overlap,
                       uint16_t *states, void *room) {
    int64_t n = (int64_t)1 << t->bits, before = n >> t->step, choices = (int64_t)1 << t->step;
    float *cost = room, *best = cost + n;
    uint8_t *from = (uint8_t *)(best + before);
    price(t, x, weight, cost);
    for (int64_t s = 0; overlap >= 0 && s < n; s++)
        if (s >> t->step != overlap) cost[s] = INFINITY;
    for (int64_t i = 1; i < steps; i++) {
        best_before(cost, before, choices, best, from + i * before);
        price(t, x + i * t->values, weight + i * t->values, cost);
        add_before(best, before, choices, cost);
    }
    int64_t end = overlap >= 0 ? overlap : 0;
    for (int64_t s = 0; s < n; s++)
        if ((overlap < 0 || (s & (before - 1)) == overlap) && cost[s] < cost[end]) end = s;
    double total = (double)cost[end];
    for (int64_t i = steps - 1; i >= 0; i--) {
        states[i] = (uint16_t)end;
        if (i) end = (int64_t)from[i * before + (end >> t->step)] << (t->bits - t->step) | end >> t->step;
    }
    return total;
}

double trellis_encode(const trellis_code *t, int64_t steps, const float *x, const float *weight, uint16_t *codes,
                      void *room) {
    int64_t half = steps / 2, count = steps * t->values, shift = half * t->values;
    int64_t before = (int64_t)1 << (t->bits - t->step);
    BASE_CHECK(steps * t->step >= t->bits);
    size_t n = (size_t)1 << t->bits, tables = (n + (n >> t->step)) * sizeof(float) + (size_t)(steps * before);
    float *turned = (float *)((uint8_t *)room + (tables + 15) / 16 * 16), *heavy = turned + count;
    uint16_t *states = (uint16_t *)(heavy + count);
    for (int64_t i = 0; i < count; i++) {
        turned[i] = x[(i + shift) % count];
        heavy[i] = weight[(i + shift) % count];
    }
    trellis_viterbi(t, steps, turned, heavy, -1, states, room);
    int64_t overlap = states[steps - 1 - half] & (before - 1); // what stands before the first step
    double cost = trellis_viterbi(t, steps, x, weight, overlap, states, room);
    for (int64_t i = 0; i < steps; i++) codes[i] = (uint16_t)(states[i] & ((1 << t->step) - 1));
    return cost;
}

void trellis_decode(const trellis_code *t, int64_t steps, const uint16_t *codes, float *out) {
    int64_t n = (int64_t)1 << t->bits, lead = (t->bits + t->step - 1) / t->step;
    uint32_t state = 0, mask = (uint32_t)(n - 1);
    for (int64_t i = -lead; i < steps; i++) {
        int64_t at = i < 0 ? (i % steps + steps) % steps : i;
        state = (state << t->step | codes[at]) & mask;
        for (int v = 0; i >= 0 && v < t->values; v++) out[i * t->values + v] = t->value[v * n + state];
    }
}
