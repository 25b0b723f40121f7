// keep: store a layer's values as floats - as they are, or in a shorter float type.
#include "compress/layer.h"

#include <string.h>

static const base_arg args[] = {
    {"dtype", BASE_TEXT, 0, 0, 0, "same", "same|f32|f16|bf16", "float type that is stored; same: the file's own bytes"},
};

static bool apply(const compress_step *s, layer *l, base_err *err) {
    const char *name = compress_text(s, "dtype");
    base_buf_printf(&l->did, "kept as %s", strcmp(name, "same") ? name : num_dtypes[l->dtype].name);
    if (!strcmp(name, "same")) return true;
    num_dtype dtype = !strcmp(name, "f16") ? NUM_F16 : !strcmp(name, "bf16") ? NUM_BF16 : NUM_F32;
    const float *target;
    float *owned;
    term *t = layer_target(l, &target, &owned, err) ? term_dense_new(dtype, target, l->rows, l->cols, err) : NULL;
    base_big_free(owned);
    if (t && l->mask) {
        term *full = t;
        t = full->kind->compact(full, l->mask, layer_kept(l), err);
        term_free(full);
    }
    return t && layer_put_values(l, t, err);
}

const compress_step_kind step_keep = {
    .name = "keep",
    .help = "leave the layer as it is, or store it as f32, f16 or bf16",
    .about =
        "keep{} does nothing: the layer's own bytes are written. keep{dtype=...} rounds the target to a float type "
        "and stores it: the weight, or on a pruned layer its kept weights (float values there before are "
        "replaced), or, after quantize or lowrank, what they left over.",
    .source = "IEEE 754-2019 (f32, f16); bf16: the upper half of an f32, rounded to nearest even",
    .cost = "no data; one pass over the weights",
    .args = args,
    .arg_count = sizeof args / sizeof *args,
    .apply = apply,
};
