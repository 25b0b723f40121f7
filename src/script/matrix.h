// Private to script/: matrices of float32 for recipes that define steps of their own. A matrix is a userdata; its
// values are held through base_big_alloc. matrix.c has the handle, making and taking apart, matrix_math.c what is
// computed element by element, along an axis or by linear algebra, matrix_step.c the step that uses them.
//
// An operand may be a number, or a matrix with one row or one column, which is then repeated to fit.
#ifndef VISE_SCRIPT_MATRIX_H
#define VISE_SCRIPT_MATRIX_H

#include "script/sandbox.h"

#define SCRIPT_MATRIX "matrix"

typedef struct script_matrix {
    int64_t rows, cols; // both at least 1
    float *data;        // row-major; NULL until it was allocated
} script_matrix;

typedef struct matrix_function {
    const char *name, *call, *help; // name "__add" and the like: operators, without help
    lua_CFunction function;
} matrix_function;
// Stop at a NULL name. Methods and operators of a matrix; functions of the table `tensor`.
extern const matrix_function matrix_parts[], matrix_math[], matrix_algebra[], tensor_functions[];

int script_open_matrix(lua_State *L); // lua_CFunction: the type, its methods, and the global `tensor`
// A zeroed matrix, pushed; `what` is the function's name for messages. Raises on bad sizes or when memory is out.
script_matrix *matrix_new(lua_State *L, const char *what, int64_t rows, int64_t cols);
script_matrix *matrix_check(lua_State *L, int index, const char *what);
// A copy of values, pushed; data NULL pushes nil.
void matrix_push(lua_State *L, const char *what, const float *data, int64_t rows, int64_t cols);
int64_t matrix_whole(lua_State *L, int index, const char *what, const char *name, int64_t low, int64_t high);

#endif
