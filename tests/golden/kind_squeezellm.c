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

static void check_variant(const golden_file *f, const float *w, const float *given, int64_t rows, int64_t cols,
                          const char *v) {
    const num_tensor *optimal = golden_array(f, v, "optimal_inertia"), *reached = golden_array(f, v, "inertia");
    int64_t k = golden_array(f, v, "centers")->dim[1];
    float *weight = base_calloc((size_t)cols, sizeof *weight), *centers = base_calloc((size_t)k, sizeof *centers);
    uint16_t *labels = base_calloc((size_t)cols, sizeof *labels);
    double ours = 0, theirs = 0, best = 0, worst = 0;
    base_err err = {0};
    bool ok = true;
    for (int64_t r = 0; ok && r < rows; r++) {
        row_weights(w + r * cols, given + r * cols, cols, weight);
        ok =
            kmeans_solve(w + r * cols, weight, cols, &(kmeans_options){k, true, 50}, centers, labels, NULL, NULL, &err);
        double got = inertia_of(w + r * cols, weight, centers, labels, cols),
               least = ((const double *)optimal->data)[r];
        ours += got;
        theirs += ((const double *)reached->data)[r];
        best += least;
        if (least > 0 && got / least - 1 > worst) worst = got / least - 1;
    }
    char why[80];
    snprintf(why, sizeof why, "worst row %.1e above the optimum", worst);
    golden_verdict(f, v, NAN, ours / theirs, ok && ours <= theirs && worst <= 1e-4 && ours >= best * (1 - 1e-4),
                   ok ? why : err.text);
    free(weight);
    free(centers);
    free(labels);
}

void golden_squeezellm(const golden_file *f) {
    const num_tensor *w = golden_array(f, NULL, "W");
    float *weights = golden_floats(f, NULL, "W", NULL), *given = golden_floats(f, NULL, "sample_weight", NULL);
    size_t count;
    char **variants = golden_variants(f, "optimal_inertia", &count);
    for (size_t i = 0; weights && given && i < count; i++)
        check_variant(f, weights, given, w->dim[0], w->dim[1], variants[i]);
    base_names_free(variants, count);
    base_big_free(weights);
    base_big_free(given);
}
