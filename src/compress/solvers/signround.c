// signround: rounding and clipping learned by signs of gradients (AutoRound: Cheng et al., EMNLP Findings 2024, arXiv
// 2309.05516, section 3 and equation 3).
//
// A code is clamp(round(w / s + v) + z) with v in [-1/2, 1/2] a weight, s = (high b - low a) / (2^bits - 1) and
// z = round(-low a / s) for factors a and b in [0, 1] a group; all of them move by rate * sign(gradient), the rate
// falling from 1 / iterations to 0, rounding counting as the identity in the gradient. The authors draw batches of
// inputs; here the whole calibration set enters through H. The best iterate of each row is kept (theirs: of the block).
// On levels that are not even (tables, signs, ternary) v counts in distances of the two levels around w / s, and the
// range has one factor, as a symmetric grid has.
#include "compress/solvers/learn.h"
#include "compress/solvers/levels.h"

#include <math.h>
#include <string.h>

typedef struct sign_work {
    learn_tile *t;
    float *v;                 // [rows x cols]
    float *t_of;              // [rows x cols] w / s + v before rounding and clamping, as a code
    float *low, *high;        // [rows x per_row] the range that rounding to nearest has; of uneven levels their scales
    float *a, *b;             // [rows x per_row] its factors
    const level_list *levels; // NULL: an even grid
} sign_work;

static int64_t room_per_row(const solver_problem *p) {
    int64_t per_row = uniform_groups_per_row(p->cols, p->grid.group);
    return 2 * p->cols + 4 * (per_row ? per_row : 1);
}

static void open_work(sign_work *k) {
    learn_tile *t = k->t;
    int64_t n = t->rows * t->p->cols, m = t->rows * t->per_row;
    k->v = t->room;
    k->t_of = k->v + n;
    k->low = k->t_of + n;
    k->high = k->low + m;
    k->a = k->high + m;
    k->b = k->a + m;
    memset(k->v, 0, (size_t)n * sizeof *k->v);
    float top = (float)grid_max_code(&t->p->grid);
    for (int64_t i = 0; i < m; i++) {
        k->low[i] = k->levels ? t->zeros[i] : -t->zeros[i] * t->scales[i];
        k->high[i] = k->levels ? t->scales[i] : (top - t->zeros[i]) * t->scales[i];
        k->a[i] = k->b[i] = 1;
    }
}

// Scales and zeros of the factors. A symmetric grid has one factor, b, and its zero stays.
static void set_grids(const sign_work *k) {
    learn_tile *t = k->t;
    const grid_spec *g = &t->p->grid;
    float top = (float)grid_max_code(g);
    for (int64_t i = 0; i < t->rows * t->per_row && !t->fixed; i++) {
        if (k->levels) {
            t->scales[i] = learn_stored_scale(g, k->high[i] * k->b[i]);
            if (g->split) t->zeros[i] = learn_stored_scale(g, k->low[i] * k->b[i]);
            continue;
        }
        bool sym = g->scheme == UNIFORM_SYM;
        float low = k->low[i] * (sym ? k->b[i] : k->a[i]), high = k->high[i] * k->b[i];
        t->scales[i] = learn_stored_scale(g, (high - low) / top);
        if (sym) continue;
        float zero = learn_round(-low / t->scales[i]);
        t->zeros[i] = zero < 0 ? 0 : zero > top ? top : zero;
    }
}

static void set_level_codes(const sign_work *k) {
    learn_tile *t = k->t;
    const solver_problem *p = t->p;
    const level_list *l = k->levels;
    for (int64_t r = 0; r < t->rows; r++)
        for (int64_t c = 0; c < p->cols; c++) {
            int64_t at = r * p->cols + c, s = r * t->per_row + c / t->length;
            float u = levels_unit(l, (grid_param){t->scales[s], t->zeros[s]}, p->r[t->row * p->cols + at]);
            k->t_of[at] = u + k->v[at] * levels_gap(l, u);
            t->codes[at] = l->code[levels_nearest(l, k->t_of[at])];
        }
}

static void set_codes(const sign_work *k) {
    learn_tile *t = k->t;
    const solver_problem *p = t->p;
    if (k->levels) {
        set_level_codes(k);
        return;
    }
    float top = (float)grid_max_code(&p->grid);
    for (int64_t r = 0; r < t->rows; r++)
        for (int64_t c = 0; c < p->cols; c++) {
            int64_t at = r * p->cols + c, s = r * t->per_row + c / t->length;
            float x = p->r[t->row * p->cols + at] / t->scales[s] + k->v[at] + t->zeros[s];
            k->t_of[at] = x;
            t->codes[at] = (grid_code)(x < 0 ? 0 : x > top ? top : learn_round(x));
        }
}

static float sign_of(float x) {
    return x > 0 ? 1.0f : x < 0 ? -1.0f : 0.0f;
}

static float within(float x, float low, float high) {
    return x < low ? low : x > high ? high : x;
}

// The change of q with the scale: code - zero beyond the ends, else what rounding added less v; the range's ends give
// ds/da = -low / top and ds/db = high / top, and the zero moves clamped values only (by -s each).
static void step_levels(const sign_work *k, float rate) {
    learn_tile *t = k->t;
    const solver_problem *p = t->p;
    const level_list *l = k->levels;
    for (int64_t r = 0; r < t->rows; r++)
        for (int64_t g = 0; g < t->per_row; g++) {
            int64_t s = r * t->per_row + g, from = g * t->length;
            int64_t end = p->cols - from < t->length ? p->cols : from + t->length;
            grid_param q = {t->scales[s], t->zeros[s]};
            double by_scale = 0;
            for (int64_t c = from; c < end; c++) {
                int64_t at = r * p->cols + c;
                if (!learn_kept(t, r, c)) continue;
                float slope = t->dh[at], x = k->t_of[at], level = l->level[l->place[t->codes[at]]];
                bool inside = x >= l->level[0] && x <= l->level[l->count - 1];
                float u = levels_unit(l, q, p->r[t->row * p->cols + at]);
                by_scale += (double)slope * (double)(level - (inside ? u : 0)) * (double)levels_scale(l, q, level);
                if (inside) k->v[at] = within(k->v[at] - rate * sign_of(slope), -0.5f, 0.5f);
            }
            if (!t->fixed) k->b[s] = within(k->b[s] - rate * sign_of((float)by_scale), 0.01f, 1);
        }
}

static void step(const sign_work *k, float rate) {
    learn_tile *t = k->t;
    const solver_problem *p = t->p;
    if (k->levels) {
        step_levels(k, rate);
        return;
    }
    float top = (float)grid_max_code(&p->grid);
    for (int64_t r = 0; r < t->rows; r++)
        for (int64_t g = 0; g < t->per_row; g++) {
            int64_t s = r * t->per_row + g, from = g * t->length;
            int64_t end = p->cols - from < t->length ? p->cols : from + t->length;
            double by_scale = 0, by_zero = 0;
            for (int64_t c = from; c < end; c++) {
                int64_t at = r * p->cols + c;
                if (!learn_kept(t, r, c)) continue;
                float slope = t->dh[at], code = (float)t->codes[at], x = k->t_of[at];
                bool inside = x >= 0 && x <= top;
                float w = p->r[t->row * p->cols + at];
                by_scale += (double)(slope * (code - t->zeros[s] - (inside ? w / t->scales[s] : 0)));
                if (inside)
                    k->v[at] = within(k->v[at] - rate * sign_of(slope), -0.5f, 0.5f);
                else
                    by_zero -= (double)(slope * t->scales[s]);
            }
            if (t->fixed) continue;
            if (p->grid.scheme == UNIFORM_SYM) {
                k->b[s] = within(k->b[s] - rate * sign_of((float)by_scale), 0.01f, 1);
                continue;
            }
            // z = -low a / s: dz/da = -low / s + low a / s^2 ds/da, dz/db = low a / s^2 ds/db.
            double scale = (double)t->scales[s], low = (double)k->low[s], pull = low * (double)k->a[s] / scale / scale;
            double da = -low / (double)top, db = (double)k->high[s] / (double)top;
            double by_a = by_scale * da + by_zero * (-low / scale + pull * da);
            double by_b = by_scale * db + by_zero * pull * db;
            k->a[s] = within(k->a[s] - rate * sign_of((float)by_a), 0, 1);
            k->b[s] = within(k->b[s] - rate * sign_of((float)by_b), k->a[s] > 0.01f ? 0 : 0.01f, 1);
        }
}

static bool learn(learn_tile *t, void *own, base_err *err) {
    int64_t iterations = *(const int64_t *)own;
    double first = learn_rate(t->p, 1 / (double)iterations);
    level_list levels;
    sign_work k = {.t = t, .levels = levels_of(&t->p->grid, &levels) ? &levels : NULL};
    open_work(&k);
    for (int64_t i = 0; i < iterations; i++) {
        if (!base_go_on(t->p->job, err)) return false;
        if (i) step(&k, (float)(first * (1 - (double)i / (double)iterations)));
        if (i) set_grids(&k);
        set_codes(&k);
        learn_differences(t);
        learn_product(t);
        learn_offer(t);
    }
    return true;
}

static bool solve(solver_problem *p, base_err *err) {
    static const learn_method method = {.name = "signround", .room_per_row = room_per_row, .learn = learn};
    int64_t iterations = learn_iterations(p, 200);
    return learn_solve(p, &method, &iterations, err);
}

const compress_solver solver_signround = {
    .name = "signround",
    .help = "rounding and clipping learned by signs of gradients",
    .about =
        "Codes round(w / s + v) + z, v in [-1/2, 1/2] a weight; the range's ends times a and b in [0, 1] a group. "
        "Each\n"
        "moves by rate sign(gradient of tr((Q-W) H (Q-W)^T)), rate falling from 1/iterations to 0, rounding taken as\n"
        "the identity. 200 iterations; the best of each row is kept, rounding to nearest among them. Levels that are\n"
        "not even: v in distances of the levels around a weight, one factor a group.\n"
        "quantize{solver=\"signround\", bits=3, sym=false, group=64}",
    .source = "SignRound / AutoRound (Cheng et al., arXiv 2309.05516)",
    .cost = "calibration inputs; iterations outputs inputs^2 operations a layer",
    .needs = COMPRESS_NEEDS_GRAM,
    .solve = solve,
};
