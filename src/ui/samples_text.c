// Prompts as the original and the compressed language model continue them, token by token with the same draws, and what
// both held likely where they part.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ui/cells.h"
#include "ui/samples.h"

enum { PROMPT = 48, MORE = 48, MOST = 512 };

// ---- text and tokens -----------------------------------------------------------------------------

// Text of tokens; ids where the dataset does not know their letters. Caller frees.
static char *text_of(const data_set *set, const int32_t *tokens, int64_t count) {
    base_buf b = {0};
    char *text = set->plain_text ? data_text(set, tokens, count) : NULL;
    if (text) return text;
    base_buf_puts(&b, "");
    for (int64_t i = 0; i < count; i++) base_buf_printf(&b, "%s%d", i ? " " : "", (int)tokens[i]);
    return b.text;
}

// Tokens of a typed prompt; 0 with err when it has letters that the vocabulary lacks.
static int64_t tokens_of(const data_set *set, const char *prompt, int32_t *tokens, int64_t limit, base_err *err) {
    int64_t count = 0;
    if (!set->plain_text) {
        base_fail(err, "the tokens of %s are ids without text, so that a prompt cannot be typed", set->name);
        return 0;
    }
    for (const char *at = prompt; *at && count < limit;) {
        if (!set->vocabulary) {
            tokens[count++] = (unsigned char)*at++;
            continue;
        }
        const char *begin = at;
        uint32_t letter = ui_next_char(&at);
        int32_t id = 0;
        const char *v = set->vocabulary;
        while (*v && ui_next_char(&v) != letter) id++;
        if (id >= set->classes) {
            base_fail(err, "the model does not know the letter '%.*s'", (int)(at - begin), begin);
            return 0;
        }
        tokens[count++] = id;
    }
    if (!count) base_fail(err, "the prompt is empty");
    return count;
}

// ---- the place where they part -------------------------------------------------------------------

// Logits of the next token behind `count` tokens (the end of them when there are too many).
static bool next_of(const model *m, const int32_t *tokens, int64_t count, float *out, int64_t vocabulary, base_job *job,
                    base_err *err) {
    int64_t t = count < m->graph->context ? count : m->graph->context;
    float *all = base_big_alloc((size_t)(t * vocabulary), sizeof *all, "logits", err);
    if (!all) return false;
    int32_t length = (int32_t)t;
    data_batch batch = {.kind = DATA_TOKENS,
                        .count = 1,
                        .length = t,
                        .tokens = (int32_t *)(uintptr_t)(tokens + count - t),
                        .lengths = &length};
    bool ok = engine_forward(m, m->weights, &batch, all, job, err);
    if (ok) memcpy(out, all + (t - 1) * vocabulary, (size_t)vocabulary * sizeof *out);
    base_big_free(all);
    return ok;
}

static bool among(const ui_continued *c, const int64_t *ids, int64_t id) {
    for (int i = 0; i < c->top_count; i++)
        if (ids[i] == id) return true;
    return false;
}

// The likeliest of both.
static void take_top(ui_continued *c, const data_set *set, const float *p, const float *q, int64_t vocabulary) {
    int64_t ids[2 * UI_TOP_TOKENS];
    for (int k = 0; k < 2 * UI_TOP_TOKENS; k++) {
        const float *by = k % 2 ? q : p;
        int64_t at = -1;
        for (int64_t i = 0; i < vocabulary; i++)
            if (!among(c, ids, i) && (at < 0 || by[i] > by[at])) at = i;
        if (at < 0 || k >= UI_TOP_TOKENS + 1) break;
        int32_t token = (int32_t)at;
        char *text = text_of(set, &token, 1);
        ui_top *top = &c->top[c->top_count];
        if (strcmp(text, "\n") == 0)
            snprintf(top->text, sizeof top->text, "line end");
        else if (strcmp(text, " ") == 0)
            snprintf(top->text, sizeof top->text, "space");
        else
            base_clean(top->text, sizeof top->text, text);
        top->before = (double)p[at];
        top->after = (double)q[at];
        ids[c->top_count++] = at;
        free(text);
    }
}

// On one line, for the list.
static void one_line(char out[40], const char *text) {
    char *copy = base_strdup(text);
    for (char *at = copy; (at = strchr(at, '\n'));) *at = ' ';
    base_clean(out, 40, copy);
    free(copy);
}

static size_t same_bytes(const char *a, const char *b) {
    size_t n = 0;
    while (a[n] && a[n] == b[n]) n++;
    while (n > 0 && ((unsigned char)a[n] & 0xC0) == 0x80) n--; // whole letters
    return n;
}

typedef struct both {
    const model *a, *b;
    const data_set *set;
    float *p, *q; // [vocabulary]
} both;

static bool one_prompt(ui_samples_ask *ask, both *w, const int32_t *prompt, int64_t count, int64_t number,
                       base_job *job, base_err *err) {
    ui_samples_result *r = ask->result;
    int32_t x[MOST + MORE], y[MOST + MORE];
    int64_t limit = count + MORE, nx = count, ny = count, same = count;
    memcpy(x, prompt, (size_t)count * sizeof *x);
    memcpy(y, prompt, (size_t)count * sizeof *y);
    if (!engine_generate(w->a, w->a->weights, x, &nx, limit, ask->temperature, ask->seed, job, err) ||
        !engine_generate(w->b, w->b->weights, y, &ny, limit, ask->temperature, ask->seed, job, err))
        return false;
    while (same < nx && same < ny && x[same] == y[same]) same++;
    bool differs = same < nx;
    int64_t before = differs ? same : nx; // what stands before the place looked at
    if (!next_of(w->a, x, before, w->p, r->classes, job, err) || !next_of(w->b, x, before, w->q, r->classes, job, err))
        return false;
    double kl = ui_divergence(w->p, w->q, r->classes);
    ui_softmax(w->p, r->classes, w->p);
    ui_softmax(w->q, r->classes, w->q);
    ui_sample *s = ui_samples_add(r, false);
    if (!s) return true;
    r->text = base_realloc(r->text, (size_t)r->count, sizeof *r->text);
    ui_continued *c = &r->text[s->at];
    *c = (ui_continued){.differs = differs};
    c->prompt = text_of(w->set, prompt, count);
    c->before = text_of(w->set, x + count, nx - count);
    c->after = text_of(w->set, y + count, ny - count);
    c->same = same_bytes(c->before, c->after);
    take_top(c, w->set, w->p, w->q, r->classes);
    s->number = number;
    s->same = differs ? same - count : -1;
    s->kl = kl;
    s->change = differs ? (double)(nx - same) / MORE : 0;
    s->own_before = differs ? (double)w->p[x[same]] : NAN;
    s->own_after = differs ? (double)w->q[x[same]] : NAN;
    snprintf(s->what, sizeof s->what, "%s", differs ? "differs" : "the same");
    one_line(s->label_name, c->prompt);
    one_line(s->before_name, c->before);
    one_line(s->after_name, c->after);
    r->looked++;
    r->flips += differs;
    return true;
}

bool ui_samples_text(ui_samples_ask *ask, const model *a, const model *b, const data_view *view, base_job *job,
                     base_err *err) {
    ui_samples_result *r = ask->result;
    const model_shape *out = model_graph_shape(a->graph, a->graph->output);
    r->classes = out->dim[out->ndim - 1];
    both w = {.a = a, .b = b, .set = view->set};
    w.p = base_calloc((size_t)r->classes, sizeof *w.p);
    w.q = base_calloc((size_t)r->classes, sizeof *w.q);
    data_batch batch = {0};
    int32_t typed[MOST];
    bool ok = true;
    if (ask->prompt) {
        int64_t n = tokens_of(view->set, ask->prompt, typed, MOST, err);
        ok = n > 0 && one_prompt(ask, &w, typed, n, 0, job, err);
    }
    int64_t prompts = view->count < UI_PROMPTS ? view->count : UI_PROMPTS;
    for (int64_t i = 0; ok && i < prompts; i++) {
        int64_t at = i * view->count / prompts;
        ok = base_go_on(job, err) && data_fetch(view, at, 1, &batch, err);
        int64_t n = !ok ? 0 : batch.lengths ? batch.lengths[0] : batch.length;
        ok = ok && one_prompt(ask, &w, batch.tokens, n < PROMPT ? n : PROMPT, at + 1, job, err);
        base_progress(job, "prompts", i + 1, prompts, 0);
    }
    snprintf(r->title, sizeof r->title, "%lld prompt%s from the test part of %s, %d tokens more, %s",
             (long long)prompts, prompts == 1 ? "" : "s", view->set->name, MORE,
             ask->temperature > 0 ? "drawn with a seed" : "the likeliest each time");
    data_batch_free(&batch);
    free(w.p);
    free(w.q);
    return ok;
}
