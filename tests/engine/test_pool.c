// Shared work: every item runs once, workers keep to their numbers, the lowest failure is the one reported, work inside
// work and from several threads at once is done, and a forked child shares work anew.
#include "engine/exec.h"
#include "tests/engine/nets.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct tally {
    atomic_int runs[1000];
    atomic_int inside[64]; // by worker: a worker number is never used twice at once
    atomic_int clashes;
    int64_t fail_from;
} tally;

static bool count_item(void *context, int64_t item, int worker, base_err *err) {
    tally *t = context;
    if (atomic_fetch_add(&t->inside[worker], 1)) atomic_fetch_add(&t->clashes, 1);
    atomic_fetch_add(&t->runs[item], 1);
    volatile double x = 0;
    for (int i = 0; i < 200; i++) x += i;
    (void)x;
    atomic_fetch_sub(&t->inside[worker], 1);
    return item < t->fail_from || base_fail(err, "item %lld", (long long)item);
}

static bool all_once(int64_t count) {
    tally *t = base_alloc(sizeof *t);
    base_err err = {0};
    t->fail_from = 1000;
    bool ok = exec_parallel(count, count_item, t, NULL, &err) && !atomic_load(&t->clashes);
    for (int i = 0; i < 1000; i++) ok = ok && atomic_load(&t->runs[i]) == (i < count);
    free(t);
    return ok;
}

static void test_every_item_once(void **state) {
    (void)state;
    for (int threads = 1; threads <= 7; threads += 2) {
        num_set_threads(threads);
        assert_int_equal(exec_workers(), threads);
        for (int64_t count = 0; count <= 1000; count = count * 3 + 1) assert_true(all_once(count));
        for (int again = 0; again < 200; again++) assert_true(all_once(20));
    }
    num_set_threads(1);
}

static void test_lowest_failure(void **state) {
    (void)state;
    num_set_threads(5);
    for (int again = 0; again < 100; again++) {
        tally *t = base_alloc(sizeof *t);
        base_err err = {0};
        t->fail_from = again;
        assert_false(exec_parallel(1000, count_item, t, NULL, &err));
        char want[32];
        snprintf(want, sizeof want, "item %d", again);
        assert_string_equal(err.text, want);
        free(t);
    }
    num_set_threads(1);
}

static bool nested_item(void *context, int64_t item, int worker, base_err *err) {
    (void)worker, (void)err;
    if (!all_once(50 + item)) atomic_fetch_add((atomic_int *)context, 1);
    return true;
}

static void *outside(void *context) {
    for (int i = 0; i < 50; i++)
        if (!all_once(100)) atomic_fetch_add((atomic_int *)context, 1);
    return NULL;
}

static void test_nested_and_beside(void **state) {
    (void)state;
    atomic_int wrong;
    base_err err = {0};
    pthread_t threads[3];
    atomic_init(&wrong, 0);
    num_set_threads(4);
    assert_true(exec_parallel(30, nested_item, &wrong, NULL, &err));
    for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&threads[i], NULL, outside, &wrong), 0);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&wrong), 0);
    num_set_threads(1);
}

static void test_fork(void **state) {
    (void)state;
    num_set_threads(3);
    assert_true(all_once(100));
    pid_t child = fork();
    if (child == 0) {
        bool ok = true;
        for (int i = 0; i < 20; i++) ok = ok && all_once(100);
        _exit(ok ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    num_set_threads(1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_item_once),
        cmocka_unit_test(test_lowest_failure),
        cmocka_unit_test(test_nested_and_beside),
        cmocka_unit_test(test_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
