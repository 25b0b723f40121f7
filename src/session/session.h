// session: a run - job thread, cancel, event queue, history in SQLite.
//
// Work runs on one job thread; its events go to listeners there (history, progress text) and into a queue that the
// screen drains from its own thread. The two sides share only the queue and the job's cancel and pause flags.
#ifndef VISE_SESSION_H
#define VISE_SESSION_H

#include "study/study.h"

// ---- history -----------------------------------------------------------------------------------

typedef struct session_history session_history;
// Opens (creating) history.db under `dir` (NULL: the user's state folder). A database of a newer version, a broken or
// unwritable file is an error that says so. Several processes may write at once.
session_history *session_history_open(const char *dir, base_err *err) BASE_MUST_USE;
void session_history_close(session_history *h);

// A run as recorded. Strings owned.
typedef struct session_record {
    int64_t id;
    char *recipe, *recipe_path, *recipe_text, *recipe_hash;
    char *model, *model_hash, *data, *data_hash; // absolute paths as given, or ""
    char *params;                                // JSON object of all declared params and their values
    char *settings;                              // JSON: model, data, out, set options: what replay needs
    char *seeds;                                 // JSON array
    char *environment;                           // JSON: version, blas, kernel, threads, cpu
    char *output, *output_hash;                  // last file saved, or ""
    int64_t output_bytes, output_header_bytes;
    int64_t started; // Unix seconds
    double seconds;
    char *status;  // "running", "done", "failed", "cancelled"
    char *message; // closing sentence or error
    int64_t peak_bytes;
} session_record;
void session_record_free(session_record *r); // contents, not r

// Newest first; limit 0: all.
bool session_history_list(session_history *h, int64_t limit, session_record **records, size_t *count,
                          base_err *err) BASE_MUST_USE;
bool session_history_get(session_history *h, int64_t id, session_record *record, base_err *err) BASE_MUST_USE;
bool session_history_layers(session_history *h, int64_t id, base_layer_row **rows, size_t *count,
                            base_err *err) BASE_MUST_USE;
bool session_history_models(session_history *h, int64_t id, base_model_row **rows, size_t *count,
                            base_err *err) BASE_MUST_USE;
bool session_history_saved(session_history *h, int64_t id, char ***paths, char ***hashes, size_t *count,
                           base_err *err) BASE_MUST_USE;

// A file that a run opened, in the order of opening.
typedef struct session_input {
    char kind[8]; // "model" or "data"
    char *path, *hash;
} session_input;
bool session_history_inputs(session_history *h, int64_t id, session_input **inputs, size_t *count,
                            base_err *err) BASE_MUST_USE;
void session_inputs_free(session_input *inputs, size_t count);
// The finished runs ("done") of one recipe text, newest first.
bool session_history_done(session_history *h, const char *recipe_hash, session_record **records, size_t *count,
                          base_err *err) BASE_MUST_USE;

// ---- recorded runs, read whole ------------------------------------------------------------------

typedef struct session_recorded {
    session_record record;
    base_layer_row *layers;
    base_model_row *models;
    char **tables; // JSON texts, as session_history_tables gives them
    size_t layer_count, model_count, table_count;
} session_recorded;
bool session_recorded_read(session_history *h, int64_t id, session_recorded *r, base_err *err) BASE_MUST_USE;
void session_recorded_free(session_recorded *r); // contents, not r

// The figure a run is judged by: the last measured row that is not the original's, else the last measured one; NULL:
// nothing was measured.
const base_model_row *session_recorded_figure(const session_recorded *r);
// A run that compresses more than once has rows of each time; the last one of a layer counts.
bool session_recorded_row_counts(const session_recorded *r, size_t row);
// Sums over the layers, each counted once.
typedef struct session_total {
    int64_t weights, bytes, bytes_before;
    double bits; // 8 * bytes / weights; NaN: no weights
} session_total;
session_total session_recorded_sum(const session_recorded *r);
bool session_metric_rises(const char *metric); // more is better
// "top-1 96.94 % [95.1, 98.1] of 360 images" and the like; caller frees.
char *session_figures_text(const base_model_row *row);
// Runs as one HTML page that needs nothing outside of itself.
void session_report_html(base_buf *out, const session_recorded *runs, int count);
// A line for each cell of the runs' sensitivity tables and each layer of their allocations; nothing where there are
// none.
void session_report_tables_csv(base_buf *out, const session_recorded *runs, int count);
// A cell of a CSV line, quoted as RFC 4180 asks; control characters are replaced.
void session_csv_cell(base_buf *out, const char *text);

// The history as a list: a row a run, newest first, with the figures it is judged by. What was not measured is NaN, -1
// or "".
typedef struct session_overview {
    int64_t id, started;            // Unix seconds
    char recipe[64], params[256];   // "bits=4 group=64"
    char model[96], model_hash[40]; // name of the file
    char data[96], metric[24];      //
    char state[16], message[256];   // "running", "done", "stopped", "failed", "killed"
    char note[200];                 //
    char saved[256], hash[40];      // last file written
    double before, before_low, before_high;
    double value, low, high;
    double kl, kl_low, kl_high;
    double bits, seconds;
    int64_t flips, samples, bytes, bytes_before, peak_bytes;
    int64_t pinned;
} session_overview;
// The newest `limit` runs (0: all); *total: how many there are.
bool session_history_overview(session_history *h, int64_t limit, session_overview **rows, size_t *count, int64_t *total,
                              base_job *job, base_err *err) BASE_MUST_USE;
// A record's params (JSON) as "bits=4 group=64".
void session_params_text(const char *json, char *out, size_t size);
// Pins and notes are kept beside the runs; a run that is not there is an error.
bool session_history_pin(session_history *h, int64_t id, bool pinned, base_err *err) BASE_MUST_USE;
bool session_history_note(session_history *h, int64_t id, const char *note, base_err *err) BASE_MUST_USE;

// Two runs side by side. Everything is lent by the two.
typedef enum session_better {
    SESSION_UNKNOWN,
    SESSION_TRADE, // smaller bytes here, smaller error there
    SESSION_EQUAL,
    SESSION_FIRST,
    SESSION_SECOND
} session_better;
extern const char *const session_better_names[];
typedef struct session_pair {
    const base_layer_row *row[2];
    const char *error; // name of the figure compared; NULL: none is known of both
    double value[2];   // of that figure
    session_better better;
} session_pair;
typedef struct session_comparison {
    const session_recorded *run[2];
    session_pair *pairs; // layers that both have, in the order of the first
    size_t pair_count;
    const base_layer_row **alone[2]; // layers that only this one has
    size_t alone_count[2];
    session_total total[2];
    const base_model_row *figure[2]; // what each is judged by
    const char *why_not;             // these cannot be compared; NULL: they can
    double difference, low, high;    // second - first, with its interval
    bool known, overlap;             // known: both have intervals
    session_better better;
} session_comparison;
void session_compare(const session_recorded *first, const session_recorded *second, session_comparison *c);
void session_comparison_free(session_comparison *c); // contents, not c
// {value, low, high} of second - first, the two taken as independent: Zou and Donner, "Construction of confidence
// limits about effect measures" (Statistics in Medicine 27, 2008), for proportions Newcombe's method 10 (1998). Runs
// measured on the same samples differ by less than this allows for.
void session_difference(const double first[3], const double second[3], double difference[3]);

// What one merge did.
typedef struct session_merged {
    int64_t added, known, unfinished; // runs copied; there already; neither done, failed nor stopped in the source
    int64_t cells;                    // of sensitivity tables, copied
} session_merged;
// Copies the ended runs of another history (its folder, or its history.db) with all their rows into `h`, under new
// numbers and in one transaction. A run that is there already, equal in every column, is not copied again. The source
// is only read; a newer or broken one is an error and leaves `h` as it was.
bool session_history_merge(session_history *h, const char *from, base_job *job, session_merged *merged,
                           base_err *err) BASE_MUST_USE;

// Tables that a run reported (the JSON text of each table event), in order; free with base_names_free.
bool session_history_tables(session_history *h, int64_t id, char ***texts, size_t *count, base_err *err) BASE_MUST_USE;

// Cells of sensitivity tables, measured once and kept by the hash of what they depend on, whatever run needed them.
study_store session_history_store(session_history *h);
// What is kept, a line a model, metric and set of samples, newest first. Strings owned.
typedef struct session_cells {
    char *model, *metric, *unit, *samples;
    int64_t layers, options, cells, made; // made: Unix seconds of the newest
    double seconds;                       // that it took to measure them
} session_cells;
bool session_history_cells(session_history *h, session_cells **rows, size_t *count, base_err *err) BASE_MUST_USE;
void session_cells_free(session_cells *rows, size_t count);

// What is known when a run starts; copied.
typedef struct session_start_info {
    const char *recipe, *recipe_path, *recipe_text;
    const char *model, *data; // absolute paths or NULL
    const char *settings;     // JSON object
    int threads;
} session_start_info;

// A recorder is a listener that writes one run's rows as they happen (each in its own transaction, so kill -9 loses
// nothing finished). Recording trouble never fails the run: it is logged once.
typedef struct session_recorder session_recorder;
session_recorder *session_recorder_new(session_history *h, const session_start_info *info, base_err *err) BASE_MUST_USE;
void session_recorder_event(void *recorder, const base_event *event);
void session_recorder_inputs(session_recorder *r, const char *model_path, const char *model_hash, const char *data,
                             const char *data_hash);
int64_t session_recorder_id(const session_recorder *r);
void session_recorder_free(session_recorder *r); // a run without its end event is recorded as failed

// ---- events as JSON ----------------------------------------------------------------------------

// One JSON object without newline; caller frees.
char *session_event_json(const base_event *event);

// ---- queue -------------------------------------------------------------------------------------

// Deep copies of events, from the job thread to the screen. Progress and log events are merged or dropped (oldest
// first, counted) when the screen does not keep up; layer, model, saved and end events never are.
typedef struct session_queue session_queue;
typedef struct session_item {
    base_event event;
    base_layer_row layer;
    base_model_row model;
    base_param_row param;
    char *text, *hash;
} session_item; // event's pointers point into the item
session_queue *session_queue_new(base_err *err) BASE_MUST_USE;
void session_queue_free(session_queue *q);
void session_queue_push(void *queue, const base_event *event); // a listener
session_item *session_queue_pop(session_queue *q);             // NULL: empty; free with session_item_free
void session_item_free(session_item *item);
int session_queue_fd(const session_queue *q); // readable while something is queued
int64_t session_queue_dropped(const session_queue *q);

// ---- job ---------------------------------------------------------------------------------------

typedef struct session_listener {
    void (*event)(void *context, const base_event *event);
    void *context;
} session_listener;
// What the thread runs; its result becomes the run-end event.
typedef bool (*session_body)(void *context, base_job *job, base_err *err);

typedef struct session_job session_job;
// Runs `body` on a new thread; emits run_begin is the body's duty, run_end is sent here. Listeners are copied.
session_job *session_job_start(session_body body, void *context, const session_listener *listeners, size_t count,
                               base_err *err) BASE_MUST_USE;
void session_job_cancel(session_job *j);
// The work waits at its next look at the stop flag (each 0.1 s at most), or goes on.
void session_job_pause(session_job *j, bool paused);
void session_job_step(session_job *j); // goes on to the next layer and pauses before it
// Steps in Lua for the layer that the run is paused before; an event tells whether they were taken. false: it is not
// paused before a layer.
bool session_job_change(session_job *j, const char *steps);
bool session_job_done(const session_job *j);
base_status session_job_wait(session_job *j, base_err *err); // joins; err has the error of a failed body
void session_job_free(session_job *j);                       // after wait
// The same on the calling thread (headless), with the caller's job (so that a signal handler can set job->cancel).
base_status session_job_run(session_body body, void *context, const session_listener *listeners, size_t count,
                            base_job *job, base_err *err);

#endif
