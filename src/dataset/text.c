// text: plain text as ids, byte by byte or character by character, and the cut of tokens into sequences.
//
// A sequence of n inputs predicts n tokens: target i is the token after input i. Windows follow each other without a
// gap, so that over a whole file every token but the first is predicted exactly once.
#include <stdlib.h>
#include <string.h>

#include "dataset/store.h"

enum { CODE_POINTS = 0x110000 };

int32_t data_utf8(const uint8_t **p, const uint8_t *end) {
    const uint8_t *s = *p;
    int extra = *s < 0x80 ? 0 : (*s & 0xE0) == 0xC0 ? 1 : (*s & 0xF0) == 0xE0 ? 2 : (*s & 0xF8) == 0xF0 ? 3 : -1;
    if (extra < 0 || end - s <= extra) return -1;
    int32_t code = extra == 0 ? *s : *s & (0x3F >> extra);
    for (int i = 1; i <= extra; i++) {
        if ((s[i] & 0xC0) != 0x80) return -1;
        code = code << 6 | (s[i] & 0x3F);
    }
    static const int32_t least[] = {0, 0x80, 0x800, 0x10000}; // longer forms than needed are not valid
    if (code < least[extra] || code >= CODE_POINTS || (code >= 0xD800 && code < 0xE000)) return -1;
    *p = s + extra + 1;
    return code;
}

int data_utf8_put(int32_t code, char out[5]) {
    int extra = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = {0, 0xC0, 0xE0, 0xF0};
    for (int i = extra; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)(lead[extra] | code);
    out[extra + 1] = 0;
    return extra + 1;
}

bool data_read_text(data_reader *r, const data_source *source, data_chunk *chunk, base_err *err) {
    (void)r, (void)source;
    size_t bytes;
    chunk->owned = num_gunzip(chunk->path, DATA_MAX_FILE, &bytes, err);
    if (!chunk->owned) return false;
    chunk->values = chunk->owned;
    chunk->token_count = (int64_t)bytes; // bytes until data_text_ids
    if (bytes < 2) return base_fail(err, "%s: %zu bytes of text; at least 2 were expected", chunk->shown, bytes);
    return true;
}

// ---- character level ----------------------------------------------------------------------------------------------

// Ids of code points, in pages of 256 so that a text of few scripts touches little memory.
typedef struct char_map {
    int32_t *page[CODE_POINTS / 256]; // id + 1; 0: not in the vocabulary
    int32_t *code;                    // of each id
    int64_t count, capacity;
} char_map;

static int32_t *slot_of(char_map *m, int32_t code) {
    int32_t **page = &m->page[code / 256];
    if (!*page) *page = base_calloc(256, sizeof **page);
    return &(*page)[code % 256];
}

static int32_t id_of(const char_map *m, int32_t code) { // -1: none
    const int32_t *page = m->page[code / 256];
    return page ? page[code % 256] - 1 : -1;
}

static void add_code(char_map *m, int32_t code) {
    if (m->count == m->capacity) {
        m->capacity = m->capacity ? 2 * m->capacity : 128;
        m->code = base_realloc(m->code, (size_t)m->capacity, sizeof *m->code);
    }
    m->code[m->count++] = code;
    *slot_of(m, code) = (int32_t)m->count;
}

static void char_map_free(char_map *m) {
    for (size_t i = 0; i < CODE_POINTS / 256; i++) free(m->page[i]);
    free(m->code);
    free(m);
}

static bool text_fail(const data_chunk *c, const uint8_t *at, int32_t code, base_err *err) {
    int64_t line = 1, column = 1;
    for (const uint8_t *p = c->values; p < at; p++) {
        if (*p == '\n') line++, column = 0;
        if ((*p & 0xC0) != 0x80 || *p == '\n') column++;
    }
    if (code < 0)
        return base_fail(err,
                         "%s, line %lld, column %lld: byte 0x%02x is not valid UTF-8 (level = \"byte\" reads any file)",
                         c->shown, (long long)line, (long long)column, *at);
    char text[5] = "";
    if (code >= 32) data_utf8_put(code, text);
    char shown[16];
    base_clean(shown, sizeof shown, text);
    return base_fail(err, "%s, line %lld, column %lld: character '%s' (U+%04X) is not in the vocabulary", c->shown,
                     (long long)line, (long long)column, shown, (unsigned)code);
}

// A byte order mark at the start is no character of the text.
static const uint8_t *text_start(const data_chunk *c) {
    return c->values + (c->token_count >= 3 && !memcmp(c->values, "\xEF\xBB\xBF", 3) ? 3 : 0);
}

static bool map_given(char_map *m, const char *vocabulary, base_err *err) {
    const uint8_t *p = (const uint8_t *)vocabulary, *end = p + strlen(vocabulary);
    while (p < end) {
        int32_t code = data_utf8(&p, end);
        char text[5] = "", shown[16];
        if (code < 0)
            return base_fail(err, "the vocabulary is not valid UTF-8 at character %lld", (long long)m->count + 1);
        if (code >= 32) data_utf8_put(code, text);
        base_clean(shown, sizeof shown, text);
        if (id_of(m, code) >= 0)
            return base_fail(err, "the vocabulary has character '%s' (U+%04X) twice", shown, (unsigned)code);
        add_code(m, code);
    }
    return true;
}

static bool map_found(char_map *m, const data_set *set, base_err *err) {
    for (size_t k = 0; k < set->store->chunk_count; k++) {
        const data_chunk *c = &set->store->chunks[k];
        const uint8_t *p = text_start(c), *end = c->values + c->token_count;
        while (p < end) {
            const uint8_t *at = p;
            int32_t code = data_utf8(&p, end);
            if (code <= 0) return text_fail(c, at, code, err);
            *slot_of(m, code) = 1;
        }
    }
    for (int32_t code = 1; code < CODE_POINTS; code++) {
        if (!m->page[code / 256])
            code |= 255; // the whole page
        else if (id_of(m, code) >= 0)
            add_code(m, code);
    }
    return true;
}

static bool chunk_ids(data_chunk *c, const char_map *m, base_err *err) {
    int32_t *tokens = base_big_alloc((size_t)c->token_count, sizeof *tokens, "the ids of a text", err);
    if (!tokens) return false;
    const uint8_t *p = m ? text_start(c) : c->values, *end = c->values + c->token_count;
    int64_t n = 0;
    bool ok = true;
    while (p < end && ok) {
        if (!m) {
            tokens[n++] = *p++;
            continue;
        }
        const uint8_t *at = p;
        int32_t code = data_utf8(&p, end);
        int32_t id = code < 0 ? -1 : id_of(m, code);
        if (id < 0)
            ok = text_fail(c, at, code, err);
        else
            tokens[n++] = id;
    }
    if (!ok) {
        base_big_free(tokens);
        return false;
    }
    base_big_free(c->owned);
    c->owned = c->tokens = tokens;
    c->values = NULL;
    c->token_count = n;
    return true;
}

static void keep_vocabulary(data_set *set, const char_map *m) {
    base_buf all = {0};
    set->classes = m->count;
    set->store->characters = base_calloc((size_t)m->count, sizeof(char *));
    for (int64_t i = 0; i < m->count; i++) {
        char text[5];
        int bytes = data_utf8_put(m->code[i], text);
        base_buf_add(&all, text, (size_t)bytes);
        set->store->characters[i] = base_strndup(text, (size_t)bytes);
    }
    set->vocabulary = all.text;
}

bool data_text_ids(const data_spec *spec, data_set *set, base_err *err) {
    const char *level = spec->level ? spec->level : spec->vocabulary ? "char" : "byte";
    bool by_char = !strcmp(level, "char");
    if (!by_char && strcmp(level, "byte")) {
        char shown[32];
        base_clean(shown, sizeof shown, level);
        return base_fail(err, "level = '%s': expected \"byte\" or \"char\"", shown);
    }
    if (!by_char && spec->vocabulary)
        return base_fail(err, "a vocabulary is given, but level is \"byte\": bytes are their own ids");
    set->plain_text = true;
    char_map *m = by_char ? base_alloc(sizeof *m) : NULL;
    bool ok = true;
    if (by_char) {
        ok = spec->vocabulary ? map_given(m, spec->vocabulary, err) : map_found(m, set, err);
        if (ok && m->count == 0) ok = base_fail(err, "the vocabulary is empty");
    } else {
        set->classes = 256;
        set->store->bytes = true;
    }
    for (size_t k = 0; k < set->store->chunk_count && ok; k++) ok = chunk_ids(&set->store->chunks[k], m, err);
    if (ok && by_char) keep_vocabulary(set, m);
    if (ok && spec->vocabulary_size && spec->vocabulary_size != set->classes)
        ok = base_fail(err, "vocabulary_size = %lld, but the %s has %lld", (long long)spec->vocabulary_size,
                       by_char ? "vocabulary" : "byte level", (long long)set->classes);
    if (m) char_map_free(m);
    return ok;
}

// ---- sequences ----------------------------------------------------------------------------------------------------

// Append the windows of tokens [from, to) as sequences of at most `window` inputs.
static int64_t cut_range(data_chunk *c, int64_t from, int64_t to, int64_t window, int64_t document) {
    int64_t made = 0;
    for (int64_t at = from; at + 1 < to; at += window, made++) {
        int64_t inputs = to - 1 - at;
        c->start[c->count] = at;
        c->length[c->count] = (int32_t)(inputs < window ? inputs : window);
        if (c->document) c->document[c->count] = document;
        c->count++;
    }
    return made;
}

static int64_t next_bos(const data_chunk *c, int64_t at, int64_t bos) {
    while (at < c->token_count && c->tokens[at] != bos) at++;
    return at;
}

// How many sequences there will be: counted first, so that memory is asked for once.
static int64_t count_sequences(const data_chunk *c, int64_t bos, int64_t window) {
    if (bos < 0) return (c->token_count - 1 + window - 1) / window;
    int64_t n = 0;
    for (int64_t at = 0, next; at < c->token_count; at = next) {
        next = next_bos(c, at + 1, bos);
        n += (next - at - 1 + window - 1) / window;
    }
    return n;
}

bool data_cut(const data_spec *spec, data_chunk *c, base_err *err) {
    int64_t window = spec->window ? spec->window : spec->bos < 0 ? DATA_DEFAULT_WINDOW : INT32_MAX;
    if (c->token_count < 2)
        return base_fail(err, "%s: %lld tokens; at least 2 were expected", c->shown, (long long)c->token_count);
    if (spec->bos >= 0 && c->tokens[0] != spec->bos)
        return base_fail(err, "%s: the first token is %d, but documents begin with %lld (bos)", c->shown, c->tokens[0],
                         (long long)spec->bos);
    int64_t sequences = count_sequences(c, spec->bos, window);
    if (sequences == 0) return base_fail(err, "%s: no document has a token after its first", c->shown);
    size_t n = (size_t)sequences;
    c->start = base_big_alloc(n, sizeof *c->start, "the list of sequences", err);
    c->length = c->start ? base_big_alloc(n, sizeof *c->length, "the list of sequences", err) : NULL;
    if (!c->length) return false;
    if (spec->bos < 0) {
        cut_range(c, 0, c->token_count, window, 0);
        return true;
    }
    c->document = base_big_alloc(n, sizeof *c->document, "the list of documents", err);
    if (!c->document) return false;
    int64_t document = 0;
    for (int64_t at = 0, next; at < c->token_count; at = next) {
        next = next_bos(c, at + 1, spec->bos);
        document += cut_range(c, at, next, window, document) > 0;
    }
    return true;
}
