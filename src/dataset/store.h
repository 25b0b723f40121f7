// Private to dataset: what a set holds behind data_store, and what the readers of the formats share.
//
// Each source becomes one chunk. Values stay in the file's own type (bytes of images stay bytes, npy files stay mapped)
// and become normalised float32 only when a batch is fetched.
#ifndef VISE_DATASET_STORE_H
#define VISE_DATASET_STORE_H

#include "dataset/dataset.h"

enum {
    DATA_MAX_CLASSES = 1 << 20,      // labels above this are taken for a mistake
    DATA_MAX_NAMED_LABELS = 1 << 16, // different texts in a csv's label column
    DATA_DEFAULT_WINDOW = 256
};
#define DATA_MAX_FILE ((size_t)2 << 30) // largest file read into memory, and largest a .gz may inflate to

typedef struct data_chunk {
    char *path;
    char shown[200];      // path for messages: no control characters
    int part;             // data_part of the source
    int64_t first, count; // samples [first, first + count) of the set
    // features: values[count x product of dim]
    num_dtype dtype;
    const uint8_t *values;
    int ndim; // shape of a sample as the file has it
    int64_t dim[4];
    int32_t *labels;   // [count]; NULL when unlabelled
    bool named_labels; // labels are indices into data_labels until data_labels_resolve
    // tokens
    int32_t *tokens;
    int64_t token_count;
    int64_t *start;    // [count] first input of each sequence
    int32_t *length;   // [count] inputs of each sequence; the targets are the tokens one later
    int64_t *document; // [count] the document each sequence is from; NULL when the text was cut into windows
    // what the pointers point into
    void *owned; // base_big_alloc
    num_npz npz; // open when `mapped`
    bool mapped;
} data_chunk;

struct data_store {
    data_chunk *chunks;
    size_t chunk_count;
    bool unlabelled;
    int64_t inner;             // values of one channel
    int channels;              // entries of gain and shift; 1 when all channels share one
    float gain[16], shift[16]; // x = raw * gain + shift
    char **characters;         // char level: UTF-8 of each id
    bool bytes;                // byte level: an id is a byte
};

// The different texts seen in label columns, with where each was first seen.
typedef struct data_labels {
    struct data_label {
        char *text;
        const char *shown;
        int64_t line, column, uses;
    } * items;
    size_t count, capacity;
    uint32_t *table; // open addressing: index + 1, 0 empty
    size_t table_size;
} data_labels;

typedef struct data_reader {
    const data_spec *spec;
    base_job *job;
    data_labels labels;
} data_reader;

typedef bool data_read(data_reader *r, const data_source *source, data_chunk *chunk, base_err *err);
data_read data_read_csv, data_read_idx, data_read_npy, data_read_tokens, data_read_text;

// The reader for a source, from its format or its file name; features or tokens in `kind`.
typedef struct data_format {
    const char *name;
    data_kind kind;
    data_read *read;
} data_format;
const data_format *data_format_of(const data_spec *spec, const data_source *source, base_err *err);
// "csv" of "a/b.csv.gz"; "" when there is no extension.
void data_extension(const char *path, char out[16]);

// Index of the text among the labels seen so far; SIZE_MAX when there are too many.
size_t data_labels_add(data_labels *l, const char *text, const char *shown, int64_t line, int64_t column);
void data_labels_free(data_labels *l);
// Turn label texts into class numbers; fills `names` (owned by the caller) when the labels are words.
bool data_labels_resolve(data_reader *r, data_chunk *chunks, size_t count, char ***names, int64_t *name_count,
                         base_err *err);
// A decimal number, the whole of `text`. On failure says why: "is not a number", "is not a finite number".
bool data_number(const char *text, size_t length, double *value, const char **why);

// Value i of an array of integers; false for float types.
bool data_is_integer(num_dtype t);
int64_t data_integer(num_dtype t, const void *data, size_t i);
// Labels from integers of any type; errors name `what` and the sample.
bool data_labels_from(const data_reader *r, data_chunk *c, num_dtype t, const void *data, const char *what,
                      base_err *err);

// Cut the chunk's tokens into sequences: documents that begin with spec->bos, or windows.
bool data_cut(const data_spec *spec, data_chunk *c, base_err *err);
// The next code point of UTF-8 text; -1 when the bytes are not valid UTF-8. Advances *p.
int32_t data_utf8(const uint8_t **p, const uint8_t *end);
int data_utf8_put(int32_t code, char out[5]); // bytes written, NUL added
// Character level needs all texts at once when no vocabulary was given; this turns bytes into ids.
bool data_text_ids(const data_spec *spec, data_set *set, base_err *err);

// Fill set->part from the chunks' parts, the labels or documents, and the spec's fractions.
bool data_split(const data_spec *spec, data_set *set, base_err *err);
// The chunk that holds sample i.
const data_chunk *data_chunk_of(const data_set *set, int64_t i);
void data_chunk_close(data_chunk *c);

#endif
