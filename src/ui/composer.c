// The composer: rules of the recipe as rows - layers, steps, arguments - that are added, changed, moved and removed;
// the Lua is written along.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ui/composer.h"
#include "ui/layers.h"

ON(on_rule_for) {
    const char *brace = strchr(argument, '{'), *space;
    if (!brace) return base_fail(err, "rule-for takes a layer's name and steps: conv1 quantize{ bits = 3 }");
    for (space = brace; space > argument && space[-1] != ' ';) space--;
    if (space == argument) return base_fail(err, "rule-for takes a layer's name before the steps");
    char *layer = base_strndup(argument, (size_t)(space - argument));
    size_t n = strlen(layer);
    while (n > 0 && layer[n - 1] == ' ') layer[--n] = 0;
    bool ok = ui_composer_set(app, layer, space, err);
    if (ok) ui_say(app, UI_NORMAL, "%s: %s", layer, space);
    free(layer);
    return ok;
}

// ---- the rule, step or argument under the cursor -------------------------------------------------

ui_composer *ui_composer_of(const ui_app *app) {
    return ui_part_own(&app->state, &ui_part_composer);
}

static int composer_view(const ui_app *app) {
    for (int i = 0; i < app->view_count; i++)
        if (strcmp(app->views[i].widget ? app->views[i].widget : "", "rules") == 0) return i;
    return -1;
}
static const ui_composer_row *row_here(ui_app *app) {
    ui_composer *c = ui_composer_now(app);
    int view = composer_view(app), row = view < 0 ? 0 : app->views[view].scroll.cursor;
    return c->row_count ? &c->row[row < c->row_count ? row : c->row_count - 1] : NULL;
}

// The composer with its rules readable, and the row under the cursor; NULL with the reason.
static ui_composer *begin(ui_app *app, const ui_composer_row **row, base_err *err) {
    if (!ui_recipe_ready(app, err)) return NULL;
    ui_composer *c = ui_composer_now(app);
    *row = row_here(app);
    if (!c->readable)
        base_fail(err, "%s; :new-recipe begins one that has", c->why);
    else if (!*row)
        base_fail(err, "the recipe has no rule yet; a adds one");
    else
        return c;
    return NULL;
}
static const ui_rule_step *step_here(ui_app *app, const ui_composer_row **row, base_err *err) {
    ui_composer *c = begin(app, row, err);
    if (!c) return NULL;
    const ui_rule *r = &c->rules.rule[(*row)->rule];
    if ((*row)->step >= 0 && ui_composer_kind(&r->step[(*row)->step])) return &r->step[(*row)->step];
    if ((*row)->step < 0 && r->step_count == 1 && ui_composer_kind(&r->step[0])) return &r->step[0];
    base_fail(err, "put the cursor on a step, such as quantize");
    return NULL;
}

static void go_to(ui_app *app, int rule, int step) {
    ui_composer *c = ui_composer_of(app);
    c->wanted_rule = rule;
    c->wanted_step = step;
}

// The recipe with another text; frees it.
static bool take_text(ui_app *app, char *text, base_err *err) {
    bool ok = ui_recipe_change(app, app->recipe->path, text, err);
    free(text);
    return ok;
}

// The rule as it is now in `rule` takes its old place.
static bool put_rule(ui_app *app, int index, const ui_rule *rule, base_err *err) {
    ui_composer *c = ui_composer_of(app);
    const char *text = app->recipe->text;
    if (!ui_composer_check(app, rule, c->rules.rule[index].line, err)) return false;
    char *written = ui_rule_write(rule, ui_rules_indent(text, &c->rules));
    char *changed = ui_rules_replace(text, &c->rules, index, written);
    free(written);
    return take_text(app, changed, err);
}

// A copy of a rule, to be changed.
static ui_rule copy_rule(const ui_rule *r) {
    ui_rule copy;
    base_err ignored;
    char *steps = ui_composer_steps(r);
    if (!ui_rules_steps(steps, &copy, &ignored)) copy = (ui_rule){0};
    free(steps);
    copy.expression = base_strdup(r->expression);
    copy.pattern = base_strdup(r->pattern);
    return copy;
}

// ---- rules -------------------------------------------------------------------------------------

// "marked" stands for the layers with a mark, a layer's own name for that layer alone; the rest are patterns.
static char *pattern_of(const ui_app *app, const char *typed, base_err *err) {
    const ui_names *marked = ui_layers_marked(app);
    if (strcmp(typed, "marked") == 0) {
        if (marked->count) return ui_rules_pattern((const char *const *)marked->name, marked->count);
        base_fail(err, "no layer is marked; m marks one in the Layers panel");
        return NULL;
    }
    for (int i = 0; i < app->state.layer_count; i++)
        if (strcmp(app->state.layers[i].row.name, typed) == 0) return ui_rules_pattern(&typed, 1);
    ui_search *s = ui_search_new(typed, err);
    ui_search_free(s);
    return s ? base_strdup(typed) : NULL;
}
OFFER(layers_offer) {
    (void)typed;
    char note[64];
    int marked = ui_layers_marked(app)->count;
    snprintf(note, sizeof note, "the %d layer%s with a mark", marked, marked == 1 ? "" : "s");
    if (marked) ui_palette_offer(&app->palette, "marked", note);
    ui_palette_offer(&app->palette, ".*", "every layer");
    ui_palette_offer(&app->palette, "first|last", "the first and the last layer");
    for (int i = 0; i < app->state.layer_count; i++)
        ui_palette_offer(&app->palette, app->state.layers[i].row.name, app->state.layers[i].row.shape);
}

static void set_pattern(ui_rule *rule, char *pattern) {
    base_buf b = {0};
    ui_lua_quote(&b, pattern);
    free(rule->pattern);
    free(rule->expression);
    rule->pattern = pattern;
    rule->expression = b.text;
}

ON(on_rule_add) {
    if (!argument[0]) {
        ui_typing_start(app, UI_PROMPT_COMMAND, ui_layers_marked(app)->count ? "rule-add marked" : "rule-add ", false);
        return true;
    }
    if (!ui_recipe_ready(app, err)) return false;
    ui_composer *c = ui_composer_now(app);
    if (!c->readable) { // a recipe whose rules cannot be read gives way to a new one
        char *fresh = ui_recipe_fresh(app);
        bool ok = ui_recipe_change(app, "composed.lua", fresh, err);
        free(fresh);
        if (!ok) return false;
        c = ui_composer_now(app);
    }
    char *pattern = pattern_of(app, argument, err);
    if (!pattern) return false;
    ui_rule rule = {0};
    bool ok = ui_rules_steps("quantize{ bits = 4 }", &rule, err);
    set_pattern(&rule, pattern);
    // Before the one under the cursor: behind a rule for all layers it would never be reached.
    const ui_composer_row *row = row_here(app);
    int at = row ? (int)row->rule : 0;
    char *written = ui_rule_write(&rule, ui_rules_indent(app->recipe->text, &c->rules));
    ok = ok && take_text(app, ui_rules_insert(app->recipe->text, &c->rules, at, written), err);
    if (ok) {
        c->open_rule = at, c->open_step = 0;
        go_to(app, at, 0);
    }
    free(written);
    ui_rule_free(&rule);
    return ok;
}

ON(on_rule_layers) {
    const ui_composer_row *row;
    ui_composer *c = begin(app, &row, err);
    if (!c) return false;
    const ui_rule *r = &c->rules.rule[row->rule];
    if (!r->expression) return base_fail(err, "these rules are made by the recipe itself; e changes its text");
    if (!argument[0]) {
        char *line = base_sprintf("rule-layers %s", r->pattern ? r->pattern : "");
        ui_typing_start(app, UI_PROMPT_COMMAND, line, false);
        free(line);
        return true;
    }
    char *pattern = pattern_of(app, argument, err);
    if (!pattern) return false;
    ui_rule copy = copy_rule(r);
    set_pattern(&copy, pattern);
    bool ok = put_rule(app, (int)row->rule, &copy, err);
    ui_rule_free(&copy);
    return ok;
}

// ---- steps -------------------------------------------------------------------------------------

ON(on_step_add) {
    const ui_composer_row *row;
    ui_composer *c = begin(app, &row, err);
    if (!c) return false;
    const ui_rule *r = &c->rules.rule[row->rule];
    if (!r->expression) return base_fail(err, "these rules are made by the recipe itself; e changes its text");
    if (!argument[0]) {
        ui_typing_start(app, UI_PROMPT_COMMAND, "step-add ", true);
        return true;
    }
    bool bare = !strchr(argument, '{'), rank = strcmp(argument, "lowrank") == 0; // the one that needs to be told more
    char *steps = bare ? base_sprintf("%s{%s}", argument, rank ? " rank = 8 " : "") : base_strdup(argument);
    ui_rule added, copy;
    bool ok = ui_rules_steps(steps, &added, err);
    free(steps);
    if (!ok) return false;
    copy = copy_rule(r);
    int at = row->step < 0 ? copy.step_count : (int)row->step + 1;
    copy.step = base_realloc(copy.step, (size_t)(copy.step_count + added.step_count) + 1, sizeof *copy.step);
    memmove(copy.step + at + added.step_count, copy.step + at, (size_t)(copy.step_count - at) * sizeof *copy.step);
    if (added.step_count) memcpy(copy.step + at, added.step, (size_t)added.step_count * sizeof *added.step);
    copy.step_count += added.step_count;
    added.step_count = 0;
    int rule = (int)row->rule;
    ok = put_rule(app, rule, &copy, err);
    if (ok) {
        c->open_rule = rule, c->open_step = at;
        go_to(app, rule, at);
    }
    ui_rule_free(&added);
    ui_rule_free(&copy);
    return ok;
}
OFFER(step_offer) {
    (void)typed;
    for (size_t i = 0; i < compress_step_count; i++)
        ui_palette_offer(&app->palette, compress_steps[i]->name, compress_steps[i]->help);
}

static void free_step_at(ui_rule *rule, int at) {
    ui_rule one = {.step = base_alloc(sizeof *one.step), .step_count = 1};
    one.step[0] = rule->step[at];
    ui_rule_free(&one);
    memmove(rule->step + at, rule->step + at + 1, (size_t)(rule->step_count - at - 1) * sizeof *rule->step);
    rule->step_count--;
}

static bool set_arg(ui_app *app, const ui_composer_row *row, const char *name, const char *value, base_err *err);

ON(on_rule_remove) {
    (void)argument;
    const ui_composer_row *row;
    ui_composer *c = begin(app, &row, err);
    if (!c) return false;
    int rule = (int)row->rule, step = (int)row->step;
    const ui_rule *r = &c->rules.rule[rule];
    if (row->arg >= 0) return set_arg(app, row, ui_composer_kind(&r->step[step])->args[row->arg].name, NULL, err);
    if (step < 0) {
        if (c->rules.count == 1) return base_fail(err, "a recipe has one rule at least; c changes its layers");
        return take_text(app, ui_rules_remove(app->recipe->text, &c->rules, rule), err);
    }
    ui_rule copy = copy_rule(r);
    free_step_at(&copy, step);
    c->open_rule = -1;
    bool ok = put_rule(app, rule, &copy, err);
    go_to(app, rule, step > 0 ? step - 1 : -1);
    ui_rule_free(&copy);
    return ok;
}

static bool move_by(ui_app *app, int direction, base_err *err) {
    const ui_composer_row *row;
    ui_composer *c = begin(app, &row, err);
    if (!c) return false;
    int rule = (int)row->rule, step = (int)row->step;
    int to = (step < 0 ? rule : step) + direction;
    int count = step < 0 ? c->rules.count : c->rules.rule[rule].step_count;
    if (to < 0 || to >= count) return base_fail(err, "it stands %s already", direction < 0 ? "first" : "last");
    c->open_rule = -1;
    if (step < 0) {
        bool ok = take_text(app, ui_rules_swap(app->recipe->text, &c->rules, direction < 0 ? to : rule), err);
        if (ok) go_to(app, to, -1);
        return ok;
    }
    ui_rule copy = copy_rule(&c->rules.rule[rule]);
    ui_rule_step other = copy.step[step];
    copy.step[step] = copy.step[to];
    copy.step[to] = other;
    bool ok = put_rule(app, rule, &copy, err);
    if (ok) go_to(app, rule, to);
    ui_rule_free(&copy);
    return ok;
}
ON(on_move_up) {
    (void)argument;
    return move_by(app, -1, err);
}
ON(on_move_down) {
    (void)argument;
    return move_by(app, 1, err);
}

// ---- arguments ---------------------------------------------------------------------------------

// value NULL: left out, so that the step's own holds.
static bool set_arg(ui_app *app, const ui_composer_row *row, const char *name, const char *value, base_err *err) {
    ui_composer *c = ui_composer_of(app);
    int rule = (int)row->rule, at = row->step < 0 ? 0 : (int)row->step, i = 0;
    ui_rule copy = copy_rule(&c->rules.rule[rule]);
    ui_rule_step *s = &copy.step[at];
    while (i < s->arg_count && strcmp(s->arg[i].name, name) != 0) i++;
    if (i < s->arg_count) {
        free(s->arg[i].value);
        s->arg[i].value = base_strdup(value);
        if (!value) {
            free(s->arg[i].name);
            memmove(s->arg + i, s->arg + i + 1, (size_t)(s->arg_count - i - 1) * sizeof *s->arg);
            s->arg_count--;
        }
    } else if (value) {
        s->arg = base_realloc(s->arg, (size_t)s->arg_count + 1, sizeof *s->arg);
        s->arg[s->arg_count++] = (ui_rule_arg){base_strdup(name), base_strdup(value)};
    }
    ui_step_rewrite(s);
    bool ok = put_rule(app, rule, &copy, err);
    ui_rule_free(&copy);
    return ok;
}

// As Lua: texts in quotes, numbers and names as they are.
static char *as_lua(const base_arg *arg, const char *typed) {
    bool quoted = typed[0] == '"' || typed[0] == '\'' || typed[0] == '[';
    if (arg->type != BASE_TEXT || quoted) return base_strdup(typed);
    base_buf b = {0};
    ui_lua_quote(&b, typed);
    return b.text;
}

static base_param_row *param_named(ui_app *app, const char *name) {
    for (int i = 0; i < app->state.param_count; i++)
        if (strcmp(app->state.params[i].name, name) == 0) return &app->state.params[i];
    return NULL;
}

// Wide ranges double and halve, from 16 where they begin at 0; the others go as params do.
static bool step_value(base_param_row *p, int direction) {
    bool wide = !p->choices[0] && (!isfinite(p->max - p->min) || p->max - p->min > 4096);
    if (!wide) return ui_param_step(p, direction);
    double least = isfinite(p->min) ? p->min : 0, to;
    double first = p->integer ? 16 : p->def > 0 ? p->def : 0.01;
    if (direction > 0)
        to = p->value <= 0 ? first : p->value * 2;
    else
        to = p->integer ? floor(p->value / 2) : p->value / 2;
    if (direction < 0 && p->integer && p->value <= 16) to = least;
    if (isfinite(p->max) && to > p->max) to = p->max;
    if (to < least) to = least;
    if (to == p->value) return false;
    p->value = to;
    return true;
}

static bool change(ui_app *app, int direction, base_err *err) {
    const ui_composer_row *row;
    ui_composer *c = begin(app, &row, err);
    if (!c) return false;
    if (row->arg < 0) { // a step opens and closes
        const ui_rule_step *s = row->step < 0 ? NULL : &c->rules.rule[row->rule].step[row->step];
        bool opens = s && ui_composer_kind(s) && direction > 0;
        c->open_rule = opens ? (int)row->rule : -1;
        c->open_step = opens ? (int)row->step : -1;
        go_to(app, (int)row->rule, (int)row->step);
        return true;
    }
    const ui_rule_step *s = &c->rules.rule[row->rule].step[row->step];
    const base_arg *arg = &ui_composer_kind(s)->args[row->arg];
    base_param_row p, *named;
    const char *expression;
    char text[96];
    ui_composer_value(s, arg, &p, &expression);
    if (expression && (named = param_named(app, expression))) { // the param that it is given as
        if (!ui_param_step(named, direction)) return base_fail(err, "the param %s ends there", named->name);
        ui_say(app, UI_NORMAL, "%s = %s; Enter runs with it.", named->name, ui_param_text(named, text, sizeof text));
        return true;
    }
    if (expression) return base_fail(err, "%s is given as %.80s; = types another value", arg->name, expression);
    if (arg->type == BASE_TEXT && !arg->choices) return base_fail(err, "%s is a text; = types one", arg->name);
    if (!step_value(&p, direction)) return base_fail(err, "%s ends there", arg->name);
    char *value = arg->type == BASE_BOOL ? base_strdup(p.text) : NULL;
    if (!value) value = as_lua(arg, ui_param_text(&p, text, sizeof text));
    bool ok = set_arg(app, row, arg->name, value, err);
    free(value);
    return ok;
}
ON(on_rule_more) {
    (void)argument;
    return change(app, 1, err);
}
ON(on_rule_less) {
    (void)argument;
    return change(app, -1, err);
}
ON(on_rule_open) {
    (void)argument;
    const ui_composer_row *row = row_here(app);
    const ui_composer *c = ui_composer_of(app);
    bool open = row && row->rule == c->open_rule && row->step == c->open_step;
    return row && row->arg >= 0 ? true : change(app, open ? -1 : 1, err);
}

ON(on_step_set) {
    const ui_composer_row *row;
    const ui_rule_step *s = step_here(app, &row, err);
    if (!s) return false;
    const compress_step_kind *kind = ui_composer_kind(s);
    const char *equals = strchr(argument, '=');
    char line[160];
    if (!argument[0] && row->arg >= 0) {
        snprintf(line, sizeof line, "step-set %s=", kind->args[row->arg].name);
        ui_typing_start(app, UI_PROMPT_COMMAND, line, false);
        return true;
    }
    if (!equals || equals == argument) {
        ui_typing_start(app, UI_PROMPT_COMMAND, "step-set ", false);
        return true;
    }
    char *name = base_strndup(argument, (size_t)(equals - argument));
    const base_arg *arg = NULL;
    for (size_t i = 0; i < kind->arg_count; i++)
        if (strcmp(kind->args[i].name, name) == 0) arg = &kind->args[i];
    bool ok = arg || base_fail(err, "%s has no argument %.60s", kind->name, name);
    char *value = ok ? as_lua(arg, equals + 1 + strspn(equals + 1, " ")) : NULL;
    ok = ok && set_arg(app, row, arg->name, value[0] && strcmp(value, "\"\"") ? value : NULL, err);
    free(value);
    free(name);
    return ok;
}
OFFER(set_offer) {
    const ui_composer_row *row;
    base_err ignored;
    const ui_rule_step *s = step_here(app, &row, &ignored);
    const char *equals = strchr(typed, '=');
    char text[200];
    if (!s) return;
    const compress_step_kind *kind = ui_composer_kind(s);
    for (size_t i = 0; i < kind->arg_count; i++) {
        const base_arg *arg = &kind->args[i];
        snprintf(text, sizeof text, "%s=", arg->name);
        if (!equals) ui_palette_offer(&app->palette, text, arg->help);
        if (!equals || strncmp(typed, text, strlen(text)) != 0 || !arg->choices) continue;
        for (const char *at = arg->choices; *at; at += strcspn(at, "|") + (at[strcspn(at, "|")] == '|')) {
            snprintf(text, sizeof text, "%s=%.*s", arg->name, (int)strcspn(at, "|"), at);
            ui_palette_offer(&app->palette, text, "");
        }
    }
}

// ---- params ------------------------------------------------------------------------------------

// Behind recipe{...}, where a param can be declared before anything uses it; 0: no such place.
static size_t behind_recipe(const char *text) {
    int depth = 0;
    bool seen = false;
    for (ui_lua_token t = {0}; (t = ui_lua_next(text, t.to)).kind != UI_LUA_END;) {
        if (t.kind == UI_LUA_NAME && ui_lua_is(text, t, "recipe")) seen = true;
        if (ui_lua_is(text, t, "{")) depth++;
        if (ui_lua_is(text, t, "}") && --depth == 0 && seen) {
            size_t end = t.to + strcspn(text + t.to, "\n");
            return text[end] ? end + 1 : end;
        }
    }
    return 0;
}

static void declare(base_buf *b, const base_arg *arg, const char *name, const char *value) {
    base_buf_printf(b, "local %s = param(\"%s\", %s, {", name, name, value);
    if (arg->type == BASE_TEXT) {
        for (const char *at = arg->choices; *at; at += strcspn(at, "|") + (at[strcspn(at, "|")] == '|'))
            base_buf_printf(b, "%s\"%.*s\"", at > arg->choices ? ", " : "", (int)strcspn(at, "|"), at);
    } else {
        base_buf_printf(b, "%.15g, %.15g", arg->min, arg->max);
    }
    base_buf_puts(b, "}, ");
    ui_lua_quote(b, arg->help);
    base_buf_puts(b, ")\n");
}

ON(on_make_param) {
    (void)argument;
    const ui_composer_row *row;
    const ui_rule_step *s = step_here(app, &row, err);
    if (!s) return false;
    if (row->arg < 0) return base_fail(err, "put the cursor on an argument of the step");
    const base_arg *arg = &ui_composer_kind(s)->args[row->arg];
    base_param_row p;
    const char *expression;
    char text[96];
    ui_composer_value(s, arg, &p, &expression);
    if (expression) return base_fail(err, "%s is given as %.80s already", arg->name, expression);
    if (arg->type == BASE_BOOL || (arg->type == BASE_TEXT && !arg->choices) ||
        (arg->type != BASE_TEXT && !(arg->max > arg->min)))
        return base_fail(err, "%s has no range or choices that a param could have", arg->name);
    char *value = as_lua(arg, ui_param_text(&p, text, sizeof text)), *name = base_strdup(arg->name);
    for (int i = 2; param_named(app, name) || script_recipe_word(name); i++) { // a second one of that name
        free(name);
        name = base_sprintf("%s_%d", arg->name, i);
    }
    char *before = base_strdup(app->recipe->text), *after = NULL;
    size_t at = behind_recipe(before);
    base_buf b = {0};
    base_buf_add(&b, before, at);
    declare(&b, arg, name, value);
    base_buf_puts(&b, before + at);
    bool ok =
        at ? ui_recipe_change(app, app->recipe->path, b.text, err) : base_fail(err, "the recipe has no recipe{...}");
    ui_composer_row there = *row;
    if (ok) {
        ui_composer_now(app);
        ok = set_arg(app, &there, arg->name, name, err);
        after = ok ? NULL : before;
        base_err ignored;
        if (after && !ui_recipe_change(app, app->recipe->path, after, &ignored)) after = NULL;
    }
    if (ok) ui_say(app, UI_NORMAL, "%s is the param %s now; it stands among the Params.", arg->name, name);
    base_buf_free(&b);
    free(before);
    free(value);
    free(name);
    return ok;
}

// ---- the part ----------------------------------------------------------------------------------

static void on_open(ui_app *app, void *state) {
    ui_composer *c = state;
    (void)app;
    c->open_rule = c->open_step = c->wanted_rule = -1;
}
static void on_close(ui_app *app, void *state) {
    ui_composer *c = state;
    (void)app;
    ui_rules_free(&c->rules);
    free(c->row);
    free(c->hits);
    free(c->of);
}

// On a row it goes there; on the name of a step that has the cursor it opens or closes it.
static bool on_click(ui_app *app, void *state, ui_view *view, int x, int y) {
    const ui_composer *c = state;
    int row = view->scroll.top + y;
    base_err ignored;
    (void)x;
    if (strcmp(view->widget, "rules") != 0 || row >= c->row_count) return false;
    bool again = row == view->scroll.cursor && c->row[row].step >= 0 && c->row[row].arg < 0;
    ui_scroll_to(&view->scroll, row);
    return !again || on_rule_open(app, "", &ignored) || true;
}

static const ui_command commands[] = {
    {"rule-for", "NAME STEPS...", "a layer's own rule: conv1 quantize{ bits = 3 }", on_rule_for, NULL, layers_offer},
    {"rule-add", "[LAYERS]", "a rule before this one: a pattern, a layer, or the marked layers", on_rule_add, NULL,
     layers_offer},
    {"rule-layers", "[LAYERS]", "other layers for the rule under the cursor", on_rule_layers, NULL, layers_offer},
    {"rule-remove", "", "remove the rule or step under the cursor; of an argument, its own value", on_rule_remove, NULL,
     NULL},
    {"rule-up", "", "the rule or step under the cursor before the one above", on_move_up, NULL, NULL},
    {"rule-down", "", "the rule or step under the cursor behind the one below", on_move_down, NULL, NULL},
    {"rule-open", "", "the arguments of the step under the cursor, or no longer", on_rule_open, NULL, NULL},
    {"rule-more", "", "open the step; the argument under the cursor one step up", on_rule_more, NULL, NULL},
    {"rule-less", "", "close the step; the argument under the cursor one step down", on_rule_less, NULL, NULL},
    {"step-add", "[NAME]", "a step behind the one under the cursor, with its own values", on_step_add, NULL,
     step_offer},
    {"step-set", "[NAME=VALUE]", "an argument of the step under the cursor; nothing: its own value", on_step_set, NULL,
     set_offer},
    {"make-param", "", "a param of the recipe for the argument under the cursor", on_make_param, NULL, NULL},
};
static const ui_binding bindings[] = {
    {"a", "rule-add", "rules", "add rule"},  {"s", "step-add", "rules", "add step"},
    {"d", "rule-remove", "rules", "remove"}, {"c", "rule-layers", "rules", "layers"},
    {"K", "rule-up", "rules", NULL},         {"J", "rule-down", "rules", NULL},
    {"Space", "rule-open", "rules", NULL},   {"Right", "rule-more", "rules", "open/more"},
    {"l", "rule-more", "rules", NULL},       {"+", "rule-more", "rules", NULL},
    {"Left", "rule-less", "rules", NULL},    {"h", "rule-less", "rules", NULL},
    {"-", "rule-less", "rules", NULL},       {"=", "step-set", "rules", NULL},
    {"p", "make-param", "rules", NULL},      {"u", "undo", "rules", "undo"},
    {"C-r", "redo", "rules", NULL},          {"w", "write", "rules", NULL},
    {"e", "edit-recipe", "rules", NULL},     {"A", "run-on-save", "rules", NULL},
};
static const ui_place places[] = {{"rules", "Keys in the composer"}, {NULL, NULL}};

const ui_part ui_part_composer = {.name = "composer",
                                  UI_LIST(command, commands),
                                  UI_LIST(binding, bindings),
                                  .functions = ui_composer_functions,
                                  .function_count = 1,
                                  .sources = ui_composer_sources,
                                  .source_count = 1,
                                  .bytes = sizeof(ui_composer),
                                  .open = on_open,
                                  .close = on_close,
                                  .click = on_click,
                                  .places = places};
