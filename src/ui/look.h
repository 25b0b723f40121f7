// Private to ui/: a layer looked at - its weight before and after, its spectrum, its codes, the second moment of its
// inputs. The arithmetic (look_figures.c, look_plot.c) knows neither threads nor Lua.
#ifndef VISE_UI_LOOK_H
#define VISE_UI_LOOK_H

#include <pthread.h>

#include "ui/heat.h"

// ---- layers of the newest run, kept as they were made (look_store.c) ----------------------------------

// Immutable once it is in the store; whoever holds one releases it.
typedef struct look_kept {
    char layer[128];
    int64_t rows, cols, stamp;
    float *before, *after; // [rows x cols]
    compress_codes codes[COMPRESS_MADE_CODES];
    int code_count, holders;
} look_kept;

typedef struct look_store {
    pthread_mutex_t lock;
    look_kept **kept;
    int count, capacity;
    int64_t stamps;         // given out so far
    size_t bytes, left_out; // bytes held; layers that found no room
} look_store;
enum { LOOK_STORE_BYTES = 512 << 20 };
void look_store_init(look_store *s);
void look_store_free(look_store *s);
void look_store_clear(look_store *s);                         // a run begins
void look_store_made(void *store, const compress_made *m);    // on the job's thread: compress_plan.made
look_kept *look_store_hold(look_store *s, const char *layer); // NULL: not there
void look_store_release(look_store *s, look_kept *k);
int64_t look_store_stamp(look_store *s, const char *layer); // 0: not there

// ---- figures ----------------------------------------------------------------------------------------

enum { LOOK_BINS = 480, LOOK_TILES = 512, LOOK_OUTLIERS = 64, LOOK_ROW_VALUES = 1 << 20, LOOK_LEVELS = 4096 };

typedef struct look_stats {
    double mean, sigma, low, high; // of finite values
    int64_t zeros, bad;            // bad: NaN or infinite
} look_stats;
typedef struct look_map { // |x| in tiles: the largest and the mean of each
    int rows, cols;
    float *most, *mean; // [rows x cols]
} look_map;
typedef struct look_outlier {
    int64_t row, col;
    double value, after, sigmas;
} look_outlier;

typedef struct look_figures {
    char layer[128], kind[24], from[200]; // from: where `after` is from, or why there is none
    model_shape shape;
    int64_t rows, cols, stamp;
    bool has_after;
    look_stats before, after;
    double weight_error; // relative
    double low, high;    // of the common axis
    int64_t bins_before[LOOK_BINS], bins_after[LOOK_BINS];
    look_map weight, error; // error: empty without `after`
    look_outlier outlier[LOOK_OUTLIERS];
    int outlier_count;
    int64_t beyond[4]; // weights beyond 3, 4, 5, 6 sigma
    // Rows kept for the grid: every `row_step`-th.
    int64_t row_step, row_count;
    float *row_before, *row_after; // [row_count x cols]
    compress_codes codes[COMPRESS_MADE_CODES];
    int code_count;
    char stored[240]; // of a packed file: what it says of the layer; ""
    // Asked for apart.
    double *spectrum[3]; // of W, Wc, W - Wc, falling; NULL: not asked for
    int spectrum_count;
    char spectrum_note[120];
    double *diagonal, *eigen; // of H = X^T X / n; eigen falling
    int diagonal_count, eigen_count;
    char hessian_note[240];
} look_figures;

// after NULL: there is none. Checks job between blocks; false when cancelled or memory is out.
bool look_figure(look_figures *f, const float *before, const float *after, base_job *job, base_err *err);
void look_figures_free(look_figures *f); // contents, not f
// Singular values of W, Wc and W - Wc by the eigenvalues of the smaller Gram matrix; beyond LOOK_SPECTRUM of the
// smaller side of every n-th row and column, which the note says.
enum { LOOK_SPECTRUM = 768 };
bool look_spectrum(look_figures *f, const float *before, const float *after, base_job *job, base_err *err);
// h [groups x n x n] as engine_stream_gram makes it; or, counts [n] (an embedding).
bool look_moments(look_figures *f, const float *h, int64_t groups, int64_t n, bool counts, base_job *job,
                  base_err *err);

// Bins of `from` gathered into `count` columns: sums.
void look_gather(const int64_t *from, int bins, double *out, int count);
// Tiles of a map gathered into rows x cols: the largest of `most`, or the mean of `mean`. out [rows x cols].
void look_shrink(const look_map *m, bool mean, int rows, int cols, float *out);
// Different values of a row, rising, with how often each occurs; more than `most` are left out. Returns how many.
int look_levels(const float *row, int64_t count, float *level, int64_t *uses, int most);

// ---- drawing (look_plot.c) ---------------------------------------------------------------------------

// Columns that a plot of this width has: two a cell in braille.
int look_columns(int width, char dots);
// Bars from the bottom up, or from the top down; v [look_columns(width)] between 0 and top.
void look_bars(ui_area a, const double *v, double top, bool down, char dots, ui_style style);
// "-0.3 ... 0.3" with ticks, one row.
void look_axis(ui_area a, int y, double low, double high);
// Values with marks, falling spectra: x by index over `count`, y logarithmic between low and high. Cells that hold two
// kinds of marks show '*'.
void look_dots(ui_area a, const double *v, int count, double low, double high, uint32_t mark, ui_style style);
// A map over the whole area: two rows a cell where there are many colours.
void look_map_draw(ui_area a, const look_map *m, bool mean, study_colours map, bool log, heat_scale *scale);

// ---- pages (look_draw.c) -------------------------------------------------------------------------------

enum look_page {
    LOOK_WEIGHTS,
    LOOK_MAGNITUDE,
    LOOK_ERROR,
    LOOK_SINGULAR,
    LOOK_HESSIAN,
    LOOK_GRID,
    LOOK_CODES,
    LOOK_FAR,
    LOOK_PAGES
};
extern const char *const look_page_names[LOOK_PAGES];
typedef struct look_view {
    int page;
    int64_t row;    // of the grid, index among kept rows
    int array;      // of codes
    bool mean, log; // maps; counts of histograms and maps
    study_colours map;
    char dots;
    const char *busy; // what is being computed, NULL: nothing
} look_view;
void look_draw(ui_area a, const look_view *v, const look_figures *f);

#endif
