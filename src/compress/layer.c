// layer: the sum of terms of one layer while steps work on it - remainders, targets, where new values go, and the
// mask that pruning left.
#include "compress/layer.h"

#include <stdlib.h>
#include <string.h>

void layer_close(layer *l) {
    for (int i = 0; i < l->term_count; i++) term_free(l->terms[i]);
    base_big_free(l->mask);
    base_big_free(l->aim);
    base_big_free(l->own_w);
    base_big_free(l->own_h);
    base_big_free(l->own_fisher);
    layer_stats_free(&l->own_stats);
    for (int i = 0; i < l->map_count; i++) term_free(l->maps[i]);
    base_buf_free(&l->did);
    memset(l, 0, sizeof *l);
}

bool layer_append(layer *l, term *t, base_err *err) {
    if (l->term_count == TERM_MAX_TERMS) {
        term_free(t);
        return base_fail(err, "a layer can have at most %d terms", TERM_MAX_TERMS);
    }
    l->terms[l->term_count++] = t;
    return true;
}

static bool remainder_of(const layer *l, const float *from, bool (*stays)(const term *t), float *out, base_err *err) {
    int64_t n = l->rows * l->cols;
    memset(out, 0, (size_t)n * sizeof *out);
    for (int i = 0; i < l->term_count; i++)
        if ((!stays || stays(l->terms[i])) && !term_decode(l->terms[i], out, err)) return false;
    for (int64_t i = 0; i < n; i++) out[i] = from[i] - out[i];
    return true;
}

bool layer_remainder(const layer *l, bool (*stays)(const term *t), float *out, base_err *err) {
    return remainder_of(l, l->w, stays, out, err);
}

static bool holds_float(const term *t) {
    return term_is_float(t) || (term_is_container(t) && t->child_count == 1 && term_is_float(t->child[0]));
}

static bool is_settled(const term *t) {
    return t->stays || !holds_float(t);
}

static bool target_from(const layer *l, const float *from, const float **target, float **owned, base_err *err) {
    int settled = 0;
    for (int i = 0; i < l->term_count; i++) settled += is_settled(l->terms[i]);
    *owned = NULL;
    *target = from;
    if (!settled) return true;
    *owned = base_big_alloc((size_t)(l->rows * l->cols), sizeof **owned, "the remainder of a layer", err);
    *target = *owned;
    return *owned && remainder_of(l, from, is_settled, *owned, err);
}

bool layer_target(const layer *l, const float **target, float **owned, base_err *err) {
    return target_from(l, l->aim ? l->aim : l->w, target, owned, err);
}

bool layer_objective(const layer *l, const float **target, float **owned, base_err *err) {
    return target_from(l, l->w, target, owned, err);
}

int64_t layer_kept(const layer *l) {
    int64_t n = l->rows * l->cols, kept = 0;
    if (!l->mask) return n;
    for (int64_t i = 0; i < n; i++) kept += l->mask[i];
    return kept;
}

// Drops the full dense terms: a new value term takes their place.
static void drop_dense(layer *l) {
    int n = 0;
    for (int i = 0; i < l->term_count; i++) {
        if (term_is_float(l->terms[i]) && !l->terms[i]->stays)
            term_free(l->terms[i]);
        else
            l->terms[n++] = l->terms[i];
    }
    l->term_count = n;
}

bool layer_put_values(layer *l, term *values, base_err *err) {
    if (!l->mask) {
        drop_dense(l);
        return layer_append(l, values, err);
    }
    term *c = l->container;
    if (holds_float(c)) {
        term_free(c->child[0]);
        c->child_count = 0;
    }
    if (c->child_count == TERM_MAX_CHILD) {
        term_free(values);
        return base_fail(err, "a pruned layer can have at most %d value terms", TERM_MAX_CHILD);
    }
    c->child[c->child_count++] = values;
    return true;
}

bool layer_refresh_floats(layer *l, base_err *err) {
    const term *old = NULL;
    for (int i = 0; i < l->term_count; i++)
        if (!is_settled(l->terms[i])) old = l->terms[i];
    if (!old) return true;
    num_dtype dtype = (term_is_float(old) ? old : old->child[0])->blob[0].dtype;
    const float *target;
    float *owned = NULL;
    term *t = layer_target(l, &target, &owned, err) ? term_dense_new(dtype, target, l->rows, l->cols, err) : NULL;
    base_big_free(owned);
    if (t && l->mask) {
        term *full = t;
        t = full->kind->compact(full, l->mask, layer_kept(l), err);
        term_free(full);
    }
    return t && layer_put_values(l, t, err);
}

int64_t layer_bytes(const layer *l) {
    int64_t bytes = 0;
    for (int i = 0; i < l->term_count; i++) bytes += term_bytes(l->terms[i]);
    for (int i = 0; i < l->map_count; i++) bytes += term_bytes(l->maps[i]);
    return bytes;
}

// Marks places that outliers fill: outliers taken out before a prune may stand where it pruned the rest, those that
// come behind it may not.
static bool clear_outliers(const layer *l, uint8_t *kept, base_err *err) {
    uint8_t *mask = NULL;
    bool ok = true;
    for (int i = 0; ok && i < l->term_count && l->terms[i] != l->container; i++) {
        if (!l->terms[i]->stays || !term_is_container(l->terms[i])) continue;
        if (!mask) mask = base_big_alloc((size_t)(l->rows * l->cols), 1, "positions of outliers", err);
        ok = mask && positions_mask(l->terms[i], mask, err);
        for (int64_t k = 0; ok && k < l->rows * l->cols; k++)
            if (mask[k]) kept[k] = 1;
    }
    base_big_free(mask);
    return ok;
}

bool layer_check_mask(const layer *l, const float *decoded, base_err *err) {
    if (!l->mask) return true;
    int64_t n = l->rows * l->cols;
    uint8_t *stored = base_big_alloc((size_t)n, 1, "the mask of a layer", err);
    if (!stored) return false;
    bool ok = positions_mask(l->container, stored, err);
    if (ok && memcmp(stored, l->mask, (size_t)n))
        ok = base_fail(err, "%s: the stored positions are not those that prune kept", l->name);
    bool exact = true;
    for (int i = 0; i < l->term_count; i++)
        exact = exact && (l->terms[i]->kind->element_wise || term_is_container(l->terms[i]));
    ok = ok && clear_outliers(l, stored, err);
    for (int64_t i = 0; exact && ok && i < n; i++)
        if (!stored[i] && decoded[i] != 0)
            ok = base_fail(err, "%s: weight %lld was pruned but decodes to %g", l->name, (long long)i,
                           (double)decoded[i]);
    base_big_free(stored);
    return ok;
}

bool damped_cholesky(const char *layer_name, int64_t n, const float *h, double start, double *u, double *damping,
                     base_job *job, base_err *err) {
    double mean = 0;
    for (int64_t i = 0; i < n; i++) mean += (double)h[i * n + i] / (double)n;
    if (mean <= 0) mean = 1; // no input was ever active: any multiple of I will do
    for (double d = start; d <= 1; d = d > 0 ? d * 10 : 1e-8) {
        if (!base_go_on(job, err)) return false;
        for (int64_t i = 0; i < n * n; i++) u[i] = (double)h[i];
        for (int64_t i = 0; i < n; i++) u[i * n + i] += d * mean;
        if (!num_dcholesky(n, u, n)) continue;
        if (d > start)
            base_log(job, BASE_WARN,
                     "%s: damping raised from %g to %g of the mean diagonal to factor the inputs' second moment",
                     layer_name, start, d);
        *damping = d;
        return true;
    }
    return base_fail(err, "%s: the inputs' second moment could not be factored with damping up to 1 (started at %g)",
                     layer_name, start);
}
