// Fuzz target: npy files as samples, as labels and as token ids.
#include "fuzz_data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    data_spec *s = data_spec_new();
    const char *path = fuzz_file(0, data + 2, size - 2);
    s->unlabelled = data[0] & 1;
    s->window = data[1] >> 4;
    s->bos = data[0] & 4 ? data[1] & 15 : -1;
    fuzz_open(s, data[0] & 2 ? "tokens" : "npy", path, s->unlabelled ? NULL : path);
    return 0;
}
