// Comparing screens with golden files, refreshed on purpose with GENERATE=1.
#ifndef VISE_TESTS_GOLDEN_SCREENS_H
#define VISE_TESTS_GOLDEN_SCREENS_H

#include "screen_support.h"

static inline void golden_compare(const char *name, const char *text) {
    char *below = base_sprintf("tests/ui/golden/%s", name), *path = base_join(support_tree(), below);
    if (getenv("GENERATE")) support_write(path, text, strlen(text));
    size_t bytes;
    char *expected = base_is_file(path) ? support_read(path, &bytes) : base_strdup("");
    if (strcmp(expected, text) != 0) {
        const char *a = expected, *b = text;
        int line = 1;
        while (*a && *a == *b) {
            line += *a == '\n';
            a++, b++;
        }
        print_message("%s", text);
        fail_msg("%s differs from line %d on (GENERATE=1 writes it anew)", below, line);
    }
    free(expected);
    free(path);
    free(below);
}

// Without the title bar and the line of keys, which change with each feature that is added (and have tests of their
// own). Rows 1 to height - 2, and what follows the screen's rows. Caller frees.
static inline char *golden_inside(const char *text, int height) {
    base_buf out = {0};
    int row = 0;
    for (const char *at = text; *at; row++) {
        size_t n = strcspn(at, "\n") + 1;
        if (at[n - 1] == 0) n--;
        if (row != 0 && row != height - 1) base_buf_add(&out, at, n);
        at += n;
    }
    return out.text ? out.text : base_strdup("");
}

static inline void golden_add(base_buf *all, screen *s, const char *title, char *text) {
    char *middle = golden_inside(text, terminal_height(s->t));
    base_buf_printf(all, "==== %s\n%s", title, middle);
    free(middle);
    free(text);
}
static inline void golden_scene(base_buf *all, screen *s, const char *title) {
    golden_add(all, s, title, terminal_text(s->t));
}
static inline void golden_looks(base_buf *all, screen *s, const char *title) {
    golden_add(all, s, title, terminal_looks(s->t));
}

// Letters and looks at once.
static inline void golden_panels(base_buf *text, base_buf *looks, screen *s, const char *title) {
    golden_scene(text, s, title);
    golden_looks(looks, s, title);
}

// Waits until the screen shows `text`: what a task found out.
static inline void golden_await(screen *s, const char *text) {
    double until = base_now() + 10;
    while (!terminal_shows(s->t, text) && base_now() < until) terminal_sync(s->t);
    if (!terminal_shows(s->t, text)) {
        char *seen = terminal_text(s->t);
        for (char *at = strtok(seen, "\n"); at; at = strtok(NULL, "\n"))
            print_message("%s\n", at); // it cuts long texts
        free(seen);
        fail_msg("the screen never showed \"%s\"", text);
    }
}

// Plays `story` at three sizes in three colour modes and compares with PART-80x24.txt and PART-80x24.256.looks (.8,
// .none) and so on; the letters must be the same whatever the colours when `same_letters`, else they are kept by mode.
static inline void golden_play(const char *part, screen blank, bool same_letters,
                               void (*story)(screen *s, base_buf *text, base_buf *looks)) {
    static const int sizes[][2] = {{80, 24}, {120, 40}, {200, 60}};
    static const struct {
        const char *term, *name;
        ui_colours colours;
    } modes[] = {{"xterm-256color", "256", UI_COLOURS_AUTO},
                 {"xterm", "8", UI_COLOURS_AUTO},
                 {"xterm-256color", "none", UI_COLOURS_NONE}};
    for (int i = 0; i < 9; i++) {
        screen s = blank;
        base_buf text = {0}, looks = {0};
        char name[96];
        int w = sizes[i / 3][0], h = sizes[i / 3][1];
        s.options.colours = modes[i % 3].colours;
        screen_open(&s, w, h, modes[i % 3].term, "C.UTF-8", false);
        story(&s, &text, &looks);
        screen_quit(&s);
        if (same_letters)
            snprintf(name, sizeof name, "%s-%dx%d.txt", part, w, h);
        else
            snprintf(name, sizeof name, "%s-%dx%d.%s.txt", part, w, h, modes[i % 3].name);
        golden_compare(name, text.text);
        snprintf(name, sizeof name, "%s-%dx%d.%s.looks", part, w, h, modes[i % 3].name);
        golden_compare(name, looks.text);
        base_buf_free(&text);
        base_buf_free(&looks);
    }
}

#endif
