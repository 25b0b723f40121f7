// The Samples tab: what a compressed network decides differently, against the engine's own count; drawn at three sizes
// in three colour modes; texts continued side by side.
#include <math.h>

#include "golden.h"
#include "ui/samples.h"

static const char *const digits = "data/models/digits-cnn.safetensors";

// The recipe run without a screen on one of the shipped models; the file it saved, kept to the end of the program.
static const char *compressed(const char *model_file, const char *bits, const char *name) {
    base_err err = {0};
    char *net = base_join(base_home(), model_file);
    script_recipe *r = script_recipe_load("w4", &err);
    assert_true(script_recipe_set(r, "bits", bits, &err) && script_recipe_set(r, "samples", "4", &err));
    const char *file = support_temp_path(name);
    char *out = base_strdup(support_temp_dir()), *saved = base_join(out, "w4.safetensors");
    char *text = base_strdup(r->text);
    *strstr(text, "report(") = 0; // only what is saved is wanted
    base_buf b = {0};
    base_buf_printf(&b, "%ssave(net, \"w4.safetensors\")\n", text);
    script_recipe *shorter = script_recipe_text(r->path, b.text, &err);
    for (size_t i = 0; i < r->param_count; i++) shorter->params[i] = r->params[i];
    script_run_options o = {.out = out, .model = net};
    if (!script_recipe_run(shorter, &o, NULL, &err)) fail_msg("%s", err.text);
    assert_int_equal(rename(saved, file), 0);
    base_buf_free(&b);
    script_recipe_free(r);
    script_recipe_free(shorter);
    free(text);
    free(out);
    free(saved);
    free(net);
    return file;
}

// ---- arithmetic --------------------------------------------------------------------------------

static void probabilities(void **state) {
    (void)state;
    float logits[4] = {1000, 1001, -1000, 1000}, p[4];
    ui_softmax(logits, 4, p);
    double e = exp(1.0), sum = 2 + e;
    assert_true(fabs((double)p[0] - 1 / sum) < 1e-6 && fabs((double)p[1] - e / sum) < 1e-6 && p[2] == 0);
    double expected = 2 / sum * log(4 / sum) + e / sum * log(4 * e / sum);
    float flat[4] = {7, 7, 7, 7}, sure[2] = {1000, 0}, even[2] = {0, 0};
    assert_true(fabs(ui_divergence(logits, flat, 4) - expected) < 1e-6);
    assert_true(ui_divergence(flat, flat, 4) == 0);
    // Where the other gives less than a float can hold.
    assert_true(fabs(ui_divergence(even, sure, 2) - (500 - log(2.0))) < 1e-9);
}

static ui_samples_result *work(const char *net, const char *saved, const char *data, const char *prompt,
                               base_err *err) {
    char *path = base_join(base_home(), net), *folder = base_join(base_home(), data);
    ui_samples_ask ask = {.model = path,
                          .data = folder,
                          .saved = (char *)(uintptr_t)saved,
                          .prompt = (char *)(uintptr_t)prompt,
                          .result = base_calloc(1, sizeof(ui_samples_result))};
    bool ok = ui_samples_work(&ask, NULL, err);
    free(path);
    free(folder);
    if (ok) return ask.result;
    ui_samples_result_free(ask.result);
    return NULL;
}

// Decisions, divergence and accuracy against what the engine measures on the same samples.
static void flips_are_the_engines(void **state) {
    (void)state;
    base_err err = {0};
    const char *file = compressed(digits, "3", "three.safetensors");
    ui_samples_result *r = work(digits, file, "data/digits", NULL, &err);
    if (!r) fail_msg("%s", err.text);
    char *path = base_join(base_home(), digits), *folder = base_join(base_home(), "data/digits");
    model *a = script_model_open(path, NULL, &err), *b = script_model_open(file, NULL, &err);
    data_set *set = script_dataset_open(folder, NULL, &err);
    data_view *test = data_view_part(set, DATA_TEST, &err);
    engine_sample *each = base_calloc((size_t)test->count, sizeof *each),
                  *own = base_calloc((size_t)test->count, sizeof *own);
    base_model_row row = {0}, before = {0};
    assert_true(engine_measure_samples(a, b->weights, a, a->weights, test, &row, each, NULL, &err));
    assert_true(engine_measure_samples(a, a->weights, a, a->weights, test, &before, own, NULL, &err));
    int64_t wrong = 0, right = 0;
    for (int64_t i = 0; i < test->count; i++) {
        wrong += own[i].hits && !each[i].hits;
        right += !own[i].hits && each[i].hits;
    }
    assert_int_equal(r->looked, test->count);
    assert_int_equal(r->flips, row.flips);
    assert_int_equal(r->newly_wrong, wrong);
    assert_int_equal(r->newly_right, right);
    assert_true(r->flips > 0 && r->count == r->flips);
    assert_true(r->height == 8 && r->width == 8 && r->channels == 1);
    for (int i = 0; i < r->count; i++) {
        const ui_sample *s = &r->row[i];
        assert_true(s->before != s->after && fabs(s->kl - each[s->number - 1].kl) < 1e-4 * (1 + s->kl));
    }
    free(each);
    free(own);
    data_view_free(test);
    data_close(set);
    model_close(a);
    model_close(b);
    free(path);
    free(folder);
    ui_samples_result_free(r);
}

static void the_same_network_changes_nothing(void **state) {
    (void)state;
    base_err err = {0};
    char *path = base_join(base_home(), digits);
    ui_samples_result *r = work(digits, path, "data/digits", NULL, &err);
    assert_non_null(r);
    assert_true(r->looked == 359 && r->flips == 0 && r->count == 0);
    ui_samples_result_free(r);
    free(path);
    // Networks that do not fit each other, and files that are none.
    char *text = base_join(base_home(), "data/models/text-llama.safetensors");
    assert_null(work(digits, text, "data/digits", NULL, &err));
    assert_non_null(strstr(err.text, "other outputs"));
    assert_null(work(digits, "/nowhere.safetensors", "data/digits", NULL, &err));
    assert_non_null(strstr(err.text, "/nowhere.safetensors"));
    free(text);
}

static void texts_part_somewhere(void **state) {
    (void)state;
    base_err err = {0};
    const char *file = compressed("data/models/text-llama.safetensors", "2", "text.safetensors");
    assert_null(work("data/models/text-llama.safetensors", file, "data/text", "caf\xc3\xa9 \xe4\xb8\xad", &err));
    assert_non_null(strstr(err.text, "does not know the letter"));
    ui_samples_result *r = work("data/models/text-llama.safetensors", file, "data/text", "It is", &err);
    if (!r) fail_msg("%s", err.text);
    assert_true(r->text && r->count >= 2 && r->row[0].number == 0);
    assert_string_equal(r->text[0].prompt, "It is");
    for (int i = 0; i < r->count; i++) {
        const ui_continued *c = &r->text[i];
        assert_true(strncmp(c->before, c->after, c->same) == 0);
        assert_int_equal(c->differs, strcmp(c->before, c->after) != 0);
        if (c->differs) assert_true(c->before[c->same] != c->after[c->same]);
        // The likeliest of each is among those told.
        assert_true(c->top_count > UI_TOP_TOKENS - 1);
        for (int k = 1; k < c->top_count; k++) assert_true(c->top[k].before <= c->top[0].before);
        if (c->differs) assert_true(fabs(r->row[i].own_before - c->top[0].before) < 1e-4);
    }
    ui_samples_result_free(r);
}

// ---- on the screen -----------------------------------------------------------------------------

static void story(screen *s, base_buf *text, base_buf *looks) {
    char *line = base_sprintf(":samples %s\r", support_temp_path("three.safetensors"));
    terminal_type(s->t, ":tab Samples\r:\r");
    golden_scene(text, s, "no run yet");
    terminal_type(s->t, line);
    golden_await(s, "newly wrong,");
    terminal_type(s->t, ":\rj");
    golden_panels(text, looks, s, "the second of the newly wrong");
    terminal_type(s->t, "ffs:\r");
    golden_scene(text, s, "all that changed, by the label's probability");
    terminal_type(s->t, ":view sample\rz");
    golden_scene(text, s, "the sample alone");
    free(line);
}
static void golden_samples(void **state) {
    (void)state;
    char *net = base_join(base_home(), digits), *data = base_join(base_home(), "data/digits");
    screen blank = {.options = {.model = net, .data = data}};
    golden_play("samples", blank, false, story);
    free(net);
    free(data);
}

static void a_file_that_is_not_there(void **state) {
    (void)state;
    screen s = {0};
    screen_open(&s, 120, 40, "xterm-256color", "C.UTF-8", false);
    terminal_type(s.t, ":samples /nowhere.safetensors\r");
    assert_true(terminal_shows(s.t, "there is no such file"));
    screen_quit(&s);
}

// A recipe that saves nothing: S adds save() with the name that its compress() has.
static void saving_is_added(void **state) {
    (void)state;
    static const ui_options options = {.body = fake_run_body};
    ui_app *app = base_alloc(sizeof *app);
    base_err err = {0};
    app->options = &options;
    ui_state_init(&app->state);
    script_recipe *r = script_recipe_text("none.lua",
                                          "recipe{ name = 'no ne', about = 'a', source = 's' }\nlocal thing = "
                                          "model('x')\ncompress( thing , { rule('.*', quantize{}) })",
                                          &err);
    assert_non_null(r);
    ui_recipe_take(app, r);
    ui_parts_open(app);
    ui_command_run(app, "samples-keep");
    assert_non_null(strstr(app->message, "no run has ended yet"));
    ui_samples_of(app)->ended = true;
    app->state.job = UI_INSPECTING; // the run begins when that has ended
    app->work = base_calloc(1, 4096);
    ui_command_run(app, "samples-keep");
    assert_non_null(strstr(app->recipe->text, "\nsave(thing, \"no-ne.safetensors\")\n"));
    free(app->work);
    ui_parts_close(app);
    script_recipe_free(app->recipe);
    ui_state_free(&app->state);
    free(app);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(probabilities),        cmocka_unit_test(flips_are_the_engines),
        cmocka_unit_test(golden_samples),       cmocka_unit_test(the_same_network_changes_nothing),
        cmocka_unit_test(texts_part_somewhere), cmocka_unit_test(a_file_that_is_not_there),
        cmocka_unit_test(saving_is_added),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
