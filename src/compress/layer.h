// Private to compress/: terms, grids, solvers and the layer that steps work on.
//
// A term is described, not coded: its kind, a few integer attributes, named arrays (blobs) in their stored form, and
// child terms. Counting bytes, writing, reading and describing walk this one form, so a new kind of term is one file
// with check, decode and describe, and one row of the table in terms/terms.c.
#ifndef VISE_COMPRESS_LAYER_H
#define VISE_COMPRESS_LAYER_H

#include "compress/compress.h"

// ---- terms -------------------------------------------------------------------------------------

enum { TERM_MAX_ATTR = 6, TERM_MAX_BLOB = 6, TERM_MAX_CHILD = 16, TERM_MAX_TERMS = 64, TERM_MAX_DEPTH = 6 };
enum { TERM_MAX_NAME = 4096 };    // longest tensor name accepted, bytes
enum { TERM_PARALLEL = 1 << 15 }; // values from which a loop over rows is worth a second thread

typedef struct term_blob {
    num_dtype dtype;
    int64_t count; // values; 0: the array is absent and nothing is written
    size_t bytes;
    const void *data; // points to `owned`, or into a file
    void *owned;      // base_big_alloc, or NULL
    // The entropy-coded form that is written in place of `data`; base_big_alloc, NULL: none (always so in a term that
    // was read: only its size is kept).
    void *coded;
    size_t coded_bytes; // 0: stored plain
    const char *suffix; // of its name when coded: which coder it was
} term_blob;

typedef struct term_attr {
    const char *name;
    int64_t min, max;
    const char *choices; // "sym|asym": written by name, the value is the position; NULL: a plain integer
} term_attr;

typedef struct term {
    const struct term_kind *kind;
    int64_t rows, cols;
    int64_t stored; // values stored: rows * cols, or the kept ones when a sparse or masked term holds this one
    int64_t attr[TERM_MAX_ATTR];
    term_blob blob[TERM_MAX_BLOB];
    struct term *child[TERM_MAX_CHILD]; // owned
    int child_count;
    bool stays; // while steps work: float values that are final (outliers), not a weight still to be quantised
} term;

typedef struct term_kind {
    const char *name, *help;
    term_attr attr[TERM_MAX_ATTR]; // unused ones have a NULL name
    unsigned optional;             // bit i: attribute i is not written when 0, and 0 when absent
    const char *retired; // a choice that earlier programs wrote and whose meaning is gone: refused; NULL: none
    const char *blob[TERM_MAX_BLOB];
    int min_child, max_child;
    bool element_wise; // stores one value per (kept) weight: prune can mask it
    // Everything a stranger's file can get wrong: counts, dtypes, ranges of codes and indices. Children come later.
    bool (*check)(const term *t, base_err *err);
    // Size of child `index`; NULL when the kind has none. Called after check.
    bool (*child_size)(const term *t, int index, int64_t *rows, int64_t *cols, int64_t *stored, base_err *err);
    // out[rows x cols] += term.
    bool (*decode)(const term *t, float *out, base_err *err);
    // out[i] += value of stored entry first + i, which stands at (row, col[i]); element-wise dense kinds only, else
    // NULL.
    void (*gather)(const term *t, int64_t row, int64_t first, int64_t count, const uint32_t *col, float *out);
    // A term with only the stored entries for which keep[stored] is 1 (`kept` of them); same kinds as gather.
    struct term *(*compact)(const term *t, const uint8_t *keep, int64_t kept, base_err *err);
    void (*describe)(const term *t, base_buf *b);
} term_kind;

extern const term_kind term_dense, term_uniform, term_table, term_lowrank, term_sparse, term_masked, term_codebook,
    term_mapped, term_blocks, term_vq;
extern const term_kind term_mixed, term_signed, term_units;
extern const term_kind term_trellis, term_e8, term_points;
extern const term_kind term_books;
extern const term_kind term_rank1;
extern const term_kind term_planes;
extern const term_kind term_pvq, term_qjl, term_basis;
extern const term_kind *const term_kinds[];
extern const size_t term_kind_count;

term *term_new(const term_kind *kind, int64_t rows, int64_t cols); // stored = rows * cols
void term_free(term *t);
// Room for blob `index`; the term owns it. NULL with err when memory is out.
void *term_blob_new(term *t, int index, num_dtype dtype, int64_t count, base_err *err) BASE_MUST_USE;
// The same, not zeroed.
void *term_blob_room(term *t, int index, num_dtype dtype, int64_t count, base_err *err) BASE_MUST_USE;
int64_t term_bytes(const term *t); // of all blobs, children included
bool term_decode(const term *t, float *out, base_err *err) BASE_MUST_USE;
bool terms_decode(term *const *terms, int count, int64_t rows, int64_t cols, float *out, base_err *err) BASE_MUST_USE;
bool term_is_float(const term *t); // dense: not quantised yet
void terms_describe(term *const *terms, int count, base_buf *b);
bool term_blob_is(const term *t, int index, num_dtype dtype, int64_t count, base_err *err);
// So many finite floats of f32 or f16.
bool term_blob_floats(const term *t, int index, int64_t count, base_err *err);

term *term_dense_new(num_dtype dtype, const float *values, int64_t rows, int64_t cols, base_err *err);
extern const term_kind term_split;
// Takes ownership; the term inside is of the turned matrix [rows * run x cols / run].
term *term_split_new(term *inside, int64_t run);
term *term_lowrank_new(term *u, term *v); // takes ownership; u [rows x r], v [r x cols]

// Uniform: value = scale * level(code). Attributes by position.
enum { UNIFORM_BITS, UNIFORM_SCHEME, UNIFORM_GROUP, UNIFORM_FORM, UNIFORM_NESTED };
enum uniform_scheme { UNIFORM_SYM, UNIFORM_ASYM, UNIFORM_SIGN, UNIFORM_TERNARY, UNIFORM_REAL };
enum { UNIFORM_CODES, UNIFORM_SCALES, UNIFORM_ZEROS, UNIFORM_OUTER };
enum { GROUP_ROW = 0, GROUP_TENSOR = -1 };                   // group: inputs that share a scale
int64_t uniform_groups_per_row(int64_t cols, int64_t group); // 0 for GROUP_TENSOR: one scale in all
int64_t uniform_scale_count(int64_t rows, int64_t cols, int64_t group);
size_t uniform_code_bytes(int64_t count, int64_t bits, int64_t scheme);
// The packed codes nearest to other weights w [rows x cols] on the scales and zero points of a term that was checked.
bool uniform_predict(const term *t, const float *w, uint8_t *out, base_err *err) BASE_MUST_USE;

// The codes rounded a second time, to `bits` (UNIFORM_NESTED or more): value = 2^d scale * (round(code / 2^d) - zero /
// 2^d) for d bits less.
term *term_uniform_cut(const term *t, int64_t bits, base_err *err);
term *term_copy(const term *t, base_err *err);

// Codebook: value = book[code]. Attributes by position.
enum { CODEBOOK_BITS, CODEBOOK_SCOPE };
enum codebook_scope { CODEBOOK_ROW, CODEBOOK_LAYER };
// With room for the codes (blob 0) and the values of all books (blob 1), to be filled in.
term *term_codebook_new(int64_t rows, int64_t cols, int64_t stored, int64_t bits, int64_t scope, num_dtype dtype,
                        base_err *err);

// Rank1: min(rows[i], columns[j]) times the value of `values`; rows NULL: columns[j] alone. Takes ownership of it, also
// on failure.
term *term_rank1_new(term *values, const float *rows, const float *columns, num_dtype dtype, base_err *err);

// How scales are stored (terms/scales.c): as floats; as e8m0 powers of two (OCP MX); as e4m3 times one float a tensor
// (NVFP4); doubly quantised (QLoRA): 8-bit codes around the mean, a float each 256; super-blocks (k-quants): 6-bit
// codes with an f16 each 16. Forms from SCALE_DOUBLE on are made of all scales together, after the solver.
enum scale_form { SCALE_PLAIN, SCALE_E8M0, SCALE_E4M3, SCALE_DOUBLE, SCALE_SUPER };
#define SCALE_FORMS "plain|e8m0|e4m3|double|super"
typedef struct scale_place { // which blobs of a term hold them
    int codes, outer;
    int64_t form;
} scale_place;
bool scales_check(const term *t, scale_place at, int64_t count, base_err *err);
float scales_at(const term *t, scale_place at, int64_t index);
bool scales_store(term *t, scale_place at, num_dtype plain, const float *scales, int64_t count, float outer,
                  base_err *err) BASE_MUST_USE;
// The scale as stored, for the forms that stand alone (all but double and super).
float scales_round(int64_t form, num_dtype plain, float outer, float scale);
void scales_describe(int64_t form, base_buf *b);
bool term_blob_copy(const term *from, term *to, int index, base_err *err) BASE_MUST_USE;

// Table: value = scale * level[code] of a data type (types/types.h). Attributes and blobs by position. `split`: a scale
// of its own for codes of negative levels, all of them after those of the positive ones.
enum { TABLE_KIND, TABLE_BITS, TABLE_MANTISSA, TABLE_GROUP, TABLE_FORM, TABLE_SPLIT };
enum { TABLE_CODES, TABLE_SCALES, TABLE_LEVELS, TABLE_OUTER };

// Packed codes: bits 1..8 little-endian as num_pack, or ternary digits five to a byte (first digit lowest).
void codes_pack(const uint8_t *codes, int64_t count, int64_t bits, int64_t scheme, uint8_t *out);
void codes_unpack(const uint8_t *in, int64_t first, int64_t count, int64_t bits, int64_t scheme, uint8_t *codes);
// The same for the codes that solvers choose, of 1..16 bits.
typedef uint16_t grid_code;
enum { GRID_MOST_BITS = 16 };
void grid_codes_pack(const grid_code *codes, int64_t count, int64_t bits, int64_t scheme, uint8_t *out);
void grid_codes_unpack(const uint8_t *in, int64_t first, int64_t count, int64_t bits, int64_t scheme, grid_code *codes);
// A blob of `count` packed codes of `bits` bits and nothing else (terms/runs.c).
bool codes_check(const term *t, int index, int64_t count, int64_t bits, base_err *err);
// The compact form (term_kind.compact) of a term whose first blob is codes of one width: the kept ones; every other
// blob is copied.
term *codes_compact(const term *t, int64_t bits, int64_t scheme, const uint8_t *keep, int64_t kept, base_err *err);

// Positions of kept weights (sparse and masked terms). Attributes by position.
enum { POSITIONS_FORM, POSITIONS_N, POSITIONS_M };
enum positions_form { FORM_BITMAP, FORM_INDEX, FORM_DELTA, FORM_NM, FORM_UNITS };
enum { POSITIONS_MAP, POSITIONS_COUNTS, POSITIONS_COLUMNS };
typedef struct positions {
    int64_t kept;
    int64_t *first; // [rows + 1]
    uint32_t *col;  // [kept], ascending in each row
} positions;
bool positions_expand(const term *t, positions *p, base_err *err) BASE_MUST_USE;
void positions_free(positions *p);
// A term without children yet of form bitmap, whose map is for the caller to write, all of it.
term *positions_bitmap(int64_t rows, int64_t cols, uint8_t **map, base_err *err);
// A term without children yet; `form` -1 takes the smallest of those that fit. n, m: the N:M pattern, m 0: none.
// FORM_NM needs a mask that keeps exactly n of every m (the last, shorter run: min(n, its length)).
term *positions_build(const uint8_t *mask, int64_t rows, int64_t cols, int form, int64_t n, int64_t m, base_err *err);
bool positions_fit_nm(const uint8_t *mask, int64_t rows, int64_t cols, int64_t n, int64_t m);
// FORM_UNITS: n, m are the height and length of units that stay or go as a whole (the last of a row or column may be
// smaller), a bit each. Does the mask keep or drop every unit as a whole?
bool positions_fit_units(const uint8_t *mask, int64_t rows, int64_t cols, int64_t height, int64_t length);
// Changes a container of units of one row that divide the width so that its values are a matrix [kept units x length]:
// no scales are stored for what went. Does nothing where the values cannot be stored so.
bool units_gather(term *t, base_err *err) BASE_MUST_USE;
bool term_is_container(const term *t);
// The positions as bytes [rows x cols], 1 = kept.
bool positions_mask(const term *t, uint8_t *mask, base_err *err) BASE_MUST_USE;

// Vector codebooks: a code of VQ_BITS bits a run of VQ_DIM neighbours. Attributes by position.
enum { VQ_DIM, VQ_BITS };
enum { VQ_MOST_DIM = 16, VQ_MOST_BITS = 12 };
int64_t vq_runs(int64_t rows, int64_t cols, int64_t dim);
term *term_vq_new(int64_t rows, int64_t cols, int64_t dim, int64_t bits, const uint16_t *codes, const float *book,
                  num_dtype dtype, base_err *err);

// Mixed: runs of `group` rows or columns belong to classes (of_run, one a run); each class is a term of its own, added
// in the order of the classes. skip: class 0 is left at 0 and has no term. Attributes by position.
enum { MIXED_AXIS, MIXED_GROUP, MIXED_CLASSES, MIXED_SKIP };
enum mixed_axis { MIXED_ROWS, MIXED_COLUMNS };
enum { MIXED_MOST_CLASSES = 16 };
term *term_mixed_new(int64_t rows, int64_t cols, int64_t axis, int64_t group, int64_t classes, bool skip,
                     const uint8_t *of_run, base_err *err);
bool term_mixed_add(term *t, term *part, base_err *err); // takes ownership, also on failure; part may be NULL

// Signed: sign(values) o (u v); takes ownership of u [rows x r] and v [r x cols]. The gain is 0 until it is set.
term *term_signed_new(const float *values, term *u, term *v, base_err *err);
float term_signed_gain(const term *t);
void term_signed_set_gain(term *t, float gain);

// Sums of vectors from several books, times row scales (terms/books.c). Attributes by position.
enum { BOOKS_DIM, BOOKS_BITS, BOOKS_PLANES, BOOKS_SPACES, BOOKS_AXIS, BOOKS_SCALE };
enum { BOOKS_MOST_PLANES = 8, BOOKS_MOST_SPACES = 65536 };
typedef struct books_shape {
    int64_t dim, bits, planes, spaces;
    bool down; // runs go down a column, over outputs
} books_shape;
int64_t books_lanes(const books_shape *s, int64_t rows);
int64_t books_units(const books_shape *s, int64_t cols); // of a lane
int64_t books_space(const books_shape *s, int64_t unit, int64_t units);
int64_t books_values(const books_shape *s); // of all books
typedef struct books_parts {
    books_shape shape;
    const uint16_t *codes; // [lanes x units x planes]
    const float *book;     // [spaces x planes x 2^bits x dim]
    num_dtype values;      // f16, f32, i8
    const float *scales;   // [scale_count]
    int64_t scale_count;   // 0, 1 or rows
    int64_t scale_form;    // enum scale_form
    num_dtype scale_dtype; // SCALE_PLAIN: stored type
    float outer;           // SCALE_E4M3: the layer's factor
} books_parts;
term *term_books_new(int64_t rows, int64_t cols, const books_parts *p, base_err *err);

// Bit planes: value = coefficient[0] + sum of coefficient[k + 1] * bit k of the code. Attributes by position.
enum { PLANES_BITS, PLANES_GROUP };
enum { PLANES_MOST_BITS = 8 };
void planes_levels(const float *coefficient, int64_t bits, float *level); // level[2^bits]
// With room for the codes (blob 0) and the coefficients (blob 1, bits + 1 a group), to be filled in.
term *term_planes_new(int64_t rows, int64_t cols, int64_t stored, int64_t bits, int64_t group, num_dtype dtype,
                      base_err *err);

// ---- grids: the data types a quantiser rounds to -------------------------------------------------

typedef struct grid_table grid_table; // types/types.h
enum grid_search {
    SEARCH_NONE,
    SEARCH_FAST,
    SEARCH_GOLDEN,
    SEARCH_PERCENTILE,
    SEARCH_IMATRIX,
    SEARCH_MEDIAN, // ternary: the median magnitude
    SEARCH_CFP,
    SEARCH_NESTED,
    SEARCH_LARGEST, // ternary: two thirds of the largest magnitude
    SEARCH_NEAR     // 0.9 .. 1.1 of the extremes
};

typedef struct grid_spec {
    int64_t bits, scheme;    // enum uniform_scheme
    int64_t group;           // inputs that share a scale, GROUP_ROW, GROUP_TENSOR
    bool mse;                // search the range, else the closed form of the scheme
    bool absmax;             // sym without mse: the largest |w| is a level, max|w| / (2^(b-1) - 1)
    num_dtype scale;         // stored type of scales
    const grid_table *table; // levels that are not even: bits and scheme mean nothing then; NULL: even
    bool split;              // table: grid_param.zero is the scale of negative values
    int64_t form;            // enum scale_form
    float outer;             // SCALE_E4M3: the tensor's scale (solver_quantize sets it)
    int64_t search;          // enum grid_search, a range search other than mse
    float percentile;        // SEARCH_PERCENTILE: of |w|, 0..100
    int64_t nested;          // SEARCH_NESTED: least width that codes are cut to
} grid_spec;
typedef struct grid_param {
    float scale, zero;
} grid_param;
// Every scheme a solver may be given is used through the functions below; those that need even levels ask this.
bool grid_is_even(const grid_spec *g);

// Scale and zero point for `count` finite values (the scale already rounded to its stored type). Stops early, with any
// result, when the job is cancelled: callers look at base_go_on afterwards.
bool grid_fit(const grid_spec *g, const float *x, int64_t count, const base_job *job, grid_param *p,
              base_err *err) BASE_MUST_USE;
// The same where errors count by `weight` (the diagonal of H at these columns; NULL: all the same).
bool grid_fit_weighted(const grid_spec *g, const float *x, const float *weight, int64_t count, const base_job *job,
                       grid_param *p, base_err *err) BASE_MUST_USE;
void grid_encode(const grid_spec *g, grid_param p, const float *x, int64_t count, grid_code *codes);
// The largest code; the value of a code is p.scale * (code - p.zero) (zero a whole number, or real), for signs p.scale
// * (2 code - 1), for tables p.scale * level.
int64_t grid_max_code(const grid_spec *g);
float grid_value(const grid_spec *g, grid_param p, unsigned code);

// ---- solvers: choose the codes ------------------------------------------------------------------

typedef struct solver_problem {
    const char *layer;
    const float *r;      // target [rows x cols]
    const uint8_t *mask; // 1 = quantise this one, 0 = it is pruned; NULL: all
    const float *h;      // [groups x cols x cols], or [rows] counts when diagonal; NULL unless the solver needs it
    int64_t rows, cols, groups;
    bool diagonal;
    grid_spec grid;
    grid_spec *grids; // [groups of a row] a grid for each, alike but for scheme and bits (rtn, gptq); NULL: `grid`
    const compress_step *step; // the quantize step, for a solver's own options; NULL: their defaults
    uint64_t seed;
    base_job *job;
    // Results: codes [rows x cols] (entries where mask is 0 mean nothing), scales and zeros [uniform_scale_count].
    grid_code *codes;
    float *scales, *zeros;
    double damping; // set when a factorisation needed it
    bool remainder; // r is what other terms left over: where codes would add to the output error they have value 0
    bool fitted;    // in: scales and zeros hold their final values already and stay (solver_quantize sees to it)
    bool nearest;   // set by solver_quantize: codes are each weight's nearest level, to be chosen again where storing
                    // the scales together (SCALE_DOUBLE, SCALE_SUPER) changes them
} solver_problem;

typedef struct compress_solver {
    const char *name, *help, *about, *source, *cost;
    unsigned needs; // COMPRESS_NEEDS_*
    bool even_only; // cannot work with grids of levels that are not even
    bool (*solve)(solver_problem *p, base_err *err);
    // Instead of solve, for codes that no uniform or table term holds: the term itself, of `kept` values.
    struct term *(*make)(solver_problem *p, int64_t kept, base_err *err);
} compress_solver;
extern const compress_solver *const compress_solvers[];
extern const size_t compress_solver_count;
const compress_solver *compress_solver_find(const char *name);
// An option of the step that asked, or the given value where there is no step.
double solver_number(const solver_problem *p, const char *arg, double otherwise);
bool solver_is(const solver_problem *p, const char *arg, const char *text);
extern const compress_solver solver_deepcabac;
extern const compress_solver solver_rtn, solver_gptq, solver_adaround, solver_obq, solver_hqq, solver_awq;
extern const compress_solver solver_adaquant, solver_signround, solver_gsq, solver_decoupleq, solver_bpdq;
// Runs `solve` on each convolution group: its own rows, its own second moment. With one scale for the whole tensor
// (already in p->scales) every row starts from a copy of it. p->damping becomes the largest of all.
bool solver_each_group(solver_problem *p, bool (*solve)(solver_problem *group, void *context, base_err *err),
                       void *context, base_err *err) BASE_MUST_USE;
// Cyclic descent on the codes under H, at most `passes` times over all columns; the output error never rises.
bool refine_cd(solver_problem *p, int64_t passes, base_err *err) BASE_MUST_USE;
// Rows of a remainder whose output error the codes raise get codes of value 0, where the grid has one.
bool solver_guard(solver_problem *p, base_err *err) BASE_MUST_USE;

// The grid of a group of inputs.
static inline const grid_spec *solver_grid(const solver_problem *p, int64_t group) {
    return p->grids ? &p->grids[group] : &p->grid;
}
// Solves and refines; scales (`count` of them) that do not fit f16 make the grid's scale f32. Checks that all are
// finite.
bool solver_run(const compress_solver *s, solver_problem *p, int64_t count, base_err *err) BASE_MUST_USE;

// Do the scales fit the stored type (float16 holds 6.1e-5 .. 65504 with full precision)?
bool solver_scales_fit(const solver_problem *p, int64_t count);
// A term of the codes, scales and zeros; `kept` as below. The codes are moved together in place when there is a mask.
term *solver_pack(const solver_problem *p, int64_t scales, int64_t kept, base_err *err);
// Runs the solver and packs its codes; mask as above gives a compact term of `kept` values.
term *solver_quantize(const compress_solver *s, solver_problem *p, int64_t kept, base_err *err);

// ---- a layer being worked on --------------------------------------------------------------------

enum { LAYER_MAX_MAPS = 3 };
// First-order figures of a layer's inputs, each [groups x cols].
typedef struct layer_stats {
    float *mean, *mean_abs, *max_abs;
} layer_stats;

struct compress_context {
    const char *name;
    const char *tensor;        // the weight's name in the file; NULL outside of a run
    model_shape shape;         // of the weight as the graph has it; ndim 0: a matrix
    struct coding_base **base; // another checkpoint that arrays are coded against, opened by the first step that asks
    int64_t rows, cols, groups;
    const float *w;      // the weight that terms add up to: the original, behind the maps if there are any (map.h)
    num_dtype dtype;     // as stored in the file
    bool diagonal;       // embedding: h holds counts of the rows
    const float *h;      // second moment of the inputs (as they are behind the maps), when a step asked for it
    const float *fisher; // [rows x cols] sum of squared gradients, when a step asked for it; NULL behind a rotation
    // Sum over samples of the squared first-order loss of each unit of height x length weights, when a step asked for
    // it; NULL behind any map.
    const float *taylor;
    int64_t taylor_height, taylor_length;
    const layer_stats *stats;          // when a step asked for them
    const float *original;             // NULL: w, there are no maps
    float *own_w, *own_h, *own_fisher; // mapped copies
    layer_stats own_stats;             // arrays NULL where a map made them unknown
    term *maps[LAYER_MAX_MAPS];        // the first is the outermost
    int map_count;
    term *terms[TERM_MAX_TERMS];
    int term_count;
    uint8_t *mask;   // 1 = kept, of the container below; NULL: nothing pruned
    term *container; // the sparse or masked term among `terms`
    float *aim; // [rows x cols] the weight with the kept ones as pruning changed them; NULL: it changed none. Owned
    const void *planned; // what the step's plan left for this layer; NULL: nothing
    double damping;      // NaN until a factorisation was done
    uint64_t seed;
    base_job *job;
    base_buf did; // what the last step did, for its event
};
typedef struct compress_context layer;

// The layers of a rule as a step's plan sees them, in the order of the walk: original weights, before any step.
typedef struct compress_layers {
    int count;
    const float **w;      // [count] -> [rows x cols]
    const float **fisher; // [count] -> squared gradients; NULL where no step of the rule needs them
    int64_t *rows, *cols;
    void **planned; // [count] out: malloc'd, freed after the walk; apply finds it as l->planned
    base_job *job;
} layer_set;

void layer_close(layer *l);
void layer_stats_free(layer_stats *s);
// Arrays stay NULL for an embedding: it has no inputs in this sense.
bool layer_stats_make(engine_stream *s, const model *m, const model_layer *ml, layer_stats *out, base_job *job,
                      base_err *err) BASE_MUST_USE;
// A new term at the end; takes ownership, also on failure.
bool layer_append(layer *l, term *t, base_err *err) BASE_MUST_USE;
// out = W - terms for which `stays` is true (NULL: all of them).
bool layer_remainder(const layer *l, bool (*stays)(const term *t), float *out, base_err *err) BASE_MUST_USE;
// What quantize and keep aim at: W minus the terms that stay. Float values (a dense term, or the still unquantised
// values of a pruned layer) do not stay: layer_put_values replaces them.
// *owned is memory to free (NULL when the target is the weight itself), also on failure.
// Weights that pruning kept and changed are aimed at as they are now.
bool layer_target(const layer *l, const float **target, float **owned, base_err *err) BASE_MUST_USE;
// The same from the original weight in any case: what a solver that minimises the output error aims at, so that it can
// make up for pruned weights itself.
bool layer_objective(const layer *l, const float **target, float **owned, base_err *err) BASE_MUST_USE;
// Where a step's values go: into the container of a pruned layer, else a term of their own. `values` is compact when
// the layer has a mask. Takes ownership of `values`, also on failure.
bool layer_put_values(layer *l, term *values, base_err *err) BASE_MUST_USE;
// Float values not yet quantised are made anew from what the other terms leave over now.
bool layer_refresh_floats(layer *l, base_err *err) BASE_MUST_USE;
int64_t layer_kept(const layer *l);
int64_t layer_bytes(const layer *l);
// The mask still holds: the container stores it unchanged, and, where every term is element-wise, pruned weights are 0
// (but for outliers that were taken out before).
bool layer_check_mask(const layer *l, const float *decoded, base_err *err) BASE_MUST_USE;

extern const compress_step_kind step_quantize, step_prune, step_lowrank, step_keep, step_codebook, step_outliers;
extern const compress_step_kind step_signs;
extern const compress_step_kind step_scale, step_rotate, step_permute, step_code, step_vq;
extern const compress_step_kind step_trellis, step_e8, step_pvq, step_qjl, step_simvq, step_lr2vq;
// Sets mask to 0 for the `count` smallest |score|; entries that are 0 already come first; ties go in order.
void prune_select(const float *score, int64_t n, int64_t count, uint8_t *mask);
// How many weights each matrix loses when `fraction` of all of them together goes, by magnitude; ties in order.
void prune_global_counts(const float *const *w, const int64_t *n, int layers, double fraction, int64_t *counts);

// Cholesky of H + d mean(diag H) I in float64, d from `start` up in steps of ten until it works; upper factor in u.
// Sets *damping to the d that worked and reports a raise; giving up is an error.
bool damped_cholesky(const char *layer_name, int64_t n, const float *h, double start, double *u, double *damping,
                     base_job *job, base_err *err) BASE_MUST_USE;

// ---- packed files (packed.c, unpack.c) ----------------------------------------------------------

// compress_unpack_on with at most `room` bytes for decoded weights.
bool unpack_within(model_tensors *t, const char *base, const compress_cut *cut, size_t room,
                   base_err *err) BASE_MUST_USE;
#define PACKED_KEY "vise.packed"
enum { PACKED_VERSION = 1 };
// Name of blob of a term: "conv1.weight:0.codes", children "conv1.weight:0.1.codes"; path "0.1".
char *packed_blob_name(const char *tensor, const char *path, const char *blob);

#endif
