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
    // What follows is shared under the lock.
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t self;    // the job's thread as it knows itself
    bool waiting;      // it waits, or sees to what was typed while it does
    bool told;         // an event said so
    bool stop_at_next; // pause before the next layer
    const char *layer; // that it waits before; NULL: it waits elsewhere, or not at all
    char *typed;       // steps for that layer
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

// ---- waiting -----------------------------------------------------------------------------------

static session_job *of(base_job *job) {
    return (session_job *)(void *)((char *)job - offsetof(session_job, job));
}

static void tell(session_job *j, const char *layer, bool paused) {
    base_layer_row row = {0};
    if (layer) snprintf(row.name, sizeof row.name, "%s", layer);
    base_emit(&j->job, (base_event){.kind = BASE_EV_PAUSE, .layer = layer ? &row : NULL, .index = paused});
}

// On the job's thread. What was typed meanwhile ends the wait, but not the pause: the caller comes back, and that is
// not told again.
static void wait_here(session_job *j, const char *layer, char **steps) {
    double began = base_now();
    bool told = j->told;
    if (!told) tell(j, layer, true);
    pthread_mutex_lock(&j->lock);
    j->waiting = j->told = true;
    j->layer = layer;
    while (atomic_load(&j->job.pause) && !atomic_load(&j->job.cancel) && !j->typed)
        pthread_cond_wait(&j->wake, &j->lock);
    bool on = !steps || !j->typed;
    if (steps) {
        *steps = j->typed;
        j->typed = NULL;
    }
    if (on) {
        j->waiting = j->told = false;
        j->layer = NULL;
    }
    pthread_mutex_unlock(&j->lock);
    j->job.held += base_now() - began;
    if (on) tell(j, layer, false);
}

// The threads that help the job's wait when it does; until then they finish what it may be waiting for.
static void hold(base_job *job) {
    session_job *j = of(job);
    if (pthread_equal(pthread_self(), j->self)) {
        wait_here(j, NULL, NULL);
        return;
    }
    pthread_mutex_lock(&j->lock);
    while (j->waiting && atomic_load(&job->pause) && !atomic_load(&job->cancel)) pthread_cond_wait(&j->wake, &j->lock);
    pthread_mutex_unlock(&j->lock);
}

static bool before_layer(base_job *job, const char *layer, char **steps) {
    session_job *j = of(job);
    *steps = NULL;
    pthread_mutex_lock(&j->lock);
    if (j->stop_at_next) atomic_store(&job->pause, 1);
    j->stop_at_next = false;
    bool here = j->told || j->typed;
    pthread_mutex_unlock(&j->lock);
    if ((here || atomic_load(&job->pause)) && !atomic_load(&job->cancel)) wait_here(j, layer, steps);
    return !atomic_load(&job->cancel);
}

static void wake(session_job *j) {
    pthread_mutex_lock(&j->lock);
    pthread_cond_broadcast(&j->wake);
    pthread_mutex_unlock(&j->lock);
}

void session_job_cancel(session_job *j) {
    atomic_store(&j->job.cancel, 1);
    wake(j);
}

void session_job_pause(session_job *j, bool paused) {
    pthread_mutex_lock(&j->lock);
    j->stop_at_next = false;
    pthread_mutex_unlock(&j->lock);
    atomic_store(&j->job.pause, paused);
    wake(j);
}

void session_job_step(session_job *j) {
    pthread_mutex_lock(&j->lock);
    // Asked for while the run is on its way to a pause: it is before the next layer that it stops.
    j->stop_at_next = true;
    pthread_mutex_unlock(&j->lock);
    atomic_store(&j->job.pause, 0);
    wake(j);
}

bool session_job_change(session_job *j, const char *steps) {
    pthread_mutex_lock(&j->lock);
    bool taken = j->layer && !j->typed && atomic_load(&j->job.pause);
    if (taken) j->typed = base_strdup(steps);
    pthread_cond_broadcast(&j->wake);
    pthread_mutex_unlock(&j->lock);
    return taken;
}

// ---- the body ----------------------------------------------------------------------------------

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
    j->self = pthread_self();
    run_body(j->body, j->context, &j->job, &j->err);
    atomic_store(&j->done, true);
    return NULL;
}

// Signals are the business of the screen's thread: the job's is born with all of them blocked, as one that came before
// it blocked them itself would run a handler there. Those that an instruction raises stay.
static int start_thread(session_job *j) {
    sigset_t all, before;
    sigfillset(&all);
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) sigdelset(&all, faults[i]);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int trouble = pthread_create(&j->thread, NULL, job_thread, j);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return trouble;
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
    j->job.hold = hold;
    j->job.before_layer = before_layer;
    pthread_mutex_init(&j->lock, NULL);
    pthread_cond_init(&j->wake, NULL);
    int trouble = start_thread(j);
    if (trouble) {
        pthread_cond_destroy(&j->wake);
        pthread_mutex_destroy(&j->lock);
        free(j->fan.listeners);
        free(j);
        base_fail(err, "cannot start the job thread: %s", strerror(trouble));
        return NULL;
    }
    return j;
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
    pthread_cond_destroy(&j->wake);
    pthread_mutex_destroy(&j->lock);
    free(j->typed);
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
