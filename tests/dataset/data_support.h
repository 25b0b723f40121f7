// What the dataset tests share: files written for one test, specs in one line, and the sentence of a refusal.
#ifndef VISE_TESTS_DATASET_DATA_SUPPORT_H
#define VISE_TESTS_DATASET_DATA_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../support/support.h"
#include "dataset/dataset.h"

static inline data_source *spec_add(data_spec *s, const char *format, const char *path, const char *labels, int part) {
    s->sources = base_realloc(s->sources, s->source_count + 1, sizeof *s->sources);
    s->sources[s->source_count] = (data_source){base_strdup(format), base_strdup(path), base_strdup(labels), part};
    return &s->sources[s->source_count++];
}

static inline data_spec *spec_of(const char *path, const char *labels) {
    data_spec *s = data_spec_new();
    spec_add(s, NULL, path, labels, DATA_ALL);
    return s;
}

static inline const char *file_of(const char *name, const void *bytes, size_t count) {
    const char *path = support_temp_path(name);
    support_write(path, bytes, count);
    return path;
}

static inline const char *text_file(const char *name, const char *text) {
    return file_of(name, text, strlen(text));
}

// Opens and frees the spec; the test fails with the sentence when it does not open.
static inline data_set *open_spec(data_spec *s) {
    base_err err = {0};
    data_set *set = data_open(s, NULL, &err);
    if (!set) print_error("%s\n", err.text);
    assert_non_null(set);
    data_spec_free(s);
    return set;
}

// Frees the spec; asserts that it is refused and that the sentence holds every one of the given words.
static inline void refuse_spec(data_spec *s, const char *words) {
    base_err err = {0};
    data_set *set = data_open(s, NULL, &err);
    if (set) print_error("opened, but should say: %s\n", words);
    assert_null(set);
    char *list = base_strdup(words), *save = NULL;
    for (char *w = strtok_r(list, "|", &save); w; w = strtok_r(NULL, "|", &save)) {
        if (!strstr(err.text, w)) print_error("'%s' is not in: %s\n", w, err.text);
        assert_non_null(strstr(err.text, w));
    }
    free(list);
    data_spec_free(s);
    assert_int_equal(err.status, BASE_FAILED);
}

static inline data_view *part_of(const data_set *set, data_part part) {
    base_err err = {0};
    data_view *v = data_view_part(set, part, &err);
    if (!v) print_error("%s\n", err.text);
    assert_non_null(v);
    return v;
}

#endif
