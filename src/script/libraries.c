// libraries: what a sandboxed script finds - an allow-list of Lua's own functions, some replaced by forms that cannot
// loop in C without end, escape, or make two runs differ.
#include "script/sandbox.h"

#include <lualib.h>
#include <stdlib.h>
#include <string.h>

// Registry keys.
static const char globals_key[] = "vise.globals", loaded_key[] = "vise.loaded";

// ---- globals -----------------------------------------------------------------------------------

void script_global(lua_State *L, const char *name) {
    lua_getfield(L, LUA_REGISTRYINDEX, globals_key);
    lua_insert(L, -2);
    lua_pushstring(L, name);
    lua_insert(L, -2);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

static int unknown_global(lua_State *L) {
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
    enum { MOST = 256 };
    const char *names[MOST];
    size_t count = 0;
    lua_getfield(L, LUA_REGISTRYINDEX, globals_key);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
        if (count < MOST && lua_type(L, -2) == LUA_TSTRING) names[count++] = lua_tostring(L, -2);
    const char *near = base_nearest(name, names, count);
    if (near) return luaL_error(L, "nothing is called '%s'; the nearest name is '%s'", name, near);
    return luaL_error(L, "nothing is called '%s'; a value of your own is named first with `local %s = ...`", name,
                      name);
}

static int new_global(lua_State *L) {
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
    lua_getfield(L, LUA_REGISTRYINDEX, globals_key);
    lua_pushvalue(L, 2);
    bool known = lua_rawget(L, -2) != LUA_TNIL;
    if (known) return luaL_error(L, "'%s' belongs to the language here and cannot be set; use another name", name);
    return luaL_error(L, "'%s' is not declared; write `local %s = ...`", name, name);
}

// The table scripts see as their globals stays empty: reads fall through to ours, writes are errors.
static void make_globals(lua_State *L) {
    lua_newtable(L); // what scripts see
    lua_newtable(L); // its metatable
    lua_newtable(L); // ours
    lua_newtable(L); // ours' metatable
    lua_pushcfunction(L, unknown_global);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, globals_key);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, new_global);
    lua_setfield(L, -2, "__newindex");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_setmetatable(L, -2);
    lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS);
}

// ---- base --------------------------------------------------------------------------------------

// load(text or function [, name]): text only, in the same globals.
static int safe_load(lua_State *L) {
    lua_settop(L, 4);
    lua_pushliteral(L, "t");
    lua_replace(L, 3);
    int count = lua_isnil(L, 4) ? 3 : 4;
    lua_settop(L, count);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, count, LUA_MULTRET);
    return lua_gettop(L);
}

// Finalisers written in Lua would run with hooks off and could not be stopped.
static int safe_setmetatable(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argexpected(L, lua_isnil(L, 2) || lua_istable(L, 2), 2, "nil or table");
    lua_settop(L, 2);
    if (lua_istable(L, 2)) {
        lua_pushliteral(L, "__gc");
        if (lua_rawget(L, 2) != LUA_TNIL) return luaL_error(L, "__gc is not available; use __close");
        lua_pop(L, 1);
    }
    if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL) return luaL_error(L, "cannot change a protected metatable");
    lua_setmetatable(L, 1);
    return 1;
}

// An error raised by the hook calls message handlers while hooks are off: the script's own must not run then.
static int guarded_handler(lua_State *L) {
    if (script_box_of(L)->stopped) return 1;
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

// The stack is f, guarded, then results or the error.
static int finish_xpcall(lua_State *L, int status, lua_KContext context) {
    (void)context;
    lua_remove(L, 2);
    lua_pushboolean(L, status == LUA_OK || status == LUA_YIELD);
    lua_replace(L, 1);
    return lua_gettop(L);
}

// xpcall(f, handler, ...)
static int safe_xpcall(lua_State *L) {
    luaL_checktype(L, 2, LUA_TFUNCTION);
    int n = lua_gettop(L) - 2;
    lua_pushvalue(L, 2);
    lua_pushcclosure(L, guarded_handler, 1);
    lua_replace(L, 2);
    lua_pushvalue(L, 1);
    lua_insert(L, 3); // f, guarded, f, arguments
    return finish_xpcall(L, lua_pcallk(L, n, LUA_MULTRET, 2, 0, finish_xpcall), 0);
}

// Lua's own wrap closes a failed coroutine's pending variables, with hooks off when a hook ended it; this one lets them
// be collected.
static int call_wrapped(lua_State *L) {
    lua_State *co = lua_tothread(L, lua_upvalueindex(1));
    int n = lua_gettop(L), results = 0;
    if (lua_status(co) != LUA_YIELD && !(lua_status(co) == LUA_OK && lua_gettop(co) == 1))
        return luaL_error(L, "cannot resume a coroutine that has ended or is running");
    if (!lua_checkstack(co, n + 1)) return luaL_error(L, "too many arguments to resume");
    lua_xmove(L, co, n);
    int status = lua_resume(co, L, n, &results);
    if (status != LUA_OK && status != LUA_YIELD) {
        lua_xmove(co, L, 1);
        return lua_error(L);
    }
    if (!lua_checkstack(L, results + 1)) return luaL_error(L, "too many results of a coroutine");
    lua_xmove(co, L, results);
    return results;
}

static int safe_wrap(lua_State *L) {
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_State *co = lua_newthread(L);
    lua_pushvalue(L, 1);
    lua_xmove(L, co, 1);
    lua_pushcclosure(L, call_wrapped, 1);
    return 1;
}

static int memory_used(lua_State *L) {
    if (strcmp(luaL_optstring(L, 1, "count"), "count") != 0)
        return luaL_error(L, "collectgarbage can only \"count\" here; memory is collected by itself");
    lua_pushnumber(L, (lua_Number)script_box_of(L)->used / 1024.0);
    return 1;
}

static int print(lua_State *L) {
    int n = lua_gettop(L);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (int i = 1; i <= n; i++) {
        if (i > 1) luaL_addchar(&b, '\t');
        luaL_tolstring(L, i, NULL);
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
    base_log(script_job(L), BASE_INFO, "%s", lua_tostring(L, -1));
    return 0;
}

// ---- pairs in a fixed order --------------------------------------------------------------------

// Lua's own order of text keys differs from run to run; a recipe that walks a table must not.
// Numbers, then texts, then booleans, then the rest as it comes.
static int key_rank(lua_State *L, int index) {
    switch (lua_type(L, index)) {
    case LUA_TNUMBER:
        return 0;
    case LUA_TSTRING:
        return 1;
    case LUA_TBOOLEAN:
        return 2;
    default:
        return 3;
    }
}

static bool key_before(lua_State *L, int a, int b) {
    int ra = key_rank(L, a), rb = key_rank(L, b);
    if (ra != rb) return ra < rb;
    if (ra == 2) return !lua_toboolean(L, a) && lua_toboolean(L, b);
    if (ra == 3) return false;
    if (ra == 0) return lua_compare(L, a, b, LUA_OPLT);
    size_t na, nb;
    const char *ta = lua_tolstring(L, a, &na), *tb = lua_tolstring(L, b, &nb);
    int c = memcmp(ta, tb, na < nb ? na : nb);
    return c < 0 || (c == 0 && na < nb);
}

// Heap sort of the key list at `list`: no recursion, no worst case.
static void sift(lua_State *L, int list, lua_Integer root, lua_Integer count) {
    for (;;) {
        lua_Integer child = 2 * root;
        if (child > count) return;
        lua_rawgeti(L, list, child);
        if (child < count) {
            lua_rawgeti(L, list, child + 1);
            if (key_before(L, -2, -1)) {
                child++;
                lua_remove(L, -2);
            } else {
                lua_pop(L, 1);
            }
        }
        lua_rawgeti(L, list, root);
        if (!key_before(L, -1, -2)) {
            lua_pop(L, 2);
            return;
        }
        lua_rawseti(L, list, child);
        lua_rawseti(L, list, root);
        root = child;
    }
}

static void sort_keys(lua_State *L, int list, lua_Integer count) {
    for (lua_Integer root = count / 2; root >= 1; root--) sift(L, list, root, count);
    for (lua_Integer last = count; last > 1; last--) {
        if (last % 4096 == 0) script_check_stop(L);
        lua_rawgeti(L, list, 1);
        lua_rawgeti(L, list, last);
        lua_rawseti(L, list, 1);
        lua_rawseti(L, list, last);
        sift(L, list, 1, last - 1);
    }
}

// upvalues: the key list, the position. Keys that became nil on the way are skipped.
static int next_pair(lua_State *L) {
    lua_Integer at = lua_tointeger(L, lua_upvalueindex(2));
    lua_settop(L, 1);
    for (;;) {
        at++;
        if (lua_rawgeti(L, lua_upvalueindex(1), at) == LUA_TNIL) return 1;
        lua_pushvalue(L, -1);
        if (lua_rawget(L, 1) != LUA_TNIL) break;
        lua_pop(L, 2);
    }
    lua_pushinteger(L, at);
    lua_replace(L, lua_upvalueindex(2));
    return 2;
}

static int ordered_pairs(lua_State *L) {
    luaL_checkany(L, 1);
    lua_settop(L, 1);
    if (luaL_getmetafield(L, 1, "__pairs") != LUA_TNIL) {
        lua_insert(L, 1);
        lua_call(L, 1, 3);
        return 3;
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_newtable(L);
    lua_Integer count = 0;
    bool sorted = true;
    for (lua_pushnil(L); lua_next(L, 1);) {
        lua_pop(L, 1);
        lua_pushvalue(L, -1);
        lua_rawseti(L, 2, ++count);
        if (count == 1) continue;
        lua_rawgeti(L, 2, count - 1);
        if (!key_before(L, -1, -2)) sorted = false;
        lua_pop(L, 1);
    }
    if (!sorted) sort_keys(L, 2, count);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, next_pair, 2);
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

// ---- table, math -------------------------------------------------------------------------------

// Most positions a table function may walk in one call: far above any table that fits the memory limit.
static const lua_Integer most_positions = 1 << 24;

// table.* functions loop in C over a length that metamethods could invent; they get plain tables only.
static int plain_table(lua_State *L) {
    int n = lua_gettop(L);
    const char *name = lua_tostring(L, lua_upvalueindex(2));
    for (int i = 1; i <= n; i++)
        if (lua_istable(L, i) && lua_getmetatable(L, i))
            return luaL_error(L, "table.%s works on tables without a metatable", name);
    if (strcmp(name, "move") == 0 && lua_isinteger(L, 2) && lua_isinteger(L, 3)) {
        lua_Integer from = lua_tointeger(L, 2), to = lua_tointeger(L, 3);
        if (to >= from && (lua_Unsigned)to - (lua_Unsigned)from > (lua_Unsigned)most_positions)
            return luaL_error(L, "table.move: too many elements to move");
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, n, LUA_MULTRET);
    return lua_gettop(L);
}

// math.randomseed() without a seed would take one from the clock.
static int seeded(lua_State *L) {
    luaL_checknumber(L, 1);
    int n = lua_gettop(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, n, 0);
    return 0;
}

// ---- require -----------------------------------------------------------------------------------

static bool module_name(const char *name) {
    if (!*name || *name == '.' || strstr(name, "..") || strlen(name) > 80) return false;
    for (const char *p = name; *p; p++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.", *p)) return false;
    return true;
}

// Push the path of the module, or nil: lua/vise/NAME.lua first, then NAME.lua in the script's own folder.
static bool find_module(lua_State *L, const char *name) {
    const char *short_name = strncmp(name, "vise.", 5) == 0 ? name + 5 : name;
    const char *tail = luaL_gsub(L, short_name, ".", "/");
    lua_pushfstring(L, "%s/lua/vise/%s.lua", base_home(), tail);
    if (base_is_file(lua_tostring(L, -1))) return true;
    if (short_name == name) {
        lua_pushfstring(L, "%s/%s.lua", script_folder(L), tail);
        if (base_is_file(lua_tostring(L, -1))) return true;
    }
    return false;
}

static int safe_require(lua_State *L) {
    const char *name = luaL_checkstring(L, 1);
    if (!module_name(name))
        return luaL_error(L, "require: '%s' is no module name (letters, digits, _ - and . between folders)", name);
    lua_settop(L, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, loaded_key);
    if (lua_getfield(L, 2, name) != LUA_TNIL) {
        if (lua_islightuserdata(L, -1)) return luaL_error(L, "require: '%s' requires itself", name);
        return 1;
    }
    if (!find_module(L, name))
        return luaL_error(L, "require: there is no lua/vise/%s.lua and no %s.lua in %s", name, name, script_folder(L));
    int path = lua_gettop(L);
    base_err err;
    if (!script_load_file(L, lua_tostring(L, path), &err)) return luaL_error(L, "%s", err.text);
    lua_pushlightuserdata(L, L); // being loaded
    lua_setfield(L, 2, name);
    lua_pushvalue(L, 1);
    int status = lua_pcall(L, 1, 1, 0);
    if (status != LUA_OK || lua_isnil(L, -1)) {
        lua_pushnil(L);
        lua_setfield(L, 2, name);
        if (status != LUA_OK) return lua_error(L);
        return luaL_error(L, "require: %s returns nothing", lua_tostring(L, path));
    }
    lua_pushvalue(L, -1);
    lua_setfield(L, 2, name);
    return 1;
}

// ---- opening -----------------------------------------------------------------------------------

static const char *const base_names[] = {"assert",   "error",  "getmetatable", "ipairs", "next",   "pcall",
                                         "rawequal", "rawget", "rawlen",       "rawset", "select", "tonumber",
                                         "tostring", "type",   "_VERSION",     NULL};
static const char *const math_names[] = {"abs",  "acos",       "asin",      "atan", "ceil", "cos",    "deg",
                                         "exp",  "floor",      "fmod",      "huge", "log",  "max",    "maxinteger",
                                         "min",  "mininteger", "modf",      "pi",   "rad",  "random", "sin",
                                         "sqrt", "tan",        "tointeger", "type", "ult",  NULL};
static const char *const utf8_names[] = {"char", "charpattern", "codepoint", "codes", "len", "offset", NULL};
static const char *const coroutine_names[] = {"create", "isyieldable", "resume", "running", "status", "yield", NULL};
static const char *const table_names[] = {"concat", "insert", "move", "remove", "sort", NULL};

// Copy the named fields of the table on top into a new table, pushed.
static void copy_names(lua_State *L, const char *const *names) {
    lua_newtable(L);
    for (; *names; names++) {
        lua_getfield(L, -2, *names);
        lua_setfield(L, -2, *names);
    }
}

static void open_copy(lua_State *L, const char *name, lua_CFunction open, const char *const *names) {
    lua_pushcfunction(L, open);
    lua_call(L, 0, 1);
    copy_names(L, names);
    script_global(L, name);
    lua_pop(L, 1);
}

static void open_base(lua_State *L) {
    // Lua's base library writes into the globals table of the moment, which becomes garbage when ours takes its place.
    lua_pushcfunction(L, luaopen_base);
    lua_call(L, 0, 1);
    make_globals(L);
    for (const char *const *n = base_names; *n; n++) {
        lua_getfield(L, -1, *n);
        script_global(L, *n);
    }
    lua_getfield(L, -1, "load");
    lua_pushcclosure(L, safe_load, 1);
    script_global(L, "load");
    static const luaL_Reg own[] = {{"setmetatable", safe_setmetatable},
                                   {"collectgarbage", memory_used},
                                   {"xpcall", safe_xpcall},
                                   {"print", print},
                                   {"pairs", ordered_pairs},
                                   {"require", safe_require},
                                   {NULL, NULL}};
    for (const luaL_Reg *f = own; f->name; f++) {
        lua_pushcfunction(L, f->func);
        script_global(L, f->name);
    }
    lua_pop(L, 1);
}

static void open_table(lua_State *L) {
    lua_pushcfunction(L, luaopen_table);
    lua_call(L, 0, 1);
    lua_newtable(L);
    for (const char *const *n = table_names; *n; n++) {
        lua_getfield(L, -2, *n);
        lua_pushstring(L, *n);
        lua_pushcclosure(L, plain_table, 2);
        lua_setfield(L, -2, *n);
    }
    static const char *const plain[] = {"pack", "unpack", NULL}; // bounded by Lua's stack
    for (const char *const *n = plain; *n; n++) {
        lua_getfield(L, -2, *n);
        lua_setfield(L, -2, *n);
    }
    script_global(L, "table");
    lua_pop(L, 1);
}

static void open_math(lua_State *L) {
    lua_pushcfunction(L, luaopen_math);
    lua_call(L, 0, 1);
    copy_names(L, math_names);
    lua_getfield(L, -2, "randomseed");
    lua_pushvalue(L, -1);
    lua_pushinteger(L, 1);
    lua_call(L, 1, 0); // the same numbers in every run
    lua_pushcclosure(L, seeded, 1);
    lua_setfield(L, -2, "randomseed");
    script_global(L, "math");
    lua_pop(L, 1);
}

int script_open_libraries(lua_State *L) {
    open_base(L);
    open_table(L);
    open_math(L);
    open_copy(L, "utf8", luaopen_utf8, utf8_names);
    open_copy(L, "coroutine", luaopen_coroutine, coroutine_names);
    lua_getfield(L, LUA_REGISTRYINDEX, globals_key);
    lua_getfield(L, -1, "coroutine");
    lua_pushcfunction(L, safe_wrap);
    lua_setfield(L, -2, "wrap");
    lua_pop(L, 2);
    lua_pushcfunction(L, script_open_strings);
    lua_call(L, 0, 1);
    script_global(L, "string");
    lua_newtable(L);
    lua_setfield(L, LUA_REGISTRYINDEX, loaded_key);
    return 0;
}
