// Lua's tokens (manual of Lua 5.4, section 3.1), and texts in and out of quotes.
#include "ui/lua_text.h"

#include <stdlib.h>
#include <string.h>

static const char *const keywords[] = {"and",      "break",  "do",   "else", "elseif", "end",  "false", "for",
                                       "function", "goto",   "if",   "in",   "local",  "nil",  "not",   "or",
                                       "repeat",   "return", "then", "true", "until",  "while"};
static const char *const long_signs[] = {"...", "<<", ">>", "//", "==", "~=", "<=", ">=", "::", ".."};

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
static bool is_hex(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

// Level of the long bracket "[==[" that opens at `at`, -1: none opens.
static int long_level(const char *text, size_t at) {
    if (text[at] != '[') return -1;
    size_t n = strspn(text + at + 1, "=");
    return n < 1000 && text[at + 1 + n] == '[' ? (int)n : -1;
}
// Behind the bracket that closes it; *closed false: the text ends before.
static size_t long_end(const char *text, size_t at, int level, bool *closed) {
    at += (size_t)level + 2;
    for (; text[at]; at++)
        if (text[at] == ']' && (int)strspn(text + at + 1, "=") == level && text[at + 1 + (size_t)level] == ']')
            return at + (size_t)level + 2;
    *closed = false;
    return at;
}

static size_t quoted_end(const char *text, size_t at, bool *closed) {
    char quote = text[at++];
    while (text[at] && text[at] != quote && text[at] != '\n') {
        if (text[at] == '\\' && text[at + 1] == 'z') // skips space, line ends too
            at += 2 + strspn(text + at + 2, " \t\r\n\v\f");
        else
            at += text[at] == '\\' && text[at + 1] ? 2 : 1;
    }
    *closed = text[at] == quote;
    return *closed ? at + 1 : at;
}

static size_t comment_end(const char *text, size_t at, bool *closed) {
    int level = long_level(text, at + 2);
    return level >= 0 ? long_end(text, at + 2, level, closed) : at + strcspn(text + at, "\n");
}

// As Lua reads one: everything that may be in a number is taken, what it is worth is not looked at.
static size_t number_end(const char *text, size_t at) {
    bool hex = text[at] == '0' && (text[at + 1] == 'x' || text[at + 1] == 'X');
    if (hex) at += 2;
    for (; is_hex(text[at]) || is_letter(text[at]) || text[at] == '.'; at++) {
        bool exponent = hex ? text[at] == 'p' || text[at] == 'P' : text[at] == 'e' || text[at] == 'E';
        if (exponent && (text[at + 1] == '+' || text[at + 1] == '-')) at++;
    }
    return at;
}

ui_lua_token ui_lua_next(const char *text, size_t at) {
    ui_lua_token t = {UI_LUA_END, at, at};
    const char *c = text + at;
    bool closed = true;
    if (!*c) return t;
    if (strchr(" \t\r\n\v\f", *c)) {
        t = (ui_lua_token){UI_LUA_SPACE, at, at + strspn(c, " \t\r\n\v\f")};
    } else if (is_letter(*c)) {
        t.kind = UI_LUA_NAME;
        while (is_letter(text[t.to]) || is_digit(text[t.to])) t.to++;
        for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
            if (ui_lua_is(text, t, keywords[i])) t.kind = UI_LUA_KEYWORD;
    } else if (is_digit(*c) || (*c == '.' && is_digit(c[1]))) {
        t = (ui_lua_token){UI_LUA_NUMBER, at, number_end(text, at)};
    } else if (c[0] == '-' && c[1] == '-') {
        t = (ui_lua_token){UI_LUA_COMMENT, at, comment_end(text, at, &closed)};
    } else if (*c == '"' || *c == '\'') {
        t = (ui_lua_token){UI_LUA_STRING, at, quoted_end(text, at, &closed)};
    } else if (long_level(text, at) >= 0) {
        t = (ui_lua_token){UI_LUA_STRING, at, long_end(text, at, long_level(text, at), &closed)};
    } else {
        t = (ui_lua_token){strchr("+-*/%^#&~|<>=(){}[];:,.", *c) ? UI_LUA_SIGN : UI_LUA_WRONG, at, at + 1};
        for (size_t i = 0; i < sizeof long_signs / sizeof *long_signs && t.to == at + 1; i++)
            if (strncmp(c, long_signs[i], strlen(long_signs[i])) == 0) t.to = at + strlen(long_signs[i]);
    }
    if (!closed) t.kind = UI_LUA_WRONG;
    return t;
}

bool ui_lua_is(const char *text, ui_lua_token t, const char *word) {
    size_t n = strlen(word);
    return t.to - t.from == n && memcmp(text + t.from, word, n) == 0;
}

// ---- texts in quotes ---------------------------------------------------------------------------

static void add_code(base_buf *out, uint32_t code) {
    char b[4];
    size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n; i-- > 1; code >>= 6) b[i] = (char)(0x80 | (code & 0x3F));
    b[0] = (char)(lead[n] | code);
    base_buf_add(out, b, n);
}

// A \u{...}, \x.. or \ddd at `at` (behind the backslash); returns the bytes read, 0: none of them, or a value of zero.
static size_t numeric_escape(const char *at, base_buf *out) {
    char *end = NULL;
    unsigned long code;
    if (at[0] == 'u' && at[1] == '{' && is_hex(at[2])) {
        code = strtoul(at + 2, &end, 16);
        if (*end != '}' || code == 0 || code > 0x10FFFF) return 0;
        add_code(out, (uint32_t)code);
        return (size_t)(end + 1 - at);
    }
    char digits[4] = "";
    size_t n = 0;
    bool hex = at[0] == 'x';
    for (; n < (hex ? 2u : 3u) && (hex ? is_hex(at[1 + n]) : is_digit(at[n])); n++) digits[n] = at[hex ? 1 + n : n];
    code = strtoul(digits, NULL, hex ? 16 : 10);
    if (n < (hex ? 2u : 1u) || code == 0 || code > 255) return 0;
    base_buf_add(out, &(char){(char)code}, 1);
    return n + hex;
}

static bool unescape(const char *at, const char *end, base_buf *out) {
    static const char letters[] = "abfnrtv\\\"'\n", values[] = "\a\b\f\n\r\t\v\\\"'\n";
    while (at < end) {
        size_t plain = strcspn(at, "\\");
        if (plain > (size_t)(end - at)) plain = (size_t)(end - at);
        base_buf_add(out, at, plain);
        at += plain;
        if (at >= end) return true;
        const char *known = strchr(letters, at[1]);
        if (at[1] == 'z') {
            at += 2 + strspn(at + 2, " \t\r\n\v\f");
        } else if (at[1] && known) {
            base_buf_add(out, values + (known - letters), 1);
            at += 2;
        } else {
            size_t n = numeric_escape(at + 1, out);
            if (!n) return false;
            at += 1 + n;
        }
    }
    return true;
}

char *ui_lua_unquote(const char *text, ui_lua_token t) {
    base_buf out = {0};
    if (t.kind != UI_LUA_STRING) return NULL;
    base_buf_puts(&out, "");
    int level = long_level(text, t.from);
    bool ok = true;
    if (level >= 0) {
        size_t from = t.from + (size_t)level + 2, to = t.to - (size_t)level - 2;
        if (from < to && text[from] == '\r') from++;
        if (from < to && text[from] == '\n') from++;
        base_buf_add(&out, text + from, to - from);
    } else {
        ok = unescape(text + t.from + 1, text + t.to - 1, &out);
    }
    char *copy = ok ? base_strndup(out.text, out.length) : NULL;
    base_buf_free(&out);
    return copy;
}

void ui_lua_quote(base_buf *out, const char *text) {
    base_buf_puts(out, "\"");
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            base_buf_printf(out, "\\%c", *text);
        else if (*text == '\n')
            base_buf_puts(out, "\\n");
        else if ((unsigned char)*text < 32 || *text == 127)
            base_buf_printf(out, "\\%03d", *text);
        else
            base_buf_add(out, text, 1);
    }
    base_buf_puts(out, "\"");
}
