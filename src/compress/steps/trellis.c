// trellis: runs of weights as paths through a bitshift trellis, with feedback under H.
#include "compress/steps/lattice.h"

#include <math.h>
#include <string.h>

static const base_arg args[] = {
    {"bits", BASE_NUM, 2, 0.25, 8, NULL, NULL, "bits a weight, in quarters"},
    {"state", BASE_INT, 12, 1, TRELLIS_MOST_BITS, NULL, NULL, "bits that name a value; each more doubles the time"},
    {"code", BASE_TEXT, 0, 0, 0, "normal", TRELLIS_FORMS,
     "values of the states: shuffled normal quantiles, computed, or (hyb) looked up by a hash"},
    {"length", BASE_INT, 256, 1, TRELLIS_MOST_LENGTH, NULL, NULL, "most weights of a run"},
    {"least", BASE_INT, 64, 1, TRELLIS_MOST_LENGTH, NULL, NULL,
     "weights of a run that columns are put together for, where a layer has few rows"},
    LATTICE_ARGS,
};

static int form_of(const compress_step *s) {
    static const char *const forms[] = {"normal", "1mad", "3inst", "hyb"};
    int form = 0;
    while (strcmp(compress_text(s, "code"), forms[form])) form++;
    return form;
}

// Values a step that make bits whole, and the bits of a step; false when none does.
static bool find_step(double bits, bool pairs, int *values, int *step) {
    for (*values = pairs ? 2 : 1; *values <= TRELLIS_MOST_VALUES; *values *= 2) {
        double whole = bits * *values;
        *step = (int)whole;
        if (whole == floor(whole)) return *step >= 1 && *step <= TRELLIS_MOST_STEP;
    }
    return false;
}

static bool check(const compress_step *s, base_err *err) {
    int values, step;
    double bits = compress_number(s, "bits");
    bool hyb = form_of(s) == TRELLIS_HYB;
    if (hyb && (!find_step(bits, true, &values, &step) || values != 2 ||
                compress_number(s, "state") < fmax(TRELLIS_HYB_LEAST, step)))
        return base_fail(err,
                         "trellis: code=\"hyb\" takes bits in halves from 0.5 to 4 and state from %d, not %g and %g",
                         TRELLIS_HYB_LEAST, bits, compress_number(s, "state"));
    if (hyb) return true;
    if (!find_step(bits, false, &values, &step))
        return base_fail(
            err, "trellis: bits = %g, expected quarters from 0.25 to 2, halves to 4, or whole numbers to 8", bits);
    if (values > 1 && strcmp(compress_text(s, "code"), "normal"))
        return base_fail(err,
                         "trellis: code=\"%s\" gives one value a step, so bits = %g must be whole (code=\"normal\" "
                         "gives more)",
                         compress_text(s, "code"), bits);
    if (compress_number(s, "state") < step)
        return base_fail(err, "trellis: state = %g bits hold no step of %d", compress_number(s, "state"), step);
    return true;
}

// Blocks as narrow as runs allow, since feedback is exact down to single columns: enough columns for `least` weights,
// and a divisor of all columns where there is one near.
static int64_t find_block(int64_t rows, int64_t cols, int64_t least) {
    int64_t want = (least + rows - 1) / rows;
    if (want >= cols) return cols;
    for (int64_t b = want; b <= 4 * want && b <= cols; b++)
        if (cols % b == 0) return b;
    return want;
}

typedef struct trellis_context {
    trellis_code code;
    int64_t steps;
} trellis_context;

static void encode(const void *context, const feedback_run *run, uint16_t *words, float *q, void *room) {
    const trellis_context *c = context;
    trellis_encode(&c->code, c->steps, run->x, run->weight, words, room);
    trellis_decode(&c->code, c->steps, words, q);
}

static lattice_runs lay_out(const compress_step *s, const layer *l, int values) {
    int64_t block = find_block(l->rows, l->cols, (int64_t)compress_number(s, "least"));
    int64_t most = (int64_t)compress_number(s, "length"), weights = l->rows * block,
            pieces = (weights + most - 1) / most;
    int64_t length = ((weights + pieces - 1) / pieces + values - 1) / values * values;
    return (lattice_runs){l->rows, l->cols, block, length, false};
}

static bool apply(const compress_step *s, layer *l, base_err *err) {
    int values, step, bits = (int)compress_number(s, "state");
    bool hyb = form_of(s) == TRELLIS_HYB;
    BASE_CHECK(find_step(compress_number(s, "bits"), hyb, &values, &step));
    lattice_runs runs = lay_out(s, l, values);
    trellis_context context = {.steps = runs.length / values};
    if (bits > context.steps * step) bits = (int)(context.steps * step); // a run shorter than its own state
    int form = form_of(s);
    if (hyb && bits < TRELLIS_HYB_LEAST) { // too short for the hash as well
        form = TRELLIS_NORMAL;
        base_buf_puts(&l->did, "code normal, since a run is too short for hyb; ");
    }
    feedback_problem p;
    float *owned;
    term *t = NULL;
    bool ok = lattice_open(s, l, &runs, &p, &owned, err) && trellis_open(&context.code, form, bits, step, values, err);
    feedback_coder coder = {context.steps, ok ? trellis_room(&context.code, context.steps) : 0, &context, encode};
    p.coder = &coder;
    if (ok && feedback_solve(&p, err)) {
        t = term_trellis_new(&runs, &context.code, p.codes, p.scales, p.scale_count, p.scale_dtype, err);
        feedback_free(&p);
    }
    ok = lattice_close(l, &p, t, err);
    trellis_close(&context.code);
    base_big_free(owned);
    return ok;
}

const compress_step_kind step_trellis = {
    .name = "trellis",
    .help = "runs of weights as paths through a trellis code, with feedback under H",
    .about =
        "A run is a ring of bits, k of them for each step of V weights (bits = k / V: 1, 2, 4 values a step give\n"
        "quarters); the last `state` bits name the values. Viterbi's search finds the path of the least error, twice\n"
        "around to join its ends. Values are the 2^state normal quantiles in a fixed shuffled order, or QTIP's 1mad\n"
        "and 3inst, or pairs out of a table that a hash of the state names (hyb). Squared error of N(0, 1) at 2 bits: "
        "0.074 with 12 state bits, 0.069 with 16 (Lloyd-Max 0.118, E8P\n"
        "0.0915, D(R) 0.063). Runs go down the columns, so that the feedback to later columns is exact; then `passes`\n"
        "times scales are fitted and each run is chosen again where that lowers the output error.\n"
        "rule(\".*\", rotate{}, trellis{bits=2, state=12}). Not after prune.",
    .source = "QTIP (Tseng et al., NeurIPS 2024, arXiv 2406.11235); fractional bits: Q-Palette (Lee and Song, arXiv "
              "2509.20214); trellis coding: Marcellin and Fischer, IEEE Trans. Commun. 1990",
    .cost = "calibration inputs for the feedback; 2 passes of 2^state (values + 2) operations a step, per pass",
    .args = args,
    .arg_count = sizeof args / sizeof *args,
    .needs = lattice_needs,
    .check = check,
    .apply = apply,
};
