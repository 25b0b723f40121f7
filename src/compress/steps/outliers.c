// outliers: the few weights that a grid would serve worst, stored by themselves; what is left is for later steps.
#include "compress/solvers/gptq.h"
#include "compress/solvers/spqr.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const base_arg args[] = {
    {"criterion", BASE_TEXT, 0, 0, 0, "magnitude", "magnitude|obs|fisher|spqr", "which weights are outliers"},
    {"fraction", BASE_NUM, 0.005, 0, 1, NULL, NULL,
     "magnitude, obs, fisher: fraction of the weights stored by themselves"},
    {"threshold", BASE_NUM, 0.2, 0, 1e6, NULL, NULL,
     "spqr: squared error of an outlier, times the layer's mean of var(w) / U_cc^2"},
    {"bits", BASE_INT, 3, 1, 8, NULL, NULL, "spqr: bits of the quantize step that follows"},
    {"group", BASE_INT, 16, 0, 1 << 30, NULL, NULL,
     "spqr: inputs that share a scale in the step that follows; 0: a row"},
    {"sym", BASE_BOOL, 0, 0, 1, NULL, NULL, "spqr: the step that follows has a symmetric grid"},
    {"values", BASE_TEXT, 0, 0, 0, "f16", "f16|bf16|f32", "stored type of the values"},
    {"format", BASE_TEXT, 0, 0, 0, "auto", "auto|bitmap|index|delta",
     "stored form of the positions; auto: the smallest"},
    {"damp", BASE_NUM, 0.01, 0, 10, NULL, NULL, "obs, spqr: added to the diagonal of H, as a fraction of its mean"},
    {"samples", BASE_INT, 128, 1, 1000000, NULL, NULL, "fisher: calibration samples whose gradients are squared"},
};

static unsigned needs(const compress_step *s) {
    const char *name = compress_text(s, "criterion");
    if (!strcmp(name, "fisher")) return COMPRESS_NEEDS_GRADIENT;
    return !strcmp(name, "obs") || !strcmp(name, "spqr") ? COMPRESS_NEEDS_GRAM : 0;
}

static bool is_spqr(const compress_step *s) {
    return !strcmp(compress_text(s, "criterion"), "spqr");
}

// A share is asked for, or a threshold.
static bool check(const compress_step *s, base_err *err) {
    for (size_t i = 0; i < s->kind->arg_count; i++) {
        const char *name = s->kind->args[i].name;
        bool of_spqr =
            !strcmp(name, "threshold") || !strcmp(name, "bits") || !strcmp(name, "group") || !strcmp(name, "sym");
        if (!s->value[i].given) continue;
        if (is_spqr(s) ? !strcmp(name, "fraction") : of_spqr)
            return base_fail(err, "outliers: %s belongs to criterion %s, the criterion is %s", name,
                             of_spqr ? "spqr" : "magnitude, obs or fisher", compress_text(s, "criterion"));
    }
    return true;
}

// ---- scores --------------------------------------------------------------------------------------------

// 1 / [H^-1]_cc of each input of one group; 0 for inputs that never fire.
static bool obs_costs(const compress_step *s, layer *l, const float *h, float *cost, base_err *err) {
    int64_t n = l->cols;
    double damping, *sum = base_calloc((size_t)n, sizeof *sum);
    float *u = base_big_alloc((size_t)(n * n), sizeof *u, "the inverse of the second moment", err);
    bool ok = u && gptq_factor(l->name, n, h, NULL, compress_number(s, "damp"), u, &damping, l->job, err);
    // H^-1 = U^T U: its diagonal is the sum of squares down the columns of U.
    for (int64_t i = 0; ok && i < n; i++)
        for (int64_t c = i; c < n; c++) sum[c] += (double)u[i * n + c] * (double)u[i * n + c];
    for (int64_t c = 0; ok && c < n; c++) cost[c] = h[c * n + c] > 0 ? (float)(1 / sum[c]) : 0;
    if (ok && !(l->damping > damping)) l->damping = damping;
    base_big_free(u);
    free(sum);
    return ok;
}

static bool score_obs(const compress_step *s, layer *l, float *x, base_err *err) {
    int64_t groups = l->diagonal ? 0 : l->groups, per = groups ? l->rows / groups : 0;
    float *cost = base_calloc((size_t)l->cols, sizeof *cost);
    bool ok = true;
    for (int64_t g = 0; ok && g < groups; g++) {
        ok = obs_costs(s, l, l->h + g * l->cols * l->cols, cost, err);
        for (int64_t r = g * per; ok && r < (g + 1) * per; r++)
            for (int64_t c = 0; c < l->cols; c++) x[r * l->cols + c] *= x[r * l->cols + c] * cost[c];
    }
    // An embedding's H is its row's count times 1.
    for (int64_t i = 0; l->diagonal && i < l->rows * l->cols; i++) x[i] *= x[i] * l->h[i / l->cols];
    free(cost);
    return ok;
}

static bool score(const compress_step *s, layer *l, float *x, base_err *err) {
    const char *name = compress_text(s, "criterion");
    if (!strcmp(name, "obs")) return score_obs(s, l, x, err);
    if (!strcmp(name, "fisher")) memcpy(x, l->fisher, (size_t)(l->rows * l->cols) * sizeof *x);
    return true;
}

// The largest `wanted` scores.
static bool mark_largest(const compress_step *s, layer *l, const float *target, int64_t wanted, uint8_t *mask,
                         base_err *err) {
    int64_t total = l->rows * l->cols;
    float *x = base_big_alloc((size_t)total, sizeof *x, "scores of weights", err);
    if (x) memcpy(x, target, (size_t)total * sizeof *x);
    bool ok = x && score(s, l, x, err);
    if (ok) {
        memset(mask, 1, (size_t)total);
        if (l->mask) memcpy(mask, l->mask, (size_t)total);
        prune_select(x, total, total - wanted, mask); // what pruning took goes first: outliers are kept weights
    }
    base_big_free(x);
    return ok;
}

// Those above SpQR's threshold.
static bool mark_costly(const compress_step *s, layer *l, const float *target, uint8_t *mask, int64_t *found,
                        base_err *err) {
    int64_t rows = l->rows / l->groups, n = rows * l->cols;
    *found = 0;
    for (int64_t g = 0; g < l->groups; g++) {
        spqr_problem p = {.layer = l->name,
                          .w = target + g * n,
                          .h = l->h + g * l->cols * l->cols,
                          .rows = rows,
                          .cols = l->cols,
                          .bits = (int64_t)compress_number(s, "bits"),
                          .group = (int64_t)compress_number(s, "group"),
                          .sym = compress_number(s, "sym") != 0,
                          .threshold = compress_number(s, "threshold"),
                          .damp = compress_number(s, "damp"),
                          .job = l->job,
                          .mask = mask + g * n};
        if (!spqr_mark(&p, err)) return false;
        if (!(l->damping > p.damping)) l->damping = p.damping;
    }
    for (int64_t i = 0; i < l->rows * l->cols; i++) {
        if (l->mask && !l->mask[i]) mask[i] = 0;
        *found += mask[i];
    }
    return true;
}

// ---- the term ------------------------------------------------------------------------------------------

static term *make_term(const compress_step *s, const layer *l, const float *target, const uint8_t *mask, int64_t kept,
                       base_err *err) {
    static const char *const forms[] = {"bitmap", "index", "delta"};
    const char *format = compress_text(s, "format"), *values = compress_text(s, "values");
    num_dtype dtype = !strcmp(values, "f16") ? NUM_F16 : !strcmp(values, "bf16") ? NUM_BF16 : NUM_F32;
    int form = -1;
    for (int i = 0; i < 3; i++)
        if (!strcmp(format, forms[i])) form = i;
    float *compact = base_big_alloc((size_t)kept, sizeof *compact, "outliers", err);
    int64_t n = 0;
    for (int64_t i = 0; compact && i < l->rows * l->cols; i++)
        if (mask[i]) compact[n++] = target[i];
    term *t = compact ? positions_build(mask, l->rows, l->cols, form, 0, 0, err) : NULL;
    // A dense term of the kept values: made as one row, then told its real place.
    term *v = t ? term_dense_new(dtype, compact, 1, kept, err) : NULL;
    base_big_free(compact);
    if (!v) {
        term_free(t);
        return NULL;
    }
    v->rows = l->rows;
    v->cols = l->cols;
    t->child[t->child_count++] = v;
    t->stays = true;
    return t;
}

static bool apply(const compress_step *s, layer *l, base_err *err) {
    int64_t total = l->rows * l->cols, wanted = (int64_t)floor((double)total * compress_number(s, "fraction"));
    int64_t alive = layer_kept(l);
    bool costly = is_spqr(s);
    if (costly && l->diagonal) {
        base_log(l->job, BASE_WARN, "%s: an embedding has no inputs that errors could weigh by; no outliers", l->name);
        base_buf_puts(&l->did, "an embedding has no inputs that errors could weigh by");
        return true;
    }
    if (wanted > alive) wanted = alive;
    if (!costly && !wanted) {
        base_buf_puts(&l->did, "no outliers: the fraction is less than one weight");
        return true;
    }
    const float *target;
    float *owned = NULL;
    uint8_t *mask = base_big_alloc((size_t)total, 1, "positions of outliers", err);
    bool ok = mask && layer_target(l, &target, &owned, err);
    if (ok) ok = costly ? mark_costly(s, l, target, mask, &wanted, err) : mark_largest(s, l, target, wanted, mask, err);
    term *t = ok && wanted ? make_term(s, l, target, mask, wanted, err) : NULL;
    base_big_free(mask);
    base_big_free(owned);
    if (ok && !wanted) base_buf_puts(&l->did, "no outliers: no weight's error is above the threshold");
    if (!t) return ok && !wanted;
    t->kind->describe(t, &l->did);
    return layer_append(l, t, err) && layer_refresh_floats(l, err);
}

const compress_step_kind step_outliers = {
    .name = "outliers",
    .help = "store the few most sensitive weights by themselves; later steps quantise the rest",
    .about =
        "The floor(fraction * count) weights with the largest |w| (magnitude), w^2 / [H^-1]_ii (obs), or sum of "
        "squared\n"
        "gradients (fisher) become a sparse term of floats; what is left of them is about 0, so ranges of later steps "
        "get\n"
        "narrow. spqr: as many as lose more than `threshold` times the layer's mean of var(w_:c) / U_cc^2 in a sweep "
        "as\n"
        "gptq's, each group on a grid fitted without the weights whose absence saves more than that.\n"
        "Alone it stores only them: quantize, codebook or keep must follow. After prune the outliers are chosen among "
        "the\n"
        "kept weights. rule(\".*\", outliers{criterion=\"spqr\", bits=3, group=16}, quantize{solver=\"gptq\", "
        "bits=3, group=16})",
    .source = "spqr: SpQR (Dettmers et al., ICLR 2024, arXiv 2306.03078), algorithm 1; obs: its saliency, equation 2; "
              "fisher: SqueezeLLM (Kim et al., ICML 2024, arXiv 2306.07629), section 4.2, and its code",
    .cost =
        "magnitude: no data; obs: calibration inputs, inputs^3 operations; spqr: as gptq; fisher: a backward pass a "
        "sample",
    .args = args,
    .arg_count = sizeof args / sizeof *args,
    .needs = needs,
    .check = check,
    .apply = apply,
};
