// prune: zeroes weights and remembers which. The mask lives in a sparse or masked term whose values later steps refine.
#include "compress/layer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const base_arg args[] = {
    {"criterion", BASE_TEXT, 0, 0, 0, "magnitude", "magnitude", "what makes a weight dispensable"},
    {"sparsity", BASE_NUM, 0.5, 0, 1, NULL, NULL, "fraction of the weights that become 0"},
    {"scope", BASE_TEXT, 0, 0, 0, "layer", "layer|global",
     "rank within each layer, or all layers of the rule together"},
    {"n", BASE_INT, 0, 0, 256, NULL, NULL, "with m: keep n of every m neighbouring inputs (2:4 is n=2, m=4)"},
    {"m", BASE_INT, 0, 0, 256, NULL, NULL, "with n: length of the runs; 0: no pattern"},
    {"format", BASE_TEXT, 0, 0, 0, "auto", "auto|bitmap|index|delta|nm",
     "stored form of the positions; auto: the smallest"},
};

static bool is_given(const compress_step *s, const char *name) {
    for (size_t i = 0; i < s->kind->arg_count; i++)
        if (!strcmp(s->kind->args[i].name, name)) return s->value[i].given;
    return false;
}

static bool is_global(const compress_step *s) {
    return !strcmp(compress_text(s, "scope"), "global");
}

static unsigned needs(const compress_step *s) {
    return is_global(s) ? COMPRESS_NEEDS_ALL_LAYERS : 0;
}

static bool check(const compress_step *s, base_err *err) {
    double n = compress_number(s, "n"), m = compress_number(s, "m");
    if ((n > 0) != (m > 0)) return base_fail(err, "prune: n=%g and m=%g must be given together", n, m);
    if (m > 0 && n >= m) return base_fail(err, "prune: n=%g of every m=%g keeps everything, expected n < m", n, m);
    if (m > 0 && is_given(s, "sparsity")) return base_fail(err, "prune: sparsity contradicts the pattern %g:%g", n, m);
    if (m > 0 && is_global(s)) return base_fail(err, "prune: scope global contradicts the pattern %g:%g", n, m);
    if (m == 0 && !strcmp(compress_text(s, "format"), "nm"))
        return base_fail(err, "prune: format nm needs a pattern, n and m");
    return true;
}

// ---- selection -----------------------------------------------------------------------------------

// Magnitudes ordered as integers: the bits of |score|, above 0 so that entries already pruned come before a true zero.
static inline uint32_t key_of(float score, uint8_t alive) {
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    return alive ? (bits & 0x7fffffffu) + 1 : 0;
}

// Selection by counting: a histogram of the keys' upper bits finds the bin the cut falls into, and the few keys of that
// bin are counted by the next bits, three times in all (11 + 11 + 10 bits).
typedef struct cut {
    uint32_t key; // entries with a smaller key go
    int64_t ties; // and so many of those equal to it, in order
} cut;

enum { BINS = 2048 };
static const int cut_shift[3] = {21, 10, 0};

typedef struct key_source {
    const float *const *score;
    const uint8_t *const *alive; // NULL: all are
    const int64_t *n;
    int parts;
} key_source;

static void count_part(const float *score, const uint8_t *alive, int64_t n, int level, uint32_t prefix, int64_t *bins) {
    int shift = cut_shift[level];
    uint32_t mask = level == 2 ? 1023 : BINS - 1;
    for (int64_t i = 0; i < n; i++) {
        uint32_t key = key_of(score[i], alive ? alive[i] : 1);
        if (level == 0)
            bins[key >> shift]++;
        else if (key >> cut_shift[level - 1] == prefix)
            bins[key >> shift & mask]++;
    }
}

static cut find_cut(const key_source *s, int64_t count) {
    uint32_t prefix = 0;
    int64_t below = 0;
    for (int level = 0; level < 3; level++) {
        int64_t bins[BINS] = {0};
        for (int p = 0; p < s->parts; p++)
            count_part(s->score[p], s->alive ? s->alive[p] : NULL, s->n[p], level, prefix, bins);
        uint32_t b = 0, last = level == 2 ? 1023 : BINS - 1;
        while (b < last && below + bins[b] <= count) below += bins[b++];
        prefix = prefix << (level == 0 ? 0 : cut_shift[level - 1] - cut_shift[level]) | b;
    }
    return (cut){prefix, count - below};
}

BASE_CLONES static void clear_below(const float *score, int64_t n, uint32_t key, uint8_t *mask) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &score[i], sizeof bits);
        mask[i] &= (bits & 0x7fffffffu) + 1 >= key;
    }
}

void prune_select(const float *score, int64_t n, int64_t count, uint8_t *mask) {
    if (count <= 0) return;
    if (count >= n) {
        memset(mask, 0, (size_t)n);
        return;
    }
    const uint8_t *alive = mask;
    cut c = find_cut(&(key_source){&score, &alive, &n, 1}, count);
    clear_below(score, n, c.key, mask);
    for (int64_t i = 0; i < n && c.ties > 0; i++)
        if (mask[i] && key_of(score[i], 1) == c.key) {
            mask[i] = 0;
            c.ties--;
        }
}

void prune_global_counts(const float *const *w, const int64_t *n, int layers, double fraction, int64_t *counts) {
    int64_t total = 0;
    for (int l = 0; l < layers; l++) total += n[l];
    int64_t count = (int64_t)floor((double)total * fraction);
    if (count >= total) {
        for (int l = 0; l < layers; l++) counts[l] = n[l];
        return;
    }
    cut c = find_cut(&(key_source){w, NULL, n, layers}, count);
    for (int l = 0; l < layers; l++) {
        counts[l] = 0;
        for (int64_t i = 0; i < n[l]; i++) {
            uint32_t key = key_of(w[l][i], 1);
            counts[l] += key < c.key || (key == c.key && c.ties-- > 0);
        }
    }
}

// Keeps the n largest of every m neighbours of a row; of equal ones the later.
static void select_nm(const float *score, int64_t rows, int64_t cols, int64_t n, int64_t m, uint8_t *mask) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c += m) {
            int64_t run = cols - c < m ? cols - c : m;
            const float *s = score + r * cols + c;
            uint8_t *k = mask + r * cols + c, out[256] = {0};
            for (int64_t drop = run - n; drop > 0; drop--) {
                int64_t least = -1;
                for (int64_t i = 0; i < run; i++)
                    if (!out[i] && (least < 0 || key_of(s[i], k[i]) < key_of(s[least], k[least]))) least = i;
                if (least >= 0) out[least] = 1;
            }
            for (int64_t i = 0; i < run; i++)
                if (out[i]) k[i] = 0;
        }
}

// ---- the container ---------------------------------------------------------------------------------

static bool is_element_wise(const term *t) {
    return t->kind->element_wise || term_is_container(t);
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

// Puts a container for `mask` in the place of all element-wise terms, with their values (or the target's, when there
// were none).
static bool rebuild(layer *l, const float *target, uint8_t *mask, term *c, base_err *err) {
    int64_t kept = 0;
    for (int64_t i = 0; i < l->rows * l->cols; i++) kept += mask[i];
    for (int i = 0; i < l->term_count; i++)
        if (is_element_wise(l->terms[i]) && !move_values(l->terms[i], mask, kept, c, err)) return false;
    if (!c->child_count) {
        num_dtype dtype = l->dtype == NUM_F16 || l->dtype == NUM_BF16 ? l->dtype : NUM_F32;
        // After another term the remainder is no longer a value of the file's short type.
        if (l->term_count) dtype = NUM_F32;
        term *full = term_dense_new(dtype, target, l->rows, l->cols, err);
        term *values = full ? full->kind->compact(full, mask, kept, err) : NULL;
        term_free(full);
        if (!values) return false;
        c->child[c->child_count++] = values;
    }
    int n = 0;
    for (int i = 0; i < l->term_count; i++) {
        if (is_element_wise(l->terms[i]))
            term_free(l->terms[i]);
        else
            l->terms[n++] = l->terms[i];
    }
    l->term_count = n;
    base_big_free(l->mask);
    l->mask = mask;
    l->container = c;
    return true;
}

static int form_of(const char *format) {
    static const char *const names[] = {"bitmap", "index", "delta", "nm"};
    for (int i = 0; i < 4; i++)
        if (!strcmp(format, names[i])) return i;
    return -1;
}

static term *build(const compress_step *s, const layer *l, const uint8_t *mask, base_err *err) {
    int64_t n = (int64_t)compress_number(s, "n"), m = (int64_t)compress_number(s, "m");
    int form = form_of(compress_text(s, "format"));
    if (form == FORM_NM && !positions_fit_nm(mask, l->rows, l->cols, n, m)) {
        base_log(l->job, BASE_INFO,
                 "%s: an earlier mask left some runs with fewer than %lld weights; stored as the smallest other form",
                 l->name, (long long)n);
        form = -1;
    }
    return positions_build(mask, l->rows, l->cols, form, n, m, err);
}

static bool apply(const compress_step *s, layer *l, base_err *err) {
    int64_t total = l->rows * l->cols, m = (int64_t)compress_number(s, "m");
    float *target = base_big_alloc((size_t)total, sizeof *target, "the remainder of a layer", err);
    uint8_t *mask = target ? base_big_alloc((size_t)total, 1, "the mask of a layer", err) : NULL;
    bool ok = mask && layer_remainder(l, is_other, target, err);
    term *c = NULL;
    if (ok) {
        if (l->mask)
            memcpy(mask, l->mask, (size_t)total);
        else
            memset(mask, 1, (size_t)total);
        if (m)
            select_nm(target, l->rows, l->cols, (int64_t)compress_number(s, "n"), m, mask);
        else
            prune_select(target, total,
                         l->prune_count >= 0 ? l->prune_count
                                             : (int64_t)floor((double)total * compress_number(s, "sparsity")),
                         mask);
        c = build(s, l, mask, err);
        ok = c && rebuild(l, target, mask, c, err);
    }
    base_big_free(target);
    if (!ok) {
        base_big_free(mask);
        term_free(c);
        return false;
    }
    c->kind->describe(c, &l->did);
    return layer_append(l, c, err);
}

const compress_step_kind step_prune = {
    .name = "prune",
    .help = "set the least important weights to zero and store only the others",
    .about =
        "magnitude: the floor(sparsity * count) weights with the least |w| become 0; of equal ones the first go "
        "first.\n"
        "n:m keeps the n largest of every m neighbouring inputs (a shorter last run keeps min(n, its length)).\n"
        "scope=global: all layers of the rule are ranked together by their original weights before the walk, which\n"
        "decides how many each loses. Stored as positions (the smallest of bitmap, index, delta and nm) and values.\n"
        "First: values are the weights in the file's float type. After quantize: the codes at kept places stay, the\n"
        "others are dropped (ranked by |W|). After lowrank: the largest of W - UV are stored. After prune: weights\n"
        "already pruned stay so and count; the sparsity is of the whole. After lowrank and quantize: the codes are\n"
        "masked, ranked by |W - UV|. Later steps leave pruned places alone; only lowrank may add to them.",
    .source = "Han et al., Learning both Weights and Connections, NeurIPS 2015 (arXiv 1506.02626); N:M: Mishra et al., "
              "Accelerating Sparse Deep Neural Networks (arXiv 2104.08378)",
    .cost = "no data; three passes over the weights (selection, no sorting)",
    .args = args,
    .arg_count = sizeof args / sizeof *args,
    .needs = needs,
    .check = check,
    .apply = apply,
};
