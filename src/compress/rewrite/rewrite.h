// Private to compress/: a network being rewritten, and pairs of layers between which a scale per channel can move.
#ifndef VISE_COMPRESS_REWRITE_H
#define VISE_COMPRESS_REWRITE_H

#include "compress/layer.h"

typedef struct rewrite {
    const compress_rewrite *kind;
    const model *m;
    model_draft *d;
    model *between;         // what `d` was made of, when that is not `m`; NULL: none
    const data_view *calib; // NULL: none
    const base_value *value;
    base_job *job;
    int folded, left; // places
    bool none_needed; // places were looked at and none needed a change: not an error
    double limit;     // largest relative difference of logits that is accepted
    char why[400];    // of the first places left
} rewrite;

extern const compress_rewrite rewrite_norms, rewrite_equalise, rewrite_absorb, rewrite_smooth, rewrite_rotate,
    rewrite_learn, rewrite_permute;

double rewrite_number(const rewrite *r, const char *arg); // BASE_CHECKs that the argument exists
bool rewrite_is(const rewrite *r, const char *arg, const char *text);
// Logs and counts a place that is not folded: "conv1: its output goes into a sum".
void rewrite_leave(rewrite *r, const char *fmt, ...) BASE_PRINTF(2, 3);

// ---- pairs -----------------------------------------------------------------------------------------

// A layer that reads what a producer gives, through nothing but ops that let a positive factor of a channel pass.
typedef struct rewrite_reader {
    int node;
    int64_t count; // channels of its input
    int32_t *from; // [count] the producer's channel each of them is; -1: something else's
} rewrite_reader;

typedef struct rewrite_pair {
    int node; // linear, conv2d, rms_norm, layer_norm
    int64_t channels;
    bool *blocked; // [channels] goes somewhere that no factor passes
    int64_t free_channels;
    rewrite_reader *reader;
    int reader_count;
    int relu;         // the relu right behind the producer; -1: none
    bool shift_stops; // an op on the way lets factors pass but not a constant added to a channel
    char why[200];    // the first obstacle; "": none
} rewrite_pair;

// The readers of what the node gives; free_channels 0: no factor can move. Shapes are those of the source graph.
void rewrite_pair_find(const model_draft *d, int node, rewrite_pair *p);
void rewrite_pair_free(rewrite_pair *p);
// "layer1.0.conv1 -> layer1.0.conv2"
void rewrite_pair_name(const model_draft *d, const rewrite_pair *p, base_buf *b);
// Largest (or root mean square) |weight| of each of the producer's channels: its own rows, and the readers' columns.
void rewrite_pair_ranges(const model_draft *d, const rewrite_pair *p, bool rms, double *rows, double *columns);
// Producer's channels divided by s[channels], readers' columns times it.
bool rewrite_pair_scale(model_draft *d, const rewrite_pair *p, const double *s, base_err *err) BASE_MUST_USE;
// ---- the residual stream (stream.c) ----------------------------------------------------------------

// The sum that a transformer's blocks read through norms and write to.
typedef struct rewrite_stream {
    int64_t width;
    int *norm, norm_count;     // rms_norm or layer_norm nodes that read it
    int *reader, reader_count; // linear nodes that read it through a norm, or directly
    int *writer, writer_count; // linear, embedding and position nodes
    bool centres;              // its norms are layer norms: they take the mean off first
} rewrite_stream;
// An orthogonal matrix Q of side n: by form and seed (map.h), or dense [n x n].
typedef struct rewrite_turn {
    int form;
    uint64_t seed;
    const double *dense; // NULL: form and seed
} rewrite_turn;

bool rewrite_stream_find(const model_draft *d, rewrite_stream *s, base_err *err) BASE_MUST_USE;
void rewrite_stream_free(rewrite_stream *s);
// Norm weights into the readers (shared tables get a copy first), layer norms into RMS norms: what is left of a norm
// commutes with rotations. `untied` (may be NULL) names the layers whose tables were copied.
bool rewrite_stream_strip(model_draft *d, const rewrite_stream *s, base_buf *untied, base_err *err) BASE_MUST_USE;
// The stream x becomes x Q.
bool rewrite_stream_turn(model_draft *d, const rewrite_stream *s, const rewrite_turn *q, base_err *err) BASE_MUST_USE;
// w[rows x cols] = w Q (or Q^T w), Q of side cols (rows / groups, one a group).
bool rewrite_turn_right(const rewrite_turn *q, float *w, int64_t rows, int64_t cols, base_err *err) BASE_MUST_USE;
bool rewrite_turn_left(const rewrite_turn *q, float *w, int64_t rows, int64_t cols, int64_t groups,
                       base_err *err) BASE_MUST_USE;

// A layer's columns of input channel c: rows [first, first + count), value k of a row at c * step + k, k < taps.
typedef struct rewrite_columns {
    int64_t first, count, at, taps, width; // width: values of a row
} rewrite_columns;
rewrite_columns rewrite_column(const model_draft *d, int node, int64_t channel);

#endif
