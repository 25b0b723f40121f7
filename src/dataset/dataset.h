// dataset: samples from csv, idx, npy, token and text files, split into calibration, selection and test parts.
//
// A data_spec says what the files are (filled by script/ from a dataset.lua descriptor, or guessed from a folder);
// data_open reads it; a data_view is a choice of samples; data_batch holds samples ready for a model.
#ifndef VISE_DATASET_H
#define VISE_DATASET_H

#include "numeric/numeric.h"

// calibration (also training), selection (choosing between recipes), test (the figure that is reported)
typedef enum data_part { DATA_CALIB, DATA_SELECT, DATA_TEST, DATA_ALL } data_part;
extern const char *const data_part_names[4]; // "calib", "select", "test", "all"

typedef enum data_kind {
    DATA_FEATURES, // x[dim...] float32 with one class label (or none: reconstruction)
    DATA_TOKENS    // a sequence of token ids; the label of a token is the next one
} data_kind;

// One file (or pair of files) and its role. Strings are owned by the spec.
typedef struct data_source {
    char *format; // "csv", "idx", "npy", "tokens" (npy of ids), "text"; NULL: from the extension
    char *path;   // absolute or relative to the spec's folder; .gz accepted for csv, idx, text
    char *labels; // idx, npy: the file of labels; NULL: none
    int part;     // data_part this file is for; DATA_ALL: split by the spec's fractions
} data_source;

typedef struct data_spec {
    char *name;   // "digits"
    char *folder; // paths are relative to it
    data_source *sources;
    size_t source_count;
    // features
    int ndim;       // shape of one sample, without the batch; 0: from the files
    int64_t dim[4]; // e.g. {3, 32, 32}; a csv row of 64 columns may be given {1, 8, 8}
    double scale;   // x = (raw * scale - mean[c]) / std[c]; 1 when 0
    int channels;   // entries of mean/std given (0: none; 1: for all channels)
    double mean[16], std[16];
    int64_t classes;    // 0: from the labels
    char **class_names; // NULL or `classes` names
    bool unlabelled;    // reconstruction: the target is the input
    // csv
    int header;         // -1: find out, 0: none, 1: first line is a header
    char *label_column; // name or number from 1 (negative: from the end); NULL: last column
    char delimiter;     // ',' when 0
    int64_t skip_lines; // lines before the header or the data
    // text and tokens
    char *level;             // text: "byte" or "char"
    char *vocabulary;        // char level: every character in id order (UTF-8); NULL: the sorted set found
    int64_t bos;             // tokens: id that starts a document; -1: none, cut into windows instead
    int64_t window;          // tokens in a window (text, or tokens without bos); longest document otherwise
    int64_t vocabulary_size; // 0: from the data
    // split of DATA_ALL sources, in relation to each other: calib, select, test; all 0: .7 .1 .2. Samples with labels
    // are split class by class and documents whole, both shuffled with the seed; windows of a text are split into three
    // contiguous pieces of each file, in this order, because neighbouring windows resemble each other.
    double fraction[3];
    uint64_t seed;
} data_spec;

data_spec *data_spec_new(void); // defaults as above, header -1, bos -1
void data_spec_free(data_spec *spec);
// Guess a spec for a folder or a single data file (mnist idx names, one csv, x/labels npy pairs, .txt); an error says
// what was looked for.
data_spec *data_spec_guess(const char *path, base_err *err) BASE_MUST_USE;

typedef struct data_set {
    char *name;
    data_kind kind;
    int ndim; // features: shape of a sample
    int64_t dim[4];
    int64_t sample_values;  // product of dim; tokens: longest sequence (inputs)
    int64_t count, classes; // tokens: sequences, vocabulary size
    char **class_names;     // NULL or `classes`
    char *vocabulary;       // char-level text: characters in id order, else NULL
    bool plain_text;        // tokens are the bytes or characters of texts, not ids that a tokeniser made
    int64_t *part[3];       // sample indices of calib, select, test
    int64_t part_count[3];
    char hash[33];            // of the files' bytes and the spec
    struct data_store *store; // private: raw values, labels, tokens
} data_set;

data_set *data_open(const data_spec *spec, base_job *job, base_err *err) BASE_MUST_USE;
void data_close(data_set *set);

// A choice of samples of one set (which must outlive it).
typedef struct data_view {
    const data_set *set;
    int64_t *index;
    int64_t count;
    char label[96]; // "digits/test", "digits/calib[512 of 1257, seed 1]"
} data_view;
data_view *data_view_part(const data_set *set, data_part part, base_err *err) BASE_MUST_USE; // error when empty
data_view *data_view_sample(const data_view *view, int64_t count, uint64_t seed, base_err *err) BASE_MUST_USE;
data_view *data_view_range(const data_view *view, int64_t from, int64_t count, base_err *err) BASE_MUST_USE;
data_view *data_view_copy(const data_view *view);
void data_view_free(data_view *view);
int64_t data_view_overlap(const data_view *a, const data_view *b); // samples in both (0 for different sets)
int64_t data_view_targets(const data_view *view);                  // images, or predicted tokens

// Samples ready for a model. Arrays are owned; reuse one batch for many fetches.
typedef struct data_batch {
    data_kind kind;
    int64_t count;      // samples N
    int64_t length;     // tokens: T, the longest sequence of the batch (shorter ones are padded at the end)
    float *x;           // features [N x sample_values], normalised
    int32_t *tokens;    // tokens [N x T], padding 0
    int32_t *labels;    // features [N]; tokens [N x T], next token, -1 where padded; NULL when unlabelled
    int32_t *lengths;   // tokens [N], valid inputs of each sequence; NULL for features
    size_t capacity[4]; // private
} data_batch;
bool data_fetch(const data_view *view, int64_t from, int64_t count, data_batch *batch, base_err *err) BASE_MUST_USE;
void data_batch_free(data_batch *batch);
// Longest sequence among samples [from, from+count) of a token view.
int64_t data_longest(const data_view *view, int64_t from, int64_t count);

// Characters or bytes of token ids for showing text; caller frees.
char *data_text(const data_set *set, const int32_t *tokens, int64_t count);

#endif
