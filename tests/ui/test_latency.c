// How long a key takes to be on the screen while a run keeps every core busy and sends events as fast as it can,
// measured through the pseudo-terminal: from the write of the key to the read of the changed screen.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "../support/fake_run.h"
#include "../support/support.h"
#include "../support/terminal.h"
#include "ui/ui.h"

enum { KEYS = 60, ROUNDS = 3 };

static int child(void *context) {
    char *recipe = base_join(support_tree(), "tests/ui/story.lua");
    ui_options o = {.recipe = recipe, .body = fake_run_body, .body_context = context};
    base_err err = {0};
    base_status status = ui_main(&o, &err);
    free(recipe);
    return (int)status;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void key_latency(void **state) {
    (void)state;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    fake_run story = {.gate = -1, .burn = 60, .threads = cores > 8 ? 8 : (int)cores};
    terminal *t = terminal_start(200, 60, "xterm-256color", "C.UTF-8", child, &story);
    terminal_sync(t);
    terminal_type(t, "\r");
    for (int i = 0; i < 2000 && !terminal_shows(t, "burning"); i++) terminal_sync(t);
    double best = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        double took[KEYS];
        for (int i = 0; i < KEYS; i++) {
            // Keys that change what is shown; the mark follows the frame that shows it.
            terminal_send(t, i % 2 ? "\t" : "j");
            double from = base_now();
            terminal_sync(t);
            took[i] = base_now() - from;
        }
        qsort(took, KEYS, sizeof *took, by_size);
        double most = took[KEYS * 95 / 100];
        print_message("key to screen at 200x60, %ld cores busy: median %.1f ms, 95 %% %.1f ms, worst %.1f ms\n", cores,
                      took[KEYS / 2] * 1000, most * 1000, took[KEYS - 1] * 1000);
        if (most < best) best = most;
    }
    // On a machine that others use too the figure is theirs as much as ours.
    double load = 0;
    if (getloadavg(&load, 1) == 1 && load > (double)cores * 2 + 1)
        print_message("load %.1f: the limit of 50 ms is not asserted\n", load);
    else
        assert_true(best < 0.050 * SUPPORT_SLOWER);
    assert_true(best < 0.5 * SUPPORT_SLOWER);
    terminal_send(t, "\033");
    terminal_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(key_latency)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
