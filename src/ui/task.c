// Tasks: a queue of work beside the job, run one after the other on a thread of their own; what they tell comes back
// through a queue of events like the job's.
#include "ui/task.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WAITING = 16 };
#define PATIENCE 2.0 // seconds a cancelled task gets at the end

typedef struct slot {
    ui_task task;
    char what[120];
} slot;

struct ui_tasks {
    session_queue *queue;
    session_job *job; // NULL: nothing runs
    slot now, waiting[WAITING];
    int count; // waiting
    bool closing;
};

static bool on_thread(void *context, base_job *job, base_err *err) {
    const ui_task *t = context;
    void *guard = ui_term_guard();
    bool ok = t->work(t->own, job, err);
    ui_term_unguard(guard);
    return ok;
}

static void finish(ui_app *app, const ui_task *t, base_status status, const char *message) {
    t->done(app, t->own, status, message);
    app->dirty = true;
}

static void start_next(ui_app *app) {
    struct ui_tasks *s = app->tasks;
    while (!s->job && s->count > 0 && !s->closing) {
        base_err err = {0};
        s->now = s->waiting[0];
        memmove(s->waiting, s->waiting + 1, (size_t)--s->count * sizeof *s->waiting);
        session_listener listener = {session_queue_push, s->queue};
        s->job = session_job_start(on_thread, &s->now.task, &listener, 1, &err);
        if (!s->job) finish(app, &s->now.task, BASE_FAILED, err.text);
    }
}

static void drop_waiting(ui_app *app, int index) {
    struct ui_tasks *s = app->tasks;
    ui_task gone = s->waiting[index].task;
    memmove(&s->waiting[index], &s->waiting[index + 1], (size_t)(--s->count - index) * sizeof *s->waiting);
    finish(app, &gone, BASE_CANCELLED, "");
}

void ui_task_start(ui_app *app, const ui_task *task) {
    struct ui_tasks *s = app->tasks;
    if (!s || s->closing) { // the screen is leaving, events of the last run still come
        finish(app, task, BASE_CANCELLED, "");
        return;
    }
    for (int i = s->count; i-- > 0;)
        if (strcmp(s->waiting[i].task.kind, task->kind) == 0) drop_waiting(app, i);
    if (s->job && strcmp(s->now.task.kind, task->kind) == 0) session_job_cancel(s->job);
    if (s->count == WAITING) drop_waiting(app, 0);
    slot *w = &s->waiting[s->count++];
    w->task = *task;
    snprintf(w->what, sizeof w->what, "%s", task->what ? task->what : "");
    start_next(app);
}

bool ui_task_going(const ui_app *app, const char *kind) {
    const struct ui_tasks *s = app->tasks;
    if (!s) return false;
    bool going = s->job && strcmp(s->now.task.kind, kind) == 0;
    for (int i = 0; i < s->count; i++) going |= strcmp(s->waiting[i].task.kind, kind) == 0;
    return going;
}

const char *ui_task_what(const ui_app *app) {
    return app->tasks && app->tasks->job ? app->tasks->now.what : NULL;
}

int ui_tasks_fd(const ui_app *app) {
    return session_queue_fd(app->tasks->queue);
}

bool ui_tasks_drain(ui_app *app) {
    struct ui_tasks *s = app->tasks;
    session_item *item;
    bool any = false;
    while ((item = session_queue_pop(s->queue))) {
        const base_event *e = &item->event;
        any = true;
        if (e->kind == BASE_EV_RUN_END) {
            base_err ignored = {0};
            session_job_wait(s->job, &ignored);
            session_job_free(s->job);
            s->job = NULL;
            finish(app, &s->now.task, e->status, e->text ? e->text : "");
            start_next(app);
        } else if (s->now.task.event) {
            s->now.task.event(app, s->now.task.own, e);
        }
        session_item_free(item);
    }
    return any;
}

bool ui_tasks_open(ui_app *app, base_err *err) {
    app->tasks = base_calloc(1, sizeof *app->tasks);
    app->tasks->queue = session_queue_new(err);
    return app->tasks->queue != NULL;
}

void ui_tasks_close(ui_app *app) {
    struct ui_tasks *s = app->tasks;
    if (!s) return;
    s->closing = true;
    while (s->count > 0) drop_waiting(app, s->count - 1);
    if (s->job) {
        session_job_cancel(s->job);
        double until = base_now() + PATIENCE;
        while (!session_job_done(s->job) && base_now() < until) usleep(2000);
        if (!session_job_done(s->job)) ui_leave_now(); // it still uses what we would free
    }
    while (s->job && ui_tasks_drain(app)) {}
    session_queue_free(s->queue);
    free(s);
    app->tasks = NULL;
}
