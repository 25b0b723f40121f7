// Runs a body of work, on a thread of its own or on the caller's, and hands its events to listeners. The end event is
// sent here, so that every run ends exactly once whatever happened in between.
#include "session/session.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

typedef struct fan_out {
    session_listener *listeners;
    size_t count;
} fan_out;

struct session_job {
    pthread_t thread;
    base_job job;
    fan_out fan;
    session_body body;
    void *context;
    base_err err;
    atomic_bool done;
    bool joined;
};

static void fan_out_event(void *context, const base_event *event) {
    const fan_out *fan = context;
    for (size_t i = 0; i < fan->count; i++) fan->listeners[i].event(fan->listeners[i].context, event);
}

static fan_out fan_out_copy(const session_listener *listeners, size_t count) {
    fan_out fan = {.listeners = base_calloc(count ? count : 1, sizeof *listeners), .count = count};
    if (count) memcpy(fan.listeners, listeners, count * sizeof *listeners);
    return fan;
}

// Run the body and send the closing event; the error text of a body that succeeded is its closing sentence, if any.
static base_status run_body(session_body body, void *context, base_job *job, base_err *err) {
    memset(err, 0, sizeof *err);
    bool ok = body(context, job, err);
    base_status status = BASE_OK;
    if (!ok) {
        if (err->status == BASE_OK) err->status = BASE_FAILED;
        status = err->status;
    }
    const char *text = err->text[0] ? err->text : ok ? "done" : "failed without a message";
    base_emit(job, (base_event){.kind = BASE_EV_RUN_END, .status = status, .text = text});
    return status;
}

static void *job_thread(void *context) {
    session_job *j = context;
    // Signals are the business of the screen's thread.
    sigset_t all;
    sigfillset(&all);
    int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) sigdelset(&all, faults[i]);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    run_body(j->body, j->context, &j->job, &j->err);
    atomic_store(&j->done, true);
    return NULL;
}

session_job *session_job_start(session_body body, void *context, const session_listener *listeners, size_t count,
                               base_err *err) {
    session_job *j = base_alloc(sizeof *j);
    j->body = body;
    j->context = context;
    j->fan = fan_out_copy(listeners, count);
    j->job.emit = fan_out_event;
    j->job.context = &j->fan;
    j->job.start = base_now();
    int trouble = pthread_create(&j->thread, NULL, job_thread, j);
    if (trouble) {
        free(j->fan.listeners);
        free(j);
        base_fail(err, "cannot start the job thread: %s", strerror(trouble));
        return NULL;
    }
    return j;
}

void session_job_cancel(session_job *j) {
    atomic_store(&j->job.cancel, 1);
}
void session_job_pause(session_job *j, bool paused) {
    atomic_store(&j->job.pause, paused);
}
bool session_job_done(const session_job *j) {
    return atomic_load(&((session_job *)j)->done);
}

base_status session_job_wait(session_job *j, base_err *err) {
    if (!j->joined) pthread_join(j->thread, NULL);
    j->joined = true;
    if (j->err.status != BASE_OK) *err = j->err;
    return j->err.status;
}

void session_job_free(session_job *j) {
    if (!j) return;
    if (!j->joined) {
        session_job_cancel(j);
        pthread_join(j->thread, NULL);
    }
    free(j->fan.listeners);
    free(j);
}

base_status session_job_run(session_body body, void *context, const session_listener *listeners, size_t count,
                            base_job *job, base_err *err) {
    fan_out fan = fan_out_copy(listeners, count);
    job->emit = fan_out_event;
    job->context = &fan;
    job->start = base_now();
    base_status status = run_body(body, context, job, err);
    job->emit = NULL;
    free(fan.listeners);
    return status;
}
