// script: the Lua world - recipes, architectures, dataset descriptors and views, each in a sandbox.
//
// The only room that includes Lua. Every file is loaded as text only into a state of its own without io, os, debug or
// package; instruction and memory limits hold; errors carry file, line, the source line and a hint.
#ifndef VISE_SCRIPT_H
#define VISE_SCRIPT_H

#include "session/session.h"

// ---- models and datasets -----------------------------------------------------------------------

// Open a checkpoint and find its architecture (config.json, metadata, .lua beside it, `arch`, or by recognising tensor
// names and shapes). Packed files of compress_save are decoded. What fits nothing opens without a graph.
model *script_model_open(const char *path, const char *arch, base_err *err) BASE_MUST_USE;
// The same; `base` is the checkpoint that a file was stored against (code{against=}), NULL: it lies beside the file.
model *script_model_open_on(const char *path, const char *arch, const char *base, base_err *err) BASE_MUST_USE;
// The same with less of what a packed file stores (compress_cut); cut NULL: whole.
model *script_model_open_cut(const char *path, const char *arch, const char *base, const compress_cut *cut,
                             base_err *err) BASE_MUST_USE;
// A folder (its dataset.lua, else guessed), a descriptor .lua, or one data file.
data_spec *script_dataset_spec(const char *path, base_err *err) BASE_MUST_USE;
data_set *script_dataset_open(const char *path, base_job *job, base_err *err) BASE_MUST_USE;
// The dataset that belongs to a shipped or known model (digits model -> data/digits), or NULL. Caller frees.
char *script_dataset_for(const model *m);

// ---- recipes -----------------------------------------------------------------------------------

// A recipe's declarations, found by running it until its first call that would do work.
typedef struct script_recipe {
    char *path, *text, *hash;
    char *name, *about, *source;
    base_param_row *params;
    size_t param_count;
} script_recipe;
// `path`: a file, or the name of a shipped recipe ("w4").
script_recipe *script_recipe_load(const char *path, base_err *err) BASE_MUST_USE;
// The same from text (replay); `path` is for messages.
script_recipe *script_recipe_text(const char *path, const char *text, base_err *err) BASE_MUST_USE;
// The recorded recipe with the recorded values of its params.
script_recipe *script_recipe_recorded(const session_record *r, base_err *err) BASE_MUST_USE;
// The recorded model still has its hash; else an error that says what changed.
bool script_same_inputs(const session_record *r, base_err *err) BASE_MUST_USE;
void script_recipe_free(script_recipe *r);
// Set a declared param from text; errors name the param, the range or choices, or the nearest param.
bool script_recipe_set(script_recipe *r, const char *name, const char *text, base_err *err) BASE_MUST_USE;
// Whether a step list ("quantize{ bits = 3 }, lowrank{ rank = 8 }") would be taken where it stands on `line` of this
// recipe; the recipe's params are known by name, its other locals are not.
bool script_recipe_check_steps(const script_recipe *r, int line, const char *steps, base_err *err) BASE_MUST_USE;
// A word of the recipe language beside Lua's own: rule, quantize, evaluate, ...
bool script_recipe_word(const char *name);
char **script_recipe_names(size_t *count, base_err *err) BASE_MUST_USE; // shipped recipes, sorted

// What a dry run found: the recipe runs, but nothing that takes long and nothing that leaves a trace.
typedef struct script_saving {
    char *path;
    int64_t bytes, header_bytes; // of the whole file, and of its header
    compress_sure sure;
    char why[200]; // what the bytes depend on; "" when they are exact
} script_saving;
typedef struct script_estimate {
    script_saving *saved;
    size_t saved_count;
    double compress_seconds, evaluate_seconds, train_seconds, other_seconds, study_seconds;
    double peak_bytes; // as base_big_peak will tell
    bool guessed;      // something was chosen from what was not measured
    base_buf studies;  // lines: what would be measured to choose
} script_estimate;
void script_estimate_free(script_estimate *e); // contents, not e

typedef struct script_run_options {
    const char *model, *data, *arch; // override what the recipe opens; NULL: the recipe's own
    const char *base;                // checkpoint that others are stored against (arg.base); NULL: none
    const char *out;                 // folder that save() writes below; NULL: "out"
    uint64_t seed;                   // offset of every seed the recipe does not state; 0
    base_cache *cache;               // results kept between runs; NULL: everything is computed
    const study_store *store;        // cells of sensitivity tables, kept between runs; NULL: none
    script_estimate *dry;            // a dry run that fills this; NULL: a real one
    bool baseline;                   // layers are told beside round to nearest in as many bytes (an event)
    bool no_save;                    // save() reports sizes and hash but writes nothing (replay --check)
    void (*made)(void *context, const compress_made *layer); // told of each compressed layer; NULL: nobody
    void *made_context;
    // Told as soon as inputs are known; may be NULL.
    void (*inputs)(void *context, const char *model, const char *model_hash, const char *data, const char *data_hash);
    void *inputs_context;
} script_run_options;
// Runs the recipe on the calling thread; emits every event but run_end.
bool script_recipe_run(const script_recipe *r, const script_run_options *options, base_job *job,
                       base_err *err) BASE_MUST_USE;

// The reference of the recipe language as Markdown, from the tables of functions, steps, arguments and figures:
// `make docs` puts it into docs/recipes.md.
void script_reference_markdown(FILE *out);

// ---- settings ----------------------------------------------------------------------------------

// What a Lua file returns as a table of texts, numbers, truths and tables of them, as a flat list sorted by name. Run
// in a sandbox; functions in the table are an error. `owner` is its word in messages ("theme").
enum { SCRIPT_SETTING_DEPTH = 3 };
typedef struct script_setting {
    char part[SCRIPT_SETTING_DEPTH][64]; // {"columns", "layers", "1"}; "" after the last
    char *text;                          // NULL: a number or a truth
    double number;                       // 1 and 0 for true and false, NaN for a text
    bool truth;
} script_setting;
typedef struct script_settings {
    script_setting *item;
    size_t count;
} script_settings;
bool script_settings_read(const char *path, const char *owner, script_settings *out, base_err *err) BASE_MUST_USE;
void script_settings_free(script_settings *s);

// ---- views -------------------------------------------------------------------------------------

// A view is a Lua file that returns a table; ui/ offers it functions (widgets, data) through a host table, without
// knowing Lua.
typedef struct script_call script_call; // arguments and results of one call from Lua
typedef struct script_function {
    const char *name, *help;
    bool (*call)(void *context, script_call *c, base_err *err);
} script_function;
int script_arg_count(script_call *c);
const char *script_arg_text(script_call *c, int index); // NULL when not text; index from 0
bool script_arg_number(script_call *c, int index, double *number);
bool script_arg_bool(script_call *c, int index);
// Fields of a table argument: by key, or element `item` (from 1) of a list; depth one or two.
const char *script_field_text(script_call *c, int index, const char *key);
bool script_field_number(script_call *c, int index, const char *key, double *number);
int script_list_count(script_call *c, int index, const char *key); // length of list field; key NULL: the argument
const char *script_list_text(script_call *c, int index, const char *key, int item, const char *field);
bool script_list_number(script_call *c, int index, const char *key, int item, const char *field, double *number);
void script_push_number(script_call *c, double number);
void script_push_text(script_call *c, const char *text);
void script_push_bool(script_call *c, bool value);
void script_push_nil(script_call *c);

typedef struct script_view script_view;
// Load views/NAME.lua or any path; the state keeps `functions` as globals of a table `ui`.
script_view *script_view_open(const char *path, const script_function *functions, size_t count, void *context,
                              base_err *err) BASE_MUST_USE;
void script_view_close(script_view *v);
const char *script_view_text(script_view *v, const char *field); // string field of the returned table, or NULL
double script_view_number(script_view *v, const char *field, double otherwise);
// Call a method of the returned table ("draw", "key") with a text or number argument; false and err on a Lua error or
// when the time limit (seconds) is passed. *handled gets the method's boolean result (missing method: false).
bool script_view_call(script_view *v, const char *method, const char *argument, double seconds, bool *handled,
                      base_err *err) BASE_MUST_USE;

#endif
