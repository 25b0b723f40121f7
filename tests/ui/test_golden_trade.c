// Golden screens of the trade-off over a history of fixed rows: the front, another axis, zoomed, beside a base, with a
// budget and the allocator's answer.
#include "golden.h"

#include "../support/past.h"

static void tell(screen *s, base_buf *text, base_buf *looks) {
    run_to_end(s); // its point is of this session
    terminal_type(s->t, ":tab Trade-off\r");
    golden_await(s, "8 points");
    golden_panels(text, looks, s, "every run of the model");
    terminal_type(s->t, "bh");
    golden_panels(text, looks, s, "the next smaller one against it");
    terminal_type(s->t, "yKxj");
    golden_panels(text, looks, s, "KL, logarithmic, over bits");
    terminal_type(s->t, "++\033OC");
    golden_panels(text, looks, s, "closer, moved to the right");
    terminal_type(s->t, "0:budget 3.5bit\r");
    golden_await(s, "proved");
    golden_panels(text, looks, s, "a budget of bits");
    terminal_type(s->t, ">>>>>>>>");
    golden_await(s, "52.2 kB");
    golden_panels(text, looks, s, "a larger one");
}

static void golden_trade(void **state) {
    (void)state;
    const char *dir = support_temp_dir();
    past_story(dir);
    setenv("TZ", "UTC", 1);
    golden_play("trade", (screen){.options = {.state_dir = dir, .fresh = true}}, true, tell);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden_trade)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
