// The composer: rules of the recipe as rows - layers, steps, arguments - that are added, changed, moved and removed;
// the Lua is written along.
#include <stdlib.h>
#include <string.h>

#include "ui/composer.h"

// ---- changes of the text -----------------------------------------------------------------------

// Names that are neither params nor words of the language: the recipe's own, which a check of steps alone cannot know.
static bool has_own_names(const ui_app *app, const char *steps) {
    bool own = false;
    for (ui_lua_token t = {0}; (t = ui_lua_next(steps, t.to)).kind != UI_LUA_END && !own;) {
        if (t.kind != UI_LUA_NAME) continue;
        char *name = base_strndup(steps + t.from, t.to - t.from);
        size_t next = t.to + strspn(steps + t.to, " \t\n");
        bool key = (steps[next] == '=' && steps[next + 1] != '=') || (t.from > 0 && steps[t.from - 1] == '.');
        bool known = key || steps[next] == '{' || script_recipe_word(name);
        for (int i = 0; i < app->state.param_count && !known; i++) known = strcmp(app->state.params[i].name, name) == 0;
        own = !known;
        free(name);
    }
    return own;
}

char *ui_composer_steps(const ui_rule *rule) {
    base_buf b = {0};
    base_buf_puts(&b, "");
    for (int i = 0; i < rule->step_count; i++) base_buf_printf(&b, "%s%s", i ? ", " : "", rule->step[i].text);
    return b.text;
}

bool ui_composer_check(const ui_app *app, const ui_rule *rule, int line, base_err *err) {
    script_recipe r = app->recipe ? *app->recipe : (script_recipe){.path = "composed.lua"};
    char *steps = ui_composer_steps(rule);
    bool ok = true;
    if (steps[0] && !has_own_names(app, steps)) {
        r.params = app->state.params;
        r.param_count = (size_t)app->state.param_count;
        ok = script_recipe_check_steps(&r, line, steps, err);
    }
    free(steps);
    return ok;
}

static int exact_rule(const ui_rules *rules, const char *pattern) {
    for (int i = 0; i < rules->count; i++)
        if (rules->rule[i].pattern && strcmp(rules->rule[i].pattern, pattern) == 0) return i;
    return -1;
}

// The recipe's text with rules in it: its own, or a new one's. Caller frees; *path is what it is called.
static char *text_with_rules(const ui_app *app, ui_rules *rules, const char **path, base_err *err) {
    *path = app->recipe ? app->recipe->path : "composed.lua";
    char *text = base_strdup(app->recipe ? app->recipe->text : "");
    if (ui_rules_read(text, rules, err)) return text;
    free(text);
    text = ui_recipe_fresh(app);
    *path = "composed.lua";
    if (ui_rules_read(text, rules, err)) return text;
    free(text);
    return NULL;
}

bool ui_composer_set(ui_app *app, const char *layer, const char *steps_lua, base_err *err) {
    ui_rule rule;
    ui_rules rules;
    const char *path;
    if (!ui_recipe_ready(app, err)) return false;
    if (!ui_rules_steps(steps_lua, &rule, err)) { // the loader says more about what is wrong
        script_recipe r = {.path = app->recipe ? app->recipe->path : "composed.lua"};
        base_err told = {0};
        if (!script_recipe_check_steps(&r, 1, steps_lua, &told)) *err = told;
        return false;
    }
    char *text = text_with_rules(app, &rules, &path, err), *changed = NULL;
    if (!text) {
        ui_rule_free(&rule);
        return false;
    }
    rule.pattern = ui_rules_pattern(&layer, 1);
    base_buf quoted = {0};
    ui_lua_quote(&quoted, rule.pattern);
    rule.expression = base_strdup(quoted.text);
    base_buf_free(&quoted);
    int at = exact_rule(&rules, rule.pattern);
    int line = rules.count ? rules.rule[at < 0 ? 0 : at].line : 1;
    char *written = ui_rule_write(&rule, ui_rules_indent(text, &rules));
    bool ok = ui_composer_check(app, &rule, line, err);
    if (ok) {
        changed = at < 0 ? ui_rules_insert(text, &rules, 0, written) : ui_rules_replace(text, &rules, at, written);
        ok = ui_recipe_change(app, path, changed, err);
    }
    free(changed);
    free(written);
    free(text);
    ui_rules_free(&rules);
    ui_rule_free(&rule);
    return ok;
}
