// The points of the trade-off: which runs they are, their front, and what is told of the selected one beside the base.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ui/trade.h"

// ---- which runs --------------------------------------------------------------------------------

// The newest run of the model that is open (any when none is): its content and metric are what the others must have.
static const ui_past *pattern_run(const ui_app *app, const past_own *past, const trade_own *o) {
    const char *open_model = base_basename(app->state.model);
    const ui_past *any = NULL;
    for (int i = 0; i < past->count; i++) {
        const ui_past *p = &past->all[i];
        if (!isfinite(p->row.value) || p->row.bytes <= 0) continue;
        if (!any) any = p;
        if (!o->all_models && open_model[0] && strcmp(p->row.model, open_model) == 0) return p;
    }
    return o->all_models || !open_model[0] ? any : NULL;
}

static bool same_model(const ui_past *a, const ui_past *b) {
    if (strcmp(a->row.model, b->row.model) != 0) return false;
    return !a->row.model_hash[0] || !b->row.model_hash[0] || strcmp(a->row.model_hash, b->row.model_hash) == 0;
}

static bool point_of(const trade_own *o, const ui_past *p, trade_point *out) {
    const session_overview *r = &p->row;
    *out = (trade_point){.x = o->bits        ? r->bits
                              : r->bytes > 0 ? (double)r->bytes
                                             : (double)NAN,
                         .y = o->kl ? r->kl : r->value,
                         .low = o->kl ? r->kl_low : r->low,
                         .high = o->kl ? r->kl_high : r->high,
                         .key = r->id,
                         .session = p->session > 0};
    return isfinite(out->x) && isfinite(out->y) && out->x > 0 && (!o->y_log || out->y > 0);
}

static int by_size(const void *a, const void *b) {
    const trade_point *p = a, *q = b;
    if (p->x != q->x) return p->x < q->x ? -1 : 1;
    if (p->y != q->y) return p->y < q->y ? -1 : 1;
    return (p->key > q->key) - (p->key < q->key);
}

static void collect(ui_app *app, trade_own *o) {
    const past_own *past = past_of(&app->state);
    const ui_past *like = pattern_run(app, past, o);
    o->points = base_realloc(o->points, (size_t)past->count + 1, sizeof *o->points);
    o->count = o->unmeasured = o->others = 0;
    o->before = NAN;
    o->metric[0] = o->model[0] = 0;
    if (!like) return;
    snprintf(o->metric, sizeof o->metric, "%s", like->row.metric);
    snprintf(o->model, sizeof o->model, "%s", like->row.model);
    for (int i = 0; i < past->count; i++) {
        const ui_past *p = &past->all[i];
        trade_point point;
        if (!o->all_models && strcmp(p->row.model, like->row.model) != 0) continue;
        if (o->pattern && past_matches(p, o->pattern) == o->inverted) continue;
        if ((!o->all_models && !same_model(p, like)) || (p->row.metric[0] && strcmp(p->row.metric, o->metric) != 0)) {
            o->others++;
            continue;
        }
        if (isnan(o->before) && !o->kl && isfinite(p->row.before)) o->before = p->row.before;
        if (!point_of(o, p, &point)) {
            o->unmeasured++;
            continue;
        }
        point.index = i;
        o->points[o->count++] = point;
    }
    qsort(o->points, (size_t)o->count, sizeof *o->points, by_size);
}

static void mark_front(trade_own *o) {
    study_dot *dots = base_calloc((size_t)o->count + 1, sizeof *dots);
    for (int i = 0; i < o->count; i++) dots[i] = (study_dot){.x = o->points[i].x, .y = o->points[i].y};
    study_front(dots, (size_t)o->count, o->rises);
    for (int i = 0; i < o->count; i++) o->points[i].front = dots[i].front;
    free(dots);
}

static void fit(trade_own *o) {
    size_t n = (size_t)o->count;
    double *v = base_calloc(4 * n + 2, sizeof *v);
    for (size_t i = 0; i < n; i++) v[i] = o->points[i].x;
    if (isfinite(o->budget)) v[n] = o->budget;
    o->x = trade_fit(v, n + (isfinite(o->budget) && n > 0), o->x_log);
    for (size_t i = 0; i < n; i++) {
        v[3 * i] = o->points[i].y;
        v[3 * i + 1] = o->points[i].low;
        v[3 * i + 2] = o->points[i].high;
    }
    v[3 * n] = o->before;
    o->y = trade_fit(v, n ? 3 * n + 1 : 0, o->y_log);
    free(v);
    o->fit = false;
}

static void make_rows(const ui_app *app, trade_own *o) {
    const past_own *past = past_of(&app->state);
    o->rows = base_realloc(o->rows, (size_t)o->count + 1, sizeof *o->rows);
    for (int i = 0; i < o->count; i++) {
        const trade_point *p = &o->points[i];
        const ui_past *r = &past->all[p->index];
        trade_row *row = &o->rows[i];
        *row = (trade_row){.x = p->x, .y = p->y, .low = p->low, .high = p->high, .front = p->front};
        snprintf(row->name, sizeof row->name, "%s", r->name);
        snprintf(row->recipe, sizeof row->recipe, "%s", r->row.recipe);
        snprintf(row->params, sizeof row->params, "%s", r->row.params);
    }
}

bool trade_points_make(ui_app *app, trade_own *o) {
    const past_own *past = past_of(&app->state);
    if (!o->stale && o->version == past->version) return false;
    bool first = o->count == 0;
    o->stale = false;
    o->version = past->version;
    collect(app, o);
    o->rises = !o->kl && session_metric_rises(o->metric);
    mark_front(o);
    make_rows(app, o);
    if (o->fit || first) fit(o);
    return true;
}

void trade_points_free(trade_own *o) {
    free(o->points);
    free(o->rows);
    ui_search_free(o->pattern);
}

bool trade_filter(trade_own *o, const char *pattern, base_err *err) {
    bool inverted = pattern[0] == '!';
    const char *word = pattern + inverted;
    ui_search *s = word[0] ? ui_search_new(word, err) : NULL;
    if (word[0] && !s) return false;
    ui_search_free(o->pattern);
    o->pattern = s;
    o->inverted = inverted && s;
    snprintf(o->filter, sizeof o->filter, "%s", s ? pattern : "");
    o->stale = o->fit = true;
    return true;
}

const trade_point *trade_selected(const trade_own *o) {
    for (int i = 0; i < o->count; i++)
        if (o->points[i].key == o->selected) return &o->points[i];
    return NULL;
}

// ---- what is told of the selected run ----------------------------------------------------------

static trade_line *line(trade_own *o, const char *name, bool param) {
    if (o->line_count == TRADE_LINES) return NULL;
    trade_line *l = &o->line[o->line_count++];
    *l = (trade_line){.param = param};
    base_clean(l->name, sizeof l->name, name);
    return l;
}

// The value of `name` in "bits=4 group=64", "" when it is not there.
static void word_of(const char *params, const char *name, char *out, size_t size) {
    size_t length = strlen(name);
    out[0] = 0;
    for (const char *at = params; *at; at += strcspn(at, " "), at += strspn(at, " ")) {
        if (strncmp(at, name, length) != 0 || at[length] != '=') continue;
        const char *value = at + length + 1;
        snprintf(out, size, "%.*s", (int)strcspn(value, " "), value);
        return;
    }
}

// Each param of `params`; of those that are in `seen` too nothing is said again.
static void param_lines(trade_own *o, const char *params, const char *seen, const char *here, const char *base) {
    for (const char *at = params; *at; at += strcspn(at, " "), at += strspn(at, " ")) {
        char name[32], known[64];
        size_t n = strcspn(at, "= ");
        if (at[n] != '=') continue;
        snprintf(name, sizeof name, "%.*s", (int)n, at);
        if (seen) word_of(seen, name, known, sizeof known);
        if (seen && known[0]) continue;
        trade_line *l = line(o, name, true);
        if (!l) return;
        word_of(here, name, l->here, sizeof l->here);
        if (base) word_of(base, name, l->base, sizeof l->base);
        l->differs = base && strcmp(l->here, l->base) != 0;
    }
}

static void text_line(trade_own *o, const char *name, const char *here, const char *base) {
    trade_line *l = line(o, name, true);
    if (!l) return;
    base_clean(l->here, sizeof l->here, here);
    base_clean(l->base, sizeof l->base, base ? base : "");
    l->differs = base && strcmp(here, base) != 0;
}

static void value_text(char *out, size_t size, ui_as as, const double v[3]) {
    char number[32];
    if (as != UI_AS_NUMBER || !isfinite(v[1]) || !isfinite(v[2]))
        snprintf(out, size, "%s", ui_format(as, v[0], number, sizeof number));
    else
        snprintf(out, size, "%.4g [%.4g, %.4g]", v[0], v[1], v[2]);
}

static void figure_line(trade_own *o, const char *name, ui_as as, const double here[3], const double *base) {
    if (!isfinite(here[0]) && !(base && isfinite(base[0]))) return;
    trade_line *l = line(o, name, false);
    double d[3];
    char text[32];
    if (!l) return;
    value_text(l->here, sizeof l->here, as, here);
    if (!base) return;
    value_text(l->base, sizeof l->base, as, base);
    session_difference(base, here, d);
    if (!isfinite(d[0])) return;
    l->differs = d[0] != 0;
    ui_format(as, fabs(d[0]), text, sizeof text);
    int n = snprintf(l->difference, sizeof l->difference, "%s%s", d[0] > 0 ? "+" : d[0] < 0 ? "-" : "", text);
    if (isfinite(d[1]) && isfinite(d[2]) && n > 0)
        snprintf(l->difference + n, sizeof l->difference - (size_t)n, " [%.3g, %.3g]%s", d[1], d[2],
                 d[1] > 0 || d[2] < 0 ? "" : " ?");
}

void trade_lines_make(ui_app *app, trade_own *o) {
    const past_own *past = past_of(&app->state);
    const ui_past *p = past_find(past, o->selected), *b = past_find(past, past->base);
    o->line_count = 0;
    if (!p || !trade_selected(o)) return;
    if (b == p) b = NULL;
    const session_overview *r = &p->row, *q = b ? &b->row : NULL;
    text_line(o, "recipe", r->recipe, q ? q->recipe : NULL);
    if (q && strcmp(r->model, q->model) != 0) text_line(o, "model", r->model, q->model);
    param_lines(o, r->params, NULL, r->params, q ? q->params : NULL);
    if (q) param_lines(o, q->params, r->params, r->params, q->params);
    bool same = !q || strcmp(r->metric, q->metric) == 0; // metrics that differ have no difference
#define THREE(s, f, l, h) (double[3]){(s)->f, l, h}
    figure_line(o, r->metric[0] ? r->metric : "metric", UI_AS_NUMBER, THREE(r, value, r->low, r->high),
                q && same ? THREE(q, value, q->low, q->high) : NULL);
    figure_line(o, "KL, nats", UI_AS_NUMBER, THREE(r, kl, r->kl_low, r->kl_high),
                q ? THREE(q, kl, q->kl_low, q->kl_high) : NULL);
#define ONE(x) (double[3]){(x) < 0 ? (double)NAN : (double)(x), NAN, NAN}
    figure_line(o, "bytes", UI_AS_BYTES, ONE(r->bytes), q ? ONE(q->bytes) : NULL);
    figure_line(o, "bits", UI_AS_BITS, ONE(r->bits), q ? ONE(q->bits) : NULL);
    figure_line(o, "flips", UI_AS_COUNT, ONE(r->flips), q ? ONE(q->flips) : NULL);
    figure_line(o, "seconds", UI_AS_SECONDS, ONE(r->seconds), q ? ONE(q->seconds) : NULL);
}
