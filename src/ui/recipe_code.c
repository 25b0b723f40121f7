// The recipe's text on the screen: colours, line numbers, the error below its line.
#include <stdlib.h>
#include <string.h>

#include "ui/host.h"
#include "ui/recipe.h"

enum { SHIFT_COLUMNS = 8, MOST_SHIFT = 400 };

// ---- colours -----------------------------------------------------------------------------------

static bool is_word(const char *text, ui_lua_token t) {
    char name[48];
    size_t n = t.to - t.from;
    if (n >= sizeof name) return false;
    memcpy(name, text + t.from, n);
    name[n] = 0;
    // A field of that name is no word of the language: x.rule, { bits = 4, rank = 2 }.
    size_t next = t.to + strspn(text + t.to, " \t");
    bool field = (t.from > 0 && strchr(".:", text[t.from - 1])) || (text[next] == '=' && text[next + 1] != '=');
    return !field && script_recipe_word(name);
}

enum { WORD = UI_LUA_WRONG + 1 }; // of the recipe language, beside the kinds of tokens

static void paint(ui_recipe_own *own, const char *text) {
    size_t bytes = strlen(text);
    int lines = 1;
    for (size_t i = 0; i < bytes; i++) lines += text[i] == '\n';
    if (bytes && text[bytes - 1] == '\n') lines--;
    own->paint = base_realloc(own->paint, bytes + 1, 1);
    own->line = base_realloc(own->line, (size_t)lines, sizeof *own->line);
    own->line_count = bytes ? lines : 0;
    for (ui_lua_token t = {0}; (t = ui_lua_next(text, t.to)).kind != UI_LUA_END;)
        memset(own->paint + t.from, t.kind == UI_LUA_NAME && is_word(text, t) ? WORD : (int)t.kind, t.to - t.from);
    size_t at = 0;
    for (int i = 0; i < own->line_count; i++) {
        ui_code_line *l = &own->line[i];
        size_t n = strcspn(text + at, "\n");
        char *whole = base_strndup(text + at, n < 1000 ? n : 1000);
        *l = (ui_code_line){.number = i + 1, .from = at, .to = at + n};
        base_clean(l->text, sizeof l->text, whole);
        free(whole);
        at += n + 1;
    }
}

static const ui_code_line *lines_of(const ui_app *app) {
    ui_recipe_own *own = ui_recipe_of(app);
    if (own->painted != own->version + 1) paint(own, ui_recipe_text(app));
    own->painted = own->version + 1;
    return own->line;
}

static ui_style style_of(int kind) {
    static const ui_style styles[] = {
        [UI_LUA_KEYWORD] = UI_STRONG, [UI_LUA_STRING] = UI_GOOD, [UI_LUA_COMMENT] = UI_DIM,
        [UI_LUA_NUMBER] = UI_ACCENT,  [UI_LUA_WRONG] = UI_BAD,   [WORD] = UI_KEY};
    return styles[kind]; // the others are UI_NORMAL, which is 0
}

// ---- drawing -----------------------------------------------------------------------------------

static void draw_line(ui_area a, int y, const ui_recipe_own *own, const char *text, const ui_code_line *l) {
    const char *at = text + l->from, *end = text + l->to;
    int x = -own->shift;
    while (at < end && x < a.r.w) {
        const char *begin = at;
        uint32_t ch = ui_next_char(&at);
        ui_style style = style_of(own->paint[begin - text]);
        int width = ch == '\t' ? 4 - (x + own->shift) % 4 : ui_char_width(ch);
        if (ch < 32 && ch != '\t' && ch != '\r') ch = '?', width = 1;
        if (x >= 0 && x + width <= a.r.w && ch >= 32) ui_char(a, x, y, style, ch);
        x += width;
    }
    if (at < end || x > a.r.w) ui_char(a, a.r.w - 1, y, UI_DIM, 0x2026);
    if (own->shift && l->to > l->from) ui_char(a, 0, y, UI_DIM, 0x2026);
}

// The sentence below the line, or at the top when the error has none; returns its rows.
static int draw_error(ui_area a, int y, const ui_recipe_own *own) {
    ui_area part = ui_sub(a, 2, y, a.r.w - 2, 4);
    ui_put(a, 0, y, UI_BAD, "\xe2\x94\x94");
    return ui_wrap(part, 0, UI_BAD, own->error);
}
static int error_rows(const ui_recipe_own *own, int width) {
    if (!own->error[0] || width < 3) return 0;
    ui_grid none = {0};
    int rows = ui_wrap((ui_area){&none, {0, 0, width - 2, 0}}, 0, UI_BAD, own->error);
    return rows > 4 ? 4 : rows;
}

static void draw_code(ui_app *app, ui_area a, ui_look *look) {
    ui_recipe_own *own = ui_recipe_of(app);
    const ui_code_line *lines = lines_of(app);
    const char *text = ui_recipe_text(app);
    char number[16];
    int digits = snprintf(number, sizeof number, "%d", own->line_count), gutter = digits + 2;
    int told = error_rows(own, a.r.w - gutter);
    if (told > a.r.h / 2) told = a.r.h / 2;
    if (own->jump && own->error_line) look->scroll->cursor = own->error_line - 1;
    own->jump = false;
    ui_scroll_fit(look->scroll, own->line_count, a.r.h - told > 1 ? a.r.h - told : 1);
    ui_area body = ui_sub(a, gutter, 0, a.r.w - gutter, a.r.h);
    int y = 0;
    if (told && !own->error_line) y += draw_error(body, 0, own);
    for (int i = look->scroll->top; i < own->line_count && y < a.r.h; i++, y++) {
        bool wrong = i + 1 == own->error_line, hit = ui_search_hit(look->search, lines[i].text);
        snprintf(number, sizeof number, "%d", i + 1);
        ui_fit(a, 0, y, digits, UI_RIGHT, wrong ? UI_BAD : hit ? UI_FOUND : UI_DIM, number);
        if (wrong) ui_char(a, digits, y, UI_BAD, 0x25B6);
        draw_line(body, y, own, text, &lines[i]);
        if (i == look->scroll->cursor) ui_reverse(a, 0, y, look->focused ? a.r.w : digits);
        if (wrong && told) y += draw_error(body, y + 1, own);
    }
    if (own->line_count == 0) ui_wrap(a, 0, UI_DIM, "No recipe yet; o chooses one.");
}

HOST(h_code) {
    APP;
    (void)c;
    if (!ui_host_drawing(app, err)) return false;
    ui_look look = ui_host_look(app, "code", ui_source_find("code"));
    draw_code(app, ui_host_take(app), &look);
    return true;
}

// ui.recipe(name): what the recipe shown is.
HOST(h_recipe) {
    APP;
    const char *name = script_arg_text(c, 0);
    const ui_recipe_own *own = ui_recipe_of(app);
    char file[160];
    base_clean(file, sizeof file, base_basename(ui_recipe_path(app)));
    const struct {
        const char *name, *text;
    } table[] = {{"file", file},
                 {"state", own->draft     ? "does not load"
                           : own->changed ? "changed"
                           : own->shipped ? "shipped"
                                          : "as in its file"},
                 {"error", own->error},
                 {"on_save", own->again ? "runs on save" : ""}};
    for (size_t i = 0; name && i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0) {
            script_push_text(c, table[i].text);
            return true;
        }
    return base_fail(err, "ui.recipe knows file, state, error and on_save, not \"%s\"", name ? name : "");
}

// ---- rows --------------------------------------------------------------------------------------

static const base_field fields[] = {
    {"number", "", "line", BASE_F_INT, offsetof(ui_code_line, number), sizeof(int64_t)},
    {"text", "", "the line", BASE_F_TEXT, offsetof(ui_code_line, text), sizeof((ui_code_line *)0)->text},
};
static int count_lines(const ui_state *s) {
    return ((ui_recipe_own *)ui_part_own(s, &ui_part_recipe))->line_count;
}
static const void *line_rows(const ui_state *s) {
    return ((ui_recipe_own *)ui_part_own(s, &ui_part_recipe))->line;
}
static const ui_source sources[] = {
    {"code", fields, sizeof fields / sizeof *fields, sizeof(ui_code_line), count_lines, line_rows, "text"}};

static bool shift_by(ui_app *app, int columns) {
    ui_recipe_own *own = ui_recipe_of(app);
    own->shift += columns;
    if (own->shift < 0) own->shift = 0;
    if (own->shift > MOST_SHIFT) own->shift = MOST_SHIFT;
    return true;
}
ON(on_left) {
    UNUSED;
    return shift_by(app, -SHIFT_COLUMNS);
}
ON(on_right) {
    UNUSED;
    return shift_by(app, SHIFT_COLUMNS);
}

static bool on_click(ui_app *app, void *state, ui_view *view, int x, int y) {
    const ui_recipe_own *own = ui_recipe_of(app);
    int line = view->scroll.top + y, told = error_rows(own, view->inside.w - 6);
    (void)state, (void)x;
    if (strcmp(view->widget, "code") != 0) return false;
    if (own->error_line && line >= own->error_line)
        line = line - told < own->error_line - 1 ? own->error_line - 1 : line - told;
    if (line < own->line_count) ui_scroll_to(&view->scroll, line);
    return true;
}

static const ui_command commands[] = {
    {"code-left", "", "show more of the left of long lines", on_left, NULL, NULL},
    {"code-right", "", "show more of the right of long lines", on_right, NULL, NULL},
};
static const ui_binding bindings[] = {
    {"h", "code-left", "code", NULL},
    {"Left", "code-left", "code", NULL},
    {"l", "code-right", "code", NULL},
    {"Right", "code-right", "code", NULL},
};
static const script_function functions[] = {
    {"code", "() the recipe's text with colours and its error", h_code},
    {"recipe", "(name) of the recipe shown: file, state, error, on_save", h_recipe},
};
static const ui_place places[] = {{"code", "Keys on the recipe's text"}, {NULL, NULL}};

const ui_part ui_part_recipe_code = {.name = "recipe-code",
                                     UI_LIST(command, commands),
                                     UI_LIST(binding, bindings),
                                     UI_LIST(function, functions),
                                     UI_LIST(source, sources),
                                     .click = on_click,
                                     .places = places};
