// recipe_open: handles of models, datasets and views, and the calls that make them.
#include "script/recipe.h"

#include <stdlib.h>
#include <string.h>

#include "script/descriptor.h"

// ---- empty handles -----------------------------------------------------------------------------

recipe_model *recipe_new_model_handle(lua_State *L) {
    recipe_model *h = lua_newuserdatauv(L, sizeof *h, 1);
    memset(h, 0, sizeof *h);
    luaL_setmetatable(L, RECIPE_MODEL);
    lua_newtable(L);
    lua_setiuservalue(L, -2, 1);
    return h;
}

void recipe_set_origin(lua_State *L, int index, int origin_index) {
    static const char key;
    recipe_model *h = luaL_checkudata(L, index, RECIPE_MODEL), *net = luaL_checkudata(L, origin_index, RECIPE_MODEL);
    h->origin = net->origin ? net->origin : net;
    lua_getiuservalue(L, index, 1);
    lua_pushvalue(L, origin_index);
    lua_rawsetp(L, -2, &key);
    lua_pop(L, 1);
}

static recipe_data *new_data_handle(lua_State *L) {
    recipe_data *h = lua_newuserdatauv(L, sizeof *h, 0);
    memset(h, 0, sizeof *h);
    luaL_setmetatable(L, RECIPE_DATA);
    return h;
}

recipe_view *recipe_new_view_handle(lua_State *L, int data_index) {
    data_index = lua_absindex(L, data_index);
    recipe_view *h = lua_newuserdatauv(L, sizeof *h, 1);
    memset(h, 0, sizeof *h);
    luaL_setmetatable(L, RECIPE_VIEW);
    lua_pushvalue(L, data_index);
    lua_setiuservalue(L, -2, 1);
    return h;
}

static int free_model(lua_State *L) {
    recipe_model *h = luaL_checkudata(L, 1, RECIPE_MODEL);
    compress_result_free(h->result);
    compress_result_free(h->identity);
    model_close(h->m);
    free(h->path);
    memset(h, 0, sizeof *h);
    return 0;
}

static int free_data(lua_State *L) {
    recipe_data *h = luaL_checkudata(L, 1, RECIPE_DATA);
    data_close(h->set);
    free(h->path);
    memset(h, 0, sizeof *h);
    return 0;
}

static int free_view(lua_State *L) {
    recipe_view *h = luaL_checkudata(L, 1, RECIPE_VIEW);
    data_view_free(h->v);
    memset(h, 0, sizeof *h);
    return 0;
}

recipe_model *recipe_check_model(lua_State *L, int index) {
    recipe_model *h = luaL_checkudata(L, index, RECIPE_MODEL);
    if (!h->m) script_error(L, "this model is closed");
    return h;
}

recipe_view *recipe_check_view(lua_State *L, int index) {
    recipe_view *h = luaL_testudata(L, index, RECIPE_VIEW);
    if (h) return h;
    if (luaL_testudata(L, index, RECIPE_DATA))
        script_error(L, "argument %d is a whole dataset; name a part of it: data.test, data.calib:sample(512)", index);
    luaL_typeerror(L, index, "part of a dataset, such as data.test");
    return NULL;
}

recipe_view *recipe_field_view(lua_State *L, int index, const char *function, const char *key) {
    lua_getfield(L, index, key);
    if (lua_isnil(L, -1) || (lua_isboolean(L, -1) && !lua_toboolean(L, -1))) {
        lua_pop(L, 1);
        lua_pushnil(L);
        return NULL;
    }
    recipe_view *h = luaL_testudata(L, -1, RECIPE_VIEW);
    if (h) return h;
    if (luaL_testudata(L, -1, RECIPE_DATA))
        script_error(L, "%s: %s is a whole dataset; name a part of it: data.calib:sample(512)", function, key);
    script_error(L, "%s: %s is a %s; a part of a dataset was expected, such as data.calib:sample(512)", function, key,
                 luaL_typename(L, -1));
}

// ---- model(path [, { arch =, base = }]) ----------------------------------------------------------

static void check_options(lua_State *L) {
    if (lua_isnoneornil(L, 2)) return;
    luaL_checktype(L, 2, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1))
        if (lua_type(L, -2) != LUA_TSTRING ||
            (strcmp(lua_tostring(L, -2), "arch") != 0 && strcmp(lua_tostring(L, -2), "base") != 0 &&
             strcmp(lua_tostring(L, -2), "cut") != 0))
            script_error(L, "model: its options are { arch = \"name\", base = \"path\", cut = 4 }, not '%s'",
                         lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : luaL_typename(L, -2));
}

// The option as text, which stays on the stack; what the command line gave goes first.
static const char *model_option(lua_State *L, const char *name, const char *given) {
    if (given || lua_isnoneornil(L, 2)) return given;
    lua_getfield(L, 2, name);
    if (!lua_isnil(L, -1) && lua_type(L, -1) != LUA_TSTRING)
        script_error(L, "model: %s is a %s; a text was expected", name, luaL_typename(L, -1));
    return lua_tostring(L, -1);
}

static void tell_inputs(recipe_run *run, const char *path, const char *hash, const char *data, const char *data_hash) {
    if (!run->options->inputs) return;
    char *model_path = base_absolute(path), *data_path = base_absolute(data); // a replay may start in another folder
    run->options->inputs(run->options->inputs_context, model_path, hash, data_path, data_hash);
    free(model_path);
    free(data_path);
}

static int api_model(lua_State *L) {
    recipe_work(L, "model");
    if (lua_isnoneornil(L, 1)) script_error(L, "model: no checkpoint was named; run the recipe with --model PATH");
    const char *path = luaL_checkstring(L, 1);
    lua_settop(L, 2);
    lua_gc(L, LUA_GCCOLLECT, 0); // models no longer used hold memory that Lua does not count
    check_options(L);
    const char *arch = model_option(L, "arch", recipe_of(L)->options->arch);
    const char *base = model_option(L, "base", recipe_of(L)->options->base);
    if (base) base = recipe_read_path(L, "model", base);
    compress_cut less = {0};
    if (!lua_isnoneornil(L, 2)) {
        lua_getfield(L, 2, "cut");
        less = recipe_read_cut(L, lua_gettop(L), "model");
    }
    const char *at = recipe_read_path(L, "model", path);
    recipe_model *h = recipe_new_model_handle(L);
    base_err err;
    h->m = script_model_open_cut(at, arch, base, &less, &err);
    recipe_done(L, h->m != NULL, &err);
    h->path = base_strdup(at);
    recipe_run *run = recipe_of(L);
    tell_inputs(run, at, h->m->tensors ? h->m->tensors->hash : "", NULL, NULL);
    if (!h->m->graph)
        base_log(run->job, BASE_WARN, "%s opens without an architecture, for per-tensor work only: %s", h->m->name,
                 h->m->why_no_arch ? h->m->why_no_arch : "none fits");
    return 1;
}

static int push_layers(lua_State *L, const model *m) {
    lua_createtable(L, m->layer_count, 0);
    for (int i = 0; i < m->layer_count; i++) {
        const model_layer *layer = &m->layers[i];
        char shape[48] = "";
        lua_createtable(L, 0, 6);
        lua_pushstring(L, layer->name);
        lua_setfield(L, -2, "name");
        lua_pushstring(L, layer->kind);
        lua_setfield(L, -2, "kind");
        lua_pushstring(L, model_shape_text(shape, &layer->shape));
        lua_setfield(L, -2, "shape");
        lua_pushinteger(L, layer->out);
        lua_setfield(L, -2, "rows");
        lua_pushinteger(L, layer->in);
        lua_setfield(L, -2, "columns");
        lua_pushinteger(L, layer->weights);
        lua_setfield(L, -2, "weights");
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

static _Noreturn void no_field(lua_State *L, const char *what, const char *key, const char *const *names,
                               size_t count) {
    const char *near = key ? base_nearest(key, names, count) : NULL;
    base_buf all = {0};
    for (size_t i = 0; i < count; i++) base_buf_printf(&all, "%s%s", i ? ", " : "", names[i]);
    char text[400];
    if (near)
        snprintf(text, sizeof text, "%s has no field '%.60s'; the nearest is '%s'", what, key, near);
    else
        snprintf(text, sizeof text, "%s has no field '%.60s'; it has %s", what, key ? key : "?", all.text);
    base_buf_free(&all);
    script_error(L, "%s", text);
}

static int index_model(lua_State *L) {
    static const char *const names[] = {"name", "arch", "path", "layers", "weights", "bytes"};
    recipe_model *h = recipe_check_model(L, 1);
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : NULL;
    if (key && strcmp(key, "name") == 0)
        lua_pushstring(L, h->m->name);
    else if (key && strcmp(key, "arch") == 0)
        lua_pushstring(L, h->m->arch);
    else if (key && strcmp(key, "path") == 0)
        lua_pushstring(L, h->path);
    else if (key && strcmp(key, "layers") == 0)
        push_layers(L, h->m);
    else if (key && strcmp(key, "weights") == 0)
        lua_pushinteger(L, model_weight_count(h->m));
    else if (key && strcmp(key, "bytes") == 0)
        lua_pushinteger(L, (lua_Integer)model_stored_bytes(h->m));
    else
        no_field(L, "a model", key, names, sizeof names / sizeof *names);
    return 1;
}

static int text_model(lua_State *L) {
    recipe_model *h = luaL_checkudata(L, 1, RECIPE_MODEL);
    lua_pushfstring(L, "model %s", h->m ? h->m->name : "(closed)");
    return 1;
}

// ---- dataset(path or table) --------------------------------------------------------------------

typedef struct spec_handle {
    data_spec *spec;
} spec_handle;

static int free_spec(lua_State *L) {
    spec_handle *h = lua_touserdata(L, 1);
    data_spec_free(h->spec);
    h->spec = NULL;
    return 0;
}

// Every file a descriptor names must be readable to the recipe, unless the user gave the descriptor.
static void check_sources(lua_State *L, const data_spec *spec) {
    for (size_t i = 0; i < spec->source_count; i++) {
        const char *const files[] = {spec->sources[i].path, spec->sources[i].labels};
        for (int k = 0; k < 2; k++) {
            if (!files[k]) continue;
            lua_pushstring(L, files[k][0] == '/' ? "" : spec->folder ? spec->folder : ".");
            lua_pushfstring(L, "%s%s%s", lua_tostring(L, -1), files[k][0] == '/' ? "" : "/", files[k]);
            if (base_is_file(lua_tostring(L, -1)) && !recipe_may_read(L, lua_tostring(L, -1)))
                script_error(L, "dataset: '%s' is outside the folders a recipe may read", files[k]);
            lua_pop(L, 2);
        }
    }
}

static spec_handle *push_spec_handle(lua_State *L) {
    spec_handle *h = lua_newuserdatauv(L, sizeof *h, 0);
    h->spec = NULL;
    luaL_setmetatable(L, "vise.spec");
    return h;
}

static int no_data(lua_State *L, const char *why) {
    recipe_data *h = new_data_handle(L);
    snprintf(h->why, sizeof h->why, "%s", why);
    return 1;
}

static int api_dataset(lua_State *L) {
    recipe_work(L, "dataset");
    lua_settop(L, 1);
    recipe_run *run = recipe_of(L);
    if (lua_isnil(L, 1)) return no_data(L, "no dataset is known for this model; name one with --data");
    base_err err;
    spec_handle *s;
    const char *at = "inline";
    if (lua_istable(L, 1)) {
        s = push_spec_handle(L);
        s->spec = script_dataset_table(L, 1, script_folder(L), &err);
        if (!s->spec) base_wrap(&err, "dataset: ");
        recipe_done(L, s->spec != NULL, &err);
        check_sources(L, s->spec);
    } else {
        const char *path = luaL_checkstring(L, 1);
        at = recipe_read_path(L, "dataset", path);
        s = push_spec_handle(L);
        s->spec = script_dataset_spec(at, &err);
        recipe_done(L, s->spec != NULL, &err);
        if (!run->options->data || strcmp(path, run->options->data) != 0) check_sources(L, s->spec);
    }
    recipe_data *h = new_data_handle(L);
    h->set = data_open(s->spec, run->job, &err);
    recipe_done(L, h->set != NULL, &err);
    h->path = base_strdup(at);
    tell_inputs(run, NULL, NULL, at, h->set->hash);
    return 1;
}

// default_data(net): the dataset that belongs to a model, as text, or nil.
static int api_default_data(lua_State *L) {
    recipe_work(L, "default_data");
    recipe_model *h = recipe_check_model(L, 1);
    char *path = script_dataset_for(h->m);
    lua_pushnil(L);
    if (path) {
        char copy[4096];
        snprintf(copy, sizeof copy, "%s", path);
        free(path);
        lua_pushstring(L, copy);
    } else {
        base_log(recipe_of(L)->job, BASE_WARN, "no dataset is known for %s; name one with --data", h->m->name);
    }
    return 1;
}

static const char *const data_fields[] = {"train", "calib",   "select", "test",      "all",
                                          "name",  "classes", "count",  "vocabulary"};

static int push_part(lua_State *L, const recipe_data *h, data_part part) {
    recipe_view *v = recipe_new_view_handle(L, 1);
    v->part = part;
    if (!h->set) {
        snprintf(v->why, sizeof v->why, "%s", h->why);
        return 1;
    }
    base_err err;
    v->v = data_view_part(h->set, part, &err);
    if (!v->v) script_raise(L, &err);
    return 1;
}

static int index_data(lua_State *L) {
    recipe_data *h = luaL_checkudata(L, 1, RECIPE_DATA);
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : NULL;
    static const struct {
        const char *name;
        data_part part;
    } parts[] = {
        {"train", DATA_CALIB}, {"calib", DATA_CALIB}, {"select", DATA_SELECT}, {"test", DATA_TEST}, {"all", DATA_ALL}};
    for (size_t i = 0; key && i < sizeof parts / sizeof *parts; i++)
        if (strcmp(key, parts[i].name) == 0) return push_part(L, h, parts[i].part);
    if (key && strcmp(key, "name") == 0)
        lua_pushstring(L, h->set ? h->set->name : "none");
    else if (key && strcmp(key, "classes") == 0)
        lua_pushinteger(L, h->set ? h->set->classes : 0);
    else if (key && strcmp(key, "count") == 0)
        lua_pushinteger(L, h->set ? h->set->count : 0);
    else if (key && strcmp(key, "vocabulary") == 0)
        lua_pushstring(L, h->set ? h->set->vocabulary : NULL); // nil where there is none
    else
        no_field(L, "a dataset", key, data_fields, sizeof data_fields / sizeof *data_fields);
    return 1;
}

static int text_data(lua_State *L) {
    recipe_data *h = luaL_checkudata(L, 1, RECIPE_DATA);
    lua_pushfstring(L, "dataset %s", h->set ? h->set->name : "(none)");
    return 1;
}

// ---- views -------------------------------------------------------------------------------------

uint64_t recipe_seed(lua_State *L, bool given, double stated, uint64_t otherwise, const char *what) {
    recipe_run *run = recipe_of(L);
    uint64_t seed = given ? (uint64_t)stated : otherwise + run->options->seed;
    base_emit(run->job, (base_event){.kind = BASE_EV_SEED, .text = what, .done = (int64_t)seed});
    return seed;
}

// The count argument: a whole number of at least 1, cut to what there is.
static int64_t count_argument(lua_State *L, const recipe_view *h, int index) {
    lua_Integer n = luaL_checkinteger(L, index);
    luaL_argcheck(L, n >= 1, index, "at least one sample");
    if (!h->v || n <= h->v->count) return n;
    base_log(recipe_of(L)->job, BASE_WARN, "%s has %lld sample%s, fewer than the %lld asked for; all are taken",
             h->v->label, (long long)h->v->count, h->v->count == 1 ? "" : "s", (long long)n);
    return h->v->count;
}

static recipe_view *derived_view(lua_State *L, const recipe_view *from) {
    lua_getiuservalue(L, 1, 1);
    recipe_view *v = recipe_new_view_handle(L, -1);
    v->part = from->part;
    snprintf(v->why, sizeof v->why, "%s", from->why);
    return v;
}

// view:sample(n [, seed])
static int view_sample(lua_State *L) {
    recipe_view *h = recipe_check_view(L, 1);
    int64_t n = count_argument(L, h, 2);
    bool given = !lua_isnoneornil(L, 3);
    if (given) luaL_argcheck(L, luaL_checkinteger(L, 3) >= 0, 3, "a seed is not negative");
    recipe_view *v = derived_view(L, h);
    if (!h->v) return 1;
    char what[128];
    snprintf(what, sizeof what, "sample of %.80s", h->v->label);
    uint64_t seed = recipe_seed(L, given, given ? (double)lua_tointeger(L, 3) : 0, 1, what);
    base_err err;
    v->v = data_view_sample(h->v, n, seed, &err);
    recipe_done(L, v->v != NULL, &err);
    return 1;
}

// view:first(n)
static int view_first(lua_State *L) {
    recipe_view *h = recipe_check_view(L, 1);
    int64_t n = count_argument(L, h, 2);
    recipe_view *v = derived_view(L, h);
    if (!h->v) return 1;
    base_err err;
    v->v = data_view_range(h->v, 0, n, &err);
    recipe_done(L, v->v != NULL, &err);
    return 1;
}

static int view_length(lua_State *L) {
    recipe_view *h = recipe_check_view(L, 1);
    lua_pushinteger(L, h->v ? h->v->count : 0);
    return 1;
}

static int text_view(lua_State *L) {
    recipe_view *h = recipe_check_view(L, 1);
    lua_pushfstring(L, "view %s", h->v ? h->v->label : "(no data)");
    return 1;
}

static int index_view(lua_State *L) {
    static const char *const names[] = {"sample", "first", "count", "label"};
    recipe_view *h = recipe_check_view(L, 1);
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : NULL;
    if (key && strcmp(key, "sample") == 0)
        lua_pushcfunction(L, view_sample);
    else if (key && strcmp(key, "first") == 0)
        lua_pushcfunction(L, view_first);
    else if (key && strcmp(key, "count") == 0)
        lua_pushinteger(L, h->v ? h->v->count : 0);
    else if (key && strcmp(key, "label") == 0)
        lua_pushstring(L, h->v ? h->v->label : "no data");
    else
        no_field(L, "a part of a dataset", key, names, sizeof names / sizeof *names);
    return 1;
}

// ---- metatables --------------------------------------------------------------------------------

static void make_type(lua_State *L, const char *name, const luaL_Reg *methods) {
    luaL_newmetatable(L, name);
    luaL_setfuncs(L, methods, 0);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

int recipe_open_handles(lua_State *L) {
    static const luaL_Reg of_model[] = {{"__gc", free_model},
                                        {"__close", free_model},
                                        {"__index", index_model},
                                        {"__tostring", text_model},
                                        {NULL, NULL}};
    static const luaL_Reg of_data[] = {
        {"__gc", free_data}, {"__index", index_data}, {"__tostring", text_data}, {NULL, NULL}};
    static const luaL_Reg of_view[] = {
        {"__gc", free_view}, {"__index", index_view}, {"__len", view_length}, {"__tostring", text_view}, {NULL, NULL}};
    static const luaL_Reg of_spec[] = {{"__gc", free_spec}, {NULL, NULL}};
    make_type(L, RECIPE_MODEL, of_model);
    make_type(L, RECIPE_DATA, of_data);
    make_type(L, RECIPE_VIEW, of_view);
    make_type(L, "vise.spec", of_spec);
    return 0;
}

const luaL_Reg recipe_open_functions[] = {
    {"model", api_model}, {"dataset", api_dataset}, {"default_data", api_default_data}, {NULL, NULL}};
