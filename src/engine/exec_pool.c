// exec_pool: items of work shared out over threads. The calling thread works too, and waits only for items that have
// begun: a helper thread that the system has not woken yet is left out, so small work on a busy machine takes no longer
// than on one thread. (A team of OpenMP waits for every member at the end of each region, however little it did.)
//
// Helpers live as long as the program and sleep between regions. One region runs at a time; a caller that finds
// another at work, or an item that asks for more, runs its items alone. Products inside items stay on their thread.
#include "engine/exec.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

enum { MOST_HELPERS = 255 };

int exec_workers(void) {
    int threads = num_threads();
    if (threads > MOST_HELPERS + 1) threads = MOST_HELPERS + 1;
    return threads > 0 ? threads : 1;
}

// ---- a region ----------------------------------------------------------------------------------

typedef struct region {
    exec_item item;
    void *context;
    base_job *job;
    int64_t count;
    int workers;
    atomic_llong next, failed; // failed: lowest item that failed, or count
    base_err *errors;          // [workers], with the item each belongs to
    int64_t *error_item;
} region;

static void region_work(region *r, int worker) {
    for (;;) {
        int64_t i = atomic_fetch_add(&r->next, 1);
        if (i >= r->count || i > atomic_load(&r->failed)) return;
        base_err err = {0};
        if (base_go_on(r->job, &err) && r->item(r->context, i, worker, &err)) continue;
        r->errors[worker] = err;
        r->error_item[worker] = i;
        long long lowest = atomic_load(&r->failed);
        while (i < lowest && !atomic_compare_exchange_weak(&r->failed, &lowest, i)) {}
        return;
    }
}

// ---- helpers -----------------------------------------------------------------------------------

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; // of what follows
static pthread_cond_t begun = PTHREAD_COND_INITIALIZER, ended = PTHREAD_COND_INITIALIZER;
static region *current;       // that helpers may join; NULL: none
static uint64_t regions;      // begun so far, so that a helper joins each once
static int helpers, joined;   // threads made; helpers inside `current`
static bool busy;             // a region is being run
static atomic_ullong waiting; // = regions, read without the lock by helpers that look out for work before they sleep

// Work often follows work within microseconds: a helper looks for it this many times before it sleeps.
enum { LOOKS = 2000 };

static void look_out(uint64_t seen) {
    for (int i = 0; i < LOOKS && atomic_load_explicit(&waiting, memory_order_relaxed) == seen; i++) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
}

static void *help(void *number) {
    const int worker = (int)(intptr_t)number;
    uint64_t seen = 0;
    num_stay_on_thread(true);
    for (;;) {
        look_out(seen);
        pthread_mutex_lock(&lock);
        while (!current || seen == regions || worker >= current->workers) {
            seen = regions;
            pthread_cond_wait(&begun, &lock);
        }
        seen = regions;
        region *r = current;
        joined++;
        pthread_mutex_unlock(&lock);
        region_work(r, worker);
        pthread_mutex_lock(&lock);
        if (--joined == 0) pthread_cond_signal(&ended);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

// Makes helpers up to `wanted`, called with the lock held; with fewer, work is shared among fewer. Signals are for the
// program's own threads, except those that an instruction raises.
static void make_helpers(int wanted) {
    sigset_t all, before;
    sigfillset(&all);
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) sigdelset(&all, own[i]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (helpers < wanted) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, help, (void *)(intptr_t)(helpers + 1)) != 0) break;
        pthread_detach(thread);
        helpers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

// False when another region is at work.
static bool region_open(region *r) {
    pthread_mutex_lock(&lock);
    bool free_now = !busy;
    if (free_now) {
        make_helpers(r->workers - 1);
        busy = true;
        current = r;
        regions++;
        atomic_store_explicit(&waiting, regions, memory_order_relaxed);
        pthread_cond_broadcast(&begun);
    }
    pthread_mutex_unlock(&lock);
    return free_now;
}

static void region_close(void) {
    pthread_mutex_lock(&lock);
    current = NULL;
    while (joined) pthread_cond_wait(&ended, &lock);
    busy = false;
    pthread_mutex_unlock(&lock);
}

// Threads do not outlive fork: a child makes its own.
static void forget_helpers(void) {
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&begun, NULL);
    pthread_cond_init(&ended, NULL);
    helpers = joined = 0;
    busy = false;
    current = NULL;
}

static void watch_forks(void) {
    pthread_atfork(NULL, NULL, forget_helpers);
}

static void run_shared(region *r) {
    static pthread_once_t watch = PTHREAD_ONCE_INIT;
    pthread_once(&watch, watch_forks);
    bool shared = r->workers > 1 && region_open(r);
    const bool before = num_stay_on_thread(true);
    if (!shared) num_stay_on_thread(before);
    region_work(r, 0);
    num_stay_on_thread(before);
    if (shared) region_close();
}

bool exec_parallel(int64_t count, exec_item item, void *context, base_job *job, base_err *err) {
    int workers = exec_workers();
    region r = {.item = item, .context = context, .job = job, .count = count};
    r.workers = count < workers ? (int)(count < 1 ? 1 : count) : workers;
    r.errors = base_calloc((size_t)r.workers, sizeof *r.errors);
    r.error_item = base_calloc((size_t)r.workers, sizeof *r.error_item);
    atomic_init(&r.next, 0);
    atomic_init(&r.failed, count);
    run_shared(&r);
    int64_t failed = atomic_load(&r.failed);
    for (int w = 0; failed < count && w < r.workers; w++)
        if (r.errors[w].text[0] && r.error_item[w] == failed) *err = r.errors[w];
    free(r.errors);
    free(r.error_item);
    return failed >= count;
}
