// What several commands share: the process's job and its signals, threads, figures in words.
#include "cli/command.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// The one job of a headless process; a signal handler can reach nothing else.
static base_job process_job;

static bool on_terminal; // which shows ^C on the line

static void on_stop(int signal_number) {
    (void)signal_number;
    if (atomic_exchange(&process_job.cancel, 1)) _exit(BASE_CANCELLED);
    static const char text[] = "\nvise: stopping; what is finished is kept (again to end at once)\n";
    const char *from = on_terminal ? text : text + 1;
    if (write(STDERR_FILENO, from, strlen(from)) < 0) return;
}

base_job *cli_job(void) {
    on_terminal = isatty(STDERR_FILENO);
    struct sigaction action = {.sa_handler = on_stop};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    struct sigaction now;
    if (sigaction(SIGHUP, NULL, &now) == 0 && now.sa_handler != SIG_IGN) // nohup asks to go on
        sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN); // a closed pipe is an error of fflush, not a death
    signal(SIGXFSZ, SIG_IGN); // a file over the allowed size is an error of write
    process_job.start = base_now();
    return &process_job;
}

int cli_use_threads(const cli_options *o) {
    num_set_threads((int)o->threads);
    return num_threads();
}

void cli_say(FILE *to, const char *format, ...) {
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = base_calloc((size_t)(n > 0 ? n : 0) + 1, 1);
    if (n > 0) vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    for (unsigned char *c = (unsigned char *)text; *c; c++) {
        if ((*c < 0x20 && *c != '\n' && *c != '\t') || *c == 0x7f) *c = '?';
        if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0) c[0] = c[1] = '?'; // the same controls in UTF-8
    }
    fputs(text, to);
    free(text);
}

bool cli_check_out(const char *out, base_err *err) {
    char *at = base_absolute(out);
    while (at && access(at, F_OK) != 0 && strcmp(at, "/") != 0) {
        char *up = base_dirname(at);
        free(at);
        at = up;
    }
    bool ok = true;
    if (at && !base_is_dir(at))
        ok = base_fail(err, "--out %s: %s is not a folder", out, at);
    else if (at && access(at, W_OK) != 0)
        ok = base_fail(err, "--out %s: %s cannot be written: %s", out, at, strerror(errno));
    free(at);
    return ok;
}

base_status cli_failed(const base_err *err) {
    return err->status == BASE_OK ? BASE_FAILED : err->status;
}

enum { DEFAULT_CACHE_MB = 2048 };

static base_cache *open_cache(const cli_options *o, base_err *err) {
    char *dir = o->state ? base_join(o->state, "cache") : NULL;
    base_cache *c = base_cache_open(dir, (size_t)(o->cache_mb ? o->cache_mb : DEFAULT_CACHE_MB) * 1000000, err);
    free(dir);
    return c;
}

base_cache *cli_open_cache(const cli_options *o) {
    base_err err = {0};
    if (o->no_cache) return NULL;
    base_cache *c = open_cache(o, &err);
    // A --state that is no folder is told by the history.
    if (!c && (!o->state || base_is_dir(o->state)))
        fprintf(stderr, "vise: %s; everything is computed anew\n", err.text);
    return c;
}

base_status cli_cache(const cli_options *o, base_err *err) {
    if (o->arg_count && strcmp(o->args[0], "clear") != 0) {
        base_fail_as(err, BASE_USAGE, "vise cache takes nothing or 'clear', not '%s'", o->args[0]);
        return BASE_USAGE;
    }
    base_cache *c = open_cache(o, err);
    if (!c) return cli_failed(err);
    if (o->arg_count) base_cache_clear(c);
    base_cache_figures f = base_cache_look(c);
    char bytes[24], limit[24];
    if (o->json)
        printf("{\"entries\":%zu,\"bytes\":%zu,\"limit\":%zu}\n", f.entries, f.bytes, f.limit);
    else
        printf("%s: %zu entries, %s of at most %s\n", f.dir, f.entries, base_bytes_text(bytes, (double)f.bytes),
               base_bytes_text(limit, (double)f.limit));
    base_cache_close(c);
    return BASE_OK;
}
