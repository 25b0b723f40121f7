// Direct convolution: the sums over all taps of a block of output channels stay in registers (conv_tile.h) while the
// input is read from where it is, or from a copy laid out so that every tap's values for neighbouring output positions
// are neighbours. This beats unfolding and multiplying for the few channels of small networks, where a product is too
// thin to pay for packing (Georganas et al. 2018, "Anatomy of high-performance deep learning convolutions").
#include "engine/conv.h"
#include "engine/conv_tile.h"

#include <string.h>

// A part of the channels is worked on at a time: its copy must stay in the second-level cache and a block's packed
// weights in the first.
enum { COPY_FLOATS = 160 * 1024, MOST_TAPS = 1152 };

// How the input is read.
//   PLAIN: 1x1, stride 1, no padding: as it is.
//   ROWS:  stride 1 and rows of whole vectors: one zero-padded copy; a tap is a shift in it.
//   FLAT:  otherwise: for each kernel column a copy already shifted, strided and padded sideways, its rows dealt out by
//          (row mod stride), so that the positions of all rows are consecutive for every tap.
typedef enum layout { PLAIN, ROWS, FLAT } layout;

typedef struct plan {
    const conv_unit *unit;
    layout layout;
    int64_t positions, vectors, channels; // channels worked on at a time
    int64_t rows, pitch, phases;          // of a copied plane
    int64_t plane;                        // floats read per channel
} plan;

static plan plan_of(const conv_shape *s) {
    plan p = {.unit = conv_best_unit(), .positions = s->oh * s->ow};
    const bool padded = s->oh * s->sh != s->h || s->ow * s->sw != s->w || s->top || s->left;
    p.vectors = (p.positions + p.unit->lanes - 1) / p.unit->lanes;
    if (s->kh == 1 && s->kw == 1 && s->sh == 1 && s->sw == 1 && !padded) {
        p.layout = PLAIN;
        p.plane = p.positions;
    } else if (s->sh == 1 && s->sw == 1 && s->ow % p.unit->lanes == 0) {
        p.layout = ROWS;
        p.rows = s->oh + (s->kh - 1) * s->dh;
        p.pitch = s->ow + (s->kw - 1) * s->dw;
        p.plane = p.rows * p.pitch;
    } else {
        p.layout = FLAT;
        p.phases = s->dh == 1 ? op_min(s->sh, s->kh) : s->sh;
        p.rows = s->oh + (s->kh - 1) * s->dh / s->sh;
        p.pitch = s->ow;
        p.plane = s->kw * p.phases * p.rows * p.pitch;
    }
    const int64_t taps = s->kh * s->kw;
    int64_t most = op_max(1, MOST_TAPS / taps);
    if (p.layout != PLAIN) most = op_max(1, op_min(most, COPY_FLOATS / p.plane));
    const int64_t parts = (s->cg + most - 1) / most;
    p.channels = (s->cg + parts - 1) / parts;
    return p;
}

bool conv_direct_fits(const conv_shape *s) {
    return s->oh * s->ow >= conv_best_unit()->lanes;
}

// ---- packed weights: per group, per block of output channels, [taps x width] ---------------------

// The widest block that is filled at least halfway by what is left; the narrowest otherwise.
static int block_width(const conv_unit *u, int64_t left, int *index) {
    int i = 0;
    while (i < 2 && u->widths[i + 1] && left <= u->widths[i + 1]) i++;
    *index = i;
    return u->widths[i];
}

size_t conv_direct_packed(const conv_shape *s) {
    const conv_unit *u = conv_best_unit();
    int64_t columns = 0;
    int index;
    for (int64_t o = 0; o < s->og;) {
        const int width = block_width(u, s->og - o, &index);
        columns += width;
        o += width;
    }
    return (size_t)(s->groups * columns * s->k);
}

void conv_direct_pack(const conv_shape *s, const float *weight, float *packed) {
    const conv_unit *u = conv_best_unit();
    int index;
    for (int64_t g = 0; g < s->groups; g++, weight += s->og * s->k)
        for (int64_t o = 0; o < s->og;) {
            const int width = block_width(u, s->og - o, &index);
            for (int64_t t = 0; t < s->k; t++)
                for (int64_t j = 0; j < width; j++) *packed++ = o + j < s->og ? weight[(o + j) * s->k + t] : 0;
            o += width;
        }
}

// ---- the copy ----------------------------------------------------------------------------------

// Values x0, x0 + step, ... of a line of w values, zero outside: `count` of them.
static void copy_line(float *to, const float *line, int64_t w, int64_t x0, int64_t step, int64_t count) {
    int64_t first = x0 >= 0 ? 0 : (-x0 + step - 1) / step;
    int64_t last = x0 >= w ? 0 : (w - x0 + step - 1) / step; // one past the last inside
    first = op_min(first, count);
    last = op_max(first, op_min(last, count));
    for (int64_t i = 0; i < first; i++) to[i] = 0;
    if (step == 1)
        memcpy(to + first, line + x0 + first, (size_t)(last - first) * sizeof *to);
    else
        for (int64_t i = first; i < last; i++) to[i] = line[x0 + i * step];
    for (int64_t i = last; i < count; i++) to[i] = 0;
}

// Rows y0, y0 + step, ... of a plane.
static void copy_plane(const conv_shape *s, const plan *p, const float *x, int64_t y0, int64_t x0, float *to) {
    const int64_t step = p->layout == ROWS ? 1 : s->sh;
    for (int64_t r = 0; r < p->rows; r++, to += p->pitch) {
        const int64_t y = y0 + r * step;
        if (y < 0 || y >= s->h)
            memset(to, 0, (size_t)p->pitch * sizeof *to);
        else
            copy_line(to, x + y * s->w, s->w, x0, p->layout == ROWS ? 1 : s->sw, p->pitch);
    }
}

static void copy_channels(const conv_shape *s, const plan *p, const float *x, int64_t channels, float *to) {
    for (int64_t c = 0; c < channels; c++, x += s->h * s->w) {
        if (p->layout == ROWS) {
            copy_plane(s, p, x, -s->top, -s->left, to + c * p->plane);
            continue;
        }
        float *part = to + c * p->plane;
        for (int64_t j = 0; j < s->kw; j++)
            for (int64_t phase = 0; phase < p->phases; phase++, part += p->rows * p->pitch)
                copy_plane(s, p, x, phase - s->top, j * s->dw - s->left, part);
    }
}

// Where each tap's values stand from a position's.
static void place_taps(const conv_shape *s, const plan *p, ptrdiff_t *tap) {
    for (int64_t c = 0; c < p->channels; c++)
        for (int64_t i = 0; i < s->kh; i++)
            for (int64_t j = 0; j < s->kw; j++) {
                const int64_t y = i * s->dh;
                *tap = c * p->plane;
                if (p->layout == ROWS) *tap += y * p->pitch + j * s->dw;
                if (p->layout == FLAT) *tap += ((j * p->phases + y % s->sh) * p->rows + y / s->sh) * p->pitch;
                tap++;
            }
}

// Vectors of positions: the last one of a plane that is no whole number of them stands back and computes some positions
// again (see run_tail).
static void place_vectors(const conv_shape *s, const plan *p, ptrdiff_t *x_at, ptrdiff_t *y_at) {
    for (int64_t v = 0; v < p->vectors; v++) {
        const int64_t at = op_min(v * p->unit->lanes, p->positions - p->unit->lanes);
        y_at[v] = at;
        x_at[v] = p->layout == ROWS ? at / s->ow * p->pitch + at % s->ow : at;
    }
}

// ---- running -----------------------------------------------------------------------------------

static int64_t whole_lines(int64_t floats) {
    return (floats + 15) / 16 * 16;
}

size_t conv_direct_scratch(const conv_shape *s) {
    const plan p = plan_of(s);
    const int64_t copy = p.layout == PLAIN ? 0 : whole_lines(p.plane * p.channels);
    const int64_t offsets = (p.channels * s->kh * s->kw + 2 * p.vectors) * (int64_t)(sizeof(ptrdiff_t) / sizeof(float));
    return (size_t)(copy + whole_lines(offsets));
}

// The vector that stands back over positions already done: it works in a block of its own, from which only the new
// positions are taken, because adding to an output twice would be wrong.
static void run_tail(const plan *p, conv_strip strip, conv_finish f, int unit_width) {
    const int64_t lanes = p->unit->lanes, at = (p->vectors - 1) * lanes, fresh = p->positions - at;
    const size_t bytes = (size_t)fresh * sizeof(float);
    const ptrdiff_t zero = 0, *x_at = strip.x_at + p->vectors - 1;
    float block[8 * 16], add[8 * 16] = {0}, *y = strip.y + at;
    memset(block, 0, sizeof block);
    for (int o = 0; o < strip.valid; o++) {
        float *to = block + o * lanes + lanes - fresh;
        if (f.load) memcpy(to, y + o * p->positions, bytes);
        if (f.add) memcpy(add + (to - block), f.add + at + o * p->positions, bytes);
    }
    if (f.add) f.add = add;
    strip.x_at = x_at;
    strip.y_at = &zero;
    strip.y = block;
    strip.y_step = lanes;
    strip.vectors = 1;
    p->unit->strip[unit_width](&strip, &f);
    for (int o = 0; o < strip.valid; o++) memcpy(y + o * p->positions, block + o * lanes + lanes - fresh, bytes);
}

// All output channels of a group from `channels` input channels of which c0 is the first.
static void run_blocks(const conv_shape *s, const plan *p, conv_strip strip, conv_finish f, const float *packed,
                       int64_t c0) {
    const int64_t taps = s->kh * s->kw;
    const bool ragged = p->positions % p->unit->lanes != 0;
    float *y = strip.y;
    if (ragged) strip.vectors--;
    const float *bias = f.bias, *scale = f.scale, *shift = f.shift, *add = f.add;
    for (int64_t o = 0; o < s->og;) {
        int index;
        const int width = block_width(p->unit, s->og - o, &index);
        strip.weight = packed + c0 * taps * width;
        strip.y = y + o * p->positions;
        strip.valid = (int)op_min(width, s->og - o);
        f.bias = bias ? bias + o : NULL;
        f.scale = scale ? scale + o : NULL;
        f.shift = shift ? shift + o : NULL;
        f.add = add ? add + o * p->positions : NULL;
        p->unit->strip[index](&strip, &f);
        if (ragged) run_tail(p, strip, f, index);
        packed += s->k * width;
        o += width;
    }
}

void conv_direct(const conv_shape *s, const float *x, const float *packed, const conv_finish *finish, float *y,
                 float *scratch) {
    const plan p = plan_of(s);
    const size_t group_packed = conv_direct_packed(s) / (size_t)s->groups;
    float *copy = scratch;
    ptrdiff_t *tap = (ptrdiff_t *)(void *)(scratch + (p.layout == PLAIN ? 0 : whole_lines(p.plane * p.channels)));
    ptrdiff_t *x_at = tap + p.channels * s->kh * s->kw, *y_at = x_at + p.vectors;
    place_taps(s, &p, tap);
    place_vectors(s, &p, x_at, y_at);
    for (int64_t n = 0; n < s->n; n++)
        for (int64_t g = 0; g < s->groups; g++)
            for (int64_t c0 = 0; c0 < s->cg; c0 += p.channels) {
                const int64_t channels = op_min(p.channels, s->cg - c0);
                const int64_t out_at = (n * s->oc + g * s->og) * p.positions;
                const float *from = x + (n * s->c + g * s->cg + c0) * s->h * s->w;
                const bool last = c0 + channels == s->cg;
                if (p.layout != PLAIN) copy_channels(s, &p, from, channels, copy);
                const conv_strip strip = {.tap = tap,
                                          .taps = channels * s->kh * s->kw,
                                          .x = p.layout == PLAIN ? from : copy,
                                          .x_at = x_at,
                                          .y_at = y_at,
                                          .vectors = p.vectors,
                                          .y = y + out_at,
                                          .y_step = p.positions};
                const conv_finish f = {.load = c0 > 0,
                                       .bias = finish->bias ? finish->bias + g * s->og : NULL,
                                       .scale = last && finish->scale ? finish->scale + g * s->og : NULL,
                                       .shift = last && finish->shift ? finish->shift + g * s->og : NULL,
                                       .add = last && finish->add ? finish->add + out_at : NULL,
                                       .relu = last && finish->relu};
                run_blocks(s, &p, strip, f, packed + (size_t)g * group_packed, c0);
            }
}
