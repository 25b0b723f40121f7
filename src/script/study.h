// Private to script/: sensitivity tables and allocations as recipes hold them.
#ifndef VISE_SCRIPT_STUDY_H
#define VISE_SCRIPT_STUDY_H

#include "script/recipe.h"

#define RECIPE_TABLE "sensitivity table"
#define RECIPE_CHOICE "choice of allocate"

// User values: 1 the model, 2 the list of options ({ name =, step, ... } each), 3 and 4 the views of calibrate and
// measure, nil where there are none.
typedef struct recipe_table {
    study_table t;
    study_option *options; // as user value 2; none for a metric without options
    int option_count;
    int *layers; // [t.rows] indices of the model's layers
    uint64_t seed;
    char samples[96]; // label of what it was measured on
    int fresh;        // cells that were measured now
} recipe_table;
recipe_table *recipe_check_table(lua_State *L, int index);
int recipe_allocate(lua_State *L);
void recipe_report_table(lua_State *L, const recipe_table *h);
// The choice (a table of RECIPE_CHOICE) at `index`; figures: what compress made of it, NULL: nothing yet.
bool recipe_is_choice(lua_State *L, int index);
void recipe_report_choice(lua_State *L, int index, const base_model_row *figures, const base_model_row *original);

// Layers that the pattern matches, as compress{} matches them: layer_hit[layer_count]. Raises.
void recipe_match_layers(lua_State *L, const char *function, const model *m, const char *pattern, bool *hit);
// The list of options at `index` (a table of either form) as a list { name =, step, ... }, pushed.
void recipe_push_options(lua_State *L, int index, const char *function);

#endif
