// ui: the ncurses screen - panels described by views/*.lua over widgets in C, keys, the command line, runs on the job
// thread.
//
// The only room that includes curses. All of it runs on one thread; work runs on session's job thread and comes back
// as events through the queue.
#ifndef VISE_UI_H
#define VISE_UI_H

#include "script/script.h"

typedef enum ui_colours {
    UI_COLOURS_AUTO,
    UI_COLOURS_16M,
    UI_COLOURS_256,
    UI_COLOURS_16,
    UI_COLOURS_8,
    UI_COLOURS_NONE
} ui_colours;

// NULL and zero are the defaults. Strings are borrowed for the call.
typedef struct ui_options {
    const char *model;       // file or folder; NULL: what the recipe opens, shown as the shipped digits CNN
    const char *data;        // folder, descriptor or file; NULL: what the recipe opens
    const char *arch;        // architecture, NULL: recognised
    const char *recipe;      // file or name of a shipped recipe; NULL: "w4"
    const char *const *sets; // "name=value" for the recipe's params
    int set_count;
    const char *out;       // folder save() writes below; NULL: "out"
    uint64_t seed;         // added to every seed the recipe does not state
    const char *state_dir; // history; NULL: the user's state folder
    base_cache *cache;     // results kept between runs; NULL: everything is computed
    const char *script;    // file of keys and commands played at the start, see docs
    const char *views;     // folder of views; NULL: the shipped views/
    ui_colours colours;    // AUTO: NO_COLOR, then what the terminal has
    const char *theme;     // name or file; NULL: the configuration's, else the built-in one
    bool ascii;            // no character outside ASCII, whatever the locale says
    bool no_mouse;
    bool fresh;         // nothing of the last session, and nothing kept of this one
    const char *config; // NULL: config.lua of the user's folder
    // Replace the recipe's run and the clock, so that tests draw the same screen each time. NULL: the real ones.
    session_body body;
    void *body_context;
    double (*clock)(void); // seconds, any origin
} ui_options;

// Shows the screen until the user leaves. Refuses (BASE_USAGE, a sentence in err) where there is no terminal, or one
// that cannot place its cursor. Whatever happens, the terminal is given back as it was.
base_status ui_main(const ui_options *options, base_err *err);
// "auto", "16M", "256", "16", "8", "none".
bool ui_colours_parse(const char *text, ui_colours *colours, base_err *err);

#endif
