// train: the training loop. Samples are shuffled anew each epoch from the seed; gradients come from backward.c; after
// each epoch (or twentieth of the steps) the check view is measured and the best weights so far are kept, also when
// the job is cancelled. Same seed, same bytes, at any thread count.
#include "engine/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ARG_NUM(n, d, lo, hi, h)                                                                                       \
    { .name = n, .type = BASE_NUM, .def = d, .min = lo, .max = hi, .help = h }
#define ARG_INT(n, d, lo, hi, h)                                                                                       \
    { .name = n, .type = BASE_INT, .def = d, .min = lo, .max = hi, .help = h }
const base_arg engine_train_args[] = {
    {.name = "optimizer",
     .type = BASE_TEXT,
     .text_def = "adamw",
     .choices = "sgd|adamw",
     .help = "how weights follow gradients"},
    ARG_NUM("rate", 1e-3, 0, 1e3, "highest learning rate"),
    ARG_NUM("momentum", 0.9, 0, 1, "sgd: share of the last update that is kept"),
    ARG_NUM("beta1", 0.9, 0, 1, "adamw: decay of the mean gradient"),
    ARG_NUM("beta2", 0.999, 0, 1, "adamw: decay of the mean squared gradient"),
    ARG_NUM("epsilon", 1e-8, 0, 1, "adamw: added to the root of the mean squared gradient"),
    ARG_NUM("weight_decay", 0, 0, 1e3, "pull of weights (not biases, not norms) towards zero"),
    ARG_NUM("warmup", 0.05, 0, 1, "fraction of the steps in which the rate rises"),
    ARG_NUM("final_rate", 0, 0, 1, "share of the rate that is left at the end of the cosine"),
    ARG_NUM("clip", 0, 0, 1e9, "longest gradient over all weights; 0: any"),
    ARG_NUM("label_smoothing", 0, 0, 1, "share of the target spread over all classes"),
    ARG_INT("epochs", 10, 1, 1e6, "passes over the training samples"),
    ARG_INT("steps", 0, 0, 1e9, "updates, instead of epochs; 0: as many as the epochs make"),
    ARG_INT("batch", 32, 1, 1e6, "samples an update"),
    ARG_INT("seed", 1, 0, 9007199254740991.0, "of the order of samples and the augmentation"),
    ARG_INT("shift", 0, 0, 1024, "images: moved by up to this many pixels each way"),
    {.name = "flip", .type = BASE_BOOL, .def = 0, .min = 0, .max = 1, .help = "images: mirrored half of the time"},
    ARG_NUM("noise", 0, 0, 1e3, "features: standard deviation of the noise added"),
};
const size_t engine_train_arg_count = sizeof engine_train_args / sizeof *engine_train_args;

static double number_of(const base_value *values, const char *name) {
    for (size_t i = 0; i < engine_train_arg_count; i++)
        if (!strcmp(engine_train_args[i].name, name)) return values[i].number;
    base_bug(__FILE__, __LINE__, name);
}

void engine_train_options_set(engine_train_options *o, const base_value *v) {
    *o = (engine_train_options){.rate = number_of(v, "rate"),
                                .momentum = number_of(v, "momentum"),
                                .beta1 = number_of(v, "beta1"),
                                .beta2 = number_of(v, "beta2"),
                                .epsilon = number_of(v, "epsilon"),
                                .weight_decay = number_of(v, "weight_decay"),
                                .warmup = number_of(v, "warmup"),
                                .final_rate = number_of(v, "final_rate"),
                                .clip = number_of(v, "clip"),
                                .label_smoothing = number_of(v, "label_smoothing"),
                                .epochs = (int64_t)number_of(v, "epochs"),
                                .steps = (int64_t)number_of(v, "steps"),
                                .batch = (int64_t)number_of(v, "batch"),
                                .seed = (uint64_t)number_of(v, "seed"),
                                .shift = (int)number_of(v, "shift"),
                                .flip = number_of(v, "flip") != 0,
                                .noise = number_of(v, "noise")};
    snprintf(o->optimizer, sizeof o->optimizer, "%.15s", v[0].text);
}

// ---- state -------------------------------------------------------------------------------------

typedef struct training {
    model *m;
    const model_graph *g;
    const engine_train_options *o;
    const train_optimizer *optimizer;
    const data_view *train, *check;
    data_view *order; // the training samples in this epoch's order
    backward *back;
    data_batch batch;
    float *memory;                         // gradients, best weights and optimizer states, one after another
    float **w, **grad, **best, **state[2]; // [param_count] each
    int64_t batch_size, steps, steps_an_epoch, check_every;
    bool has_best, best_fresh; // best_fresh: the weights have not changed since they were measured best
    base_model_row best_row;
    base_job *job;
    double begun, told;
    train_update update;
} training;

static int64_t param_count(const training *t, int p) {
    return model_shape_count(&t->g->params[p].shape);
}

static bool training_memory(training *t, base_err *err) {
    size_t all = 0, count = (size_t)t->g->param_count;
    for (int p = 0; p < t->g->param_count; p++) all += (size_t)(param_count(t, p) + 15) / 16 * 16;
    t->memory = base_big_alloc(all * (size_t)(2 + t->optimizer->states) + 1, sizeof(float), "training state", err);
    if (!t->memory) return false;
    float **sets[4] = {NULL};
    for (int k = 0; k < 2 + t->optimizer->states; k++) {
        sets[k] = base_calloc(count + 1, sizeof *sets[k]);
        float *at = t->memory + all * (size_t)k;
        for (int p = 0; p < t->g->param_count; p++) {
            sets[k][p] = at;
            at += (param_count(t, p) + 15) / 16 * 16;
        }
    }
    t->grad = sets[0];
    t->best = sets[1];
    t->state[0] = sets[2];
    t->state[1] = sets[3];
    return true;
}

static void training_close(training *t) {
    data_view_free(t->order);
    data_batch_free(&t->batch);
    backward_free(t->back);
    base_big_free(t->memory);
    free(t->grad);
    free(t->best);
    free(t->state[0]);
    free(t->state[1]);
}

static void copy_params(const training *t, float *const *from, float *const *to) {
    for (int p = 0; p < t->g->param_count; p++) memcpy(to[p], from[p], (size_t)param_count(t, p) * sizeof(float));
}

static bool training_open(training *t, base_err *err) {
    const engine_train_options *o = t->o;
    t->w = model_mutable(t->m);
    if (!t->w) return base_fail(err, "%s came from a file: only a created network can be trained", t->m->name);
    if (!exec_check_view(t->g, t->train, err) || (t->check && !exec_check_view(t->g, t->check, err))) return false;
    if (o->batch < 1 || (o->epochs < 1 && o->steps < 1))
        return base_fail(err, "training needs a batch of at least 1 and at least one epoch or step");
    t->optimizer = train_optimizer_find(o->optimizer, err);
    if (!t->optimizer || !training_memory(t, err)) return false;
    t->order = data_view_copy(t->train);
    if (!t->order) return base_fail(err, "no memory for the order of %lld samples", (long long)t->train->count);
    t->batch_size = o->batch < t->train->count ? o->batch : t->train->count;
    t->steps_an_epoch = t->train->count / t->batch_size; // what is left over is in another epoch's order
    t->steps = o->steps > 0 ? o->steps : o->epochs * t->steps_an_epoch;
    t->check_every = o->steps > 0 ? (t->steps + 19) / 20 : t->steps_an_epoch;
    return true;
}

// ---- steps -------------------------------------------------------------------------------------

static bool fetch_step(training *t, int64_t step, base_err *err) {
    int64_t within = step % t->steps_an_epoch;
    if (within == 0) {
        num_rng rng = num_rng_seed(t->o->seed, 0x100 + (uint64_t)(step / t->steps_an_epoch));
        memcpy(t->order->index, t->train->index, (size_t)t->train->count * sizeof *t->order->index);
        num_rng_shuffle(&rng, t->order->index, (size_t)t->order->count);
    }
    if (!data_fetch(t->order, within * t->batch_size, t->batch_size, &t->batch, err)) return false;
    train_augment(t->o, t->train->set, step, &t->batch);
    return !t->o->augment || t->o->augment(t->o->augment_context, &t->batch, step, err);
}

static bool update_param(void *context, int64_t p, int worker, base_err *err) {
    (void)worker, (void)err;
    training *t = context;
    const model_param *param = &t->g->params[p];
    if (param->buffer) return true;
    train_update u = t->update;
    if (param->shape.ndim < 2) u.decay = 0;
    float *state[2] = {t->state[0][p], t->state[1] ? t->state[1][p] : NULL};
    t->optimizer->update(&u, model_shape_count(&param->shape), t->grad[p], t->w[p], state);
    return true;
}

static double gradient_length(const training *t) {
    double sum = 0;
    for (int p = 0; p < t->g->param_count; p++)
        if (!t->g->params[p].buffer) sum += num_sum_squares(t->grad[p], (size_t)param_count(t, p));
    return sqrt(sum);
}

static bool run_step(training *t, int64_t step, double *loss, base_err *err) {
    if (!fetch_step(t, step, err)) return false;
    if (!t->back || !backward_fits(t->back, &t->batch, true)) {
        backward_free(t->back);
        int64_t length = t->batch.kind == DATA_TOKENS ? t->batch.length : 1;
        t->back = backward_make(t->g, t->batch.count, length, true, err);
        if (!t->back) return false;
    }
    if (!backward_run(t->back, (engine_weights)t->w, &t->batch, t->o->label_smoothing, t->grad, t->w, loss, t->job,
                      err))
        return err->status == BASE_CANCELLED ? false : base_wrap(err, "training step %lld: ", (long long)step + 1);
    double length = gradient_length(t);
    if (!isfinite(length))
        return base_fail(err, "training step %lld: the gradient is not finite; try a lower rate than %g",
                         (long long)step + 1, t->o->rate);
    const engine_train_options *o = t->o;
    t->update = (train_update){
        train_rate(o, step, t->steps), o->momentum, o->beta1, o->beta2, o->epsilon, o->weight_decay, step + 1, 1.0f};
    if (o->clip > 0 && length > o->clip) t->update.scale = (float)(o->clip / length);
    t->best_fresh = false;
    // Not cancellable: all parameters move, or none.
    return exec_parallel(t->g->param_count, update_param, t, NULL, err);
}

static void tell(training *t, int64_t step, double loss) {
    double now = base_now();
    if (now - t->told < 0.1 && step + 1 < t->steps) return;
    t->told = now;
    double spent = now - t->begun;
    base_emit(t->job, (base_event){.kind = BASE_EV_TRAIN,
                                   .index = step + 1,
                                   .total = t->steps,
                                   .value = loss,
                                   .value2 = t->update.rate,
                                   .eta = spent * (double)(t->steps - step - 1) / (double)(step + 1)});
}

static bool better(const training *t, const base_model_row *row) {
    if (!t->has_best) return true;
    double sign = t->g->task == MODEL_CLASSIFY ? 1 : -1, gain = sign * (row->value - t->best_row.value);
    return gain > 0 || (gain == 0 && row->loss < t->best_row.loss);
}

static bool check_now(training *t, int64_t step, base_err *err) {
    base_model_row row = {0};
    if (!engine_measure(t->m, (engine_weights)t->w, NULL, t->check, &row, t->job, err)) return false;
    bool best = better(t, &row);
    base_log(t->job, BASE_INFO, "step %lld of %lld: %s %.4g, loss %.4f on %s%s", (long long)step + 1,
             (long long)t->steps, row.metric, row.value, row.loss, row.data, best ? ", best so far" : "");
    if (!best) return true;
    t->best_row = row;
    t->has_best = t->best_fresh = true;
    copy_params(t, t->w, t->best);
    return true;
}

static bool run_steps(training *t, base_err *err) {
    for (int64_t step = 0; step < t->steps; step++) {
        double loss;
        if (!base_go_on(t->job, err) || !run_step(t, step, &loss, err)) return false;
        tell(t, step, loss);
        bool last = step + 1 == t->steps;
        if (t->check && ((step + 1) % t->check_every == 0 || last) && !check_now(t, step, err)) return false;
    }
    return true;
}

bool engine_train(model *m, const data_view *train, const data_view *check, const engine_train_options *options,
                  base_job *job, base_err *err) {
    if (!exec_check_model(m, err)) return false;
    training t = {.m = m, .g = m->graph, .o = options, .train = train, .check = check, .job = job, .begun = base_now()};
    bool ok = training_open(&t, err) && run_steps(&t, err);
    if (t.has_best && !t.best_fresh) copy_params(&t, t.best, t.w);
    training_close(&t);
    return ok;
}
