// recipe_study: sensitivity(), the handle of its table, and rank_correlation().
#include "script/study.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- options ---------------------------------------------------------------------------------------

// Names in the order of their numbers, else of their letters.
static bool comes_before(const char *a, const char *b) {
    char *a_end, *b_end;
    double x = strtod(a, &a_end), y = strtod(b, &b_end);
    if (a_end != a && b_end != b && x != y) return x < y;
    return strcmp(a, b) < 0;
}

// The keys of the table at `index` as a sorted list of texts, pushed.
static void push_sorted_keys(lua_State *L, int index, const char *function) {
    lua_newtable(L);
    int keys = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
        int type = lua_type(L, -2);
        if (type != LUA_TSTRING && type != LUA_TNUMBER)
            script_error(L, "%s: the name of an option is a %s; a text was expected", function, luaL_typename(L, -2));
        lua_pushvalue(L, -2);
        const char *name = lua_tostring(L, -1); // of the copy: the key itself must stay what it is
        lua_Integer at = (lua_Integer)lua_rawlen(L, keys) + 1;
        for (; at > 1; at--) {
            lua_rawgeti(L, keys, at - 1);
            if (!comes_before(name, lua_tostring(L, -1))) break;
            lua_rawseti(L, keys, at);
        }
        if (at > 1) lua_pop(L, 1);
        lua_rawseti(L, keys, at);
    }
}

// The option on top (a step, or a table of steps) becomes { name =, step, ... }, appended to the list at `list`. `name`
// NULL: its own, or the text of its steps.
static void add_option(lua_State *L, int list, const char *name, const char *function) {
    int at = lua_gettop(L);
    lua_newtable(L);
    int out = lua_gettop(L);
    lua_Integer count = 1;
    if (luaL_testudata(L, at, RECIPE_STEP)) {
        lua_pushvalue(L, at);
        lua_rawseti(L, out, 1);
    } else {
        if (!lua_istable(L, at))
            script_error(L,
                         "%s: an option is a %s; a step or a list of steps was expected, such as quantize{ bits = 4 }",
                         function, luaL_typename(L, at));
        count = (lua_Integer)lua_rawlen(L, at);
        for (lua_Integer i = 1; i <= count; i++) {
            lua_rawgeti(L, at, i);
            if (!luaL_testudata(L, -1, RECIPE_STEP))
                script_error(L, "%s: entry %d of an option is a %s; a step was expected, such as quantize{ bits = 4 }",
                             function, (int)i, luaL_typename(L, -1));
            lua_rawseti(L, out, i);
        }
        lua_pushliteral(L, "name");
        if (lua_rawget(L, at) == LUA_TSTRING && !name) name = lua_tostring(L, -1);
    }
    base_buf text = {0};
    for (lua_Integer i = 1; !name && i <= count; i++) {
        lua_rawgeti(L, out, i);
        char *one = compress_step_text(lua_touserdata(L, -1));
        base_buf_printf(&text, "%s%s", i > 1 ? "; " : "", one);
        free(one);
        lua_pop(L, 1);
    }
    char clean[64];
    base_clean(clean, sizeof clean, name ? name : text.text ? text.text : "as it is");
    base_buf_free(&text);
    lua_pushstring(L, clean);
    lua_setfield(L, out, "name");
    for (lua_Integer i = (lua_Integer)lua_rawlen(L, list); i >= 1; i--) {
        lua_rawgeti(L, list, i);
        lua_getfield(L, -1, "name");
        if (!strcmp(lua_tostring(L, -1), clean))
            script_error(L, "%s: two options are called '%s'; give each a name of its own", function, clean);
        lua_pop(L, 2);
    }
    lua_pushvalue(L, out);
    lua_rawseti(L, list, (lua_Integer)lua_rawlen(L, list) + 1);
    lua_settop(L, at - 1);
}

static bool is_list(lua_State *L, int index) {
    lua_Integer n = (lua_Integer)lua_rawlen(L, index), keys = 0;
    for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) keys++;
    return keys > 0 && keys == n;
}

void recipe_push_options(lua_State *L, int index, const char *function) {
    index = lua_absindex(L, index);
    if (!lua_istable(L, index))
        script_error(L,
                     "%s: options is a %s; a table of steps was expected, such as { [\"3\"] = quantize{ bits = 3 } }",
                     function, luaL_typename(L, index));
    lua_newtable(L);
    int list = lua_gettop(L);
    if (is_list(L, index)) {
        lua_Integer n = (lua_Integer)lua_rawlen(L, index);
        for (lua_Integer i = 1; i <= n; i++) {
            lua_rawgeti(L, index, i);
            add_option(L, list, NULL, function);
        }
        return;
    }
    push_sorted_keys(L, index, function);
    int keys = lua_gettop(L);
    lua_Integer n = (lua_Integer)lua_rawlen(L, keys);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, keys, i);
        const char *name = lua_tostring(L, -1); // `keys` keeps it
        lua_pushvalue(L, -1);
        if (lua_rawget(L, index) == LUA_TNIL) { // a key that is a number
            lua_pop(L, 1);
            lua_pushnumber(L, strtod(name, NULL));
            if (lua_tonumber(L, -1) == floor(lua_tonumber(L, -1))) {
                lua_pop(L, 1);
                lua_pushinteger(L, strtoll(name, NULL, 10));
            }
            lua_rawget(L, index);
        }
        add_option(L, list, name, function);
        lua_pop(L, 1);
    }
    lua_settop(L, list);
}

// ---- the handle ------------------------------------------------------------------------------------

static int free_table(lua_State *L) {
    recipe_table *h = lua_touserdata(L, 1);
    study_table_free(&h->t);
    for (int i = 0; i < h->option_count; i++) {
        free((char *)(uintptr_t)h->options[i].name);
        free((void *)(uintptr_t)h->options[i].steps);
    }
    free(h->options);
    free(h->layers);
    memset(h, 0, sizeof *h);
    return 0;
}

recipe_table *recipe_check_table(lua_State *L, int index) {
    return luaL_checkudata(L, index, RECIPE_TABLE);
}

// The list of options on top into the handle, which owns copies.
static void take_options(lua_State *L, recipe_table *h) {
    int list = lua_gettop(L), n = (int)lua_rawlen(L, list);
    h->options = base_calloc((size_t)n + 1, sizeof *h->options);
    for (int i = 0; i < n; i++) {
        lua_rawgeti(L, list, i + 1);
        int steps = (int)lua_rawlen(L, -1);
        compress_step *copy = base_calloc((size_t)steps + 1, sizeof *copy);
        for (int k = 0; k < steps; k++) {
            lua_rawgeti(L, -1, k + 1);
            copy[k] = *(const compress_step *)lua_touserdata(L, -1);
            lua_pop(L, 1);
        }
        lua_getfield(L, -1, "name");
        h->options[h->option_count++] = (study_option){base_strdup(lua_tostring(L, -1)), copy, steps};
        lua_pop(L, 2);
    }
}

// ---- sensitivity(net, { ... }) ---------------------------------------------------------------------

void recipe_match_layers(lua_State *L, const char *function, const model *m, const char *pattern, bool *hit) {
    int *rule = lua_newuserdatauv(L, ((size_t)m->layer_count + 1) * sizeof *rule, 0);
    compress_rule one = {.pattern = (char *)(uintptr_t)pattern};
    compress_plan plan = {.rules = &one, .rule_count = 1};
    base_err err = {0};
    bool ok = compress_match(m, &plan, rule, &err) || base_wrap(&err, "%s: ", function);
    if (!ok) script_raise(L, &err);
    for (int i = 0; i < m->layer_count; i++) hit[i] = rule[i] == 0;
    lua_pop(L, 1);
}

static const char *text_field(lua_State *L, int index, const char *key, const char *otherwise) {
    int type = lua_getfield(L, index, key);
    if (type == LUA_TNIL) return otherwise;
    if (type != LUA_TSTRING) script_error(L, "sensitivity: %s is a %s; a text was expected", key, luaL_typename(L, -1));
    return lua_tostring(L, -1); // the argument keeps it
}

static void choose_layers(lua_State *L, int index, const model *m, recipe_table *h, int *count) {
    const char *pattern = text_field(L, index, "layers", NULL), *except = text_field(L, index, "except", NULL);
    lua_pop(L, 2);
    bool *hit = lua_newuserdatauv(L, 2 * ((size_t)m->layer_count + 1) * sizeof *hit, 0);
    bool *out = hit + m->layer_count + 1;
    for (int i = 0; i < m->layer_count; i++) hit[i] = true, out[i] = false;
    if (pattern) recipe_match_layers(L, "sensitivity", m, pattern, hit);
    if (except) recipe_match_layers(L, "sensitivity", m, except, out);
    h->layers = base_calloc((size_t)m->layer_count + 1, sizeof *h->layers);
    *count = 0;
    for (int i = 0; i < m->layer_count; i++)
        if (hit[i] && !out[i]) h->layers[(*count)++] = i;
    lua_pop(L, 1);
    if (!*count) script_error(L, "sensitivity: layers and except leave no layer to look at");
}

static const study_metric *find_metric(lua_State *L, int index) {
    const char *name = text_field(L, index, "metric", "measured");
    lua_pop(L, 1);
    const study_metric *metric = study_metric_find(name);
    if (metric) return metric;
    base_buf all = {0};
    const char *names[64];
    for (size_t i = 0; i < study_metric_count && i < 64; i++) {
        names[i] = study_metrics[i]->name;
        base_buf_printf(&all, "%s%s", i ? ", " : "", names[i]);
    }
    char text[900], clean[64];
    base_clean(clean, sizeof clean, name);
    const char *near = base_nearest(name, names, study_metric_count < 64 ? study_metric_count : 64);
    if (!strcmp(name, "kl") || !strcmp(name, "loss"))
        snprintf(text, sizeof text,
                 "sensitivity: '%s' is a figure of the metric measured: metric = \"measured\", figure = \"%s\"", name,
                 name);
    else
        snprintf(text, sizeof text, "sensitivity: there is no metric '%s'%s%s%s; there are %s", clean,
                 near ? ", the nearest is '" : "", near ? near : "", near ? "'" : "", all.text ? all.text : "none");
    base_buf_free(&all);
    script_error(L, "%s", text);
}

// The view in a field, as user value `slot` of the handle; its use is noted, the test part is warned about.
static const data_view *take_view(lua_State *L, int index, int handle, const char *key, int slot, const char *role) {
    recipe_view *v = recipe_field_view(L, index, "sensitivity", key);
    int at = lua_gettop(L);
    lua_pushvalue(L, at);
    lua_setiuservalue(L, handle, slot);
    if (v && v->v) {
        recipe_note_use(L, at, role);
        if (v->part == DATA_TEST)
            base_log(recipe_of(L)->job, BASE_WARN,
                     "sensitivity: %s is of the test part; what is chosen with it makes figures on that part too good",
                     v->v->label);
    }
    lua_settop(L, at - 1);
    return v ? v->v : NULL;
}

static uint64_t read_seed(lua_State *L, int index, const study_metric *metric, base_value *values) {
    for (size_t i = 0; i < metric->arg_count; i++)
        if (!strcmp(metric->args[i].name, "seed")) {
            uint64_t seed = recipe_seed(L, values[i].given, values[i].number, 1, "sensitivity");
            values[i].number = (double)seed;
            return seed;
        }
    int whole = 0;
    bool given = lua_getfield(L, index, "seed") != LUA_TNIL;
    lua_Integer n = lua_tointegerx(L, -1, &whole);
    if (given && (!whole || n < 0)) script_error(L, "sensitivity: seed is not a whole number of at least 0");
    lua_pop(L, 1);
    return recipe_seed(L, given, (double)n, 1, "sensitivity");
}

enum { MOST_ARGS = 16 };
static const char *const also[] = {"options", "metric", "calibrate", "measure", "layers", "except", "seed", NULL};

static int api_sensitivity(lua_State *L) {
    recipe_work(L, "sensitivity");
    lua_settop(L, 2);
    recipe_model *net = recipe_check_model(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    const study_metric *metric = find_metric(L, 2);
    base_value values[MOST_ARGS] = {0};
    BASE_CHECK(metric->arg_count <= MOST_ARGS);
    base_arg_defaults(metric->args, metric->arg_count, values);
    recipe_read_args(L, 2, "sensitivity", metric->args, metric->arg_count, values, also);
    recipe_table *h = lua_newuserdatauv(L, sizeof *h, 4);
    memset(h, 0, sizeof *h);
    luaL_setmetatable(L, RECIPE_TABLE);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, 3, 1);
    if (lua_getfield(L, 2, "options") != LUA_TNIL || metric->by_option) {
        recipe_push_options(L, 4, "sensitivity");
        take_options(L, h);
        if (!h->option_count) script_error(L, "sensitivity: no option was given");
        lua_setiuservalue(L, 3, 2);
    }
    lua_settop(L, 3);
    int count = 0;
    choose_layers(L, 2, net->m, h, &count);
    h->seed = read_seed(L, 2, metric, values);
    study_subject s = {.m = net->m,
                       .options = h->options,
                       .option_count = h->option_count,
                       .layers = h->layers,
                       .layer_count = count,
                       .calib = take_view(L, 2, 3, "calibrate", 3, "calibration"),
                       .select = take_view(L, 2, 3, "measure", 4, "selection"),
                       .seed = h->seed};
    const data_view *seen = s.select ? s.select : s.calib;
    snprintf(h->samples, sizeof h->samples, "%s", metric->data && seen ? seen->label : "");
    base_job *job = recipe_of(L)->job;
    base_err err = {0};
    recipe_of(L)->L = L;
    bool ok = recipe_dry(L) ? recipe_dry_sensitivity(L, net, &s, metric, values, &h->t, &err)
                            : study_sensitivity_kept(&s, metric, values, recipe_of(L)->options->store, &h->t, &h->fresh,
                                                     job, &err);
    int cells = h->t.rows * h->t.cols;
    if (ok && !recipe_dry(L) && h->fresh < cells)
        base_log(job, BASE_INFO, "sensitivity %s: %d of %d cells were measured before and are taken from the history",
                 metric->name, cells - h->fresh, cells);
    if (ok && !recipe_dry(L)) {
        char *json = study_table_json(&h->t);
        base_emit(job, (base_event){.kind = BASE_EV_TABLE, .text = json});
        free(json);
    }
    recipe_done(L, ok, &err);
    return 1;
}

// ---- fields ----------------------------------------------------------------------------------------

static void push_names(lua_State *L, char *const *names, int count) {
    lua_createtable(L, count, 0);
    for (int i = 0; i < count; i++) {
        lua_pushstring(L, names[i]);
        lua_rawseti(L, -2, i + 1);
    }
}

// Position of the layer or option that the value at `index` names, by name or, for layers, number from 1.
static int find_name(lua_State *L, int index, char *const *names, int count, const char *what) {
    const char *name = NULL;
    if (lua_type(L, index) == LUA_TSTRING || lua_type(L, index) == LUA_TNUMBER) {
        lua_pushvalue(L, index);
        name = lua_tostring(L, -1);
    }
    for (int i = 0; name && i < count; i++)
        if (!strcmp(names[i], name)) return i;
    if (lua_isinteger(L, index) && lua_tointeger(L, index) >= 1 && lua_tointeger(L, index) <= count)
        return (int)lua_tointeger(L, index) - 1;
    const char *near = name ? base_nearest(name, (const char *const *)names, (size_t)count) : NULL;
    char clean[128];
    base_clean(clean, sizeof clean, name ? name : luaL_typename(L, index));
    script_error(L, "the table has no %s '%s'%s%s%s", what, clean, near ? "; the nearest is '" : "", near ? near : "",
                 near ? "'" : "");
}

enum { FIGURE_VALUE, FIGURE_ERROR, FIGURE_BYTES, FIGURE_SECONDS };
static const char *const figures[] = {"value", "error", "bytes", "seconds"};

// upvalues: the handle, which figure. t.value(layer, option) and t:value(layer, option).
static int figure_of(lua_State *L) {
    recipe_table *h = recipe_check_table(L, lua_upvalueindex(1));
    if (luaL_testudata(L, 1, RECIPE_TABLE)) lua_remove(L, 1);
    lua_settop(L, 2); // find_name leaves the name it looks for behind the arguments
    int row = find_name(L, 1, h->t.row, h->t.rows, "layer");
    int col = h->t.cols == 1 && lua_isnoneornil(L, 2) ? 0 : find_name(L, 2, h->t.col, h->t.cols, "option");
    int at = row * h->t.cols + col;
    lua_Integer figure = lua_tointeger(L, lua_upvalueindex(2));
    if (figure == FIGURE_BYTES) {
        if (!h->t.bytes) return 0;
        lua_pushinteger(L, h->t.bytes[at]);
        return 1;
    }
    double x = figure == FIGURE_VALUE ? h->t.value[at] : figure == FIGURE_ERROR ? h->t.error[at] : h->t.seconds[at];
    if (isnan(x)) return 0;
    lua_pushnumber(L, x);
    return 1;
}

static int index_table(lua_State *L) {
    recipe_table *h = recipe_check_table(L, 1);
    const char *key = luaL_checkstring(L, 2);
    for (int i = 0; i < 4; i++)
        if (!strcmp(key, figures[i])) {
            lua_pushvalue(L, 1);
            lua_pushinteger(L, i);
            lua_pushcclosure(L, figure_of, 2);
            return 1;
        }
    if (!strcmp(key, "rows"))
        push_names(L, h->t.row, h->t.rows);
    else if (!strcmp(key, "options"))
        push_names(L, h->t.col, h->t.cols);
    else if (!strcmp(key, "metric"))
        lua_pushstring(L, h->t.metric);
    else if (!strcmp(key, "unit"))
        lua_pushstring(L, h->t.unit);
    else if (!strcmp(key, "measured"))
        lua_pushinteger(L, h->fresh);
    else
        script_error(L,
                     "a sensitivity table has no field '%.60s'; it has rows, options, metric, unit, measured, and "
                     "value, error, bytes and seconds of (layer, option)",
                     key);
    return 1;
}

static int text_table(lua_State *L) {
    recipe_table *h = recipe_check_table(L, 1);
    lua_pushfstring(L, "sensitivity table %s: %d layers x %d options", h->t.metric, h->t.rows, h->t.cols);
    return 1;
}

static int api_rank_correlation(lua_State *L) {
    recipe_work(L, "rank_correlation");
    recipe_table *a = recipe_check_table(L, 1), *b = recipe_check_table(L, 2);
    bool same = a->t.rows == b->t.rows && (a->t.cols == b->t.cols || a->t.cols == 1 || b->t.cols == 1);
    for (int i = 0; same && i < a->t.rows; i++) same = !strcmp(a->t.row[i], b->t.row[i]);
    if (!same)
        script_error(L, "rank_correlation: the tables have not the same layers and options (%d x %d, %d x %d)",
                     a->t.rows, a->t.cols, b->t.rows, b->t.cols);
    double r = study_rank_correlation(&a->t, &b->t);
    if (isnan(r)) return 0;
    lua_pushnumber(L, r);
    return 1;
}

// ---- drawing ---------------------------------------------------------------------------------------

static int longest(char *const *names, int count, int least, int most) {
    int n = least;
    for (int i = 0; i < count; i++)
        if (base_columns(names[i]) > n) n = base_columns(names[i]);
    return n < most ? n : most;
}

void recipe_report_table(lua_State *L, const recipe_table *h) {
    const study_table *t = &h->t;
    base_job *job = recipe_of(L)->job;
    int name = longest(t->row, t->rows, 5, 40), wide = longest(t->col, t->cols, 9, 20) + 1;
    base_log(job, BASE_INFO, "sensitivity %s%s%s%s%s%s: %d layer%s x %d option%s", t->metric, *t->unit ? " (" : "",
             t->unit, *t->unit ? ")" : "", *h->samples ? " on " : "", h->samples, t->rows, t->rows == 1 ? "" : "s",
             t->cols, t->cols == 1 ? "" : "s");
    base_buf line = {0};
    base_buf_printf(&line, "%-*.*s", name, name, "layer");
    for (int c = 0; c < t->cols; c++) base_buf_printf(&line, " %*.*s", wide, wide, t->col[c]);
    base_log(job, BASE_INFO, "%s", line.text);
    for (int r = 0; r < t->rows; r++) {
        base_buf_clear(&line);
        base_buf_printf(&line, "%-*.*s", name, name, t->row[r]);
        for (int c = 0; c < t->cols; c++) {
            double v = t->value[r * t->cols + c], e = t->error[r * t->cols + c];
            char cell[40] = "-";
            if (isfinite(v) && isfinite(e) && t->cols == 1)
                snprintf(cell, sizeof cell, "%.3e +- %.0e", v, e);
            else if (!isnan(v))
                snprintf(cell, sizeof cell, "%.2e", v);
            base_buf_printf(&line, " %*s", wide, cell);
        }
        base_log(job, BASE_INFO, "%s", line.text);
    }
    base_buf_free(&line);
}

int recipe_open_study(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"__gc", free_table}, {"__index", index_table}, {"__tostring", text_table}, {NULL, NULL}};
    luaL_newmetatable(L, RECIPE_TABLE);
    luaL_setfuncs(L, methods, 0);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    luaL_newmetatable(L, RECIPE_CHOICE);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    return 0;
}

const luaL_Reg recipe_study_functions[] = {{"sensitivity", api_sensitivity},
                                           {"allocate", recipe_allocate},
                                           {"rank_correlation", api_rank_correlation},
                                           {NULL, NULL}};
