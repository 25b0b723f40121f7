// arg: declared arguments - defaults, values from numbers or text, and errors that name what was expected.
#include "base/base.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#ifdef __APPLE__
#include <xlocale.h>
#endif

static locale_t c_locale;
static void make_locale(void) {
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

// A decimal number filling all of `text`, whatever the user's locale takes for a comma.
static bool parse_number(const char *text, double *number) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_locale);
    if (!*text || strspn(text, "+-.0123456789eE") != strlen(text)) return false;
    char *end;
    *number = strtod_l(text, &end, c_locale);
    return *end == '\0' && end != text && isfinite(*number);
}

static bool parse_bool(const char *text, double *number) {
    static const char *const words[][2] = {{"false", "true"}, {"no", "yes"}, {"off", "on"}, {"0", "1"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        for (int b = 0; b < 2; b++)
            if (strcmp(text, words[i][b]) == 0) {
                *number = b;
                return true;
            }
    return false;
}

void base_arg_defaults(const base_arg *args, size_t count, base_value *values) {
    for (size_t i = 0; i < count; i++) {
        values[i] = (base_value){.number = args[i].type == BASE_TEXT ? 0 : args[i].def};
        if (args[i].type == BASE_TEXT)
            snprintf(values[i].text, sizeof values[i].text, "%s", args[i].text_def ? args[i].text_def : "");
    }
}

static bool unknown(const char *owner, const base_arg *args, size_t count, const char *name, base_err *err) {
    char shown[96];
    base_clean(shown, sizeof shown, name);
    if (count == 0) return base_fail(err, "%s takes no arguments, '%s' was given", owner, shown);
    const char **names = base_calloc(count, sizeof *names);
    base_buf all = {0};
    for (size_t i = 0; i < count; i++) {
        names[i] = args[i].name;
        base_buf_printf(&all, "%s%s", i ? ", " : "", args[i].name);
    }
    const char *near = base_nearest(name, names, count);
    if (near)
        base_fail(err, "%s has no argument '%s', did you mean '%s'? It takes: %s", owner, shown, near, all.text);
    else
        base_fail(err, "%s has no argument '%s'; it takes: %s", owner, shown, all.text);
    base_buf_free(&all);
    free(names);
    return false;
}

static int find(const base_arg *args, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(args[i].name, name) == 0) return (int)i;
    return -1;
}

// "a whole number from 1 to 8"
static void expectation(const base_arg *arg, char *out, size_t size) {
    if (arg->type == BASE_BOOL) {
        snprintf(out, size, "true or false");
    } else if (arg->type == BASE_TEXT) {
        snprintf(out, size, arg->choices ? "one of %s" : "text", arg->choices);
    } else {
        const char *kind = arg->type == BASE_INT ? "a whole number" : "a number";
        bool low = isfinite(arg->min), high = isfinite(arg->max);
        if (arg->min == arg->max || (!low && !high))
            snprintf(out, size, "%s", kind);
        else if (low && high)
            snprintf(out, size, "%s from %.12g to %.12g", kind, arg->min, arg->max);
        else
            snprintf(out, size, "%s, %s %.12g", kind, low ? "at least" : "at most", low ? arg->min : arg->max);
    }
}

static bool refuse(const char *owner, const base_arg *arg, const char *given, base_err *err) {
    char wanted[200], shown[96];
    expectation(arg, wanted, sizeof wanted);
    base_clean(shown, sizeof shown, strcmp(given, "-nan") == 0 ? "nan" : given); // 0/0 has a sign on some processors
    return base_fail(err, "%s: %s = %s, expected %s", owner, arg->name, shown, wanted);
}

static bool fits(const base_arg *arg, double number) {
    if (!isfinite(number)) return false;
    if (arg->type == BASE_BOOL) return number == 0 || number == 1;
    if (arg->type == BASE_INT && (number != floor(number) || fabs(number) > 9007199254740992.0)) return false;
    if (arg->min == arg->max) return true;               // no limits declared
    return !(number < arg->min) && !(number > arg->max); // a NaN limit is open
}

static bool is_choice(const char *choices, const char *text) {
    size_t n = strlen(text);
    for (const char *c = choices; n > 0 && strchr(text, '|') == NULL;) {
        const char *bar = strchr(c, '|');
        size_t length = bar ? (size_t)(bar - c) : strlen(c);
        if (length == n && memcmp(c, text, n) == 0) return true;
        if (!bar) break;
        c = bar + 1;
    }
    return false;
}

static bool set_number(const char *owner, const base_arg *arg, base_value *value, double number, const char *shown,
                       base_err *err) {
    if (!fits(arg, number)) return refuse(owner, arg, shown, err);
    value->number = number;
    value->given = true;
    return true;
}

bool base_arg_set_number(const char *owner, const base_arg *args, size_t count, base_value *values, const char *name,
                         double number, base_err *err) {
    int i = find(args, count, name);
    if (i < 0) return unknown(owner, args, count, name, err);
    char shown[32];
    snprintf(shown, sizeof shown, "%.12g", number);
    if (args[i].type == BASE_TEXT) return refuse(owner, &args[i], shown, err);
    return set_number(owner, &args[i], &values[i], number, shown, err);
}

bool base_arg_set_text(const char *owner, const base_arg *args, size_t count, base_value *values, const char *name,
                       const char *text, base_err *err) {
    int i = find(args, count, name);
    if (i < 0) return unknown(owner, args, count, name, err);
    const base_arg *arg = &args[i];
    char shown[96];
    snprintf(shown, sizeof shown, "'%.80s'", text);
    if (arg->type != BASE_TEXT) {
        double number;
        bool good = arg->type == BASE_BOOL ? parse_bool(text, &number) : parse_number(text, &number);
        return good ? set_number(owner, arg, &values[i], number, shown, err) : refuse(owner, arg, shown, err);
    }
    if (arg->choices && !is_choice(arg->choices, text)) return refuse(owner, arg, shown, err);
    if (strlen(text) >= sizeof values[i].text)
        return base_fail(err, "%s: %s has %zu characters, expected at most %zu", owner, arg->name, strlen(text),
                         sizeof values[i].text - 1);
    snprintf(values[i].text, sizeof values[i].text, "%s", text);
    values[i].given = true;
    return true;
}
