// recipe_work: compress, evaluate and report.
#include "script/study.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Registry: list of {view, role}; figures table -> measured row.
static const char uses_key[] = "vise.uses", rows_key[] = "vise.rows";

// ---- what samples were used for ----------------------------------------------------------------

static void push_registry_table(lua_State *L, const char *key) {
    if (lua_getfield(L, LUA_REGISTRYINDEX, key) != LUA_TNIL) return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, key);
}

void recipe_note_use(lua_State *L, int view_index, const char *role) {
    view_index = lua_absindex(L, view_index);
    push_registry_table(L, uses_key);
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, -1, i);
        lua_rawgeti(L, -1, 1);
        lua_rawgeti(L, -2, 2);
        bool known = lua_rawequal(L, -2, view_index) && strcmp(lua_tostring(L, -1), role) == 0;
        lua_pop(L, 3);
        if (known) {
            lua_pop(L, 1);
            return;
        }
    }
    lua_createtable(L, 2, 0);
    lua_pushvalue(L, view_index);
    lua_rawseti(L, -2, 1);
    lua_pushstring(L, role);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, -2, n + 1);
    lua_pop(L, 1);
}

void recipe_warn_uses(lua_State *L, const recipe_view *view, const char *function) {
    push_registry_table(L, uses_key);
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, -1, i);
        lua_rawgeti(L, -1, 1);
        lua_rawgeti(L, -2, 2);
        const recipe_view *used = luaL_testudata(L, -2, RECIPE_VIEW);
        const char *role = lua_tostring(L, -1);
        // Comparing recipes on the selection part again and again is what it is for.
        bool meant = view->part == DATA_SELECT && strcmp(role, "selection") == 0;
        int64_t both = used && used->v && !meant ? data_view_overlap(used->v, view->v) : 0;
        if (both)
            base_log(recipe_of(L)->job, BASE_WARN,
                     "%s: %lld of the %lld sample%s of %s served for %s in this recipe, so this figure is too good",
                     function, (long long)both, (long long)view->v->count, view->v->count == 1 ? "" : "s",
                     view->v->label, role);
        lua_pop(L, 3);
    }
    lua_pop(L, 1);
}

// ---- compress(net, { ... }) --------------------------------------------------------------------

static bool finished_layers(const compress_result *r) {
    for (int i = 0; i < compress_row_count(r); i++)
        if (compress_row(r, i)->steps[0]) return true;
    return false;
}

static int api_compress(lua_State *L) {
    recipe_work(L, "compress");
    lua_settop(L, 2);
    recipe_model *net = recipe_check_model(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    compress_plan *plan = recipe_plan(L, 2, net);
    recipe_run *run = recipe_of(L);
    run->compress_calls++;
    recipe_changes_apply(run, plan);
    plan->read_steps = recipe_read_typed;
    plan->read_context = run;
    plan->baseline = run->options->baseline;
    compress_result_free(net->result);
    net->result = NULL;
    base_err err = {0};
    recipe_of(L)->L = L;
    if (recipe_dry(L)) {
        recipe_dry_compress(L, net, plan);
        lua_settop(L, 1);
        return 1;
    }
    compress_plan told = *plan;
    told.made = recipe_of(L)->options->made;
    told.made_context = recipe_of(L)->options->made_context;
    bool ok = compress_run(net->m, &told, recipe_of(L)->job, &net->result, &err);
    if (!ok && err.status == BASE_CANCELLED && net->result && finished_layers(net->result)) recipe_keep_stopped(L, net);
    recipe_done(L, ok, &err);
    lua_settop(L, 1);
    return 1;
}

// ---- evaluate(net, view [, label]) -------------------------------------------------------------

static bool add_sizes(const compress_result *r, base_model_row *row, base_err *err) {
    if (!compress_sizes(r, &row->bytes, &row->header_bytes, err)) return false;
    row->bits = compress_bits(r);
    row->peak_bytes = (int64_t)base_big_peak();
    return true;
}

static void empty_row(base_model_row *row, const char *label, const recipe_view *view) {
    memset(row, 0, sizeof *row);
    row->value = row->low = row->high = row->loss = row->kl = row->kl_low = row->kl_high = NAN;
    row->flips = -1;
    snprintf(row->label, sizeof row->label, "%s", label);
    snprintf(row->data, sizeof row->data, "%s", view && view->v ? view->v->label : "");
}

// Measure the weights of `r` (NULL: the model's own) into row and each sample, and the sizes of `stored`.
static bool measure(lua_State *L, recipe_model *net, const compress_result *r, const compress_result *stored,
                    const recipe_view *view, base_model_row *row, engine_sample *each, base_job *job, base_err *err) {
    if (recipe_dry(L)) {
        recipe_dry_evaluate(L, net, view, !r && !net->origin);
    } else if (view && view->v && net->m->graph) {
        base_model_row named = *row;
        const model *was = net->origin ? net->origin->m : net->m;
        engine_weights w = r ? compress_weights(r) : net->m->weights, original = r || net->origin ? was->weights : NULL;
        if (!engine_measure_samples(net->m, w, was, original, view->v, row, each, job, err)) return false;
        memcpy(row->label, named.label, sizeof row->label);
        memcpy(row->data, named.data, sizeof row->data);
    }
    return !stored || add_sizes(stored, row, err);
}

// The model as it is, through the writer of compressed models, so that sizes compare.
static const compress_result *identity_of(recipe_model *net, base_err *err) {
    if (!net->identity) net->identity = compress_identity(net->m, err);
    return net->identity;
}

static void put_number(lua_State *L, const char *key, double value) {
    if (isnan(value) && !recipe_dry(L)) return; // a dry run's figures are numbers that no comparison holds for
    lua_pushnumber(L, value);
    lua_setfield(L, -2, key);
}

// A table of the row's figures; what was not measured is absent. The row itself is kept for report().
void recipe_figures_push(lua_State *L, const base_model_row *row) {
    lua_newtable(L);
    for (size_t i = 0; i < base_model_field_count; i++) {
        const base_field *f = &base_model_fields[i];
        const char *at = (const char *)row + f->offset;
        if (f->type == BASE_F_TEXT && *at) {
            lua_pushstring(L, at);
            lua_setfield(L, -2, f->name);
        } else if (f->type == BASE_F_REAL) {
            double v;
            memcpy(&v, at, sizeof v);
            put_number(L, f->name, v);
        } else if (f->type == BASE_F_INT) {
            int64_t v;
            memcpy(&v, at, sizeof v);
            if (v < 0) continue; // flips: not compared
            lua_pushinteger(L, v);
            lua_setfield(L, -2, f->name);
        }
    }
    if (lua_getfield(L, LUA_REGISTRYINDEX, rows_key) == LUA_TNIL) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_newtable(L);
        lua_pushliteral(L, "k");
        lua_setfield(L, -2, "__mode");
        lua_setmetatable(L, -2);
        lua_pushvalue(L, -1);
        lua_setfield(L, LUA_REGISTRYINDEX, rows_key);
    }
    lua_pushvalue(L, -2);
    base_model_row *kept = lua_newuserdatauv(L, sizeof *kept, 0);
    *kept = *row;
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

// The original's figures on this view, measured once; pushed.
static void push_original(lua_State *L, recipe_model *net, const recipe_view *view) {
    const char *key = view && view->v ? view->v->label : "";
    lua_getiuservalue(L, 1, 1);
    if (lua_getfield(L, -1, key) != LUA_TNIL) return;
    lua_pop(L, 1);
    base_err err = {0};
    base_model_row row;
    empty_row(&row, "original", view);
    recipe_model *was = net->origin ? net->origin : net;
    const compress_result *stored = identity_of(was, &err);
    engine_sample *each = recipe_new_parts(L, was, view);
    recipe_done(L, stored && measure(L, was, NULL, stored, view, &row, each, recipe_of(L)->job, &err), &err);
    recipe_figures_push(L, &row);
    recipe_keep_parts(L, -1, -2);
    lua_remove(L, -2);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, key);
}

static const char *why_not_measured(const recipe_model *net, const recipe_view *view) {
    if (!net->m->graph) return net->m->why_no_arch ? net->m->why_no_arch : "the model has no graph";
    if (!view) return "no part of a dataset was given";
    return view->why;
}

static int api_evaluate(lua_State *L) {
    recipe_work(L, "evaluate");
    lua_settop(L, 3);
    recipe_model *net = recipe_check_model(L, 1);
    recipe_view *view = lua_isnil(L, 2) ? NULL : recipe_check_view(L, 2);
    const char *label = luaL_optstring(L, 3,
                                       net->result    ? "compressed"
                                       : net->origin  ? "shrunk"
                                       : net->trained ? "trained"
                                                      : "original");
    char clean[64];
    base_clean(clean, sizeof clean, label);
    base_job *job = recipe_of(L)->job;
    if (view && view->v && net->m->graph) {
        recipe_warn_uses(L, view, "evaluate");
        if (view->part == DATA_SELECT) recipe_note_use(L, 2, "selection");
    } else {
        base_log(job, BASE_WARN, "evaluate: the accuracy of %s was not measured, only its size: %s", net->m->name,
                 why_not_measured(net, view));
    }
    base_model_row row;
    base_err err = {0};
    empty_row(&row, clean, view);
    if (net->result || net->origin) {
        push_original(L, net, view);
        const compress_result *held = net->result ? net->result : identity_of(net, &err);
        engine_sample *each = recipe_new_parts(L, net, view);
        recipe_done(L, held && measure(L, net, net->result, held, view, &row, each, job, &err), &err);
        recipe_figures_push(L, &row);
        recipe_keep_parts(L, -1, -2);
        lua_pushvalue(L, -3);
        lua_setfield(L, -2, "original");
        return 1;
    }
    const compress_result *stored = identity_of(net, &err);
    engine_sample *each = recipe_new_parts(L, net, view);
    recipe_done(L, stored && measure(L, net, NULL, stored, view, &row, each, job, &err), &err);
    recipe_figures_push(L, &row);
    recipe_keep_parts(L, -1, -2);
    return 1;
}

// ---- report(...) -------------------------------------------------------------------------------

// The measured row of the table on top, or NULL.
static const base_model_row *row_of(lua_State *L) {
    if (lua_getfield(L, LUA_REGISTRYINDEX, rows_key) != LUA_TTABLE) {
        lua_pop(L, 1);
        return NULL;
    }
    lua_pushvalue(L, -2);
    lua_rawget(L, -2);
    const base_model_row *row = lua_touserdata(L, -1);
    lua_pop(L, 2); // the figures table keeps it
    return row;
}

// The figures on top as a model event, once a table.
static void report_row(lua_State *L, const base_model_row *row) {
    static const char reported_key[] = "vise.reported";
    push_registry_table(L, reported_key);
    lua_pushvalue(L, -2);
    bool again = lua_rawget(L, -2) != LUA_TNIL;
    lua_pop(L, 1);
    if (!again) {
        lua_pushvalue(L, -2);
        lua_pushboolean(L, 1);
        lua_rawset(L, -3);
        base_emit(recipe_of(L)->job, (base_event){.kind = BASE_EV_MODEL, .model = row});
    }
    lua_pop(L, 1);
}

// "key value, key value" of a plain table, keys in the order of pairs; logged.
static void report_fields(lua_State *L) {
    int at = lua_gettop(L);
    lua_pushliteral(L, "");
    lua_getglobal(L, "pairs");
    lua_pushvalue(L, at);
    lua_call(L, 1, 1); // the iterator holds its own position
    for (;;) {
        lua_pushvalue(L, -1);
        lua_pushvalue(L, at);
        lua_call(L, 1, 2);
        if (lua_isnil(L, -2)) break;
        luaL_tolstring(L, -2, NULL);
        luaL_tolstring(L, -2, NULL); // text so far, iterator, key, value, key text, value text
        const char *so_far = lua_tostring(L, at + 1);
        lua_pushfstring(L, "%s%s%s %s", so_far, *so_far ? ", " : "", lua_tostring(L, -2), lua_tostring(L, -1));
        lua_replace(L, at + 1);
        lua_settop(L, at + 2);
    }
    base_log(recipe_of(L)->job, BASE_INFO, "%s", lua_tostring(L, at + 1));
    lua_settop(L, at);
}

enum { MOST_NESTED = 4 };

// The value on top: figures as model events (the original's first), lists entry by entry, other tables as lines.
static void report_value(lua_State *L, int depth) {
    if (!lua_istable(L, -1)) {
        luaL_tolstring(L, -1, NULL);
        base_log(recipe_of(L)->job, BASE_INFO, "%s", lua_tostring(L, -1));
        lua_pop(L, 1);
        return;
    }
    const base_model_row *row = row_of(L);
    if (row) {
        lua_pushliteral(L, "original");
        lua_rawget(L, -2);
        const base_model_row *original = lua_istable(L, -1) ? row_of(L) : NULL;
        if (original) report_row(L, original);
        lua_pop(L, 1);
        report_row(L, row);
        return;
    }
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
    if (n == 0 || depth >= MOST_NESTED) {
        report_fields(L);
        return;
    }
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, -1, i);
        report_value(L, depth + 1);
        lua_pop(L, 1);
    }
}

// A table or a choice of the study; what compress made of a choice is among the other arguments. false: something else.
static bool report_study(lua_State *L, int index) {
    const recipe_table *table = luaL_testudata(L, index, RECIPE_TABLE);
    if (table) recipe_report_table(L, table);
    if (table || !recipe_is_choice(L, index)) return table != NULL;
    const base_model_row *figures = NULL, *original = NULL;
    int n = lua_gettop(L);
    for (int i = 1; i <= n && !figures; i++) {
        if (!lua_istable(L, i)) continue;
        lua_pushvalue(L, i);
        figures = row_of(L);
        lua_pushliteral(L, "original");
        if (figures && lua_rawget(L, -2) == LUA_TTABLE) original = row_of(L);
        lua_settop(L, n);
    }
    recipe_report_choice(L, index, figures, original);
    return true;
}

static int api_report(lua_State *L) {
    recipe_work(L, "report");
    int n = lua_gettop(L);
    if (n == 0) script_error(L, "report: nothing to report; give what evaluate returned, a table or a text");
    for (int i = 1; i <= n; i++) {
        if (report_study(L, i)) continue;
        lua_pushvalue(L, i);
        report_value(L, 0);
        lua_pop(L, 1);
    }
    return 0;
}

const luaL_Reg recipe_work_functions[] = {{"compress", api_compress},
                                          {"evaluate", api_evaluate},
                                          {"report", api_report},
                                          {"compare", recipe_compare},
                                          {"correct_bias", recipe_correct_bias},
                                          {"reconstruct", recipe_reconstruct},
                                          {"tune_blocks", recipe_tune_blocks},
                                          {"tune_biases", recipe_tune_biases},
                                          {"tune_scales", recipe_tune_scales},
                                          {"reestimate_norms", recipe_reestimate_norms},
                                          {"cut", recipe_cut},
                                          {NULL, NULL}};
