// train_update: optimizers, each a row with an update of one parameter, and the schedule of the learning rate. Weight
// decay is for weights of two and more dimensions; biases and norms are left out by passing 0.
#include "engine/train.h"

#include <math.h>
#include <string.h>

// SGD with momentum as PyTorch defines it: v = m v + (g + decay w); w -= rate v.
BASE_CLONES
static void sgd(const train_update *u, int64_t count, const float *grad, float *w, float *const *state) {
    const float m = (float)u->momentum, decay = (float)u->decay, rate = (float)u->rate, scale = u->scale;
    float *v = state[0];
    for (int64_t i = 0; i < count; i++) {
        v[i] = m * v[i] + grad[i] * scale + decay * w[i];
        w[i] -= rate * v[i];
    }
}

// AdamW: Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization, algorithm 2.
BASE_CLONES
static void adamw(const train_update *u, int64_t count, const float *grad, float *w, float *const *state) {
    const float b1 = (float)u->beta1, b2 = (float)u->beta2, scale = u->scale, eps = (float)u->epsilon;
    const float c1 = (float)(1 / (1 - pow(u->beta1, (double)u->step)));
    const float c2 = (float)(1 / (1 - pow(u->beta2, (double)u->step)));
    const float rate = (float)u->rate, keep = (float)(1 - u->rate * u->decay);
    float *m = state[0], *v = state[1];
    for (int64_t i = 0; i < count; i++) {
        float g = grad[i] * scale;
        m[i] = b1 * m[i] + (1 - b1) * g;
        v[i] = b2 * v[i] + (1 - b2) * g * g;
        w[i] = keep * w[i] - rate * (m[i] * c1) / (sqrtf(v[i] * c2) + eps);
    }
}

const train_optimizer train_optimizers[] = {
    {"sgd", "gradient descent with momentum", 1, sgd},
    {"adamw", "Adam with decoupled weight decay", 2, adamw},
};

const train_optimizer *train_optimizer_find(const char *name, base_err *err) {
    for (size_t i = 0; i < sizeof train_optimizers / sizeof *train_optimizers; i++)
        if (!strcmp(train_optimizers[i].name, name)) return &train_optimizers[i];
    base_fail(err, "there is no optimizer '%s', expected sgd or adamw", name);
    return NULL;
}

double train_rate(const engine_train_options *o, int64_t step, int64_t steps) {
    int64_t rising = (int64_t)(o->warmup * (double)steps + 0.5);
    if (step < rising) return o->rate * (double)(step + 1) / (double)rising;
    double part = (double)(step - rising) / (double)(steps > rising ? steps - rising : 1);
    return o->rate * (o->final_rate + (1 - o->final_rate) * 0.5 * (1 + cos(3.14159265358979323846 * part)));
}
