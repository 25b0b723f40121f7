// Private to compress/: the block formats of ggml, as found in GGUF files - their bytes, decoding, and the searches
// that choose scales and codes.
#ifndef VISE_COMPRESS_GGML_H
#define VISE_COMPRESS_GGML_H

#include "compress/layer.h"

enum { GGML_MOST = 256, GGML_SUBS = 16 }; // weights and sub-blocks of a block, at most

// Codes of `width` bits each; those that share a byte lie `stride` apart, so that code i of a run of stride * 8 / width
// is at byte i mod stride. `shift`: the place of these bits in the whole code. Width 0: no field.
typedef struct ggml_field {
    int offset, width, stride, shift;
} ggml_field;

typedef struct ggml_block { // a block taken apart: value = scale[i / sub] * level(code[i]) - min[i / sub]
    uint8_t code[GGML_MOST];
    float scale[GGML_SUBS], min[GGML_SUBS];
} ggml_block;

typedef struct ggml_type {
    const char *name;
    int length, bytes, sub; // weights of a block, its bytes, weights that share a scale
    int bias;               // level = code - bias; or
    const int8_t *levels;   // level = levels[code]
    ggml_field field[2];
    void (*scales)(const uint8_t *block, ggml_block *out); // reads scale and min of every sub-block
    // Chooses and writes a block. weight [length]: importance of the weights, NULL: none given; mean_square: of the
    // row that the block is part of.
    void (*encode)(const struct ggml_type *t, const float *x, const float *weight, float mean_square, uint8_t *block);
} ggml_type;

extern const ggml_type ggml_types[];
extern const int ggml_type_count;
const ggml_type *ggml_find(const char *name);

void ggml_decode(const ggml_type *t, const uint8_t *blocks, int64_t count, float *out); // count blocks
// One row of whole blocks. weight [cols] or NULL.
void ggml_encode(const ggml_type *t, const float *x, const float *weight, int64_t cols, uint8_t *blocks);

// The rows of p in blocks; weighted: importance is the diagonal of H (terms/blocks.c).
term *term_blocks_encode(const solver_problem *p, const ggml_type *f, bool weighted, base_err *err);

// ---- shared by the files of ggml -------------------------------------------------------------------

float ggml_half(const uint8_t *p);
void ggml_put_half(uint8_t *p, float v);
void ggml_put_codes(const ggml_type *t, const uint8_t *code, uint8_t *block); // block zeroed before
void ggml_k4_scale(const uint8_t *packed, int j, uint8_t *scale, uint8_t *min);
extern const int8_t ggml_levels_iq4[16], ggml_levels_fp4[16];

// The searches. Each returns the scale and fills the codes.
float ggml_fit_symmetric(int n, int top, const float *x, const float *weight, uint8_t *code);
float ggml_fit_descent(int n, int top, const float *x, uint8_t *code);
typedef struct ggml_steps {
    float first, step;
    int count;
    bool absolute; // the error is |d|, not d^2
} ggml_steps;
float ggml_fit_range(int n, int top, const float *x, const float *weight, const ggml_steps *s, uint8_t *code,
                     float *min);
float ggml_fit_positive(int n, int top, const float *x, const float *weight, uint8_t *code);
float ggml_fit_levels(int n, const int8_t *levels, const float *x, const float *weight);
int ggml_nearest(float v);
int ggml_nearest_level(const int8_t *levels, float v);

#define GGML_ENCODER(name)                                                                                             \
    void name(const ggml_type *t, const float *x, const float *weight, float mean_square, uint8_t *block)
GGML_ENCODER(ggml_encode_q4_0);
GGML_ENCODER(ggml_encode_q4_1);
GGML_ENCODER(ggml_encode_q8_0);
GGML_ENCODER(ggml_encode_fp4);
GGML_ENCODER(ggml_encode_tq1);
GGML_ENCODER(ggml_encode_tq2);
GGML_ENCODER(ggml_encode_iq4_nl);
GGML_ENCODER(ggml_encode_iq4_xs);
GGML_ENCODER(ggml_encode_q2_k);
GGML_ENCODER(ggml_encode_q3_k);
GGML_ENCODER(ggml_encode_q4_k);
GGML_ENCODER(ggml_encode_q6_k);

#endif
