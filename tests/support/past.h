// past: histories made of fixed rows - the same numbers, times and figures each time - for tests of what reads them.
#ifndef VISE_TESTS_PAST_H
#define VISE_TESTS_PAST_H

#include "session/session.h"

// A run of the seven layers of the story (fake_run.h). NULL texts are "", NaN figures are not recorded.
typedef struct past_run {
    const char *recipe, *text, *params, *model, *status, *message;
    int64_t started;
    double seconds;
    double bits;                         // of every layer; odd layers get one more when `mixed`; 0: no layers
    double value, low, high, kl, spread; // of the compressed model, KL +- spread; value NaN: not measured
    const char *metric;                  // NULL: top1
    int64_t bytes;
    bool mixed;
    const char *table; // JSON of a table event, NULL: none
} past_run;
int64_t past_add(session_history *h, const past_run *r);
// Ten runs of digits-cnn (one failed, one stopped, one a sensitivity study) and one of another model, in `dir`.
void past_story(const char *dir);
// `count` quick runs of one model in one transaction.
void past_many(const char *dir, int count);

#endif
