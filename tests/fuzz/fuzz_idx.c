// Fuzz target: IDX files, plain and gzipped, with a file of labels; the first two bytes say where the labels begin.
#include "fuzz_data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    size_t split = (size_t)data[0] | (size_t)data[1] << 8;
    data += 2, size -= 2;
    if (split > size) split = size;
    data_spec *s = data_spec_new();
    const char *images = fuzz_file(0, data, split), *labels = fuzz_file(1, data + split, size - split);
    fuzz_open(s, "idx", images, labels);
    return 0;
}
