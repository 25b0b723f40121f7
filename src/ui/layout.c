// The layout: a title bar, one or two columns of panels, a status line and a line of keys. Panels are dropped by
// priority until every one that stays has the rows it asked for; what is left over is shared by weight.
#include "ui/layout.h"

#include <string.h>

typedef struct column {
    int member[UI_MAX_VIEWS], count;
    ui_rect r;
} column;

static int column_rows(const column *c, const ui_slot *slots) {
    int rows = 0;
    for (int i = 0; i < c->count; i++) rows += slots[c->member[i]].min_h;
    return rows;
}

static void column_drop(column *c, int index) {
    memmove(&c->member[index], &c->member[index + 1], (size_t)(c->count - index - 1) * sizeof(int));
    c->count--;
}

// Drop the panel of lowest priority (the later one of equals), never the focus, until the rest fit.
static void column_fit(column *c, const ui_slot *slots, int focus) {
    while (c->count > 1 && column_rows(c, slots) > c->r.h) {
        int worst = -1;
        for (int i = 0; i < c->count; i++) {
            if (c->member[i] == focus) continue;
            if (worst < 0 || slots[c->member[i]].priority <= slots[c->member[worst]].priority) worst = i;
        }
        column_drop(c, worst);
    }
}

static void column_place(const column *c, const ui_slot *slots, ui_layout *out) {
    if (!c->count) return; // every view stands in the other column, or the zoomed one does
    int rows[UI_MAX_VIEWS], left = c->r.h;
    for (int i = 0; i < c->count; i++) {
        rows[i] = slots[c->member[i]].min_h;
        left -= rows[i];
    }
    // Rows that the user gave come first, as far as they go.
    for (int i = 0; i < c->count; i++) {
        int more = slots[c->member[i]].want_h - rows[i];
        if (more > left) more = left;
        if (more > 0) rows[i] += more, left -= more;
    }
    // Shares by weight; a panel at its maximum leaves the rest to the others. One row at a time is simple and fair
    // enough for a few hundred rows.
    while (left > 0) {
        int best = -1;
        double hunger = 0;
        for (int i = 0; i < c->count; i++) {
            const ui_slot *s = &slots[c->member[i]];
            if (s->max_h > 0 && rows[i] >= s->max_h) continue;
            if (s->want_h > 0 && rows[i] >= s->want_h) continue;
            double h = (s->weight > 0 ? s->weight : 1e-3) / (rows[i] - s->min_h + 1);
            if (best < 0 || h > hunger) best = i, hunger = h;
        }
        if (best < 0) best = c->count - 1; // all full: the last one takes it
        rows[best]++;
        left--;
    }
    int y = c->r.y;
    for (int i = 0; i < c->count; i++) {
        int h = i == c->count - 1 ? c->r.y + c->r.h - y : rows[i]; // a lone panel may have less than it asked for
        out->panel[c->member[i]] = (ui_rect){c->r.x, y, c->r.w, h};
        out->shown++;
        y += h;
    }
}

static int widest(const ui_slot *slots, int count, int which) {
    int w = 0;
    for (int i = 0; i < count; i++)
        if (!slots[i].away && slots[i].column == which && slots[i].min_w > w) w = slots[i].min_w;
    return w;
}

void ui_layout_make(ui_layout *out, int w, int h, const ui_slot *slots, int count, int focus, bool zoom, double split) {
    *out = (ui_layout){0};
    if (count > UI_MAX_VIEWS) count = UI_MAX_VIEWS;
    if (w < UI_MIN_WIDTH || h < UI_MIN_HEIGHT) {
        out->too_small = true;
        out->title = (ui_rect){0, 0, w, 1};
        return;
    }
    out->title = (ui_rect){0, 0, w, 1};
    out->status = (ui_rect){0, h - 1, w, 1};
    int bottom = h - 1;
    if (h >= 10) {
        out->keys = (ui_rect){0, h - 1, w, 1};
        out->status.y = --bottom;
    }
    ui_rect body = {0, 1, w, bottom - 1};
    int left_w = widest(slots, count, 0), right_w = widest(slots, count, 1);
    bool two = !zoom && left_w > 0 && right_w > 0 && w >= left_w + 1 + right_w;
    column columns[2] = {{.r = body}, {.r = body}};
    for (int i = 0; i < count; i++) {
        if (slots[i].away || (zoom && i != focus)) continue;
        column *c = &columns[two && slots[i].column == 1];
        c->member[c->count++] = i;
    }
    if (two) {
        // The right column keeps close to its minimum: a third of what is spare.
        int right = right_w + (w - left_w - 1 - right_w) * 2 / 5;
        if (split > 0) { // or what the user made of it
            right = w - 1 - (int)(split * w + 0.5);
            if (right > w - 1 - left_w) right = w - 1 - left_w;
            if (right < right_w) right = right_w;
        }
        columns[1].r = (ui_rect){w - right, body.y, right, body.h};
        columns[0].r.w = w - right - 1;
        out->divider = (ui_rect){w - right - 1, body.y, 1, body.h};
    }
    for (int c = 0; c < (two ? 2 : 1); c++) {
        column_fit(&columns[c], slots, focus);
        column_place(&columns[c], slots, out);
    }
}

ui_rect ui_layout_popup(int screen_w, int screen_h, int w, int h) {
    if (w > screen_w) w = screen_w;
    if (h > screen_h) h = screen_h;
    return (ui_rect){(screen_w - w) / 2, (screen_h - h) / 2, w, h};
}
