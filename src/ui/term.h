// Private to ui/: the terminal - curses, colours, keys as they arrive, signals, and giving it all back.
//
// term.c and theme.c are the only files that see curses.
#ifndef VISE_UI_TERM_H
#define VISE_UI_TERM_H

#include "ui/theme.h"

// Keys: a Unicode character, a control character (Ctrl-L is 12), or one of these.
enum {
    UI_KEY_NONE = 0,
    UI_KEY_TAB = 9,
    UI_KEY_ENTER = 13,
    UI_KEY_ESC = 27,
    UI_KEY_BACKSPACE = 127,
    UI_KEY_UP = 0x200000,
    UI_KEY_DOWN,
    UI_KEY_LEFT,
    UI_KEY_RIGHT,
    UI_KEY_PAGE_UP,
    UI_KEY_PAGE_DOWN,
    UI_KEY_HOME,
    UI_KEY_END,
    UI_KEY_DELETE,
    UI_KEY_BACK_TAB,
    UI_KEY_MOUSE,
    UI_KEY_F1, // .. F12
    UI_KEY_F12 = UI_KEY_F1 + 11,
};

// UP and DOWN are the wheel; DRAG is a move with the button held, RELEASE its end.
typedef enum ui_mouse_action {
    UI_MOUSE_CLICK,
    UI_MOUSE_UP,
    UI_MOUSE_DOWN,
    UI_MOUSE_DRAG,
    UI_MOUSE_RELEASE
} ui_mouse_action;
typedef struct ui_mouse {
    int x, y;
    ui_mouse_action action;
} ui_mouse;

// What signals asked for since the last call, as bits.
enum { UI_SIGNAL_RESIZE = 1, UI_SIGNAL_STOP = 2, UI_SIGNAL_INTERRUPT = 4, UI_SIGNAL_END = 8 };

bool ui_term_open(const ui_options *options, const ui_theme *theme, base_err *err);
void ui_term_close(void); // gives the terminal back; signals are still only noted, so that a run can end well
void ui_term_free(void);  // the rest, signals too
bool ui_term_ascii(void);
void ui_term_size(int *w, int *h); // asks the terminal and tells curses
// Send what changed since the last call. cursor_x < 0: no cursor.
void ui_term_show(const ui_grid *g, int cursor_x, int cursor_y);
void ui_term_forget(void);        // the next show sends everything
int ui_term_key(ui_mouse *mouse); // UI_KEY_NONE: nothing waits; never blocks longer than an escape sequence
bool ui_term_gone(short revents); // after poll on stdin: the terminal has vanished
int ui_term_wake_fd(void);        // readable after a signal
unsigned ui_term_signals(void);
int ui_term_end_signal(void); // SIGTERM or SIGHUP when UI_SIGNAL_END came
// A stack for the crash handler of the calling thread, so that even one that ran out of its own gives the terminal
// back. Ends with ui_term_unguard on the same thread.
void *ui_term_guard(void);
void ui_term_unguard(void *guard);
void ui_term_suspend(bool group); // give the terminal back and stop; returns when continued
// Give the terminal to `command` run by sh with `file` as its $1, until it ends; its exit status.
int ui_term_run(const char *command, const char *file);
// After a frame: tell a program that drives us that the screen is up to date (an OSC that terminals ignore).
void ui_term_mark(void);

// theme.c
void ui_theme_open(ui_colours colours, const ui_theme *theme); // after curses started
void ui_theme_set(const ui_theme *theme);                      // another one; the next frame must be sent whole
bool ui_theme_coloured(void);
int ui_theme_depth(void);                                  // colours in use: 1 << 24, 256, 16, 8, or 0 without any
void ui_theme_apply(ui_style style, bool reverse);         // attributes for what is written next
void ui_theme_paint(int32_t fg, int32_t bg, bool reverse); // the same for a painted cell

#endif
