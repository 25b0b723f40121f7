// Fuzz target: any bytes as a safetensors file. What the reader accepts must lie inside the bytes it was given and
// cover them, must be something the writer can write, and must bind for per-tensor work or say why not.
#include "model/files.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    base_err err = {0};
    model_tensors *t = files_new("fuzz.safetensors", "safetensors");
    if (!files_parse_safetensors(t, "fuzz.safetensors", data, size, &err)) {
        BASE_CHECK(err.text[0]);
        model_tensors_close(t);
        return 0;
    }
    size_t total = 0;
    for (int k = 0; k < t->count; k++) {
        const model_tensor *item = &t->items[k];
        const uint8_t *begin = item->t.data;
        BASE_CHECK(begin >= data && begin + item->bytes <= data + size);
        total += item->bytes;
    }
    BASE_CHECK(t->header_bytes + total == size);
    size_t header;
    BASE_CHECK(model_safetensors_header(t->items, t->count, t->metadata, &header, &err));
    model *m = model_bind(NULL, t, NULL, &err);
    BASE_CHECK(m || err.text[0]);
    model_close(m);
    return 0;
}
