// err: one-sentence errors, and the way out when a promise inside our own code is broken.
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

static void (*_Atomic fatal_restore)(void);

// Drops the torn tail of a UTF-8 sequence that a length limit cut through.
static void trim_torn_utf8(char *text) {
    size_t n = strlen(text), back = 0;
    while (back < 3 && back < n && ((unsigned char)text[n - 1 - back] & 0xC0) == 0x80) back++;
    if (back == n) return;
    unsigned char lead = (unsigned char)text[n - 1 - back];
    size_t want = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (lead >= 0xC0 && back + 1 < want) text[n - 1 - back] = '\0';
}

static void set_text(base_err *err, base_status status, const char *fmt, va_list args) {
    char text[sizeof err->text]; // the arguments may point into err->text itself
    int n = vsnprintf(text, sizeof text, fmt, args);
    if (n >= (int)sizeof text) trim_torn_utf8(text);
    memcpy(err->text, text, sizeof text);
    err->status = status;
}

bool base_fail(base_err *err, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    set_text(err, BASE_FAILED, fmt, args);
    va_end(args);
    return false;
}

bool base_fail_as(base_err *err, base_status status, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    set_text(err, status, fmt, args);
    va_end(args);
    return false;
}

bool base_wrap(base_err *err, const char *fmt, ...) {
    char prefix[sizeof err->text];
    va_list args;
    va_start(args, fmt);
    vsnprintf(prefix, sizeof prefix, fmt, args);
    va_end(args);
    base_status status = err->status == BASE_OK ? BASE_FAILED : err->status;
    base_fail_as(err, status, "%s%s", prefix, err->text);
    return false;
}

void base_on_fatal(void (*restore)(void)) {
    atomic_store(&fatal_restore, restore);
}

void base_bug(const char *file, int line, const char *what) {
    void (*restore)(void) = atomic_exchange(&fatal_restore, NULL);
    if (restore) restore();
    fprintf(stderr, "vise: internal error at %s:%d: %s\n", file, line, what);
    abort();
}
