// See op_check.h. Tolerances: forward 2e-6 of the largest |value| per tensor and sqrt of the values summed (float32
// carries 6e-8); gradients 3e-5 of the tensor's largest |gradient|, while central differences of the float64 definition
// at step 1e-5 are good to about 1e-9.
#include "tests/support/op_check.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/kernels.h"
#include "tests/support/op_reference.h"

enum { MOST_PLACES = 150 }; // gradient entries checked per tensor, spread evenly
static const double step = 1e-5;

// A tensor in both precisions; the float64 values are exactly the float32 ones.
typedef struct pair {
    int64_t count;
    float *f, *grad;
    double *d;
} pair;

typedef struct bench {
    const op_case *c;
    model_node node;
    model_shape in_shape[MODEL_MAX_IN], out_shape[MODEL_MAX_OUT], param_shape[MODEL_MAX_PARAM];
    pair in[MODEL_MAX_IN], out[MODEL_MAX_OUT], param[MODEL_MAX_PARAM];
    int32_t *tokens, *labels;
    bool training;
    double smoothing;
    engine_args args;
    reference_args ref;
    num_rng rng;
} bench;

static void *must(void *p) {
    if (!p) fail_msg("out of memory");
    return p;
}

static void say(const bench *b, const char *what) {
    fail_msg("%s {%s} [%s]: %s", model_ops[b->c->op].name, b->c->attrs, b->c->shapes, what);
}

// ---- the node from its text --------------------------------------------------------------------

static void read_attrs(bench *b) {
    const model_op_info *info = &model_ops[b->c->op];
    char text[512], *rest = text;
    snprintf(text, sizeof text, "%s", b->c->attrs);
    for (int i = 0; i < info->attr_count; i++) b->node.attr[i] = info->attrs[i].def;
    for (char *word; (word = strtok_r(rest, " ", &rest));) {
        char *equals = strchr(word, '=');
        int i = 0;
        if (!equals) say(b, "an attribute without '='");
        *equals = 0;
        if (!strcmp(word, "training")) {
            b->training = atof(equals + 1) != 0;
            continue;
        }
        if (!strcmp(word, "smoothing")) {
            b->smoothing = atof(equals + 1);
            continue;
        }
        while (i < info->attr_count && strcmp(info->attrs[i].name, word)) i++;
        if (i == info->attr_count) say(b, "an attribute the op table does not know");
        b->node.attr[i] = atof(equals + 1);
    }
}

static void read_shapes(bench *b) {
    const char *p = b->c->shapes;
    while (*p) {
        model_shape *s = &b->in_shape[b->node.in_count++];
        for (;;) {
            char *end;
            s->dim[s->ndim++] = strtol(p, &end, 10);
            p = end;
            if (*p != 'x') break;
            p++;
        }
        while (*p == ' ') p++;
    }
}

// Distinct values of both signs, none near zero: central differences then never step over a kink or change a maximum.
static void fill(bench *b, pair *p, int64_t count, double size, double shift) {
    int64_t *order = must(calloc((size_t)count + 1, sizeof *order));
    p->count = count;
    p->f = must(calloc((size_t)count + 1, sizeof *p->f));
    p->grad = must(calloc((size_t)count + 1, sizeof *p->grad));
    p->d = must(calloc((size_t)count + 1, sizeof *p->d));
    for (int64_t i = 0; i < count; i++) order[i] = i;
    num_rng_shuffle(&b->rng, order, (size_t)count);
    for (int64_t i = 0; i < count; i++) {
        const double unit = (2 * (double)order[i] + 1 - (double)count) / (double)count + 0.3 / (double)count;
        p->f[i] = (float)(size * unit + shift);
        p->d[i] = (double)p->f[i];
    }
    free(order);
}

static void make_tokens(bench *b) {
    const int64_t rows = model_shape_count(&b->in_shape[b->c->op == MODEL_EMBEDDING ? 0 : 1]);
    const int64_t last = b->in_shape[0].dim[b->in_shape[0].ndim - 1];
    int32_t *ids = must(calloc((size_t)rows, sizeof *ids));
    for (int64_t i = 0; i < rows; i++) {
        if (b->c->op == MODEL_EMBEDDING)
            ids[i] = (int32_t)num_rng_below(&b->rng, (uint32_t)b->node.attr[EMBEDDING_COUNT]);
        else
            ids[i] = i % 5 == 3 ? -1 : (int32_t)num_rng_below(&b->rng, (uint32_t)last);
    }
    *(b->c->op == MODEL_EMBEDDING ? &b->tokens : &b->labels) = ids;
}

static void make_params(bench *b) {
    const model_op_info *info = &model_ops[b->c->op];
    b->node.param_count = info->param_shapes(&b->node, b->in_shape, b->param_shape);
    for (int k = 0; k < b->node.param_count; k++) {
        const bool there = b->param_shape[k].ndim > 0, variance = !strcmp(info->params[k], "running_var");
        b->node.param[k] = there ? k : -1;
        if (there) fill(b, &b->param[k], model_shape_count(&b->param_shape[k]), 0.5, variance ? 1 : 0.1);
    }
}

static void set_up(bench *b, const op_case *c) {
    base_err err = {0};
    *b = (bench){.c = c, .node = {.op = c->op, .name = "node"}, .rng = num_rng_seed(11, (uint64_t)c->op)};
    read_attrs(b);
    read_shapes(b);
    b->node.out_count = c->op == MODEL_SPLIT ? (int)b->node.attr[SPLIT_PARTS] : 1;
    if (!model_ops[c->op].infer(&b->node, b->in_shape, b->out_shape, &err)) say(b, err.text);
    if (c->op == MODEL_EMBEDDING || c->op == MODEL_CROSS_ENTROPY) make_tokens(b);
    make_params(b);
    for (int k = 0; k < b->node.in_count; k++)
        if (c->op != MODEL_EMBEDDING && !(c->op == MODEL_CROSS_ENTROPY && k == 1))
            fill(b, &b->in[k], model_shape_count(&b->in_shape[k]), 2, 0);
    for (int k = 0; k < b->node.out_count; k++) fill(b, &b->out[k], model_shape_count(&b->out_shape[k]), 1, 0.05);
    b->args = (engine_args){.node = &b->node,
                            .in_shape = b->in_shape,
                            .out_shape = b->out_shape,
                            .param_shape = b->param_shape,
                            .tokens = b->tokens,
                            .labels = b->labels,
                            .training = b->training,
                            .smoothing = (float)b->smoothing};
    b->ref = (reference_args){.node = &b->node,
                              .in_shape = b->in_shape,
                              .out_shape = b->out_shape,
                              .tokens = b->tokens,
                              .labels = b->labels,
                              .training = b->training,
                              .smoothing = (double)b->args.smoothing};
    for (int k = 0; k < b->node.in_count; k++) b->args.in[k] = b->in[k].f, b->ref.in[k] = b->in[k].d;
    for (int k = 0; k < b->node.param_count; k++) b->args.param[k] = b->param[k].f, b->ref.param[k] = b->param[k].d;
    for (int k = 0; k < b->node.out_count; k++) b->ref.out[k] = must(calloc((size_t)b->out[k].count, sizeof(double)));
}

static void free_pair(pair *p) {
    free(p->f);
    free(p->grad);
    free(p->d);
}

static void tear_down(bench *b) {
    for (int k = 0; k < b->node.out_count; k++) free(b->ref.out[k]);
    for (int k = 0; k < MODEL_MAX_IN; k++) free_pair(&b->in[k]);
    for (int k = 0; k < MODEL_MAX_OUT; k++) free_pair(&b->out[k]);
    for (int k = 0; k < MODEL_MAX_PARAM; k++) free_pair(&b->param[k]);
    free(b->tokens);
    free(b->labels);
}

// ---- forward -----------------------------------------------------------------------------------

// Exactly as much memory as the kernel asked for, so that the address sanitizer sees a step beyond it; filled with
// NaN, because kernels may not rely on what is there.
static float *room(size_t count) {
    float *p = must(aligned_alloc(64, count ? (count * sizeof *p + 63) / 64 * 64 : 64));
    for (size_t i = 0; i < count; i++) p[i] = NAN;
    return p;
}

typedef struct call {
    engine_args a;
    float *save, *prepared, *running[2], *out[MODEL_MAX_OUT];
} call;

static void scratch_for(const engine_kernel *k, engine_args *a) {
    a->scratch = room(k->scratch ? k->scratch(a) : 0);
}

// Runs forward into new outputs. prepared: with the weight prepared; alias: output 0 in input 0's memory.
static call run_forward(const bench *b, bool prepared, bool alias, bool save) {
    const engine_kernel *k = &engine_kernels[b->c->op];
    call c = {.a = b->args};
    if (prepared) {
        const size_t count = k->prepared(&c.a);
        c.prepared = room(count);
        k->prepare(&c.a, c.prepared);
        c.a.prepared = count ? c.prepared : NULL;
    }
    if (save) c.a.save = c.save = room(k->save ? k->save(&c.a) : 0);
    for (int i = 0; i < 2 && b->training && b->c->op == MODEL_BATCH_NORM; i++) {
        c.a.running[i] = c.running[i] = must(calloc((size_t)b->param[2 + i].count, sizeof(float)));
        memcpy(c.running[i], b->param[2 + i].f, (size_t)b->param[2 + i].count * sizeof(float));
    }
    for (int i = 0; i < b->node.out_count; i++) c.a.out[i] = c.out[i] = room((size_t)b->out[i].count);
    if (alias) {
        memcpy(c.out[0], b->in[0].f, (size_t)b->in[0].count * sizeof(float));
        c.a.in[0] = c.out[0];
    }
    scratch_for(k, &c.a);
    k->forward(&c.a);
    return c;
}

static void free_call(call *c) {
    for (int i = 0; i < MODEL_MAX_OUT; i++) free(c->out[i]);
    free(c->save);
    free(c->prepared);
    free(c->running[0]);
    free(c->running[1]);
    free(c->a.scratch);
}

// Values that were added to make one output, for the forward tolerance.
static double terms_of(const bench *b) {
    const double outputs = (double)model_shape_count(&b->out_shape[0]),
                 flops = model_ops[b->c->op].flops(&b->node, b->in_shape, b->out_shape);
    return flops / outputs + 1;
}

static void compare(const bench *b, const char *what, int k, const float *got, const double *want, int64_t count,
                    double tolerance) {
    double largest = 1;
    for (int64_t i = 0; i < count; i++) largest = fmax(largest, fabs(want[i]));
    for (int64_t i = 0; i < count; i++) {
        if (fabs((double)got[i] - want[i]) <= tolerance * largest) continue;
        char text[160];
        snprintf(text, sizeof text, "%s %d at %lld is %.9g, expected %.9g", what, k, (long long)i, (double)got[i],
                 want[i]);
        say(b, text);
    }
}

static void check_forward(bench *b) {
    const engine_kernel *k = &engine_kernels[b->c->op];
    const double tolerance = 2e-6 * sqrt(terms_of(b));
    reference_ops[b->c->op](&b->ref);
    call plain = run_forward(b, false, false, false);
    for (int i = 0; i < b->node.out_count; i++)
        compare(b, "output", i, plain.out[i], b->ref.out[i], b->out[i].count, tolerance);
    for (int i = 0; i < 2 && plain.running[i]; i++)
        compare(b, "running", i, plain.running[i], b->ref.running[i], b->param[2].count, tolerance);
    if (k->prepared) {
        call c = run_forward(b, true, false, false);
        if (memcmp(c.out[0], plain.out[0], (size_t)b->out[0].count * sizeof(float)))
            say(b, "a prepared weight changes the output");
        free_call(&c);
    }
    if (k->in_place && b->in[0].count == b->out[0].count) {
        call c = run_forward(b, false, true, false);
        if (memcmp(c.out[0], plain.out[0], (size_t)b->out[0].count * sizeof(float)))
            say(b, "working in place changes the output");
        free_call(&c);
    }
    free_call(&plain);
}

// ---- backward ----------------------------------------------------------------------------------

static double objective(bench *b) {
    double sum = 0;
    reference_ops[b->c->op](&b->ref);
    for (int k = 0; k < b->node.out_count; k++)
        for (int64_t i = 0; i < b->out[k].count; i++) sum += b->out[k].d[i] * b->ref.out[k][i];
    return sum;
}

static void check_gradient(bench *b, const char *what, int k, pair *p) {
    const int64_t stride = p->count / MOST_PLACES + 1;
    double want[MOST_PLACES + 1];
    float got[MOST_PLACES + 1];
    int64_t places = 0;
    for (int64_t i = (stride - 1) / 2; i < p->count; i += stride, places++) {
        const double x = p->d[i];
        p->d[i] = x + step;
        const double above = objective(b);
        p->d[i] = x - step;
        const double below = objective(b);
        p->d[i] = x;
        want[places] = (above - below) / (2 * step);
        got[places] = p->grad[i] - 1;
    }
    compare(b, what, k, got, want, places, 3e-5);
}

// Gradients must be added to what is there: they start at 1.
static void want_gradient(pair *p, float **place, bool wanted) {
    for (int64_t i = 0; i < p->count; i++) p->grad[i] = 1;
    *place = wanted && p->count ? p->grad : NULL;
}

static void run_backward(bench *b, call *c, bool inputs, bool params) {
    const engine_kernel *k = &engine_kernels[b->c->op];
    free(c->a.scratch);
    for (int i = 0; i < b->node.out_count; i++) c->a.dout[i] = b->out[i].f;
    for (int i = 0; i < b->node.in_count; i++) want_gradient(&b->in[i], &c->a.din[i], inputs);
    for (int i = 0; i < b->node.param_count; i++) {
        const bool buffer = !strncmp(model_ops[b->c->op].params[i], "running_", 8);
        want_gradient(&b->param[i], &c->a.dparam[i], params && !buffer);
    }
    scratch_for(k, &c->a);
    k->backward(&c->a);
}

static void check_backward(bench *b) {
    call c = run_forward(b, false, false, true);
    run_backward(b, &c, false, false);
    run_backward(b, &c, true, false);
    run_backward(b, &c, true, true);
    for (int i = 0; i < b->node.in_count; i++)
        if (c.a.din[i]) check_gradient(b, "gradient of input", i, &b->in[i]);
    for (int i = 0; i < b->node.param_count; i++)
        if (c.a.dparam[i]) check_gradient(b, "gradient of parameter", i, &b->param[i]);
    free_call(&c);
}

void op_check(const op_case *c) {
    bench b;
    set_up(&b, c);
    check_forward(&b);
    check_backward(&b);
    tear_down(&b);
}
