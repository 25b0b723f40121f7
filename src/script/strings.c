// strings: the string library with the functions that could loop in C without end replaced.
//
// Lua's pattern functions backtrack, and no hook runs meanwhile. Here a call is bounded by the work its pattern can
// cause on its subject: every repetition in a pattern multiplies the ways to match by the length of the text.
#include "numeric/numeric.h"
#include "script/sandbox.h"

#include <lualib.h>
#include <math.h>
#include <string.h>

// Ways to match that one call may have to try; about a second of work.
static const double most_ways = 3e8;

// What in a pattern multiplies the ways to match: repetitions (* + - and %b) by the length of the text, options (?)
// by two. A quantifier at the very end never has to be taken back. Sets are stepped over.
typedef struct pattern_cost {
    int repetitions, options;
} pattern_cost;

static size_t skip_set(const char *p, size_t n, size_t i) {
    i++;
    if (i < n && p[i] == '^') i++;
    do { // ']' right after '[' or '[^' is a member
        if (i < n && p[i] == '%') i++;
        i++;
    } while (i < n && p[i] != ']');
    return i;
}

static pattern_cost cost_of(const char *p, size_t n) {
    pattern_cost c = {0, 0};
    size_t end = n;
    while (end > 0 && p[end - 1] == ')') end--;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '%') {
            if (++i < n && p[i] == 'b') c.repetitions++;
        } else if (p[i] == '[') {
            i = skip_set(p, n, i);
        } else if (i > 0 && i + 1 != end) {
            if (p[i] == '*' || p[i] == '+' || p[i] == '-') c.repetitions++;
            if (p[i] == '?') c.options++;
        }
    }
    return c;
}

// Raise when the pattern at index 2 could take too long on the text at index 1. k repetitions share n characters in
// C(n + k, k) ways; a pattern without ^ also starts anywhere.
static void check_pattern(lua_State *L, const char *name) {
    size_t n, m;
    luaL_checklstring(L, 1, &n);
    const char *p = luaL_checklstring(L, 2, &m);
    pattern_cost c = cost_of(p, m);
    double k = c.repetitions + (p[0] == '^' ? 0 : 1);
    double ways =
        num_log_factorial((double)n + k) - num_log_factorial((double)n) - num_log_factorial(k) + c.options * log(2);
    if (c.repetitions + c.options == 0 || ways <= log(most_ways)) return;
    script_error(L,
                 "string.%s: a pattern with %d repetitions could take too long on a text of %zu characters; "
                 "anchor it with ^ or cut the text first",
                 name, c.repetitions + c.options, n);
}

// find, match, gmatch, gsub. upvalues: Lua's function, its name.
static int bounded_pattern(lua_State *L) {
    const char *name = lua_tostring(L, lua_upvalueindex(2));
    bool plain = strcmp(name, "find") == 0 && lua_toboolean(L, 4);
    if (!plain) check_pattern(L, name);
    int n = lua_gettop(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, n, LUA_MULTRET);
    return lua_gettop(L);
}

// string.rep of an empty text would count to n in C.
static int bounded_rep(lua_State *L) {
    size_t n, m = 0;
    luaL_checklstring(L, 1, &n);
    luaL_checkinteger(L, 2);
    luaL_optlstring(L, 3, "", &m);
    if (n + m == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    int top = lua_gettop(L);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, top, 1);
    return 1;
}

int script_open_strings(lua_State *L) {
    static const char *const plain[] = {"byte",     "char",    "format", "len",    "lower", "pack",
                                        "packsize", "reverse", "sub",    "unpack", "upper", NULL};
    static const char *const patterns[] = {"find", "gmatch", "gsub", "match", NULL};
    lua_pushcfunction(L, luaopen_string);
    lua_call(L, 0, 1);
    lua_newtable(L);
    for (const char *const *n = plain; *n; n++) {
        lua_getfield(L, -2, *n);
        lua_setfield(L, -2, *n);
    }
    for (const char *const *n = patterns; *n; n++) {
        lua_getfield(L, -2, *n);
        lua_pushstring(L, *n);
        lua_pushcclosure(L, bounded_pattern, 2);
        lua_setfield(L, -2, *n);
    }
    lua_getfield(L, -2, "rep");
    lua_pushcclosure(L, bounded_rep, 1);
    lua_setfield(L, -2, "rep");
    // Methods of strings ("x"):rep(3) must find these functions, and scripts must not reach their table.
    lua_pushliteral(L, "");
    lua_getmetatable(L, -1);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);
    return 1;
}
