// What mixed precision is for: at no more bytes than one width for all layers, chosen without the test part, the
// recipe's network lies closer to the original there, beyond both intervals. The real networks with VISE_SLOW=1.
#include "tests/script/recipe_support.h"

#include <unistd.h>

static const base_model_row *row(const said *s, const char *label, const char *data) {
    for (int i = 0; i < s->rows; i++)
        if (!strcmp(s->row[i].label, label) && strstr(s->row[i].data, data)) return &s->row[i];
    fail_msg("no figures of %s", label);
    return NULL;
}

static void beats(const char *path, const char *data, const char *samples) {
    said s = {0};
    script_recipe *r = script_recipe_load("mixed-precision", &s.err);
    if (!r) fail_msg("%s", s.err.text);
    if (samples) assert_true(script_recipe_set(r, "samples", samples, &s.err));
    script_run_options o = {.model = path, .data = data, .out = support_temp_path("out")};
    base_job job = {.emit = hear, .context = &s, .start = base_now()};
    if (!script_recipe_run(r, &o, &job, &s.err)) fail_msg("%s", s.err.text);
    const base_model_row *one = row(&s, "one width", "/test"), *step = row(&s, "one step", "/test"),
                         *mixed = row(&s, "mixed", "/test");
    print_message("KL %.4f [%.4f, %.4f], one step %.4f, one width %.4f [%.4f, %.4f]\n", mixed->kl, mixed->kl_low,
                  mixed->kl_high, step->kl, one->kl, one->kl_low, one->kl_high);
    int64_t bytes = one->bytes + one->header_bytes;
    assert_true(mixed->bytes + mixed->header_bytes <= bytes && s.saved_bytes <= bytes);
    assert_true(step->bytes + step->header_bytes <= bytes && step->bytes + step->header_bytes > bytes / 100 * 98);
    assert_true(mixed->kl_high < one->kl_low && mixed->kl < step->kl);
    assert_non_null(strstr(s.log.text, "mixed less one width on "));
    assert_null(strstr(s.log.text, "is too good")); // nothing was chosen by what is reported
    script_recipe_free(r);
    said_free(&s);
}

static void test_digits(void **state) {
    (void)state;
    beats("data/models/digits-cnn.safetensors", "data/digits", NULL);
}

// A dry run knows no sizes of entropy-coded options but the most they can take, which fit no budget: that is no reason
// to refuse what will work.
static void test_dry(void **state) {
    (void)state;
    said s = {0};
    script_estimate e = {0};
    script_recipe *r = script_recipe_load("mixed-precision", &s.err);
    if (!r) fail_msg("%s", s.err.text);
    script_run_options o = {.out = support_temp_path("out"), .dry = &e};
    base_job job = {.emit = hear, .context = &s, .start = base_now()};
    if (!script_recipe_run(r, &o, &job, &s.err)) fail_msg("%s", s.err.text);
    assert_true(e.guessed && e.saved_count == 1 && e.saved[0].sure == COMPRESS_ABOUT);
    script_estimate_free(&e);
    script_recipe_free(r);
    said_free(&s);
}

static void real(const char *relative, const char *data, const char *samples) {
    if (!getenv("VISE_SLOW") || !support_real(relative)) skip();
    beats(support_real(relative), data, samples);
}
static void test_resnet20(void **state) {
    (void)state;
    real("models/resnet20_cifar10.safetensors", "tests/real/cifar10.lua", NULL);
}
static void test_stories(void **state) {
    (void)state;
    real("models/stories260K/model.safetensors", "tests/real/tinystories.lua", "64");
}

int main(void) {
    if (chdir(support_tree()) != 0) return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_digits), cmocka_unit_test(test_dry),
                                       cmocka_unit_test(test_resnet20), cmocka_unit_test(test_stories)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
