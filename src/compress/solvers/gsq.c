// gsq: codes drawn by Gumbel-softmax, learned with the scales (GSQ: Dadgarnia, Tabesh, Nikdan, Helcig, Kurtic,
// Alistarh, 2026, arXiv 2604.18556; details as in the authors' code, IST-DASLab/GSQ).
//
// Every weight has a logit a level; its relaxed code is the mean of the levels under softmax((k logits + noise) / t),
// noise from the Gumbel distribution, k rising from 100 to 500 and t falling from 2 to 0.05, so that soft choices turn
// into hard ones. Logits start at 0.01 (noise + 6 (-(code - level)^2 / 2)) around gptq's codes; logits and scales
// follow tr((Q-W) H (Q-W)^T) by Lion (betas 0.9, 0.95), the rate falling along a cosine to a tenth. Here H stands for
// the whole calibration set where they draw batches, fewer steps travel the same way (rates are 0.064 / steps for
// logits, 0.3 / steps of itself for a scale), more than 8 levels are narrowed to the 8 around gptq's code, and of the
// hard codes that are looked at on the way each row keeps the best. On levels that are not even (tables, signs,
// ternary) candidates are neighbouring levels, and the relaxed code is the mean of their values.
#include "compress/solvers/gsq.h"
#include "compress/solvers/learn.h"
#include "compress/solvers/levels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NOISE_BITS = 12, LOOK_EVERY = 10, STEPS = 300 };

// ---- relaxed codes -------------------------------------------------------------------------------

// e^x for x in [-80, 0] within 2e-6: 2^n times a polynomial, in plain arithmetic.
static inline float exp_below(float x) {
    float t = x * 1.442695041f, n = learn_round(t), f = t - n;
    float y =
        1 + f * (0.693147181f + f * (0.240226507f + f * (0.0555041087f + f * (0.00961812911f + f * 0.00133335581f))));
    union {
        int32_t i;
        float f;
    } u = {.i = ((int32_t)n + 127) << 23};
    return y * u.f;
}

BASE_CLONES void gsq_soften(const gsq_run *g) {
    int64_t n = g->count;
    float sharp = g->sharpness / g->temperature, over = 1 / g->temperature;
    for (int64_t i = 0; i < n; i++) {
        float z[GSQ_MOST_LEVELS], most = -1e30f, sum = 0, code = 0;
        for (int64_t l = 0; l < g->levels; l++) {
            z[l] = g->logits[l * n + i] * sharp + g->noise[l * n + i] * over;
            most = z[l] > most ? z[l] : most;
        }
        for (int64_t l = 0; l < g->levels; l++) {
            float x = z[l] - most;
            z[l] = exp_below(x < -80 ? -80 : x);
            sum += z[l];
            code += z[l] * (float)l;
        }
        for (int64_t l = 0; l < g->levels; l++) g->share[l * n + i] = z[l] / sum;
        g->code[i] = g->base[i] + code / sum;
    }
    if (!g->value) return;
    memset(g->code, 0, (size_t)n * sizeof *g->code);
    for (int64_t i = 0; i < g->levels * n; i++) g->code[i % n] += g->share[i] * g->value[i];
}

BASE_CLONES void gsq_gradient(const gsq_run *g, const float *slope, float *out) {
    int64_t n = g->count;
    float sharp = g->sharpness / g->temperature;
    for (int64_t i = 0; g->value && i < g->levels * n; i++)
        out[i] = slope[i % n] * sharp * g->share[i] * (g->value[i] - g->code[i % n]);
    for (int64_t l = 0; l < g->levels && !g->value; l++)
        for (int64_t i = 0; i < n; i++)
            out[l * n + i] = slope[i] * sharp * g->share[l * n + i] * (g->base[i] + (float)l - g->code[i]);
}

// Lion: the sign of a mix of momentum and gradient, then the momentum. Weight decay 1 times the rate.
BASE_CLONES static void lion(const float *gradient, float *momentum, float *x, int64_t count, float rate) {
    for (int64_t i = 0; i < count; i++) {
        float mix = 0.9f * momentum[i] + 0.1f * gradient[i];
        x[i] = x[i] * (1 - rate) - (mix > 0 ? rate : mix < 0 ? -rate : 0);
        momentum[i] = 0.95f * momentum[i] + 0.05f * gradient[i];
    }
}

// ---- a tile --------------------------------------------------------------------------------------

typedef struct gsq_work {
    learn_tile *t;
    int64_t levels;
    float *logits, *momentum;    // [rows x levels x cols]
    float *base, *code;          // [rows x cols]
    float *noise, *share, *grad; // [levels x cols] of one row at a time; share of all rows
    float *step, *step_momentum; // [rows x per_row] scales before they are rounded to their stored form
    const float *gumbel;         // quantiles of the Gumbel distribution
    const level_list *list;      // NULL: an even grid
    float *value;                // [rows x levels x cols] of the candidates, in units of the scale, where it is not
    num_rng rng;
} gsq_work;

static int64_t candidates_of(const grid_spec *g, level_list *list) {
    int64_t codes = levels_of(g, list) ? list->count : grid_max_code(g) + 1;
    return codes < GSQ_MOST_LEVELS ? codes : GSQ_MOST_LEVELS;
}

static int64_t room_per_row(const solver_problem *p) {
    int64_t per_row = uniform_groups_per_row(p->cols, p->grid.group), levels;
    level_list list;
    levels = candidates_of(&p->grid, &list);
    return ((levels_of(&p->grid, &list) ? 6 : 5) * levels + 2) * p->cols + 2 * (per_row ? per_row : 1);
}

// A level in units of the scale of its group. That of negative levels, if there is one, stays in proportion.
static float unit_value(const gsq_work *k, int64_t r, int64_t c, int place) {
    int64_t s = r * k->t->per_row + c / k->t->length;
    float scale = k->t->scales[s], level = k->list->level[place];
    return k->list->split && level < 0 && scale > 0 ? level * (k->t->zeros[s] / scale) : level;
}

static void open_work(gsq_work *k) {
    learn_tile *t = k->t;
    int64_t cols = t->p->cols, n = t->rows * cols, m = t->rows * t->per_row, levels = k->levels;
    k->logits = t->room;
    k->momentum = k->logits + levels * n;
    k->share = k->momentum + levels * n;
    k->base = k->share + levels * n;
    k->code = k->base + n;
    k->noise = k->code + n;
    k->grad = k->noise + levels * cols;
    k->step = k->grad + levels * cols;
    k->step_momentum = k->step + m;
    k->value = k->list ? k->step_momentum + m : NULL;
    memset(k->momentum, 0, (size_t)(levels * n) * sizeof(float));
    memcpy(k->step, t->scales, (size_t)m * sizeof(float));
    memset(k->step_momentum, 0, (size_t)m * sizeof(float));
    int64_t top = k->list ? k->list->count - 1 : grid_max_code(&t->p->grid);
    for (int64_t at = 0; at < n; at++) {
        int64_t r = at / cols, c = at % cols, code = k->list ? k->list->place[t->codes[at]] : t->codes[at];
        int64_t first = code - levels / 2;
        first = first < 0 ? 0 : first > top + 1 - levels ? top + 1 - levels : first;
        k->base[at] = (float)first;
        double mean = 0, pull[GSQ_MOST_LEVELS];
        for (int64_t l = 0; l < levels; l++) {
            double off = (double)(first + l - code);
            if (k->list) k->value[(r * levels + l) * cols + c] = unit_value(k, r, c, (int)(first + l));
            pull[l] = -0.5 * off * off;
            mean += pull[l] / (double)levels;
        }
        for (int64_t l = 0; l < levels; l++)
            k->logits[(r * levels + l) * cols + c] = (float)(0.01 * (num_rng_normal(&k->rng) + 6 * (pull[l] - mean)));
    }
}

static gsq_run run_of(const gsq_work *k, int64_t r, float sharpness, float temperature) {
    int64_t cols = k->t->p->cols, n = k->levels * cols;
    return (gsq_run){.count = cols,
                     .levels = k->levels,
                     .logits = k->logits + r * n,
                     .noise = k->noise,
                     .base = k->base + r * cols,
                     .value = k->list ? k->value + r * n : NULL,
                     .sharpness = sharpness,
                     .temperature = temperature,
                     .share = k->share + r * n,
                     .code = k->code + r * cols};
}

static void draw(gsq_work *k) {
    int64_t n = k->levels * k->t->p->cols;
    for (int64_t i = 0; i < n; i += 2) {
        uint32_t x = num_rng_next(&k->rng);
        k->noise[i] = k->gumbel[x & ((1u << NOISE_BITS) - 1)];
        if (i + 1 < n) k->noise[i + 1] = k->gumbel[x >> (32 - NOISE_BITS)];
    }
}

static float zero_of(const gsq_work *k, int64_t s) {
    return k->list ? 0 : k->t->zeros[s];
}

// d and dh of the relaxed codes.
static void soften(gsq_work *k, float sharpness, float temperature) {
    learn_tile *t = k->t;
    const solver_problem *p = t->p;
    for (int64_t r = 0; r < t->rows; r++) {
        gsq_run g = run_of(k, r, sharpness, temperature);
        draw(k);
        gsq_soften(&g);
        for (int64_t c = 0; c < p->cols; c++) {
            int64_t at = r * p->cols + c, s = r * t->per_row + c / t->length;
            float q = learn_kept(t, r, c) ? k->step[s] * (k->code[at] - zero_of(k, s)) : 0;
            t->d[at] = q - p->r[t->row * p->cols + at];
        }
    }
    learn_product(t);
}

static void step(gsq_work *k, float sharpness, float temperature, float rate, float scale_rate) {
    learn_tile *t = k->t;
    int64_t cols = t->p->cols;
    for (int64_t r = 0; r < t->rows; r++) {
        gsq_run g = run_of(k, r, sharpness, temperature);
        float *slope = t->dh + r * cols;
        for (int64_t i = 0; i < t->per_row; i++) {
            int64_t s = r * t->per_row + i, end = (i + 1) * t->length < cols ? (i + 1) * t->length : cols;
            double by_scale = 0;
            for (int64_t c = i * t->length; c < end; c++) {
                slope[c] = learn_kept(t, r, c) ? 2 * slope[c] : 0;
                by_scale += (double)(slope[c] * (k->code[r * cols + c] - zero_of(k, s)));
                slope[c] *= k->step[s];
            }
            if (t->fixed) continue;
            float gradient = (float)by_scale, mix = 0.9f * k->step_momentum[s] + 0.1f * gradient;
            k->step[s] *= 1 - (mix > 0 ? scale_rate : mix < 0 ? -scale_rate : 0);
            k->step_momentum[s] = 0.95f * k->step_momentum[s] + 0.05f * gradient;
        }
        gsq_gradient(&g, slope, k->grad);
        lion(k->grad, k->momentum + r * k->levels * cols, k->logits + r * k->levels * cols, k->levels * cols, rate);
    }
}

// The likeliest codes as a candidate.
static void harden(gsq_work *k) {
    learn_tile *t = k->t;
    int64_t cols = t->p->cols;
    for (int64_t r = 0; r < t->rows; r++)
        for (int64_t c = 0; c < cols; c++) {
            const float *logit = k->logits + r * k->levels * cols + c;
            int64_t best = 0;
            for (int64_t l = 1; l < k->levels; l++)
                if (logit[l * cols] > logit[best * cols]) best = l;
            int64_t code = (int64_t)k->base[r * cols + c] + best;
            t->codes[r * cols + c] = k->list ? k->list->code[code] : (grid_code)code;
        }
    for (int64_t i = 0; i < t->rows * t->per_row && !t->fixed; i++) {
        float before = t->scales[i];
        t->scales[i] = learn_stored_scale(&t->p->grid, k->step[i]);
        if (t->p->grid.split && before > 0)
            t->zeros[i] = learn_stored_scale(&t->p->grid, t->zeros[i] * (t->scales[i] / before));
    }
    learn_differences(t);
    learn_product(t);
    learn_offer(t);
}

typedef struct gsq_options {
    int64_t iterations;
    double rate;
    float gumbel[1 << NOISE_BITS];
} gsq_options;

static bool learn(learn_tile *t, void *own, base_err *err) {
    const gsq_options *o = own;
    level_list list;
    gsq_work k = {.t = t, .levels = candidates_of(&t->p->grid, &list), .gumbel = o->gumbel};
    k.list = levels_of(&t->p->grid, &list) ? &list : NULL;
    k.rng = num_rng_seed(t->p->seed, 7000 + t->index);
    open_work(&k);
    for (int64_t i = 0; i < o->iterations; i++) {
        if (!base_go_on(t->p->job, err)) return false;
        double progress = o->iterations > 1 ? (double)i / (double)(o->iterations - 1) : 1;
        double fall = 0.55 + 0.45 * cos(3.14159265358979 * progress); // 1 to 0.1
        float sharpness = (float)(100 + 400 * progress), temperature = (float)(2 - 1.95 * progress);
        soften(&k, sharpness, temperature);
        step(&k, sharpness, temperature, (float)(o->rate * fall), (float)(0.3 / (double)o->iterations * fall));
        if ((i + 1) % LOOK_EVERY == 0 || i + 1 == o->iterations) harden(&k);
    }
    return true;
}

static bool begin(solver_problem *p, void *own, base_err *err) {
    (void)own;
    return learn_from_gptq(p, err);
}

static bool solve(solver_problem *p, base_err *err) {
    static const learn_method method = {.name = "gsq", .room_per_row = room_per_row, .begin = begin, .learn = learn};
    gsq_options *o = base_calloc(1, sizeof *o);
    o->iterations = learn_iterations(p, STEPS);
    o->rate = learn_rate(p, 0.064 / (double)o->iterations);
    for (int i = 0; i < 1 << NOISE_BITS; i++)
        o->gumbel[i] = (float)-log(-log(((double)i + 0.5) / (double)(1 << NOISE_BITS)));
    bool ok = learn_solve(p, &method, o, err);
    free(o);
    return ok;
}

const compress_solver solver_gsq = {
    .name = "gsq",
    .help = "codes drawn by Gumbel-softmax and group scales, learned together",
    .about =
        "A logit for each level of a weight (the 8 around gptq's code where there are more); its relaxed code is the\n"
        "mean level under softmax((k logits + Gumbel noise) / t), k 100 to 500, t 2 to 0.05. Logits, from gptq's "
        "codes,\n"
        "and scales follow the output error by Lion. The likeliest codes are looked at every 10 steps of 300, the "
        "best\n"
        "of each row is kept. quantize{solver=\"gsq\", bits=2, group=64}",
    .source = "GSQ (Dadgarnia et al., 2026, arXiv 2604.18556), layer by layer under H instead of block by block",
    .cost =
        "calibration inputs; gptq, then iterations outputs inputs^2 operations and 4 to 8 exponentials a weight each",
    .needs = COMPRESS_NEEDS_GRAM,
    .solve = solve,
};
