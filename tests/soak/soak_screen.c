// The screen under random hands: SOAK_KEYS keys (10,000), mouse, sizes and typed commands, while runs come and go on
// the shipped models, with its history and session in a folder of its own. Only a clean end is a good one. The seed is
// printed; SOAK_SEED plays one again.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../support/support.h"
#include "../support/terminal.h"
#include "ui/part.h"

static uint64_t seed;
static unsigned chance(unsigned n) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % n;
}

static int child(void *context) {
    const char *folder = context;
    base_err err = {0};
    setenv("VISUAL", "true", 1); // an editor that changes nothing
    setenv("XDG_CONFIG_HOME", folder, 1);
    if (chdir(folder) != 0) return 99;
    ui_options o = {.recipe = "gptq", .state_dir = folder, .out = folder};
    base_status status = ui_main(&o, &err);
    if (status != BASE_OK) fprintf(stderr, "vise: %s\n", err.text);
    return (int)status;
}

static const char *bytes_of_key(const char *name, char room[8]) {
    static const char *const table[][2] = {
        {"Enter", "\r"},     {"Esc", "\033"},     {"Tab", "\t"},         {"S-Tab", "\033[Z"},
        {"Up", "\033OA"},    {"Down", "\033OB"},  {"Right", "\033OC"},   {"Left", "\033OD"},
        {"PgUp", "\033[5~"}, {"PgDn", "\033[6~"}, {"Home", "\033OH"},    {"End", "\033OF"},
        {"F1", "\033OP"},    {"Space", " "},      {"Backspace", "\x7f"}, {"Del", "\033[3~"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i][0], name) == 0) return table[i][1];
    int key = ui_key_parse(name);
    room[0] = (char)(key > 0 && key < 128 ? key : '\033');
    room[1] = 0;
    return room;
}

// Keys that leave or stop the program are rare guests: a hundred starts would test nothing but starting.
static bool leaves(const char *key) {
    return strcmp(key, "q") == 0 || strcmp(key, "C-c") == 0 || strcmp(key, "C-z") == 0 || strcmp(key, "y") == 0;
}

static void one_key(terminal *t, size_t bindings) {
    char room[8];
    const char *key = ui_binding_at(chance((unsigned)bindings))->key;
    if (leaves(key) && chance(400)) key = "Esc";
    if (strcmp(key, "C-z") != 0) terminal_send(t, bytes_of_key(key, room)); // nobody would continue it
}

static void typed_command(terminal *t, size_t commands) {
    static const char *const arguments[] = {"",
                                            "1",
                                            "conv1",
                                            "bits=3",
                                            "bits=99",
                                            ".*",
                                            "/nowhere",
                                            "..",
                                            "reset",
                                            "\xe2\x82\xac\xc3\xa9",
                                            "a b c",
                                            "%s%n",
                                            "quantize{ bits = 3 }",
                                            "dark",
                                            "9e99"};
    const char *name = ui_command_at(chance((unsigned)commands))->name;
    if (strcmp(name, "suspend") == 0 || strcmp(name, "quit") == 0) return;
    char line[256];
    snprintf(line, sizeof line, "\033:%s %s\r", name, arguments[chance(sizeof arguments / sizeof *arguments)]);
    terminal_send(t, line);
}

static void mouse(terminal *t) {
    char bytes[64];
    static const int buttons[] = {0, 32, 64, 65, 0};
    snprintf(bytes, sizeof bytes, "\033[<%d;%u;%u%c", buttons[chance(5)], 1 + chance(220), 1 + chance(70),
             chance(3) ? 'M' : 'm');
    terminal_send(t, bytes);
}

static bool has_ended(terminal *t) {
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)terminal_pid(t), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
}

static void ended_well(terminal *t, long at) {
    int status = terminal_wait(t, 30);
    if (status == -1 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("after %ld keys the screen ended badly (status %x); its last words:\n%s", at, (unsigned)status,
                 terminal_text(t));
}

static void soak(void **state) {
    (void)state;
    const char *keys = getenv("SOAK_KEYS"), *again = getenv("SOAK_SEED");
    long count = keys ? atol(keys) : 10000, starts = 0, resizes = 0, commands_typed = 0;
    seed = again ? strtoull(again, NULL, 10) : (uint64_t)time(NULL);
    printf("%ld keys, seed %llu\n", count, (unsigned long long)seed);
    size_t bindings = 0, commands = 0;
    while (ui_binding_at(bindings)) bindings++;
    while (ui_command_at(commands)) commands++;
    char *folder = base_strdup(support_temp_dir());
    terminal *t = NULL;
    bool gone = false;
    for (long i = 0; i < count; i++) {
        if (t && i % 20 == 0 && (gone || has_ended(t))) { // a typed q, or y at the question
            ended_well(t, i);
            terminal_free(t);
            t = NULL;
            gone = false;
        }
        if (!t) {
            t = terminal_start(100, 30, chance(4) ? "xterm-256color" : "xterm", chance(4) ? "C.UTF-8" : "C", child,
                               folder);
            starts++;
        }
        unsigned what = chance(100);
        if (what < 4)
            mouse(t);
        else if (what < 6)
            typed_command(t, commands), commands_typed++;
        else if (what == 6)
            terminal_resize(t, 1 + (int)chance(300), 1 + (int)chance(100)), resizes++;
        else
            one_key(t, bindings);
        if (i % 20 == 19) {
            // curses takes what follows a mouse report for a part of it, so one mark may be lost; three are a hang.
            bool answers = false;
            for (int tries = 0; tries < 3 && !answers && !has_ended(t); tries++) {
                terminal_send(t, "\x1e");
                answers = terminal_await_mark(t, tries ? 20 : 2);
            }
            if (!answers) gone = terminal_wait(t, 20) != -1; // the terminal closes a moment before the program is gone
            if (!answers && !gone) fail_msg("after %ld keys the screen does not answer:\n%s", i, terminal_text(t));
        }
    }
    if (!gone && !has_ended(t)) kill(terminal_pid(t), SIGTERM); // as a closed session does
    int status = terminal_wait(t, 60);
    if (status == -1 || (WIFEXITED(status) && WEXITSTATUS(status)) ||
        (WIFSIGNALED(status) && WTERMSIG(status) != SIGTERM))
        fail_msg("it ended badly at last (status %x):\n%s", (unsigned)status, terminal_text(t));
    terminal_free(t);
    free(folder);
    printf("%ld keys, %ld commands typed, %ld sizes, %ld starts: no crash, no hang\n", count, commands_typed, resizes,
           starts);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(soak)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
