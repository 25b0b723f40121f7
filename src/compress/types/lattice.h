// Private to compress/: vector quantisers with a structure in place of a stored book - the lattice code E8P, trellis
// codes - and how runs of weights are laid over a layer.
#ifndef VISE_COMPRESS_LATTICE_H
#define VISE_COMPRESS_LATTICE_H

#include "compress/layer.h"

// ---- runs of weights -----------------------------------------------------------------------------

// A layer is cut into blocks of `block` neighbouring columns (the last may be narrower), a block's weights are taken in
// order - row by row, or down its columns - and cut into runs of `length`. What a run has beyond the layer stands for
// nothing.
typedef struct lattice_runs {
    int64_t rows, cols, block, length;
    bool by_row;
} lattice_runs;
int64_t lattice_blocks(const lattice_runs *l);
int64_t lattice_runs_of_block(const lattice_runs *l);
int64_t lattice_run_count(const lattice_runs *l); // of the layer
// Where value `at` of a block's run `run` stands; false: beyond the layer.
bool lattice_place(const lattice_runs *l, int64_t block, int64_t run, int64_t at, int64_t *row, int64_t *col);
// out += scale of the row * the run's values.
void lattice_add(const lattice_runs *l, int64_t index, const float *scales, int64_t scale_count, const float *values,
                 float *out);

// ---- E8P (QuIP#) ---------------------------------------------------------------------------------

// Stages of a code: 2 bits a weight E8P; 3 bits a 1-bit code of E8's shortest vectors for the remainder; 4 bits E8P
// twice. Values are for weights of N(0, 1).
enum { E8_LENGTH = 8, E8_LEAST_BITS = 2, E8_MOST_BITS = 4 };
typedef struct e8_code e8_code;
const e8_code *e8_open(void); // the tables; they are built once and stay
// The nearest of 65,536 points (bits 2) or what two stages come to: code[0] 16 bits, code[1] of the second stage.
void e8_encode(const e8_code *e, int bits, const float x[8], uint16_t code[2], float q[8]);
void e8_decode(const e8_code *e, int bits, const uint16_t code[2], float q[8]);

// ---- trellis codes (QTIP) ------------------------------------------------------------------------

// A run is coded as steps of `step` bits; the value (or `values` values) of a step is a function of the last `bits`
// bits, the run's end joined to its beginning.
enum trellis_form { TRELLIS_NORMAL, TRELLIS_1MAD, TRELLIS_3INST, TRELLIS_HYB };
#define TRELLIS_FORMS "normal|1mad|3inst|hyb"
enum { TRELLIS_HYB_LEAST = 8 }; // state bits from which the table of hyb is named
enum { TRELLIS_MOST_BITS = 16, TRELLIS_MOST_STEP = 8, TRELLIS_MOST_VALUES = 4, TRELLIS_MOST_LENGTH = 4096 };
typedef struct trellis_code {
    int form, bits, step, values;
    float *value; // [values x 2^bits], unit mean square
} trellis_code;
bool trellis_open(trellis_code *t, int form, int bits, int step, int values, base_err *err) BASE_MUST_USE;
void trellis_close(trellis_code *t);
size_t trellis_room(const trellis_code *t, int64_t steps); // bytes that encoding needs
// The path of the least sum weight (x - value)^2 over x[steps * values]. `overlap` -1: any; else the bits - step bits
// before the first step and at the end. Returns its cost; states[steps].
double trellis_viterbi(const trellis_code *t, int64_t steps, const float *x, const float *weight, int64_t overlap,
                       uint16_t *states, void *room);
// Tail-biting: once around from the middle for the overlap, then the best path with it (QTIP, algorithm 4).
double trellis_encode(const trellis_code *t, int64_t steps, const float *x, const float *weight, uint16_t *codes,
                      void *room);
void trellis_decode(const trellis_code *t, int64_t steps, const uint16_t *codes, float *out);

// ---- terms of coded runs -------------------------------------------------------------------------

// Packed codes of `bits` bits (checked by codes_check), and scales: one a row or one for the layer, f16 or f32, not
// negative (terms/runs.c).
bool codes_store(term *t, int index, const uint16_t *codes, int64_t count, int64_t bits, base_err *err) BASE_MUST_USE;
bool row_scales_check(const term *t, int index, base_err *err);
bool row_scales_store(term *t, int index, const float *scales, int64_t count, num_dtype dtype,
                      base_err *err) BASE_MUST_USE;

// Attributes by position.
enum { TRELLIS_FORM, TRELLIS_BITS, TRELLIS_STEP, TRELLIS_VALUES, TRELLIS_BLOCK, TRELLIS_LENGTH };
enum { E8_BITS, E8_ALONG };
enum { POINTS_BITS, POINTS_ALONG, POINTS_LOW };
enum { PVQ_LENGTH, PVQ_PULSES, PVQ_GAIN };
enum { PVQ_MOST_GAIN = 8 };
enum { QJL_SKETCH, QJL_SEED };
enum { BASIS_LENGTH, BASIS_CODE, BASIS_RANK, BASIS_FORM, BASIS_SEED };
enum basis_form { BASIS_STORED, BASIS_NORMAL };
// codes: [runs x steps] of a trellis, [runs x 2] of E8.
term *term_trellis_new(const lattice_runs *l, const trellis_code *code, const uint16_t *codes, const float *scales,
                       int64_t scale_count, num_dtype dtype, base_err *err);
term *term_e8_new(const lattice_runs *l, int bits, const uint16_t *codes, const float *scales, int64_t scale_count,
                  num_dtype dtype, base_err *err);

// Points of E8 itself. words: [runs x 9], the whole parts of eight coordinates as int16 (-127 .. 127, their sum even),
// and 1 where all are half more.
enum { POINTS_LENGTH = 8, POINTS_WORDS = 9, POINTS_MOST = 126 };
term *term_points_new(const lattice_runs *l, const uint16_t *words, const float *scales, int64_t scale_count,
                      num_dtype dtype, base_err *err);

// words: [runs x (length + 1)], the vector and the number of its gain.
term *term_pvq_new(const lattice_runs *l, int pulses, int gain, const uint16_t *words, const float *levels,
                   const float *scales, int64_t scale_count, num_dtype dtype, base_err *err);

// The projections of a one-bit sketch, [m x cols]; and its term from S r of each row, [rows x signs].
void qjl_projections(int64_t seed, int64_t m, int64_t cols, float *s);
term *term_qjl_new(int64_t rows, int64_t cols, int64_t signs, int64_t seed, const float *projected, const float *norms,
                   base_err *err);

// A book of 2^code vectors of a run's length that is a product: coefficients [2^code x rank], stored or normal from a
// seed, times a basis [rank x length].
enum { BASIS_MOST_LENGTH = 16, BASIS_MOST_CODE = 12, BASIS_MOST_RANK = 64 };
void basis_normal(int64_t seed, int64_t size, int64_t rank, float *coefficients);
void basis_product(const float *coefficients, const float *basis, int64_t size, int64_t rank, int64_t length,
                   float *book);
// What a basis term is made of; dtype: of coefficients and basis.
typedef struct basis_book {
    int64_t length, code, rank, form, seed;
    float *coefficients, *basis;
    num_dtype dtype;
} basis_book;
term *term_basis_new(const lattice_runs *l, const basis_book *b, const uint16_t *codes, const float *scales,
                     int64_t scale_count, num_dtype dtype, base_err *err);

#endif
