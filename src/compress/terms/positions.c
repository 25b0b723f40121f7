// Positions of kept weights, as sparse and masked terms store them:
//   bitmap  one bit a weight, row-major, lowest bit first
//   index   kept weights a row, then their columns, u16 where the matrix has at most 65,536 columns, else u32
//   delta   kept weights a row, then gaps as bytes: zeros skipped before each kept weight; 255 means "255 zeros and
//           go on" and stands for no weight itself
//   nm      of every m neighbours of a row n are kept (the last, shorter run keeps min(n, its length)): their offsets
//           in the run, ceil(log2 m) bits each, packed as codes are
//   units   one bit a unit of height x length neighbours that stay or go as a whole, row-major, lowest bit first
#include "compress/layer.h"

#include <stdlib.h>
#include <string.h>

static num_dtype count_dtype(int64_t cols) {
    return cols <= UINT16_MAX ? NUM_U16 : NUM_I32;
}
static num_dtype column_dtype(int64_t cols) {
    return cols <= UINT16_MAX + 1 ? NUM_U16 : NUM_I32;
}

static int64_t get(const term_blob *b, int64_t i) {
    if (b->dtype == NUM_U8) return ((const uint8_t *)b->data)[i];
    if (b->dtype == NUM_U16) {
        uint16_t v;
        memcpy(&v, (const uint8_t *)b->data + 2 * i, sizeof v);
        return v;
    }
    int32_t v;
    memcpy(&v, (const uint8_t *)b->data + 4 * i, sizeof v);
    return v;
}

static void put(term_blob *b, int64_t i, int64_t value) {
    if (b->dtype == NUM_U8) ((uint8_t *)b->owned)[i] = (uint8_t)value;
    if (b->dtype == NUM_U16) ((uint16_t *)b->owned)[i] = (uint16_t)value;
    if (b->dtype == NUM_I32) ((int32_t *)b->owned)[i] = (int32_t)value;
}

static int offset_bits(int64_t m) {
    int bits = 1;
    while ((int64_t)1 << bits < m) bits++;
    return bits;
}

void positions_free(positions *p) {
    free(p->first);
    base_big_free(p->col);
    *p = (positions){0};
}

// ---- reading -------------------------------------------------------------------------------------

static bool start(const term *t, int64_t kept, positions *p, base_err *err) {
    p->kept = kept;
    p->first = base_calloc((size_t)t->rows + 1, sizeof *p->first);
    p->col = base_big_alloc((size_t)kept + 1, sizeof *p->col, "positions of kept weights", err);
    return p->col != NULL;
}

static bool expand_bitmap(const term *t, positions *p, base_err *err) {
    int64_t n = t->rows * t->cols, kept = 0;
    if (!term_blob_is(t, POSITIONS_MAP, NUM_U8, (n + 7) / 8, err)) return false;
    const uint8_t *map = t->blob[POSITIONS_MAP].data;
    for (int64_t i = 0; i < (n + 7) / 8; i++) kept += __builtin_popcount(map[i]);
    if (n % 8 && map[n / 8] >> (n % 8)) return base_fail(err, "unused bits at the end of a bitmap are not zero");
    if (!start(t, kept, p, err)) return false;
    int64_t k = 0;
    for (int64_t r = 0, i = 0; r < t->rows; r++) {
        p->first[r] = k;
        for (int64_t c = 0; c < t->cols; c++, i++) {
            p->col[k] =
                (uint32_t)c; // one past the end is allocated: a branch here would be guessed wrong half the time
            k += map[i / 8] >> (i % 8) & 1;
        }
    }
    p->first[t->rows] = k;
    return true;
}

// Counts a row, checked against the width; the sum in *kept.
static bool read_counts(const term *t, int64_t *kept, base_err *err) {
    if (!term_blob_is(t, POSITIONS_COUNTS, count_dtype(t->cols), t->rows, err)) return false;
    *kept = 0;
    for (int64_t r = 0; r < t->rows; r++) {
        int64_t c = get(&t->blob[POSITIONS_COUNTS], r);
        if (c < 0 || c > t->cols)
            return base_fail(err, "row %lld of a sparse term keeps %lld of %lld weights", (long long)r, (long long)c,
                             (long long)t->cols);
        *kept += c;
    }
    return true;
}

static bool expand_index(const term *t, positions *p, base_err *err) {
    int64_t kept;
    if (!read_counts(t, &kept, err) || !term_blob_is(t, POSITIONS_COLUMNS, column_dtype(t->cols), kept, err) ||
        !start(t, kept, p, err))
        return false;
    int64_t k = 0;
    for (int64_t r = 0; r < t->rows; r++) {
        p->first[r] = k;
        int64_t end = k + get(&t->blob[POSITIONS_COUNTS], r), last = -1;
        for (; k < end; k++) {
            int64_t c = get(&t->blob[POSITIONS_COLUMNS], k);
            if (c <= last || c >= t->cols)
                return base_fail(err,
                                 "column %lld in row %lld of a sparse term is out of order or beyond the width %lld",
                                 (long long)c, (long long)r, (long long)t->cols);
            p->col[k] = (uint32_t)(last = c);
        }
    }
    p->first[t->rows] = k;
    return true;
}

static bool expand_delta(const term *t, positions *p, base_err *err) {
    int64_t kept;
    const term_blob *b = &t->blob[POSITIONS_COLUMNS];
    if (!read_counts(t, &kept, err) || !term_blob_is(t, POSITIONS_COLUMNS, NUM_U8, b->count, err) ||
        !start(t, kept, p, err))
        return false;
    int64_t k = 0, at = 0;
    for (int64_t r = 0; r < t->rows; r++) {
        p->first[r] = k;
        int64_t end = k + get(&t->blob[POSITIONS_COUNTS], r), c = 0;
        while (k < end && at < b->count && c < t->cols) {
            int64_t gap = get(b, at++);
            c += gap;
            if (gap == 255) continue;
            if (c < t->cols) p->col[k++] = (uint32_t)c++;
        }
        if (k < end || c > t->cols)
            return base_fail(err, "gaps of row %lld of a sparse term run past its %lld columns or end early",
                             (long long)r, (long long)t->cols);
    }
    if (at != b->count)
        return base_fail(err, "%lld gap bytes of a sparse term belong to no weight", (long long)(b->count - at));
    p->first[t->rows] = k;
    return true;
}

static int64_t nm_row(int64_t cols, int64_t n, int64_t m) {
    int64_t tail = cols % m;
    return cols / m * n + (tail < n ? tail : n);
}

static bool expand_nm(const term *t, positions *p, base_err *err) {
    int64_t n = t->attr[POSITIONS_N], m = t->attr[POSITIONS_M];
    if (m < 2 || n < 1 || n > m)
        return base_fail(err, "a masked term states the pattern %lld:%lld", (long long)n, (long long)m);
    int64_t per_row = nm_row(t->cols, n, m), kept = per_row * t->rows;
    int bits = offset_bits(m);
    int64_t bytes = (int64_t)num_packed_bytes((size_t)kept, bits);
    if (!term_blob_is(t, POSITIONS_MAP, NUM_U8, bytes, err) || !start(t, kept, p, err)) return false;
    int64_t k = 0;
    for (int64_t r = 0; r < t->rows; r++) {
        p->first[r] = k;
        for (int64_t c = 0; c < t->cols; c += m) {
            int64_t run = t->cols - c < m ? t->cols - c : m, last = -1;
            for (int64_t i = 0; i < (run < n ? run : n); i++, k++) {
                uint8_t offset;
                codes_unpack(t->blob[POSITIONS_MAP].data, k, 1, bits, UNIFORM_SYM, &offset);
                if (offset <= last || offset >= run)
                    return base_fail(err, "offset %u in row %lld of a %lld:%lld term is out of order or beyond its run",
                                     offset, (long long)r, (long long)n, (long long)m);
                last = offset;
                p->col[k] = (uint32_t)(c + offset);
            }
        }
    }
    p->first[t->rows] = k;
    return true;
}

static int64_t units_across(int64_t cols, int64_t length) {
    return (cols - 1) / length + 1;
}

static bool expand_units(const term *t, positions *p, base_err *err) {
    int64_t height = t->attr[POSITIONS_N], length = t->attr[POSITIONS_M];
    if (height < 1 || length < 1)
        return base_fail(err, "a units term states units of %lld x %lld", (long long)height, (long long)length);
    int64_t across = units_across(t->cols, length), count = across * units_across(t->rows, height), kept = 0;
    if (!term_blob_is(t, POSITIONS_MAP, NUM_U8, (count + 7) / 8, err)) return false;
    const uint8_t *map = t->blob[POSITIONS_MAP].data;
    if (count % 8 && map[count / 8] >> (count % 8))
        return base_fail(err, "unused bits at the end of the map of a units term are not zero");
    for (int64_t u = 0; u < count; u++) {
        int64_t r = u / across * height, c = u % across * length;
        int64_t tall = t->rows - r < height ? t->rows - r : height, wide = t->cols - c < length ? t->cols - c : length;
        kept += (map[u / 8] >> (u % 8) & 1) * tall * wide;
    }
    if (!start(t, kept, p, err)) return false;
    int64_t k = 0;
    for (int64_t r = 0; r < t->rows; r++) {
        p->first[r] = k;
        for (int64_t c = 0, u = r / height * across; c < t->cols; c += length, u++)
            for (int64_t i = c; map[u / 8] >> (u % 8) & 1 && i < t->cols && i < c + length; i++)
                p->col[k++] = (uint32_t)i;
    }
    p->first[t->rows] = k;
    return true;
}

bool positions_expand(const term *t, positions *p, base_err *err) {
    static bool (*const expand[])(const term *, positions *, base_err *) = {expand_bitmap, expand_index, expand_delta,
                                                                            expand_nm, expand_units};
    *p = (positions){0};
    if (expand[t->attr[POSITIONS_FORM]](t, p, err)) return true;
    positions_free(p);
    return false;
}

bool positions_mask(const term *t, uint8_t *mask, base_err *err) {
    positions p;
    if (!positions_expand(t, &p, err)) return false;
    memset(mask, 0, (size_t)(t->rows * t->cols));
    for (int64_t r = 0; r < t->rows; r++)
        for (int64_t k = p.first[r]; k < p.first[r + 1]; k++) mask[r * t->cols + p.col[k]] = 1;
    positions_free(&p);
    return true;
}

// ---- writing -------------------------------------------------------------------------------------

bool positions_fit_nm(const uint8_t *mask, int64_t rows, int64_t cols, int64_t n, int64_t m) {
    if (m < 2 || n < 1 || n > m || m > 256) return false;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c += m) {
            int64_t run = cols - c < m ? cols - c : m, kept = 0;
            for (int64_t i = 0; i < run; i++) kept += mask[r * cols + c + i];
            if (kept != (run < n ? run : n)) return false;
        }
    return true;
}

bool positions_fit_units(const uint8_t *mask, int64_t rows, int64_t cols, int64_t height, int64_t length) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++)
            if (mask[r * cols + c] != mask[r / height * height * cols + c / length * length]) return false;
    return true;
}

// Bytes of the gaps of one row, written to `out` unless it is NULL.
static int64_t gaps(const uint8_t *row, int64_t cols, uint8_t *out) {
    int64_t bytes = 0, gap = 0;
    for (int64_t c = 0; c < cols; c++) {
        if (!row[c]) {
            gap++;
            continue;
        }
        for (; gap >= 255; gap -= 255, bytes++)
            if (out) out[bytes] = 255;
        if (out) out[bytes] = (uint8_t)gap;
        bytes++;
        gap = 0;
    }
    return bytes;
}

static int64_t form_bytes(const uint8_t *mask, int64_t kept, int64_t rows, int64_t cols, int form, int64_t n,
                          int64_t m) {
    int64_t bytes = 0;
    int64_t counts = rows * (int64_t)num_dtypes[count_dtype(cols)].bytes;
    switch ((enum positions_form)form) {
    case FORM_BITMAP:
        return (rows * cols + 7) / 8;
    case FORM_INDEX:
        return counts + kept * (int64_t)num_dtypes[column_dtype(cols)].bytes;
    case FORM_DELTA:
        for (int64_t r = 0; r < rows; r++) bytes += gaps(mask + r * cols, cols, NULL);
        return counts + bytes;
    case FORM_UNITS:
        return (units_across(rows, n) * units_across(cols, m) + 7) / 8;
    case FORM_NM:
        return positions_fit_nm(mask, rows, cols, n, m) ? (int64_t)num_packed_bytes((size_t)kept, offset_bits(m))
                                                        : INT64_MAX;
    }
    return INT64_MAX;
}

static bool write_lists(term *t, const uint8_t *mask, bool delta, base_err *err) {
    int64_t bytes = 0, k = 0;
    if (!term_blob_new(t, POSITIONS_COUNTS, count_dtype(t->cols), t->rows, err)) return false;
    for (int64_t r = 0; r < t->rows; r++) {
        put(&t->blob[POSITIONS_COUNTS], r, num_count_ones(mask + r * t->cols, t->cols));
        if (delta) bytes += gaps(mask + r * t->cols, t->cols, NULL);
    }
    int64_t entries = delta ? bytes : num_count_ones(mask, t->rows * t->cols);
    uint8_t *out = term_blob_new(t, POSITIONS_COLUMNS, delta ? NUM_U8 : column_dtype(t->cols), entries, err);
    if (!out) return false;
    for (int64_t r = 0; r < t->rows; r++) {
        const uint8_t *row = mask + r * t->cols;
        if (delta) out += gaps(row, t->cols, out);
        for (int64_t c = 0; !delta && c < t->cols; c++)
            if (row[c]) put(&t->blob[POSITIONS_COLUMNS], k++, c);
    }
    return true;
}

term *positions_bitmap(int64_t rows, int64_t cols, uint8_t **map, base_err *err) {
    term *t = term_new(&term_sparse, rows, cols);
    t->stored = 0;
    t->attr[POSITIONS_FORM] = FORM_BITMAP;
    *map = term_blob_room(t, POSITIONS_MAP, NUM_U8, (rows * cols + 7) / 8, err);
    if (*map) return t;
    term_free(t);
    return NULL;
}

static bool write_bitmap(term *t, const uint8_t *mask, base_err *err) {
    int64_t n = t->rows * t->cols;
    uint8_t *map = term_blob_new(t, POSITIONS_MAP, NUM_U8, (n + 7) / 8, err);
    if (!map) return false;
    for (int64_t i = 0; i < n / 8; i++) {
        uint64_t eight;
        memcpy(&eight, mask + 8 * i, sizeof eight);
        // Bit 8k of the eight comes to bit 56 + k of the product, and no two bits meet.
        map[i] = (uint8_t)(eight * UINT64_C(0x0102040810204080) >> 56);
    }
    for (int64_t i = n / 8 * 8; i < n; i++) map[i / 8] = (uint8_t)(map[i / 8] | mask[i] << (i % 8));
    return true;
}

static bool write_units(term *t, const uint8_t *mask, base_err *err) {
    int64_t height = t->attr[POSITIONS_N], length = t->attr[POSITIONS_M], across = units_across(t->cols, length),
            count = across * units_across(t->rows, height);
    uint8_t *map = term_blob_new(t, POSITIONS_MAP, NUM_U8, (count + 7) / 8, err);
    if (!map) return false;
    memset(map, 0, (size_t)(count + 7) / 8);
    for (int64_t u = 0; u < count; u++)
        map[u / 8] = (uint8_t)(map[u / 8] | mask[u / across * height * t->cols + u % across * length] << (u % 8));
    return true;
}

static bool write_nm(term *t, const uint8_t *mask, base_err *err) {
    int64_t m = t->attr[POSITIONS_M], kept = num_count_ones(mask, t->rows * t->cols), k = 0;
    int bits = offset_bits(m);
    uint8_t *offsets = base_big_alloc((size_t)kept + 1, 1, "positions of kept weights", err);
    uint8_t *map =
        offsets ? term_blob_new(t, POSITIONS_MAP, NUM_U8, (int64_t)num_packed_bytes((size_t)kept, bits), err) : NULL;
    if (map) {
        for (int64_t r = 0; r < t->rows; r++)
            for (int64_t c = 0; c < t->cols; c += m) {
                int64_t run = t->cols - c < m ? t->cols - c : m;
                const uint8_t *keep = mask + r * t->cols + c;
                for (int64_t i = 0; i < run; i++) { // one past the end is allocated: no branch to be guessed
                    offsets[k] = (uint8_t)i;
                    k += keep[i];
                }
            }
        codes_pack(offsets, kept, bits, UNIFORM_SYM, map);
    }
    base_big_free(offsets);
    return map != NULL;
}

term *positions_build(const uint8_t *mask, int64_t rows, int64_t cols, int form, int64_t n, int64_t m, base_err *err) {
    if (form < 0) {
        // The pattern's own form comes first, so that it wins where it is as small as another.
        static const int order[] = {FORM_NM, FORM_BITMAP, FORM_INDEX, FORM_DELTA};
        int64_t best = INT64_MAX;
        int64_t kept = num_count_ones(mask, rows * cols);
        for (int i = m ? 0 : 1; i < 4; i++) {
            // Lists take a byte for each kept weight at least: no need to count the gaps of a dense mask.
            if (order[i] >= FORM_INDEX && order[i] != FORM_NM && kept >= best) continue;
            int64_t bytes = form_bytes(mask, kept, rows, cols, order[i], n, m);
            if (bytes < best) best = bytes, form = order[i];
        }
    }
    term *t = term_new(form == FORM_UNITS ? &term_units : form == FORM_NM ? &term_masked : &term_sparse, rows, cols);
    t->stored = 0;
    t->attr[POSITIONS_FORM] = form;
    t->attr[POSITIONS_N] = form >= FORM_NM ? n : 0;
    t->attr[POSITIONS_M] = form >= FORM_NM ? m : 0;
    bool ok = form == FORM_BITMAP  ? write_bitmap(t, mask, err)
              : form == FORM_NM    ? write_nm(t, mask, err)
              : form == FORM_UNITS ? write_units(t, mask, err)
                                   : write_lists(t, mask, form == FORM_DELTA, err);
    if (ok) return t;
    term_free(t);
    return NULL;
}
