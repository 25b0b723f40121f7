// Golden screens of the layer panel: the shipped digits network, its weights rounded to 4 bits by a real run; each page
// of one layer alone on the screen. What a layer without a run shows, and a model that is not there.
#include "golden.h"

static void page(screen *s, const char *name, const char *sign) {
    char line[64];
    snprintf(line, sizeof line, ":look-page %s\r", name);
    terminal_type(s->t, line);
    terminal_type(s->t, "\033z"); // no message; Esc also gave the other panels back
    golden_await(s, sign);
}

static void tell(screen *s, base_buf *text, base_buf *looks) {
    terminal_type(s->t, ":tab Run\r");
    golden_await(s, "fc2");
    terminal_type(s->t, ":look fc1\r");
    terminal_type(s->t, "\033z");
    golden_await(s, "not compressed in this session");
    golden_panels(text, looks, s, "before a run");
    terminal_type(s->t, ":tab Run\r:run\r");
    golden_await(s, "done in");
    terminal_type(s->t, ":look conv2\r");
    terminal_type(s->t, "\033z");
    golden_await(s, "as the newest run made it");
    static const char *const pages[][2] = {
        {"weights", "relative weight error"}, {"|W|", "outputs down"},  {"error", "|W - Wc|"},
        {"singular", "singular values"},      {"grid", "levels after"}, {"codes", "codes of 4 bits"},
        {"outliers", "beyond 3 sigmas"}};
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        page(s, pages[i][0], pages[i][1]);
        golden_panels(text, looks, s, pages[i][0]);
    }
    terminal_type(s->t, ":hessian 32\r");
    golden_await(s, "eigenvalues, falling");
    golden_await(s, "[32 of ");
    terminal_type(s->t, ":look-page grid\r+++Laac");
    terminal_type(s->t, "jk");
    golden_await(s, "output 0 of"); // another layer begins at its first output
}

static void golden_layer(void **state) {
    (void)state;
    char *dir = base_strdup(support_temp_dir());
    char *model_path = base_join(support_tree(), "data/models/digits-cnn.safetensors");
    char *data = base_join(support_tree(), "data/digits");
    golden_play(
        "look",
        (screen){.real = true,
                 .options = {.state_dir = dir, .fresh = true, .model = model_path, .data = data, .recipe = "w4"}},
        false, tell);
    free(dir);
    free(model_path);
    free(data);
}

static void nothing_there(void **state) {
    (void)state;
    screen s = {0};
    screen_open(&s, 80, 24, "xterm", "C.UTF-8", false);
    terminal_type(s.t, ":tab Layer\r");
    assert_true(terminal_shows(s.t, "No layers yet"));
    run_to_end(&s); // told by a story: there is no file behind it
    terminal_type(s.t, ":look head.out\r");
    golden_await(&s, "/models/digits-cnn.safetensors");
    terminal_type(s.t, ":look nobody\r");
    assert_true(terminal_shows(s.t, "the model has no layer"));
    screen_quit(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden_layer), cmocka_unit_test(nothing_there)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
