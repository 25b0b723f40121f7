// hawq files: published sensitivity tables (Hessian trace x squared weight change) of two widths, with the optima of
// several budgets: two independent solvers must find each of them exactly; greedy and the hull are shown beside them.
#include "kinds.h"

#include "study/study.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_LAYERS = 512, MOST_WIDTHS = 8 };

typedef struct hawq {
    int layers, widths; // widths: those that the file has a change for, rising
    int64_t bits[MOST_WIDTHS];
    double loss[MOST_LAYERS][MOST_WIDTHS]; // relative to the widest
    int64_t cost[MOST_LAYERS][MOST_WIDTHS];
    const double *losses[MOST_LAYERS];
    const int64_t *costs[MOST_LAYERS];
    int options[MOST_LAYERS], tie[MOST_LAYERS];
} hawq;

// Number i of an array, or of the array whose name has a width in it ("dw2_4bit", "latency_4bit_ms").
static double at(const json_t *root, const char *format, int64_t bits, int i) {
    char name[64];
    snprintf(name, sizeof name, format, (long long)bits);
    return json_number_value(json_array_get(json_object_get(root, name), (size_t)i));
}

static bool has_array(const json_t *root, const char *format, int64_t bits, size_t n) {
    char name[64];
    snprintf(name, sizeof name, format, (long long)bits);
    const json_t *list = json_object_get(root, name);
    if (json_array_size(list) != n) return false;
    for (size_t i = 0; i < n; i++) {
        double x = json_number_value(json_array_get(list, i));
        if (!json_is_number(json_array_get(list, i)) || !(fabs(x) < 1e15)) return false;
    }
    return true;
}

// Whole numbers in place of MB, Gbitops and ms; *scale brings a limit of the file into them. The notebook divides bit
// operations by 64 at 4 bits and by 16 at 8: as the square of the width.
static bool set_costs(hawq *h, const json_t *root, const char *kind, double *scale) {
    for (int i = 0; i < h->layers; i++)
        for (int k = 0; k < h->widths; k++) {
            double bits = (double)h->bits[k];
            if (!strcmp(kind, "size") && has_array(root, "params", 0, (size_t)h->layers))
                h->cost[i][k] = llround(at(root, "params", 0, i) * bits), *scale = 8 * 1048576.0;
            else if (!strcmp(kind, "bops") && has_array(root, "bops_raw", 0, (size_t)h->layers))
                h->cost[i][k] = llround(at(root, "bops_raw", 0, i) * bits * bits), *scale = 1024e6;
            else if (!strcmp(kind, "lat") && has_array(root, "latency_%lldbit_ms", h->bits[k], (size_t)h->layers))
                h->cost[i][k] = llround(at(root, "latency_%lldbit_ms", h->bits[k], i) * 1e9), *scale = 1e9;
            else
                return false;
            if (h->cost[i][k] < 0) return false;
        }
    return true;
}

static bool read_table(hawq *h, const json_t *root, base_err *err) {
    size_t n = json_array_size(json_object_get(root, "hessian_trace"));
    if (n < 1 || n > MOST_LAYERS || !has_array(root, "hessian_trace", 0, n))
        return base_fail(err, "hessian_trace is no list of 1 to %d numbers", MOST_LAYERS);
    for (int64_t bits = 1; bits <= 16; bits++)
        if (h->widths < MOST_WIDTHS && has_array(root, "dw2_%lldbit", bits, n)) h->bits[h->widths++] = bits;
    if (h->widths < 2) return base_fail(err, "dw2_4bit and dw2_8bit are not lists of %zu numbers", n);
    for (int i = 0; i < (int)n; i++) {
        for (int k = 0; k < h->widths; k++)
            h->loss[i][k] = at(root, "hessian_trace", 0, i) * (at(root, "dw2_%lldbit", h->bits[k], i) -
                                                               at(root, "dw2_%lldbit", h->bits[h->widths - 1], i));
        h->losses[i] = h->loss[i];
        h->costs[i] = h->cost[i];
        h->options[i] = h->widths;
        h->tie[i] = -1;
    }
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(root, "tied_layers"), key, value) {
        char *end;
        long long a = strtoll(key, &end, 10), b = json_integer_value(value);
        if (*end || end == key || !json_is_integer(value) || a < 0 || a >= (long long)n || b < 0 || b >= (long long)n)
            return base_fail(err, "tied_layers ties what is not one of %zu layers", n);
        h->tie[a] = h->tie[b] = (int)b;
    }
    h->layers = (int)n;
    return true;
}

// The limit in whole costs. It is rounded to six places in the file: where it is the stated fraction of the way from
// the narrowest width to the widest, that is exact.
static int64_t budget_of(const hawq *h, const json_t *o, double scale) {
    double limit = json_number_value(json_object_get(o, "limit")), low = 0, high = 0;
    const json_t *share = json_object_get(o, "frac");
    for (int i = 0; i < h->layers; i++) {
        low += (double)h->cost[i][0];
        high += (double)h->cost[i][h->widths - 1];
    }
    double exact = low + (high - low) * json_number_value(share);
    if (json_is_number(share) && fabs(exact / scale - limit) <= 1e-6) return (int64_t)floor(exact + 1e-6);
    return (int64_t)floor((limit + 5e-7) * scale);
}

// The loss of the file's bit string where it fits the budget and the ties; INFINITY where it does not.
static double stated_loss(const hawq *h, const study_problem *p, const char *bits) {
    double loss = 0;
    int64_t cost = 0;
    for (int i = 0; i < p->layers; i++) {
        int k = 0;
        while (k < h->widths && '0' + (int)h->bits[k] != bits[i]) k++;
        if (k == h->widths || (p->tie[i] >= 0 && bits[i] != bits[p->tie[i]])) return INFINITY;
        loss += p->loss[i][k];
        cost += p->cost[i][k];
    }
    return cost <= p->budget ? loss : INFINITY;
}

static void check_instance(const golden_file *f, const hawq *h, const study_problem *p, const json_t *o,
                           const char *name) {
    static const char *const solvers[] = {"exact", "ilp", "greedy", "hull"};
    double want = json_number_value(json_object_get(o, "opt_loss"));
    const char *bits = json_string_value(json_object_get(o, "opt_bits"));
    if (!json_is_number(json_object_get(o, "opt_loss")) || (bits && strlen(bits) != (size_t)p->layers)) {
        golden_verdict(f, name, NAN, NAN, false, "opt_loss is missing, or opt_bits has not a digit a layer");
        return;
    }
    for (int k = 0; k < 4; k++) {
        const study_allocator *s = study_allocator_find(solvers[k]);
        char variant[128], why[128] = "";
        study_answer a;
        base_err err = {0};
        snprintf(variant, sizeof variant, "%s.%s", name, solvers[k]);
        if (!study_allocate(p, s, NULL, &a, NULL, &err)) {
            golden_verdict(f, variant, NAN, NAN, false, err.text);
            continue;
        }
        int same = 0;
        for (int i = 0; bits && i < p->layers; i++) same += '0' + (int)h->bits[a.choice[i]] == bits[i];
        // The file rounds losses to six places; where two strings are equally good either is the optimum.
        double room = 1e-6 * fmax(1, fabs(want)), stated = bits ? stated_loss(h, p, bits) : a.loss;
        bool tied = a.loss <= stated + 1e-12 * fmax(1, fabs(want)) && stated < INFINITY;
        bool equal = fabs(a.loss - want) <= room && (!bits || same == p->layers || tied);
        snprintf(why, sizeof why, "loss %.6f, gap %.6f, %.0f us%s", a.loss, a.loss - a.optimum, a.seconds * 1e6,
                 s->exact && same < p->layers && equal ? " (a tie)" : "");
        bool pass = s->exact ? equal && a.optimal : a.loss >= want - room;
        golden_verdict(f, variant, bits ? (double)same / p->layers : NAN, want != 0 ? a.loss / want : NAN, pass, why);
        study_answer_free(&a);
    }
}

void golden_hawq(const golden_file *f) {
    json_t *root = golden_json(f);
    if (!root) return;
    hawq *h = base_calloc(1, sizeof *h);
    const json_t *list = json_object_get(root, "instances");
    base_err err = {0};
    if (!read_table(h, root, &err) || (!json_array_size(list) && !base_fail(&err, "there are no instances")))
        golden_verdict(f, NULL, NAN, NAN, false, err.text);
    for (size_t i = 0; h->layers && i < json_array_size(list); i++) {
        const json_t *o = json_array_get(list, i);
        const char *kind = json_string_value(json_object_get(o, "kind"));
        double scale = 1;
        char name[64], shown[32];
        base_clean(shown, sizeof shown, kind ? kind : "?");
        snprintf(name, sizeof name, "%s_%g", shown, json_number_value(json_object_get(o, "frac")));
        if (!kind || !json_is_number(json_object_get(o, "limit")) || !set_costs(h, root, kind, &scale)) {
            golden_verdict(f, name, NAN, NAN, false, "no limit, or a kind of budget that the file has no costs of");
            continue;
        }
        study_problem p = {.layers = h->layers,
                           .options = h->options,
                           .loss = h->losses,
                           .cost = h->costs,
                           .tie = h->tie,
                           .budget = budget_of(h, o, scale)};
        check_instance(f, h, &p, o, name);
    }
    json_decref(root);
    free(h);
}
