// The arrays of a case file, checked on the way in: there, of the size that the rest of the file asks for, finite. What
// is not as it should be becomes the one sentence of a failed line.
#include "kinds.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const num_tensor *find(const golden_file *f, const char *v, const char *array, int64_t wanted, size_t *count,
                              base_err *err) {
    const num_tensor *t = golden_array(f, v, array);
    size_t bytes;
    if (!t || !num_count(t->ndim, t->dim, t->dtype, count, &bytes)) {
        base_fail(err, "the array %s%s%s is missing", v ? v : "", v ? "." : "", array);
        return NULL;
    }
    if (*count == 0 || (wanted >= 0 && *count != (size_t)wanted)) {
        if (wanted >= 0)
            base_fail(err, "the array %s%s%s has %zu values, and %lld are expected", v ? v : "", v ? "." : "", array,
                      *count, (long long)wanted);
        else
            base_fail(err, "the array %s%s%s is empty", v ? v : "", v ? "." : "", array);
        return NULL;
    }
    return t;
}

double *golden_doubles(const golden_file *f, const char *v, const char *array, int64_t wanted, base_err *err) {
    size_t count;
    const num_tensor *t = find(f, v, array, wanted, &count, err);
    if (!t) return NULL;
    double *out = base_calloc(count, sizeof *out);
    float one;
    int64_t whole;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *at = (const uint8_t *)t->data + i * num_dtypes[t->dtype].bytes;
        if (t->dtype == NUM_F64) {
            memcpy(out + i, at, sizeof *out);
        } else if (t->dtype == NUM_I64) {
            memcpy(&whole, at, sizeof whole);
            out[i] = (double)whole;
        } else {
            num_to_f32(t->dtype, at, &one, 1);
            out[i] = (double)one;
        }
        if (isfinite(out[i])) continue;
        base_fail(err, "the array %s%s%s holds %s at place %zu", v ? v : "", v ? "." : "", array,
                  isnan(out[i]) ? "a NaN" : "an infinity", i);
        free(out);
        return NULL;
    }
    return out;
}

float *golden_reals(const golden_file *f, const char *v, const char *array, int64_t wanted, base_err *err) {
    size_t count;
    if (!find(f, v, array, wanted, &count, err)) return NULL;
    float *out = golden_floats(f, v, array, &count);
    for (size_t i = 0; out && i < count; i++) {
        if (isfinite(out[i])) continue;
        base_fail(err, "the array %s%s%s holds %s at place %zu", v ? v : "", v ? "." : "", array,
                  isnan(out[i]) ? "a NaN" : "an infinity", i);
        base_big_free(out);
        return NULL;
    }
    return out;
}

int64_t *golden_codes(const golden_file *f, const char *v, const char *array, int64_t wanted, int64_t below,
                      base_err *err) {
    size_t count;
    if (!find(f, v, array, wanted, &count, err)) return NULL;
    double *x = golden_doubles(f, v, array, wanted, err);
    int64_t *out = x ? base_calloc(count, sizeof *out) : NULL;
    for (size_t i = 0; out && i < count; i++) {
        if (x[i] == floor(x[i]) && x[i] >= 0 && x[i] < (double)below) {
            out[i] = (int64_t)x[i];
            continue;
        }
        base_fail(err, "the array %s%s%s holds %g at place %zu, and whole numbers from 0 to %lld are expected",
                  v ? v : "", v ? "." : "", array, x[i], i, (long long)below - 1);
        free(out);
        out = NULL;
    }
    free(x);
    return out;
}

float *golden_matrix(const golden_file *f, const char *array, int64_t *rows, int64_t *cols, base_err *err) {
    const num_tensor *t = golden_array(f, NULL, array);
    if (t && t->ndim != 2) {
        base_fail(err, "the array %s has %d dimensions, and 2 are expected", array, t->ndim);
        return NULL;
    }
    float *x = golden_reals(f, NULL, array, -1, err);
    if (x) {
        *rows = t->dim[0];
        *cols = t->dim[1];
    }
    return x;
}

char **golden_variants_of(const golden_file *f, const char *const *arrays, size_t array_count, size_t *count) {
    char **all = base_calloc(1, sizeof *all);
    *count = 0;
    for (size_t a = 0; a < array_count; a++) {
        size_t more;
        char **names = golden_variants(f, arrays[a], &more);
        for (size_t i = 0; i < more; i++) {
            bool known = false;
            for (size_t k = 0; k < *count; k++) known |= !strcmp(all[k], names[i]);
            if (known) continue;
            all = base_realloc(all, *count + 2, sizeof *all);
            all[(*count)++] = base_strdup(names[i]);
        }
        base_names_free(names, more);
    }
    return all;
}

json_t *golden_json(const golden_file *f) {
    json_error_t problem;
    json_t *root = json_load_file(f->path, JSON_REJECT_DUPLICATES, &problem);
    if (json_is_object(root)) return root;
    char text[JSON_ERROR_TEXT_LENGTH], why[JSON_ERROR_TEXT_LENGTH + 64];
    base_clean(text, sizeof text, problem.text);
    if (root)
        snprintf(why, sizeof why, "the file holds no JSON object");
    else
        snprintf(why, sizeof why, "line %d: %s", problem.line, text);
    golden_verdict(f, NULL, NAN, NAN, false, why);
    json_decref(root);
    return NULL;
}
