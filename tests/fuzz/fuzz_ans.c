// Fuzz target: any bytes as an entropy-coded array, and as an array to be coded. What is refused says why; what is
// coded comes back to the bit.
#include "compress/ans.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    base_err err = {0};
    int64_t bytes = 0, coded = 0;
    uint8_t *out = ans_decode(data, size, 1 << 20, &bytes, &err);
    BASE_CHECK(out ? bytes > 0 && bytes <= 1 << 20 : err.text[0] != 0);
    base_big_free(out);
    if (size < 2) return 0;
    // Whole symbols only: what is left of the last byte is 0 in every array that is coded.
    static const int whole[] = {1, 2, 4, 8};
    uint8_t *c = ans_encode(data + 1, (int64_t)size - 1, whole[data[0] & 3], &coded, &err);
    out = c ? ans_decode(c, (size_t)coded, size, &bytes, &err) : NULL;
    BASE_CHECK(out && bytes == (int64_t)size - 1 && memcmp(out, data + 1, size - 1) == 0);
    base_big_free(out);
    base_big_free(c);
    return 0;
}
