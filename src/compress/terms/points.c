// Points term: runs of eight weights as points of the lattice E8 itself, without a bound on their length, for storage
// by an entropy coder (code{}). A bit a run says whether its point is whole or half-integer; each of the two kinds has
// arrays of its own, since their coordinates are distributed differently: the whole parts of seven coordinates, and
// half of the eighth, whose parity the others give. Scales a row or one for the layer.
#include "compress/types/lattice.h"

#include <string.h>

enum { HALF, CODES, LAST, HALF_CODES, HALF_LAST, SCALES, FREE = POINTS_LENGTH - 1 };

static lattice_runs runs_of(const term *t) {
    bool by_row = t->attr[POINTS_ALONG] == 0;
    return (lattice_runs){t->rows, t->cols, by_row ? POINTS_LENGTH : 1, POINTS_LENGTH, by_row};
}

static bool is_half(const term *t, int64_t run) {
    return ((const uint8_t *)t->blob[HALF].data)[run / 8] >> (run % 8) & 1;
}

static bool check(const term *t, base_err *err) {
    lattice_runs l = runs_of(t);
    int64_t count = lattice_run_count(&l), bits = t->attr[POINTS_BITS], halves = 0;
    if (t->stored != t->rows * t->cols) return base_fail(err, "a points term cannot stand inside a sparse one");
    if (!codes_check(t, HALF, count, 1, err)) return false;
    for (int64_t i = 0; i < count; i++) halves += is_half(t, i);
    return codes_check(t, CODES, FREE * (count - halves), bits, err) &&
           codes_check(t, LAST, count - halves, bits, err) && codes_check(t, HALF_CODES, FREE * halves, bits, err) &&
           codes_check(t, HALF_LAST, halves, bits, err) && row_scales_check(t, SCALES, err);
}

// Symbols from `first` on.
static void symbols_at(const term *t, int index, int64_t first, int64_t count, uint8_t *out) {
    codes_unpack(t->blob[index].data, first, count, t->attr[POINTS_BITS], UNIFORM_SYM, out);
}

static bool decode(const term *t, float *out, base_err *err) {
    lattice_runs l = runs_of(t);
    int64_t n = t->blob[SCALES].count, count = lattice_run_count(&l), next[2] = {0, 0};
    int low = (int)t->attr[POINTS_LOW];
    float *scales = base_big_alloc((size_t)n, sizeof *scales, "scales of a layer", err), values[POINTS_LENGTH];
    if (!scales) return false;
    num_to_f32(t->blob[SCALES].dtype, t->blob[SCALES].data, scales, (size_t)n);
    for (int64_t i = 0; i < count; i++) {
        uint8_t symbol[FREE], last;
        int sum = 0, half = is_half(t, i);
        symbols_at(t, half ? HALF_CODES : CODES, FREE * next[half], FREE, symbol);
        symbols_at(t, half ? HALF_LAST : LAST, next[half]++, 1, &last);
        float move = half ? 0.5f : 0;
        for (int k = 0; k < FREE; k++) {
            int y = symbol[k] + low;
            sum += y;
            values[k] = (float)y + move;
        }
        values[FREE] = (float)(2 * (last + low) + (sum & 1)) + move;
        lattice_add(&l, i, scales, n, values, out);
    }
    base_big_free(scales);
    return true;
}

static void describe(const term *t, base_buf *b) {
    base_buf_printf(b, "e8 points%s", t->attr[POINTS_ALONG] ? " down columns" : "");
}

const term_kind term_points = {
    .name = "points",
    .help = "runs of eight weights as points of the lattice E8",
    .attr = {{"bits", 1, 8, NULL}, {"along", 0, 1, "row|column"}, {"low", -128, 0, NULL}},
    .blob = {"half", "codes", "last", "half_codes", "half_last", "scales"},
    .check = check,
    .decode = decode,
    .describe = describe,
};

static int floor_half(int v) {
    return (v - (v & 1)) / 2;
}

term *term_points_new(const lattice_runs *l, const uint16_t *words, const float *scales, int64_t scale_count,
                      num_dtype dtype, base_err *err) {
    int64_t count = lattice_run_count(l), bits = 1;
    int low = 0, high = 0;
    for (int64_t i = 0; i < count; i++)
        for (int k = 0; k < POINTS_LENGTH; k++) {
            int y = (int16_t)words[i * POINTS_WORDS + k];
            if (k == FREE) y = floor_half(y);
            low = y < low ? y : low;
            high = y > high ? y : high;
        }
    while (high - low >= 1 << bits) bits++;
    BASE_CHECK(bits <= 8 && low >= -128);
    uint16_t *symbol = base_big_alloc((size_t)count * (POINTS_LENGTH + 1), sizeof *symbol, "lattice points", err);
    if (!symbol) return NULL;
    // Whole points from the front of each stretch, half-integer ones behind them.
    uint16_t *last = symbol + FREE * count, *half = last + count;
    int64_t halves = 0, next[2] = {0, 0};
    for (int64_t i = 0; i < count; i++) halves += half[i] = words[i * POINTS_WORDS + POINTS_LENGTH];
    int64_t whole = next[1] = count - halves;
    for (int64_t i = 0; i < count; i++) {
        const uint16_t *w = words + i * POINTS_WORDS;
        int64_t at = next[half[i]]++;
        for (int k = 0; k < FREE; k++) symbol[FREE * at + k] = (uint16_t)((int16_t)w[k] - low);
        last[at] = (uint16_t)(floor_half((int16_t)w[FREE]) - low);
    }
    term *t = term_new(&term_points, l->rows, l->cols);
    t->attr[POINTS_BITS] = bits;
    t->attr[POINTS_ALONG] = !l->by_row;
    t->attr[POINTS_LOW] = low;
    bool ok = codes_store(t, HALF, half, count, 1, err) && codes_store(t, CODES, symbol, FREE * whole, bits, err) &&
              codes_store(t, LAST, last, whole, bits, err) &&
              codes_store(t, HALF_CODES, symbol + FREE * whole, FREE * halves, bits, err) &&
              codes_store(t, HALF_LAST, last + whole, halves, bits, err) &&
              row_scales_store(t, SCALES, scales, scale_count, dtype, err);
    base_big_free(symbol);
    if (ok) return t;
    term_free(t);
    return NULL;
}
