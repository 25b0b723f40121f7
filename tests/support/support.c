// support: helpers for all test programs, see support.h.
#include "tests/support/support.h"

#include "numeric/numeric.h"

#include <dirent.h>
#include <ftw.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define KEPT_MOST 4096
static char *kept[KEPT_MOST]; // texts handed out, freed at the end
static int kept_count;
static char *folders[KEPT_MOST];
static int folder_count;
static pid_t owner; // a forked child must not remove its parent's folders

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *walk) {
    (void)st, (void)kind, (void)walk;
    chmod(path, 0700);
    remove(path);
    return 0;
}

static void clean_up(void) {
    if (getpid() != owner) return;
    for (int i = 0; i < folder_count; i++) nftw(folders[i], remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    for (int i = 0; i < kept_count; i++) free(kept[i]);
}

#if defined(__GLIBC__) || defined(__APPLE__)
__attribute__((constructor)) static void choose_kernel(int argc, char **argv) {
    (void)argc;
    num_setup(argv);
}
#endif

static const char *keep(char *text) {
    if (!owner) {
        owner = getpid();
        atexit(clean_up);
    }
    BASE_CHECK(kept_count < KEPT_MOST);
    kept[kept_count++] = text;
    return text;
}

const char *support_tree(void) {
    static const char *tree;
    if (tree) return tree;
    char program[4096];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    char *dir = n > 0 ? base_strndup(program, (size_t)n) : base_strdup("./x");
    for (;;) { // up from build/tests/ROOM/ to where the sources are
        char *parent = base_dirname(dir), *mark = base_join(parent, "src/base/base.h");
        bool here = base_is_file(mark), top = strcmp(parent, "/") == 0 || strcmp(parent, ".") == 0;
        free(dir);
        free(mark);
        dir = parent;
        if (here || top) break;
    }
    return tree = keep(dir);
}

static const char *shared(const char *variable, const char *folder, const char *relative) {
    const char *given = getenv(variable);
    char *root = given && *given ? base_strdup(given) : base_sprintf("%s/../shared/%s", support_tree(), folder);
    const char *path = keep(base_join(root, relative));
    free(root);
    return access(path, R_OK) == 0 ? path : NULL;
}

const char *support_real(const char *relative) {
    return shared("VISE_REAL", "real", relative);
}
const char *support_golden(const char *relative) {
    return shared("VISE_GOLDEN", "golden", relative);
}

const char *support_temp_dir(void) {
    const char *base = getenv("TMPDIR");
    char *pattern = base_sprintf("%s/vise-test-XXXXXX", base && *base ? base : "/tmp");
    BASE_CHECK(mkdtemp(pattern) != NULL);
    BASE_CHECK(folder_count < KEPT_MOST);
    folders[folder_count++] = pattern;
    return keep(pattern);
}

const char *support_temp_path(const char *name) {
    static const char *folder;
    if (!folder) folder = support_temp_dir();
    return keep(base_join(folder, name));
}

void support_write(const char *path, const void *data, size_t bytes) {
    FILE *file = fopen(path, "wb");
    if (!file) fail_msg("cannot write %s", path);
    size_t done = bytes ? fwrite(data, 1, bytes, file) : 0;
    if (fclose(file) != 0 || done != bytes) fail_msg("cannot write %s", path);
}

char *support_read(const char *path, size_t *bytes) {
    base_err err;
    size_t n = 0;
    char *text = base_read_file(path, (size_t)1 << 30, &n, &err);
    if (!text) fail_msg("%s", err.text);
    if (bytes) *bytes = n;
    return text;
}

bool support_same_files(const char *a, const char *b) {
    size_t n, m;
    char *x = support_read(a, &n), *y = support_read(b, &m);
    bool same = n == m && memcmp(x, y, n) == 0;
    free(x);
    free(y);
    return same;
}

int support_count_entries(const char *path) {
    DIR *dir = opendir(path);
    if (!dir) return -1;
    int count = 0;
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) count++;
    closedir(dir);
    return count;
}

int support_run(const char *command, char **output) {
    char *merged = base_sprintf("{ %s\n} 2>&1", command);
    FILE *pipe = popen(merged, "r");
    free(merged);
    base_buf text = {0};
    base_buf_puts(&text, "");
    char block[4096];
    size_t n;
    while (pipe && (n = fread(block, 1, sizeof block, pipe)) > 0) base_buf_add(&text, block, n);
    int status = pipe ? pclose(pipe) : -1;
    if (output)
        *output = text.text;
    else
        base_buf_free(&text);
    return status < 0 ? -1 : WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

double support_max_diff(const float *a, const float *b, size_t count) {
    double most = 0;
    for (size_t i = 0; i < count; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        if (!(d <= most)) most = d; // NaN too
    }
    return most;
}

void support_fill(float *x, size_t count, uint64_t seed) {
    num_rng rng = num_rng_seed(seed, 17);
    for (size_t i = 0; i < count; i++) x[i] = (float)(2 * num_rng_unit(&rng) - 1);
}
