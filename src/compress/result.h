// Private to compress/: a compressed model while it is made, measured and written.
#ifndef VISE_COMPRESS_RESULT_H
#define VISE_COMPRESS_RESULT_H

#include "compress/layer.h"

// What became of one layer; term_count 0: it is stored as it came.
typedef struct result_layer {
    term **terms;
    int term_count;
    float *decoded; // [out x in], what the network runs with; NULL when unchanged
} result_layer;

struct compress_result {
    const model *m;       // outlives the result
    result_layer *layers; // [m->layer_count]
    base_layer_row *rows; // finished layers in the order of the walk
    int row_count;
    const float **weights; // [m->weight_count]
    float **adjusted;      // [m->weight_count] parameters that are no layer's weight, changed after the run; NULL: none
    char about[96];        // recipe name, for the metadata
    int others;            // as in compress_plan
    bool compact;
    result_layer *whole;      // [m->layer_count] what was cut (no terms: as it is); NULL: nothing was
    struct coding_base *base; // the checkpoint that arrays were coded against; NULL: none. Owned
};

compress_result *result_new(const model *m);
// The type in which a tensor that is no layer's weight is stored.
num_dtype result_stored_type(const compress_result *r, int tensor);
// A parameter that is no layer's weight, to be changed: from now on the network computes with it (adjust.c).
float *result_own_param(compress_result *r, int param, base_err *err);
// Gives the parameters that belong to no layer the values that `others` stores (adjust.c).
bool result_round_others(compress_result *r, base_job *job, base_err *err) BASE_MUST_USE;
// The tensor that holds a layer's weight in the source file.
const model_tensor *result_tensor(const model *m, const model_layer *l);
// Name, kind, shape, sizes; every figure NaN or 0.
base_layer_row result_row(const model *m, int layer, int index);

// The steps of a plan without any samples: what they ask of a layer's inputs is drawn up, nothing is measured. What
// comes out has stored forms, and no other meaning. What can be said without samples (estimate.c) is checked before:
bool compress_check(const model *m, const compress_plan *plan, base_err *err) BASE_MUST_USE;
bool compress_sizes_only(const model *m, const compress_plan *plan, base_job *job, compress_result **out,
                         base_err *err) BASE_MUST_USE;

// ---- cuts (cut.c) ------------------------------------------------------------------------------------

typedef struct cut_layer {
    const char *name;
    term **terms;
    int *count;
} cut_layer;
// others: bytes of all arrays that belong to none of the layers.
bool cut_layers(const compress_cut *cut, cut_layer *layers, int count, int64_t others, base_err *err) BASE_MUST_USE;
void cut_restore(compress_result *r);

// ---- squared gradients (fisher.c) ------------------------------------------------------------------

// Of one layer: squared gradients summed over samples, and for the units of the first step that prunes units by taylor
// the squared sum of gradient times weight, summed over samples.
typedef struct fisher_layer {
    float *squares;         // [out x in]; NULL: no step needs gradients
    float *taylor;          // [units]; NULL: no step needs them
    int64_t height, length; // of a unit
} fisher_layer;
// For each layer (rule [layer_count] as of compress_match); *fisher itself is NULL when no step needs any. The caller
// frees with fisher_free.
bool fisher_make(const model *m, const compress_plan *plan, const int *rule, fisher_layer **fisher, base_job *job,
                 base_err *err) BASE_MUST_USE;
void fisher_free(const model *m, fisher_layer *fisher);

// ---- figures of a layer (measure.c) ----------------------------------------------------------------

// The samples a run carries along: with the original weights, and with the compressed prefix (the same stream as long
// as nothing has changed).
typedef struct measure_pair {
    engine_stream *own, *chain;
} measure_pair;
typedef struct measure_streams {
    measure_pair calib, held;
    int *nodes; // every layer's node so far: where the streams stop, also when they are moved later
    int node_count;
} measure_streams;

bool measure_open(const model *m, const data_view *calib, const data_view *held, measure_streams *s, base_err *err);
void measure_close(measure_streams *s);
void measure_pass(measure_streams *s, int node); // the walk goes by a layer that needs no samples
bool measure_advance(measure_streams *s, int node, base_job *job, base_err *err);
// From now on the compressed prefix uses `w` for the parameter.
bool measure_replace(measure_streams *s, int param, const float *w, base_err *err);
// Weight error, SQNR, bits and the bound from the stored bytes.
void measure_weights(base_layer_row *row, const float *w, const float *wc);
// Output errors and cosine; `h` (may be NULL) is the second moment of the original calibration inputs, which spares a
// pass over them. The compressed prefix uses `wc` from here on where it has gone apart already, and streams may have
// moved on to the node `next` (that of the layer after this one; -1: none).
// The layer's own error alone, before its outputs are measured.
bool measure_own(const measure_streams *s, const model_layer *l, const float *w, const float *wc, const float *h,
                 double *error, base_job *job, base_err *err);
bool measure_outputs(const measure_streams *s, const model_layer *l, int next, const float *w, const float *wc,
                     const float *h, base_layer_row *row, base_job *job, base_err *err);

#endif
