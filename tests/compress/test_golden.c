// The published implementations' own outputs: rtn (GPTQ's Quantizer), magnitude (Wanda's repository), SVD-LLM.
#include "tests/compress/compress_support.h"

static num_npz open_golden(const char *name) {
    num_npz z = {0};
    base_err err = {0};
    const char *path = support_golden(name);
    if (!path) skip();
    if (!num_npz_open(&z, path, &err)) fail_msg("%s", err.text);
    return z;
}

static const num_tensor *member(const num_npz *z, const char *variant, const char *field) {
    char name[96];
    snprintf(name, sizeof name, "%s.%s", variant, field);
    return num_npz_find(z, name);
}

static double scalar(const num_npz *z, const char *variant, const char *field) {
    const num_tensor *t = member(z, variant, field);
    assert_non_null(t);
    assert_int_equal(t->dtype, NUM_F64);
    return *(const double *)t->data;
}

// b4_asym_mse_g64 -> our step; every variant of the file.
static void check_rtn(const num_npz *z, const num_tensor *w, int bits, const char *sym, const char *range,
                      const char *gran) {
    char variant[64], text[160];
    int64_t rows = w->dim[0], cols = w->dim[1], group = gran[0] == 'g' ? atoi(gran + 1) : 0;
    snprintf(variant, sizeof variant, "b%d_%s_%s_%s", bits, sym, range, gran);
    const num_tensor *code = member(z, variant, "code"), *scale = member(z, variant, "scale");
    assert_non_null(code);
    snprintf(text, sizeof text, "quantize bits=%d sym=%d range=%s scale=f32 group=%lld granularity=%s", bits,
             !strcmp(sym, "sym"), !strcmp(range, "mm") ? "minmax" : "mse", (long long)group, group ? "group" : gran);
    layer l = open_layer(w->data, rows, cols, NULL);
    float *out = apply_steps(&l, text);
    const term *t = l.terms[0];
    uint8_t *ours = malloc((size_t)(rows * cols));
    codes_unpack(t->blob[UNIFORM_CODES].data, 0, rows * cols, bits, t->attr[UNIFORM_SCHEME], ours);
    int64_t same = 0, scales = t->blob[UNIFORM_SCALES].count, off = 0;
    for (int64_t i = 0; i < rows * cols; i++) same += ours[i] == ((const uint8_t *)code->data)[i];
    const float *a = t->blob[UNIFORM_SCALES].data, *b = scale->data;
    for (int64_t i = 0; i < scales; i++) off += !(fabs((double)a[i] - (double)b[i]) <= 1e-6 * (double)b[i]);
    double share = (double)same / (double)(rows * cols), least = !strcmp(range, "mm") ? 0.9999 : 0.999;
    if (share < least || off)
        fail_msg("%s: %.4f%% of codes equal, %lld scales differ", variant, 100 * share, (long long)off);
    double error = output_error(w->data, out, rows, cols, NULL), golden = scalar(z, variant, "sqerr");
    if (fabs(error - golden) > 1e-3 * golden) fail_msg("%s: squared error %g, golden %g", variant, error, golden);
    free(ours);
    free(out);
    layer_close(&l);
}

static void rtn_file(const char *name) {
    static const int bits[] = {2, 3, 4, 8};
    static const char *const syms[] = {"sym", "asym"}, *const ranges[] = {"mm", "mse"},
                             *const grans[] = {"tensor", "channel", "g64", "g32"};
    num_npz z = open_golden(name);
    const num_tensor *w = num_npz_find(&z, "W");
    assert_non_null(w);
    for (int b = 0; b < 4; b++)
        for (int s = 0; s < 2; s++)
            for (int r = 0; r < 2; r++)
                for (int g = 0; g < 4; g++) check_rtn(&z, w, bits[b], syms[s], ranges[r], grans[g]);
    num_npz_close(&z);
}

static void rtn_gauss(void **state) {
    (void)state;
    rtn_file("rtn_gauss_32x128.npz");
}
static void rtn_stories(void **state) {
    (void)state;
    rtn_file("rtn_stories_l0_q_64x64.npz");
}

// The reference prunes |W| <= sorted[count], one weight more than asked for; ours prunes exactly the count, so at most
// that one place differs. N:M masks are equal.
static void check_mask(const num_npz *z, const num_tensor *w, const char *variant, const char *step, int64_t allowed) {
    const num_tensor *mask = member(z, variant, "mask");
    assert_non_null(mask);
    int64_t n = w->dim[0] * w->dim[1], differ = 0, pruned = 0;
    layer l = open_layer(w->data, w->dim[0], w->dim[1], NULL);
    float *out = apply_steps(&l, step);
    for (int64_t i = 0; i < n; i++) {
        bool theirs = ((const uint8_t *)mask->data)[i];
        differ += theirs == l.mask[i];
        pruned += !l.mask[i];
        assert_true(l.mask[i] ? out[i] == ((const float *)w->data)[i] : out[i] == 0);
    }
    if (differ > allowed) fail_msg("%s: %lld places differ", variant, (long long)differ);
    if (strstr(step, "sparsity"))
        assert_int_equal(pruned, (int64_t)((double)n * strtod(strstr(step, "sparsity=") + 9, NULL)));
    free(out);
    layer_close(&l);
}

static void magnitude_file(const char *name) {
    num_npz z = open_golden(name);
    const num_tensor *w = num_npz_find(&z, "W");
    check_mask(&z, w, "mag_u50", "prune sparsity=0.5", 1);
    check_mask(&z, w, "mag_u80", "prune sparsity=0.8", 1);
    check_mask(&z, w, "mag_nm2_4", "prune n=2 m=4", 0);
    check_mask(&z, w, "mag_nm4_8", "prune n=4 m=8", 0);
    num_npz_close(&z);
}

static void magnitude_gauss(void **state) {
    (void)state;
    magnitude_file("wanda_magnitude_gauss_48x192.npz");
}
static void magnitude_stories(void **state) {
    (void)state;
    magnitude_file("wanda_magnitude_stories_l0_gate_172x64.npz");
}

static void svd_file(const char *name, const int *ranks) {
    num_npz z = open_golden(name);
    const num_tensor *w = num_npz_find(&z, "W"), *h64 = num_npz_find(&z, "H");
    int64_t rows = w->dim[0], cols = w->dim[1];
    float *h = malloc((size_t)(cols * cols) * sizeof *h);
    num_to_f32(h64->dtype, h64->data, h, (size_t)(cols * cols));
    for (int i = 0; ranks[i]; i++) {
        char variant[16], step[64];
        snprintf(variant, sizeof variant, "r%d", ranks[i]);
        snprintf(step, sizeof step, "lowrank method=whitened rank=%d", ranks[i]);
        double best = scalar(&z, variant, "best_outerr");
        layer l = open_layer(w->data, rows, cols, h);
        float *out = apply_steps(&l, step);
        double ours = output_error(w->data, out, rows, cols, h);
        if (ours > best * (1 + 1e-4) || ours < best * (1 - 1e-5))
            fail_msg("%s %s: %.8g, best %.8g", name, variant, ours, best);
        free(out);
        layer_close(&l);
        snprintf(step, sizeof step, "lowrank method=svd rank=%d", ranks[i]);
        l = open_layer(w->data, rows, cols, NULL);
        out = apply_steps(&l, step);
        double plain = output_error(w->data, out, rows, cols, NULL), golden = scalar(&z, variant, "plain_frob");
        if (fabs(plain - golden) > 1e-4 * golden && fabs(sqrt(plain) - golden) > 1e-4 * golden)
            fail_msg("%s %s: plain %g, golden %g", name, variant, plain, golden);
        free(out);
        layer_close(&l);
    }
    free(h);
    num_npz_close(&z);
}

static void svd_gauss(void **state) {
    (void)state;
    svd_file("svdllm_gauss_48x96.npz", (int[]){4, 12, 24, 40, 0});
}
static void svd_stories(void **state) {
    (void)state;
    svd_file("svdllm_stories_l0_gate_172x64.npz", (int[]){8, 16, 32, 48, 0});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rtn_gauss),         cmocka_unit_test(rtn_stories), cmocka_unit_test(magnitude_gauss),
        cmocka_unit_test(magnitude_stories), cmocka_unit_test(svd_gauss),   cmocka_unit_test(svd_stories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
