// One sample: its picture, and what both networks said as bars; or a text as both continue it, side by side.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ui/host.h"
#include "ui/image.h"
#include "ui/samples.h"
#include "ui/term.h"

static const ui_sample *sample_here(const ui_app *app) {
    const ui_samples *s = ui_samples_of(app);
    int view = ui_view_find(app, "samples"), row = view < 0 ? 0 : app->views[view].scroll.cursor;
    return s->result && row >= 0 && row < s->shown_count ? &s->shown[row] : NULL;
}

// ---- bars --------------------------------------------------------------------------------------

// "name  ██████ 0.98   ▏ 0.01"; `mark` stands before what is the label.
static void draw_pair(ui_area a, int y, int name_width, const char *name, bool label, double before, double after,
                      bool said_before, bool said_after) {
    int bar = (a.r.w - name_width - 2 - 2 * 6) / 2;
    char number[16];
    ui_char(a, 0, y, label ? UI_GOOD : UI_DIM, label ? 0x25B6 : ' ');
    ui_fit(a, 2, y, name_width, UI_LEFT, label ? UI_STRONG : UI_NORMAL, name);
    int x = 2 + name_width + 1;
    bar = bar < 0 ? 0 : bar - 1;
    const struct {
        double value;
        bool said;
    } side[] = {{before, said_before}, {after, said_after}};
    for (int i = 0; i < 2; i++) {
        if (bar) ui_bar_draw(a, x, y, bar, side[i].said ? UI_ACCENT : UI_DIM, side[i].value, 0);
        snprintf(number, sizeof number, "%.2f%s", side[i].value, side[i].said ? "*" : " ");
        x = ui_fit(a, x + bar, y, 6, UI_RIGHT, side[i].said ? UI_STRONG : UI_DIM, number) + 1;
    }
}

static void draw_heads(ui_area a, int y, int name_width, int rows_left) {
    int bar = (a.r.w - name_width - 2 - 2 * 6) / 2;
    bar = bar < 0 ? 0 : bar - 1;
    if (rows_left < 1) return;
    int x = 2 + name_width + 1;
    ui_fit(a, x, y, bar + 6, UI_LEFT, UI_DIM, "original");
    ui_fit(a, x + bar + 7, y, bar + 6, UI_LEFT, UI_DIM, "compressed");
}

// Classes in their order when all fit, else the likeliest of both and the label.
static void draw_classes(ui_area a, const ui_samples_result *r, const ui_sample *s) {
    const float *p = r->before + s->at * r->classes, *q = r->after + s->at * r->classes;
    int rows = a.r.h - 1, name_width = 4;
    char name[40];
    for (int64_t i = 0; i < r->classes && r->class_names; i++) {
        int w = base_columns(r->class_names[i]);
        if (w > name_width) name_width = w < 14 ? w : 14;
    }
    draw_heads(a, 0, name_width, rows);
    bool all = r->classes <= rows;
    for (int y = 0, used = 0; y < rows && used < r->classes; y++, used++) {
        int64_t class = y;
        if (!all) { // the y-th by the greater of both
            class = -1;
            double limit = INFINITY;
            for (int k = 0; k <= y; k++) {
                int64_t best = -1;
                for (int64_t i = 0; i < r->classes; i++) {
                    double v = fmax((double)p[i], (double)q[i]) + 1e-12 * (double)(r->classes - i);
                    double b =
                        best < 0 ? -1 : fmax((double)p[best], (double)q[best]) + 1e-12 * (double)(r->classes - best);
                    if (v < limit && v > b) best = i;
                }
                class = best;
                if (best >= 0) limit = fmax((double)p[best], (double)q[best]) + 1e-12 * (double)(r->classes - best);
            }
            if (class < 0) return;
        }
        if (r->class_names)
            base_clean(name, sizeof name, r->class_names[class]);
        else
            snprintf(name, sizeof name, "%lld", (long long)class);
        draw_pair(a, 1 + y, name_width, name, class == s->label, (double)p[class], (double)q[class], class == s->before,
                  class == s->after);
    }
}

// ---- a sample ----------------------------------------------------------------------------------

static void draw_said(ui_area a, const ui_samples_result *r, const ui_sample *s) {
    char number[32];
    int x = ui_putf(a, 0, 0, UI_STRONG, "sample %lld", (long long)s->number) + 2;
    if (r->task != MODEL_CLASSIFY) {
        snprintf(number, sizeof number, "%.4g", s->change);
        ui_putf(a, x, 0, UI_DIM, "squared error %.4g, then %.4g; outputs apart by %s", s->own_before, s->own_after,
                number);
        return;
    }
    x = ui_putf(a, x, 0, UI_NORMAL, "is %s,", s->label_name) + 1;
    x = ui_putf(a, x, 0, UI_NORMAL, "said %s", s->before_name) + 1;
    x = ui_put(a, x, 0, UI_DIM, "\xe2\x86\x92") + 1;
    x = ui_put(a, x, 0, s->after == s->label ? UI_GOOD : UI_BAD, s->after_name) + 2;
    ui_putf(a, x, 0, UI_DIM, "KL %.3g nat", s->kl);
}

static void draw_values(ui_area a, const ui_samples_result *r, const ui_sample *s) {
    const float *x = r->pixels + s->at * r->values;
    base_buf b = {0};
    for (int64_t i = 0; i < r->values && i < 64; i++) base_buf_printf(&b, "%.3g ", (double)x[i]);
    if (r->values > 64) base_buf_puts(&b, "...");
    ui_wrap(a, 0, UI_DIM, b.text);
    base_buf_free(&b);
}

static void draw_sample(ui_area a, const ui_samples_result *r, const ui_sample *s) {
    draw_said(a, r, s);
    ui_area rest = ui_sub(a, 0, 1, a.r.w, a.r.h - 1);
    bool beside = rest.r.w >= 44;
    int w = beside ? rest.r.w * 2 / 5 : rest.r.w, h = beside ? rest.r.h : rest.r.h / 2, used_w = 0, used_h = 0;
    if (r->height) {
        ui_image_size(w, h, r->height, r->width, ui_theme_depth(), &used_w, &used_h);
        ui_image_draw(ui_sub(rest, 0, 0, w, h), r->pixels + s->at * r->values, r->channels, r->height, r->width,
                      ui_theme_depth());
    } else {
        draw_values(ui_sub(rest, 0, 0, w, h), r, s);
        used_w = w, used_h = h;
    }
    ui_area bars = beside ? ui_sub(rest, used_w + 2, 0, rest.r.w - used_w - 2, rest.r.h)
                          : ui_sub(rest, 0, used_h, rest.r.w, rest.r.h - used_h);
    if (r->task == MODEL_CLASSIFY) draw_classes(bars, r, s);
}

// ---- a text ------------------------------------------------------------------------------------

typedef struct pen {
    ui_area a;
    int x, y;
} pen;

// Letters one after the other, broken at the edge; line ends are shown as a sign.
static void write_on(pen *p, ui_style style, const char *text, size_t bytes) {
    for (const char *at = text; at < text + bytes && p->y < p->a.r.h;) {
        uint32_t ch = ui_next_char(&at);
        if (ch == '\n') ch = 0x21B5;
        int width = ui_char_width(ch);
        if (ch < 32) ch = '?', width = 1;
        if (p->x + width > p->a.r.w) p->x = 0, p->y++;
        if (p->y < p->a.r.h) ui_char(p->a, p->x, p->y, style, ch);
        p->x += width;
    }
}

// Where the other goes on differently, the first letter is marked and what follows stands out.
static void draw_side(ui_area a, const char *title, const ui_continued *c, const char *text, ui_style rest) {
    ui_fit(a, 0, 0, a.r.w, UI_LEFT, UI_DIM, title);
    pen p = {ui_sub(a, 0, 1, a.r.w - 1, a.r.h - 1), 0, 0};
    write_on(&p, UI_DIM, c->prompt, strlen(c->prompt));
    write_on(&p, UI_NORMAL, text, c->same);
    const char *at = text + c->same, *next = at;
    if (!*at) return;
    if (c->differs) write_on(&p, UI_KEY, "\xe2\x96\xb6", 3);
    ui_next_char(&next);
    write_on(&p, UI_FOUND, at, (size_t)(next - at));
    write_on(&p, rest, next, strlen(next));
}

static void draw_text(ui_area a, const ui_sample *s, const ui_continued *c) {
    int top = c->top_count + 2 < a.r.h / 2 ? c->top_count + 2 : a.r.h / 2;
    ui_area texts = ui_sub(a, 0, 0, a.r.w, a.r.h - top), tops = ui_sub(a, 0, a.r.h - top, a.r.w, top);
    bool beside = a.r.w >= 40;
    int w = beside ? a.r.w / 2 : a.r.w, h = beside ? texts.r.h : texts.r.h / 2;
    draw_side(ui_sub(texts, 0, 0, w, h), "original", c, c->before, UI_GOOD);
    draw_side(ui_sub(texts, beside ? w : 0, beside ? 0 : h, a.r.w - (beside ? w : 0), h), "compressed", c, c->after,
              UI_WARN);
    char head[120];
    if (c->differs)
        snprintf(head, sizeof head, "the next token where they part, after %lld new ones; KL %.3g nat",
                 (long long)s->same, s->kl);
    else
        snprintf(head, sizeof head, "nothing differs; the token behind the end; KL %.3g nat", s->kl);
    ui_fit(tops, 0, 0, tops.r.w, UI_LEFT, UI_DIM, head);
    draw_heads(tops, 1, 10, top - 1);
    double most_before = 0, most_after = 0;
    for (int i = 0; i < c->top_count; i++) {
        most_before = fmax(most_before, c->top[i].before);
        most_after = fmax(most_after, c->top[i].after);
    }
    for (int i = 0; i < c->top_count && i + 2 < top; i++)
        draw_pair(tops, i + 2, 10, c->top[i].text, false, c->top[i].before, c->top[i].after,
                  c->top[i].before >= most_before, c->top[i].after >= most_after);
}

HOST(h_sample) {
    APP;
    (void)c;
    if (!ui_host_drawing(app, err)) return false;
    ui_area a = ui_host_take(app);
    const ui_samples *s = ui_samples_of(app);
    const ui_sample *row = sample_here(app);
    if (!row)
        ui_wrap(a, 0, UI_DIM, "The sample under the cursor of the list stands here.");
    else if (s->result->text)
        draw_text(a, row, &s->result->text[row->at]);
    else
        draw_sample(a, s->result, row);
    return true;
}

// ---- what stands around the list ---------------------------------------------------------------

static const char *advice(const ui_app *app, char *out, size_t size) {
    const ui_samples *s = ui_samples_of(app);
    if (app->state.job == UI_RUNNING)
        snprintf(out, size, "A run is going; its samples can be compared when it has ended.");
    else if (s->trouble[0])
        snprintf(out, size, "%s", s->trouble);
    else if (!s->ended)
        snprintf(out, size,
                 "No run has ended yet. Enter runs the recipe; then the samples that it changed stand here. "
                 ":samples FILE compares a model that was saved.");
    else if (!s->saved)
        snprintf(
            out, size,
            "%s saved nothing, so there is no compressed model to compare. S adds save() to the recipe and runs it "
            "again; what was computed is kept, so that it takes a moment.",
            s->run);
    else if (s->of > 0)
        snprintf(out, size, "Comparing, %lld of %lld ...", (long long)s->done, (long long)s->of);
    else if (s->result && s->result->task == MODEL_CLASSIFY)
        snprintf(out, size, "None of the %lld samples looked at is %s. f shows others.", (long long)s->result->looked,
                 s->which == UI_NEWLY_WRONG   ? "newly wrong"
                 : s->which == UI_NEWLY_RIGHT ? "newly right"
                                              : "decided differently");
    else
        out[0] = 0;
    return out;
}

// ui.samples(name): what the list shows. Asks for the samples of a run that ended, once, when it is looked at.
HOST(h_samples) {
    APP;
    ui_samples *s = ui_samples_of(app);
    const ui_samples_result *r = s->result;
    const char *name = script_arg_text(c, 0);
    char text[640], counts[160] = "";
    static const char *const which[] = {"newly wrong", "newly right", "all flips"};
    if (s->ended && !s->asked && app->state.job != UI_RUNNING && app->drawing) ui_samples_begin(app);
    if (r && r->task == MODEL_CLASSIFY)
        snprintf(counts, sizeof counts, "%lld newly wrong, %lld newly right, %lld flips", (long long)r->newly_wrong,
                 (long long)r->newly_right, (long long)r->flips);
    else if (r && r->text)
        snprintf(counts, sizeof counts, "%lld of %lld continued differently", (long long)r->flips,
                 (long long)r->looked);
    const struct {
        const char *name, *text;
    } table[] = {
        {"kind", !r                          ? ""
                 : r->task == MODEL_CLASSIFY ? "classes"
                 : r->text                   ? "text"
                                             : "values"},
        {"run", s->run},
        {"title", r ? r->title : ""},
        {"counts", counts},
        {"which", r && r->task == MODEL_CLASSIFY ? which[s->which] : ""},
        {"sort", s->by_change ? "change" : "KL"},
        {"advice", advice(app, text, sizeof text)},
        {"state", s->of > 0 ? "comparing" : ""},
    };
    for (size_t i = 0; name && i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0) {
            script_push_text(c, table[i].text);
            return true;
        }
    return base_fail(err, "ui.samples knows kind, run, title, counts, which, sort, advice and state, not \"%s\"",
                     name ? name : "");
}

const script_function ui_samples_functions[] = {
    {"sample", "() the sample under the cursor of the list: picture or text, both answers", h_sample},
    {"samples", "(name) of the samples compared: kind run title counts which sort advice state", h_samples},
};
