// Keys: their names, what each is bound to, and what happens when one is pressed. Help and the line of keys are made
// from the same table.
#include <stdlib.h>
#include <string.h>

#include "ui/part.h"

static const ui_binding bindings[] = {
    {"Enter", "run", NULL, "run"},
    {"Esc", "back", NULL, NULL},
    {"]", "next-tab", NULL, NULL},
    {"[", "previous-tab", NULL, NULL},
    {"Tab", "next", NULL, "panel"},
    {"S-Tab", "previous", NULL, NULL},
    {"1", "tab 1", NULL, NULL},
    {"2", "tab 2", NULL, NULL},
    {"3", "tab 3", NULL, NULL},
    {"4", "tab 4", NULL, NULL},
    {"5", "tab 5", NULL, NULL},
    {"6", "tab 6", NULL, NULL},
    {"7", "tab 7", NULL, NULL},
    {"8", "tab 8", NULL, NULL},
    {"9", "tab 9", NULL, NULL},
    {"z", "zoom", NULL, "zoom"},
    {"o", "recipes", NULL, "recipe"},
    {"/", "search", NULL, "search"},
    {"n", "next-match", NULL, NULL},
    {"N", "previous-match", NULL, NULL},
    {":", "command", NULL, "command"},
    {"C-p", "palette", NULL, NULL},
    {"?", "help", NULL, "help"},
    {"F1", "help", NULL, NULL},
    {"i", "method", NULL, "method"},
    {"q", "quit", NULL, "quit"},
    {"k", "up", NULL, NULL},
    {"Up", "up", NULL, NULL},
    {"j", "down", NULL, NULL},
    {"Down", "down", NULL, NULL},
    {"h", "left", NULL, NULL},
    {"Left", "left", NULL, NULL},
    {"l", "right", NULL, NULL},
    {"Right", "right", NULL, NULL},
    {"PgUp", "page-up", NULL, NULL},
    {"C-b", "page-up", NULL, NULL},
    {"PgDn", "page-down", NULL, NULL},
    {"C-f", "page-down", NULL, NULL},
    {"Space", "page-down", NULL, NULL},
    {"g", "top", NULL, NULL},
    {"Home", "top", NULL, NULL},
    {"G", "bottom", NULL, NULL},
    {"End", "bottom", NULL, NULL},
    {"R", "reload", NULL, NULL},
    {"C-l", "redraw", NULL, NULL},
    {"C-z", "suspend", NULL, NULL},
    {"C-c", "interrupt", NULL, NULL},
    {"C-^", "mark", NULL, NULL},

    {"Left", "less", "params", NULL},
    {"h", "less", "params", NULL},
    {"-", "less", "params", NULL},
    {"Right", "more", "params", NULL},
    {"l", "more", "params", NULL},
    {"+", "more", "params", "more"},
    {"=", "edit", "params", "type"},
    {"0", "reset", "params", "reset"},

    {"Left", "previous-point", "chart", NULL},
    {"h", "previous-point", "chart", NULL},
    {"Right", "next-point", "chart", NULL},
    {"l", "next-point", "chart", "next run"},

    {"Esc", "stop", "running", "stop"},

    {"Enter", "pick", "recipes", "open"},
    {"q", "back", "recipes", "close"},
    {"o", "back", "recipes", NULL},
    {"q", "back", "help", "close"},
    {"Enter", "back", "help", NULL},
    {"y", "quit now", "quit", "yes"},
    {"Enter", "quit now", "quit", NULL},
    {"n", "no", "quit", "no"},
    {"q", "no", "quit", NULL},
    {"Esc", "no", "quit", NULL},
};
const ui_part ui_part_keys = {.name = "keys", UI_LIST(binding, bindings)};

// ---- names -------------------------------------------------------------------------------------

static const struct {
    int key;
    const char *name;
} names[] = {
    {UI_KEY_TAB, "Tab"},
    {UI_KEY_BACK_TAB, "S-Tab"},
    {UI_KEY_ENTER, "Enter"},
    {UI_KEY_ESC, "Esc"},
    {UI_KEY_BACKSPACE, "Backspace"},
    {UI_KEY_DELETE, "Del"},
    {UI_KEY_UP, "Up"},
    {UI_KEY_DOWN, "Down"},
    {UI_KEY_LEFT, "Left"},
    {UI_KEY_RIGHT, "Right"},
    {UI_KEY_PAGE_UP, "PgUp"},
    {UI_KEY_PAGE_DOWN, "PgDn"},
    {UI_KEY_HOME, "Home"},
    {UI_KEY_END, "End"},
    {' ', "Space"},
};

const char *ui_key_name(int key, char out[16]) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].key == key) return names[i].name;
    if (key >= UI_KEY_F1 && key <= UI_KEY_F12)
        snprintf(out, 16, "F%d", key - UI_KEY_F1 + 1);
    else if (key > 0 && key < 27)
        snprintf(out, 16, "C-%c", 'a' + key - 1);
    else if (key > 0 && key < 32)
        snprintf(out, 16, "C-%c", '@' + key);
    else
        ui_encode((uint32_t)key, out);
    return out;
}

int ui_key_parse(const char *name) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].name, name) == 0) return names[i].key;
    if (name[0] == 'F' && name[1] >= '1' && name[1] <= '9') {
        int n = atoi(name + 1);
        return n >= 1 && n <= 12 ? UI_KEY_F1 + n - 1 : UI_KEY_NONE;
    }
    if (name[0] == 'C' && name[1] == '-' && name[2] && !name[3]) {
        char c = name[2];
        return c >= 'a' && c <= 'z' ? c - 'a' + 1 : c >= '@' && c <= '_' ? c - '@' : UI_KEY_NONE;
    }
    const char *rest = name;
    uint32_t ch = ui_next_char(&rest);
    return *rest ? UI_KEY_NONE : (int)ch;
}

const ui_binding *ui_binding_find(const char *key, const char *context) {
    const ui_binding *b;
    for (size_t i = 0; (b = ui_binding_at(i)); i++) {
        if (strcmp(b->key, key) != 0) continue;
        if (context ? b->context && strcmp(b->context, context) == 0 : !b->context) return b;
    }
    return NULL;
}

const ui_binding *ui_binding_here(const ui_app *app, const char *key) {
    const char *context;
    for (int i = 0; (context = ui_context(app, i)); i++) {
        const ui_binding *b = ui_binding_find(key, context);
        if (b) return b;
    }
    return ui_binding_find(key, NULL);
}

char *ui_command_keys(const ui_app *app, const ui_command *command, char *out, size_t size) {
    (void)app;
    size_t used = 0;
    const ui_binding *b, *other;
    out[0] = 0;
    for (size_t i = 0; (b = ui_binding_at(i)) && used + 1 < size; i++) {
        size_t n = strcspn(b->command, " ");
        if (n != strlen(command->name) || strncmp(b->command, command->name, n) != 0) continue;
        bool seen = false; // the same key in two places is told once
        for (size_t j = 0; j < i && (other = ui_binding_at(j)); j++)
            seen |= strcmp(other->key, b->key) == 0 && strcspn(other->command, " ") == n &&
                    strncmp(other->command, command->name, n) == 0;
        int m = seen ? 0 : snprintf(out + used, size - used, "%s%s", used ? " " : "", b->key);
        used += m > 0 ? (size_t)m : 0;
    }
    return out;
}

// ---- a key is pressed --------------------------------------------------------------------------

void ui_key_press(ui_app *app, int key) {
    char room[16];
    const char *name = ui_key_name(key, room);
    app->dirty = true;
    if (key == 0x1E) { // the mark is for the program that drives us, also while a prompt is open
        app->mark_wanted = true;
        return;
    }
    if (key != 3) app->interrupts = 0;
    int focus = app->focus;
    if (app->prompt.kind != UI_PROMPT_NONE) {
        ui_typing_key(app, key);
        if (app->focus != focus && !app->quit) ui_compose(app);
        return;
    }
    if (app->popup == UI_NO_POPUP && key != 3 && key != 26 && ui_view_key(app, name)) return;
    const ui_binding *b = ui_binding_here(app, name);
    if (app->popup == UI_CONFIRM_QUIT && (!b || !b->context) && key != 3) return; // the question wants its answer
    if (b) ui_command_run(app, b->command);
    if (app->focus != focus && !app->quit) ui_compose(app); // the next key finds out what the new panel is
    if (!b) ui_say(app, UI_DIM, "%s does nothing here; ? lists the keys.", name);
}

static void click(ui_app *app, ui_view *v, int x, int y, ui_rect r) {
    for (size_t p = 0; p < ui_part_count; p++)
        if (ui_parts[p]->click &&
            ui_parts[p]->click(app, ui_part_own(&app->state, ui_parts[p]), v, x - v->inside.x, y - v->inside.y))
            return;
    // A table's rows begin below the panel's title and the column heads.
    int row = v->scroll.top + y - r.y - 2;
    if (strcmp(v->widget, "table") == 0 && y >= r.y + 2 && row < v->scroll.count) ui_scroll_to(&v->scroll, row);
}

void ui_mouse_press(ui_app *app, const ui_mouse *mouse) {
    app->dirty = true;
    if (mouse->action == UI_MOUSE_UP || mouse->action == UI_MOUSE_DOWN) {
        ui_command_run(app, mouse->action == UI_MOUSE_UP ? "up" : "down");
        return;
    }
    if (mouse->action == UI_MOUSE_DRAG || mouse->action == UI_MOUSE_RELEASE) {
        ui_resize_drag(app, mouse->x, mouse->y);
        if (mouse->action == UI_MOUSE_RELEASE) app->drag.kind = 0;
        return;
    }
    if (ui_resize_press(app, mouse->x, mouse->y) && app->drag.kind == 'w') return;
    if (app->popup != UI_NO_POPUP) return;
    for (int i = 0; mouse->y == 0 && i < app->tab_count; i++)
        if (mouse->x >= app->tab_x[i] && mouse->x < app->tab_end[i]) {
            ui_tab_go(app, i);
            ui_compose(app);
            return;
        }
    for (int i = 0; i < app->view_count; i++) {
        ui_rect r = app->layout.panel[i];
        if (mouse->x < r.x || mouse->x >= r.x + r.w || mouse->y < r.y || mouse->y >= r.y + r.h) continue;
        app->focus = i;
        click(app, &app->views[i], mouse->x, mouse->y, r);
        return;
    }
}
