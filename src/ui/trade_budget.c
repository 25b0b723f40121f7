// The budget: a size that a line in the chart stands for, and what the exact allocator makes of it with the sensitivity
// table at hand - solved on the task thread as the line moves, shown as bits a layer, sent to the recipe.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ui/heat_part.h"
#include "ui/task.h"
#include "ui/trade.h"

bool trade_budget_parse(const char *text, bool *bits, double *value, base_err *err) {
    static const struct {
        const char *unit;
        double times; // 0: bits a weight
    } units[] = {{"", 1},       {"b", 1},         {"byte", 1}, {"bytes", 1}, {"kb", 1e3}, {"mb", 1e6}, {"gb", 1e9},
                 {"kib", 1024}, {"mib", 1048576}, {"bit", 0},  {"bits", 0},  {"k", 1e3},  {"m", 1e6}};
    char *end, unit[8] = "";
    double number = strtod(text, &end);
    end += strspn(end, " ");
    size_t n = strlen(end);
    while (n > 0 && end[n - 1] == ' ') n--;
    if (n >= sizeof unit) n = sizeof unit - 1;
    for (size_t i = 0; i < n; i++) unit[i] = (char)(end[i] >= 'A' && end[i] <= 'Z' ? end[i] + 32 : end[i]);
    for (size_t i = 0; end != text && i < sizeof units / sizeof *units; i++) {
        if (strcmp(unit, units[i].unit) != 0 || !(number > 0) || !isfinite(number)) continue;
        *bits = units[i].times == 0;
        *value = *bits ? number : number * units[i].times;
        return true;
    }
    char clean[64];
    base_clean(clean, sizeof clean, text);
    return base_fail(err, "a budget is a size above 0 such as 40kB, 1.5 MB or 3.2bit, not \"%s\"", clean);
}

// ---- bytes and bits ----------------------------------------------------------------------------

static double weights_of(const heat_table *t) {
    double sum = 0;
    for (int r = 0; t && r < t->rows; r++)
        if (isfinite(t->weights[r])) sum += t->weights[r];
    return sum;
}

// What the model stores beside the table's layers: the original's bytes without those layers' own.
static double rest_of(const ui_app *app, const trade_own *o, const heat_table *t) {
    const past_own *past = past_of(&app->state);
    double all = NAN, layers = 0;
    for (int i = 0; i < past->count && isnan(all); i++)
        if (strcmp(past->all[i].row.model, o->model) == 0 && past->all[i].row.bytes_before > 0)
            all = (double)past->all[i].row.bytes_before;
    for (int r = 0; r < t->rows; r++) {
        const ui_layer *found = NULL;
        for (int i = 0; i < app->state.layer_count && !found; i++)
            if (strcmp(app->state.layers[i].row.name, t->row[r]) == 0) found = &app->state.layers[i];
        if (!found || found->row.bytes_before <= 0) return NAN;
        layers += (double)found->row.bytes_before;
    }
    return all >= layers ? all - layers : NAN;
}

// A value of x as bits a weight of the table's layers.
static double bits_of(const trade_own *o, const heat_table *t, double x) {
    double weights = weights_of(t);
    if (o->bits) return x;
    return weights > 0 ? 8 * (x - (isfinite(o->rest) ? o->rest : 0)) / weights : NAN;
}

void trade_budget_turn(trade_own *o) {
    double weights = weights_of(o->table), rest = isfinite(o->rest) ? o->rest : 0;
    if (!isfinite(o->budget)) return;
    // `bits` is the new unit already.
    o->budget = !(weights > 0) ? (double)NAN
                : o->bits      ? 8 * (o->budget - rest) / weights
                               : o->budget * weights / 8 + rest;
    if (!(o->budget > 0)) o->budget = NAN;
}

// ---- the allocator -----------------------------------------------------------------------------

typedef struct solving {
    heat_table *t; // a copy
    double bits;
    int *choice;
    heat_answer answer;
} solving;

static bool solve_work(void *own, base_job *job, base_err *err) {
    solving *s = own;
    return heat_allocate(s->t, s->bits, s->choice, &s->answer, job, err);
}

static bool same_table(const heat_table *a, const heat_table *b) {
    bool same = a && b && a->rows == b->rows && a->cols == b->cols && strcmp(a->from, b->from) == 0;
    for (int r = 0; same && r < a->rows; r++) same = strcmp(a->row[r], b->row[r]) == 0;
    return same;
}

static void solve_done(ui_app *app, void *own, base_status status, const char *message) {
    solving *s = own;
    trade_own *o = trade_of(&app->state);
    if (o && status == BASE_OK) {
        free(o->before_choice);
        o->before_choice = NULL;
        if (same_table(o->table, s->t) && o->choice) {
            o->before_choice = o->choice; // what changed is told
            o->choice = NULL;
        }
        free(o->choice);
        heat_table_free(o->table);
        o->table = s->t;
        o->choice = s->choice;
        o->answer = s->answer;
        o->trouble[0] = 0;
        s->t = NULL;
        s->choice = NULL;
    } else if (o && status != BASE_CANCELLED) {
        snprintf(o->trouble, sizeof o->trouble, "%s", message);
    }
    if (o) o->solving = ui_task_going(app, "trade-budget");
    heat_table_free(s->t);
    free(s->choice);
    free(s);
}

void trade_budget_look(ui_app *app, trade_own *o) {
    if (!isfinite(o->budget)) return;
    heat_part *heat = heat_own(app);
    heat_search(app, heat);
    const heat_table *t = heat_shown(app);
    if (!t) return;
    o->rest = rest_of(app, o, t);
    double bits = bits_of(o, t, o->budget);
    bool fresh = o->solved == bits && ((o->trouble[0] && strcmp(o->trouble_of, t->from) == 0) || o->solving ||
                                       (same_table(o->table, t) && o->table->known == t->known));
    if (fresh) return;
    o->solved = bits;
    snprintf(o->trouble_of, sizeof o->trouble_of, "%s", t->from);
    if (!(bits > 0)) {
        snprintf(o->trouble, sizeof o->trouble, "what is not in the table's layers alone is larger than this budget");
        return;
    }
    o->trouble[0] = 0;
    solving *s = base_alloc(sizeof *s);
    *s = (solving){.t = heat_table_copy(t), .bits = bits};
    s->choice = base_calloc((size_t)t->rows + 1, sizeof *s->choice);
    o->solving = true;
    ui_task_start(app, &(ui_task){"trade-budget", "allocating", s, solve_work, solve_done, NULL});
}

void trade_budget_set(ui_app *app, trade_own *o, double budget) {
    o->budget = budget;
    if (!isfinite(budget)) {
        o->solved = NAN;
        o->trouble[0] = 0;
    }
    app->dirty = true;
}

void trade_budget_free(trade_own *o) {
    heat_table_free(o->table);
    free(o->choice);
    free(o->before_choice);
}

bool trade_budget_send(ui_app *app, trade_own *o, base_err *err) {
    const heat_table *t = o->table;
    if (!isfinite(o->budget)) return base_fail(err, "there is no budget; :budget 40kB sets one, < and > move it");
    if (!t || !o->choice)
        return base_fail(err, "there is no allocation yet: a sensitivity table of this model is needed (:sensitivity)");
    if (o->trouble[0]) return base_fail(err, "%s", o->trouble);
    if (o->solving) return base_fail(err, "the allocator is still at work");
    int sent = 0;
    for (int r = 0; r < t->rows; r++)
        if (o->choice[r] >= 0 && !t->steps[o->choice[r]])
            return base_fail(err, "the table does not say which steps its option %s is, so a recipe cannot be written",
                             t->col[o->choice[r]]);
    for (int r = t->rows; r-- > 0;) { // each goes before all others: in the end they stand in the network's order
        if (o->choice[r] < 0) continue;
        if (!ui_composer_set(app, t->row[r], t->steps[o->choice[r]], err)) return false;
        sent++;
    }
    ui_say(app, UI_GOOD, "%d layer%s of the recipe have the allocator's choice; Enter in Params or :run runs it.", sent,
           sent == 1 ? "" : "s");
    return true;
}

// ---- drawing -----------------------------------------------------------------------------------

static double bits_at(const heat_table *t, int row, int option) {
    if (option < 0) return NAN;
    return 8 * t->bytes[row * t->cols + option] / t->weights[row];
}

// Two columns a layer: its bits as a number, in the colour of the ramp; bold where the last move changed them.
static void draw_strip(ui_area a, const trade_own *o) {
    const heat_table *t = o->table;
    int x = 0, y = 0;
    for (int r = 0; r < t->rows && y < a.r.h; r++) {
        double bits = bits_at(t, r, o->choice[r]);
        char text[16];
        snprintf(text, sizeof text, isfinite(bits) ? bits < 99.5 ? "%.0f" : "++" : "-", bits);
        int width = (int)strlen(text);
        if (x + width > a.r.w) x = 0, y++;
        if (y == a.r.h - 1 && x + width + 2 > a.r.w && r + 1 < t->rows) { // there are more
            ui_char(a, x, y, UI_DIM, 0x2026);
            return;
        }
        int step = isfinite(bits) ? (int)(bits * UI_RAMP_COUNT / 9) : 0;
        if (step >= UI_RAMP_COUNT) step = UI_RAMP_COUNT - 1;
        bool moved = o->before_choice && o->before_choice[r] != o->choice[r];
        ui_put(a, x, y, moved ? UI_STRONG : (ui_style)(UI_RAMP + step), text);
        if (moved) ui_reverse(a, x, y, width);
        x += width + 1;
    }
}

// "conv1 8  conv2 4": where there is room for the names of all layers.
static bool draw_named(ui_area a, const trade_own *o) {
    const heat_table *t = o->table;
    int need = 0;
    for (int r = 0; r < t->rows; r++) need += base_columns(t->row[r]) + 6;
    if (need > a.r.w * a.r.h) return false;
    for (int r = 0, x = 0, y = 0; r < t->rows; r++) {
        double bits = bits_at(t, r, o->choice[r]);
        char text[16];
        snprintf(text, sizeof text, isfinite(bits) ? "%.1f" : "-", bits);
        int width = base_columns(t->row[r]) + (int)strlen(text) + 1;
        if (x && x + width > a.r.w) x = 0, y++;
        bool moved = o->before_choice && o->before_choice[r] != o->choice[r];
        int at = ui_put(a, x, y, UI_DIM, t->row[r]) + 1;
        int end = ui_put(a, at, y, moved ? UI_STRONG : UI_ACCENT, text);
        if (moved) ui_reverse(a, at, y, end - at);
        x = end + 2;
    }
    return true;
}

static void draw_answer(ui_area a, const trade_own *o) {
    const heat_answer *s = &o->answer;
    const heat_table *t = o->table;
    char number[32];
    int x = ui_putf(a, 0, 0, UI_STRONG, "%s %.4g %s", t->metric, s->loss, t->unit);
    x = ui_put(a, x + 1, 0, s->proved ? UI_GOOD : UI_WARN, s->proved ? "proved least" : "not proved least");
    double all = s->bytes + (isfinite(o->rest) ? o->rest : 0);
    x = ui_putf(a, x + 2, 0, UI_NORMAL, "%s", ui_format(UI_AS_BYTES, all, number, sizeof number));
    if (!isfinite(o->rest)) x = ui_put(a, x + 1, 0, UI_WARN, "in these layers");
    x = ui_putf(a, x + 2, 0, UI_NORMAL, "%.3f bits", 8 * s->bytes / s->weights);
    if (s->left_out)
        x = ui_putf(a, x + 2, 0, UI_WARN, "%d layer%s without figures", s->left_out, s->left_out == 1 ? "" : "s");
    ui_fit(a, x + 2, 0, a.r.w - x - 2, UI_LEFT, UI_DIM, o->solving ? "(moving...)" : t->from);
}

void trade_budget_draw(ui_app *app, trade_own *o, ui_area a) {
    char number[32];
    if (!isfinite(o->budget)) return;
    int x = ui_put(a, 0, 0, UI_WARN, "budget");
    x = ui_putf(a, x + 1, 0, UI_STRONG, "%s%s",
                ui_format(o->bits ? UI_AS_BITS : UI_AS_BYTES, o->budget, number, sizeof number),
                o->bits ? " bits a weight" : "");
    ui_fit(a, x + 2, 0, a.r.w - x - 2, UI_LEFT, UI_DIM, "< > move it, w writes the allocation into the recipe");
    ui_area below = ui_sub(a, 0, 1, a.r.w, a.r.h - 1);
    if (!heat_shown(app))
        ui_wrap(
            below, 0, UI_DIM,
            "With a sensitivity table of this model (tab Sensitivity, m measures one) the allocator says here which "
            "bits each layer gets.");
    else if (o->trouble[0])
        ui_wrap(below, 0, UI_WARN, o->trouble);
    else if (!o->table || !o->choice)
        ui_put(below, 0, 0, UI_DIM, "Allocating...");
    else {
        draw_answer(below, o);
        ui_area strip = ui_sub(below, 0, 1, a.r.w, below.r.h - 1);
        if (!draw_named(strip, o)) draw_strip(strip, o);
    }
}
