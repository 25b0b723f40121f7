// levels: the values of a grid in rising order (see levels.h).
#include "compress/solvers/levels.h"
#include "compress/types/types.h"

#include <math.h>
#include <string.h>

bool levels_of(const grid_spec *g, level_list *l) {
    if (!g->table && g->scheme != UNIFORM_SIGN && g->scheme != UNIFORM_TERNARY) return false;
    // A scale of one of a grid without a zero point; ternary codes count from -1.
    const grid_param one = {1, g->table ? 1 : g->scheme == UNIFORM_TERNARY ? 1 : 0};
    int codes = (int)grid_max_code(g) + 1;
    l->count = 0;
    l->split = g->split;
    memset(l->place, -1, sizeof l->place);
    for (int c = 0; c < codes; c++) {
        float v = grid_value(g, one, (unsigned)c);
        if (!isfinite(v)) continue;
        int at = l->count;
        while (at > 0 && l->level[at - 1] > v) at--;
        if (at > 0 && l->level[at - 1] == v) continue; // an earlier code has it
        memmove(l->level + at + 1, l->level + at, (size_t)(l->count - at) * sizeof *l->level);
        memmove(l->code + at + 1, l->code + at, (size_t)(l->count - at) * sizeof *l->code);
        l->level[at] = v;
        l->code[at] = (grid_code)c;
        l->count++;
    }
    for (int c = 0; c < codes; c++) {
        float v = grid_value(g, one, (unsigned)c);
        for (int k = 0; k < l->count && isfinite(v); k++)
            if (l->level[k] == v) l->place[c] = (int16_t)k;
    }
    return true;
}

int levels_below(const level_list *l, float x) {
    int low = 0, high = l->count - 2;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (l->level[middle] <= x)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

int levels_nearest(const level_list *l, float x) {
    int k = levels_below(l, x);
    return x - l->level[k] > l->level[k + 1] - x ? k + 1 : k;
}
