// adaquant: weights and step sizes of a layer learned together (AdaQuant: Hubara, Nahshan, Hanani, Banner, Soudry,
// Improving Post Training Neural Quantization, 2020, arXiv 2006.10518, equation 4).
//
// A weight w + v, v free, is rounded to the grid with the step s, also free; both follow the gradient of
// tr((Q-W) H (Q-W)^T) by Adam, rounding counting as the identity: dQ/dv = 1 where the code is not clamped, dQ/ds = code
// - zero - (w + v) / s there and code - zero beyond the ends. Unlike rounding down or up only, a weight may move by any
// number of steps. v moves in units of the step, its rate falls to 0. The authors draw batches of inputs; here the
// whole calibration set enters through H. The bias they learn beside is what correct_bias computes exactly, and their
// batch-norm tuning is reestimate_norms. On levels that are not even (tables, signs, ternary) the step of a weight is
// the distance of the two levels around it.
#include "compress/solvers/learn.h"
#include "compress/solvers/levels.h"

#include <math.h>
#include <string.h>

typedef struct ada_quant {
    learn_tile *t;
    float *w;                 // [rows x cols] w + v
    float *m1, *m2;           // Adam's moments of v
    float *step, *s1, *s2;    // [rows x per_row] step before it is rounded to its stored form, and its moments
    float rate;               // of v, in steps; s moves by a tenth of it, relative
    const level_list *levels; // NULL: an even grid
} ada_quant;

static int64_t room_per_row(const solver_problem *p) {
    int64_t per_row = uniform_groups_per_row(p->cols, p->grid.group);
    return 3 * p->cols + 3 * (per_row ? per_row : 1);
}

static void open_work(ada_quant *k) {
    learn_tile *t = k->t;
    int64_t n = t->rows * t->p->cols, m = t->rows * t->per_row;
    k->w = t->room;
    k->m1 = k->w + n;
    k->m2 = k->m1 + n;
    k->step = k->m2 + n;
    k->s1 = k->step + m;
    k->s2 = k->s1 + m;
    memcpy(k->w, t->p->r + t->row * t->p->cols, (size_t)n * sizeof *k->w);
    memcpy(k->step, t->scales, (size_t)m * sizeof *k->step);
    memset(k->m1, 0, (size_t)(2 * n) * sizeof *k->m1);
    memset(k->s1, 0, (size_t)(2 * m) * sizeof *k->s1);
}

// Scales of negative levels keep their ratio to those of positive ones.
static void set_scales(const ada_quant *k) {
    learn_tile *t = k->t;
    const grid_spec *g = &t->p->grid;
    for (int64_t i = 0; i < t->rows * t->per_row && !t->fixed; i++) {
        float before = t->scales[i];
        t->scales[i] = learn_stored_scale(g, k->step[i]);
        if (g->split && before > 0) t->zeros[i] = learn_stored_scale(g, t->zeros[i] * (t->scales[i] / before));
    }
}

static void set_codes(const ada_quant *k) {
    learn_tile *t = k->t;
    int64_t cols = t->p->cols;
    float top = (float)grid_max_code(&t->p->grid);
    set_scales(k);
    for (int64_t at = 0; k->levels && at < t->rows * cols; at++) {
        int64_t s = at / cols * t->per_row + at % cols / t->length;
        float u = levels_unit(k->levels, (grid_param){t->scales[s], t->zeros[s]}, k->w[at]);
        t->codes[at] = k->levels->code[levels_nearest(k->levels, u)];
    }
    if (k->levels) return;
    for (int64_t r = 0; r < t->rows; r++)
        for (int64_t c = 0; c < cols; c++) {
            int64_t at = r * cols + c, s = r * t->per_row + c / t->length;
            float x = k->w[at] / t->scales[s] + t->zeros[s];
            t->codes[at] = (grid_code)(x < 0 ? 0 : x > top ? top : learn_round(x));
        }
}

// One step of Adam on a value of size `unit`: gradients and moments are in units of 1 / unit.
static float adam(float gradient, float *m1, float *m2, float rate) {
    *m1 = 0.9f * *m1 + 0.1f * gradient;
    *m2 = 0.999f * *m2 + 0.001f * gradient * gradient;
    return rate * *m1 / (sqrtf(*m2) + 1e-20f);
}

static void step_levels(const ada_quant *k, float rate) {
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
                float u = levels_unit(l, q, k->w[at]), gap = levels_gap(l, u), scale = levels_scale(l, q, k->w[at]);
                float level = l->level[l->place[t->codes[at]]];
                bool inside = u >= l->level[0] - gap / 2 && u <= l->level[l->count - 1] + gap / 2;
                by_scale += (double)t->dh[at] * (double)(level - (inside ? u : 0));
                if (inside) k->w[at] -= scale * gap * adam(2 * t->dh[at], k->m1 + at, k->m2 + at, rate);
            }
            if (!t->fixed) k->step[s] -= k->step[s] * adam(2 * (float)by_scale, k->s1 + s, k->s2 + s, 0.1f * rate);
        }
}

static void step(const ada_quant *k, float rate) {
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
            float scale = t->scales[s], zero = t->zeros[s];
            double by_scale = 0;
            for (int64_t c = from; c < end; c++) {
                int64_t at = r * p->cols + c;
                if (!learn_kept(t, r, c)) continue;
                float x = k->w[at] / scale + zero, code = (float)t->codes[at];
                bool inside = x >= -0.5f && x <= top + 0.5f;
                by_scale += (double)(t->dh[at] * (code - (inside ? x : zero)));
                if (inside) k->w[at] -= scale * adam(2 * t->dh[at], k->m1 + at, k->m2 + at, rate);
            }
            if (t->fixed) continue;
            k->step[s] -= k->step[s] * adam(2 * (float)by_scale, k->s1 + s, k->s2 + s, 0.1f * rate);
        }
}

static bool learn(learn_tile *t, void *own, base_err *err) {
    int64_t iterations = *(const int64_t *)own;
    double first = learn_rate(t->p, 0.02);
    level_list levels;
    ada_quant k = {.t = t, .levels = levels_of(&t->p->grid, &levels) ? &levels : NULL};
    open_work(&k);
    for (int64_t i = 0; i < iterations; i++) {
        if (!base_go_on(t->p->job, err)) return false;
        // dh is that of the last candidate, rounding to nearest at first. Adam's bias correction of its moments.
        double c1 = 1 - pow(0.9, (double)i + 1), c2 = sqrt(1 - pow(0.999, (double)i + 1));
        step(&k, (float)(first * (1 - (double)i / (double)iterations) * c2 / c1));
        set_codes(&k);
        learn_differences(t);
        learn_product(t);
        learn_offer(t);
    }
    return true;
}

static bool solve(solver_problem *p, base_err *err) {
    static const learn_method method = {.name = "adaquant", .room_per_row = room_per_row, .learn = learn};
    int64_t iterations = learn_iterations(p, 500);
    return learn_solve(p, &method, &iterations, err);
}

const compress_solver solver_adaquant = {
    .name = "adaquant",
    .help = "weights and step sizes learned together",
    .about =
        "Codes round((w + v) / s) + z: v and the step s follow the gradient of tr((Q-W) H (Q-W)^T) by Adam, rounding\n"
        "taken as the identity; 500 steps, rate 0.02 s falling to 0. The best of each row is kept. The authors' bias\n"
        "and batch-norm tuning are correct_bias and reestimate_norms. Levels that are not even: the step of a weight "
        "is\n"
        "the distance of the two around it. quantize{solver=\"adaquant\", bits=3}",
    .source = "AdaQuant (Hubara et al., Improving Post Training Neural Quantization, arXiv 2006.10518)",
    .cost = "calibration inputs; iterations outputs inputs^2 operations a layer",
    .needs = COMPRESS_NEEDS_GRAM,
    .solve = solve,
};
