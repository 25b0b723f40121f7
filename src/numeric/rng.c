// rng: PCG32 (O'Neill, "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms", 2014), XSH-RR.
#include "numeric/numeric.h"

#include <math.h>

uint32_t num_rng_next(num_rng *r) {
    uint64_t old = r->state;
    r->state = old * 6364136223846793005ULL + r->stream;
    uint32_t x = (uint32_t)(((old >> 18) ^ old) >> 27);
    uint32_t turn = (uint32_t)(old >> 59);
    return x >> turn | x << (-turn & 31);
}

num_rng num_rng_seed(uint64_t seed, uint64_t stream) {
    num_rng r = {0, stream << 1 | 1};
    num_rng_next(&r);
    r.state += seed;
    num_rng_next(&r);
    return r;
}

uint32_t num_rng_below(num_rng *r, uint32_t bound) {
    if (bound == 0) return 0;
    uint32_t threshold = -bound % bound; // the first values would make low results likelier
    for (;;) {
        uint32_t x = num_rng_next(r);
        if (x >= threshold) return x % bound;
    }
}

double num_rng_unit(num_rng *r) {
    uint64_t high = num_rng_next(r) >> 5, low = num_rng_next(r) >> 6;
    return (double)(high << 26 | low) * 0x1p-53;
}

// Box and Muller 1958, one of the pair: no state beyond the generator's, so streams stay reproducible.
double num_rng_normal(num_rng *r) {
    double u = 1 - num_rng_unit(r), v = num_rng_unit(r);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

static uint64_t below64(num_rng *r, uint64_t bound) {
    if (bound <= UINT32_MAX) return num_rng_below(r, (uint32_t)bound);
    uint64_t threshold = -bound % bound;
    for (;;) {
        uint64_t high = num_rng_next(r), x = high << 32 | num_rng_next(r);
        if (x >= threshold) return x % bound;
    }
}

void num_rng_shuffle(num_rng *r, int64_t *items, size_t count) {
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)below64(r, i);
        int64_t held = items[i - 1];
        items[i - 1] = items[j];
        items[j] = held;
    }
}
