// A script of keys, played at the start: one line at a time, each after the screen has caught up. Lines are `:command`,
// `/pattern`, `wait` (until no job is going), or names of keys separated by spaces; # begins a comment.
#include <stdlib.h>
#include <string.h>

#include "ui/task.h"

typedef struct ui_player {
    char *text, *at;
    bool waiting;
} ui_player;

ui_player *ui_player_open(const char *path, base_err *err) {
    size_t bytes;
    char *text = base_read_file(path, 1 << 20, &bytes, err);
    if (!text) return NULL;
    ui_player *p = base_alloc(sizeof *p);
    p->text = p->at = text;
    return p;
}

void ui_player_close(ui_player *p) {
    if (!p) return;
    free(p->text);
    free(p);
}

bool ui_player_waiting(const ui_app *app) {
    return app->player && app->player->waiting && (app->job || ui_task_what(app));
}

static void press_names(ui_app *app, char *line) {
    char *rest = NULL;
    for (char *word = strtok_r(line, " \t", &rest); word; word = strtok_r(NULL, " \t", &rest)) {
        int key = ui_key_parse(word);
        if (key == UI_KEY_NONE)
            ui_say(app, UI_BAD, "The script names a key that does not exist: %s", word);
        else
            ui_key_press(app, key);
    }
}

void ui_player_step(ui_app *app) {
    ui_player *p = app->player;
    if (!p) return;
    if (ui_player_waiting(app)) return;
    p->waiting = false;
    if (!*p->at) {
        ui_player_close(p);
        app->player = NULL;
        return;
    }
    size_t n = strcspn(p->at, "\n");
    char *line = base_strndup(p->at, n);
    p->at += n + (p->at[n] == '\n');
    app->dirty = true;
    line[strcspn(line, "\r")] = 0;
    if (line[0] == ':')
        ui_command_run(app, line + 1);
    else if (line[0] == '/' && line[1])
        ui_search_set(app, line + 1, true);
    else if (strcmp(line, "wait") == 0)
        p->waiting = true;
    else if (line[0] != '#')
        press_names(app, line);
    free(line);
}
