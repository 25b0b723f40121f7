// Every vector unit this CPU can run, not only the one it would choose: strips of all block widths and vector counts,
// with all that may be done before storing, copies, picks and dot products, against plain loops.
#include "engine/tile.h"
#include "tests/engine/nets.h"

enum { TAPS = 7, VECTORS = 11, PITCH = 16 * VECTORS + 8 };

static void check_strip(const tile_unit *u, int which, int64_t vectors, int valid, const tile_finish *f) {
    const int width = u->widths[which];
    float weight[TAPS * 8], x[2 * PITCH], y[8 * PITCH], add[8 * PITCH], want[8 * PITCH];
    ptrdiff_t tap[TAPS], at[VECTORS];
    support_fill(weight, TAPS * 8, 1);
    support_fill(x, 2 * PITCH, 2);
    support_fill(y, 8 * PITCH, 3);
    support_fill(add, 8 * PITCH, 4);
    memcpy(want, y, sizeof y);
    for (int t = 0; t < TAPS; t++) tap[t] = (t * 5) % 9;
    for (int64_t v = 0; v < vectors; v++) at[v] = v * u->lanes;
    tile_finish finish = *f;
    if (f->add) finish.add = add;
    const tile_strip strip = {.weight = weight,
                              .weight_step = width,
                              .tap = tap,
                              .taps = TAPS,
                              .x = x,
                              .x_at = at,
                              .y_at = at,
                              .vectors = vectors,
                              .y = y,
                              .y_step = PITCH,
                              .valid = valid};
    for (int o = 0; o < valid; o++)
        for (int64_t p = 0; p < vectors * u->lanes; p++) {
            double sum = f->load ? (double)want[o * PITCH + p] : f->bias ? (double)f->bias[o] : 0;
            for (int t = 0; t < TAPS; t++) sum += (double)weight[t * width + o] * (double)x[p + tap[t]];
            if (f->scale) sum = sum * (double)f->scale[o] + (double)f->shift[o];
            if (f->add) sum += (double)add[o * PITCH + p];
            want[o * PITCH + p] = (float)(f->relu && sum < 0 ? 0 : sum);
        }
    u->strip[which](&strip, &finish);
    if (support_max_diff(y, want, 8 * PITCH) > 2e-6) fail_msg("%s: width %d, %d vectors", u->name, width, (int)vectors);
}

static void test_strips(void **state) {
    (void)state;
    const float a[8] = {0.3f, -1, 2, 0.7f, -0.2f, 1.5f, -0.4f, 0.1f}, b[8] = {1, 0.5f, -0.6f, 0, 2, -1, 0.25f, 3};
    const tile_finish finishes[] = {
        {.bias = a},
        {.load = true, .relu = true},
        {.bias = b, .scale = a, .shift = b},
        {.scale = b, .shift = a, .add = a, .relu = true}, // add: any pointer, replaced by one that fits
    };
    const tile_unit *u;
    for (int i = 0; (u = tile_unit_at(i)); i++)
        for (int w = 0; w < 3 && u->widths[w]; w++)
            for (int64_t vectors = 0; vectors <= VECTORS; vectors++)
                for (int f = 0; f < 4; f++)
                    check_strip(u, w, vectors, f % 2 ? u->widths[w] : (u->widths[w] + 1) / 2, &finishes[f]);
}

static void test_moves(void **state) {
    (void)state;
    float from[2000], to[2000];
    const tile_unit *u;
    support_fill(from, 2000, 7);
    for (int i = 0; (u = tile_unit_at(i)); i++)
        for (int64_t count = 1; count < 40; count++) {
            memset(to, 0, sizeof to);
            u->copy(to + 3, from + 1, 5, count, 50, 45);
            for (int64_t r = 0; r < 5; r++)
                for (int64_t k = 0; k < 50; k++) {
                    const float want = k < count ? from[1 + r * 45 + k] : 0;
                    assert_true(to[3 + r * 50 + k] == want);
                }
            for (int64_t step = 1; step < 4; step++) {
                u->pick(to, from, 4, count, step, 150);
                for (int64_t k = 0; k < 4 * count; k++) assert_true(to[k] == from[k / count * 150 + k % count * step]);
            }
        }
}

static void test_dots(void **state) {
    (void)state;
    float x[7 * 70], w[9 * 70], y[7 * 9], z[70];
    const tile_unit *u;
    support_fill(x, 7 * 70, 1);
    support_fill(w, 9 * 70, 2);
    for (int i = 0; (u = tile_unit_at(i)); i++) {
        for (int64_t in = 1; in <= 70; in += 3)
            for (int64_t rows = 1; rows <= 7; rows++) {
                u->dots(y, x, w, rows, 9, in);
                for (int64_t k = 0; k < rows * 9; k++) {
                    double sum = 0;
                    for (int64_t j = 0; j < in; j++) sum += (double)x[k / 9 * in + j] * (double)w[k % 9 * in + j];
                    assert_true(fabs((double)y[k] - sum) < 5e-6);
                }
            }
        u->affine(z, x, 1.5f, -0.25f, 70);
        for (int k = 0; k < 70; k++) assert_true(fabsf(z[k] - (x[k] * 1.5f - 0.25f)) < 2e-7f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_strips), cmocka_unit_test(test_moves),
                                       cmocka_unit_test(test_dots)};
    return cmocka_run_group_tests_name("tile", tests, NULL, NULL);
}
