// The layer panel: the layer under the cursor of the panel of layers, page by page.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ui/layers.h"
#include "ui/look_part.h"
#include "ui/task.h"

enum { SAMPLES = 128 }; // of :hessian, unless told otherwise

look_part *look_own(const ui_app *app) {
    return ui_part_own(&app->state, &ui_part_look);
}

void *ui_look_begin(const ui_app *app) {
    look_part *own = look_own(app);
    if (!own) return NULL;
    look_store_clear(&own->store);
    own->failed[0] = 0;
    return &own->store;
}

look_entry *look_find(look_part *own, const char *key) {
    for (int i = 0; i < own->count; i++) {
        look_entry *e = own->entry[i];
        if (strcmp(e->key, key) != 0) continue;
        memmove(&own->entry[i], &own->entry[i + 1], (size_t)(own->count - 1 - i) * sizeof(own->entry[0]));
        own->entry[own->count - 1] = e;
        return e;
    }
    return NULL;
}

// ---- which layer ---------------------------------------------------------------------------------------

// The layer under the cursor of the panel of layers; on a module it stays the one before.
static int layer_here(ui_app *app) {
    look_part *own = look_own(app);
    int at = ui_layer_here(app);
    if (at >= 0) own->layer = at;
    return own->layer < app->state.layer_count ? own->layer : app->state.layer_count - 1;
}

// The other panel's cursor goes along; the focus stays.
static void layer_to(ui_app *app, int at) {
    look_part *own = look_own(app);
    int focus = app->focus, tab = app->tab, last = app->state.layer_count - 1;
    base_err ignored = {0};
    if (last < 0) return;
    own->layer = at < 0 ? 0 : at > last ? last : at;
    own->row = own->array = 0;
    bool went = ui_layers_go(app, own->layer, &ignored);
    if (went && app->tab != tab) ui_tab_go(app, tab);
    app->focus = focus;
}

// ---- the widget ----------------------------------------------------------------------------------------

static const char *source_of(int page) {
    return page == LOOK_WEIGHTS    ? "look-bins"
           : page == LOOK_SINGULAR ? "look-spectrum"
           : page == LOOK_FAR      ? "look-far"
                                   : NULL;
}

static bool draw_missing(ui_area a, const look_part *own, const ui_layer *layer, const char *key) {
    bool failed = strcmp(own->failed, key) == 0 && own->failed_what == LOOK_ALL;
    int y = ui_wrap(a, 0, UI_STRONG, layer->row.name);
    ui_wrap(ui_sub(a, 0, y, a.r.w, a.r.h - y), 0, failed ? UI_BAD : UI_DIM,
            failed ? own->trouble : "Reading the weights ...");
    return true;
}

HOST(h_look) {
    APP;
    (void)c;
    if (!ui_host_drawing(app, err)) return false;
    look_part *own = look_own(app);
    const char *rows = source_of(own->page);
    ui_look look = ui_host_look(app, "look", rows ? ui_source_find(rows) : NULL);
    ui_area a = ui_host_take(app);
    int at = layer_here(app);
    ui_scroll_fit(look.scroll, 0, 1);
    own->shown[0] = 0;
    if (at < 0) {
        ui_wrap(a, 0, UI_DIM, "No layers yet. They are listed when a model is open (:model PATH).");
        return true;
    }
    const ui_layer *layer = &app->state.layers[at];
    char key[LOOK_KEY];
    look_key(app, own, layer->row.name, key);
    look_entry *e = look_find(own, key);
    if (!e) {
        look_ask(app, own, layer, key, LOOK_ALL);
        return draw_missing(a, own, layer, key);
    }
    memcpy(own->shown, key, sizeof own->shown);
    if (own->page == LOOK_SINGULAR && !e->f.spectrum[0]) look_ask(app, own, layer, key, LOOK_SPECTRA);
    bool busy = strcmp(own->asking, key) == 0, failed = strcmp(own->failed, key) == 0;
    if (failed && own->failed_what == LOOK_MOMENTS && !e->f.diagonal)
        snprintf(e->f.hessian_note, sizeof e->f.hessian_note, "%.239s", own->trouble);
    look_view v = {.page = own->page,
                   .row = own->row,
                   .array = own->array,
                   .mean = own->mean,
                   .log = own->logs[own->page],
                   .map = own->map,
                   .dots = app->dots,
                   .busy = busy ? "computing" : NULL};
    snprintf(app->drawing->note, sizeof app->drawing->note, "layer %d of %d", at + 1, app->state.layer_count);
    look_draw(a, &v, &e->f);
    return true;
}

// ---- rows ----------------------------------------------------------------------------------------------

// A row of a source made on demand from the figures that are shown.
typedef struct bin_row {
    double low, high;
    int64_t before, after;
} bin_row;
typedef struct spectrum_row {
    int64_t index;
    double original, compressed, error;
} spectrum_row;

static const look_figures *figures_shown(const ui_state *s) {
    look_part *own = ui_part_own(s, &ui_part_look);
    look_entry *e = own && own->shown[0] ? look_find(own, own->shown) : NULL;
    return e ? &e->f : NULL;
}
static int bin_count(const ui_state *s) {
    return figures_shown(s) ? LOOK_BINS : 0;
}
static const void *bin_rows(const ui_state *s) {
    static bin_row row[LOOK_BINS];
    const look_figures *f = figures_shown(s);
    for (int i = 0; f && i < LOOK_BINS; i++) {
        double step = (f->high - f->low) / LOOK_BINS;
        row[i] = (bin_row){f->low + i * step, f->low + (i + 1) * step, f->bins_before[i], f->bins_after[i]};
    }
    return row;
}
static int spectrum_count(const ui_state *s) {
    const look_figures *f = figures_shown(s);
    return f && f->spectrum[0] ? f->spectrum_count : 0;
}
static const void *spectrum_rows(const ui_state *s) {
    static spectrum_row row[16 * LOOK_SPECTRUM];
    const look_figures *f = figures_shown(s);
    for (int i = 0; f && i < f->spectrum_count; i++) {
        row[i] = (spectrum_row){i + 1, f->spectrum[0][i], f->spectrum[1] ? f->spectrum[1][i] : NAN,
                                f->spectrum[2] ? f->spectrum[2][i] : NAN};
    }
    return row;
}
static int far_count(const ui_state *s) {
    const look_figures *f = figures_shown(s);
    return f ? f->outlier_count : 0;
}
static const void *far_rows(const ui_state *s) {
    const look_figures *f = figures_shown(s);
    return f ? f->outlier : NULL;
}

#define F(struct_, type_, field, unit, help)                                                                           \
    { #field, unit, help, type_, offsetof(struct_, field), sizeof(((struct_ *)0)->field) }
static const base_field bin_fields[] = {F(bin_row, BASE_F_REAL, low, "", "lower edge of the bin"),
                                        F(bin_row, BASE_F_REAL, high, "", "upper edge"),
                                        F(bin_row, BASE_F_INT, before, "", "original weights in it"),
                                        F(bin_row, BASE_F_INT, after, "", "compressed weights in it")};
static const base_field spectrum_fields[] = {F(spectrum_row, BASE_F_INT, index, "", "from 1, falling"),
                                             F(spectrum_row, BASE_F_REAL, original, "", "singular value of W"),
                                             F(spectrum_row, BASE_F_REAL, compressed, "", "of Wc"),
                                             F(spectrum_row, BASE_F_REAL, error, "", "of W - Wc")};
static const base_field far_fields[] = {
    F(look_outlier, BASE_F_INT, row, "", "output, from 0"),
    F(look_outlier, BASE_F_INT, col, "", "input, from 0 (a convolution's: channel, then place in the kernel)"),
    F(look_outlier, BASE_F_REAL, value, "", "original weight"),
    F(look_outlier, BASE_F_REAL, after, "", "compressed weight"),
    F(look_outlier, BASE_F_REAL, sigmas, "", "distance from the mean in standard deviations")};
#define COUNT(a) (sizeof(a) / sizeof *(a))
static const ui_source sources[] = {
    {"look-bins", bin_fields, COUNT(bin_fields), sizeof(bin_row), bin_count, bin_rows, NULL},
    {"look-spectrum", spectrum_fields, COUNT(spectrum_fields), sizeof(spectrum_row), spectrum_count, spectrum_rows,
     NULL},
    {"look-far", far_fields, COUNT(far_fields), sizeof(look_outlier), far_count, far_rows, NULL},
};

// ---- commands ------------------------------------------------------------------------------------------

ON(on_look) {
    int view = ui_view_find(app, "layer");
    if (view < 0) return base_fail(err, "there is no panel \"layer\" in the folder of views");
    for (int i = 0; argument[0] && i < app->state.layer_count; i++)
        if (strcmp(app->state.layers[i].row.name, argument) == 0) {
            layer_to(app, i);
            argument = "";
        }
    if (argument[0]) return base_fail(err, "the model has no layer \"%s\"", argument);
    ui_view_focus(app, view);
    return true;
}
OFFER(layer_offer) {
    (void)typed;
    for (int i = 0; i < app->state.layer_count; i++)
        ui_palette_offer(&app->palette, app->state.layers[i].row.name, NULL);
}
static bool step_page(ui_app *app, int by) {
    look_part *own = look_own(app);
    own->page = (own->page + by + LOOK_PAGES) % LOOK_PAGES;
    return true;
}
ON(on_next_page) {
    UNUSED;
    return step_page(app, 1);
}
ON(on_previous_page) {
    UNUSED;
    return step_page(app, -1);
}
ON(on_page) {
    for (int i = 0; i < LOOK_PAGES; i++)
        if (strcmp(look_page_names[i], argument) == 0) {
            look_own(app)->page = i;
            return true;
        }
    return base_fail(err, "look-page takes weights, |W|, error, singular, Hessian, grid, codes or outliers");
}
OFFER(page_offer) {
    (void)typed;
    for (int i = 0; i < LOOK_PAGES; i++) ui_palette_offer(&app->palette, look_page_names[i], NULL);
}
ON(on_next_layer) {
    UNUSED;
    layer_to(app, layer_here(app) + 1);
    return true;
}
ON(on_previous_layer) {
    UNUSED;
    layer_to(app, layer_here(app) - 1);
    return true;
}
// Another row of the grid, another array of codes.
static bool step_part(ui_app *app, int by) {
    look_part *own = look_own(app);
    const look_figures *f = figures_shown(&app->state);
    if (!f) return true;
    own->row += by;
    if (own->row >= f->row_count) own->row = f->row_count - 1;
    if (own->row < 0) own->row = 0;
    if (f->code_count) own->array = (own->array + by + f->code_count) % f->code_count;
    return true;
}
ON(on_more) {
    UNUSED;
    return step_part(app, 1);
}
ON(on_less) {
    UNUSED;
    return step_part(app, -1);
}
ON(on_log) {
    UNUSED;
    look_part *own = look_own(app);
    own->logs[own->page] = !own->logs[own->page];
    return true;
}
ON(on_mean) {
    UNUSED;
    look_own(app)->mean = !look_own(app)->mean;
    return true;
}
ON(on_map) {
    UNUSED;
    look_part *own = look_own(app);
    own->map = (study_colours)(((int)own->map + 1) % STUDY_COLOUR_MAPS);
    return true;
}
ON(on_hessian) {
    look_part *own = look_own(app);
    char *end, key[LOOK_KEY];
    long samples = argument[0] ? strtol(argument, &end, 10) : SAMPLES;
    int at = layer_here(app);
    if ((argument[0] && *end) || samples < 1 || samples > 1000000)
        return base_fail(err, "hessian takes a number of samples from 1, not \"%s\"", argument);
    if (at < 0) return base_fail(err, "there are no layers; :model PATH opens a model");
    look_key(app, own, app->state.layers[at].row.name, key);
    if (!look_find(own, key)) return base_fail(err, "the layer is still being read");
    own->samples = (int)samples;
    own->page = LOOK_HESSIAN;
    own->failed[0] = 0;
    look_ask(app, own, &app->state.layers[at], key, LOOK_MOMENTS);
    ui_say(app, UI_NORMAL, "Running %ld calibration sample%s up to %s; :hessian SAMPLES takes another number.", samples,
           samples == 1 ? "" : "s", app->state.layers[at].row.name);
    return true;
}

static void on_open(ui_app *app, void *state) {
    look_part *own = state;
    (void)app;
    look_store_init(&own->store);
    own->samples = SAMPLES;
    own->logs[LOOK_MAGNITUDE] = own->logs[LOOK_ERROR] = false;
}
static void on_close(ui_app *app, void *state) {
    look_part *own = state;
    (void)app;
    for (int i = 0; i < own->count; i++) {
        look_figures_free(&own->entry[i]->f);
        free(own->entry[i]);
    }
    look_store_free(&own->store);
    look_files_close(&own->files);
}

static const ui_command commands[] = {
    {"look", "[NAME]", "look into a layer: weights, errors, spectrum, codes; without a name the one under the cursor",
     on_look, NULL, layer_offer},
    {"look-page", "NAME", "a page of the layer: weights, |W|, error, singular, Hessian, grid, codes, outliers", on_page,
     NULL, page_offer},
    {"next-page", "", "the next page of the layer", on_next_page, NULL, NULL},
    {"previous-page", "", "the page of the layer before", on_previous_page, NULL, NULL},
    {"next-layer", "", "look into the next layer", on_next_layer, NULL, NULL},
    {"previous-layer", "", "look into the layer before", on_previous_layer, NULL, NULL},
    {"next-part", "", "the next output's grid, the next array of codes", on_more, NULL, NULL},
    {"previous-part", "", "the grid of the output before, the array of codes before", on_less, NULL, NULL},
    {"look-log", "", "counts and colours of the layer's page logarithmic, or even", on_log, NULL, NULL},
    {"look-mean", "", "maps of the layer by the largest value of each tile, or by the mean", on_mean, NULL, NULL},
    {"look-colours", "", "the next map of colours of the layer's pages", on_map, NULL, NULL},
    {"hessian", "[SAMPLES]", "compute the second moment of the layer's inputs from calibration samples", on_hessian,
     NULL, NULL},
};
static const ui_binding bindings[] = {
    {"Right", "next-page", "look", NULL},     {"l", "next-page", "look", "next page"},
    {"Left", "previous-page", "look", NULL},  {"h", "previous-page", "look", NULL},
    {"Down", "next-layer", "look", NULL},     {"j", "next-layer", "look", "next layer"},
    {"Up", "previous-layer", "look", NULL},   {"k", "previous-layer", "look", NULL},
    {"+", "next-part", "look", NULL},         {"-", "previous-part", "look", NULL},
    {"L", "look-log", "look", "log"},         {"a", "look-mean", "look", "mean"},
    {"c", "look-colours", "look", "colours"}, {"H", "hessian", "look", "Hessian"},
    {"w", "look", "layers", "look into"},
};
static const script_function functions[] = {
    {"look", "() the layer under the cursor of the panel of layers, a page at a time", h_look},
};
static const ui_place places[] = {{"look", "Keys on a layer"}, {"layers", "Keys on the panel of layers"}, {NULL, NULL}};

const ui_part ui_part_look = {.name = "look",
                              UI_LIST(command, commands),
                              UI_LIST(binding, bindings),
                              UI_LIST(function, functions),
                              UI_LIST(source, sources),
                              .bytes = sizeof(look_part),
                              .open = on_open,
                              .close = on_close,
                              .places = places};
