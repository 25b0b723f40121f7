// train_augment: images moved by a few pixels, mirrored and disturbed with noise, each sample by random numbers of its
// own drawn from (seed, step), so that a run repeats whatever the thread count.
#include "engine/train.h"

#include <stdlib.h>
#include <string.h>

// to[y][x] = from[y - dy][x - dx], mirrored first when asked; zeros enter at the edges.
static void move_plane(const float *from, float *to, int64_t h, int64_t w, int64_t dy, int64_t dx, bool mirror) {
    for (int64_t y = 0; y < h; y++)
        for (int64_t x = 0; x < w; x++) {
            int64_t sy = y - dy, sx = mirror ? w - 1 - (x - dx) : x - dx;
            to[y * w + x] = sy >= 0 && sy < h && sx >= 0 && sx < w ? from[sy * w + sx] : 0.0f;
        }
}

static void move_image(const data_set *set, float *x, float *kept, int64_t dy, int64_t dx, bool mirror) {
    int64_t plane = set->dim[1] * set->dim[2];
    memcpy(kept, x, (size_t)set->sample_values * sizeof *kept);
    for (int64_t c = 0; c < set->dim[0]; c++)
        move_plane(kept + c * plane, x + c * plane, set->dim[1], set->dim[2], dy, dx, mirror);
}

void train_augment(const engine_train_options *o, const data_set *set, int64_t step, data_batch *batch) {
    if (batch->kind != DATA_FEATURES) return;
    bool moves = set->ndim == 3 && (o->shift > 0 || o->flip);
    if (!moves && o->noise <= 0) return;
    num_rng rng = num_rng_seed(o->seed, 0x10000 + (uint64_t)step);
    float *kept = base_calloc((size_t)set->sample_values, sizeof *kept);
    for (int64_t i = 0; i < batch->count; i++) {
        float *x = batch->x + i * set->sample_values;
        uint32_t span = 2 * (uint32_t)o->shift + 1;
        int64_t dy = (int64_t)num_rng_below(&rng, span) - o->shift, dx = (int64_t)num_rng_below(&rng, span) - o->shift;
        bool mirror = o->flip && num_rng_below(&rng, 2);
        if (moves && (dy || dx || mirror)) move_image(set, x, kept, dy, dx, mirror);
        for (int64_t k = 0; o->noise > 0 && k < set->sample_values; k++)
            x[k] += (float)(o->noise * num_rng_normal(&rng));
    }
    free(kept);
}
