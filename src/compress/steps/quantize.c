// quantize: integer codes for what is left of a layer. The step decides what to aim at and where the codes go; the grid
// (data type, range) and the solver (which code each weight gets) are tables of their own.
#include "compress/layer.h"

#include <string.h>

static const base_arg args[] = {
    {"solver", BASE_TEXT, 0, 0, 0, "rtn", "rtn|gptq|adaround|obq|hqq", "how codes are chosen"},
    {"bits", BASE_INT, 4, 1, 8, NULL, NULL, "bits a code; 1 with sym is the sign"},
    {"dtype", BASE_TEXT, 0, 0, 0, "int", "int|ternary",
     "grid: integers of `bits` bits, or -1, 0, 1 at 1.6 bits a weight"},
    {"sym", BASE_BOOL, 1, 0, 1, NULL, NULL, "symmetric around 0; false: an integer zero point a group"},
    {"group", BASE_INT, 0, 0, 1 << 30, NULL, NULL, "neighbouring inputs that share a scale; 0: the whole row"},
    {"granularity", BASE_TEXT, 0, 0, 0, "auto", "auto|tensor|channel|group",
     "what shares a scale; auto: group when group > 0, else channel (output row)"},
    {"range", BASE_TEXT, 0, 0, 0, "auto", "auto|absmax|minmax|mse",
     "range of the grid: extremes, or searched for the least error; auto: rtn takes absmax with sym, else minmax"},
    {"scale", BASE_TEXT, 0, 0, 0, "f16", "f16|bf16|f32", "stored type of scales (f32 where f16 cannot hold them)"},
    {"damp", BASE_NUM, 0.01, 0, 10, NULL, NULL, "gptq, obq: added to the diagonal of H, as a fraction of its mean"},
    {"block", BASE_INT, 128, 1, 1024, NULL, NULL, "gptq: columns between two updates of the rest"},
    {"order", BASE_TEXT, 0, 0, 0, "none", "none|act", "gptq: columns as they are, or by falling diagonal of H"},
    {"static", BASE_BOOL, 0, 0, 1, NULL, NULL, "gptq: group scales from the weights before any column is done"},
    {"iterations", BASE_INT, 2000, 1, 1000000, NULL, NULL, "adaround: steps of the optimiser"},
    {"refine", BASE_TEXT, 0, 0, 0, "none", "none|cd",
     "cd: coordinate descent on the codes afterwards, under the inputs' second moment"},
    {"passes", BASE_INT, 8, 1, 1000, NULL, NULL, "refine: most passes over the columns"},
    {"norm", BASE_NUM, 0.7, 0.1, 2, NULL, NULL, "hqq: norm of the error that is minimised"},
    {"beta", BASE_NUM, 10, 1e-3, 1e6, NULL, NULL, "hqq: weight of the split between error and grid"},
    {"turns", BASE_INT, 20, 0, 1000, NULL, NULL, "hqq: most turns over error and zero points"},
    {"pad", BASE_TEXT, 0, 0, 0, "short", "short|error",
     "groups that do not divide the row: a shorter last one, or an error"},
};

static unsigned needs(const compress_step *s) {
    const compress_solver *solver = compress_solver_find(compress_text(s, "solver"));
    unsigned refine = strcmp(compress_text(s, "refine"), "none") ? COMPRESS_NEEDS_GRAM : 0;
    return solver ? solver->needs | refine : 0;
}

static bool is_given(const compress_step *s, const char *name) {
    for (size_t i = 0; i < s->kind->arg_count; i++)
        if (!strcmp(s->kind->args[i].name, name)) return s->value[i].given;
    return false;
}

// hqq chooses its own grid.
static bool check_hqq(const compress_step *s, base_err *err) {
    static const char *const own[] = {"sym", "range", "dtype"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (is_given(s, own[i]))
            return base_fail(err,
                             "quantize: solver hqq has integers with a real zero point and their whole range; %s "
                             "does not go with it",
                             own[i]);
    return true;
}

static bool check(const compress_step *s, base_err *err) {
    const char *gran = compress_text(s, "granularity");
    bool group = compress_number(s, "group") > 0;
    if (!compress_solver_find(compress_text(s, "solver")))
        return base_fail(err, "quantize: there is no solver '%s'", compress_text(s, "solver"));
    if (!strcmp(compress_text(s, "solver"), "hqq") && !check_hqq(s, err)) return false;
    if (!strcmp(gran, "group") && !group) return base_fail(err, "quantize: granularity group needs group > 0");
    if (group && (!strcmp(gran, "tensor") || !strcmp(gran, "channel")))
        return base_fail(err, "quantize: group=%g contradicts granularity %s", compress_number(s, "group"), gran);
    if (!strcmp(compress_text(s, "dtype"), "ternary") && compress_number(s, "sym") == 0)
        return base_fail(err, "quantize: the ternary grid is symmetric, sym=false contradicts it");
    return true;
}

static grid_spec make_grid(const compress_step *s) {
    grid_spec g = {.bits = (int64_t)compress_number(s, "bits"), .group = (int64_t)compress_number(s, "group")};
    const char *scale = compress_text(s, "scale");
    const char *range = compress_text(s, "range");
    g.mse = !strcmp(range, "mse");
    // The authors of gptq use the wider grid, and with error feedback it is the better one; by itself it clips the
    // largest weight, so rounding to nearest does better on absmax.
    bool rounds = !strcmp(compress_text(s, "solver"), "rtn");
    g.absmax = !strcmp(range, "absmax") || (!strcmp(range, "auto") && rounds);
    g.scale = !strcmp(scale, "f16") ? NUM_F16 : !strcmp(scale, "bf16") ? NUM_BF16 : NUM_F32;
    if (!strcmp(compress_text(s, "granularity"), "tensor")) g.group = GROUP_TENSOR;
    if (!strcmp(compress_text(s, "dtype"), "ternary")) {
        g.scheme = UNIFORM_TERNARY;
        g.bits = 2;
    } else if (compress_number(s, "sym") == 0) {
        g.scheme = UNIFORM_ASYM;
    } else {
        g.scheme = g.bits == 1 ? UNIFORM_SIGN : UNIFORM_SYM;
    }
    return g;
}

static bool fit_groups(const compress_step *s, const layer *l, grid_spec *g, base_err *err) {
    if (g->group <= 0 || l->cols % g->group == 0) return true;
    if (!strcmp(compress_text(s, "pad"), "error"))
        return base_fail(err,
                         "groups of %lld do not divide the %lld inputs (pad=\"short\" allows a shorter last group)",
                         (long long)g->group, (long long)l->cols);
    base_log(l->job, BASE_INFO, "%s: groups of %lld do not divide %lld inputs; the last of each row has %lld", l->name,
             (long long)g->group, (long long)l->cols, (long long)(l->cols % g->group));
    return true;
}

static bool apply(const compress_step *s, layer *l, base_err *err) {
    const compress_solver *solver = compress_solver_find(compress_text(s, "solver"));
    solver_problem p = {.layer = l->name,
                        .mask = l->mask,
                        .h = l->h,
                        .rows = l->rows,
                        .cols = l->cols,
                        .groups = l->groups,
                        .diagonal = l->diagonal,
                        .grid = make_grid(s),
                        .step = s,
                        .seed = l->seed,
                        .job = l->job,
                        .damping = l->damping};
    if (!fit_groups(s, l, &p.grid, err)) return false;
    float *owned;
    bool weighted = needs(s) & COMPRESS_NEEDS_GRAM;
    bool ok = weighted ? layer_objective(l, &p.r, &owned, err) : layer_target(l, &p.r, &owned, err);
    term *t = ok ? solver_quantize(solver, &p, layer_kept(l), err) : NULL;
    base_big_free(owned);
    if (!t) return false;
    l->damping = p.damping;
    t->kind->describe(t, &l->did);
    return layer_put_values(l, t, err);
}

const compress_step_kind step_quantize = {
    .name = "quantize",
    .help = "round what is left of the weight to integer codes with scales",
    .about =
        "w ~ scale * (code - zero), one scale (and zero point) a group, row or tensor; group scales are stored as "
        "f16.\n"
        "sym: zero = 2^(bits-1), scale = max|w| / (2^(bits-1) - 1) so that the largest weight is a level "
        "(range=minmax:\n"
        "2 max|w| / (2^bits - 1), GPTQ's). asym: scale = (max - min) / (2^bits - 1),\n"
        "zero = round(-min / scale), the range always containing 0. bits=1 with sym is the sign with scale mean|w|.\n"
        "dtype=ternary: -1, 0, 1 with scale mean|w| (range=mse: the exact least-squares scale), five to a byte.\n"
        "Alone or first: codes of the weight. After quantize: codes of the remainder W - Q are added (residual).\n"
        "After lowrank: codes of W - UV. After prune: the kept weights' values are replaced by codes, ranges found "
        "over\n"
        "kept weights only, pruned ones stay 0; a second quantize adds codes of the kept weights' remainder.\n"
        "After keep{dtype}: replaces the float values.",
    .source = "uniform affine quantisation; grid and search as in GPTQ (arXiv 2210.17323); sign: XNOR-Net (arXiv "
              "1603.05279); ternary: BitNet b1.58 (arXiv 2402.17764)",
    .cost = "rtn: no data, one pass (range=mse: 80); gptq: calibration inputs, inputs^3 + outputs inputs^2 operations",
    .args = args,
    .arg_count = sizeof args / sizeof *args,
    .needs = needs,
    .check = check,
    .apply = apply,
};
