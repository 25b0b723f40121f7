// Allocators against exhaustive enumeration, their promises (budget kept, never better than the optimum) and their
// speed on large tables.
#include "tests/support/support.h"

#include "study/study.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

typedef struct table {
    study_problem p;
    int *options;
    double **loss, *weights;
    int64_t **cost;
} table;

// A table as networks give it: weights of different sizes, loss ~ c 4^-bits with noise, `wild`: anything.
static table *table_new(int layers, int options, uint64_t seed, bool wild) {
    table *t = base_calloc(1, sizeof *t);
    num_rng r = num_rng_seed(seed, 1);
    t->options = base_calloc((size_t)layers, sizeof *t->options);
    t->loss = base_calloc((size_t)layers, sizeof *t->loss);
    t->cost = base_calloc((size_t)layers, sizeof *t->cost);
    t->weights = base_calloc((size_t)layers, sizeof *t->weights);
    for (int i = 0; i < layers; i++) {
        t->options[i] = options;
        t->loss[i] = base_calloc((size_t)options, sizeof **t->loss);
        t->cost[i] = base_calloc((size_t)options, sizeof **t->cost);
        t->weights[i] = 100 + num_rng_below(&r, 100000);
        double c = exp(2 * num_rng_normal(&r));
        for (int k = 0; k < options; k++) {
            double bits = 1 + 0.5 * k;
            t->cost[i][k] =
                wild ? num_rng_below(&r, 1000) : (int64_t)(t->weights[i] * bits / 8) + num_rng_below(&r, 64);
            t->loss[i][k] = wild ? num_rng_normal(&r) : c * pow(4, -bits) * (1 + 0.2 * num_rng_unit(&r));
        }
    }
    t->p = (study_problem){.layers = layers,
                           .options = t->options,
                           .loss = (const double *const *)t->loss,
                           .cost = (const int64_t *const *)t->cost,
                           .weights = t->weights,
                           .unit = "bytes"};
    return t;
}

static void table_free(table *t) {
    for (int i = 0; i < t->p.layers; i++) {
        free(t->loss[i]);
        free(t->cost[i]);
    }
    free(t->options);
    free(t->loss);
    free(t->cost);
    free(t->weights);
    free(t);
}

static void range(const table *t, int64_t *low, int64_t *high) {
    *low = *high = 0;
    for (int i = 0; i < t->p.layers; i++) {
        int64_t a = INT64_MAX, b = 0;
        for (int k = 0; k < t->options[i]; k++) {
            a = t->cost[i][k] < a ? t->cost[i][k] : a;
            b = t->cost[i][k] > b ? t->cost[i][k] : b;
        }
        *low += a;
        *high += b;
    }
}

static double enumerate(const study_problem *p, int layer, int64_t left, double so_far, const int *tied, int *at) {
    if (left < 0) return INFINITY;
    if (layer == p->layers) return so_far;
    double best = INFINITY;
    for (int k = 0; k < p->options[layer]; k++) {
        if (tied && tied[layer] >= 0 && tied[layer] < layer && k != at[tied[layer]]) continue;
        at[layer] = k;
        best = fmin(best, enumerate(p, layer + 1, left - p->cost[layer][k], so_far + p->loss[layer][k], tied, at));
    }
    return best;
}

static void check_answer(const study_problem *p, const study_answer *a) {
    double loss = 0;
    int64_t cost = 0;
    for (int i = 0; i < p->layers; i++) {
        assert_in_range(a->choice[i], 0, p->options[i] - 1);
        loss += p->loss[i][a->choice[i]];
        cost += p->cost[i][a->choice[i]];
    }
    assert_true(cost == a->cost && cost <= p->budget);
    assert_true(fabs(loss - a->loss) <= 1e-9 * (1 + fabs(loss)));
    assert_true(a->bound <= a->loss + 1e-9 * (1 + fabs(a->loss)));
}

static void every_allocator_keeps_the_budget_and_exact_ones_are_exact(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        table *t = table_new(2 + (int)(seed % 6), 2 + (int)(seed % 4), seed, seed % 2);
        int64_t low, high;
        range(t, &low, &high);
        t->p.budget = low + (high - low) * (int64_t)(seed % 11) / 10;
        int at[16];
        double best = enumerate(&t->p, 0, t->p.budget, 0, NULL, at);
        for (size_t k = 0; k < study_allocator_count; k++) {
            const study_allocator *s = &study_allocators[k];
            base_err err = {0};
            study_answer a;
            if (!study_allocate(&t->p, s, NULL, &a, NULL, &err)) fail_msg("%s: %s", s->name, err.text);
            check_answer(&t->p, &a);
            assert_true(a.loss >= best - 1e-9 * (1 + fabs(best)));
            assert_true(fabs(a.optimum - best) <= 1e-9 * (1 + fabs(best)));
            if (s->exact) {
                assert_true(a.optimal);
                if (fabs(a.loss - best) > 1e-9 * (1 + fabs(best)))
                    fail_msg("%s, seed %d: %.12g, the best is %.12g", s->name, (int)seed, a.loss, best);
            }
            study_answer_free(&a);
        }
        table_free(t);
    }
}

static void tied_layers_choose_together(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        table *t = table_new(6, 3, seed, true);
        int64_t low, high;
        range(t, &low, &high);
        t->p.budget = (low + 3 * high) / 4;
        const int tie[] = {-1, 7, 7, -1, 7, 2}, first[] = {-1, 1, 1, -1, 1, 5};
        t->p.tie = tie;
        int at[16];
        double best = enumerate(&t->p, 0, t->p.budget, 0, first, at);
        base_err err = {0};
        study_answer a;
        assert_true(study_allocate(&t->p, study_allocator_find("exact"), NULL, &a, NULL, &err) || isinf(best));
        if (!isinf(best)) {
            assert_true(a.choice[1] == a.choice[2] && a.choice[2] == a.choice[4]);
            assert_true(fabs(a.loss - best) < 1e-9);
            study_answer_free(&a);
        }
        table_free(t);
    }
}

static void a_budget_nothing_fits_names_the_smallest(void **state) {
    (void)state;
    table *t = table_new(4, 3, 5, false);
    int64_t low, high;
    range(t, &low, &high);
    t->p.budget = low - 1;
    base_err err = {0};
    study_answer a;
    assert_false(study_allocate(&t->p, study_allocator_find("exact"), NULL, &a, NULL, &err));
    char figure[64];
    snprintf(figure, sizeof figure, "%lld bytes", (long long)low);
    assert_non_null(strstr(err.text, figure));
    t->p.budget = low;
    assert_true(study_allocate(&t->p, study_allocator_find("ilp"), NULL, &a, NULL, &err));
    assert_true(a.cost == low);
    study_answer_free(&a);
    t->loss[2][1] = NAN;
    assert_false(study_allocate(&t->p, study_allocator_find("exact"), NULL, &a, NULL, &err));
    assert_non_null(strstr(err.text, "layer 3, option 2"));
    table_free(t);
}

static void a_thousand_layers_are_exact_within_a_second(void **state) {
    (void)state;
    table *t = table_new(1000, 20, 3, false);
    int64_t low, high;
    range(t, &low, &high);
    for (int part = 1; part <= 9; part += 4) {
        t->p.budget = low + (high - low) * part / 10;
        base_err err = {0};
        study_answer a, hull;
        assert_true(study_allocate(&t->p, study_allocator_find("exact"), NULL, &a, NULL, &err));
        assert_true(study_allocate(&t->p, study_allocator_find("hull"), NULL, &hull, NULL, &err));
        print_message("1000 x 20: %.3f s, %lld states, loss %.9g, hull %.9g\n", a.seconds, (long long)a.steps, a.loss,
                      hull.loss);
        assert_true(a.optimal);
        assert_true(a.loss <= hull.loss);
        assert_true(a.seconds < 1 * SUPPORT_SLOWER);
        study_answer_free(&a);
        study_answer_free(&hull);
    }
    table_free(t);
    t = table_new(19, 7, 4, false);
    range(t, &low, &high);
    t->p.budget = (low + high) / 2;
    base_err err = {0};
    double best = INFINITY; // processor time: on a busy machine the other counts how long it waits for its turn
    for (int i = 0; i < 5; i++) {
        study_answer a;
        clock_t start = clock();
        assert_true(study_allocate(&t->p, study_allocator_find("exact"), NULL, &a, NULL, &err));
        best = fmin(best, (double)(clock() - start) / CLOCKS_PER_SEC);
        assert_true(a.optimal);
        study_answer_free(&a);
    }
    print_message("19 x 7: %.5f s\n", best);
    assert_true(best < 0.01 * SUPPORT_SLOWER);
    table_free(t);
}

// A loss with an interaction between neighbours that no sum shows: search methods must find what sums cannot.
static bool pairs(void *context, const int *choice, double effort, double *loss, base_err *err) {
    const study_problem *p = context;
    (void)effort, (void)err;
    *loss = 0;
    for (int i = 0; i < p->layers; i++) *loss += p->loss[i][choice[i]];
    for (int i = 0; i + 1 < p->layers; i++) *loss += 0.5 * (choice[i] == 0 && choice[i + 1] == 0);
    return true;
}

static void searches_use_the_measured_loss(void **state) {
    (void)state;
    table *t = table_new(10, 4, 9, false);
    int64_t low, high;
    range(t, &low, &high);
    t->p.budget = low + (high - low) / 5;
    base_err err = {0};
    study_answer exact, a;
    assert_true(study_allocate(&t->p, study_allocator_find("exact"), NULL, &exact, NULL, &err));
    double by_sum;
    pairs(&t->p, exact.choice, 1, &by_sum, &err);
    t->p.measure = pairs;
    t->p.context = &t->p;
    static const char *const names[] = {"evopress", "anneal", "rco"};
    for (int k = 0; k < 3; k++) {
        assert_true(study_allocate(&t->p, study_allocator_find(names[k]), NULL, &a, NULL, &err));
        check_answer(&t->p, &a);
        print_message("%s: measured %.6g, the best sum's %.6g\n", names[k], a.measured, by_sum);
        assert_true(a.measured <= by_sum);
        study_answer again;
        assert_true(study_allocate(&t->p, study_allocator_find(names[k]), NULL, &again, NULL, &err));
        assert_memory_equal(a.choice, again.choice, 10 * sizeof(int));
        study_answer_free(&again);
        study_answer_free(&a);
    }
    study_answer_free(&exact);
    table_free(t);
}

static void lgreco_gives_least_bytes_at_an_error(void **state) {
    (void)state;
    table *t = table_new(8, 4, 21, false);
    int64_t low, high;
    range(t, &low, &high);
    t->p.budget = high;
    const study_allocator *s = study_allocator_find("lgreco");
    base_value v[4];
    base_arg_defaults(s->args, s->arg_count, v);
    base_err err = {0};
    double middle = 0;
    for (int i = 0; i < 8; i++) middle += t->loss[i][2];
    assert_true(base_arg_set_number("lgreco", s->args, s->arg_count, v, "error", middle, &err));
    study_answer a;
    assert_true(study_allocate(&t->p, s, v, &a, NULL, &err));
    assert_true(a.loss <= middle * 1.001);
    int64_t uniform = 0;
    for (int i = 0; i < 8; i++) uniform += t->cost[i][2];
    assert_true(a.cost <= uniform);
    study_answer_free(&a);
    table_free(t);
}

static void the_hull_falls(void **state) {
    (void)state;
    table *t = table_new(12, 5, 2, true);
    int64_t *cost;
    double *loss;
    int n;
    base_err err = {0};
    assert_true(study_hull(&t->p, &cost, &loss, &n, &err));
    for (int i = 1; i < n; i++) assert_true(cost[i] > cost[i - 1] && loss[i] < loss[i - 1]);
    for (int i = 2; i < n; i++)
        assert_true((loss[i - 2] - loss[i - 1]) / (double)(cost[i - 1] - cost[i - 2]) >=
                    (loss[i - 1] - loss[i]) / (double)(cost[i] - cost[i - 1]) - 1e-12);
    free(cost);
    free(loss);
    table_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocator_keeps_the_budget_and_exact_ones_are_exact),
        cmocka_unit_test(tied_layers_choose_together),
        cmocka_unit_test(a_budget_nothing_fits_names_the_smallest),
        cmocka_unit_test(a_thousand_layers_are_exact_within_a_second),
        cmocka_unit_test(searches_use_the_measured_loss),
        cmocka_unit_test(lgreco_gives_least_bytes_at_an_error),
        cmocka_unit_test(the_hull_falls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
