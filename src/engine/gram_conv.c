// gram_conv: the second moment of a 3x3 convolution's patches (stride 1, a border of one) without the patches.
//
// Tap (i, j) of channel c reads the plane moved by (i - 1, j - 1), so that the entry for taps (i, j) and (i', j') of
// channels c and c' is nearly the correlation of the two planes at a distance of (i' - i, j' - j) alone: 13 products of
// planes instead of 81 / 2 of patches. Nearly, because a tap off the middle does not see the plane's last (or first)
// row or column. That matters only where both taps miss the same one, i = i' or j = j' (elsewhere the other tap's value
// lies outside of the plane and is 0): what that row or column adds to the correlation is taken off again, and what
// their corner adds is then taken off once too often.
#include "engine/conv.h"
#include "engine/exec.h"

#include <stdlib.h>
#include <string.h>

enum { SHIFTS = 13, TABLES = SHIFTS + 6 + 6 + 4, PARTS = 16, MOST_FLOATS = 1 << 18, LEAST_LENGTH = 2048 };
// Tables of a part, [channels x channels] each: correlations at (0, 0..2), (1, -2..2), (2, -2..2); of the last and the
// first row at 0..2; of the last and the first column at 0..2; of the four corners.
enum { ROWS_AT = SHIFTS, COLUMNS_AT = SHIFTS + 6, CORNERS_AT = SHIFTS + 12 };

typedef struct gram_conv_run {
    const conv_shape *s;
    const float *x;
    int64_t images, parts, pitch, plane; // of a plane with two zero rows and columns behind it
    int64_t batch, length;               // images side by side; floats of a channel
    int64_t room;                        // floats of a worker: planes, a border, a product
    float *memory;
    double *table; // [groups x parts x TABLES x cg x cg]
    float *h;
} gram_conv_run;

static int64_t whole_vectors(int64_t n) {
    return (n + 15) / 16 * 16;
}

static void sizes(gram_conv_run *r) {
    const conv_shape *s = r->s;
    r->pitch = s->w + 2;
    r->plane = (s->h + 2) * r->pitch;
    r->batch = r->plane < LEAST_LENGTH ? (LEAST_LENGTH + r->plane - 1) / r->plane : 1;
    r->length = whole_vectors(r->batch * r->plane);
    r->parts = r->images < PARTS ? r->images : PARTS;
}

bool gram_conv_fits(const conv_shape *s) {
    gram_conv_run r = {.s = s, .images = 1};
    sizes(&r);
    return s->kh == 3 && s->kw == 3 && s->sh == 1 && s->sw == 1 && s->dh == 1 && s->dw == 1 && s->top == 1 &&
           s->left == 1 && s->oh == s->h && s->ow == s->w && s->cg >= 4 && s->cg * r.length <= MOST_FLOATS;
}

// table += the products of all channels with all channels `shift` further on.
static void add_product(const gram_conv_run *r, const float *x, int64_t length, int64_t shift, float *product,
                        double *table) {
    const int64_t c = r->s->cg;
    tile_best_unit()->dots(product, x, x + shift, c, c, length);
    for (int64_t i = 0; i < c * c; i++) table[i] += (double)product[i];
}

// Of each channel `count` values `step` apart in each image, from `first` on; each image's are followed by two zeros.
static int64_t take_border(const gram_conv_run *r, const float *planes, int64_t images, int64_t first, int64_t step,
                           int64_t count, float *border) {
    const int64_t length = whole_vectors(images * (count + 2));
    memset(border, 0, (size_t)(r->s->cg * length + 16) * sizeof *border);
    for (int64_t c = 0; c < r->s->cg; c++)
        for (int64_t n = 0; n < images; n++) {
            const float *from = planes + c * r->length + n * r->plane + first;
            float *to = border + c * length + n * (count + 2);
            for (int64_t i = 0; i < count; i++) to[i] = from[i * step];
        }
    return length;
}

static void add_batch(const gram_conv_run *r, const float *planes, int64_t images, float *border, float *product,
                      double *table) {
    const conv_shape *s = r->s;
    const int64_t square = s->cg * s->cg, low = (s->h - 1) * r->pitch, right = s->w - 1;
    double *t = table;
    for (int64_t dy = 0; dy < 3; dy++)
        for (int64_t dx = dy ? -2 : 0; dx < 3; dx++, t += square)
            add_product(r, planes, r->length, dy * r->pitch + dx, product, t);
    const int64_t first[] = {low, 0, right, 0}, step[] = {1, 1, r->pitch, r->pitch}, count[] = {s->w, s->w, s->h, s->h};
    for (int k = 0; k < 4; k++) {
        const int64_t length = take_border(r, planes, images, first[k], step[k], count[k], border);
        for (int64_t d = 0; d < 3; d++, t += square) add_product(r, border, length, d, product, t);
    }
    const int64_t corner[] = {low + right, low, right, 0};
    for (int k = 0; k < 4; k++, t += square) {
        const int64_t length = take_border(r, planes, images, corner[k], 1, 1, border);
        add_product(r, border, length, 0, product, t);
    }
}

// Images of one part and group, a batch at a time: channels one after another, the images of each side by side.
static bool part_item(void *context, int64_t item, int worker, base_err *err) {
    (void)err;
    gram_conv_run *r = context;
    const conv_shape *s = r->s;
    const int64_t group = item / r->parts, part = item % r->parts, square = s->cg * s->cg;
    float *planes = r->memory + worker * r->room, *border = planes + s->cg * r->length + r->pitch * 3,
          *product = planes + r->room - square;
    const int64_t end = r->images * (part + 1) / r->parts;
    for (int64_t n = r->images * part / r->parts; n < end; n += r->batch) {
        const int64_t images = op_min(r->batch, end - n);
        memset(planes, 0, (size_t)(s->cg * r->length + r->pitch * 3) * sizeof *planes);
        for (int64_t k = 0; k < images; k++)
            for (int64_t c = 0; c < s->cg; c++)
                tile_best_unit()->copy(planes + c * r->length + k * r->plane,
                                       r->x + ((n + k) * s->c + group * s->cg + c) * s->h * s->w, s->h, s->w, r->pitch,
                                       s->w);
        add_batch(r, planes, images, border, product, r->table + item * TABLES * square);
    }
    return true;
}

// Entry (c, e) of a table of distances 0.. at a distance that may be negative: the other way round.
static double one_way(const double *tables, int64_t channels, int64_t c, int64_t e, int64_t distance) {
    const double *t = tables + (distance < 0 ? -distance : distance) * channels * channels;
    return distance < 0 ? t[e * channels + c] : t[c * channels + e];
}

static double entry(const double *t, int64_t channels, int64_t c, int64_t i, int64_t j, int64_t e, int64_t i2,
                    int64_t j2) {
    const int64_t square = channels * channels, dy = i2 - i, dx = j2 - j;
    const bool back = dy < 0 || (dy == 0 && dx < 0);
    const int64_t down = back ? -dy : dy, across = back ? -dx : dx;
    const int64_t which = down ? 3 + (down - 1) * 5 + across + 2 : across;
    double sum = back ? t[which * square + e * channels + c] : t[which * square + c * channels + e];
    const bool row = i == i2 && i != 1, column = j == j2 && j != 1;
    if (row) sum -= one_way(t + (ROWS_AT + (i ? 3 : 0)) * square, channels, c, e, dx);
    if (column) sum -= one_way(t + (COLUMNS_AT + (j ? 3 : 0)) * square, channels, c, e, dy);
    if (row && column) sum += t[(CORNERS_AT + i + j / 2) * square + c * channels + e];
    return sum;
}

// The rows of one channel's taps, from the sums over all parts (in the tables of the first).
static bool channel_item(void *context, int64_t item, int worker, base_err *err) {
    (void)worker, (void)err;
    gram_conv_run *r = context;
    const int64_t cg = r->s->cg, k = r->s->k, group = item / cg, c = item % cg;
    const double *t = r->table + group * r->parts * TABLES * cg * cg, rows = (double)(r->images * r->s->oh * r->s->ow);
    for (int64_t a = 0; a < 9; a++)
        for (int64_t e = 0; e < cg; e++)
            for (int64_t b = 0; b < 9; b++) {
                const int64_t at = c * 9 + a, to = e * 9 + b;
                if (to < at) continue;
                const double sum = entry(t, cg, c, a / 3, a % 3, e, b / 3, b % 3);
                r->h[(group * k + at) * k + to] = r->h[(group * k + to) * k + at] = (float)(sum / rows);
            }
    return true;
}

static bool sum_item(void *context, int64_t item, int worker, base_err *err) {
    (void)worker, (void)err;
    gram_conv_run *r = context;
    const int64_t square = r->s->cg * r->s->cg, group = item / TABLES, which = item % TABLES;
    double *first = r->table + (group * r->parts * TABLES + which) * square;
    for (int64_t p = 1; p < r->parts; p++)
        for (int64_t i = 0; i < square; i++) first[i] += first[p * TABLES * square + i];
    return true;
}

bool gram_conv(const conv_shape *s, const float *x, int64_t images, float *h, base_job *job, base_err *err) {
    gram_conv_run r = {.s = s, .x = x, .images = images, .h = h};
    sizes(&r);
    const int64_t square = s->cg * s->cg, line = op_max(s->h, s->w) + 2;
    r.room = whole_vectors(s->cg * (r.length + whole_vectors(r.batch * line)) + r.pitch * 3 + 32 + square);
    r.memory = base_big_alloc((size_t)(exec_workers() * r.room), sizeof *r.memory, "planes of inputs", err);
    r.table = r.memory ? base_big_alloc((size_t)(s->groups * r.parts * TABLES * square), sizeof *r.table,
                                        "second moments", err)
                       : NULL;
    bool ok = r.table && exec_parallel(s->groups * r.parts, part_item, &r, job, err) &&
              exec_parallel(s->groups * TABLES, sum_item, &r, job, err) &&
              exec_parallel(s->groups * s->cg, channel_item, &r, job, err);
    base_big_free(r.table);
    base_big_free(r.memory);
    return ok;
}
