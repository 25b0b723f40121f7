// Trellis term: runs of weights as bit streams of a trellis code (types/trellis.c), each run's end joined to its
// beginning, so that nothing but `step` bits for `values` weights is stored; scales a row.
#include "compress/types/lattice.h"

#include <math.h>

enum { CODES, SCALES };

static lattice_runs runs_of(const term *t) {
    return (lattice_runs){t->rows, t->cols, t->attr[TRELLIS_BLOCK], t->attr[TRELLIS_LENGTH], false};
}

static int values_of(const term *t) {
    return 1 << t->attr[TRELLIS_VALUES];
}

static bool check(const term *t, base_err *err) {
    int64_t step = t->attr[TRELLIS_STEP], values = values_of(t), length = t->attr[TRELLIS_LENGTH];
    lattice_runs l = runs_of(t);
    if (t->stored != t->rows * t->cols) return base_fail(err, "a trellis term cannot stand inside a sparse one");
    if (l.block > t->cols || length % values || length > (t->rows * l.block + values - 1) / values * values)
        return base_fail(err,
                         "a trellis term codes runs of %lld weights in blocks of %lld columns of a %lld x %lld layer",
                         (long long)length, (long long)l.block, (long long)t->rows, (long long)t->cols);
    if (t->attr[TRELLIS_BITS] < step || t->attr[TRELLIS_BITS] > length / values * step)
        return base_fail(err, "a trellis term has %lld state bits, expected %lld to %lld",
                         (long long)t->attr[TRELLIS_BITS], (long long)step, (long long)(length / values * step));
    int64_t form = t->attr[TRELLIS_FORM];
    if (form == TRELLIS_HYB ? values != 2 : form != TRELLIS_NORMAL && values > 1)
        return base_fail(err, "a trellis term gives %lld values a step, which its code cannot", (long long)values);
    if (form == TRELLIS_HYB && t->attr[TRELLIS_BITS] < TRELLIS_HYB_LEAST)
        return base_fail(err, "a trellis term of code hyb has %lld state bits, expected %d at least",
                         (long long)t->attr[TRELLIS_BITS], TRELLIS_HYB_LEAST);
    int64_t steps = lattice_run_count(&l) * (length / values);
    return codes_check(t, CODES, steps, step, err) && row_scales_check(t, SCALES, err);
}

static bool decode(const term *t, float *out, base_err *err) {
    lattice_runs l = runs_of(t);
    trellis_code code;
    if (!trellis_open(&code, (int)t->attr[TRELLIS_FORM], (int)t->attr[TRELLIS_BITS], (int)t->attr[TRELLIS_STEP],
                      values_of(t), err))
        return false;
    int64_t steps = l.length / code.values, count = lattice_run_count(&l), n = t->blob[SCALES].count;
    uint16_t *codes = base_big_alloc((size_t)(count * steps), sizeof *codes, "codes of a layer", err);
    float *values = codes ? base_big_alloc((size_t)(l.length + n), sizeof *values, "a run of weights", err) : NULL;
    if (values) {
        float *scales = values + l.length;
        num_to_f32(t->blob[SCALES].dtype, t->blob[SCALES].data, scales, (size_t)n);
        num_unpack(t->blob[CODES].data, (size_t)(count * steps), code.step, codes);
        for (int64_t i = 0; i < count; i++) {
            trellis_decode(&code, steps, codes + i * steps, values);
            lattice_add(&l, i, scales, n, values, out);
        }
    }
    bool ok = values != NULL;
    base_big_free(codes);
    base_big_free(values);
    trellis_close(&code);
    return ok;
}

static void describe(const term *t, base_buf *b) {
    static const char *const names[] = {"normal", "1mad", "3inst", "hyb"};
    base_buf_printf(b, "trellis %g bit L%lld %s", (double)t->attr[TRELLIS_STEP] / values_of(t),
                    (long long)t->attr[TRELLIS_BITS], names[t->attr[TRELLIS_FORM]]);
}

const term_kind term_trellis = {
    .name = "trellis",
    .help = "runs of weights as bit streams whose last bits name each value",
    .attr = {{"code", 0, 3, TRELLIS_FORMS},
             {"state", 1, TRELLIS_MOST_BITS, NULL},
             {"step", 1, TRELLIS_MOST_STEP, NULL},
             {"values", 0, 2, "1|2|4"},
             {"block", 1, INT32_MAX, NULL},
             {"length", 1, TRELLIS_MOST_LENGTH, NULL}},
    .blob = {"codes", "scales"},
    .check = check,
    .decode = decode,
    .describe = describe,
};

term *term_trellis_new(const lattice_runs *l, const trellis_code *code, const uint16_t *codes, const float *scales,
                       int64_t scale_count, num_dtype dtype, base_err *err) {
    term *t = term_new(&term_trellis, l->rows, l->cols);
    t->attr[TRELLIS_FORM] = code->form;
    t->attr[TRELLIS_BITS] = code->bits;
    t->attr[TRELLIS_STEP] = code->step;
    t->attr[TRELLIS_VALUES] = code->values == 4 ? 2 : code->values - 1;
    t->attr[TRELLIS_BLOCK] = l->block;
    t->attr[TRELLIS_LENGTH] = l->length;
    int64_t steps = lattice_run_count(l) * (l->length / code->values);
    if (codes_store(t, CODES, codes, steps, code->step, err) &&
        row_scales_store(t, SCALES, scales, scale_count, dtype, err))
        return t;
    term_free(t);
    return NULL;
}
