// Private to compress/: invertible maps of a layer's inputs or outputs.
//
// A map on the inputs turns W into W A and the inputs x into A^-1 x, which leaves the output W x as it is; one on the
// outputs turns W into A^T W. The terms then stand for the mapped weight, and decoding maps back. A is diagonal, a
// permutation, or orthogonal; a grouped convolution has one A for each of its groups.
#ifndef VISE_COMPRESS_MAP_H
#define VISE_COMPRESS_MAP_H

#include "compress/layer.h"

enum map_form { MAP_SCALE, MAP_PERMUTE, MAP_HADAMARD, MAP_RANDOM, MAP_PALEY };
// MAP_HADAMARD, or MAP_PALEY for the sides that have a true Hadamard matrix by it alone.
int map_hadamard_for(int64_t n);
enum map_side { MAP_IN, MAP_OUT };
enum { MAP_MOST_BASE = 4096, MAP_MOST_RANDOM = 2048 };

// An orthogonal matrix R of side n that only its form and seed describe (map.c says which).
typedef struct rotation {
    int64_t n, base; // n = 2^k * base
    bool random;
    double *sign;   // [n] +1 or -1
    double *matrix; // [base x base] orthogonal, or the vectors of random reflections
    double *spare;  // [base]
} rotation;
bool rotation_open(rotation *r, int form, int64_t n, uint64_t seed, base_err *err) BASE_MUST_USE;
void rotation_close(rotation *r);
// x = x R (back: x R^T), x a row of n values, spare [n].
void rotation_apply(const rotation *r, double *x, double *spare, bool back);

typedef struct map {
    int form, side;
    int64_t groups, rows, cols; // of the weight
    const float *scale;         // MAP_SCALE: [groups x n], n = cols, or rows / groups on the output side
    const int32_t *from;        // MAP_PERMUTE: [groups x n], x'[i] = x[from[i]]
    uint64_t seed;              // of a rotation
} map;
// W = W A in place (back: W = W A^-1).
bool map_weight(const map *m, bool back, float *w, base_err *err) BASE_MUST_USE;
// Second moments and the mean of the inputs as they are behind the map (input side).
bool map_gram(const map *m, float *h, base_err *err) BASE_MUST_USE;
bool map_vector(const map *m, float *x, base_err *err) BASE_MUST_USE; // [groups x cols]

// The stored form (terms/mapped.c): no children yet. Scales are stored as f16, or f32 where f16 cannot hold them.
term *term_mapped_new(const map *m, base_err *err);
bool term_mapped_read(const term *t, map *m, void **owned, base_err *err) BASE_MUST_USE;

// A step puts a map before everything the layer will hold: fails when there are terms or a mask already. `m` holds
// what to do; rows, cols and groups are filled here. The layer's weight, moments and means are mapped.
bool layer_map(layer *l, map *m, base_err *err) BASE_MUST_USE;
// All terms into the maps, outermost first: what is stored. A layer without terms drops its maps.
bool layer_wrap(layer *l, base_err *err) BASE_MUST_USE;
// The weight that the terms so far stand for, mapped back.
bool layer_decode(const layer *l, float *out, base_err *err) BASE_MUST_USE;
const float *layer_original(const layer *l); // the weight before any map

#endif
