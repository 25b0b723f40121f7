// The line at the bottom while something is typed: the palette's choices kept in step with the text, completion, and
// the lines of earlier sessions, kept in a file of the state folder.
#include <stdlib.h>
#include <string.h>

#include "ui/part.h"

// ---- choices -----------------------------------------------------------------------------------

// Names in the folder that the path so far names, folders with a slash.
static void offer_files(ui_palette *p, const char *begin) {
    const char *slash = strrchr(begin, '/');
    char *folder = slash ? base_strndup(begin, (size_t)(slash - begin) + 1) : base_strdup("");
    const char *home = getenv("HOME");
    char *real =
        folder[0] == '~' && folder[1] == '/' && home ? base_sprintf("%s%s", home, folder + 1) : base_strdup(folder);
    base_err ignored;
    size_t count = 0;
    char **list = base_list_dir(real[0] ? real : ".", &count, &ignored);
    for (size_t i = 0; list && i < count; i++) {
        char *path = base_sprintf("%s%s", real, list[i]), name[256];
        base_clean(name, sizeof name, list[i]);
        char *candidate = base_sprintf("%s%s%s", folder, name, base_is_dir(path) ? "/" : "");
        if (strcmp(name, list[i]) == 0) ui_palette_offer(p, candidate, NULL);
        free(candidate);
        free(path);
    }
    if (list) base_names_free(list, count);
    free(real);
    free(folder);
}

static void offer_commands(ui_app *app) {
    const ui_command *c;
    for (size_t i = 0; (c = ui_command_at(i)); i++) {
        const char *why = c->refuse ? c->refuse(app) : NULL;
        char note[256], keys[64];
        ui_command_keys(app, c, keys, sizeof keys);
        snprintf(note, sizeof note, "%-10s %s%s%s%s", keys, why ? "not now: " : "", why ? why : c->help,
                 c->args[0] && !why ? "  " : "", why ? "" : c->args);
        ui_palette_offer(&app->palette, c->name, note);
    }
}

static bool wants_file(const ui_command *c) {
    return strstr(c->args, "PATH") || strstr(c->args, "FILE");
}

void ui_typing_refresh(ui_app *app) {
    ui_prompt *p = &app->prompt;
    ui_palette *list = &app->palette;
    ui_palette_clear(list);
    if (p->kind != UI_PROMPT_COMMAND) return;
    char *typed = base_strndup(p->text, (size_t)p->cursor), *space = strchr(typed, ' ');
    list->argument = space != NULL;
    if (!space) {
        ui_palette_begin(list, typed, 0);
        offer_commands(app);
    } else {
        *space = 0;
        const char *word = space + 1 + strspn(space + 1, " ");
        const ui_command *c = ui_command_find(typed);
        // Commands that take a list complete its last word.
        const char *last = c && strstr(c->args, "...") ? strrchr(word, ' ') : NULL;
        if (last) word = last + 1;
        ui_palette_begin(list, word, (int)(word - typed));
        if (c && c->offer) c->offer(app, word);
        if (c && (wants_file(c) || (strcmp(c->name, "recipe") == 0 && strchr(word, '/')))) offer_files(list, word);
    }
    ui_palette_end(list);
    if (list->argument && list->eager) { // only names are taken without being typed out: a file's name may be a new one
        const ui_command *c = ui_command_find(typed);
        if (!c || !strstr(c->args, "NAME") || strchr(c->args, '=') || strstr(c->args, "...")) list->selected = -1;
    }
    free(typed);
}

void ui_typing_start(ui_app *app, ui_prompt_kind kind, const char *text, bool eager) {
    app->palette.eager = eager;
    ui_prompt_start(&app->prompt, kind, text);
    ui_typing_refresh(app);
}

// ---- completion --------------------------------------------------------------------------------

static void take_choice(ui_app *app, int index) {
    ui_palette *list = &app->palette;
    ui_prompt_replace(&app->prompt, list->start, list->list[index].text);
    list->selected = index;
}

// What all choices that begin with the typed word have in common, when that is more than was typed.
static bool extend(ui_app *app) {
    ui_palette *list = &app->palette;
    size_t typed = strlen(list->typed), common = 0;
    const char *first = NULL;
    int count = 0;
    for (int i = 0; i < list->count; i++) {
        const char *text = list->list[i].text;
        if (strncmp(text, list->typed, typed) != 0) continue;
        if (!first) common = strlen(first = text);
        size_t n = 0;
        while (n < common && text[n] == first[n]) n++;
        common = n;
        count++;
    }
    while (first && common > 0 && ((unsigned char)first[common] & 0xC0) == 0x80) common--;
    if (!first || (common <= typed && count > 1)) return false;
    char *word = base_strndup(first, common);
    ui_prompt_replace(&app->prompt, list->start, word);
    free(word);
    if (count == 1 && !list->argument) ui_prompt_insert(&app->prompt, " ");
    ui_typing_refresh(app);
    return true;
}

// Tab and Ctrl-N go on, Shift-Tab and Ctrl-P back: through the choices, each put into the line.
static void walk_choices(ui_app *app, int direction) {
    ui_palette *list = &app->palette;
    if (app->prompt.kind != UI_PROMPT_COMMAND) return;
    bool walking = list->selected >= 0 && !app->prompt.fresh;
    if (list->count == 0) {
        snprintf(app->prompt.trouble, sizeof app->prompt.trouble, "nothing fits that");
        return;
    }
    if (direction > 0 && !walking && !list->eager && extend(app)) return;
    int to = walking ? list->selected + direction : direction > 0 ? 0 : list->count - 1;
    take_choice(app, (to + list->count) % list->count);
    app->prompt.fresh = false;
}

// Enter in the palette takes the choice that stands out; one that needs an argument is typed on.
static bool takes_choice(ui_app *app) {
    ui_palette *list = &app->palette;
    ui_prompt *p = &app->prompt;
    if (p->kind != UI_PROMPT_COMMAND || !list->eager || list->selected < 0 || !p->fresh) return false;
    bool exact = strcmp(list->list[list->selected].text, list->typed) == 0;
    if (!exact && (list->typed[0] || !list->argument)) take_choice(app, list->selected);
    const ui_command *c = list->argument ? NULL : ui_command_find(p->text);
    if (!c || !c->args[0] || c->args[0] == '[') return false;
    ui_prompt_insert(p, " ");
    ui_typing_refresh(app);
    return true;
}

// ---- keys --------------------------------------------------------------------------------------

static void leave(ui_app *app, ui_prompt_kind kind, bool done) {
    char text[UI_PROMPT_BYTES];
    snprintf(text, sizeof text, "%s", app->prompt.text);
    app->prompt.kind = UI_PROMPT_NONE;
    ui_palette_clear(&app->palette);
    if (kind == UI_PROMPT_SEARCH)
        ui_search_set(app, done ? text : "", false);
    else if (done)
        ui_command_run(app, text);
}

void ui_typing_key(ui_app *app, int key) {
    enum { CTRL_N = 14, CTRL_P = 16 };
    ui_prompt *p = &app->prompt;
    ui_prompt_kind kind = p->kind;
    p->trouble[0] = p->bad ? p->trouble[0] : 0;
    bool command = kind == UI_PROMPT_COMMAND;
    if (key == UI_KEY_TAB || key == UI_KEY_BACK_TAB || (command && (key == CTRL_N || key == CTRL_P))) {
        walk_choices(app, key == UI_KEY_TAB || key == CTRL_N ? 1 : -1);
        return;
    }
    if (key == UI_KEY_ENTER && takes_choice(app)) return;
    ui_prompt_result result = ui_prompt_key(p, key);
    if (result == UI_PROMPT_LEFT || result == UI_PROMPT_DONE) {
        leave(app, kind, result == UI_PROMPT_DONE);
        return;
    }
    p->fresh = true;
    if (result == UI_PROMPT_CHANGED && !command) ui_search_set(app, p->text, true);
    if (command) ui_typing_refresh(app);
}

// ---- lines of earlier sessions -----------------------------------------------------------------

enum { HISTORY_BYTES = 1 << 20 };

static char *history_path(const ui_app *app) {
    return app->state_dir ? base_join(app->state_dir, "screen-lines") : NULL;
}

// Each line with its kind in front, as it was typed: ":recipe w8", "/conv".
static void read_lines(ui_prompt *p, const char *path) {
    base_err ignored;
    size_t bytes;
    char *text = base_is_file(path) ? base_read_file(path, HISTORY_BYTES, &bytes, &ignored) : NULL;
    char *rest = NULL;
    for (char *line = text ? strtok_r(text, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest)) {
        char clean[UI_PROMPT_BYTES];
        base_clean(clean, sizeof clean, line);
        if (clean[0] == ':') ui_prompt_remember(p, UI_PROMPT_COMMAND, clean + 1);
        if (clean[0] == '/') ui_prompt_remember(p, UI_PROMPT_SEARCH, clean + 1);
    }
    free(text);
}

void ui_typing_load(ui_app *app) {
    char *path = history_path(app);
    if (path) read_lines(&app->prompt, path);
    free(path);
    for (int k = 0; k < 3; k++) app->prompt.history[k].fresh = 0;
}

// What other screens have written meanwhile stays: the file is read again and this session's lines come after.
void ui_typing_save(ui_app *app) {
    static const char signs[] = {0, ':', '/'};
    char *path = history_path(app);
    int fresh = app->prompt.history[UI_PROMPT_COMMAND].fresh + app->prompt.history[UI_PROMPT_SEARCH].fresh;
    if (!path || fresh == 0) {
        free(path);
        return;
    }
    ui_prompt *all = base_calloc(1, sizeof *all);
    read_lines(all, path);
    for (int k = 1; k < 3; k++) {
        const ui_lines *h = &app->prompt.history[k];
        for (int i = h->count - h->fresh; i < h->count; i++) ui_prompt_remember(all, (ui_prompt_kind)k, h->line[i]);
    }
    base_out out;
    base_err err = {0};
    if (base_out_open(&out, path, &err)) {
        for (int k = 1; k < 3; k++)
            for (int i = 0; i < all->history[k].count; i++)
                fprintf(out.file, "%c%s\n", signs[k], all->history[k].line[i]);
        if (!base_out_commit(&out, &err)) err.status = BASE_FAILED; // lines are a comfort: losing them is no error
    }
    ui_prompt_free(all);
    free(all);
    free(path);
}
