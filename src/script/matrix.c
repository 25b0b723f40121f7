// matrix: the handle of matrices in recipes, how they are made, taken apart and put together. See matrix.h.
#include "script/matrix.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

// Live values of one Lua state, and those made since garbage was last collected: Lua sees only the small handles.
enum { COLLECT_BYTES = 64 << 20 };
// The most that all matrices of a recipe may hold, and no more than half of what the machine has.
static const size_t most_bytes = (size_t)8 << 30;
typedef struct tally {
    size_t live, fresh, limit;
} tally;
static const char tally_key[] = "vise.matrix.tally";

static tally *tally_of(lua_State *L) {
    lua_getfield(L, LUA_REGISTRYINDEX, tally_key);
    tally *t = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return t;
}

script_matrix *matrix_new(lua_State *L, const char *what, int64_t rows, int64_t cols) {
    if (rows < 1 || cols < 1 || rows > INT32_MAX || cols > INT32_MAX)
        script_error(L, "%s: %lld x %lld is no size of a matrix", what, (long long)rows, (long long)cols);
    size_t bytes = (size_t)rows * (size_t)cols * sizeof(float);
    tally *t = tally_of(L);
    if (t->fresh + bytes > COLLECT_BYTES && t->fresh > t->live / 2) {
        lua_gc(L, LUA_GCCOLLECT);
        t->fresh = 0;
    }
    char size[24];
    if (bytes > t->limit - t->live)
        script_error(L, "%s: a matrix of %lld x %lld would be too much; all matrices together may take %s", what,
                     (long long)rows, (long long)cols, base_bytes_text(size, (double)t->limit));
    script_matrix *m = lua_newuserdatauv(L, sizeof *m, 0);
    *m = (script_matrix){rows, cols, NULL};
    luaL_setmetatable(L, SCRIPT_MATRIX);
    base_err err;
    m->data = base_big_alloc((size_t)rows * (size_t)cols, sizeof *m->data, "a matrix of the recipe", &err);
    if (!m->data) script_raise(L, &err);
    t->live += bytes;
    t->fresh += bytes;
    return m;
}

static int free_matrix(lua_State *L) {
    script_matrix *m = lua_touserdata(L, 1);
    if (!m->data) return 0;
    tally *t = tally_of(L);
    if (t) t->live -= (size_t)m->rows * (size_t)m->cols * sizeof(float);
    base_big_free(m->data);
    m->data = NULL;
    return 0;
}

script_matrix *matrix_check(lua_State *L, int index, const char *what) {
    script_matrix *m = luaL_testudata(L, index, SCRIPT_MATRIX);
    if (!m || !m->data) script_error(L, "%s: a matrix was expected, not a %s", what, luaL_typename(L, index));
    return m;
}

void matrix_push(lua_State *L, const char *what, const float *data, int64_t rows, int64_t cols) {
    if (!data) {
        lua_pushnil(L);
        return;
    }
    script_matrix *m = matrix_new(L, what, rows, cols);
    memcpy(m->data, data, (size_t)(rows * cols) * sizeof *data);
}

int64_t matrix_whole(lua_State *L, int index, const char *what, const char *name, int64_t low, int64_t high) {
    int whole = 0;
    lua_Integer v = lua_tointegerx(L, index, &whole);
    if (!whole || lua_type(L, index) != LUA_TNUMBER) {
        if (lua_type(L, index) == LUA_TNUMBER)
            script_error(L, "%s: %s is %g, expected a whole number", what, name, lua_tonumber(L, index));
        script_error(L, "%s: %s must be a whole number, not a %s", what, name, luaL_typename(L, index));
    }
    if (v < low || v > high)
        script_error(L, "%s: %s is %lld, expected %lld .. %lld", what, name, (long long)v, (long long)low,
                     (long long)high);
    return v;
}

// ---- fields, text ------------------------------------------------------------------------------

// upvalue 1: the table of methods.
static int index_matrix(lua_State *L) {
    script_matrix *m = matrix_check(L, 1, "a matrix");
    const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    if (strcmp(key, "rows") == 0 || strcmp(key, "cols") == 0) {
        lua_pushinteger(L, *key == 'r' ? m->rows : m->cols);
        return 1;
    }
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
    script_error(L, "a matrix has no field or method '%.40s' (m:get(i, j) reads one value)", key);
}

static int text_matrix(lua_State *L) {
    script_matrix *m = matrix_check(L, 1, "tostring");
    lua_pushfstring(L, "matrix %d x %d", (int)m->rows, (int)m->cols);
    return 1;
}

// ---- parts -------------------------------------------------------------------------------------

static int get_value(lua_State *L) {
    script_matrix *m = matrix_check(L, 1, "get");
    int64_t i = matrix_whole(L, 2, "get", "the row", 1, m->rows);
    int64_t j = matrix_whole(L, 3, "get", "the column", 1, m->cols);
    lua_pushnumber(L, (double)m->data[(i - 1) * m->cols + j - 1]);
    return 1;
}

static void copy_block(const script_matrix *from, int64_t i, int64_t j, script_matrix *to) {
    for (int64_t r = 0; r < to->rows; r++)
        memcpy(to->data + r * to->cols, from->data + (i + r) * from->cols + j, (size_t)to->cols * sizeof(float));
}

static int take_rows(lua_State *L) {
    script_matrix *m = matrix_check(L, 1, "row");
    int64_t i = matrix_whole(L, 2, "row", "the first row", 1, m->rows);
    int64_t k = lua_isnoneornil(L, 3) ? i : matrix_whole(L, 3, "row", "the last row", i, m->rows);
    copy_block(m, i - 1, 0, matrix_new(L, "row", k - i + 1, m->cols));
    return 1;
}

static int take_cols(lua_State *L) {
    script_matrix *m = matrix_check(L, 1, "col");
    int64_t j = matrix_whole(L, 2, "col", "the first column", 1, m->cols);
    int64_t k = lua_isnoneornil(L, 3) ? j : matrix_whole(L, 3, "col", "the last column", j, m->cols);
    copy_block(m, 0, j - 1, matrix_new(L, "col", m->rows, k - j + 1));
    return 1;
}

// m:put(i, j, x): x, a number or a matrix, with its first value at (i, j); changes m.
static int put_block(lua_State *L) {
    script_matrix *m = matrix_check(L, 1, "put");
    int64_t i = matrix_whole(L, 2, "put", "the row", 1, m->rows);
    int64_t j = matrix_whole(L, 3, "put", "the column", 1, m->cols);
    if (lua_type(L, 4) == LUA_TNUMBER) {
        m->data[(i - 1) * m->cols + j - 1] = (float)lua_tonumber(L, 4);
    } else {
        script_matrix *x = matrix_check(L, 4, "put");
        if (i - 1 + x->rows > m->rows || j - 1 + x->cols > m->cols)
            script_error(L, "put: %lld x %lld at row %lld, column %lld does not fit into %lld x %lld",
                         (long long)x->rows, (long long)x->cols, (long long)i, (long long)j, (long long)m->rows,
                         (long long)m->cols);
        for (int64_t r = 0; r < x->rows; r++)
            memmove(m->data + (i - 1 + r) * m->cols + j - 1, x->data + r * x->cols, (size_t)x->cols * sizeof(float));
    }
    lua_settop(L, 1);
    return 1;
}

static int copy_matrix(lua_State *L) {
    script_matrix *m = matrix_check(L, 1, "copy");
    matrix_push(L, "copy", m->data, m->rows, m->cols);
    return 1;
}

static int transpose(lua_State *L) {
    enum { TILE = 32 };
    script_matrix *m = matrix_check(L, 1, "t");
    script_matrix *t = matrix_new(L, "t", m->cols, m->rows);
    for (int64_t a = 0; a < m->rows; a += TILE)
        for (int64_t j = 0; j < m->cols; j++)
            for (int64_t i = a; i < m->rows && i < a + TILE; i++) t->data[j * m->rows + i] = m->data[i * m->cols + j];
    return 1;
}

static int reshape(lua_State *L) {
    script_matrix *m = matrix_check(L, 1, "reshape");
    int64_t rows = matrix_whole(L, 2, "reshape", "the number of rows", 1, INT32_MAX);
    int64_t cols = matrix_whole(L, 3, "reshape", "the number of columns", 1, INT32_MAX);
    if (rows * cols != m->rows * m->cols)
        script_error(L, "reshape: %lld x %lld is %lld values, the matrix of %lld x %lld holds %lld", (long long)rows,
                     (long long)cols, (long long)(rows * cols), (long long)m->rows, (long long)m->cols,
                     (long long)(m->rows * m->cols));
    matrix_push(L, "reshape", m->data, rows, cols);
    return 1;
}

// Every row cut into runs of g: [rows * cols / g x g].
static int groups(lua_State *L) {
    script_matrix *m = matrix_check(L, 1, "groups");
    int64_t g = matrix_whole(L, 2, "groups", "the length of a group", 1, INT32_MAX);
    if (m->cols % g)
        script_error(L, "groups: runs of %lld do not divide the %lld columns", (long long)g, (long long)m->cols);
    matrix_push(L, "groups", m->data, m->rows * m->cols / g, g);
    return 1;
}

static int below(lua_State *L) {
    script_matrix *a = matrix_check(L, 1, "below"), *b = matrix_check(L, 2, "below");
    if (a->cols != b->cols)
        script_error(L, "below: %lld x %lld under %lld x %lld: the numbers of columns differ", (long long)b->rows,
                     (long long)b->cols, (long long)a->rows, (long long)a->cols);
    script_matrix *m = matrix_new(L, "below", a->rows + b->rows, a->cols);
    memcpy(m->data, a->data, (size_t)(a->rows * a->cols) * sizeof(float));
    memcpy(m->data + a->rows * a->cols, b->data, (size_t)(b->rows * b->cols) * sizeof(float));
    return 1;
}

static int beside(lua_State *L) {
    script_matrix *a = matrix_check(L, 1, "beside"), *b = matrix_check(L, 2, "beside");
    if (a->rows != b->rows)
        script_error(L, "beside: %lld x %lld next to %lld x %lld: the numbers of rows differ", (long long)b->rows,
                     (long long)b->cols, (long long)a->rows, (long long)a->cols);
    script_matrix *m = matrix_new(L, "beside", a->rows, a->cols + b->cols);
    for (int64_t r = 0; r < a->rows; r++) {
        memcpy(m->data + r * m->cols, a->data + r * a->cols, (size_t)a->cols * sizeof(float));
        memcpy(m->data + r * m->cols + a->cols, b->data + r * b->cols, (size_t)b->cols * sizeof(float));
    }
    return 1;
}

// Rows or columns in the order of a list of numbers (a matrix of one row or column, from 1).
static int pick(lua_State *L, bool rows, const char *what) {
    script_matrix *m = matrix_check(L, 1, what), *list = matrix_check(L, 2, what);
    int64_t n = list->rows * list->cols, most = rows ? m->rows : m->cols;
    if (list->rows != 1 && list->cols != 1)
        script_error(L, "%s: the list has %lld x %lld values, expected one row or one column", what,
                     (long long)list->rows, (long long)list->cols);
    script_matrix *out = matrix_new(L, what, rows ? n : m->rows, rows ? m->cols : n);
    for (int64_t k = 0; k < n; k++) {
        float at = list->data[k];
        if (!(at >= 1 && at <= (float)most && at == floorf(at)))
            script_error(L, "%s: entry %lld of the list is %g, expected a whole number 1 .. %lld", what,
                         (long long)(k + 1), (double)at, (long long)most);
        int64_t from = (int64_t)at - 1;
        if (rows) memcpy(out->data + k * m->cols, m->data + from * m->cols, (size_t)m->cols * sizeof(float));
        for (int64_t i = 0; !rows && i < m->rows; i++) out->data[i * n + k] = m->data[i * m->cols + from];
    }
    return 1;
}
static int pick_rows(lua_State *L) {
    return pick(L, true, "pick_rows");
}
static int pick_cols(lua_State *L) {
    return pick(L, false, "pick_cols");
}

static int diagonal(lua_State *L) {
    script_matrix *m = matrix_check(L, 1, "diag");
    bool list = m->rows == 1 || m->cols == 1;
    int64_t n = list ? m->rows * m->cols : m->rows;
    if (!list && m->rows != m->cols)
        script_error(L, "diag: the matrix of %lld x %lld is neither square nor a single row or column",
                     (long long)m->rows, (long long)m->cols);
    script_matrix *out = matrix_new(L, "diag", n, list ? n : 1);
    for (int64_t i = 0; i < n; i++) {
        if (list)
            out->data[i * n + i] = m->data[i];
        else
            out->data[i] = m->data[i * n + i];
    }
    return 1;
}

const matrix_function matrix_parts[] = {
    {"get", "m:get(i, j)", "One value, as a number.", get_value},
    {"row", "m:row(i [, k])", "Rows i to k.", take_rows},
    {"col", "m:col(j [, k])", "Columns j to k.", take_cols},
    {"put", "m:put(i, j, x)",
     "Writes the number or matrix `x` into `m` with its first value at row i, column j; returns `m`. The only "
     "function that changes a matrix.",
     put_block},
    {"copy", "m:copy()", "A copy.", copy_matrix},
    {"t", "m:t()", "The transpose.", transpose},
    {"reshape", "m:reshape(rows, cols)", "The same values, row after row, in another shape.", reshape},
    {"groups", "m:groups(g)", "Every row cut into runs of g values, a run a row.", groups},
    {"below", "m:below(b)", "`b` under `m`.", below},
    {"beside", "m:beside(b)", "`b` to the right of `m`.", beside},
    {"pick_rows", "m:pick_rows(list)", "The rows with these numbers, in this order.", pick_rows},
    {"pick_cols", "m:pick_cols(list)", "The columns with these numbers, in this order.", pick_cols},
    {"diag", "m:diag()", "The diagonal as a column; of a single row or column, the square matrix with that diagonal.",
     diagonal},
    {0},
};

// ---- making ------------------------------------------------------------------------------------

static script_matrix *sized(lua_State *L, const char *what) {
    int64_t rows = matrix_whole(L, 1, what, "the number of rows", 1, INT32_MAX);
    int64_t cols = matrix_whole(L, 2, what, "the number of columns", 1, INT32_MAX);
    return matrix_new(L, what, rows, cols);
}

static int make_fill(lua_State *L) {
    if (lua_type(L, 3) != LUA_TNUMBER)
        script_error(L, "tensor.fill: the value must be a number, not a %s", luaL_typename(L, 3));
    float value = (float)lua_tonumber(L, 3);
    script_matrix *m = sized(L, "tensor.fill");
    for (int64_t i = 0; i < m->rows * m->cols; i++) m->data[i] = value;
    return 1;
}

static int make_identity(lua_State *L) {
    int64_t n = matrix_whole(L, 1, "tensor.identity", "the size", 1, 1 << 20);
    script_matrix *m = matrix_new(L, "tensor.identity", n, n);
    for (int64_t i = 0; i < n; i++) m->data[i * n + i] = 1;
    return 1;
}

static int make_random(lua_State *L, const char *what, double (*draw)(num_rng *r)) {
    num_rng rng = num_rng_seed((uint64_t)matrix_whole(L, 3, what, "the seed", INT64_MIN, INT64_MAX), 0);
    script_matrix *m = sized(L, what);
    for (int64_t i = 0; i < m->rows * m->cols; i++) m->data[i] = (float)draw(&rng);
    return 1;
}
static int make_uniform(lua_State *L) {
    return make_random(L, "tensor.uniform", num_rng_unit);
}
static int make_normal(lua_State *L) {
    return make_random(L, "tensor.normal", num_rng_normal);
}

// tensor.of{ {1, 2}, {3, 4} }
static int make_of(lua_State *L) {
    luaL_checktype(L, 1, LUA_TTABLE);
    int64_t rows = (int64_t)lua_rawlen(L, 1), cols = 0;
    if (rows && lua_rawgeti(L, 1, 1) == LUA_TTABLE) cols = (int64_t)lua_rawlen(L, -1);
    if (!cols) script_error(L, "tensor.of: expected a list of rows, such as {{1, 2}, {3, 4}}");
    script_matrix *m = matrix_new(L, "tensor.of", rows, cols);
    for (int64_t i = 0; i < rows; i++) {
        if (lua_rawgeti(L, 1, i + 1) != LUA_TTABLE || (int64_t)lua_rawlen(L, -1) != cols)
            script_error(L, "tensor.of: row %lld is not a list of %lld numbers as the first is", (long long)(i + 1),
                         (long long)cols);
        for (int64_t j = 0; j < cols; j++) {
            if (lua_rawgeti(L, -1, j + 1) != LUA_TNUMBER)
                script_error(L, "tensor.of: the value in row %lld, column %lld is a %s", (long long)(i + 1),
                             (long long)(j + 1), luaL_typename(L, -1));
            m->data[i * cols + j] = (float)lua_tonumber(L, -1);
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    return 1;
}

const matrix_function tensor_functions[] = {
    {"of", "tensor.of{{1, 2}, {3, 4}}", "A matrix from a list of rows.", make_of},
    {"fill", "tensor.fill(rows, cols, value)", "The same value everywhere.", make_fill},
    {"identity", "tensor.identity(n)", "1 on the diagonal, 0 elsewhere.", make_identity},
    {"uniform", "tensor.uniform(rows, cols, seed)", "Random numbers from 0 to 1, the same for the same seed.",
     make_uniform},
    {"normal", "tensor.normal(rows, cols, seed)", "Random numbers, mean 0 and variance 1.", make_normal},
    {0},
};

// ---- opening -----------------------------------------------------------------------------------

// upvalue 1: the function. Time that a function of ours computes is not the idling that the time limit is for.
static int call_timed(lua_State *L) {
    lua_CFunction f = lua_tocfunction(L, lua_upvalueindex(1));
    script_check_stop(L);
    double began = script_clock();
    int n = f(L);
    script_forgive(L, began);
    return n;
}

static void add_functions(lua_State *L, const matrix_function *list, bool operators) {
    for (; list->name; list++) {
        if ((strncmp(list->name, "__", 2) == 0) != operators) continue;
        lua_pushcfunction(L, list->function);
        lua_pushcclosure(L, call_timed, 1);
        lua_setfield(L, -2, list->name);
    }
}

int script_open_matrix(lua_State *L) {
    static const matrix_function *const methods[] = {matrix_parts, matrix_math, matrix_algebra};
    tally *t = lua_newuserdatauv(L, sizeof *t, 0);
    *t = (tally){0, 0, most_bytes};
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (pages > 0 && page > 0 && (size_t)pages / 2 < t->limit / (size_t)page)
        t->limit = (size_t)pages / 2 * (size_t)page;
    lua_setfield(L, LUA_REGISTRYINDEX, tally_key);
    luaL_newmetatable(L, SCRIPT_MATRIX);
    lua_newtable(L);
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) add_functions(L, methods[i], false);
    lua_pushcclosure(L, index_matrix, 1);
    lua_setfield(L, -2, "__index");
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) add_functions(L, methods[i], true);
    static const luaL_Reg rest[] = {{"__gc", free_matrix}, {"__tostring", text_matrix}, {NULL, NULL}};
    luaL_setfuncs(L, rest, 0);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
    lua_newtable(L);
    add_functions(L, tensor_functions, false);
    script_global(L, "tensor");
    return 0;
}
