// The whole screen on a pseudo-terminal: every key in every panel, sizes down to 1x1, patterns and commands with
// mistakes, a broken view beside good ones, keys at random.
#include "screen_support.h"

static void no_color(void **state) {
    (void)state;
    static const struct {
        const char *value;
        ui_colours asked;
        bool coloured;
    } cases[] = {{"1", UI_COLOURS_AUTO, false}, {"", UI_COLOURS_AUTO, true}, {"1", UI_COLOURS_256, true}};
    for (int i = 0; i < 3; i++) { // set and not empty counts; what was asked for on the command line counts more
        screen s = {.no_color = cases[i].value, .options.colours = cases[i].asked};
        screen_open(&s, 80, 24, "xterm-256color", "C.UTF-8", false);
        char *looks = terminal_looks(s.t);
        assert_int_equal(strstr(looks, "colour 37") != NULL, cases[i].coloured);
        free(looks);
        screen_quit(&s);
    }
}

// ---- keys --------------------------------------------------------------------------------------

static void key_table_is_sound(void **state) {
    (void)state;
    const ui_binding *b, *other;
    const ui_command *c;
    for (size_t i = 0; (b = ui_binding_at(i)); i++) {
        char name[32], room[16];
        int key = ui_key_parse(b->key);
        assert_true(key != UI_KEY_NONE);
        assert_string_equal(ui_key_name(key, room), b->key);
        snprintf(name, sizeof name, "%.*s", (int)strcspn(b->command, " "), b->command);
        assert_non_null(ui_command_find(name));
        for (size_t j = 0; j < i && (other = ui_binding_at(j)); j++) // no key has two meanings in one place
            if (strcmp(other->key, b->key) == 0)
                assert_true(other->context != b->context &&
                            !(other->context && b->context && strcmp(other->context, b->context) == 0));
    }
    for (size_t i = 0; (c = ui_command_at(i)); i++) {
        assert_true(strlen(c->help) > 8);
        if (ui_command_find(c->name) != c) fail_msg("two commands are named %s", c->name);
    }
}

// What a terminal sends for a key of the table.
static const char *sequence(const char *name, char room[8]) {
    static const char *const table[][2] = {
        {"Enter", "\r"},    {"Esc", "\033"},     {"Tab", "\t"},      {"S-Tab", "\033[Z"}, {"Up", "\033OA"},
        {"Down", "\033OB"}, {"Right", "\033OC"}, {"Left", "\033OD"}, {"PgUp", "\033[5~"}, {"PgDn", "\033[6~"},
        {"Home", "\033OH"}, {"End", "\033OF"},   {"F1", "\033OP"},   {"Space", " "},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i][0], name) == 0) return table[i][1];
    int key = ui_key_parse(name);
    assert_in_range(key, 1, 127);
    room[0] = (char)key;
    room[1] = 0;
    return room;
}

static void every_key_everywhere(void **state) {
    (void)state;
    screen s = {0};
    screen_open(&s, 100, 32, "xterm-256color", "C.UTF-8", false);
    run_to_end(&s);
    for (int view = 1; view <= 4; view++) {
        const ui_binding *b;
        for (size_t i = 0; (b = ui_binding_at(i)); i++) {
            const char *name = b->key;
            char room[8],
                go[4] = {27, 27, (char)(view > 1 ? 9 : 27), 0}; // close what the key before opened, go to the panel
            bool seen = false;
            for (size_t j = 0; j < i; j++) seen |= strcmp(ui_binding_at(j)->key, name) == 0;
            // These leave the program; they have tests of their own.
            if (seen || strcmp(name, "q") == 0 || strcmp(name, "C-c") == 0 || strcmp(name, "C-z") == 0) continue;
            terminal_send(s.t, go);
            terminal_type(s.t, sequence(name, room));
        }
    }
    terminal_type(s.t, "\033\033");
    // A run may be going now; Esc stopped it or it ended. The screen still works.
    terminal_type(s.t, "?");
    assert_true(terminal_shows(s.t, "Keys everywhere"));
    terminal_type(s.t, "q");
    screen_quit(&s);
}

static void help_lists_all(void **state) {
    (void)state;
    screen s = {0};
    screen_open(&s, 110, 900, "xterm", "C.UTF-8", false);
    terminal_type(s.t, "\033OP");
    const ui_command *c;
    const ui_binding *b;
    for (size_t i = 0; (c = ui_command_at(i)); i++) assert_true(terminal_shows(s.t, c->help) || strlen(c->help) > 70);
    for (size_t i = 0; (b = ui_binding_at(i)); i++) // every key, also those of other panels
        assert_true(terminal_shows(s.t, b->key));
    assert_true(terminal_shows(s.t, "Keys on params") && terminal_shows(s.t, "Keys on a chart"));
    assert_true(terminal_shows(s.t, "The bar is the relative output error")); // the view's own words
    terminal_type(s.t, "q");
    screen_quit(&s);
}

// The page of what is under the cursor: the recipe before a run, the layer's own method after it.
static void method_pages(void **state) {
    (void)state;
    screen s = {0};
    screen_open(&s, 100, 40, "xterm", "C.UTF-8", false);
    terminal_type(s.t, "i");
    assert_true(terminal_shows(s.t, "What the recipe story uses"));
    terminal_type(s.t, "q:method gptq\r");
    assert_true(terminal_shows(s.t, "gptq (a method of quantize{})"));
    assert_true(terminal_shows(s.t, "arXiv 2210.17323"));
    terminal_type(s.t, "/factor\r");
    char *looks = terminal_looks(s.t);
    assert_non_null(strstr(looks, "under"));
    free(looks);
    terminal_resize(s.t, 60, 20); // wrapped anew
    terminal_type(s.t, "g");
    terminal_sync(s.t);
    assert_true(terminal_shows(s.t, "gptq (a method of quantize{})"));
    terminal_type(s.t, "q:method no-such\r");
    assert_true(terminal_shows(s.t, "there is no method \"no-such\""));
    terminal_resize(s.t, 100, 40);
    terminal_type(s.t, "\033\r");
    for (int i = 0; i < 2000 && !terminal_shows(s.t, "done in"); i++) terminal_sync(s.t);
    terminal_type(s.t, ":view layers\ri"); // the layer was rounded
    assert_true(terminal_shows(s.t, "quantize (a step of recipes)"));
    assert_false(terminal_shows(s.t, "What the recipe"));
    terminal_type(s.t, "q");
    screen_quit(&s);
}

static void the_page_knows_every_function(void **state) {
    (void)state;
    char *path = base_join(support_tree(), "docs/screen.md");
    size_t bytes;
    char *page = support_read(path, &bytes);
    const script_function *f;
    for (size_t i = 0; (f = ui_function_at(i)); i++) {
        char *row = base_sprintf("| `ui.%s` | %s |", f->name, f->help);
        if (!strstr(page, row)) fail_msg("docs/screen.md has no row: %s", row);
        free(row);
    }
    free(page);
    free(path);
}

// The tables of docs/screen.md are made from the tables of the program; GENERATE=1 writes them anew.
static void compare_part(const char *mark, const char *text) {
    char *path = base_join(support_tree(), "docs/screen.md"), *begin = base_sprintf("<!-- %s -->\n", mark);
    char *end = base_sprintf("<!-- end of %s -->\n", mark);
    size_t bytes;
    char *page = support_read(path, &bytes), *from = strstr(page, begin), *to = strstr(page, end);
    assert_true(from && to && from < to);
    from += strlen(begin);
    bool same = (size_t)(to - from) == strlen(text) && memcmp(from, text, strlen(text)) == 0;
    if (!same && getenv("GENERATE")) {
        char *all = base_sprintf("%.*s%s%s", (int)(from - page), page, text, to);
        support_write(path, all, strlen(all));
        free(all);
    } else if (!same) {
        fail_msg("docs/screen.md: the part \"%s\" is not what the tables say (GENERATE=1 writes it anew)", mark);
    }
    free(page);
    free(begin);
    free(end);
    free(path);
}

static void the_page_knows_every_command(void **state) {
    (void)state;
    base_buf text = {0};
    ui_app *app = base_calloc(1, sizeof *app);
    base_buf_printf(&text, "| command | keys | what it does |\n|---|---|---|\n");
    const ui_command *c;
    for (size_t i = 0; (c = ui_command_at(i)); i++) {
        char keys[96];
        ui_command_keys(app, c, keys, sizeof keys);
        base_buf_printf(&text, "| `:%s%s%s` | %s%s%s | %s |\n", c->name, c->args[0] ? " " : "", c->args,
                        keys[0] ? "`" : "", keys, keys[0] ? "`" : "", c->help);
    }
    compare_part("commands", text.text);
    base_buf_free(&text);
    free(app);
}

static void palette(void **state) {
    (void)state;
    screen s = {0};
    screen_open(&s, 100, 30, "xterm-256color", "C.UTF-8", false);
    terminal_type(s.t, "\x10zo"); // the best choice stands out and Enter takes it
    assert_true(terminal_shows(s.t, "this panel alone"));
    terminal_type(s.t, "\r");
    assert_false(terminal_shows(s.t, " Run \xe2"));
    terminal_type(s.t, "z\x10vw\r"); // one that needs an argument is typed on
    assert_true(terminal_shows(s.t, ":view"));
    terminal_type(s.t, "prm\r");
    assert_true(terminal_shows(s.t, "\xe2\x94\x81 Params"));
    terminal_type(s.t, ":set bits=\t"); // the ends of the range are offered
    assert_true(terminal_shows(s.t, "least"));
    terminal_type(s.t, "\x03:set gr\t\t");
    assert_true(terminal_shows(s.t, ":set group=64")); // Tab walks on
    terminal_type(s.t, "\x03\r");
    for (int i = 0; i < 2000 && !terminal_shows(s.t, "done in"); i++) terminal_sync(s.t);
    terminal_type(s.t, ":layer s3c\t\r");
    assert_true(terminal_shows(s.t, "\xe2\x94\x81 Layers"));
    assert_true(terminal_shows(s.t, "stage3.conv conv2d"));
    terminal_type(s.t, "\x10\x03");
    terminal_type(s.t, ":zzqx\t");
    assert_true(terminal_shows(s.t, "nothing fits that"));
    terminal_type(s.t, "\x03");
    screen_quit(&s);
}

// Lines typed in one session come back in the next, and only where a folder is named.
static void lines_are_kept(void **state) {
    (void)state;
    const char *folder = support_temp_dir();
    for (int session = 0; session < 2; session++) {
        screen s = {.options.state_dir = folder};
        screen_open(&s, 90, 24, "xterm-256color", "C.UTF-8", false);
        if (session == 0) terminal_type(s.t, ":set bits=6\r/conv\r");
        if (session == 1) {
            terminal_type(s.t, ":\033OA");
            assert_true(terminal_shows(s.t, ":set bits=6"));
            terminal_type(s.t, "\x03/\033OA");
            assert_true(terminal_shows(s.t, "/conv"));
            terminal_type(s.t, "\x03");
        }
        screen_quit(&s);
    }
}

static void commands_typed(void **state) {
    (void)state;
    screen s = {0};
    char *saved = base_strdup(support_temp_path("screen.txt")), *line = base_sprintf(":save %s\r", saved);
    screen_open(&s, 170, 30, "xterm-256color", "C.UTF-8", false);
    terminal_type(s.t, ":set bits=7\r");
    assert_true(terminal_shows(s.t, "story bits=7 group=64"));
    terminal_type(s.t, ":set bits=9\r");
    assert_true(terminal_shows(s.t, "bits")); // out of range: told, not taken
    assert_true(terminal_shows(s.t, "story bits=7 group=64"));
    terminal_type(s.t, ":rnu\r");
    assert_true(terminal_shows(s.t, "did you mean \"run\""));
    terminal_type(s.t, ":rec\t");
    assert_true(terminal_shows(s.t, "list the shipped recipes to choose from"));
    assert_true(terminal_shows(s.t, ":recipe"));
    terminal_type(s.t, "\x15vie\tparams\r"); // completes to "view "
    assert_true(terminal_shows(s.t, "\xe2\x94\x81 Params"));
    terminal_type(s.t, ":recipe /nowhere.lua\r");
    assert_true(terminal_shows(s.t, "nowhere.lua"));
    assert_true(terminal_shows(s.t, "story bits=7")); // the old one stays open
    terminal_type(s.t, ":\033OA");                    // the line before
    assert_true(terminal_shows(s.t, ":recipe /nowhere.lua"));
    terminal_type(s.t, "\x03");
    terminal_type(s.t, line);
    size_t bytes;
    char *text = support_read(saved, &bytes);
    assert_non_null(strstr(text, " Layers"));
    free(text);
    free(line);
    free(saved);
    screen_quit(&s);
}

static void stopping(void **state) {
    (void)state;
    screen s = {0};
    screen_open(&s, 100, 30, "xterm-256color", "C.UTF-8", true);
    terminal_type(s.t, "\r");
    screen_stage(&s);
    screen_stage(&s);
    terminal_type(s.t, "q"); // asks, because a run is going
    assert_true(terminal_shows(s.t, "A run is going"));
    terminal_type(s.t, "n");
    terminal_type(s.t, "\033");
    for (int i = 0; i < 2000 && !terminal_shows(s.t, "Stopped after"); i++) terminal_sync(s.t);
    assert_true(terminal_shows(s.t, "4 finished layers are kept"));
    assert_true(terminal_shows(s.t, "\xe2\x9c\x93   stage3.conv")); // done
    assert_true(terminal_shows(s.t, "\xe2\x97\x8c     out"));       // left over
    screen_quit(&s);
}

static void second_interrupt_quits(void **state) {
    (void)state;
    screen s = {.story.stubborn = true};
    screen_open(&s, 100, 30, "xterm-256color", "C.UTF-8", true);
    terminal_type(s.t, "\r");
    screen_stage(&s);
    terminal_type(s.t, "\x03");
    assert_true(terminal_shows(s.t, "Ctrl-C again quits"));
    terminal_send(s.t, "\x03");
    int status = terminal_wait(s.t, 10); // the job never stops; the program leaves without it
    assert_true(status != -1 && WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), BASE_CANCELLED);
    assert_false(terminal_alternate(s.t));
    screen_close(&s);
}

// ---- sizes -------------------------------------------------------------------------------------

static void resize_storm(void **state) {
    (void)state;
    screen s = {0};
    screen_open(&s, 80, 24, "xterm-256color", "C.UTF-8", false);
    run_to_end(&s);
    uint32_t seed = 7;
    for (int i = 0; i < 60; i++) {
        static const int corners[][2] = {{1, 1}, {1, 100}, {300, 1}, {2, 2}, {29, 6}, {30, 5}, {30, 6}, {300, 100}};
        seed = seed * 1664525u + 1013904223u;
        int w = i < 8 ? corners[i][0] : 1 + (int)(seed >> 8) % 300,
            h = i < 8 ? corners[i][1] : 1 + (int)(seed >> 20) % 100;
        terminal_resize(s.t, w, h);
        terminal_type(s.t, i % 3 == 0 ? "?" : i % 3 == 1 ? "\tq" : "j");
        if (i % 3 == 1) continue;
        // The signal may come after the key's frame: the next mark is after both.
        terminal_sync(s.t);
        if (w >= 20 && (w < 30 || h < 6)) assert_true(terminal_shows(s.t, "needs 30x6"));
    }
    terminal_resize(s.t, 80, 24);
    for (int i = 0; i < 200 && !terminal_shows(s.t, "Enter run"); i++) terminal_type(s.t, "\033");
    assert_true(terminal_shows(s.t, " Layers"));
    screen_quit(&s);
}

// Keys and sizes at random while runs come and go; nothing may end it but q.
static void soak(void **state) {
    (void)state;
    screen s = {0};
    uint32_t seed = 20261122;
    size_t bindings = 0;
    while (ui_binding_at(bindings)) bindings++;
    char here[4096]; // what the keys happen to write stays out of the tree
    assert_non_null(getcwd(here, sizeof here));
    char *story = base_join(support_tree(), "tests/ui/story.lua"), *copy = base_strdup(support_temp_path("story.lua"));
    size_t length;
    char *words = support_read(story, &length);
    support_write(copy, words, length);
    s.options.recipe = copy;
    assert_int_equal(chdir(support_temp_dir()), 0);
    screen_open(&s, 90, 30, "xterm-256color", "C.UTF-8", false);
    assert_int_equal(chdir(here), 0);
    for (int round = 0; round < 60; round++) {
        char keys[64];
        int n = 0;
        while (n < 20) {
            seed = seed * 1664525u + 1013904223u;
            uint32_t pick = seed >> 8;
            const char *name = ui_binding_at((size_t)pick % bindings)->key;
            char room[8];
            if (strcmp(name, "q") == 0 || strcmp(name, "C-c") == 0 || strcmp(name, "C-z") == 0 ||
                strcmp(name, "y") == 0)
                continue;
            const char *bytes = sequence(name, room);
            if (n + (int)strlen(bytes) >= 40) break;
            strcpy(keys + n, bytes);
            n += (int)strlen(bytes);
        }
        terminal_send(s.t, keys);
        if (round % 5 == 0) terminal_resize(s.t, 1 + (int)(seed >> 9) % 220, 1 + (int)(seed >> 17) % 70);
        terminal_sync(s.t);
    }
    terminal_resize(s.t, 90, 30);
    terminal_type(s.t, "\033\033\033");
    terminal_type(s.t, "1");
    for (int i = 0; i < 500 && !terminal_shows(s.t, " Layers"); i++) terminal_type(s.t, "\033");
    terminal_type(s.t, ":tab Run\r:view layers\r");
    if (!terminal_shows(s.t, " Layers")) print_message("%s", terminal_text(s.t));
    assert_true(terminal_shows(s.t, " Layers"));
    screen_quit(&s);
    free(words);
    free(story);
    free(copy);
}

// curses looks at what follows a click before it tells of it, so a mark sent along would be taken for a part of it:
// here the screen itself is awaited.
static void await_text(screen *s, const char *text) {
    for (int i = 0; i < 1000 && !terminal_shows(s->t, text); i++) terminal_await_mark(s->t, 0.01);
    assert_true(terminal_shows(s->t, text));
}

// The title bar names the tabs where there is room, else the one that is shown; keys, commands and clicks go to them.
static void tabs(void **state) {
    (void)state;
    screen s = {0};
    screen_open(&s, 200, 40, "xterm-256color", "C.UTF-8", false);
    assert_true(terminal_shows(s.t, "1 Start  2 Run  3 Sensitivity"));
    terminal_type(s.t, "1");
    assert_true(terminal_shows(s.t, "\xe2\x94\x81 Start"));
    terminal_type(s.t, "[["); // round to the last, and one more
    assert_true(!terminal_shows(s.t, "\xe2\x94\x81 Start"));
    terminal_type(s.t, "]]]");
    assert_true(terminal_shows(s.t, "\xe2\x94\x81 Layers"));
    terminal_type(s.t, ":tab sens\r");
    assert_true(terminal_shows(s.t, "\xe2\x94\x81 Sensitivity"));
    terminal_type(s.t, ":tab nowhere\r");
    assert_true(terminal_shows(s.t, "there is no tab \"nowhere\""));
    terminal_resize(s.t, 80, 24);
    terminal_sync(s.t);
    for (int i = 0; i < 100 && !terminal_shows(s.t, "1 2 3 Sensitivity"); i++) terminal_sync(s.t);
    assert_true(terminal_shows(s.t, "1 2 3 Sensitivity"));
    char *text = terminal_text(s.t), *at = strstr(text, "1 2 3 Sens"), click[48];
    int column = 0;
    for (const char *c = text; c < at;) column++, ui_next_char(&c);
    snprintf(click, sizeof click, "\033[<0;%d;1M\033[<0;%d;1m", column + 3, column + 3);
    free(text);
    terminal_send(s.t, click);
    await_text(&s, "1 2 Run");
    screen_quit(&s);
}

static void mouse(void **state) {
    (void)state;
    screen s = {0};
    screen_open(&s, 120, 40, "xterm-256color", "C.UTF-8", false);
    run_to_end(&s);
    terminal_send(s.t, "\033[<0;100;3M\033[<0;100;3m"); // a click on the params
    await_text(&s, "\xe2\x94\x81 Params");
    terminal_send(s.t, "\033[<0;10;6M\033[<0;10;6m"); // and on the third layer
    await_text(&s, "stage2.conv conv2d");
    terminal_send(s.t, "\033[<65;10;6M"); // the wheel
    await_text(&s, "stage3.conv conv2d");
    screen_quit(&s);
}

// ---- views -------------------------------------------------------------------------------------

static void put_view(const char *folder, const char *name, const char *text) {
    char *path = base_join(folder, name);
    support_write(path, text, strlen(text));
    free(path);
}

static void broken_views_stay_alone(void **state) {
    (void)state;
    const char *folder = support_temp_dir();
    put_view(folder, "a.lua",
             "local v = { title = 'Good', order = 1 }\n"
             "function v.draw() ui.text('all is well ' .. ui.count('params')) end\n"
             "function v.key(k) if k == 'x' then ui.command('set bits=2') return true end end\nreturn v\n");
    put_view(folder, "b.lua", "return { title = 'Raises', order = 2, draw = function() error('on purpose') end }\n");
    put_view(folder, "c.lua", "return { title = 'Endless', order = 3, draw = function() while true do end end }\n");
    put_view(folder, "d.lua", "this is not Lua\n");
    put_view(folder, "e.lua",
             "return { title = 'Wrong', order = 4, draw = function() ui.table{ source = 'nothing' } end }\n");
    screen s = {.options.views = folder};
    screen_open(&s, 120, 60, "xterm-256color", "C.UTF-8", false);
    terminal_type(s.t, "x");
    assert_true(terminal_shows(s.t, "all is well 2"));
    assert_true(terminal_shows(s.t, "bits=2")); // the view's own key
    assert_true(terminal_shows(s.t, "on purpose"));
    assert_true(terminal_shows(s.t, "endless loop"));
    assert_true(terminal_shows(s.t, "d.lua:1"));
    assert_true(terminal_shows(s.t, "source \"nothing\""));
    // Mended, it works again.
    put_view(folder, "b.lua", "return { title = 'Raises', order = 2, draw = function() ui.text('mended') end }\n");
    terminal_type(s.t, "R");
    assert_true(terminal_shows(s.t, "mended"));
    screen_quit(&s);
}

static char *typed_file(screen *s, const char *command, const char *name) {
    const char *path = support_temp_path(name);
    char *line = base_sprintf(":%s %s\r", command, path);
    terminal_type(s->t, line);
    assert_true(terminal_shows(s->t, "Saved"));
    size_t bytes;
    char *text = support_read(path, &bytes);
    free(line);
    return text;
}

static void saving(void **state) {
    (void)state;
    screen s = {0};
    screen_open(&s, 120, 40, "xterm-256color", "C.UTF-8", false);
    run_to_end(&s);
    char *text = typed_file(&s, "save-text", "panel.txt");
    assert_non_null(strstr(text, " Layers"));
    assert_null(strstr(text, " Params")); // the panel alone, without the line that asked
    assert_null(strstr(text, "save-text"));
    free(text);
    text = typed_file(&s, "save", "whole.svg");
    assert_non_null(strstr(text, "<svg xmlns"));
    assert_non_null(strstr(text, "#00afaf")); // the theme's accent
    assert_non_null(strstr(text, ">Params<"));
    assert_non_null(strstr(text, "<path fill=")); // bars and lines are shapes
    assert_non_null(strstr(text, "</svg>\n"));
    assert_null(strstr(text, "save "));
    free(text);
    terminal_type(s.t, ":theme light\r");
    text = typed_file(&s, "save-svg", "panel.svg");
    assert_non_null(strstr(text, "fill=\"#ffffff\""));
    assert_null(strstr(text, ">Params<"));
    free(text);
    text = typed_file(&s, "save-csv", "rows.csv");
    assert_int_equal(strncmp(text, "index,name,", 11), 0);
    int lines = 0, commas = 0;
    for (const char *c = text; *c; c++) lines += *c == '\n', commas += *c == ',';
    assert_int_equal(lines, 8); // the heads and seven layers
    assert_true(commas % lines == 0);
    assert_non_null(strstr(text, "stage3.conv"));
    assert_non_null(strstr(text, "quantize rtn b4 g64"));
    free(text);
    terminal_type(s.t, ":save-csv /nowhere-at-all/x.csv\r"); // told, nothing else happens
    assert_true(terminal_shows(s.t, "/nowhere-at-all"));
    char *net = base_strdup(support_temp_path("net.safetensors")), *line = base_sprintf(":save-svg %s\r", net);
    support_write(net, "weights", 7);
    terminal_type(s.t, line);
    assert_true(terminal_shows(s.t, "exists and is no svg file"));
    size_t bytes;
    text = support_read(net, &bytes);
    assert_string_equal(text, "weights");
    free(text);
    free(line);
    free(net);
    terminal_type(s.t, ":save-csv\r");
    assert_true(terminal_shows(s.t, "a file name was expected"));
    screen_quit(&s);
}

// Every shipped theme in every number of colours; a broken one changes nothing but the status line.
static void themes(void **state) {
    (void)state;
    static const char *const names[] = {"dark", "light", "colour-blind", "plain"};
    static const struct {
        ui_colours colours;
        const char *has;
    } modes[] = {
        {UI_COLOURS_256, "colour"}, {UI_COLOURS_16, "colour"}, {UI_COLOURS_8, "colour"}, {UI_COLOURS_NONE, "bold"}};
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 4; j++) {
            screen s = {.options.theme = names[i], .options.colours = modes[j].colours};
            screen_open(&s, 80, 24, "xterm-256color", "C.UTF-8", false);
            char *looks = terminal_looks(s.t);
            assert_non_null(strstr(looks, modes[j].has));
            assert_false(terminal_shows(s.t, "theme"));
            free(looks);
            screen_quit(&s);
        }
    const char *broken = support_temp_path("broken.lua");
    static const struct {
        const char *text, *said;
    } cases[] = {{"return { acent = '#ffffff' }", "did you mean \"accent\""},
                 {"return { accent = 'pinkish' }", "pinkish"},
                 {"return { accent = '#12345' }", "#12345"},
                 {"return { accent = function() end }", "is a function"},
                 {"return { marks = { '#ffffff', 2 } }", "a text was expected"},
                 {"return { ramp = { '#ffffff' } }", "2 or more"},
                 {"return 7", "returns a table"},
                 {"return {", "broken.lua"},
                 {"while true do end", "broken.lua"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        support_write(broken, cases[i].text, strlen(cases[i].text));
        screen s = {.options.theme = broken};
        screen_open(&s, 200, 24, "xterm-256color", "C.UTF-8", false);
        if (!terminal_shows(s.t, cases[i].said)) fail_msg("not said: %s", cases[i].said);
        char *looks = terminal_looks(s.t);
        assert_non_null(strstr(looks, "colour 37")); // the built-in theme's
        free(looks);
        terminal_type(s.t, ":theme light\r:theme no-such\r");
        assert_true(terminal_shows(s.t, "There is no theme \"no-such\""));
        looks = terminal_looks(s.t);
        assert_null(strstr(looks, "colour 37"));
        free(looks);
        screen_quit(&s);
    }
}

static void scripts_play(void **state) {
    (void)state;
    const char *path = support_temp_path("keys.txt"), *saved = support_temp_path("played.txt");
    char *text = base_sprintf("# a tour\nEnter\nwait\n:view params\nl l\n:save %s\nq\n", saved);
    support_write(path, text, strlen(text));
    free(text);
    screen s = {.options.script = path};
    char *recipe = base_join(support_tree(), "tests/ui/story.lua");
    s.options.recipe = recipe;
    s.options.body = fake_run_body;
    s.story.gate = -1;
    s.options.body_context = &s.story;
    s.t = terminal_start(100, 30, "xterm-256color", "C.UTF-8", child, &s);
    int status = terminal_wait(s.t, 10);
    assert_true(status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    size_t bytes;
    text = support_read(saved, &bytes);
    assert_non_null(strstr(text, "bits=6"));
    assert_non_null(strstr(text, "run 1 done"));
    free(text);
    free(recipe);
    terminal_free(s.t);
}

static void refuses_without_a_terminal(void **state) {
    (void)state;
    screen s = {0};
    char *recipe = base_join(support_tree(), "tests/ui/story.lua");
    s.options.recipe = recipe;
    s.options.body = fake_run_body;
    static const char *const terms[] = {"dumb", "no-such-terminal", ""};
    for (int i = 0; i < 3; i++) {
        s.t = terminal_start(80, 24, terms[i], "C.UTF-8", child, &s);
        int status = terminal_wait(s.t, 10);
        assert_true(status != -1 && WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), BASE_USAGE);
        assert_true(terminal_shows(s.t, "The screen cannot be shown"));
        terminal_free(s.t);
    }
    free(recipe);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_color),
        cmocka_unit_test(key_table_is_sound),
        cmocka_unit_test(every_key_everywhere),
        cmocka_unit_test(help_lists_all),
        cmocka_unit_test(commands_typed),
        cmocka_unit_test(the_page_knows_every_command),
        cmocka_unit_test(palette),
        cmocka_unit_test(saving),
        cmocka_unit_test(themes),
        cmocka_unit_test(method_pages),
        cmocka_unit_test(lines_are_kept),
        cmocka_unit_test(the_page_knows_every_function),
        cmocka_unit_test(stopping),
        cmocka_unit_test(second_interrupt_quits),
        cmocka_unit_test(resize_storm),
        cmocka_unit_test(broken_views_stay_alone),
        cmocka_unit_test(soak),
        cmocka_unit_test(tabs),
        cmocka_unit_test(mouse),
        cmocka_unit_test(scripts_play),
        cmocka_unit_test(refuses_without_a_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
