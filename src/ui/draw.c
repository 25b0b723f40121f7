// One frame: lay out, draw the title bar, the panels, the status line and the line of keys, the popup over them, and
// send what changed.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ui/layers.h"

static void draw_too_small(ui_app *app) {
    char text[64];
    ui_area a = ui_grid_area(&app->grid, (ui_rect){0, 0, app->width, app->height});
    snprintf(text, sizeof text, "needs %dx%d, has %dx%d", UI_MIN_WIDTH, UI_MIN_HEIGHT, app->width, app->height);
    ui_fit(a, 0, 0, app->width, UI_LEFT, UI_NORMAL, text);
}

// ---- bars --------------------------------------------------------------------------------------

// The tabs by number at the right of the title bar, with their names where there is room, after them the panels of this
// tab that have none below.
static int draw_tabs(ui_app *app, ui_area a) {
    char text[UI_MAX_TABS][40], hidden[200] = "";
    int names = 0, width = 0;
    for (int i = 0; i < app->tab_count; i++) names += base_columns(app->tabs[i].title) + 4;
    bool wide = names + 44 <= a.r.w;
    for (int i = 0; i < app->tab_count; i++) {
        bool named = wide || i == app->tab;
        snprintf(text[i], sizeof text[i], named ? " %d %s " : " %d", i + 1, app->tabs[i].title);
        width += base_columns(text[i]);
    }
    for (int i = 0; i < app->view_count && !app->zoom; i++)
        if (ui_view_here(app, i) && app->layout.panel[i].w == 0 && strlen(hidden) + 40 < sizeof hidden)
            snprintf(hidden + strlen(hidden), sizeof hidden - strlen(hidden), "+%s ", app->views[i].title);
    if (width + base_columns(hidden) + 30 > a.r.w) hidden[0] = 0;
    if (app->tab_count < 2 && !hidden[0]) return 0;
    width += base_columns(hidden) + 1;
    if (width + 16 > a.r.w) return 0;
    int x = ui_put(a, a.r.w - width, 0, UI_BAR, hidden);
    for (int i = 0; i < app->tab_count; i++) {
        app->tab_x[i] = x;
        x = ui_put(a, x, 0, i == app->tab ? UI_BAR_STRONG : UI_BAR, text[i]);
        app->tab_end[i] = x;
    }
    return width + 1;
}

// What people call a path: its last part, or the folder's name where the file has everybody's name.
static void name_of(const char *path, const char *otherwise, char *out, size_t size) {
    static const char *const common[] = {"dataset.lua", "model.safetensors", "model.safetensors.index.json"};
    const char *name = base_basename(path);
    bool shared = false;
    for (size_t i = 0; i < sizeof common / sizeof *common; i++) shared |= strcmp(name, common[i]) == 0;
    char *folder = base_dirname(path);
    base_clean(out, size, !path[0] ? otherwise : shared && strcmp(folder, ".") != 0 ? base_basename(folder) : name);
    free(folder);
}

static void draw_title(ui_app *app) {
    ui_area a = ui_grid_area(&app->grid, app->layout.title);
    const ui_state *s = &app->state;
    ui_fill(a, 0, 0, a.r.w, 1, UI_BAR, ' ');
    int right = draw_tabs(app, a);
    ui_area left = ui_sub(a, 0, 0, a.r.w - right, 1);
    char text[400], settings[160] = "";
    for (int i = 0; i < s->param_count && strlen(settings) < 60; i++) {
        char value[96];
        size_t n = strlen(settings);
        snprintf(settings + n, sizeof settings - n, " %s=%s", s->params[i].name,
                 ui_param_text(&s->params[i], value, sizeof value));
    }
    int x = ui_put(left, 1, 0, UI_BAR_STRONG, "vise");
    char shown_model[80], shown_data[80];
    name_of(s->model, "recipe's model", shown_model, sizeof shown_model);
    name_of(s->data, "its data", shown_data, sizeof shown_data);
    snprintf(text, sizeof text, "  %s \xc2\xb7 %s%s \xc2\xb7 %s", shown_model, s->recipe[0] ? s->recipe : "no recipe",
             settings, shown_data);
    ui_fit(left, x, 0, left.r.w - x, UI_LEFT, UI_BAR, text);
}

static int draw_hint(ui_area a, int x, const ui_binding *b) {
    if (x + base_columns(b->key) + base_columns(b->hint) + 3 > a.r.w) return x;
    x = ui_put(a, x, 0, UI_KEY, b->key);
    return ui_putf(a, x + 1, 0, UI_DIM, "%s", b->hint) + 2;
}

static void draw_keys(ui_app *app) {
    ui_area a = ui_grid_area(&app->grid, app->layout.keys);
    bool running = app->state.job == UI_RUNNING, alone = app->popup != UI_NO_POPUP;
    int x = 1;
    if (app->prompt.kind != UI_PROMPT_NONE) {
        ui_put(a, x, 0, UI_DIM,
               app->prompt.kind == UI_PROMPT_SEARCH ? "Enter keeps the search  n N repeat it  Esc leaves"
               : app->palette.eager                 ? "Enter takes  Tab C-n C-p walk  Up Down earlier lines  Esc leaves"
                                                    : "Tab completes  C-n C-p walk  Up Down earlier lines  Esc leaves");
        return;
    }
    const ui_binding *b;
    const ui_binding *help = alone ? NULL : ui_binding_find("?", NULL);
    // The way to all the others keeps its place whatever the panel has to say.
    ui_area room = help && help->hint ? ui_sub(a, 0, 0, a.r.w - base_columns(help->hint) - 3, 1) : a;
    for (int pass = 0; pass < 3; pass++)
        for (size_t i = 0; (b = ui_binding_at(i)); i++) {
            if (!b->hint) continue;
            bool mine = pass == 0 ? running && !alone && b->context &&
                                        (strcmp(b->context, "running") == 0 ||
                                         (strcmp(b->context, "waiting") == 0 && app->state.held_layer >= 0))
                        : pass == 1 ? b->context && ui_context_has(app, b->context)
                                    : !b->context && !alone && !(running && strcmp(b->command, "run") == 0);
            if (mine && b != help && (pass == 0 || ui_binding_here(app, b->key) == b)) x = draw_hint(room, x, b);
        }
    if (help && help->hint) draw_hint(a, x, help);
}

// What the job does, at the right of the status line; returns its width.
static int draw_job(const ui_app *app, ui_area a) {
    const ui_state *s = &app->state;
    if (s->job == UI_IDLE) return 0;
    static const char *const turn[] = {"|", "/", "-", "\\"};
    char text[200], eta[40] = "", time[24];
    double elapsed = ui_state_elapsed(s, ui_now(app)), left = s->eta - (ui_state_clock(s, ui_now(app)) - s->eta_at);
    const char *sign = s->paused ? "\xe2\x80\x96" : turn[(int)(elapsed * 4) & 3];
    if (isfinite(left) && s->job == UI_RUNNING)
        snprintf(eta, sizeof eta, ", %s left", base_seconds_text(time, left > 0 ? left : 0));
    const char *phase = s->stopping   ? "stopping"
                        : s->paused   ? "paused"
                        : s->pausing  ? "pausing"
                        : s->phase[0] ? s->phase
                                      : "starting";
    if (s->of > 0)
        snprintf(text, sizeof text, "%s %s %lld/%lld%s", sign, phase, (long long)s->done, (long long)s->of, eta);
    else
        snprintf(text, sizeof text, "%s %s%s", sign, phase, eta);
    int width = base_columns(text);
    if (width > a.r.w / 2) width = a.r.w / 2;
    ui_fit(a, a.r.w - width - 1, 0, width, UI_LEFT, s->stopping || s->paused ? UI_WARN : UI_ACCENT, text);
    return width + 2;
}

static void draw_status(ui_app *app, int *cursor_x, int *cursor_y) {
    ui_area a = ui_grid_area(&app->grid, app->layout.status);
    const ui_prompt *p = &app->prompt;
    if (p->kind == UI_PROMPT_NONE) {
        int job = draw_job(app, a);
        ui_fit(a, 1, 0, a.r.w - job - 2, UI_LEFT, app->message_style, app->message);
        return;
    }
    // A line longer than the row scrolls so that the cursor stays in sight.
    char *before = base_strndup(p->text, (size_t)p->cursor);
    int at = base_columns(before) + 1, room = a.r.w - 2, shift = at > room ? at - room : 0;
    free(before);
    ui_style style = p->bad ? UI_PROMPT_BAD : UI_PROMPT;
    int end = ui_put(a, 1 - shift, 0, style, p->text);
    ui_char(a, 0, 0, style, p->bad ? '!' : p->kind == UI_PROMPT_COMMAND ? ':' : '/');
    if (p->trouble[0]) ui_fit(a, end + 2, 0, a.r.w - end - 3, UI_LEFT, p->bad ? UI_BAD : UI_DIM, p->trouble);
    *cursor_x = app->layout.status.x + at - shift;
    *cursor_y = app->layout.status.y;
}

// ---- popups ------------------------------------------------------------------------------------

static ui_area draw_box(ui_app *app, int w, int h, const char *title) {
    ui_rect r = ui_layout_popup(app->width, app->height, w, h);
    ui_area a = ui_grid_area(&app->grid, r);
    app->popup_box = a.r;
    ui_fill(a, 0, 0, r.w, r.h, UI_NORMAL, ' ');
    for (int x = 0; x < r.w; x++) {
        ui_char(a, x, 0, UI_ACCENT, 0x2500);
        ui_char(a, x, r.h - 1, UI_ACCENT, 0x2500);
    }
    for (int y = 0; y < r.h; y++) {
        ui_char(a, 0, y, UI_ACCENT, y == 0 ? 0x250C : y == r.h - 1 ? 0x2514 : 0x2502);
        ui_char(a, r.w - 1, y, UI_ACCENT, y == 0 ? 0x2510 : y == r.h - 1 ? 0x2518 : 0x2502);
    }
    ui_putf(a, 2, 0, UI_HEADING_HERE, " %s ", title);
    return ui_sub(a, 2, 1, r.w - 4, r.h - 2);
}

static void draw_page(ui_app *app, const char *title) {
    ui_area a = draw_box(app, 100, app->height - 2, title);
    const ui_page *p = &app->page;
    ui_scroll *s = &app->popup_scroll;
    ui_page_fit(app, a.r.w);
    ui_scroll_fit(s, p->count, a.r.h);
    for (int i = 0; i < a.r.h && s->top + i < p->count; i++) {
        const ui_page_line *line = &p->line[s->top + i];
        bool hit = ui_search_hit(app->search, line->text);
        ui_fit(a, 0, i, a.r.w, UI_LEFT, hit ? UI_FOUND : line->style, line->text);
        if (s->top + i == s->cursor) ui_reverse(a, 0, i, a.r.w);
    }
}

static void draw_recipes(ui_app *app) {
    const ui_state *s = &app->state;
    int name = 8;
    for (int i = 0; i < s->recipe_count; i++)
        if (base_columns(s->recipes[i].name) > name) name = base_columns(s->recipes[i].name);
    ui_area a =
        draw_box(app, 100, s->recipe_count + 2 < app->height - 4 ? s->recipe_count + 2 : app->height - 4, "Recipes");
    ui_scroll *scroll = &app->popup_scroll;
    ui_scroll_fit(scroll, s->recipe_count, a.r.h);
    for (int i = 0; i < a.r.h && scroll->top + i < s->recipe_count; i++) {
        const ui_recipe_name *r = &s->recipes[scroll->top + i];
        int x = ui_fit(a, 0, i, name, UI_LEFT, ui_search_hit(app->search, r->name) ? UI_FOUND : UI_STRONG, r->name);
        ui_fit(a, x + 2, i, a.r.w - x - 2, UI_LEFT, UI_NORMAL, r->about);
        if (scroll->top + i == scroll->cursor) ui_reverse(a, 0, i, a.r.w);
    }
}

static void draw_quit(ui_app *app) {
    ui_area a = draw_box(app, 54, 5, "Quit");
    ui_put(a, 0, 0, UI_STRONG, "A run is going. Stop it and quit?");
    int x = ui_put(a, 0, 2, UI_KEY, "y");
    x = ui_put(a, x + 1, 2, UI_NORMAL, "stop and quit");
    x = ui_put(a, x + 3, 2, UI_KEY, "n");
    ui_put(a, x + 1, 2, UI_NORMAL, "go on");
}

// Above the line that is typed, over whatever is there; the title bar stays.
static void draw_palette(ui_app *app) {
    if (app->prompt.kind != UI_PROMPT_COMMAND) return;
    ui_rect status = app->layout.status, r = {status.x, 1, status.w, status.y - 1};
    int rows = r.h / 2 < 12 ? r.h / 2 : 12;
    ui_palette_draw(ui_grid_area(&app->grid, r), &app->palette, rows);
}

// ---- the frame ---------------------------------------------------------------------------------

static void draw_all(ui_app *app, int *cursor_x, int *cursor_y) {
    ui_slot slots[UI_MAX_VIEWS];
    for (int i = 0; i < app->view_count; i++) {
        slots[i] = app->views[i].slot;
        slots[i].away = !ui_view_here(app, i);
        slots[i].want_h = app->views[i].want_h;
    }
    ui_layout_make(&app->layout, app->width, app->height, slots, app->view_count, app->focus, app->zoom,
                   app->tab_count ? app->tabs[app->tab].split : 0);
    if (app->layout.too_small) {
        draw_too_small(app);
        return;
    }
    for (int i = 0; i < app->view_count; i++)
        if (app->layout.panel[i].w > 0) ui_view_draw(app, i, ui_grid_area(&app->grid, app->layout.panel[i]));
    ui_rect d = app->layout.divider;
    if (d.w > 0) ui_fill(ui_grid_area(&app->grid, d), 0, 0, d.w, d.h, UI_RULE, 0x2502);
    draw_title(app);
    draw_status(app, cursor_x, cursor_y);
    if (app->layout.keys.h > 0) draw_keys(app);
    if (app->popup == UI_HELP) draw_page(app, "Help");
    if (app->popup == UI_METHOD) draw_page(app, "Method");
    if (app->popup == UI_RECIPES) draw_recipes(app);
    if (app->popup == UI_COLUMNS)
        ui_layers_columns_draw(app, draw_box(app, 76, app->popup_scroll.count + 2, "Columns of layers"));
    if (app->popup == UI_CONFIRM_QUIT) draw_quit(app);
    draw_palette(app);
}

static void compose(ui_app *app, int *cursor_x, int *cursor_y) {
    int w, h;
    ui_term_size(&w, &h);
    if (w != app->width || h != app->height) {
        app->width = w;
        app->height = h;
        ui_grid_resize(&app->grid, w, h);
    }
    app->grid.ascii = ui_term_ascii();
    ui_grid_clear(&app->grid);
    *cursor_x = -1;
    *cursor_y = 0;
    draw_all(app, cursor_x, cursor_y);
}

void ui_compose(ui_app *app) {
    int x, y;
    compose(app, &x, &y);
}

void ui_frame(ui_app *app) {
    int x, y;
    compose(app, &x, &y);
    ui_term_show(&app->grid, x, y);
}
