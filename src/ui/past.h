// Private to ui/: the runs of the history and of this session as one list - read beside the screen, filtered, sorted,
// pinned, noted - and two of them compared (past*.c). The trade-off draws the same list.
#ifndef VISE_UI_PAST_H
#define VISE_UI_PAST_H

#include "ui/part.h"

// A run. Those of this session that are not in the history have numbers below zero.
typedef struct ui_past {
    session_overview row; // first: its field table holds here too
    int64_t session;      // number in this session, 0: of an earlier one
    char name[24];        // "12", "s3"
    char when[20];        // local time
    char marks[8];        // "*" pinned, "b" what others are compared with
} ui_past;

// What a run of this session was, for as long as the session lasts.
typedef struct past_session {
    int64_t id;        // in the history; 0: not recorded
    bool replay;       // of a recorded run: nothing new
    char *path, *text; // of its recipe
} past_session;

// A layer in two runs.
typedef struct past_layer {
    char name[128];
    int64_t bytes_a, bytes_b, bytes_difference; // -1: not in this run
    double bits_a, bits_b, error_a, error_b;
    double change;   // error b / error a
    char better[12]; // as in vise compare
} past_layer;

typedef struct past_comparison {
    int64_t key[2];      // what is shown, or will be when it is read; 0: nothing
    bool loaded, failed; // failed: why is in `error`
    session_recorded run[2];
    session_comparison c;
    past_layer *layers;
    int count;
    char error[512];
} past_comparison;

// A pin or note that is still to be written.
typedef struct past_mark {
    int64_t id;
    bool is_note, pinned;
    char note[200];
} past_mark;

enum { PAST_PAGE = 1000 }; // runs read at once

typedef struct past_own {
    ui_past *all; // newest first
    int count;
    int64_t total, limit; // runs in the history; most that are read
    unsigned version;     // counts changes of `all`
    bool stale, loading;  // stale: to be read when somebody looks
    char error[512];      // why the history could not be read
    ui_past *shown;       // filtered and sorted
    int shown_count;
    char filter[200];
    ui_search *pattern; // NULL: everything
    bool inverted;      // what does not match
    int sort;           // index of past_sorts
    bool reverse;
    int64_t base; // the run that others are compared with; 0: none
    int64_t here; // the run under the history's cursor, kept when rows change
    past_session *session;
    int session_count;
    past_comparison comparison;
    struct past_replay *replay; // while one goes on
    past_mark *marks;
    int mark_count;
} past_own;

past_own *past_of(const ui_state *s);
// Reads the history again when something asked for it; called by whoever draws runs.
void past_look(ui_app *app);
void past_reload(ui_app *app);
const ui_past *past_find(const past_own *o, int64_t key);
// "gptq bits=3 group=64", cut to fit.
char *past_label(const ui_past *p, char *out, size_t size);
// The list's cursor: keys may come faster than frames, so whoever changes rows notes first where it is.
void past_note_cursor(ui_app *app);
void past_go(ui_app *app, int64_t key); // to this run, where it is in the list
bool past_at_top(const ui_app *app);
// The history's folder; NULL: there is none.
const char *past_folder(const ui_app *app);

// past_rows.c
typedef struct past_sort {
    const char *name, *help;
    size_t offset;
    base_field_type type;
    bool falling; // the larger first
} past_sort;
extern const past_sort past_sorts[];
extern const int past_sort_count;
void past_arrange(ui_app *app); // `shown` from `all`
bool past_filter(ui_app *app, const char *pattern, base_err *err);
void past_session_ended(ui_app *app); // a run of this session may have ended
void past_rows_free(past_own *o);
int past_count(const ui_state *s);
const void *past_rows(const ui_state *s);
// True when the text of a run (recipe, params, model, note, state, number) has the pattern.
bool past_matches(const ui_past *p, const ui_search *pattern);

// past_open.c: what is done with one run
bool past_open(ui_app *app, int64_t key, base_err *err); // its recipe with its params becomes the screen's
bool past_replay_start(ui_app *app, int64_t key, base_err *err);
bool past_export(ui_app *app, int64_t key, const char *path, base_err *err);
// A recorded recipe's text with the recorded values as the defaults of its params; caller frees. NULL with err.
char *past_recipe_with(const session_record *record, base_err *err);
void past_replay_event(past_own *o, const base_event *e);
void past_replay_free(past_own *o);

// past_compare.c
void past_compare_draw(ui_app *app, ui_area a, const ui_look *look);
void past_compare_want(ui_app *app, int64_t a, int64_t b); // read when it is not what is shown
int past_layer_count(const ui_state *s);
const void *past_layer_rows(const ui_state *s);
enum { PAST_LAYER_FIELDS = 10 };
extern const base_field past_layer_fields[PAST_LAYER_FIELDS];
void past_comparison_free(past_comparison *c);

#endif
