// pvq: pyramid vector quantisation of runs of weights - a direction with integer coordinates and a gain, searched under
// the metric of the layer's inputs.
#include "compress/solvers/kmeans.h"
#include "compress/steps/lattice.h"
#include "compress/types/scalar.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LENGTH = 64 };

static const base_arg args[] = {
    {"length", BASE_INT, 8, 1, MOST_LENGTH, NULL, NULL, "neighbouring weights of a row that share an index"},
    {"pulses", BASE_INT, 6, 1, PVQ_MOST, NULL, NULL, "sum of the magnitudes of a vector"},
    {"gain", BASE_INT, 1, 0, PVQ_MOST_GAIN, NULL, NULL, "bits of a run's gain; 0: the row's scale alone"},
    {"exchange", BASE_INT, 16, 0, 1000, NULL, NULL, "most moves of a pulse that improve a vector under H"},
    LATTICE_ARGS,
};

typedef struct pvq_context {
    int n, k, gain, moves;
    float level[1 << PVQ_MOST_GAIN];
} pvq_context;

// M x, or the weights times x where the run has no metric of its own.
static void times(const feedback_run *run, int n, const float *x, double *out) {
    for (int i = 0; i < n; i++) {
        out[i] = run->metric ? 0 : (double)run->weight[i] * (double)x[i];
        for (int j = 0; run->metric && j < n; j++) out[i] += (double)run->metric[i * n + j] * (double)x[j];
    }
}

static double metric_at(const feedback_run *run, int n, int i, int j) {
    if (run->metric) return (double)run->metric[i * n + j];
    return i == j ? (double)run->weight[i] : 0;
}

// The gain of least error for the vector: y M x / y M y, to the nearest level.
static int best_gain(const pvq_context *c, const feedback_run *run, const int *y) {
    float v[MOST_LENGTH];
    double my[MOST_LENGTH], xy = 0, yy = 0;
    for (int i = 0; i < c->n; i++) v[i] = (float)y[i];
    times(run, c->n, v, my);
    for (int i = 0; i < c->n; i++) {
        xy += my[i] * (double)run->x[i];
        yy += my[i] * y[i];
    }
    int best = 0;
    double least = INFINITY;
    for (int g = 0; g < 1 << c->gain; g++) {
        double f = (double)c->level[g], cost = f * f * yy - 2 * f * xy;
        if (cost < least) least = cost, best = g;
    }
    return best;
}

typedef struct exchange {
    int from, to, down, up; // y[from] += down, y[to] += up: the sum of magnitudes stays
    double change;
} exchange;

// What moving a pulse costs: with e = x - g y and d the move, g^2 d M d - 2 g d M e.
static void consider(const feedback_run *run, int n, double g, const double *me, exchange one, exchange *best) {
    double mf = metric_at(run, n, one.from, one.from), mt = metric_at(run, n, one.to, one.to);
    double cross = metric_at(run, n, one.from, one.to), square = mf + mt + 2 * one.down * one.up * cross;
    if (one.from == one.to) square = 4 * mf;
    double along = one.from == one.to ? 2 * one.down * me[one.from] : one.down * me[one.from] + one.up * me[one.to];
    one.change = g * g * square - 2 * g * along;
    if (one.change < best->change) *best = one;
}

// The best single exchange of a pulse between two coordinates, or to the other sign of its own. False: none improves.
static bool improve(const feedback_run *run, int n, double g, int *y) {
    float e[MOST_LENGTH];
    double me[MOST_LENGTH], floor_ = 0;
    for (int i = 0; i < n; i++) e[i] = (float)((double)run->x[i] - g * y[i]);
    times(run, n, e, me);
    for (int i = 0; i < n; i++) floor_ += fabs(me[i] * (double)e[i]);
    exchange best = {.change = -1e-9 * floor_ - 1e-300};
    double none = best.change;
    for (int a = 0; a < n; a++) {
        if (!y[a]) continue;
        int down = y[a] > 0 ? -1 : 1;
        if (abs(y[a]) == 1) consider(run, n, g, me, (exchange){a, a, down, down, 0}, &best);
        for (int b = 0; b < n; b++) {
            if (b == a) continue;
            if (y[b] >= 0) consider(run, n, g, me, (exchange){a, b, down, 1, 0}, &best);
            if (y[b] <= 0) consider(run, n, g, me, (exchange){a, b, down, -1, 0}, &best);
        }
    }
    if (!(best.change < none)) return false;
    y[best.from] += best.down;
    y[best.to] += best.up;
    return true;
}

static void encode(const void *context, const feedback_run *run, uint16_t *words, float *q, void *room) {
    (void)room;
    const pvq_context *c = context;
    int y[MOST_LENGTH];
    pvq_nearest(c->n, c->k, run->x, y);
    int g = best_gain(c, run, y), moves = 0;
    for (int round = 0; round < 2; round++) {
        while (moves < c->moves && improve(run, c->n, (double)c->level[g], y)) moves++;
        g = best_gain(c, run, y);
    }
    for (int i = 0; i < c->n; i++) {
        words[i] = (uint16_t)(int16_t)y[i];
        q[i] = c->level[g] * (float)y[i];
    }
    words[c->n] = (uint16_t)g;
}

// Levels of the gain: k-means over the best gains of all runs as they are, rounded to float16.
static bool fit_gains(feedback_problem *p, pvq_context *c, base_err *err) {
    int64_t count = lattice_run_count(&p->runs), per_block = lattice_runs_of_block(&p->runs), kept = 0;
    float *gain = base_big_alloc((size_t)count, sizeof *gain, "gains of a layer", err), x[MOST_LENGTH];
    uint16_t *label = gain ? base_big_alloc((size_t)count, sizeof *label, "gains of a layer", err) : NULL;
    int y[MOST_LENGTH];
    bool ok = label != NULL;
    for (int64_t i = 0; ok && i < count; i++) {
        double xy = 0, yy = 0;
        if (i % 1024 == 0 && !base_go_on(p->job, err)) ok = false;
        feedback_gather(p, i / per_block, i % per_block, p->w, x);
        pvq_nearest(c->n, c->k, x, y);
        for (int k = 0; k < c->n; k++) {
            xy += (double)x[k] * y[k];
            yy += (double)y[k] * y[k];
        }
        if (xy > 0) gain[kept++] = (float)(xy / yy);
    }
    if (!kept) gain[kept++] = 1;
    kmeans_options o = {(int64_t)1 << c->gain, false, 50};
    ok = ok && kmeans_solve(gain, NULL, kept, &o, c->level, label, NULL, p->job, err);
    for (int g = 0; ok && g < 1 << c->gain; g++) c->level[g] = num_f16_to_f32(num_f32_to_f16(c->level[g]));
    base_big_free(gain);
    base_big_free(label);
    return ok;
}

static bool apply(const compress_step *s, layer *l, base_err *err) {
    pvq_context c = {.n = (int)compress_number(s, "length"),
                     .k = (int)compress_number(s, "pulses"),
                     .gain = (int)compress_number(s, "gain"),
                     .moves = (int)compress_number(s, "exchange")};
    lattice_runs runs = {l->rows, l->cols, c.n, c.n, true};
    feedback_coder coder = {.words = c.n + 1, .context = &c, .encode = encode};
    pvq_table table;
    if (!pvq_open(&table, c.n, c.k, err)) return false;
    pvq_close(&table);
    feedback_problem p;
    float *owned;
    term *t = NULL;
    bool ok = lattice_open(s, l, &runs, &p, &owned, err);
    p.coder = &coder;
    if (ok && feedback_scales(&p, err) && fit_gains(&p, &c, err) && feedback_solve(&p, err))
        t = term_pvq_new(&runs, c.k, c.gain, p.codes, c.level, p.scales, p.scale_count, p.scale_dtype, err);
    if (ok) feedback_free(&p);
    ok = ok && lattice_close(l, &p, t, err);
    base_big_free(owned);
    return ok;
}

static bool check(const compress_step *s, base_err *err) {
    pvq_table table;
    int length = (int)compress_number(s, "length"), pulses = (int)compress_number(s, "pulses");
    if (!pvq_open(&table, length, pulses, err))
        return base_wrap(err, "pvq: length = %d with pulses = %d (fewer pulses or shorter runs would do): ", length,
                         pulses);
    pvq_close(&table);
    return true;
}

const compress_step_kind step_pvq = {
    .name = "pvq",
    .help = "runs of weights as integer vectors of one sum of magnitudes, times a gain",
    .about =
        "w ~ scale gain y, y integers with sum |y| = pulses: a point of a pyramid. All such vectors are numbered "
        "without\n"
        "a gap, and an index takes ceil(log2 N(length, pulses)) bits; gains are 2^gain levels found by k-means. The\n"
        "vector starts at the nearest direction; pulses then move between coordinates while the error under the block\n"
        "of H falls, and the gain follows. length 8, pulses 6, gain 1: 16 bits for eight weights. Feedback and passes\n"
        "as in e8. rule(\".*\", rotate{}, pvq{length=8, pulses=6, gain=1}). Not after prune.",
    .source =
        "Fischer, A Pyramid Vector Quantizer, IEEE Trans. Inf. Theory 1986; product (gain and shape) code: section "
        "VI there; numbering: the same, section III",
    .cost = "calibration inputs for the feedback; pulses length and exchange length^2 operations a run and pass",
    .args = args,
    .arg_count = sizeof args / sizeof *args,
    .needs = lattice_needs,
    .check = check,
    .apply = apply,
};
