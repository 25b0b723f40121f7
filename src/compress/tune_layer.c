// tune_layer: one layer whose integer codes are learned through the weights, scales and zero points behind them.
//
// code = clamp(round(w / s) + z, 0, 2^b - 1), value = s (code - z), with the derivatives of EfficientQAT's quantiser
// (Chen et al., arXiv 2407.11062; quantize/quantizer.py), rounding taken as the identity:
//   within the range   d/dw = 1, d/ds = code - z - w / s, d/dz = 0
//   beyond it          d/dw = 0, d/ds = code - z,         d/dz = -s
// With the codes frozen d/ds = code - z and d/dz = -s. Scales and zero points enter as they would be stored, so that
// what is compared is what the file will hold.
#include "compress/tune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const term *leaf_of(const term *t) {
    if (t->kind == &term_uniform) return t;
    bool kept = t->kind == &term_sparse || t->kind == &term_masked || t->kind == &term_units;
    return kept && t->child_count == 1 && t->child[0]->kind == &term_uniform ? t->child[0] : NULL;
}

const char *tune_why_not(const compress_result *r, int index) {
    const model *m = r->m;
    const result_layer *own = &r->layers[index];
    const model_graph *g = m->graph;
    int users = 0;
    for (int i = 0; i < g->node_count; i++)
        for (int p = 0; p < g->nodes[i].param_count; p++) users += g->nodes[i].param[p] == m->layers[index].weight;
    if (g->nodes[m->layers[index].node].op == MODEL_EMBEDDING) return "an embedding";
    const term *leaf = own->term_count == 1 ? leaf_of(own->terms[0]) : NULL;
    int64_t scheme = leaf ? leaf->attr[UNIFORM_SCHEME] : -1;
    if (scheme != UNIFORM_SYM && scheme != UNIFORM_ASYM && scheme != UNIFORM_REAL)
        return "no single term of even integer codes";
    if (leaf->attr[UNIFORM_FORM] != SCALE_PLAIN) return "its scales are coded";
    for (int i = 0; i < TERM_MAX_BLOB; i++)
        if (leaf->blob[i].coded) return "its codes are entropy-coded already";
    return users == 1 ? NULL : "its weight is shared";
}

// Places in the weight and scales of the stored codes, in their order.
static bool find_places(tuned *t, base_err *err) {
    const term *root = t->root, *leaf = t->leaf;
    int64_t group = leaf->attr[UNIFORM_GROUP], per_row = uniform_groups_per_row(leaf->cols, group);
    bool gathered = leaf != root && (leaf->rows != root->rows || leaf->cols != root->cols);
    positions p = {0};
    if (leaf != root && !positions_expand(root, &p, err)) return false;
    size_t k = 0;
    for (int64_t r = 0; r < root->rows; r++) {
        int64_t count = leaf == root ? root->cols : p.first[r + 1] - p.first[r];
        for (int64_t i = 0; i < count; i++, k++) {
            int64_t c = leaf == root ? i : (int64_t)p.col[p.first[r] + i];
            int64_t row = gathered ? (int64_t)k / leaf->cols : r, col = gathered ? (int64_t)k % leaf->cols : c;
            t->at[k] = r * root->cols + c;
            t->group[k] = (int32_t)(per_row ? row * per_row + (group > 0 ? col / group : 0) : 0);
        }
    }
    BASE_CHECK(k == t->n);
    positions_free(&p);
    return true;
}

static void read_floats(const term_blob *b, float *out, size_t n) {
    num_to_f32(b->dtype, b->data, out, n);
}

static void read_params(tuned *t) {
    const term *leaf = t->leaf;
    int64_t bits = leaf->attr[UNIFORM_BITS], scheme = leaf->attr[UNIFORM_SCHEME];
    read_floats(&leaf->blob[UNIFORM_SCALES], t->scale, t->groups);
    if (scheme == UNIFORM_REAL) read_floats(&leaf->blob[UNIFORM_ZEROS], t->zero, t->groups);
    for (size_t g = 0; scheme != UNIFORM_REAL && g < t->groups; g++) {
        grid_code zero = 0;
        if (scheme == UNIFORM_ASYM)
            grid_codes_unpack(leaf->blob[UNIFORM_ZEROS].data, (int64_t)g, 1, bits, UNIFORM_ASYM, &zero);
        t->zero[g] = scheme == UNIFORM_ASYM ? (float)zero : (float)(1 << (bits - 1));
    }
    t->zeros = scheme != UNIFORM_SYM;
    t->least = 6.2e-5f; // the smallest that float16 holds in full
    for (size_t g = 0; g < t->groups; g++)
        if (t->scale[g] > 0) t->least = fminf(t->least, t->scale[g]);
}

// The weights behind the codes: the original ones, as near as their codes allow.
static bool read_codes(tuned *t, const float *w, base_err *err) {
    grid_code *codes = base_big_alloc(t->n + 1, sizeof *codes, "codes of a layer", err);
    if (!codes) return false;
    grid_codes_unpack(t->leaf->blob[UNIFORM_CODES].data, 0, (int64_t)t->n, t->leaf->attr[UNIFORM_BITS],
                      t->leaf->attr[UNIFORM_SCHEME], codes);
    for (size_t i = 0; i < t->n; i++) {
        float s = t->scale[t->group[i]], code = (float)codes[i], level = code - t->zero[t->group[i]];
        t->code[i] = code;
        float low = code > 0 ? level - 0.49f : -INFINITY, high = code < t->top ? level + 0.49f : INFINITY;
        t->w[i] = s > 0 ? s * fminf(high, fmaxf(low, w[t->at[i]] / s)) : w[t->at[i]];
    }
    base_big_free(codes);
    return true;
}

bool tune_open(tuned *t, const compress_result *r, int index, int block, bool frozen, base_err *err) {
    const model_layer *l = &r->m->layers[index];
    *t = (tuned){.layer = index, .param = l->weight, .block = block};
    t->root = term_copy(r->layers[index].terms[0], err);
    if (!t->root) return false;
    t->leaf = t->root->kind == &term_uniform ? t->root : t->root->child[0];
    t->n = (size_t)t->leaf->stored;
    t->groups = (size_t)uniform_scale_count(t->leaf->rows, t->leaf->cols, t->leaf->attr[UNIFORM_GROUP]);
    t->top = (float)((1 << t->leaf->attr[UNIFORM_BITS]) - 1);
    size_t weights = frozen ? 0 : t->n, g = t->groups, size = (size_t)(l->out * l->in);
    t->at = base_big_alloc(t->n + 1, sizeof *t->at, "learning a layer", err);
    t->group = t->at ? base_big_alloc(t->n + 1, sizeof *t->group, "learning a layer", err) : NULL;
    float *room =
        t->group ? base_big_alloc(size + 3 * t->n + 3 * weights + 12 * g, sizeof *room, "learning a layer", err) : NULL;
    if (!room) return false;
    float **const parts[] = {&t->soft, &t->w,         &t->code,     &t->best_code,  &t->scale,
                             &t->zero, &t->scale_now, &t->zero_now, &t->best_scale, &t->best_zero,
                             &t->dw,   &t->ds,        &t->dz,       &t->moments};
    const size_t sizes[] = {size, t->n, t->n, t->n, g, g, g, g, g, g, weights, g, g, 0};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        *parts[i] = room;
        room += sizes[i];
    }
    if (!find_places(t, err)) return false;
    read_params(t);
    if (!read_codes(t, r->m->weights[l->weight], err)) return false;
    tune_round(t, true);
    tune_keep(t);
    t->better = false;
    return true;
}

void tune_close(tuned *t) {
    term_free(t->root);
    base_big_free(t->at);
    base_big_free(t->group);
    base_big_free(t->soft);
}

static float as_stored(num_dtype dtype, float x) {
    uint8_t bytes[8];
    num_from_f32(dtype, &x, bytes, 1);
    num_to_f32(dtype, bytes, &x, 1);
    return x;
}

void tune_round(tuned *t, bool frozen) {
    const term_blob *b = t->leaf->blob;
    bool real = t->leaf->attr[UNIFORM_SCHEME] == UNIFORM_REAL;
    for (size_t g = 0; g < t->groups; g++) {
        // A group without a scale holds zeros only and stays so.
        if (t->scale[g] != 0) t->scale[g] = fminf(fmaxf(t->scale[g], t->least), 6e4f);
        t->scale_now[g] = as_stored(b[UNIFORM_SCALES].dtype, t->scale[g]);
        float zero = real ? as_stored(b[UNIFORM_ZEROS].dtype, t->zero[g]) : rintf(t->zero[g]);
        t->zero_now[g] = real ? zero : fminf(fmaxf(zero, 0), t->top);
    }
    for (size_t i = 0; i < t->n; i++) {
        float s = t->scale_now[t->group[i]], z = t->zero_now[t->group[i]];
        if (!frozen && s > 0) t->code[i] = fminf(fmaxf(rintf(t->w[i] / s + z), 0), t->top);
        t->soft[t->at[i]] = s * (t->code[i] - z);
    }
}

void tune_clear(tuned *t, bool frozen) {
    if (!frozen) memset(t->dw, 0, t->n * sizeof *t->dw);
    memset(t->ds, 0, t->groups * sizeof *t->ds);
    memset(t->dz, 0, t->groups * sizeof *t->dz);
}

void tune_gather(tuned *t, const float *gradient, bool frozen) {
    for (size_t i = 0; i < t->n; i++) {
        int32_t g = t->group[i];
        float s = t->scale_now[g], z = t->zero_now[g], d = gradient[t->at[i]], level = t->code[i] - z;
        if (!(s > 0)) continue;
        float exact = t->w[i] / s, code = rintf(exact + z);
        bool within = !frozen && code >= 0 && code <= t->top;
        t->ds[g] += d * (within ? level - exact : level);
        if (within)
            t->dw[i] += d;
        else
            t->dz[g] -= d * s;
    }
}

static void adam(float *x, const float *g, float *m1, float *m2, size_t n, int64_t step_no, double rate) {
    double c1 = 1 - pow(0.9, (double)step_no), c2 = sqrt(1 - pow(0.999, (double)step_no));
    float step = (float)(rate * c2 / c1);
    for (size_t i = 0; i < n; i++) {
        m1[i] = 0.9f * m1[i] + 0.1f * g[i];
        m2[i] = 0.999f * m2[i] + 0.001f * g[i] * g[i];
        x[i] -= step * m1[i] / (sqrtf(m2[i]) + 1e-12f);
    }
}

void tune_step(tuned *t, int64_t step_no, double rate, double quant_rate, bool zeros, bool frozen) {
    float *m = t->moments;
    adam(t->scale, t->ds, m, m + t->groups, t->groups, step_no, quant_rate);
    m += 2 * t->groups;
    if (t->zeros && zeros) adam(t->zero, t->dz, m, m + t->groups, t->groups, step_no, quant_rate);
    m += 2 * t->groups;
    if (!frozen) adam(t->w, t->dw, m, m + t->n, t->n, step_no, rate);
}

void tune_keep(tuned *t) {
    memcpy(t->best_code, t->code, t->n * sizeof *t->code);
    memcpy(t->best_scale, t->scale_now, t->groups * sizeof *t->scale);
    memcpy(t->best_zero, t->zero_now, t->groups * sizeof *t->zero);
    t->better = true;
}

void tune_restore(tuned *t) {
    memcpy(t->code, t->best_code, t->n * sizeof *t->code);
    memcpy(t->scale, t->best_scale, t->groups * sizeof *t->scale);
    memcpy(t->zero, t->best_zero, t->groups * sizeof *t->zero);
    tune_round(t, true);
}

static bool write_leaf(tuned *t, base_err *err) {
    int64_t bits = t->leaf->attr[UNIFORM_BITS], scheme = t->leaf->attr[UNIFORM_SCHEME];
    term_blob *b = t->leaf->blob;
    grid_code *codes = base_big_alloc(t->n + t->groups + 1, sizeof *codes, "codes of a layer", err);
    if (!codes) return false;
    for (size_t i = 0; i < t->n; i++) codes[i] = (grid_code)t->best_code[i];
    grid_codes_pack(codes, (int64_t)t->n, bits, scheme, b[UNIFORM_CODES].owned);
    num_from_f32(b[UNIFORM_SCALES].dtype, t->best_scale, b[UNIFORM_SCALES].owned, t->groups);
    if (scheme == UNIFORM_REAL) num_from_f32(b[UNIFORM_ZEROS].dtype, t->best_zero, b[UNIFORM_ZEROS].owned, t->groups);
    for (size_t g = 0; g < t->groups; g++) codes[g] = (grid_code)t->best_zero[g];
    if (scheme == UNIFORM_ASYM) grid_codes_pack(codes, (int64_t)t->groups, bits, scheme, b[UNIFORM_ZEROS].owned);
    base_big_free(codes);
    return true;
}

bool tune_store(tuned *t, compress_result *r, base_err *err) {
    result_layer *own = &r->layers[t->layer];
    const model_layer *l = &r->m->layers[t->layer];
    float *w = base_big_alloc((size_t)(l->out * l->in), sizeof *w, "a decoded weight", err);
    if (!w || !write_leaf(t, err) || !term_decode(t->root, w, err)) {
        base_big_free(w);
        return false;
    }
    term_free(own->terms[0]);
    own->terms[0] = t->root;
    t->root = t->leaf = NULL;
    base_big_free(own->decoded);
    own->decoded = w;
    r->weights[t->param] = w;
    return true;
}
