// Private to ui/: a canvas of dots, eight a cell in braille, for charts; with fewer glyphs the cells say what is in
// them.
#ifndef VISE_UI_DOTS_H
#define VISE_UI_DOTS_H

#include "ui/cells.h"

typedef struct ui_dots {
    ui_area area;
    uint8_t *bits, *style; // [h x w] of each cell
} ui_dots;
void ui_dots_open(ui_dots *d, ui_area area);           // empty
void ui_dot(ui_dots *d, int x, int y, ui_style style); // 0..2w-1, 0..4h-1; what is outside is left out
void ui_dots_line(ui_dots *d, int x0, int y0, int x1, int y1, ui_style style); // clipped
void ui_dots_send(const ui_dots *d, char glyphs);                              // 'b'raille, 'l' blocks, 'a'scii
void ui_dots_close(ui_dots *d);

#endif
