// Golden screens: the same story at three sizes in three colour modes, and in ASCII. The letters must be the same
// whatever the colours.
//
// Golden files are refreshed on purpose with GENERATE=1.
#include "screen_support.h"

// ---- golden screens ----------------------------------------------------------------------------

static void compare(const char *name, const char *text) {
    char *below = base_sprintf("tests/ui/golden/%s", name), *path = base_join(support_tree(), below);
    if (getenv("GENERATE")) support_write(path, text, strlen(text));
    size_t bytes;
    char *expected = support_read(path, &bytes);
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

// Without the title bar, which changes with each tab that is added (and has a test of its own).
static const char *below_title(const char *text) {
    const char *line = strchr(text, '\n');
    return line ? line + 1 : text;
}

static void scene(base_buf *all, screen *s, const char *title) {
    char *text = terminal_text(s->t);
    base_buf_printf(all, "==== %s\n%s", title, below_title(text));
    free(text);
}

// The same story at one size; the letters are the same whatever the colours.
static void tell(screen *s, base_buf *text, base_buf *looks) {
    scene(text, s, "start");
    terminal_type(s->t, "\r");
    screen_stage(s);
    screen_stage(s);
    scene(text, s, "four layers done, the fifth in hand");
    char *half = terminal_looks(s->t);
    screen_stage(s);
    screen_stage(s);
    terminal_sync(s->t);
    for (int i = 0; i < 200 && !terminal_shows(s->t, "Run 1 done"); i++) terminal_sync(s->t);
    terminal_type(s->t, "jj");
    scene(text, s, "done, cursor on the third layer");
    terminal_type(s->t, ":view params\rl");
    scene(text, s, "params, one more bit");
    terminal_type(s->t, ":view chart\rz");
    scene(text, s, "the chart alone");
    terminal_type(s->t, "z:view layers\r?");
    scene(text, s, "help");
    terminal_type(s->t, "q/stage[");
    scene(text, s, "a bad pattern");
    terminal_type(s->t, "\x15head\r");
    scene(text, s, "a search");
    char *done = terminal_looks(s->t);
    base_buf_printf(looks, "==== half\n%s==== a search\n%s", below_title(half), below_title(done));
    free(half);
    free(done);
}

static void golden(int w, int h) {
    static const struct {
        const char *term, *name;
        ui_colours colours;
    } modes[] = {{"xterm-256color", "256", UI_COLOURS_AUTO},
                 {"xterm", "8", UI_COLOURS_AUTO},
                 {"xterm-256color", "none", UI_COLOURS_NONE}};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        screen s = {.options.colours = modes[i].colours};
        base_buf text = {0}, looks = {0};
        char name[64];
        screen_open(&s, w, h, modes[i].term, "C.UTF-8", true);
        tell(&s, &text, &looks);
        screen_quit(&s);
        snprintf(name, sizeof name, "%dx%d.txt", w, h);
        compare(name, text.text);
        snprintf(name, sizeof name, "%dx%d.%s.looks", w, h, modes[i].name);
        compare(name, looks.text);
        base_buf_free(&text);
        base_buf_free(&looks);
    }
}
static void golden_small(void **state) {
    (void)state, golden(80, 24);
}
static void golden_middle(void **state) {
    (void)state, golden(120, 40);
}
static void golden_large(void **state) {
    (void)state, golden(200, 60);
}

static void golden_ascii(void **state) {
    (void)state;
    screen s = {.options.colours = UI_COLOURS_NONE};
    screen_open(&s, 100, 30, "vt100", "C", false);
    run_to_end(&s);
    char *text = terminal_text(s.t);
    for (const char *c = text; *c; c++) assert_true((unsigned char)*c < 0x80);
    compare("100x30.ascii.txt", below_title(text));
    free(text);
    screen_quit(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden_small), cmocka_unit_test(golden_middle),
                                       cmocka_unit_test(golden_large), cmocka_unit_test(golden_ascii)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
