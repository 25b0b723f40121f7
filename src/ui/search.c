// Looking through the rows of the focused panel, or of the popup that is open.
#include <string.h>

#include "ui/app.h"

// Text of row `index` of what the active scroll position walks over; NULL: nothing to look at.
static const char *row_text(const ui_app *app, int index) {
    if (app->popup == UI_HELP || app->popup == UI_METHOD)
        return index < app->page.count ? app->page.line[index].text : NULL;
    if (app->popup == UI_COLUMNS) return NULL;
    const ui_source *source = app->popup == UI_RECIPES ? ui_source_find("recipes")
                              : app->view_count        ? app->views[app->focus].source
                                                       : NULL;
    if (!source || !source->key) return NULL;
    if (strcmp(source->name, "log") == 0) index = ui_state_log_row(&app->state, index);
    const base_field *f = ui_source_field(source, source->key);
    return f ? ui_source_text(source, &app->state, index, f) : NULL;
}

// Move the cursor to the next row that matches, from `from` on, all the way round.
static bool find_from(ui_app *app, int from, int direction) {
    ui_scroll *s = ui_active_scroll(app);
    if (!s || !app->search || s->count <= 0) return false;
    for (int i = 0; i < s->count; i++) {
        int row = ((from + direction * i) % s->count + s->count) % s->count;
        if (!ui_search_hit(app->search, row_text(app, row))) continue;
        ui_scroll_to(s, row);
        return true;
    }
    return false;
}

void ui_search_set(ui_app *app, const char *pattern, bool move) {
    base_err err = {0};
    ui_search *found = pattern[0] ? ui_search_new(pattern, &err) : NULL;
    app->prompt.bad = pattern[0] && !found;
    base_clean(app->prompt.trouble, sizeof app->prompt.trouble, app->prompt.bad ? err.text : "");
    if (app->prompt.bad) return;
    ui_search_free(app->search);
    app->search = found;
    snprintf(app->pattern, sizeof app->pattern, "%s", pattern);
    ui_scroll *s = ui_active_scroll(app);
    if (found && move && s && !find_from(app, s->cursor, 1))
        snprintf(app->prompt.trouble, sizeof app->prompt.trouble, "no row matches");
}

void ui_search_step(ui_app *app, int direction) {
    ui_scroll *s = ui_active_scroll(app);
    if (!app->search) {
        ui_say(app, UI_WARN, "Nothing was searched for yet; / starts a search.");
    } else if (s) {
        int before = s->cursor;
        bool found = find_from(app, before + direction, direction);
        if (!found)
            ui_say(app, UI_WARN, "No row here matches %s.", app->pattern);
        else if (s->cursor == before)
            ui_say(app, UI_NORMAL, "The only row that matches %s.", app->pattern);
        else
            ui_say(app, UI_NORMAL, "/%s", app->pattern);
    }
}
