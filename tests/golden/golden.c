// The golden runner: `make golden DIR=folder` prints a line a variant (codes equal, error ratio, verdict) and closes
// with the count. Files no kind claims are named, so that nothing is passed over silently.
#include "golden.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int passed, failed, skipped;

void golden_verdict(const golden_file *f, const char *variant, double equal, double ratio, bool pass, const char *why) {
    char codes[24] = "-", error[24] = "-";
    if (!isnan(equal)) snprintf(codes, sizeof codes, "%.4f %%", 100 * equal);
    if (!isnan(ratio)) snprintf(error, sizeof error, "%.6f", ratio);
    printf("%-4s %-36s %-28s codes %-12s error ratio %-12s %s\n", pass ? "ok" : "BAD", f->name, variant ? variant : "-",
           codes, error, why ? why : "");
    if (pass)
        passed++;
    else
        failed++;
}

void golden_skip(const golden_file *f, const char *variant, const char *why) {
    printf("skip %-36s %-28s %s\n", f->name, variant ? variant : "-", why);
    skipped++;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **golden_variants(const golden_file *f, const char *array, size_t *count) {
    char **names = base_calloc(f->z.count + 1, sizeof *names);
    size_t n = 0, length = strlen(array);
    for (size_t i = 0; i < f->z.count; i++) {
        const char *name = f->z.items[i].name;
        size_t all = strlen(name);
        if (all <= length + 1 || strcmp(name + all - length, array) != 0 || name[all - length - 1] != '.') continue;
        names[n++] = base_strndup(name, all - length - 1);
    }
    qsort(names, n, sizeof *names, by_name);
    *count = n;
    return names;
}

const num_tensor *golden_array(const golden_file *f, const char *variant, const char *array) {
    char *name = variant ? base_sprintf("%s.%s", variant, array) : base_strdup(array);
    const num_tensor *t = num_npz_find(&f->z, name);
    free(name);
    return t;
}

static float *tensor_floats(const num_tensor *t, size_t *count) {
    size_t n, bytes;
    base_err err = {0};
    if (!num_count(t->ndim, t->dim, t->dtype, &n, &bytes)) return NULL;
    float *out = base_big_alloc(n ? n : 1, sizeof *out, "golden array", &err);
    if (!out) return NULL;
    num_to_f32(t->dtype, t->data, out, n);
    if (count) *count = n;
    return out;
}

float *golden_floats(const golden_file *f, const char *variant, const char *array, size_t *count) {
    const num_tensor *t = golden_array(f, variant, array);
    return t ? tensor_floats(t, count) : NULL;
}

double golden_scalar(const golden_file *f, const char *variant, const char *array) {
    const num_tensor *t = golden_array(f, variant, array);
    size_t count, bytes;
    if (!t || !num_count(t->ndim, t->dim, t->dtype, &count, &bytes) || count != 1) return NAN;
    if (t->dtype == NUM_F64) {
        double value;
        memcpy(&value, t->data, sizeof value);
        return value;
    }
    float value;
    num_to_f32(t->dtype, t->data, &value, 1);
    return (double)value;
}

// The word of `variant` that starts at p ends at the next underscore or dot.
static size_t word_length(const char *p) {
    return strcspn(p, "_.");
}

bool golden_word(const char *variant, const char *word) {
    for (const char *p = variant; *p; p += word_length(p), p += *p != 0)
        if (word_length(p) == strlen(word) && strncmp(p, word, strlen(word)) == 0) return true;
    return false;
}

int64_t golden_number(const char *variant, const char *prefix, int64_t otherwise) {
    size_t n = strlen(prefix);
    for (const char *p = variant; *p; p += word_length(p), p += *p != 0) {
        if (strncmp(p, prefix, n) != 0) continue;
        char *end;
        long long value = strtoll(p + n, &end, 10);
        if (end > p + n && end == p + word_length(p)) return value;
    }
    return otherwise;
}

double golden_output_error(const float *w, const float *q, const float *x, int64_t out, int64_t in, int64_t n) {
    double sum = 0;
    double *d = base_calloc((size_t)in, sizeof *d);
    for (int64_t o = 0; o < out; o++) {
        for (int64_t i = 0; i < in; i++) d[i] = (double)w[o * in + i] - (double)q[o * in + i];
        for (int64_t r = 0; r < n; r++) {
            double y = 0;
            for (int64_t i = 0; i < in; i++) y += d[i] * (double)x[r * in + i];
            sum += y * y;
        }
    }
    free(d);
    return sum;
}

float *golden_inputs(const golden_file *f, int64_t *n, int64_t *in) {
    const num_tensor *t = golden_array(f, NULL, "X");
    bool bytes = !t;
    if (bytes) t = golden_array(f, NULL, "X_u8");
    if (!t || t->ndim != 2) return NULL;
    *n = t->dim[0];
    *in = t->dim[1];
    size_t count;
    float *x = tensor_floats(t, &count);
    for (size_t i = 0; x && bytes && i < count; i++) x[i] /= 255.0f;
    return x;
}

float *golden_gram(const float *x, int64_t n, int64_t in) {
    base_err err = {0};
    float *h = base_big_alloc((size_t)(in * in), sizeof *h, "H", &err);
    double *sum = base_calloc((size_t)(in * in), sizeof *sum);
    for (int64_t r = 0; r < n; r++)
        for (int64_t i = 0; i < in; i++) {
            double xi = (double)x[r * in + i];
            if (xi == 0) continue;
            for (int64_t k = 0; k < in; k++) sum[i * in + k] += xi * (double)x[r * in + k];
        }
    for (int64_t i = 0; h && i < in * in; i++) h[i] = (float)(sum[i] / (double)n);
    free(sum);
    return h;
}

static const golden_kind *kind_of(const char *name, const char *extension) {
    for (size_t i = 0; i < golden_kind_count; i++) {
        const golden_kind *k = &golden_kinds[i];
        if (strncmp(name, k->prefix, strlen(k->prefix)) == 0 && strcmp(extension, k->extension) == 0) return k;
    }
    return NULL;
}

static void run_file(const char *folder, const char *entry) {
    const char *extension = base_extension(entry);
    if (strcmp(extension, ".npz") != 0 && strcmp(extension, ".json") != 0) return;
    char *path = base_join(folder, entry);
    char *name = base_strndup(entry, strlen(entry) - strlen(extension));
    golden_file f = {.path = path, .name = name};
    const golden_kind *kind = kind_of(name, extension);
    base_err err = {0};
    if (!kind) {
        printf("left %-36s no kind of check is known for this name\n", name);
    } else if (strcmp(extension, ".npz") == 0 && !num_npz_open(&f.z, path, &err)) {
        golden_verdict(&f, NULL, NAN, NAN, false, err.text);
    } else {
        if (kind->needs && !golden_array(&f, NULL, kind->needs))
            golden_verdict(&f, NULL, NAN, NAN, false, "an array this kind needs is missing");
        else
            kind->run(&f);
        if (strcmp(extension, ".npz") == 0) num_npz_close(&f.z);
    }
    free(name);
    free(path);
}

int main(int argc, char **argv) {
    num_setup(argv);
    base_err err = {0};
    if (argc != 2) {
        fprintf(stderr, "golden: one argument is expected: the folder of case files\n");
        return BASE_USAGE;
    }
    size_t count;
    char **entries = base_list_dir(argv[1], &count, &err);
    if (!entries) {
        fprintf(stderr, "golden: %s\n", err.text);
        return BASE_FAILED;
    }
    for (size_t i = 0; i < count; i++) run_file(argv[1], entries[i]);
    base_names_free(entries, count);
    printf("%d passed, %d failed", passed, failed);
    if (skipped) printf(", %d skipped", skipped);
    printf("\n");
    return failed || !passed ? BASE_FAILED : BASE_OK;
}
