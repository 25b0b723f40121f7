// The Recipe tab at three sizes in three colour modes: the text, the composer, an error at its line; and the editor and
// the file as others save it.
#include <unistd.h>

#include "golden.h"

static void story(screen *s, base_buf *text, base_buf *looks) {
    const char *file = support_temp_path("mine.lua");
    unlink(file);
    terminal_type(s->t, ":tab Recipe\r:\r");
    golden_panels(text, looks, s, "the recipe of the story");
    terminal_type(s->t, ":view composer\r:rule-add first|last\r");
    terminal_type(s->t, "jlll");
    golden_panels(text, looks, s, "a rule more, its bits one up");
    terminal_type(s->t, "hhu:\rz");
    golden_scene(text, s, "the composer alone, the step closed");
    char *line = base_sprintf("z:view recipe\r:write %s\r:\r", file);
    terminal_type(s->t, line);
    free(line);
    size_t bytes;
    char *written = support_read(file, &bytes);
    strcpy(strstr(written, "quantize{"), "quantize{ bits = });\n");
    support_write(file, written, strlen(written));
    free(written);
    golden_await(s, "does not load");
    terminal_type(s->t, ":\r");
    golden_panels(text, looks, s, "saved by another program, with a mistake");
    terminal_type(s->t, "z/recipe\r:\r");
    golden_scene(text, s, "found in the text alone");
}
static void golden_recipe(void **state) {
    (void)state;
    golden_play("recipe", (screen){0}, true, story);
}

// e on a shipped recipe: the editor gets a copy, and what it saved is what runs next.
static void the_editor_gets_a_copy(void **state) {
    (void)state;
    screen s = {.editor = "sed -i 1s/bits./--edited/"};
    char *shipped = base_join(support_tree(), "recipes/w8.lua");
    size_t bytes;
    char *before = support_read(shipped, &bytes);
    s.options.recipe = "w8";
    screen_open(&s, 120, 40, "xterm-256color", "C.UTF-8", false);
    struct termios settings = terminal_settings(s.t);
    terminal_type(s.t, ":tab Recipe\re");
    golden_await(&s, "--edited");
    assert_true(terminal_shows(s.t, "as in its file"));
    assert_true(terminal_alternate(s.t));
    struct termios after = terminal_settings(s.t);
    assert_true(terminal_same_settings(&settings, &after));
    char *again = support_read(shipped, &bytes);
    assert_string_equal(before, again);
    terminal_type(s.t, "\r");
    golden_await(&s, "Run 1 done");
    terminal_type(s.t, "u"); // back to the shipped one
    assert_true(terminal_shows(s.t, "shipped") && !terminal_shows(s.t, "--edited"));
    screen_quit(&s);
    free(before);
    free(again);
    free(shipped);
}

static void saving_runs_it(void **state) {
    (void)state;
    screen s = {0};
    const char *file = support_temp_path("saved.lua");
    char *story_file = base_join(support_tree(), "tests/ui/story.lua");
    size_t bytes;
    char *text = support_read(story_file, &bytes);
    support_write(file, text, bytes);
    s.options.recipe = file;
    screen_open(&s, 100, 30, "xterm-256color", "C.UTF-8", false);
    terminal_type(s.t, ":tab Recipe\rA");
    golden_await(&s, "runs on save");
    char *more = base_sprintf("%s-- saved\n", text);
    support_write(file, more, strlen(more));
    golden_await(&s, "Run 1 done");
    assert_true(terminal_shows(s.t, "-- saved"));
    screen_quit(&s);
    free(more);
    free(text);
    free(story_file);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden_recipe), cmocka_unit_test(the_editor_gets_a_copy),
                                       cmocka_unit_test(saving_runs_it)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
