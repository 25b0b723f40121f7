// Plays tests/tour/tour.keys on the screen in a terminal of 120x36 and leaves the pictures that it saves in docs/tour.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/support.h"
#include "../support/terminal.h"
#include "ui/ui.h"

enum { WIDTH = 120, HEIGHT = 36, PATIENCE = 300 };

static int child(void *context) {
    const char *keys = context;
    char *folder = base_join(support_tree(), "docs/tour"), *state = base_strdup(support_temp_dir());
    base_err err = {0};
    setenv("XDG_CONFIG_HOME", state, 1);
    if (!base_mkdirs(folder, &err) || chdir(folder) != 0) return 99;
    ui_options o = {.script = keys, .state_dir = state, .out = state, .colours = UI_COLOURS_256};
    base_status status = ui_main(&o, &err);
    if (status != BASE_OK) fprintf(stderr, "vise: %s\n", err.text);
    return (int)status;
}

int main(void) {
    char *keys = base_join(support_tree(), "tests/tour/tour.keys");
    terminal *t = terminal_start(WIDTH, HEIGHT, "xterm-256color", "C.UTF-8", child, keys);
    int status = terminal_wait(t, PATIENCE);
    bool well = status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!well) {
        char *text = terminal_text(t);
        printf("The tour did not end well; the screen at last:\n%s", text);
        free(text);
    }
    terminal_free(t);
    free(keys);
    return well ? 0 : 1;
}
