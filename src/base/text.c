// text: growing strings, names made safe for a terminal, column counting, near matches, figures for people.
#include "base/base.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void reserve(base_buf *b, size_t more) {
    if (more > SIZE_MAX / 4 || b->length > SIZE_MAX / 4) base_bug(__FILE__, __LINE__, "text too long");
    size_t need = b->length + more + 1;
    if (need <= b->capacity) return;
    size_t capacity = b->capacity ? b->capacity : 64;
    while (capacity < need) capacity *= 2;
    b->text = base_realloc(b->text, capacity, 1);
    b->capacity = capacity;
}

void base_buf_add(base_buf *b, const char *text, size_t length) {
    reserve(b, length);
    if (length) memcpy(b->text + b->length, text, length);
    b->length += length;
    b->text[b->length] = '\0';
}

void base_buf_puts(base_buf *b, const char *text) {
    base_buf_add(b, text, strlen(text));
}

void base_buf_printf(base_buf *b, const char *fmt, ...) {
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    BASE_CHECK(n >= 0);
    reserve(b, (size_t)n);
    vsnprintf(b->text + b->length, (size_t)n + 1, fmt, again);
    va_end(again);
    b->length += (size_t)n;
}

void base_buf_clear(base_buf *b) {
    b->length = 0;
    if (b->text) b->text[0] = '\0';
}

void base_buf_free(base_buf *b) {
    free(b->text);
    *b = (base_buf){0};
}

// Decodes one UTF-8 character (RFC 3629: shortest form, no surrogates) and gives its length; 0 when broken.
static size_t decode(const char *s, uint32_t *point) {
    const unsigned char *u = (const unsigned char *)s;
    if (u[0] < 0x80) {
        *point = u[0];
        return 1;
    }
    size_t n = u[0] >= 0xF0 ? 4 : u[0] >= 0xE0 ? 3 : u[0] >= 0xC2 ? 2 : 0;
    if (n == 0 || u[0] > 0xF4) return 0;
    uint32_t value = u[0] & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((u[i] & 0xC0) != 0x80) return 0;
        value = value << 6 | (u[i] & 0x3F);
    }
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (value < least[n] || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000)) return 0;
    *point = value;
    return n;
}

typedef struct range {
    uint32_t first, last;
} range;

static bool in_ranges(uint32_t point, const range *ranges, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (point >= ranges[i].first && point <= ranges[i].last) return true;
    return false;
}
#define IN(point, table) in_ranges(point, table, sizeof(table) / sizeof *(table))

// C0 and C1 controls, line and paragraph separators, and the marks that reorder text on a screen.
static const range unprintable[] = {{0, 0x1F},        {0x7F, 0x9F},     {0x200E, 0x200F},
                                    {0x2028, 0x202E}, {0x2066, 0x2069}, {0xFEFF, 0xFEFF},
                                    {0xFFF9, 0xFFFB}, {0xE000, 0xF8FF}, {0xE0000, 0x10FFFF}};
static const range combining[] = {{0x300, 0x36F},   {0x483, 0x489},   {0x591, 0x5BD},   {0x610, 0x61A},
                                  {0x64B, 0x65F},   {0x1AB0, 0x1AFF}, {0x1DC0, 0x1DFF}, {0x200B, 0x200F},
                                  {0x20D0, 0x20FF}, {0xFE00, 0xFE0F}, {0xFE20, 0xFE2F}};
static const range wide[] = {{0x1100, 0x115F},   {0x2E80, 0x303E},   {0x3041, 0xA4CF},   {0xAC00, 0xD7A3},
                             {0xF900, 0xFAFF},   {0xFE30, 0xFE6F},   {0xFF01, 0xFF60},   {0xFFE0, 0xFFE6},
                             {0x1F300, 0x1F64F}, {0x1F680, 0x1F6FF}, {0x1F900, 0x1F9FF}, {0x20000, 0x3FFFD}};

void base_clean(char *out, size_t size, const char *in) {
    if (size == 0) return;
    size_t used = 0;
    while (*in) {
        uint32_t point = 0;
        size_t n = decode(in, &point);
        bool good = n > 0 && !IN(point, unprintable);
        size_t take = good ? n : 1;
        if (used + take >= size) break;
        if (good)
            memcpy(out + used, in, n);
        else
            out[used] = '?';
        used += take;
        in += n ? n : 1;
    }
    out[used] = '\0';
}

int base_columns(const char *s) {
    int columns = 0;
    while (*s) {
        uint32_t point = 0;
        size_t n = decode(s, &point);
        if (n == 0)
            columns++; // a broken byte is shown as one mark
        else if (point >= 0x20 && point != 0x7F && !IN(point, combining))
            columns += IN(point, wide) ? 2 : 1;
        s += n ? n : 1;
    }
    return columns;
}

#define NEAREST_MAX 127

// Optimal string alignment distance, letters compared without case. Both at most NEAREST_MAX long.
static int edit_distance(const char *a, size_t n, const char *b, size_t m) {
    int row[3][NEAREST_MAX + 1];
    for (size_t j = 0; j <= m; j++) row[0][j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];
        now[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int ca = tolower((unsigned char)a[i - 1]), cb = tolower((unsigned char)b[j - 1]);
            int best = last[j - 1] + (ca != cb);
            if (last[j] + 1 < best) best = last[j] + 1;
            if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
            if (i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) && tolower((unsigned char)a[i - 2]) == cb &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
    }
    return row[n % 3][m];
}

const char *base_nearest(const char *word, const char *const *names, size_t count) {
    size_t n = strlen(word);
    if (n == 0 || n > NEAREST_MAX) return NULL;
    const char *best = NULL;
    int least = n <= 2 ? 2 : (int)(n / 3) + 2; // first distance that is too far
    for (size_t i = 0; i < count; i++) {
        size_t m = names[i] ? strlen(names[i]) : 0;
        if (m == 0 || m > NEAREST_MAX) continue;
        int d = edit_distance(word, n, names[i], m);
        if (d < least) least = d, best = names[i];
    }
    if (best) return best;
    for (size_t i = 0; i < count && n >= 3; i++) // "conv" for "conv1.weight"
        if (names[i] && strncasecmp(word, names[i], n) == 0) return names[i];
    return NULL;
}

char *base_bytes_text(char out[24], double bytes) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    if (!isfinite(bytes) || fabs(bytes) >= 1e21) {
        snprintf(out, 24, "%.3g B", bytes);
        return out;
    }
    size_t u = 0;
    while (u + 1 < sizeof units / sizeof *units && fabs(bytes) >= (u ? 999.95 : 999.5)) bytes /= 1000, u++;
    snprintf(out, 24, u ? "%.1f %s" : "%.0f %s", bytes, units[u]);
    return out;
}

char *base_seconds_text(char out[24], double seconds) {
    if (!isfinite(seconds) || fabs(seconds) > 1e9)
        snprintf(out, 24, "?");
    else if (fabs(seconds) < 0.9995)
        snprintf(out, 24, "%.0f ms", seconds * 1000);
    else if (fabs(seconds) < 59.95)
        snprintf(out, 24, "%.1f s", seconds);
    else {
        long s = lround(fabs(seconds));
        const char *sign = seconds < 0 ? "-" : "";
        if (s < 3600)
            snprintf(out, 24, "%s%d m %02d s", sign, (int)(s / 60), (int)(s % 60));
        else
            snprintf(out, 24, "%s%d h %02d m", sign, (int)(s / 3600), (int)(s % 3600 / 60));
    }
    return out;
}
