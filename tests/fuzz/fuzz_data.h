// What the fuzz targets of the dataset readers share: bytes as a file without a name on disk, and a set opened, fetched
// and closed. A target's first bytes choose options, the rest is the file.
#ifndef VISE_TESTS_FUZZ_FUZZ_DATA_H
#define VISE_TESTS_FUZZ_FUZZ_DATA_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dataset/dataset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Replaces what file `slot` (0 or 1) holds; its path stays valid.
static inline const char *fuzz_file(int slot, const uint8_t *data, size_t size) {
    static int fd[2] = {-1, -1};
    static char path[2][32];
    if (fd[slot] < 0) {
        fd[slot] = memfd_create("fuzz", 0);
        snprintf(path[slot], sizeof path[slot], "/proc/self/fd/%d", fd[slot]);
    }
    BASE_CHECK(ftruncate(fd[slot], 0) == 0 && pwrite(fd[slot], data, size, 0) == (ssize_t)size);
    return path[slot];
}

static inline void fuzz_open(data_spec *s, const char *format, const char *path, const char *labels) {
    s->sources = base_calloc(1, sizeof *s->sources);
    s->source_count = 1;
    s->sources[0] = (data_source){base_strdup(format), base_strdup(path), base_strdup(labels), DATA_ALL};
    base_err err = {0};
    data_set *set = data_open(s, NULL, &err);
    data_spec_free(s);
    if (!set) {
        BASE_CHECK(err.status == BASE_FAILED && err.text[0]);
        return;
    }
    data_view *all = data_view_part(set, DATA_ALL, &err);
    data_batch b = {0};
    BASE_CHECK(all && set->part_count[0] + set->part_count[1] + set->part_count[2] == set->count);
    for (int64_t i = 0; i < all->count && i < 64; i++) BASE_CHECK(data_fetch(all, i, 1, &b, &err));
    data_batch_free(&b);
    data_view_free(all);
    data_close(set);
}

#endif
