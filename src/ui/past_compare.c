// Two runs layer by layer, as vise compare has it: read on the task thread when the base or the run under the cursor
// changes, drawn as a table with shaded differences and sums at the bottom.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ui/past.h"
#include "ui/task.h"

#define F_INT(field, unit, help)                                                                                       \
    { #field, unit, help, BASE_F_INT, offsetof(past_layer, field), sizeof(int64_t) }
#define F_REAL(field, unit, help)                                                                                      \
    { #field, unit, help, BASE_F_REAL, offsetof(past_layer, field), sizeof(double) }
const base_field past_layer_fields[PAST_LAYER_FIELDS] = {
    {"name", "", "layer", BASE_F_TEXT, offsetof(past_layer, name), sizeof(((past_layer *)0)->name)},
    F_REAL(bits_a, "bit", "bits per weight in the base"),
    F_REAL(bits_b, "bit", "bits per weight in the other run"),
    F_INT(bytes_a, "B", "bytes in the base; -1: it has no such layer"),
    F_INT(bytes_b, "B", "bytes in the other run; -1: it has no such layer"),
    F_INT(bytes_difference, "B", "bytes more in the other run"),
    F_REAL(error_a, "", "relative output error in the base, else of the weights"),
    F_REAL(error_b, "", "the same in the other run"),
    F_REAL(change, "", "error in the other run / error in the base"),
    {"better", "", "first, second, equal, trade or unknown", BASE_F_TEXT, offsetof(past_layer, better),
     sizeof(((past_layer *)0)->better)},
};

int past_layer_count(const ui_state *s) {
    const past_own *o = past_of(s);
    return o ? o->comparison.count : 0;
}
const void *past_layer_rows(const ui_state *s) {
    const past_own *o = past_of(s);
    return o ? o->comparison.layers : NULL;
}

// ---- reading -----------------------------------------------------------------------------------

static void forget(past_comparison *c) {
    session_comparison_free(&c->c);
    for (int i = 0; i < 2; i++) session_recorded_free(&c->run[i]);
    free(c->layers);
    *c = (past_comparison){0};
}
void past_comparison_free(past_comparison *c) {
    forget(c);
}

static past_layer unpaired(const base_layer_row *r, int side) {
    past_layer l = {.bytes_a = -1, .bytes_b = -1, .bits_a = NAN, .bits_b = NAN, .error_a = NAN, .error_b = NAN};
    base_clean(l.name, sizeof l.name, r->name);
    *(side ? &l.bytes_b : &l.bytes_a) = r->bytes;
    *(side ? &l.bits_b : &l.bits_a) = r->bits;
    l.change = NAN;
    snprintf(l.better, sizeof l.better, "only %c", side ? 'B' : 'A');
    return l;
}

static past_layer paired(const session_pair *p) {
    past_layer l = {.bytes_a = p->row[0]->bytes,
                    .bytes_b = p->row[1]->bytes,
                    .bytes_difference = p->row[1]->bytes - p->row[0]->bytes,
                    .bits_a = p->row[0]->bits,
                    .bits_b = p->row[1]->bits,
                    .error_a = p->value[0],
                    .error_b = p->value[1],
                    .change = p->value[0] > 0 ? p->value[1] / p->value[0] : NAN};
    base_clean(l.name, sizeof l.name, p->row[0]->name);
    static const char *const words[] = {[SESSION_UNKNOWN] = "-",
                                        [SESSION_TRADE] = "trade",
                                        [SESSION_EQUAL] = "=",
                                        [SESSION_FIRST] = "A",
                                        [SESSION_SECOND] = "B"};
    snprintf(l.better, sizeof l.better, "%s", words[p->better]);
    return l;
}

static void fill(past_comparison *c) {
    session_compare(&c->run[0], &c->run[1], &c->c);
    const session_comparison *s = &c->c;
    c->layers = base_calloc(s->pair_count + s->alone_count[0] + s->alone_count[1] + 1, sizeof *c->layers);
    for (size_t i = 0; i < s->pair_count; i++) c->layers[c->count++] = paired(&s->pairs[i]);
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < s->alone_count[k]; i++) c->layers[c->count++] = unpaired(s->alone[k][i], k);
    c->loaded = true;
}

// A run of this session that is not in the history.
static void from_session(const ui_app *app, int64_t number, session_recorded *r) {
    const ui_run *u = &app->state.runs[number - 1];
    *r = (session_recorded){0};
    r->record.id = -number;
    r->record.recipe = base_strdup(u->recipe);
    r->record.status = base_strdup(u->state);
    r->layers = base_calloc((size_t)u->layer_count + 1, sizeof *r->layers);
    for (int i = 0; i < u->layer_count; i++)
        if (u->layers[i].state == UI_DONE) r->layers[r->layer_count++] = u->layers[i].row;
    r->models = base_calloc(1, sizeof *r->models);
    base_model_row *m = r->models;
    *m = (base_model_row){.value = u->value,
                          .low = u->low,
                          .high = u->high,
                          .kl = u->kl,
                          .bytes = u->bytes,
                          .bits = u->bits,
                          .flips = u->flips,
                          .samples = u->samples};
    snprintf(m->label, sizeof m->label, "compressed");
    snprintf(m->data, sizeof m->data, "%.95s", u->data);
    snprintf(m->metric, sizeof m->metric, "%s", u->metric);
    r->model_count = isfinite(u->value) ? 1 : 0;
}

typedef struct loading {
    char *folder;
    past_comparison c;
} loading;

static bool load_work(void *own, base_job *job, base_err *err) {
    loading *l = own;
    session_history *h = l->folder ? session_history_open(l->folder, err) : NULL;
    bool ok = h || !l->folder;
    for (int i = 0; ok && i < 2; i++)
        if (l->c.key[i] > 0) ok = base_go_on(job, err) && h && session_recorded_read(h, l->c.key[i], &l->c.run[i], err);
    session_history_close(h);
    if (ok) fill(&l->c);
    return ok;
}

static void load_done(ui_app *app, void *own, base_status status, const char *message) {
    loading *l = own;
    past_own *o = past_of(&app->state);
    bool wanted = o && o->comparison.key[0] == l->c.key[0] && o->comparison.key[1] == l->c.key[1];
    if (wanted && status == BASE_OK) {
        forget(&o->comparison);
        o->comparison = l->c;
        for (int i = 0; i < 2; i++) o->comparison.c.run[i] = &o->comparison.run[i]; // they moved
        l->c = (past_comparison){0};
    } else if (wanted && status != BASE_CANCELLED) {
        o->comparison.failed = true;
        snprintf(o->comparison.error, sizeof o->comparison.error, "%s", message);
    }
    forget(&l->c);
    free(l->folder);
    free(l);
}

void past_compare_want(ui_app *app, int64_t a, int64_t b) {
    past_comparison *c = &past_of(&app->state)->comparison;
    if (c->key[0] == a && c->key[1] == b) return;
    forget(c);
    c->key[0] = a;
    c->key[1] = b;
    if (!a || !b || a == b) return;
    loading *l = base_alloc(sizeof *l);
    *l = (loading){.folder = base_strdup(past_folder(app)), .c.key = {a, b}};
    for (int i = 0; i < 2; i++)
        if (l->c.key[i] < 0) from_session(app, -l->c.key[i], &l->c.run[i]);
    ui_task_start(app, &(ui_task){"compare", "reading two runs", l, load_work, load_done, NULL});
}

// ---- drawing -----------------------------------------------------------------------------------

typedef enum column {
    C_NAME,
    C_BITS_A,
    C_BITS_B,
    C_BYTES_A,
    C_BYTES_B,
    C_BYTES,
    C_ERROR_A,
    C_ERROR_B,
    C_CHANGE,
    C_BETTER,
    COLUMNS
} column;
static const ui_column columns[COLUMNS] = {
    [C_NAME] = {.title = "layer", .width = 12, .grow = 1, .align = UI_LEFT_TAIL},
    [C_BITS_A] = {.title = "bits A", .width = 6, .align = UI_RIGHT, .drop = 1},
    [C_BITS_B] = {.title = "bits B", .width = 6, .align = UI_RIGHT, .drop = 1},
    [C_BYTES_A] = {.title = "bytes A", .width = 9, .align = UI_RIGHT, .drop = 4},
    [C_BYTES_B] = {.title = "bytes B", .width = 9, .align = UI_RIGHT, .drop = 3},
    [C_BYTES] = {.title = "B-A bytes", .width = 13, .align = UI_RIGHT},
    [C_ERROR_A] = {.title = "error A", .width = 9, .align = UI_RIGHT, .drop = 6},
    [C_ERROR_B] = {.title = "error B", .width = 9, .align = UI_RIGHT, .drop = 5},
    [C_CHANGE] = {.title = "B/A error", .width = 12, .align = UI_RIGHT, .drop = 0},
    [C_BETTER] = {.title = "better", .width = 6, .align = UI_LEFT, .drop = 2},
};

// How much a figure grew, from its ratio: shades for a few per cent, a quarter, twice and more, in the colour of worse
// or better, and an arrow for the direction.
static int draw_shade(ui_area a, int x, int y, double ratio) {
    static const uint32_t all_shades[2][4] = {{0x2591, 0x2592, 0x2593, 0x2588}, {'.', ':', '*', '#'}};
    static const double steps[] = {1.02, 1.25, 2};
    const uint32_t *shades = all_shades[a.grid->ascii];
    double size = ratio > 0 ? ratio < 1 ? 1 / ratio : ratio : NAN;
    if (!isfinite(size) || size == 1) {
        ui_put(a, x, y, UI_DIM, size == 1 ? "= " : "  ");
        return x + 2;
    }
    int shade = 0;
    while (shade < 3 && size >= steps[shade]) shade++;
    ui_style style = ratio > 1 ? UI_BAD : UI_GOOD;
    ui_char(a, x, y, style, a.grid->ascii ? ratio > 1 ? '+' : '-' : ratio > 1 ? 0x25B2 : 0x25BC);
    ui_char(a, x + 1, y, style, shades[shade]);
    return x + 2;
}

static const char *signed_bytes(int64_t bytes, char out[32]) {
    char text[24];
    base_bytes_text(text, fabs((double)bytes));
    snprintf(out, 32, "%s%s", bytes > 0 ? "+" : bytes < 0 ? "-" : "", text);
    return out;
}

// A difference with its shade before it.
static void draw_difference(ui_area a, int x, int y, int width, double ratio, const char *text) {
    draw_shade(a, x, y, ratio);
    ui_fit(a, x + 3, y, width - 3, UI_RIGHT, UI_NORMAL, text);
}

static void draw_row(ui_area a, int y, const past_layer *l, const int *widths, ui_style style, bool found) {
    const struct {
        double value;
        ui_as as;
    } figures[COLUMNS] = {[C_BITS_A] = {l->bits_a, UI_AS_BITS},
                          [C_BITS_B] = {l->bits_b, UI_AS_BITS},
                          [C_BYTES_A] = {(double)l->bytes_a, UI_AS_BYTES},
                          [C_BYTES_B] = {(double)l->bytes_b, UI_AS_BYTES},
                          [C_ERROR_A] = {l->error_a, UI_AS_PERCENT},
                          [C_ERROR_B] = {l->error_b, UI_AS_PERCENT}};
    char text[64];
    for (int i = 0, x = 0; i < COLUMNS; x += widths[i] ? widths[i] + 1 : 0, i++) {
        if (!widths[i]) continue;
        if (i == C_NAME)
            ui_fit(a, x, y, widths[i], UI_LEFT_TAIL, found ? UI_FOUND : style, l->name);
        else if (i == C_BETTER)
            ui_fit(a, x, y, widths[i], UI_LEFT, style, l->better);
        else if (i == C_BYTES && (l->bytes_a < 0 || l->bytes_b < 0))
            ui_fit(a, x, y, widths[i], UI_RIGHT, UI_DIM, "");
        else if (i == C_BYTES)
            draw_difference(a, x, y, widths[i], l->bytes_a > 0 ? (double)l->bytes_b / (double)l->bytes_a : NAN,
                            signed_bytes(l->bytes_difference, text));
        else if (i == C_CHANGE)
            draw_difference(a, x, y, widths[i], l->change,
                            isnan(l->change) ? "" : ui_format(UI_AS_RATIO, l->change, text, sizeof text));
        else
            ui_fit(a, x, y, widths[i], UI_RIGHT, isnan(figures[i].value) ? UI_DIM : style,
                   ui_format(figures[i].as, figures[i].value, text, sizeof text));
    }
}

static void draw_run(ui_area a, int y, char side, const past_own *o, int64_t key) {
    const ui_past *p = past_find(o, key);
    char label[400] = "?";
    if (p) past_label(p, label, sizeof label);
    int x = ui_putf(a, 0, y, UI_STRONG, "%c", side);
    x = ui_putf(a, x + 1, y, UI_NORMAL, "run %s", p ? p->name : "?");
    ui_fit(a, x + 1, y, a.r.w - x - 1, UI_LEFT, UI_ACCENT, label);
}

static void draw_sums(ui_area a, int y, const past_comparison *c, const int *widths) {
    const session_total *t = c->c.total;
    past_layer sum = {.bytes_a = t[0].bytes,
                      .bytes_b = t[1].bytes,
                      .bytes_difference = t[1].bytes - t[0].bytes,
                      .bits_a = t[0].bits,
                      .bits_b = t[1].bits,
                      .error_a = NAN,
                      .error_b = NAN,
                      .change = NAN,
                      .name = "all layers"};
    draw_row(a, y, &sum, widths, UI_STRONG, false);
}

// The metric of both, and what their intervals say of the difference.
static void draw_figures(ui_area a, int y, const past_comparison *c) {
    const session_comparison *s = &c->c;
    if (s->why_not) {
        ui_putf(a, 0, y, UI_DIM, "metric: %s", s->why_not);
        return;
    }
    const base_model_row *m = s->figure[0], *n = s->figure[1];
    int x = ui_putf(a, 0, y, UI_DIM, "%s", m->metric);
    x = ui_putf(a, x + 1, y, UI_NORMAL, "%.4g", m->value);
    x = ui_put(a, x + 1, y, UI_DIM, "\xe2\x86\x92");
    x = ui_putf(a, x + 1, y, UI_STRONG, "%.4g", n->value);
    x = ui_putf(a, x + 2, y,
                s->better == SESSION_SECOND  ? UI_GOOD
                : s->better == SESSION_FIRST ? UI_BAD
                                             : UI_NORMAL,
                "%+.3g", s->difference);
    if (s->known) x = ui_putf(a, x + 1, y, UI_DIM, "[%.3g, %.3g]", s->low, s->high);
    const char *word = s->better == SESSION_EQUAL    ? "equal"
                       : !s->known                   ? "no intervals to judge by"
                       : s->low <= 0 && s->high >= 0 ? "not settled by these samples"
                       : s->better == SESSION_SECOND ? "B is better"
                                                     : "A is better";
    ui_fit(a, x + 2, y, a.r.w - x - 2, UI_LEFT, UI_NORMAL, word);
}

void past_compare_draw(ui_app *app, ui_area a, const ui_look *look) {
    past_own *o = past_of(&app->state);
    const past_comparison *c = &o->comparison;
    const char *why = !c->key[0]
                          ? "There is no run of this model before it. b on a run of the list makes it the base that "
                            "the run under the cursor is compared with, layer by layer."
                      : !c->key[1]             ? "There is no run under the cursor of the list."
                      : c->key[0] == c->key[1] ? "This is the base itself; go to another run of the list."
                      : c->failed              ? c->error
                      : !c->loaded             ? "Reading..."
                                               : NULL;
    ui_scroll_fit(look->scroll, c->count, a.r.h - 5);
    if (why) {
        ui_wrap(a, 0, c->failed ? UI_BAD : UI_DIM, why);
        return;
    }
    int widths[COLUMNS], x = 0;
    draw_run(a, 0, 'A', o, c->key[0]);
    draw_run(a, 1, 'B', o, c->key[1]);
    ui_columns_fit(columns, COLUMNS, a.r.w, widths);
    for (int i = 0; i < COLUMNS; x += widths[i] ? widths[i] + 1 : 0, i++)
        if (widths[i]) ui_fit(a, x, 2, widths[i], columns[i].align, UI_DIM, columns[i].title);
    ui_area body = ui_sub(a, 0, 3, a.r.w, a.r.h - 5);
    if (!c->count) ui_wrap(body, 0, UI_DIM, "Neither run compressed a layer.");
    for (int i = 0; i < body.r.h && look->scroll->top + i < c->count; i++) {
        int row = look->scroll->top + i;
        draw_row(body, i, &c->layers[row], widths, UI_NORMAL, ui_search_hit(look->search, c->layers[row].name));
        if (row == look->scroll->cursor && look->focused) ui_reverse(body, 0, i, widths[C_NAME]);
    }
    draw_sums(a, a.r.h - 2, c, widths);
    draw_figures(a, a.r.h - 1, c);
}
