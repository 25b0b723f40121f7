// Direct convolution: the sums over all taps of a block of output channels stay in registers (tile.h) while the
// input is read from where it is, or from a copy laid out so that every tap's values for neighbouring output positions
// are neighbours. This beats unfolding and multiplying for the few channels of small networks, where a product is too
// thin to pay for packing (Georganas et al. 2018, "Anatomy of high-performance deep learning convolutions").
#include "engine/conv.h"
#include "engine/tile.h"

#include <string.h>

// A part of the channels is worked on at a time: its copy must stay in the second-level cache (FLAT, where it is
// several times the input: in the first) and a block's packed weights in the first. Measured best for ResNet-20.
enum { ROWS_FLOATS = 160 * 1024, FLAT_FLOATS = 12 * 1024, MOST_TAPS = 1152 };

// How the input is read.
//   PLAIN: 1x1, stride 1, no padding: as it is.
//   ROWS:  stride 1 and rows of whole vectors: one zero-padded copy; a tap is a shift in it.
//   FLAT:  otherwise: for each kernel column a copy already shifted, strided and padded sideways, its rows dealt out by
//          (row mod stride), so that the positions of all rows are consecutive for every tap.
typedef enum layout { PLAIN, ROWS, FLAT } layout;

typedef struct plan {
    const tile_unit *unit;
    layout layout;
    int64_t positions, vectors, channels; // channels worked on at a time
    int64_t rows, pitch, phases;          // of a copied plane
    int64_t plane;                        // floats read per channel
    bool padded;                          // FLAT made from one padded plane, [reach_h x reach_w]
    int64_t reach_h, reach_w;             // input positions the kernel reaches
} plan;

static plan plan_of(const conv_shape *s) {
    plan p = {.unit = tile_best_unit(), .positions = s->oh * s->ow};
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
        p.padded = s->sh > 1 || s->sw > 1 || s->ow != s->w;
        p.reach_h = (s->oh - 1) * s->sh + (s->kh - 1) * s->dh + 1;
        p.reach_w = (s->ow - 1) * s->sw + (s->kw - 1) * s->dw + 1;
    }
    const int64_t taps = s->kh * s->kw;
    int64_t most = op_max(1, MOST_TAPS / taps);
    if (p.layout != PLAIN) most = op_max(1, op_min(most, (p.layout == ROWS ? ROWS_FLOATS : FLAT_FLOATS) / p.plane));
    const int64_t parts = (s->cg + most - 1) / most;
    p.channels = (s->cg + parts - 1) / parts;
    return p;
}

bool conv_direct_fits(const conv_shape *s) {
    return s->oh * s->ow >= tile_best_unit()->lanes;
}

// ---- packed weights: per group, per block of output channels, [taps x width] ---------------------

// The widest block that is filled at least halfway by what is left; the narrowest otherwise.
static int block_width(const tile_unit *u, int64_t left, int *index) {
    int i = 0;
    while (i < 2 && u->widths[i + 1] && left <= u->widths[i + 1]) i++;
    *index = i;
    return u->widths[i];
}

size_t conv_direct_packed(const conv_shape *s) {
    const tile_unit *u = tile_best_unit();
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
    const tile_unit *u = tile_best_unit();
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

// Moves the part of a plane that the kernel reaches to a padded one whose border is zero already.
static void place_plane(const conv_shape *s, const tile_unit *u, const float *x, float *to, int64_t rows,
                        int64_t pitch) {
    const int64_t h = op_min(s->h, rows - s->top), w = op_min(s->w, pitch - s->left);
    if (h > 0 && w > 0) u->copy(to + s->top * pitch + s->left, x, h, w, pitch, s->w);
}

// FLAT at stride 1 with as many columns out as in: the whole plane moves as one run, and what comes in from the
// neighbouring rows at the sides is cleared. Rows above and below are zero already.
static void shift_plane(const conv_shape *s, const plan *p, const float *x, int64_t shift, float *to) {
    const int64_t h = op_min(s->h, p->rows - s->top), from = op_max(0, shift), count = h * s->w;
    if (h <= 0) return;
    to += s->top * s->w;
    memcpy(to + from - shift, x + from, (size_t)op_max(0, count - (shift < 0 ? -shift : shift)) * sizeof *to);
    for (int64_t r = 0; r < h; r++, to += s->w) {
        for (int64_t i = 0; i < op_min(-shift, s->w); i++) to[i] = 0;
        for (int64_t i = op_max(0, s->w - shift); i < s->w; i++) to[i] = 0;
    }
}

static void copy_channel(const conv_shape *s, const plan *p, const float *x, float *to, float *padded) {
    const int64_t size = p->rows * p->pitch;
    if (p->layout == ROWS) {
        place_plane(s, p->unit, x, to, p->rows, p->pitch);
        return;
    }
    if (!p->padded) {
        for (int64_t j = 0; j < s->kw; j++) shift_plane(s, p, x, j * s->dw - s->left, to + j * size);
        return;
    }
    place_plane(s, p->unit, x, padded, p->reach_h, p->reach_w);
    for (int64_t j = 0; j < s->kw; j++)
        for (int64_t phase = 0; phase < p->phases; phase++, to += size) {
            const int64_t rows = op_min(p->rows, (p->reach_h - phase + s->sh - 1) / s->sh);
            p->unit->pick(to, padded + phase * p->reach_w + j * s->dw, rows, p->pitch, s->sw, s->sh * p->reach_w);
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

// Where the whole vectors of positions stand.
static void place_vectors(const conv_shape *s, const plan *p, ptrdiff_t *x_at, ptrdiff_t *y_at) {
    for (int64_t v = 0; v < p->vectors; v++) {
        const int64_t at = v * p->unit->lanes;
        y_at[v] = at;
        x_at[v] = p->layout == ROWS ? at / s->ow * p->pitch + at % s->ow : at;
    }
}

// ---- running -----------------------------------------------------------------------------------

static int64_t whole_lines(int64_t floats) {
    return (floats + 15) / 16 * 16;
}

// Copies are written, and padded planes read, in whole vectors that may reach past their end by this much.
enum { SLACK = 64 };

static int64_t copy_floats(const plan *p) {
    return p->layout == PLAIN ? 0 : whole_lines(p->plane * p->channels + SLACK);
}

static int64_t padded_floats(const plan *p) {
    return p->padded ? whole_lines(p->reach_h * p->reach_w + SLACK) : 0;
}

size_t conv_direct_scratch(const conv_shape *s) {
    const plan p = plan_of(s);
    const int64_t offsets = (p.channels * s->kh * s->kw + 2 * p.vectors) * (int64_t)(sizeof(ptrdiff_t) / sizeof(float));
    return (size_t)(copy_floats(&p) + padded_floats(&p) + whole_lines(offsets));
}

// The vector that stands back over positions already done: it works in a block of its own, from which only the new
// positions are taken, because adding to an output twice would be wrong.
static void run_tail(const plan *p, tile_strip strip, tile_finish f, int unit_width) {
    const int64_t lanes = p->unit->lanes, at = (p->vectors - 1) * lanes, fresh = p->positions - at;
    const size_t bytes = (size_t)fresh * sizeof(float);
    const ptrdiff_t back = p->positions - lanes, zero = 0; // a ragged plane is read by position
    float block[8 * 16], add[8 * 16] = {0}, *y = strip.y + at;
    memset(block, 0, sizeof block);
    for (int o = 0; o < strip.valid; o++) {
        float *to = block + o * lanes + lanes - fresh;
        if (f.load) memcpy(to, y + o * p->positions, bytes);
        if (f.add) memcpy(add + (to - block), f.add + at + o * p->positions, bytes);
    }
    if (f.add) f.add = add;
    strip.x_at = &back;
    strip.y_at = &zero;
    strip.y = block;
    strip.y_step = lanes;
    strip.vectors = 1;
    p->unit->strip[unit_width](&strip, &f);
    for (int o = 0; o < strip.valid; o++) memcpy(y + o * p->positions, block + o * lanes + lanes - fresh, bytes);
}

// Vectors of positions that all output channels are computed for in turn, so that what they read stays in cache.
static int64_t group_vectors(const plan *p, int64_t taps) {
    const int64_t fit = 8192 / (taps * p->unit->lanes) / 12 * 12;
    return op_max(12, fit);
}

// All output channels of a group from input channels of which c0 is the first.
static void run_blocks(const conv_shape *s, const plan *p, const tile_strip *all, const tile_finish *finish,
                       const float *packed, int64_t c0) {
    const bool ragged = p->positions % p->unit->lanes != 0;
    const int64_t whole = p->vectors - ragged, group = group_vectors(p, all->taps);
    for (int64_t v = 0; v < p->vectors; v += group) {
        for (int64_t o = 0; o < s->og;) {
            int index;
            const int width = block_width(p->unit, s->og - o, &index);
            tile_strip strip = *all;
            tile_finish f = *finish;
            strip.weight = packed + (o * s->k + c0 * s->kh * s->kw * width);
            strip.weight_step = width;
            strip.x_at += v;
            strip.y_at += v;
            strip.vectors = op_max(0, op_min(group, whole - v));
            strip.y += o * p->positions;
            strip.valid = (int)op_min(width, s->og - o);
            if (f.bias) f.bias += o;
            if (f.scale) f.scale += o;
            if (f.shift) f.shift += o;
            if (f.add) f.add += o * p->positions;
            p->unit->strip[index](&strip, &f);
            if (ragged && v + group >= p->vectors) run_tail(p, strip, f, index);
            o += width;
        }
    }
}

void conv_direct(const conv_shape *s, const float *x, const float *packed, const tile_finish *finish, float *y,
                 float *scratch) {
    const plan p = plan_of(s);
    const size_t group_packed = conv_direct_packed(s) / (size_t)s->groups;
    float *copy = scratch; // its borders are zero from here on, because every image and channel fills the same places
    float *padded = copy + copy_floats(&p);
    ptrdiff_t *tap = (ptrdiff_t *)(void *)(padded + padded_floats(&p));
    ptrdiff_t *x_at = tap + p.channels * s->kh * s->kw, *y_at = x_at + p.vectors;
    memset(scratch, 0, (size_t)(copy_floats(&p) + padded_floats(&p)) * sizeof *scratch);
    place_taps(s, &p, tap);
    place_vectors(s, &p, x_at, y_at);
    for (int64_t n = 0; n < s->n; n++)
        for (int64_t g = 0; g < s->groups; g++)
            for (int64_t c0 = 0; c0 < s->cg; c0 += p.channels) {
                const int64_t channels = op_min(p.channels, s->cg - c0);
                const int64_t out_at = (n * s->oc + g * s->og) * p.positions;
                const float *from = x + (n * s->c + g * s->cg + c0) * s->h * s->w;
                const bool last = c0 + channels == s->cg;
                for (int64_t c = 0; p.layout != PLAIN && c < channels; c++)
                    copy_channel(s, &p, from + c * s->h * s->w, copy + c * p.plane, padded);
                const tile_strip strip = {.tap = tap,
                                          .taps = channels * s->kh * s->kw,
                                          .x = p.layout == PLAIN ? from : copy,
                                          .x_at = x_at,
                                          .y_at = y_at,
                                          .vectors = p.vectors,
                                          .y = y + out_at,
                                          .y_step = p.positions};
                const tile_finish f = {.load = c0 > 0,
                                       .bias = finish->bias ? finish->bias + g * s->og : NULL,
                                       .scale = last && finish->scale ? finish->scale + g * s->og : NULL,
                                       .shift = last && finish->shift ? finish->shift + g * s->og : NULL,
                                       .add = last && finish->add ? finish->add + out_at : NULL,
                                       .relu = last && finish->relu};
                run_blocks(s, &p, &strip, &f, packed + (size_t)g * group_packed, c0);
            }
}
