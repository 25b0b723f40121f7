// sparsegpt files: masks, updated weights and joint quantisation.
#include "layers.h"

#include "compress/solvers/sparsegpt.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SHAKES = 4, BLOCK = 128 };

typedef struct sparse_case {
    const golden_layer *l;
    const char *v;
    float *wout;   // [rows x cols]
    int64_t *mask; // [rows x cols] 1: gone
    golden_sparse o;
} sparse_case;

// The share whose threshold takes what the mask takes: `score <= sorted[int(numel * share)]` in each block of columns.
static double share_of(const sparse_case *c) {
    double low = 0, high = 1;
    for (int64_t from = 0; from < c->l->cols; from += BLOCK) {
        int64_t end = from + BLOCK < c->l->cols ? from + BLOCK : c->l->cols, gone = 0;
        for (int64_t i = 0; i < c->l->rows * c->l->cols; i++) {
            int64_t col = i % c->l->cols;
            gone += col >= from && col < end && c->mask[i];
        }
        double all = (double)(c->l->rows * (end - from));
        low = fmax(low, (double)(gone - 1) / all);
        high = fmin(high, (double)gone / all);
    }
    return low + (high > low ? (high - low) / 2 : 0);
}

// Bits of the joint quantisation: those whose ranges of the dense rows are the file's.
static bool read_bits(sparse_case *c, base_err *err) {
    const golden_layer *l = c->l;
    int64_t named = golden_number(c->v, "q", 0);
    c->o.bits = 0;
    if (!golden_array(l->f, c->v, "scale")) {
        c->o.bits = named >= 1 && named <= 8 ? named : 0;
        return true;
    }
    float *scale = golden_reals(l->f, c->v, "scale", l->rows, err);
    int64_t best = -1;
    for (int64_t b = 1; scale && b <= 8; b++) {
        grid_spec s = {.bits = b, .scheme = UNIFORM_ASYM, .group = GROUP_ROW, .scale = NUM_F32};
        int64_t same = b == named; // where nothing else decides
        for (int64_t r = 0; r < l->rows; r++) {
            grid_param p;
            base_err own = {0};
            if (!grid_fit(&s, l->w + r * l->cols, l->cols, NULL, &p, &own)) continue;
            same += 2 * (fabs((double)p.scale / (double)scale[r] - 1) <= 1e-5);
        }
        if (same > best) best = same, c->o.bits = b;
    }
    base_big_free(scale);
    return scale || !golden_array(l->f, c->v, "scale");
}

static bool read_case(sparse_case *c, base_err *err) {
    int64_t n = c->l->rows * c->l->cols, share = golden_number(c->v, "u", -1), least = 0, most = 0;
    c->wout = golden_reals(c->l->f, c->v, "Wout", n, err);
    c->mask = c->wout ? golden_codes(c->l->f, c->v, "mask", n, 2, err) : NULL;
    if (!c->mask || !read_bits(c, err)) return false;
    c->o.m = 1;
    bool pair = golden_pair(c->v, "nm", &least, &most) && least >= 1 && most > least;
    if (pair) {
        c->o.n = least;
        c->o.m = most;
    } else if (share > 0 && share < 100) {
        c->o.sparsity = (double)share / 100;
    } else if (!golden_runs(c->mask, c->l->rows, c->l->cols, &c->o.n, &c->o.m)) {
        c->o.sparsity = share_of(c);
    }
    return true;
}

static bool solve(const golden_layer *l, const sparse_case *c, float *out, uint8_t *mask, base_err *err) {
    int64_t n = l->rows * l->cols;
    grid_spec grid = {.bits = c->o.bits, .scheme = UNIFORM_ASYM, .group = GROUP_ROW, .scale = NUM_F32};
    sparsegpt_problem p = {.layer = c->v,
                           .w = l->w,
                           .h = l->h,
                           .rows = l->rows,
                           .cols = l->cols,
                           .damp = 0.01,
                           .block = BLOCK,
                           .sparsity = c->o.sparsity,
                           .n = c->o.n,
                           .m = c->o.m,
                           .tail = true,
                           .grid = c->o.bits ? &grid : NULL,
                           .out = out,
                           .mask = mask};
    p.codes = base_calloc((size_t)n, sizeof *p.codes);
    p.scales = base_calloc((size_t)l->rows, 2 * sizeof *p.scales);
    p.zeros = p.scales + l->rows;
    bool ok = sparsegpt_solve(&p, err);
    free(p.codes);
    free(p.scales);
    return ok;
}

// Share of equal mask entries over live columns, and the relative difference of what is kept, in rows whose masks are
// the same: another choice moves every later weight of its row. Among weights that are 0 and stay 0 any choice is a
// tie.
static void compare(const sparse_case *c, const float *out, const uint8_t *mask, double *equal, double *off) {
    int64_t same = 0, counted = 0, cols = c->l->cols;
    double difference = 0, size = 0;
    for (int64_t r = 0; r < c->l->rows; r++) {
        double row_difference = 0, row_size = 0;
        bool alike = true;
        for (int64_t i = r * cols; i < (r + 1) * cols; i++) {
            int64_t k = i - r * cols;
            if (c->l->h[k * cols + k] == 0) continue;
            bool zero = c->l->w[i] == 0 && out[i] == 0 && c->wout[i] == 0, fits = zero || mask[i] == !c->mask[i];
            double d = (double)out[i] - (double)c->wout[i];
            counted++;
            same += fits;
            alike &= fits;
            row_difference += d * d;
            row_size += (double)c->wout[i] * (double)c->wout[i];
        }
        difference += alike ? row_difference : 0;
        size += alike ? row_size : 0;
    }
    *equal = counted ? (double)same / (double)counted : 1;
    *off = size > 0 ? sqrt(difference / size) : difference > 0 ? INFINITY : 0;
}

// How much of our own mask stays, and how far the error moves, when H and W are shaken.
static void conditioning(const sparse_case *c, const uint8_t *mask, double error, double *agree, double *spread) {
    int64_t n = c->l->rows * c->l->cols;
    float *out = base_calloc((size_t)n, sizeof *out);
    uint8_t *other = base_calloc((size_t)n, 1);
    for (uint64_t s = 1; s <= SHAKES; s++) {
        golden_layer shaken;
        base_err err = {0};
        golden_layer_shake(c->l, s, &shaken, &err);
        if (shaken.w && shaken.h && solve(&shaken, c, out, other, &err)) {
            int64_t same = 0;
            for (int64_t i = 0; i < n; i++) same += mask[i] == other[i];
            *agree = fmin(*agree, (double)same / (double)n);
            *spread = fmax(*spread, fabs(golden_ratio(golden_layer_error(c->l, out), error) - 1));
        }
        base_big_free(shaken.w);
        base_big_free(shaken.h);
    }
    free(out);
    free(other);
}

static int64_t gone_of(const sparse_case *c, const uint8_t *mask) {
    int64_t more = 0;
    for (int64_t i = 0; i < c->l->rows * c->l->cols; i++) more += !mask[i] - (int)c->mask[i];
    return more;
}

static void judge(const sparse_case *c, const float *out, const uint8_t *mask) {
    double equal, off, self = 1, moved = 1, error = golden_layer_error(c->l, out);
    double theirs = golden_layer_error(c->l, c->wout), ratio = golden_ratio(error, theirs);
    base_err err = {0};
    if ((c->l->n && !golden_agrees(c->l->f, c->v, "outerr", theirs, c->l->whole, &err)) ||
        !golden_scalar_of(c->l->f, c->v, "self_mask_agree", &self, &err) ||
        !golden_scalar_of(c->l->f, c->v, "self_outerr_ratio", &moved, &err)) {
        golden_verdict(c->l->f, c->v, NAN, NAN, false, err.text);
        return;
    }
    compare(c, out, mask, &equal, &off);
    char why[96];
    snprintf(why, sizeof why, "weights off by %.1e", off);
    double wanted = fmin(0.999, self), slack = fmax(0.005, fabs(moved - 1));
    // Better counts where no less was pruned.
    bool close = equal >= wanted && fabs(ratio - 1) <= slack && (c->o.bits || off <= 1e-3),
         better = ratio <= 1 && gone_of(c, mask) >= 0;
    if (!close && better) {
        snprintf(why, sizeof why, "better");
    } else if (!close && (c->o.bits || off <= 1e-3)) {
        double agree = 1, spread = 0;
        conditioning(c, mask, error, &agree, &spread);
        close = equal >= fmin(wanted, agree) && fabs(ratio - 1) <= fmax(slack, spread);
        if (close)
            snprintf(why, sizeof why, "ill-conditioned: shaken, ours keeps %.2f %% and moves by %.2g", 100 * agree,
                     spread);
    }
    golden_verdict(c->l->f, c->v, equal, ratio, close || better, why);
}

static void check_variant(const golden_layer *l, const char *v) {
    sparse_case c = {.l = l, .v = v};
    base_err err = {0};
    size_t n = (size_t)(l->rows * l->cols);
    float *out = base_calloc(n, sizeof *out);
    uint8_t *mask = base_calloc(n, 1);
    if (!read_case(&c, &err)) {
        golden_verdict(l->f, v, NAN, NAN, false, err.text);
    } else if (c.o.n && (c.o.m > BLOCK || BLOCK % c.o.m)) {
        golden_skip(l->f, v, "its runs do not divide the reference's blocks of 128 columns");
    } else if (!solve(l, &c, out, mask, &err)) {
        golden_verdict(l->f, v, NAN, NAN, false, err.text);
    } else {
        judge(&c, out, mask);
    }
    base_big_free(c.wout);
    free(c.mask);
    free(out);
    free(mask);
}

void golden_sparsegpt(const golden_file *f) {
    golden_layer l;
    base_err err = {0};
    size_t count;
    if (!golden_layer_open(&l, f, &err)) {
        golden_verdict(f, NULL, NAN, NAN, false, err.text);
    } else {
        char **v = golden_variants_of(f, (const char *const[]){"Wout", "mask"}, 2, &count);
        for (size_t i = 0; i < count; i++) check_variant(&l, v[i]);
        if (!count) golden_skip(f, NULL, "the file has no variant");
        base_names_free(v, count);
    }
    golden_layer_close(&l);
}
