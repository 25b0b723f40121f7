// compress: the algebra of terms. A layer's weight, seen as a matrix [out x in], becomes a sum of terms; steps take
// what the terms so far leave over (the remainder) and append or refine a term.
//
// Terms own their exact stored form: what decodes is what would be written, and bytes are counted from it. A step
// kind is one file under steps/ and one row of compress_steps; a term kind is one file under terms/ and one row of
// the (private) term table; a quantisation solver is one file under solvers/ and one row of compress_solvers.
#ifndef VISE_COMPRESS_H
#define VISE_COMPRESS_H

#include "engine/engine.h"

// ---- steps, as recipes call them ---------------------------------------------------------------

enum { COMPRESS_MAX_ARG = 96 };

// What a step needs before it can run.
enum { COMPRESS_NEEDS_GRAM = 1, COMPRESS_NEEDS_INPUTS = 2, COMPRESS_NEEDS_GRADIENT = 4, COMPRESS_NEEDS_ALL_LAYERS = 8 };
enum { COMPRESS_WANTS_GRAM = 16 };  // the second moment where there is calibration data, none otherwise
enum { COMPRESS_NEEDS_STATS = 32 }; // mean and magnitudes of the inputs
enum { COMPRESS_OUTSIDE = 64 };     // reads another file: what it makes is not kept for later runs

struct compress_context; // private: a layer being worked on
struct compress_layers;  // private: the layers of a rule
struct compress_step;
typedef struct compress_step_kind {
    const char *name;   // "quantize"
    const char *help;   // one line
    const char *about;  // what it computes, a few lines, with the formula
    const char *source; // paper
    const char *cost;   // data needed and order of work
    const base_arg *args;
    size_t arg_count;
    const char *file_arg; // the text argument that is the path of a file to read; NULL: none
    unsigned (*needs)(const struct compress_step *step);
    // Checks arguments against each other (beyond ranges); may be NULL.
    bool (*check)(const struct compress_step *step, base_err *err);
    bool (*apply)(const struct compress_step *step, struct compress_context *c, base_err *err);
    // Before the walk, for steps that need all layers of their rule at once (COMPRESS_NEEDS_ALL_LAYERS).
    bool (*plan)(const struct compress_step *step, struct compress_layers *all, base_err *err);
} compress_step_kind;
extern const compress_step_kind *const compress_steps[];
extern const size_t compress_step_count;
const compress_step_kind *compress_step_find(const char *name);

// Variants of a step that have a page of their own in `vise methods`: solvers of quantize, criteria of prune, ...
typedef struct compress_method {
    const char *name, *step, *help, *about, *source, *cost;
} compress_method;
extern const compress_method compress_methods[];
extern const size_t compress_method_count;

// What papers and their code call a page of `vise methods` that has another name; absent ones: the page that comes
// nearest to a published method that is not here. Both lists are written as people write them.
typedef struct compress_name {
    const char *said, *name;
} compress_name;
extern const compress_name compress_names[], compress_absent[];
extern const size_t compress_name_count, compress_absent_count;
// Letters and digits of a name alone, in lower case, and "sharp" for '#': names that differ in nothing else are one.
void compress_plain_name(char *out, size_t size, const char *in);
const char *compress_name_of(const char *said);    // the page that is meant by one of compress_names, or NULL
const char *compress_nearest_to(const char *said); // the page nearest to one of compress_absent, or NULL

typedef struct compress_step {
    const compress_step_kind *kind;
    base_value value[COMPRESS_MAX_ARG]; // in the order of kind->args
} compress_step;
double compress_number(const compress_step *s, const char *arg); // BASE_CHECKs that the argument exists
const char *compress_text(const compress_step *s, const char *arg);
char *compress_step_text(const compress_step *s); // "quantize rtn b4 g64", caller frees
// As a recipe says it: `quantize{ solver = "gptq", bits = 4 }`. Caller frees; NULL: a step defined elsewhere.
char *compress_step_lua(const compress_step *s);

// ---- a step defined elsewhere (a recipe's own) ---------------------------------------------------

typedef struct term compress_term; // private: a part of a layer's weight in its stored form
void compress_term_free(compress_term *t);

// What such a step works on. All pointers are lent for the time of the call.
typedef struct compress_target {
    const char *layer;
    int64_t rows, cols, groups;
    const float *w;      // [rows x cols] what the terms so far leave over
    const uint8_t *mask; // [rows x cols] 1 = kept; NULL: nothing was pruned
    const float *h;      // [groups x cols x cols] second moment of the inputs, [rows] counts when diagonal, or NULL
    bool diagonal;       // an embedding
    uint64_t seed;
    base_job *job;
} compress_target;

enum { COMPRESS_OWN_TERMS = 16 }; // most terms that one step may add
// compress_step.kind points to `kind`, which stands first; the struct must outlive every plan that uses it.
typedef struct compress_own_step {
    compress_step_kind kind;
    unsigned data; // COMPRESS_NEEDS_GRAM, COMPRESS_WANTS_GRAM or 0
    // Fills terms[0 .. *count), which then belong to the layer; on failure *count terms are freed by the caller.
    bool (*make)(void *context, const compress_target *t, compress_term **terms, int *count, base_err *err);
    void *context;
} compress_own_step;
// Fills the kind; name and about are lent. The result is checked as after any step: NaN, mask, bytes.
void compress_own_step_init(compress_own_step *s, const char *name, const char *about);

// Terms, checked completely; NULL with err when the values cannot be stored. Values of pruned weights mean nothing.
// Integer codes: value = scale * (code - zero), zero of the group from `zeros`, or 2^(bits-1) when that is NULL.
// scales and zeros are [rows x groups of a row], where `group` inputs share one; group 0: a row, -1: one in all.
// dtype NUM_DTYPES: the shortest of f16, bf16, f32 that holds every scale exactly.
compress_term *compress_term_codes(int64_t rows, int64_t cols, int64_t group, int bits, const float *codes,
                                   const float *scales, const float *zeros, num_dtype dtype, base_err *err);
// Codes into a table: value = level[code], levels [1 x 2^bits] for the layer or [rows x 2^bits], `tables` 1 or rows.
// dtype f16, f32, or NUM_DTYPES: f16 where that holds every level exactly.
compress_term *compress_term_levels(int64_t rows, int64_t cols, int bits, const float *codes, int64_t tables,
                                    const float *levels, num_dtype dtype, base_err *err);
compress_term *compress_term_dense(int64_t rows, int64_t cols, const float *values, num_dtype dtype, base_err *err);
compress_term *compress_term_lowrank(int64_t rows, int64_t cols, int64_t rank, const float *u, const float *v,
                                     num_dtype dtype, base_err *err);
// The values where keep is not 0, and their positions in the smallest form. Later quantise steps leave them alone.
compress_term *compress_term_sparse(int64_t rows, int64_t cols, const float *keep, const float *values, num_dtype dtype,
                                    base_err *err);
bool compress_term_decode(const compress_term *t, float *out, base_err *err) BASE_MUST_USE; // out = its value
void compress_term_size(const compress_term *t, int64_t *rows, int64_t *cols, int64_t *bytes);

typedef struct compress_rule {
    char *pattern; // PCRE2, searched in the layer name
    compress_step *steps;
    int step_count; // 0: keep the layer as it is
} compress_rule;

// How often each code of one array is used.
typedef struct compress_codes {
    char what[64];      // the term that holds them: "uniform", "codebook"
    int bits;           // stored bits a code
    int64_t count;      // codes
    double entropy;     // order 0, bits a code
    const int64_t *use; // [1 << bits]
} compress_codes;
enum { COMPRESS_MADE_CODES = 16 };
// A layer that was just finished; lent for the time of the call.
typedef struct compress_made {
    const char *layer;
    int64_t rows, cols;
    const float *before, *after; // [rows x cols]; the same where the layer stays as it was
    const compress_codes *codes; // of its terms, terms inside included
    int code_count;
} compress_made;

typedef struct compress_plan {
    compress_rule *rules;
    int rule_count;         // first match wins; a layer no rule matches stays as it is
    bool sequential;        // calibrate through the compressed prefix (else on the original model's inputs)
    const data_view *calib; // NULL: no step may need data, output errors are not measured
    const data_view *held;  // held-out inputs for the error figures; NULL: not measured
    uint64_t seed;
    const char *about; // recipe name, written to the metadata of packed files; NULL: none
    int others;        // type in which parameters that belong to no layer (biases, norms) are stored: a num_dtype + 1,
                       // at most as wide as theirs; 0: as they came
    bool compact;      // the file's header is deflated (docs/formats.md)
    bool baseline;     // tell of each layer what round to nearest would give in as many bytes (an event)
    // Reads steps that were typed for a layer while the run waits before it (base_job.before_layer) into a rule whose
    // pattern and steps the caller frees; *line gets the recipe's line that says the same (caller frees). NULL: none
    // are taken.
    bool (*read_steps)(void *context, const char *layer, const char *text, compress_rule *rule, char **line,
                       base_err *err);
    void *read_context;
    void (*made)(void *context,
                 const compress_made *layer); // told of each layer, on the thread of the run; NULL: nobody
    void *made_context;
} compress_plan;
void compress_plan_free(compress_plan *plan); // rules and steps, not the views

// Which rule each layer gets (-1: none). Beside its name the first layer answers to "first" and the last to "last"
// (the whole pattern must match them: "first|last"). A pattern that does not compile is an error with its offset; one
// that matches no layer at all is an error naming the nearest layer names.
bool compress_match(const model *m, const compress_plan *plan, int *rule_of_layer, base_err *err) BASE_MUST_USE;

// ---- a compressed model ------------------------------------------------------------------------

typedef struct compress_result compress_result;

// Walks the model layer by layer. Emits plan, layer, step and progress events. On cancel returns false with
// BASE_CANCELLED and *out holding the finished layers (the rest original); on failure *out is NULL.
bool compress_run(const model *m, const compress_plan *plan, base_job *job, compress_result **out,
                  base_err *err) BASE_MUST_USE;
void compress_result_free(compress_result *r);
// Each of `layers` (rising indices, NULL: all) under each rule of the plan alone, everything else original: patterns
// are not looked at. `each` is told layer, rule, the decoded weight (the original one for a rule without steps), its
// stored form and the layer's row; its pointers are valid during the call. Second moments are made once a layer. Rules
// whose steps plan over all layers are refused. Emits progress only.
typedef struct compress_stored compress_stored; // private: one layer as it would be written
typedef bool (*compress_each)(void *context, int layer, int rule, const float *decoded, const compress_stored *stored,
                              const base_layer_row *row, base_err *err);
// Decodes it again, as a reader of the file does once entropy coding is undone. NULL out: only tells whether there is
// anything to decode (false: floats as they came).
bool compress_stored_decode(const compress_stored *s, float *out, base_err *err);
bool compress_options(const model *m, const compress_plan *plan, const int *layers, int count, compress_each each,
                      void *context, base_job *job, base_err *err) BASE_MUST_USE;
engine_weights compress_weights(const compress_result *r); // decoded weights of every parameter
int compress_row_count(const compress_result *r);
const base_layer_row *compress_row(const compress_result *r, int index);
// Exact sizes of the file that compress_save(..., about NULL, ...) would write: tensors, and header (the 8 bytes of its
// length included). Together they are the file.
bool compress_sizes(const compress_result *r, int64_t *bytes, int64_t *header_bytes, base_err *err) BASE_MUST_USE;
double compress_bits(const compress_result *r); // 8 * bytes of the layers / their weights

typedef struct compress_saved {
    int64_t file_bytes, header_bytes;
    char hash[33];
} compress_saved;
// `about`: recipe name for the metadata, NULL: the plan's (no times or paths: the same run gives the same bytes).
bool compress_save(const compress_result *r, const char *path, const char *about, compress_saved *saved,
                   base_err *err) BASE_MUST_USE;
// Changes beside the weights, after a run; they are stored with the model in the types its file has. *changed counts
// what was changed; on failure those before the failure stay.
// The mean of each compressed layer's output as with the original weights: E[W x] - E[Wc xc] goes to its bias, or off
// the running mean of the batch norm behind it.
bool compress_correct_bias(compress_result *r, const data_view *calib, int *changed, base_job *job,
                           base_err *err) BASE_MUST_USE;
// Running means and variances of batch norms as the compressed network has them on these samples.
bool compress_reestimate_norms(compress_result *r, const data_view *calib, int *changed, base_job *job,
                               base_err *err) BASE_MUST_USE;
// Codes of whole blocks learned together on the blocks' outputs (reconstruct.c); *changed counts windows of blocks that
// came out better. `values` of compress_reconstruct_args.
extern const base_arg compress_reconstruct_args[];
extern const size_t compress_reconstruct_arg_count;
bool compress_reconstruct(compress_result *r, const data_view *calib, const base_value *values, int *changed,
                          base_job *job, base_err *err) BASE_MUST_USE;
// Weights behind integer codes, their scales and zero points learned block by block on the blocks' outputs; scales and
// zero points alone on the loss of the whole network (tune.c: GQSA's two stages). Pruned weights stay pruned; *changed
// counts windows, or layers, that came out better.
extern const base_arg compress_tune_blocks_args[], compress_tune_scales_args[];
extern const size_t compress_tune_blocks_arg_count, compress_tune_scales_arg_count;
bool compress_tune_blocks(compress_result *r, const data_view *calib, const base_value *values, int *changed,
                          base_job *job, base_err *err) BASE_MUST_USE;
bool compress_tune_scales(compress_result *r, const data_view *calib, const base_value *values, int *changed,
                          base_job *job, base_err *err) BASE_MUST_USE;
// Biases of layers and norms learned on the divergence from the original network's outputs (tune_bias.c: AdaQuant's
// bias tuning).
extern const base_arg compress_tune_biases_args[];
extern const size_t compress_tune_biases_arg_count;
bool compress_tune_biases(compress_result *r, const data_view *calib, const base_value *values, int *changed,
                          base_job *job, base_err *err) BASE_MUST_USE;
// Less of what is stored: codes that quantize{nested} made, rounded again to fewer bits, and the first blocks of signs
// steps that a number of bytes (of all arrays, the header aside) has room for, the first of each layer in any case.
typedef struct compress_cut {
    int bits;      // 0: as stored
    int64_t bytes; // 0: all blocks
} compress_cut;
// From now on the result is what is left; each cut starts from what the run made, and {0} goes back to it. On failure
// it is whole.
bool compress_cut_result(compress_result *r, const compress_cut *cut, base_err *err) BASE_MUST_USE;

// ---- a smaller network ---------------------------------------------------------------------------

extern const base_arg compress_shrink_args[];
extern const size_t compress_shrink_arg_count;
typedef struct compress_shrunk {
    int removed, units; // pieces that went, of those that could
    int64_t before_values, after_values, before_bytes, after_bytes;
    double before_flops, after_flops; // of one sample (tokens: the whole context)
} compress_shrunk;
// A new model without the channels, hidden units, heads or blocks that matter least; tensors, their neighbours and the
// graph are smaller. values [compress_shrink_arg_count]; calib NULL: no samples.
model *compress_shrink(const model *m, const data_view *calib, const base_value *values, compress_shrunk *figures,
                       base_job *job, base_err *err) BASE_MUST_USE;

// A model as it is (uncompressed), through the same writer, so that sizes compare.
compress_result *compress_identity(const model *m, base_err *err) BASE_MUST_USE;

// ---- before the work -----------------------------------------------------------------------------

// How a predicted size compares with the one that a run will give.
typedef enum compress_sure { COMPRESS_EXACT, COMPRESS_AT_MOST, COMPRESS_ABOUT } compress_sure;
typedef struct compress_speed {
    double forward; // seconds that one calibration sample takes through the network; 0: not known
    double flops;   // of a matrix product, a second
} compress_speed;
typedef struct compress_estimate {
    compress_sure sure;
    char why[200];     // what the size depends on; "" when it is exact
    double seconds;    // compress_run will take
    double peak_bytes; // it will hold beyond what is held now
} compress_estimate;
// What compress_run would give, without running a sample through the network: the plan is checked as there, then a plan
// of the same stored forms is carried out, in which steps that look at samples are replaced by ones that do not.
// *out is a result for compress_sizes, compress_bits and compress_cut_result only.
bool compress_foretell(const model *m, const compress_plan *plan, const compress_speed *speed, base_job *job,
                       compress_result **out, compress_estimate *e, base_err *err) BASE_MUST_USE;

// ---- rewriting a network before it is compressed -------------------------------------------------

// A map folded into neighbouring layers: what the network computes stays, its weights become easier to compress. Each
// is one file under rewrite/ and one row of compress_rewrites; recipes call it by name.
enum compress_rewrite_data { COMPRESS_DATA_UNUSED, COMPRESS_DATA_CHECKS, COMPRESS_DATA_NEEDED };
struct rewrite; // private: a network being rewritten
typedef struct compress_rewrite {
    const char *name, *help, *about, *source, *cost;
    const base_arg *args;
    size_t arg_count;
    int data; // whether calibration samples only serve the check of the result, or are needed
    bool (*apply)(struct rewrite *r, base_err *err);
} compress_rewrite;
extern const compress_rewrite *const compress_rewrites[];
extern const size_t compress_rewrite_count;
const compress_rewrite *compress_rewrite_find(const char *name);
// The rewritten model, new; values [arg_count] as base_arg_* fill them. Its logits are compared with the original's on
// samples of `calib`, or drawn ones when that is NULL; where they differ by more than float32 rounding it is an error.
// What was folded, what was not and why, and the difference are logged. Nothing to fold is an error.
model *compress_rewrite_model(const compress_rewrite *kind, const model *m, const data_view *calib,
                              const base_value *values, base_job *job, base_err *err) BASE_MUST_USE;
// Largest difference of the outputs of two models of one input, relative to the largest |output| of the first, over
// samples of the view (NULL: drawn).
bool compress_rewrite_compare(const model *a, const model *b, const data_view *calib, double *difference, base_job *job,
                              base_err *err) BASE_MUST_USE;

// Pages of the calls that change a network beside compress and the rewrites.
typedef struct compress_call {
    const char *name, *usage, *help, *about, *source, *cost;
    const base_arg *args;
    const size_t *arg_count;
} compress_call;
extern const compress_call compress_calls[];
extern const size_t compress_call_count;

// ---- packed files ------------------------------------------------------------------------------

// Replace the packed tensors of a file written by compress_save by decoded float32 ones (exactly the values the run
// used) under their original names; does nothing to plain files. Every code, index, size and shape is checked.
// A file whose arrays were coded against another checkpoint needs that one: `base` is its path, NULL: it lies beside
// the file under the name it had. One that is missing or has another hash is an error that names it.
bool compress_unpack(model_tensors *t, base_err *err) BASE_MUST_USE; // base NULL
bool compress_unpack_on(model_tensors *t, const char *base, base_err *err) BASE_MUST_USE;
// The same with less of it; cut NULL: whole. A file that is not packed cannot be cut.
bool compress_unpack_cut(model_tensors *t, const char *base, const compress_cut *cut, base_err *err) BASE_MUST_USE;
bool compress_is_packed(const model_tensors *t);
// One line a layer of a packed file ("conv1: uniform 4 bit asym g64 + lowrank r8 f16"), for `vise info`; caller frees.
char *compress_describe(const model_tensors *t, const char *tensor);

#endif
