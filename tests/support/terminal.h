// terminal: a program on a pseudo-terminal whose output a terminal emulator (libvterm) in the test process reads.
//
// Nothing here sleeps: the driver reads until the program's mark (see the screen's command "mark") or its end.
#ifndef VISE_TESTS_TERMINAL_H
#define VISE_TESTS_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <termios.h>

typedef struct terminal terminal;

// Forks; the child runs `child` on the new terminal with TERM, LC_ALL and no NO_COLOR, and exits with its result.
terminal *terminal_start(int width, int height, const char *term, const char *locale, int (*child)(void *),
                         void *context);
void terminal_free(terminal *t); // ends the child if it is still there

void terminal_send(terminal *t, const char *keys);
void terminal_send_bytes(terminal *t, const char *bytes, size_t count);
// Ctrl-^, then reads until the answer: everything sent before is on the screen. Fails the test after 10 s (60 in slower
// builds).
void terminal_sync(terminal *t);
void terminal_type(terminal *t, const char *keys); // send, then sync
// Reads until the next mark; false when it does not come in time, or the program ends.
bool terminal_await_mark(terminal *t, double seconds);
void terminal_resize(terminal *t, int width, int height);
void terminal_hang_up(terminal *t); // close our side, as a closed window does

// The screen as lines without blanks at their ends; caller frees.
char *terminal_text(terminal *t);
// One letter for each cell's look, and what the letters mean; caller frees.
char *terminal_looks(terminal *t);
bool terminal_shows(terminal *t, const char *text);
bool terminal_alternate(const terminal *t);
bool terminal_cursor_visible(const terminal *t);
struct termios terminal_settings(const terminal *t);
bool terminal_same_settings(const struct termios *a, const struct termios *b);
int terminal_height(const terminal *t);
pid_t terminal_pid(const terminal *t);
// Reads until the child has ended; its wait status, -1 when it goes on for longer.
int terminal_wait(terminal *t, double seconds);
size_t terminal_bytes(const terminal *t); // received so far

#endif
