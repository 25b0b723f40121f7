// Private to script/: the recipe language. recipe.c loads and runs, recipe_declare.c has recipe{} and param(),
// recipe_open.c the handles of models, datasets and views, recipe_steps.c steps, rules and plans, matrix_step.c step{},
// recipe_work.c
// compress, evaluate and report, recipe_compare.c compare, recipe_save.c save, recipe_train.c train and new_model.
//
// A recipe is run twice: once for its declarations, until the first call that would do work, and once for real.
// Handles are userdata that exist, empty, before what they hold is acquired, so an error can be raised anywhere.
#ifndef VISE_SCRIPT_RECIPE_H
#define VISE_SCRIPT_RECIPE_H

#include "script/sandbox.h"

// Seconds of Lua that may pass between two calls that do work, and for reading the declarations.
static const double recipe_seconds = 10, recipe_declare_seconds = 2;

// A change(): steps of one layer in one call of compress.
typedef struct recipe_hand {
    compress_rule rule;
    int call;
} recipe_hand;

typedef struct recipe_run {
    script_recipe *declare;      // being filled; NULL when running for real
    const script_recipe *recipe; // path, text and params
    const script_run_options *options;
    base_job *job;
    bool named;                    // recipe{} was called
    bool working;                  // a call that does work was reached
    int asked;                     // params asked for so far
    lua_State *L;                  // whose call of compress runs; steps of the recipe's own are called there
    const compress_target *target; // what such a step works on; NULL: none runs
    recipe_hand *changes;
    int change_count, compress_calls; // calls of compress so far
} recipe_run;
recipe_run *recipe_of(lua_State *L);

// First thing in every function that does work: ends a run for declarations, and gives a new time allowance.
void recipe_work(lua_State *L, const char *function);
// Last thing after C work: a new allowance, and the error raised unless `ok`.
void recipe_done(lua_State *L, bool ok, const base_err *err);

// ---- handles -----------------------------------------------------------------------------------

#define RECIPE_MODEL "model"
#define RECIPE_DATA "dataset"
#define RECIPE_VIEW "part of a dataset"
#define RECIPE_STEP "step"
#define RECIPE_RULE "rule"

typedef struct recipe_model {
    model *m;
    char *path;                // as opened; NULL for a new model
    compress_result *result;   // NULL: as opened or trained
    compress_result *identity; // the model as it is, for its sizes; made when first needed
    bool trained;
    char trained_on[96];         // name of the dataset
    compress_estimate foretold;  // dry run: of the result
    bool guessed;                // dry run: its weights are not those that samples will give
    double forward;              // dry run: seconds a sample takes; 0: not measured yet
    struct recipe_model *origin; // the model that this is a smaller form of, which figures compare with; NULL: none
} recipe_model;
// user value 1 of the handle: table of figures of the original by view label.

typedef struct recipe_data {
    data_set *set; // NULL: no data at hand
    char *path;
    char why[256]; // set NULL: why
} recipe_data;

typedef struct recipe_view {
    data_view *v;   // NULL: no data at hand
    data_part part; // where its samples come from; DATA_ALL: mixed
    char why[256];
} recipe_view;
// user value 1 of a view: its dataset, which outlives it.

recipe_model *recipe_check_model(lua_State *L, int index); // open, or raises
recipe_view *recipe_check_view(lua_State *L, int index);
// The view in field `key` of the table at `index`, pushed; NULL and nil pushed when the field is absent or false.
recipe_view *recipe_field_view(lua_State *L, int index, const char *function, const char *key);
recipe_model *recipe_new_model_handle(lua_State *L);               // pushed, empty
void recipe_set_origin(lua_State *L, int index, int origin_index); // the handle keeps the other alive
// A view of the dataset at `data_index`, pushed, empty.
recipe_view *recipe_new_view_handle(lua_State *L, int data_index);

// Which samples this recipe has used for what, so that figures on them are not taken for honest ones.
void recipe_note_use(lua_State *L, int view_index, const char *role);
void recipe_warn_uses(lua_State *L, const recipe_view *view, const char *function);

// ---- paths -------------------------------------------------------------------------------------

// The file or folder `path` names: from the working directory, then from Vise's home. Pushes it; raises when it is
// missing or outside the folders a recipe may read. `function` and `what` are for messages.
const char *recipe_read_path(lua_State *L, const char *function, const char *path);
bool recipe_may_read(lua_State *L, const char *path);
// After a stop: saves the finished layers of net, or its best weights so far, as out/RECIPE-stopped.safetensors.
void recipe_keep_stopped(lua_State *L, recipe_model *net);
// Where save(net, path) writes: below the out folder, or raises. Pushes it.
const char *recipe_out_path(lua_State *L, const char *path);

// ---- dry runs (recipe_dry.c) -------------------------------------------------------------------

script_estimate *recipe_dry(lua_State *L); // what a dry run fills; NULL: this run is a real one
// In place of the work; each checks what the work would and adds to the estimate.
void recipe_dry_compress(lua_State *L, recipe_model *net, const compress_plan *plan);
void recipe_dry_evaluate(lua_State *L, recipe_model *net, const recipe_view *view, bool original);
void recipe_dry_adjust(lua_State *L, recipe_model *net, const recipe_view *view);
void recipe_dry_train(lua_State *L, recipe_model *net, const recipe_view *train, const recipe_view *check,
                      const engine_train_options *options);
void recipe_dry_save(lua_State *L, recipe_model *net, const char *path, compress_saved *saved);
// Instead of measuring: a table with the cells that are kept, else bytes as foretold and no metric's unit.
bool recipe_dry_sensitivity(lua_State *L, recipe_model *net, const study_subject *s, const study_metric *metric,
                            const base_value *values, study_table *t, base_err *err);
void recipe_dry_search(lua_State *L, recipe_model *net, const recipe_view *view, const char *solver, double choices);
// A few samples of the view in a dry run (*share: of how many), else the view itself; owned or NULL.
const data_view *recipe_dry_view(lua_State *L, const recipe_model *net, const recipe_view *view, data_view **owned,
                                 double *share);

// ---- arguments ---------------------------------------------------------------------------------

// Fill values from the named fields of the table at `index`; fields in `also` (NULL-ended, may be NULL) are left alone.
// Raises on unknown names, wrong types and ranges.
void recipe_read_args(lua_State *L, int index, const char *owner, const base_arg *args, size_t count,
                      base_value *values, const char *const *also);
uint64_t recipe_seed(lua_State *L, bool given, double stated, uint64_t otherwise, const char *what); // and its event
void recipe_figures_push(lua_State *L, const base_model_row *row);

// ---- changes by hand (recipe_change.c) ---------------------------------------------------------

int recipe_change(lua_State *L);
void recipe_changes_apply(recipe_run *run, compress_plan *plan); // of the call of compress that is counted now
void recipe_changes_free(recipe_run *run);
// compress_plan.read_steps; the context is the recipe_run.
bool recipe_read_typed(void *context, const char *layer, const char *text, compress_rule *rule, char **line,
                       base_err *err);
bool recipe_open_language(lua_State *L, const script_run_options *options, base_err *err);
bool recipe_open_params(lua_State *L, const script_recipe *r, base_err *err); // as globals

// ---- the functions of each file ----------------------------------------------------------------

int recipe_compare(lua_State *L);
// What evaluate said of every sample: a handle, pushed, and room for the view's samples (NULL: they are not measured).
engine_sample *recipe_new_parts(lua_State *L, const recipe_model *net, const recipe_view *view);
void recipe_keep_parts(lua_State *L, int figures, int index); // for compare(figures, ...)
int recipe_correct_bias(lua_State *L);
int recipe_reconstruct(lua_State *L);
int recipe_tune_blocks(lua_State *L);
int recipe_tune_biases(lua_State *L);
int recipe_tune_scales(lua_State *L);
int recipe_cut(lua_State *L);
// What a value at `index` says: a number of bits, or { bits = , bytes = }; nil: {0}.
compress_cut recipe_read_cut(lua_State *L, int index, const char *function);
int recipe_reestimate_norms(lua_State *L);
extern const luaL_Reg recipe_declare_functions[], recipe_open_functions[], recipe_step_functions[],
    recipe_work_functions[], recipe_save_functions[], recipe_train_functions[], recipe_shrink_functions[],
    recipe_rewrite_functions[], recipe_study_functions[];
extern const base_arg recipe_plan_args[]; // of compress{}, beside the views
extern const size_t recipe_plan_arg_count;
int recipe_open_handles(lua_State *L); // lua_CFunction: metatables
int recipe_open_steps(lua_State *L);
int recipe_open_study(lua_State *L);     // tables and choices
int recipe_open_own_steps(lua_State *L); // matrices and terms
int recipe_own_step(lua_State *L);       // step{}
// What the reference says of a function; NULL: nothing.
const char *recipe_function_help(const char *name);
// The compress_plan written in the table at `index`; the views stay owned by their handles, left on the stack. The plan
// is pushed as a handle that frees it.
compress_plan *recipe_plan(lua_State *L, int index, const recipe_model *net);
// The rules in the list at `index` only: no views, no seed.
// Raises where a table meant as a list has named values, which nothing would read.
void recipe_list_only(lua_State *L, int index, const char *what);
compress_plan *recipe_rules(lua_State *L, int index);

#endif
