// Private to compress/: the coded forms of a term's arrays - a table of coders, and the arrays they are given.
//
// An array is seen as symbols of a few bits: its codes where the term has some, else its bytes. A coder turns them
// into bytes and back; which array is stored by which coder is said by the suffix of its name in the file.
#ifndef VISE_COMPRESS_CODING_H
#define VISE_COMPRESS_CODING_H

#include "compress/layer.h"

enum { SYMBOLS_TRITS = 0 }; // as a width: ternary digits, five to a byte
// How an array is to be seen.
typedef struct coding_view {
    const uint8_t *data;
    int64_t bytes;
    int width;          // 1..12 bits a symbol, or SYMBOLS_TRITS
    bool ordered;       // near symbols are near values
    int64_t rows, cols; // of the matrix that the symbols form, 1 x count where they form none
} coding_view;
int64_t coding_symbols(int64_t bytes, int width); // that an array holds; trailing bits that fill none must be 0

typedef struct coder {
    const char *name;   // "cabac": the argument of code{coder =} and the suffix of coded arrays
    const char *suffix; // ".cabac"
    // The coded form, base_big_free it; NULL with err when memory is out, NULL without (*coded = 0): this coder has
    // none for such an array.
    uint8_t *(*encode)(const coding_view *v, int64_t *coded, base_err *err);
    // Back; refuses what does not decode to the end exactly, and more than `most` bytes. NULL with err.
    uint8_t *(*decode)(const uint8_t *in, size_t size, uint64_t most, int64_t *bytes, base_err *err);
} coder;
extern const coder *const coders[];
extern const size_t coder_count;
extern const coder coder_ans, coder_cabac, coder_dictionary;
const coder *coder_find(const char *name); // NULL: none

// Numbers of seven bits a byte, lowest first.
uint8_t *coding_put_number(uint8_t *at, uint64_t v); // at most ten bytes
bool coding_get_number(const uint8_t **at, const uint8_t *end, uint64_t *v);

// ---- terms -----------------------------------------------------------------------------------------

// The view of array `index`; false: it is no array of bytes, or it is empty.
bool coding_view_of(const term *t, int index, coding_view *v);
// Codes every byte array of a term and of the terms inside by the coder that makes it shortest, where that is shorter
// than the plain array. which NULL: any.
bool coding_term(term *t, const coder *which, base_err *err) BASE_MUST_USE;
// How often each symbol of an array is used, counts[1 << 12]; n: symbols counted. False: it is not what it should be.
bool coding_count(const coding_view *v, int64_t n, int64_t *counts);
double coding_entropy(const int64_t *counts, int64_t n); // bits a symbol
// Adds the order-0 entropy of each array of codes in bits a code, and of positions and other byte arrays by name:
// "3.41, 1.98, positions 0.29".
void coding_describe(const term *t, base_buf *b);
// Adds the names of the coders used, each once: "cabac+ans".
void coding_names(const term *t, base_buf *b);

// ---- another checkpoint as a prediction (delta.c, base.c) ------------------------------------------

#define DELTA_SUFFIX ".delta"
typedef struct coding_base coding_base;
// Opens the checkpoint; refuses one that itself needs another.
coding_base *coding_base_open(const char *path, base_err *err) BASE_MUST_USE;
void coding_base_close(coding_base *b);
const char *coding_base_name(const coding_base *b); // of the file, without folders
const char *coding_base_hash(const coding_base *b);
const char *coding_base_path(const coding_base *b);

// What an array is predicted from.
enum delta_source { DELTA_ARRAY, DELTA_GRID, DELTA_VALUES, DELTA_SOURCES };
// The arrays of a term at `path` ("0.1") of a tensor, coded against the base where that is shorter than the form they
// have. Terms inside too.
bool delta_term(term *t, coding_base *b, const char *tensor, const char *path, base_err *err) BASE_MUST_USE;
// Back, into t->blob[index]. Arrays of source DELTA_GRID need the others of the term first: with `late` false they are
// left for a second call (*done false).
bool delta_read(const uint8_t *in, size_t size, term *t, int index, coding_base *b, const char *tensor,
                const char *path, bool late, bool *done, base_err *err) BASE_MUST_USE;

#endif
