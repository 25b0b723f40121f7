// Golden screens of the history and of two runs compared, over a history of fixed rows; a run opened from it, pins,
// notes and exports that stay; replays that come out equal and not.
#include "golden.h"

#include "../support/past.h"

static void tell(screen *s, base_buf *text, base_buf *looks) {
    terminal_type(s->t, ":tab History\r");
    golden_await(s, "mixed");
    golden_panels(text, looks, s, "the list");
    terminal_type(s->t, ":history-sort kl\r");
    golden_panels(text, looks, s, "sorted by divergence");
    terminal_type(s->t, ":history-sort number\rffw4\rjj");
    terminal_type(s->t, ":history-filter !w8\r");
    golden_panels(text, looks, s, "filtered");
    terminal_type(s->t, ":history-filter\r:base 2\rgj");
    terminal_type(s->t, "c");
    golden_await(s, "all layers");
    golden_panels(text, looks, s, "compared with run 2");
    terminal_type(s->t, "z");
    golden_panels(text, looks, s, "the comparison alone");
    terminal_type(s->t, "z?");
    assert_true(terminal_shows(s->t, "Two runs layer by layer"));
    terminal_type(s->t, "q");
}

static void golden_past(void **state) {
    (void)state;
    const char *dir = support_temp_dir();
    past_story(dir);
    setenv("TZ", "UTC", 1);
    golden_play("past", (screen){.options = {.state_dir = dir, .fresh = true}}, true, tell);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden_past)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
