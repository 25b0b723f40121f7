// How the screen leaves: whatever ends it - a signal, a crash, a window that closes - the terminal is given back as it
// was, and the signal does what it would have done. Ctrl-Z and fg. Idle costs nothing.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../support/fake_run.h"
#include "../support/support.h"
#include "../support/terminal.h"
#include "ui/ui.h"

typedef struct life {
    fake_run story;
    bool under_shell;
    bool slow_end; // the run takes a while to end, and says when it has
    int tell[2], ended[2];
} life;

// The run, and a word when it has come to its end in good order.
static bool work(void *context, base_job *job, base_err *err) {
    life *l = context;
    bool ok = fake_run_body(&l->story, job, err);
    if (l->slow_end) {
        double until = base_now() + 0.3; // the second signal comes meanwhile
        kill(getpid(), SIGTERM);
        while (base_now() < until) {}
        ssize_t n = write(l->ended[1], "e", 1);
        (void)n;
    }
    return ok;
}

static void no_core(void) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
}

static int screen(life *l) {
    char *recipe = base_join(support_tree(), "tests/ui/story.lua");
    ui_options o = {.recipe = recipe, .body = work, .body_context = l};
    base_err err = {0};
    no_core();
    base_status status = ui_main(&o, &err);
    free(recipe);
    return (int)status;
}

// A shell with job control, as small as it gets: the screen runs in a process group of its own in the foreground; when
// it stops, a word is said and, after a line is typed, it is continued.
static int shell(life *l) {
    pid_t job = fork();
    if (job == 0) {
        setpgid(0, 0);
        signal(SIGTTOU, SIG_IGN);
        tcsetpgrp(STDIN_FILENO, getpid());
        signal(SIGTTOU, SIG_DFL);
        _exit(screen(l));
    }
    setpgid(job, job);
    signal(SIGTTOU, SIG_IGN);
    int status;
    while (waitpid(job, &status, WUNTRACED) == job && WIFSTOPPED(status)) {
        char line[16];
        tcsetpgrp(STDIN_FILENO, getpgrp());
        printf("shell: stopped\r\n\033]777;vise;idle\007");
        fflush(stdout);
        if (!fgets(line, sizeof line, stdin)) return 99;
        tcsetpgrp(STDIN_FILENO, job);
        kill(-job, SIGCONT);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

static int child(void *context) {
    life *l = context;
    int status = l->under_shell ? shell(l) : screen(l);
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                 1e-6 * (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
    ssize_t n = write(l->tell[1], &cpu, sizeof cpu);
    (void)n;
    return status;
}

static terminal *start(life *l) {
    assert_int_equal(pipe(l->tell), 0);
    assert_int_equal(pipe(l->ended), 0);
    return terminal_start(80, 24, "xterm-256color", "C.UTF-8", child, l);
}

static void finish(life *l, terminal *t) {
    terminal_free(t);
    close(l->tell[0]);
    close(l->tell[1]);
    close(l->ended[0]);
    close(l->ended[1]);
}

// ---- signals -----------------------------------------------------------------------------------

static void ends_by(int number, bool with_run) {
    life l = {.story = {.gate = -1, .burn = with_run ? 60 : 0, .threads = 1},
              .slow_end = with_run && number == SIGTERM};
    terminal *t = start(&l);
    struct termios before = terminal_settings(t);
    terminal_sync(t);
    struct termios during = terminal_settings(t);
    assert_true(terminal_alternate(t));
    assert_false(terminal_cursor_visible(t));
    assert_false(terminal_same_settings(&before, &during));
    if (with_run) {
        terminal_type(t, "\r");
        for (int i = 0; i < 2000 && !terminal_shows(t, "burning"); i++) terminal_sync(t);
    }
    kill(terminal_pid(t), number);
    int status = terminal_wait(t, 10);
    assert_true(status != -1 && WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), number);
    // Asked to end, it lets the run write its last row first, even when asked twice.
    char word = 0;
    if (with_run && number == SIGTERM) assert_true(read(l.ended[0], &word, 1) == 1 && word == 'e');
    struct termios after = terminal_settings(t);
    assert_true(terminal_same_settings(&before, &after));
    assert_false(terminal_alternate(t));
    assert_true(terminal_cursor_visible(t));
    finish(&l, t);
}

static void signals_idle(void **state) {
    (void)state;
    static const int numbers[] = {SIGTERM, SIGHUP, SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) ends_by(numbers[i], false);
}

static void signals_running(void **state) {
    (void)state;
    static const int numbers[] = {SIGTERM, SIGSEGV};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) ends_by(numbers[i], true);
}

static void crash_of_the_job(void **state) {
    (void)state;
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGABRT, -1}; // -1: the job's thread runs out of stack
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        life l = {.story = {.gate = -1, .crash = numbers[i]}};
        terminal *t = start(&l);
        struct termios before = terminal_settings(t);
        terminal_sync(t);
        terminal_send(t, "\r");
        int status = terminal_wait(t, 10);
        assert_true(status != -1 && WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), numbers[i] < 0 ? SIGSEGV : numbers[i]);
        struct termios after = terminal_settings(t);
        assert_true(terminal_same_settings(&before, &after));
        assert_false(terminal_alternate(t));
        finish(&l, t);
    }
}

static void interrupt_from_outside(void **state) {
    (void)state;
    life l = {.story = {.gate = -1}};
    terminal *t = start(&l);
    terminal_sync(t);
    kill(terminal_pid(t), SIGINT);
    for (int i = 0; i < 2000 && !terminal_shows(t, "again quits"); i++) terminal_sync(t);
    assert_true(terminal_shows(t, "Ctrl-C again quits"));
    terminal_send(t, "\x03");
    int status = terminal_wait(t, 10);
    assert_true(status != -1 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    finish(&l, t);
}

// ---- suspend -----------------------------------------------------------------------------------

static void suspend_and_continue(void **state) {
    (void)state;
    life l = {.story = {.gate = -1}, .under_shell = true};
    terminal *t = start(&l);
    struct termios before = terminal_settings(t);
    terminal_sync(t);
    for (int round = 0; round < 3; round++) {
        terminal_send(t, "\x1a");
        assert_true(terminal_await_mark(t, 10)); // the shell says that it stopped
        struct termios stopped = terminal_settings(t);
        assert_true(terminal_same_settings(&before, &stopped));
        assert_false(terminal_alternate(t));
        assert_true(terminal_shows(t, "shell: stopped"));
        if (round == 2) terminal_resize(t, 100, 30);
        terminal_send(t, "fg\n");
        terminal_sync(t);
        for (int i = 0; i < 500 && !terminal_shows(t, " Layers"); i++) terminal_sync(t);
        assert_true(terminal_alternate(t));
        assert_true(terminal_shows(t, " Layers"));
        terminal_type(t, "?"); // and it takes keys
        assert_true(terminal_shows(t, " Help "));
        terminal_type(t, "q");
    }
    terminal_send(t, "q");
    int status = terminal_wait(t, 10);
    assert_true(status != -1 && WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    struct termios after = terminal_settings(t);
    assert_true(terminal_same_settings(&before, &after));
    finish(&l, t);
}

// ---- the window closes -------------------------------------------------------------------------

static void vanished(bool ignore_hangup, bool with_run) {
    life l = {.story = {.gate = -1, .burn = with_run ? 60 : 0, .threads = 1}};
    // A process that ignores SIGHUP (nohup) must notice by reading.
    if (ignore_hangup) signal(SIGHUP, SIG_IGN);
    terminal *t = start(&l);
    signal(SIGHUP, SIG_DFL);
    terminal_sync(t);
    if (with_run) terminal_type(t, "\r");
    terminal_hang_up(t);
    int status = terminal_wait(t, 10);
    assert_int_not_equal(status, -1);
    finish(&l, t);
}
static void window_closes(void **state) {
    (void)state;
    vanished(false, false);
    vanished(false, true);
    vanished(true, false);
}

static void idle_is_free(void **state) {
    (void)state;
    life l = {.story = {.gate = -1}};
    terminal *t = start(&l);
    terminal_sync(t);
    size_t before = terminal_bytes(t);
    // Two seconds in which nothing happens: the screen may not say a word.
    assert_false(terminal_await_mark(t, 2));
    assert_int_equal(terminal_bytes(t), before);
    terminal_send(t, "q");
    assert_true(terminal_wait(t, 10) == 0);
    double cpu = 0;
    assert_int_equal(read(l.tell[0], &cpu, sizeof cpu), (ssize_t)sizeof cpu);
    print_message("processor time of a start, two idle seconds and an end: %.0f ms\n", cpu * 1000);
    assert_true(cpu < 0.5);
    finish(&l, t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signals_idle),         cmocka_unit_test(signals_running),
        cmocka_unit_test(crash_of_the_job),     cmocka_unit_test(interrupt_from_outside),
        cmocka_unit_test(suspend_and_continue), cmocka_unit_test(window_closes),
        cmocka_unit_test(idle_is_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
