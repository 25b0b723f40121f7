// Private to study/: the metrics, one file each under metric_*.c, and what they share.
#ifndef VISE_STUDY_SENSITIVITY_H
#define VISE_STUDY_SENSITIVITY_H

#include "study/study.h"

extern const study_metric metric_hessian_trace, metric_trace_noise, metric_top_eigenvalue, metric_eigenvalue_spread;
extern const study_metric metric_weight_error, metric_output_error, metric_loss, metric_loss_but_one;
extern const study_metric metric_fisher, metric_first_order, metric_pruning, metric_decoupled, metric_pairs;
extern const study_metric metric_taylor, metric_relevance, metric_distilled;
extern const study_metric metric_time, metric_activation_spike;
extern const study_metric metric_heavy_tail, metric_pq_index, metric_activation_variance, metric_canonical_correlation;

// The network and the samples that the metric needs are there.
bool study_has_data(const study_subject *s, const study_metric *m, base_err *err) BASE_MUST_USE;
// Index into m->layers of row r.
int study_layer(const study_subject *s, int row);
// Every layer under every option alone, in the order of the network; fills t->bytes and t->seconds (making only).
typedef bool (*study_cell)(void *context, int row, int option, const float *decoded, const base_layer_row *figures,
                           base_err *err);
bool study_each(const study_subject *s, study_table *t, study_cell cell, void *context, base_job *job,
                base_err *err) BASE_MUST_USE;
// The same with each layer's stored form.
typedef bool (*study_stored_cell)(void *context, int row, int option, const float *decoded,
                                  const compress_stored *stored, base_err *err);
bool study_each_stored(const study_subject *s, study_table *t, study_stored_cell cell, void *context, base_job *job,
                       base_err *err) BASE_MUST_USE;

// Mean and covariance of a layer's inputs on the samples of a stream that has not passed it.
typedef struct study_moments {
    bool table;         // an embedding: mean [in] is how often each row is asked for, there is no covariance
    int64_t groups, in; // inputs of a group
    int64_t outs;       // outputs of a group
    double *mean;       // [groups x in]
    double *covariance; // [groups x in x in]
} study_moments;
bool study_moments_make(engine_stream *stream, const model_layer *l, study_moments *k, base_job *job,
                        base_err *err) BASE_MUST_USE;
void study_moments_free(study_moments *k);
// Covariance [outs x outs] of a group's outputs under weights a with those under weights b, both whole as stored.
bool study_moments_between(const study_moments *k, int64_t group, const float *a, const float *b, double *out,
                           base_err *err) BASE_MUST_USE;

#endif
