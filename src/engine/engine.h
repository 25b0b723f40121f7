// engine: runs graphs - forward, backward, layer inputs and their second moments, metrics, training.
//
// A weight set is an array of float32 pointers, one a graph parameter (model->weights, or the same with some entries
// replaced by decoded compressed weights). Nothing here knows how a weight is stored.
//
// Threads: batches are cut into micro-batches of a size that does not depend on the thread count; every micro-batch
// runs on one thread through the whole graph, so its activations stay in cache and results do not depend on the
// number of threads.
#ifndef VISE_ENGINE_H
#define VISE_ENGINE_H

#include "model/model.h"

typedef const float *const *engine_weights;

// Outputs for one batch: [N x classes] or [N x T x vocabulary], or the reconstruction. Errors: shapes that do not fit
// the graph, NaN or Inf in the output (naming the first node that made one).
bool engine_forward(const model *m, engine_weights w, const data_batch *batch, float *out, base_job *job,
                    base_err *err) BASE_MUST_USE;
// The loss of the model's task (mean over labelled targets) and its gradient with respect to every parameter;
// grad[p] is [parameter count] or NULL where not wanted. Batch norm uses batch statistics when `training`, and then
// updates running statistics in `mutable_w` (NULL: leaves them).
bool engine_backward(const model *m, engine_weights w, const data_batch *batch, bool training, float *const *grad,
                     float *const *mutable_w, double *loss, base_job *job, base_err *err) BASE_MUST_USE;
// The same with the network at rest, and what the loss says of values beside the parameters. All but the batch may be
// NULL. input: [N x values of a sample] gradient with respect to the samples (features). noise[node]: of the linear,
// conv2d and other nodes with a weight, the sum over the values x of their input of (x d loss / d x)^2, where only what
// goes through this node counts; NaN where the input is tokens, 0 for other nodes.
bool engine_backward_inputs(const model *m, engine_weights w, const data_batch *batch, float *input, double *noise,
                            double *loss, base_job *job, base_err *err) BASE_MUST_USE;
// Relevance of every weight for the logits of the labels (mean over labelled targets), signed: layer-wise relevance
// propagation with the epsilon or the alpha-beta rule (Bach et al. 2015, equations 58 and 60) in linear layers and
// convolutions. relevance[p] as grad above.
typedef struct engine_relevance_rule {
    bool alpha_beta; // parts that raise an output are given alpha of its relevance, those that lower it 1 - alpha
    double epsilon;  // added to |output|; of the epsilon rule
    double alpha;    // >= 1
} engine_relevance_rule;
bool engine_relevance(const model *m, engine_weights w, const data_batch *batch, const engine_relevance_rule *rule,
                      float *const *relevance, base_job *job, base_err *err) BASE_MUST_USE;
// How far the batch's statistics lie from those the network's batch norms remember (ZeroQ, arXiv 2001.00281, equation
// 4): over the input (as if normalised) and the input of every batch norm, the mean over channels of the squared
// differences of mean and standard deviation, summed. input: its gradient. A network without is an error.
bool engine_norm_distance(const model *m, engine_weights w, const data_batch *batch, float *input, double *distance,
                          base_job *job, base_err *err) BASE_MUST_USE;

// Gradients of single samples, up to ENGINE_APART at once, of anything: the caller looks at the outputs and says what
// their gradient is. Batch norm uses its running statistics. A forward may be followed by many backwards; `w` and
// `batch` are looked at until the last of them.
typedef struct engine_apart engine_apart;
enum { ENGINE_APART = 8 };
// wanted[p]: the gradient of parameter p is asked for. Nodes before the first of them are not walked back.
engine_apart *engine_apart_open(const model *m, const bool *wanted, base_err *err) BASE_MUST_USE;
void engine_apart_close(engine_apart *a);
// The outputs, as engine_forward gives them; valid until the next forward. NULL: failed.
const float *engine_apart_forward(engine_apart *a, engine_weights w, const data_batch *batch, base_job *job,
                                  base_err *err) BASE_MUST_USE;
bool engine_apart_backward(engine_apart *a, const float *dout, base_job *job, base_err *err) BASE_MUST_USE;
// [parameter count] of a wanted parameter for sample 0 .. of the batch, valid until the next backward.
const float *engine_apart_gradient(const engine_apart *a, int64_t sample, int param);
// Instead of parameters' gradients the one with respect to a value that a node makes: of sample 0 .. of the batch, as
// many floats as the value has of a sample. Nodes up to its maker are not walked back.
engine_apart *engine_apart_open_value(const model *m, int value, base_err *err) BASE_MUST_USE;
const float *engine_apart_value_gradient(const engine_apart *a, int64_t sample);

// ---- what was computed before --------------------------------------------------------------------

// A running hash of everything that the activations before a node depend on: the program, the samples, the graph up to
// there and the values of its parameters. Keys for base_cache are taken from it.
typedef struct engine_prefix engine_prefix;
engine_prefix *engine_prefix_new(const model *m, const data_view *view); // NULL: no graph, or samples without a hash
engine_prefix *engine_prefix_copy(const engine_prefix *p);
void engine_prefix_free(engine_prefix *p);
void engine_prefix_add(engine_prefix *p, engine_weights w, int node); // takes in the nodes before `node`
void engine_prefix_mark(engine_prefix *p, const char *what);          // and anything else
void engine_prefix_key(const engine_prefix *p, const char *what, char key[33]);

// ---- streams: a set of samples carried through the network, node by node -------------------------

// Holds the live activations (the frontier) of all samples of a view. Two streams, one with the original and one
// with the compressed prefix, give error figures with and without upstream compression.
typedef struct engine_stream engine_stream;
engine_stream *engine_stream_open(const model *m, engine_weights w, const data_view *view, base_err *err) BASE_MUST_USE;
void engine_stream_close(engine_stream *s);
engine_stream *engine_stream_copy(const engine_stream *s, base_err *err) BASE_MUST_USE; // shares nothing
// Use `w` for parameter `param` in nodes not yet run (the stream keeps the pointer).
void engine_stream_set(engine_stream *s, int param, const float *w);
// Run every node before `node`; values no later node needs are freed.
bool engine_stream_advance(engine_stream *s, int node, base_job *job, base_err *err) BASE_MUST_USE;
// The same for each of `nodes` (rising) in turn; with a job that has a cache the last position found there is taken up.
bool engine_stream_advance_all(engine_stream *s, const int *nodes, int count, base_job *job,
                               base_err *err) BASE_MUST_USE;
int64_t engine_stream_rows(const engine_stream *s, int node); // rows of the layer's input matrix X (per group)
// The input matrix X of a layer node in blocks, in order: linear: rows are positions (padding left out); conv2d:
// unfolded patches of group `group` ordered [C/groups, kh, kw] as the weight; embedding: not available (see gram).
// `visit` gets `rows` rows of `in` values and is called from this thread.
typedef bool (*engine_visit)(void *context, const float *x, int64_t rows, int64_t in, base_err *err);
bool engine_stream_visit(engine_stream *s, int node, int64_t group, engine_visit visit, void *context, base_job *job,
                         base_err *err) BASE_MUST_USE;
// H[groups x in x in] = X^T X / rows for the node the stream stands before. Embedding: in = width, and instead
// counts[entries] (how often each entry occurs / rows) is written to h [1 x entries].
bool engine_stream_gram(engine_stream *s, int node, float *h, base_job *job, base_err *err) BASE_MUST_USE;
// Mean and variance (of a sample, over count - 1) of each channel of the node's input [n, channels, ..].
bool engine_stream_moments(engine_stream *s, int node, double *mean, double *variance, base_job *job,
                           base_err *err) BASE_MUST_USE;
// sum ||W x - Wc xc||^2, sum ||W x||^2 and sum (W x).(Wc xc) over all rows, with x from `s` and xc from `c` (the same
// stream for the own error). w and wc are [out x in] as stored.
typedef struct engine_error {
    double difference, reference, product, compressed;
} engine_error;
bool engine_stream_error(engine_stream *s, engine_stream *c, int node, const float *w, const float *wc, engine_error *e,
                         base_job *job, base_err *err) BASE_MUST_USE;
// The same for the weights that the two streams use themselves, while both run on to `to` (a node after `node`, before
// which both stand): the outputs that are compared are the inputs of what follows, and computed once. *done is false,
// and nothing has happened, where that would take too much memory, or for an embedding.
bool engine_stream_error_on(engine_stream *s, engine_stream *c, int node, int to, engine_error *e, bool *done,
                            base_job *job, base_err *err) BASE_MUST_USE;
// The values the stream holds of one value of the graph, all samples one after another; NULL: not held now (a node
// about to run can count on its inputs).
const float *engine_stream_value(const engine_stream *s, int value, size_t *count);
size_t engine_stream_bytes(const engine_stream *s); // activations now held

// ---- measuring ---------------------------------------------------------------------------------

// Task metric on a view (top-1 in percent with a Wilson interval, perplexity or mse with a normal one), loss, and,
// when `reference` is given, KL(reference || w) with its interval and the decisions that changed.
bool engine_measure(const model *m, engine_weights w, engine_weights reference, const data_view *view,
                    base_model_row *row, base_job *job, base_err *err) BASE_MUST_USE;
// The same against another network of the same task, inputs and outputs (the one that this was made from).
bool engine_measure_against(const model *m, engine_weights w, const model *reference_model, engine_weights reference,
                            const data_view *view, base_model_row *row, base_job *job, base_err *err) BASE_MUST_USE;

// One sample's part in a measurement: sums over its targets (an image has one, a sequence one a predicted token).
typedef struct engine_sample {
    int64_t targets, hits;
    double loss, kl; // nats; kl NaN without a reference; a reconstruction has the mean squared error as loss, no hits
} engine_sample;
// The same, and of every sample of the view its part: samples [view->count].
bool engine_measure_samples(const model *m, engine_weights w, const model *reference_model, engine_weights reference,
                            const data_view *view, base_model_row *row, engine_sample *samples, base_job *job,
                            base_err *err) BASE_MUST_USE;

// Many weight sets against one reference on one view; both must outlive the probe.
typedef struct engine_probe engine_probe;
engine_probe *engine_probe_open(const model *m, engine_weights reference, const data_view *view, base_job *job,
                                base_err *err) BASE_MUST_USE;
void engine_probe_close(engine_probe *p);
// From now on every weight set measured agrees with the reference in the nodes before `node` (rising calls only): they
// are run once. The figures stay the same to the bit.
bool engine_probe_stand(engine_probe *p, int node, base_job *job, base_err *err) BASE_MUST_USE;
// As engine_measure with the reference.
bool engine_probe_measure(engine_probe *p, engine_weights w, base_model_row *row, base_job *job,
                          base_err *err) BASE_MUST_USE;

// One node alone with made-up inputs for `samples` samples, to see how long it takes. Lends m.
typedef struct engine_alone engine_alone;
engine_alone *engine_alone_open(const model *m, int node, int64_t samples, base_err *err) BASE_MUST_USE;
void engine_alone_close(engine_alone *a);
// One pass on the calling thread with this weight (what the kernel packs of it is packed anew, as for a weight that was
// just decoded).
void engine_alone_run(engine_alone *a, const float *weight);

// ---- training ----------------------------------------------------------------------------------

typedef struct engine_train_options {
    char optimizer[16]; // "sgd" or "adamw"
    double rate, momentum, beta1, beta2, epsilon, weight_decay;
    double warmup; // fraction of the steps with a linearly rising rate; then a cosine to `final_rate` * rate
    double final_rate;
    double clip; // global gradient norm; 0: none
    double label_smoothing;
    int64_t epochs, steps; // steps > 0 wins
    int64_t batch;
    uint64_t seed; // order of samples and augmentation
    int shift;     // images: random translation by up to this many pixels (zeros enter)
    bool flip;     // images: random mirror
    double noise;  // images: standard deviation of added noise
    // Called on each batch after the built-in augmentation; may change x in place. NULL: none.
    bool (*augment)(void *context, data_batch *batch, int64_t step, base_err *err);
    void *augment_context;
} engine_train_options;
extern const base_arg engine_train_args[]; // the same as declared arguments, for train{} and the docs
extern const size_t engine_train_arg_count;
// Options from values[engine_train_arg_count] as base_arg_defaults and base_arg_set_* fill them; no augment hook.
void engine_train_options_set(engine_train_options *options, const base_value *values);
// Trains the weights of a created model in place. After each epoch (or every steps/20) measures `check` (may be NULL)
// and keeps the best; on cancel the best so far stays and the status is BASE_CANCELLED. Emits train events.
bool engine_train(model *m, const data_view *train, const data_view *check, const engine_train_options *options,
                  base_job *job, base_err *err) BASE_MUST_USE;

// Text continued by a language model: greedy when temperature is 0. tokens[0..count) is the prompt; fills up to
// `limit`.
bool engine_generate(const model *m, engine_weights w, int32_t *tokens, int64_t *count, int64_t limit,
                     double temperature, uint64_t seed, base_job *job, base_err *err) BASE_MUST_USE;

#endif
