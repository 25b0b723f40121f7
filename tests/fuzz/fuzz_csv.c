// Fuzz target: csv files, with and without header, any label column.
#include "fuzz_data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    data_spec *s = data_spec_new();
    s->header = data[0] % 3 - 1;
    s->unlabelled = data[0] & 8;
    s->skip_lines = data[0] >> 6;
    if (data[0] & 16) s->label_column = base_sprintf("%d", data[1] % 8 - 4);
    if (data[0] & 32) s->classes = data[1];
    fuzz_open(s, "csv", fuzz_file(0, data + 2, size - 2), NULL);
    return 0;
}
