// event: the tables of row fields, and how work reports and is asked to stop.
#include "base/base.h"

#define LAYER(name, unit, type, help)                                                                                  \
    { #name, unit, help, type, offsetof(base_layer_row, name), sizeof(((base_layer_row *)0)->name) }
const base_field base_layer_fields[] = {
    LAYER(index, "", BASE_F_INT, "position in the walk, from 0"),
    LAYER(name, "", BASE_F_TEXT, "layer, as in the model"),
    LAYER(kind, "", BASE_F_TEXT, "what the layer is"),
    LAYER(shape, "", BASE_F_TEXT, "shape of its weight"),
    LAYER(steps, "", BASE_F_TEXT, "steps applied, in order"),
    LAYER(weights, "", BASE_F_INT, "number of original weights"),
    LAYER(bytes, "B", BASE_F_INT, "bytes stored now"),
    LAYER(bytes_before, "B", BASE_F_INT, "bytes stored in the input file"),
    LAYER(bits, "bit", BASE_F_REAL, "bits per weight, all overhead included"),
    LAYER(weight_error, "", BASE_F_REAL, "relative weight error"),
    LAYER(output_error, "", BASE_F_REAL, "relative output error of this layer alone, calibration inputs"),
    LAYER(output_error_held, "", BASE_F_REAL, "relative output error of this layer alone, held-out inputs"),
    LAYER(chained_error, "", BASE_F_REAL, "relative output error with what arrives from upstream, calibration inputs"),
    LAYER(chained_error_held, "", BASE_F_REAL,
          "relative output error with what arrives from upstream, held-out inputs"),
    LAYER(sqnr_db, "dB", BASE_F_REAL, "signal to quantisation noise of the weights"),
    LAYER(cosine, "", BASE_F_REAL, "cosine between original and new outputs"),
    LAYER(damping, "", BASE_F_REAL, "damping used in a factorisation"),
    LAYER(d_of_r, "", BASE_F_REAL, "Gaussian rate-distortion bound 2^(-2 bits)"),
    LAYER(seconds, "s", BASE_F_REAL, "time spent on this layer"),
};
const size_t base_layer_field_count = sizeof base_layer_fields / sizeof *base_layer_fields;

#define MODEL(name, unit, type, help)                                                                                  \
    { #name, unit, help, type, offsetof(base_model_row, name), sizeof(((base_model_row *)0)->name) }
const base_field base_model_fields[] = {
    MODEL(label, "", BASE_F_TEXT, "which model this is"),
    MODEL(data, "", BASE_F_TEXT, "dataset and part"),
    MODEL(metric, "", BASE_F_TEXT, "what value measures"),
    MODEL(samples, "", BASE_F_INT, "images, or predicted tokens"),
    MODEL(value, "", BASE_F_REAL, "the metric"),
    MODEL(low, "", BASE_F_REAL, "lower end of its 95 % interval; tokens of a sequence count as dependent"),
    MODEL(high, "", BASE_F_REAL, "upper end of its 95 % interval"),
    MODEL(loss, "", BASE_F_REAL, "mean cross-entropy in nats, or mean squared error"),
    MODEL(kl, "nat", BASE_F_REAL, "mean KL divergence from the original's outputs"),
    MODEL(kl_low, "nat", BASE_F_REAL, "lower end of its 95 % interval; tokens of a sequence count as dependent"),
    MODEL(kl_high, "nat", BASE_F_REAL, "upper end of its 95 % interval"),
    MODEL(flips, "", BASE_F_INT, "decisions changed against the original, -1 when not compared"),
    MODEL(bytes, "B", BASE_F_INT, "stored bytes of all tensors"),
    MODEL(header_bytes, "B", BASE_F_INT, "header of the file that would hold them"),
    MODEL(bits, "bit", BASE_F_REAL, "bits per weight over the compressible layers"),
    MODEL(peak_bytes, "B", BASE_F_INT, "most memory held for data"),
    MODEL(seconds, "s", BASE_F_REAL, "time of the measurement"),
};
const size_t base_model_field_count = sizeof base_model_fields / sizeof *base_model_fields;

const char *const base_event_names[BASE_EV_KINDS] = {
    [BASE_EV_RUN_BEGIN] = "run_begin", [BASE_EV_PARAM] = "param",         [BASE_EV_LOG] = "log",
    [BASE_EV_PLAN] = "plan",           [BASE_EV_PROGRESS] = "progress",   [BASE_EV_LAYER_BEGIN] = "layer_begin",
    [BASE_EV_STEP] = "step",           [BASE_EV_LAYER_END] = "layer_end", [BASE_EV_TRAIN] = "train",
    [BASE_EV_MODEL] = "model",         [BASE_EV_SAVED] = "saved",         [BASE_EV_SEED] = "seed",
    [BASE_EV_TABLE] = "table",         [BASE_EV_CELL] = "cell",           [BASE_EV_PAUSE] = "pause",
    [BASE_EV_CHANGE] = "change",       [BASE_EV_BASELINE] = "baseline",   [BASE_EV_RUN_END] = "run_end",
};

void base_emit(base_job *job, base_event event) {
    if (!job || !job->emit) return;
    event.time = base_now() - job->start;
    job->emit(job->context, &event);
}

void base_log(base_job *job, base_level level, const char *fmt, ...) {
    if (!job || !job->emit) return;
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    base_emit(job, (base_event){.kind = BASE_EV_LOG, .level = level, .text = text});
}

void base_progress(base_job *job, const char *phase, int64_t done, int64_t of, double eta) {
    base_emit(job, (base_event){.kind = BASE_EV_PROGRESS, .text = phase, .done = done, .of = of, .eta = eta});
}

bool base_cancelled(const base_job *job) {
    for (; job; job = job->over) {
        // The flag is the job's own: waiting for it changes nothing that the caller was promised.
        if (job->hold && atomic_load_explicit(&job->pause, memory_order_relaxed)) job->hold((base_job *)(uintptr_t)job);
        if (atomic_load_explicit(&job->cancel, memory_order_relaxed) != 0) return true;
    }
    return false;
}

double base_work_time(const base_job *job) {
    double held = 0;
    for (; job; job = job->over) held += job->held;
    return base_now() - held;
}

bool base_go_on(const base_job *job, base_err *err) {
    return !base_cancelled(job) || base_fail_as(err, BASE_CANCELLED, "stopped on request");
}
