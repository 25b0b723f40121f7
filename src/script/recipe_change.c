// recipe_change: change(layer, step, ...) - a layer's own steps, named before the rules that they go before - and the
// steps typed for a layer while a run waits before it, which are recorded as such a line.
#include "script/recipe.h"

#include <stdlib.h>
#include <string.h>

void recipe_changes_free(recipe_run *run) {
    for (int i = 0; i < run->change_count; i++) {
        free(run->changes[i].rule.pattern);
        free(run->changes[i].rule.steps);
    }
    free(run->changes);
    run->changes = NULL;
    run->change_count = 0;
}

// Whether a step can be written down: one defined in the recipe or read from a file cannot.
static bool writable(const compress_step *s, const char **why) {
    *why = compress_step_find(s->kind->name) != s->kind ? "is defined in the recipe" : NULL;
    for (size_t i = 0; !*why && s->kind->file_arg && i < s->kind->arg_count; i++)
        if (strcmp(s->kind->args[i].name, s->kind->file_arg) == 0 && s->value[i].text[0]) *why = "reads a file";
    return !*why;
}

// change(layer, step, ... [, call])
int recipe_change(lua_State *L) {
    recipe_run *run = recipe_of(L);
    int n = lua_gettop(L), call = 1;
    if (lua_type(L, 1) != LUA_TSTRING)
        script_error(L, "change: its first argument is the name of a layer, not a %s", luaL_typename(L, 1));
    if (n > 1 && lua_isinteger(L, n)) {
        lua_Integer which = lua_tointeger(L, n--);
        if (which < 1 || which > 1000000) script_error(L, "change: the call of compress is counted from 1");
        call = (int)which;
    }
    for (int i = 2; i <= n; i++) {
        const compress_step *step = luaL_testudata(L, i, RECIPE_STEP);
        const char *why;
        if (!step)
            script_error(L, "change(\"%.60s\"): argument %d is a %s; a step was expected, such as quantize{ bits = 4 }",
                         lua_tostring(L, 1), i, luaL_typename(L, i));
        if (!writable(step, &why))
            script_error(L, "change(\"%.60s\"): %s %s, so it belongs into a rule", lua_tostring(L, 1), step->kind->name,
                         why);
    }
    if (run->declare) return 0;
    run->changes = base_realloc(run->changes, (size_t)run->change_count + 1, sizeof *run->changes);
    recipe_hand *c = &run->changes[run->change_count++];
    *c = (recipe_hand){.call = call};
    c->rule.pattern = base_sprintf("^\\Q%s\\E$", lua_tostring(L, 1));
    c->rule.steps = base_calloc((size_t)n, sizeof *c->rule.steps);
    for (int i = 2; i <= n; i++) c->rule.steps[c->rule.step_count++] = *(const compress_step *)lua_touserdata(L, i);
    return 0;
}

// The rules of changes to this call go before all others, the newest first.
void recipe_changes_apply(recipe_run *run, compress_plan *plan) {
    for (int i = 0; i < run->change_count; i++) {
        const recipe_hand *c = &run->changes[i];
        if (c->call != run->compress_calls) continue;
        plan->rules = base_realloc(plan->rules, (size_t)plan->rule_count + 1, sizeof *plan->rules);
        memmove(plan->rules + 1, plan->rules, (size_t)plan->rule_count++ * sizeof *plan->rules);
        compress_rule *r = &plan->rules[0];
        *r = (compress_rule){.pattern = base_strdup(c->rule.pattern), .step_count = c->rule.step_count};
        r->steps = base_calloc((size_t)r->step_count + 1, sizeof *r->steps);
        if (r->step_count) memcpy(r->steps, c->rule.steps, (size_t)r->step_count * sizeof *r->steps);
    }
}

// ---- steps that were typed ---------------------------------------------------------------------

typedef struct typed {
    compress_rule *rule;
    const char *layer;
    char **line;
    int call;
} typed;

// The steps of a rule on the stack, and the line that says the same.
static int take_steps(lua_State *L) {
    typed *t = lua_touserdata(L, 2);
    int steps = (int)lua_rawlen(L, 1);
    base_buf b = {0};
    t->rule->steps = base_calloc((size_t)steps + 1, sizeof *t->rule->steps);
    for (int i = 1; i <= steps; i++) {
        const char *why;
        lua_rawgeti(L, 1, i);
        const compress_step *step = luaL_testudata(L, -1, RECIPE_STEP);
        if (!step) script_error(L, "a step was expected, such as quantize{ bits = 4 }");
        if (!writable(step, &why))
            script_error(L, "%s %s, so it cannot be given to a layer during a run", step->kind->name, why);
        t->rule->steps[t->rule->step_count++] = *step;
        lua_pop(L, 1);
    }
    base_buf_puts(&b, "change(\"");
    for (const char *c = t->layer; *c; c++) base_buf_printf(&b, strchr("\\\"", *c) ? "\\%c" : "%c", *c);
    base_buf_puts(&b, "\"");
    for (int i = 0; i < t->rule->step_count; i++) {
        char *text = compress_step_lua(&t->rule->steps[i]);
        base_buf_printf(&b, ", %s", text);
        free(text);
    }
    if (t->call > 1) base_buf_printf(&b, ", %d", t->call);
    base_buf_puts(&b, ")");
    *t->line = b.text;
    return 0;
}

// In a state of its own, where only the recipe's params are known beside the language, so that nothing of the running
// recipe can be touched.
bool recipe_read_typed(void *context, const char *layer, const char *text, compress_rule *rule, char **line,
                       base_err *err) {
    const recipe_run *running = context;
    static const script_run_options none;
    script_recipe nothing = {0};
    recipe_run run = {.declare = &nothing, .recipe = running->recipe, .options = &none, .named = true};
    lua_State *L = script_state_new("step", SCRIPT_MEMORY, NULL);
    typed t = {.rule = rule, .layer = layer, .line = line, .call = running->compress_calls};
    if (!L) return base_fail(err, "no memory for its Lua state");
    script_set_context(L, &run);
    char *call = base_sprintf("return rule(\".*\", %s)", text);
    rule->pattern = base_strdup(layer);
    bool ok = recipe_open_language(L, &none, err) && recipe_open_params(L, running->recipe, err);
    if (ok) {
        lua_pushcfunction(L, take_steps);
        ok = script_load(L, "the steps", call, err) && script_pcall(L, 0, 1, recipe_declare_seconds, err);
    }
    if (ok) {
        lua_pushlightuserdata(L, &t);
        ok = script_pcall(L, 2, 0, recipe_declare_seconds, err);
    }
    if (!ok && run.working)
        base_fail(err, "steps were expected, such as quantize{ bits = 4 }, and nothing that does work");
    free(call);
    script_state_free(L);
    return ok;
}
