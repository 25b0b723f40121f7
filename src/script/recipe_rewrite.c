// recipe_rewrite: calls that take a model and give a new one with maps folded into its layers, one a row of the table
// of rewrites.
#include "script/recipe.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_ARGS = 24 };

// A dry run learns for one step: what is learned changes no size. The share of the steps that is.
static double one_step(const compress_rewrite *kind, base_value *values) {
    for (size_t i = 0; i < kind->arg_count; i++) {
        if (strcmp(kind->args[i].name, "steps") != 0 || values[i].number <= 1) continue;
        double all = values[i].number;
        values[i].number = 1;
        return 1 / all;
    }
    return 1;
}

// NAME(net [, part] [, { option = value }]) -> a new model
static int rewrite(lua_State *L, const char *name) {
    recipe_work(L, name);
    const compress_rewrite *kind = compress_rewrite_find(name);
    BASE_CHECK(kind && kind->arg_count <= MOST_ARGS);
    recipe_model *net = recipe_check_model(L, 1);
    bool has_view = lua_gettop(L) >= 2 && !lua_istable(L, 2);
    recipe_view *view = has_view && !lua_isnil(L, 2) ? recipe_check_view(L, 2) : NULL;
    int table = has_view ? 3 : 2;
    lua_settop(L, table);
    base_value values[MOST_ARGS] = {0};
    base_arg_defaults(kind->args, kind->arg_count, values);
    if (!lua_isnil(L, table)) {
        luaL_checktype(L, table, LUA_TTABLE);
        recipe_read_args(L, table, name, kind->args, kind->arg_count, values, NULL);
    }
    for (size_t i = 0; i < kind->arg_count; i++)
        if (strcmp(kind->args[i].name, "seed") == 0)
            values[i].number = (double)recipe_seed(L, values[i].given, values[i].number, 1, name);
    if (net->result)
        script_error(L,
                     "%s: the model is compressed already; rewriting comes before compress(net, ...); open it once "
                     "more for that",
                     name);
    if (view && !view->v && kind->data == COMPRESS_DATA_NEEDED)
        script_error(L, "%s: there are no samples: %s", name, view->why);
    if (view && view->v) recipe_note_use(L, 2, "calibration");
    recipe_model *h = recipe_new_model_handle(L);
    base_err err = {0};
    data_view *few;
    double share, began = base_now();
    const data_view *calib = recipe_dry_view(L, net, view, &few, &share);
    double steps = recipe_dry(L) ? one_step(kind, values) : 1;
    if (steps < 1) share = steps; // most of the time goes into them
    h->m = compress_rewrite_model(kind, net->m, calib, values, recipe_of(L)->job, &err);
    data_view_free(few);
    if (recipe_dry(L)) recipe_dry(L)->other_seconds += (base_now() - began) / share;
    recipe_done(L, h->m != NULL, &err);
    h->guessed = net->guessed || kind->data == COMPRESS_DATA_NEEDED;
    h->path = base_strdup(net->path);
    h->trained = net->trained;
    memcpy(h->trained_on, net->trained_on, sizeof h->trained_on);
    return 1;
}

#define REWRITE(name)                                                                                                  \
    static int name(lua_State *L) {                                                                                    \
        return rewrite(L, #name);                                                                                      \
    }
REWRITE(fold_batch_norms)
REWRITE(equalise)
REWRITE(absorb_bias)
REWRITE(smooth)
REWRITE(rotate_stream)
REWRITE(permute_channels)
REWRITE(learn_rotation)

#define ROW(name)                                                                                                      \
    { #name, name }
const luaL_Reg recipe_rewrite_functions[] = {ROW(fold_batch_norms), ROW(equalise),      ROW(absorb_bias),
                                             ROW(smooth),           ROW(rotate_stream), ROW(learn_rotation),
                                             ROW(permute_channels), {NULL, NULL}};
