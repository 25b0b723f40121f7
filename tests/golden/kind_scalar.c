// scalar and pvq files: quantisers of N(0, 1), counts of pyramid vectors, nearest points of E8.
#include "kinds.h"

#include "compress/types/scalar.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// float64 arrays as they are; NULL where absent or of another type.
static const double *doubles(const golden_file *f, const char *v, const char *array, int64_t *count) {
    const num_tensor *t = golden_array(f, v, array);
    size_t n, bytes;
    if (!t || t->dtype != NUM_F64 || !num_count(t->ndim, t->dim, t->dtype, &n, &bytes)) return NULL;
    *count = (int64_t)n;
    return t->data;
}

static double furthest(const double *a, const double *b, int64_t n) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fabs(a[i] - b[i]) > most ? fabs(a[i] - b[i]) : most;
    return most;
}

// "n16" or "uniform_n16" -> 16.
static int levels_of(const char *v) {
    const char *p = strrchr(v, 'n');
    return p ? atoi(p + 1) : 0;
}

static void check_lloyd(const golden_file *f, const char *v) {
    int64_t count = 0, edges = 0;
    const double *wanted = doubles(f, v, "levels", &count), *edge = doubles(f, v, "thresholds", &edges);
    int n = levels_of(v);
    double level[SCALAR_MOST], threshold[SCALAR_MOST];
    if (!wanted || count != n || n < 1 || n > SCALAR_MOST || (edge && edges != n - 1)) {
        golden_verdict(f, v, NAN, NAN, false, "levels that do not fit the name");
        return;
    }
    scalar_figures s = scalar_lloyd_max(n, level, threshold);
    double mse = golden_scalar(f, v, "mse"), entropy = golden_scalar(f, v, "entropy_bits");
    double bound = golden_scalar(f, v, "DR_at_log2n");
    bool good = furthest(level, wanted, n) <= 1e-9 && (!edge || furthest(threshold, edge, n - 1) <= 1e-9) &&
                fabs(s.mse - mse) <= 1e-12 && (isnan(entropy) || fabs(s.entropy - entropy) <= 1e-9) &&
                (isnan(bound) || fabs(scalar_rate_distortion(log2(n)) - bound) <= 1e-12);
    golden_verdict(f, v, NAN, s.mse / mse, good, NULL);
}

static void check_uniform(const golden_file *f, const char *v) {
    int n = levels_of(v);
    double step = golden_scalar(f, v, "step"), mse = golden_scalar(f, v, "mse"), ours;
    if (n < 2 || n > SCALAR_MOST) {
        golden_verdict(f, v, NAN, NAN, false, "no number of levels in the name");
        return;
    }
    double found = scalar_uniform(n, &ours);
    // Around its minimum the error is flat: half the digits of the step are all that it fixes.
    golden_verdict(f, v, NAN, ours / mse, fabs(found - step) <= 1e-7 && fabs(ours - mse) <= 1e-12, NULL);
}

static void check_e8(const golden_file *f) {
    int64_t n = 0, m = 0, equal = 0;
    const double *probe = doubles(f, "e8", "probe", &n), *nearest = doubles(f, "e8", "nearest", &m);
    if (!probe || !nearest || n != m || n % 8) {
        golden_verdict(f, "e8", NAN, NAN, false, "probe and nearest do not fit each other");
        return;
    }
    for (int64_t i = 0; i < n; i += 8) {
        double out[8];
        e8_nearest(probe + i, out);
        equal += furthest(out, nearest + i, 8) == 0;
    }
    golden_verdict(f, "e8", (double)equal / (double)(n / 8), NAN, equal == n / 8, NULL);
    // The shells of the first norms, by counting which points with entries up to 2 are their own nearest ones.
    const num_tensor *shells = golden_array(f, "e8", "shell_counts_norm2_4");
    if (!shells || shells->dtype != NUM_I32) return;
    int64_t found[2] = {0};
    for (int half = 0; half < 2; half++)
        for (int64_t k = 0; k < 390625; k++) {
            double x[8], out[8], norm = 0;
            int64_t rest = k;
            for (int i = 0; i < 8; i++, rest /= 5) {
                x[i] = (double)(rest % 5 - 2) + 0.5 * half;
                norm += x[i] * x[i];
            }
            if (norm != 2 && norm != 4) continue;
            e8_nearest(x, out);
            if (furthest(x, out, 8) == 0) found[norm == 4]++;
        }
    const int32_t *wanted = shells->data;
    golden_verdict(f, "e8 shells", NAN, NAN, found[0] == wanted[0] && found[1] == wanted[1], NULL);
}

static void check_counts(const golden_file *f) {
    const num_tensor *t = golden_array(f, "pvq", "N");
    pvq_table table;
    base_err err = {0};
    if (!t || t->ndim != 2 || t->dtype != NUM_F64) return;
    int64_t rows = t->dim[0], cols = t->dim[1], equal = 0;
    if (!pvq_open(&table, (int)rows - 1, (int)cols - 1, &err)) {
        golden_verdict(f, "pvq", NAN, NAN, false, err.text);
        return;
    }
    for (int64_t n = 0; n < rows; n++)
        for (int64_t k = 0; k < cols; k++)
            equal += (double)pvq_count(&table, (int)n, (int)k) == ((const double *)t->data)[n * cols + k];
    golden_verdict(f, "pvq", (double)equal / (double)(rows * cols), NAN, equal == rows * cols, NULL);
    pvq_close(&table);
}

void golden_scalar_quantisers(const golden_file *f) {
    size_t count;
    char **variants = golden_variants(f, "levels", &count);
    for (size_t i = 0; i < count; i++) check_lloyd(f, variants[i]);
    base_names_free(variants, count);
    variants = golden_variants(f, "step", &count);
    for (size_t i = 0; i < count; i++) check_uniform(f, variants[i]);
    base_names_free(variants, count);
    if (golden_array(f, "e8", "probe")) check_e8(f);
    check_counts(f);
}

void golden_pvq_sizes(const golden_file *f) {
    json_error_t problem;
    json_t *o = json_load_file(f->path, 0, &problem), *value;
    const json_t *counts = json_object_get(o, "pvq_N");
    const char *key;
    int most_n = 1, most_k = 0, n, k;
    int64_t equal = 0, all = 0;
    pvq_table table;
    base_err err = {0};
    json_object_foreach((json_t *)counts, key, value) if (sscanf(key, "%d,%d", &n, &k) == 2) {
        most_n = n > most_n ? n : most_n;
        most_k = k > most_k ? k : most_k;
    }
    if (!json_is_object(counts) || !pvq_open(&table, most_n, most_k, &err)) {
        golden_verdict(f, NULL, NAN, NAN, false, err.text[0] ? err.text : "no object pvq_N");
        json_decref(o);
        return;
    }
    json_object_foreach((json_t *)counts, key, value) {
        char text[44];
        all++;
        if (sscanf(key, "%d,%d", &n, &k) != 2 || n < 0 || k < 0 || !json_is_string(value)) continue;
        equal += strcmp(pvq_text(pvq_count(&table, n, k), text), json_string_value(value)) == 0;
    }
    golden_verdict(f, "pvq_N", (double)equal / (double)(all ? all : 1), NAN, all > 0 && equal == all, NULL);
    pvq_close(&table);
    json_decref(o);
}
