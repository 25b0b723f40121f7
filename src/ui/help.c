// The help page, made from the tables of keys and commands: first the keys of the panel in focus, then those that hold
// everywhere, then what can be typed after a colon.
#include <string.h>

#include "ui/part.h"

enum { HANG = 39 }; // columns before the words of a key's line

// Two rows that are one in the help: the same command in the same context, whatever its argument (1 to 9: "view").
static bool same_line(const ui_binding *a, const ui_binding *b) {
    size_t n = strcspn(a->command, " ");
    bool place = a->context && b->context ? strcmp(a->context, b->context) == 0 : a->context == b->context;
    return place && n == strcspn(b->command, " ") && strncmp(a->command, b->command, n) == 0;
}

// All keys of one command in one context, "j Down".
static void keys_of(const ui_binding *first, char *out, size_t size) {
    size_t used = 0;
    out[0] = 0;
    const ui_binding *b;
    for (size_t i = 0; (b = ui_binding_at(i)) && used + 1 < size; i++) {
        if (!same_line(b, first)) continue;
        int n = snprintf(out + used, size - used, "%s%s", used ? " " : "", b->key);
        used += n > 0 ? (size_t)n : 0;
    }
}

static bool is_first(const ui_binding *b) {
    const ui_binding *a;
    for (size_t i = 0; (a = ui_binding_at(i)) && a != b; i++)
        if (same_line(a, b)) return false;
    return true;
}

static void binding_line(const ui_binding *b, char *text, size_t size) {
    char keys[96], name[64];
    keys_of(b, keys, sizeof keys);
    snprintf(name, sizeof name, "%.*s", (int)strcspn(b->command, " "), b->command);
    const ui_command *c = ui_command_find(name);
    snprintf(text, size, "  %-20s %-15s %s", keys, name, c ? c->help : "");
}

static void bindings_of(ui_page *p, const char *context) {
    char text[256];
    const ui_binding *b;
    for (size_t i = 0; (b = ui_binding_at(i)); i++) {
        bool mine = context ? b->context && strcmp(b->context, context) == 0 : !b->context;
        if (!mine || !is_first(b)) continue;
        binding_line(b, text, sizeof text);
        ui_page_add(p, UI_NORMAL, HANG, text);
    }
}

static bool has_bindings(const char *context) {
    const ui_binding *b;
    for (size_t i = 0; (b = ui_binding_at(i)); i++)
        if (b->context && strcmp(b->context, context) == 0) return true;
    return false;
}

// What the panel in focus is for, and its keys.
static void here(const ui_app *app, ui_page *p) {
    char text[64];
    const ui_view *v = &app->views[app->focus];
    const char *about = v->lua ? script_view_text(v->lua, "help") : NULL;
    bool keys = has_bindings(v->name) || has_bindings(v->widget);
    snprintf(text, sizeof text, "This panel: %s", v->title);
    if (about || keys) ui_page_add(p, UI_HEADING_HERE, 0, text);
    if (about) ui_page_add(p, UI_NORMAL, 2, about);
    bindings_of(p, v->name);
    if (strcmp(v->name, v->widget) != 0) bindings_of(p, v->widget);
    if (about || keys) ui_page_add(p, UI_NORMAL, 0, "");
}

void ui_help_page(const ui_app *app, ui_page *p) {
    char text[400];
    if (app->view_count) here(app, p);
    ui_page_add(p, UI_HEADING_HERE, 0, "Keys everywhere");
    bindings_of(p, NULL);
    ui_page_add(p, UI_NORMAL, 0, "");
    for (size_t i = 0; i < ui_part_count; i++)
        for (const ui_place *place = ui_parts[i]->places; place && place->context; place++) {
            const ui_view *v = app->view_count ? &app->views[app->focus] : NULL;
            if (v && (strcmp(place->context, v->name) == 0 || strcmp(place->context, v->widget) == 0)) continue;
            ui_page_add(p, UI_HEADING_HERE, 0, place->title);
            bindings_of(p, place->context);
            ui_page_add(p, UI_NORMAL, 0, "");
        }
    ui_page_add(p, UI_HEADING_HERE, 2, "Commands, typed after : (Tab completes, arrows bring back earlier lines)");
    const ui_command *c;
    for (size_t i = 0; (c = ui_command_at(i)); i++) {
        char name[64];
        snprintf(name, sizeof name, "%s %s", c->name, c->args);
        snprintf(text, sizeof text, "  %-22s %s", name, c->help);
        ui_page_add(p, UI_NORMAL, 25, text);
    }
}
