// recipe_adjust: correct_bias, reestimate_norms, reconstruct, tune_blocks, tune_biases, tune_scales and cut, which
// follow compress.
#include "script/recipe.h"

#include <string.h>

typedef bool (*adjustment)(compress_result *r, const data_view *calib, int *changed, base_job *job, base_err *err);

static int adjust(lua_State *L, const char *function, const char *what, adjustment apply) {
    recipe_work(L, function);
    lua_settop(L, 2);
    recipe_model *net = recipe_check_model(L, 1);
    recipe_view *view = recipe_check_view(L, 2);
    if (!net->result) script_error(L, "%s: the model is as it was opened; compress(net, ...) comes first", function);
    if (!view->v) script_error(L, "%s: there are no samples: %s", function, view->why);
    recipe_note_use(L, 2, "calibration");
    base_err err = {0};
    int changed = 0;
    base_job *job = recipe_of(L)->job;
    if (recipe_dry(L)) { // what is adjusted is stored in the room it has
        recipe_dry_adjust(L, net, view);
        lua_settop(L, 1);
        return 1;
    }
    bool ok = apply(net->result, view->v, &changed, job, &err) || base_wrap(&err, "%s: ", function);
    if (ok) base_log(job, BASE_INFO, "%s: %d %s on %s", function, changed, what, view->v->label);
    recipe_done(L, ok, &err);
    lua_settop(L, 1);
    return 1;
}

int recipe_correct_bias(lua_State *L) {
    return adjust(L, "correct_bias", "layers corrected", compress_correct_bias);
}

int recipe_reestimate_norms(lua_State *L) {
    return adjust(L, "reestimate_norms", "batch norms estimated again", compress_reestimate_norms);
}

// ---- reconstruct, tune_blocks, tune_biases, tune_scales (net, part, options) -----------------------------------

typedef bool (*learning)(compress_result *r, const data_view *calib, const base_value *values, int *changed,
                         base_job *job, base_err *err);

static int learn(lua_State *L, const char *function, const char *what, const base_arg *args, size_t count,
                 learning apply) {
    enum { MOST_ARGS = 16 };
    static const char *const also[] = {NULL};
    recipe_work(L, function);
    lua_settop(L, 3);
    recipe_model *net = recipe_check_model(L, 1);
    recipe_view *view = recipe_check_view(L, 2);
    if (lua_isnil(L, 3)) {
        lua_newtable(L);
        lua_replace(L, 3);
    }
    luaL_checktype(L, 3, LUA_TTABLE);
    base_value values[MOST_ARGS] = {0};
    BASE_CHECK(count <= MOST_ARGS);
    base_arg_defaults(args, count, values);
    recipe_read_args(L, 3, function, args, count, values, also);
    if (!net->result) script_error(L, "%s: the model is as it was opened; compress(net, ...) comes first", function);
    if (!view->v) script_error(L, "%s: there are no samples: %s", function, view->why);
    recipe_note_use(L, 2, "calibration");
    base_err err = {0};
    int changed = 0;
    base_job *job = recipe_of(L)->job;
    if (recipe_dry(L)) { // what is learned is stored in the room it has
        recipe_dry_adjust(L, net, view);
        lua_settop(L, 1);
        return 1;
    }
    bool ok = apply(net->result, view->v, values, &changed, job, &err) || base_wrap(&err, "%s: ", function);
    if (ok) base_log(job, BASE_INFO, "%s: %d %s better on %s", function, changed, what, view->v->label);
    recipe_done(L, ok, &err);
    lua_settop(L, 1);
    return 1;
}

int recipe_reconstruct(lua_State *L) {
    return learn(L, "reconstruct", "blocks", compress_reconstruct_args, compress_reconstruct_arg_count,
                 compress_reconstruct);
}

int recipe_tune_blocks(lua_State *L) {
    return learn(L, "tune_blocks", "blocks", compress_tune_blocks_args, compress_tune_blocks_arg_count,
                 compress_tune_blocks);
}

int recipe_tune_biases(lua_State *L) {
    return learn(L, "tune_biases", "biases", compress_tune_biases_args, compress_tune_biases_arg_count,
                 compress_tune_biases);
}

int recipe_tune_scales(lua_State *L) {
    return learn(L, "tune_scales", "layers", compress_tune_scales_args, compress_tune_scales_arg_count,
                 compress_tune_scales);
}

// ---- cut(net, less) ------------------------------------------------------------------------------

static lua_Integer read_limit(lua_State *L, const char *function, const char *name, lua_Integer most) {
    int whole = 0;
    lua_Integer n = lua_tointegerx(L, -1, &whole);
    if (!whole || n < 1 || n > most)
        script_error(L, "%s: %s is %s, expected a whole number from 1 to %lld", function, name,
                     luaL_tolstring(L, -1, NULL), (long long)most);
    return n;
}

compress_cut recipe_read_cut(lua_State *L, int index, const char *function) {
    enum { MOST_BITS = 16 };
    const lua_Integer most_bytes = (lua_Integer)1 << 50;
    compress_cut cut = {0};
    if (lua_isnoneornil(L, index)) return cut;
    if (lua_type(L, index) != LUA_TTABLE) {
        lua_pushvalue(L, index);
        cut.bits = (int)read_limit(L, function, "the number of bits", MOST_BITS);
        lua_pop(L, 1);
        return cut;
    }
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
        if (!strcmp(key, "bits"))
            cut.bits = (int)read_limit(L, function, key, MOST_BITS);
        else if (!strcmp(key, "bytes"))
            cut.bytes = (int64_t)read_limit(L, function, key, most_bytes);
        else
            script_error(L, "%s: what to cut to is a number of bits, or { bits = , bytes = }, not '%s'", function, key);
    }
    return cut;
}

int recipe_cut(lua_State *L) {
    recipe_work(L, "cut");
    lua_settop(L, 2);
    recipe_model *net = recipe_check_model(L, 1);
    if (!net->result)
        script_error(L, "cut: the model is as it was opened; compress(net, ...) comes first, or open a file with "
                        "model(path, { cut = 4 })");
    compress_cut less = recipe_read_cut(L, 2, "cut");
    base_err err = {0};
    bool ok = compress_cut_result(net->result, &less, &err) || base_wrap(&err, "cut: ");
    recipe_done(L, ok, &err);
    lua_settop(L, 1);
    return 1;
}
