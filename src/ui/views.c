// The panels: views/*.lua loaded in order, drawn under a time limit, and a panel that shows its error when its view is
// broken, while the others go on.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ui/part.h"

// Seconds of computing that a view may take for one frame.
#define VIEW_SECONDS 0.05

static double field(const ui_view *v, const char *name, double otherwise, double low, double high) {
    double x = script_view_number(v->lua, name, otherwise);
    return x >= low && x <= high ? x : otherwise;
}

static void view_load(ui_app *app, ui_view *v) {
    base_err err = {0};
    v->error[0] = 0;
    size_t count;
    const script_function *functions = ui_functions(&count);
    v->lua = script_view_open(v->path, functions, count, app, &err);
    // A view that cannot say what it wants gets a modest panel for its error.
    v->slot = (ui_slot){.column = 1, .priority = 0, .weight = 1, .min_w = UI_MIN_WIDTH, .min_h = 4};
    v->order = 99;
    v->widget = "";
    if (!v->lua) {
        snprintf(v->error, sizeof v->error, "%s", err.text);
        return;
    }
    const char *title = script_view_text(v->lua, "title"), *column = script_view_text(v->lua, "column");
    if (title) base_clean(v->title, sizeof v->title, title);
    v->slot.column = column && strcmp(column, "right") == 0;
    v->slot.priority = field(v, "priority", 0, -1e6, 1e6);
    v->slot.weight = field(v, "weight", 1, 0, 1e6);
    v->slot.min_w = (int)field(v, "min_width", UI_MIN_WIDTH, 4, 400);
    v->slot.min_h = (int)field(v, "min_height", 4, 2, 200);
    v->slot.max_h = (int)field(v, "max_height", 0, 0, 1000);
    v->order = field(v, "order", 50, -1e6, 1e6);
}

// ---- tabs --------------------------------------------------------------------------------------

static int tab_add(ui_app *app, const char *title) {
    for (int i = 0; i < app->tab_count; i++)
        if (strcmp(app->tabs[i].title, title) == 0) return i;
    if (app->tab_count == UI_MAX_TABS) return UI_MAX_TABS - 1; // crowded rather than lost
    ui_tab *t = &app->tabs[app->tab_count++];
    *t = (ui_tab){.focus = -1};
    snprintf(t->title, sizeof t->title, "%s", title);
    return app->tab_count - 1;
}

// `tab = "Run, Recipe"`: the tabs a view stands on; without it, Run.
static void place_on_tabs(ui_app *app, ui_view *v, bool home_alone) {
    const char *text = v->lua ? script_view_text(v->lua, "tab") : NULL;
    v->tabs = 0;
    for (const char *at = text ? text : "Run"; at && !(home_alone && v->tabs);
         at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        char title[24], raw[24];
        at += strspn(at, " ");
        size_t n = strcspn(at, ",");
        while (n > 0 && at[n - 1] == ' ') n--;
        snprintf(raw, sizeof raw, "%.*s", (int)(n < 23 ? n : 23), at);
        base_clean(title, sizeof title, raw);
        int tab = title[0] ? tab_add(app, title) : -1;
        if (tab >= 0 && !v->tabs) v->home_tab = tab;
        if (tab >= 0) v->tabs |= 1u << tab;
    }
    if (!v->tabs) v->tabs = 1u << (v->home_tab = tab_add(app, "Run"));
}

// Tabs in the order of their first views. The tab that was shown stays, else Run.
static void make_tabs(ui_app *app, const char *shown) {
    app->tab_count = app->tab = 0;
    for (int i = 0; i < app->view_count; i++) place_on_tabs(app, &app->views[i], true); // each makes its first one
    for (int i = 0; i < app->view_count; i++) place_on_tabs(app, &app->views[i], false);
    int at = ui_tab_find(app, shown);
    ui_tab_go(app, at >= 0 ? at : 0);
}

bool ui_view_here(const ui_app *app, int index) {
    return (app->views[index].tabs >> app->tab & 1) != 0;
}

int ui_tab_find(const ui_app *app, const char *name) {
    int number = atoi(name), begins = -1;
    if (number >= 1 && number <= app->tab_count) return number - 1;
    for (int i = app->tab_count - 1; name[0] && i >= 0; i--) {
        if (strcasecmp(app->tabs[i].title, name) == 0) return i;
        if (strncasecmp(app->tabs[i].title, name, strlen(name)) == 0) begins = i;
    }
    return begins;
}

void ui_tab_go(ui_app *app, int tab) {
    if (tab < 0 || tab >= app->tab_count) return;
    app->tabs[app->tab].focus = app->view_count ? app->focus : -1;
    app->tab = tab;
    int focus = app->tabs[tab].focus;
    if (focus < 0 || focus >= app->view_count || !ui_view_here(app, focus)) {
        // The first that is at home here; a guest of another tab when there is none.
        for (focus = 0; focus < app->view_count && app->views[focus].home_tab != tab;) focus++;
        if (focus == app->view_count)
            for (focus = 0; focus + 1 < app->view_count && !ui_view_here(app, focus);) focus++;
    }
    app->focus = focus;
}

void ui_view_focus(ui_app *app, int index) {
    for (int t = 0; t < app->tab_count && !ui_view_here(app, index); t++)
        if (app->views[index].tabs >> t & 1) ui_tab_go(app, t);
    app->focus = index;
}

// ---- the files ---------------------------------------------------------------------------------

static int by_order(const void *a, const void *b) {
    const ui_view *x = a, *y = b;
    if (x->order != y->order) return x->order < y->order ? -1 : 1;
    return strcmp(x->name, y->name);
}

void ui_views_open(ui_app *app) {
    base_err err = {0};
    char *folder = app->options->views ? base_strdup(app->options->views) : base_join(base_home(), "views");
    size_t count = 0;
    char **names = base_list_dir(folder, &count, &err);
    if (!names) ui_say(app, UI_BAD, "There are no views: %s", err.text);
    for (size_t i = 0; names && i < count && app->view_count < UI_MAX_VIEWS; i++) {
        if (strcmp(base_extension(names[i]), ".lua") != 0) continue;
        ui_view *v = &app->views[app->view_count++];
        *v = (ui_view){.path = base_join(folder, names[i])};
        snprintf(v->name, sizeof v->name, "%.*s", (int)(strlen(names[i]) - 4), names[i]);
        base_clean(v->title, sizeof v->title, v->name);
        view_load(app, v);
    }
    if (names) base_names_free(names, count);
    free(folder);
    qsort(app->views, (size_t)app->view_count, sizeof *app->views, by_order);
    make_tabs(app, app->tab_count ? app->tabs[app->tab].title : "Run");
}

void ui_views_close(ui_app *app) {
    for (int i = 0; i < app->view_count; i++) {
        script_view_close(app->views[i].lua);
        free(app->views[i].path);
    }
    app->view_count = 0;
}

void ui_views_reload(ui_app *app) {
    char focus[32] = "";
    if (app->view_count) snprintf(focus, sizeof focus, "%s", app->views[app->focus].name);
    ui_views_close(app);
    ui_views_open(app);
    int i = ui_view_find(app, focus);
    if (i >= 0 && ui_view_here(app, i)) app->focus = i;
}

int ui_view_find(const ui_app *app, const char *name) {
    for (int i = 0; i < app->view_count; i++)
        if (strcmp(app->views[i].name, name) == 0) return i;
    return -1;
}

// "── Layers ───────────── 3/7 ──"; a double line and bold for the panel with the focus.
static void draw_heading(const ui_app *app, int index, ui_area a) {
    const ui_view *v = &app->views[index];
    bool here = index == app->focus;
    ui_style style = here ? UI_HEADING_HERE : UI_HEADING, rule = here ? UI_HEADING_HERE : UI_RULE;
    ui_fill(a, 0, 0, a.r.w, 1, rule, here ? 0x2501 : 0x2500);
    int x = ui_putf(a, 2, 0, style, " %s ", v->title);
    int width = base_columns(v->note);
    if (v->note[0] && x + width + 5 <= a.r.w) ui_putf(a, a.r.w - width - 4, 0, here ? style : UI_DIM, " %s ", v->note);
}

static void draw_error(const ui_view *v, ui_area a) {
    int y = ui_wrap(a, 0, UI_BAD, "This view is broken; R reads it again.");
    ui_wrap(ui_sub(a, 0, y, a.r.w, a.r.h - y), 0, UI_NORMAL, v->error);
}

static void draw_once(ui_app *app, ui_view *v, ui_area inside) {
    base_err err = {0};
    ui_fill(inside, 0, 0, inside.r.w, inside.r.h, UI_NORMAL, ' ');
    v->note[0] = 0;
    v->widget = "";
    v->inside = inside.r;
    v->source = NULL;
    app->drawing = v;
    app->piece[0] = inside;
    app->depth = 0;
    if (!script_view_call(v->lua, "draw", NULL, VIEW_SECONDS, NULL, &err))
        snprintf(v->error, sizeof v->error, "%s", err.text[0] ? err.text : "draw failed without a message");
    app->drawing = NULL;
}

void ui_view_draw(ui_app *app, int index, ui_area area) {
    ui_view *v = &app->views[index];
    ui_area inside = ui_sub(area, 1, 1, area.r.w - 2, area.r.h - 1);
    ui_scroll before = v->scroll;
    if (!v->error[0]) draw_once(app, v, inside);
    // What was drawn before the main widget may have told of a row that is not the cursor's any more.
    if (!v->error[0] && (v->scroll.cursor != before.cursor || v->scroll.count != before.count))
        draw_once(app, v, inside);
    if (v->error[0]) {
        ui_fill(inside, 0, 0, inside.r.w, inside.r.h, UI_NORMAL, ' ');
        draw_error(v, inside);
    }
    draw_heading(app, index, area);
}

bool ui_view_key(ui_app *app, const char *key) {
    if (!app->view_count) return false;
    ui_view *v = &app->views[app->focus];
    base_err err = {0};
    bool handled = false;
    if (!v->lua || v->error[0]) return false;
    if (script_view_call(v->lua, "key", key, VIEW_SECONDS, &handled, &err)) return handled;
    snprintf(v->error, sizeof v->error, "%s", err.text);
    return true;
}
