// e8: eight weights at a time as points of the lattice E8, with feedback under H - of its code E8P, at a fixed number
// of bits, or of the lattice itself, at the step whose points have so much entropy.
#include "compress/solvers/gptq.h"
#include "compress/steps/lattice.h"
#include "compress/types/scalar.h"

#include <math.h>
#include <string.h>

static const base_arg args[] = {
    {"bits", BASE_NUM, 2, 0.1, 6, NULL, NULL,
     "bits a weight; e8p: 2, 3 or 4, with a second stage for 3 and 4; lattice: the entropy to aim at"},
    {"code", BASE_TEXT, 0, 0, 0, "e8p", "e8p|lattice", "16 bits for each eight weights, or any point, to be coded{}"},
    {"along", BASE_TEXT, 0, 0, 0, "auto", "auto|row|column",
     "runs of eight inputs of a row, or of eight rows at one input; auto: rows where there are eight"},
    LATTICE_ARGS,
};

static bool is_lattice(const compress_step *s) {
    return !strcmp(compress_text(s, "code"), "lattice");
}

static bool check(const compress_step *s, base_err *err) {
    double bits = compress_number(s, "bits");
    if (!is_lattice(s) && bits != 2 && bits != 3 && bits != 4)
        return base_fail(err, "e8: bits = %g, expected 2, 3 or 4 (code=\"lattice\" takes any)", bits);
    return true;
}

// ---- E8P -----------------------------------------------------------------------------------------

typedef struct e8_context {
    const e8_code *code;
    int bits;
} e8_context;

static void encode(const void *context, const feedback_run *run, uint16_t *words, float *q, void *room) {
    (void)room;
    const e8_context *c = context;
    e8_encode(c->code, c->bits, run->x, words, q);
}

// ---- the lattice ---------------------------------------------------------------------------------

// Nearest point; coordinates beyond what is stored are drawn in first, so that what comes of them is a point too.
static void encode_point(const void *context, const feedback_run *run, uint16_t *words, float *q, void *room) {
    (void)context, (void)room;
    double x[POINTS_LENGTH], y[POINTS_LENGTH];
    for (int k = 0; k < POINTS_LENGTH; k++) x[k] = fmax(-POINTS_MOST, fmin(POINTS_MOST, (double)run->x[k]));
    e8_nearest(x, y);
    bool half = y[0] != floor(y[0]);
    for (int k = 0; k < POINTS_LENGTH; k++) {
        words[k] = (uint16_t)(int16_t)floor(y[k]);
        q[k] = (float)y[k];
    }
    words[POINTS_LENGTH] = half;
}

// Entropy in bits a weight of the symbols that p's weights get, each by itself at scales `p->scales`.
static double entropy_of(const feedback_problem *p) {
    enum { SPAN = 512, MIDDLE = 256 };
    int64_t count = lattice_run_count(&p->runs), per_block = lattice_runs_of_block(&p->runs), of[2] = {0};
    int64_t seen[4][SPAN] = {{0}}; // of whole and half-integer points: seven coordinates, the last
    double bits = 0;
    for (int64_t i = 0; i < count; i++) {
        float x[POINTS_LENGTH], q[POINTS_LENGTH];
        uint16_t words[POINTS_WORDS];
        feedback_gather(p, i / per_block, i % per_block, p->w, x);
        encode_point(NULL, &(feedback_run){.x = x}, words, q, NULL);
        int half = words[POINTS_LENGTH], last = (int16_t)words[POINTS_LENGTH - 1];
        for (int k = 0; k + 1 < POINTS_LENGTH; k++) seen[half][(int16_t)words[k] + MIDDLE]++;
        seen[2 + half][(last - (last & 1)) / 2 + MIDDLE]++;
        of[half]++;
    }
    for (int a = 0; a < 4; a++) {
        double all = (double)(of[a & 1] * (a < 2 ? POINTS_LENGTH - 1 : 1));
        for (int s = 0; s < SPAN; s++)
            if (seen[a][s]) bits -= (double)seen[a][s] * log2((double)seen[a][s] / all);
    }
    double h = (double)of[1] / (double)count;
    if (h > 0 && h < 1) bits -= (double)count * (h * log2(h) + (1 - h) * log2(1 - h));
    return bits / (double)(count * POINTS_LENGTH);
}

// The step, in root mean squares, at which the points have `bits` of entropy: it falls as the step grows.
static bool find_step(feedback_problem *p, double bits, base_err *err) {
    double low = log(0.02), high = log(20);
    for (int turn = 0; turn < 20; turn++) {
        p->fit = exp((low + high) / 2);
        if (!base_go_on(p->job, err) || !feedback_scales(p, err)) return false;
        if (entropy_of(p) > bits)
            low = log(p->fit);
        else
            high = log(p->fit);
    }
    return true;
}

// ---- the step ------------------------------------------------------------------------------------

static bool apply(const compress_step *s, layer *l, base_err *err) {
    const char *along = compress_text(s, "along");
    bool by_row = strcmp(along, "column") && (!strcmp(along, "row") || l->rows < E8_LENGTH), points = is_lattice(s);
    lattice_runs runs = {l->rows, l->cols, by_row ? E8_LENGTH : 1, E8_LENGTH, by_row};
    double bits = compress_number(s, "bits");
    e8_context context = {e8_open(), (int)bits};
    feedback_coder coder = points ? (feedback_coder){.words = POINTS_WORDS, .encode = encode_point}
                                  : (feedback_coder){.words = 2, .context = &context, .encode = encode};
    feedback_problem p = {0};
    float *owned;
    term *t = NULL;
    bool ok = lattice_open(s, l, &runs, &p, &owned, err);
    p.coder = &coder;
    double fit = p.fit;
    if (ok && points) ok = find_step(&p, bits, err);
    if (points) p.fit *= fit;
    if (ok && feedback_solve(&p, err)) {
        t = points ? term_points_new(&runs, p.codes, p.scales, p.scale_count, p.scale_dtype, err)
                   : term_e8_new(&runs, context.bits, p.codes, p.scales, p.scale_count, p.scale_dtype, err);
    }
    feedback_free(&p);
    ok = ok && lattice_close(l, &p, t, err);
    base_big_free(owned);
    return ok;
}

const compress_step_kind step_e8 = {
    .name = "e8",
    .help = "eight weights at a time as points of the lattice E8, with feedback under H",
    .about =
        "code=\"e8p\": sixteen bits name one of 65,536 points of E8 + 1/4: a pattern of magnitudes out of 256, seven\n"
        "signs, a move by 1/4. 3 bits: the remainder to 256 short vectors of E8; 4 bits: to E8P again. Squared error "
        "of\n"
        "N(0, 1) at 2 bits 0.0915 (Lloyd-Max 0.118, D(R) 0.063). code=\"lattice\": any point of E8, at the step where\n"
        "they have `bits` of entropy; code{} stores them so: 0.079 at 2 bits. Blocks of columns are coded one\n"
        "after another, those to come make up for the error under (H + damp mean(diag H) 1)^-1 (block LDLQ); then "
        "`passes` times scales are fitted and\n"
        "each run is chosen again where that lowers the output error. Runs down columns leave the feedback exact.\n"
        "Behind rotate{} weights are nearly normal. rule(\".*\", rotate{}, e8{bits=2}). Not after prune.",
    .source = "QuIP# (Tseng et al., ICML 2024, arXiv 2402.04396), sections 4.1 to 4.3; the descent as in QuIP's greedy "
              "updates (arXiv 2307.13304); nearest points: Conway and Sloane, IEEE Trans. Inf. Theory 1982; lattices "
              "with entropy coding: Gersho, IEEE Trans. Inf. Theory 1979",
    .cost = "calibration inputs for the feedback; 8,000 operations (lattice: 200) for eight weights a pass and outputs "
            "inputs^2",
    .args = args,
    .arg_count = sizeof args / sizeof *args,
    .check = check,
    .needs = lattice_needs,
    .apply = apply,
};
