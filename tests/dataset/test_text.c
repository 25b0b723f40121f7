// text: bytes and characters as ids, windows, and characters that are refused with their line and column.
#include "data_support.h"

static data_spec *text(const char *content, const char *level, int64_t window) {
    static int n;
    char name[32];
    snprintf(name, sizeof name, "t%d.txt", n++);
    data_spec *s = spec_of(text_file(name, content), NULL);
    s->level = base_strdup(level);
    s->window = window;
    return s;
}

static void bytes(void **state) {
    (void)state;
    data_set *set = open_spec(text("ab\xFF"
                                   "cd",
                                   NULL, 3));
    assert_int_equal(set->classes, 256);
    assert_null(set->vocabulary);
    assert_int_equal(set->count, 2);
    data_view *all = part_of(set, DATA_ALL);
    data_batch b = {0};
    base_err err = {0};
    assert_true(data_fetch(all, 0, 2, &b, &err));
    assert_memory_equal(b.tokens, ((int32_t[]){'a', 'b', 255, 'c', 0, 0}), 24);
    assert_memory_equal(b.labels, ((int32_t[]){'b', 255, 'c', 'd', -1, -1}), 24);
    char *shown = data_text(set, b.tokens, 2);
    assert_string_equal(shown, "ab");
    free(shown);
    data_batch_free(&b);
    data_view_free(all);
    data_close(set);
}

static void characters(void **state) {
    (void)state;
    data_set *set = open_spec(text("\xEF\xBB\xBF"
                                   "b€a\n𝄞éb",
                                   "char", 100)); // the byte order mark is no character
    assert_int_equal(set->classes, 6);
    assert_string_equal(set->vocabulary, "\nabé€𝄞");
    data_view *all = part_of(set, DATA_ALL);
    data_batch b = {0};
    base_err err = {0};
    assert_true(data_fetch(all, 0, 1, &b, &err));
    assert_int_equal(b.length, 6);
    assert_memory_equal(b.tokens, ((int32_t[]){2, 4, 1, 0, 5, 3}), 24);
    char *shown = data_text(set, b.tokens, 6);
    assert_string_equal(shown, "b€a\n𝄞é");
    free(shown);
    data_batch_free(&b);
    data_view_free(all);
    data_close(set);
    data_spec *s = text("abba", "char", 2);
    s->vocabulary = base_strdup("xba");
    set = open_spec(s);
    assert_int_equal(set->classes, 3);
    assert_string_equal(set->vocabulary, "xba");
    data_close(set);
}

static void windows_predict_every_token_once(void **state) {
    (void)state;
    char long_text[1001];
    for (int i = 0; i < 1000; i++) long_text[i] = (char)('a' + i % 26);
    long_text[1000] = 0;
    for (int64_t window = 1; window < 1200; window = window * 3 + 1) {
        data_set *set = open_spec(text(long_text, "byte", window));
        data_view *all = part_of(set, DATA_ALL);
        assert_int_equal(data_view_targets(all), 999);
        data_batch b = {0};
        base_err err = {0};
        int64_t at = 0;
        for (int64_t i = 0; i < all->count; i++) {
            assert_true(data_fetch(all, i, 1, &b, &err));
            for (int64_t k = 0; k < b.length; k++, at++) {
                assert_int_equal(b.tokens[k], long_text[at]);
                assert_int_equal(b.labels[k], long_text[at + 1]);
            }
        }
        assert_int_equal(at, 999);
        data_batch_free(&b);
        data_view_free(all);
        data_close(set);
    }
}

static void refused(void **state) {
    (void)state;
    refuse_spec(text("", "byte", 8), "0 bytes");
    refuse_spec(text("a", "byte", 8), "1 bytes");
    refuse_spec(text("abc\nde\xFFg", "char", 8), "line 2, column 3|0xff|UTF-8");
    refuse_spec(text("ab\xC0\x80", "char", 8), "line 1, column 3|UTF-8");     // a longer form than needed
    refuse_spec(text("ab\xED\xA0\x80", "char", 8), "line 1, column 3|UTF-8"); // half a surrogate pair
    refuse_spec(text("ab\xE2\x82", "char", 8), "line 1, column 3|UTF-8");     // cut
    data_spec *s = spec_of(file_of("zero.txt", "ab\0cd", 5), NULL);
    s->level = base_strdup("char");
    refuse_spec(s, "line 1, column 3|U+0000");
}

static void refused_characters(void **state) {
    (void)state;
    data_spec *s = text("abc\néé€\n", "char", 8);
    s->vocabulary = base_strdup("abcé\n");
    refuse_spec(s, "line 2, column 3|'€'|U+20AC");
    s = text("ab\033", "char", 8);
    s->vocabulary = base_strdup("ab");
    refuse_spec(s, "line 1, column 3|''|U+001B");
    s = text("abc", "char", 8);
    s->vocabulary = base_strdup("abca");
    refuse_spec(s, "'a'|twice");
    s = text("abc", "char", 8);
    s->vocabulary = base_strdup("ab\xFF");
    refuse_spec(s, "vocabulary|UTF-8|character 3");
    s = text("abc", "byte", 8);
    s->vocabulary = base_strdup("abc");
    refuse_spec(s, "byte");
    s = text("abc", "char", 8);
    s->vocabulary_size = 4;
    refuse_spec(s, "vocabulary_size = 4|has 3");
    refuse_spec(text("abc", "word", 8), "'word'|\"byte\" or \"char\"");
    s = text("abc", "char", -1);
    refuse_spec(s, "window = -1");
    s = text("abc", "char", 8);
    s->fraction[2] = 1;
    spec_add(s, "tokens", "t.npy", NULL, DATA_ALL);
    refuse_spec(s, "not both");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(bytes), cmocka_unit_test(characters),
                                       cmocka_unit_test(windows_predict_every_token_once), cmocka_unit_test(refused),
                                       cmocka_unit_test(refused_characters)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
