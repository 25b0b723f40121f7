// matrix_math: what is computed on matrices element by element and along an axis. See matrix.h.
#include "script/matrix.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- one operand -------------------------------------------------------------------------------

typedef float (*unary)(float x);
static float op_sign(float x) {
    return (float)((x > 0) - (x < 0));
}
static float op_negate(float x) {
    return -x;
}

static int apply_unary(lua_State *L, const char *what, unary f) {
    script_matrix *m = matrix_check(L, 1, what), *out = matrix_new(L, what, m->rows, m->cols);
    for (int64_t i = 0; i < m->rows * m->cols; i++) out->data[i] = f(m->data[i]);
    return 1;
}
#define UNARY(name, f)                                                                                                 \
    static int m_##name(lua_State *L) {                                                                                \
        return apply_unary(L, #name, f);                                                                               \
    }
UNARY(abs, fabsf)
UNARY(sign, op_sign)
UNARY(sqrt, sqrtf)
UNARY(exp, expf)
UNARY(log, logf)
UNARY(round, rintf)
UNARY(floor, floorf)
UNARY(ceil, ceilf)
UNARY(negate, op_negate)

static double number_at(lua_State *L, int index, const char *what, const char *name) {
    if (lua_type(L, index) != LUA_TNUMBER)
        script_error(L, "%s: %s must be a number, not a %s", what, name, luaL_typename(L, index));
    return lua_tonumber(L, index);
}

static int m_clamp(lua_State *L) {
    script_matrix *m = matrix_check(L, 1, "clamp");
    float low = (float)number_at(L, 2, "clamp", "the lower bound");
    float high = (float)number_at(L, 3, "clamp", "the upper bound");
    if (!(low <= high)) script_error(L, "clamp: the bounds %g .. %g are the wrong way round", low, high);
    script_matrix *out = matrix_new(L, "clamp", m->rows, m->cols);
    for (int64_t i = 0; i < m->rows * m->cols; i++) {
        float x = m->data[i];
        out->data[i] = x < low ? low : x > high ? high : x;
    }
    return 1;
}

static int m_as(lua_State *L) {
    static const char *const names[] = {"f32", "f16", "bf16", NULL};
    static const num_dtype dtypes[] = {NUM_F32, NUM_F16, NUM_BF16};
    script_matrix *m = matrix_check(L, 1, "as");
    num_dtype to = dtypes[luaL_checkoption(L, 2, NULL, names)];
    script_matrix *out = matrix_new(L, "as", m->rows, m->cols);
    for (int64_t i = 0; i < m->rows * m->cols; i++) {
        uint8_t raw[4];
        num_from_f32(to, m->data + i, raw, 1);
        num_to_f32(to, raw, out->data + i, 1);
    }
    return 1;
}

// ---- two operands, one of them may be repeated ---------------------------------------------------

typedef struct operand {
    float number;
    const float *p;
    int64_t rows, cols, row_step, col_step; // steps 0: repeated
} operand;

static operand read_operand(lua_State *L, int index, const char *what) {
    if (lua_type(L, index) == LUA_TNUMBER)
        return (operand){.number = (float)lua_tonumber(L, index), .rows = 1, .cols = 1};
    script_matrix *m = luaL_testudata(L, index, SCRIPT_MATRIX);
    if (!m || !m->data)
        script_error(L, "%s: a matrix or a number was expected, not a %s", what, luaL_typename(L, index));
    return (operand){0, m->data, m->rows, m->cols, m->cols, 1};
}

static void stretch(operand *x, int64_t rows, int64_t cols) {
    if (x->rows == 1 && rows > 1) x->row_step = 0;
    if (x->cols == 1 && cols > 1) x->col_step = 0;
}

static bool fits(const operand *x, int64_t rows, int64_t cols) {
    return (x->rows == rows || x->rows == 1) && (x->cols == cols || x->cols == 1);
}

typedef float (*binary)(float x, float y);
static float op_add(float x, float y) {
    return x + y;
}
static float op_sub(float x, float y) {
    return x - y;
}
static float op_mul(float x, float y) {
    return x * y;
}
static float op_div(float x, float y) {
    return x / y;
}
static float op_min(float x, float y) {
    return y < x ? y : x;
}
static float op_max(float x, float y) {
    return y > x ? y : x;
}
static float op_gt(float x, float y) {
    return x > y;
}
static float op_ge(float x, float y) {
    return x >= y;
}
static float op_lt(float x, float y) {
    return x < y;
}
static float op_le(float x, float y) {
    return x <= y;
}
static float op_eq(float x, float y) {
    return x == y;
}
static float op_ne(float x, float y) {
    return x != y;
}

static inline const float *at(const operand *x, int64_t i, int64_t j) {
    return x->p ? x->p + i * x->row_step + j * x->col_step : &x->number;
}

static int apply_binary(lua_State *L, const char *what, binary f) {
    operand a = read_operand(L, 1, what), b = read_operand(L, 2, what);
    int64_t rows = a.rows > b.rows ? a.rows : b.rows, cols = a.cols > b.cols ? a.cols : b.cols;
    if (!fits(&a, rows, cols) || !fits(&b, rows, cols))
        script_error(L, "%s: %lld x %lld and %lld x %lld do not fit each other (a single row or column is repeated)",
                     what, (long long)a.rows, (long long)a.cols, (long long)b.rows, (long long)b.cols);
    stretch(&a, rows, cols);
    stretch(&b, rows, cols);
    script_matrix *out = matrix_new(L, what, rows, cols);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) out->data[i * cols + j] = f(*at(&a, i, j), *at(&b, i, j));
    return 1;
}
#define BINARY(name, text, f)                                                                                          \
    static int m_##name(lua_State *L) {                                                                                \
        return apply_binary(L, text, f);                                                                               \
    }
BINARY(add, "+", op_add)
BINARY(sub, "-", op_sub)
BINARY(mul, "*", op_mul)
BINARY(div, "/", op_div)
BINARY(pow, "^", powf)
BINARY(minimum, "minimum", op_min)
BINARY(maximum, "maximum", op_max)
BINARY(gt, "gt", op_gt)
BINARY(ge, "ge", op_ge)
BINARY(lt, "lt", op_lt)
BINARY(le, "le", op_le)
BINARY(eq, "eq", op_eq)
BINARY(ne, "ne", op_ne)

static int m_where(lua_State *L) {
    script_matrix *m = matrix_check(L, 1, "where");
    operand x[2] = {read_operand(L, 2, "where"), read_operand(L, 3, "where")};
    for (int k = 0; k < 2; k++) {
        if (!fits(&x[k], m->rows, m->cols))
            script_error(L, "where: a choice of %lld x %lld does not fit the condition of %lld x %lld",
                         (long long)x[k].rows, (long long)x[k].cols, (long long)m->rows, (long long)m->cols);
        stretch(&x[k], m->rows, m->cols);
    }
    script_matrix *out = matrix_new(L, "where", m->rows, m->cols);
    for (int64_t i = 0; i < m->rows; i++)
        for (int64_t j = 0; j < m->cols; j++) out->data[i * m->cols + j] = *at(&x[m->data[i * m->cols + j] == 0], i, j);
    return 1;
}

// ---- along an axis -------------------------------------------------------------------------------

enum axis { ALL, ROW, COL };

static enum axis read_axis(lua_State *L, int index, const char *what) {
    if (lua_isnoneornil(L, index)) return ALL;
    const char *text = lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : "";
    if (strcmp(text, "row") == 0) return ROW;
    if (strcmp(text, "col") == 0) return COL;
    script_error(L, "%s: the axis is nothing (all values), \"row\" (a value a row) or \"col\" (a value a column)",
                 what);
}

typedef struct running {
    double value;
    int64_t index;
} running;
typedef void (*folding)(running *r, float x, int64_t index);
static void fold_sum(running *r, float x, int64_t index) {
    (void)index, r->value += (double)x;
}
// A NaN is kept once it is met: an extreme of values with NaN among them is none.
static void fold_min(running *r, float x, int64_t index) {
    if (index == 0 || (double)x < r->value || isnan(x)) *r = (running){(double)x, index};
}
static void fold_max(running *r, float x, int64_t index) {
    if (index == 0 || (double)x > r->value || isnan(x)) *r = (running){(double)x, index};
}

enum result { VALUE, INDEX, MEAN };

static double result_of(const running *r, enum result kind, int64_t count) {
    if (kind == INDEX) return (double)(r->index + 1);
    return kind == MEAN ? r->value / (double)count : r->value;
}

static int fold(lua_State *L, const char *what, folding f, enum result kind) {
    script_matrix *m = matrix_check(L, 1, what);
    enum axis axis = read_axis(L, 2, what);
    int64_t count = axis == ROW ? m->cols : axis == COL ? m->rows : m->rows * m->cols;
    if (axis == ALL) {
        running r = {0, 0};
        for (int64_t i = 0; i < count; i++) f(&r, m->data[i], i);
        lua_pushnumber(L, result_of(&r, kind, count));
        return 1;
    }
    script_matrix *out = matrix_new(L, what, axis == ROW ? m->rows : 1, axis == ROW ? 1 : m->cols);
    int64_t n = out->rows * out->cols;
    base_err err;
    running *r = base_big_alloc((size_t)n, sizeof *r, "figures along an axis", &err);
    if (!r) script_raise(L, &err);
    for (int64_t i = 0; i < m->rows; i++)
        for (int64_t j = 0; j < m->cols; j++)
            f(axis == ROW ? &r[i] : &r[j], m->data[i * m->cols + j], axis == ROW ? j : i);
    for (int64_t i = 0; i < n; i++) out->data[i] = (float)result_of(&r[i], kind, count);
    base_big_free(r);
    return 1;
}
#define FOLD(name, f, kind)                                                                                            \
    static int m_##name(lua_State *L) {                                                                                \
        return fold(L, #name, f, kind);                                                                                \
    }
FOLD(sum, fold_sum, VALUE)
FOLD(mean, fold_sum, MEAN)
FOLD(min, fold_min, VALUE)
FOLD(max, fold_max, VALUE)
FOLD(argmin, fold_min, INDEX)
FOLD(argmax, fold_max, INDEX)

// ---- order -------------------------------------------------------------------------------------

typedef struct entry {
    float value;
    int32_t index;
} entry;

// Ascending, NaN last; of equal ones the first comes first.
static int by_value(const void *x, const void *y) {
    const entry *a = x, *b = y;
    bool na = isnan(a->value), nb = isnan(b->value);
    if (na != nb) return na ? 1 : -1;
    if (!na && a->value != b->value) return a->value < b->value ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

enum order { SORTED, ORDER, KTH, TOP };

static void write_row(const entry *e, int64_t cols, enum order kind, int64_t k, float *out) {
    for (int64_t j = 0; j < cols && kind == SORTED; j++) out[j] = e[j].value;
    for (int64_t j = 0; j < cols && kind == ORDER; j++) out[j] = (float)(e[j].index + 1);
    for (int64_t j = 0; j < k && kind == TOP; j++) out[e[j].index] = 1;
    if (kind == KTH) *out = e[k - 1].value;
}

static int order(lua_State *L, const char *what, enum order kind) {
    enum { LONGEST = 1 << 24 }; // from there on a float32 does not hold every column's number
    script_matrix *m = matrix_check(L, 1, what);
    int64_t k = kind == KTH || kind == TOP ? matrix_whole(L, 2, what, "the count", kind == KTH, m->cols) : 0;
    if (m->cols > LONGEST) script_error(L, "%s: a row of %lld values is too long", what, (long long)m->cols);
    script_matrix *out = matrix_new(L, what, m->rows, kind == KTH ? 1 : m->cols);
    base_err err;
    entry *e = base_big_alloc((size_t)m->cols, sizeof *e, "a sorted row", &err);
    if (!e) script_raise(L, &err);
    for (int64_t i = 0; i < m->rows; i++) {
        for (int64_t j = 0; j < m->cols; j++) {
            float x = m->data[i * m->cols + j];
            e[j] = (entry){kind == TOP ? -x : x, (int32_t)j};
        }
        qsort(e, (size_t)m->cols, sizeof *e, by_value);
        write_row(e, m->cols, kind, k, out->data + i * out->cols);
    }
    base_big_free(e);
    return 1;
}
static int m_sort(lua_State *L) {
    return order(L, "sort", SORTED);
}
static int m_argsort(lua_State *L) {
    return order(L, "argsort", ORDER);
}
static int m_kth(lua_State *L) {
    return order(L, "kth", KTH);
}
static int m_topk(lua_State *L) {
    return order(L, "topk", TOP);
}

const matrix_function matrix_math[] = {
    {"__add", NULL, NULL, m_add},
    {"__sub", NULL, NULL, m_sub},
    {"__mul", NULL, NULL, m_mul},
    {"__div", NULL, NULL, m_div},
    {"__pow", NULL, NULL, m_pow},
    {"__unm", NULL, NULL, m_negate},
    {"abs", "m:abs()", "Magnitudes.", m_abs},
    {"sign", "m:sign()", "-1, 0 or 1.", m_sign},
    {"sqrt", "m:sqrt()", "Square roots.", m_sqrt},
    {"exp", "m:exp()", "Exponentials.", m_exp},
    {"log", "m:log()", "Natural logarithms.", m_log},
    {"round", "m:round()", "To the nearest whole number, halves to the even one.", m_round},
    {"floor", "m:floor()", "To the whole number below.", m_floor},
    {"ceil", "m:ceil()", "To the whole number above.", m_ceil},
    {"clamp", "m:clamp(low, high)", "Values beyond the bounds become the bounds.", m_clamp},
    {"as", "m:as(\"f16\")", "Rounded to `f16`, `bf16` or `f32`: what is left when they are stored so.", m_as},
    {"minimum", "m:minimum(x)", "The smaller of the two, value by value.", m_minimum},
    {"maximum", "m:maximum(x)", "The larger of the two.", m_maximum},
    {"gt", "m:gt(x)", "1 where m > x, else 0; likewise `ge`, `lt`, `le`, `eq`, `ne`.", m_gt},
    {"ge", NULL, NULL, m_ge},
    {"lt", NULL, NULL, m_lt},
    {"le", NULL, NULL, m_le},
    {"eq", NULL, NULL, m_eq},
    {"ne", NULL, NULL, m_ne},
    {"where", "m:where(a, b)", "`a` where m is not 0, else `b`; both may be numbers.", m_where},
    {"sum", "m:sum([axis])",
     "Sum of all values as a number; with \"row\" of each row (a column), with \"col\" of each "
     "column (a row).",
     m_sum},
    {"mean", "m:mean([axis])", "Mean.", m_mean},
    {"min", "m:min([axis])", "Smallest.", m_min},
    {"max", "m:max([axis])", "Largest.", m_max},
    {"argmin", "m:argmin([axis])", "Where the smallest is, counted from 1, the first of equal ones.", m_argmin},
    {"argmax", "m:argmax([axis])", "Where the largest is.", m_argmax},
    {"sort", "m:sort()", "Every row in rising order.", m_sort},
    {"argsort", "m:argsort()", "For every row the column numbers that would sort it.", m_argsort},
    {"kth", "m:kth(k)", "The k-th smallest value of every row, as a column.", m_kth},
    {"topk", "m:topk(k)", "1 at the k largest values of every row (of equal ones the first), else 0.", m_topk},
    {0},
};
