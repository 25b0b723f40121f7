// coding: the table of coders, how the arrays of a term are seen as symbols, and what is told about them.
#include "compress/coding/coding.h"
#include "compress/ans.h"
#include "compress/coding/cabac.h"

#include <math.h>
#include <string.h>

const coder *const coders[] = {&coder_ans, &coder_cabac, &coder_dictionary};
const size_t coder_count = sizeof coders / sizeof *coders;

const coder *coder_find(const char *name) {
    for (size_t i = 0; i < coder_count; i++)
        if (!strcmp(coders[i]->name, name)) return coders[i];
    return NULL;
}

int64_t coding_symbols(int64_t bytes, int width) {
    return width == SYMBOLS_TRITS ? bytes * 5 : bytes * 8 / width;
}

uint8_t *coding_put_number(uint8_t *at, uint64_t v) {
    for (; v > 127; v >>= 7) *at++ = (uint8_t)(v | 128);
    *at++ = (uint8_t)v;
    return at;
}

bool coding_get_number(const uint8_t **at, const uint8_t *end, uint64_t *v) {
    *v = 0;
    for (int shift = 0; shift < 63 && *at < end; shift += 7) {
        uint8_t byte = *(*at)++;
        *v |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return true;
    }
    return false;
}

// ---- ans -------------------------------------------------------------------------------------------

static uint8_t *encode_ans(const coding_view *v, int64_t *coded, base_err *err) {
    int width = v->width == SYMBOLS_TRITS || v->width > 8 ? 8 : v->width;
    return ans_encode(v->data, v->bytes, width, coded, err);
}

const coder coder_ans = {.name = "ans", .suffix = ".ans", .encode = encode_ans, .decode = ans_decode};

// ---- cabac -----------------------------------------------------------------------------------------

enum { CABAC_ORDERED = 2, CABAC_TREE = 3 }; // first byte of a coded array; 1 is order-0 ANS

static bool unpack(const uint8_t *in, int64_t bytes, int width, uint16_t *symbols, base_err *err) {
    int64_t n = coding_symbols(bytes, width);
    if (width != SYMBOLS_TRITS) {
        num_unpack(in, (size_t)n, width, symbols);
        return true;
    }
    uint8_t trits[5 * 256];
    for (int64_t i = 0; i < bytes; i += 256) {
        int64_t m = bytes - i < 256 ? bytes - i : 256;
        codes_unpack(in + i, 0, 5 * m, 2, UNIFORM_TERNARY, trits);
        for (int64_t k = 0; k < 5 * m; k++) symbols[5 * i + k] = trits[k];
    }
    for (int64_t i = 0; i < bytes; i++)
        if (in[i] > 242) return base_fail(err, "byte %lld of ternary digits is %d", (long long)i, in[i]);
    return true;
}

static bool pack(const uint16_t *symbols, int64_t bytes, int width, uint8_t *out, base_err *err) {
    int64_t n = coding_symbols(bytes, width);
    if (width != SYMBOLS_TRITS) {
        memset(out, 0, (size_t)bytes);
        num_pack(symbols, (size_t)n, width, out);
        return true;
    }
    for (int64_t i = 0; i < bytes; i++) {
        unsigned byte = 0;
        for (int k = 5; k-- > 0;) {
            if (symbols[5 * i + k] > 2)
                return base_fail(err, "ternary digit %lld is %d", (long long)(5 * i + k), symbols[5 * i + k]);
            byte = byte * 3 + symbols[5 * i + k];
        }
        out[i] = (uint8_t)byte;
    }
    return true;
}

static int bits_of(int width) {
    return width == SYMBOLS_TRITS ? 2 : width;
}

static int most_frequent(const uint16_t *symbols, int64_t n) {
    int64_t counts[1 << CABAC_WIDEST] = {0};
    int best = 0;
    for (int64_t i = 0; i < n; i++) counts[symbols[i]]++;
    for (int s = 1; s < 1 << CABAC_WIDEST; s++)
        if (counts[s] > counts[best]) best = s;
    return best;
}

static uint8_t *encode_form(const coding_view *v, const uint16_t *symbols, int64_t n, bool ordered, int64_t *coded,
                            base_err *err) {
    cabac_writer w;
    int centre = ordered ? most_frequent(symbols, n) : 0;
    uint8_t head[32], *at = head;
    *at++ = ordered ? CABAC_ORDERED : CABAC_TREE;
    *at++ = (uint8_t)v->width;
    at = coding_put_number(at, (uint64_t)v->bytes);
    if (ordered) at = coding_put_number(at, (uint64_t)centre);
    cabac_open(&w);
    bool ok = cabac_put_symbols(&w, symbols, n, bits_of(v->width), ordered, centre, err) && cabac_finish(&w, err);
    uint8_t *out = ok ? base_big_alloc((size_t)(at - head + w.length), 1, "a coded array", err) : NULL;
    if (out) {
        memcpy(out, head, (size_t)(at - head));
        memcpy(out + (at - head), w.out, (size_t)w.length);
        *coded = at - head + w.length;
    }
    base_big_free(w.out);
    return out;
}

// Both ways of reading symbols are tried where the array is small or its order means something.
static uint8_t *encode_cabac(const coding_view *v, int64_t *coded, base_err *err) {
    int64_t n = coding_symbols(v->bytes, v->width), other = 0;
    uint16_t *symbols = base_big_alloc((size_t)n + 8, sizeof *symbols, "symbols to be coded", err);
    uint8_t *out = NULL, *second = NULL;
    if (symbols && unpack(v->data, v->bytes, v->width, symbols, err)) {
        out = encode_form(v, symbols, n, false, coded, err);
        if (out && v->ordered) second = encode_form(v, symbols, n, true, &other, err);
    }
    base_big_free(symbols);
    if (!second) return out;
    base_big_free(other <= *coded ? out : second);
    out = other <= *coded ? second : out;
    if (other < *coded) *coded = other;
    return out;
}

static bool read_head(const uint8_t **at, const uint8_t *end, uint64_t most, int *form, int *width, uint64_t *bytes,
                      uint64_t *centre, base_err *err) {
    if (end - *at < 2 || ((*at)[0] != CABAC_ORDERED && (*at)[0] != CABAC_TREE))
        return base_fail(err, "its form is %d, expected %d or %d", end > *at ? **at : -1, CABAC_ORDERED, CABAC_TREE);
    *form = (*at)[0];
    *width = (*at)[1];
    if (*width > CABAC_WIDEST)
        return base_fail(err, "its symbols have %d bits, expected 0 to %d", *width, CABAC_WIDEST);
    *at += 2;
    if (!coding_get_number(at, end, bytes) || *bytes < 1 || *bytes > most)
        return base_fail(err, "it stands for %llu bytes, expected 1 to %llu", (unsigned long long)*bytes,
                         (unsigned long long)most);
    *centre = 0;
    if (*form == CABAC_ORDERED && (!coding_get_number(at, end, centre) || *centre >> bits_of(*width)))
        return base_fail(err, "its middle symbol is %llu, which has more than %d bits", (unsigned long long)*centre,
                         bits_of(*width));
    return true;
}

static uint8_t *decode_cabac(const uint8_t *in, size_t size, uint64_t most, int64_t *bytes, base_err *err) {
    const uint8_t *at = in, *end = in + size;
    int form = CABAC_TREE, width = 8;
    uint64_t count = 0, centre = 0;
    if (!read_head(&at, end, most, &form, &width, &count, &centre, err)) return NULL;
    int64_t n = coding_symbols((int64_t)count, width);
    uint16_t *symbols = base_big_alloc((size_t)n + 8, sizeof *symbols, "decoded symbols", err);
    uint8_t *out = symbols ? base_big_alloc((size_t)count, 1, "a decoded array", err) : NULL;
    cabac_reader r;
    cabac_read(&r, at, end);
    bool ok = out && cabac_get_symbols(&r, symbols, n, bits_of(width), form == CABAC_ORDERED, (int)centre, err) &&
              cabac_ended(&r, err) && pack(symbols, (int64_t)count, width, out, err);
    base_big_free(symbols);
    *bytes = (int64_t)count;
    if (ok) return out;
    base_big_free(out);
    return NULL;
}

const coder coder_cabac = {.name = "cabac", .suffix = ".cabac", .encode = encode_cabac, .decode = decode_cabac};

// ---- arrays of terms -------------------------------------------------------------------------------

static bool named(const term *t, int index, const char *name) {
    return !strcmp(t->kind->blob[index], name);
}

static int64_t attr_of(const term *t, const char *name) {
    for (int i = 0; i < TERM_MAX_ATTR && t->kind->attr[i].name; i++)
        if (!strcmp(t->kind->attr[i].name, name)) return t->attr[i];
    return 0;
}

bool coding_view_of(const term *t, int index, coding_view *v) {
    const term_blob *b = &t->blob[index];
    if (!b->count || b->dtype != NUM_U8 || !b->data) return false;
    *v = (coding_view){.data = b->data, .bytes = b->count, .width = 8, .ordered = true, .rows = 1};
    int64_t bits = attr_of(t, "bits"), count = t->stored;
    if (named(t, index, "codes")) {
        // A code a weight, or a code a run of neighbours: what fits the array's length.
        int64_t dim = attr_of(t, "dim");
        if (dim > 0) count = vq_runs(t->rows, t->cols, dim);
        if (t->kind == &term_uniform && t->attr[UNIFORM_SCHEME] == UNIFORM_TERNARY)
            v->width = SYMBOLS_TRITS;
        else if (bits >= 1 && bits <= CABAC_WIDEST && b->bytes == num_packed_bytes((size_t)count, (int)bits))
            v->width = (int)bits;
        v->ordered = t->kind == &term_uniform || t->kind == &term_table;
    }
    if (t->kind == &term_points) {
        bool half = named(t, index, "half");
        v->width = half ? 1 : (int)bits;
        v->ordered = !half;
        count = b->count * 8 / v->width;
    }
    if (named(t, index, "zeros") && t->kind == &term_uniform) {
        count = uniform_scale_count(t->rows, t->cols, t->attr[UNIFORM_GROUP]);
        if (bits <= CABAC_WIDEST && b->bytes == num_packed_bytes((size_t)count, (int)bits)) v->width = (int)bits;
    }
    if (named(t, index, "map") && t->kind == &term_sparse) v->width = 1, v->ordered = false;
    v->cols = coding_symbols(v->bytes, v->width);
    if (v->width != 8 && v->cols >= count && v->cols < count + 8) {
        v->cols = count;
        if (count == t->rows * t->cols) v->rows = t->rows, v->cols = t->cols;
    }
    return true;
}

static bool keep_shorter(term_blob *b, const coder *c, const uint8_t *out, int64_t coded, base_err *err) {
    if ((size_t)coded >= (b->coded_bytes ? b->coded_bytes : b->bytes)) return true;
    uint8_t *copy = base_big_alloc((size_t)coded, 1, "a coded array", err);
    if (!copy) return false;
    memcpy(copy, out, (size_t)coded);
    base_big_free(b->coded);
    b->coded = copy;
    b->coded_bytes = (size_t)coded;
    b->suffix = c->suffix;
    return true;
}

bool coding_term(term *t, const coder *which, base_err *err) {
    for (int i = 0; i < TERM_MAX_BLOB && t->kind->blob[i]; i++) {
        coding_view v;
        if (!coding_view_of(t, i, &v)) continue;
        term_blob *b = &t->blob[i];
        base_big_free(b->coded);
        b->coded = NULL;
        b->coded_bytes = 0;
        for (size_t k = 0; k < coder_count; k++) {
            if (which && which != coders[k]) continue;
            int64_t coded = 0;
            err->text[0] = 0;
            uint8_t *out = coders[k]->encode(&v, &coded, err);
            bool ok = out ? keep_shorter(b, coders[k], out, coded, err) : !err->text[0];
            base_big_free(out);
            if (!ok) return false;
        }
    }
    for (int i = 0; i < t->child_count; i++)
        if (!coding_term(t->child[i], which, err)) return false;
    return true;
}

// ---- what is told ----------------------------------------------------------------------------------

// Of the first n symbols (what follows them fills the last byte).
bool coding_count(const coding_view *v, int64_t n, int64_t *counts) {
    memset(counts, 0, (1 << CABAC_WIDEST) * sizeof *counts);
    enum { BLOCK = 8 * 1024 }; // a whole number of bytes for every width
    uint16_t symbols[BLOCK * 5];
    base_err ignored;
    int64_t per = v->width == SYMBOLS_TRITS ? 5 * 1024 : BLOCK,
            bytes = v->width == SYMBOLS_TRITS ? 1024 : 1024 * v->width;
    for (int64_t i = 0, at = 0; i < n; i += per, at += bytes) {
        int64_t m = n - i < per ? n - i : per, left = v->bytes - at < bytes ? v->bytes - at : bytes;
        if (!unpack(v->data + at, left, v->width, symbols, &ignored)) return false;
        for (int64_t k = 0; k < m; k++) counts[symbols[k]]++;
    }
    return true;
}

double coding_entropy(const int64_t *counts, int64_t n) {
    double bits = 0;
    for (int s = 0; s < 1 << CABAC_WIDEST; s++)
        if (counts[s]) bits -= (double)counts[s] * log2((double)counts[s] / (double)n);
    return n ? bits / (double)n : 0;
}

static double entropy_of(const coding_view *v, int64_t n) {
    int64_t counts[1 << CABAC_WIDEST];
    return coding_count(v, n, counts) ? coding_entropy(counts, n) : NAN;
}

static double binary_entropy(double p) {
    return p <= 0 || p >= 1 ? 0 : -p * log2(p) - (1 - p) * log2(1 - p);
}

static void add(base_buf *b, const char *name, double bits) {
    base_buf_printf(b, "%s%s%s%.2f", b->length ? ", " : "", name, *name ? " " : "", bits);
}

void coding_describe(const term *t, base_buf *b) {
    coding_view v;
    for (int i = 0; i < TERM_MAX_BLOB && t->kind->blob[i]; i++) {
        bool codes = named(t, i, "codes");
        if (term_is_container(t) || !coding_view_of(t, i, &v)) continue;
        int64_t n = v.rows * v.cols;
        if (n) add(b, codes ? "" : t->kind->blob[i], entropy_of(&v, n));
    }
    // What positions tell is the same in each of their forms: which weights are kept.
    if (term_is_container(t) && t->child_count)
        add(b, "positions", binary_entropy((double)t->child[0]->stored / (double)(t->rows * t->cols)));
    for (int i = 0; i < t->child_count; i++) coding_describe(t->child[i], b);
}

void coding_names(const term *t, base_buf *b) {
    for (int i = 0; i < TERM_MAX_BLOB && t->kind->blob[i]; i++) {
        const char *suffix = t->blob[i].coded_bytes ? t->blob[i].suffix : NULL;
        if (suffix && !(b->text && strstr(b->text, suffix + 1)))
            base_buf_printf(b, "%s%s", b->length ? "+" : "", suffix + 1);
    }
    for (int i = 0; i < t->child_count; i++) coding_names(t->child[i], b);
}
