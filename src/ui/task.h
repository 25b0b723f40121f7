// Private to ui/: work beside the job - looking into a file, a layer's spectrum, the history - on one thread of its
// own, so that no key waits for it. One at a time; the others wait their turn.
#ifndef VISE_UI_TASK_H
#define VISE_UI_TASK_H

#include "ui/part.h"

typedef struct ui_task {
    const char *kind;  // a new task replaces the waiting one and cancels the running one of its kind
    const char *what;  // "reading conv1", for the status line; copied
    void *own;         // the task's until done; no other thread may touch it meanwhile
    session_body work; // on the task thread: own, a job to emit progress and logs to and to ask base_cancelled
    // On the screen's thread, always called once; frees own. Status BASE_CANCELLED: replaced or leaving. `message` is
    // the error's sentence.
    void (*done)(ui_app *app, void *own, base_status status, const char *message);
    void (*event)(ui_app *app, void *own, const base_event *e); // on the screen's thread; may be NULL
} ui_task;

void ui_task_start(ui_app *app, const ui_task *task);    // copied
bool ui_task_going(const ui_app *app, const char *kind); // running or waiting
const char *ui_task_what(const ui_app *app);             // what runs, NULL: nothing

// ui.c
bool ui_tasks_open(ui_app *app, base_err *err);
void ui_tasks_close(ui_app *app);
int ui_tasks_fd(const ui_app *app);
bool ui_tasks_drain(ui_app *app); // true: something came

#endif
