// metric_time: how long a layer takes under each option on this machine - decoded from its stored form and run once.
#include "study/sensitivity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES, REPEATS, PART };
static const base_arg args[] = {
    {"samples", BASE_INT, 1, 1, 4096, NULL, NULL,
     "samples of a pass: the more, the less the decoding weighs, which is done once a pass"},
    {"repeats", BASE_INT, 21, 3, 10001, NULL, NULL, "passes measured of a cell, of which the median counts"},
    {"part", BASE_TEXT, 0, 0, 0, "both", "both|decode|run",
     "decode: from the stored form to floats; run: the layer's own product; both"},
};
// A pass of a large layer takes long and scatters little: fewer are measured after this many seconds.
static const double long_enough = 0.3;
enum { FEWEST = 5, WARM = 2 };

typedef struct timing {
    const study_subject *s;
    study_table *t;
    const base_value *v;
    engine_alone *layer; // the row at hand; NULL: no node uses it
    int row;
    double *seconds; // [repeats]
    base_job *job;
} timing;

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, int n) {
    qsort(x, (size_t)n, sizeof *x, by_size);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

// One pass; its seconds.
static bool pass(const timing *k, const float *weight, const compress_stored *stored, float *room, double *seconds,
                 base_err *err) {
    const char *part = k->v[PART].text;
    double began = base_now();
    if (stored && strcmp(part, "run") != 0 && !compress_stored_decode(stored, room, err)) return false;
    if (k->layer && strcmp(part, "decode") != 0) engine_alone_run(k->layer, stored ? room : weight);
    *seconds = base_now() - began;
    return true;
}

static bool open_row(timing *k, int row, base_err *err) {
    const model_layer *l = &k->s->m->layers[study_layer(k->s, row)];
    if (k->row == row) return true;
    engine_alone_close(k->layer);
    k->layer = NULL;
    k->row = row;
    if (l->node < 0) return true;
    k->layer = engine_alone_open(k->s->m, l->node, (int64_t)k->v[SAMPLES].number, err);
    return k->layer;
}

static bool time_cell(void *context, int row, int option, const float *decoded, const compress_stored *stored,
                      base_err *err) {
    timing *k = context;
    const model_layer *l = &k->s->m->layers[study_layer(k->s, row)];
    int most = (int)k->v[REPEATS].number, n = 0, at = row * k->t->cols + option;
    if (!compress_stored_decode(stored, NULL, err)) stored = NULL; // floats as they came are used where they lie
    float *room = base_big_alloc((size_t)l->weights, sizeof *room, "a decoded layer", err);
    bool ok = room && open_row(k, row, err);
    if (ok) memcpy(room, decoded, (size_t)l->weights * sizeof *room);
    // One thread: where others want the cores too, waiting for a second one would be most of what is measured.
    int threads = num_threads();
    num_set_threads(1);
    double began = base_now(), unused;
    for (int i = 0; ok && i < WARM; i++) ok = pass(k, decoded, stored, room, &unused, err);
    while (ok && n < most && (n < FEWEST || base_now() - began < long_enough))
        ok = base_go_on(k->job, err) && pass(k, decoded, stored, room, &k->seconds[n++], err);
    num_set_threads(threads);
    base_big_free(room);
    if (!ok) return false;
    double middle = median(k->seconds, n);
    k->t->value[at] = middle;
    for (int i = 0; i < n; i++) k->seconds[i] = fabs(k->seconds[i] - middle);
    // Standard error of a median from the median absolute deviation, as if times scattered normally.
    k->t->error[at] = 1.4826 * median(k->seconds, n) * sqrt(3.14159265358979 / 2 / n);
    k->t->seconds[at] += base_now() - began;
    return true;
}

static bool measure(const study_subject *s, const base_value *v, study_table *t, base_job *job, base_err *err) {
    timing k = {.s = s, .t = t, .v = v, .row = -1, .job = job};
    if (!study_table_new(t, s, "time", "seconds", true, err)) return false;
    k.seconds = base_calloc((size_t)v[REPEATS].number, sizeof *k.seconds);
    base_log(job, BASE_INFO, "time is that of one thread of %s", base_machine());
    bool ok = study_each_stored(s, t, time_cell, &k, job, err);
    engine_alone_close(k.layer);
    free(k.seconds);
    return ok;
}

const study_metric metric_time = {
    .name = "time",
    .help = "seconds a layer takes under each option on this machine: decoded and run, median of passes",
    .about =
        "What Vise itself does with a stored layer, measured by the clock: its terms are decoded to float32 and the\n"
        "layer's own product is run once on made-up inputs, as in a program that keeps weights packed and decodes "
        "them\n"
        "for each pass. The product is of dense floats whatever the option, so options differ by their decoding:\n"
        "fewer bits or pruned weights are not faster as such. Undoing entropy coding is not in it (a reader does that\n"
        "once). All on one thread, so that other programs disturb little. Cells are kept for this machine\n"
        "only; allocate() measures them by itself for a budget in seconds.",
    .source = "measured latency tables as in Liu et al. 2021, OHQ (arXiv 2309.01945), on-chip hardware awareness",
    .cost = "no data beyond what the options' steps need; one compression and some twenty passes a cell",
    .by_option = true,
    .alone = true,
    .machine = true,
    .args = args,
    .arg_count = sizeof args / sizeof *args,
    .measure = measure,
};
