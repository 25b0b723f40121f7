// Private to compress/: the distinct values of a grid in rising order, for solvers that move codes up and down, or mix
// neighbours, on grids whose levels are not the codes themselves: tables, signs, ternary.
#ifndef VISE_COMPRESS_LEVELS_H
#define VISE_COMPRESS_LEVELS_H

#include "compress/layer.h"

enum { LEVELS_MOST = 256 };

typedef struct level_list {
    int count;                   // at least 2
    float level[LEVELS_MOST];    // rising, at scale 1
    grid_code code[LEVELS_MOST]; // one of each level
    int16_t place[LEVELS_MOST];  // of each code; codes of one value share it, those without a number have -1
    bool split;                  // negative levels have a scale of their own
} level_list;

// False for grids of integers with a zero point, whose codes are evenly spaced as they are.
bool levels_of(const grid_spec *g, level_list *l);
// The scale of a level, or of a weight, of this sign.
static inline float levels_scale(const level_list *l, grid_param p, float of) {
    return l->split && of < 0 ? p.zero : p.scale;
}
// w in units of its scale; 0 where that is 0.
static inline float levels_unit(const level_list *l, grid_param p, float w) {
    float s = levels_scale(l, p, w);
    return s > 0 ? w / s : 0;
}
static inline float levels_value(const level_list *l, grid_param p, int place) {
    return l->level[place] * levels_scale(l, p, l->level[place]);
}
// The place below x (or the first, or the last but one): x lies between it and the next, or beyond the ends.
int levels_below(const level_list *l, float x);
int levels_nearest(const level_list *l, float x);
// The distance of the two levels around x.
static inline float levels_gap(const level_list *l, float x) {
    int k = levels_below(l, x);
    return l->level[k + 1] - l->level[k];
}

#endif
