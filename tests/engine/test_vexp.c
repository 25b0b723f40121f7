// e^x against the C library's, over every exponent and below the normal range; the row sums against plain ones.
#include "engine/vecmath.h"
#include "engine/vexp.h"
#include "tests/engine/nets.h"

static void test_values(void **state) {
    (void)state;
    double worst = 0;
    for (uint32_t i = 0; i < 4000000; i++) {
        uint32_t bits = i * 1073u; // spread over all floats
        float x;
        memcpy(&x, &bits, sizeof x);
        if (!(x > -87 && x < 88.7f)) continue;
        double want = exp((double)x), got = (double)vec_exp(x);
        worst = fmax(worst, fabs(got - want) / want);
    }
    assert_true(worst < 2.4e-7);
    assert_true(vec_exp(0) == 1.0f && vec_exp(-INFINITY) == 0 && vec_exp(-200) == 0);
    assert_true(isinf(vec_exp(89.5f)) && isinf(vec_exp(INFINITY)) && isnan(vec_exp(NAN)));
    assert_true(vec_exp(-100) > 0 && fabsf(vec_exp(-100) - expf(-100)) < 2e-45f); // subnormal
}

static void test_rows(void **state) {
    (void)state;
    for (int n = 1; n < 70; n++) {
        float x[70];
        support_fill(x, 70, (uint64_t)n);
        double sum = 0, top = (double)x[0];
        for (int i = 0; i < n; i++) {
            x[i] *= 6;
            sum += exp((double)x[i] - 1);
        }
        top = (double)x[0];
        for (int i = 0; i < n; i++) top = fmax(top, (double)x[i]);
        assert_true((double)vexp_max(x, n) == top);
        assert_true(fabs(vexp_sum(x, n, 1) - sum) < 1e-6 * sum);
        assert_true(fabs(vexp_divergence(x, log(sum) + 1, x, log(sum) + 1, n)) == 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
