// Golden screens: the same story at three sizes in three colour modes, and in ASCII. The letters must be the same
// whatever the colours.
//
// Golden files are refreshed on purpose with GENERATE=1.
#include "golden.h"

// The same story at one size; the letters are the same whatever the colours.
static void tell(screen *s, base_buf *text, base_buf *looks, bool large) {
    golden_scene(text, s, "start");
    terminal_type(s->t, "\r");
    screen_stage(s);
    screen_stage(s);
    golden_scene(text, s, "four layers done, the fifth in hand");
    golden_looks(looks, s, "half");
    screen_stage(s);
    screen_stage(s);
    terminal_sync(s->t);
    for (int i = 0; i < 200 && !terminal_shows(s->t, "Run 1 done"); i++) terminal_sync(s->t);
    terminal_type(s->t, "jj");
    golden_scene(text, s, "done, cursor on the third layer");
    terminal_type(s->t, ":view params\rl");
    golden_scene(text, s, "params, one more bit");
    terminal_type(s->t, ":view chart\rz");
    golden_scene(text, s, "the chart alone");
    terminal_type(s->t, "z:view layers\r?");
    if (!large) golden_scene(text, s, "help"); // a large screen shows every part's keys, which others test
    terminal_type(s->t, "q/stage[");
    golden_scene(text, s, "a bad pattern");
    terminal_type(s->t, "\x15head\r");
    golden_scene(text, s, "a search");
    golden_looks(looks, s, "a search");
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
        tell(&s, &text, &looks, w == 200);
        screen_quit(&s);
        snprintf(name, sizeof name, "%dx%d.txt", w, h);
        golden_compare(name, text.text);
        snprintf(name, sizeof name, "%dx%d.%s.looks", w, h, modes[i].name);
        golden_compare(name, looks.text);
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
    char *inside = golden_inside(text, 30);
    golden_compare("100x30.ascii.txt", inside);
    free(inside);
    free(text);
    screen_quit(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden_small), cmocka_unit_test(golden_middle),
                                       cmocka_unit_test(golden_large), cmocka_unit_test(golden_ascii)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
