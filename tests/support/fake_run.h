// fake_run: a body of work that computes nothing and tells the same story each time, for tests of the screen.
//
// The story has stages. With a gate it waits for one byte before each stage and answers one byte after it, so that a
// test knows what has been said; without one it tells everything at once.
#ifndef VISE_TESTS_FAKE_RUN_H
#define VISE_TESTS_FAKE_RUN_H

#include "base/base.h"

enum { FAKE_STAGES = 4 }; // begun and calibrating; half of the layers; the other half; figures and the end

typedef struct fake_run {
    int gate, answer; // file descriptors; gate -1: no waiting
    int told;         // runs so far: each later one compresses a little harder
    double burn;      // seconds to keep `threads` threads busy, sending progress as fast as it goes
    int threads;
    int crash; // signal to raise in stage 2, 0: none, -1: run out of stack
    const char *const
        *tables;   // texts of table and cell events told at the end of stage 2, NULL after the last; or NULL
    bool stubborn; // ignore the cancel flag until the story ends
} fake_run;

bool fake_run_body(void *context, base_job *job, base_err *err);
// A clock that stands still.
double fake_clock(void);

#endif
