// Private to ui/: pictures of samples, drawn with half blocks.
#ifndef VISE_UI_IMAGE_H
#define VISE_UI_IMAGE_H

#include "ui/cells.h"

// An image [channels x height x width] (1 or 3 channels; more: their mean) as large as fits the area with its shape
// kept, two pixels a cell: upper half the character, lower half the ground. Values are stretched from their least to
// their greatest; NaN is drawn dark. `depth` as ui_theme_depth: with fewer than 256 colours shades stand in, one pixel
// a cell. Returns the rows used.
int ui_image_draw(ui_area a, const float *pixels, int channels, int height, int width, int depth);
// The size in cells that it would take in an area of w x h.
void ui_image_size(int w, int h, int height, int width, int depth, int *cells_w, int *cells_h);

#endif
