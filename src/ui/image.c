// Pictures of samples in character cells: scaled by the mean of what falls into a pixel, stretched to their own range,
// two pixels a cell in colour, shades where there are few colours.
#include "ui/image.h"

#include <math.h>

enum { MOST_PIXELS = 256 }; // a side; a sample is no larger on any screen

void ui_image_size(int w, int h, int height, int width, int depth, int *cells_w, int *cells_h) {
    *cells_w = *cells_h = 0;
    if (w < 1 || h < 1 || height < 1 || width < 1) return;
    // A cell is about twice as tall as wide: with half blocks a pixel is one column by half a row; with shades it is
    // two columns by one row.
    bool halves = depth >= 256;
    double columns = halves ? 1 : 2, rows = halves ? 0.5 : 1;
    double scale = fmin(w / (columns * width), h / (rows * height));
    if (scale > 4) scale = 4; // larger shows no more
    if (scale > 1) scale = floor(scale);
    int cw = (int)(columns * width * scale + 1e-9), ch = (int)ceil(rows * height * scale - 1e-9);
    *cells_w = cw < 1 ? 1 : cw > w ? w : cw;
    *cells_h = ch < 1 ? 1 : ch > h ? h : ch;
}

typedef struct picture {
    const float *pixels;
    int channels, height, width;
    double low, high;
} picture;

static void range(picture *p) {
    long count = (long)p->channels * p->height * p->width;
    p->low = INFINITY;
    p->high = -INFINITY;
    for (long i = 0; i < count; i++)
        if (isfinite(p->pixels[i])) {
            p->low = fmin(p->low, p->pixels[i]);
            p->high = fmax(p->high, p->pixels[i]);
        }
}

// Mean of one channel over [y0, y1) x [x0, x1) as 0..1.
static double mean(const picture *p, int channel, double y0, double y1, double x0, double x1) {
    double sum = 0;
    int count = 0;
    int last_y = (int)ceil(y1 - 1e-9), last_x = (int)ceil(x1 - 1e-9);
    for (int y = (int)y0; y < last_y && y < p->height; y++)
        for (int x = (int)x0; x < last_x && x < p->width; x++) {
            double v = p->pixels[((long)channel * p->height + y) * p->width + x];
            if (isfinite(v)) sum += v, count++;
        }
    if (!count) return 0;
    return p->high > p->low ? (sum / count - p->low) / (p->high - p->low) : 0.5;
}

// Pixel (x, y) of w x h as 0xRRGGBB.
static int32_t pixel(const picture *p, int x, int y, int w, int h) {
    double y0 = (double)y * p->height / h, y1 = (double)(y + 1) * p->height / h;
    double x0 = (double)x * p->width / w, x1 = (double)(x + 1) * p->width / w;
    double rgb[3] = {0, 0, 0};
    if (p->channels == 3) {
        for (int c = 0; c < 3; c++) rgb[c] = mean(p, c, y0, y1, x0, x1);
    } else {
        for (int c = 0; c < p->channels; c++) rgb[0] += mean(p, c, y0, y1, x0, x1) / p->channels;
        rgb[1] = rgb[2] = rgb[0];
    }
    int32_t out = 0;
    for (int c = 0; c < 3; c++) out = out << 8 | (int32_t)lround(fmin(fmax(rgb[c], 0), 1) * 255);
    return out;
}

int ui_image_draw(ui_area a, const float *pixels, int channels, int height, int width, int depth) {
    static const uint32_t shades[] = {' ', 0x2591, 0x2592, 0x2593, 0x2588};
    picture p = {pixels, channels, height, width, 0, 0};
    int w, h;
    if (!pixels || channels < 1) return 0;
    ui_image_size(a.r.w < MOST_PIXELS ? a.r.w : MOST_PIXELS, a.r.h < MOST_PIXELS ? a.r.h : MOST_PIXELS, height, width,
                  depth, &w, &h);
    if (w < 1 || h < 1) return 0;
    range(&p);
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            if (depth >= 256) {
                ui_paint(a, x, y, 0x2580, pixel(&p, x, 2 * y, w, 2 * h), pixel(&p, x, 2 * y + 1, w, 2 * h));
                continue;
            }
            int32_t rgb = pixel(&p, x, y, w, h);
            int light = (2 * (rgb >> 16 & 255) + 5 * (rgb >> 8 & 255) + (rgb & 255)) / 8;
            ui_char(a, x, y, UI_NORMAL, shades[light * 5 / 256]);
        }
    return h;
}
