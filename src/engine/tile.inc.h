// Body of one tile_unit, included by tile.c once for each vector unit with
//   LANES  floats in a vector, NAME(x) its functions' names, TARGET their attribute,
//   EVENS  0, 2, ... for every second value of two vectors,
//   MANY   1 where 32 vector registers exist (24 sums in a tile), else 0 (12).

typedef float NAME(vec) __attribute__((vector_size(LANES * 4)));
typedef int32_t NAME(bits) __attribute__((vector_size(LANES * 4)));
typedef float NAME(mem) __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

// WIDTH channels by COUNT vectors; both are constants where this is inlined, so the sums stay in registers.
TARGET static inline __attribute__((always_inline)) void NAME(tile)(const tile_strip *s, const tile_finish *f,
                                                                    int64_t at, const int WIDTH, const int COUNT) {
    NAME(vec) sum[8][8];
    const float *x[8], *weight = s->weight;
    const ptrdiff_t *tap = s->tap;
    const int64_t weight_step = s->weight_step;
#pragma GCC unroll 8
    for (int v = 0; v < COUNT; v++) {
        x[v] = s->x + s->x_at[at + v];
#pragma GCC unroll 8
        for (int o = 0; o < WIDTH; o++) {
            const NAME(vec) zero = {0};
            sum[o][v] = zero;
            if (o >= s->valid) continue;
            if (f->load)
                sum[o][v] = *(const NAME(mem) *)(s->y + s->y_at[at + v] + o * s->y_step);
            else if (f->bias)
                sum[o][v] = zero + f->bias[o];
        }
    }
    for (int64_t t = 0; t < s->taps; t++, weight += weight_step) {
        NAME(vec) in[8];
#pragma GCC unroll 8
        for (int v = 0; v < COUNT; v++) in[v] = *(const NAME(mem) *)(x[v] + tap[t]);
#pragma GCC unroll 8
        for (int o = 0; o < WIDTH; o++)
#pragma GCC unroll 8
            for (int v = 0; v < COUNT; v++) sum[o][v] += weight[o] * in[v];
    }
#pragma GCC unroll 8
    for (int o = 0; o < WIDTH; o++) {
        if (o >= s->valid) break;
#pragma GCC unroll 8
        for (int v = 0; v < COUNT; v++) {
            const ptrdiff_t place = s->y_at[at + v] + o * s->y_step;
            NAME(vec) y = sum[o][v];
            if (f->scale) y = y * f->scale[o] + f->shift[o];
            if (f->add) y += *(const NAME(mem) *)(f->add + place);
            if (f->relu) {
                const NAME(vec) zero = {0};
                y = (NAME(vec))((NAME(bits))y & ~(y < zero)); // keeps NaN, so that it is seen
            }
            *(NAME(mem) *)(s->y + place) = y;
        }
    }
}

#define TILE(width, count)                                                                                             \
    TARGET static __attribute__((noinline)) void NAME(tile_##width##_##count)(const tile_strip *s,                     \
                                                                              const tile_finish *f, int64_t at) {      \
        NAME(tile)(s, f, at, width, count);                                                                            \
    }

// All vectors of a strip in tiles of `most`, the last ones split so that no tile is left with a single vector where
// that can be helped.
#define STRIP(width, most, less, least)                                                                                \
    TARGET static void NAME(strip_##width)(const tile_strip *s, const tile_finish *f) {                                \
        int64_t at = 0;                                                                                                \
        for (; s->vectors - at >= most + (most == 3 ? 2 : 0) || s->vectors - at == most; at += most)                   \
            NAME(tile_##width##_##most)(s, f, at);                                                                     \
        for (; s->vectors - at >= less; at += less) NAME(tile_##width##_##less)(s, f, at);                             \
        for (; s->vectors - at >= least; at += least) NAME(tile_##width##_##least)(s, f, at);                          \
    }

#if MANY
TILE(8, 3)
TILE(8, 2)
TILE(8, 1)
STRIP(8, 3, 2, 1)
TILE(4, 6)
TILE(4, 3)
TILE(4, 1)
STRIP(4, 6, 3, 1)
TILE(1, 8)
TILE(1, 4)
TILE(1, 1)
STRIP(1, 8, 4, 1)
#define WIDTHS                                                                                                         \
    {8, 4, 1}, {                                                                                                       \
        NAME(strip_8), NAME(strip_4), NAME(strip_1)                                                                    \
    }
#else
TILE(4, 3)
TILE(4, 2)
TILE(4, 1)
STRIP(4, 3, 2, 1)
TILE(1, 8)
TILE(1, 4)
TILE(1, 1)
STRIP(1, 8, 4, 1)
#define WIDTHS                                                                                                         \
    {4, 1, 0}, {                                                                                                       \
        NAME(strip_4), NAME(strip_1), NULL                                                                             \
    }
#endif

TARGET static void NAME(copy)(float *to, const float *from, int64_t rows, int64_t count, int64_t to_pitch,
                              int64_t from_pitch) {
    for (; rows-- > 0; to += to_pitch, from += from_pitch) {
        int64_t i = 0;
        for (; i + LANES <= count; i += LANES) *(NAME(mem) *)(to + i) = *(const NAME(mem) *)(from + i);
        if (i == count) continue;
        if (count > LANES)
            *(NAME(mem) *)(to + count - LANES) = *(const NAME(mem) *)(from + count - LANES);
        else
            for (; i < count; i++) to[i] = from[i];
    }
}

TARGET static void NAME(pick)(float *to, const float *from, int64_t rows, int64_t count, int64_t step,
                              int64_t from_pitch) {
    for (; rows-- > 0; to += count, from += from_pitch) {
        if (step == 1)
            for (int64_t i = 0; i < count; i += LANES) *(NAME(mem) *)(to + i) = *(const NAME(mem) *)(from + i);
        else if (step == 2)
            for (int64_t i = 0; i < count; i += LANES) {
                const NAME(vec) low = *(const NAME(mem) *)(from + 2 * i);
                const NAME(vec) high = *(const NAME(mem) *)(from + 2 * i + LANES);
                *(NAME(mem) *)(to + i) = __builtin_shufflevector(low, high, EVENS);
            }
        else
            for (int64_t i = 0; i < count; i++) to[i] = from[i * step];
    }
}

// ROWS by OUTS dot products at once, in vectors of partial sums.
TARGET static inline __attribute__((always_inline)) void NAME(dot)(float *y, const float *x, const float *w, int64_t in,
                                                                   int64_t y_step, const int ROWS, const int OUTS) {
    NAME(vec) sum[4][4];
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
        for (int o = 0; o < OUTS; o++) sum[r][o] = (NAME(vec)){0};
    int64_t i = 0;
    for (; i + LANES <= in; i += LANES) {
        NAME(vec) wide[4];
#pragma GCC unroll 4
        for (int o = 0; o < OUTS; o++) wide[o] = *(const NAME(mem) *)(w + o * in + i);
#pragma GCC unroll 4
        for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
            for (int o = 0; o < OUTS; o++) sum[r][o] += wide[o] * *(const NAME(mem) *)(x + r * in + i);
    }
#pragma GCC unroll 4
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
        for (int o = 0; o < OUTS; o++) {
            float total = 0;
            for (int64_t k = i; k < in; k++) total += x[r * in + k] * w[o * in + k];
            for (int j = 0; j < LANES; j++) total += sum[r][o][j];
            y[r * y_step + o] = total;
        }
}

#define DOT(rows, outs)                                                                                                \
    TARGET static __attribute__((noinline)) void NAME(dot_##rows##_##outs)(float *y, const float *x, const float *w,   \
                                                                           int64_t in, int64_t y_step) {               \
        NAME(dot)(y, x, w, in, y_step, rows, outs);                                                                    \
    }
DOT(4, 4)
DOT(2, 4)
DOT(1, 4)
DOT(4, 1)
DOT(2, 1)
DOT(1, 1)

TARGET static void NAME(dots)(float *y, const float *x, const float *w, int64_t rows, int64_t outs, int64_t in) {
    for (int64_t o = 0; o < outs;) {
        const bool four = outs - o >= 4;
        int64_t r = 0;
        for (; r + 4 <= rows; r += 4)
            (four ? NAME(dot_4_4) : NAME(dot_4_1))(y + r * outs + o, x + r * in, w + o * in, in, outs);
        for (; r + 2 <= rows; r += 2)
            (four ? NAME(dot_2_4) : NAME(dot_2_1))(y + r * outs + o, x + r * in, w + o * in, in, outs);
        for (; r < rows; r++)
            (four ? NAME(dot_1_4) : NAME(dot_1_1))(y + r * outs + o, x + r * in, w + o * in, in, outs);
        o += four ? 4 : 1;
    }
}

TARGET static void NAME(affine)(float *y, const float *x, float scale, float shift, int64_t count) {
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        const NAME(vec) v = *(const NAME(mem) *)(x + i);
        *(NAME(mem) *)(y + i) = v * scale + shift;
    }
    for (; i < count; i++) y[i] = x[i] * scale + shift;
}

static const tile_unit NAME(unit) = {UNIT_NAME, LANES, WIDTHS, NAME(copy), NAME(pick), NAME(dots), NAME(affine)};

#undef TILE
#undef STRIP
#undef DOT
#undef WIDTHS
#undef LANES
#undef NAME
#undef TARGET
#undef MANY
#undef UNIT_NAME
#undef EVENS
