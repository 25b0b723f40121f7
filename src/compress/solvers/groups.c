// groups: a convolution's groups one after another - each has its own rows and its own second moment.
#include "compress/layer.h"

#include <stdlib.h>

static bool one_group(solver_problem *whole, int64_t index,
                      bool (*solve)(solver_problem *group, void *context, base_err *err), void *context,
                      base_err *err) {
    int64_t rows = whole->rows / whole->groups, first = index * rows, cols = whole->cols;
    int64_t per_row = uniform_groups_per_row(cols, whole->grid.group);
    solver_problem p = *whole;
    float *copies = NULL;
    p.rows = rows;
    p.groups = 1;
    p.r += first * cols;
    p.h += index * cols * cols;
    p.codes += first * cols;
    if (p.mask) p.mask += first * cols;
    if (!per_row) {
        copies = base_calloc((size_t)rows, 2 * sizeof *copies);
        p.scales = copies;
        p.zeros = copies + rows;
        for (int64_t r = 0; r < rows; r++) p.scales[r] = whole->scales[0], p.zeros[r] = whole->zeros[0];
    } else {
        p.scales += first * per_row;
        p.zeros += first * per_row;
    }
    bool ok = solve(&p, context, err);
    free(copies);
    if (!(whole->damping > p.damping)) whole->damping = p.damping; // NaN at first
    return ok;
}

bool solver_each_group(solver_problem *p, bool (*solve)(solver_problem *group, void *context, base_err *err),
                       void *context, base_err *err) {
    for (int64_t g = 0; g < p->groups; g++)
        if (!one_group(p, g, solve, context, err)) return false;
    return true;
}
