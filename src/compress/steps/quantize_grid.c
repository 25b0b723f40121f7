// quantize_grid: from the arguments of quantize to a grid - data type, range, groups, form of the scales.
#include "compress/steps/quantize_grid.h"

#include <string.h>

static bool is(const compress_step *s, const char *arg, const char *text) {
    return strcmp(compress_text(s, arg), text) == 0;
}

static bool given(const compress_step *s, const char *arg) {
    for (size_t i = 0; i < s->kind->arg_count; i++)
        if (!strcmp(s->kind->args[i].name, arg)) return s->value[i].given;
    return false;
}

bool quantize_range_needs_gram(const compress_step *s) {
    return is(s, "range", "golden") || is(s, "range", "imatrix");
}

static bool set_scale(const compress_step *s, int preset, grid_spec *g, base_err *err) {
    static const struct {
        const char *name;
        num_dtype plain;
        int form;
    } forms[] = {{"f16", NUM_F16, SCALE_PLAIN},   {"bf16", NUM_BF16, SCALE_PLAIN}, {"f32", NUM_F32, SCALE_PLAIN},
                 {"e8m0", NUM_F32, SCALE_E8M0},   {"e4m3", NUM_F32, SCALE_E4M3},   {"double", NUM_F32, SCALE_DOUBLE},
                 {"super", NUM_F32, SCALE_SUPER}, {"auto", NUM_F16, SCALE_PLAIN}};
    const char *scale = compress_text(s, "scale");
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (!strcmp(forms[i].name, scale)) g->scale = forms[i].plain, g->form = forms[i].form;
    // The rounding of an f16 scale would cost more than the steps of codes this wide.
    if (!strcmp(scale, "auto") && g->bits > 8) g->scale = NUM_F32;
    if (preset < 0) return true;
    if (strcmp(scale, "auto") != 0 && g->form != preset)
        return base_fail(err, "quantize: dtype %s has scales of its own, scale=\"%s\" contradicts it",
                         compress_text(s, "dtype"), scale);
    g->form = preset;
    return true;
}

static bool set_group(const compress_step *s, int64_t preset, grid_spec *g, base_err *err) {
    const char *gran = compress_text(s, "granularity");
    double group = compress_number(s, "group");
    if (preset && given(s, "group") && (int64_t)group != preset)
        return base_fail(err, "quantize: dtype %s has groups of %lld, group=%g contradicts it",
                         compress_text(s, "dtype"), (long long)preset, group);
    if (preset && (!strcmp(gran, "tensor") || !strcmp(gran, "channel") || !strcmp(gran, "column")))
        return base_fail(err, "quantize: dtype %s has groups of %lld, granularity %s contradicts it",
                         compress_text(s, "dtype"), (long long)preset, gran);
    g->group = preset ? preset : (int64_t)group;
    if (!strcmp(gran, "group") && !g->group) return base_fail(err, "quantize: granularity group needs group > 0");
    if (g->group && (!strcmp(gran, "tensor") || !strcmp(gran, "channel") || !strcmp(gran, "column")))
        return base_fail(err, "quantize: group=%g contradicts granularity %s", group, gran);
    if (!strcmp(gran, "tensor")) g->group = GROUP_TENSOR;
    return true;
}

static void set_range(const compress_step *s, grid_spec *g) {
    static const char *const searches[] = {
        [SEARCH_FAST] = "fast",       [SEARCH_GOLDEN] = "golden", [SEARCH_PERCENTILE] = "percentile",
        [SEARCH_IMATRIX] = "imatrix", [SEARCH_MEDIAN] = "median", [SEARCH_CFP] = "cfp",
        [SEARCH_NESTED] = "",         [SEARCH_LARGEST] = "",      [SEARCH_NEAR] = "near"};
    // The authors of gptq use the wider grid, and with error feedback it is the better one; by itself it clips the
    // largest weight, so rounding to nearest does better on absmax.
    bool rounds = is(s, "solver", "rtn");
    g->mse = is(s, "range", "mse");
    g->absmax = is(s, "range", "absmax") || (rounds && !g->mse && !is(s, "range", "minmax"));
    for (int i = SEARCH_FAST; i <= SEARCH_NEAR; i++)
        if (is(s, "range", searches[i])) g->search = i;
    g->percentile = (float)compress_number(s, "percentile");
    g->nested = (int64_t)compress_number(s, "nested");
    if (g->nested) g->search = SEARCH_NESTED;
}

static bool needs_even(const compress_step *s) {
    const compress_solver *solver = compress_solver_find(compress_text(s, "solver"));
    return solver && solver->even_only;
}

static bool set_narrow(const compress_step *s, type_choice *choice, const grid_spec *g, base_err *err) {
    if (!choice->integer || g->scheme != UNIFORM_SYM || g->bits > 8)
        return base_fail(err, "quantize: narrow leaves out the lowest code of symmetric integers of 2 to 8 bits");
    if (needs_even(s))
        return base_fail(err, "quantize: solver %s has a grid of its own, narrow does not go with it",
                         compress_text(s, "solver"));
    if (compress_number(s, "nested") != 0)
        return base_fail(err, "quantize: codes cut from wider ones use them all, narrow does not go with nested");
    choice->even = false; // levels without the lowest
    choice->type = (table_type){.kind = TABLE_NARROW, .bits = (int)g->bits};
    return true;
}

static bool set_even(const compress_step *s, type_choice *choice, grid_spec *g, base_err *err) {
    bool sym = compress_number(s, "sym") != 0 && !choice->asym, alone = g->form == SCALE_E8M0 || g->form == SCALE_E4M3;
    bool narrow = compress_number(s, "narrow") != 0;
    const char *dtype = compress_text(s, "dtype");
    if (choice->asym && given(s, "sym") && compress_number(s, "sym") != 0)
        return base_fail(err, "quantize: dtype %s has a zero point, sym=true contradicts it", dtype);
    if (!sym && !choice->integer)
        return base_fail(err, "quantize: the %s grid is symmetric, sym=false contradicts it", dtype);
    if (compress_number(s, "split") != 0)
        return base_fail(err, "quantize: split needs a data type with levels of its own, dtype=\"%s\" has even ones",
                         dtype);
    if (!strcmp(dtype, "ternary")) {
        g->scheme = UNIFORM_TERNARY;
        g->bits = 2;
        if (is(s, "range", "absmax") || is(s, "range", "minmax")) g->search = SEARCH_LARGEST;
    } else if (!strcmp(dtype, "binary")) {
        if (given(s, "bits") && g->bits != 1)
            return base_fail(err, "quantize: dtype binary has 1 bit, bits=%lld contradicts it", (long long)g->bits);
        g->scheme = UNIFORM_SIGN;
        g->bits = 1;
    } else {
        g->scheme = !sym ? UNIFORM_ASYM : g->bits == 1 ? UNIFORM_SIGN : UNIFORM_SYM;
    }
    if (narrow) return set_narrow(s, choice, g, err);
    // A table of integers has the ranges of OCP's MX formats; it has no zero points and at most 8 bits.
    if (!alone || g->scheme != UNIFORM_SYM || g->bits > 8 || needs_even(s)) return true;
    choice->even = false;
    choice->type = (table_type){.kind = TABLE_INT, .bits = (int)g->bits};
    return true;
}

// A block format leaves nothing else to choose.
static bool check_block(const compress_step *s, base_err *err) {
    static const char *const others[] = {"bits",  "sym",   "group",      "granularity",
                                         "scale", "split", "percentile", "narrow"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (given(s, others[i]))
            return base_fail(err, "quantize: dtype %s fixes its bits, groups and scales; %s does not go with it",
                             compress_text(s, "dtype"), others[i]);
    if (!is(s, "solver", "rtn") || !is(s, "refine", "none"))
        return base_fail(err, "quantize: dtype %s has a search of its own, solver and refine do not go with it",
                         compress_text(s, "dtype"));
    if (!is(s, "range", "auto") && !is(s, "range", "imatrix"))
        return base_fail(err, "quantize: dtype %s takes range=\"imatrix\" (importance from the inputs) or none",
                         compress_text(s, "dtype"));
    return true;
}

bool quantize_grid(const compress_step *s, grid_spec *g, type_choice *choice, base_err *err) {
    const char *dtype = compress_text(s, "dtype");
    *g = (grid_spec){.bits = (int64_t)compress_number(s, "bits")};
    if (!type_find(dtype, (int)g->bits, choice, err)) return false;
    if (choice->bits && given(s, "bits") && g->bits != choice->bits)
        return base_fail(err, "quantize: dtype %s has %d bits, bits=%lld contradicts it", dtype, choice->bits,
                         (long long)g->bits);
    if (choice->bits) g->bits = choice->bits;
    if (choice->block) return check_block(s, err);
    if (is(s, "range", "median") && strcmp(dtype, "ternary") != 0)
        return base_fail(err, "quantize: range=\"median\" is a scale for dtype ternary, not for %s", dtype);
    if (!set_scale(s, choice->form, g, err) || !set_group(s, choice->group, g, err)) return false;
    set_range(s, g);
    if (choice->even) return set_even(s, choice, g, err);
    if (given(s, "bits") && g->bits != choice->type.bits)
        return base_fail(err, "quantize: dtype %s has %d bits, bits=%lld contradicts it", dtype, choice->type.bits,
                         (long long)g->bits);
    if (compress_number(s, "narrow") != 0)
        return base_fail(err, "quantize: narrow is for integers, dtype %s has levels of its own", dtype);
    if (compress_number(s, "sym") == 0)
        return base_fail(err, "quantize: dtype %s has no zero points, sym=false contradicts it", dtype);
    g->bits = choice->type.bits;
    g->split = compress_number(s, "split") != 0;
    return true;
}
