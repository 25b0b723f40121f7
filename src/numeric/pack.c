// pack: integer codes of 1 to 16 bits laid end to end, least significant bit first.
#include "numeric/numeric.h"

size_t num_packed_bytes(size_t count, int width) {
    // count / 8 * width first, so that the product of bits cannot overflow
    size_t w = (size_t)width;
    return count / 8 * w + (count % 8 * w + 7) / 8;
}

void num_pack(const uint16_t *codes, size_t count, int width, uint8_t *out) {
    BASE_CHECK(width >= 1 && width <= 16);
    const uint64_t mask = (1u << width) - 1;
    uint64_t held = 0;
    int bits = 0;
    for (size_t i = 0; i < count; i++) {
        held |= (codes[i] & mask) << bits;
        bits += width;
        for (; bits >= 8; bits -= 8, held >>= 8) *out++ = (uint8_t)held;
    }
    if (bits > 0) *out = (uint8_t)held;
}

void num_unpack(const uint8_t *in, size_t count, int width, uint16_t *codes) {
    BASE_CHECK(width >= 1 && width <= 16);
    const uint64_t mask = (1u << width) - 1;
    uint64_t held = 0;
    int bits = 0;
    for (size_t i = 0; i < count; i++) {
        for (; bits < width; bits += 8) held |= (uint64_t)*in++ << bits;
        codes[i] = (uint16_t)(held & mask);
        held >>= width;
        bits -= width;
    }
}
