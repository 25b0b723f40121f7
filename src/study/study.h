// study: what hurts, where the bytes should go, what a smaller file costs - sensitivity tables, allocation, sweeps.
//
// Everything here works on tables of layers x options. An option is a list of steps for a layer; its row says what it
// costs (bytes, bit operations, nanoseconds) and what it does to the model (a loss that allocators add up). Tables come
// from measuring (sensitivity) or from elsewhere (published ones); allocators only see numbers.
#ifndef VISE_STUDY_H
#define VISE_STUDY_H

#include "compress/compress.h"

// ---- sensitivity: layers x options ----------------------------------------------------------------

// What may be done to a layer: a name ("3 bit") and the steps.
typedef struct study_option {
    const char *name;
    const compress_step *steps;
    int step_count;
} study_option;

struct study_table;
// What is studied. All lent.
typedef struct study_subject {
    const model *m;
    const study_option *options;
    int option_count;
    const int *layers;       // indices into m->layers; NULL: all
    int layer_count;         // of `layers`
    const data_view *calib;  // what steps calibrate on and gradients are taken of; NULL: none
    const data_view *select; // what losses are measured on (never the test part); NULL: calib
    uint64_t seed;
    const bool *have; // [layers x options] cells that need not be looked at, as they are known; NULL: all are measured
    // Told of each cell of an option as soon as it is measured (t is the table being filled); NULL: nobody.
    void (*measured)(void *context, const struct study_table *t, int row, int col);
    void *measured_context;
} study_subject;

// A metric's values. Rows are layers, columns options; a metric that does not look at the option (a Hessian trace) has
// one column named "layer"; pairs has a column for each layer.
typedef struct study_table {
    char metric[32], unit[24]; // "kl", "nats"
    int rows, cols;
    char **row, **col;
    char **steps;    // [cols] the option as a recipe says it ("quantize{ bits = 3 }"); NULL: a step of a recipe's own
    double *value;   // [rows x cols]; NaN: could not be had (why is logged)
    double *error;   // [rows x cols] standard error; NaN: exact, or not known
    int64_t *bytes;  // [rows x cols] stored bytes of the layer under the option; NULL in one-column tables
    double *seconds; // [rows x cols] time it took to make and measure
    double *weights; // [rows] weights of the layer
    double *operations; // [rows] multiply-accumulates of one sample
} study_table;
bool study_table_new(study_table *t, const study_subject *s, const char *metric, const char *unit, bool by_option,
                     base_err *err) BASE_MUST_USE; // every value NaN, bytes 0
void study_table_free(study_table *t);

typedef struct study_metric {
    const char *name, *help, *about, *source, *cost;
    unsigned data;  // STUDY_*
    bool by_option; // looks at the options
    bool alone;   // a cell is the same whatever other layers and options are in the table, so cells are kept one by one
    bool machine; // values are of the machine they were measured on, and kept for it
    bool square;  // columns are the layers again: what two of them do to each other. Such tables are not kept
    const base_arg *args;
    size_t arg_count;
    // Expected work, told before it starts: forward passes over the selection samples, backward passes over
    // calibration.
    void (*work)(const study_subject *s, const base_value *v, double *forward, double *backward);
    bool (*measure)(const study_subject *s, const base_value *v, study_table *t, base_job *job, base_err *err);
} study_metric;
enum { STUDY_CALIB = 1, STUDY_SELECT = 2, STUDY_LABELS = 4 };
extern const study_metric *const study_metrics[];
extern const size_t study_metric_count;
const study_metric *study_metric_find(const char *name);
// Checks that the data the metric needs is there, tells its cost, measures. values NULL: defaults.
bool study_sensitivity(const study_subject *s, const study_metric *metric, const base_value *values, study_table *t,
                       base_job *job, base_err *err) BASE_MUST_USE;
// ---- measured once (kept.c) ----

// A cell as it is kept: what it is of, for people, and its figures. The key is a hash of all that it depends on.
typedef struct study_record {
    const char *model, *layer, *option, *steps, *metric, *samples;
    char figure[32], unit[24];    // as in the table ("kl", "nats")
    double value, error, seconds; // NaN: none
    int64_t bytes;                // -1: none
} study_record;
// Where cells are kept. get fills the figures, and is NULL where nothing may be taken up.
typedef struct study_store {
    bool (*get)(void *context, const char *key, study_record *r);
    void (*put)(void *context, const char *key, const study_record *r);
    void *context;
} study_store;
// study_sensitivity through a store (NULL: none): only cells that are not there are measured, and cells of metrics that
// are `alone` are kept as they come, so that a table that was interrupted goes on where it stopped. *fresh: number of
// cells measured now (fewer than the table has: the rest was there). Steps that a recipe defines or that read other
// files are not kept.
bool study_sensitivity_kept(const study_subject *s, const study_metric *metric, const base_value *values,
                            const study_store *store, study_table *t, int *fresh, base_job *job,
                            base_err *err) BASE_MUST_USE;
// The table as one JSON object: kind "sensitivity", metric, unit, rows, options, steps, value, error, bytes, seconds
// (lists of rows; null where there is none), weights, operations. Caller frees.
char *study_table_json(const study_table *t);
// For dry runs: the table without measuring anything. Cells that are kept are there; where any is missing, bytes are
// those that can be foretold, values only fall with them, and *missing, *forward and *backward (passes over the
// samples, as study_metric.work) and *seconds (of compressing the layers) say what measuring would take.
typedef struct study_foretold {
    int missing;
    double forward, backward, seconds;
} study_foretold;
bool study_sensitivity_foretell(const study_subject *s, const study_metric *metric, const base_value *values,
                                const study_store *store, const compress_speed *speed, study_table *t,
                                study_foretold *f, base_job *job, base_err *err) BASE_MUST_USE;
// A number, or null when it is not finite.
void study_json_number(base_buf *b, double x);
void study_json_text(base_buf *b, const char *text); // in quotes

// Spearman's rank correlation of two tables over the cells both have (one-column tables are repeated); NaN: fewer
// than 3.
double study_rank_correlation(const study_table *a, const study_table *b);

// ---- allocation: one option a layer, least loss within a budget ----------------------------------

// A multiple-choice knapsack. All arrays are lent. Losses are finite numbers of any sign; costs are >= 0.
typedef struct study_problem {
    int layers;
    const int *options;         // [layers] number of options, >= 1
    const double *const *loss;  // [layers][options]
    const int64_t *const *cost; // [layers][options] in one unit: bytes, bit operations, nanoseconds
    int64_t budget;             // most the costs may add up to
    const int *tie;             // [layers] layers with the same number >= 0 take the same option; NULL: none are tied
    const double *weights;      // [layers] weights, for closed forms in bits; NULL: from nothing, those then refuse
    const char *const *names;   // [layers] for messages; NULL: numbers
    const char *unit;           // "bytes"; NULL: "units"
    // The loss of a whole choice as it is, for search methods that look at the model itself; NULL: the sum. `effort`
    // 0..1 says how carefully (fraction of the samples).
    bool (*measure)(void *context, const int *choice, double effort, double *loss, base_err *err);
    void *context;
} study_problem;

// A whole choice measured on the subject's selection samples: figure "kl", "loss" or "metric". All layers are held
// under all options. `others`: weights of what is not in the subject, NULL: the original ones. Lends s, others and job.
typedef struct study_whole study_whole;
study_whole *study_whole_open(const study_subject *s, const char *figure, engine_weights others, base_job *job,
                              base_err *err) BASE_MUST_USE;
void study_whole_close(study_whole *k);
// As study_problem.measure, with the study_whole as context.
bool study_whole_measure(void *context, const int *choice, double effort, double *loss, base_err *err) BASE_MUST_USE;

typedef struct study_answer {
    int *choice; // [layers] option of each layer; study_answer_free
    double loss; // sum of the table's losses of this choice
    int64_t cost;
    double measured; // what `measure` said of it at full effort; NaN without
    double bound;    // no choice within the budget has a smaller sum (linear relaxation, or proof)
    bool optimal;    // proved
    double optimum;  // the exact least sum, NaN where it was not computable within the state limit
    int64_t steps;   // states, nodes or evaluations looked at
    double seconds;
} study_answer;
void study_answer_free(study_answer *a);

typedef struct study_prepared study_prepared; // private: options sorted, dominated ones out, hull
typedef struct study_allocator {
    const char *name, *help, *about, *source, *cost;
    const base_arg *args;
    size_t arg_count;
    bool exact, in_bits; // in_bits: closed forms in bits a weight; costs must be bytes
    // Fills choice[classes] with positions in the prepared classes.
    bool (*solve)(const study_prepared *s, const base_value *values, int *choice, study_answer *a, base_job *job,
                  base_err *err);
} study_allocator;
extern const study_allocator study_allocators[];
extern const size_t study_allocator_count;
const study_allocator *study_allocator_find(const char *name);

// Solves p. `values` [arg_count] as base_arg_defaults fills them, or NULL. A budget nothing fits is an error naming the
// smallest feasible one. a->optimum is computed with the exact solver when another was asked for.
bool study_allocate(const study_problem *p, const study_allocator *solver, const base_value *values, study_answer *a,
                    base_job *job, base_err *err) BASE_MUST_USE;
// The whole lower hull: for each budget at which the answer of the Lagrangian relaxation changes, cost and loss, in
// rising cost. Caller frees both arrays.
bool study_hull(const study_problem *p, int64_t **cost, double **loss, int *count, base_err *err) BASE_MUST_USE;

// ---- charts -------------------------------------------------------------------------------------------

// A point with a cost (x), a figure (y) and its interval (NaN: none).
typedef struct study_dot {
    double x, y, low, high;
    bool front;        // no other point costs less or the same and is better; equal points are all on the front
    const char *label; // "bits=3 group=64"; lent, may be NULL
} study_dot;
// Marks the points that are on the Pareto front of small x against high (`higher`) or low y. A NaN is never on it.
void study_front(study_dot *dots, size_t count, bool higher);

typedef struct study_scatter {
    const char *title, *note; // note: one line below the title, may be NULL
    const char *x_label, *y_label;
    const study_dot *dots;
    size_t count;
    bool higher; // larger y is better
    bool y_log;  // decades, where all y are above 0
    bool equal;  // the line y = x over axes of one range instead of a front
} study_scatter;
// One self-contained <svg> element; what is not finite is left out. Caller frees.
char *study_scatter_svg(const study_scatter *s);

// ---- sweeps: a recipe at every combination of some params -----------------------------------------------

enum { STUDY_POINTS = 100000 }; // most points of one sweep

// The values one param takes, each once: numbers rising, choices in the order the recipe declares them.
typedef struct study_axis {
    char *name;
    char **value; // as script_recipe_set takes them
    size_t count;
    bool number;
} study_axis;
// Reads "2..8", "0..1:0.25", "32,64,128", "none,act" or a mix of them. Ranges are checked for their number of values
// only; limits and choices of the param are the recipe's to check.
bool study_axis_parse(const base_param_row *param, const char *text, study_axis *axis, base_err *err) BASE_MUST_USE;
void study_axis_free(study_axis *a);
// The number of combinations; more than STUDY_POINTS is an error. The last axis runs fastest.
bool study_axes_count(const study_axis *axes, size_t count, size_t *points, base_err *err) BASE_MUST_USE;
const char *study_axes_value(const study_axis *axes, size_t count, size_t point, size_t axis);
// A param's number as text that reads back as the same number.
char *study_number_text(char out[32], double value);
// "2/8": the second of eight parts.
bool study_shard_parse(const char *text, size_t *part, size_t *parts, base_err *err) BASE_MUST_USE;

typedef enum study_state { STUDY_NOT_RUN, STUDY_DONE, STUDY_FAILED } study_state;
extern const char *const study_state_names[];

typedef struct study_point {
    size_t index; // among the combinations of the axes
    char *params; // "bits=3 group=64"
    study_state state;
    bool measured;
    base_model_row figure; // the recipe's last report of something that is not the original
    int64_t bytes;         // of the file that holds it, header included; -1: not known
    char hash[33];         // of the last file it saves, or ""
    char *error;           // STUDY_FAILED
    bool front;
    int64_t run; // in the history; differs from one history to another, as seconds do
    double seconds;
} study_point;

typedef struct study_sweep {
    const char *recipe, *recipe_hash;
    const study_axis *axes; // lent
    size_t axis_count;
    study_point *points; // by index
    size_t count;
    size_t all;                // combinations; more than count in a shard
    char metric[24], data[96]; // of the figure that the front is drawn for; "" when nothing was measured
    bool higher;               // larger is better
    size_t others;             // measured points with another figure: they are not on this front
} study_sweep;
// Chooses the figure (the one most points report) and marks the front of bytes against it.
void study_sweep_judge(study_sweep *s);
// The same bytes for the same figures: neither times nor run numbers, except in the JSON's "seconds" and "run".
void study_sweep_table(const study_sweep *s, FILE *out);
void study_sweep_csv(const study_sweep *s, FILE *out);
void study_sweep_json(const study_sweep *s, FILE *out);
void study_sweep_svg(const study_sweep *s, FILE *out);
void study_points_free(study_point *points, size_t count);

// ---- charts ---------------------------------------------------------------------------------------

// A table as coloured cells.
// Colours of a share 0..1 of the range, as 0xRRGGBB: even in lightness and readable in grey, or two colours apart from
// a light middle (0.5), both told apart by people who do not see red or green.
typedef enum study_colours { STUDY_VIRIDIS, STUDY_DIVERGING, STUDY_COLOUR_MAPS } study_colours;
extern const char *const study_colour_names[STUDY_COLOUR_MAPS]; // "viridis", "diverging"
int32_t study_colour(study_colours map, double share);          // NaN: the lowest

typedef struct svg_heat {
    const char *title, *unit; // unit "": none
    int rows, cols;
    const char *const *row, *const *col; // names; anything that XML gives a meaning is escaped
    const double *value;                 // [rows x cols]; NaN or infinite: not known, drawn empty
    bool log;                            // colours by the logarithm; values <= 0 take the lowest colour
} svg_heat;
// One <svg> element; nothing is added for an empty map.
void svg_heat_put(base_buf *out, const svg_heat *h);

// Text with what HTML and XML give a meaning, control characters and broken UTF-8 replaced; newlines and tabs stay.
void svg_lines(base_buf *out, const char *text);

#endif
