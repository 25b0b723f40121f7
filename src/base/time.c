// time: the two clocks - monotonic seconds for durations, Unix seconds for records - and whose they are.
#include "base/base.h"

#include <pthread.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

double base_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int64_t base_wall(void) {
    return (int64_t)time(NULL);
}

// ---- the machine -----------------------------------------------------------------------------------

static char machine[256];

// "model name : X" of the first processor, where the system tells (Linux).
static void processor_name(char *out, size_t size) {
    char line[512];
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f)) {
        char *value = strchr(line, ':');
        if (!value || strncmp(line, "model name", 10) != 0) continue;
        line[strcspn(line, "\n")] = 0;
        base_clean(out, size, value + strspn(value, ": "));
        break;
    }
    if (f) fclose(f);
}

static void find_machine(void) {
    struct utsname u;
    char name[65] = "?", processor[120] = "";
    if (uname(&u) == 0) {
        base_clean(name, sizeof name, u.nodename);
        base_clean(processor, sizeof processor, u.machine);
    }
    processor_name(processor, sizeof processor);
    snprintf(machine, sizeof machine, "%s, %s, %ld cores", name, processor, sysconf(_SC_NPROCESSORS_ONLN));
}

const char *base_machine(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find_machine);
    return machine;
}
