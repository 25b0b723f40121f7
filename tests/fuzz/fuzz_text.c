// Fuzz target: plain text, byte and character level, with a vocabulary found or given.
#include "fuzz_data.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    data_spec *s = data_spec_new();
    s->window = data[1];
    s->level = base_strdup(data[0] & 1 ? "char" : "byte");
    size_t vocabulary = data[0] & 2 ? data[0] >> 3 : 0;
    data += 2, size -= 2;
    if (vocabulary && vocabulary <= size) {
        s->vocabulary = base_strndup((const char *)data, vocabulary);
        data += vocabulary, size -= vocabulary;
    }
    fuzz_open(s, "text", fuzz_file(0, data, size), NULL);
    return 0;
}
