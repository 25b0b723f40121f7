// matrix_step: step{}, a recipe's own step. Its function gets what is left of a layer's weight as a matrix and returns
// terms, which it makes with the constructors of its second argument; compress checks and counts them.
#include "script/matrix.h"
#include "script/recipe.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#define OWN_TERM "term"

typedef struct own_term {
    compress_term *term; // NULL once a layer owns it
} own_term;

typedef struct own_step {
    compress_own_step step;
    char name[48], about[200];
    recipe_run *run;
    int function; // reference in the registry
} own_step;

// ---- terms ---------------------------------------------------------------------------------------

static int free_own_term(lua_State *L) {
    own_term *t = lua_touserdata(L, 1);
    compress_term_free(t->term);
    t->term = NULL;
    return 0;
}

static own_term *check_term(lua_State *L, int index) {
    own_term *t = luaL_checkudata(L, index, OWN_TERM);
    if (!t->term) script_error(L, "this term belongs to a layer already");
    return t;
}

static int decode_own_term(lua_State *L) {
    own_term *t = check_term(L, 1);
    int64_t rows, cols, bytes;
    compress_term_size(t->term, &rows, &cols, &bytes);
    script_matrix *m = matrix_new(L, "decode", rows, cols);
    base_err err;
    if (!compress_term_decode(t->term, m->data, &err)) script_raise(L, &err);
    return 1;
}

static int index_own_term(lua_State *L) {
    own_term *t = check_term(L, 1);
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    int64_t rows, cols, bytes;
    compress_term_size(t->term, &rows, &cols, &bytes);
    if (strcmp(key, "bytes") == 0)
        lua_pushinteger(L, bytes);
    else if (strcmp(key, "decode") == 0)
        lua_pushcfunction(L, decode_own_term);
    else
        script_error(L, "a term has t:decode() and t.bytes, not '%.40s'", key);
    return 1;
}

// An empty handle first, so that the term is owned whatever happens.
static own_term *new_term(lua_State *L) {
    own_term *t = lua_newuserdatauv(L, sizeof *t, 0);
    t->term = NULL;
    luaL_setmetatable(L, OWN_TERM);
    return t;
}

static int give_term(lua_State *L, own_term *t, const char *what, base_err *err) {
    if (t->term) return 1;
    base_wrap(err, "%s: ", what);
    script_raise(L, err);
}

static const compress_target *target_of(lua_State *L, const char *what) {
    const compress_target *t = recipe_of(L)->target;
    if (!t) script_error(L, "%s: is called outside of a step's function", what);
    return t;
}

// dtype names a float type, or is nil: `otherwise`.
static num_dtype read_dtype(lua_State *L, int index, const char *what, num_dtype otherwise) {
    if (lua_isnoneornil(L, index)) return otherwise;
    const char *text = lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : "";
    static const num_dtype known[] = {NUM_F32, NUM_F16, NUM_BF16};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(text, num_dtypes[known[i]].name) == 0) return known[i];
    char shown[24];
    base_clean(shown, sizeof shown, lua_type(L, index) == LUA_TSTRING ? text : luaL_typename(L, index));
    script_error(L, "%s: the type is '%s', expected f16, bf16 or f32", what, shown);
}

static script_matrix *weight_sized(lua_State *L, int index, const char *what, const char *name,
                                   const compress_target *t) {
    script_matrix *m = luaL_testudata(L, index, SCRIPT_MATRIX);
    if (!m || !m->data) script_error(L, "%s: %s must be a matrix, not a %s", what, name, luaL_typename(L, index));
    if (m->rows != t->rows || m->cols != t->cols)
        script_error(L, "%s: %s is %lld x %lld, the weight is %lld x %lld", what, name, (long long)m->rows,
                     (long long)m->cols, (long long)t->rows, (long long)t->cols);
    return m;
}

// The group length that scales of this shape mean: given, or one a row, or one in all.
static int64_t group_of(lua_State *L, const compress_target *t, const script_matrix *scales, int64_t given) {
    static const char what[] = "ctx.codes";
    if (given == 0 && scales->rows == 1 && scales->cols == 1 && t->rows > 1) return -1;
    int64_t per_row = given > 0 ? (t->cols + given - 1) / given : 1;
    if (scales->rows == t->rows && scales->cols == per_row) return given;
    if (given > 0)
        script_error(L, "%s: scales are %lld x %lld; groups of %lld in a weight of %lld x %lld need %lld x %lld", what,
                     (long long)scales->rows, (long long)scales->cols, (long long)given, (long long)t->rows,
                     (long long)t->cols, (long long)t->rows, (long long)per_row);
    script_error(L, "%s: scales are %lld x %lld; a weight of %lld x %lld needs %lld x 1 or 1 x 1, or group = ...", what,
                 (long long)scales->rows, (long long)scales->cols, (long long)t->rows, (long long)t->cols,
                 (long long)t->rows);
}

static const base_arg codes_args[] = {
    {"bits", BASE_INT, 4, 1, 16, NULL, NULL, "bits a code"},
    {"group", BASE_INT, 0, 0, 1 << 30, NULL, NULL, "neighbouring inputs that share a scale"},
};

// ctx.codes{ codes =, scales =, bits = [, zeros =] [, group =] [, dtype =] }
static int make_codes(lua_State *L) {
    static const char what[] = "ctx.codes";
    static const char *const fields[] = {"codes", "scales", "zeros", "dtype", NULL};
    const compress_target *t = target_of(L, what);
    if (!lua_istable(L, 1)) script_error(L, "%s takes named values: %s{ codes = q, scales = s, bits = 4 }", what, what);
    lua_settop(L, 1);
    base_value values[2];
    base_arg_defaults(codes_args, 2, values);
    recipe_read_args(L, 1, what, codes_args, 2, values, fields);
    for (int i = 0; fields[i]; i++) lua_getfield(L, 1, fields[i]); // at 2, 3, 4, 5
    script_matrix *codes = weight_sized(L, 2, what, "codes", t);
    script_matrix *scales = lua_type(L, 3) == LUA_TNUMBER ? NULL : matrix_check(L, 3, "ctx.codes: scales");
    if (!scales) {
        scales = matrix_new(L, what, 1, 1);
        scales->data[0] = (float)lua_tonumber(L, 3);
    }
    script_matrix *zeros = lua_isnil(L, 4) ? NULL : matrix_check(L, 4, "ctx.codes: zeros");
    int64_t group = group_of(L, t, scales, (int64_t)values[1].number);
    if (zeros && (zeros->rows != scales->rows || zeros->cols != scales->cols))
        script_error(L, "%s: zeros are %lld x %lld, scales are %lld x %lld", what, (long long)zeros->rows,
                     (long long)zeros->cols, (long long)scales->rows, (long long)scales->cols);
    num_dtype dtype = read_dtype(L, 5, what, NUM_DTYPES);
    own_term *out = new_term(L);
    base_err err;
    out->term = compress_term_codes(t->rows, t->cols, group, (int)values[0].number, codes->data, scales->data,
                                    zeros ? zeros->data : NULL, dtype, &err);
    return give_term(L, out, what, &err);
}

static const base_arg levels_args[] = {{"bits", BASE_INT, 4, 1, 8, NULL, NULL, "bits a code"}};

// ctx.levels{ codes =, levels =, bits = [, dtype =] }
static int make_levels(lua_State *L) {
    static const char what[] = "ctx.levels";
    static const char *const fields[] = {"codes", "levels", "dtype", NULL};
    const compress_target *t = target_of(L, what);
    if (!lua_istable(L, 1)) script_error(L, "%s takes named values: %s{ codes = q, levels = v, bits = 4 }", what, what);
    lua_settop(L, 1);
    base_value bits;
    base_arg_defaults(levels_args, 1, &bits);
    recipe_read_args(L, 1, what, levels_args, 1, &bits, fields);
    for (int i = 0; fields[i]; i++) lua_getfield(L, 1, fields[i]); // at 2, 3, 4
    script_matrix *codes = weight_sized(L, 2, what, "codes", t), *levels = matrix_check(L, 3, "ctx.levels: levels");
    int64_t many = (int64_t)1 << (int)bits.number;
    if (levels->cols != many || (levels->rows != 1 && levels->rows != t->rows))
        script_error(L, "%s: levels are %lld x %lld; codes of %d bits need 1 x %lld, or %lld x %lld for a table a row",
                     what, (long long)levels->rows, (long long)levels->cols, (int)bits.number, (long long)many,
                     (long long)t->rows, (long long)many);
    num_dtype dtype = read_dtype(L, 4, what, NUM_DTYPES);
    own_term *out = new_term(L);
    base_err err;
    out->term =
        compress_term_levels(t->rows, t->cols, (int)bits.number, codes->data, levels->rows, levels->data, dtype, &err);
    return give_term(L, out, what, &err);
}

static int make_dense(lua_State *L) {
    static const char what[] = "ctx.dense";
    const compress_target *t = target_of(L, what);
    script_matrix *m = weight_sized(L, 1, what, "the matrix", t);
    num_dtype dtype = read_dtype(L, 2, what, NUM_F16);
    own_term *out = new_term(L);
    base_err err;
    out->term = compress_term_dense(t->rows, t->cols, m->data, dtype, &err);
    return give_term(L, out, what, &err);
}

static int make_lowrank(lua_State *L) {
    static const char what[] = "ctx.lowrank";
    const compress_target *t = target_of(L, what);
    script_matrix *u = matrix_check(L, 1, what), *v = matrix_check(L, 2, what);
    if (u->rows != t->rows || v->cols != t->cols || u->cols != v->rows)
        script_error(L, "%s: factors of %lld x %lld and %lld x %lld do not make the weight of %lld x %lld", what,
                     (long long)u->rows, (long long)u->cols, (long long)v->rows, (long long)v->cols, (long long)t->rows,
                     (long long)t->cols);
    num_dtype dtype = read_dtype(L, 3, what, NUM_F16);
    own_term *out = new_term(L);
    base_err err;
    out->term = compress_term_lowrank(t->rows, t->cols, u->cols, u->data, v->data, dtype, &err);
    return give_term(L, out, what, &err);
}

static int make_sparse(lua_State *L) {
    static const char what[] = "ctx.sparse";
    const compress_target *t = target_of(L, what);
    script_matrix *keep = weight_sized(L, 1, what, "the mask", t);
    script_matrix *m = weight_sized(L, 2, what, "the matrix of values", t);
    num_dtype dtype = read_dtype(L, 3, what, NUM_F16);
    own_term *out = new_term(L);
    base_err err;
    out->term = compress_term_sparse(t->rows, t->cols, keep->data, m->data, dtype, &err);
    return give_term(L, out, what, &err);
}

// ---- running -------------------------------------------------------------------------------------

static void put_field(lua_State *L, const char *name, const char *text, int64_t number) {
    if (text)
        lua_pushstring(L, text);
    else
        lua_pushinteger(L, number);
    lua_setfield(L, -2, name);
}

static void push_context(lua_State *L, const compress_target *t) {
    static const luaL_Reg makers[] = {{"codes", make_codes},     {"levels", make_levels}, {"dense", make_dense},
                                      {"lowrank", make_lowrank}, {"sparse", make_sparse}, {NULL, NULL}};
    lua_newtable(L);
    luaL_setfuncs(L, makers, 0);
    put_field(L, "layer", t->layer, 0);
    put_field(L, "rows", NULL, t->rows);
    put_field(L, "cols", NULL, t->cols);
    put_field(L, "groups", NULL, t->groups);
    put_field(L, "seed", NULL, (int64_t)(t->seed & INT64_MAX));
    matrix_push(L, "H", t->diagonal ? NULL : t->h, t->groups * t->cols, t->cols);
    lua_setfield(L, -2, "H");
    matrix_push(L, "counts", t->diagonal ? t->h : NULL, t->rows, 1);
    lua_setfield(L, -2, "counts");
    if (!t->mask) return;
    script_matrix *m = matrix_new(L, "mask", t->rows, t->cols);
    for (int64_t i = 0; i < t->rows * t->cols; i++) m->data[i] = t->mask[i];
    lua_setfield(L, -2, "mask");
}

typedef struct call {
    own_step *own;
    const compress_target *t;
    compress_term **terms;
    int *count;
} call;

// Protected: calls the recipe's function and takes the terms it returns.
static int run_step(lua_State *L) {
    call *c = lua_touserdata(L, 1);
    const char *name = c->own->name;
    lua_rawgeti(L, LUA_REGISTRYINDEX, c->own->function);
    script_begins(L);
    script_matrix *w = matrix_new(L, name, c->t->rows, c->t->cols);
    for (int64_t i = 0; i < w->rows * w->cols; i++) w->data[i] = c->t->mask && !c->t->mask[i] ? 0 : c->t->w[i];
    push_context(L, c->t);
    lua_call(L, 2, LUA_MULTRET);
    int n = lua_gettop(L) - 1;
    if (n == 0)
        script_error(L, "step %s returned nothing for %s; it returns terms such as ctx.codes{ ... }", name,
                     c->t->layer);
    if (n > COMPRESS_OWN_TERMS)
        script_error(L, "step %s returned %d terms, at most %d are possible", name, n, COMPRESS_OWN_TERMS);
    for (int i = 0; i < n; i++) {
        own_term *t = luaL_testudata(L, i + 2, OWN_TERM);
        if (!t)
            script_error(L, "step %s returned a %s; it returns terms such as ctx.codes{ ... } or ctx.dense(m)", name,
                         luaL_testudata(L, i + 2, SCRIPT_MATRIX) ? "matrix" : luaL_typename(L, i + 2));
        if (!t->term) script_error(L, "step %s returned the same term twice, or one of another layer", name);
        c->terms[(*c->count)++] = t->term;
        t->term = NULL;
    }
    return 0;
}

static bool make_terms(void *context, const compress_target *t, compress_term **terms, int *count, base_err *err) {
    own_step *own = context;
    call c = {own, t, terms, count};
    lua_State *L = own->run->L;
    own->run->target = t;
    bool ok = lua_checkstack(L, LUA_MINSTACK);
    if (ok) {
        lua_pushcfunction(L, run_step);
        lua_pushlightuserdata(L, &c);
        ok = script_pcall(L, 1, 0, recipe_seconds, err);
        char what[160];
        snprintf(what, sizeof what, "layer %.80s, step %s: ", t->layer, own->name);
        if (!ok) script_stop_in(L, what);
    } else {
        base_fail(err, "too many nested calls");
    }
    own->run->target = NULL;
    return ok;
}

// ---- step{ name =, about =, apply =, inputs = } ----------------------------------------------------

static void read_name(lua_State *L, own_step *own) {
    lua_getfield(L, 1, "name");
    const char *name = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    if (!name) script_error(L, "step: name must be a text, not a %s", luaL_typename(L, -1));
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("-_.", name[i])) n = 0;
    if (!n || n >= sizeof own->name)
        script_error(L, "step: the name '%.60s' is not made of at most %zu letters, digits, - and _", name,
                     sizeof own->name - 1);
    if (compress_step_find(name)) script_error(L, "step: '%s' is a step already; choose another name", name);
    snprintf(own->name, sizeof own->name, "%s", name);
    lua_getfield(L, 1, "about");
    if (!lua_isnil(L, -1) && lua_type(L, -1) != LUA_TSTRING)
        script_error(L, "step %s: about must be a text, not a %s", name, luaL_typename(L, -1));
    base_clean(own->about, sizeof own->about, lua_isnil(L, -1) ? "a step of this recipe" : lua_tostring(L, -1));
    lua_pop(L, 2);
}

static const base_arg step_args[] = {
    {"inputs", BASE_TEXT, 0, 0, 0, "wanted", "wanted|needed|none",
     "whether the layer's inputs are looked at: where there is calibration data, always, never"},
};

int recipe_own_step(lua_State *L) {
    static const char *const fields[] = {"name", "about", "apply", NULL};
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    base_value inputs;
    base_arg_defaults(step_args, 1, &inputs);
    recipe_read_args(L, 1, "step", step_args, 1, &inputs, fields);
    own_step *own = lua_newuserdatauv(L, sizeof *own, 0);
    memset(own, 0, sizeof *own);
    // Plans point to it, so it lives as long as the state.
    lua_pushvalue(L, -1);
    luaL_ref(L, LUA_REGISTRYINDEX);
    own->run = recipe_of(L);
    read_name(L, own);
    compress_own_step_init(&own->step, own->name, own->about);
    own->step.make = make_terms;
    own->step.context = own;
    own->step.data = inputs.text[0] == 'w'                ? COMPRESS_WANTS_GRAM
                     : strcmp(inputs.text, "needed") == 0 ? COMPRESS_NEEDS_GRAM
                                                          : 0;
    lua_getfield(L, 1, "apply");
    if (!lua_isfunction(L, -1))
        script_error(L, "step %s: apply must be a function(w, ctx), not a %s", own->name, luaL_typename(L, -1));
    own->function = luaL_ref(L, LUA_REGISTRYINDEX);
    compress_step *step = lua_newuserdatauv(L, sizeof *step, 0);
    memset(step, 0, sizeof *step);
    step->kind = &own->step.kind;
    luaL_setmetatable(L, RECIPE_STEP);
    return 1;
}

int recipe_open_own_steps(lua_State *L) {
    static const luaL_Reg of_term[] = {{"__gc", free_own_term}, {"__index", index_own_term}, {NULL, NULL}};
    luaL_newmetatable(L, OWN_TERM);
    luaL_setfuncs(L, of_term, 0);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
    return script_open_matrix(L);
}
