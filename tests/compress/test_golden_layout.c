// The golden runner on folders of its own making: other shapes, variants with names that say nothing, and results of a
// naive float64 computation beside it (explicit inverses, one column at a time, full sorts). It must read what the
// arrays say, agree, tell a better answer from a worse one, and answer torn files with a sentence.
#include "tests/compress/compress_support.h"

#include <unistd.h>

enum { ROWS = 6, COLS = 14, INPUTS = 56, DEAD = 5, MOST = 64 };

// ---- files -----------------------------------------------------------------------------------------------

typedef struct case_file {
    num_npz_item item[MOST];
    size_t count;
} case_file;

static void put(case_file *f, const char *variant, const char *array, num_dtype dtype, int64_t rows, int64_t cols,
                const void *data) {
    assert_true(f->count < MOST);
    num_npz_item *i = &f->item[f->count++];
    size_t n = (size_t)((rows ? rows : 1) * (cols ? cols : 1)) * num_dtypes[dtype].bytes;
    void *copy = malloc(n);
    memcpy(copy, data, n);
    *i = (num_npz_item){base_sprintf("%s%s%s", variant ? variant : "", variant ? "." : "", array),
                        {dtype, (rows > 0) + (cols > 0), {rows, cols}, copy}};
}

static void put_scalar(case_file *f, const char *variant, const char *array, double value) {
    put(f, variant, array, NUM_F64, 0, 0, &value);
}

static const char *write_file(case_file *f, const char *folder, const char *name) {
    static char path[1024];
    base_err err = {0};
    snprintf(path, sizeof path, "%s/%s.npz", folder, name);
    if (!num_npz_save(path, f->item, f->count, false, &err)) fail_msg("%s", err.text);
    for (size_t i = 0; i < f->count; i++) {
        free(f->item[i].name);
        free((void *)(uintptr_t)f->item[i].tensor.data);
    }
    f->count = 0;
    return path;
}

// Runs the runner over a folder: its exit status, and what it printed. Skips where it is not built.
static int run_golden(const char *folder, char **output) {
    char program[4096];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n <= 0) skip();
    program[n] = '\0';
    char *room = base_dirname(program), *tests = base_dirname(room), *runner = base_join(tests, "golden/golden");
    bool there = access(runner, X_OK) == 0;
    char *command = base_sprintf("'%s' '%s'", runner, folder);
    free(room);
    free(tests);
    free(runner);
    int code = there ? support_run(command, output) : -1;
    free(command);
    if (!there) skip();
    return code;
}

// The line of a variant of a file begins with these words.
static void expect_line(const char *output, const char *verdict, const char *file, const char *variant,
                        const char *words) {
    char *copy = base_strdup(output);
    bool found = false;
    for (char *line = strtok(copy, "\n"); line; line = strtok(NULL, "\n")) {
        char a[16], b[128], c[128];
        if (sscanf(line, "%15s %127s %127s", a, b, c) != 3) continue;
        found |= !strcmp(a, verdict) && !strcmp(b, file) && !strcmp(c, variant) && (!words || strstr(line, words));
    }
    free(copy);
    if (!found) fail_msg("no line '%s %s %s ... %s' in:\n%s", verdict, file, variant, words ? words : "", output);
}

// ---- the naive computations ------------------------------------------------------------------------------

typedef struct made_layer {
    float w[ROWS * COLS], x[INPUTS * COLS];
    double moment[COLS * COLS]; // X^T X
} made_layer;

static void make_layer(made_layer *m, uint64_t seed) {
    support_fill(m->w, ROWS * COLS, seed);
    support_fill(m->x, INPUTS * COLS, seed + 1);
    memset(m->moment, 0, sizeof m->moment);
    for (int r = 0; r < INPUTS; r++)
        for (int c = 0; c < COLS; c++) {
            float *x = m->x + r * COLS;
            x[c] = c == DEAD ? 0 : x[c] * (float)(1 + c % 3) + (c ? 0.5f * x[c - 1] : 0);
        }
    for (int r = 0; r < INPUTS; r++)
        for (int i = 0; i < COLS; i++)
            for (int k = 0; k < COLS; k++)
                m->moment[i * COLS + k] += (double)m->x[r * COLS + i] * (double)m->x[r * COLS + k];
}

static void put_layer(case_file *f, const made_layer *m, double batches) {
    put(f, NULL, "W", NUM_F32, ROWS, COLS, m->w);
    put(f, NULL, "X", NUM_F32, INPUTS, COLS, m->x);
    put(f, NULL, "nbatches", NUM_F64, 1, 0, &batches); // a scalar as an array of one
}

static double lost_output(const made_layer *m, const float *q) {
    double sum = 0;
    for (int n = 0; n < INPUTS; n++)
        for (int r = 0; r < ROWS; r++) {
            double y = 0;
            for (int c = 0; c < COLS; c++)
                y += ((double)m->w[r * COLS + c] - (double)q[r * COLS + c]) * (double)m->x[n * COLS + c];
            sum += y * y;
        }
    return sum;
}

// (scale moment + damp mean 1)^-1 in the given order, dead inputs with a diagonal of 1, by Gauss and Jordan.
static void invert(const made_layer *m, double scale, double damp, const int *order, double *inverse) {
    double a[COLS][2 * COLS] = {{0}}, mean = 0;
    for (int i = 0; i < COLS; i++) {
        double d = scale * m->moment[i * COLS + i];
        mean += (d == 0 ? 1 : d) / COLS;
    }
    for (int i = 0; i < COLS; i++) {
        for (int k = 0; k < COLS; k++) a[i][k] = scale * m->moment[order[i] * COLS + order[k]];
        a[i][i] = (a[i][i] == 0 ? 1 : a[i][i]) + damp * mean;
        a[i][COLS + i] = 1;
    }
    for (int i = 0; i < COLS; i++) {
        double p = a[i][i];
        for (int k = 0; k < 2 * COLS; k++) a[i][k] /= p;
        for (int r = 0; r < COLS; r++) {
            double f = a[r][i];
            for (int k = 0; r != i && k < 2 * COLS; k++) a[r][k] -= f * a[i][k];
        }
    }
    for (int i = 0; i < COLS; i++)
        for (int k = 0; k < COLS; k++) inverse[i * COLS + k] = a[i][COLS + k];
}

// Input i leaves the inverse.
static void eliminate(double *inverse, int i) {
    double row[COLS], d = inverse[i * COLS + i];
    memcpy(row, inverse + i * COLS, sizeof row);
    for (int r = 0; r < COLS; r++) {
        double f = inverse[r * COLS + i] / d;
        for (int k = 0; k < COLS; k++) inverse[r * COLS + k] -= f * row[k];
    }
}

typedef struct naive_grid {
    int bits;
    bool sym, mse;
} naive_grid;

static float round_naive(naive_grid g, float scale, float zero, double x, int *code) {
    float at = rintf((float)x / scale) + zero, top = (float)((1 << g.bits) - 1);
    at = at < 0 ? 0 : at > top ? top : at;
    *code = (int)at;
    return scale * (at - zero);
}

static void range_naive(naive_grid g, const float *x, int count, float *scale, float *zero) {
    float low = 0, high = 0, top = (float)((1 << g.bits) - 1);
    double best = INFINITY;
    for (int i = 0; i < count; i++) low = fminf(low, x[i]), high = fmaxf(high, x[i]);
    if (g.sym) high = fmaxf(high, -low), low = -high;
    for (int i = 0; i < (g.mse ? 80 : 1); i++) {
        float p = (float)(1 - i / 100.0), s = (p * high - p * low) / top;
        float z = g.sym ? (float)(1 << (g.bits - 1)) : rintf(-p * low / s);
        double sum = 0;
        for (int k = 0; k < count; k++) {
            int code;
            sum += pow(fabs((double)round_naive(g, s, z, (double)x[k], &code) - (double)x[k]), 2.4);
        }
        if (sum < best) best = sum, *scale = s, *zero = z;
    }
}

// GPTQ as Optimal Brain Quantization in a fixed order, group ranges from the weights before anything moves: the file's
// arrays of one variant. width 0: rows.
static void add_gptq(case_file *f, const made_layer *m, const char *v, naive_grid g, int width, bool act) {
    uint8_t code[ROWS * COLS];
    int32_t index[COLS], perm[COLS];
    int order[COLS], group = width ? width : COLS, groups = (COLS + group - 1) / group;
    float scale[ROWS * COLS], zero[ROWS * COLS], q[ROWS * COLS];
    double first[COLS * COLS], inverse[COLS * COLS];
    for (int i = 0; i < COLS; i++) order[i] = i;
    for (int i = 0; act && i < COLS; i++) // by falling diagonal, of dead inputs 1
        for (int k = i + 1; k < COLS; k++) {
            double a = 2.0 / 4 * m->moment[order[i] * COLS + order[i]];
            double b = 2.0 / 4 * m->moment[order[k] * COLS + order[k]];
            if ((b == 0 ? 1 : b) > (a == 0 ? 1 : a)) {
                int swap = order[i];
                order[i] = order[k];
                order[k] = swap;
            }
        }
    invert(m, 2.0 / 4, 0.01, order, first);
    for (int r = 0; r < ROWS; r++) {
        double w[COLS];
        float start[COLS];
        for (int i = 0; i < COLS; i++) start[i] = order[i] == DEAD ? 0 : m->w[r * COLS + order[i]];
        for (int k = 0; k < groups; k++) {
            int count = COLS - k * group < group ? COLS - k * group : group;
            range_naive(g, width ? start + k * group : m->w + r * COLS, count, scale + r * groups + k,
                        zero + r * groups + k);
        }
        for (int i = 0; i < COLS; i++) w[i] = (double)start[i];
        memcpy(inverse, first, sizeof inverse);
        for (int i = 0; i < COLS; i++) {
            int at = r * groups + i / group, c;
            float value = round_naive(g, scale[at], zero[at], w[i], &c);
            double error = (w[i] - (double)value) / inverse[i * COLS + i];
            for (int k = i + 1; k < COLS; k++) w[k] -= error * inverse[i * COLS + k];
            eliminate(inverse, i);
            inverse[i * COLS + i] = 1;
            code[r * COLS + order[i]] = (uint8_t)c;
            q[r * COLS + order[i]] = value;
        }
    }
    for (int i = 0; i < COLS; i++) {
        index[order[i]] = i / group;
        perm[i] = order[i];
    }
    put(f, v, "code", NUM_U8, ROWS, COLS, code);
    put(f, v, "scale", NUM_F32, ROWS, groups, scale);
    put(f, v, "zero", NUM_F32, ROWS, groups, zero);
    if (groups > 1) put(f, v, "g_idx", NUM_I32, COLS, 0, index);
    if (act) put(f, v, "perm", NUM_I32, COLS, 0, perm);
    put_scalar(f, v, "outerr", lost_output(m, q));
}

static int rising(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// SparseGPT: w^2 over the diagonal of what is left of the inverse; a share of all, or n of every m as they come.
static void add_sparse(case_file *f, const made_layer *m, const char *v, double share, int n, int of) {
    uint8_t mask[ROWS * COLS] = {0};
    float out[ROWS * COLS];
    int order[COLS];
    double inverse[COLS * COLS], row[COLS][COLS], score[ROWS * COLS], sorted[ROWS * COLS];
    for (int i = 0; i < COLS; i++) order[i] = i;
    invert(m, 2.0 / 4, 0.01, order, inverse);
    for (int i = 0; i < COLS; i++) {
        memcpy(row[i], inverse + i * COLS, sizeof row[i]);
        eliminate(inverse, i);
        inverse[i * COLS + i] = 1;
    }
    for (int i = 0; i < ROWS * COLS; i++) {
        double w = i % COLS == DEAD ? 0 : (double)m->w[i];
        score[i] = sorted[i] = w * w / row[i % COLS][i % COLS];
    }
    qsort(sorted, ROWS * COLS, sizeof *sorted, rising);
    for (int i = 0; !n && i < ROWS * COLS; i++) mask[i] = score[i] <= sorted[(int)(share * ROWS * COLS)];
    for (int r = 0; r < ROWS; r++) {
        double w[COLS];
        for (int i = 0; i < COLS; i++) w[i] = i == DEAD ? 0 : (double)m->w[r * COLS + i];
        for (int i = 0; i < COLS; i++) {
            uint8_t *gone = mask + r * COLS;
            for (int k = 0; n && i % of == 0 && k < n; k++) {
                int least = -1;
                for (int c = i; c < i + of && c < COLS; c++)
                    if (!gone[c] && (least < 0 || w[c] * w[c] / row[c][c] < w[least] * w[least] / row[least][least]))
                        least = c;
                gone[least] = 1;
            }
            out[r * COLS + i] = gone[i] ? 0 : (float)w[i];
            double error = (w[i] - (double)out[r * COLS + i]) / row[i][i];
            for (int k = i + 1; k < COLS; k++) w[k] -= error * row[i][k];
        }
    }
    put(f, v, "Wout", NUM_F32, ROWS, COLS, out);
    put(f, v, "mask", NUM_U8, ROWS, COLS, mask);
    put_scalar(f, v, "outerr", lost_output(m, out));
}

// OBQ: always the weight that costs least, one more than half a step off its grid first. Ranges are of the weights with
// dead inputs 0.
static void add_obq(case_file *f, const made_layer *m, const char *v, naive_grid g) {
    uint8_t code[ROWS * COLS];
    int order[COLS];
    float scale[ROWS], zero[ROWS], q[ROWS * COLS];
    double first[COLS * COLS], inverse[COLS * COLS];
    for (int i = 0; i < COLS; i++) order[i] = i;
    invert(m, 2.0 / 4, 0, order, first);
    for (int r = 0; r < ROWS; r++) {
        double w[COLS];
        float start[COLS];
        bool done[COLS] = {false};
        for (int i = 0; i < COLS; i++) w[i] = (double)(start[i] = i == DEAD ? 0 : m->w[r * COLS + i]);
        range_naive(g, start, COLS, scale + r, zero + r);
        memcpy(inverse, first, sizeof inverse);
        for (int n = 0; n < COLS; n++) {
            int least = -1, most = -1, c;
            double cost[COLS];
            float off[COLS];
            for (int i = 0; i < COLS; i++) {
                if (done[i]) continue;
                off[i] = (float)w[i] - round_naive(g, scale[r], zero[r], w[i], &c);
                cost[i] = (double)off[i] * (double)off[i] / inverse[i * COLS + i];
                if (least < 0 || cost[i] < cost[least]) least = i;
                bool far = off[i] * off[i] > 0.25f * (scale[r] * scale[r]);
                if (far && (most < 0 || off[i] * off[i] > off[most] * off[most])) most = i;
            }
            int pick = most >= 0 && w[least] != 0 ? most : least;
            float value = round_naive(g, scale[r], zero[r], w[pick], &c);
            double by = (w[pick] - (double)value) / inverse[pick * COLS + pick];
            for (int k = 0; k < COLS; k++) w[k] -= done[k] || k == pick ? 0 : by * inverse[pick * COLS + k];
            eliminate(inverse, pick);
            inverse[pick * COLS + pick] = 1;
            done[pick] = true;
            code[r * COLS + pick] = (uint8_t)c;
            q[r * COLS + pick] = value;
        }
    }
    put(f, v, "code", NUM_U8, ROWS, COLS, code);
    put(f, v, "scale", NUM_F32, ROWS, 1, scale);
    put(f, v, "zero", NUM_F32, ROWS, 1, zero);
    put_scalar(f, v, "outerr", lost_output(m, q));
}

// ---- tests -------------------------------------------------------------------------------------------------

static void names_that_say_nothing(void **state) {
    (void)state;
    const char *folder = support_temp_dir();
    made_layer m;
    case_file f = {0};
    char *output;
    make_layer(&m, 3);
    put_layer(&f, &m, 4);
    add_gptq(&f, &m, "first", (naive_grid){4, false, false}, 0, false);
    add_gptq(&f, &m, "v7", (naive_grid){3, true, false}, 4, true);
    add_gptq(&f, &m, "A", (naive_grid){2, false, true}, 5, false);
    add_gptq(&f, &m, "run-3", (naive_grid){3, false, true}, 0, true);
    add_gptq(&f, &m, "b5_sym_mm_g7", (naive_grid){5, true, false}, 7, false);
    write_file(&f, folder, "gptq_other");
    put_layer(&f, &m, 4);
    add_sparse(&f, &m, "half", 0.5, 0, 0);
    add_sparse(&f, &m, "pairs", 0, 1, 2);
    add_sparse(&f, &m, "u30", 0.3, 0, 0);
    add_sparse(&f, &m, "nm2_4", 0, 2, 4); // 14 inputs: of the last two both go
    write_file(&f, folder, "sparsegpt_other");
    assert_int_equal(run_golden(folder, &output), 0);
    static const char *const gptq[] = {"first", "v7", "A", "run-3", "b5_sym_mm_g7"};
    for (size_t i = 0; i < 5; i++) expect_line(output, "ok", "gptq_other", gptq[i], "codes 100.0000 %");
    static const char *const sparse[] = {"half", "pairs", "u30", "nm2_4"};
    for (size_t i = 0; i < 4; i++) expect_line(output, "ok", "sparsegpt_other", sparse[i], "codes 100.0000 %");
    assert_non_null(strstr(output, "9 passed, 0 failed"));
    free(output);
}

// The largest weights stand at an input that never fires: ranges of rows see them, those of groups as wide as the row
// and those of OBQ do not.
static void dead_inputs_hold_the_largest_weights(void **state) {
    (void)state;
    const char *folder = support_temp_dir();
    made_layer m;
    case_file f = {0};
    char *output;
    make_layer(&m, 31);
    for (int r = 0; r < ROWS; r++) m.w[r * COLS + DEAD] = r % 2 ? -3 : 2.5f;
    put_layer(&f, &m, 4);
    add_gptq(&f, &m, "row", (naive_grid){3, false, false}, 0, false);
    add_gptq(&f, &m, "wide", (naive_grid){3, false, false}, 16, false);
    add_gptq(&f, &m, "b4_asym_mse_g64_act", (naive_grid){4, false, true}, 64, true);
    write_file(&f, folder, "gptq_dead");
    put_layer(&f, &m, 4);
    add_obq(&f, &m, "some", (naive_grid){3, false, false});
    add_obq(&f, &m, "other", (naive_grid){2, false, true});
    add_obq(&f, &m, "b4_sym_mm", (naive_grid){4, true, false});
    write_file(&f, folder, "obq_dead");
    assert_int_equal(run_golden(folder, &output), 0);
    expect_line(output, "ok", "gptq_dead", "row", "codes 100.0000 %");
    expect_line(output, "ok", "gptq_dead", "wide", "codes 100.0000 %");
    expect_line(output, "ok", "gptq_dead", "b4_asym_mse_g64_act", "codes 100.0000 %");
    expect_line(output, "ok", "obq_dead", "some", "codes 100.0000 %");
    expect_line(output, "ok", "obq_dead", "other", "codes 100.0000 %");
    expect_line(output, "ok", "obq_dead", "b4_sym_mm", "codes 100.0000 %");
    free(output);
}

// Wanda's and magnitude's masks by full sorts; a mask that no criterion gives is set apart, and passes nothing.
static void masks_without_options(void **state) {
    (void)state;
    const char *folder = support_temp_dir();
    made_layer m;
    case_file f = {0};
    char *output;
    uint8_t rows[ROWS * COLS] = {0}, all[ROWS * COLS], none[ROWS * COLS];
    double magnitude[ROWS * COLS], norm[COLS];
    make_layer(&m, 9);
    for (int c = 0; c < COLS; c++) norm[c] = sqrt(m.moment[c * COLS + c]);
    for (int r = 0; r < ROWS; r++)
        for (int k = 0; k < 5; k++) {
            int least = -1;
            for (int c = 0; c < COLS; c++) {
                double a = fabs((double)m.w[r * COLS + c]) * norm[c];
                if (!rows[r * COLS + c] && (least < 0 || a < fabs((double)m.w[r * COLS + least]) * norm[least]))
                    least = c;
            }
            rows[r * COLS + least] = 1;
        }
    for (int i = 0; i < ROWS * COLS; i++) magnitude[i] = fabs((double)m.w[i]);
    qsort(magnitude, ROWS * COLS, sizeof *magnitude, rising);
    for (int i = 0; i < ROWS * COLS; i++) {
        all[i] = fabs((double)m.w[i]) <= magnitude[30];
        none[i] = i % 5 == 2 || i % 7 == 3;
    }
    put_layer(&f, &m, 2);
    put(&f, "one", "mask", NUM_U8, ROWS, COLS, rows);
    put(&f, "two", "mask", NUM_U8, ROWS, COLS, all);
    put(&f, "three", "mask", NUM_U8, ROWS, COLS, none);
    write_file(&f, folder, "wanda_magnitude_other");
    assert_int_equal(run_golden(folder, &output), 0);
    expect_line(output, "ok", "wanda_magnitude_other", "one", "codes 100.0000 %");
    expect_line(output, "ok", "wanda_magnitude_other", "two", "codes 100.0000 %");
    expect_line(output, "skip", "wanda_magnitude_other", "three", "options not stated");
    assert_non_null(strstr(output, "2 passed, 0 failed, 1 skipped"));
    free(output);
}

// The codes with the least error of all, which the column-by-column order does not reach: the runner must say so.
static void a_reference_that_is_better_fails(void **state) {
    (void)state;
    enum { SIZE = 6, SEEN = 12 };
    const char *folder = support_temp_dir();
    float w[SIZE], x[SEEN * SIZE], scale, zero;
    uint8_t best[SIZE] = {0};
    double least = INFINITY, batches = 1;
    case_file f = {0};
    char *output;
    support_fill(w, SIZE, 5);
    support_fill(x, SEEN * SIZE, 6);
    for (int i = 0; i < SEEN * SIZE; i++) x[i] = 0.3f * x[i] + x[i / SIZE * SIZE]; // all alike
    naive_grid g = {2, false, false};
    range_naive(g, w, SIZE, &scale, &zero);
    for (int k = 0; k < 1 << (2 * SIZE); k++) {
        double sum = 0;
        for (int n = 0; n < SEEN; n++) {
            double y = 0;
            for (int c = 0; c < SIZE; c++)
                y += ((double)w[c] - (double)(scale * ((float)(k >> (2 * c) & 3) - zero))) * (double)x[n * SIZE + c];
            sum += y * y;
        }
        if (sum >= least) continue;
        least = sum;
        for (int c = 0; c < SIZE; c++) best[c] = k >> (2 * c) & 3;
    }
    put(&f, NULL, "W", NUM_F32, 1, SIZE, w);
    put(&f, NULL, "X", NUM_F32, SEEN, SIZE, x);
    put(&f, NULL, "nbatches", NUM_F64, 1, 0, &batches);
    put(&f, "b2_asym_mm_gall", "code", NUM_U8, 1, SIZE, best);
    put(&f, "b2_asym_mm_gall", "scale", NUM_F32, 1, 1, &scale);
    put(&f, "b2_asym_mm_gall", "zero", NUM_F32, 1, 1, &zero);
    put_scalar(&f, "b2_asym_mm_gall", "outerr", least);
    write_file(&f, folder, "gptq_least");
    assert_int_equal(run_golden(folder, &output), 1);
    expect_line(output, "BAD", "gptq_least", "b2_asym_mm_gall", "neither equal nor better");
    free(output);
}

static void torn_files(void **state) {
    (void)state;
    const char *folder = support_temp_dir();
    made_layer m, broken;
    case_file f = {0};
    char *output;
    int32_t large[ROWS * COLS] = {0};
    make_layer(&m, 21);
    broken = m;
    broken.w[17] = NAN;
    put_layer(&f, &broken, 1);
    write_file(&f, folder, "gptq_nan");
    put_layer(&f, &m, 0);
    write_file(&f, folder, "gptq_no_batches");
    put_layer(&f, &m, 4);
    large[3] = 300;
    put(&f, "wide", "code", NUM_I32, ROWS, COLS, large);
    put(&f, "wide", "scale", NUM_F32, ROWS, 1, m.w);
    put(&f, "wide", "zero", NUM_F32, ROWS, 1, m.w);
    put(&f, "lost", "code", NUM_U8, ROWS, COLS, m.w);
    add_gptq(&f, &m, "b4_asym_mm_gall", (naive_grid){4, false, false}, 0, false);
    put_scalar(&f, "b4_asym_mm_gall", "self_agree", INFINITY);
    add_sparse(&f, &m, "apart", 0.5, 0, 0);
    write_file(&f, folder, "gptq_parts");
    put_layer(&f, &m, 4);
    add_sparse(&f, &m, "u50", 0.5, 0, 0);
    *(double *)(uintptr_t)f.item[f.count - 1].tensor.data *= 2; // outerr
    write_file(&f, folder, "sparsegpt_says");
    put_layer(&f, &m, 4);
    size_t bytes;
    const char *path = write_file(&f, folder, "obq_cut");
    char *data = support_read(path, &bytes);
    support_write(path, data, bytes / 2);
    free(data);
    put_layer(&f, &m, 4);
    write_file(&f, folder, "adaround_empty");
    assert_int_equal(run_golden(folder, &output), 1);
    expect_line(output, "BAD", "gptq_nan", "-", "the array W holds a NaN at place 17");
    expect_line(output, "BAD", "gptq_no_batches", "-", "nbatches is 0");
    expect_line(output, "BAD", "gptq_parts", "wide", "holds 300 at place 3");
    expect_line(output, "BAD", "gptq_parts", "lost", "the array lost.scale is missing");
    expect_line(output, "BAD", "gptq_parts", "b4_asym_mm_gall", "holds an infinity");
    expect_line(output, "BAD", "sparsegpt_says", "u50", "its own u50.outerr says");
    expect_line(output, "BAD", "obq_cut", "-", "zip");
    expect_line(output, "skip", "adaround_empty", "-", "no variant");
    assert_non_null(strstr(output, "0 passed, 7 failed, 1 skipped"));
    free(output);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_say_nothing),
        cmocka_unit_test(dead_inputs_hold_the_largest_weights),
        cmocka_unit_test(masks_without_options),
        cmocka_unit_test(a_reference_that_is_better_fails),
        cmocka_unit_test(torn_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
