// scale, rotate, permute: maps of a layer's inputs that the later steps work behind. Decoding maps back, so that what
// the network computes with is a weight of the usual form; the map is stored with the layer and counted.
#include "compress/map.h"
#include "compress/solvers/awq.h"
#include "compress/solvers/dual.h"
#include "compress/solvers/smooth.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is(const compress_step *s, const char *arg, const char *text) {
    return !strcmp(compress_text(s, arg), text);
}

// ---- scale -----------------------------------------------------------------------------------------

static const base_arg scale_args[] = {
    {"method", BASE_TEXT, 0, 0, 0, "smooth", "smooth|svdquant|awq|asvd|gram|dual",
     "how the scales of the inputs are chosen"},
    {"alpha", BASE_NUM, 0.5, 0, 1, NULL, NULL, "smooth, asvd, gram: exponent of the inputs' magnitude"},
    {"bits", BASE_INT, 4, 2, 16, NULL, NULL, "svdquant, awq, dual: bits of the quantize step that follows"},
    {"group", BASE_INT, 0, 0, 1 << 30, NULL, NULL,
     "svdquant, awq, dual: inputs that share a scale in the step that follows; 0: a row"},
    {"sym", BASE_BOOL, 0, 0, 1, NULL, NULL, "svdquant, awq, dual: the step that follows has a symmetric grid"},
    {"rank", BASE_INT, 0, 0, 1 << 30, NULL, NULL, "svdquant: rank of the lowrank step in between; 0: none"},
    {"grids", BASE_INT, 20, 2, 1000, NULL, NULL, "svdquant: exponents are multiples of 1 / grids"},
};

static unsigned scale_needs(const compress_step *s) {
    bool own = is(s, "method", "gram") || is(s, "method", "dual");
    if (is(s, "method", "svdquant")) return COMPRESS_NEEDS_GRAM | COMPRESS_NEEDS_STATS;
    return (own || is(s, "method", "awq") ? COMPRESS_NEEDS_GRAM : 0) | (own ? 0 : COMPRESS_NEEDS_STATS);
}

// s = magnitude^alpha / (largest |w| of the column)^(1 - alpha); without the weight's part for asvd and gram.
static void power_scales(const compress_step *s, const layer *l, float *out) {
    double alpha = compress_number(s, "alpha");
    bool smooth = is(s, "method", "smooth"), gram = is(s, "method", "gram");
    int64_t rows = l->rows / l->groups, cols = l->cols;
    for (int64_t g = 0; g < l->groups; g++)
        for (int64_t c = 0; c < cols; c++) {
            double x = gram ? sqrt((double)l->h[(g * cols + c) * cols + c])
                            : (double)(smooth ? l->stats->max_abs : l->stats->mean_abs)[g * cols + c];
            double most = 0;
            for (int64_t r = g * rows; r < (g + 1) * rows; r++) most = fmax(most, fabs((double)l->w[r * cols + c]));
            double value = pow(fmax(x, 1e-5), alpha) / (smooth ? pow(fmax(most, 1e-5), 1 - alpha) : 1);
            out[g * cols + c] = (float)fmax(value, 1e-5);
        }
}

// A common factor of all scales changes nothing; the middle of their range at 1 suits float16.
static void centre(float *s, int64_t n) {
    float least = INFINITY, most = 0;
    for (int64_t i = 0; i < n; i++) {
        least = fminf(least, s[i]);
        most = fmaxf(most, s[i]);
    }
    double middle = sqrt((double)least * (double)most);
    for (int64_t i = 0; i < n; i++) s[i] = (float)((double)s[i] / middle);
}

static bool awq_scales(const compress_step *s, layer *l, float *scales, base_err *err) {
    awq_search a = {.layer = l->name,
                    .w = l->w,
                    .h = l->h,
                    .mean_abs = l->stats->mean_abs,
                    .rows = l->rows,
                    .cols = l->cols,
                    .groups = l->groups,
                    .job = l->job,
                    .scales = scales};
    a.grid = (grid_spec){.bits = (int64_t)compress_number(s, "bits"),
                         .group = (int64_t)compress_number(s, "group"),
                         .scheme = compress_number(s, "sym") != 0 ? UNIFORM_SYM : UNIFORM_ASYM,
                         .scale = NUM_F32};
    if (!awq_find_scales(&a, err)) return false;
    base_buf_printf(&l->did, "scaled by awq, ratio %g", a.ratio);
    return true;
}

static bool dual_scales(const compress_step *s, layer *l, float *scales, base_err *err) {
    bool sym = compress_number(s, "sym") != 0;
    dual_search d = {.layer = l->name,
                     .w = l->w,
                     .h = l->h,
                     .rows = l->rows,
                     .cols = l->cols,
                     .groups = l->groups,
                     .job = l->job,
                     .scales = scales};
    d.grid = (grid_spec){.bits = (int64_t)compress_number(s, "bits"),
                         .group = (int64_t)compress_number(s, "group"),
                         .scheme = sym ? UNIFORM_SYM : UNIFORM_ASYM,
                         .absmax = sym,
                         .scale = NUM_F32};
    if (!dual_find_scales(&d, err)) return false;
    base_buf_printf(&l->did, "column scales, output error of rounding times %.3g", d.plain > 0 ? d.best / d.plain : 1);
    return true;
}

// No scales at all are one of the choices: *none.
static bool searched_scales(const compress_step *s, layer *l, float *scales, bool *none, base_err *err) {
    bool sym = compress_number(s, "sym") != 0;
    smooth_search k = {.layer = l->name,
                       .w = l->w,
                       .h = l->h,
                       .max_abs = l->stats->max_abs,
                       .rows = l->rows,
                       .cols = l->cols,
                       .groups = l->groups,
                       .rank = (int64_t)compress_number(s, "rank"),
                       .grids = (int64_t)compress_number(s, "grids"),
                       .job = l->job,
                       .scales = scales};
    k.grid = (grid_spec){.bits = (int64_t)compress_number(s, "bits"),
                         .group = (int64_t)compress_number(s, "group"),
                         .scheme = sym ? UNIFORM_SYM : UNIFORM_ASYM,
                         .absmax = sym,
                         .scale = NUM_F32};
    if (!smooth_find_scales(&k, err)) return false;
    *none = k.alpha == 0 && k.beta == 0;
    if (*none)
        base_buf_printf(&l->did, "not scaled: no exponents lower the output error");
    else
        base_buf_printf(&l->did, "scaled, alpha %g, beta %g, output error times %.3g", k.alpha, k.beta,
                        k.best / k.plain);
    return true;
}

static bool scale_apply(const compress_step *s, layer *l, base_err *err) {
    if (l->diagonal) {
        base_log(l->job, BASE_WARN, "%s: an embedding has no inputs to scale; left as it is", l->name);
        base_buf_puts(&l->did, "an embedding has no inputs to scale");
        return true;
    }
    if ((scale_needs(s) & COMPRESS_NEEDS_STATS) && (!l->stats || !l->stats->mean_abs))
        return base_fail(err, "magnitudes of the inputs are not known behind a rotation: scale goes before rotate");
    int64_t n = l->groups * l->cols;
    float *scales = base_big_alloc((size_t)n, sizeof *scales, "scales of a layer's inputs", err);
    bool ok = scales != NULL, none = false;
    if (ok && is(s, "method", "svdquant")) {
        ok = searched_scales(s, l, scales, &none, err);
    } else if (ok && is(s, "method", "awq")) {
        ok = awq_scales(s, l, scales, err);
    } else if (ok && is(s, "method", "dual")) {
        ok = dual_scales(s, l, scales, err);
    } else if (ok) {
        power_scales(s, l, scales);
        centre(scales, n);
        base_buf_printf(&l->did, "scaled, %s", compress_text(s, "method"));
    }
    map m = {.form = MAP_SCALE, .side = MAP_IN, .scale = scales};
    ok = ok && (none || layer_map(l, &m, err));
    base_big_free(scales);
    return ok;
}

const compress_step_kind step_scale = {
    .name = "scale",
    .help = "scale the inputs of a layer, so that later steps spend their accuracy where the inputs are large",
    .about =
        "W x = (W s) (x / s): the steps that follow see W s and inputs x / s; decoding divides by s, stored as f16.\n"
        "smooth: s = max|x|^alpha / max|w|^(1-alpha) of each input. svdquant: s = max|x|^a / max|w|^b, (a, b) from "
        "(0, 0),\n"
        "(i/20, 0), (i/20, 1 - i/20) with the least output error behind a low-rank part of `rank` and rounding. awq: s "
        "= mean|x|^r over sqrt(max s min s), the\n"
        "ratio r = 0, 0.05, .. 0.95 with the least output error of rounding W s to `bits` in groups of `group`.\n"
        "asvd: s = mean|x|^alpha. gram: s = H_jj^(alpha/2). dual: 1/s and the codes of W s by turns, least output\n"
        "error (vise methods dual-scale). Goes before the steps that store terms.\n"
        "rule(\".*\", scale{method=\"smooth\"}, lowrank{rank=16, factors=\"f16\"}, quantize{bits=4, group=64})",
    .source = "SmoothQuant (Xiao et al., ICML 2023, arXiv 2211.10438), equation 4; SVDQuant (arXiv 2411.05007); AWQ "
              "(arXiv 2306.00978); ASVD (arXiv "
              "2312.05821)",
    .cost =
        "calibration inputs; smooth, asvd: one pass; awq: 20 roundings and outputs inputs^2 operations each; svdquant: "
        "39 of them, each with an eigendecomposition where there is a rank",
    .args = scale_args,
    .arg_count = sizeof scale_args / sizeof *scale_args,
    .needs = scale_needs,
    .apply = scale_apply,
};

// ---- rotate ----------------------------------------------------------------------------------------

static const base_arg rotate_args[] = {
    {"method", BASE_TEXT, 0, 0, 0, "hadamard", "hadamard|paley|random",
     "fast signed Hadamard transform; the same with true Hadamard matrices of more sides (28, 36, 76, ..); any "
     "rotation"},
    {"side", BASE_TEXT, 0, 0, 0, "in", "in|out|both", "inputs, outputs or both"},
    {"seed", BASE_INT, 1, 0, INT32_MAX, NULL, NULL, "of the signs or reflections; all of the map that is stored"},
};

static int rotation_for(const compress_step *s, int64_t n) {
    return is(s, "method", "random") ? MAP_RANDOM : is(s, "method", "paley") ? map_hadamard_for(n) : MAP_HADAMARD;
}

static bool rotate_apply(const compress_step *s, layer *l, base_err *err) {
    map m = {.seed = (uint64_t)compress_number(s, "seed"), .side = is(s, "side", "out") ? MAP_OUT : MAP_IN};
    m.form = rotation_for(s, m.side == MAP_IN ? l->cols : l->rows / l->groups);
    if (!layer_map(l, &m, err)) return false;
    m.side = MAP_OUT;
    m.form = rotation_for(s, l->rows / l->groups);
    if (is(s, "side", "both") && !layer_map(l, &m, err)) return false;
    base_buf_printf(&l->did, "rotated, %s %s", compress_text(s, "method"), compress_text(s, "side"));
    return true;
}

const compress_step_kind step_rotate = {
    .name = "rotate",
    .help = "rotate the inputs or outputs of a layer, which spreads outliers over all weights of a row",
    .about =
        "W x = (W R) (R^T x) with R orthogonal: the steps that follow see W R; decoding turns back. Only the seed is\n"
        "stored. hadamard: R = D (H_2^k x B), D random signs, n = 2^k m, B Paley's first Hadamard matrix of side 4m or "
        "the\n"
        "Hartley matrix of side m: n log n + n m operations a row. paley: his second matrix before Hartley's, which "
        "gives\n"
        "n = 2^k 28, 36, 76, .. entries of one size. random: Haar distributed, n^2 a row, n up to 2,048.\n"
        "Goes before prune and quantize. rule(\".*\", rotate{}, quantize{bits=3, group=64})",
    .source = "QuaRot (Ashkboos et al., NeurIPS 2024, arXiv 2404.00456); QuIP# (Tseng et al., ICML 2024, arXiv "
              "2402.04396): both sides; random: Stewart, SIAM J. Numer. Anal. 1980",
    .cost = "no data; n log n operations a row (random: n^2), on every load too",
    .args = rotate_args,
    .arg_count = sizeof rotate_args / sizeof *rotate_args,
    .apply = rotate_apply,
};

// ---- permute ---------------------------------------------------------------------------------------

static const base_arg permute_args[] = {
    {"order", BASE_TEXT, 0, 0, 0, "act", "act|weight|random",
     "falling second moment of the input, largest |w|, or any"},
    {"seed", BASE_INT, 1, 0, INT32_MAX, NULL, NULL, "order=random: of the order"},
};

static unsigned permute_needs(const compress_step *s) {
    return is(s, "order", "act") ? COMPRESS_NEEDS_GRAM : 0;
}

typedef struct place {
    double key;
    int32_t at;
} place;

// Falling key; equal ones stay in order.
static int by_key(const void *a, const void *b) {
    const place *x = a, *y = b;
    return x->key != y->key ? (x->key > y->key ? -1 : 1) : x->at < y->at ? -1 : x->at > y->at;
}

static void order_group(const compress_step *s, const layer *l, int64_t g, num_rng *rng, place *p) {
    int64_t rows = l->rows / l->groups, cols = l->cols;
    for (int64_t c = 0; c < cols; c++) {
        p[c] = (place){0, (int32_t)c};
        if (is(s, "order", "act")) p[c].key = (double)l->h[(g * cols + c) * cols + c];
        if (is(s, "order", "random")) p[c].key = num_rng_unit(rng);
        for (int64_t r = g * rows; is(s, "order", "weight") && r < (g + 1) * rows; r++)
            p[c].key = fmax(p[c].key, fabs((double)l->w[r * cols + c]));
    }
    qsort(p, (size_t)cols, sizeof *p, by_key);
}

static bool permute_apply(const compress_step *s, layer *l, base_err *err) {
    if (l->diagonal && is(s, "order", "act")) {
        base_log(l->job, BASE_WARN, "%s: an embedding has no inputs to order by; left as it is", l->name);
        base_buf_puts(&l->did, "an embedding has no inputs to order by");
        return true;
    }
    num_rng rng = num_rng_seed((uint64_t)compress_number(s, "seed"), 67);
    place *p = base_big_alloc((size_t)l->cols, sizeof *p, "an order of inputs", err);
    int32_t *from = p ? base_big_alloc((size_t)(l->groups * l->cols), sizeof *from, "an order of inputs", err) : NULL;
    for (int64_t g = 0; from && g < l->groups; g++) {
        order_group(s, l, g, &rng, p);
        for (int64_t c = 0; c < l->cols; c++) from[g * l->cols + c] = p[c].at;
    }
    map m = {.form = MAP_PERMUTE, .side = MAP_IN, .from = from};
    bool ok = from && layer_map(l, &m, err);
    base_buf_printf(&l->did, "permuted, %s", compress_text(s, "order"));
    base_big_free(p);
    base_big_free(from);
    return ok;
}

const compress_step_kind step_permute = {
    .name = "permute",
    .help = "put a layer's inputs in another order, so that groups gather inputs of one size",
    .about =
        "The steps that follow see the columns of W in the new order; decoding puts them back. The order is stored:\n"
        "two bytes an input. act: falling second moment, which makes quantize{solver=\"gptq\", group=...} the\n"
        "act-order with moving groups of its authors. An embedding is left alone under act.\n"
        "rule(\".*\", permute{order=\"act\"}, quantize{solver=\"gptq\", bits=3, group=64})",
    .source = "act-order: GPTQ's code (IST-DASLab/gptq); RPTQ (arXiv 2304.01089)",
    .cost = "act: calibration inputs; a sort of the inputs",
    .args = permute_args,
    .arg_count = sizeof permute_args / sizeof *permute_args,
    .needs = permute_needs,
    .apply = permute_apply,
};
