// What the tests of the whole screen share: a screen on a pseudo-terminal with the story as its work.
#ifndef VISE_TESTS_SCREEN_SUPPORT_H
#define VISE_TESTS_SCREEN_SUPPORT_H

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

#include "../support/fake_run.h"
#include "../support/support.h"
#include "../support/terminal.h"
#include "ui/part.h"

typedef struct screen {
    ui_options options;
    fake_run story;
    int gate[2], answer[2];
    terminal *t;
    const char *editor;   // command, NULL: one that changes nothing
    const char *no_color; // the variable in the child, NULL: not set
    bool real;            // the recipe's own run on the model and data of the options, not the story
} screen;

static inline int child(void *context) {
    screen *s = context;
    base_err err = {0};
    if (chdir(support_temp_dir()) != 0) return 1; // keys pressed at random may write files
    setenv("VISUAL", s->editor ? s->editor : "true", 1);
    setenv("XDG_CONFIG_HOME", support_temp_path("config"), 1);
    if (s->no_color) setenv("NO_COLOR", s->no_color, 1);
    base_status status = ui_main(&s->options, &err);
    if (status != BASE_OK) fprintf(stderr, "vise: %s\n", err.text);
    return (int)status;
}

static inline void screen_open(screen *s, int w, int h, const char *term, const char *locale, bool gated) {
    char *recipe = base_join(support_tree(), "tests/ui/story.lua");
    assert_int_equal(pipe(s->gate), 0);
    assert_int_equal(pipe(s->answer), 0);
    s->story.gate = gated ? s->gate[0] : -1;
    s->story.answer = s->answer[1];
    if (!s->options.recipe) s->options.recipe = recipe;
    if (!s->options.model) s->options.model = "/models/digits-cnn.safetensors";
    if (!s->options.data) s->options.data = "/data/digits";
    if (!s->real) {
        s->options.body = fake_run_body;
        s->options.body_context = &s->story;
    }
    s->options.clock = fake_clock;
    s->t = terminal_start(w, h, term, locale, child, s);
    terminal_sync(s->t);
    free(recipe);
}

// Tell the next stage of the story, then wait until the screen shows it.
static inline void screen_stage(screen *s) {
    char byte = 0;
    assert_int_equal(write(s->gate[1], &byte, 1), 1);
    assert_int_equal(read(s->answer[0], &byte, 1), 1);
    terminal_sync(s->t);
}

static inline void screen_close(screen *s) {
    terminal_free(s->t);
    for (int i = 0; i < 2; i++) {
        close(s->gate[i]);
        close(s->answer[i]);
    }
}

// Quit with q, the way users do, and see that it ended well.
static inline void screen_quit(screen *s) {
    terminal_send(s->t, "q");
    int status = terminal_wait(s->t, 10);
    assert_true(status != -1 && WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    screen_close(s);
}

static inline void run_to_end(screen *s) {
    terminal_type(s->t, "\r");
    for (int i = 0; i < 2000 && !terminal_shows(s->t, "done in"); i++) terminal_sync(s->t);
    assert_true(terminal_shows(s->t, "done in"));
}

#endif
