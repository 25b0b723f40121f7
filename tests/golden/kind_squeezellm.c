// squeezellm files: weighted k-means per row; the reference is scikit-learn's, the optimum is exact.
#include "kinds.h"

#include "compress/solvers/kmeans.h"

#include <math.h>
#include <stdlib.h>

// The reference leaves weights out where W is 0, and counts all alike where nothing is left.
static void row_weights(const float *w, const float *given, int64_t cols, float *out) {
    double sum = 0;
    for (int64_t i = 0; i < cols; i++) {
        out[i] = w[i] == 0 ? 0 : given[i];
        sum += (double)out[i];
    }
    for (int64_t i = 0; sum == 0 && i < cols; i++) out[i] = 1;
}

static double inertia_of(const float *x, const float *weight, const float *centers, const uint16_t *labels, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = (double)x[i] - (double)centers[labels[i]];
        sum += (double)weight[i] * d * d;
    }
    return sum;
}

// What rounding the centers to float32, and sums of squares in float64, come to: where as many centers as values are
// allowed nothing else is left.
static double rounding(const float *x, const float *weight, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)weight[i] * (double)x[i] * (double)x[i];
    return sum * 1e-14;
}

static void check_variant(const golden_file *f, const float *w, const float *given, int64_t rows, int64_t cols,
                          const char *v) {
    base_err err = {0};
    const num_tensor *t = golden_array(f, v, "centers");
    double *reached = golden_doubles(f, v, "inertia", rows, &err);
    double *optimal =
        golden_array(f, v, "optimal_inertia") ? golden_doubles(f, v, "optimal_inertia", rows, &err) : NULL;
    if (!err.text[0] && (!t || t->ndim != 2 || t->dim[0] != rows || t->dim[1] < 1 || t->dim[1] > 65536))
        base_fail(&err, "centers are not some of each of %lld rows", (long long)rows);
    int64_t k = err.text[0] ? 1 : t->dim[1];
    float *weight = base_calloc((size_t)cols, sizeof *weight), *centers = base_calloc((size_t)k, sizeof *centers);
    uint16_t *labels = base_calloc((size_t)cols, sizeof *labels);
    double ours = 0, theirs = 0, worst = 0;
    bool ok = !err.text[0], below = false;
    for (int64_t r = 0; ok && r < rows; r++) {
        row_weights(w + r * cols, given + r * cols, cols, weight);
        ok =
            kmeans_solve(w + r * cols, weight, cols, &(kmeans_options){k, true, 50}, centers, labels, NULL, NULL, &err);
        double got = inertia_of(w + r * cols, weight, centers, labels, cols),
               noise = rounding(w + r * cols, weight, cols);
        ours += got;
        theirs += reached[r] + noise;
        if (!optimal) continue;
        if (got > noise) worst = fmax(worst, optimal[r] > 0 ? (got - noise) / optimal[r] - 1 : INFINITY);
        below |= got < optimal[r] * (1 - 1e-4) - noise; // then one of the two is not the sum it says it is
    }
    char why[80] = "no optimum is stated";
    if (optimal) snprintf(why, sizeof why, "worst row %.1e above the optimum", worst);
    golden_verdict(f, v, NAN,
                   !ok          ? NAN
                   : theirs > 0 ? ours / theirs
                                : 1,
                   ok && ours <= theirs && worst <= 1e-4 && !below, ok ? why : err.text);
    free(reached);
    free(optimal);
    free(weight);
    free(centers);
    free(labels);
}

void golden_squeezellm(const golden_file *f) {
    int64_t rows = 0, cols = 0;
    size_t count = 0;
    base_err err = {0};
    float *w = golden_matrix(f, "W", &rows, &cols, &err);
    float *given = w ? golden_reals(f, NULL, "sample_weight", rows * cols, &err) : NULL;
    char **variants = golden_variants_of(f, (const char *const[]){"centers", "inertia"}, 2, &count);
    for (int64_t i = 0; given && i < rows * cols && !err.text[0]; i++)
        if (given[i] < 0) base_fail(&err, "sample_weight holds %g at place %lld", (double)given[i], (long long)i);
    if (!err.text[0] && !count) base_fail(&err, "the file has no variant");
    if (err.text[0]) golden_verdict(f, NULL, NAN, NAN, false, err.text);
    for (size_t i = 0; !err.text[0] && i < count; i++) check_variant(f, w, given, rows, cols, variants[i]);
    base_names_free(variants, count);
    base_big_free(w);
    base_big_free(given);
}
