// The line editor: UTF-8 text, a cursor, history with the arrow keys, completion of the word at the cursor.
#include "ui/prompt.h"

#include <stdlib.h>
#include <string.h>

#include "ui/term.h"

void ui_prompt_start(ui_prompt *p, ui_prompt_kind kind, const char *text) {
    p->kind = kind;
    snprintf(p->text, sizeof p->text, "%s", text);
    p->cursor = (int)strlen(p->text);
    p->bad = false;
    p->trouble[0] = p->typed[0] = p->candidates[0] = 0;
    p->at = p->history[kind].count;
}

static void remember(ui_lines *h, const char *text) {
    if (!text[0] || (h->count && strcmp(h->line[h->count - 1], text) == 0)) return;
    if (h->count == UI_HISTORY_LINES) {
        free(h->line[0]);
        memmove(h->line, h->line + 1, (UI_HISTORY_LINES - 1) * sizeof *h->line);
        h->count--;
    }
    h->line[h->count++] = base_strdup(text);
}

void ui_prompt_free(ui_prompt *p) {
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < p->history[k].count; i++) free(p->history[k].line[i]);
}

// Byte offset of the character before or after `at`.
static int before(const char *text, int at) {
    if (at > 0) at--;
    while (at > 0 && ((unsigned char)text[at] & 0xC0) == 0x80) at--;
    return at;
}
static int after(const char *text, int at) {
    if (text[at]) at++;
    while (((unsigned char)text[at] & 0xC0) == 0x80) at++;
    return at;
}

static void cut(ui_prompt *p, int from, int to) {
    memmove(p->text + from, p->text + to, strlen(p->text + to) + 1);
    p->cursor = from;
}

void ui_prompt_insert(ui_prompt *p, const char *text) {
    size_t n = strlen(text), have = strlen(p->text);
    if (have + n >= sizeof p->text) return;
    memmove(p->text + p->cursor + n, p->text + p->cursor, have - (size_t)p->cursor + 1);
    memcpy(p->text + p->cursor, text, n);
    p->cursor += (int)n;
}

static void show_history(ui_prompt *p, int step) {
    const ui_lines *h = &p->history[p->kind];
    int to = p->at + step;
    if (to < 0 || to > h->count) return;
    if (p->at == h->count) snprintf(p->typed, sizeof p->typed, "%s", p->text);
    p->at = to;
    snprintf(p->text, sizeof p->text, "%s", to == h->count ? p->typed : h->line[to]);
    p->cursor = (int)strlen(p->text);
}

static int word_back(const ui_prompt *p) {
    int at = p->cursor;
    while (at > 0 && p->text[at - 1] == ' ') at--;
    while (at > 0 && p->text[at - 1] != ' ') at--;
    return at;
}

enum {
    CTRL_A = 1,
    CTRL_B = 2,
    CTRL_C = 3,
    CTRL_D = 4,
    CTRL_E = 5,
    CTRL_F = 6,
    CTRL_G = 7,
    CTRL_K = 11,
    CTRL_N = 14,
    CTRL_P = 16,
    CTRL_U = 21,
    CTRL_W = 23
};

static bool move_cursor(ui_prompt *p, int key) {
    int end = (int)strlen(p->text);
    if (key == UI_KEY_LEFT || key == CTRL_B)
        p->cursor = before(p->text, p->cursor);
    else if (key == UI_KEY_RIGHT || key == CTRL_F)
        p->cursor = after(p->text, p->cursor);
    else if (key == UI_KEY_HOME || key == CTRL_A)
        p->cursor = 0;
    else if (key == UI_KEY_END || key == CTRL_E)
        p->cursor = end;
    else
        return false;
    return true;
}

static bool edit(ui_prompt *p, int key) {
    if (key == UI_KEY_UP || key == CTRL_P)
        show_history(p, -1);
    else if (key == UI_KEY_DOWN || key == CTRL_N)
        show_history(p, 1);
    else if (key == UI_KEY_BACKSPACE)
        cut(p, before(p->text, p->cursor), p->cursor);
    else if (key == UI_KEY_DELETE || key == CTRL_D)
        cut(p, p->cursor, after(p->text, p->cursor));
    else if (key == CTRL_U)
        cut(p, 0, p->cursor);
    else if (key == CTRL_K)
        p->text[p->cursor] = 0;
    else if (key == CTRL_W)
        cut(p, word_back(p), p->cursor);
    else if (key >= 0x20 && key < UI_KEY_UP) {
        char text[5];
        ui_encode((uint32_t)key, text);
        ui_prompt_insert(p, text);
    } else
        return false;
    return true;
}

ui_prompt_result ui_prompt_key(ui_prompt *p, int key) {
    p->candidates[0] = 0;
    if (key == UI_KEY_ENTER) {
        if (p->bad) return UI_PROMPT_GOES_ON; // the prompt says what is wrong; mend it or leave
        remember(&p->history[p->kind], p->text);
        return UI_PROMPT_DONE;
    }
    // Backspace in an empty line leaves it, as in other programs with such a line.
    if (key == UI_KEY_ESC || key == CTRL_C || key == CTRL_G || (key == UI_KEY_BACKSPACE && !p->text[0]))
        return UI_PROMPT_LEFT;
    if (move_cursor(p, key)) return UI_PROMPT_GOES_ON;
    return edit(p, key) ? UI_PROMPT_CHANGED : UI_PROMPT_GOES_ON;
}

void ui_prompt_complete(ui_prompt *p, int word_start, const char *const *candidates, int count) {
    p->candidates[0] = 0;
    if (count == 0) {
        snprintf(p->candidates, sizeof p->candidates, "nothing begins like that");
        return;
    }
    size_t common = strlen(candidates[0]), used = 0;
    for (int i = 1; i < count; i++) {
        size_t n = 0;
        while (n < common && candidates[i][n] == candidates[0][n]) n++;
        common = n;
    }
    while (common > 0 && ((unsigned char)candidates[0][common] & 0xC0) == 0x80) common--;
    char *word = base_strndup(candidates[0], common);
    cut(p, word_start, p->cursor);
    ui_prompt_insert(p, word);
    free(word);
    if (count == 1) return;
    for (int i = 0; i < count && used + 1 < sizeof p->candidates; i++) {
        int n = snprintf(p->candidates + used, sizeof p->candidates - used, "%s%s", i ? "  " : "", candidates[i]);
        used += n > 0 ? (size_t)n : 0;
    }
}
