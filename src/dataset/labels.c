// labels: class numbers from integers or from the words of a csv column, and the check that each is in range.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/store.h"

static uint32_t text_hash(const char *s) { // FNV-1a
    uint32_t h = 2166136261u;
    for (; *s; s++) h = (h ^ (uint8_t)*s) * 16777619u;
    return h;
}

static void rehash(data_labels *l) {
    l->table_size = l->table_size ? 2 * l->table_size : 256;
    free(l->table);
    l->table = base_calloc(l->table_size, sizeof *l->table);
    for (size_t i = 0; i < l->count; i++) {
        size_t at = text_hash(l->items[i].text) & (l->table_size - 1);
        while (l->table[at]) at = (at + 1) & (l->table_size - 1);
        l->table[at] = (uint32_t)i + 1;
    }
}

size_t data_labels_add(data_labels *l, const char *text, const char *shown, int64_t line, int64_t column) {
    if (2 * l->count >= l->table_size) rehash(l);
    size_t at = text_hash(text) & (l->table_size - 1);
    for (; l->table[at]; at = (at + 1) & (l->table_size - 1)) {
        struct data_label *known = &l->items[l->table[at] - 1];
        if (strcmp(known->text, text)) continue;
        if (known->uses++ == 0) known->shown = shown, known->line = line, known->column = column;
        return l->table[at] - 1;
    }
    if (l->count >= DATA_MAX_NAMED_LABELS) return SIZE_MAX;
    if (l->count == l->capacity) {
        l->capacity = l->capacity ? 2 * l->capacity : 64;
        l->items = base_realloc(l->items, l->capacity, sizeof *l->items);
    }
    l->items[l->count] =
        (struct data_label){.text = base_strdup(text), .shown = shown, .line = line, .column = column, .uses = 1};
    l->table[at] = (uint32_t)++l->count;
    return l->count - 1;
}

void data_labels_free(data_labels *l) {
    for (size_t i = 0; i < l->count; i++) free(l->items[i].text);
    free(l->items);
    free(l->table);
    *l = (data_labels){0};
}

static bool label_fail(const struct data_label *l, base_err *err, const char *why) {
    char shown[48];
    base_clean(shown, sizeof shown, l->text);
    return base_fail(err, "%s, line %lld, column %lld: label '%s' %s", l->shown, (long long)l->line,
                     (long long)l->column, shown, why);
}

static bool label_number(const struct data_label *l, int64_t classes, int32_t *out, base_err *err) {
    double v;
    const char *why;
    if (!data_number(l->text, strlen(l->text), &v, &why)) return label_fail(l, err, why);
    if (v != floor(v))
        return label_fail(l, err, "is no class number (for a column of measurements say unlabelled = true)");
    int64_t limit = classes ? classes : DATA_MAX_CLASSES;
    if (v < 0 || v >= (double)limit) {
        char range[96];
        snprintf(range, sizeof range, "is out of range: %s%lld classes, 0 to %lld", classes ? "there are " : "at most ",
                 (long long)limit, (long long)limit - 1);
        return label_fail(l, err, range);
    }
    *out = (int32_t)v;
    return true;
}

static bool label_word(const struct data_label *l, char *const *names, int64_t count, int32_t *out, base_err *err) {
    for (int64_t k = 0; k < count; k++) {
        if (strcmp(l->text, names[k])) continue;
        *out = (int32_t)k;
        return true;
    }
    double v;
    const char *why;
    if (data_number(l->text, strlen(l->text), &v, &why)) return label_number(l, count, out, err);
    const char *near = base_nearest(l->text, (const char *const *)names, (size_t)count);
    char text[160], clean[96];
    base_clean(clean, sizeof clean, near ? near : "");
    snprintf(text, sizeof text, "is none of the %lld classes%s%s%s", (long long)count, near ? "; the nearest is '" : "",
             clean, near ? "'" : "");
    return label_fail(l, err, text);
}

static int by_text(const void *a, const void *b) {
    return strcmp((*(const struct data_label *const *)a)->text, (*(const struct data_label *const *)b)->text);
}

// Labels that are words, with no list of classes given: classes are the words, sorted.
static bool sorted_words(data_labels *l, int32_t *id, char ***names, int64_t *name_count, base_err *err) {
    const struct data_label **order = base_calloc(l->count ? l->count : 1, sizeof *order);
    size_t n = 0;
    bool ok = true;
    for (size_t i = 0; i < l->count && ok; i++) {
        if (!l->items[i].uses) continue;
        double v;
        const char *why;
        if (data_number(l->items[i].text, strlen(l->items[i].text), &v, &why))
            ok = label_fail(&l->items[i], err, "is a number while other labels are words");
        order[n++] = &l->items[i];
    }
    if (ok) {
        qsort(order, n, sizeof *order, by_text);
        *names = base_calloc(n, sizeof **names);
        *name_count = (int64_t)n;
        for (size_t k = 0; k < n; k++) {
            char clean[96];
            base_clean(clean, sizeof clean, order[k]->text);
            (*names)[k] = base_strdup(clean);
            id[order[k] - l->items] = (int32_t)k;
        }
    }
    free(order);
    return ok;
}

static bool any_word(const data_labels *l) {
    double v;
    const char *why;
    for (size_t i = 0; i < l->count; i++)
        if (l->items[i].uses && !data_number(l->items[i].text, strlen(l->items[i].text), &v, &why)) return true;
    return false;
}

bool data_labels_resolve(data_reader *r, data_chunk *chunks, size_t count, char ***names, int64_t *name_count,
                         base_err *err) {
    data_labels *l = &r->labels;
    const data_spec *spec = r->spec;
    *names = NULL, *name_count = 0;
    if (!l->count) return true;
    int32_t *id = base_calloc(l->count, sizeof *id);
    bool ok = true;
    if (!spec->class_names && any_word(l)) {
        ok = sorted_words(l, id, names, name_count, err);
        if (ok && spec->classes && spec->classes != *name_count)
            ok = base_fail(err, "%s: %lld different labels, but classes = %lld", chunks[0].shown,
                           (long long)*name_count, (long long)spec->classes);
    } else {
        for (size_t i = 0; i < l->count && ok; i++) {
            if (!l->items[i].uses) continue;
            ok = spec->class_names ? label_word(&l->items[i], spec->class_names, spec->classes, &id[i], err)
                                   : label_number(&l->items[i], spec->classes, &id[i], err);
        }
    }
    for (size_t k = 0; k < count && ok; k++)
        for (int64_t i = 0; chunks[k].named_labels && i < chunks[k].count; i++)
            chunks[k].labels[i] = id[chunks[k].labels[i]];
    if (!ok) {
        base_names_free(*names, (size_t)*name_count);
        *names = NULL, *name_count = 0;
    }
    free(id);
    return ok;
}

// ---- integers of any type -----------------------------------------------------------------------------------------

bool data_is_integer(num_dtype t) {
    return t >= NUM_I64 && t <= NUM_BOOL;
}

int64_t data_integer(num_dtype t, const void *data, size_t i) {
    const uint8_t *p = (const uint8_t *)data + i * num_dtypes[t].bytes;
    int64_t i64;
    int32_t i32;
    int16_t i16;
    uint16_t u16;
    switch (t) {
    case NUM_I64:
        memcpy(&i64, p, sizeof i64);
        return i64;
    case NUM_I32:
        memcpy(&i32, p, sizeof i32);
        return i32;
    case NUM_I16:
        memcpy(&i16, p, sizeof i16);
        return i16;
    case NUM_U16:
        memcpy(&u16, p, sizeof u16);
        return u16;
    case NUM_I8:
        return (int8_t)*p;
    default:
        return *p;
    }
}

bool data_labels_from(const data_reader *r, data_chunk *c, num_dtype t, const void *data, const char *what,
                      base_err *err) {
    char shown[200];
    base_clean(shown, sizeof shown, what);
    if (!data_is_integer(t))
        return base_fail(err, "%s: labels of type %s; integers were expected", shown, num_dtypes[t].name);
    c->labels = base_big_alloc((size_t)c->count, sizeof(int32_t), "labels", err);
    if (!c->labels) return false;
    int64_t limit = r->spec->classes ? r->spec->classes : DATA_MAX_CLASSES;
    for (int64_t i = 0; i < c->count; i++) {
        int64_t v = data_integer(t, data, (size_t)i);
        if (v < 0 || v >= limit)
            return base_fail(err, "%s: label %lld of sample %lld is out of range: %s%lld classes, 0 to %lld", shown,
                             (long long)v, (long long)i, r->spec->classes ? "there are " : "at most ", (long long)limit,
                             (long long)limit - 1);
        c->labels[i] = (int32_t)v;
    }
    return true;
}
