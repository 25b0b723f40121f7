// The trade-off without a screen: axes, ticks, zoom and pan, nearest points; which runs are points; few, equal, broken
// and very many points drawn.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "../support/support.h"
#include "ui/heat_part.h"
#include "ui/trade.h"

static bool near(double a, double b) {
    return fabs(a - b) <= 1e-9 * (1 + fabs(b));
}

// ---- axes --------------------------------------------------------------------------------------

static void places_and_values(void **state) {
    (void)state;
    const trade_axis axes[] = {{0, 10, false}, {-5, 1e9, false}, {1e-4, 10, true}, {3, 3.5, true}};
    for (size_t i = 0; i < 4; i++) {
        assert_true(near(trade_place(&axes[i], axes[i].low), 0) && near(trade_place(&axes[i], axes[i].high), 1));
        for (double p = -1; p <= 2; p += 0.125) assert_true(near(trade_place(&axes[i], trade_value(&axes[i], p)), p));
    }
    assert_true(isnan(trade_place(&axes[2], 0)) && isnan(trade_place(&axes[2], -1)) &&
                isnan(trade_place(&axes[0], NAN)));
}

static void fitting(void **state) {
    (void)state;
    const double values[] = {NAN, 4, INFINITY, 2, -1, -INFINITY, 8};
    trade_axis a = trade_fit(values, 7, false);
    assert_true(a.low < -1 && a.low > -3 && a.high > 8 && a.high < 10);
    a = trade_fit(values, 7, true); // what is not above 0 has no place on it
    assert_true(a.log && a.low > 1 && a.low < 2 && a.high > 8 && a.high < 10);
    const double equal[] = {5e7, 5e7, 5e7};
    for (int log = 0; log < 2; log++) {
        a = trade_fit(equal, 3, log);
        assert_true(a.low < 5e7 && a.high > 5e7 && near(trade_place(&a, 5e7), 0.5));
        a = trade_fit(values, 1, log); // nothing at all
        assert_true(a.low < a.high && (!log || a.low > 0));
        const double zero = 0, huge[] = {1e300, 1e308}, tiny[] = {1e-320, 1e-310};
        a = trade_fit(&zero, 1, log);
        assert_true(a.low < a.high);
        a = trade_fit(huge, 2, log);
        assert_true(a.low < a.high && isfinite(a.low));
        a = trade_fit(tiny, 2, log);
        assert_true(a.low < a.high && (!log || a.low > 0));
    }
}

static void zoom_and_pan(void **state) {
    (void)state;
    for (int log = 0; log < 2; log++) {
        const trade_axis start = {10, 1000, log};
        for (double at = 0; at <= 1; at += 0.25) {
            trade_axis a = start;
            double kept = trade_value(&a, at);
            trade_zoom(&a, at, 0.5);
            assert_true(near(trade_value(&a, at), kept)); // what is pointed at stays
            assert_true(near(trade_place(&start, a.high) - trade_place(&start, a.low), 0.5));
            trade_zoom(&a, at, 2);
            assert_true(near(a.low, start.low) && near(a.high, start.high));
        }
        trade_axis a = start;
        trade_pan(&a, 0.25);
        assert_true(near(trade_value(&start, 0.25), a.low) && near(trade_value(&start, 1.25), a.high));
        trade_pan(&a, -0.25);
        assert_true(near(a.low, start.low) && near(a.high, start.high));
        // However long the key is held, the range stays one with numbers in it.
        for (int i = 0; i < 3000; i++) trade_zoom(&a, 0.3, 0.7);
        assert_true(a.low < a.high && a.low > 0);
        for (int i = 0; i < 6000; i++) trade_zoom(&a, 0.3, 1 / 0.7);
        assert_true(a.low < a.high && isfinite(a.low) && isfinite(a.high) && (!log || a.low > 0));
        for (int i = 0; i < 6000; i++) trade_pan(&a, 0.9);
        assert_true(a.low < a.high && isfinite(a.high));
    }
}

static void ticks(void **state) {
    (void)state;
    double t[64];
    const trade_axis axes[] = {{0, 100, false}, {97.1, 97.2, false}, {1e-6, 1e6, true},      {0.003, 0.02, true},
                               {2, 2.2, true},  {-3, 5, false},      {5e7, 5.0001e7, false}, {1e-300, 1e300, true}};
    for (size_t i = 0; i < sizeof axes / sizeof *axes; i++)
        for (int wanted = 1; wanted < 20; wanted++) {
            int n = trade_ticks(&axes[i], wanted, t, 64);
            assert_true(n >= (wanted > 3 ? 2 : 0) && n <= 3 * wanted + 4);
            for (int k = 0; k < n; k++) {
                assert_true(t[k] >= axes[i].low * (1 - 1e-9) - 1e-9 * fabs(axes[i].high));
                assert_true(t[k] <= axes[i].high * (1 + 1e-9));
                assert_true(k == 0 || t[k] > t[k - 1]);
            }
        }
    const trade_axis decades = {0.5, 2000, true};
    int n = trade_ticks(&decades, 4, t, 64);
    assert_int_equal(n, 4);
    assert_true(near(t[0], 1) && near(t[1], 10) && near(t[2], 100) && near(t[3], 1000));
    n = trade_ticks(&decades, 12, t, 64);
    assert_true(n == 12 && near(t[0], 0.5) && near(t[1], 1) && near(t[2], 2) && near(t[3], 5) && near(t[11], 2000));
}

// ---- nearest -----------------------------------------------------------------------------------

static void nearest_points(void **state) {
    (void)state;
    const trade_axis x = {0, 10, false}, y = {0, 10, false};
    // The middle one, its neighbours, one aside, one that has no place.
    const trade_point p[] = {{.x = 5, .y = 5}, {.x = 7, .y = 5.5}, {.x = 2, .y = 5},
                             {.x = 5, .y = 8}, {.x = 6, .y = 2},   {.x = NAN, .y = 1}};
    assert_int_equal(trade_nearest(p, 6, &x, &y, 0.5, 0.5, 1), 0);
    assert_int_equal(trade_nearest(p, 6, &x, &y, 0.55, 0.3, 1), 4);
    assert_int_equal(trade_nearest(p, 0, &x, &y, 0.5, 0.5, 1), -1);
    assert_int_equal(trade_nearest(p + 5, 1, &x, &y, 0.5, 0.5, 1), -1);
    assert_int_equal(trade_toward(p, 6, 0, &x, &y, 1, 0, 1), 1);
    assert_int_equal(trade_toward(p, 6, 0, &x, &y, -1, 0, 1), 2);
    assert_int_equal(trade_toward(p, 6, 0, &x, &y, 0, 1, 1), 3);
    assert_int_equal(trade_toward(p, 6, 0, &x, &y, 0, -1, 1), 4);
    assert_int_equal(trade_toward(p, 6, 1, &x, &y, 1, 0, 1), -1); // the end
    assert_int_equal(trade_toward(p, 6, 5, &x, &y, 1, 0, 1), -1);
    assert_int_equal(trade_toward(p, 6, 9, &x, &y, 1, 0, 1), -1);
    const trade_point same[] = {{.x = 5, .y = 5}, {.x = 5, .y = 5}};
    for (int d = -1; d <= 1; d += 2) assert_int_equal(trade_toward(same, 2, 0, &x, &y, d, 0, 1), -1);
    // From anywhere every point is found by going on: nothing is out of reach in a field of points.
    trade_point many[60];
    for (int i = 0; i < 60; i++) many[i] = (trade_point){.x = fmod(i * 0.618, 1) * 10, .y = i / 6.0};
    bool reached[60] = {true};
    for (int round = 0; round < 60; round++)
        for (int i = 0; i < 60; i++)
            for (int d = 0; reached[i] && d < 4; d++) {
                int to = trade_toward(many, 60, i, &x, &y, d == 0 ? -1 : d == 1, d == 2 ? -1 : d == 3, 1);
                if (to >= 0) reached[to] = true;
            }
    for (int i = 0; i < 60; i++) assert_true(reached[i]);
}

static void budgets_are_read(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double value; // 0: refused
        bool bits;
    } table[] = {
        {"40kB", 40e3, false}, {"1.5 MB", 1.5e6, false}, {"40000", 40e3, false},   {"3.2bit", 3.2, true},
        {"3 bits", 3, true},   {"64KiB", 65536, false},  {"12 k", 12e3, false},    {"0", 0, false},
        {"-3kB", 0, false},    {"nan", 0, false},        {"inf", 0, false},        {"1e400", 0, false},
        {"kB", 0, false},      {"", 0, false},           {"3 furlongs", 0, false}, {"4kB extra words", 0, false}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        base_err err = {0};
        bool bits = false;
        double value = 0;
        bool ok = trade_budget_parse(table[i].text, &bits, &value, &err);
        assert_int_equal(ok, table[i].value > 0);
        if (ok) assert_true(value == table[i].value && bits == table[i].bits);
        if (!ok) assert_non_null(strstr(err.text, "budget"));
    }
}

// ---- points and drawing ------------------------------------------------------------------------

typedef struct stage { // as much of a screen as points need
    ui_app *app;
    past_own *past;
    trade_own *trade;
    ui_grid grid;
    ui_view *view;
} stage;

static stage stage_open(int runs) {
    stage s = {.app = base_alloc(sizeof *s.app)};
    ui_state_init(&s.app->state);
    for (size_t i = 0; i < ui_part_count; i++)
        if (ui_parts[i] == &ui_part_past || ui_parts[i] == &ui_part_trade)
            s.app->state.part[i] = base_calloc(1, ui_parts[i]->bytes);
    s.past = past_of(&s.app->state);
    s.trade = trade_of(&s.app->state);
    ui_part_trade.open(s.app, s.trade);
    s.past->all = base_calloc((size_t)runs + 1, sizeof *s.past->all);
    s.past->count = runs;
    s.past->version = 1;
    for (int i = 0; i < runs; i++) {
        session_overview *r = &s.past->all[i].row;
        *r = (session_overview){.id = runs - i, .bytes = 10000 + (i * 7919) % 90000, .seconds = 1, .flips = 3};
        double t = (double)r->bytes / 1e5;
        r->bits = t * 8;
        r->value = 99 - 20 * exp(-6 * t) - (i * 104729 % 1000) / 200.0;
        r->low = r->value - 1;
        r->high = r->value + 0.5;
        r->kl = exp(-8 * t) * (1 + (i % 17) / 10.0);
        r->kl_low = r->kl * 0.9;
        r->kl_high = r->kl * 1.1;
        r->before = 99.5;
        snprintf(r->recipe, sizeof r->recipe, "w%d", i % 7);
        snprintf(r->params, sizeof r->params, "bits=%d group=64", i % 7);
        snprintf(r->model, sizeof r->model, "net");
        snprintf(r->metric, sizeof r->metric, "top1");
        snprintf(s.past->all[i].name, sizeof s.past->all[i].name, "%d", runs - i);
    }
    ui_grid_resize(&s.grid, 200, 60);
    s.view = base_alloc(sizeof *s.view);
    s.app->drawing = s.view;
    s.app->dots = 'b';
    return s;
}

static void draw(stage *s) {
    ui_scroll scroll = {0};
    ui_look look = {&s->app->state, &scroll, NULL, true, 0, s->app->dots};
    ui_area all = {&s->grid, {0, 0, s->grid.w, s->grid.h}};
    ui_grid_clear(&s->grid);
    trade_points_make(s->app, s->trade);
    if (s->trade->count && !trade_selected(s->trade)) s->trade->selected = s->trade->points[0].key;
    trade_lines_make(s->app, s->trade);
    trade_draw(s->app, all, &look);
}

static bool shows(const stage *s, const char *text) {
    for (int y = 0; y < s->grid.h; y++) {
        base_buf line = {0};
        for (int x = 0; x < s->grid.w; x++) {
            char bytes[5];
            uint32_t ch = s->grid.cells[y * s->grid.w + x].ch;
            if (ch) base_buf_add(&line, bytes, ui_encode(ch, bytes));
        }
        bool found = strstr(line.text, text) != NULL;
        base_buf_free(&line);
        if (found) return true;
    }
    return false;
}
static int count_of(const stage *s, uint32_t ch) {
    int n = 0;
    for (int i = 0; i < s->grid.w * s->grid.h; i++) n += s->grid.cells[i].ch == ch;
    return n;
}

static void stage_close(stage *s) {
    ui_part_trade.close(s->app, s->trade);
    free(s->past->all);
    for (int i = 0; i < UI_MAX_PARTS; i++) free(s->app->state.part[i]), s->app->state.part[i] = NULL;
    ui_grid_free(&s->grid);
    ui_state_free(&s->app->state);
    free(s->view);
    free(s->app);
}

static void no_points(void **state) {
    (void)state;
    stage s = stage_open(0);
    draw(&s);
    assert_true(shows(&s, "No runs of this model"));
    stage_close(&s);
}

static void one_point(void **state) {
    (void)state;
    stage s = stage_open(1);
    draw(&s);
    assert_int_equal(s.trade->count, 1);
    assert_true(s.trade->points[0].front);
    assert_int_equal(count_of(&s, 0x25CF), 2); // the point and the legend
    assert_true(s.trade->line_count >= 6);
    stage_close(&s);
}

static void equal_points(void **state) {
    (void)state;
    stage s = stage_open(3);
    for (int i = 1; i < 3; i++) {
        int64_t id = s.past->all[i].row.id;
        s.past->all[i].row = s.past->all[0].row;
        s.past->all[i].row.id = id;
    }
    draw(&s);
    assert_int_equal(s.trade->count, 3);
    for (int i = 0; i < 3; i++) assert_true(s.trade->points[i].front); // none beats another
    stage_close(&s);
}

static void broken_points(void **state) {
    (void)state;
    stage s = stage_open(9);
    session_overview *r[9];
    for (int i = 0; i < 9; i++) r[i] = &s.past->all[i].row;
    r[1]->value = NAN;
    r[2]->value = INFINITY;
    r[3]->bytes = -1;
    r[4]->low = NAN; // a point without an interval
    r[5]->low = -INFINITY;
    snprintf(r[6]->metric, sizeof r[6]->metric, "mse");
    snprintf(r[7]->model_hash, sizeof r[7]->model_hash, "aa");
    snprintf(r[0]->model_hash, sizeof r[0]->model_hash, "bb");
    r[8]->kl = 0;
    draw(&s);
    assert_int_equal(s.trade->count, 4);
    assert_int_equal(s.trade->unmeasured, 3);
    assert_int_equal(s.trade->others, 2);
    assert_true(shows(&s, "3 without these figures; 2 of other content or metric"));
    s.trade->kl = s.trade->y_log = s.trade->stale = s.trade->fit = true; // a KL of 0 has no place
    draw(&s);
    assert_int_equal(s.trade->count, 5); // those whose metric was broken have a KL
    s.trade->all_models = s.trade->stale = true;
    draw(&s);
    assert_int_equal(s.trade->others, 1);
    stage_close(&s);
}

// The front against the definition: no other point is smaller and at least as good, or as small and better.
static void the_front(void **state) {
    (void)state;
    stage s = stage_open(400);
    for (int kl = 0; kl < 2; kl++) {
        s.trade->kl = kl;
        s.trade->stale = true;
        trade_points_make(s.app, s.trade);
        assert_int_equal(s.trade->count, 400);
        for (int i = 0; i < 400; i++) {
            bool beaten = false;
            const trade_point *p = &s.trade->points[i];
            for (int k = 0; k < 400; k++) {
                const trade_point *q = &s.trade->points[k];
                double gain = kl ? p->y - q->y : q->y - p->y;
                beaten |= q->x <= p->x && gain >= 0 && (q->x < p->x || gain > 0);
            }
            assert_int_equal(p->front, !beaten);
        }
    }
    stage_close(&s);
}

static void what_differs_from_the_base(void **state) {
    (void)state;
    stage s = stage_open(5);
    snprintf(s.past->all[1].row.params, sizeof s.past->all[1].row.params, "bits=3 act=yes");
    s.trade->selected = s.past->all[1].row.id;
    s.past->base = s.past->all[0].row.id;
    draw(&s);
    int seen = 0;
    for (int i = 0; i < s.trade->line_count; i++) {
        const trade_line *l = &s.trade->line[i];
        if (strcmp(l->name, "bits") == 0 && l->param)
            seen |= 1 * (l->differs && strcmp(l->here, "3") == 0 && strcmp(l->base, "0") == 0);
        if (strcmp(l->name, "act") == 0) seen |= 2 * (l->differs && !l->base[0]);
        if (strcmp(l->name, "group") == 0) seen |= 4 * (l->differs && !l->here[0] && strcmp(l->base, "64") == 0);
        if (strcmp(l->name, "top1") == 0) seen |= 8 * (strchr(l->difference, '[') != NULL);
    }
    assert_int_equal(seen, 15);
    stage_close(&s);
}

static void filters(void **state) {
    (void)state;
    stage s = stage_open(70);
    base_err err = {0};
    assert_true(trade_filter(s.trade, "^w3 ", &err));
    draw(&s);
    assert_int_equal(s.trade->count, 10);
    assert_true(trade_filter(s.trade, "!^w3 ", &err));
    draw(&s);
    assert_int_equal(s.trade->count, 60);
    assert_false(trade_filter(s.trade, "w(", &err)); // what was there stays
    draw(&s);
    assert_int_equal(s.trade->count, 60);
    assert_true(trade_filter(s.trade, "nothing has this", &err));
    draw(&s);
    assert_true(shows(&s, "No run matches"));
    stage_close(&s);
}

static void many_points_are_quick(void **state) {
    (void)state;
    stage s = stage_open(5000);
    draw(&s);
    assert_int_equal(s.trade->count, 5000);
    for (int kind = 0; kind < 3; kind++) {
        s.app->dots = "bla"[kind];
        double best = INFINITY;
        for (int i = 0; i < 20; i++) {
            double start = base_now();
            draw(&s);
            best = fmin(best, base_now() - start);
        }
        print_message("5 000 points on 200x60, dots %c: %.2f ms\n", s.app->dots, best * 1e3);
        assert_true(best < 0.008 * SUPPORT_SLOWER);
    }
    double start = base_now();
    s.trade->stale = true;
    trade_points_make(s.app, s.trade);
    print_message("points made anew: %.2f ms\n", (base_now() - start) * 1e3);
    for (int i = 0; i < 100; i++) trade_zoom(&s.trade->x, 0.5, 0.7); // far inside: lines clipped, nothing to see
    draw(&s);
    stage_close(&s);
}

// Every size a panel may have.
static void every_size(void **state) {
    (void)state;
    stage s = stage_open(30);
    s.trade->budget = 50000;
    for (int w = 1; w < 60; w++)
        for (int h = 1; h < 30; h += 3) {
            ui_grid_resize(&s.grid, w, h);
            draw(&s);
        }
    stage_close(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_and_values), cmocka_unit_test(fitting),
        cmocka_unit_test(zoom_and_pan),      cmocka_unit_test(ticks),
        cmocka_unit_test(nearest_points),    cmocka_unit_test(budgets_are_read),
        cmocka_unit_test(no_points),         cmocka_unit_test(one_point),
        cmocka_unit_test(equal_points),      cmocka_unit_test(broken_points),
        cmocka_unit_test(the_front),         cmocka_unit_test(what_differs_from_the_base),
        cmocka_unit_test(filters),           cmocka_unit_test(many_points_are_quick),
        cmocka_unit_test(every_size)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
