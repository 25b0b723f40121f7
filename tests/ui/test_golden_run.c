// Golden screens of the layers - folded, sorted, as a list, filtered, marked, with other columns - and of a run that is
// stepped, changed by hand and paused.
#include "golden.h"

static void layers(screen *s, base_buf *text, base_buf *looks) {
    run_to_end(s);
    terminal_type(s->t, ":view layers\rz_");
    golden_panels(text, looks, s, "folded");
    terminal_type(s->t, "_:sort output_error\r");
    golden_panels(text, looks, s, "sorted by error within modules");
    terminal_type(s->t, "tS");
    golden_scene(text, s, "a list, turned");
    terminal_type(s->t, "g :mark-layer head.fc2\r");
    golden_panels(text, looks, s, "marked");
    terminal_type(s->t, "tfhead[");
    golden_panels(text, looks, s, "a filter that cannot be");
    terminal_type(s->t, "\x7f");
    golden_scene(text, s, "a filter being typed");
    terminal_type(s->t, "\r");
    golden_panels(text, looks, s, "filtered");
    terminal_type(s->t, "\033");
    golden_scene(text, s, "all again");
    terminal_type(s->t, "U:sort\rC");
    golden_panels(text, looks, s, "the list of columns");
    terminal_type(s->t, "jjj jjjj \033"); // the shape goes, another comes
    golden_scene(text, s, "other columns");
    terminal_type(s->t, ":columns-reset\rz");
}

static void await_line(screen *s, const char *line) {
    golden_await(s, line);
    terminal_sync(s->t);
}

static void run(screen *s, base_buf *text, base_buf *looks) {
    terminal_type(s->t, ".");
    await_line(s, "Paused before conv1");
    golden_panels(text, looks, s, "waits before the first layer");
    terminal_type(s->t, ".");
    await_line(s, "Paused before stage1.conv");
    terminal_type(s->t, ".");
    await_line(s, "Paused before stage2.conv");
    golden_panels(text, looks, s, "two layers further");
    terminal_type(s->t, "cquantize{ bi");
    golden_scene(text, s, "arguments of a step");
    terminal_type(s->t, "\025step quantize{ bits = 99 }\r");
    await_line(s, "Nothing was changed");
    golden_panels(text, looks, s, "refused");
    terminal_type(s->t, "cquantize{ bits = 3 }\r");
    await_line(s, "runs it alone");
    golden_scene(text, s, "taken");
    terminal_type(s->t, ".");
    await_line(s, "Paused before stage3.conv");
    terminal_type(s->t, ":view run\r");
    golden_panels(text, looks, s, "done by hand");
    terminal_type(s->t, "z");
    golden_scene(text, s, "the run alone");
    terminal_type(s->t, "vv");
    golden_scene(text, s, "warnings of the log");
    terminal_type(s->t, "vvzp");
    await_line(s, "Run 1 done");
    golden_panels(text, looks, s, "gone on to the end");
}

static void golden_layers(void **state) {
    (void)state;
    golden_play("layers", (screen){0}, true, layers);
}
static void golden_run(void **state) {
    (void)state;
    golden_play("run", (screen){0}, true, run);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden_layers), cmocka_unit_test(golden_run)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
