// Panels made wider, taller or smaller by keys or by dragging their edges with the mouse; kept for each tab from
// session to session.
#include <stdlib.h>
#include <string.h>

#include "ui/part.h"

static bool two_columns(const ui_app *app) {
    return app->layout.divider.w > 0;
}

static void set_split(ui_app *app, int column) {
    double split = (double)column / app->width;
    app->tabs[app->tab].split = split < 0.05 ? 0.05 : split > 0.95 ? 0.95 : split;
    ui_compose(app); // the next step starts from here
}

// The panel below `view` in its column, -1: it is the lowest.
static int below(const ui_app *app, int view) {
    ui_rect r = app->layout.panel[view];
    for (int i = 0; i < app->view_count; i++) {
        ui_rect q = app->layout.panel[i];
        if (i != view && q.w > 0 && q.x == r.x && q.y == r.y + r.h) return i;
    }
    return -1;
}
static int above(const ui_app *app, int view) {
    ui_rect r = app->layout.panel[view];
    for (int i = 0; i < app->view_count; i++) {
        ui_rect q = app->layout.panel[i];
        if (i != view && q.w > 0 && q.x == r.x && q.y + q.h == r.y) return i;
    }
    return -1;
}

// Rows go from one panel to its neighbour; what the others have stays.
static void move_edge(ui_app *app, int upper, int lower, int rows) {
    int a = app->layout.panel[upper].h + rows, b = app->layout.panel[lower].h - rows;
    int least_a = app->views[upper].slot.min_h, least_b = app->views[lower].slot.min_h;
    if (a < least_a) b -= least_a - a, a = least_a;
    if (b < least_b) a -= least_b - b, b = least_b;
    if (a < least_a) return;                  // no room for both
    for (int i = 0; i < app->view_count; i++) // all of the column, so that none of them gives or takes
        if (app->layout.panel[i].w > 0 && app->layout.panel[i].x == app->layout.panel[upper].x)
            app->views[i].want_h = app->layout.panel[i].h;
    app->views[upper].want_h = a;
    app->views[lower].want_h = b;
    ui_compose(app);
}

static bool change_width(ui_app *app, int columns, base_err *err) {
    if (!two_columns(app)) return base_fail(err, "there is one column of panels; nothing beside it could give way");
    bool left = app->layout.panel[app->focus].x < app->layout.divider.x;
    set_split(app, app->layout.divider.x + (left ? columns : -columns));
    return true;
}
static bool change_height(ui_app *app, int rows, base_err *err) {
    int under = below(app, app->focus), over = above(app, app->focus);
    if (under >= 0)
        move_edge(app, app->focus, under, rows);
    else if (over >= 0)
        move_edge(app, over, app->focus, -rows);
    else
        return base_fail(err, "this panel has its column to itself");
    return true;
}

ON(on_wider) {
    (void)argument;
    return change_width(app, 2, err);
}
ON(on_narrower) {
    (void)argument;
    return change_width(app, -2, err);
}
ON(on_taller) {
    (void)argument;
    return change_height(app, 1, err);
}
ON(on_shorter) {
    (void)argument;
    return change_height(app, -1, err);
}
ON(on_even) {
    UNUSED;
    app->tabs[app->tab].split = 0;
    for (int i = 0; i < app->view_count; i++)
        if (ui_view_here(app, i)) app->views[i].want_h = 0;
    return true;
}

// ---- the mouse ---------------------------------------------------------------------------------

bool ui_resize_press(ui_app *app, int x, int y) {
    app->drag = (ui_drag){0};
    if (app->popup != UI_NO_POPUP) return false;
    ui_rect d = app->layout.divider;
    if (d.w > 0 && x >= d.x && x < d.x + d.w && y >= d.y && y < d.y + d.h) {
        app->drag.kind = 'w';
        return true;
    }
    for (int i = 0; i < app->view_count; i++) {
        ui_rect r = app->layout.panel[i];
        if (r.w == 0 || x < r.x || x >= r.x + r.w || y != r.y || above(app, i) < 0) continue;
        app->drag = (ui_drag){'h', above(app, i), i};
        return true;
    }
    return false;
}

void ui_resize_drag(ui_app *app, int x, int y) {
    if (app->drag.kind == 'w' && two_columns(app)) set_split(app, x);
    if (app->drag.kind != 'h') return;
    if (app->layout.panel[app->drag.upper].w == 0 || app->layout.panel[app->drag.lower].w == 0) return;
    move_edge(app, app->drag.upper, app->drag.lower, y - app->layout.panel[app->drag.lower].y);
}

// ---- from session to session -------------------------------------------------------------------

static json_t *keep(const ui_app *app, const void *own) {
    (void)own;
    json_t *all = json_object(), *widths = json_object(), *heights = json_object();
    for (int i = 0; i < app->tab_count; i++)
        if (app->tabs[i].split > 0) json_object_set_new(widths, app->tabs[i].title, json_real(app->tabs[i].split));
    for (int i = 0; i < app->view_count; i++)
        if (app->views[i].want_h > 0)
            json_object_set_new(heights, app->views[i].name, json_integer(app->views[i].want_h));
    json_object_set_new(all, "split", widths);
    json_object_set_new(all, "rows", heights);
    return all;
}

static void restore(ui_app *app, void *own, const json_t *kept) {
    (void)own;
    for (int i = 0; i < app->tab_count; i++) {
        double s = json_number_value(json_object_get(json_object_get(kept, "split"), app->tabs[i].title));
        if (s >= 0.05 && s <= 0.95) app->tabs[i].split = s;
    }
    for (int i = 0; i < app->view_count; i++) {
        json_int_t h = json_integer_value(json_object_get(json_object_get(kept, "rows"), app->views[i].name));
        if (h > 0 && h < 1000) app->views[i].want_h = (int)h;
    }
}

static const ui_command commands[] = {
    {"wider", "", "this panel's column two columns wider", on_wider, NULL, NULL},
    {"narrower", "", "this panel's column two columns narrower", on_narrower, NULL, NULL},
    {"taller", "", "this panel one row taller", on_taller, NULL, NULL},
    {"shorter", "", "this panel one row shorter", on_shorter, NULL, NULL},
    {"even", "", "the panels of this tab in their own sizes again", on_even, NULL, NULL},
};
static const ui_binding bindings[] = {
    {")", "wider", NULL, NULL},   {"(", "narrower", NULL, NULL}, {"}", "taller", NULL, NULL},
    {"{", "shorter", NULL, NULL}, {"|", "even", NULL, NULL},
};

const ui_part ui_part_resize = {
    .name = "resize", UI_LIST(command, commands), UI_LIST(binding, bindings), .keep = keep, .restore = restore};
