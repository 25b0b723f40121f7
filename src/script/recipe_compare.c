// recipe_compare: two networks measured on the same samples, sample by sample. What samples have in common - some are
// hard for every network - drops out of the differences, so their interval is narrower than what two intervals side by
// side can tell.
#include "script/recipe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// Registry: figures table -> handle of its samples.
static const char parts_key[] = "vise.sample_parts";
#define PARTS "vise.parts"

// What an evaluation said of every sample.
typedef struct parts {
    engine_sample *each;
    int64_t count;
    model_task task;
    char set[33], of[33]; // hashes of the dataset ("": not known) and of which of its samples they are
} parts;

static int free_parts(lua_State *L) {
    parts *p = luaL_checkudata(L, 1, PARTS);
    base_big_free(p->each);
    p->each = NULL;
    return 0;
}

engine_sample *recipe_new_parts(lua_State *L, const recipe_model *net, const recipe_view *view) {
    parts *p = lua_newuserdatauv(L, sizeof *p, 0);
    *p = (parts){0};
    if (luaL_newmetatable(L, PARTS)) {
        lua_pushcfunction(L, free_parts);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    if (recipe_dry(L) || !view || !view->v || !net->m->graph) return NULL;
    base_err err = {0};
    p->each = base_big_alloc((size_t)view->v->count, sizeof *p->each, "figures of single samples", &err);
    if (!p->each) script_raise(L, &err);
    p->count = view->v->count;
    p->task = net->m->graph->task;
    snprintf(p->set, sizeof p->set, "%s", view->v->set->hash);
    base_hash_of(view->v->index, (size_t)p->count * sizeof *view->v->index, p->of);
    return p->each;
}

// The table of figure -> parts, whose entries go with the figures; pushed.
static void push_kept(lua_State *L) {
    if (lua_getfield(L, LUA_REGISTRYINDEX, parts_key) != LUA_TNIL) return;
    lua_pop(L, 1);
    lua_newtable(L);
    lua_newtable(L);
    lua_pushliteral(L, "k");
    lua_setfield(L, -2, "__mode");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, parts_key);
}

void recipe_keep_parts(lua_State *L, int figures, int index) {
    figures = lua_absindex(L, figures);
    index = lua_absindex(L, index);
    push_kept(L);
    lua_pushvalue(L, figures);
    lua_pushvalue(L, index);
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

static const parts *parts_of(lua_State *L, int index) {
    luaL_checktype(L, index, LUA_TTABLE);
    push_kept(L);
    lua_pushvalue(L, index);
    lua_rawget(L, -2);
    const parts *p = luaL_testudata(L, -1, PARTS);
    lua_pop(L, 2); // the registry keeps it
    return p;
}

static const char *text_field(lua_State *L, int index, const char *key) {
    lua_getfield(L, index, key);
    const char *text = lua_tostring(L, -1);
    lua_pop(L, 1); // the table keeps it
    return text ? text : "";
}

// The mean difference of a figure over all targets, `scale` times; samples are the clusters.
static num_interval difference(const parts *a, const parts *b, double (*figure)(const engine_sample *), double scale) {
    num_clusters sum = {0};
    for (int64_t i = 0; i < a->count; i++)
        num_clusters_add(&sum, a->each[i].targets, scale * (figure(&a->each[i]) - figure(&b->each[i])));
    return num_clusters_mean(&sum);
}

static double kl_of(const engine_sample *s) {
    return s->kl;
}
static double loss_of(const engine_sample *s) {
    return s->loss;
}
static double hits_of(const engine_sample *s) {
    return (double)s->hits;
}

static const struct {
    const char *name, *low, *high, *said;
    double (*of)(const engine_sample *);
    double scale;
    bool classes; // only of networks that classify
} figures[] = {
    {"kl", "kl_low", "kl_high", "KL %+.4f [%+.4f, %+.4f]", kl_of, 1, false},
    {"loss", "loss_low", "loss_high", "loss %+.4f [%+.4f, %+.4f]", loss_of, 1, false},
    {"top1", "top1_low", "top1_high", "top-1 %+.2f points [%+.2f, %+.2f]", hits_of, 100, true},
};

static void put(lua_State *L, const char *key, double x) {
    lua_pushnumber(L, x);
    lua_setfield(L, -2, key);
}

int recipe_compare(lua_State *L) {
    recipe_work(L, "compare");
    lua_settop(L, 2);
    const parts *a = parts_of(L, 1), *b = parts_of(L, 2);
    bool dry = recipe_dry(L) != NULL;
    if (!dry && (!a || !b || !a->count || !b->count))
        script_error(L, "compare: give two tables that evaluate returned, measured on samples");
    if (!dry && (a->count != b->count || a->task != b->task || strcmp(a->of, b->of) || strcmp(a->set, b->set) ||
                 strcmp(text_field(L, 1, "data"), text_field(L, 2, "data"))))
        script_error(L, "compare: %s and %s are not the same samples", text_field(L, 1, "data"),
                     text_field(L, 2, "data"));
    base_buf said = {0};
    lua_createtable(L, 0, 10);
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++) {
        num_interval d = {NAN, NAN, NAN}; // a dry run's, that no comparison holds for
        if (!dry && figures[i].classes && a->task != MODEL_CLASSIFY) continue;
        if (!dry) d = difference(a, b, figures[i].of, figures[i].scale);
        if (!dry && isnan(d.value)) continue; // not against a reference
        put(L, figures[i].name, d.value);
        if (dry || !isnan(d.low)) put(L, figures[i].low, d.low), put(L, figures[i].high, d.high);
        if (said.length) base_buf_puts(&said, ", ");
        base_buf_printf(&said, figures[i].said, d.value, d.low, d.high);
    }
    if (!dry)
        base_log(recipe_of(L)->job, BASE_INFO, "%s less %s on %s, %lld pair%s of samples: %s",
                 text_field(L, 1, "label"), text_field(L, 2, "label"), text_field(L, 1, "data"), (long long)a->count,
                 a->count == 1 ? "" : "s", said.text ? said.text : "");
    base_buf_free(&said);
    return 1;
}
