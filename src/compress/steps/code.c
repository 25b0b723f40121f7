// code: stores what the steps before it chose in entropy-coded form. Nothing that is computed changes.
#include "compress/coding/coding.h"

#include <string.h>

static const base_arg args[] = {
    {"coder", BASE_TEXT, 0, 0, 0, "ans", "ans|cabac|dictionary|best",
     "ans: one table of shares an array; cabac: shares learnt on the way (DeepCABAC); dictionary: rows of ternary "
     "codes "
     "as 16-bit words (QMoE); best: the shortest of them, array by array"},
    {"against", BASE_TEXT, 0, 0, 0, "", NULL,
     "path of another checkpoint of the same network that predicts these arrays; it is needed again to open the file"},
};

static bool code_against(const char *path, layer *l, base_err *err) {
    if (!l->tensor) return base_fail(err, "code: against needs a model's layer");
    if (*l->base && strcmp(coding_base_path(*l->base), path) != 0)
        return base_fail(err, "code: one checkpoint for all layers: this one says %s, one before it %s", path,
                         coding_base_path(*l->base));
    if (!*l->base && !(*l->base = coding_base_open(path, err))) return false;
    for (int i = 0; i < l->term_count; i++) {
        // Maps are wrapped around the terms at the end, each as the one term that holds what is inside.
        char at[16 + 2 * LAYER_MAX_MAPS] = "";
        for (int m = 0; m < l->map_count; m++) memcpy(at + 2 * m, "0.", 3);
        snprintf(at + 2 * l->map_count, 16, "%d", i);
        if (!base_go_on(l->job, err) || !delta_term(l->terms[i], *l->base, l->tensor, at, err)) return false;
    }
    return true;
}

static bool apply(const compress_step *s, layer *l, base_err *err) {
    const char *name = compress_text(s, "coder"), *against = compress_text(s, "against");
    const coder *which = strcmp(name, "best") ? coder_find(name) : NULL;
    if (*against && l->map_count)
        base_log(l->job, BASE_INFO, "%s: behind its maps only arrays that are packed alike are predicted", l->name);
    if (!l->term_count)
        base_log(l->job, BASE_WARN, "%s: no step before this code{} has stored anything it could shorten; give it last",
                 l->name);
    int64_t before = layer_bytes(l);
    for (int i = 0; i < l->term_count; i++)
        if (!base_go_on(l->job, err) || !coding_term(l->terms[i], which, err)) return false;
    if (*against && !code_against(against, l, err)) return false;
    base_buf names = {0};
    for (int i = 0; i < l->term_count; i++) coding_names(l->terms[i], &names);
    if (*against && l->term_count && !(names.text && strstr(names.text, "delta")))
        base_log(l->job, BASE_WARN,
                 "%s: %s predicts nothing of it, so it is stored as without; is that the same network?", l->name,
                 coding_base_name(*l->base));
    base_buf_printf(&l->did, "coded%s%s: %lld -> %lld bytes", names.length ? " " : "", names.length ? names.text : "",
                    (long long)before, (long long)layer_bytes(l));
    base_buf_free(&names);
    return true;
}

static unsigned needs(const compress_step *s) {
    return *compress_text(s, "against") ? COMPRESS_OUTSIDE : 0;
}

const compress_step_kind step_code = {
    .name = "code",
    .help = "store codes, maps and zero points entropy-coded, without loss",
    .about =
        "Every byte array of the layer's terms (codes, bitmaps, gaps, zero points) is stored by a coder where that "
        "is\n"
        "shorter than the plain array. Decoded values stay the same to the bit. Give it last: terms of later steps\n"
        "are plain.\n"
        "coder=\"ans\": range-variant ANS with one table of shares an array, about its order-0 entropy.\n"
        "coder=\"cabac\": a binary arithmetic coder whose shares adapt; codes of even grids as zero, sign, greater "
        "than\n"
        "1 .. 10, exponential Golomb, with the sign before as context; others bit by bit.\n"
        "coder=\"dictionary\": ternary codes, row by row, as 16-bit words for runs of up to 28 codes.\n"
        "against=FILE: arrays (scales and float values too) are differences from what that checkpoint predicts:\n"
        "the same array if it is packed alike, else its weight rounded to this layer's scales. Where that is no\n"
        "shorter the coder's form stays. The file keeps the checkpoint's name and hash and opens only with it,\n"
        "beside the file or given (--base).\n"
        "rule(\".*\", quantize{bits=4}, code{coder=\"cabac\"})",
    .source =
        "Duda, Asymmetric numeral systems (arXiv 1311.2540), rANS; DeepCABAC (Wiedemann et al., arXiv 1907.11900); "
        "QMoE (Frantar and Alistarh, arXiv 2310.16795), section 3.3",
    .cost = "no data; one to three passes over the codes",
    .args = args,
    .arg_count = sizeof args / sizeof *args,
    .file_arg = "against",
    .needs = needs,
    .apply = apply,
};
