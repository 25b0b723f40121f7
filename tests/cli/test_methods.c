// vise methods: every page has its five parts, published names and their spellings find their page, others are told
// what comes nearest, and the lists of names point at pages that exist.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../support/support.h"
#include "base/base.h"
#include "compress/compress.h"

static char program[4096];

// This program is BUILD/tests/cli/test_methods; the one under test is BUILD/vise.
static void find_program(void) {
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 8);
    if (n < 0) abort();
    program[n] = 0;
    for (int up = 0; up < 3; up++) *strrchr(program, '/') = 0;
    strcat(program, "/vise");
}

static char *methods(int code, const char *name) {
    char *line = base_sprintf("cd %s && timeout 60 %s methods %s%s%s 2>&1 < /dev/null", support_tree(), program,
                              *name ? "'" : "", name, *name ? "'" : "");
    char *out = NULL;
    int got = support_run(line, &out);
    if (got != code) fail_msg("methods %s: exit code %d, expected %d\n%s", name, got, code, out);
    free(line);
    return out;
}

static void begins(const char *name, const char *page) {
    char *out = methods(0, name);
    size_t n = strlen(page);
    bool study = !strncmp(out, "sensitivity(", 12) || !strncmp(out, "allocate(", 9);
    size_t at = study ? strcspn(out, "\"") + 1 : 0;
    if (strncmp(out + at, page, n) || !strchr(", ({\"", out[at + n]))
        fail_msg("methods %s: expected the page of %s\n%.200s", name, page, out);
    free(out);
}

static void refused(const char *name, const char *part) {
    char *out = methods(2, name);
    size_t lines = 0;
    for (const char *at = out; *at; at++) lines += *at == '\n';
    if (!strstr(out, part) || lines != 1) fail_msg("methods %s: '%s' is not in one line of\n%s", name, part, out);
    free(out);
}

static void test_published_names(void **state) {
    (void)state;
    static const char *const found[][2] = {
        {"gptq", "gptq"},
        {"GPTQ", "gptq"},
        {"AWQ", "awq"},
        {"llm-awq", "awq"},
        {"SVDLLM", "svd-llm"},
        {"SVD-LLM", "svd-llm"},
        {"svd_llm", "svd-llm"},
        {"SmoothQuant", "smoothquant"},
        {"smooth-quant", "smoothquant"},
        {"sparse-gpt", "sparsegpt"},
        {"SpQR", "spqr"},
        {"QTIP", "qtip"},
        {"QuIP#", "quip-sharp"},
        {"quip-sharp", "quip-sharp"},
        {"QuIPSharp", "quip-sharp"},
        {"VPTQ", "vptq"},
        {"SqueezeLLM", "squeezellm"},
        {"BRECQ", "reconstruct"},
        {"OBC", "obq"},
        {"AutoRound", "signround"},
        {"QuantEase", "coordinate-descent"},
        {"D2Quant", "dual-scale"},
        {"PTQ1.61", "ptq161"},
        {"SliM-LLM", "slim-llm"},
        {"BitStack", "bitstack"},
        {"AdaRound", "adaround"},
        {"OSTQuant", "learn_rotation"},
        {"2:4", "nm"},
        {"DeepCABAC", "deepcabac"},
        {"LoSparse", "sparse-plus-lowrank"},
        {"HAWQ-V2", "hessian_trace"},
        {"Q-BERT", "eigenvalue_spread"},
        {"ZeroQ", "distilled"},
        {"L-GreCo", "lgreco"},
        {"EvoPress", "evopress"},
        {"TurboQuant", "turboquant"},
        {"Pyramid VQ", "pvq"},
        {"BitNet b1.58", "ternary"},
        {"GPT-Q", "gptq"},
    };
    for (size_t i = 0; i < sizeof found / sizeof *found; i++) begins(found[i][0], found[i][1]);
}

static void test_refused(void **state) {
    (void)state;
    refused("omniquant", "'omniquant' is not built in; what comes nearest is 'signround'");
    refused("LLM.int8()", "what comes nearest is 'spqr'");
    refused("gtpq", "did you mean 'gptq'?");
    refused("squeezelm", "did you mean 'squeezellm'?");
    refused("brecqq", "did you mean 'brecq' (here 'reconstruct')?");
    refused("smallest", "'smallest' is a recipe and no method: `vise recipes smallest`");
    begins("6Bit-Diffusion", "mxfp4");
    refused("arxiv 2210.17323", "pages that mention it: quantize, ");
    refused("eckart and young", "pages that mention it: ");
    refused("xxxxxxxxxxxxxxxx", "there is no method 'xxxxxxxxxxxxxxxx'; `vise methods` lists them");
    refused("###", "there is no method '###'");
}

// A recipe under another spelling is told by its name.
static void test_recipes_names(void **state) {
    (void)state;
    static const char *const near[][2] = {{"SVD_LLM", "'svd-llm'"}, {"AutoRound", "'signround'"}, {"llm-awq", "'awq'"}};
    for (size_t i = 0; i < sizeof near / sizeof *near; i++) {
        char *line = base_sprintf("cd %s && %s recipes %s 2>&1", support_tree(), program, near[i][0]), *out = NULL;
        assert_int_not_equal(support_run(line, &out), 0);
        if (!strstr(out, near[i][1])) fail_msg("recipes %s: no %s in %s", near[i][0], near[i][1], out);
        free(out);
        free(line);
    }
}

// Page by page as JSON, and the text of a method with all five parts.
static void test_parts(void **state) {
    (void)state;
    char *out = methods(0, "");
    free(out);
    char *line = base_sprintf("cd %s && %s methods --json", support_tree(), program), *all = NULL;
    assert_int_equal(support_run(line, &all), 0);
    free(line);
    json_t *pages = json_object();
    for (char *text = strtok(all, "\n"); text; text = strtok(NULL, "\n")) {
        json_t *o = json_loads(text, 0, NULL);
        assert_non_null(o);
        const char *name = json_string_value(json_object_get(o, "name"));
        static const char *const parts[] = {"help", "about", "source", "cost"};
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            const char *part = json_string_value(json_object_get(o, parts[i]));
            if (!part || strlen(part) < 2) fail_msg("%s has no %s", name, parts[i]);
        }
        if (!json_is_array(json_object_get(o, "args"))) fail_msg("%s has no list of arguments", name);
        json_object_set_new(pages, name, json_true());
        json_decref(o);
    }
    free(all);
    for (size_t i = 0; i < compress_name_count; i++)
        if (!json_object_get(pages, compress_names[i].name))
            fail_msg("'%s' names '%s', which has no page", compress_names[i].said, compress_names[i].name);
    for (size_t i = 0; i < compress_absent_count; i++) {
        const compress_name *k = &compress_absent[i];
        if (!json_object_get(pages, k->name)) fail_msg("'%s' is near '%s', which has no page", k->said, k->name);
        if (compress_name_of(k->said)) fail_msg("'%s' is here and absent", k->said);
    }
    json_decref(pages);
    static const char *const parts[] = {"Data and cost: calibration inputs",
                                        "Source: VPTQ (Liu et al.",
                                        "dim ",
                                        "default 4",
                                        "Recipe: vise run vptq",
                                        "vq{solver="};
    out = methods(0, "vptq");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!strstr(out, parts[i])) fail_msg("methods vptq has no '%s'\n%s", parts[i], out);
    free(out);
}

// Every method belongs to a step, a rewrite or a call.
static void test_parents(void **state) {
    (void)state;
    for (size_t i = 0; i < compress_method_count; i++) {
        const char *of = compress_methods[i].step;
        bool found = compress_step_find(of) != NULL;
        for (size_t k = 0; k < compress_rewrite_count; k++) found = found || !strcmp(compress_rewrites[k]->name, of);
        for (size_t k = 0; k < compress_call_count; k++) found = found || !strcmp(compress_calls[k].name, of);
        if (!found) fail_msg("%s is a method of '%s', which is nothing", compress_methods[i].name, of);
    }
    char *out = methods(0, "cbq");
    if (!strstr(out, "a method of reconstruct()") || !strstr(out, "window ")) fail_msg("%s", out);
    free(out);
}

// A name is written once, however it is spelt.
static void test_one_meaning(void **state) {
    (void)state;
    char a[64], b[64];
    for (size_t i = 0; i < compress_name_count; i++)
        for (size_t k = 0; k < i; k++) {
            compress_plain_name(a, sizeof a, compress_names[i].said);
            compress_plain_name(b, sizeof b, compress_names[k].said);
            if (!strcmp(a, b) && strcmp(compress_names[i].name, compress_names[k].name))
                fail_msg("'%s' has two meanings", compress_names[i].said);
        }
    char small[4];
    compress_plain_name(small, sizeof small, "A-b#c/D.E");
    assert_string_equal(small, "abc");
    compress_plain_name(a, sizeof a, "QuIP#");
    assert_string_equal(a, "quipsharp");
}

int main(void) {
    find_program();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_names), cmocka_unit_test(test_refused), cmocka_unit_test(test_recipes_names),
        cmocka_unit_test(test_parts),           cmocka_unit_test(test_parents), cmocka_unit_test(test_one_meaning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
