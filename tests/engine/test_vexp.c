// e^x against the C library's, over every exponent and at the edges; the row sums against plain ones.
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
        double want = exp((double)x), got = (double)vexp(x);
        worst = fmax(worst, fabs(got - want) / want);
    }
    assert_true(worst < 2.4e-7);
    assert_true(vexp(0) == 1.0f && vexp(-INFINITY) == 0 && vexp(-200) == 0);
    assert_true(isinf(vexp(89.5f)) && isinf(vexp(INFINITY)) && isnan(vexp(NAN)));
    assert_true(vexp(-100) > 0 && fabsf(vexp(-100) - expf(-100)) < 2e-45f); // subnormal
}

static void test_rows(void **state) {
    (void)state;
    for (int n = 1; n < 70; n++) {
        float x[70], y[70], dx[70] = {0}, dy[70];
        support_fill(x, 70, (uint64_t)n);
        support_fill(dy, 70, 3);
        double sum = 0, top = (double)x[0];
        for (int i = 0; i < n; i++) {
            x[i] *= 6;
            sum += exp((double)x[i] - 1);
            y[i] = x[i];
        }
        top = (double)x[0];
        for (int i = 0; i < n; i++) top = fmax(top, (double)x[i]);
        assert_true((double)vexp_max(x, n) == top);
        assert_true(fabs((double)vexp_row(y, n, 1) - sum) < 1e-5 * sum);
        assert_true(fabs(vexp_sum(x, n, 1) - sum) < 1e-6 * sum);
        assert_true(fabs(vexp_divergence(x, log(sum) + 1, x, log(sum) + 1, n)) == 0);
        vexp_silu(x, y, n);
        vexp_silu_slope(x, dy, dx, n);
        for (int i = 0; i < n; i++) {
            double s = 1 / (1 + exp(-(double)x[i])), v = (double)x[i];
            assert_true(fabs((double)y[i] - v * s) < 1e-5);
            assert_true(fabs((double)dx[i] - (double)dy[i] * s * (1 + v * (1 - s))) < 1e-5);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values), cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
