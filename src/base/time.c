// time: the two clocks - monotonic seconds for durations, Unix seconds for records.
#include "base/base.h"

#include <time.h>

double base_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int64_t base_wall(void) {
    return (int64_t)time(NULL);
}
