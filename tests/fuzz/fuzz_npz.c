// fuzz_npz: any bytes as an npy, npz or gz file. Whatever is read must be whole: every value of every array is touched.
#include "numeric/numeric.h"

#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void touch(const num_npz *z) {
    uint32_t sum = 0;
    for (size_t i = 0; i < z->count; i++) {
        const num_tensor *t = &z->items[i].tensor;
        size_t bytes;
        BASE_CHECK(num_count(t->ndim, t->dim, t->dtype, NULL, &bytes));
        for (size_t b = 0; b < bytes; b++) sum += ((const uint8_t *)t->data)[b];
        BASE_CHECK(num_npz_find(z, z->items[i].name) != NULL);
    }
    static volatile uint32_t sink;
    sink = sum;
    (void)sink;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char path[64];
    if (!path[0]) snprintf(path, sizeof path, "/dev/shm/vise-fuzz-npz-%ld", (long)getpid());
    FILE *file = fopen(path, "wb");
    if (!file) return 0;
    fwrite(data, 1, size, file);
    fclose(file);
    base_err err = {0};
    num_npz z;
    if (num_npz_open(&z, path, &err))
        touch(&z);
    else
        BASE_CHECK(err.text[0] != '\0');
    num_npz_close(&z);
    size_t bytes;
    uint8_t *inflated = num_gunzip(path, 1 << 20, &bytes, &err);
    BASE_CHECK(!inflated || bytes <= 1 << 20);
    base_big_free(inflated);
    unlink(path);
    return 0;
}
