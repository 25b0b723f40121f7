// Private to engine/: the inner kernels of direct convolution and attention, one set for each kind of vector unit.
//
// A tile is `width` output channels by some vectors of output positions, held in registers over all taps. A tap is one
// (channel, kh, kw) of a convolution, or one term of a product: its weight is broadcast, and its input vector stands at
// a fixed offset from the position's, because the caller lays the input out so (conv_direct.c, op_attention.c).
#ifndef VISE_ENGINE_TILE_H
#define VISE_ENGINE_TILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// What to do with the sums of one block of output channels before they are stored.
typedef struct tile_finish {
    bool load;                  // start from what the output holds (a later part of the taps), else from the bias
    const float *bias;          // [valid], or NULL: 0
    const float *scale, *shift; // [valid] y = y scale + shift, or NULL
    const float *add;           // same places as the output: y = y + add, or NULL
    bool relu;
} tile_finish;

typedef struct tile_strip {
    const float *weight; // [taps x width], one tap after weight_step floats
    int64_t weight_step;
    const ptrdiff_t *tap; // [taps] offset of a tap's input from the position's
    int64_t taps;
    const float *x;               // + x_at[v] + tap[t]
    const ptrdiff_t *x_at, *y_at; // [vectors] where the vectors of positions stand
    int64_t vectors;
    float *y; // + y_at[v] + channel * y_step
    int64_t y_step;
    int valid; // channels of the block that exist, <= width
} tile_strip;

typedef struct tile_unit {
    const char *name;
    int lanes;     // floats in a vector
    int widths[3]; // block widths, descending, 0 ends
    // Runs all vectors of a strip for the block width widths[i].
    void (*strip[3])(const tile_strip *s, const tile_finish *f);
    // Rows of `count` values from one pitch to another.
    void (*copy)(float *to, const float *from, int64_t rows, int64_t count, int64_t to_pitch, int64_t from_pitch);
    // Rows of every step-th value, `count` of them, packed; reads and writes whole vectors, so up to 2 lanes and 1
    // lane too far.
    void (*pick)(float *to, const float *from, int64_t rows, int64_t count, int64_t step, int64_t from_pitch);
    // y[r][o] = sum over i of x[r][i] w[o][i]: for so few rows that w, `in` wide, is read once and that is the cost.
    void (*dots)(float *y, const float *x, const float *w, int64_t rows, int64_t outs, int64_t in);
    // y = x scale + shift, rounded as in tile_finish.
    void (*affine)(float *y, const float *x, float scale, float shift, int64_t count);
} tile_unit;

// Those this CPU can run, the best first; NULL after the last.
const tile_unit *tile_unit_at(int i);
const tile_unit *tile_best_unit(void);

#endif
