// code: stores what the steps before it chose in entropy-coded form. Nothing that is computed changes.
#include "compress/ans.h"

static bool apply(const compress_step *s, layer *l, base_err *err) {
    (void)s;
    int64_t before = layer_bytes(l);
    for (int i = 0; i < l->term_count; i++)
        if (!base_go_on(l->job, err) || !ans_term(l->terms[i], err)) return false;
    int64_t after = layer_bytes(l);
    base_buf_printf(&l->did, "coded: %lld -> %lld bytes", (long long)before, (long long)after);
    return true;
}

const compress_step_kind step_code = {
    .name = "code",
    .help = "store codes, maps and zero points entropy-coded, without loss",
    .about = "Every byte array of the layer's terms (codes, bitmaps, gaps, zero points) is stored by a range-variant\n"
             "ANS coder with one table of shares an array, where that is shorter than the plain array: about its\n"
             "order-0 entropy. Decoded values stay the same to the bit. Give it last: terms of later steps are plain.\n"
             "rule(\".*\", quantize{bits=4}, code{})",
    .source = "Duda, Asymmetric numeral systems (arXiv 1311.2540), rANS",
    .cost = "no data; a pass over the codes to count, one to code",
    .apply = apply,
};
