// dictionary: rows of ternary codes as 16-bit code words of one fixed dictionary (Frantar and Alistarh, QMoE, arXiv
// 2310.16795, section 3.3; their dictionary: 2^16 sequences of up to 14 pairs, zeros of probability 0.885). Each row
// begins a code word of its own, so that rows decode by themselves. docs/formats.md has the form.
//
// The dictionary holds the most likely sequences of pairs. How likely one is depends on its count of zeros and others
// alone, so sequences wait in one list for each pair of counts, and lists are emptied from the likeliest on. Sequences
// of equal probability keep the order in which they came up.
#include "compress/coding/coding.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    WORDS = 1 << 16,
    MOST_PAIRS = 14,
    MOST = 2 * MOST_PAIRS,
    PAIRS = 9,
    ROOT = WORDS,
    CLASSES = (MOST + 1) * (MOST + 1)
};
enum { DICTIONARY_FORM = 5, DICTIONARY_CHECKED = 6 }; // with a check of the codes
static const double zero_share = 0.885;

typedef struct dictionary {
    uint16_t child[WORDS + 1][PAIRS]; // 0: none (no sequence is extended to word 0, which is a single pair)
    uint16_t parent[WORDS];
    uint8_t pair[WORDS], pairs[WORDS]; // the last pair of a word; how many it has
} dictionary;

// A sequence that waits: `parent` (ROOT: none) and one more pair.
typedef struct waiting {
    uint32_t parent;
    uint8_t pair;
} waiting;
typedef struct class_list {
    double cost; // nats
    waiting *items;
    int64_t count, room;
    int zeros, others;
} class_list;

static int by_cost(const void *x, const void *y) {
    const class_list *a = *(class_list *const *)x, *b = *(class_list *const *)y;
    return (a->cost > b->cost) - (a->cost < b->cost);
}

static int zeros_of(int pair) {
    return (pair % 3 == 0) + (pair / 3 == 0);
}

// All extensions of a word, or of nothing, into the lists of their counts.
static void extend(class_list *lists, uint32_t parent, int zeros, int others) {
    for (int pair = 0; pair < PAIRS; pair++) {
        int z = zeros + zeros_of(pair), o = others + 2 - zeros_of(pair);
        class_list *l = &lists[z * (MOST + 1) + o];
        if (l->count == l->room)
            l->items = base_realloc(l->items, (size_t)(l->room = 2 * l->room + 16), sizeof *l->items);
        l->items[l->count++] = (waiting){parent, (uint8_t)pair};
    }
}

static dictionary *the_dictionary;

static void make_dictionary(void) {
    dictionary *d = base_calloc(1, sizeof *d);
    class_list *lists = base_calloc(CLASSES, sizeof *lists), **order = base_calloc(CLASSES, sizeof *order);
    for (int k = 0; k < CLASSES; k++) {
        class_list *l = order[k] = &lists[k];
        l->zeros = k / (MOST + 1);
        l->others = k % (MOST + 1);
        l->cost = -l->zeros * log(zero_share) - l->others * log((1 - zero_share) / 2);
    }
    qsort(order, CLASSES, sizeof *order, by_cost);
    extend(lists, ROOT, 0, 0);
    uint32_t words = 0;
    for (int k = 0; k < CLASSES && words < WORDS; k++)
        for (int64_t i = 0; i < order[k]->count && words < WORDS; i++) {
            waiting s = order[k]->items[i];
            uint32_t word = words++;
            d->child[s.parent][s.pair] = (uint16_t)word;
            d->pair[word] = s.pair;
            d->parent[word] = (uint16_t)s.parent;
            d->pairs[word] = (uint8_t)(s.parent == ROOT ? 1 : d->pairs[s.parent] + 1);
            if (d->pairs[word] < MOST_PAIRS) extend(lists, word, order[k]->zeros, order[k]->others);
        }
    for (int k = 0; k < CLASSES; k++) free(lists[k].items);
    free(lists);
    free(order);
    the_dictionary = d;
}

// A constant of the program, made when it is first wanted.
static const dictionary *get_dictionary(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_dictionary);
    return the_dictionary;
}

// The word that a pair leads to, ROOT when there is none. Word 0 is the pair (0, 0) by itself, a child of the root.
static uint32_t follow(const dictionary *d, uint32_t node, int pair) {
    uint32_t next = d->child[node][pair];
    return next || (node == ROOT && pair == 0) ? next : ROOT;
}

// ---- writing ---------------------------------------------------------------------------------------

// Zero first, as the authors number the levels: code 1 is 0, code 0 is -1, code 2 is 1.
static const uint8_t of_code[3] = {1, 0, 2}, to_code[3] = {1, 0, 2};

// The words of a row of codes, longest first; returns how many.
static int64_t encode_row(const dictionary *d, const uint8_t *codes, int64_t cols, uint8_t *out) {
    int64_t words = 0;
    uint32_t node = ROOT;
    for (int64_t c = 0; c < cols; c += 2) {
        int pair = of_code[codes[c]];
        if (c + 1 < cols) pair += 3 * of_code[codes[c + 1]];
        uint32_t next = follow(d, node, pair);
        if (next == ROOT) {
            memcpy(out + 2 * words++, (uint8_t[]){(uint8_t)node, (uint8_t)(node >> 8)}, 2);
            next = follow(d, ROOT, pair);
        }
        node = next;
    }
    memcpy(out + 2 * words++, (uint8_t[]){(uint8_t)node, (uint8_t)(node >> 8)}, 2);
    return words;
}

// Of all codes, two bytes: a word that is wrong may be as long as the right one, so only this tells.
static unsigned check_of(const uint8_t *codes, int64_t n) {
    uint32_t sum = 0;
    for (int64_t i = 0; i < n; i++) sum = (sum ^ (codes[i] + 1u)) * 0x9E3779B1u + (sum >> 15);
    return sum >> 16;
}

static uint8_t *encode(const coding_view *v, int64_t *coded, base_err *err) {
    *coded = 0;
    if (v->width != SYMBOLS_TRITS || v->rows < 1 || v->cols < 1) return NULL;
    const dictionary *d = get_dictionary();
    // A row has at most a word a pair, its count takes at most ten bytes.
    int64_t words_most = v->rows * ((v->cols + 1) / 2);
    uint8_t *codes = base_big_alloc((size_t)(v->rows * v->cols) + 1, 1, "symbols to be coded", err);
    uint8_t *words = codes ? base_big_alloc((size_t)words_most, 2, "code words", err) : NULL;
    uint8_t *out = words ? base_big_alloc((size_t)(64 + 10 * v->rows + 2 * words_most), 1, "a coded array", err) : NULL;
    if (out) {
        uint8_t *at = out;
        int64_t total = 0;
        codes_unpack(v->data, 0, v->rows * v->cols, 2, UNIFORM_TERNARY, codes);
        unsigned check = check_of(codes, v->rows * v->cols);
        *at++ = DICTIONARY_CHECKED;
        at = coding_put_number(at, (uint64_t)v->bytes);
        at = coding_put_number(at, (uint64_t)v->rows);
        at = coding_put_number(at, (uint64_t)v->cols);
        *at++ = (uint8_t)check;
        *at++ = (uint8_t)(check >> 8);
        for (int64_t r = 0; r < v->rows; r++) {
            int64_t count = encode_row(d, codes + r * v->cols, v->cols, words + 2 * total);
            total += count;
            at = coding_put_number(at, (uint64_t)count);
        }
        memcpy(at, words, (size_t)(2 * total));
        *coded = at - out + 2 * total;
    }
    base_big_free(codes);
    base_big_free(words);
    return out;
}

// ---- reading ---------------------------------------------------------------------------------------

// The pairs of a word from the last to the first.
static void spell(const dictionary *d, uint32_t word, uint8_t *pairs) {
    for (int i = d->pairs[word]; i-- > 0; word = d->parent[word]) pairs[i] = d->pair[word];
}

static bool decode_row(const dictionary *d, const uint8_t *words, uint64_t count, int64_t cols, uint8_t *codes,
                       base_err *err) {
    int64_t c = 0;
    for (uint64_t k = 0; k < count; k++) {
        uint8_t pairs[MOST_PAIRS];
        uint32_t word = words[2 * k] | (uint32_t)words[2 * k + 1] << 8;
        spell(d, word, pairs);
        for (int i = 0; i < d->pairs[word]; i++, c += 2) {
            if (c >= cols) return base_fail(err, "a row of %lld codes has more in its words", (long long)cols);
            codes[c] = to_code[pairs[i] % 3];
            if (c + 1 < cols)
                codes[c + 1] = to_code[pairs[i] / 3];
            else if (pairs[i] / 3)
                return base_fail(err, "a row of %lld codes has one more that is not 0", (long long)cols);
        }
    }
    return c >= cols || base_fail(err, "a row of %lld codes ends after %lld", (long long)cols, (long long)c);
}

// Counts of words a row, and where the words begin; they must reach the end exactly.
static bool read_counts(const uint8_t **at, const uint8_t *end, int64_t rows, uint64_t *counts, base_err *err) {
    uint64_t total = 0;
    for (int64_t r = 0; r < rows; r++) {
        if (!coding_get_number(at, end, &counts[r]) || counts[r] > (uint64_t)(end - *at))
            return base_fail(err, "the words of row %lld are not counted", (long long)r);
        total += counts[r];
    }
    return total * 2 == (uint64_t)(end - *at) || base_fail(err, "its rows have %llu words, %lld bytes are there",
                                                           (unsigned long long)total, (long long)(end - *at));
}

static uint8_t *decode(const uint8_t *in, size_t size, uint64_t most, int64_t *bytes, base_err *err) {
    const uint8_t *at = in + 1, *end = in + size;
    uint64_t count = 0, rows = 0, cols = 0;
    if (size < 1 || (in[0] != DICTIONARY_FORM && in[0] != DICTIONARY_CHECKED)) {
        base_fail(err, "its form is %d, expected %d or %d", size ? in[0] : -1, DICTIONARY_FORM, DICTIONARY_CHECKED);
        return NULL;
    }
    if (!coding_get_number(&at, end, &count) || count < 1 || count > most || !coding_get_number(&at, end, &rows) ||
        !coding_get_number(&at, end, &cols) || rows < 1 || cols < 1 || rows > 5 * count || cols > 5 * count ||
        (rows * cols + 4) / 5 != count) {
        base_fail(err, "its %llu x %llu codes do not take %llu bytes, at most %llu", (unsigned long long)rows,
                  (unsigned long long)cols, (unsigned long long)count, (unsigned long long)most);
        return NULL;
    }
    const uint8_t *check = in[0] == DICTIONARY_CHECKED ? at : NULL;
    if (check && end - at < 2) {
        base_fail(err, "it ends before its check");
        return NULL;
    }
    if (check) at += 2;
    const dictionary *d = get_dictionary();
    uint64_t *counts = base_big_alloc((size_t)rows, sizeof *counts, "words of rows", err);
    uint8_t *codes = counts ? base_big_alloc((size_t)(rows * cols), 1, "decoded symbols", err) : NULL;
    uint8_t *out = codes ? base_big_alloc((size_t)count, 1, "a decoded array", err) : NULL;
    bool ok = out && read_counts(&at, end, (int64_t)rows, counts, err);
    for (uint64_t r = 0; ok && r < rows; at += 2 * counts[r++])
        ok = decode_row(d, at, counts[r], (int64_t)cols, codes + r * cols, err);
    unsigned stored = check ? check[0] | (unsigned)check[1] << 8 : 0;
    if (ok && check && check_of(codes, (int64_t)(rows * cols)) != stored)
        ok = base_fail(err, "its check is %u, expected %u: a byte of it is wrong", stored,
                       check_of(codes, (int64_t)(rows * cols)));
    if (ok) codes_pack(codes, (int64_t)(rows * cols), 2, UNIFORM_TERNARY, out);
    base_big_free(counts);
    base_big_free(codes);
    *bytes = (int64_t)count;
    if (ok) return out;
    base_big_free(out);
    return NULL;
}

const coder coder_dictionary = {.name = "dictionary", .suffix = ".dict", .encode = encode, .decode = decode};
