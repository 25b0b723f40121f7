// The help page, made from the tables of keys and commands: first the keys of the panel in focus, then those that hold
// everywhere, then what can be typed after a colon.
#include <string.h>

#include "ui/app.h"

// Two rows that are one in the help: the same command in the same context, whatever its argument (1 to 9: "view").
static bool same_line(const ui_binding *a, const ui_binding *b) {
    size_t n = strcspn(a->command, " ");
    return a->context == b->context && n == strcspn(b->command, " ") && strncmp(a->command, b->command, n) == 0;
}

// All keys of one command in one context, "j Down".
static void keys_of(const ui_binding *first, char *out, size_t size) {
    size_t used = 0;
    out[0] = 0;
    for (size_t i = 0; i < ui_binding_count && used + 1 < size; i++) {
        const ui_binding *b = &ui_bindings[i];
        if (!same_line(b, first)) continue;
        int n = snprintf(out + used, size - used, "%s%s", used ? " " : "", b->key);
        used += n > 0 ? (size_t)n : 0;
    }
}

static bool is_first(const ui_binding *b) {
    for (const ui_binding *a = ui_bindings; a < b; a++)
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

typedef struct walk {
    int wanted, at;
    ui_style style;
    char *text;
    size_t size;
    bool found;
} walk;

static void line(walk *w, ui_style style, const char *text) {
    if (w->at++ != w->wanted) return;
    w->style = style;
    snprintf(w->text, w->size, "%s", text);
    w->found = true;
}

static void bindings_of(walk *w, const char *context) {
    char text[256];
    for (size_t i = 0; i < ui_binding_count; i++) {
        const ui_binding *b = &ui_bindings[i];
        bool mine = context ? b->context && strcmp(b->context, context) == 0 : !b->context;
        if (!mine || !is_first(b)) continue;
        binding_line(b, text, sizeof text);
        line(w, UI_NORMAL, text);
    }
}

static bool has_bindings(const char *context) {
    for (size_t i = 0; i < ui_binding_count; i++)
        if (ui_bindings[i].context && strcmp(ui_bindings[i].context, context) == 0) return true;
    return false;
}

static void page(const ui_app *app, walk *w) {
    char text[256];
    static const char *const widgets[UI_W_KINDS] = {"", "table", "log", "params", "chart"};
    if (app->view_count) {
        const ui_view *v = &app->views[app->focus];
        if (has_bindings(widgets[v->widget])) {
            snprintf(text, sizeof text, "Keys of this panel: %s", v->title);
            line(w, UI_HEADING_HERE, text);
            bindings_of(w, widgets[v->widget]);
            line(w, UI_NORMAL, "");
        }
    }
    line(w, UI_HEADING_HERE, "Keys everywhere");
    bindings_of(w, NULL);
    line(w, UI_NORMAL, "");
    line(w, UI_HEADING_HERE, "Commands, typed after : (Tab completes, arrows bring back earlier lines)");
    for (size_t i = 0; i < ui_command_count; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s %s", ui_commands[i].name, ui_commands[i].args);
        snprintf(text, sizeof text, "  %-20s %s", name, ui_commands[i].help);
        line(w, UI_NORMAL, text);
    }
}

const char *ui_help_line(const ui_app *app, int index, ui_style *style, char *text, size_t size) {
    walk w = {.wanted = index, .text = text, .size = size};
    page(app, &w);
    *style = w.style;
    return w.found ? text : NULL;
}

int ui_help_count(const ui_app *app) {
    char text[8];
    walk w = {.wanted = -1, .text = text, .size = sizeof text};
    page(app, &w);
    return w.at;
}
