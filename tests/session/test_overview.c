// The history as a list: figures chosen as for one run, limits, pins and notes, damaged rows, and its speed; the
// interval of a difference.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>
#include <unistd.h>

#include "../support/past.h"
#include "../support/support.h"
#include "session/history.h"

static session_history *story(void) {
    const char *dir = support_temp_dir();
    base_err err = {0};
    past_story(dir);
    session_history *h = session_history_open(dir, &err);
    assert_non_null(h);
    return h;
}

static void each_row_has_what_the_run_has(void **state) {
    (void)state;
    session_history *h = story();
    session_overview *rows;
    size_t count;
    int64_t total;
    base_err err = {0};
    assert_true(session_history_overview(h, 0, &rows, &count, &total, NULL, &err));
    assert_int_equal(count, 11);
    assert_int_equal(total, 11);
    for (size_t i = 0; i < count; i++) {
        session_recorded one;
        assert_int_equal(rows[i].id, 11 - i); // newest first
        assert_true(session_recorded_read(h, rows[i].id, &one, &err));
        const base_model_row *m = session_recorded_figure(&one);
        session_total t = session_recorded_sum(&one);
        assert_string_equal(rows[i].recipe, one.record.recipe);
        assert_int_equal(rows[i].started, one.record.started);
        if (m && strcmp(m->label, "original") != 0) {
            assert_true(rows[i].value == m->value && rows[i].low == m->low && rows[i].high == m->high);
            assert_true(rows[i].kl == m->kl && rows[i].bytes == m->bytes && rows[i].bits == m->bits);
        } else {
            assert_true(isnan(rows[i].value) && isnan(rows[i].kl));
            assert_true(rows[i].bits == t.bits || (isnan(rows[i].bits) && isnan(t.bits)));
        }
        session_recorded_free(&one);
    }
    assert_string_equal(rows[1].params, "bits=3 group=64");
    assert_string_equal(rows[3].state, "stopped");
    assert_string_equal(rows[4].message, "bits is 9; 1 to 8 was expected");
    free(rows);
    assert_true(session_history_overview(h, 3, &rows, &count, &total, NULL, &err));
    assert_int_equal(count, 3);
    assert_int_equal(total, 11);
    assert_int_equal(rows[2].id, 9);
    free(rows);
    session_history_close(h);
}

static void pins_and_notes_stay(void **state) {
    (void)state;
    session_history *h = story();
    session_overview *rows;
    size_t count;
    int64_t total;
    base_err err = {0};
    assert_true(session_history_pin(h, 2, true, &err));
    assert_true(session_history_note(h, 2, "the one\tto keep \xff", &err));
    assert_true(session_history_pin(h, 6, false, &err));
    assert_true(session_history_overview(h, 0, &rows, &count, &total, NULL, &err));
    assert_int_equal(rows[9].pinned, 1);
    assert_string_equal(rows[9].note, "the one?to keep ?"); // nothing that moves a cursor
    assert_int_equal(rows[5].pinned, 0);
    assert_string_equal(rows[7].note, "too far for this network");
    assert_int_equal(rows[7].pinned, 0);
    free(rows);
    assert_false(session_history_pin(h, 99, true, &err));
    assert_non_null(strstr(err.text, "run 99"));
    assert_false(session_history_note(h, 0, "x", &err));
    session_history_close(h);
}

static void odd_rows_are_read(void **state) {
    (void)state;
    session_history *h = story();
    session_overview *rows;
    size_t count;
    int64_t total;
    base_err err = {0};
    assert_int_equal(
        sqlite3_exec(h->db,
                     "UPDATE runs SET params = 'not json', recipe = X'1b5b324a', model = NULL WHERE id = 11;"
                     "UPDATE runs SET status = 'running', pid = 2147483600, seconds = NULL WHERE id = 10;"
                     "UPDATE models SET value = 1e999, bytes = NULL WHERE run = 5 AND position = 1;"
                     "DELETE FROM runs WHERE id = 4",
                     NULL, NULL, NULL),
        SQLITE_OK);
    assert_true(session_history_overview(h, 0, &rows, &count, &total, NULL, &err));
    assert_int_equal(count, 10);
    assert_string_equal(rows[0].params, "");
    assert_string_equal(rows[0].recipe, "?[2J");
    assert_string_equal(rows[1].state, "killed");
    assert_true(isnan(rows[1].seconds));
    assert_true(isinf(rows[6].value));
    free(rows);
    session_history_close(h);
    h = session_history_open(support_temp_path("empty"), &err);
    assert_non_null(h);
    assert_true(session_history_overview(h, 0, &rows, &count, &total, NULL, &err));
    assert_int_equal(count, 0);
    assert_int_equal(total, 0);
    free(rows);
    session_history_close(h);
}

static void ten_thousand_runs_take_a_moment(void **state) {
    (void)state;
    const char *dir = support_temp_dir();
    base_err err = {0};
    session_overview *rows;
    size_t count;
    int64_t total;
    past_many(dir, 10000);
    session_history *h = session_history_open(dir, &err);
    double start = base_now();
    assert_true(session_history_overview(h, 1000, &rows, &count, &total, NULL, &err));
    double took = base_now() - start;
    print_message("newest 1 000 of 10 000 runs: %.0f ms\n", took * 1e3);
    assert_int_equal(count, 1000);
    assert_int_equal(total, 10000);
    assert_true(took < 2);
    free(rows);
    base_job job = {.start = base_now()};
    atomic_store(&job.cancel, 1);
    assert_false(session_history_overview(h, 0, &rows, &count, &total, &job, &err));
    assert_int_equal(err.status, BASE_CANCELLED);
    session_history_close(h);
}

// Newcombe (Statistics in Medicine 17, 1998), table II, column (a): 56/70 against 48/80, method 10.
static void the_interval_of_a_difference(void **state) {
    (void)state;
    double d[3], wilson[2][3], z = 1.959964;
    const double n[] = {80, 70}, hits[] = {48, 56};
    for (int i = 0; i < 2; i++) {
        double p = hits[i] / n[i], m = p + z * z / (2 * n[i]);
        double half = z * sqrt(p * (1 - p) / n[i] + z * z / (4 * n[i] * n[i])), all = 1 + z * z / n[i];
        wilson[i][0] = p;
        wilson[i][1] = (m - half) / all;
        wilson[i][2] = (m + half) / all;
    }
    session_difference(wilson[0], wilson[1], d);
    assert_true(fabs(d[0] - 0.2) < 1e-12);
    assert_true(fabs(d[1] - 0.0524) < 5e-5);
    assert_true(fabs(d[2] - 0.3339) < 5e-5);
    session_difference((double[3]){1, NAN, NAN}, (double[3]){3, 2, 4}, d);
    assert_true(d[0] == 2 && isnan(d[1]) && isnan(d[2]));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_row_has_what_the_run_has),
                                       cmocka_unit_test(pins_and_notes_stay), cmocka_unit_test(odd_rows_are_read),
                                       cmocka_unit_test(ten_thousand_runs_take_a_moment),
                                       cmocka_unit_test(the_interval_of_a_difference)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
