// recipe_allocate: allocate() - the budget's unit, what lies outside the table, tied layers, and the choice as rules.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "script/study.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ARGS = 16, FLOAT_BITS = 32, RULE_LAYERS = 200 };

typedef enum budget_kind { BUDGET_BYTES, BUDGET_BITS, BUDGET_BITOPS, BUDGET_SECONDS } budget_kind;
static const struct {
    const char *key, *unit;
} budgets[] = {{"bytes", "bytes"}, {"bits", "bytes"}, {"bitops", "bit operations"}, {"seconds", "nanoseconds"}};

// Everything one call works with; a handle whose finaliser frees it, so an error can be raised anywhere.
typedef struct allocation {
    const recipe_table *h;
    recipe_model *net;
    const model *m;
    budget_kind kind;
    double asked, activations, samples; // samples: of a pass, for times
    study_table times;                  // of the table's cells, for seconds
    int *options, *tie;
    int64_t *cells, **cost;
    double **loss;
    bool *inside;        // [layer_count]
    int64_t *fixed;      // [layer_count] bytes of a layer outside the table
    double *fixed_time;  // [layer_count] its seconds
    double *fixed_width; // [layer_count] bits of a weight of a layer outside, for bit operations
    int64_t arrays;      // bytes of arrays that are no layer's weight
    int64_t outside;     // cost of what is not in the table, in the budget's unit
    int64_t budget;      // for the table's layers
    study_problem p;
    study_answer a;
    study_subject subject; // of `whole`
    study_whole *whole;    // NULL: the table's sums alone
    float **others;        // [weight_count] decoded weights of `fixed`; owned
    const float **weights; // [weight_count] with them
    base_buf text;
} allocation;

static int free_allocation(lua_State *L) {
    allocation *w = lua_touserdata(L, 1);
    free(w->options);
    free(w->tie);
    free(w->cells);
    free(w->cost);
    free(w->loss);
    free(w->inside);
    free(w->fixed);
    free(w->fixed_width);
    free(w->fixed_time);
    study_table_free(&w->times);
    study_whole_close(w->whole);
    for (int p = 0; w->others && p < w->m->weight_count; p++) base_big_free(w->others[p]);
    free(w->others);
    free(w->weights);
    study_answer_free(&w->a);
    base_buf_free(&w->text);
    memset(w, 0, sizeof *w);
    return 0;
}

// ---- the budget ------------------------------------------------------------------------------------

static double number_field(lua_State *L, int index, const char *key, double otherwise, double least) {
    int type = lua_getfield(L, index, key);
    double x = type == LUA_TNIL ? otherwise : lua_tonumber(L, -1);
    // 0/0 has a sign on some processors, and only there.
    if (type != LUA_TNIL && (type != LUA_TNUMBER || !isfinite(x) || x < least))
        script_error(L, "allocate: %s of the budget is %s; a number of at least %g was expected", key,
                     type == LUA_TNUMBER && isnan(x) ? "nan" : luaL_tolstring(L, -1, NULL), least);
    lua_pop(L, 1);
    return x;
}

static void read_budget(lua_State *L, int index, allocation *w) {
    if (lua_getfield(L, index, "budget") != LUA_TTABLE)
        script_error(L,
                     "allocate: budget is a %s; expected { bytes = }, { bits = }, { bitops = , activations = 8 } or { "
                     "seconds = , "
                     "samples = 1 }",
                     luaL_typename(L, -1));
    int at = lua_gettop(L), found = 0;
    for (lua_pushnil(L); lua_next(L, at); lua_pop(L, 1)) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
        bool known = !strcmp(key, "activations") || !strcmp(key, "samples");
        for (size_t i = 0; i < sizeof budgets / sizeof *budgets; i++) {
            if (strcmp(key, budgets[i].key)) continue;
            w->kind = (budget_kind)i;
            known = true;
            found++;
        }
        if (!known)
            script_error(L, "allocate: the budget has no unit '%.40s'; expected bytes, bits, bitops or seconds",
                         *key ? key : luaL_typename(L, -2));
    }
    if (found != 1)
        script_error(L, "allocate: the budget names %d units; expected one of bytes, bits, bitops, seconds", found);
    w->asked = number_field(L, at, budgets[w->kind].key, 0, 0);
    w->activations = number_field(L, at, "activations", 8, 1);
    w->samples = number_field(L, at, "samples", 1, 1);
    if (w->samples > 4096 || w->samples != floor(w->samples))
        script_error(L, "allocate: samples of the budget is %g; a whole number of 1 to 4096 was expected", w->samples);
    lua_pop(L, 1);
}

// Bits of a weight as the option's steps name them, added up; steps without `bits` leave floats.
static double width_of(const compress_step *steps, int count) {
    double bits = 0;
    for (int k = 0; k < count; k++)
        for (size_t i = 0; i < steps[k].kind->arg_count; i++)
            if (!strcmp(steps[k].kind->args[i].name, "bits")) bits += steps[k].value[i].number;
    return bits > 0 ? bits : FLOAT_BITS;
}

static double operations(const allocation *w, int row) {
    double n = w->h->t.operations[row];
    return isfinite(n) ? n : 0;
}

static int64_t cost_of(const allocation *w, int row, int option) {
    const study_table *t = &w->h->t;
    if (w->kind == BUDGET_SECONDS) return (int64_t)llround(1e9 * w->times.value[row * t->cols + option]);
    if (w->kind != BUDGET_BITOPS) return t->bytes[row * t->cols + option];
    const study_option *o = &w->h->options[option];
    return (int64_t)llround(operations(w, row) * width_of(o->steps, o->step_count) * w->activations);
}

// ---- seconds ---------------------------------------------------------------------------------------

// How long layers take under options on this machine (metric "time"), from the history where they were measured before.
static void measure_times(lua_State *L, const allocation *w, const study_subject *s, study_table *t) {
    const study_metric *time = study_metric_find("time");
    base_value values[MOST_ARGS] = {0};
    base_err err = {0};
    int fresh = 0;
    BASE_CHECK(time && time->arg_count <= MOST_ARGS);
    base_arg_defaults(time->args, time->arg_count, values);
    bool ok = base_arg_set_number("time", time->args, time->arg_count, values, "samples", w->samples, &err);
    if (ok && recipe_dry(L)) {
        ok = recipe_dry_sensitivity(L, w->net, s, time, values, t, &err);
        for (int i = 0; ok && !*t->unit && i < t->rows * t->cols; i++) t->value[i] = 0; // not known: all fit
    } else if (ok) {
        ok = study_sensitivity_kept(s, time, values, recipe_of(L)->options->store, t, &fresh, recipe_of(L)->job, &err);
    }
    recipe_done(L, ok, &err);
}

static const data_view *calibration(lua_State *L) {
    lua_getiuservalue(L, 1, 3); // of the table, which keeps it
    const recipe_view *calib = luaL_testudata(L, -1, RECIPE_VIEW);
    lua_pop(L, 1);
    return calib ? calib->v : NULL;
}

static void time_table(lua_State *L, allocation *w) {
    study_subject s = {.m = w->m,
                       .options = w->h->options,
                       .option_count = w->h->option_count,
                       .layers = w->h->layers,
                       .layer_count = w->h->t.rows,
                       .calib = calibration(L),
                       .seed = w->h->seed};
    measure_times(L, w, &s, &w->times);
}

// The same for `count` layers outside the table under one list of steps (none: as they are).
static void time_outside(lua_State *L, allocation *w, const int *layers, int count, const compress_step *steps,
                         int step_count) {
    study_option option = {"fixed", steps, step_count};
    study_subject s = {.m = w->m,
                       .options = &option,
                       .option_count = 1,
                       .layers = layers,
                       .layer_count = count,
                       .calib = calibration(L),
                       .seed = w->h->seed};
    study_table_free(&w->times);
    if (count) measure_times(L, w, &s, &w->times);
    for (int i = 0; i < count; i++) w->fixed_time[layers[i]] = w->times.value[i];
    study_table_free(&w->times);
}

static void time_untouched(lua_State *L, allocation *w) {
    int *layers = lua_newuserdatauv(L, ((size_t)w->m->layer_count + 1) * sizeof *layers, 0), n = 0;
    for (int i = 0; i < w->m->layer_count; i++)
        if (!w->inside[i] && w->fixed_time[i] == 0) layers[n++] = i;
    time_outside(L, w, layers, n, NULL, 0);
    lua_pop(L, 1);
}

// ---- layers outside the table ------------------------------------------------------------------------

static bool take_fixed(void *context, int layer, int rule, const float *decoded, const compress_stored *stored,
                       const base_layer_row *row, base_err *err) {
    allocation *w = context;
    (void)rule, (void)stored;
    w->fixed[layer] = row->bytes;
    const model_layer *l = &w->m->layers[layer];
    float *copy = base_big_alloc((size_t)l->weights, sizeof *copy, "the weights of a fixed layer", err);
    if (!copy) return false;
    memcpy(copy, decoded, (size_t)l->weights * sizeof *copy);
    w->others[l->weight] = copy;
    w->weights[l->weight] = copy;
    return true;
}

// What the rules of `fixed` make of layers outside the table.
static void measure_fixed(lua_State *L, allocation *w, const compress_plan *plan) {
    base_err err = {0};
    int *rule = lua_newuserdatauv(L, 2 * ((size_t)w->m->layer_count + 1) * sizeof *rule, 0);
    int *layers = rule + w->m->layer_count + 1;
    bool ok = compress_match(w->m, plan, rule, &err);
    for (int r = 0; ok && r < plan->rule_count; r++) {
        int n = 0;
        for (int i = 0; i < w->m->layer_count; i++) {
            if (rule[i] != r) continue;
            if (w->inside[i])
                script_error(L,
                             "allocate: layer %.100s is in the table and in a rule of fixed; leave it out of one of "
                             "them (except = in sensitivity)",
                             w->m->layers[i].name);
            w->fixed_width[i] = width_of(plan->rules[r].steps, plan->rules[r].step_count);
            layers[n++] = i;
        }
        compress_plan one = *plan;
        one.rules = &plan->rules[r];
        one.rule_count = 1;
        ok = n == 0 || compress_options(w->m, &one, layers, n, take_fixed, w, recipe_of(L)->job, &err);
        if (ok && w->kind == BUDGET_SECONDS) time_outside(L, w, layers, n, one.rules->steps, one.rules->step_count);
    }
    if (!ok) base_wrap(&err, "allocate: fixed: ");
    recipe_done(L, ok, &err);
    lua_pop(L, 1);
}

static double layer_operations(const model *m, int i) {
    const model_layer *l = &m->layers[i];
    if (l->node < 0) return 0;
    const model_node *n = &m->graph->nodes[l->node];
    return model_ops[n->op].flops(n, model_graph_shape(m->graph, n->in[0]), model_graph_shape(m->graph, n->out[0])) / 2;
}

static int64_t outside_cost(const allocation *w, int layer) {
    if (w->kind == BUDGET_SECONDS) return (int64_t)llround(1e9 * w->fixed_time[layer]);
    if (w->kind != BUDGET_BITOPS) return w->fixed[layer];
    return (int64_t)llround(layer_operations(w->m, layer) * w->fixed_width[layer] * w->activations);
}

// Bytes of everything as it was opened, by the writer of compressed models.
static void measure_outside(lua_State *L, int index, allocation *w) {
    base_err err = {0};
    compress_result *as_it_is = compress_identity(w->m, &err);
    int64_t bytes = 0, header = 0;
    bool ok = as_it_is && compress_sizes(as_it_is, &bytes, &header, &err);
    for (int i = 0; ok && i < w->m->layer_count; i++) {
        w->fixed[i] = compress_row(as_it_is, i)->bytes;
        w->fixed_width[i] = FLOAT_BITS;
        bytes -= w->fixed[i];
    }
    compress_result_free(as_it_is);
    recipe_done(L, ok, &err);
    w->arrays = bytes;
    if (lua_getfield(L, index, "fixed") != LUA_TNIL) {
        if (!lua_istable(L, -1))
            script_error(L, "allocate: fixed is a %s; a list of rules was expected", luaL_typename(L, -1));
        recipe_list_only(L, -1, "allocate: fixed");
        compress_plan *plan = recipe_rules(L, lua_gettop(L));
        plan->calib = calibration(L);
        plan->seed = w->h->seed;
        if (plan->rule_count) measure_fixed(L, w, plan);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    double total = 0;
    if (w->kind == BUDGET_SECONDS) time_untouched(L, w);
    for (int i = 0; i < w->m->layer_count; i++)
        if (!w->inside[i]) w->outside += outside_cost(w, i);
    for (int i = 0; i < w->m->layer_count; i++) total += (double)w->m->layers[i].weights;
    double all = w->kind == BUDGET_BITS      ? floor(w->asked * total / 8 + 1e-9)
                 : w->kind == BUDGET_SECONDS ? floor(w->asked * 1e9)
                                             : floor(w->asked);
    if (w->kind == BUDGET_BYTES) w->outside += w->arrays;
    w->budget = (int64_t)fmin(all, 4e18) - w->outside;
}

// ---- tied layers -------------------------------------------------------------------------------------

// The name without what the pattern matches, or NULL; caller frees.
static char *rest_of_name(const pcre2_code *code, pcre2_match_data *data, const char *name) {
    size_t n = strlen(name);
    if (pcre2_match(code, (PCRE2_SPTR)name, n, 0, 0, data, NULL) < 1) return NULL;
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(data);
    if (at[0] > at[1]) return NULL;
    return base_sprintf("%.*s*%s", (int)at[0], name, name + at[1]);
}

static void tie_rest(allocation *w, int first_tie, const char *const *rest, int row, int *next) {
    for (int r = 0; r < row; r++)
        if (rest[r] && w->tie[r] >= first_tie && !strcmp(rest[r], rest[row])) {
            w->tie[row] = w->tie[r];
            return;
        }
    w->tie[row] = (*next)++;
}

// Layers whose names differ only in what the group's patterns match. `rest` [rows] is the caller's, owned texts.
static const char *tie_group(lua_State *L, int list, allocation *w, char **rest, int *next) {
    static char why[200];
    int rows = w->h->t.rows, first_tie = *next;
    for (lua_Integer k = 1; k <= (lua_Integer)lua_rawlen(L, list); k++) {
        lua_rawgeti(L, list, k);
        const char *pattern = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
        lua_pop(L, 1); // the list keeps it
        if (!pattern) return "a group is a list of patterns, such as { \"q_proj\", \"k_proj\", \"v_proj\" }";
        char clean[80];
        base_clean(clean, sizeof clean, pattern);
        int code_of = 0, hits = 0;
        PCRE2_SIZE offset = 0;
        pcre2_code *code =
            pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF, &code_of, &offset, NULL);
        if (!code) {
            snprintf(why, sizeof why, "the pattern '%s' of a group does not compile, at character %zu", clean,
                     (size_t)offset + 1);
            return why;
        }
        pcre2_match_data *data = pcre2_match_data_create_from_pattern(code, NULL);
        for (int r = 0; r < rows; r++) {
            char *name = rest_of_name(code, data, w->h->t.row[r]);
            hits += name != NULL;
            if (name && !rest[r] && w->tie[r] < 0) {
                rest[r] = name;
                tie_rest(w, first_tie, (const char *const *)rest, r, next);
            } else
                free(name);
        }
        pcre2_match_data_free(data);
        pcre2_code_free(code);
        snprintf(why, sizeof why, "the pattern '%s' of a group matches no layer of the table", clean);
        if (!hits) return why;
    }
    return NULL;
}

static void read_groups(lua_State *L, int index, allocation *w) {
    int rows = w->h->t.rows, next = 0;
    for (int r = 0; r < rows; r++) w->tie[r] = -1;
    if (lua_getfield(L, index, "groups") == LUA_TNIL) {
        lua_pop(L, 1);
        return;
    }
    if (!lua_istable(L, -1))
        script_error(L, "allocate: groups is a %s; a list of lists of patterns was expected", luaL_typename(L, -1));
    recipe_list_only(L, -1, "allocate: groups");
    for (lua_Integer g = 1; g <= (lua_Integer)lua_rawlen(L, -1); g++) {
        lua_rawgeti(L, -1, g);
        if (!lua_istable(L, -1))
            script_error(L, "allocate: entry %d of groups is a %s; a list of patterns was expected", (int)g,
                         luaL_typename(L, -1));
        char **rest = base_calloc((size_t)rows + 1, sizeof *rest);
        const char *why = tie_group(L, lua_gettop(L), w, rest, &next);
        for (int r = 0; r < rows; r++) free(rest[r]);
        free(rest);
        if (why) script_error(L, "allocate: %s", why);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

// ---- the problem -------------------------------------------------------------------------------------

static void fill_problem(allocation *w) {
    const study_table *t = &w->h->t;
    size_t cells = (size_t)t->rows * (size_t)t->cols;
    w->cells = base_calloc(cells, sizeof *w->cells);
    w->cost = base_calloc((size_t)t->rows, sizeof *w->cost);
    w->loss = base_calloc((size_t)t->rows, sizeof *w->loss);
    w->options = base_calloc((size_t)t->rows, sizeof *w->options);
    for (int r = 0; r < t->rows; r++) {
        w->options[r] = t->cols;
        w->cost[r] = &w->cells[r * t->cols];
        w->loss[r] = &t->value[r * t->cols];
        for (int c = 0; c < t->cols; c++) w->cost[r][c] = cost_of(w, r, c);
    }
    w->p = (study_problem){.layers = t->rows,
                           .options = w->options,
                           .loss = (const double *const *)w->loss,
                           .cost = (const int64_t *const *)w->cost,
                           .budget = w->budget,
                           .tie = w->tie,
                           .weights = t->weights,
                           .names = (const char *const *)t->row,
                           .unit = budgets[w->kind].unit};
}

// The least cost of the table's layers, tied ones taking the same option.
static int64_t least_cost(const allocation *w) {
    int64_t sum = 0;
    const study_table *t = &w->h->t;
    for (int r = 0; r < t->rows; r++) {
        bool first = true;
        for (int q = 0; q < r && w->tie[r] >= 0; q++) first &= w->tie[q] != w->tie[r];
        if (!first) continue;
        int64_t least = INT64_MAX;
        for (int c = 0; c < t->cols; c++) {
            int64_t cost = w->cost[r][c];
            for (int q = r + 1; q < t->rows && w->tie[r] >= 0; q++)
                if (w->tie[q] == w->tie[r]) cost += w->cost[q][c];
            if (cost < least) least = cost;
        }
        sum += least;
    }
    return sum;
}

static double all_weights(const model *m) {
    double n = 0;
    for (int i = 0; i < m->layer_count; i++) n += (double)m->layers[i].weights;
    return n;
}

// Some sizes in the table are the most that entropy-coded arrays can take, not what they will.
static bool sizes_at_most(lua_State *L, const allocation *w) {
    if (!recipe_dry(L) || !recipe_dry(L)->guessed || w->kind > BUDGET_BITS) return false;
    for (int o = 0; o < w->h->option_count; o++)
        for (int k = 0; k < w->h->options[o].step_count; k++)
            if (!strcmp(w->h->options[o].steps[k].kind->name, "code")) return true;
    return false;
}

static void check_feasible(lua_State *L, allocation *w) {
    int64_t least = least_cost(w);
    if (least <= w->budget) return;
    if (sizes_at_most(L, w)) { // the choice of the least of those stands for the one that will be made
        w->budget = w->p.budget = least;
        return;
    }
    long long nearest = least + w->outside, outside = w->outside;
    char text[300];
    if (w->kind == BUDGET_BITS)
        snprintf(text, sizeof text,
                 "allocate: no choice fits %.6g bits a weight; the smallest these options allow is %.6g (%lld bytes of "
                 "layers, %lld of them outside the table)",
                 w->asked, ceil(8e5 * (double)nearest / all_weights(w->m)) / 1e5, nearest, outside);
    else if (w->kind == BUDGET_SECONDS)
        snprintf(text, sizeof text,
                 "allocate: no choice fits %.6g seconds; the smallest these options allow on this machine is %.6g, of "
                 "which %.6g lie outside the table",
                 w->asked, 1e-9 * (double)nearest, 1e-9 * (double)outside);
    else
        snprintf(
            text, sizeof text,
            "allocate: no choice fits %.0f %s; the smallest these options allow is %lld, of which %lld lie outside "
            "the table",
            w->asked, budgets[w->kind].unit, nearest, outside);
    script_error(L, "%s", text);
}

// ---- the choice --------------------------------------------------------------------------------------

static void put_number(lua_State *L, const char *key, double x) {
    if (isnan(x)) return;
    lua_pushnumber(L, x);
    lua_setfield(L, -2, key);
}

static void put_integer(lua_State *L, const char *key, int64_t x) {
    lua_pushinteger(L, x);
    lua_setfield(L, -2, key);
}

static void add_escaped(base_buf *b, const char *name) {
    for (; *name; name++) {
        unsigned char c = (unsigned char)*name;
        if (c < 128 && !isalnum(c) && c != '_') base_buf_add(b, "\\", 1);
        base_buf_add(b, name, 1);
    }
}

// A rule for the layers with this option, up to RULE_LAYERS of them from *row on; appended to the list on top.
static void push_rule(lua_State *L, allocation *w, int option, int *row) {
    const study_table *t = &w->h->t;
    int n = 0;
    base_buf_clear(&w->text);
    base_buf_puts(&w->text, "^(?:");
    for (; *row < t->rows && n < RULE_LAYERS; (*row)++) {
        if (w->a.choice[*row] != option) continue;
        if (n++) base_buf_puts(&w->text, "|");
        add_escaped(&w->text, w->m->layers[w->h->layers[*row]].name);
    }
    base_buf_puts(&w->text, ")$");
    if (!n) return;
    lua_newtable(L);
    lua_pushstring(L, w->text.text);
    lua_setfield(L, -2, "pattern");
    lua_getiuservalue(L, 1, 2);
    lua_rawgeti(L, -1, option + 1);
    lua_Integer steps = (lua_Integer)lua_rawlen(L, -1);
    for (lua_Integer k = 1; k <= steps; k++) {
        lua_rawgeti(L, -1, k);
        lua_rawseti(L, -4, k);
    }
    lua_pop(L, 2);
    luaL_setmetatable(L, RECIPE_RULE);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

// Rules of `fixed` first, then one or more for each option.
static void push_rules(lua_State *L, int index, allocation *w) {
    lua_newtable(L);
    if (lua_getfield(L, index, "fixed") == LUA_TTABLE)
        for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, -1); i++) {
            lua_rawgeti(L, -1, i);
            lua_rawseti(L, -3, i);
        }
    lua_pop(L, 1);
    for (int o = 0; o < w->h->t.cols; o++)
        for (int row = 0; row < w->h->t.rows;) push_rule(L, w, o, &row);
}

static void push_choice(lua_State *L, int index, allocation *w, const char *solver) {
    const study_table *t = &w->h->t;
    const study_answer *a = &w->a;
    lua_newtable(L);
    push_rules(L, index, w);
    lua_setfield(L, -2, "rules");
    lua_createtable(L, 0, t->rows);
    int64_t bytes = 0;
    for (int i = 0; i < w->m->layer_count; i++) bytes += w->inside[i] ? 0 : w->fixed[i];
    for (int r = 0; r < t->rows; r++) {
        lua_pushstring(L, t->col[a->choice[r]]);
        lua_setfield(L, -2, t->row[r]);
        bytes += t->bytes[r * t->cols + a->choice[r]];
    }
    lua_setfield(L, -2, "options");
    lua_pushstring(L, solver);
    lua_setfield(L, -2, "solver");
    lua_pushstring(L, t->metric);
    lua_setfield(L, -2, "metric");
    lua_pushstring(L, budgets[w->kind].unit);
    lua_setfield(L, -2, "unit");
    put_number(L, "loss", a->loss);
    put_number(L, "predicted", a->loss);
    put_number(L, "measured", a->measured);
    put_number(L, "bound", a->bound);
    put_number(L, "optimum", a->optimum);
    double best = isnan(a->optimum) ? a->bound : a->optimum;
    put_number(L, "gap", a->optimal ? 0 : a->loss - best);
    lua_pushboolean(L, a->optimal);
    lua_setfield(L, -2, "optimal");
    put_integer(L, "cost", a->cost + w->outside);
    put_integer(L, "budget", w->budget + w->outside);
    put_integer(L, "outside", w->outside);
    put_integer(L, "bytes", bytes + w->arrays);
    put_integer(L, "layer_bytes", bytes);
    put_number(L, "bits", 8 * (double)bytes / all_weights(w->m));
    put_number(L, "seconds", a->seconds);
    put_integer(L, "steps", a->steps);
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, "table");
    luaL_setmetatable(L, RECIPE_CHOICE);
}

// ---- allocate(table, { ... }) ------------------------------------------------------------------------

static const study_allocator *find_solver(lua_State *L, int index) {
    int type = lua_getfield(L, index, "solver");
    const char *name = type == LUA_TNIL ? "exact" : lua_tostring(L, -1);
    const study_allocator *solver = name ? study_allocator_find(name) : NULL;
    lua_pop(L, 1);
    if (solver) return solver;
    const char *names[32];
    base_buf all = {0};
    for (size_t i = 0; i < study_allocator_count && i < 32; i++) {
        names[i] = study_allocators[i].name;
        base_buf_printf(&all, "%s%s", i ? ", " : "", names[i]);
    }
    char text[500], clean[64];
    base_clean(clean, sizeof clean, name ? name : "?");
    const char *near = name ? base_nearest(name, names, study_allocator_count) : NULL;
    snprintf(text, sizeof text, "allocate: there is no solver '%s'%s%s%s; there are %s", clean,
             near ? ", the nearest is '" : "", near ? near : "", near ? "'" : "", all.text);
    base_buf_free(&all);
    script_error(L, "%s", text);
}

static allocation *new_allocation(lua_State *L, const recipe_table *h, recipe_model *net) {
    const model *m = net->m;
    allocation *w = lua_newuserdatauv(L, sizeof *w, 0);
    memset(w, 0, sizeof *w);
    if (luaL_newmetatable(L, "vise.allocation")) {
        lua_pushcfunction(L, free_allocation);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    w->h = h;
    w->net = net;
    w->m = m;
    size_t n = (size_t)m->layer_count + 1;
    w->inside = base_calloc(n, sizeof *w->inside);
    w->fixed = base_calloc(n, sizeof *w->fixed);
    w->fixed_width = base_calloc(n, sizeof *w->fixed_width);
    w->fixed_time = base_calloc(n, sizeof *w->fixed_time);
    w->tie = base_calloc((size_t)h->t.rows + 1, sizeof *w->tie);
    w->others = base_calloc((size_t)m->weight_count + 1, sizeof *w->others);
    w->weights = base_calloc((size_t)m->weight_count + 1, sizeof *w->weights);
    for (int p = 0; p < m->weight_count; p++) w->weights[p] = m->weights[p];
    for (int r = 0; r < h->t.rows; r++) w->inside[h->layers[r]] = true;
    return w;
}

// Whole choices that a search looks at.
static double most_choices(const study_allocator *how, const base_value *values) {
    double n = 1;
    static const char *const counts[] = {"generations", "offspring", "steps"};
    for (size_t i = 0; i < how->arg_count; i++)
        for (int k = 0; k < 3; k++)
            if (!strcmp(how->args[i].name, counts[k])) n *= values[i].number;
    return n;
}

// measure = part: whole choices are looked at by the solvers that can.
static void open_whole(lua_State *L, int index, allocation *w, const study_allocator *how, const base_value *values) {
    const char *solver = how->name;
    recipe_view *view = recipe_field_view(L, index, "allocate", "measure");
    int at = lua_gettop(L);
    if (!view) {
        lua_settop(L, at - 1);
        return;
    }
    if (strcmp(solver, "evopress") && strcmp(solver, "anneal") && strcmp(solver, "rco"))
        script_error(L, "allocate: solver %s sees the table alone; measure is for evopress, anneal and rco", solver);
    if (!view->v) script_error(L, "allocate: there are no samples to measure on: %s", view->why);
    recipe_note_use(L, at, "selection");
    if (view->part == DATA_TEST)
        base_log(recipe_of(L)->job, BASE_WARN,
                 "allocate: %s is of the test part; what is chosen with it makes figures on that part too good",
                 view->v->label);
    if (recipe_dry(L)) {
        recipe_dry_search(L, w->net, view, solver, most_choices(how, values));
        lua_settop(L, at - 1);
        return;
    }
    w->subject = (study_subject){.m = w->m,
                                 .options = w->h->options,
                                 .option_count = w->h->option_count,
                                 .layers = w->h->layers,
                                 .layer_count = w->h->t.rows,
                                 .calib = calibration(L),
                                 .select = view->v,
                                 .seed = w->h->seed};
    base_err err = {0};
    w->whole = study_whole_open(&w->subject, w->h->t.metric, w->weights, recipe_of(L)->job, &err);
    if (!w->whole) base_wrap(&err, "allocate: ");
    recipe_done(L, w->whole != NULL, &err);
    w->p.measure = study_whole_measure;
    w->p.context = w->whole;
}

int recipe_allocate(lua_State *L) {
    static const char *const also[] = {"budget", "solver", "groups", "fixed", "measure", NULL};
    recipe_work(L, "allocate");
    lua_settop(L, 2);
    recipe_table *h = recipe_check_table(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    if (!h->t.bytes)
        script_error(L,
                     "allocate: metric %s does not look at options, so there is nothing to choose from; take a "
                     "metric with options, such as \"measured\"",
                     h->t.metric);
    const study_allocator *solver = find_solver(L, 2);
    base_value values[MOST_ARGS] = {0};
    BASE_CHECK(solver->arg_count <= MOST_ARGS);
    base_arg_defaults(solver->args, solver->arg_count, values);
    recipe_read_args(L, 2, "allocate", solver->args, solver->arg_count, values, also);
    for (size_t i = 0; i < solver->arg_count; i++)
        if (!strcmp(solver->args[i].name, "seed"))
            values[i].number = (double)recipe_seed(L, values[i].given, values[i].number, 1, "allocate");
    lua_getiuservalue(L, 1, 1);
    allocation *w = new_allocation(L, h, recipe_check_model(L, 3));
    int handle = lua_gettop(L);
    read_budget(L, 2, w);
    measure_outside(L, 2, w);
    if (w->kind == BUDGET_SECONDS) time_table(L, w);
    read_groups(L, 2, w);
    fill_problem(w);
    check_feasible(L, w);
    open_whole(L, 2, w, solver, values);
    base_err err = {0};
    bool ok = study_allocate(&w->p, solver, values, &w->a, recipe_of(L)->job, &err);
    recipe_done(L, ok, &err);
    push_choice(L, 2, w, solver->name);
    lua_remove(L, handle);
    return 1;
}
