// A run in hand through a pseudo-terminal, on the shipped network: stepped, changed and recorded so that it replays to
// the same bytes; stopped and killed while it waits; paused without using the processor.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/support.h"
#include "../support/terminal.h"
#include "ui/part.h"

typedef struct scene {
    const char *state, *out;
    terminal *t;
} scene;

static int child(void *context) {
    scene *s = context;
    base_err err = {0};
    ui_options o = {.recipe = "w4", .state_dir = s->state, .out = s->out, .fresh = true};
    base_status status = ui_main(&o, &err);
    if (status != BASE_OK) fprintf(stderr, "vise: %s\n", err.text);
    return (int)status;
}

static void await(scene *s, const char *text) {
    double until = base_now() + 20;
    while (!terminal_shows(s->t, text) && base_now() < until) terminal_sync(s->t);
    if (terminal_shows(s->t, text)) return;
    char *seen = terminal_text(s->t);
    print_message("%s", seen);
    free(seen);
    fail_msg("the screen never showed \"%s\"", text);
}

// The screen with the run paused before its second layer.
static scene begin(void) {
    scene s = {support_temp_dir(), support_temp_dir(), NULL};
    scene *own = base_alloc(sizeof *own);
    *own = s;
    s.t = terminal_start(120, 40, "xterm-256color", "C.UTF-8", child, own);
    terminal_sync(s.t);
    free(own);
    terminal_type(s.t, ":tab Run\r");
    terminal_type(s.t, "."); // no run is going: one begins
    await(&s, "Paused before conv1");
    terminal_type(s.t, ".");
    await(&s, "Paused before conv2");
    return s;
}

static void leave(scene *s) {
    terminal_send(s->t, "q");
    int status = terminal_wait(s->t, 10);
    assert_true(status != -1 && WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    terminal_free(s->t);
}

static session_record newest(const char *state) {
    base_err err = {0};
    session_record *list = NULL, r = {0};
    size_t count = 0;
    session_history *h = session_history_open(state, &err);
    if (!h || !session_history_list(h, 1, &list, &count, &err)) fail_msg("%s", err.text);
    assert_int_equal(count, 1);
    assert_true(session_history_get(h, list[0].id, &r, &err));
    session_record_free(&list[0]);
    free(list);
    session_history_close(h);
    return r;
}

typedef struct replay {
    script_recipe *recipe;
    script_run_options options;
    char hash[40];
} replay;

static bool body(void *context, base_job *job, base_err *err) {
    replay *r = context;
    return script_recipe_run(r->recipe, &r->options, job, err);
}
static void listen(void *context, const base_event *e) {
    replay *r = context;
    if (e->kind == BASE_EV_SAVED) snprintf(r->hash, sizeof r->hash, "%s", e->hash);
}

static void changed_and_replayed(void **state) {
    (void)state;
    scene s = begin();
    terminal_type(s.t, "cquantize{ bits = 99 }\r");
    await(&s, "Nothing was changed");
    terminal_type(s.t, "cquantize{ bits = 2, group = 16 }\r");
    await(&s, "runs it alone");
    terminal_type(s.t, ".");
    await(&s, "Paused before conv3");
    assert_true(terminal_shows(s.t, "by hand:"));
    terminal_type(s.t, "p");
    await(&s, "Run 1 done");
    leave(&s);
    base_err err = {0};
    session_record r = newest(s.state);
    assert_string_equal(r.status, "done");
    assert_non_null(strstr(r.recipe_text, "change(\"conv2\", quantize{ bits = 2, group = 16 })"));
    replay again = {.recipe = script_recipe_recorded(&r, &err), .options = {.model = r.model, .no_save = true}};
    if (!again.recipe) fail_msg("%s", err.text);
    base_job job = {0};
    session_listener l = {listen, &again};
    if (session_job_run(body, &again, &l, 1, &job, &err) != BASE_OK) fail_msg("%s", err.text);
    assert_string_equal(again.hash, r.output_hash);
    script_recipe_free(again.recipe);
    session_record_free(&r);
}

static void stopped_while_it_waits(void **state) {
    (void)state;
    scene s = begin();
    terminal_type(s.t, "\033");
    await(&s, "Stopped after");
    assert_true(terminal_shows(s.t, "1 finished layer is kept"));
    leave(&s);
    session_record r = newest(s.state);
    assert_string_equal(r.status, "cancelled");
    session_record_free(&r);
}

static void killed_while_it_waits(void **state) {
    (void)state;
    scene s = begin();
    double asked = base_now();
    kill(terminal_pid(s.t), SIGTERM);
    int status = terminal_wait(s.t, 10);
    assert_true(status != -1 && WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGTERM);
    assert_true(base_now() - asked < 2);
    terminal_free(s.t);
    session_record r = newest(s.state);
    assert_string_equal(r.status, "cancelled");
    session_record_free(&r);
}

static void paused_and_gone_on(void **state) {
    (void)state;
    scene s = begin();
    terminal_type(s.t, "p"); // goes on, and is paused again wherever it is then
    terminal_type(s.t, "p");
    for (int i = 0; i < 2000 && !terminal_shows(s.t, "Paused") && !terminal_shows(s.t, "Run 1 done"); i++)
        terminal_sync(s.t);
    if (!terminal_shows(s.t, "Run 1 done")) terminal_type(s.t, "p");
    await(&s, "Run 1 done");
    leave(&s);
    session_record r = newest(s.state);
    assert_string_equal(r.status, "done");
    assert_true(strncmp(r.recipe_text, "-- Changed", 10) != 0);
    session_record_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(changed_and_replayed), cmocka_unit_test(stopped_while_it_waits),
                                       cmocka_unit_test(killed_while_it_waits), cmocka_unit_test(paused_and_gone_on)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
