// The session and the configuration: what the next start finds again, what --fresh forgets, keys of one's own, broken
// files of both, and panels resized by keys and by dragging.
#include "screen_support.h"

static char *screen_json(const char *folder) {
    char *path = base_join(folder, "screen.json");
    size_t bytes;
    char *text = base_is_file(path) ? support_read(path, &bytes) : base_strdup("");
    free(path);
    return text;
}

static void layout_comes_back(void **state) {
    (void)state;
    const char *folder = support_temp_path("session-layout");
    for (int start = 0; start < 3; start++) {
        screen s = {.options.state_dir = folder, .options.fresh = start == 2};
        screen_open(&s, 120, 40, "xterm-256color", "C.UTF-8", false);
        bool found = terminal_shows(s.t, "\xe2\x94\x81 Params") && !terminal_shows(s.t, " Run \xe2");
        assert_int_equal(found, start == 1); // zoomed on the params, but not when fresh
        if (start == 0) terminal_type(s.t, ":view params\rz:dots ascii\r");
        if (start == 2) terminal_type(s.t, ":view chart\r");
        screen_quit(&s);
        char *text = screen_json(folder);
        assert_non_null(strstr(text, "\"view\": \"params\"")); // the fresh one wrote nothing
        assert_non_null(strstr(text, "\"dots\": \"a\""));
        free(text);
    }
}

static void broken_sessions_start_afresh(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "42",
        "{\"tab\": 7, \"view\": {}, \"parts\": 3, \"dots\": \"zz\"}",
        ("{\"tab\":\"Nowhere\",\"view\":\"none\",\"params\":{\"bits\":\"999\",\"x\":1},"
         "\"parts\":{\"resize\":{\"split\":{\"Run\":1e300},\"rows\":{\"layers\":-5}}}}")};
    const char *folder = support_temp_path("session-broken");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char *path = base_join(folder, "screen.json");
        base_err err;
        assert_true(base_mkdirs(folder, &err));
        support_write(path, texts[i], strlen(texts[i]));
        screen s = {.options.state_dir = folder};
        screen_open(&s, 100, 30, "xterm-256color", "C.UTF-8", false);
        assert_true(terminal_shows(s.t, " Layers"));
        if (i < 4) assert_true(terminal_shows(s.t, "does not hold a session"));
        run_to_end(&s);
        screen_quit(&s);
        free(path);
    }
}

static void own_keys_and_settings(void **state) {
    (void)state;
    const char *path = support_temp_path("config.lua");
    const char *text = "return { keys = { X = 'set bits=7', params = { X = 'reset' }, l = '' }, dots = 'block',\n"
                       "  start = { 'view run', 'zoom' }, mouse = false }\n";
    support_write(path, text, strlen(text));
    screen s = {.options.config = path};
    screen_open(&s, 100, 30, "xterm-256color", "C.UTF-8", false);
    assert_true(terminal_shows(s.t, "\xe2\x94\x81 Run") && !terminal_shows(s.t, " Layers \xe2"));
    terminal_type(s.t, "zX");
    assert_true(terminal_shows(s.t, "bits=7"));
    terminal_type(s.t, ":view params\rX");
    assert_true(terminal_shows(s.t, "bits=4")); // its own meaning there
    terminal_type(s.t, "?");
    assert_true(terminal_shows(s.t, "reset"));
    terminal_type(s.t, "q");
    screen_quit(&s);
}

static void mistakes_in_the_configuration(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"return { them = 'dark' }", "did you mean \"theme\""},
        {"return { theme = 'no-such' }", "no-such"},
        {"return { keys = { Q1 = 'run' } }", "there is no key \"Q1\""},
        {"return { keys = { x = 'rnu' } }", "there is no command \"rnu\""},
        {"return { keys = { nowhere = { x = 'run' } } }", "no place \"nowhere\""},
        {"return { mouse = 'yes' }", "true or false was expected"},
        {"return { colour = 'pink' }", "not \"pink\""},
        {"return { dots = 3 }", "braille, block or ascii was expected"},
        {"return {", "config.lua"},
        {"while true do end", "config.lua"},
        {"os.execute('touch /tmp/x')", "os"},
    };
    const char *path = support_temp_path("config.lua");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        support_write(path, cases[i][0], strlen(cases[i][0]));
        screen s = {.options.config = path};
        screen_open(&s, 200, 30, "xterm-256color", "C.UTF-8", false);
        if (!terminal_shows(s.t, cases[i][1])) {
            print_message("%s", terminal_text(s.t));
            fail_msg("%s: not told: %s", cases[i][0], cases[i][1]);
        }
        run_to_end(&s);
        screen_quit(&s);
    }
}

// Column of the divider, row of the heading of the run panel.
static int divider(screen *s) {
    char *text = terminal_text(s->t), *line = strstr(text, "\n");
    int column = -1, x = 0;
    for (const char *at = line ? line + 1 : ""; *at && *at != '\n' && column < 0; x++) {
        if (strncmp(at, "\xe2\x94\x82", 3) == 0) column = x;
        ui_next_char(&at);
    }
    // The first row holds headings; the divider is in the rows below, so look there when it is not.
    for (const char *row = line; column < 0 && row && (row = strstr(row + 1, "\n"));) {
        x = 0;
        for (const char *at = row + 1; *at && *at != '\n' && column < 0; x++) {
            if (strncmp(at, "\xe2\x94\x82", 3) == 0) column = x;
            ui_next_char(&at);
        }
    }
    free(text);
    return column;
}
static int heading_row(screen *s, const char *title) {
    char *text = terminal_text(s->t), *at = strstr(text, title);
    int row = -1;
    if (at) {
        row = 0;
        for (const char *c = text; c < at; c++) row += *c == '\n';
    }
    free(text);
    return row;
}

static void resized_by_keys(void **state) {
    (void)state;
    const char *folder = support_temp_path("session-resize");
    screen s = {.options.state_dir = folder};
    screen_open(&s, 140, 40, "xterm-256color", "C.UTF-8", false);
    int column = divider(&s), row = heading_row(&s, " Run \xe2");
    assert_true(column > 0 && row > 0);
    terminal_type(s.t, "))");
    assert_int_equal(divider(&s), column + 4);
    terminal_type(s.t, "(((");
    assert_int_equal(divider(&s), column - 2);
    terminal_type(s.t, "{{{");
    assert_int_equal(heading_row(&s, " Run \xe2"), row - 3);
    terminal_type(s.t, "}");
    assert_int_equal(heading_row(&s, " Run \xe2"), row - 2);
    screen_quit(&s);
    screen again = {.options.state_dir = folder};
    screen_open(&again, 140, 40, "xterm-256color", "C.UTF-8", false);
    assert_int_equal(divider(&again), column - 2); // kept
    assert_int_equal(heading_row(&again, " Run \xe2"), row - 2);
    terminal_type(again.t, "|");
    assert_int_equal(divider(&again), column);
    assert_int_equal(heading_row(&again, " Run \xe2"), row);
    screen_quit(&again);
}

// Hands are slower than curses, which joins a press with what follows at once: each step is awaited before the next.
static void mouse_step(screen *s, int button, int x, int y, char end) {
    char bytes[48];
    snprintf(bytes, sizeof bytes, "\033[<%d;%d;%d%c", button, x + 1, y + 1, end);
    terminal_send(s->t, bytes);
    terminal_await_mark(s->t, 0.05);
}

static void dragged(void **state) {
    (void)state;
    screen s = {0};
    screen_open(&s, 140, 40, "xterm-256color", "C.UTF-8", false);
    int column = divider(&s), row = heading_row(&s, " Run \xe2");
    mouse_step(&s, 0, column, 9, 'M');
    mouse_step(&s, 32, column - 4, 9, 'M');
    mouse_step(&s, 0, column - 6, 9, 'm');
    for (int i = 0; i < 1000 && divider(&s) != column - 6; i++) terminal_await_mark(s.t, 0.01);
    assert_int_equal(divider(&s), column - 6);
    mouse_step(&s, 0, 20, row, 'M');
    mouse_step(&s, 32, 20, row + 2, 'M');
    mouse_step(&s, 0, 20, row + 3, 'm');
    for (int i = 0; i < 1000 && heading_row(&s, " Run \xe2") != row + 3; i++) terminal_await_mark(s.t, 0.01);
    assert_int_equal(heading_row(&s, " Run \xe2"), row + 3);
    screen_quit(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layout_comes_back),     cmocka_unit_test(broken_sessions_start_afresh),
        cmocka_unit_test(own_keys_and_settings), cmocka_unit_test(mistakes_in_the_configuration),
        cmocka_unit_test(resized_by_keys),       cmocka_unit_test(dragged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
