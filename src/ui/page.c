// Pages: lines of text in a popup, wrapped to its width and searchable - the help, made from the tables of keys and
// commands, and the page of a method with its formula and paper, from compress's tables.
#include <stdlib.h>
#include <string.h>

#include "ui/layers.h"

void ui_page_clear(ui_page *p) {
    for (int i = 0; i < p->count; i++) free(p->line[i].text);
    free(p->line);
    *p = (ui_page){0};
}

static void add_line(ui_page *p, ui_style style, char *text) {
    if (p->count == p->capacity) {
        p->capacity = p->capacity ? p->capacity * 2 : 64;
        p->line = base_realloc(p->line, (size_t)p->capacity, sizeof *p->line);
    }
    p->line[p->count++] = (ui_page_line){style, text};
}

// Bytes of `text` that fit `width` columns, to the last blank where that is not at the very beginning.
static size_t piece(const char *text, int width) {
    const char *at = text, *blank = NULL;
    int columns = 0;
    while (*at) {
        const char *next = at;
        int w = ui_char_width(ui_next_char(&next));
        if (columns + w > width) return (size_t)((blank ? blank : at > text ? at : next) - text);
        if (*at == ' ' && at > text) blank = at;
        columns += w;
        at = next;
    }
    return (size_t)(at - text);
}

// What does not fit goes on below, `hang` columns in.
void ui_page_add(ui_page *p, ui_style style, int hang, const char *text) {
    char *clean = base_strdup(text);
    base_clean(clean, strlen(text) + 1, text);
    const char *rest = clean;
    bool first = true;
    if (hang > p->width / 2) hang = 2;
    do {
        int indent = first ? 0 : hang;
        size_t n = piece(rest, p->width - indent > 4 ? p->width - indent : 4);
        add_line(p, style, base_sprintf("%*s%.*s", indent, "", (int)n, rest));
        rest += n;
        rest += strspn(rest, " ");
        first = false;
    } while (*rest);
    free(clean);
}

// A text of several lines. Those that were broken only because they were long flow together again.
static void add_text(ui_page *p, const char *text) {
    enum { BROKEN = 76 }; // columns from which a line end is taken for wrapping
    base_buf line = {0};
    while (*text) {
        size_t n = strcspn(text, "\n");
        base_buf_add(&line, text, n);
        text += n + (text[n] == '\n');
        bool flows = n >= BROKEN && *text && *text != ' ' && *text != '\n';
        if (flows) {
            base_buf_puts(&line, " ");
            continue;
        }
        ui_page_add(p, UI_NORMAL, (int)strspn(line.text ? line.text : "", " "), line.text ? line.text : "");
        base_buf_free(&line);
        line = (base_buf){0};
    }
    base_buf_free(&line);
}

// ---- methods -----------------------------------------------------------------------------------

static void add_argument(ui_page *p, const base_arg *a) {
    char text[700], def[48] = "", range[400] = "";
    if (a->type == BASE_TEXT) {
        snprintf(def, sizeof def, "%s", a->text_def ? a->text_def : "-");
        if (a->choices) snprintf(range, sizeof range, "; %s", a->choices);
        for (char *c = range; *c; c++)
            if (*c == '|') *c = ' '; // so that long lists can be broken
    } else if (a->type == BASE_BOOL) {
        snprintf(def, sizeof def, "%s", a->def != 0 ? "true" : "false");
    } else {
        snprintf(def, sizeof def, "%g", a->def);
        snprintf(range, sizeof range, "; %g .. %g", a->min, a->max);
    }
    snprintf(text, sizeof text, "  %-13s %-9s %s%s", a->name, def, a->help ? a->help : "", range);
    ui_page_add(p, UI_NORMAL, 26, text);
}

static void add_page(ui_page *p, const char *kind, const char *name, const char *help, const char *about,
                     const char *cost, const char *source) {
    char text[1200];
    if (p->count) ui_page_add(p, UI_NORMAL, 0, "");
    snprintf(text, sizeof text, "%s (%s): %s", name, kind, help ? help : "");
    ui_page_add(p, UI_HEADING_HERE, 2, text);
    if (about) add_text(p, about);
    snprintf(text, sizeof text, "Source: %s", source ? source : "-");
    ui_page_add(p, UI_ACCENT, 8, text);
    snprintf(text, sizeof text, "Data and cost: %s", cost ? cost : "-");
    ui_page_add(p, UI_DIM, 15, text);
}

static void add_arguments(ui_page *p, const base_arg *args, size_t count) {
    if (count) ui_page_add(p, UI_STRONG, 0, "Arguments, defaults, ranges:");
    for (size_t i = 0; i < count; i++) add_argument(p, &args[i]);
}

static void add_method(ui_page *p, const compress_method *m) {
    char kind[80];
    snprintf(kind, sizeof kind, "a method of %s{}", m->step);
    add_page(p, kind, m->name, m->help, m->about, m->cost, m->source);
}

// Whether `text` names it: as a word, in a recipe a method stands in quotes and a step before its arguments.
static bool named(const char *text, const char *name, bool lua, bool method) {
    size_t n = strlen(name);
    static const char inside[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    for (const char *at = text; (at = strstr(at, name)); at++) {
        char before = at > text ? at[-1] : ' ', after = at[n];
        if (after && strchr(inside, after)) continue;
        if (lua && (method ? (before != '"' && before != '\'') : (after != '{' && after != '('))) continue;
        if (strchr(inside, before) || before == '.') continue;
        return true;
    }
    return false;
}

// Pages of all methods, rewrites and steps that the text names, the most particular first.
static void pages_in(ui_page *p, const char *text, bool lua, bool arguments) {
    for (size_t i = 0; i < compress_method_count; i++)
        if (named(text, compress_methods[i].name, lua, true)) add_method(p, &compress_methods[i]);
    for (size_t i = 0; i < compress_rewrite_count; i++) {
        const compress_rewrite *k = compress_rewrites[i];
        if (!named(text, k->name, lua, false)) continue;
        add_page(p, "gives a new model", k->name, k->help, k->about, k->cost, k->source);
        if (arguments) add_arguments(p, k->args, k->arg_count);
    }
    for (size_t i = 0; i < compress_step_count; i++) {
        const compress_step_kind *k = compress_steps[i];
        if (!named(text, k->name, lua, false)) continue;
        add_page(p, "a step of recipes", k->name, k->help, k->about, k->cost, k->source);
        if (arguments) add_arguments(p, k->args, k->arg_count);
    }
}

// A recipe's text without its comments.
static char *code_of(const char *text) {
    base_buf out = {0};
    while (*text) {
        size_t n = strcspn(text, "\n"), keep = n;
        for (size_t i = 0; i + 1 < n; i++)
            if (text[i] == '-' && text[i + 1] == '-') {
                keep = i;
                break;
            }
        base_buf_add(&out, text, keep);
        base_buf_puts(&out, "\n");
        text += n + (text[n] == '\n');
    }
    return out.text ? out.text : base_strdup("");
}

static void pages_of_recipe(ui_page *p, const char *name, const script_recipe *r) {
    char *code = code_of(r->text), line[256];
    snprintf(line, sizeof line, "What the recipe %s uses", name);
    ui_page_add(p, UI_STRONG, 2, line);
    if (r->source && r->source[0]) {
        snprintf(line, sizeof line, "Source: %s", r->source);
        ui_page_add(p, UI_ACCENT, 8, line);
    }
    pages_in(p, code, true, false);
    free(code);
}

// The method under the cursor: the layer's steps, else a param's choice, else what the recipe uses.
static void method_page(ui_app *app, ui_page *p) {
    base_err ignored;
    if (app->topic[0] == '*') { // a recipe of the list
        script_recipe *r = script_recipe_load(app->topic + 1, &ignored);
        if (r) pages_of_recipe(p, app->topic + 1, r);
        script_recipe_free(r);
    } else if (app->topic[0]) {
        pages_in(p, app->topic, false, true);
    } else if (app->recipe) {
        pages_of_recipe(p, app->state.recipe, app->recipe);
    }
}

// Text that names what is under the cursor, in app->topic: steps of a layer, a choice, "*recipe", "": the recipe.
static void topic_here(ui_app *app) {
    const ui_state *s = &app->state;
    app->topic[0] = 0;
    if (app->popup == UI_RECIPES) {
        if (app->popup_scroll.cursor < s->recipe_count)
            snprintf(app->topic, sizeof app->topic, "*%s", s->recipes[app->popup_scroll.cursor].name);
        return;
    }
    if (!app->view_count) return;
    const ui_view *v = &app->views[app->focus];
    int row = v->scroll.cursor;
    const char *name = v->source ? v->source->name : "", *text = "";
    if (strcmp(name, "tree") == 0) row = ui_layer_here(app), name = "layers";
    if (strcmp(name, "layers") == 0 && row >= 0 && row < s->layer_count) text = s->layers[row].row.steps;
    if (strcmp(name, "params") == 0 && row < s->param_count) text = s->params[row].text;
    if (strcmp(name, "rules") == 0 || strcmp(name, "code") == 0) { // a rule's step, a line of the recipe
        const base_field *arg = ui_source_field(v->source, "arg");
        double number;
        while (arg && ui_source_number(v->source, s, row, arg, &number) && number >= 0)
            row--; // of an argument: its step
        const char *there = ui_source_text(v->source, s, row, ui_source_field(v->source, "text"));
        text = there ? there : "";
    }
    ui_page found = {.width = 80};
    pages_in(&found, text, false, false);
    if (found.count) snprintf(app->topic, sizeof app->topic, "%s", text);
    ui_page_clear(&found);
}

// A published name, or a method's own in another spelling; NULL: neither, or the name itself.
static const char *page_meant(const char *said) {
    char wanted[64], plain[64];
    compress_plain_name(wanted, sizeof wanted, said);
    for (size_t i = 0; wanted[0] && i < compress_method_count; i++) {
        compress_plain_name(plain, sizeof plain, compress_methods[i].name);
        if (!strcmp(plain, wanted) && strcmp(compress_methods[i].name, said)) return compress_methods[i].name;
    }
    const char *name = compress_name_of(said);
    ui_page found = {.width = 80};
    if (name) pages_in(&found, name, false, false);
    bool here = found.count > 0;
    ui_page_clear(&found);
    return here ? name : NULL;
}

bool ui_method_open(ui_app *app, const char *name, base_err *err) {
    ui_page found = {.width = 80};
    if (name[0]) {
        pages_in(&found, name, false, false);
        bool known = found.count > 0;
        ui_page_clear(&found);
        const char *meant = known ? NULL : page_meant(name);
        if (meant) return ui_method_open(app, meant, err);
        if (!known) return base_fail(err, "there is no method \"%s\"; :method with Tab lists them", name);
        snprintf(app->topic, sizeof app->topic, "%s", name);
    } else {
        topic_here(app);
        if (!app->topic[0] && !app->recipe)
            return base_fail(err, "no method is under the cursor; :method NAME shows one");
    }
    ui_page_open(app, UI_METHOD);
    return true;
}

// ---- the popup ---------------------------------------------------------------------------------

// Made anew when it is opened and when the width is another.
void ui_page_fit(ui_app *app, int width) {
    ui_page *p = &app->page;
    if (width < 10) width = 10;
    if (p->width == width && p->count) return;
    ui_page_clear(p);
    p->width = width;
    if (app->popup == UI_HELP) ui_help_page(app, p);
    if (app->popup == UI_METHOD) method_page(app, p);
    app->popup_scroll.count = p->count;
}

void ui_page_open(ui_app *app, ui_popup popup) {
    app->popup = popup;
    app->popup_scroll = (ui_scroll){0};
    ui_page_clear(&app->page);
    ui_page_fit(app, ui_page_width(app));
}

// Inside the box that draw.c makes for it.
int ui_page_width(const ui_app *app) {
    return ui_layout_popup(app->width, app->height, 100, app->height - 2).w - 4;
}
