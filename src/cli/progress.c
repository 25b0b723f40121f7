// What a headless run shows: a table of layers and the figures on standard output; on a terminal also one live line on
// standard error (layer, done/total, error, time left). With --json every event is one line of JSON instead.
#include "cli/command.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct cli_progress {
    bool json, quiet;
    bool live;  // standard error is a terminal: the live line is allowed
    bool shown; // a live line is on the screen now
    bool table; // the table's head was printed
    int name_width;
    double last;     // time of the last plain progress line or live line
    char layer[128]; // in hand
    int64_t index, total;
    double error, eta; // last figures known
    int columns;       // of the terminal on standard output; 0: not a terminal, lines are not cut
    char line[512];    // the live line, drawn again below every row that is printed
};

static int terminal_columns(int fd) {
    struct winsize size;
    return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

cli_progress *cli_progress_new(bool json, bool quiet) {
    cli_progress *p = base_alloc(sizeof *p);
    p->json = json;
    p->quiet = quiet;
    const char *term = getenv("TERM");
    p->live = !json && !quiet && isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
    p->name_width = 12;
    p->error = p->eta = NAN;
    p->columns = isatty(STDOUT_FILENO) ? terminal_columns(STDOUT_FILENO) : 0;
    return p;
}

void cli_progress_free(cli_progress *p) {
    free(p);
}

static void clear_live(cli_progress *p) {
    if (p->shown) fputs("\r\033[K", stderr);
    p->shown = false;
}

static void draw_live(cli_progress *p) {
    if (!p->live || !p->line[0]) return;
    int columns = terminal_columns(STDERR_FILENO) - 1;
    fflush(stdout);
    fprintf(stderr, "\r\033[K%.*s", columns > 0 ? columns : 1, p->line);
    fflush(stderr);
    p->shown = true;
}

static void show_live(cli_progress *p, const char *phase, int64_t done, int64_t of, double eta) {
    char left[24] = "", percent[16] = "", error[32] = "";
    if (!isnan(eta)) base_seconds_text(left, eta);
    if (of > 0) snprintf(percent, sizeof percent, " %3.0f %%", 100.0 * (double)done / (double)of);
    if (!isnan(p->error)) snprintf(error, sizeof error, "  last error %.2e", p->error);
    snprintf(p->line, sizeof p->line, "%lld/%lld %s  %s%s%s%s%s", (long long)(p->total ? p->index + 1 : 0),
             (long long)p->total, p->layer, phase, percent, error, left[0] ? "  left " : "", left);
    draw_live(p);
}

static void on_begin(cli_progress *p, const base_event *e) {
    (void)p;
    cli_say(stdout, "%s\n", e->text ? e->text : "");
}

static void on_param(cli_progress *p, const base_event *e) {
    if (p->quiet) return;
    const base_param_row *r = e->param;
    if (r->choices[0])
        cli_say(stdout, "  %s = %s\n", r->name, r->text);
    else
        printf("  %s = %g\n", r->name, r->value);
}

static void on_log(cli_progress *p, const base_event *e) {
    static const char *const prefix[] = {"debug: ", "", "warning: ", "error: "};
    if (e->level == BASE_DEBUG || (p->quiet && e->level < BASE_WARN)) return;
    cli_say(e->level >= BASE_WARN ? stderr : stdout, "%s%s\n", prefix[e->level], e->text);
}

static void on_plan(cli_progress *p, const base_event *e) {
    int width = base_columns(e->layer->name);
    if (width > p->name_width) p->name_width = width > 40 ? 40 : width;
    p->table = false;
}

static void on_progress(cli_progress *p, const base_event *e) {
    double now = base_now();
    p->eta = e->eta;
    if (p->live) {
        if (now - p->last < 0.1) return;
        show_live(p, e->text, e->done, e->of, e->eta);
    } else {
        // Plain lines: at most one in five seconds, so that a log stays readable.
        if (now - p->last < 5 || p->last == 0) {
            if (p->last == 0) p->last = now;
            return;
        }
        char left[24] = "";
        if (!isnan(e->eta)) base_seconds_text(left, e->eta);
        printf("  %s %lld/%lld%s%s\n", e->text, (long long)e->done, (long long)e->of, left[0] ? ", left " : "", left);
        fflush(stdout);
    }
    p->last = now;
}

static void on_train(cli_progress *p, const base_event *e) {
    double now = base_now();
    bool end = e->index + 1 == e->total;
    if (!end && now - p->last < (p->live ? 0.1 : 5)) return;
    p->last = now;
    char left[24] = "";
    if (!isnan(e->eta)) base_seconds_text(left, e->eta);
    char line[160];
    snprintf(line, sizeof line, "step %lld/%lld  loss %.4f  rate %.2e%s%s", (long long)e->index + 1,
             (long long)e->total, e->value, e->value2, left[0] ? "  left " : "", left);
    if (p->live && !end) {
        snprintf(p->line, sizeof p->line, "%s", line);
        draw_live(p);
    } else {
        printf("  %s\n", line);
        fflush(stdout);
    }
}

static void on_layer_begin(cli_progress *p, const base_event *e) {
    base_clean(p->layer, sizeof p->layer, e->layer->name);
    p->index = e->index;
    p->total = e->total;
    if (p->live) show_live(p, "", 0, 0, p->eta);
}

static const char *figure(char out[16], double value) {
    if (isnan(value))
        snprintf(out, 16, "-");
    else
        snprintf(out, 16, "%.2e", value);
    return out;
}

static void on_layer_end(cli_progress *p, const base_event *e) {
    const base_layer_row *r = e->layer;
    p->error = isnan(r->output_error) ? r->weight_error : r->output_error;
    if (p->quiet) return;
    if (!p->table)
        printf("%7s  %-*s %9s %9s %6s  %9s %9s %9s %7s  %s\n", "", p->name_width, "layer", "weights", "bytes", "bits",
               "w error", "out error", "arriving", "s", "steps");
    p->table = true;
    char place[24], name[128], a[16], b[16], c[16];
    snprintf(place, sizeof place, "%lld/%lld", (long long)e->index + 1, (long long)e->total);
    base_clean(name, sizeof name, r->name);
    char *row = base_sprintf("%7s  %-*s %9lld %9lld %6.3f  %9s %9s %9s %7.3f  %s", place, p->name_width, name,
                             (long long)r->weights, (long long)r->bytes, r->bits, figure(a, r->weight_error),
                             figure(b, r->output_error), figure(c, r->chained_error), r->seconds,
                             r->steps[0] ? r->steps : "as it was");
    printf("%.*s\n", p->columns ? p->columns : (int)strlen(row), row);
    free(row);
    fflush(stdout);
}

static void on_model(cli_progress *p, const base_event *e) {
    (void)p;
    char *figures = session_figures_text(e->model);
    cli_say(stdout, "%s: %s\n", e->model->label, figures);
    free(figures);
}

static void on_saved(cli_progress *p, const base_event *e) {
    (void)p;
    cli_say(stdout, "saved %s: %lld bytes, of which header %lld, xxh128 %s\n", e->text, (long long)e->done,
            (long long)e->of, e->hash ? e->hash : "-");
}

static void on_seed(cli_progress *p, const base_event *e) {
    if (!p->quiet) printf("  seed %lld: %s\n", (long long)e->done, e->text ? e->text : "");
}

static void on_end(cli_progress *p, const base_event *e) {
    (void)p;
    char took[24];
    base_seconds_text(took, e->time);
    if (e->status == BASE_OK)
        printf("done in %s\n", took);
    else if (e->status == BASE_CANCELLED)
        printf("stopped after %s; what was finished is kept\n", took);
}

typedef void (*handler)(cli_progress *, const base_event *);
static const handler handlers[BASE_EV_KINDS] = {
    [BASE_EV_RUN_BEGIN] = on_begin,     [BASE_EV_PARAM] = on_param,       [BASE_EV_LOG] = on_log,
    [BASE_EV_PLAN] = on_plan,           [BASE_EV_PROGRESS] = on_progress, [BASE_EV_LAYER_BEGIN] = on_layer_begin,
    [BASE_EV_LAYER_END] = on_layer_end, [BASE_EV_TRAIN] = on_train,       [BASE_EV_MODEL] = on_model,
    [BASE_EV_SAVED] = on_saved,         [BASE_EV_SEED] = on_seed,         [BASE_EV_RUN_END] = on_end,
};

void cli_progress_event(void *progress, const base_event *event) {
    cli_progress *p = progress;
    if (p->json) {
        char *line = session_event_json(event);
        puts(line);
        fflush(stdout);
        free(line);
        return;
    }
    bool moving = event->kind == BASE_EV_PROGRESS || event->kind == BASE_EV_TRAIN || event->kind == BASE_EV_LAYER_BEGIN;
    if (moving && p->quiet) return;
    if (!moving) clear_live(p);
    if (event->kind == BASE_EV_MODEL || event->kind == BASE_EV_RUN_END) p->line[0] = 0; // nothing is in hand any more
    if (handlers[event->kind]) handlers[event->kind](p, event);
    if (!moving) draw_live(p);
}
