// The session room: events through a job, the queue's order and losses, JSON of events, the history's memory.
#include "session/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/support.h"

static base_layer_row layer_row(const char *name, int64_t index) {
    base_layer_row r = {.index = index,
                        .weights = 100 + index,
                        .bytes = 50,
                        .bytes_before = 400,
                        .bits = 4.0,
                        .weight_error = 0.001,
                        .output_error = NAN,
                        .sqnr_db = 30,
                        .damping = NAN};
    snprintf(r.name, sizeof r.name, "%s", name);
    snprintf(r.steps, sizeof r.steps, "quantize rtn b4");
    return r;
}

static bool three_layers(void *context, base_job *job, base_err *err) {
    (void)context;
    base_emit(job, (base_event){.kind = BASE_EV_RUN_BEGIN, .text = "three"});
    for (int i = 0; i < 3; i++) {
        if (!base_go_on(job, err)) return false;
        base_layer_row row = layer_row(i == 1 ? "b\"\n" : "a", i);
        base_emit(job, (base_event){.kind = BASE_EV_LAYER_END, .layer = &row, .index = i, .total = 3});
        base_progress(job, "calibrating", i, 3, NAN);
    }
    base_model_row m = {.value = 97.5, .low = 96, .high = 98, .kl = NAN, .kl_low = NAN, .kl_high = NAN, .flips = -1};
    snprintf(m.metric, sizeof m.metric, "top1");
    base_emit(job, (base_event){.kind = BASE_EV_MODEL, .model = &m});
    base_emit(job, (base_event){.kind = BASE_EV_SAVED, .text = "out/x", .hash = "abc", .done = 10, .of = 2});
    return true;
}

static bool waits(void *context, base_job *job, base_err *err) {
    (void)context;
    while (base_go_on(job, err)) usleep(1000);
    return false;
}

static bool fails(void *context, base_job *job, base_err *err) {
    (void)context;
    (void)job;
    return base_fail(err, "no such thing");
}

static void test_job_events_arrive_in_order(void **state) {
    (void)state;
    base_err err = {0};
    session_queue *q = session_queue_new(&err);
    session_listener l = {session_queue_push, q};
    session_job *j = session_job_start(three_layers, NULL, &l, 1, &err);
    assert_int_equal(session_job_wait(j, &err), BASE_OK);
    assert_true(session_job_done(j));
    session_job_free(j);
    struct pollfd p = {.fd = session_queue_fd(q), .events = POLLIN};
    assert_int_equal(poll(&p, 1, 0), 1);
    int layers = 0, last_kind = -1;
    for (session_item *it; (it = session_queue_pop(q)); session_item_free(it)) {
        if (it->event.kind == BASE_EV_LAYER_END) {
            assert_int_equal(it->event.layer->index, layers++);
            assert_ptr_equal(it->event.layer, &it->layer);
        }
        last_kind = it->event.kind;
    }
    assert_int_equal(layers, 3);
    assert_int_equal(last_kind, BASE_EV_RUN_END);
    assert_int_equal(poll(&p, 1, 0), 0);
    session_queue_free(q);
}

static void test_cancel_and_failure(void **state) {
    (void)state;
    base_err err = {0};
    session_job *j = session_job_start(waits, NULL, NULL, 0, &err);
    double before = base_now();
    session_job_cancel(j);
    assert_int_equal(session_job_wait(j, &err), BASE_CANCELLED);
    assert_true(base_now() - before < 0.2);
    session_job_free(j);
    base_job job = {0};
    assert_int_equal(session_job_run(fails, NULL, NULL, 0, &job, &err), BASE_FAILED);
    assert_string_equal(err.text, "no such thing");
    // A job that is freed while it runs is cancelled and joined.
    session_job_free(session_job_start(waits, NULL, NULL, 0, &err));
}

static void test_queue_drops_only_progress(void **state) {
    (void)state;
    base_err err = {0};
    session_queue *q = session_queue_new(&err);
    for (int i = 0; i < 6000; i++) {
        base_event log = {.kind = BASE_EV_LOG, .text = "line"};
        session_queue_push(q, &log);
        if (i % 100 == 0) {
            base_layer_row row = layer_row("x", i);
            base_event end = {.kind = BASE_EV_LAYER_END, .layer = &row};
            session_queue_push(q, &end);
        }
        base_event progress = {.kind = BASE_EV_PROGRESS, .text = "p", .done = i, .of = 6000};
        session_queue_push(q, &progress);
        session_queue_push(q, &progress); // merged with the one before
    }
    int layers = 0, total = 0;
    for (session_item *it; (it = session_queue_pop(q)); session_item_free(it)) {
        layers += it->event.kind == BASE_EV_LAYER_END;
        total++;
    }
    assert_int_equal(layers, 60);
    assert_true(session_queue_dropped(q) > 0);
    assert_int_equal(total + session_queue_dropped(q), 6000 + 6000 + 60);
    session_queue_free(q);
}

static void test_every_event_is_json(void **state) {
    (void)state;
    base_layer_row row = layer_row("a\x01\xff\"b", 1);
    base_model_row m = {.value = INFINITY, .kl = NAN};
    base_param_row p = {.name = "bits", .value = 4, .min = NAN, .max = NAN};
    for (int k = 0; k < BASE_EV_KINDS; k++) {
        base_event e = {.kind = (base_event_kind)k,
                        .text = "t\xc3",
                        .layer = &row,
                        .model = &m,
                        .param = &p,
                        .eta = NAN,
                        .total = 3};
        char *line = session_event_json(&e);
        assert_null(strchr(line, '\n'));
        json_error_t trouble;
        json_t *o = json_loads(line, 0, &trouble);
        assert_non_null(o);
        assert_string_equal(json_string_value(json_object_get(o, "event")), base_event_names[k]);
        json_t *layer = json_object_get(o, "layer");
        assert_null(json_object_get(layer, "output_error")); // NaN: not measured, left out
        assert_true(json_number_value(json_object_get(layer, "weight_error")) == 0.001);
        assert_string_equal(json_string_value(json_object_get(json_object_get(o, "model"), "value")), "inf");
        json_decref(o);
        free(line);
    }
}

static void test_history_remembers(void **state) {
    (void)state;
    base_err err = {0};
    const char *dir = support_temp_dir();
    session_history *h = session_history_open(dir, &err);
    assert_non_null(h);
    session_start_info info = {
        .recipe = "w4", .recipe_path = "/r/w4.lua", .recipe_text = "return 1", .settings = "{}", .threads = 2};
    session_recorder *r = session_recorder_new(h, &info, &err);
    assert_non_null(r);
    int64_t id = session_recorder_id(r);
    session_recorder_inputs(r, "/m", "mh", "/d", "dh");
    base_param_row p = {.name = "bits", .value = 4, .integer = true};
    base_event param = {.kind = BASE_EV_PARAM, .param = &p};
    session_recorder_event(r, &param);
    base_event seed = {.kind = BASE_EV_SEED, .text = "sample", .done = 7};
    session_recorder_event(r, &seed);
    session_listener l = {session_recorder_event, r};
    base_job job = {0};
    assert_int_equal(session_job_run(three_layers, NULL, &l, 1, &job, &err), BASE_OK);
    session_recorder_free(r);
    session_history_close(h);

    h = session_history_open(dir, &err); // by another process, later
    session_record record;
    assert_true(session_history_get(h, id, &record, &err));
    assert_string_equal(record.status, "done");
    assert_string_equal(record.model_hash, "mh");
    assert_string_equal(record.params, "{\"bits\":4}");
    assert_string_equal(record.seeds, "[{\"for\":\"sample\",\"seed\":7}]");
    assert_string_equal(record.output_hash, "abc");
    assert_int_equal(record.output_bytes, 10);
    session_record_free(&record);
    base_layer_row *rows;
    size_t count;
    assert_true(session_history_layers(h, id, &rows, &count, &err));
    assert_int_equal(count, 3);
    assert_string_equal(rows[1].name, "b\"\n");
    assert_true(isnan(rows[1].output_error) && rows[1].weight_error == 0.001 && rows[2].weights == 102);
    free(rows);
    base_model_row *models;
    assert_true(session_history_models(h, id, &models, &count, &err));
    assert_int_equal(count, 1);
    assert_true(models[0].value == 97.5 && isnan(models[0].kl) && models[0].flips == -1);
    free(models);
    assert_false(session_history_get(h, 99, &record, &err));
    assert_non_null(strstr(err.text, "run 99 is not in"));
    session_history_close(h);
}

static void test_killed_run_keeps_its_rows(void **state) {
    (void)state;
    base_err err = {0};
    const char *dir = support_temp_dir();
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        session_history *h = session_history_open(dir, &err);
        session_recorder *r = session_recorder_new(h, &(session_start_info){.recipe = "k", .settings = "{}"}, &err);
        base_layer_row row = layer_row("first", 0);
        base_event end = {.kind = BASE_EV_LAYER_END, .layer = &row};
        session_recorder_event(r, &end);
        if (write(ready[1], "x", 1) != 1) _exit(1);
        for (;;) pause();
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    session_history *h = session_history_open(dir, &err);
    session_record *records;
    size_t count;
    assert_true(session_history_list(h, 0, &records, &count, &err));
    assert_int_equal(count, 1);
    assert_string_equal(records[0].status, "killed");
    base_layer_row *rows;
    size_t row_count;
    assert_true(session_history_layers(h, records[0].id, &rows, &row_count, &err));
    assert_int_equal(row_count, 1);
    free(rows);
    session_record_free(&records[0]);
    free(records);
    session_history_close(h);
}

static void test_bad_history_is_a_sentence(void **state) {
    (void)state;
    base_err err = {0};
    const char *dir = support_temp_dir();
    char *path = base_join(dir, "history.db");
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 400; i++) fputs("this is not a database ", f);
    fclose(f);
    assert_null(session_history_open(dir, &err));
    assert_non_null(strstr(err.text, "not a Vise history"));
    assert_null(session_history_open("/dev/null/x", &err));
    assert_non_null(strstr(err.text, "/dev/null"));
    free(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_job_events_arrive_in_order), cmocka_unit_test(test_cancel_and_failure),
        cmocka_unit_test(test_queue_drops_only_progress),  cmocka_unit_test(test_every_event_is_json),
        cmocka_unit_test(test_history_remembers),          cmocka_unit_test(test_killed_run_keeps_its_rows),
        cmocka_unit_test(test_bad_history_is_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
