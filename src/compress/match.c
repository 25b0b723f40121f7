// match: which rule each layer gets - PCRE2 patterns searched in layer names, the first that matches wins.
#include "compress/layer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

void compress_plan_free(compress_plan *plan) {
    for (int i = 0; i < plan->rule_count; i++) {
        free(plan->rules[i].pattern);
        free(plan->rules[i].steps);
    }
    free(plan->rules);
    plan->rules = NULL;
    plan->rule_count = 0;
}

// A pattern that backtracks without end is cut off and reported: 1e6 steps are far beyond any name.
typedef struct matcher {
    pcre2_code *code;
    pcre2_match_data *data;
    pcre2_match_context *limits;
} matcher;

static void matcher_free(matcher *m) {
    pcre2_match_context_free(m->limits);
    pcre2_match_data_free(m->data);
    pcre2_code_free(m->code);
}

static bool compile(matcher *m, const char *pattern, base_err *err) {
    int code;
    PCRE2_SIZE offset;
    *m = (matcher){0};
    m->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF, &code, &offset, NULL);
    if (!m->code) {
        PCRE2_UCHAR why[160];
        pcre2_get_error_message(code, why, sizeof why);
        return base_fail(err, "rule \"%s\": the pattern does not compile: %s at offset %zu", pattern, (char *)why,
                         (size_t)offset);
    }
    m->data = pcre2_match_data_create_from_pattern(m->code, NULL);
    m->limits = pcre2_match_context_create(NULL);
    pcre2_set_match_limit(m->limits, 1000000);
    return true;
}

// 1: found, 0: not, -1: error. `whole`: the pattern must match all of the text.
static int search(const matcher *m, const char *pattern, const char *text, bool whole, base_err *err) {
    uint32_t options = whole ? PCRE2_ANCHORED | PCRE2_ENDANCHORED : 0;
    int rc = pcre2_match(m->code, (PCRE2_SPTR)text, strlen(text), 0, options, m->data, m->limits);
    if (rc >= 0) return 1;
    if (rc == PCRE2_ERROR_NOMATCH) return 0;
    PCRE2_UCHAR why[160];
    pcre2_get_error_message(rc, why, sizeof why);
    base_fail(err, "rule \"%s\": matching layer '%s' failed: %s", pattern, text, (char *)why);
    return -1;
}

// Beside its name the first layer also answers to "first" and the last to "last", so that rule("first|last", ...)
// works on any network.
static int fits(const matcher *m, const char *pattern, const model *mod, int layer_index, base_err *err) {
    int found = search(m, pattern, mod->layers[layer_index].name, false, err);
    if (!found && layer_index == 0) found = search(m, pattern, "first", true, err);
    if (!found && layer_index == mod->layer_count - 1) found = search(m, pattern, "last", true, err);
    return found;
}

static bool no_match(const model *m, const char *pattern, base_err *err) {
    const char **names = base_calloc((size_t)m->layer_count + 1, sizeof *names);
    for (int i = 0; i < m->layer_count; i++) names[i] = m->layers[i].name;
    const char *near = base_nearest(pattern, names, (size_t)m->layer_count);
    base_buf b = {0};
    for (int i = 0; i < m->layer_count && i < 6; i++) base_buf_printf(&b, "%s%s", i ? ", " : "", names[i]);
    if (m->layer_count > 6) base_buf_printf(&b, ", ... (%d layers)", m->layer_count);
    if (m->layer_count == 0)
        base_fail(err, "rule \"%s\" matches no layer: %s has no layers to compress", pattern, m->name);
    else if (near)
        base_fail(err, "rule \"%s\" matches no layer; the nearest name is '%s'", pattern, near);
    else
        base_fail(err, "rule \"%s\" matches no layer; the layers are %s", pattern, b.text);
    base_buf_free(&b);
    free(names);
    return false;
}

bool compress_match(const model *m, const compress_plan *plan, int *rule_of_layer, base_err *err) {
    for (int i = 0; i < m->layer_count; i++) rule_of_layer[i] = -1;
    for (int r = 0; r < plan->rule_count; r++) {
        const char *pattern = plan->rules[r].pattern;
        matcher k;
        if (!compile(&k, pattern, err)) return false;
        int hits = 0, found = 0;
        for (int i = 0; i < m->layer_count && found >= 0; i++) {
            found = fits(&k, pattern, m, i, err);
            if (found <= 0) continue;
            hits++;
            if (rule_of_layer[i] < 0) rule_of_layer[i] = r;
        }
        matcher_free(&k);
        if (found < 0) return false;
        if (!hits) return no_match(m, pattern, err);
    }
    return true;
}
