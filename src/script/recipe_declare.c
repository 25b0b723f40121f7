// recipe_declare: what a recipe says about itself - recipe{} and param() - and log().
#include "script/recipe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- recipe{ name =, about =, source = } -------------------------------------------------------

static const char *const header_fields[] = {"name", "about", "source"};
enum { HEADER_FIELDS = 3 };

// A text field of the header, cleaned; raises when it is missing, empty or no text.
static char *header_field(lua_State *L, const char *name) {
    lua_pushstring(L, name);
    lua_rawget(L, 1);
    if (lua_isnil(L, -1))
        script_error(L, "recipe{} has no field '%s'; it needs name, about (one line) and source (the paper, or why)",
                     name);
    if (lua_type(L, -1) != LUA_TSTRING)
        script_error(L, "recipe{ %s = ... } must be text, not a %s", name, luaL_typename(L, -1));
    char clean[512];
    base_clean(clean, sizeof clean, lua_tostring(L, -1));
    if (!clean[strspn(clean, " ")]) script_error(L, "recipe{ %s = ... } is empty", name);
    lua_pop(L, 1);
    return base_strdup(clean);
}

static void check_header_keys(lua_State *L) {
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
        bool known = false;
        for (int i = 0; i < HEADER_FIELDS && key; i++) known = known || strcmp(key, header_fields[i]) == 0;
        if (known) continue;
        const char *near = key ? base_nearest(key, header_fields, HEADER_FIELDS) : NULL;
        if (near) script_error(L, "recipe{} has no field '%s'; the nearest is '%s'", key, near);
        script_error(L, "recipe{} has the fields name, about and source, not '%s'", key ? key : luaL_typename(L, -2));
    }
}

static int api_recipe(lua_State *L) {
    recipe_run *run = recipe_of(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    if (run->named) script_error(L, "recipe{} is given twice");
    check_header_keys(L);
    if (run->declare) {
        // Each field is stored as soon as it is found good, so a raise loses nothing.
        char **const place[] = {&run->declare->name, &run->declare->about, &run->declare->source};
        for (int i = 0; i < HEADER_FIELDS; i++) {
            char *text = header_field(L, header_fields[i]);
            free(*place[i]);
            *place[i] = text;
        }
    } else {
        base_emit(run->job, (base_event){.kind = BASE_EV_RUN_BEGIN, .text = run->recipe->name});
    }
    run->named = true;
    return 0;
}

// ---- param(name, default, {min, max} or {choices}, help) ---------------------------------------

static void copy_text(lua_State *L, char *out, size_t size, const char *text, const char *what, const char *param) {
    if (strlen(text) >= size) script_error(L, "param %s: its %s is longer than %zu characters", param, what, size - 1);
    base_clean(out, size, text);
}

static void read_range(lua_State *L, base_param_row *p) {
    p->min = p->max = NAN;
    if (lua_isnoneornil(L, 3)) return;
    luaL_checktype(L, 3, LUA_TTABLE);
    if (lua_rawlen(L, 3) != 2) script_error(L, "param %s: its range is {lowest, highest}, two numbers", p->name);
    double *end[] = {&p->min, &p->max};
    for (int i = 0; i < 2; i++) {
        lua_rawgeti(L, 3, i + 1);
        if (lua_type(L, -1) != LUA_TNUMBER)
            script_error(L, "param %s: its range is {lowest, highest}, two numbers, but number %d is a %s", p->name,
                         i + 1, luaL_typename(L, -1));
        *end[i] = lua_tonumber(L, -1);
        if (isnan(*end[i])) script_error(L, "param %s: the range has no number", p->name);
        if (!lua_isinteger(L, -1)) p->integer = false;
        lua_pop(L, 1);
    }
    if (p->min > p->max)
        script_error(L, "param %s: its range %g .. %g is the wrong way round", p->name, p->min, p->max);
    if (p->def < p->min || p->def > p->max)
        script_error(L, "param %s: its default %g is outside its range %g .. %g", p->name, p->def, p->min, p->max);
}

static void read_choices(lua_State *L, base_param_row *p) {
    const char *def = lua_tostring(L, 2);
    copy_text(L, p->text, sizeof p->text, def, "default", p->name);
    if (!lua_istable(L, 3)) script_error(L, "param %s: a text needs its choices, {\"a\", \"b\", ...}", p->name);
    lua_Unsigned n = lua_rawlen(L, 3);
    bool found = false;
    size_t used = 0;
    for (lua_Unsigned i = 1; i <= n; i++) {
        lua_rawgeti(L, 3, (lua_Integer)i);
        if (lua_type(L, -1) != LUA_TSTRING) script_error(L, "param %s: its choices must be texts", p->name);
        const char *choice = lua_tostring(L, -1);
        if (!*choice || strpbrk(choice, "|\n\t")) script_error(L, "param %s: '%s' cannot be a choice", p->name, choice);
        size_t length = strlen(choice);
        if (used + length + 2 > sizeof p->choices) script_error(L, "param %s: too many choices", p->name);
        if (i > 1) p->choices[used++] = '|';
        base_clean(p->choices + used, sizeof p->choices - used, choice);
        used += strlen(p->choices + used);
        found = found || strcmp(choice, def) == 0;
        lua_pop(L, 1);
    }
    if (!found) script_error(L, "param %s: its default '%s' is not one of its choices %s", p->name, def, p->choices);
}

static void read_param(lua_State *L, base_param_row *p) {
    const char *name = luaL_checkstring(L, 1);
    if (!*name || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != strlen(name))
        script_error(L, "param '%s': a name has letters, digits and _ only", name);
    copy_text(L, p->name, sizeof p->name, name, "name", name);
    p->min = p->max = p->value = p->def = NAN;
    switch (lua_type(L, 2)) {
    case LUA_TNUMBER:
        p->value = p->def = lua_tonumber(L, 2);
        p->integer = lua_isinteger(L, 2);
        if (!isfinite(p->def)) script_error(L, "param %s: its default is no number", name);
        read_range(L, p);
        break;
    case LUA_TBOOLEAN:
        if (!lua_isnoneornil(L, 3)) script_error(L, "param %s: true or false needs no range", name);
        snprintf(p->choices, sizeof p->choices, "false|true");
        snprintf(p->text, sizeof p->text, "%s", lua_toboolean(L, 2) ? "true" : "false");
        break;
    case LUA_TSTRING:
        read_choices(L, p);
        break;
    default:
        script_error(L, "param %s: its default must be a number, a text or true or false, not a %s", name,
                     luaL_typename(L, 2));
    }
    if (lua_type(L, 4) != LUA_TSTRING)
        script_error(L, "param %s: the fourth argument says in one line what it is", name);
    copy_text(L, p->help, sizeof p->help, lua_tostring(L, 4), "help", name);
}

static const base_param_row *declared(const script_recipe *r, const char *name) {
    for (size_t i = 0; i < r->param_count; i++)
        if (strcmp(r->params[i].name, name) == 0) return &r->params[i];
    return NULL;
}

static int push_param(lua_State *L, const base_param_row *p) {
    if (lua_type(L, 2) == LUA_TBOOLEAN)
        lua_pushboolean(L, strcmp(p->text, "true") == 0);
    else if (p->choices[0])
        lua_pushstring(L, p->text);
    else if (p->integer)
        lua_pushinteger(L, (lua_Integer)p->value);
    else
        lua_pushnumber(L, p->value);
    return 1;
}

static int api_param(lua_State *L) {
    recipe_run *run = recipe_of(L);
    base_param_row p = {0};
    lua_settop(L, 4);
    read_param(L, &p);
    if (!run->named) script_error(L, "param %s comes before recipe{ name = ..., about = ..., source = ... }", p.name);
    const base_param_row *known = declared(run->recipe, p.name);
    if (run->declare) {
        if (known) script_error(L, "param %s is declared twice", p.name);
        if (run->declare->param_count >= 64) script_error(L, "a recipe has at most 64 params");
        run->declare->params = base_realloc(run->declare->params, run->declare->param_count + 1, sizeof p);
        run->declare->params[run->declare->param_count++] = p;
        return push_param(L, &p);
    }
    if (!known || run->working)
        script_error(L, "param %s must be declared before the first call that does work, each time the same", p.name);
    base_emit(run->job, (base_event){.kind = BASE_EV_PARAM, .param = known});
    return push_param(L, known);
}

// ---- log(...) ----------------------------------------------------------------------------------

static int api_log(lua_State *L) {
    int n = lua_gettop(L);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    for (int i = 1; i <= n; i++) {
        if (i > 1) luaL_addchar(&b, ' ');
        luaL_tolstring(L, i, NULL);
        luaL_addvalue(&b);
    }
    luaL_pushresult(&b);
    base_log(recipe_of(L)->job, BASE_INFO, "%s", lua_tostring(L, -1));
    return 0;
}

const luaL_Reg recipe_declare_functions[] = {
    {"recipe", api_recipe}, {"param", api_param}, {"log", api_log}, {NULL, NULL}};
