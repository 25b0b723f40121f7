// support: what test programs share - where real data is, folders that vanish at exit, files made and compared.
//
// Before main runs, a constructor calls num_setup, so that tests use the same BLAS kernel as the program.
#ifndef VISE_TESTS_SUPPORT_H
#define VISE_TESTS_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A path below $VISE_REAL / $VISE_GOLDEN, else below ../shared/real / ../shared/golden beside the checkout. NULL when
// it is not there: `if (!path) skip();`. The text stays valid to the end of the program.
const char *support_real(const char *relative);
const char *support_golden(const char *relative);
// The top of the source tree.
const char *support_tree(void);

// A new empty folder, removed with all it holds when the program ends. The text stays valid to the end of the program.
const char *support_temp_dir(void);
// A path in a folder of this program's own; the same name gives the same path. Valid to the end of the program.
const char *support_temp_path(const char *name);

// Writes / reads a whole file; a failure fails the running test.
void support_write(const char *path, const void *data, size_t bytes);
char *support_read(const char *path, size_t *bytes); // NUL added; caller frees
bool support_same_files(const char *a, const char *b);
// Number of entries in a folder, hidden ones included.
int support_count_entries(const char *path);

// Runs a shell command, both outputs to `*output` (NULL: dropped; else caller frees); the exit status, or 128 + signal.
int support_run(const char *command, char **output);

// Largest |a - b|.
double support_max_diff(const float *a, const float *b, size_t count);
// count values in [-1, 1), the same for the same seed.
void support_fill(float *x, size_t count, uint64_t seed);

// Times are promised of the release build; the others (sanitizers, line counters) may take this many times as long.
#ifdef NDEBUG
enum { SUPPORT_SLOWER = 1 };
#else
enum { SUPPORT_SLOWER = 20 };
#endif

#endif
