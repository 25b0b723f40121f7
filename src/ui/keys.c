// Keys: their names, what each is bound to, and what happens when one is pressed. Help and the line of keys are made
// from the same table.
#include <stdlib.h>
#include <string.h>

#include "ui/app.h"

const ui_binding ui_bindings[] = {
    {"Enter", "run", NULL, "run"},
    {"Esc", "back", NULL, NULL},
    {"Tab", "next", NULL, "panel"},
    {"S-Tab", "previous", NULL, NULL},
    {"1", "view 1", NULL, NULL},
    {"2", "view 2", NULL, NULL},
    {"3", "view 3", NULL, NULL},
    {"4", "view 4", NULL, NULL},
    {"5", "view 5", NULL, NULL},
    {"6", "view 6", NULL, NULL},
    {"7", "view 7", NULL, NULL},
    {"8", "view 8", NULL, NULL},
    {"9", "view 9", NULL, NULL},
    {"z", "zoom", NULL, "zoom"},
    {"o", "recipes", NULL, "recipe"},
    {"/", "search", NULL, "search"},
    {"n", "next-match", NULL, NULL},
    {"N", "previous-match", NULL, NULL},
    {":", "command", NULL, "command"},
    {"?", "help", NULL, "help"},
    {"F1", "help", NULL, NULL},
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
const size_t ui_binding_count = sizeof ui_bindings / sizeof *ui_bindings;

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
    const ui_binding *everywhere = NULL;
    for (size_t i = 0; i < ui_binding_count; i++) {
        const ui_binding *b = &ui_bindings[i];
        if (strcmp(b->key, key) != 0) continue;
        if (b->context && context && strcmp(b->context, context) == 0) return b;
        if (!b->context && !everywhere) everywhere = b;
    }
    return everywhere;
}

// ---- completion --------------------------------------------------------------------------------

enum { MAX_CANDIDATES = 400 };

typedef struct finds {
    char *text[MAX_CANDIDATES];
    int count;
} finds;

static void offer(finds *f, const char *candidate, const char *begin) {
    if (f->count < MAX_CANDIDATES && strncmp(candidate, begin, strlen(begin)) == 0)
        f->text[f->count++] = base_strdup(candidate);
}

// Names in the folder that the path so far names.
static void offer_files(finds *f, const char *begin) {
    const char *slash = strrchr(begin, '/');
    char *folder = slash ? base_strndup(begin, (size_t)(slash - begin) + 1) : base_strdup("");
    const char *home = getenv("HOME");
    char *real =
        folder[0] == '~' && folder[1] == '/' && home ? base_sprintf("%s%s", home, folder + 1) : base_strdup(folder);
    base_err ignored;
    size_t count = 0;
    char **list = base_list_dir(real[0] ? real : ".", &count, &ignored);
    for (size_t i = 0; list && i < count; i++) {
        char *path = base_sprintf("%s%s", real, list[i]);
        char *candidate = base_sprintf("%s%s%s", folder, list[i], base_is_dir(path) ? "/" : "");
        offer(f, candidate, begin);
        free(candidate);
        free(path);
    }
    if (list) base_names_free(list, count);
    free(real);
    free(folder);
}

static void complete(ui_app *app) {
    ui_prompt *p = &app->prompt;
    if (p->kind != UI_PROMPT_COMMAND) return;
    char *typed = base_strndup(p->text, (size_t)p->cursor);
    finds f = {.count = 0};
    char *space = strchr(typed, ' ');
    int start = 0;
    if (!space) {
        for (size_t i = 0; i < ui_command_count; i++) offer(&f, ui_commands[i].name, typed);
    } else {
        start = (int)(space - typed) + 1;
        *space = 0;
        const ui_command *c = ui_command_find(typed);
        bool files = c && (strcmp(c->args, "PATH") == 0 || strcmp(c->args, "FILE") == 0);
        const char *candidate;
        for (int i = 0; c && c->candidate && !files && (candidate = c->candidate(app, i)); i++)
            offer(&f, candidate, space + 1);
        if (files || (c && strcmp(c->name, "recipe") == 0 && strchr(space + 1, '/'))) offer_files(&f, space + 1);
    }
    ui_prompt_complete(p, start, (const char *const *)f.text, f.count);
    if (f.count == 1 && !space) ui_prompt_insert(p, " ");
    for (int i = 0; i < f.count; i++) free(f.text[i]);
    free(typed);
}

// ---- a key is pressed --------------------------------------------------------------------------

static void prompt_key(ui_app *app, int key) {
    ui_prompt *p = &app->prompt;
    ui_prompt_kind kind = p->kind;
    if (key == UI_KEY_TAB) {
        complete(app);
        return;
    }
    ui_prompt_result result = ui_prompt_key(p, key);
    if (result == UI_PROMPT_CHANGED && kind == UI_PROMPT_SEARCH) ui_search_set(app, p->text, true);
    if (result == UI_PROMPT_LEFT) {
        p->kind = UI_PROMPT_NONE;
        if (kind == UI_PROMPT_SEARCH) ui_search_set(app, "", false);
    } else if (result == UI_PROMPT_DONE) {
        p->kind = UI_PROMPT_NONE;
        if (kind == UI_PROMPT_COMMAND)
            ui_command_run(app, p->text);
        else
            ui_search_set(app, p->text, false);
    }
}

void ui_key_press(ui_app *app, int key) {
    char room[16];
    const char *name = ui_key_name(key, room);
    app->dirty = true;
    if (key == 0x1E) { // the mark is for the program that drives us, also while a prompt is open
        app->mark_wanted = true;
        return;
    }
    if (key != 3) app->interrupts = 0;
    if (app->prompt.kind != UI_PROMPT_NONE) {
        prompt_key(app, key);
        return;
    }
    if (app->popup == UI_NO_POPUP && key != 3 && key != 26 && ui_view_key(app, name)) return;
    const ui_binding *b = ui_binding_find(name, ui_context(app));
    if (app->popup == UI_CONFIRM_QUIT && (!b || !b->context) && key != 3) return; // the question wants its answer
    int focus = app->focus;
    if (b) ui_command_run(app, b->command);
    if (app->focus != focus && !app->quit) ui_compose(app); // the next key finds out what the new panel is
    if (!b) ui_say(app, UI_DIM, "%s does nothing here; ? lists the keys.", name);
}

void ui_mouse_press(ui_app *app, const ui_mouse *mouse) {
    app->dirty = true;
    if (mouse->action == UI_MOUSE_UP || mouse->action == UI_MOUSE_DOWN) {
        ui_command_run(app, mouse->action == UI_MOUSE_UP ? "up" : "down");
        return;
    }
    if (app->popup != UI_NO_POPUP) return;
    for (int i = 0; i < app->view_count; i++) {
        ui_rect r = app->layout.panel[i];
        if (mouse->x < r.x || mouse->x >= r.x + r.w || mouse->y < r.y || mouse->y >= r.y + r.h) continue;
        app->focus = i;
        ui_view *v = &app->views[i];
        // A table's rows begin below the panel's title and the column heads.
        if (v->widget == UI_W_TABLE && mouse->y >= r.y + 2 && v->scroll.top + mouse->y - r.y - 2 < v->scroll.count)
            ui_scroll_to(&v->scroll, v->scroll.top + mouse->y - r.y - 2);
    }
}
