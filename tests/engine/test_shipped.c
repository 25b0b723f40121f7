// What ships in data/models: every file opens without a flag, is as small as promised, and reaches on its test part
// the figure that its metadata states; the recipes that made them give the same bytes again, at any thread count.
#include "engine/engine.h"
#include "script/script.h"
#include "tests/engine/nets.h"

#include <sys/stat.h>

typedef struct shipped {
    const char *name, *data, *note; // note: the figure's key in the metadata
    double most_bytes;
} shipped;

static const shipped models[] = {
    {"digits-mlp", "data/digits", "top1", 100e3},
    {"digits-cnn", "data/digits", "top1", 200e3},
    {"text-llama", "data/text", "perplexity", 4000 * 1024},
};

// The text after "key":" in flat JSON.
static double note_of(const char *json, const char *key) {
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":\"", key);
    const char *at = json ? strstr(json, quoted) : NULL;
    if (!at) fail_msg("the metadata has no %s", key);
    return strtod(at + strlen(quoted), NULL);
}

static void test_figures(void **state) {
    (void)state;
    base_err err = {0};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        const shipped *s = &models[i];
        char *path = base_sprintf("%s/data/models/%s.safetensors", support_tree(), s->name);
        char *folder = base_join(support_tree(), s->data);
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        assert_true((double)st.st_size < s->most_bytes);
        model *m = script_model_open(path, NULL, &err);
        if (!m) fail_msg("%s", err.text);
        assert_non_null(m->graph);
        data_set *set = script_dataset_open(folder, NULL, &err);
        if (!set) fail_msg("%s", err.text);
        data_view *test = data_view_part(set, DATA_TEST, &err);
        base_model_row row = {0};
        if (!engine_measure(m, m->weights, NULL, test, &row, NULL, &err)) fail_msg("%s", err.text);
        double stated = note_of(m->tensors->metadata, s->note);
        // One image is 0.28 points; other machines' last digits may move one across.
        if (fabs(row.value - stated) > (m->graph->task == MODEL_CLASSIFY ? 0.3 : 1e-3 * stated))
            fail_msg("%s: %s %.4f, stated %.4f", s->name, s->note, row.value, stated);
        assert_true(note_of(m->tensors->metadata, "seed") == 1);
        data_view_free(test);
        data_close(set);
        model_close(m);
        free(folder);
        free(path);
    }
}

static void heard(void *context, const base_event *e) {
    if (e->kind == BASE_EV_SAVED) snprintf(context, 33, "%s", e->hash);
}

static void run_briefly(const char *name, int threads, char hash[33]) {
    base_err err = {0};
    char *path = base_sprintf("%s/recipes/%s.lua", support_tree(), name);
    script_recipe *r = script_recipe_load(path, &err);
    if (!r || !script_recipe_set(r, "epochs", "2", &err)) fail_msg("%s", err.text);
    base_job job = {.emit = heard, .context = hash, .start = base_now()};
    script_run_options options = {.out = support_temp_dir()};
    num_set_threads(threads);
    if (!script_recipe_run(r, &options, &job, &err)) fail_msg("%s", err.text);
    num_set_threads(0);
    script_recipe_free(r);
    free(path);
}

static void test_same_bytes(void **state) {
    (void)state;
    static const char *const recipes[] = {"train-digits-mlp", "train-digits-cnn"};
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++) {
        char one[33] = "", two[33] = "";
        run_briefly(recipes[i], 1, one);
        run_briefly(recipes[i], 2, two);
        assert_int_equal(strlen(one), 32);
        assert_string_equal(one, two);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_figures), cmocka_unit_test(test_same_bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
