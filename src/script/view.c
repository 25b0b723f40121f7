// Views: a Lua file in a sandbox of its own that returns a table; ui/ lends it functions through the global table `ui`
// without knowing Lua. Arguments are read raw (no metamethods), and everything that can raise runs inside a protected
// call.
#include "script/sandbox.h"

#include <stdlib.h>
#include <string.h>

struct script_view {
    lua_State *L;
    int table; // registry reference of what the file returned
    const script_function *functions;
    size_t count;
    void *context;
};

struct script_call {
    lua_State *L;
    int args;    // at stack index 1..args
    int results; // pushed so far
};

enum { OPEN_SECONDS = 1 };

// ---- arguments of a call -----------------------------------------------------------------------

int script_arg_count(script_call *c) {
    return c->args;
}

const char *script_arg_text(script_call *c, int index) {
    return index < c->args && lua_type(c->L, index + 1) == LUA_TSTRING ? lua_tostring(c->L, index + 1) : NULL;
}

bool script_arg_number(script_call *c, int index, double *number) {
    if (index >= c->args || lua_type(c->L, index + 1) != LUA_TNUMBER) return false;
    *number = lua_tonumber(c->L, index + 1);
    return true;
}

bool script_arg_bool(script_call *c, int index) {
    return index < c->args && lua_toboolean(c->L, index + 1);
}

// Push table[key] of argument `index`; nothing is pushed when the argument is no table.
static bool push_field(script_call *c, int index, const char *key) {
    if (index >= c->args || !lua_istable(c->L, index + 1)) return false;
    luaL_checkstack(c->L, 6, "reading a table");
    lua_pushstring(c->L, key);
    lua_rawget(c->L, index + 1);
    return true;
}

// Text on top of the stack stays alive in the table it came from; the value itself is popped.
static const char *pop_text(lua_State *L) {
    const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    lua_pop(L, 1);
    return text;
}

static bool pop_number(lua_State *L, double *number) {
    bool is = lua_type(L, -1) == LUA_TNUMBER || lua_type(L, -1) == LUA_TBOOLEAN;
    if (is) *number = lua_type(L, -1) == LUA_TBOOLEAN ? lua_toboolean(L, -1) : lua_tonumber(L, -1);
    lua_pop(L, 1);
    return is;
}

const char *script_field_text(script_call *c, int index, const char *key) {
    return push_field(c, index, key) ? pop_text(c->L) : NULL;
}

bool script_field_number(script_call *c, int index, const char *key, double *number) {
    return push_field(c, index, key) && pop_number(c->L, number);
}

// Push the list: field `key` of the argument, or the argument itself. False (nothing pushed) when it is no table.
static bool push_list(script_call *c, int index, const char *key) {
    if (!key) {
        if (index >= c->args || !lua_istable(c->L, index + 1)) return false;
        luaL_checkstack(c->L, 6, "reading a list");
        lua_pushvalue(c->L, index + 1);
        return true;
    }
    if (!push_field(c, index, key)) return false;
    if (lua_istable(c->L, -1)) return true;
    lua_pop(c->L, 1);
    return false;
}

int script_list_count(script_call *c, int index, const char *key) {
    if (!push_list(c, index, key)) return 0;
    lua_Unsigned n = lua_rawlen(c->L, -1);
    lua_pop(c->L, 1);
    return n > 10000 ? 10000 : (int)n;
}

// Push element `item` of the list, or its `field` when that is not NULL; exactly one value, maybe nil.
static bool push_item(script_call *c, int index, const char *key, int item, const char *field) {
    if (!push_list(c, index, key)) return false;
    lua_rawgeti(c->L, -1, item);
    lua_remove(c->L, -2);
    if (!field) return true;
    if (!lua_istable(c->L, -1)) {
        lua_pop(c->L, 1);
        return false;
    }
    lua_pushstring(c->L, field);
    lua_rawget(c->L, -2);
    lua_remove(c->L, -2);
    return true;
}

const char *script_list_text(script_call *c, int index, const char *key, int item, const char *field) {
    return push_item(c, index, key, item, field) ? pop_text(c->L) : NULL;
}

bool script_list_number(script_call *c, int index, const char *key, int item, const char *field, double *number) {
    return push_item(c, index, key, item, field) && pop_number(c->L, number);
}

static void room(script_call *c) {
    luaL_checkstack(c->L, 2, "returning values");
    c->results++;
}

void script_push_number(script_call *c, double number) {
    room(c);
    // A whole number goes out as an integer, so that it indexes tables and prints without a point.
    if (number >= -9007199254740992.0 && number <= 9007199254740992.0 && number == (double)(lua_Integer)number)
        lua_pushinteger(c->L, (lua_Integer)number);
    else
        lua_pushnumber(c->L, number);
}
void script_push_text(script_call *c, const char *text) {
    room(c);
    lua_pushstring(c->L, text);
}
void script_push_bool(script_call *c, bool value) {
    room(c);
    lua_pushboolean(c->L, value);
}
void script_push_nil(script_call *c) {
    room(c);
    lua_pushnil(c->L);
}

// ---- the view ----------------------------------------------------------------------------------

static int call_host(lua_State *L) {
    script_view *v = lua_touserdata(L, lua_upvalueindex(1));
    const script_function *f = &v->functions[lua_tointeger(L, lua_upvalueindex(2))];
    script_call c = {.L = L, .args = lua_gettop(L)};
    base_err err = {0};
    if (!f->call(v->context, &c, &err)) script_raise(L, &err);
    return c.results;
}

static int make_host_table(lua_State *L) {
    script_view *v = lua_touserdata(L, 1);
    lua_createtable(L, 0, (int)v->count);
    for (size_t i = 0; i < v->count; i++) {
        lua_pushlightuserdata(L, v);
        lua_pushinteger(L, (lua_Integer)i);
        lua_pushcclosure(L, call_host, 2);
        lua_setfield(L, -2, v->functions[i].name);
    }
    script_global(L, "ui");
    return 0;
}

static int keep_table(lua_State *L) {
    script_view *v = lua_touserdata(L, 2);
    lua_settop(L, 1);
    v->table = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

// Call a C function in protected mode with the view and, below it, what is on top of the stack when `keep` is set.
static bool protected_setup(script_view *v, lua_CFunction f, bool keep, base_err *err) {
    lua_pushcfunction(v->L, f);
    if (keep) lua_insert(v->L, -2);
    lua_pushlightuserdata(v->L, v);
    return script_pcall(v->L, keep ? 2 : 1, 0, OPEN_SECONDS, err);
}

static bool open_table(script_view *v, const char *path, base_err *err) {
    if (!protected_setup(v, make_host_table, false, err)) return false;
    if (!script_load_file(v->L, path, err)) return false;
    if (!script_pcall(v->L, 0, 1, OPEN_SECONDS, err)) return false;
    if (!lua_istable(v->L, -1))
        return base_fail(err, "%s: a view returns a table with a draw function, this one returns %s.", path,
                         luaL_typename(v->L, -1));
    return protected_setup(v, keep_table, true, err);
}

script_view *script_view_open(const char *path, const script_function *functions, size_t count, void *context,
                              base_err *err) {
    script_view *v = base_alloc(sizeof *v);
    *v = (script_view){.functions = functions, .count = count, .context = context, .table = LUA_NOREF};
    v->L = script_state_new("view", SCRIPT_MEMORY, NULL);
    if (!v->L) {
        base_fail(err, "Memory is out: no Lua state for the view %s.", path);
    } else if (open_table(v, path, err)) {
        return v;
    }
    script_view_close(v);
    return NULL;
}

void script_view_close(script_view *v) {
    if (!v) return;
    if (v->L) script_state_free(v->L);
    free(v);
}

// ---- reading and calling -----------------------------------------------------------------------

typedef struct request {
    script_view *view;
    const char *name, *argument;
    const char *text;
    double number;
    bool handled, is_number;
} request;

static void push_member(lua_State *L, const request *r) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, r->view->table);
    lua_pushstring(L, r->name);
    lua_rawget(L, -2);
}

static int read_member(lua_State *L) {
    request *r = lua_touserdata(L, 1);
    push_member(L, r);
    r->text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    r->is_number = lua_type(L, -1) == LUA_TNUMBER;
    if (r->is_number) r->number = lua_tonumber(L, -1);
    return 0;
}

static int call_member(lua_State *L) {
    request *r = lua_touserdata(L, 1);
    push_member(L, r);
    if (!lua_isfunction(L, -1)) return 0;
    if (r->argument) lua_pushstring(L, r->argument);
    lua_call(L, r->argument ? 1 : 0, 1);
    r->handled = lua_toboolean(L, -1);
    return 0;
}

static bool perform(request *r, lua_CFunction f, double seconds, base_err *err) {
    lua_pushcfunction(r->view->L, f);
    lua_pushlightuserdata(r->view->L, r);
    return script_pcall(r->view->L, 1, 0, seconds, err);
}

const char *script_view_text(script_view *v, const char *field) {
    base_err ignored;
    request r = {.view = v, .name = field};
    return perform(&r, read_member, 0, &ignored) ? r.text : NULL;
}

double script_view_number(script_view *v, const char *field, double otherwise) {
    base_err ignored;
    request r = {.view = v, .name = field};
    return perform(&r, read_member, 0, &ignored) && r.is_number ? r.number : otherwise;
}

bool script_view_call(script_view *v, const char *method, const char *argument, double seconds, bool *handled,
                      base_err *err) {
    request r = {.view = v, .name = method, .argument = argument};
    bool ok = perform(&r, call_member, seconds, err);
    if (handled) *handled = ok && r.handled;
    return ok;
}
