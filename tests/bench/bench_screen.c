// The screen through a pseudo-terminal: how long a key takes to be seen, idle and while a run keeps every core busy, on
// every tab; what a frame costs; what the idle screen uses of a processor. A real model when ../shared/real is there,
// else the shipped one.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "../support/support.h"
#include "../support/terminal.h"
#include "ui/ui.h"

enum { WIDTH = 200, HEIGHT = 60, KEYS = 400, MOST_TABS = 9 };

typedef struct work {
    char *model, *data;
    const char *state;
} work;

static int child(void *context) {
    const work *w = context;
    const char *sets[] = {"samples=1024"};
    ui_options o = {.model = w->model, .data = w->data, .recipe = "gptq", .state_dir = w->state, .fresh = true};
    o.sets = sets;
    o.set_count = w->data ? 1 : 0;
    o.out = w->state;
    base_err err = {0};
    base_status status = ui_main(&o, &err);
    if (status != BASE_OK) fprintf(stderr, "%s\n", err.text);
    return (int)status;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void report(const char *what, double *took, int count) {
    if (!count) return;
    qsort(took, (size_t)count, sizeof *took, by_size);
    printf("%-34s %4d keys: median %5.1f ms, 99 %% %5.1f ms, worst %5.1f ms   (target < 30 ms at 99 %%)\n", what, count,
           took[count / 2] * 1e3, took[count * 99 / 100] * 1e3, took[count - 1] * 1e3);
}

// Keys that change what is shown, on one tab after the other.
static int press_keys(terminal *t, double *took, const char *while_shown) {
    static const char *const keys[] = {"j", "\t", "j", "k", "\t", "j", "G", "g"};
    int count = 0, tab = 1;
    while (count < KEYS && (!while_shown || terminal_shows(t, while_shown))) {
        char go[2] = {(char)('0' + tab), 0};
        tab = tab % MOST_TABS + 1;
        for (int i = 0; i <= 8 && count < KEYS; i++) {
            double from = base_now();
            terminal_send(t, i ? keys[i - 1] : go);
            terminal_sync(t);
            took[count++] = base_now() - from;
        }
    }
    return count;
}

// Processor time of a process in seconds.
static double used(pid_t pid) {
    char path[64], text[1024] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    if (f) {
        size_t n = fread(text, 1, sizeof text - 1, f);
        text[n] = 0;
        fclose(f);
    }
    unsigned long user = 0, system_time = 0;
    const char *at = strrchr(text, ')');
    if (at) sscanf(at + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system_time);
    return (double)(user + system_time) / (double)sysconf(_SC_CLK_TCK);
}

static void show_frames(terminal *t) {
    terminal_type(t, ":frames\r");
    char *text = terminal_text(t), *at = strstr(text, "frames ");
    if (at) printf("%.*s   (target < 8 ms)\n", (int)strcspn(at, "\n"), at);
    free(text);
}

int main(void) {
    static double took[KEYS];
    work w = {.state = support_temp_dir()};
    const char *real = support_real("models/resnet20_cifar10.safetensors");
    if (real) {
        w.model = base_strdup(real);
        w.data = base_join(support_tree(), "tests/real/cifar10.lua");
    }
    printf("%s, %dx%d\n", w.model ? w.model : "the shipped digits network", WIDTH, HEIGHT);
    terminal *t = terminal_start(WIDTH, HEIGHT, "xterm-256color", "C.UTF-8", child, &w);
    for (int i = 0; i < 500 && !terminal_shows(t, "conv"); i++) terminal_sync(t);
    report("idle", took, press_keys(t, took, NULL));
    show_frames(t);
    double before = used(terminal_pid(t));
    sleep(3);
    printf("idle for 3 s: %.0f ms of processor time   (target 0)\n", (used(terminal_pid(t)) - before) * 1e3);
    terminal_type(t, ":frames reset\r:tab Run\r:run\r");
    for (int i = 0; i < 2000 && !terminal_shows(t, "Esc stop"); i++) terminal_sync(t);
    report("while a run uses every core", took, press_keys(t, took, "Esc stop"));
    show_frames(t);
    terminal_free(t);
    return 0;
}
