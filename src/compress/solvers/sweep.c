// sweep: column by column, sixteen rows side by side (see sweep.h).
#include "compress/solvers/sweep.h"

#include <string.h>

// x[count x SWEEP_LANES] from `lanes` rows of w (ld apart); lanes beyond are 0. And back.
static void load(const float *w, int64_t ld, int64_t lanes, int64_t count, float *x) {
    if (lanes < SWEEP_LANES) memset(x, 0, (size_t)(count * SWEEP_LANES) * sizeof *x);
    num_turn(lanes, count, w, ld, x, SWEEP_LANES);
}

static void store(const float *x, int64_t lanes, int64_t count, float *w, int64_t ld) {
    num_turn(count, lanes, x, SWEEP_LANES, w, ld);
}

// The arithmetic of grid_encode and grid_value for grids with a whole zero point, all lanes at once. A scale of 0 (a
// group of zeros) gives the code of 0.
BASE_CLONES static void round_even_grid(const sweep_grid *g, float top, const float *x, float *codes, float *values) {
    for (int r = 0; r < SWEEP_LANES; r++) {
        float scale = g->scale[r], low = -g->zero[r], high = top - g->zero[r];
        float t = scale > 0 ? x[r] / scale : 0;
        t = t < low ? low : t > high ? high : t;
        t = (t + 12582912.0f) - 12582912.0f; // nearest, half to even, below 2^22
        codes[r] = t + g->zero[r];
        values[r] = scale * t;
    }
}

void sweep_round(const sweep_grid *g, int64_t lanes, const float *x, grid_code *codes, float *values) {
    const grid_spec *s = g->grid;
    if (grid_is_even(s) && s->scheme != UNIFORM_SIGN && s->scheme != UNIFORM_REAL) {
        float at[SWEEP_LANES];
        round_even_grid(g, (float)grid_max_code(s), x, at, values);
        for (int64_t r = 0; r < lanes; r++) codes[r] = (grid_code)(int)at[r];
        return;
    }
    for (int64_t r = 0; r < lanes; r++) {
        grid_param q = {g->scale[r], g->zero[r]};
        grid_encode(s, q, x + r, 1, codes + r);
        values[r] = grid_value(s, q, codes[r]);
    }
}

// One vector of all lanes, in as many registers as this CPU needs; left to itself the compiler takes lanes one by one.
typedef float lanes_vector __attribute__((vector_size(SWEEP_LANES * sizeof(float)), aligned(4), may_alias));

// x[k] -= error f[k] for the `count` columns after this one.
BASE_CLONES static void carry(float *x, const float *f, const float *error, int64_t count) {
    lanes_vector e = *(const lanes_vector *)error, *column = (lanes_vector *)x;
    for (int64_t k = 0; k < count; k++) column[k] -= e * f[k];
}

// e = values - first, and the same with it.
BASE_CLONES static void take_and_carry(float *x, const float *f, const float *values, const float *first, float *e,
                                       int64_t count) {
    const lanes_vector error = *(const lanes_vector *)values - *(const lanes_vector *)first;
    lanes_vector *column = (lanes_vector *)x;
    *(lanes_vector *)e = error;
    for (int64_t k = 0; k < count; k++) column[k] -= error * f[k];
}

// The same for the errors of CARRIED columns in turn, f one row a column, ld apart: what a column holds is read and
// written once for all of them. The sums are taken in the same order, so their bits are the same.
enum { CARRIED = 8 };
BASE_CLONES static void carry_all(float *x, const float *f, int64_t ld, const float *error, int64_t count) {
    lanes_vector e[CARRIED], *column = (lanes_vector *)x;
    for (int j = 0; j < CARRIED; j++) e[j] = ((const lanes_vector *)error)[j];
    for (int64_t k = 0; k < count; k++) {
        lanes_vector sum = column[k];
#pragma GCC unroll 8
        for (int j = 0; j < CARRIED; j++) sum -= e[j] * f[j * ld + k];
        column[k] = sum;
    }
}

// ---- all columns ---------------------------------------------------------------------------------

void sweep_ahead(const sweep *s, const sweep_tile *t, int64_t i, int64_t count, float *out) {
    const float *first = t->first + i * SWEEP_LANES;
    memcpy(out, t->x + i * SWEEP_LANES, (size_t)(count * SWEEP_LANES) * sizeof *out);
    for (int64_t k = 0; k < count; k++) {
        int64_t at = t->from + i + k;
        float e[SWEEP_LANES];
        for (int r = 0; r < SWEEP_LANES; r++) e[r] = out[k * SWEEP_LANES + r] - first[k * SWEEP_LANES + r];
        carry(out + (k + 1) * SWEEP_LANES, s->f + at * s->cols + at + 1, e, count - k - 1);
    }
}

static void load_tile(const sweep *s, sweep_tile *t, float *first) {
    int64_t cols = s->cols;
    load(s->moved + t->row * cols + t->from, cols, t->lanes, t->count, t->x);
    t->first = first;
    if (!s->order) {
        load(s->w + t->row * cols + t->from, cols, t->lanes, t->count, first);
        return;
    }
    for (int64_t c = 0; c < t->count; c++)
        for (int64_t r = 0; r < t->lanes; r++)
            first[c * SWEEP_LANES + r] = s->w[(t->row + r) * cols + s->order[t->from + c]];
}

// What a pass over the rows does with each tile; `room` holds one more.
typedef struct pass {
    const sweep *s;
    int64_t from, count;
    float *error; // [rows x wide], q - w
    float *ahead; // [rows x count]
} pass;

static bool settle_tile(const pass *p, sweep_tile *t, float *room, base_err *err) {
    const sweep *s = p->s;
    for (int64_t i = 0; i < t->count; i++) {
        float values[SWEEP_LANES] = {0}, *e = room + i * SWEEP_LANES;
        const float *f = s->f + (t->from + i) * s->cols + t->from;
        if (!s->settle(s->context, t, i, values, err)) return false;
        // Its error reaches its few neighbours now, and those behind them together with theirs.
        int64_t first = i / CARRIED * CARRIED, end = first + CARRIED;
        if (s->at_once || end > t->count) end = t->count;
        take_and_carry(t->x + (i + 1) * SWEEP_LANES, f + i + 1, values, t->first + i * SWEEP_LANES, e, end - i - 1);
        if (i + 1 == end && end < t->count)
            carry_all(t->x + end * SWEEP_LANES, f - (i - first) * s->cols + end, s->cols, room + first * SWEEP_LANES,
                      t->count - end);
    }
    store(room, t->lanes, t->count, p->error + t->row * s->wide + t->from % s->wide, s->wide);
    return true;
}

static bool look_ahead(const pass *p, sweep_tile *t, float *room, base_err *err) {
    (void)err;
    sweep_ahead(p->s, t, 0, t->count, room);
    store(room, t->lanes, t->count, p->ahead + t->row * t->count, t->count);
    return true;
}

// Rows of a tile lie far apart in memory: asked for while the tile before is worked on.
static void fetch(const sweep *s, int64_t row, int64_t from, int64_t count) {
    enum { LINE = 16 }; // values
    int64_t end = row + SWEEP_LANES < s->rows ? row + SWEEP_LANES : s->rows;
    for (int64_t r = row; r < end; r++)
        for (int64_t c = 0; c < count; c += LINE) {
            __builtin_prefetch(s->moved + r * s->cols + from + c);
            if (!s->order) __builtin_prefetch(s->w + r * s->cols + from + c);
        }
}

static bool run_pass(const pass *p, bool (*work)(const pass *p, sweep_tile *t, float *room, base_err *err),
                     base_err *err) {
    int64_t rows = p->s->rows, tiles = (rows + SWEEP_LANES - 1) / SWEEP_LANES, size = p->count * SWEEP_LANES;
    bool ok = true;
#ifdef _OPENMP
#pragma omp parallel if (rows * p->count > TERM_PARALLEL / 8)
#endif
    {
        base_err own = {0};
        float *x = base_big_alloc((size_t)size, 4 * sizeof *x, "a block of columns", &own);
        bool good = x != NULL;
#ifdef _OPENMP
#pragma omp for schedule(dynamic, 4)
#endif
        for (int64_t i = 0; i < tiles; i++) {
            sweep_tile t = {.row = i * SWEEP_LANES, .from = p->from, .count = p->count, .x = x};
            t.lanes = rows - t.row < SWEEP_LANES ? rows - t.row : SWEEP_LANES;
            if (good) {
                load_tile(p->s, &t, x + size);
                t.codes = (grid_code *)(void *)(x + 3 * size);
                fetch(p->s, t.row + SWEEP_LANES, p->from, p->count);
                good = work(p, &t, x + 2 * size, &own);
            }
        }
        base_big_free(x);
        if (!good) {
#ifdef _OPENMP
#pragma omp critical(sweep_failed)
#endif
            {
                ok = false;
                *err = own;
            }
        }
    }
    return ok;
}

static bool begin_block(const sweep *s, int64_t from, int64_t count, base_err *err) {
    int64_t span = s->span ? s->span(s->context, from, count) : 0;
    if (!span) return true;
    float *ahead = base_big_alloc((size_t)(s->rows * span), sizeof *ahead, "columns ahead", err);
    pass p = {.s = s, .from = from, .count = span, .ahead = ahead};
    bool ok = ahead && run_pass(&p, look_ahead, err) && s->begin(s->context, from, count, ahead, span, err);
    base_big_free(ahead);
    return ok;
}

bool sweep_run(const sweep *s, base_err *err) {
    int64_t rows = s->rows, cols = s->cols;
    float *error = base_big_alloc((size_t)(rows * s->wide), sizeof *error, "errors of some columns", err);
    bool ok = error != NULL;
    for (int64_t from = 0; ok && from < cols; from += s->block) {
        int64_t count = cols - from < s->block ? cols - from : s->block, next = from + count;
        int64_t first = from / s->wide * s->wide, end = first + s->wide < cols ? first + s->wide : cols;
        pass p = {.s = s, .from = from, .count = count, .error = error};
        ok = base_go_on(s->job, err) && begin_block(s, from, count, err) && run_pass(&p, settle_tile, err);
        if (!ok) break;
        num_gemm(false, false, rows, end - next, count, -1, error + from - first, s->wide, s->f + from * cols + next,
                 cols, 1, s->moved + next, cols);
        if (next == end)
            num_gemm(false, false, rows, cols - end, end - first, -1, error, s->wide, s->f + first * cols + end, cols,
                     1, s->moved + end, cols);
    }
    base_big_free(error);
    return ok;
}
