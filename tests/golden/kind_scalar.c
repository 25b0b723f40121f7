// scalar and pvq files: quantisers of N(0, 1), counts of pyramid vectors, nearest points of E8.
#include "kinds.h"

#include "compress/types/scalar.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double furthest(const double *a, const double *b, int64_t n) {
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fabs(a[i] - b[i]) > most ? fabs(a[i] - b[i]) : most;
    return most;
}

static int64_t values_of(const golden_file *f, const char *v, const char *array) {
    const num_tensor *t = golden_array(f, v, array);
    size_t count = 0, bytes;
    return t && num_count(t->ndim, t->dim, t->dtype, &count, &bytes) ? (int64_t)count : 0;
}

// A figure that the file need not state: NaN passes.
static bool near(double ours, double stated, double tolerance) {
    return isnan(stated) || fabs(ours - stated) <= tolerance;
}

// As many levels as the file lists.
static void check_lloyd(const golden_file *f, const char *v) {
    base_err err = {0};
    int64_t n = values_of(f, v, "levels");
    double level[SCALAR_MOST], threshold[SCALAR_MOST], mse = golden_scalar(f, v, "mse");
    if (n < 1 || n > SCALAR_MOST)
        base_fail(&err, "%s.levels has %lld values, and 1 to %d are expected", v, (long long)n, SCALAR_MOST);
    double *wanted = err.text[0] ? NULL : golden_doubles(f, v, "levels", n, &err);
    double *edge =
        wanted && golden_array(f, v, "thresholds") && n > 1 ? golden_doubles(f, v, "thresholds", n - 1, &err) : NULL;
    if (err.text[0]) {
        golden_verdict(f, v, NAN, NAN, false, err.text);
    } else {
        scalar_figures s = scalar_lloyd_max((int)n, level, threshold);
        bool good = furthest(level, wanted, n) <= 1e-9 && (!edge || furthest(threshold, edge, n - 1) <= 1e-9) &&
                    near(s.mse, mse, 1e-12) && near(s.entropy, golden_scalar(f, v, "entropy_bits"), 1e-9) &&
                    near(scalar_rate_distortion(log2((double)n)), golden_scalar(f, v, "DR_at_log2n"), 1e-12) &&
                    near(scalar_rate_distortion(s.entropy), golden_scalar(f, v, "DR_at_entropy"), 1e-9);
        golden_verdict(f, v, NAN, s.mse / mse, good, NULL);
    }
    free(wanted);
    free(edge);
}

// "uniform_n16" has 16 levels; a name that does not say has as many as give its step.
static void check_uniform(const golden_file *f, const char *v) {
    double step = golden_scalar(f, v, "step"), mse = golden_scalar(f, v, "mse"), ours;
    int64_t n = golden_number(v, "n", 0);
    for (int64_t k = 2; n == 0 && k <= SCALAR_MOST; k++)
        if (fabs(scalar_uniform((int)k, &ours) - step) <= 1e-7) n = k;
    if (n < 2 || n > SCALAR_MOST) {
        golden_skip(f, v, "the number of levels is not in the name, and none up to 256 has this step");
        return;
    }
    double found = scalar_uniform((int)n, &ours);
    // Around its minimum the error is flat: half the digits of the step are all that it fixes.
    golden_verdict(f, v, NAN, ours / mse, fabs(found - step) <= 1e-7 && near(ours, mse, 1e-12), NULL);
}

static void check_e8(const golden_file *f, const char *v) {
    base_err err = {0};
    int64_t n = values_of(f, v, "probe"), equal = 0;
    double *probe = golden_doubles(f, v, "probe", n, &err);
    double *nearest = probe ? golden_doubles(f, v, "nearest", n, &err) : NULL;
    if (nearest && n % 8) base_fail(&err, "%s.probe has %lld values, which are no vectors of 8", v, (long long)n);
    for (int64_t i = 0; !err.text[0] && i < n; i += 8) {
        double out[8];
        e8_nearest(probe + i, out);
        equal += furthest(out, nearest + i, 8) == 0;
    }
    golden_verdict(f, v, err.text[0] ? NAN : (double)equal / (double)(n / 8), NAN, !err.text[0] && equal == n / 8,
                   err.text[0] ? err.text : NULL);
    free(probe);
    free(nearest);
}

// The shells of the first norms, by counting which points with entries up to 2 are their own nearest ones.
static void check_shells(const golden_file *f, const char *v) {
    base_err err = {0};
    int64_t *wanted = golden_codes(f, v, "shell_counts_norm2_4", 2, 1 << 30, &err), found[2] = {0};
    for (int half = 0; wanted && half < 2; half++)
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
    char *name = base_sprintf("%s shells", v);
    golden_verdict(f, name, NAN, NAN, wanted && found[0] == wanted[0] && found[1] == wanted[1],
                   err.text[0] ? err.text : NULL);
    free(name);
    free(wanted);
}

static void check_counts(const golden_file *f, const char *v) {
    const num_tensor *t = golden_array(f, v, "N");
    pvq_table table;
    base_err err = {0};
    double *wanted = golden_doubles(f, v, "N", -1, &err);
    if (wanted && t->ndim != 2) base_fail(&err, "%s.N has %d dimensions, and 2 are expected", v, t->ndim);
    if (err.text[0] || !pvq_open(&table, (int)t->dim[0] - 1, (int)t->dim[1] - 1, &err)) {
        golden_verdict(f, v, NAN, NAN, false, err.text);
    } else {
        int64_t rows = t->dim[0], cols = t->dim[1], equal = 0;
        for (int64_t n = 0; n < rows; n++)
            for (int64_t k = 0; k < cols; k++)
                equal += (double)pvq_count(&table, (int)n, (int)k) == wanted[n * cols + k];
        golden_verdict(f, v, (double)equal / (double)(rows * cols), NAN, equal == rows * cols, NULL);
        pvq_close(&table);
    }
    free(wanted);
}

void golden_scalar_quantisers(const golden_file *f) {
    static const struct {
        const char *array;
        void (*check)(const golden_file *f, const char *v);
    } checks[] = {{"levels", check_lloyd},
                  {"step", check_uniform},
                  {"probe", check_e8},
                  {"shell_counts_norm2_4", check_shells},
                  {"N", check_counts}};
    size_t all = 0;
    for (size_t k = 0; k < sizeof checks / sizeof *checks; k++) {
        size_t count;
        char **v = golden_variants(f, checks[k].array, &count);
        for (size_t i = 0; i < count; i++) checks[k].check(f, v[i]);
        base_names_free(v, count);
        all += count;
    }
    if (!all) golden_verdict(f, NULL, NAN, NAN, false, "the file has no levels, steps, probes or counts");
}

void golden_pvq_sizes(const golden_file *f) {
    json_t *o = golden_json(f), *value;
    json_t *counts = json_object_get(o, "pvq_N");
    const char *key;
    int most_n = 1, most_k = 0, n, k, end;
    int64_t equal = 0, all = 0;
    pvq_table table;
    base_err err = {0};
    if (!o) return;
    if (!json_is_object(counts) || !json_object_size(counts)) base_fail(&err, "there is no object pvq_N");
    json_object_foreach(counts, key, value) {
        bool read = sscanf(key, "%d,%d%n", &n, &k, &end) == 2 && !key[end] && n >= 0 && k >= 0 && json_is_string(value);
        char shown[32];
        base_clean(shown, sizeof shown, key);
        if (!read && !err.text[0])
            base_fail(&err, "pvq_N has the entry \"%s\", and \"n,k\": \"count\" is expected", shown);
        if (!read) continue;
        most_n = n > most_n ? n : most_n;
        most_k = k > most_k ? k : most_k;
    }
    if (err.text[0] || !pvq_open(&table, most_n, most_k, &err)) {
        golden_verdict(f, "pvq_N", NAN, NAN, false, err.text);
        json_decref(o);
        return;
    }
    json_object_foreach(counts, key, value) {
        char text[44];
        all++;
        if (sscanf(key, "%d,%d", &n, &k) == 2)
            equal += strcmp(pvq_text(pvq_count(&table, n, k), text), json_string_value(value)) == 0;
    }
    golden_verdict(f, "pvq_N", (double)equal / (double)all, NAN, equal == all, NULL);
    pvq_close(&table);
    json_decref(o);
}
