// The rules of the recipe as rows - a rule, its steps, the arguments of the step that is open - and how they are drawn.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ui/composer.h"
#include "ui/host.h"

const compress_step_kind *ui_composer_kind(const ui_rule_step *step) {
    return step->name ? compress_step_find(step->name) : NULL;
}

const char *ui_composer_given(const ui_rule_step *step, const char *arg) {
    for (int i = 0; i < step->arg_count; i++)
        if (strcmp(step->arg[i].name, arg) == 0) return step->arg[i].value;
    return NULL;
}

bool ui_composer_value(const ui_rule_step *step, const base_arg *arg, base_param_row *p, const char **expression) {
    const char *given = ui_composer_given(step, arg->name);
    *expression = NULL;
    bool open = arg->min == arg->max;
    *p = (base_param_row){
        .value = arg->def, .def = arg->def, .min = open ? NAN : arg->min, .max = open ? NAN : arg->max};
    snprintf(p->name, sizeof p->name, "%s", arg->name);
    p->integer = arg->type == BASE_INT;
    snprintf(p->choices, sizeof p->choices, "%s",
             arg->type == BASE_BOOL ? "false|true"
             : arg->choices         ? arg->choices
                                    : "");
    if (arg->type == BASE_BOOL) snprintf(p->text, sizeof p->text, "%s", arg->def != 0 ? "true" : "false");
    if (arg->type == BASE_TEXT) snprintf(p->text, sizeof p->text, "%s", arg->text_def ? arg->text_def : "");
    if (!given) return false;
    ui_lua_token t = ui_lua_next(given, 0);
    bool negative = ui_lua_is(given, t, "-");
    if (negative) t = ui_lua_next(given, t.to);
    bool whole = given[t.to] == 0;
    char *text = whole && arg->type == BASE_TEXT ? ui_lua_unquote(given, t) : NULL;
    if (text)
        snprintf(p->text, sizeof p->text, "%s", text);
    else if (whole && arg->type == BASE_BOOL && (ui_lua_is(given, t, "true") || ui_lua_is(given, t, "false")))
        snprintf(p->text, sizeof p->text, "%s", given);
    else if (whole && t.kind == UI_LUA_NUMBER && (arg->type == BASE_INT || arg->type == BASE_NUM))
        p->value = strtod(given, NULL);
    else
        *expression = given;
    free(text);
    return true;
}

// ---- made from the text --------------------------------------------------------------------------

static void count_layers(ui_composer *c, const ui_state *s) {
    model_layer *layers = base_calloc((size_t)s->layer_count + 1, sizeof *layers);
    bool *taken = base_calloc((size_t)s->layer_count + 1, 1);
    int *fits = base_calloc((size_t)s->layer_count + 1, sizeof *fits);
    for (int i = 0; i < s->layer_count; i++) layers[i].name = s->layers[i].row.name;
    model net = {.name = s->model[0] ? (char *)(uintptr_t)base_basename(s->model) : "the model",
                 .layers = layers,
                 .layer_count = s->layer_count};
    c->hits = base_realloc(c->hits, (size_t)c->rules.count + 1, sizeof *c->hits);
    c->of = base_realloc(c->of, (size_t)c->rules.count + 1, sizeof *c->of);
    for (int r = 0; r < c->rules.count; r++) {
        base_err ignored;
        compress_rule rule = {.pattern = c->rules.rule[r].pattern};
        compress_plan plan = {.rules = &rule, .rule_count = 1};
        c->hits[r] = c->of[r] = s->layer_count && rule.pattern ? 0 : -1;
        if (c->hits[r] < 0 || !compress_match(&net, &plan, fits, &ignored)) continue;
        for (int i = 0; i < s->layer_count; i++) {
            c->hits[r] += fits[i] == 0;
            c->of[r] += fits[i] == 0 && !taken[i];
            taken[i] |= fits[i] == 0;
        }
    }
    free(layers);
    free(taken);
    free(fits);
}

static void add_row(ui_composer *c, int rule, int step, int arg, const char *text) {
    c->row = base_realloc(c->row, (size_t)c->row_count + 1, sizeof *c->row);
    ui_composer_row *r = &c->row[c->row_count++];
    *r = (ui_composer_row){.rule = rule, .step = step, .arg = arg};
    base_clean(r->text, sizeof r->text, text);
}

static void make_rows(ui_composer *c) {
    c->row_count = 0;
    for (int i = 0; c->readable && i < c->rules.count; i++) {
        const ui_rule *r = &c->rules.rule[i];
        add_row(c, i, -1, -1, r->pattern ? r->pattern : r->expression ? r->expression : r->text);
        for (int k = 0; k < r->step_count; k++) {
            const compress_step_kind *kind = ui_composer_kind(&r->step[k]);
            add_row(c, i, k, -1, r->step[k].text);
            bool open = kind && i == c->open_rule && k == c->open_step;
            for (size_t j = 0; open && j < kind->arg_count; j++) add_row(c, i, k, (int)j, kind->args[j].name);
        }
    }
}

ui_composer *ui_composer_now(ui_app *app) {
    ui_composer *c = ui_composer_of(app);
    const ui_recipe_own *own = ui_recipe_of(app);
    base_err why = {0};
    int64_t layers = app->state.layer_count;
    for (int i = 0; i < app->state.layer_count; i++) layers = layers * 31 + app->state.layers[i].row.name[0];
    bool same = c->version == own->version + 1;
    if (!same) {
        ui_rules_free(&c->rules);
        c->readable = ui_rules_read(ui_recipe_text(app), &c->rules, &why);
        base_clean(c->why, sizeof c->why, why.text);
    }
    if (!same || layers != c->layers) count_layers(c, &app->state);
    c->version = own->version + 1;
    c->layers = layers;
    make_rows(c);
    return c;
}

// ---- drawing -----------------------------------------------------------------------------------

static void draw_rule(ui_area a, int y, const ui_composer *c, const ui_composer_row *row, bool hit) {
    int hits = c->hits[row->rule], of = c->of[row->rule], end = a.r.w;
    char note[48] = "";
    if (hits == 0)
        snprintf(note, sizeof note, "fits no layer");
    else if (hits > 0 && of < hits)
        snprintf(note, sizeof note, "%d of %d layers", of, hits);
    else if (hits > 0)
        snprintf(note, sizeof note, "%d layer%s", hits, hits == 1 ? "" : "s");
    if (note[0]) end = a.r.w - base_columns(note) - 1;
    if (note[0]) ui_put(a, end + 1, y, hits == 0 ? UI_BAD : UI_DIM, note);
    char number[12];
    snprintf(number, sizeof number, "%d", (int)row->rule + 1);
    int x = ui_fit(a, 0, y, 2, UI_RIGHT, UI_DIM, number) + 1;
    ui_fit(a, x, y, end - x, UI_LEFT, hit ? UI_FOUND : UI_STRONG, row->text);
}

static void draw_step(ui_area a, int y, const ui_composer *c, const ui_composer_row *row, bool hit) {
    const ui_rule_step *s = &c->rules.rule[row->rule].step[row->step];
    const compress_step_kind *kind = ui_composer_kind(s);
    bool open = row->rule == c->open_rule && row->step == c->open_step;
    ui_put(a, 3, y, UI_DIM, !kind ? " " : open ? "\xe2\x96\xbe" : "\xe2\x96\xb8");
    if (!kind) {
        ui_fit(a, 5, y, a.r.w - 5, UI_LEFT, hit ? UI_FOUND : UI_DIM, row->text);
        return;
    }
    int x = ui_fit(a, 5, y, base_columns(kind->name), UI_LEFT, hit ? UI_FOUND : UI_KEY, kind->name) + 1;
    for (int i = 0; i < s->arg_count && x < a.r.w; i++) {
        char text[120];
        base_buf b = {0};
        base_buf_printf(&b, "%s=%s", s->arg[i].name, s->arg[i].value);
        base_clean(text, sizeof text, b.text);
        base_buf_free(&b);
        x = ui_fit(a, x, y, base_columns(text) < a.r.w - x ? base_columns(text) : a.r.w - x, UI_LEFT, UI_NORMAL, text) +
            1;
    }
}

static void draw_arg(ui_area a, int y, const ui_composer *c, const ui_composer_row *row, bool here, bool hit) {
    const ui_rule_step *s = &c->rules.rule[row->rule].step[row->step];
    const base_arg *arg = &ui_composer_kind(s)->args[row->arg];
    base_param_row p;
    const char *expression;
    char value[120], range[170] = "";
    bool given = ui_composer_value(s, arg, &p, &expression);
    if (expression)
        base_clean(value, sizeof value, expression);
    else if (arg->type == BASE_TEXT)
        base_clean(value, sizeof value, p.text);
    else
        ui_param_text(&p, value, sizeof value);
    ui_style style = given ? UI_STRONG : UI_DIM;
    ui_fit(a, 7, y, 12, UI_LEFT, hit ? UI_FOUND : given ? UI_NORMAL : UI_DIM, arg->name);
    int x = ui_put(a, 20, y, here ? UI_KEY : UI_DIM, here ? "< " : "  ");
    x = ui_fit(a, x, y, 10, UI_CENTRE, style, value);
    x = ui_put(a, x, y, here ? UI_KEY : UI_DIM, here ? " >" : "  ") + 1;
    if (p.choices[0])
        snprintf(range, sizeof range, "%s", p.choices);
    else if (arg->type != BASE_TEXT && isfinite(p.min) && isfinite(p.max))
        snprintf(range, sizeof range, "%g .. %g", p.min, p.max);
    ui_fit(a, x, y, a.r.w - x, UI_LEFT, UI_DIM, range);
}

// What the row under the cursor means, in two rows at the bottom.
static void draw_about(ui_area a, const ui_composer *c, const ui_composer_row *row) {
    const ui_rule *r = &c->rules.rule[row->rule];
    const compress_step_kind *kind = row->step >= 0 ? ui_composer_kind(&r->step[row->step]) : NULL;
    if (kind && row->arg >= 0)
        ui_wrap(a, 0, UI_DIM, kind->args[row->arg].help);
    else if (kind)
        ui_wrap(a, 0, UI_DIM, kind->help);
    else if (row->step >= 0)
        ui_wrap(a, 0, UI_DIM, "A step of the recipe's own making: moved and removed here, changed in the text (e).");
    else if (!r->expression)
        ui_wrap(a, 0, UI_DIM, "Rules that the recipe makes itself: moved and removed here, changed in the text (e).");
    else
        ui_wrap(a, 0, UI_DIM, "A layer gets the first rule whose pattern fits its name.");
}

static void draw_rules(ui_app *app, ui_area a, ui_look *look) {
    ui_composer *c = ui_composer_now(app);
    for (int i = 0; c->wanted_rule >= 0 && i < c->row_count; i++)
        if (c->row[i].rule == c->wanted_rule && c->row[i].step == c->wanted_step && c->row[i].arg < 0)
            look->scroll->cursor = i;
    c->wanted_rule = -1;
    if (!c->readable) {
        ui_scroll_fit(look->scroll, 0, a.r.h);
        base_buf b = {0};
        base_buf_printf(&b, "%s. a begins a new recipe with rules.", c->why);
        if (b.text[0] >= 'a' && b.text[0] <= 'z') b.text[0] = (char)(b.text[0] - 32);
        ui_wrap(a, 0, UI_DIM, b.text);
        base_buf_free(&b);
        return;
    }
    int about = a.r.h >= 6 ? 2 : 0;
    ui_area list = ui_sub(a, 0, 0, a.r.w, a.r.h - about);
    ui_scroll_fit(look->scroll, c->row_count, list.r.h);
    for (int y = 0; y < list.r.h && look->scroll->top + y < c->row_count; y++) {
        const ui_composer_row *row = &c->row[look->scroll->top + y];
        bool here = look->scroll->top + y == look->scroll->cursor, hit = ui_search_hit(look->search, row->text);
        if (row->step < 0)
            draw_rule(list, y, c, row, hit);
        else if (row->arg < 0)
            draw_step(list, y, c, row, hit);
        else
            draw_arg(list, y, c, row, here && look->focused, hit);
        if (here && look->focused) ui_reverse(list, 0, y, row->arg < 0 ? list.r.w : 19);
    }
    if (about && c->row_count) draw_about(ui_sub(a, 0, a.r.h - about, a.r.w, about), c, &c->row[look->scroll->cursor]);
}

HOST(h_rules) {
    APP;
    (void)c;
    if (!ui_host_drawing(app, err)) return false;
    ui_look look = ui_host_look(app, "rules", ui_source_find("rules"));
    draw_rules(app, ui_host_take(app), &look);
    return true;
}
const script_function ui_composer_functions[] = {
    {"rules", "() the recipe's rules as rows that can be changed", h_rules}};
const size_t ui_composer_function_count = 1;

// ---- rows --------------------------------------------------------------------------------------

#define F_INT(name, help)                                                                                              \
    { #name, "", help, BASE_F_INT, offsetof(ui_composer_row, name), sizeof(int64_t) }
static const base_field fields[] = {
    F_INT(rule, "number of the rule, from 0"),
    F_INT(step, "number of the step, -1: the rule itself"),
    F_INT(arg, "number of the argument, -1: the step itself"),
    {"text", "", "pattern, step or argument", BASE_F_TEXT, offsetof(ui_composer_row, text),
     sizeof((ui_composer_row *)0)->text},
};
static int count_rows(const ui_state *s) {
    return ((ui_composer *)ui_part_own(s, &ui_part_composer))->row_count;
}
static const void *rows_of(const ui_state *s) {
    return ((ui_composer *)ui_part_own(s, &ui_part_composer))->row;
}
const ui_source ui_composer_sources[] = {
    {"rules", fields, sizeof fields / sizeof *fields, sizeof(ui_composer_row), count_rows, rows_of, "text"}};
const size_t ui_composer_source_count = 1;
