// What vector codebooks are for, on a real network: at two bits a weight, everything stored included, every layer
// alike, they lose clearly less than the better of two gptq from the same inputs.
#include "tests/script/recipe_support.h"

#include <unistd.h>

static void test_two_bits(void **state) {
    (void)state;
    static const char *const ways[] = {
        "quantize{ solver = 'gptq', bits = 2, order = 'act', range = 'mse', refine = 'cd' }",
        "quantize{ solver = 'gptq', bits = 2, order = 'act', range = 'minmax' }",
        "vq{ solver = 'vptq', dim = 2, bits = 2 }", "vq{ dim = 2, bits = 2, feedback = 'ldlq' }"};
    enum { WAYS = sizeof ways / sizeof *ways };
    const char *path = support_real("models/resnet20_cifar10.safetensors");
    if (!path) skip();
    double kl[WAYS], bits[WAYS];
    for (int i = 0; i < WAYS; i++) {
        char *text = base_sprintf(HEADER "local net, data = model(arg.model), dataset(arg.data)\n"
                                         "compress(net, { calibrate = data.calib:sample(64, 1), rule('.*', %s) })\n"
                                         "report(evaluate(net, data.test:sample(250, 1)))\n",
                                  ways[i]);
        script_run_options o = {.model = path, .data = "tests/real/cifar10.lua"};
        said s = run_recipe(text, &o);
        if (!s.ok) fail_msg("%s: %s", ways[i], s.err.text);
        kl[i] = s.row[s.rows - 1].kl;
        bits[i] = s.row[s.rows - 1].bits;
        said_free(&s);
        free(text);
    }
    double gptq = kl[0] < kl[1] ? kl[0] : kl[1];
    for (int i = 2; i < WAYS; i++)
        if (!(bits[i] <= bits[0] && kl[i] < 0.7 * gptq))
            fail_msg("%s: KL %.3f at %.3f bits, gptq has %.3f at %.3f", ways[i], kl[i], bits[i], gptq, bits[0]);
}

int main(void) {
    if (chdir(support_tree()) != 0) return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_two_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
