// Inner kernels of direct convolution and attention for each vector unit, and the choice of the one this CPU has. They
// are written once, with the compiler's vector types, in tile.inc.h. Products and sums may be contracted to one
// instruction in this file only: that is what a vector unit is fast at.
#include "engine/tile.h"

#if defined(__clang__)
#pragma clang fp contract(fast)
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=fast")
#endif

#if defined(__x86_64__)
#define LANES 16
#define EVENS 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define NAME(x) v4_##x
#define TARGET __attribute__((target("arch=x86-64-v4")))
#define MANY 1
#define UNIT_NAME "avx512"
#include "engine/tile.inc.h"

#define LANES 8
#define EVENS 0, 2, 4, 6, 8, 10, 12, 14
#define NAME(x) v3_##x
#define TARGET __attribute__((target("arch=x86-64-v3")))
#define MANY 0
#define UNIT_NAME "avx2"
#include "engine/tile.inc.h"
#endif

#define LANES 4
#define EVENS 0, 2, 4, 6
#define NAME(x) base_##x
#define TARGET
#if defined(__aarch64__)
#define MANY 1
#else
#define MANY 0
#endif
#define UNIT_NAME "128-bit"
#include "engine/tile.inc.h"

const tile_unit *tile_unit_at(int i) {
    const tile_unit *units[4] = {NULL};
    int count = 0;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd"))
        units[count++] = &v4_unit;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))
        units[count++] = &v3_unit;
#endif
    units[count++] = &base_unit;
    return i >= 0 && i < count ? units[i] : NULL;
}

const tile_unit *tile_best_unit(void) {
    return tile_unit_at(0);
}
