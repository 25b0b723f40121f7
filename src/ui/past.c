// Past: the runs of the history and of this session - commands, keys, the rows that views show, and what a view may
// ask.
#include "ui/past.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ui/host.h"
#include "ui/task.h"

past_own *past_of(const ui_state *s) {
    return ui_part_own(s, &ui_part_past);
}

// ---- rows --------------------------------------------------------------------------------------

#define F_TEXT(field, help)                                                                                            \
    { #field, "", help, BASE_F_TEXT, offsetof(ui_past, row.field), sizeof(((ui_past *)0)->row.field) }
#define F_INT(field, unit, help)                                                                                       \
    { #field, unit, help, BASE_F_INT, offsetof(ui_past, row.field), sizeof(int64_t) }
#define F_REAL(field, unit, help)                                                                                      \
    { #field, unit, help, BASE_F_REAL, offsetof(ui_past, row.field), sizeof(double) }
static const base_field fields[] = {
    {"name", "", "number in the history; s1 is only of this session", BASE_F_TEXT, offsetof(ui_past, name),
     sizeof(((ui_past *)0)->name)},
    {"when", "", "when it began, local time", BASE_F_TEXT, offsetof(ui_past, when), sizeof(((ui_past *)0)->when)},
    {"marks", "", "* pinned, b what others are compared with", BASE_F_TEXT, offsetof(ui_past, marks),
     sizeof(((ui_past *)0)->marks)},
    {"session", "", "number in this session, 0: of an earlier one", BASE_F_INT, offsetof(ui_past, session), 8},
    F_INT(id, "", "number in the history, below 0: only of this session"),
    F_INT(started, "s", "when it began, Unix time"),
    F_TEXT(recipe, "name of the recipe"),
    F_TEXT(params, "its params"),
    F_TEXT(model, "model file"),
    F_TEXT(model_hash, "hash of the model's content"),
    F_TEXT(data, "dataset and part"),
    F_TEXT(metric, "what value measures"),
    F_TEXT(state, "running, done, stopped, failed, killed"),
    F_TEXT(message, "closing sentence or error"),
    F_TEXT(note, "what was noted about it"),
    F_TEXT(saved, "last file written"),
    F_TEXT(hash, "its hash"),
    F_REAL(before, "", "metric of the original"),
    F_REAL(before_low, "", "lower end of its 95 % interval"),
    F_REAL(before_high, "", "upper end of its 95 % interval"),
    F_REAL(value, "", "metric after compression"),
    F_REAL(low, "", "lower end of its 95 % interval"),
    F_REAL(high, "", "upper end of its 95 % interval"),
    F_REAL(kl, "nat", "mean KL divergence from the original"),
    F_REAL(kl_low, "nat", "lower end of its 95 % interval"),
    F_REAL(kl_high, "nat", "upper end of its 95 % interval"),
    F_REAL(bits, "bit", "bits per weight of the compressible layers"),
    F_REAL(seconds, "s", "time of the run"),
    F_INT(flips, "", "changed decisions"),
    F_INT(samples, "", "samples evaluated"),
    F_INT(bytes, "B", "bytes of all tensors"),
    F_INT(bytes_before, "B", "bytes of the original's tensors"),
    F_INT(peak_bytes, "B", "most memory held for data"),
    F_INT(pinned, "", "1: pinned"),
};

static const ui_source sources[] = {
    {"past", fields, sizeof fields / sizeof *fields, sizeof(ui_past), past_count, past_rows, "recipe"},
    {"compared", past_layer_fields, PAST_LAYER_FIELDS, sizeof(past_layer), past_layer_count, past_layer_rows, "name"},
};

// ---- which run ---------------------------------------------------------------------------------

// The view that lists the runs, -1: none.
static int list_view(const ui_app *app) {
    int view = ui_view_find(app, "history");
    for (int v = 0; view < 0 && v < app->view_count; v++)
        if (app->views[v].source && strcmp(app->views[v].source->name, "past") == 0) view = v;
    return view;
}

// The run under the cursor of the list, wherever the focus is; NULL: there is none.
static const ui_past *run_here(const ui_app *app) {
    const past_own *o = past_of(&app->state);
    int v = list_view(app);
    if (v < 0) return past_find(o, o->here);
    int i = app->views[v].scroll.cursor;
    return i >= 0 && i < o->shown_count ? &o->shown[i] : NULL;
}

void past_note_cursor(ui_app *app) {
    const ui_past *p = run_here(app);
    if (p) past_of(&app->state)->here = p->row.id;
}

void past_go(ui_app *app, int64_t key) {
    past_own *o = past_of(&app->state);
    int v = list_view(app);
    o->here = key;
    for (int i = 0; v >= 0 && key && i < o->shown_count; i++)
        if (o->shown[i].row.id == key) {
            app->views[v].scroll.count = o->shown_count;
            app->views[v].scroll.cursor = i;
        }
    app->dirty = true;
}

bool past_at_top(const ui_app *app) {
    int v = list_view(app);
    return v < 0 || app->views[v].scroll.cursor == 0;
}

// The run that the argument numbers ("12", "s3"), without one the run under the cursor.
static const ui_past *run_named(const ui_app *app, const char *argument, base_err *err) {
    const past_own *o = past_of(&app->state);
    const ui_past *p = NULL;
    if (!argument[0]) {
        p = run_here(app);
        if (!p) base_fail(err, "there is no run under the cursor");
        return p;
    }
    for (int i = 0; i < o->count && !p; i++)
        if (strcmp(o->all[i].name, argument) == 0) p = &o->all[i];
    if (!p) base_fail(err, "there is no run \"%s\" in the list", argument);
    return p;
}

static const char *needs_runs(const ui_app *app) {
    return past_of(&app->state)->shown_count ? NULL : "there are no runs yet";
}
static const char *needs_quiet(const ui_app *app) {
    return app->state.job == UI_RUNNING ? "a run is going; Esc stops it" : needs_runs(app);
}

OFFER(run_offer) {
    (void)typed;
    const past_own *o = past_of(&app->state);
    for (int i = 0; i < o->count && i < 200; i++) {
        char label[400];
        ui_palette_offer(&app->palette, o->all[i].name, past_label(&o->all[i], label, sizeof label));
    }
}

// ---- commands ----------------------------------------------------------------------------------

ON(on_filter) {
    past_own *o = past_of(&app->state);
    if (!past_filter(app, argument, err)) return false;
    if (o->filter[0])
        ui_say(app, UI_NORMAL, "%d of %d runs match \"%s\"; :history-filter alone shows all.", o->shown_count, o->count,
               o->filter);
    else
        ui_say(app, UI_NORMAL, "All %d runs.", o->count);
    return true;
}
ON(on_filter_typed) {
    UNUSED;
    ui_typing_start(app, UI_PROMPT_COMMAND, "history-filter ", false);
    return true;
}

static void say_sort(ui_app *app) {
    const past_own *o = past_of(&app->state);
    ui_say(app, UI_NORMAL, "Sorted by %s: %s%s.", past_sorts[o->sort].name, past_sorts[o->sort].help,
           o->reverse ? ", the other way round" : "");
}
ON(on_sort) {
    past_own *o = past_of(&app->state);
    const char *names[32];
    int found = argument[0] ? -1 : (o->sort + 1) % past_sort_count;
    for (int i = 0; i < past_sort_count; i++) {
        names[i] = past_sorts[i].name;
        if (strcmp(names[i], argument) == 0) found = i;
    }
    if (found < 0) {
        const char *near = base_nearest(argument, names, (size_t)past_sort_count);
        return base_fail(err, "runs cannot be sorted by \"%s\"%s%s", argument, near ? "; did you mean " : "",
                         near ? near : "");
    }
    o->sort = found;
    past_arrange(app);
    say_sort(app);
    return true;
}
OFFER(sort_offer) {
    (void)typed;
    for (int i = 0; i < past_sort_count; i++) ui_palette_offer(&app->palette, past_sorts[i].name, past_sorts[i].help);
}
ON(on_turn) {
    UNUSED;
    past_own *o = past_of(&app->state);
    o->reverse = !o->reverse;
    past_arrange(app);
    say_sort(app);
    return true;
}

ON(on_older) {
    (void)argument;
    past_own *o = past_of(&app->state);
    if (o->total <= o->limit) return base_fail(err, "all %lld runs of the history are here", (long long)o->total);
    o->limit += PAST_PAGE;
    past_reload(app);
    past_look(app);
    return true;
}

// ---- pins and notes ----------------------------------------------------------------------------

typedef struct marking {
    char *folder;
    past_mark *marks;
    int count;
} marking;

static bool write_marks(const char *folder, const past_mark *marks, int count, base_err *err) {
    session_history *h = session_history_open(folder, err);
    bool ok = h != NULL;
    for (int i = 0; ok && i < count; i++)
        ok = marks[i].is_note ? session_history_note(h, marks[i].id, marks[i].note, err)
                              : session_history_pin(h, marks[i].id, marks[i].pinned, err);
    session_history_close(h);
    return ok;
}
static bool mark_work(void *own, base_job *job, base_err *err) {
    const marking *m = own;
    (void)job;
    return write_marks(m->folder, m->marks, m->count, err);
}

static void mark_done(ui_app *app, void *own, base_status status, const char *message);

static void marks_start(ui_app *app) {
    past_own *o = past_of(&app->state);
    if (!o->mark_count || ui_task_going(app, "marks")) return;
    marking *m = base_alloc(sizeof *m);
    *m = (marking){base_strdup(past_folder(app)), o->marks, o->mark_count};
    o->marks = NULL;
    o->mark_count = 0;
    ui_task_start(app, &(ui_task){"marks", "keeping pins and notes", m, mark_work, mark_done, NULL});
}

static void mark_done(ui_app *app, void *own, base_status status, const char *message) {
    marking *m = own;
    past_own *o = past_of(&app->state);
    if (status == BASE_CANCELLED && o) { // dropped before it began: written at the end
        o->marks = base_realloc(o->marks, (size_t)(o->mark_count + m->count), sizeof *o->marks);
        memmove(o->marks + m->count, o->marks, (size_t)o->mark_count * sizeof *o->marks);
        memcpy(o->marks, m->marks, (size_t)m->count * sizeof *o->marks);
        o->mark_count += m->count;
    } else if (o) {
        if (status != BASE_OK) {
            ui_say(app, UI_BAD, "%s", message);
            past_reload(app); // as it is kept
        }
        marks_start(app);
    }
    free(m->folder);
    free(m->marks);
    free(m);
}

// The list shows it at once; the history follows.
static bool mark(ui_app *app, int64_t id, const char *note, base_err *err) {
    past_own *o = past_of(&app->state);
    if (id < 0 || !past_folder(app))
        return base_fail(err, "this run is not in the history, so nothing can be kept of it");
    past_mark m = {.id = id, .is_note = note != NULL};
    if (note) base_clean(m.note, sizeof m.note, note);
    for (int i = 0; i < o->count; i++) {
        session_overview *r = &o->all[i].row;
        if (r->id != id) continue;
        if (note)
            snprintf(r->note, sizeof r->note, "%s", m.note);
        else
            r->pinned = !r->pinned;
        if (!note) m.pinned = r->pinned;
    }
    o->marks = base_realloc(o->marks, (size_t)o->mark_count + 1, sizeof *o->marks);
    o->marks[o->mark_count++] = m;
    past_arrange(app);
    marks_start(app);
    return true;
}

ON(on_pin) {
    const ui_past *p = run_named(app, argument, err);
    return p && mark(app, p->row.id, NULL, err);
}
ON(on_note) {
    const ui_past *p = run_here(app);
    if (!p) return base_fail(err, "there is no run under the cursor");
    return mark(app, p->row.id, argument, err); // "": it is taken away
}
ON(on_note_typed) {
    (void)argument;
    const ui_past *p = run_here(app);
    char text[240];
    if (!p) return base_fail(err, "there is no run under the cursor");
    snprintf(text, sizeof text, "note %s", p->row.note);
    ui_typing_start(app, UI_PROMPT_COMMAND, text, false);
    return true;
}

// ---- one run -----------------------------------------------------------------------------------

ON(on_base) {
    past_own *o = past_of(&app->state);
    const ui_past *p = run_named(app, argument, err);
    if (!p) return false;
    char label[400], name[24];
    past_label(p, label, sizeof label);
    snprintf(name, sizeof name, "%s", p->name);
    o->base = p->row.id == o->base ? 0 : p->row.id;
    past_arrange(app); // p is gone
    if (o->base)
        ui_say(app, UI_NORMAL, "Others are compared with run %s, %s.", name, label);
    else
        ui_say(app, UI_NORMAL, "Nothing is compared with run %s any more.", name);
    return true;
}
ON(on_compare) {
    past_own *o = past_of(&app->state);
    int view = ui_view_find(app, "compare");
    char first[12] = "", second[12] = "";
    if (argument[0]) { // "3 5"
        if (sscanf(argument, "%11s %11s", first, second) < 2) return base_fail(err, "compare takes two runs: 3 5");
        const ui_past *a = run_named(app, first, err), *b = a ? run_named(app, second, err) : NULL;
        if (!b) return false;
        o->base = a->row.id;
        int64_t second_key = b->row.id; // b is gone with the next line
        past_arrange(app);
        past_go(app, second_key);
    }
    if (view >= 0) ui_view_focus(app, view);
    return true;
}
ON(on_open) {
    const ui_past *p = run_named(app, argument, err);
    return p && past_open(app, p->row.id, err);
}
ON(on_replay) {
    const ui_past *p = run_named(app, argument, err);
    return p && past_replay_start(app, p->row.id, err);
}
ON(on_export) {
    const ui_past *p = run_here(app);
    if (!p) return base_fail(err, "there is no run under the cursor");
    return past_export(app, p->row.id, argument, err);
}
ON(on_export_typed) {
    UNUSED;
    ui_typing_start(app, UI_PROMPT_COMMAND, "export ", false);
    return true;
}

static const ui_command commands[] = {
    {"history-filter", "[PATTERN]", "runs whose recipe, params, model, state or note match; !PATTERN: that do not",
     on_filter, NULL, NULL},
    {"history-filter-type", "", "type a pattern that filters the runs", on_filter_typed, NULL, NULL},
    {"history-sort", "[FIELD]", "sort the runs by a field; without one by the next", on_sort, NULL, sort_offer},
    {"history-turn", "", "the order of the runs the other way round", on_turn, NULL, NULL},
    {"older", "", "read a thousand older runs of the history", on_older, NULL, NULL},
    {"pin", "[RUN]", "pin a run, or let it go; sorting by pinned brings them to the top", on_pin, needs_runs,
     run_offer},
    {"note", "[TEXT]", "keep a line about the run under the cursor; without text it is taken away", on_note, needs_runs,
     NULL},
    {"note-type", "", "type a line to keep about the run under the cursor", on_note_typed, needs_runs, NULL},
    {"base", "[RUN]", "compare the other runs with this one", on_base, needs_runs, run_offer},
    {"compare", "[RUN RUN]", "two runs layer by layer: the base, or the run before, and the one under the cursor",
     on_compare, needs_runs, NULL},
    {"open-run", "[RUN]", "open a run's recipe with its params; Enter then runs it", on_open, needs_quiet, run_offer},
    {"replay", "[RUN]", "run a recorded run again with its inputs and see whether the bytes are the same", on_replay,
     needs_quiet, run_offer},
    {"export", "FILE", "the run under the cursor: .lua its recipe with its params, .html a report", on_export,
     needs_runs, NULL},
    {"export-type", "", "type the file that the run under the cursor is exported to", on_export_typed, needs_runs,
     NULL},
};

static const ui_binding bindings[] = {
    {"Enter", "open-run", "history", "open"},
    {"f", "history-filter-type", "history", "filter"},
    {"s", "history-sort", "history", "sort"},
    {"S", "history-turn", "history", NULL},
    {"b", "base", "history", "base"},
    {"c", "compare", "history", "compare"},
    {"p", "pin", "history", "pin"},
    {"e", "note-type", "history", "note"},
    {"r", "replay", "history", "replay"},
    {"x", "export-type", "history", "export"},
    {"O", "older", "history", NULL},
    {"b", "base", "compare", NULL},
    {"Enter", "view history", "compare", "list"},
};
static const ui_place places[] = {
    {"history", "Keys on the list of runs"}, {"compare", "Keys on two runs compared"}, {NULL, NULL}};

// ---- for views ---------------------------------------------------------------------------------

// ui.past(name): what the list of runs is made of.
HOST(h_past) {
    APP;
    past_own *o = past_of(&app->state);
    const char *name = script_arg_text(c, 0);
    past_look(app);
    past_note_cursor(app);
    const ui_past *base = past_find(o, o->base);
    const struct {
        const char *name, *text;
        double number;
    } table[] = {
        {"filter", o->filter, 0},
        {"sort", past_sorts[o->sort].name, 0},
        {"reverse", NULL, o->reverse},
        {"count", NULL, o->count},
        {"total", NULL, (double)o->total},
        {"limit", NULL, (double)o->limit},
        {"loading", NULL, o->loading},
        {"error", o->error, 0},
        {"base", base ? base->name : "", 0},
    };
    for (size_t i = 0; name && i < sizeof table / sizeof *table; i++) {
        if (strcmp(table[i].name, name) != 0) continue;
        if (table[i].text)
            script_push_text(c, table[i].text);
        else
            script_push_number(c, table[i].number);
        return true;
    }
    return base_fail(err, "ui.past knows no \"%s\"", name ? name : "");
}

// What a run is compared with: the base, and without one the run of the same model before it.
static int64_t other_of(const past_own *o, const ui_past *here) {
    if (o->base || !here) return o->base;
    bool after = false;
    for (int i = 0; i < o->count; i++) {
        const session_overview *r = &o->all[i].row;
        if (after && strcmp(r->state, "done") == 0 && strcmp(r->model, here->row.model) == 0 && isfinite(r->bits))
            return r->id;
        after |= r->id == here->row.id;
    }
    return 0;
}

// ui.compare(): the base and the run under the history's cursor, layer by layer.
HOST(h_compare) {
    APP;
    (void)c;
    if (!ui_host_drawing(app, err)) return false;
    past_own *o = past_of(&app->state);
    past_look(app);
    const ui_past *here = run_here(app);
    past_compare_want(app, other_of(o, here), here ? here->row.id : 0);
    ui_look look = ui_host_look(app, "compared", ui_source_find("compared"));
    past_compare_draw(app, ui_host_take(app), &look);
    return true;
}

static const script_function functions[] = {
    {"past", "(name) of the list of runs: filter sort reverse count total limit loading error base", h_past},
    {"compare",
     "() the base of comparison (else the run before) and the run under the history's cursor, layer by layer",
     h_compare},
};

// ---- the part ----------------------------------------------------------------------------------

static void past_open_part(ui_app *app, void *own) {
    past_own *o = own;
    (void)app;
    o->limit = PAST_PAGE;
    o->stale = true;
}

static void past_close_part(ui_app *app, void *own) {
    past_own *o = own;
    base_err ignored = {0};
    if (o->mark_count) (void)!write_marks(past_folder(app), o->marks, o->mark_count, &ignored);
    free(o->marks);
    past_replay_free(own);
    past_comparison_free(&((past_own *)own)->comparison);
    past_rows_free(own);
}

static void past_event(ui_app *app, void *own, const base_event *e) {
    past_replay_event(own, e);
    if (e->kind == BASE_EV_RUN_END) past_session_ended(app);
}

const ui_part ui_part_past = {.name = "past",
                              UI_LIST(command, commands),
                              UI_LIST(binding, bindings),
                              UI_LIST(function, functions),
                              UI_LIST(source, sources),
                              .bytes = sizeof(past_own),
                              .open = past_open_part,
                              .close = past_close_part,
                              .event = past_event,
                              .places = places};
