// The theme: which colours and attributes each style has with 256, 8 and no colours. The terminal's own background and
// foreground are kept, so that dark and light terminals both read well; every difference that matters also has a
// letter, a glyph or an attribute.
#include "ui/term.h"

#include <curses.h>
#include <stdlib.h>
#include <term.h>

typedef struct theme_row {
    short c256, c8;       // foreground, -1: the terminal's own
    attr_t with, without; // attributes with colours, without
} theme_row;

static const theme_row base_rows[UI_MARK] = {
    [UI_NORMAL] = {-1, -1, A_NORMAL, A_NORMAL},
    [UI_DIM] = {245, -1, A_NORMAL, A_NORMAL},
    [UI_STRONG] = {-1, -1, A_BOLD, A_BOLD},
    [UI_ACCENT] = {37, COLOR_CYAN, A_NORMAL, A_BOLD},
    [UI_HEADING] = {245, -1, A_NORMAL, A_NORMAL},
    [UI_HEADING_HERE] = {37, COLOR_CYAN, A_BOLD, A_BOLD},
    [UI_BAR] = {-1, -1, A_REVERSE, A_REVERSE},
    [UI_BAR_STRONG] = {-1, -1, A_REVERSE | A_BOLD, A_REVERSE | A_BOLD},
    [UI_KEY] = {37, COLOR_CYAN, A_BOLD, A_BOLD},
    [UI_GOOD] = {35, COLOR_GREEN, A_NORMAL, A_NORMAL},
    [UI_WARN] = {172, COLOR_YELLOW, A_BOLD, A_BOLD},
    [UI_BAD] = {160, COLOR_RED, A_BOLD, A_BOLD},
    [UI_RULE] = {240, -1, A_NORMAL, A_NORMAL},
    [UI_FOUND] = {172, COLOR_YELLOW, A_BOLD | A_UNDERLINE, A_BOLD | A_UNDERLINE},
    [UI_PROMPT] = {-1, -1, A_BOLD, A_BOLD},
    [UI_PROMPT_BAD] = {160, COLOR_RED, A_BOLD | A_REVERSE, A_REVERSE},
};
static const short mark_256[UI_MARK_COUNT] = {37, 172, 97, 71, 168, 67};
static const short mark_8[UI_MARK_COUNT] = {COLOR_CYAN,  COLOR_YELLOW, COLOR_MAGENTA,
                                            COLOR_GREEN, COLOR_RED,    COLOR_BLUE};
// viridis (Smith and van der Walt 2015) from 0.22 to 0.95, where it shows on dark and on light, as the nearest colours
// of the 6x6x6 cube in CIELAB.
static const short ramp_256[UI_RAMP_COUNT] = {61, 61, 24, 31, 30, 37, 36, 35, 77, 113, 148, 184};
static const short ramp_8[UI_RAMP_COUNT] = {COLOR_BLUE,  COLOR_BLUE,   COLOR_BLUE,   COLOR_CYAN,
                                            COLOR_CYAN,  COLOR_CYAN,   COLOR_GREEN,  COLOR_GREEN,
                                            COLOR_GREEN, COLOR_YELLOW, COLOR_YELLOW, COLOR_YELLOW};

static attr_t attributes[UI_STYLES];
static short pairs[UI_STYLES];
static int depth; // 256, 8 or 0

static theme_row row_of(int style) {
    if (style < UI_MARK) return base_rows[style];
    if (style < UI_RAMP) return (theme_row){mark_256[style - UI_MARK], mark_8[style - UI_MARK], A_BOLD, A_BOLD};
    return (theme_row){ramp_256[style - UI_RAMP], ramp_8[style - UI_RAMP], A_NORMAL, A_NORMAL};
}

static int depth_wanted(ui_colours colours) {
    const char *no_colour = getenv("NO_COLOR");
    int count = has_colors() ? tigetnum("colors") : 0; // COLORS is known only after start_color
    int have = count >= 256 ? 256 : count >= 8 ? 8 : 0;
    if (colours == UI_COLOURS_NONE) return 0;
    if (colours == UI_COLOURS_AUTO) return no_colour && no_colour[0] ? 0 : have;
    int asked = colours == UI_COLOURS_256 ? 256 : 8;
    return asked < have ? asked : have;
}

void ui_theme_open(ui_colours colours) {
    depth = depth_wanted(colours);
    if (depth) {
        start_color();
        if (use_default_colors() != OK) assume_default_colors(COLOR_WHITE, COLOR_BLACK);
    }
    for (int i = 0; i < UI_STYLES; i++) {
        theme_row r = row_of(i);
        short colour = depth == 256 ? r.c256 : r.c8;
        attributes[i] = depth ? r.with : r.without;
        pairs[i] = 0;
        if (depth && colour >= 0) {
            pairs[i] = (short)(i + 1);
            init_pair(pairs[i], colour, -1);
        }
    }
}

void ui_theme_apply(ui_style style, bool reverse) {
    attr_t a = attributes[style];
    short pair = pairs[style];
    if (reverse) a ^= A_REVERSE;
    attr_set(a, pair, NULL);
}

const char *ui_theme_colours(void) {
    return depth == 256 ? "256" : depth == 8 ? "8" : "none";
}
