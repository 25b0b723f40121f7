// arch_build: the builder object `g` that architecture files call. One method an op of the op table: inputs first, then
// a name, then a table of attributes, so g:conv2d(x, "conv1", {out = 16, kernel = 3, pad = 1}). Values are whole
// numbers. Attribute names, ranges and messages come from the op table.
#include "script/arch.h"

#include <math.h>
#include <string.h>

static const char builder_key = 0; // its address names the metatable in the registry

static model_graph *check_builder(lua_State *L) {
    model_graph **box = lua_touserdata(L, 1);
    bool ours = false;
    if (box && lua_getmetatable(L, 1)) {
        lua_rawgetp(L, LUA_REGISTRYINDEX, &builder_key);
        ours = lua_rawequal(L, -1, -2);
        lua_pop(L, 2);
    }
    if (!ours) script_error(L, "call builder functions with a colon: g:relu(x)");
    return *box;
}

// ---- attributes --------------------------------------------------------------------------------

// The rows a key means: its own row, or all rows of a family ("pad" means pad_top, pad_left, ...). Returns how many.
static int find_rows(const model_op_info *info, const char *key, int rows[MODEL_MAX_ATTR]) {
    int count = 0;
    size_t length = strlen(key);
    for (int k = 0; k < info->attr_count; k++)
        if (!strcmp(info->attrs[k].name, key)) return rows[0] = k, 1;
    for (int k = 0; k < info->attr_count; k++)
        if (!strncmp(info->attrs[k].name, key, length) && info->attrs[k].name[length] == '_') rows[count++] = k;
    return count;
}

static _Noreturn void unknown_attribute(lua_State *L, const model_op_info *info, const char *key) {
    const char *names[MODEL_MAX_ATTR + 1] = {"tied"};
    for (int k = 0; k < info->attr_count; k++) names[k + 1] = info->attrs[k].name;
    const char *near = base_nearest(key, names, (size_t)info->attr_count + 1);
    char clean[60];
    base_clean(clean, sizeof clean, key);
    script_error(L, near ? "%s has no attribute '%s'; the nearest is '%s'" : "%s has no attribute '%s'", info->name,
                 clean, near);
}

// A number or boolean on top of the stack.
static double number_on_top(lua_State *L, const model_op_info *info, const char *key) {
    if (lua_isboolean(L, -1)) return lua_toboolean(L, -1);
    if (lua_type(L, -1) != LUA_TNUMBER)
        script_error(L, "%s: %s is a %s, expected a number", info->name, key, luaL_typename(L, -1));
    return lua_tonumber(L, -1);
}

// A list gives its items to the rows of a family in order (pad = {top, left, bottom, right}); a row named KEY_count
// gets their number.
static void set_list(lua_State *L, const model_op_info *info, const char *key, const int *rows, int count,
                     double *attr) {
    int given = (int)lua_rawlen(L, -1);
    const char *last = count ? info->attrs[rows[count - 1]].name : "";
    bool counted = count > 1 && !strcmp(last + strlen(key), "_count");
    int room = counted ? count - 1 : count;
    if (given < 1 || given > room || (!counted && given != room))
        script_error(L, "%s: %s has %d values, expected %s%d", info->name, key, given, counted ? "1 to " : "", room);
    for (int k = 0; k < given; k++) {
        lua_rawgeti(L, -1, k + 1);
        attr[rows[k]] = number_on_top(L, info, key);
        lua_pop(L, 1);
    }
    if (counted) attr[rows[count - 1]] = given;
}

// Reads the table at `index` into attr; returns the `tied` parameter's name (kept alive by the table) or NULL.
static const char *read_attributes(lua_State *L, int index, const model_op_info *info, double *attr) {
    const char *tied = NULL;
    lua_pushnil(L);
    while (lua_next(L, index)) {
        if (lua_type(L, -2) != LUA_TSTRING) script_error(L, "%s: attributes are given by name, {out = 10}", info->name);
        const char *key = lua_tostring(L, -2);
        int rows[MODEL_MAX_ATTR], count = find_rows(info, key, rows);
        if (!strcmp(key, "tied")) {
            if (lua_type(L, -1) != LUA_TSTRING) script_error(L, "%s: tied is the name of a parameter", info->name);
            tied = lua_tostring(L, -1);
        } else if (!count)
            unknown_attribute(L, info, key);
        else if (lua_istable(L, -1))
            set_list(L, info, key, rows, count, attr);
        else {
            double value = number_on_top(L, info, key);
            for (int k = 0; k < count; k++) attr[rows[k]] = value;
        }
        lua_pop(L, 1);
    }
    return tied;
}

// ---- methods -----------------------------------------------------------------------------------

static int call_op(lua_State *L) {
    model_graph *g = check_builder(L);
    model_op op = (model_op)lua_tointeger(L, lua_upvalueindex(1));
    const model_op_info *info = &model_ops[op];
    int at = 2, in[MODEL_MAX_IN], in_count = 0, out[MODEL_MAX_OUT];
    for (; lua_isinteger(L, at); at++) {
        if (in_count == MODEL_MAX_IN) script_error(L, "%s: more than %d inputs", info->name, MODEL_MAX_IN);
        lua_Integer value = lua_tointeger(L, at);
        in[in_count++] = value < 0 || value > INT32_MAX ? -1 : (int)value;
    }
    char name[128];
    snprintf(name, sizeof name, "%s_%d", info->name, g->node_count);
    if (lua_type(L, at) == LUA_TSTRING) base_clean(name, sizeof name, lua_tostring(L, at++));
    double attr[MODEL_MAX_ATTR] = {0};
    for (int k = 0; k < info->attr_count; k++) attr[k] = info->attrs[k].def;
    const char *tied = NULL;
    if (lua_istable(L, at)) tied = read_attributes(L, at++, info, attr);
    if (!lua_isnoneornil(L, at))
        script_error(L, "%s: argument %d is a %s; expected values, then a name, then a table of attributes", info->name,
                     at - 1, luaL_typename(L, at));
    base_err err = {0};
    if (!model_graph_add(g, op, name, in_count, in, attr, tied, out, &err)) script_raise(L, &err);
    int count = g->nodes[g->node_count - 1].out_count;
    for (int k = 0; k < count; k++) lua_pushinteger(L, out[k]);
    return count;
}

static int call_input(lua_State *L) {
    model_graph *g = check_builder(L);
    if (!lua_istable(L, 2)) script_error(L, "input: expected the shape of one sample, {3, 32, 32}");
    int ndim = (int)lua_rawlen(L, 2);
    int64_t dim[4] = {0};
    for (int k = 0; k < ndim && k < 4; k++) {
        lua_rawgeti(L, 2, k + 1);
        if (!lua_isinteger(L, -1)) script_error(L, "input: dimension %d is not a whole number", k + 1);
        dim[k] = lua_tointeger(L, -1);
        lua_pop(L, 1);
    }
    base_err err = {0};
    if (!model_graph_input(g, DATA_FEATURES, ndim, dim, &err)) script_raise(L, &err);
    lua_pushinteger(L, 0);
    return 1;
}

static int call_tokens(lua_State *L) {
    model_graph *g = check_builder(L);
    if (!lua_isinteger(L, 2)) script_error(L, "tokens: expected the longest sequence, a whole number");
    int64_t context = lua_tointeger(L, 2);
    base_err err = {0};
    if (!model_graph_input(g, DATA_TOKENS, 1, &context, &err)) script_raise(L, &err);
    g->task = MODEL_LANGUAGE;
    lua_pushinteger(L, 0);
    return 1;
}

// g:shape(value): the dimensions after the batch.
static int call_shape(lua_State *L) {
    model_graph *g = check_builder(L);
    lua_Integer value = lua_isinteger(L, 2) ? lua_tointeger(L, 2) : -1;
    if (value < 0 || value >= g->value_count) script_error(L, "shape: there is no such value");
    const model_shape *s = model_graph_shape(g, (int)value);
    for (int k = 1; k < s->ndim; k++) lua_pushinteger(L, s->dim[k]);
    return s->ndim - 1;
}

static int call_task(lua_State *L) {
    static const char *const names[] = {
        [MODEL_CLASSIFY] = "classify", [MODEL_LANGUAGE] = "language", [MODEL_RECONSTRUCT] = "reconstruct"};
    model_graph *g = check_builder(L);
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    for (int k = 0; k < 3; k++)
        if (!strcmp(names[k], name)) return g->task = (model_task)k, 0;
    script_error(L, "task: expected \"classify\", \"language\" or \"reconstruct\"");
}

static int unknown_method(lua_State *L) {
    const char *names[MODEL_OPS + 4] = {"input", "tokens", "shape", "task"};
    for (int k = 0; k < MODEL_OPS; k++) names[k + 4] = model_ops[k].name;
    char clean[60];
    base_clean(clean, sizeof clean, lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?");
    const char *near = base_nearest(clean, names, MODEL_OPS + 4);
    script_error(L, near ? "there is no op '%s'; the nearest is '%s'" : "there is no op '%s'", clean, near);
}

void arch_push_builder(lua_State *L, model_graph *graph) {
    static const luaL_Reg own[] = {
        {"input", call_input}, {"tokens", call_tokens}, {"shape", call_shape}, {"task", call_task}, {NULL, NULL}};
    model_graph **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = graph;
    lua_newtable(L); // the metatable
    lua_newtable(L); // its methods
    luaL_setfuncs(L, own, 0);
    for (int k = 0; k < MODEL_OPS; k++) {
        lua_pushinteger(L, k);
        lua_pushcclosure(L, call_op, 1);
        lua_setfield(L, -2, model_ops[k].name);
    }
    lua_newtable(L);
    lua_pushcfunction(L, unknown_method);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &builder_key);
    lua_setmetatable(L, -2);
}
