// Private to ui/: samples on which a compressed network differs from its original - worked out beside the screen
// (samples_work.c, samples_text.c), chosen and sorted (samples.c), drawn (samples_draw.c).
#ifndef VISE_UI_SAMPLES_H
#define VISE_UI_SAMPLES_H

#include "ui/task.h"

enum { UI_SAMPLES_LOOKED = 1000, UI_SAMPLES_KEPT = 1000, UI_TOP_TOKENS = 5, UI_PROMPTS = 8 };

typedef struct ui_sample { // a row of the source "samples"
    int64_t number;        // in the part of the dataset, from 1
    int64_t label, before, after;
    int64_t at;                   // in the arrays of the result
    double kl, change;            // nats; how far the label's probability fell (a prediction: distance of the outputs)
    double own_before, own_after; // probability of the label; of a prediction its squared error
    int64_t same;                 // text: tokens that are the same before the first difference, -1: all
    char what[24], label_name[40], before_name[40], after_name[40];
} ui_sample;

typedef struct ui_top { // a likely next token
    char text[24];
    double before, after;
} ui_top;

typedef struct ui_continued {      // a prompt as both networks go on
    char *prompt, *before, *after; // UTF-8; before and after without the prompt
    size_t same;                   // bytes that are the same
    bool differs;
    ui_top top[2 * UI_TOP_TOKENS]; // at the first difference, else behind the end
    int top_count;
} ui_continued;

typedef struct ui_samples_result {
    model_task task;
    char title[160], run[64];
    ui_sample *row;
    int count, capacity;
    int64_t looked, newly_wrong, newly_right, flips;
    int64_t classes, values;     // of a sample
    char **class_names;          // [classes] or NULL
    float *before, *after;       // [capacity x classes] probabilities, or outputs
    float *pixels;               // [capacity x values]
    int channels, height, width; // 0: no picture
    ui_continued *text;          // [count]
} ui_samples_result;

typedef struct ui_samples_ask { // what a task works on: its own copies
    char *model, *arch, *data, *saved, *prompt;
    double temperature;
    uint64_t seed;
    ui_samples_result *result;
} ui_samples_ask;

void ui_samples_result_free(ui_samples_result *r);
ui_sample *ui_samples_add(ui_samples_result *r, bool arrays); // NULL: enough are kept
bool ui_samples_work(void *ask, base_job *job, base_err *err);
bool ui_samples_text(ui_samples_ask *ask, const model *a, const model *b, const data_view *view, base_job *job,
                     base_err *err);
void ui_softmax(const float *logits, int64_t count, float *out);
double ui_divergence(const float *p, const float *q, int64_t count); // KL(p || q) in nats, of logits

typedef enum ui_samples_which { UI_NEWLY_WRONG, UI_NEWLY_RIGHT, UI_ALL_FLIPS, UI_SAMPLES_WHICH } ui_samples_which;

typedef struct ui_samples {
    ui_samples_result *result; // NULL: none yet
    ui_sample *shown;
    int shown_count;
    ui_samples_which which;
    bool by_change;
    char *model, *data, *saved; // of the newest run that ended; saved NULL: it saved nothing
    char run[64];               // "run 2, w4"
    bool ended, asked;          // a run ended; its samples were asked for
    char *prompt;               // typed
    double temperature;
    uint64_t seed;
    char trouble[512];
    int64_t done, of;
} ui_samples;
extern const ui_part ui_part_samples;
ui_samples *ui_samples_of(const ui_app *app);
void ui_samples_begin(ui_app *app); // the task, for the run that ended
extern const script_function ui_samples_functions[];
enum { UI_SAMPLES_FUNCTIONS = 2 };

#endif
