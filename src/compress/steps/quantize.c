// quantize: integer codes for what is left of a layer. The step decides what to aim at and where the codes go; the grid
// (data type, range) and the solver (which code each weight gets) are tables of their own.
#include "compress/steps/quantize_mix.h"
#include "compress/types/fit.h"
#include "compress/types/ggml.h"

#include <string.h>

static const base_arg args[] = {
    {"solver", BASE_TEXT, 0, 0, 0, "rtn",
     "rtn|gptq|adaround|obq|hqq|awq|adaquant|signround|gsq|decoupleq|bpdq|deepcabac", "how codes are chosen"},
    {"bits", BASE_INT, 4, 1, 16, NULL, NULL, "bits a code; 1 with sym is the sign"},
    {"dtype", BASE_TEXT, 0, 0, 0, "int", NULL,
     "int, ternary, binary, nf4, fp4, fp8, eXmY, mxfp4, nvfp4, q4_K, ...: see vise methods dtypes"},
    {"sym", BASE_BOOL, 1, 0, 1, NULL, NULL, "symmetric around 0; false: an integer zero point a group"},
    {"group", BASE_INT, 0, 0, 1 << 30, NULL, NULL, "neighbouring inputs that share a scale; 0: the whole row"},
    {"granularity", BASE_TEXT, 0, 0, 0, "auto", "auto|tensor|channel|column|group|rank1",
     "what shares a scale; auto: group when group > 0, else channel (output row); column: input; rank1: row and column "
     "together"},
    {"narrow", BASE_BOOL, 0, 0, 1, NULL, NULL,
     "symmetric integers without the lowest code: the restricted range -(2^(bits-1) - 1) .. 2^(bits-1) - 1"},
    {"range", BASE_TEXT, 0, 0, 0, "auto", "auto|absmax|minmax|mse|fast|golden|percentile|imatrix|median|cfp|near",
     "range of the grid: extremes, or searched for the least error; median: scale of ternary codes; auto: rtn takes "
     "absmax with sym, else minmax"},
    {"percentile", BASE_NUM, 99.9, 50, 100, NULL, NULL, "range=percentile: of |w| (asym: both ends), in percent"},
    {"scale", BASE_TEXT, 0, 0, 0, "auto", "auto|f16|bf16|f32|e8m0|e4m3|double|super",
     "stored form of scales; auto: f16 (f32 where f16 cannot hold them, and above 8 bits), or what the data type says"},
    {"split", BASE_BOOL, 0, 0, 1, NULL, NULL, "a scale of its own for negative weights (data types with a table)"},
    {"damp", BASE_NUM, 0.01, 0, 10, NULL, NULL, "gptq, obq: added to the diagonal of H, as a fraction of its mean"},
    {"block", BASE_INT, 128, 1, 1024, NULL, NULL, "gptq: columns between two updates of the rest"},
    {"order", BASE_TEXT, 0, 0, 0, "none", "none|act|group",
     "gptq: columns as they are, by falling diagonal of H, or groups and the columns inside each so"},
    {"static", BASE_BOOL, 0, 0, 1, NULL, NULL, "gptq: group scales from the weights before any column is done"},
    {"iterations", BASE_INT, 0, 0, 1000000, NULL, NULL,
     "adaround 2000, adaquant 500, signround 200, gsq 300, decoupleq 6 turns, bpdq 10: steps of the optimiser; 0: that "
     "number"},
    {"rate", BASE_NUM, 0, 0, 1, NULL, NULL,
     "adaquant, signround, gsq: learning rate at the start; 0: the solver's own"},
    {"refine", BASE_TEXT, 0, 0, 0, "none", "none|cd",
     "cd: coordinate descent on the codes afterwards, under the inputs' second moment"},
    {"passes", BASE_INT, 8, 1, 1000, NULL, NULL, "refine: most passes over the columns"},
    {"norm", BASE_NUM, 0.7, 0.1, 2, NULL, NULL, "hqq: norm of the error that is minimised"},
    {"beta", BASE_NUM, 10, 1e-3, 1e6, NULL, NULL, "hqq: weight of the split between error and grid"},
    {"turns", BASE_INT, 20, 0, 1000, NULL, NULL, "hqq: most turns over error and zero points"},
    {"lambda", BASE_NUM, 0.1, 0, 1e6, NULL, NULL, "deepcabac: what a bit is worth, in squared steps"},
    {"step", BASE_NUM, 0, 0, 1e3, NULL, NULL,
     "deepcabac: step size in root mean squares of the layer's weights (granularity=channel: of each row's); 0: by "
     "bits "
     "and range"},
    {"feedback", BASE_BOOL, 1, 0, 1, NULL, NULL, "deepcabac: later columns make up for each error, as in gptq"},
    {"pad", BASE_TEXT, 0, 0, 0, "short", "short|error",
     "groups that do not divide the row: a shorter last one, or an error"},
    {"mix", BASE_TEXT, 0, 0, 0, "none", "none|salience|rows|mask",
     "bits that differ inside a layer: of groups of inputs, of outputs, or signs but for salient inputs"},
    {"high", BASE_INT, 0, 0, 8, NULL, NULL, "mix=rows, mask: bits of the salient part; 0: 8, of mask 4"},
    {"share", BASE_NUM, 0, 0, 1, NULL, NULL,
     "mix=rows: share of the weights of the rule's layers that get `high` bits (0: 0.1); mask: share of inputs (0: "
     "0.2)"},
    {"nested", BASE_INT, 0, 0, GRID_MOST_BITS - 1, NULL, NULL,
     "least width that the codes can be cut to later (double rounding); ranges suit all widths; 0: not meant for it"},
    {"rows", BASE_NUM, 1, 0, 1, NULL, NULL, "share of the outputs that get codes, those with the largest remainder"},
};

// What the solver and the refinement ask for; the range search wants only the diagonal.
static unsigned solver_needs(const compress_step *s) {
    const compress_solver *solver = compress_solver_find(compress_text(s, "solver"));
    unsigned own = solver ? solver->needs : 0;
    return strcmp(compress_text(s, "refine"), "none") ? own | COMPRESS_NEEDS_GRAM : own;
}

static unsigned needs(const compress_step *s) {
    return solver_needs(s) | quantize_mix_needs(s) | (quantize_range_needs_gram(s) ? COMPRESS_NEEDS_GRAM : 0);
}

static bool is_given(const compress_step *s, const char *name) {
    for (size_t i = 0; i < s->kind->arg_count; i++)
        if (!strcmp(s->kind->args[i].name, name)) return s->value[i].given;
    return false;
}

// hqq and bpdq choose their own grids.
static bool check_own_grid(const compress_step *s, base_err *err) {
    static const char *const own[] = {"sym", "range", "dtype"};
    bool hqq = !strcmp(compress_text(s, "solver"), "hqq");
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        // sym=false and dtype=int only say what these are anyway.
        bool same = !strcmp(own[i], "sym") ? compress_number(s, "sym") == 0
                    : !strcmp(own[i], "dtype")
                        ? !strncmp(compress_text(s, "dtype") + (*compress_text(s, "dtype") == 'u'), "int", 3)
                        : false;
        if (is_given(s, own[i]) && !same)
            return base_fail(err, "quantize: solver %s; %s does not go with it",
                             hqq ? "hqq has integers with a real zero point and their whole range"
                                 : "bpdq fits levels of its own to each group",
                             own[i]);
    }
    return true;
}

static bool check_nested(const compress_step *s, const grid_spec *g, const type_choice *choice, base_err *err) {
    if (compress_number(s, "nested") == 0) return true;
    const char *solver = compress_text(s, "solver");
    if (!choice->even || choice->block || !choice->integer || g->form != SCALE_PLAIN)
        return base_fail(err, "quantize: nested is for integers (dtype=int) with scales of type f16, bf16 or f32");
    if (g->nested < 2 || g->nested >= g->bits)
        return base_fail(err, "quantize: nested=%lld, expected a width from 2 to bits - 1 = %lld", (long long)g->nested,
                         (long long)g->bits - 1);
    if (strcmp(compress_text(s, "range"), "auto"))
        return base_fail(err, "quantize: nested finds the range that suits all widths, range=\"%s\" contradicts it",
                         compress_text(s, "range"));
    if (!strcmp(solver, "hqq") || !strcmp(solver, "awq") || quantize_is_mixed(s))
        return base_fail(err,
                         "quantize: nested goes with one grid for the layer, not with solver hqq or awq, mix or rows");
    return true;
}

static bool check(const compress_step *s, base_err *err) {
    grid_spec g;
    type_choice choice;
    if (!compress_solver_find(compress_text(s, "solver")))
        return base_fail(err, "quantize: there is no solver '%s'", compress_text(s, "solver"));
    const char *solver = compress_text(s, "solver");
    if ((!strcmp(solver, "hqq") || !strcmp(solver, "bpdq")) && !check_own_grid(s, err)) return false;
    const char *range = compress_text(s, "range");
    if (!strcmp(solver, "awq") && strcmp(range, "auto") && strcmp(range, "absmax") && strcmp(range, "minmax"))
        return base_fail(err,
                         "quantize: solver awq finds the range of each group itself, by clipping; range=\"%s\" does "
                         "not go with it",
                         range);
    if (!quantize_grid(s, &g, &choice, err)) return false;
    if (quantize_is_rank1(s) && !quantize_check_rank1(s, &g, choice.even, err)) return false;
    if (!choice.even && !choice.block && compress_solver_find(compress_text(s, "solver"))->even_only)
        return base_fail(err,
                         "quantize: solver %s counts in whole steps of an even grid, dtype %s has levels of its own",
                         compress_text(s, "solver"), compress_text(s, "dtype"));
    return check_nested(s, &g, &choice, err) && quantize_mix_check(s, &g, &choice, err);
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

// ggml's formats hold every weight of a row, so a pruned layer cannot take them.
static term *make_blocks(const compress_step *s, const layer *l, const solver_problem *p, const ggml_type *f,
                         base_err *err) {
    if (l->mask) {
        base_fail(err, "dtype %s stores every weight of a row: it does not go with a pruned layer", f->name);
        return NULL;
    }
    if (l->cols % f->length && !strcmp(compress_text(s, "pad"), "error")) {
        base_fail(err, "blocks of %d do not divide the %lld inputs (pad=\"short\" fills rows up with zeros)", f->length,
                  (long long)l->cols);
        return NULL;
    }
    if (l->cols % f->length)
        base_log(l->job, BASE_INFO, "%s: blocks of %d do not divide %lld inputs; each row is filled up with %lld zeros",
                 l->name, f->length, (long long)l->cols, (long long)(f->length - l->cols % f->length));
    return term_blocks_encode(p, f, quantize_range_needs_gram(s), err);
}

static bool make_table(solver_problem *p, table_type *type, grid_table *table, base_err *err) {
    float levels[TABLE_MOST] = {0};
    p->grid.table = table;
    return type_fit(p, type, levels, err) && table_build(type, levels, table, err);
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
                        .step = s,
                        .seed = l->seed,
                        .job = l->job,
                        .damping = l->damping};
    type_choice choice;
    grid_table table;
    if (!quantize_grid(s, &p.grid, &choice, err) || !fit_groups(s, l, &p.grid, err)) return false;
    float *owned;
    bool weighted = (solver_needs(s) | quantize_mix_needs(s)) & COMPRESS_NEEDS_GRAM;
    bool ready = weighted ? layer_objective(l, &p.r, &owned, err) : layer_target(l, &p.r, &owned, err);
    p.remainder = weighted && owned;
    ready = ready && (choice.even || choice.block || make_table(&p, &choice.type, &table, err));
    term *t = !ready                 ? NULL
              : choice.block         ? make_blocks(s, l, &p, choice.block, err)
              : quantize_is_rank1(s) ? quantize_rank1(solver, &p, layer_kept(l), err)
              : quantize_is_mixed(s) ? quantize_mixed(s, solver, &p, l, err)
                                     : solver_quantize(solver, &p, layer_kept(l), err);
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
        "dtype: data types with levels of their own (vise methods dtypes) take the same solvers, groups and ranges.\n"
        "granularity=rank1: the scale of w_ij is min(r_i, c_j) / top, the largest magnitudes of its row and its "
        "column\n"
        "(with dtype=midrise the zero-excluding linear grid of 4-bit optimiser states).\n"
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
    .plan = quantize_mix_plan,
};
