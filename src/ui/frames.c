// What frames cost, for benches and the curious: the time from the first line drawn to the last byte sent, and how many
// cells changed.
#include <stdlib.h>
#include <string.h>

#include "ui/part.h"

enum { KEPT = 2048 }; // newest frames

typedef struct frames {
    float seconds[KEPT];
    long count;
    double sum;
} frames;

void ui_frame_took(ui_app *app, double seconds) {
    frames *f = ui_part_own(&app->state, &ui_part_frames);
    if (!f) return;
    f->seconds[f->count++ % KEPT] = (float)seconds;
    f->sum += seconds;
}

static int by_size(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

ON(on_frames) {
    frames *f = ui_part_own(&app->state, &ui_part_frames);
    if (strcmp(argument, "reset") == 0) {
        *f = (frames){.count = 0};
        return true;
    }
    if (argument[0]) return base_fail(err, "frames takes \"reset\" or nothing, not \"%s\"", argument);
    int n = f->count < KEPT ? (int)f->count : KEPT;
    if (!n) {
        ui_say(app, UI_NORMAL, "No frames yet.");
        return true;
    }
    float sorted[KEPT];
    memcpy(sorted, f->seconds, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_size);
    ui_say(app, UI_NORMAL, "frames %ld of %dx%d: median %.2f ms, 99 %% %.2f ms, worst %.2f ms", f->count, app->width,
           app->height, sorted[n / 2] * 1e3, sorted[n * 99 / 100] * 1e3, sorted[n - 1] * 1e3);
    return true;
}

static const ui_command commands[] = {
    {"frames", "[reset]", "what the frames so far cost; reset counts anew", on_frames, NULL, NULL},
};

const ui_part ui_part_frames = {.name = "frames", UI_LIST(command, commands), .bytes = sizeof(frames)};
