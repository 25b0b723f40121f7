// What several commands share: the process's job and its signals, threads, absolute paths, figures in words.
#include "cli/command.h"

#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// The one job of a headless process; a signal handler can reach nothing else.
static base_job process_job;

static void on_stop(int signal_number) {
    (void)signal_number;
    if (atomic_exchange(&process_job.cancel, 1)) _exit(BASE_CANCELLED);
    static const char text[] = "\nvise: stopping; what is finished is kept (again to end at once)\n";
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0) return;
}

base_job *cli_job(void) {
    struct sigaction action = {.sa_handler = on_stop};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN); // a closed pipe is an error of fflush, not a death
    signal(SIGXFSZ, SIG_IGN); // a file over the allowed size is an error of write
    process_job.start = base_now();
    return &process_job;
}

int cli_use_threads(const cli_options *o) {
    num_set_threads((int)o->threads);
    return num_threads();
}

char *cli_absolute(const char *path) {
    if (!path) return NULL;
    char *real = realpath(path, NULL);
    if (real) return real;
    if (path[0] == '/') return base_strdup(path);
    char here[PATH_MAX];
    return getcwd(here, sizeof here) ? base_join(here, path) : base_strdup(path);
}

base_status cli_failed(const base_err *err) {
    return err->status == BASE_OK ? BASE_FAILED : err->status;
}

char *cli_figures(const base_model_row *r) {
    base_buf b = {0};
    char size[24];
    if (isnan(r->value)) {
        base_buf_puts(&b, "not measured");
    } else {
        bool top1 = strcmp(r->metric, "top1") == 0;
        base_buf_printf(&b, "%s %.*f%s [%.*f, %.*f] on %s (%lld %s), loss %.4f", top1 ? "top-1" : r->metric,
                        top1 ? 2 : 4, r->value, top1 ? " %" : "", top1 ? 2 : 4, r->low, top1 ? 2 : 4, r->high, r->data,
                        (long long)r->samples, strcmp(r->metric, "perplexity") == 0 ? "tokens" : "samples", r->loss);
        if (!isnan(r->kl)) base_buf_printf(&b, ", KL %.5f [%.5f, %.5f]", r->kl, r->kl_low, r->kl_high);
        if (r->flips >= 0) base_buf_printf(&b, ", %lld decisions changed", (long long)r->flips);
    }
    base_buf_printf(&b, ", %s", base_bytes_text(size, (double)r->bytes));
    base_buf_printf(&b, " + %s header", base_bytes_text(size, (double)r->header_bytes));
    if (r->bits > 0) base_buf_printf(&b, ", %.3f bits a weight", r->bits);
    return b.text;
}
