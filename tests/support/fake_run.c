// The story: a small convolutional network of seven layers goes to four bits.
#include "fake_run.h"

#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct fake_layer {
    const char *name, *kind, *shape;
    int64_t weights;
    double own, chained; // relative output errors at four bits
} fake_layer;

static const fake_layer layers[] = {
    {"conv1", "conv2d", "16x1x3x3", 144, 0.0021, 0.0021},
    {"stage1.conv", "conv2d", "32x16x3x3", 4608, 0.0048, 0.0071},
    {"stage2.conv", "conv2d", "64x32x3x3", 18432, 0.0034, 0.011},
    {"stage3.conv", "conv2d", "64x64x3x3", 36864, 0.0093, 0.024},
    {"head.fc1", "linear", "128x256", 32768, 0.00042, 0.031},
    {"head.fc2", "linear", "64x128", 8192, 0.000018, 0.017},
    {"head.out", "linear", "10x64", 640, 0.13, 0.21},
};
enum { LAYERS = sizeof layers / sizeof *layers };
static char by_hand[LAYERS][160]; // steps that were typed

double fake_clock(void) {
    return 1000;
}

static base_layer_row row_of(int i, bool finished, double harder) {
    const fake_layer *l = &layers[i];
    base_layer_row r = {.index = i, .weights = l->weights, .bytes_before = l->weights * 4, .seconds = 0.125};
    snprintf(r.name, sizeof r.name, "%s", l->name);
    snprintf(r.kind, sizeof r.kind, "%s", l->kind);
    snprintf(r.shape, sizeof r.shape, "%s", l->shape);
    r.bits = r.weight_error = r.output_error = r.output_error_held = r.chained_error = r.chained_error_held = NAN;
    r.sqnr_db = r.cosine = r.damping = r.d_of_r = NAN;
    if (!finished) return r;
    snprintf(r.steps, sizeof r.steps, "%s", by_hand[i][0] ? by_hand[i] : "quantize rtn b4 g64");
    r.bytes = (int64_t)((double)l->weights * 0.53 / harder) + 8;
    r.bits = 8 * (double)r.bytes / (double)l->weights;
    r.weight_error = l->own * 0.8 * harder;
    r.output_error = l->own * harder;
    r.output_error_held = l->own * 1.1 * harder;
    r.chained_error = l->chained * harder;
    r.chained_error_held = l->chained * 1.1 * harder;
    r.sqnr_db = -10 * log10(r.weight_error);
    r.cosine = 1 - r.output_error / 2;
    r.d_of_r = pow(2, -2 * r.bits);
    return r;
}

// The time of an event is the job's own: a job that began just now says 0.00 each time.
static void at_zero(base_job *job) {
    job->start = base_now();
}

static void tell_layer(base_job *job, base_event_kind kind, int i, bool finished, double harder) {
    base_layer_row r = row_of(i, finished, harder);
    base_emit(job,
              (base_event){.kind = kind, .layer = &r, .index = i, .total = LAYERS, .text = "4 bits, groups of 64"});
}

static void tell_begin(base_job *job) {
    at_zero(job);
    base_emit(job, (base_event){.kind = BASE_EV_RUN_BEGIN, .text = "w4"});
    base_emit(job, (base_event){.kind = BASE_EV_SEED, .text = "calibration sample", .done = 1});
    for (int i = 0; i < LAYERS; i++) tell_layer(job, BASE_EV_PLAN, i, false, 1);
    at_zero(job);
    base_log(job, BASE_INFO, "calibrating on 512 images of digits");
    base_progress(job, "calibrating", 256, 512, 2);
}

static void tell_baseline(base_job *job, int i, double harder) {
    base_layer_row r = row_of(i, true, harder);
    base_emit(job,
              (base_event){.kind = BASE_EV_BASELINE, .layer = &r, .value = layers[i].own * 1.3 * harder, .done = 4});
}

// Steps typed while the run waits: two digits of bits are too many.
static void tell_change(base_job *job, int i, const char *typed) {
    const char *bits = strstr(typed, "bits = ");
    bool taken = bits && !(bits[7] && bits[8] >= '0' && bits[8] <= '9');
    if (taken) snprintf(by_hand[i], sizeof by_hand[i], "%s", typed);
    base_layer_row r = row_of(i, false, 1);
    snprintf(r.steps, sizeof r.steps, "%s", by_hand[i]);
    at_zero(job);
    base_emit(job, (base_event){.kind = BASE_EV_CHANGE,
                                .layer = &r,
                                .status = taken ? BASE_OK : BASE_FAILED,
                                .text = taken ? typed : "quantize: bits, expected a whole number from 1 to 16"});
}

static void wait_before(base_job *job, int i) {
    char *typed = NULL;
    while (job->before_layer && job->before_layer(job, layers[i].name, &typed) && typed) {
        tell_change(job, i, typed);
        free(typed);
        typed = NULL;
    }
}

static void tell_layers(base_job *job, int from, int to, double harder) {
    for (int i = from; i < to; i++) {
        wait_before(job, i);
        if (base_cancelled(job)) return;
        tell_layer(job, BASE_EV_LAYER_BEGIN, i, false, harder);
        tell_layer(job, BASE_EV_STEP, i, true, harder);
        tell_baseline(job, i, harder);
        tell_layer(job, BASE_EV_LAYER_END, i, true, harder);
    }
}

static void tell_end(base_job *job, double harder) {
    base_model_row m = {.samples = 360,
                        .value = 98.33,
                        .low = 96.4,
                        .high = 99.2,
                        .loss = 0.061,
                        .kl = NAN,
                        .kl_low = NAN,
                        .kl_high = NAN,
                        .flips = -1,
                        .bytes = 408224,
                        .header_bytes = 1192,
                        .bits = 32,
                        .peak_bytes = 3145728,
                        .seconds = 0.5};
    snprintf(m.label, sizeof m.label, "original");
    snprintf(m.data, sizeof m.data, "digits/test");
    snprintf(m.metric, sizeof m.metric, "top1");
    base_emit(job, (base_event){.kind = BASE_EV_MODEL, .model = &m});
    snprintf(m.label, sizeof m.label, "compressed");
    m.value = 98.33 - 1.1 * harder * harder;
    m.low = m.value - 2.2;
    m.high = m.value + 1.2;
    m.kl = 0.0123 * harder;
    m.kl_low = 0.0101 * harder;
    m.kl_high = 0.0145 * harder;
    m.flips = (int64_t)(4 * harder);
    m.bytes = (int64_t)(55680 / harder);
    m.bits = 4.25 / harder;
    base_emit(job, (base_event){.kind = BASE_EV_MODEL, .model = &m});
    at_zero(job);
    base_log(job, BASE_WARN, "head.out: one layer carries most of the error");
    base_emit(job, (base_event){.kind = BASE_EV_SAVED,
                                .text = "out/w4.safetensors",
                                .done = m.bytes + 1192,
                                .of = 1192,
                                .hash = "0123456789abcdef0123456789abcdef"});
}

// Sensitivity tables and their cells, as the texts say which they are.
static void tell_tables(base_job *job, const char *const *text) {
    for (; text && *text; text++)
        base_emit(job,
                  (base_event){.kind = strstr(*text, "\"sensitivity_") ? BASE_EV_CELL : BASE_EV_TABLE, .text = *text});
}

// One byte through the gate, looking at the cancel flag in between.
static void pass_gate(const fake_run *f, base_job *job) {
    struct pollfd fd = {.fd = f->gate, .events = POLLIN};
    char byte;
    while (f->gate >= 0 && (f->stubborn || !base_cancelled(job)))
        if (poll(&fd, 1, 5) > 0) {
            if (read(f->gate, &byte, 1) != 1) return;
            break;
        }
}

static void answer(const fake_run *f) {
    if (f->gate < 0) return;
    ssize_t n = write(f->answer, "", 1);
    (void)n;
}

typedef struct burner {
    double until;
    const base_job *job;
    volatile double sink;
} burner;

static void *burn(void *context) {
    burner *b = context;
    while (base_now() < b->until && !base_cancelled(b->job))
        for (int i = 0; i < 10000; i++) b->sink += sqrt((double)i);
    return NULL;
}

// Every thread busy and an event every few microseconds: the worst case for the screen.
static void burn_all(const fake_run *f, base_job *job) {
    pthread_t threads[8];
    burner b[8];
    int count = f->threads < 8 ? f->threads : 8;
    double until = base_now() + f->burn;
    for (int i = 0; i < count; i++) {
        b[i] = (burner){.until = until, .job = job};
        if (pthread_create(&threads[i], NULL, burn, &b[i]) != 0) count = i;
    }
    for (int64_t i = 0; base_now() < until && !base_cancelled(job); i++) {
        base_progress(job, "burning", i, 1 << 20, 1);
        if (i % 64 == 0) base_log(job, BASE_INFO, "block %lld", (long long)i);
        for (volatile int k = 0; k < 20000; k++) {}
    }
    for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
}

static int deeper(int depth) {
    volatile char room[4096];
    room[depth % 4096] = (char)depth;
    return depth < 1 << 24 ? deeper(depth + 1) + room[(depth * 7) % 4096] : depth;
}

bool fake_run_body(void *context, base_job *job, base_err *err) {
    fake_run *f = context;
    double harder = 1 + 0.5 * f->told++;
    memset(by_hand, 0, sizeof by_hand);
    for (int stage = 0; stage < FAKE_STAGES; stage++) {
        pass_gate(f, job);
        if (base_cancelled(job) && !f->stubborn) return base_go_on(job, err);
        if (stage == 0) tell_begin(job);
        if (stage == 1 && f->crash > 0) raise(f->crash);
        if (stage == 1 && f->crash < 0) (void)deeper(1);
        if (stage == 1) tell_layers(job, 0, 4, harder);
        if (stage == 1) tell_layer(job, BASE_EV_LAYER_BEGIN, 4, false, harder);
        if (stage == 1 && f->burn > 0) burn_all(f, job);
        if (stage == 1) tell_tables(job, f->tables);
        if (stage == 2) tell_layers(job, 4, LAYERS, harder);
        if (stage == 3) tell_end(job, harder);
        answer(f);
    }
    return true;
}
