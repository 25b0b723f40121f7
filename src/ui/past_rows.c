// The list of runs: read from the history on the task thread, joined with those of this session that are not in it,
// filtered by a pattern and sorted.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ui/past.h"
#include "ui/task.h"

const char *past_folder(const ui_app *app) {
    return app->state_dir;
}

const ui_past *past_find(const past_own *o, int64_t key) {
    for (int i = 0; key && i < o->count; i++)
        if (o->all[i].row.id == key) return &o->all[i];
    return NULL;
}

char *past_label(const ui_past *p, char *out, size_t size) {
    snprintf(out, size, "%s%s%s", p->row.recipe, p->row.params[0] ? " " : "", p->row.params);
    return out;
}

// ---- reading -----------------------------------------------------------------------------------

typedef struct reading {
    char *folder;
    int64_t limit, total;
    session_overview *rows;
    size_t count;
} reading;

static bool read_work(void *own, base_job *job, base_err *err) {
    reading *r = own;
    char *path = base_join(r->folder, "history.db");
    bool there = base_is_file(path);
    free(path);
    if (!there) return true; // nothing was recorded yet
    session_history *h = session_history_open(r->folder, err);
    bool ok = h && session_history_overview(h, r->limit, &r->rows, &r->count, &r->total, job, err);
    session_history_close(h);
    return ok;
}

static void name_row(ui_past *p) {
    time_t when = (time_t)p->row.started;
    struct tm local;
    if (p->row.id > 0)
        snprintf(p->name, sizeof p->name, "%lld", (long long)p->row.id);
    else
        snprintf(p->name, sizeof p->name, "s%lld", (long long)-p->row.id);
    p->when[0] = 0;
    if (p->row.started > 0 && localtime_r(&when, &local)) strftime(p->when, sizeof p->when, "%Y-%m-%d %H:%M", &local);
}

// A run of this session that the history does not hold.
static ui_past from_session(const ui_run *r) {
    ui_past p = {.session = r->number};
    session_overview *o = &p.row;
    *o = (session_overview){.id = -r->number,
                            .before = r->before,
                            .before_low = r->before_low,
                            .before_high = r->before_high,
                            .value = r->value,
                            .low = r->low,
                            .high = r->high,
                            .kl = r->kl,
                            .kl_low = r->kl_low,
                            .kl_high = r->kl_high,
                            .bits = r->bits,
                            .seconds = r->seconds,
                            .flips = r->flips,
                            .samples = r->samples,
                            .bytes = r->bytes,
                            .bytes_before = r->bytes_before,
                            .peak_bytes = r->peak_bytes};
    base_clean(o->recipe, sizeof o->recipe, r->recipe);
    base_clean(o->params, sizeof o->params, r->settings);
    base_clean(o->model, sizeof o->model, r->model);
    base_clean(o->data, sizeof o->data, r->data);
    base_clean(o->metric, sizeof o->metric, r->metric);
    base_clean(o->state, sizeof o->state, r->state);
    base_clean(o->message, sizeof o->message, r->message);
    base_clean(o->saved, sizeof o->saved, r->saved);
    base_clean(o->hash, sizeof o->hash, r->hash);
    name_row(&p);
    return p;
}

// `all` from what was read and what this session has beside it.
static void join(ui_app *app, past_own *o, const session_overview *rows, size_t count) {
    int extra = 0;
    ui_past *all = base_calloc(count + (size_t)o->session_count + 1, sizeof *all);
    for (int i = o->session_count; i-- > 0;)
        if (o->session[i].id == 0 && !o->session[i].replay && i < app->state.run_count)
            all[extra++] = from_session(&app->state.runs[i]);
    for (size_t i = 0; i < count; i++) {
        ui_past *p = &all[extra + (int)i];
        p->row = rows[i];
        name_row(p);
        for (int k = 0; k < o->session_count; k++)
            if (o->session[k].id == p->row.id) p->session = k + 1;
    }
    free(o->all);
    o->all = all;
    o->count = extra + (int)count;
    o->version++;
}

static void read_done(ui_app *app, void *own, base_status status, const char *message) {
    reading *r = own;
    past_own *o = past_of(&app->state);
    if (o) {
        o->loading = false;
        if (status == BASE_OK) {
            o->error[0] = 0;
            o->total = r->total;
            bool top = past_at_top(app); // there a newer run may come before it
            join(app, o, r->rows, r->count);
            past_arrange(app);
            if (top && o->shown_count) past_go(app, o->shown[0].row.id);
        } else if (status != BASE_CANCELLED) {
            snprintf(o->error, sizeof o->error, "%s", message);
        }
    }
    free(r->rows);
    free(r->folder);
    free(r);
}

void past_look(ui_app *app) {
    past_own *o = past_of(&app->state);
    if (!o->stale) return;
    o->stale = false;
    if (!past_folder(app)) { // only this session is known
        join(app, o, NULL, 0);
        past_arrange(app);
        return;
    }
    reading *r = base_alloc(sizeof *r);
    r->folder = base_strdup(past_folder(app));
    r->limit = o->limit;
    o->loading = true;
    ui_task_start(app, &(ui_task){"history", "reading the history", r, read_work, read_done, NULL});
}

void past_reload(ui_app *app) {
    past_of(&app->state)->stale = true;
    app->dirty = true;
}

void past_session_ended(ui_app *app) {
    past_own *o = past_of(&app->state);
    const ui_run *r = ui_state_run(&app->state);
    if (!r || r->status < 0 || app->state.run_count <= o->session_count) return;
    o->session = base_realloc(o->session, (size_t)app->state.run_count, sizeof *o->session);
    while (o->session_count < app->state.run_count) o->session[o->session_count++] = (past_session){0};
    past_session *s = &o->session[o->session_count - 1];
    s->id = app->recorder ? session_recorder_id(app->recorder) : 0;
    s->replay = o->replay != NULL;
    if (app->recipe) {
        s->path = base_strdup(app->recipe->path);
        s->text = base_strdup(app->recipe->text);
    }
    past_reload(app);
}

void past_rows_free(past_own *o) {
    for (int i = 0; i < o->session_count; i++) {
        free(o->session[i].path);
        free(o->session[i].text);
    }
    free(o->session);
    free(o->all);
    free(o->shown);
    ui_search_free(o->pattern);
}

// ---- filter and order --------------------------------------------------------------------------

bool past_matches(const ui_past *p, const ui_search *pattern) {
    char text[900];
    const session_overview *r = &p->row;
    snprintf(text, sizeof text, "%s %s %s %s %s %s", r->recipe, r->params, r->model, r->state, r->note, p->name);
    return ui_search_hit(pattern, text);
}

bool past_filter(ui_app *app, const char *pattern, base_err *err) {
    past_own *o = past_of(&app->state);
    bool inverted = pattern[0] == '!';
    const char *word = pattern + inverted;
    ui_search *s = word[0] ? ui_search_new(word, err) : NULL;
    if (word[0] && !s) return false;
    ui_search_free(o->pattern);
    o->pattern = s;
    o->inverted = inverted && s;
    snprintf(o->filter, sizeof o->filter, "%s", s ? pattern : "");
    past_arrange(app);
    return true;
}

#define SORT(field, type, falling, help)                                                                               \
    { #field, help, offsetof(ui_past, row) + offsetof(session_overview, field), type, falling }
const past_sort past_sorts[] = {
    {"number", "the newest first", 0, BASE_F_INT, false}, // the order of `all`
    SORT(recipe, BASE_F_TEXT, false, "by recipe"),
    SORT(params, BASE_F_TEXT, false, "by params"),
    SORT(model, BASE_F_TEXT, false, "by model"),
    SORT(bytes, BASE_F_INT, false, "the smallest first"),
    SORT(bits, BASE_F_REAL, false, "the fewest bits first"),
    SORT(value, BASE_F_REAL, true, "the largest metric first"),
    SORT(kl, BASE_F_REAL, false, "the least divergence first"),
    SORT(seconds, BASE_F_REAL, true, "the longest first"),
    SORT(state, BASE_F_TEXT, false, "by state"),
    SORT(pinned, BASE_F_INT, true, "what is pinned first"),
};
const int past_sort_count = sizeof past_sorts / sizeof *past_sorts;

static double number_of(const ui_past *p, const past_sort *s) {
    const char *at = (const char *)p + s->offset;
    if (s->type == BASE_F_REAL) {
        double x;
        memcpy(&x, at, sizeof x);
        return x;
    }
    int64_t n;
    memcpy(&n, at, sizeof n);
    return n < 0 ? NAN : (double)n; // -1: not known
}

// Below 0: p comes first. What is not known comes last whichever way; equals keep the newest first.
static int compare(const past_own *o, const ui_past *p, const ui_past *q) {
    const past_sort *s = &past_sorts[o->sort];
    int sign = s->falling != o->reverse ? -1 : 1, order;
    if (s == past_sorts) {
        order = (p < q ? -1 : 1) * sign;
    } else if (s->type == BASE_F_TEXT) {
        order = strcmp((const char *)p + s->offset, (const char *)q + s->offset) * sign;
    } else {
        double x = number_of(p, s), y = number_of(q, s);
        order = isnan(x) || isnan(y) ? isnan(x) - isnan(y) : ((x > y) - (x < y)) * sign;
    }
    return order ? order : (p < q ? -1 : 1);
}

// Merge sort of indices into `all`, which are in the order of `all` at first.
static void sort_rows(const past_own *o, int *rows, int count) {
    int *other = base_calloc((size_t)count + 1, sizeof *other);
    for (int width = 1; width < count; width *= 2) {
        for (int from = 0; from < count; from += 2 * width) {
            int middle = from + width < count ? from + width : count,
                end = middle + width < count ? middle + width : count;
            for (int k = from, i = from, j = middle; k < end; k++)
                other[k] = j >= end || (i < middle && compare(o, &o->all[rows[i]], &o->all[rows[j]]) < 0) ? rows[i++]
                                                                                                          : rows[j++];
        }
        memcpy(rows, other, (size_t)count * sizeof *rows);
    }
    free(other);
}

void past_arrange(ui_app *app) {
    past_own *o = past_of(&app->state);
    past_note_cursor(app);
    int *rows = base_calloc((size_t)o->count + 1, sizeof *rows), count = 0;
    for (int i = 0; i < o->count; i++) {
        ui_past *p = &o->all[i];
        snprintf(p->marks, sizeof p->marks, "%s%s", p->row.pinned ? "*" : " ",
                 o->base && p->row.id == o->base ? "b" : " ");
        if (!o->pattern || past_matches(p, o->pattern) != o->inverted) rows[count++] = i;
    }
    sort_rows(o, rows, count);
    free(o->shown);
    o->shown = base_calloc((size_t)count + 1, sizeof *o->shown);
    o->shown_count = count;
    for (int i = 0; i < count; i++) o->shown[i] = o->all[rows[i]];
    free(rows);
    past_go(app, o->here);
}

int past_count(const ui_state *s) {
    const past_own *o = past_of(s);
    return o ? o->shown_count : 0;
}

const void *past_rows(const ui_state *s) {
    const past_own *o = past_of(s);
    return o ? o->shown : NULL;
}
