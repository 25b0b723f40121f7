// prune: zeroes weights and remembers which. The mask lives in a sparse or masked term whose values later steps refine;
// which weights go, and what becomes of the others, is decided by a criterion (prune_select.c, prune_update.c).
#include "compress/steps/prune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const base_arg args[] = {
    {"criterion", BASE_TEXT, 0, 0, 0, "magnitude", "magnitude|l1|wanda|taylor|saliency|gqsa|icbs|sparsegpt|obs",
     "what makes a weight dispensable"},
    {"sparsity", BASE_NUM, 0.5, 0, 1, NULL, NULL, "fraction of the weights that become 0"},
    {"scope", BASE_TEXT, 0, 0, 0, "layer", "layer|global|pq",
     "rank within each layer, or all layers of the rule together; pq: each layer's share by the PQ index of its "
     "weights"},
    {"pattern", BASE_TEXT, 0, 0, 0, "free", "free|rows|columns|groups|blocks",
     "what goes as a whole: single weights, outputs, inputs, runs of `length` inputs, blocks of height x length"},
    {"length", BASE_INT, 16, 1, 1 << 20, NULL, NULL, "pattern groups, blocks: inputs of a unit"},
    {"height", BASE_INT, 16, 1, 1 << 20, NULL, NULL, "pattern blocks: outputs of a unit"},
    {"n", BASE_INT, 0, 0, 256, NULL, NULL, "with m: keep n of every m neighbouring inputs (2:4 is n=2, m=4)"},
    {"m", BASE_INT, 0, 0, 256, NULL, NULL, "with n: length of the runs; 0: no pattern"},
    {"format", BASE_TEXT, 0, 0, 0, "auto", "auto|bitmap|index|delta|nm|units",
     "stored form of the positions; auto: the smallest"},
    {"variant", BASE_BOOL, 0, 0, 1, NULL, NULL,
     "wanda: one share of every row's score sum goes, the share found so that the sparsity is met"},
    {"bits", BASE_INT, 0, 0, 16, NULL, NULL, "sparsegpt: also round what is kept to so many bits; 0: do not"},
    {"sym", BASE_BOOL, 0, 0, 1, NULL, NULL, "sparsegpt with bits: symmetric around 0"},
    {"group", BASE_INT, 0, 0, 1 << 30, NULL, NULL,
     "sparsegpt with bits: neighbouring inputs that share a scale; 0: the whole row"},
    {"range", BASE_TEXT, 0, 0, 0, "minmax", "minmax|mse|swept",
     "sparsegpt with bits: range of the grid; swept: extremes of the weights as pruning alone leaves them, a sweep "
     "more"},
    {"damp", BASE_NUM, 0.01, 0, 10, NULL, NULL,
     "sparsegpt, obs, saliency, gqsa, update: added to the diagonal of H, as a fraction of its mean"},
    {"block", BASE_INT, 0, 0, 1024, NULL, NULL,
     "sparsegpt: columns ranked together (0: 128); obs: neighbours that go together (0: 1, at most 64); icbs: weights "
     "of a row decided together (0: 64)"},
    {"update", BASE_BOOL, 0, 0, 1, NULL, NULL,
     "change the kept weights so that they make up for those that went (sparsegpt's sweep on this mask)"},
    {"passes", BASE_INT, 50, 1, 100000, NULL, NULL, "icbs: most blocks a row gets"},
    {"samples", BASE_INT, 128, 1, 1 << 30, NULL, NULL, "taylor: calibration samples with a backward pass each"},
    {"p", BASE_NUM, 0.5, 1e-3, 100, NULL, NULL, "scope pq: the smaller norm of the index"},
    {"q", BASE_NUM, 1, 1e-3, 100, NULL, NULL, "scope pq: the larger norm of the index"},
    {"eta", BASE_NUM, 0, 0, 100, NULL, NULL, "scope pq: what is left may hold this much of the norm in small weights"},
    {"gamma", BASE_NUM, 1, 0, 1e6, NULL, NULL, "scope pq: scales every share (sparsity, if given, sets it)"},
    {"beta", BASE_NUM, 0.9, 0, 1, NULL, NULL, "scope pq: the largest share a round takes"},
    {"rounds", BASE_INT, 1, 1, 1000, NULL, NULL, "scope pq: times the index is taken again of what is left"},
};

static const prune_criterion criteria[] = {
    {"magnitude", 0, false, true, prune_by_magnitude},
    {"l1", 0, false, false, prune_by_score},
    {"wanda", COMPRESS_NEEDS_GRAM, false, true, prune_by_wanda},
    {"taylor", COMPRESS_NEEDS_GRADIENT, false, false, prune_by_score},
    {"saliency", COMPRESS_NEEDS_GRAM, false, false, prune_by_score},
    {"gqsa", COMPRESS_NEEDS_GRAM, false, false, prune_by_score},
    {"icbs", COMPRESS_NEEDS_GRAM, false, false, prune_by_icbs},
    {"sparsegpt", COMPRESS_NEEDS_GRAM, true, false, prune_by_sparsegpt},
    {"obs", COMPRESS_NEEDS_GRAM, true, false, prune_by_obs},
};

static const prune_criterion *criterion_of(const compress_step *s) {
    size_t i = 0;
    while (i < sizeof criteria / sizeof *criteria && strcmp(criteria[i].name, compress_text(s, "criterion"))) i++;
    BASE_CHECK(i < sizeof criteria / sizeof *criteria);
    return &criteria[i];
}

static bool is_given(const compress_step *s, const char *name) {
    for (size_t i = 0; i < s->kind->arg_count; i++)
        if (!strcmp(s->kind->args[i].name, name)) return s->value[i].given;
    return false;
}

// Layers of the rule share out what goes.
static bool is_global(const compress_step *s) {
    return strcmp(compress_text(s, "scope"), "layer") != 0;
}

static bool updates(const compress_step *s) {
    return criterion_of(s)->updates || compress_number(s, "update") != 0;
}

static unsigned needs(const compress_step *s) {
    return criterion_of(s)->needs | (is_global(s) ? COMPRESS_NEEDS_ALL_LAYERS : 0) |
           (compress_number(s, "update") != 0 ? COMPRESS_NEEDS_GRAM : 0);
}

// Does `name` stand among the words of `list`?
static bool among(const char *list, const char *name) {
    size_t n = strlen(name);
    for (const char *at = list; (at = strstr(at, name)); at++)
        if ((at == list || at[-1] == ' ') && (at[n] == ' ' || !at[n])) return true;
    return false;
}

// Arguments that mean something to some choices only.
static bool check_owned(const compress_step *s, base_err *err) {
    static const struct {
        const char *arg, *of, *choices;
    } owned[] = {{"variant", "criterion", "wanda"},
                 {"bits", "criterion", "sparsegpt"},
                 {"sym", "criterion", "sparsegpt"},
                 {"group", "criterion", "sparsegpt"},
                 {"range", "criterion", "sparsegpt"},
                 {"block", "criterion", "sparsegpt obs icbs"},
                 {"passes", "criterion", "icbs"},
                 {"samples", "criterion", "taylor"},
                 {"length", "pattern", "groups blocks"},
                 {"height", "pattern", "blocks"},
                 {"p", "scope", "pq"},
                 {"q", "scope", "pq"},
                 {"eta", "scope", "pq"},
                 {"gamma", "scope", "pq"},
                 {"beta", "scope", "pq"},
                 {"rounds", "scope", "pq"}};
    for (size_t i = 0; i < sizeof owned / sizeof *owned; i++)
        if (is_given(s, owned[i].arg) && !among(owned[i].choices, compress_text(s, owned[i].of)))
            return base_fail(err, "prune: %s belongs to %s %s, the %s is %s", owned[i].arg, owned[i].of,
                             owned[i].choices, owned[i].of, compress_text(s, owned[i].of));
    if (is_given(s, "damp") && !updates(s) && !among("saliency gqsa", criterion_of(s)->name))
        return base_fail(
            err,
            "prune: damp belongs to criterion sparsegpt, obs, saliency or gqsa and to update, the criterion "
            "is %s",
            criterion_of(s)->name);
    return true;
}

static bool check_pattern(const compress_step *s, base_err *err) {
    const char *name = criterion_of(s)->name, *pattern = compress_text(s, "pattern");
    if (!strcmp(pattern, "free")) {
        if (strcmp(compress_text(s, "format"), "units")) return true;
        return base_fail(err, "prune: format units needs a pattern of rows, columns, groups or blocks");
    }
    if (!among("magnitude l1 wanda taylor saliency gqsa", name))
        return base_fail(
            err, "prune: pattern %s goes with magnitude, l1, wanda, taylor, saliency and gqsa, the criterion is %s",
            pattern, name);
    if (compress_number(s, "m") > 0) return base_fail(err, "prune: pattern %s contradicts a pattern n:m", pattern);
    if (is_global(s))
        return base_fail(err, "prune: scope %s ranks single weights, the pattern is %s", compress_text(s, "scope"),
                         pattern);
    if (compress_number(s, "variant") != 0)
        return base_fail(err, "prune: wanda's variant ranks single weights, the pattern is %s", pattern);
    return true;
}

static bool check_scope(const compress_step *s, base_err *err) {
    const char *name = criterion_of(s)->name, *scope = compress_text(s, "scope");
    if (!strcmp(scope, "global") && !among("magnitude l1 taylor", name))
        return base_fail(err, "prune: scope global ranks by magnitude, l1 or taylor, the criterion is %s", name);
    if (!strcmp(scope, "pq") && !among("magnitude l1 taylor saliency", name))
        return base_fail(err, "prune: scope pq goes with magnitude, l1, taylor and saliency, the criterion is %s",
                         name);
    if (!strcmp(scope, "pq") && !(compress_number(s, "p") < compress_number(s, "q")))
        return base_fail(err, "prune: the PQ index needs p < q, p=%g and q=%g were given", compress_number(s, "p"),
                         compress_number(s, "q"));
    if (!strcmp(scope, "pq") && is_given(s, "gamma") && is_given(s, "sparsity"))
        return base_fail(err, "prune: sparsity sets gamma, give one of them");
    return true;
}

static bool check_criterion(const compress_step *s, base_err *err) {
    const char *name = criterion_of(s)->name;
    if (!check_owned(s, err) || !check_pattern(s, err) || !check_scope(s, err)) return false;
    if (!strcmp(name, "obs") && compress_number(s, "block") > 64)
        return base_fail(err, "prune: criterion obs takes at most 64 neighbours as a block, %g were given",
                         compress_number(s, "block"));
    if (!strcmp(name, "icbs") && compress_number(s, "block") == 1)
        return base_fail(err, "prune: criterion icbs trades two weights at least, block is 1");
    if (!strcmp(name, "obs") && compress_number(s, "block") > 1 && compress_number(s, "m") > 0)
        return base_fail(err, "prune: criterion obs prunes blocks or a pattern n:m, not both");
    if (compress_number(s, "variant") != 0 && compress_number(s, "m") > 0)
        return base_fail(err, "prune: wanda's variant sets the sparsity of rows, a pattern n:m fixes it");
    return true;
}

static bool check(const compress_step *s, base_err *err) {
    double n = compress_number(s, "n"), m = compress_number(s, "m");
    if (!check_criterion(s, err)) return false;
    if ((n > 0) != (m > 0)) return base_fail(err, "prune: n=%g and m=%g must be given together", n, m);
    if (m > 0 && n >= m) return base_fail(err, "prune: n=%g of every m=%g keeps everything, expected n < m", n, m);
    if (m > 0 && is_given(s, "sparsity")) return base_fail(err, "prune: sparsity contradicts the pattern %g:%g", n, m);
    if (m > 0 && is_global(s)) return base_fail(err, "prune: scope global contradicts the pattern %g:%g", n, m);
    if (m == 0 && !strcmp(compress_text(s, "format"), "nm"))
        return base_fail(err, "prune: format nm needs a pattern, n and m");
    return true;
}

// ---- the container ---------------------------------------------------------------------------------

static bool is_element_wise(const term *t) {
    return !t->stays && (t->kind->element_wise || term_is_container(t));
}
static bool is_other(const term *t) {
    return !is_element_wise(t);
}

// Moves the values of `t` that survive into `c`: a full term's by the mask, a container's children by the part of
// the mask that stands on their old places.
static bool move_values(const term *t, const uint8_t *mask, int64_t kept, term *c, base_err *err) {
    bool full = t->kind->element_wise;
    uint8_t *keep = NULL;
    if (!full) {
        positions p;
        if (!positions_expand(t, &p, err)) return false;
        keep = base_big_alloc((size_t)p.kept + 1, 1, "kept weights", err);
        for (int64_t r = 0; keep && r < t->rows; r++)
            for (int64_t k = p.first[r]; k < p.first[r + 1]; k++) keep[k] = mask[r * t->cols + p.col[k]];
        positions_free(&p);
        if (!keep) return false;
    }
    bool ok = true;
    for (int i = 0; ok && i < (full ? 1 : t->child_count); i++) {
        const term *from = full ? t : t->child[i];
        if (c->child_count == TERM_MAX_CHILD)
            ok = base_fail(err, "a pruned layer can have at most %d value terms", TERM_MAX_CHILD);
        term *moved = ok ? from->kind->compact(from, full ? mask : keep, kept, err) : NULL;
        if (moved) c->child[c->child_count++] = moved;
        ok = moved != NULL;
    }
    base_big_free(keep);
    return ok;
}

// The kept values of a full matrix of floats. After another term the remainder, and after an update the weight, is no
// longer a value of the file's short type.
static term *float_values(const layer *l, const float *full, bool exact, const uint8_t *mask, int64_t kept,
                          base_err *err) {
    num_dtype dtype = (l->dtype == NUM_F16 || l->dtype == NUM_BF16) && exact && !l->term_count ? l->dtype : NUM_F32;
    if (dtype == NUM_F32) {
        term *c = term_new(&term_dense, l->rows, l->cols);
        c->stored = kept;
        float *out = term_blob_room(c, 0, NUM_F32, kept, err);
        if (out) num_compact(full, mask, l->rows * l->cols, out, kept);
        if (out) return c;
        term_free(c);
        return NULL;
    }
    term *t = term_dense_new(dtype, full, l->rows, l->cols, err);
    term *values = t ? t->kind->compact(t, mask, kept, err) : NULL;
    term_free(t);
    return values;
}

// The children of the new container: what the criterion made, or the old values at kept places, or the target's.
static bool fill(layer *l, prune_work *p, term *c, base_err *err) {
    if (p->kept) {
        c->child[0] = p->kept;
        c->child_count = 1;
        p->kept = NULL;
        return true;
    }
    int64_t kept = num_count_ones(p->mask, l->rows * l->cols);
    if (p->joint.codes) {
        p->joint.mask = p->mask;
        c->child[0] = solver_pack(&p->joint, uniform_scale_count(l->rows, l->cols, p->joint.grid.group), kept, err);
        c->child_count = c->child[0] != NULL;
        return c->child_count == 1;
    }
    for (int i = 0; !p->values && i < l->term_count; i++)
        if (is_element_wise(l->terms[i]) && !move_values(l->terms[i], p->mask, kept, c, err)) return false;
    if (c->child_count) return true;
    c->child[0] = float_values(l, p->values ? p->values : p->target, !p->values, p->mask, kept, err);
    c->child_count = c->child[0] != NULL;
    return c->child_count == 1;
}

// Puts a container for the mask in the place of all element-wise terms.
static bool rebuild(layer *l, prune_work *p, term *c, base_err *err) {
    if (!fill(l, p, c, err)) return false;
    int n = 0;
    for (int i = 0; i < l->term_count; i++) {
        if (is_element_wise(l->terms[i]))
            term_free(l->terms[i]);
        else
            l->terms[n++] = l->terms[i];
    }
    l->term_count = n;
    base_big_free(l->mask);
    l->mask = p->mask;
    l->container = c;
    for (int64_t i = 0; p->values && i < l->rows * l->cols; i++)
        p->values[i] = p->mask[i] ? l->w[i] - p->target[i] + p->values[i] : l->w[i];
    if (p->values) {
        base_big_free(l->aim);
        l->aim = p->values;
        p->values = NULL;
    }
    return true;
}

static int form_of(const char *format) {
    static const char *const names[] = {"bitmap", "index", "delta", "nm", "units"};
    for (int i = 0; i < 5; i++)
        if (!strcmp(format, names[i])) return i;
    return -1;
}

// A mask of units as such, unless another form is asked for or smaller. An earlier mask may have cut units up.
static term *build_units(const layer *l, const uint8_t *mask, int form, prune_unit u, base_err *err) {
    bool fits = positions_fit_units(mask, l->rows, l->cols, u.height, u.length);
    if (!fits || (form >= 0 && form != FORM_UNITS)) {
        if (form == FORM_UNITS)
            base_log(l->job, BASE_INFO, "%s: an earlier mask left parts of units; stored as the smallest other form",
                     l->name);
        return positions_build(mask, l->rows, l->cols, form == FORM_UNITS ? -1 : form, 0, 0, err);
    }
    term *t = positions_build(mask, l->rows, l->cols, FORM_UNITS, u.height, u.length, err);
    term *other = t && form < 0 ? positions_build(mask, l->rows, l->cols, -1, 0, 0, err) : NULL;
    if (t && form < 0 && !other) term_free(t), t = NULL;
    if (other && term_bytes(other) < term_bytes(t)) {
        term *swap = t;
        t = other;
        other = swap;
    }
    term_free(other);
    return t;
}

static term *build(const compress_step *s, const layer *l, const uint8_t *mask, base_err *err) {
    int64_t n = (int64_t)compress_number(s, "n"), m = (int64_t)compress_number(s, "m");
    int form = form_of(compress_text(s, "format"));
    prune_unit u;
    if (prune_unit_of(s, l->rows, l->cols, l->groups, &u)) return build_units(l, mask, form, u, err);
    if (form == FORM_NM && !positions_fit_nm(mask, l->rows, l->cols, n, m)) {
        base_log(l->job, BASE_INFO,
                 "%s: an earlier mask left some runs with fewer than %lld weights; stored as the smallest other form",
                 l->name, (long long)n);
        form = -1;
    }
    return positions_build(mask, l->rows, l->cols, form, n, m, err);
}

static bool holds_codes(const term *t) {
    for (int i = 0; i < t->child_count; i++)
        if (!term_is_float(t->child[i])) return true;
    return !term_is_container(t) && !term_is_float(t);
}

// An update changes kept weights, which codes already chosen cannot follow.
static bool may_update(const compress_step *s, const layer *l, base_err *err) {
    for (int i = 0; updates(s) && i < l->term_count; i++)
        if (is_element_wise(l->terms[i]) && holds_codes(l->terms[i]))
            return base_fail(err,
                             "%s %s changes the weights it keeps, and these are codes already: prune first and "
                             "quantize then, or give bits to sparsegpt",
                             criterion_of(s)->updates ? "criterion" : "update after", criterion_of(s)->name);
    return true;
}

static void free_joint(prune_work *p) {
    base_big_free(p->joint.codes);
    base_big_free(p->joint.scales);
    base_big_free(p->joint.zeros);
}

static bool apply(const compress_step *s, layer *l, base_err *err) {
    if (!may_update(s, l, err)) return false;
    int64_t total = l->rows * l->cols;
    prune_work p = {.step = s, .l = l};
    float *owned = NULL; // the weight itself is pruned where nothing else stands for it
    for (int i = 0; i < l->term_count && !owned; i++)
        if (is_other(l->terms[i])) {
            owned = base_big_alloc((size_t)total, sizeof *owned, "the remainder of a layer", err);
            if (!owned || !layer_remainder(l, is_other, owned, err)) {
                base_big_free(owned);
                return false;
            }
        }
    p.target = owned ? owned : l->w;
    p.mask = base_big_room((size_t)total, 1, "the mask of a layer", err);
    bool ok = p.mask != NULL;
    term *c = NULL;
    if (ok) {
        p.first = !l->mask && criterion_of(s)->starts;
        p.gather = p.first && !l->term_count && l->dtype == NUM_F32 && !updates(s);
        if (l->mask)
            memcpy(p.mask, l->mask, (size_t)total);
        else if (!p.first)
            memset(p.mask, 1, (size_t)total);
        ok = criterion_of(s)->choose(&p, err) && (criterion_of(s)->updates || !updates(s) || prune_update(&p, err));
        c = !ok ? NULL : p.positions ? p.positions : build(s, l, p.mask, err);
        p.positions = ok ? NULL : p.positions;
        ok = c && rebuild(l, &p, c, err);
    }
    base_big_free(owned);
    base_big_free(p.values);
    term_free(p.kept);
    term_free(p.positions);
    free_joint(&p);
    if (!ok) {
        base_big_free(p.mask);
        term_free(c);
        return false;
    }
    if (updates(s)) l->damping = p.damping;
    c->kind->describe(c, &l->did);
    return layer_append(l, c, err);
}

// What layers are ranked by: their weights, or for taylor |w| sqrt(sum g^2), the root of its score.
static const float *ranked(const compress_step *s, const layer_set *all, int i, float **owned, base_err *err) {
    *owned = NULL;
    if (strcmp(compress_text(s, "criterion"), "taylor") || strcmp(compress_text(s, "scope"), "global"))
        return all->w[i];
    int64_t n = all->rows[i] * all->cols[i];
    *owned = base_big_alloc((size_t)n, sizeof **owned, "scores of weights", err);
    for (int64_t k = 0; *owned && k < n; k++) (*owned)[k] = all->w[i][k] * sqrtf(all->fisher[i][k]);
    return *owned;
}

// How many weights each layer loses when all are ranked together, or share by the PQ index.
static bool plan(const compress_step *s, layer_set *all, base_err *err) {
    size_t most = (size_t)all->count + 1;
    const float **w = base_calloc(most, sizeof *w);
    float **owned = base_calloc(most, sizeof *owned);
    int64_t *sizes = base_calloc(most, sizeof *sizes), *counts = base_calloc(most, sizeof *counts);
    bool ok = true;
    for (int i = 0; ok && i < all->count; i++) {
        sizes[i] = all->rows[i] * all->cols[i];
        w[i] = ranked(s, all, i, &owned[i], err);
        ok = w[i] != NULL;
    }
    if (ok && !strcmp(compress_text(s, "scope"), "pq"))
        ok = prune_pq_counts(s, w, sizes, all->count, counts, err);
    else if (ok)
        prune_global_counts(w, sizes, all->count, compress_number(s, "sparsity"), counts);
    for (int i = 0; ok && i < all->count; i++) {
        all->planned[i] = base_alloc(sizeof *counts);
        memcpy(all->planned[i], &counts[i], sizeof *counts);
    }
    for (int i = 0; i < all->count; i++) base_big_free(owned[i]);
    free(w);
    free(owned);
    free(sizes);
    free(counts);
    return ok;
}

const compress_step_kind step_prune = {
    .name = "prune",
    .help = "set the least important weights to zero and store only the others",
    .about =
        "magnitude: the floor(sparsity * count) weights with the least |w| become 0; of equal ones the first go "
        "first.\n"
        "wanda ranks |w| times the size of its input in every row; sparsegpt and obs (Optimal Brain Surgeon) rank by "
        "the\n"
        "output error and change the kept weights to make up for it, sparsegpt with bits=4 rounds them in the same\n"
        "sweep; both must come before quantize, whose solvers with data then aim at the original weight, the others "
        "at\n"
        "the changed one.\n"
        "l1, taylor, saliency and icbs: vise methods NAME. update: the kept weights make up for any mask.\n"
        "pattern: rows, columns, groups of `length` inputs or blocks of height x length stay or go as a whole, by "
        "their\n"
        "mean score; floor(units * sparsity) go. scope=pq: the shares of the layers by the PQ index of their weights.\n"
        "n:m keeps the n largest of every m neighbouring inputs (a shorter last run keeps min(n, its length)).\n"
        "scope=global: all layers of the rule are ranked together by their original weights before the walk, which\n"
        "decides how many each loses. Stored as positions (the smallest of bitmap, index, delta and nm) and values.\n"
        "First: values are the weights in the file's float type. After quantize: the codes at kept places stay, the\n"
        "others are dropped (ranked by |W|). After lowrank: the largest of W - UV are stored. After prune: weights\n"
        "already pruned stay so and count; the sparsity is of the whole. After lowrank and quantize: the codes are\n"
        "masked, ranked by |W - UV|. Later steps leave pruned places alone; only lowrank may add to them.",
    .source = "Han et al., Learning both Weights and Connections, NeurIPS 2015 (arXiv 1506.02626); N:M: Mishra et al., "
              "Accelerating Sparse Deep Neural Networks (arXiv 2104.08378); wanda: arXiv 2306.11695; sparsegpt: arXiv "
              "2301.00774; obs: arXiv 2208.11580",
    .cost = "magnitude: no data; wanda, sparsegpt, obs: calibration inputs; one or two passes over the "
            "weights (selection, no sorting)",
    .args = args,
    .arg_count = sizeof args / sizeof *args,
    .needs = needs,
    .check = check,
    .apply = apply,
    .plan = plan,
};
