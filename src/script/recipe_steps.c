// recipe_steps: quantize{}, prune{} and the other steps, made from the table of steps; rule(); and the plan they form.
#include "script/study.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- named arguments against a table of declarations -------------------------------------------

static bool listed(const char *const *names, const char *name) {
    for (; names && *names; names++)
        if (strcmp(*names, name) == 0) return true;
    return false;
}

static const base_arg *find_arg(const base_arg *args, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(args[i].name, name) == 0) return &args[i];
    return NULL;
}

// The first (in text order) key that is no argument: an error, always the same one for the same table.
static void check_keys(lua_State *L, int index, const char *owner, const base_arg *args, size_t count,
                       const char *const *also) {
    const char *wrong = NULL;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING) {
            if (also && lua_isinteger(L, -2)) continue;
            script_error(L, "%s takes named values, such as %s{ %s = ... }", owner, owner, count ? args[0].name : "");
        }
        const char *key = lua_tostring(L, -2);
        if (find_arg(args, count, key) || listed(also, key)) continue;
        if (!wrong || strcmp(key, wrong) < 0) wrong = key; // the table keeps it alive
    }
    if (!wrong) return;
    base_err err;
    enum { MOST = 64 };
    const char *names[MOST];
    size_t known = 0;
    for (size_t i = 0; i < count && known < MOST; i++) names[known++] = args[i].name;
    for (; also && *also && known < MOST; also++) names[known++] = *also;
    const char *near = base_nearest(wrong, names, known);
    if (near) script_error(L, "%s has no argument '%.60s'; the nearest is '%s'", owner, wrong, near);
    base_buf all = {0};
    for (size_t i = 0; i < known; i++) base_buf_printf(&all, "%s%s", i ? ", " : "", names[i]);
    char clean[64];
    base_clean(clean, sizeof clean, wrong);
    if (known)
        base_fail(&err, "%s has no argument '%s'; it takes: %s", owner, clean, all.text);
    else
        base_fail(&err, "%s takes no arguments, '%s' was given", owner, clean);
    base_buf_free(&all);
    script_raise(L, &err);
}

static const char *expected_of(const base_arg *arg) {
    if (arg->type == BASE_TEXT) return "a text";
    if (arg->type == BASE_BOOL) return "true or false";
    return arg->type == BASE_INT ? "a whole number" : "a number";
}

static void read_value(lua_State *L, const char *owner, const base_arg *args, size_t count, base_value *values,
                       const base_arg *arg) {
    int type = lua_type(L, -1);
    base_err err;
    bool ok;
    if (arg->type == BASE_TEXT && type == LUA_TSTRING)
        ok = base_arg_set_text(owner, args, count, values, arg->name, lua_tostring(L, -1), &err);
    else if (arg->type == BASE_BOOL && type == LUA_TBOOLEAN)
        ok = base_arg_set_number(owner, args, count, values, arg->name, lua_toboolean(L, -1), &err);
    else if ((arg->type == BASE_INT || arg->type == BASE_NUM) && type == LUA_TNUMBER)
        ok = base_arg_set_number(owner, args, count, values, arg->name, lua_tonumber(L, -1), &err);
    else {
        char shown[80] = "";
        if (type == LUA_TSTRING || type == LUA_TNUMBER) {
            lua_pushvalue(L, -1);
            base_clean(shown, sizeof shown, lua_tostring(L, -1));
            lua_pop(L, 1);
        }
        script_error(L, "%s: %s must be %s, not the %s%s%s%s", owner, arg->name, expected_of(arg),
                     type == LUA_TSTRING ? "text" : luaL_typename(L, -1), *shown ? " '" : "", shown, *shown ? "'" : "");
    }
    if (!ok) script_raise(L, &err);
}

void recipe_read_args(lua_State *L, int index, const char *owner, const base_arg *args, size_t count,
                      base_value *values, const char *const *also) {
    index = lua_absindex(L, index);
    check_keys(L, index, owner, args, count, also);
    for (size_t i = 0; i < count; i++) {
        lua_pushstring(L, args[i].name);
        if (lua_rawget(L, index) != LUA_TNIL) read_value(L, owner, args, count, values, &args[i]);
        lua_pop(L, 1);
    }
}

// ---- steps -------------------------------------------------------------------------------------

// An argument that names a file becomes the path that is opened, which a recipe must be allowed to read.
static void read_file_arg(lua_State *L, compress_step *step) {
    const compress_step_kind *kind = step->kind;
    for (size_t i = 0; kind->file_arg && i < kind->arg_count; i++) {
        if (strcmp(kind->args[i].name, kind->file_arg) != 0 || !step->value[i].text[0]) continue;
        recipe_work(L, kind->name);
        const char *path = recipe_read_path(L, kind->name, step->value[i].text);
        base_err err;
        if (!base_arg_set_text(kind->name, kind->args, kind->arg_count, step->value, kind->file_arg, path, &err))
            script_raise(L, &err);
    }
}

// upvalue 1: the step kind.
static int api_step(lua_State *L) {
    const compress_step_kind *kind = lua_touserdata(L, lua_upvalueindex(1));
    lua_settop(L, 1);
    if (!lua_isnil(L, 1) && !lua_istable(L, 1))
        script_error(L, "%s takes named values in braces, such as %s{ %s = ... }, not a %s", kind->name, kind->name,
                     kind->arg_count ? kind->args[0].name : "", luaL_typename(L, 1));
    compress_step *step = lua_newuserdatauv(L, sizeof *step, 0);
    memset(step, 0, sizeof *step);
    step->kind = kind;
    base_arg_defaults(kind->args, kind->arg_count, step->value);
    luaL_setmetatable(L, RECIPE_STEP);
    if (lua_istable(L, 1)) recipe_read_args(L, 1, kind->name, kind->args, kind->arg_count, step->value, NULL);
    read_file_arg(L, step);
    lua_settop(L, 2);
    base_err err;
    if (kind->check && !kind->check(step, &err)) script_raise(L, &err);
    return 1;
}

static int text_step(lua_State *L) {
    compress_step *step = luaL_checkudata(L, 1, RECIPE_STEP);
    char copy[200];
    char *text = compress_step_text(step);
    snprintf(copy, sizeof copy, "%s", text ? text : step->kind->name);
    free(text);
    lua_pushstring(L, copy);
    return 1;
}

// step.bits: an argument's value.
static int index_step(lua_State *L) {
    compress_step *step = luaL_checkudata(L, 1, RECIPE_STEP);
    const char *key = luaL_checkstring(L, 2);
    for (size_t i = 0; i < step->kind->arg_count; i++) {
        if (strcmp(step->kind->args[i].name, key) != 0) continue;
        if (step->kind->args[i].type == BASE_TEXT)
            lua_pushstring(L, step->value[i].text);
        else if (step->kind->args[i].type == BASE_BOOL)
            lua_pushboolean(L, step->value[i].number != 0);
        else
            lua_pushnumber(L, step->value[i].number);
        return 1;
    }
    script_error(L, "%s has no argument '%.60s'", step->kind->name, key);
}

// ---- rule(pattern, step, ...) ------------------------------------------------------------------

static int api_rule(lua_State *L) {
    int n = lua_gettop(L);
    if (lua_type(L, 1) != LUA_TSTRING)
        script_error(L, "rule: its first argument is a pattern over layer names, text such as \"fc.*\", not a %s",
                     luaL_typename(L, 1));
    lua_newtable(L);
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "pattern");
    for (int i = 2; i <= n; i++) {
        if (!luaL_testudata(L, i, RECIPE_STEP))
            script_error(L, "rule(\"%.60s\"): argument %d is a %s; a step was expected, such as quantize{ bits = 4 }",
                         lua_tostring(L, 1), i, luaL_typename(L, i));
        lua_pushvalue(L, i);
        lua_rawseti(L, -2, i - 1);
    }
    luaL_setmetatable(L, RECIPE_RULE);
    return 1;
}

static int text_rule(lua_State *L) {
    lua_pushliteral(L, "rule");
    return 1;
}

// ---- plans -------------------------------------------------------------------------------------

static int free_plan(lua_State *L) {
    compress_plan *plan = lua_touserdata(L, 1);
    compress_plan_free(plan);
    memset(plan, 0, sizeof *plan);
    return 0;
}

static void add_rules(lua_State *L, int index, compress_plan *plan, int depth);

// What allocate{} chose, or a plain list of rules: its rules take their place. false: it is neither.
static bool add_nested(lua_State *L, compress_plan *plan, int depth) {
    enum { MOST_NESTED = 8 };
    int at = lua_gettop(L);
    if (!lua_istable(L, at) || depth >= MOST_NESTED) return false;
    if (recipe_is_choice(L, at)) {
        lua_pushliteral(L, "rules");
        lua_rawget(L, at);
    } else {
        lua_pushvalue(L, at);
    }
    bool list = lua_istable(L, -1) && lua_rawlen(L, -1) > 0 && !lua_getmetatable(L, -1); // a rule has a metatable
    if (list) add_rules(L, lua_gettop(L), plan, depth + 1);
    lua_settop(L, list ? at - 1 : at);
    return list;
}

// The rule on top of the stack, entry `number` of the list. Every part is read with raw access and checked again.
static void add_rule(lua_State *L, compress_plan *plan, int number, int depth) {
    if (add_nested(L, plan, depth)) return;
    int at = lua_gettop(L);
    bool is_rule = lua_istable(L, at) && lua_getmetatable(L, at);
    if (is_rule) {
        luaL_getmetatable(L, RECIPE_RULE);
        is_rule = lua_rawequal(L, -1, -2);
        lua_pop(L, 2);
    }
    if (!is_rule && luaL_testudata(L, at, RECIPE_STEP))
        script_error(L, "compress: entry %d is a step on its own; say which layers: rule(\".*\", %s{ ... })", number,
                     ((compress_step *)lua_touserdata(L, at))->kind->name);
    if (!is_rule)
        script_error(L, "compress: entry %d is a %s; a rule was expected, such as rule(\".*\", quantize{ bits = 4 })",
                     number, luaL_typename(L, at));
    lua_pushliteral(L, "pattern");
    if (lua_rawget(L, at) != LUA_TSTRING)
        script_error(L, "compress: the rule at entry %d has lost its pattern", number);
    int steps = (int)lua_rawlen(L, at);
    plan->rules = base_realloc(plan->rules, (size_t)plan->rule_count + 1, sizeof *plan->rules);
    compress_rule *r = &plan->rules[plan->rule_count++];
    memset(r, 0, sizeof *r);
    r->pattern = base_strdup(lua_tostring(L, -1));
    r->steps = base_calloc((size_t)steps + 1, sizeof *r->steps);
    for (int i = 1; i <= steps; i++) {
        lua_rawgeti(L, at, i);
        const compress_step *step = luaL_testudata(L, -1, RECIPE_STEP);
        if (!step) script_error(L, "compress: the rule at entry %d holds something that is no step", number);
        r->steps[r->step_count++] = *step;
        lua_pop(L, 1);
    }
    lua_settop(L, at - 1);
}

static void add_rules(lua_State *L, int index, compress_plan *plan, int depth) {
    int rules = (int)lua_rawlen(L, index);
    for (int i = 1; i <= rules; i++) {
        lua_rawgeti(L, index, i);
        add_rule(L, plan, i, depth);
    }
}

static compress_plan *push_plan(lua_State *L) {
    compress_plan *plan = lua_newuserdatauv(L, sizeof *plan, 0);
    memset(plan, 0, sizeof *plan);
    luaL_setmetatable(L, "vise.plan");
    return plan;
}

void recipe_list_only(lua_State *L, int index, const char *what) {
    index = lua_absindex(L, index);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
        if (lua_type(L, -2) == LUA_TSTRING)
            script_error(L, "%s is a list, but something in it is named: '%.60s'", what, lua_tostring(L, -2));
}

compress_plan *recipe_rules(lua_State *L, int index) {
    index = lua_absindex(L, index);
    compress_plan *plan = push_plan(L);
    add_rules(L, index, plan, 0);
    return plan;
}

// The first rule whose steps need data.
static const compress_step *step_that_needs_data(const compress_plan *plan, const char **pattern) {
    for (int i = 0; i < plan->rule_count; i++)
        for (int k = 0; k < plan->rules[i].step_count; k++) {
            const compress_step *s = &plan->rules[i].steps[k];
            unsigned needs = s->kind->needs ? s->kind->needs(s) : 0;
            *pattern = plan->rules[i].pattern;
            if (needs & (COMPRESS_NEEDS_GRAM | COMPRESS_NEEDS_INPUTS | COMPRESS_NEEDS_GRADIENT)) return s;
        }
    return NULL;
}

// Held-out inputs nobody asked for: a sample of the selection part, which calibration does not touch.
static const data_view *default_held(lua_State *L, const recipe_view *calib, uint64_t seed) {
    if (calib->part != DATA_CALIB || calib->v->set->part_count[DATA_SELECT] < 1) return NULL;
    lua_getiuservalue(L, lua_gettop(L), 1);
    recipe_view *all = recipe_new_view_handle(L, -1), *held = recipe_new_view_handle(L, -2);
    base_err err;
    all->v = data_view_part(calib->v->set, DATA_SELECT, &err);
    if (!all->v) return NULL;
    int64_t n = all->v->count < calib->v->count ? all->v->count : calib->v->count;
    held->part = DATA_SELECT;
    held->v = data_view_sample(all->v, n < 256 ? n : 256, seed, &err);
    return held->v && data_view_overlap(held->v, calib->v) == 0 ? held->v : NULL;
}

static void read_views(lua_State *L, int index, compress_plan *plan, const recipe_model *net) {
    const char *pattern = NULL;
    const compress_step *needy = step_that_needs_data(plan, &pattern);
    recipe_view *calib = recipe_field_view(L, index, "compress", "calibrate");
    int calib_index = lua_gettop(L);
    bool usable = calib && calib->v && net->m->graph;
    if (!usable && needy)
        script_error(L, "compress: %s of rule \"%.60s\" needs calibration data, and there is none: %s",
                     needy->kind->name, pattern,
                     !calib                ? "give calibrate = data.calib:sample(512)"
                     : !calib->v           ? calib->why
                     : net->m->why_no_arch ? net->m->why_no_arch
                                           : "the model has no graph");
    if (usable) {
        plan->calib = calib->v;
        recipe_note_use(L, calib_index, "calibration");
    }
    lua_getfield(L, index, "held");
    bool refused = lua_isboolean(L, -1) && !lua_toboolean(L, -1), stated = !lua_isnil(L, -1);
    lua_pop(L, 1);
    recipe_view *held = recipe_field_view(L, index, "compress", "held");
    if (!usable || refused) return;
    if (stated) {
        plan->held = held && held->v ? held->v : NULL;
    } else {
        lua_pushvalue(L, calib_index);
        plan->held = default_held(L, calib, plan->seed);
    }
    int64_t both = plan->held ? data_view_overlap(plan->held, plan->calib) : 0;
    if (both)
        base_log(recipe_of(L)->job, BASE_WARN,
                 "compress: %lld held-out sample%s served for calibration too, so the held-out errors are too good",
                 (long long)both, both == 1 ? "" : "s");
}

const base_arg recipe_plan_args[] = {
    {.name = "sequential",
     .type = BASE_BOOL,
     .def = 0,
     .min = 0,
     .max = 1,
     .help = "calibrate each layer on what the compressed layers before it put out"},
    {.name = "seed",
     .type = BASE_INT,
     .def = 1,
     .min = 0,
     .max = 9007199254740991.0,
     .help = "of steps that draw numbers"},
    {.name = "others",
     .type = BASE_TEXT,
     .text_def = "same",
     .choices = "same|f16|bf16",
     .help = "stored type of parameters that belong to no layer (biases, norms); same: as they came"},
    {.name = "compact",
     .type = BASE_BOOL,
     .def = 0,
     .min = 0,
     .max = 1,
     .help = "the file's header is stored deflated: a tenth of its size, for small models (docs/formats.md)"},
};
const size_t recipe_plan_arg_count = sizeof recipe_plan_args / sizeof *recipe_plan_args;
static const char *const plan_views[] = {"calibrate", "held", NULL};

compress_plan *recipe_plan(lua_State *L, int index, const recipe_model *net) {
    index = lua_absindex(L, index);
    base_value values[4] = {0};
    base_arg_defaults(recipe_plan_args, recipe_plan_arg_count, values);
    recipe_read_args(L, index, "compress", recipe_plan_args, recipe_plan_arg_count, values, plan_views);
    compress_plan *plan = push_plan(L);
    plan->sequential = values[0].number != 0;
    plan->seed = recipe_seed(L, values[1].given, values[1].number, 1, "compress");
    plan->others = !strcmp(values[2].text, "f16") ? NUM_F16 + 1 : !strcmp(values[2].text, "bf16") ? NUM_BF16 + 1 : 0;
    plan->compact = values[3].number != 0;
    plan->about = recipe_of(L)->recipe->name;
    int rules = (int)lua_rawlen(L, index);
    if (rules == 0)
        script_error(L, "compress: no rules; give at least one, such as rule(\".*\", quantize{ bits = 4 })");
    add_rules(L, index, plan, 0);
    read_views(L, index, plan, net);
    return plan;
}

// ---- opening -----------------------------------------------------------------------------------

static void make_type(lua_State *L, const char *name, const luaL_Reg *methods) {
    luaL_newmetatable(L, name);
    luaL_setfuncs(L, methods, 0);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
}

int recipe_open_steps(lua_State *L) {
    static const luaL_Reg of_step[] = {{"__index", index_step}, {"__tostring", text_step}, {NULL, NULL}};
    static const luaL_Reg of_rule[] = {{"__tostring", text_rule}, {NULL, NULL}};
    static const luaL_Reg of_plan[] = {{"__gc", free_plan}, {NULL, NULL}};
    make_type(L, RECIPE_STEP, of_step);
    make_type(L, RECIPE_RULE, of_rule);
    make_type(L, "vise.plan", of_plan);
    for (size_t i = 0; i < compress_step_count; i++) {
        lua_pushlightuserdata(L, (void *)(uintptr_t)compress_steps[i]);
        lua_pushcclosure(L, api_step, 1);
        script_global(L, compress_steps[i]->name);
    }
    return 0;
}

const luaL_Reg recipe_step_functions[] = {
    {"rule", api_rule}, {"step", recipe_own_step}, {"change", recipe_change}, {NULL, NULL}};
