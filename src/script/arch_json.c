// arch_json: configs between JSON and Lua. Every architecture runs in a state of its own, so a config passes through
// JSON on its way there, and the JSON text is what a saved model keeps.
#include "script/arch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 16, ITEMS_MAX = 100000 };

void arch_push_json(lua_State *L, const json_t *json) {
    luaL_checkstack(L, 4, "config nests too deep");
    const char *key;
    json_t *value;
    size_t k;
    switch (json_typeof(json)) {
    case JSON_OBJECT:
        lua_newtable(L);
        json_object_foreach((json_t *)json, key, value) {
            char *end = NULL;
            long long item = *key == '#' ? strtoll(key + 1, &end, 10) : 0; // see object_to_json
            arch_push_json(L, value);
            if (end && end > key + 1 && !*end)
                lua_rawseti(L, -2, item);
            else
                lua_setfield(L, -2, key);
        }
        break;
    case JSON_ARRAY:
        lua_newtable(L);
        json_array_foreach((json_t *)json, k, value) {
            arch_push_json(L, value);
            lua_rawseti(L, -2, (lua_Integer)k + 1);
        }
        break;
    case JSON_STRING:
        lua_pushlstring(L, json_string_value(json), json_string_length(json));
        break;
    case JSON_INTEGER:
        lua_pushinteger(L, json_integer_value(json));
        break;
    case JSON_REAL:
        lua_pushnumber(L, json_real_value(json));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        lua_pushboolean(L, json_is_true(json));
        break;
    case JSON_NULL:
        lua_pushnil(L);
        break;
    }
}

static json_t *to_json(lua_State *L, int index, int depth, int *items, base_err *err);

static json_t *fail(json_t *half, base_err *err, const char *text) {
    json_decref(half);
    base_fail(err, "config: %s", text);
    return NULL;
}

static json_t *array_to_json(lua_State *L, int index, lua_Integer count, int depth, int *items, base_err *err) {
    json_t *array = json_array();
    for (lua_Integer k = 1; k <= count; k++) {
        lua_rawgeti(L, index, k);
        json_t *value = to_json(L, lua_gettop(L), depth + 1, items, err);
        lua_pop(L, 1);
        if (!value) {
            json_decref(array);
            return NULL;
        }
        json_array_append_new(array, value);
    }
    return array;
}

// A list with named fields beside its items ({"conv", 20, kernel = 5}) keeps the items under "#1", "#2", ..., which
// arch_push_json turns back.
static json_t *object_to_json(lua_State *L, int index, int depth, int *items, base_err *err) {
    json_t *object = json_object();
    lua_pushnil(L);
    while (lua_next(L, index)) {
        char number[24];
        const char *key = NULL;
        if (lua_type(L, -2) == LUA_TSTRING)
            key = lua_tostring(L, -2);
        else if (lua_isinteger(L, -2)) {
            snprintf(number, sizeof number, "#%lld", (long long)lua_tointeger(L, -2));
            key = number;
        }
        json_t *value = key ? to_json(L, lua_gettop(L), depth + 1, items, err)
                            : fail(NULL, err, "a key is neither text nor a whole number");
        if (!value || json_object_set_new(object, key, value)) {
            if (value) base_fail(err, "config: a key is not valid UTF-8");
            lua_pop(L, 2);
            json_decref(object);
            return NULL;
        }
        lua_pop(L, 1);
    }
    return object;
}

static json_t *table_to_json(lua_State *L, int index, int depth, int *items, base_err *err) {
    if (depth > DEPTH_MAX || !lua_checkstack(L, 6)) return fail(NULL, err, "it nests more than 16 levels deep");
    lua_Integer length = (lua_Integer)lua_rawlen(L, index), keys = 0;
    lua_pushnil(L);
    while (lua_next(L, index)) {
        lua_pop(L, 1);
        keys++;
    }
    if (keys && keys == length) return array_to_json(L, index, length, depth, items, err);
    return object_to_json(L, index, depth, items, err);
}

static json_t *to_json(lua_State *L, int index, int depth, int *items, base_err *err) {
    if (++*items > ITEMS_MAX) return fail(NULL, err, "it has more than 100000 values");
    switch (lua_type(L, index)) {
    case LUA_TTABLE:
        return table_to_json(L, index, depth, items, err);
    case LUA_TBOOLEAN:
        return json_boolean(lua_toboolean(L, index));
    case LUA_TNUMBER:
        if (lua_isinteger(L, index)) return json_integer(lua_tointeger(L, index));
        if (!isfinite(lua_tonumber(L, index))) return fail(NULL, err, "a number is not finite");
        return json_real(lua_tonumber(L, index));
    case LUA_TSTRING: {
        size_t length;
        const char *text = lua_tolstring(L, index, &length);
        json_t *json = json_stringn(text, length);
        return json ? json : fail(NULL, err, "a text is not valid UTF-8");
    }
    default:
        base_fail(err, "config: a %s cannot be stored", luaL_typename(L, index));
        return NULL;
    }
}

json_t *arch_to_json(lua_State *L, int index, base_err *err) {
    int items = 0, top = lua_gettop(L);
    if (!lua_istable(L, index)) return fail(NULL, err, "expected a table");
    json_t *json =
        lua_checkstack(L, 8) ? to_json(L, lua_absindex(L, index), 0, &items, err) : fail(NULL, err, "out of stack");
    lua_settop(L, top);
    return json;
}
