// Private to compress/: the walk over layers, shared by a whole run (run.c) and by options tried each alone
// (options.c).
#ifndef VISE_COMPRESS_RUN_H
#define VISE_COMPRESS_RUN_H

#include "compress/baseline.h"
#include "compress/change.h"
#include "compress/coding/coding.h"
#include "compress/keep.h"
#include "compress/made.h"
#include "compress/map.h"
#include "compress/result.h"

typedef struct walk {
    const model *m;
    const compress_plan *plan;
    base_job *job;
    compress_result *r;
    int *rule;            // [layer_count]
    void ***planned;      // [layer_count] -> [steps of the rule], what each step's plan left; NULL: none
    fisher_layer *fisher; // [layer_count] squared gradients of the layers that need them; NULL: none does
    measure_streams s;
    keep_walk keep; // what layers in the cache are found by
    bool prepared;  // gradients and plans over all layers are there
    bool sizes;     // only stored forms are made: no samples, drawn-up moments, nothing measured
    int kept;       // layers taken from the cache
    float *gram;    // second moment that the options of one layer share; NULL: none is held
    bool options;   // many rules a layer: `gram` stays until the next layer
    double began;
    change_list changes; // made by hand during the walk; `plan` is theirs when there are any
} walk;

// The row of layer i before anything is done.
base_layer_row walk_start_row(const walk *w, int i);
// Layer i out of the cache; *found false: it is not there.
bool walk_take_layer(walk *w, int i, const char own[33], const char chained[33], base_layer_row *row, bool *found,
                     base_err *err);
// All steps of the rule of layer i, measured; the result is in w->r and in row.
bool walk_make_layer(walk *w, int i, base_layer_row *row, base_err *err);
// Layer i as it was.
void walk_undo(walk *w, int i);
// Whether every step can do its work on the layers of its rule.
bool walk_check_steps(const walk *w, base_err *err);
// COMPRESS_NEEDS_... of a step.
unsigned walk_step_needs(const compress_step *s);

#endif
