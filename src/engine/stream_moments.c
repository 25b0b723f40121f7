// stream_moments: mean and variance of the channels of a node's input over all samples of a stream.
#include "engine/stream.h"

#include <math.h>
#include <string.h>

// Two passes in float64 over values [n, channels, inner]: the mean first, so that a large mean costs no digits.
static void add_block(const float *x, int64_t n, int64_t channels, int64_t inner, const double *mean, double *sum) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < channels; c++, x += inner) {
            double total = 0;
            for (int64_t k = 0; k < inner; k++) {
                double d = (double)x[k] - (mean ? mean[c] : 0);
                total += mean ? d * d : d;
            }
            sum[c] += total;
        }
}

bool engine_stream_moments(engine_stream *s, int node, double *mean, double *variance, base_job *job, base_err *err) {
    if (!stream_has(s, node, err)) return false;
    int value = s->g->nodes[node].in[0];
    if (!s->value[value]) return base_fail(err, "%s reads tokens, not values", s->g->nodes[node].name);
    const model_shape *shape = model_graph_shape(s->g, value);
    if (shape->ndim < 2) return base_fail(err, "the input of %s has no channels", s->g->nodes[node].name);
    int64_t channels = shape->dim[1];
    for (int pass = 0; pass < 2; pass++) {
        double *sum = pass ? variance : mean;
        int64_t count = 0;
        memset(sum, 0, (size_t)channels * sizeof *sum);
        for (int64_t b = 0; b < s->block_count; b++) {
            const model_shape *at = &s->block[b].shapes[value];
            int64_t n = at->dim[0], inner = model_shape_count(at) / (n * channels);
            if (!base_go_on(job, err)) return false;
            add_block(s->value[value] + stream_at(s, value, b), n, channels, inner, pass ? mean : NULL, sum);
            count += n * inner;
        }
        for (int64_t c = 0; c < channels; c++) {
            sum[c] /= (double)count;
            if (!isfinite(sum[c])) return base_fail(err, "the input of %s holds NaN or Inf", s->g->nodes[node].name);
        }
        if (pass && count < 2) return base_fail(err, "one value a channel has no variance: give more samples");
        for (int64_t c = 0; pass && c < channels; c++) sum[c] *= (double)count / (double)(count - 1);
    }
    return true;
}
