// zip: reads the directory of a zip file (PKWARE APPNOTE 6.3, sections 4.3 and 4.5) with its 64-bit extension.
//
// Nothing in the file is believed before it is checked against the file's length: offsets, sizes, counts, and that no
// two members share bytes (the trick of zip bombs). A deflated member may say at most what deflate can reach, 1032
// bytes for each one stored.
#include "numeric/zip.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define END_BYTES 22
#define END64_BYTES 56
#define LOCATOR_BYTES 20
#define CENTRAL_BYTES 46
#define LOCAL_BYTES 30
#define MEMBERS_MOST 1000000

static uint64_t little(const uint8_t *p, int bytes) {
    uint64_t v = 0;
    for (int i = bytes - 1; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

static bool signature(const uint8_t *p, const char *two) {
    return p[0] == 'P' && p[1] == 'K' && p[2] == (uint8_t)two[0] && p[3] == (uint8_t)two[1];
}

typedef struct directory {
    uint64_t count, bytes, from;
} directory;

static bool find_directory(const uint8_t *data, size_t bytes, directory *dir, base_err *err) {
    if (bytes < END_BYTES) return base_fail(err, "the zip directory is missing (the file is cut short)");
    size_t at = bytes - END_BYTES, lowest = bytes > END_BYTES + 65535 ? bytes - END_BYTES - 65535 : 0;
    // The end record is followed by a comment that reaches exactly to the end of the file.
    while (!(signature(data + at, "\5\6") && little(data + at + 20, 2) == bytes - at - END_BYTES))
        if (at-- == lowest) return base_fail(err, "the zip directory is missing (the file is cut short)");
    *dir = (directory){little(data + at + 10, 2), little(data + at + 12, 4), little(data + at + 16, 4)};
    size_t limit = at;
    if (at >= LOCATOR_BYTES && signature(data + at - LOCATOR_BYTES, "\6\7")) {
        uint64_t end64 = little(data + at - LOCATOR_BYTES + 8, 8);
        limit = at - LOCATOR_BYTES;
        if (limit < END64_BYTES || end64 > limit - END64_BYTES || !signature(data + end64, "\6\6"))
            return base_fail(err, "the 64-bit zip directory is not where the file says (offset %llu)",
                             (unsigned long long)end64);
        *dir = (directory){little(data + end64 + 32, 8), little(data + end64 + 40, 8), little(data + end64 + 48, 8)};
        limit = (size_t)end64;
    }
    if (dir->from > limit || dir->bytes > limit - dir->from)
        return base_fail(err, "the zip directory at offset %llu with %llu bytes reaches past its end",
                         (unsigned long long)dir->from, (unsigned long long)dir->bytes);
    if (dir->count > dir->bytes / CENTRAL_BYTES || dir->count > MEMBERS_MOST)
        return base_fail(err, "the zip directory says it has %llu members, its %llu bytes cannot hold them",
                         (unsigned long long)dir->count, (unsigned long long)dir->bytes);
    return true;
}

// Sizes and the offset that did not fit 32 bits, from extra field 1, in this order.
static bool wide_values(const uint8_t *extra, size_t length, uint64_t *values[3]) {
    while (length >= 4) {
        size_t id = little(extra, 2), size = little(extra + 2, 2);
        if (size > length - 4) return false;
        const uint8_t *p = extra + 4;
        if (id == 1) {
            for (int i = 0; i < 3; i++) {
                if (*values[i] != 0xFFFFFFFF) continue;
                if (size < 8) return false;
                *values[i] = little(p, 8);
                p += 8, size -= 8;
            }
            return true;
        }
        extra += 4 + size, length -= 4 + size;
    }
    return true;
}

// From the member's own header: where its data starts. Everything must lie before the directory.
static bool locate(const uint8_t *data, size_t limit, zip_entry *e, uint64_t header, uint64_t packed, base_err *err) {
    if (limit < LOCAL_BYTES || header > limit - LOCAL_BYTES || !signature(data + header, "\3\4"))
        return base_fail(err, "member '%s' has no header at offset %llu", e->name, (unsigned long long)header);
    uint64_t from = header + LOCAL_BYTES + little(data + header + 26, 2) + little(data + header + 28, 2);
    if (from > limit || packed > limit - from)
        return base_fail(err, "member '%s' with %llu bytes at offset %llu reaches past the end", e->name,
                         (unsigned long long)packed, (unsigned long long)from);
    e->header = (size_t)header;
    e->from = (size_t)from;
    e->packed = (size_t)packed;
    return true;
}

// One row of the directory at `p` with `left` bytes to its end; `*used` tells how many it took.
static bool read_entry(const uint8_t *data, size_t limit, const uint8_t *p, size_t left, zip_entry *e, size_t *used,
                       base_err *err) {
    if (left < CENTRAL_BYTES || !signature(p, "\1\2")) return base_fail(err, "the zip directory is torn");
    size_t name = little(p + 28, 2), extra = little(p + 30, 2), comment = little(p + 32, 2);
    *used = CENTRAL_BYTES + name + extra + comment;
    if (*used > left) return base_fail(err, "the zip directory is torn");
    char *raw = base_strndup((const char *)p + CENTRAL_BYTES, name);
    e->name = base_alloc(name + 1);
    base_clean(e->name, name + 1, raw);
    free(raw);
    unsigned flags = (unsigned)little(p + 8, 2), method = (unsigned)little(p + 10, 2);
    if (flags & 1) return base_fail(err, "member '%s' is encrypted", e->name);
    if (method != 0 && method != 8)
        return base_fail(err, "member '%s' is packed by method %u, expected 0 (stored) or 8 (deflate)", e->name,
                         method);
    uint64_t packed = little(p + 20, 4), bytes = little(p + 24, 4), header = little(p + 42, 4);
    if (!wide_values(p + CENTRAL_BYTES + name, extra, (uint64_t *[3]){&bytes, &packed, &header}))
        return base_fail(err, "member '%s' has a torn 64-bit field", e->name);
    e->deflated = method == 8;
    e->crc = (uint32_t)little(p + 16, 4);
    if (!locate(data, limit, e, header, packed, err)) return false;
    if (e->deflated ? bytes / 1032 > packed : bytes != packed)
        return base_fail(err, "member '%s' says that %llu stored bytes become %llu", e->name,
                         (unsigned long long)packed, (unsigned long long)bytes);
    e->bytes = (size_t)bytes;
    return true;
}

static int by_place(const void *a, const void *b) {
    size_t x = (*(const zip_entry *const *)a)->header, y = (*(const zip_entry *const *)b)->header;
    return (x > y) - (x < y);
}
static int by_name(const void *a, const void *b) {
    return strcmp((*(const zip_entry *const *)a)->name, (*(const zip_entry *const *)b)->name);
}

static bool all_apart(const zip_entry *entries, size_t count, base_err *err) {
    const zip_entry **order = base_calloc(count, sizeof *order);
    bool good = true;
    for (size_t i = 0; i < count; i++) order[i] = &entries[i];
    qsort(order, count, sizeof *order, by_place);
    for (size_t i = 1; i < count && good; i++)
        if (order[i - 1]->from + order[i - 1]->packed > order[i]->header)
            good = base_fail(err, "members '%s' and '%s' overlap", order[i - 1]->name, order[i]->name);
    qsort(order, count, sizeof *order, by_name);
    for (size_t i = 1; i < count && good; i++)
        if (strcmp(order[i - 1]->name, order[i]->name) == 0)
            good = base_fail(err, "member '%s' is there twice", order[i]->name);
    free(order);
    return good;
}

zip_entry *zip_open(const uint8_t *data, size_t bytes, size_t *count, base_err *err) {
    directory dir = {0};
    *count = 0;
    if (!find_directory(data, bytes, &dir, err)) return NULL;
    zip_entry *entries = base_calloc(dir.count, sizeof *entries);
    const uint8_t *p = data + dir.from;
    size_t left = (size_t)dir.bytes, used = 0, i = 0;
    bool good = true;
    for (; i < dir.count && good; i++, p += used, left -= used)
        good = read_entry(data, (size_t)dir.from, p, left, &entries[i], &used, err);
    if (good) good = all_apart(entries, i, err);
    if (!good) {
        zip_free(entries, i);
        return NULL;
    }
    *count = i;
    return entries;
}

void zip_free(zip_entry *entries, size_t count) {
    for (size_t i = 0; entries && i < count; i++) free(entries[i].name);
    free(entries);
}

// Raw deflate of known size; false when the stream is broken, short or longer than it said.
static bool inflate_exact(const uint8_t *in, size_t packed, uint8_t *out, size_t bytes) {
    z_stream z = {0};
    if (inflateInit2(&z, -MAX_WBITS) != Z_OK) return false;
    enum { STEP = 1 << 30 }; // zlib counts in 32 bits
    uint8_t beyond;
    int state = Z_OK;
    z.next_in = (Bytef *)(uintptr_t)in;
    z.next_out = out;
    while (state == Z_OK) {
        if (z.avail_in == 0 && packed > 0) {
            z.avail_in = packed < STEP ? (uInt)packed : STEP;
            packed -= z.avail_in;
        }
        bool full = z.avail_out == 0 && bytes == 0;
        if (z.avail_out == 0 && bytes > 0) {
            z.avail_out = bytes < STEP ? (uInt)bytes : STEP;
            bytes -= z.avail_out;
        }
        if (full) z.next_out = &beyond, z.avail_out = 1;
        state = inflate(&z, Z_NO_FLUSH);
        if (full && z.avail_out == 0) state = Z_DATA_ERROR;
        if (full) z.avail_out = 0;
    }
    inflateEnd(&z);
    return state == Z_STREAM_END && bytes == 0 && (z.avail_out == 0 || z.next_out == &beyond);
}

static uint32_t checksum(const uint8_t *data, size_t bytes) {
    return (uint32_t)crc32_z(crc32_z(0, NULL, 0), data, bytes);
}

const uint8_t *zip_read(const uint8_t *data, const zip_entry *e, void **owned, base_err *err) {
    *owned = NULL;
    const uint8_t *bytes = data + e->from;
    if (e->deflated) {
        uint8_t *out = base_big_alloc(e->bytes, 1, e->name, err);
        if (!out) return NULL;
        if (!inflate_exact(bytes, e->packed, out, e->bytes)) {
            base_big_free(out);
            base_fail(err, "member '%s' does not inflate to the %zu bytes it says", e->name, e->bytes);
            return NULL;
        }
        *owned = out;
        bytes = out;
    }
    if (checksum(bytes, e->bytes) == e->crc) return bytes;
    base_fail(err, "member '%s' is damaged (its checksum differs)", e->name);
    base_big_free(*owned);
    *owned = NULL;
    return NULL;
}
