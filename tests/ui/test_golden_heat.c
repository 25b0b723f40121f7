// Golden screens of the sensitivity heat map over fixed tables: growing cell by cell, whole, chosen from by hand, by a
// threshold and by the allocator; and odd tables: one cell, 200 layers by 30 options, values all alike, none at all.
#include "golden.h"

static char *begun, *cells[5], *whole, *big, *one, *alike, *nothing;

static const char *const layers[] = {"conv1",    "stage1.conv", "stage2.conv", "stage3.conv",
                                     "head.fc1", "head.fc2",    "head.out"};
enum { ROWS = 7, COLS = 7 };
static const int64_t weights[ROWS] = {144, 4608, 18432, 36864, 32768, 8192, 640};

// Falls with the width, differently in each layer; one cell could not be measured.
static double value_of(int row, int col) {
    static const double worst[ROWS] = {1.1, 0.4, 0.09, 0.6, 0.02, 0.003, 2.2};
    double v = worst[row];
    for (int c = 0; c < col; c++) v /= 3.1 + 0.2 * row;
    return v;
}

static char *table(const char *kind, int known) {
    base_buf b = {0};
    base_buf_printf(&b, "{\"kind\":\"%s\",\"metric\":\"kl\",\"unit\":\"nats\",\"rows\":[", kind);
    for (int r = 0; r < ROWS; r++) base_buf_printf(&b, "%s\"%s\"", r ? "," : "", layers[r]);
    base_buf_puts(&b, "],\"options\":[");
    for (int c = 0; c < COLS; c++) base_buf_printf(&b, "%s\"%d\"", c ? "," : "", c + 2);
    base_buf_puts(&b, "],\"steps\":[");
    for (int c = 0; c < COLS; c++) base_buf_printf(&b, "%s\"quantize{ bits = %d }\"", c ? "," : "", c + 2);
    static const char *const keys[] = {"value", "error", "bytes", "seconds"};
    for (int k = 0; k < 4; k++) {
        base_buf_printf(&b, "],\"%s\":[", keys[k]);
        for (int i = 0; i < ROWS * COLS; i++) {
            int r = i / COLS, c = i % COLS;
            double v = k == 0   ? value_of(r, c)
                       : k == 1 ? value_of(r, c) / 20
                       : k == 2 ? (double)(weights[r] * (c + 2) / 8 + 20)
                                : 0.5;
            bool none = i >= known || (k < 2 && i == 16) || (k == 1 && r == 2);
            base_buf_puts(&b, c ? "," : r ? "],[" : "[");
            if (none)
                base_buf_puts(&b, "null");
            else
                base_buf_printf(&b, "%.9g", v);
        }
        base_buf_puts(&b, "]");
    }
    base_buf_puts(&b, "],\"weights\":[");
    for (int r = 0; r < ROWS; r++) base_buf_printf(&b, "%s%lld", r ? "," : "", (long long)weights[r]);
    base_buf_puts(&b, "]}");
    return b.text;
}

// Any size; `v` NULL: null everywhere.
static char *plain(int rows, int cols, double (*v)(int, int)) {
    base_buf b = {0};
    base_buf_puts(&b, "{\"kind\":\"sensitivity\",\"metric\":\"m\",\"unit\":\"\",\"rows\":[");
    for (int r = 0; r < rows; r++) base_buf_printf(&b, "%s\"blocks.%d.\xe5\xb1\xa4\"", r ? "," : "", r);
    base_buf_puts(&b, "],\"options\":[");
    for (int c = 0; c < cols; c++) base_buf_printf(&b, "%s\"option-%d\"", c ? "," : "", c);
    base_buf_puts(&b, "],\"value\":[");
    for (int i = 0; i < rows * cols; i++) {
        base_buf_puts(&b, i % cols ? "," : i ? "],[" : "[");
        if (v)
            base_buf_printf(&b, "%.9g", v(i / cols, i % cols));
        else
            base_buf_puts(&b, "null");
    }
    base_buf_puts(&b, "]]}");
    return b.text;
}
static double wave(int r, int c) {
    return (double)((r * 37 + c * 11) % 101) - 30; // both signs
}
static double three(int r, int c) {
    (void)r, (void)c;
    return 3;
}

static void next_stage(screen *s) {
    screen_stage(s);
}

static void tell(screen *s, base_buf *text, base_buf *looks) {
    terminal_type(s->t, ":tab Sensitivity\r");
    golden_panels(text, looks, s, "no table yet");
    terminal_type(s->t, ":run\r");
    next_stage(s);
    next_stage(s); // the tables are told here
    golden_await(s, "49 of 49");
    terminal_type(s->t, "jjll");
    golden_panels(text, looks, s, "all cells have come");
    terminal_type(s->t, " j :under 0.02\r");
    golden_panels(text, looks, s, "by a threshold");
    terminal_type(s->t, "csL");
    golden_panels(text, looks, s, "diverging, even, sorted");
    terminal_type(s->t, "csLx:within 3.5\r");
    golden_await(s, "proved");
    golden_panels(text, looks, s, "by the allocator");
    next_stage(s);
    next_stage(s);
    terminal_sync(s->t);
    golden_await(s, "Run 1 done");
}

static void golden_heat(void **state) {
    (void)state;
    static const char *tables[8];
    begun = table("sensitivity_begun", 45);
    tables[0] = begun;
    for (int i = 0; i < 4; i++) {
        int at = 45 + i, r = at / COLS, c = at % COLS;
        cells[i] =
            base_sprintf("{\"kind\":\"sensitivity_cell\",\"metric\":\"kl\",\"unit\":\"nats\",\"row\":%d,\"option\":%d,"
                         "\"value\":%.9g,\"error\":null,\"bytes\":%lld,\"seconds\":0.5}",
                         r, c, value_of(r, c), (long long)(weights[r] * (c + 2) / 8 + 20));
        tables[1 + i] = cells[i];
    }
    cells[4] = base_strdup("{\"kind\":\"sensitivity_cell\",\"metric\":\"kl\",\"unit\":\"nats\",\"row\":2,\"option\":2,"
                           "\"value\":0.0071,\"error\":0.0002,\"bytes\":9236,\"seconds\":0.5}");
    tables[5] = cells[4];
    static const int sizes[][2] = {{80, 24}, {120, 40}, {200, 60}};
    static const struct {
        const char *term, *name;
        ui_colours colours;
    } modes[] = {{"xterm-256color", "256", UI_COLOURS_AUTO},
                 {"xterm", "8", UI_COLOURS_AUTO},
                 {"xterm-256color", "none", UI_COLOURS_NONE}};
    for (int i = 0; i < 9; i++) {
        screen s = {.options.colours = modes[i % 3].colours, .story.tables = tables};
        base_buf text = {0}, looks = {0};
        char name[96];
        int w = sizes[i / 3][0], h = sizes[i / 3][1];
        screen_open(&s, w, h, modes[i % 3].term, "C.UTF-8", true);
        tell(&s, &text, &looks);
        screen_quit(&s);
        snprintf(name, sizeof name, "heat-%dx%d.%s.txt", w, h, modes[i % 3].name);
        golden_compare(name, text.text);
        snprintf(name, sizeof name, "heat-%dx%d.%s.looks", w, h, modes[i % 3].name);
        golden_compare(name, looks.text);
        base_buf_free(&text);
        base_buf_free(&looks);
    }
    free(begun);
    for (int i = 0; i < 5; i++) free(cells[i]);
}

static void odd_tables(void **state) {
    (void)state;
    big = plain(200, 30, wave);
    one = plain(1, 1, three);
    alike = plain(4, 3, three);
    nothing = plain(2, 2, NULL);
    whole = table("sensitivity", ROWS * COLS);
    const char *tables[] = {whole, one, alike, nothing, big, NULL};
    for (int ascii = 0; ascii < 2; ascii++) {
        screen s = {.options = {.colours = UI_COLOURS_NONE, .ascii = ascii}, .story.tables = tables};
        base_buf text = {0};
        screen_open(&s, 80, 24, "xterm", "C.UTF-8", false);
        run_to_end(&s);
        terminal_type(s.t, "\033:tab Sensitivity\r");
        golden_scene(&text, &s, "200 x 30, both signs");
        terminal_type(s.t, "G\033OC\033OC\033OC\033OC\033OC\033OC\033OC\033OC\033OC\033OC\033OC\033OC\033OC\033OC L");
        golden_scene(&text, &s, "its end, far to the right");
        terminal_type(s.t, "<");
        golden_scene(&text, &s, "no numbers");
        terminal_type(s.t, " ");
        assert_true(terminal_shows(s.t, "has no value"));
        terminal_type(s.t, "<");
        golden_scene(&text, &s, "all alike");
        terminal_type(s.t, "<");
        golden_scene(&text, &s, "one cell");
        terminal_type(s.t, "<<");
        assert_true(terminal_shows(s.t, "there is no older table"));
        golden_compare(ascii ? "heat-odd.ascii.txt" : "heat-odd.txt", text.text);
        if (ascii)
            for (const char *c = text.text; *c; c++) assert_true((unsigned char)*c < 0x80);
        base_buf_free(&text);
        terminal_resize(s.t, 30, 6); // the least there is
        terminal_type(s.t, "jkhl>");
        terminal_resize(s.t, 80, 24);
        terminal_type(s.t, "\033");
        screen_quit(&s);
    }
    free(big);
    free(one);
    free(alike);
    free(nothing);
    free(whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden_heat), cmocka_unit_test(odd_tables)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
