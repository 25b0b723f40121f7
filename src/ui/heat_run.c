// The sensitivity panel's longer work: a run that measures a table, a search of the history for one, the allocator, and
// sending the choices to the recipe.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ui/heat_part.h"
#include "ui/task.h"

// ---- measuring ---------------------------------------------------------------------------------

// Starts the recipe `sensitivity` while the recipe that is open, with its params, stays what it is.
bool heat_measure(ui_app *app, const char *metric, base_err *err) {
    script_recipe *recipe = app->recipe;
    base_param_row *params = app->state.params;
    int param_count = app->state.param_count;
    char name[sizeof app->state.recipe], about[sizeof app->state.recipe_about];
    memcpy(name, app->state.recipe, sizeof name);
    memcpy(about, app->state.recipe_about, sizeof about);
    app->recipe = NULL;
    app->state.params = NULL;
    app->state.param_count = 0;
    bool ok = ui_recipe_open(app, "sensitivity", err);
    if (ok && metric[0]) ok = ui_param_set(app, "metric", metric, err);
    if (ok) ok = ui_run_start(app, err);
    script_recipe_free(app->recipe);
    free(app->state.params);
    app->recipe = recipe;
    app->state.params = params;
    app->state.param_count = param_count;
    memcpy(app->state.recipe, name, sizeof name);
    memcpy(app->state.recipe_about, about, sizeof about);
    if (ok)
        ui_say(app, UI_NORMAL, "Measuring sensitivity. Cells that are known appear at once; Esc keeps what is there.");
    return ok;
}

// ---- the history -------------------------------------------------------------------------------

enum { SEARCH_RUNS = 200, SEARCH_TABLES = 12 };

typedef struct search {
    char *state_dir, *model;          // model "": any
    heat_table *found[SEARCH_TABLES]; // newest first
    int count;
} search;

static void search_free(search *s) {
    for (int i = 0; i < s->count; i++) heat_table_free(s->found[i]);
    free(s->state_dir);
    free(s->model);
    free(s);
}

static bool same_model(session_history *h, const session_record *r, const char *path) {
    if (!path[0] || strcmp(r->model, path) == 0) return true;
    if (r->model[0]) return false;
    session_input *in = NULL; // the recipe named it itself
    size_t count = 0;
    base_err err = {0};
    bool same = false;
    if (!session_history_inputs(h, r->id, &in, &count, &err)) return false;
    for (size_t i = 0; i < count; i++) same |= strcmp(in[i].kind, "model") == 0 && strcmp(in[i].path, path) == 0;
    session_inputs_free(in, count);
    return same;
}

static void take_tables(search *s, session_history *h, int64_t id) {
    char **text = NULL;
    size_t count = 0;
    base_err err = {0};
    if (!session_history_tables(h, id, &text, &count, &err)) return;
    for (size_t i = count; i-- > 0 && s->count < SEARCH_TABLES;) {
        heat_table *t = heat_table_read(text[i], &err);
        if (!t) continue;
        snprintf(t->from, sizeof t->from, "run %lld of the history", (long long)id);
        s->found[s->count++] = t;
    }
    base_names_free(text, count);
}

static bool search_work(void *own, base_job *job, base_err *err) {
    search *s = own;
    char *path = base_join(s->state_dir, "history.db");
    bool there = base_is_file(path);
    free(path);
    if (!there) return true; // nothing was recorded yet
    session_history *h = session_history_open(s->state_dir, err);
    if (!h) return false;
    session_record *r = NULL;
    size_t count = 0;
    bool ok = session_history_list(h, SEARCH_RUNS, &r, &count, err);
    for (size_t i = 0; ok && i < count && s->count < SEARCH_TABLES && !base_cancelled(job); i++)
        if (same_model(h, &r[i], s->model)) take_tables(s, h, r[i].id);
    for (size_t i = 0; ok && i < count; i++) session_record_free(&r[i]);
    free(r);
    session_history_close(h);
    return ok;
}

static void search_done(ui_app *app, void *own, base_status status, const char *message) {
    search *s = own;
    heat_part *part = heat_own(app);
    if (status == BASE_FAILED) ui_say(app, UI_WARN, "%s", message);
    if (part && status == BASE_OK) {
        part->searched = true;
        bool empty = part->count == 0;
        int room = HEAT_TABLES - part->count;
        for (int i = 0; i < s->count && i < room; i++) {
            heat_add(part, s->found[i], false); // older and older, before the session's own
            s->found[i] = NULL;
        }
        if (empty && part->count) part->shown = part->count - 1;
        part->stale = true;
    } else if (part) {
        part->searched = status != BASE_CANCELLED;
    }
    search_free(s);
}

static void drop_history(heat_part *own) {
    int kept = 0;
    for (int i = 0; i < own->count; i++) {
        if (strstr(own->table[i]->from, "of the history"))
            heat_table_free(own->table[i]);
        else
            own->table[kept++] = own->table[i];
    }
    own->count = kept;
    own->shown = kept ? kept - 1 : 0;
    own->stale = true;
}

void heat_search(ui_app *app, heat_part *own) {
    const char *open_model = app->state.model;
    bool same = own->searched && strcmp(own->asked, open_model) == 0;
    if (same || ui_task_going(app, "heat-history") || app->state.job != UI_IDLE) return;
    if (!app->state_dir) {
        own->searched = true;
        snprintf(own->asked, sizeof own->asked, "%s", open_model);
        return;
    }
    drop_history(own);
    snprintf(own->asked, sizeof own->asked, "%s", open_model);
    search *s = base_calloc(1, sizeof *s);
    s->state_dir = base_strdup(app->state_dir);
    s->model = base_strdup(open_model);
    ui_task task = {
        .kind = "heat-history", .what = "looking for tables", .own = s, .work = search_work, .done = search_done};
    ui_task_start(app, &task);
}

// ---- the allocator -----------------------------------------------------------------------------

typedef struct allocation {
    heat_table *t; // a copy
    double bits;
    int *choice;
    heat_answer answer;
} allocation;

static bool allocate_work(void *own, base_job *job, base_err *err) {
    allocation *a = own;
    return heat_allocate(a->t, a->bits, a->choice, &a->answer, job, err);
}

static void allocate_done(ui_app *app, void *own, base_status status, const char *message) {
    allocation *a = own;
    heat_part *part = heat_own(app);
    heat_table *t = heat_shown(app);
    bool same = t && t->rows == a->t->rows && t->cols == a->t->cols && strcmp(t->from, a->t->from) == 0;
    if (status == BASE_FAILED) {
        ui_say(app, UI_BAD, "%s", message);
    } else if (status == BASE_OK && same) {
        memcpy(t->choice, a->choice, (size_t)t->rows * sizeof *t->choice);
        const heat_answer *r = &a->answer;
        char bytes[24], left[60] = "";
        if (r->left_out) snprintf(left, sizeof left, "; %d layers without a value are left out", r->left_out);
        snprintf(part->told, sizeof part->told, "Exact for %.3g bits: predicted sum %.4g%s%s, %s%s%s.", r->bits,
                 r->loss, t->unit[0] ? " " : "", t->unit, base_bytes_text(bytes, r->bytes),
                 r->proved ? ", proved least" : "", left);
        part->stale = true;
    }
    heat_table_free(a->t);
    free(a->choice);
    free(a);
}

bool heat_budget(ui_app *app, double bits, base_err *err) {
    const heat_table *t = heat_shown(app);
    if (!t) return base_fail(err, "there is no sensitivity table");
    allocation *a = base_calloc(1, sizeof *a);
    a->t = heat_table_copy(t);
    a->bits = bits;
    a->choice = base_calloc((size_t)t->rows, sizeof *a->choice);
    ui_task task = {
        .kind = "heat-budget", .what = "allocating", .own = a, .work = allocate_work, .done = allocate_done};
    ui_task_start(app, &task);
    return true;
}

// ---- to the recipe -----------------------------------------------------------------------------

bool heat_send(ui_app *app, base_err *err) {
    const heat_table *t = heat_shown(app);
    int sent = 0;
    if (!t) return base_fail(err, "there is no sensitivity table; :sensitivity measures one");
    if (!heat_choice_total(t, t->choice).chosen)
        return base_fail(err, "nothing is chosen; Space chooses an option, b asks the allocator");
    for (int r = 0; r < t->rows; r++) {
        int c = t->choice[r];
        if (c >= 0 && !t->steps[c])
            return base_fail(err,
                             "option %s is a step that a recipe defines itself, so it cannot be written into "
                             "another recipe",
                             t->col[c]);
    }
    for (int r = 0; r < t->rows; r++) {
        if (t->choice[r] < 0) continue;
        if (!ui_composer_set(app, t->row[r], t->steps[t->choice[r]], err)) return false;
        sent++;
    }
    ui_say(app, UI_GOOD, "%d layer%s got the steps of %s choice in the recipe.", sent, sent == 1 ? "" : "s",
           sent == 1 ? "its" : "their");
    return true;
}
