// The Start tab: lists of what was used and what ships, the file picker, the preview, pictures of samples.
#include <math.h>

#include "golden.h"
#include "ui/image.h"
#include "ui/start.h"

static void await_text(screen *s, const char *text) {
    for (int i = 0; i < 2000 && !terminal_shows(s->t, text); i++) terminal_await_mark(s->t, 0.01);
    if (!terminal_shows(s->t, text)) {
        char *all = terminal_text(s->t);
        print_message("%s", all);
        fail_msg("the screen never shows \"%s\"", text);
    }
}

static void go(screen *s, const char *folder) {
    char *keys = base_sprintf(":folder %s/%s\r", support_tree(), folder);
    terminal_type(s->t, ":tab Start\r");
    terminal_type(s->t, keys);
    free(keys);
}

// The picker and the preview of the shipped digits; the list above holds all recipes and is left out.
static void story(screen *s, base_buf *text, base_buf *looks) {
    go(s, "data/digits");
    terminal_type(s->t, "gj");
    await_text(s, "dataset.lua");
    terminal_type(s->t, "z");
    golden_scene(text, s, "the picker alone");
    terminal_type(s->t, "z:view preview\rz");
    await_text(s, "the first one: 0");
    golden_scene(text, s, "the preview of a dataset");
    golden_looks(looks, s, "the preview of a dataset");
    terminal_type(s->t, "z");
    go(s, "data/models");
    terminal_type(s->t, "gj:view preview\rz"); // digits-cnn, after README.md
    await_text(s, "architecture cnn");
    golden_scene(text, s, "the preview of a model");
}
static void golden_start(void **state) {
    (void)state;
    golden_play("start", (screen){0}, false, story);
}

static void lists(void **state) {
    (void)state;
    screen s = {0};
    screen_open(&s, 120, 40, "xterm-256color", "C.UTF-8", false);
    terminal_type(s.t, ":tab Start\r");
    await_text(&s, "digits-mlp");
    assert_true(terminal_shows(s.t, "shipped  data/models") && terminal_shows(s.t, "text-llama"));
    terminal_type(s.t, "/awq\r\r"); // found, and opened
    await_text(&s, "awq:");
    assert_true(terminal_shows(s.t, "\xe2\x94\x81 Layers")); // on the Run tab
    screen_quit(&s);
}

static void picker(void **state) {
    (void)state;
    screen s = {0};
    screen_open(&s, 120, 40, "xterm-256color", "C.UTF-8", false);
    go(&s, "data/digits");
    terminal_type(s.t, "h"); // up, onto the folder that was left
    await_text(&s, "digits-cnn.safetensors");
    terminal_type(s.t, "l");
    assert_true(terminal_shows(s.t, "dataset.lua"));
    terminal_type(s.t, "j\r"); // a dataset
    await_text(&s, "The next run uses");
    terminal_type(s.t, "g\r"); // README.md is nothing to open
    await_text(&s, "README.md is no model");
    terminal_type(s.t, ":folder /nowhere/at/all\r");
    await_text(&s, "there is no folder");
    screen_quit(&s);
}

// Files that are not what their names say, and names with control characters.
static void hostile_files(void **state) {
    (void)state;
    const char *folder = support_temp_path("hostile");
    base_err err;
    assert_true(base_mkdirs(folder, &err));
    static const char *const names[] = {"a\033[31mb.safetensors", "b.npz", "c.csv", "d.lua", "e.bin", "f-ubyte"};
    for (int i = 0; i < 6; i++) {
        char *path = base_join(folder, names[i]);
        support_write(path, "\0\xff\x01 junk", 8);
        free(path);
    }
    char *pipe_path = base_join(folder, "g.txt"), *command = base_sprintf("mkfifo '%s'", pipe_path);
    assert_int_equal(system(command), 0);
    screen s = {0};
    screen_open(&s, 120, 40, "xterm-256color", "C.UTF-8", false);
    char *keys = base_sprintf(":tab Start\r:folder %s\rg", folder);
    terminal_type(s.t, keys);
    assert_true(terminal_shows(s.t, "b.npz"));
    for (int i = 0; i < 7; i++) terminal_type(s.t, "j");
    await_text(&s, "neither a file nor a folder"); // the pipe, the last one; nothing waits for it
    screen_quit(&s);
    free(keys);
    free(command);
    free(pipe_path);
}

static void kinds(void **state) {
    (void)state;
    static const struct {
        const char *name, *kind;
    } cases[] = {{"x.safetensors", "model"},
                 {"x.npz", "model"},
                 {"x.csv", "data"},
                 {"t10k-images-idx3-ubyte.gz", "data"},
                 {"x.npy", "data"},
                 {"x.lua", "recipe"},
                 {"dataset.lua", "data"},
                 {"x", "file"},
                 {"", "file"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(start_kind(cases[i].name), cases[i].kind);
    char *digits = base_join(support_tree(), "data/digits");
    assert_string_equal(start_kind(digits), "data");
    assert_string_equal(start_kind(support_tree()), "folder");
    free(digits);
}

static void image_sizes(void **state) {
    (void)state;
    for (int depth = 0; depth <= 256; depth += 256)
        for (int w = 0; w < 70; w += 3)
            for (int h = 0; h < 40; h++)
                for (int side = 1; side < 70; side += 13) {
                    int cw, ch;
                    ui_image_size(w, h, side, side, depth, &cw, &ch);
                    assert_true(cw >= 0 && ch >= 0 && cw <= w && ch <= h);
                    assert_true(w < 1 || h < 1 || (cw >= 1 && ch >= 1));
                }
}

static void image_pixels(void **state) {
    (void)state;
    // 2x2 in colour: two rows of pixels are one row of cells.
    const float four[4] = {0, 1, NAN, 0.5f};
    ui_grid g = {0};
    ui_grid_resize(&g, 2, 1);
    assert_int_equal(ui_image_draw(ui_grid_area(&g, (ui_rect){0, 0, 2, 1}), four, 1, 2, 2, 256), 1);
    assert_int_equal(g.cells[0].fg, 0);
    assert_int_equal(g.cells[1].fg, 0xFFFFFF);
    assert_int_equal(g.cells[0].bg, 0);
    assert_int_equal(g.cells[1].bg, 0x808080);
    const float flat[3] = {7, 7, 7}; // one value: middle grey, not a division by zero
    ui_image_draw(ui_grid_area(&g, (ui_rect){0, 0, 2, 1}), flat, 3, 1, 1, 1 << 24);
    assert_int_equal(g.cells[0].fg, 0x808080);
    const float bad[1] = {INFINITY};
    assert_int_equal(ui_image_draw(ui_grid_area(&g, (ui_rect){0, 0, 2, 1}), bad, 1, 1, 1, 0), 1);
    assert_int_equal(ui_image_draw(ui_grid_area(&g, (ui_rect){0, 0, 0, 0}), flat, 3, 1, 1, 0), 0);
    ui_grid_free(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_start),  cmocka_unit_test(lists), cmocka_unit_test(picker),
        cmocka_unit_test(hostile_files), cmocka_unit_test(kinds), cmocka_unit_test(image_sizes),
        cmocka_unit_test(image_pixels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
