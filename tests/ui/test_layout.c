// Laws of the layout, at every size from 1x1 to 300x100: no panel is empty, outside, or over another; the focus is
// always shown; below the minimum there is one line.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ui/layout.h"
#include "ui/widget.h"

static bool overlap(ui_rect a, ui_rect b) {
    return a.w > 0 && a.h > 0 && b.w > 0 && b.h > 0 && a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h &&
           b.y < a.y + a.h;
}

static void inside(ui_rect r, int w, int h) {
    assert_true(r.x >= 0 && r.y >= 0 && r.w >= 0 && r.h >= 0);
    assert_true(r.x + r.w <= w && r.y + r.h <= h);
}

static void check_split(const ui_slot *slots, int count, int focus, bool zoom, int w, int h, double split) {
    ui_layout l;
    ui_layout_make(&l, w, h, slots, count, focus, zoom, split);
    assert_int_equal(l.too_small, w < UI_MIN_WIDTH || h < UI_MIN_HEIGHT);
    inside(l.title, w, h);
    assert_true(l.title.w > 0 && l.title.h > 0);
    if (l.too_small) {
        for (int i = 0; i < count; i++) assert_int_equal(l.panel[i].w, 0);
        return;
    }
    ui_rect all[UI_MAX_VIEWS + 4];
    int n = 0, area = 0;
    for (int i = 0; i < count; i++) {
        if (l.panel[i].w == 0) continue;
        assert_true(l.panel[i].h > 0);
        assert_true(!zoom || i == focus);
        all[n++] = l.panel[i];
    }
    assert_int_equal(n, l.shown);
    if (count > 0) assert_true(l.panel[focus].w > 0);
    all[n++] = l.title;
    all[n++] = l.status;
    if (l.keys.h > 0) all[n++] = l.keys;
    if (l.divider.w > 0) all[n++] = l.divider;
    for (int i = 0; i < n; i++) {
        inside(all[i], w, h);
        area += all[i].w * all[i].h;
        for (int j = 0; j < i; j++) assert_false(overlap(all[i], all[j]));
    }
    if (count > 0) assert_int_equal(area, w * h); // and no cell belongs to nobody
}

static void check(const ui_slot *slots, int count, int focus, bool zoom, int w, int h) {
    check_split(slots, count, focus, zoom, w, h, 0);
}

static const ui_slot shipped[] = {{0, 10, 4, 50, 9, 0, false, 0},
                                  {0, 8, 2, 50, 6, 0, false, 0},
                                  {1, 6, 0.5, 36, 4, 0, false, 0},
                                  {1, 4, 2, 36, 9, 0, false, 0}};

static void every_size(void **state) {
    (void)state;
    for (int w = 1; w <= 300; w++)
        for (int h = 1; h <= 100; h++)
            for (int focus = 0; focus < 4; focus++) {
                check(shipped, 4, focus, false, w, h);
                check(shipped, 4, focus, true, w, h);
            }
}

static uint32_t seed = 1;
static int chance(int n) {
    seed = seed * 1664525u + 1013904223u;
    return (int)((seed >> 8) % (uint32_t)n);
}

static void any_views(void **state) {
    (void)state;
    for (int round = 0; round < 20000; round++) {
        ui_slot slots[UI_MAX_VIEWS];
        int count = chance(UI_MAX_VIEWS + 1);
        for (int i = 0; i < count; i++)
            slots[i] = (ui_slot){chance(2),      chance(5) - 2,
                                 chance(4),      4 + chance(80),
                                 2 + chance(20), chance(3) ? 0 : 3 + chance(30),
                                 chance(3) == 0, chance(2) ? 0 : chance(120)};
        int focus = count ? chance(count) : 0;
        if (count) slots[focus].away = false; // the focus stands on the tab that is shown
        check_split(slots, count, focus, chance(4) == 0, 1 + chance(300), 1 + chance(100),
                    chance(2) ? 0 : chance(101) / 100.0);
    }
}

static void minimum_rows(void **state) {
    (void)state;
    // Where more than one panel is shown in a column, each has the rows it asked for.
    for (int h = UI_MIN_HEIGHT; h <= 100; h++) {
        ui_layout l;
        ui_layout_make(&l, 80, h, shipped, 4, 0, false, 0);
        for (int i = 0; i < 4; i++)
            if (l.panel[i].w > 0 && l.shown > 1) assert_true(l.panel[i].h >= shipped[i].min_h);
    }
    ui_layout l;
    ui_layout_make(&l, 80, 24, shipped, 4, 0, false, 0);
    assert_int_equal(l.panel[3].w, 0); // the chart goes first
    ui_layout_make(&l, 80, 24, shipped, 4, 3, false, 0);
    assert_true(l.panel[3].w > 0); // unless it has the focus
}

static void popups(void **state) {
    (void)state;
    for (int w = 1; w <= 120; w++)
        for (int h = 1; h <= 60; h++) inside(ui_layout_popup(w, h, 1 + chance(140), 1 + chance(80)), w, h);
}

static void columns(void **state) {
    (void)state;
    for (int round = 0; round < 20000; round++) {
        ui_column c[UI_MAX_COLUMNS] = {0};
        int widths[UI_MAX_COLUMNS], count = 1 + chance(UI_MAX_COLUMNS), room = chance(300), used = 0, fixed = 0,
                                    shown = 0;
        for (int i = 0; i < count; i++) {
            c[i].width = 1 + chance(20);
            c[i].grow = chance(3);
            c[i].drop = chance(6);
            if (c[i].drop == 0) fixed += c[i].width + 1;
        }
        ui_columns_fit(c, count, room, widths);
        for (int i = 0; i < count; i++) {
            if (widths[i] == 0)
                assert_true(c[i].drop > 0); // only what may go goes
            else
                assert_true(widths[i] >= c[i].width);
            used += widths[i] ? widths[i] + 1 : 0;
            shown += widths[i] > 0;
        }
        if (shown && fixed - 1 <= room) assert_true(used - 1 <= room);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_size), cmocka_unit_test(any_views),
                                       cmocka_unit_test(minimum_rows), cmocka_unit_test(popups),
                                       cmocka_unit_test(columns)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
