// A run that is watched: paused, stepped layer by layer, stopped while it waits, and changed by hand - and the recorded
// run with a change, which replayed gives the same bytes.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>
#include <pthread.h>
#include <time.h>

#include "../support/support.h"
#include "script/script.h"

// What the listener has heard, under the lock.
typedef struct watch {
    pthread_mutex_t lock;
    bool paused;
    char before[128]; // layer that it waits before, ""
    int finished, taken, refused;
    char said[1024], layer_steps[8][160]; // of the last change; steps of each finished layer
    char hash[40];
    double heard; // when the last pause was
} watch;

static void listen(void *context, const base_event *e) {
    watch *w = context;
    pthread_mutex_lock(&w->lock);
    if (e->kind == BASE_EV_PAUSE) {
        w->paused = e->index != 0;
        snprintf(w->before, sizeof w->before, "%s", w->paused && e->layer ? e->layer->name : "");
        w->heard = base_now();
    }
    if (e->kind == BASE_EV_CHANGE) {
        w->taken += e->status == BASE_OK;
        w->refused += e->status != BASE_OK;
        snprintf(w->said, sizeof w->said, "%s", e->text);
    }
    if (e->kind == BASE_EV_LAYER_END) {
        if (w->finished < 8) snprintf(w->layer_steps[w->finished], 160, "%s", e->layer->steps);
        w->finished++;
    }
    if (e->kind == BASE_EV_SAVED) snprintf(w->hash, sizeof w->hash, "%s", e->hash);
    pthread_mutex_unlock(&w->lock);
}

static void nap(void) {
    const struct timespec t = {0, 1000000};
    nanosleep(&t, NULL);
}

typedef struct work {
    script_recipe *recipe;
    script_run_options options;
} work;

static bool body(void *context, base_job *job, base_err *err) {
    work *w = context;
    return script_recipe_run(w->recipe, &w->options, job, err);
}

static bool is_before(watch *w, const char *layer) {
    pthread_mutex_lock(&w->lock);
    bool yes = w->paused && (!layer || strcmp(w->before, layer) == 0);
    pthread_mutex_unlock(&w->lock);
    return yes;
}

// Waits until it is paused (before a layer; NULL: anywhere), at most ten seconds.
static void until_paused(watch *w, const char *layer) {
    for (double end = base_now() + 10; !is_before(w, layer) && base_now() < end;) nap();
    assert_true(is_before(w, layer));
}

static void until_answered(watch *w, int taken, int refused) {
    for (double end = base_now() + 10; (w->taken < taken || w->refused < refused) && base_now() < end;) nap();
    assert_int_equal(w->taken, taken);
    assert_int_equal(w->refused, refused);
}

static script_recipe *recipe(const char *name) {
    base_err err = {0};
    script_recipe *r = script_recipe_load(name, &err);
    if (!r) fail_msg("%s", err.text);
    return r;
}

static session_job *begin(work *w, watch *s, session_recorder *rec) {
    base_err err = {0};
    session_listener l[2] = {{listen, s}, {session_recorder_event, rec}};
    pthread_mutex_init(&s->lock, NULL);
    session_job *j = session_job_start(body, w, l, rec ? 2 : 1, &err);
    assert_non_null(j);
    return j;
}

// The layers of the shipped network in their order.
static const char *const layer[] = {"conv1", "conv2", "conv3", "fc1", "fc2"};
enum { LAYERS = sizeof layer / sizeof *layer };

static void step_to(session_job *j, watch *s, const char *name) {
    for (int i = 0; i < 20 && !is_before(s, name); i++) {
        session_job_step(j);
        for (double end = base_now() + 10; base_now() < end;) {
            nap();
            pthread_mutex_lock(&s->lock);
            bool there = s->paused && s->before[0];
            pthread_mutex_unlock(&s->lock);
            if (there) break;
        }
    }
    until_paused(s, name);
}

static void each_layer_by_itself(void **state) {
    (void)state;
    work w = {.recipe = recipe("w4"), .options = {.out = support_temp_path("steps")}};
    watch s = {0};
    base_err err = {0};
    session_job *j = begin(&w, &s, NULL);
    session_job_step(j); // before anything has begun: it waits before the first layer
    for (int i = 0; i < LAYERS; i++) {
        until_paused(&s, layer[i]);
        assert_int_equal(s.finished, i);
        session_job_step(j);
        for (double end = base_now() + 10; s.finished == i && base_now() < end;) nap();
    }
    assert_int_equal(session_job_wait(j, &err), BASE_OK); // nothing to wait before: it goes on to its end
    assert_int_equal(s.finished, LAYERS);
    assert_true(s.hash[0]);
    session_job_free(j);
    script_recipe_free(w.recipe);
}

static void a_pause_holds_and_lets_go(void **state) {
    (void)state;
    work w = {.recipe = recipe("gptq"), .options = {.out = support_temp_path("pause")}};
    watch s = {0};
    base_err err = {0};
    session_job *j = begin(&w, &s, NULL);
    double asked = base_now();
    session_job_pause(j, true);
    until_paused(&s, NULL);
    print_message("a pause took %.3f s\n", s.heard - asked);
    struct timespec before, after;
    clockid_t clock = CLOCK_PROCESS_CPUTIME_ID;
    clock_gettime(clock, &before);
    const struct timespec while_ = {0, 300000000};
    nanosleep(&while_, NULL);
    clock_gettime(clock, &after);
    double used = (double)(after.tv_sec - before.tv_sec) + 1e-9 * (double)(after.tv_nsec - before.tv_nsec);
    assert_true(used < 0.1); // it does not spin
    assert_false(session_job_done(j));
    assert_false(session_job_change(j, "keep{}")); // not before a layer
    session_job_pause(j, false);
    assert_int_equal(session_job_wait(j, &err), BASE_OK);
    assert_false(s.paused);
    session_job_free(j);
    script_recipe_free(w.recipe);
}

static void stopped_while_paused(void **state) {
    (void)state;
    for (int where = 0; where < 2; where++) { // in the midst of work, before a layer
        work w = {.recipe = recipe("w4"), .options = {.out = support_temp_path("stop")}};
        watch s = {0};
        base_err err = {0};
        session_job *j = begin(&w, &s, NULL);
        if (where)
            session_job_step(j);
        else
            session_job_pause(j, true);
        until_paused(&s, where ? "conv1" : NULL);
        double asked = base_now();
        session_job_cancel(j);
        assert_int_equal(session_job_wait(j, &err), BASE_CANCELLED);
        assert_true(base_now() - asked < 1);
        session_job_free(j);
        script_recipe_free(w.recipe);
    }
}

static char *run_plainly(script_recipe *r, int *layers) {
    watch s = {0};
    base_err err = {0};
    base_job job = {0};
    work w = {.recipe = r, .options = {.out = support_temp_path("plain")}};
    pthread_mutex_init(&s.lock, NULL);
    session_listener l = {listen, &s};
    if (session_job_run(body, &w, &l, 1, &job, &err) != BASE_OK) fail_msg("%s", err.text);
    *layers = s.finished;
    return base_strdup(s.hash);
}

// A change is taken, the run is recorded with it, and the record run again headless gives the same bytes.
static void changed(const char *name, const char *steps) {
    base_err err = {0};
    session_history *h = session_history_open(support_temp_path("history"), &err);
    assert_non_null(h);
    work w = {.recipe = recipe(name), .options = {.out = support_temp_path("changed")}};
    session_start_info info = {
        .recipe = name, .recipe_path = w.recipe->path, .recipe_text = w.recipe->text, .settings = "{}", .threads = 1};
    session_recorder *rec = session_recorder_new(h, &info, &err);
    assert_non_null(rec);
    watch s = {0};
    session_job *j = begin(&w, &s, rec);
    step_to(j, &s, "conv2");
    static const char *const wrong[] = {"quantize{ bits = 99 }",
                                        "quantise{ bits = 3 }",
                                        "quantize{ bits = 3",
                                        "model(\"x\")",
                                        "prune{ criterion = \"taylor\" }",
                                        "nonsense",
                                        "7"};
    for (int i = 0; i < 7; i++) {
        assert_true(session_job_change(j, wrong[i]));
        until_answered(&s, 0, i + 1);
        until_paused(&s, "conv2");
        print_message("%s: %s\n", wrong[i], s.said);
    }
    assert_true(session_job_change(j, "quantize{ bits = 8 }"));
    until_answered(&s, 1, 7);
    until_paused(&s, "conv2");
    assert_true(session_job_change(j, steps)); // the last word counts
    until_answered(&s, 2, 7);
    print_message("%s\n", s.said);
    until_paused(&s, "conv2");
    session_job_step(j);
    until_paused(&s, "conv3");
    assert_int_equal(s.finished, 2);
    assert_string_not_equal(s.layer_steps[0], s.layer_steps[1]);
    session_job_pause(j, false);
    assert_int_equal(session_job_wait(j, &err), BASE_OK);
    session_job_free(j);
    int64_t id = session_recorder_id(rec);
    session_recorder_free(rec);
    session_record r;
    assert_true(session_history_get(h, id, &r, &err));
    assert_non_null(strstr(r.recipe_text, "change(\"conv2\", "));
    assert_string_equal(r.status, "done");
    script_recipe *again = script_recipe_recorded(&r, &err);
    if (!again) fail_msg("%s", err.text);
    int layers;
    char *hash = run_plainly(again, &layers), *original = run_plainly(w.recipe, &layers);
    assert_string_equal(hash, s.hash);
    assert_string_not_equal(hash, original);
    assert_int_equal(layers, LAYERS);
    free(hash);
    free(original);
    script_recipe_free(again);
    session_record_free(&r);
    session_history_close(h);
    script_recipe_free(w.recipe);
}

static void a_change_replays(void **state) {
    (void)state;
    changed("w4", "quantize{ bits = bits - 1, group = 32 }"); // params are known by name
}
static void a_change_to_more_steps_replays(void **state) {
    (void)state;
    changed("gptq", "quantize{ solver = \"gptq\", bits = 2 }, lowrank{ rank = 2 }");
}

static void changes_in_a_recipe(void **state) {
    (void)state;
    static const struct {
        const char *line, *error; // NULL: it runs
    } cases[] = {{"change(\"conv2\", quantize{ bits = 3 })", NULL},
                 {"change(\"conv2\")", NULL},
                 {"change(\"conv2\", quantize{ bits = 3 }, 2)", NULL}, // of a call that never comes
                 {"change(\"conv9\", quantize{ bits = 3 })", "matches no layer"},
                 {"change(7)", "name of a layer"},
                 {"change(\"conv2\", 7.5)", "a step was expected"},
                 {"change(\"conv2\", quantize{ bits = 3 }, 0)", "counted from 1"}};
    script_recipe *w4 = recipe("w4");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        base_err err = {0};
        char *text = base_sprintf("%s\n%s", cases[i].line, w4->text);
        script_recipe *r = script_recipe_text("changed.lua", text, &err);
        script_run_options o = {.out = support_temp_path("lines"), .no_save = true};
        bool ok = r && script_recipe_run(r, &o, NULL, &err);
        assert_int_equal(ok, cases[i].error == NULL);
        if (!ok) assert_non_null(strstr(err.text, cases[i].error));
        script_recipe_free(r);
        free(text);
    }
    script_recipe_free(w4);
}

// ---- round to nearest in as many bytes -----------------------------------------------------------

typedef struct errors {
    double own[8], baseline[8];
    int own_count, told;
} errors;

static void listen_errors(void *context, const base_event *e) {
    errors *x = context;
    if (e->kind == BASE_EV_LAYER_END && x->own_count < 8) x->own[x->own_count++] = e->layer->output_error;
    if (e->kind == BASE_EV_BASELINE && x->told < 8) x->baseline[x->told++] = e->value;
}

static errors errors_of(const char *name, const char *const set[][2], int count, bool baseline) {
    base_err err = {0};
    errors x = {0};
    base_job job = {0};
    work w = {.recipe = recipe(name), .options = {.no_save = true, .baseline = baseline}};
    for (int i = 0; i < count; i++) assert_true(script_recipe_set(w.recipe, set[i][0], set[i][1], &err));
    session_listener l = {listen_errors, &x};
    if (session_job_run(body, &w, &l, 1, &job, &err) != BASE_OK) fail_msg("%s", err.text);
    script_recipe_free(w.recipe);
    return x;
}

// gptq at 3 bits is told beside what the recipe of plain rounding has at 3 bits on the same samples.
static void the_baseline_is_plain_rounding(void **state) {
    (void)state;
    static const char *const three[][2] = {{"bits", "3"}, {"samples", "256"}}, *const four[][2] = {{"samples", "64"}};
    errors gptq = errors_of("gptq", three, 2, true), rtn = errors_of("w4", three, 2, false);
    assert_int_equal(gptq.told, LAYERS);
    assert_int_equal(rtn.told, 0); // nobody asked
    for (int i = 1; i + 1 < LAYERS; i++) {
        assert_true(fabs(gptq.baseline[i] / rtn.own[i] - 1) < 1e-3);
        assert_true(gptq.own[i] < gptq.baseline[i]);
    }
    assert_true(gptq.baseline[0] == gptq.own[0]); // rounded to nearest itself
    errors itself = errors_of("w4", four, 1, true);
    for (int i = 0; i < LAYERS; i++) assert_true(itself.baseline[i] == itself.own[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_layer_by_itself),           cmocka_unit_test(a_pause_holds_and_lets_go),
        cmocka_unit_test(stopped_while_paused),           cmocka_unit_test(a_change_replays),
        cmocka_unit_test(a_change_to_more_steps_replays), cmocka_unit_test(changes_in_a_recipe),
        cmocka_unit_test(the_baseline_is_plain_rounding)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
