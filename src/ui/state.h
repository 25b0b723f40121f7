// Private to ui/: what the screen shows, kept up to date by events alone. Knows neither curses nor Lua.
#ifndef VISE_UI_STATE_H
#define VISE_UI_STATE_H

#include "ui/ui.h"

typedef enum ui_layer_state { UI_WAITING, UI_WORKING, UI_DONE, UI_LEFT_OVER, UI_BROKEN, UI_HELD } ui_layer_state;
enum { UI_LAYER_STATES = UI_HELD + 1 }; // held: the run waits before it

typedef struct ui_layer {
    base_layer_row row;
    int64_t state;   // ui_layer_state
    double baseline; // output error of round to nearest in as many bytes, NaN: not known
    int64_t changed; // its steps were changed by hand in this run
} ui_layer;

// A run of this session, as a row with fields. Figures are NaN, counts -1, until measured.
typedef struct ui_run {
    int64_t number;                 // from 1
    char recipe[64], settings[256]; // "bits=4 group=64"
    char model[96], data[96], metric[24], state[24], message[512];
    char saved[256], hash[40];
    double before, before_low, before_high; // metric of the original
    double value, low, high;                // metric after
    double kl, kl_low, kl_high;
    int64_t flips, samples;
    int64_t bytes, bytes_before; // of all tensors
    double ratio, bits;
    double seconds; // of work, without
    double held;    // the time it was paused
    int64_t peak_bytes;
    int64_t status;   // base_status; -1 while it runs
    ui_layer *layers; // a copy of the table as the run left it
    int layer_count;
} ui_run;

typedef struct ui_log_line {
    double time;
    int64_t level;
    char text[500];
} ui_log_line;

typedef struct ui_recipe_name {
    char name[64], about[160];
} ui_recipe_name;

enum { UI_LOG_LINES = 2000 };

enum { UI_MAX_PARTS = 32 }; // of the screen, see part.h

typedef enum ui_job_kind { UI_IDLE, UI_INSPECTING, UI_RUNNING } ui_job_kind;

typedef struct ui_state {
    ui_layer *layers;
    int layer_count, layer_capacity;
    int current;     // layer being worked on, -1
    int finished;    // layers done in this run
    int64_t changes; // of layers, so that what is made from them is made anew
    ui_run *runs;
    int run_count;
    ui_log_line *log; // oldest first
    int log_count;
    int64_t log_dropped;
    base_param_row *params; // of the recipe as loaded: the screen's own values
    int param_count;
    ui_recipe_name *recipes;
    int recipe_count;
    char recipe[64], recipe_about[160], model[256], data[256];
    ui_job_kind job;
    bool stopping;
    bool pausing, paused; // asked for; the work says that it waits
    int held_layer;       // that it waits before, -1
    double paused_at;     // the clock when it began to wait
    double held;          // seconds waited in this run before that
    int64_t log_level;    // least level of the log that is shown
    char phase[96];
    int64_t done, of;
    double eta, eta_at;           // seconds left, and when that was said
    double loss, began, job_time; // training loss; clock at start; time of the last event
    void *part[UI_MAX_PARTS];     // what each part of the screen keeps
} ui_state;

void ui_state_init(ui_state *s);
void ui_state_free(ui_state *s);
// A new run: rows go back to waiting, a row in runs[]. `now` is the clock.
void ui_state_begin(ui_state *s, double now);
void ui_state_event(ui_state *s, const base_event *e, double now);
void ui_state_log(ui_state *s, base_level level, double time, const char *text);
void ui_state_params(ui_state *s, const base_param_row *params, size_t count); // copied
double ui_state_clock(const ui_state *s, double now);                          // stands while the run waits
double ui_state_elapsed(const ui_state *s, double now);                        // seconds of work of the job
int ui_state_log_row(const ui_state *s, int index); // of the index-th line that is shown; -1: none
int ui_state_log_count(const ui_state *s);          // lines that are shown
ui_run *ui_state_run(ui_state *s);                  // the newest; NULL: none
char *ui_param_text(const base_param_row *p, char *out, size_t size);
// One step up or down; false at the end of the range.
bool ui_param_step(base_param_row *p, int direction);

// ---- rows with fields: what tables, lists, charts and views read --------------------------------

typedef struct ui_source {
    const char *name;
    const base_field *fields;
    size_t field_count, stride;
    int (*count)(const ui_state *s);
    const void *(*rows)(const ui_state *s);
    const char *key; // the field that search looks in
} ui_source;
const ui_source *ui_source_find(const char *name); // core's, then those of the parts
const ui_source *ui_source_at(size_t index);       // NULL after the last
const base_field *ui_source_field(const ui_source *source, const char *name);
const base_field *ui_source_field_at(const ui_source *source, int index); // NULL after the last
// A cell as text or number; false when there is no such row.
bool ui_source_number(const ui_source *source, const ui_state *s, int row, const base_field *f, double *number);
const char *ui_source_text(const ui_source *source, const ui_state *s, int row, const base_field *f);

#endif
