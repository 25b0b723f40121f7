// baseline: what round to nearest makes of a layer in at most as many bytes as its steps took - the error that any
// method has to beat. Groups and symmetry are those of the layer's own quantize step, where it has one; bits are the
// most that fit. The error is measured as the layer's own: on the calibration inputs of the original model.
#include "compress/baseline.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static base_value *value_of(compress_step *s, const char *name) {
    for (size_t i = 0; i < s->kind->arg_count; i++)
        if (strcmp(s->kind->args[i].name, name) == 0) return &s->value[i];
    base_bug(__FILE__, __LINE__, name);
}

// int, intN or uintN.
static bool is_integer(const char *dtype) {
    return !strncmp(dtype + (*dtype == 'u'), "int", 3);
}

static const compress_step *own_quantize(const compress_rule *rule) {
    for (int k = 0; k < rule->step_count; k++)
        if (rule->steps[k].kind == &step_quantize && is_integer(compress_text(&rule->steps[k], "dtype")))
            return &rule->steps[k];
    return NULL;
}

bool baseline_is_itself(const compress_rule *rule) {
    const compress_step *s = own_quantize(rule);
    return s && rule->step_count == 1 && !strcmp(compress_text(s, "solver"), "rtn") &&
           !strcmp(compress_text(s, "refine"), "none") && !strcmp(compress_text(s, "range"), "auto") &&
           !strcmp(compress_text(s, "mix"), "none");
}

static compress_step rounding(const compress_rule *rule) {
    static const char *const same[] = {"group", "sym", "granularity", "pad"};
    compress_step s = {.kind = &step_quantize};
    base_arg_defaults(step_quantize.args, step_quantize.arg_count, s.value);
    const compress_step *own = own_quantize(rule);
    for (int i = 0; own && i < 4; i++) *value_of(&s, same[i]) = own->value[value_of(&s, same[i]) - s.value];
    if (own && *compress_text(own, "dtype") == 'u') value_of(&s, "sym")->number = 0;
    return s;
}

// The layer rounded to so many bits; its bytes, or -1 where that cannot be.
static int64_t round_to(const layer *blank, compress_step *s, int bits, float *decoded, base_err *err) {
    layer l = *blank;
    int64_t bytes = -1;
    value_of(s, "bits")->number = bits;
    if ((!s->kind->check || s->kind->check(s, err)) && s->kind->apply(s, &l, err) && l.term_count &&
        terms_decode(l.terms, l.term_count, l.rows, l.cols, decoded, err))
        bytes = layer_bytes(&l);
    layer_close(&l);
    return bytes;
}

bool baseline_measure(const baseline_request *q, double *error, int *bits, base_err *err) {
    base_err why = {0}; // a layer that cannot be rounded so has no baseline: that is no error
    base_job quiet = {.over = q->job};
    layer blank = *q->blank;
    blank.job = &quiet;
    *error = NAN;
    size_t n = (size_t)(blank.rows * blank.cols);
    float *decoded = base_big_alloc(n, sizeof *decoded, "a layer rounded to nearest", err);
    if (!decoded) return false;
    compress_step s = rounding(q->rule);
    double each = 8 * (double)q->bytes / (double)n;
    bool fits = false;
    for (*bits = each >= 15 ? 16 : (int)each + 1; !fits && *bits >= 1; --*bits) {
        int64_t bytes = round_to(&blank, &s, *bits, decoded, &why);
        fits = bytes >= 0 && bytes <= q->bytes;
        if (bytes < 0 || fits) break;
    }
    bool ok = base_go_on(q->job, err);
    if (ok && fits) ok = measure_own(q->streams, q->ml, blank.w, decoded, q->h, error, &quiet, err);
    base_big_free(decoded);
    return ok;
}
