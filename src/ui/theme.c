// The theme on the terminal: how each style looks with 16.7 million, 256, 16, 8 and no colours. The terminal's own
// background is kept, so that dark and light terminals both read well; every difference that matters also has a letter,
// a glyph or an attribute.
#include <curses.h>
#include <stdlib.h>
#include <string.h>
#include <term.h>

#include "ui/term.h"

enum { DIRECT = 1 << 24 };
static attr_t attributes[UI_STYLES];
static short pairs[UI_STYLES];
static int depth; // DIRECT, 256, 16, 8 or 0

static int colours_of_terminal(void) {
    int count = has_colors() ? tigetnum("colors") : 0; // COLORS is known only after start_color
    // Only the plain order of bits, eight a colour, is ours; terminals with another are taken for 256 colours.
    if (count >= DIRECT && tigetflag("RGB") == 1) return DIRECT;
    return count >= 256 ? 256 : count >= 16 ? 16 : count >= 8 ? 8 : 0;
}

static int depth_wanted(ui_colours colours) {
    static const int asked[] = {0, DIRECT, 256, 16, 8, 0};
    const char *no_colour = getenv("NO_COLOR");
    int have = colours_of_terminal();
    if (colours == UI_COLOURS_AUTO) return no_colour && no_colour[0] ? 0 : have;
    return asked[colours] < have ? asked[colours] : have;
}

void ui_theme_open(ui_colours colours, const ui_theme *theme) {
    depth = depth_wanted(colours);
    if (depth) {
        start_color();
        if (use_default_colors() != OK) assume_default_colors(COLOR_WHITE, COLOR_BLACK);
    }
    ui_theme_set(theme);
}

static attr_t attribute_of(int bits) {
    return (bits & UI_BOLD ? A_BOLD : 0) | (bits & UI_UNDERLINE ? A_UNDERLINE : 0) |
           (bits & UI_REVERSE ? A_REVERSE : 0);
}

// The nearest of the terminal's colours for a colour of its own; remembered, since pictures ask for the same ones
// again.
static int colour_of_rgb(int32_t rgb) {
    enum { SLOTS = 4096 };
    static struct {
        int32_t rgb, depth;
        int colour;
    } known[SLOTS];
    if (rgb < 0 || !depth) return -1;
    if (depth == DIRECT) return rgb < 8 ? 8 : rgb;
    unsigned slot = ((uint32_t)rgb * 2654435761u) >> 20;
    if (known[slot].rgb != rgb || known[slot].depth != depth) {
        known[slot].rgb = rgb;
        known[slot].depth = depth;
        known[slot].colour = depth == 256 ? ui_nearest_256(rgb) : ui_nearest_ansi(rgb, depth);
    }
    return known[slot].colour;
}

static int colour_of(const ui_tint *t) {
    if (depth >= 256 && t->rgb < 0) return -1;
    // The first eight of a direct terminal are its old colours; as colours of their own they are all but black.
    if (depth == DIRECT) return t->rgb < 8 ? 8 : t->rgb;
    if (depth == 256) return ui_nearest_256(t->rgb);
    return t->ansi < 0 ? -1 : depth == 16 ? t->ansi : t->ansi & 7;
}

void ui_theme_set(const ui_theme *theme) {
    for (int i = 0; i < UI_STYLES; i++) {
        const ui_tint *t = &theme->tint[i];
        int colour = depth ? colour_of(t) : -1;
        attributes[i] = attribute_of(depth ? t->with : t->without);
        pairs[i] = 0;
        if (colour >= 0) {
            pairs[i] = (short)(i + 1);
            init_extended_pair(i + 1, colour, -1);
        }
    }
}

int ui_theme_depth(void) {
    return depth;
}

void ui_theme_paint(int32_t fg, int32_t bg, bool reverse) {
    attr_t a = reverse ? A_REVERSE : A_NORMAL;
    int pair = depth ? alloc_pair(colour_of_rgb(fg), colour_of_rgb(bg)) : 0; // curses reuses the pairs longest unused
    attr_set(a, (short)pair, &pair);
}

bool ui_theme_coloured(void) {
    return depth != 0;
}

void ui_theme_apply(ui_style style, bool reverse) {
    attr_t a = attributes[style];
    if (reverse) a ^= A_REVERSE;
    attr_set(a, pairs[style], NULL);
}
