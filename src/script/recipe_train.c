// recipe_train: new_model(arch, config, seed) and train(net, { ... }), with a Lua function as augmentation hook.
#include "script/recipe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "script/arch.h"

#define RECIPE_BATCH "batch"
static const double hook_seconds = 10; // Lua time of one call of the hook

// ---- new_model(arch, config [, seed] ) ---------------------------------------------------------

static int api_new_model(lua_State *L) {
    recipe_work(L, "new_model");
    lua_settop(L, 3);
    const char *arch = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    bool given = !lua_isnil(L, 3);
    if (given) luaL_argcheck(L, luaL_checkinteger(L, 3) >= 0, 3, "a seed is not negative");
    uint64_t seed = recipe_seed(L, given, given ? (double)lua_tointeger(L, 3) : 0, 1, "first weights");
    recipe_model *h = recipe_new_model_handle(L);
    base_err err;
    h->m = script_model_new(arch, L, 2, recipe_of(L)->recipe->name, seed, &err);
    recipe_done(L, h->m != NULL, &err);
    h->trained = true;
    return 1;
}

// ---- the batch a hook sees ---------------------------------------------------------------------

typedef struct recipe_batch {
    data_batch *batch; // NULL once the hook has returned
    int64_t values;    // of one sample
} recipe_batch;

static recipe_batch *check_batch(lua_State *L) {
    recipe_batch *b = luaL_checkudata(L, 1, RECIPE_BATCH);
    if (!b->batch) script_error(L, "this batch is over; it lives only while augment runs");
    return b;
}

static float *sample_at(lua_State *L, const recipe_batch *b) {
    lua_Integer i = luaL_checkinteger(L, 2);
    if (i < 1 || i > b->batch->count)
        script_error(L, "batch: sample %d is outside 1 .. %d", (int)i, (int)b->batch->count);
    if (!b->batch->x) script_error(L, "batch: its samples are tokens, not numbers");
    return b->batch->x + (i - 1) * b->values;
}

// batch:get(i) -> table of the sample's values
static int batch_get(lua_State *L) {
    recipe_batch *b = check_batch(L);
    const float *x = sample_at(L, b);
    lua_createtable(L, (int)b->values, 0);
    for (int64_t k = 0; k < b->values; k++) {
        lua_pushnumber(L, (lua_Number)x[k]);
        lua_rawseti(L, -2, k + 1);
    }
    return 1;
}

// batch:set(i, table)
static int batch_set(lua_State *L) {
    recipe_batch *b = check_batch(L);
    float *x = sample_at(L, b);
    luaL_checktype(L, 3, LUA_TTABLE);
    if ((int64_t)lua_rawlen(L, 3) != b->values)
        script_error(L, "batch:set: a sample has %d values, the table %d", (int)b->values, (int)lua_rawlen(L, 3));
    for (int64_t k = 0; k < b->values; k++) {
        if (lua_rawgeti(L, 3, k + 1) != LUA_TNUMBER || !isfinite(lua_tonumber(L, -1)))
            script_error(L, "batch:set: value %d is no finite number", (int)k + 1);
        x[k] = (float)lua_tonumber(L, -1);
        lua_pop(L, 1);
    }
    return 0;
}

// batch:scale(i, factor): the whole sample at once
static int batch_scale(lua_State *L) {
    recipe_batch *b = check_batch(L);
    float *x = sample_at(L, b);
    lua_Number factor = luaL_checknumber(L, 3);
    if (!isfinite(factor)) script_error(L, "batch:scale: the factor is no finite number");
    for (int64_t k = 0; k < b->values; k++) x[k] *= (float)factor;
    return 0;
}

static int index_batch(lua_State *L) {
    recipe_batch *b = check_batch(L);
    const char *key = luaL_checkstring(L, 2);
    static const luaL_Reg methods[] = {{"get", batch_get}, {"set", batch_set}, {"scale", batch_scale}};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(methods[i].name, key) == 0) {
            lua_pushcfunction(L, methods[i].func);
            return 1;
        }
    if (strcmp(key, "count") == 0)
        lua_pushinteger(L, b->batch->count);
    else if (strcmp(key, "values") == 0)
        lua_pushinteger(L, b->values);
    else
        script_error(L, "a batch has no field '%.60s'; it has count, values, get, set and scale", key);
    return 1;
}

typedef struct augment_hook {
    lua_State *L;
    int function, handle; // stack indices
    int64_t values;
} augment_hook;

static bool call_hook(void *context, data_batch *batch, int64_t step, base_err *err) {
    augment_hook *h = context;
    lua_State *L = h->L;
    recipe_batch *b = lua_touserdata(L, h->handle);
    b->batch = batch;
    b->values = h->values;
    lua_pushvalue(L, h->function);
    lua_pushvalue(L, h->handle);
    lua_pushinteger(L, step);
    bool ok = script_pcall(L, 2, 0, hook_seconds, err);
    b->batch = NULL;
    return ok;
}

// ---- train(net, { train =, check =, augment =, and engine's options }) -------------------------

static const char *const train_extras[] = {"train", "check", "augment", NULL};

// Pushes the function or nil, and a handle for the batches.
static void push_hook(lua_State *L, augment_hook *h) {
    lua_getfield(L, 2, "augment");
    if (!lua_isnil(L, -1) && !lua_isfunction(L, -1))
        script_error(L, "train: augment is a %s; a function(batch, step) was expected", luaL_typename(L, -1));
    h->L = L;
    h->function = lua_gettop(L);
    recipe_batch *b = lua_newuserdatauv(L, sizeof *b, 0);
    b->batch = NULL;
    b->values = 0;
    if (luaL_newmetatable(L, RECIPE_BATCH)) {
        lua_pushcfunction(L, index_batch);
        lua_setfield(L, -2, "__index");
        lua_pushboolean(L, 0);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
    h->handle = lua_gettop(L);
}

static void note_views(lua_State *L, recipe_view *train, int train_index, recipe_view *check, int check_index) {
    recipe_note_use(L, train_index, "training");
    if (!check || !check->v) return;
    recipe_note_use(L, check_index, "selection");
    int64_t both = data_view_overlap(train->v, check->v);
    if (both)
        base_log(recipe_of(L)->job, BASE_WARN, "train: check shares %lld sample%s with those that are trained on",
                 (long long)both, both == 1 ? "" : "s");
}

static int api_train(lua_State *L) {
    recipe_work(L, "train");
    lua_settop(L, 2);
    recipe_model *net = recipe_check_model(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    if (!model_mutable(net->m))
        script_error(L, "train: %s comes from a file and cannot be trained; make one with new_model(arch, config)",
                     net->m->name);
    enum { MOST = 64 };
    base_value values[MOST] = {0};
    BASE_CHECK(engine_train_arg_count <= MOST);
    base_arg_defaults(engine_train_args, engine_train_arg_count, values);
    recipe_read_args(L, 2, "train", engine_train_args, engine_train_arg_count, values, train_extras);
    engine_train_options options;
    engine_train_options_set(&options, values);
    for (size_t i = 0; i < engine_train_arg_count; i++)
        if (strcmp(engine_train_args[i].name, "seed") == 0)
            options.seed = recipe_seed(L, values[i].given, values[i].number, 1, "training");
    recipe_view *train = recipe_field_view(L, 2, "train", "train");
    int train_index = lua_gettop(L);
    recipe_view *check = recipe_field_view(L, 2, "train", "check");
    int check_index = lua_gettop(L);
    if (!train) script_error(L, "train: give the samples to learn from: train = data.train");
    if (!train->v) script_error(L, "train: there is no data: %s", train->why);
    note_views(L, train, train_index, check, check_index);
    augment_hook hook = {0};
    push_hook(L, &hook);
    hook.values = train->v->set->sample_values;
    if (lua_isfunction(L, hook.function)) {
        options.augment = call_hook;
        options.augment_context = &hook;
    }
    lua_checkstack(L, LUA_MINSTACK);
    compress_result_free(net->result);
    net->result = NULL;
    base_err err = {0};
    if (recipe_dry(L)) recipe_dry_train(L, net, train, check, &options);
    bool ok = recipe_dry(L) ||
              engine_train(net->m, train->v, check && check->v ? check->v : NULL, &options, recipe_of(L)->job, &err);
    snprintf(net->trained_on, sizeof net->trained_on, "%s", train->v->set->name);
    if (!ok && err.status == BASE_CANCELLED) recipe_keep_stopped(L, net);
    recipe_done(L, ok, &err);
    lua_settop(L, 1);
    return 1;
}

const luaL_Reg recipe_train_functions[] = {{"new_model", api_new_model}, {"train", api_train}, {NULL, NULL}};
