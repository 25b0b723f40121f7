// recipe: loads a recipe's declarations, sets its params, runs it.
#include "script/recipe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

recipe_run *recipe_of(lua_State *L) {
    return script_context(L);
}

void recipe_work(lua_State *L, const char *function) {
    recipe_run *run = recipe_of(L);
    if (!run->named)
        script_error(L, "%s comes before recipe{ name = ..., about = ..., source = ... }, which must stand first",
                     function);
    if (run->target) script_error(L, "%s cannot be called inside a step", function);
    run->working = true;
    // Declarations end here; nothing the recipe catches can carry on.
    if (run->declare) script_stop(L, BASE_OK, "declared");
    script_renew(L);
}

void recipe_done(lua_State *L, bool ok, const base_err *err) {
    script_renew(L);
    if (!ok) script_raise(L, err);
}

static int push_arg(lua_State *L) {
    const script_run_options *options = lua_touserdata(L, 1);
    lua_newtable(L);
    if (options && options->model) {
        lua_pushstring(L, options->model);
        lua_setfield(L, -2, "model");
    }
    if (options && options->data) {
        lua_pushstring(L, options->data);
        lua_setfield(L, -2, "data");
    }
    if (options && options->base) {
        lua_pushstring(L, options->base);
        lua_setfield(L, -2, "base");
    }
    script_global(L, "arg");
    return 0;
}

static const luaL_Reg *const language[] = {recipe_declare_functions, recipe_open_functions,    recipe_step_functions,
                                           recipe_work_functions,    recipe_save_functions,    recipe_train_functions,
                                           recipe_shrink_functions,  recipe_rewrite_functions, recipe_study_functions};
enum { LANGUAGE_PARTS = sizeof language / sizeof *language };

bool script_recipe_word(const char *name) {
    for (size_t i = 0; i < LANGUAGE_PARTS; i++)
        for (const luaL_Reg *f = language[i]; f->name; f++)
            if (strcmp(f->name, name) == 0) return true;
    return strcmp(name, "arg") == 0 || compress_step_find(name) || compress_rewrite_find(name);
}

bool recipe_open_language(lua_State *L, const script_run_options *options, base_err *err) {
    for (size_t i = 0; i < LANGUAGE_PARTS; i++)
        if (!script_register(L, language[i], err)) return false;
    static const lua_CFunction openers[] = {recipe_open_handles, recipe_open_steps, recipe_open_own_steps,
                                            recipe_open_study, push_arg};
    for (size_t i = 0; i < sizeof openers / sizeof *openers; i++) {
        lua_pushcfunction(L, openers[i]);
        lua_pushlightuserdata(L, (void *)(uintptr_t)options);
        if (!script_pcall(L, 1, 0, 0, err)) return false;
    }
    return true;
}

// One pass over the recipe's text, for its declarations or for real.
static bool run_text(recipe_run *run, base_err *err) {
    lua_State *L = script_state_new("recipe", SCRIPT_MEMORY, run->job);
    if (!L) return base_fail(err, "%s: no memory for its Lua state", run->recipe->path);
    script_set_context(L, run);
    bool ok = recipe_open_language(L, run->options, err) && script_load(L, run->recipe->path, run->recipe->text, err) &&
              script_pcall(L, 0, 0, run->declare ? recipe_declare_seconds : recipe_seconds, err);
    script_state_free(L);
    recipe_changes_free(run);
    if (!ok && run->declare && run->working) ok = true;
    if (ok && !run->named)
        return base_fail(err, "%s: has no recipe{ name = ..., about = ..., source = ... } at its top",
                         run->recipe->path);
    return ok;
}

// ---- steps alone -------------------------------------------------------------------------------

static int push_params(lua_State *L) {
    const script_recipe *r = lua_touserdata(L, 1);
    for (size_t i = 0; i < r->param_count; i++) {
        const base_param_row *p = &r->params[i];
        if (p->choices[0])
            lua_pushstring(L, p->text);
        else if (p->integer)
            lua_pushinteger(L, (lua_Integer)p->value);
        else
            lua_pushnumber(L, p->value);
        script_global(L, p->name);
    }
    return 0;
}

bool recipe_open_params(lua_State *L, const script_recipe *r, base_err *err) {
    lua_pushcfunction(L, push_params);
    lua_pushlightuserdata(L, (void *)(uintptr_t)r);
    return script_pcall(L, 1, 0, 0, err);
}

bool script_recipe_check_steps(const script_recipe *r, int line, const char *steps, base_err *err) {
    static const script_run_options none;
    recipe_run run = {.recipe = r, .options = &none, .named = true};
    lua_State *L = script_state_new("recipe", SCRIPT_MEMORY, NULL);
    if (!L) return base_fail(err, "%s: no memory for its Lua state", r->path);
    script_set_context(L, &run);
    base_buf text = {0};
    for (int i = 1; i < line; i++) base_buf_puts(&text, "\n");
    base_buf_printf(&text, "rule(\".*\", %s)", steps);
    bool ok = recipe_open_language(L, &none, err);
    ok = ok && recipe_open_params(L, r, err) && script_load(L, r->path, text.text, err) &&
         script_pcall(L, 0, 0, recipe_declare_seconds, err);
    base_buf_free(&text);
    script_state_free(L);
    return ok;
}

// ---- loading -----------------------------------------------------------------------------------

void script_recipe_free(script_recipe *r) {
    if (!r) return;
    free(r->path);
    free(r->text);
    free(r->hash);
    free(r->name);
    free(r->about);
    free(r->source);
    free(r->params);
    free(r);
}

script_recipe *script_recipe_text(const char *path, const char *text, base_err *err) {
    script_recipe *r = base_alloc(sizeof *r);
    r->path = base_strdup(path);
    r->text = base_strdup(text);
    r->hash = base_alloc(33);
    base_hash_of(text, strlen(text), r->hash);
    recipe_run run = {.declare = r, .recipe = r};
    if (run_text(&run, err)) return r;
    script_recipe_free(r);
    return NULL;
}

static char *shipped_folder(void) {
    return base_join(base_home(), "recipes");
}

// "w4" among the shipped recipes; NULL when there is none.
static char *shipped_path(const char *name) {
    if (strchr(name, '/') || strstr(name, "..")) return NULL;
    char *folder = shipped_folder();
    char *file = base_sprintf("%s/%s%s", folder, name, strcmp(base_extension(name), ".lua") ? ".lua" : "");
    free(folder);
    if (base_is_file(file)) return file;
    free(file);
    return NULL;
}

static bool no_such_recipe(const char *path, base_err *err) {
    base_err ignored;
    size_t count = 0;
    char **names = script_recipe_names(&count, &ignored);
    const char *near = names ? base_nearest(base_basename(path), (const char *const *)names, count) : NULL;
    char clean[256], wanted[64], plain[64];
    const char *other = compress_name_of(path); // published names, and other spellings of a recipe's
    compress_plain_name(wanted, sizeof wanted, path);
    for (size_t i = 0; names && i < count; i++) {
        compress_plain_name(plain, sizeof plain, names[i]);
        if (strcmp(plain, wanted) == 0 || (other && strcmp(names[i], other) == 0)) near = names[i];
    }
    base_clean(clean, sizeof clean, path);
    if (near)
        base_fail(err, "no recipe '%s': there is no such file, and no shipped recipe of that name; the nearest is '%s'",
                  clean, near);
    else
        base_fail(err, "no recipe '%s': there is no such file, and no shipped recipe of that name (see `vise recipes`)",
                  clean);
    if (names) base_names_free(names, count);
    return false;
}

script_recipe *script_recipe_load(const char *path, base_err *err) {
    char *shipped = base_is_file(path) ? NULL : shipped_path(path);
    if (!shipped && !base_is_file(path)) {
        no_such_recipe(path, err);
        return NULL;
    }
    const char *at = shipped ? shipped : path;
    size_t bytes = 0;
    script_recipe *r = NULL;
    char *text = base_read_file(at, SCRIPT_TEXT_LIMIT, &bytes, err);
    if (text && memchr(text, 0, bytes))
        base_fail(err, "%s: is not text (it holds a zero byte)", at);
    else if (text)
        r = script_recipe_text(at, text, err);
    free(text);
    free(shipped);
    return r;
}

char **script_recipe_names(size_t *count, base_err *err) {
    char *folder = shipped_folder();
    size_t all = 0;
    char **names = base_list_dir(folder, &all, err);
    free(folder);
    *count = 0;
    if (!names) return NULL;
    for (size_t i = 0; i < all; i++) {
        size_t n = strlen(names[i]);
        if (n > 4 && strcmp(names[i] + n - 4, ".lua") == 0) {
            names[i][n - 4] = 0;
            names[(*count)++] = names[i];
        } else {
            free(names[i]);
        }
    }
    return names;
}

// ---- params ------------------------------------------------------------------------------------

static base_param_row *find_param(script_recipe *r, const char *name, base_err *err) {
    enum { MOST = 64 };
    const char *names[MOST];
    size_t count = 0;
    base_buf all = {0};
    for (size_t i = 0; i < r->param_count; i++) {
        if (strcmp(r->params[i].name, name) == 0) {
            base_buf_free(&all);
            return &r->params[i];
        }
        if (count < MOST) names[count++] = r->params[i].name;
        base_buf_printf(&all, "%s%s", i ? ", " : "", r->params[i].name);
    }
    char clean[64];
    base_clean(clean, sizeof clean, name);
    const char *near = base_nearest(name, names, count);
    if (near)
        base_fail(err, "recipe %s has no param '%s'; the nearest is '%s'", r->name, clean, near);
    else if (count)
        base_fail(err, "recipe %s has no param '%s'; it has %s", r->name, clean, all.text);
    else
        base_fail(err, "recipe %s has no params, so '%s' cannot be set", r->name, clean);
    base_buf_free(&all);
    return NULL;
}

static bool is_choice(const char *choices, const char *text) {
    size_t n = strlen(text);
    for (const char *at = choices; at;) {
        const char *end = strchr(at, '|');
        size_t length = end ? (size_t)(end - at) : strlen(at);
        if (length == n && memcmp(at, text, n) == 0) return true;
        at = end ? end + 1 : NULL;
    }
    return false;
}

static bool set_number(base_param_row *p, const char *text, base_err *err) {
    char clean[64], *end = NULL;
    base_clean(clean, sizeof clean, text);
    double v = strtod(text, &end);
    if (end == text || *end || !isfinite(v)) return base_fail(err, "param %s is a number, not '%s'", p->name, clean);
    if (p->integer && v != floor(v)) return base_fail(err, "param %s is a whole number, not '%s'", p->name, clean);
    if (v < p->min || v > p->max)
        return base_fail(err, "param %s = %s is outside %g .. %g", p->name, clean, p->min, p->max);
    p->value = v;
    return true;
}

bool script_recipe_set(script_recipe *r, const char *name, const char *text, base_err *err) {
    base_param_row *p = find_param(r, name, err);
    if (!p) return false;
    if (!p->choices[0]) return set_number(p, text, err);
    if (!is_choice(p->choices, text)) {
        char clean[64];
        base_clean(clean, sizeof clean, text);
        return base_fail(err, "param %s = '%s' is not one of %s", p->name, clean, p->choices);
    }
    snprintf(p->text, sizeof p->text, "%s", text);
    return true;
}

// ---- running -----------------------------------------------------------------------------------

bool script_recipe_run(const script_recipe *r, const script_run_options *options, base_job *job, base_err *err) {
    static const script_run_options none;
    recipe_run run = {.recipe = r, .options = options ? options : &none, .job = job};
    base_big_peak_reset();
    if (job) job->cache = run.options->cache;
    bool ok = run_text(&run, err);
    if (job) job->cache = NULL;
    return ok;
}
