// npz: sets of named arrays - a zip file of npy members, or a single npy file.
//
// Written files always use the zip format's 64-bit fields, as NumPy does, so that there is one path for any size, and
// carry no times: the same arrays give the same bytes.
#include "numeric/npy.h"
#include "numeric/zip.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static void keep(num_npz *z, void *memory) {
    if (!memory) return;
    z->owned = base_realloc(z->owned, z->owned_count + 1, sizeof *z->owned);
    z->owned[z->owned_count++] = memory;
}

static bool add_array(num_npz *z, const char *name, size_t name_length, const uint8_t *data, size_t bytes,
                      base_err *err) {
    num_tensor tensor = {0};
    void *owned = NULL;
    if (!npy_parse(data, bytes, &tensor, &owned, err)) return false;
    keep(z, owned);
    z->items = base_realloc(z->items, z->count + 1, sizeof *z->items);
    z->items[z->count++] = (num_npz_item){base_strndup(name, name_length), tensor};
    return true;
}

static bool add_member(num_npz *z, const zip_entry *e, base_err *err) {
    size_t n = strlen(e->name);
    if (n < 4 || strcmp(e->name + n - 4, ".npy") != 0) return true; // folders and notes
    void *owned;
    const uint8_t *bytes = zip_read(z->map.data, e, &owned, err);
    if (!bytes) return false;
    keep(z, owned);
    return add_array(z, e->name, n - 4, bytes, e->bytes, err) || base_wrap(err, "array '%.*s': ", (int)n - 4, e->name);
}

static bool add_members(num_npz *z, base_err *err) {
    size_t count;
    zip_entry *entries = zip_open(z->map.data, z->map.bytes, &count, err);
    if (!entries) return false;
    bool good = true;
    for (size_t i = 0; i < count && good; i++) good = add_member(z, &entries[i], err);
    zip_free(entries, count);
    return good;
}

bool num_npz_open(num_npz *z, const char *path, base_err *err) {
    *z = (num_npz){0};
    if (!base_map_open(&z->map, path, err)) return false;
    const uint8_t *data = z->map.data;
    bool good;
    if (z->map.bytes >= 4 && memcmp(data, "PK", 2) == 0)
        good = add_members(z, err);
    else if (z->map.bytes >= 6 && memcmp(data, "\x93NUMPY", 6) == 0)
        good = add_array(z, "", 0, data, z->map.bytes, err);
    else
        good = base_fail(err, "neither an npy nor an npz file");
    if (good && base_map_intact(&z->map, err)) return true;
    if (!good) base_wrap(err, "%s: ", path);
    num_npz_close(z);
    return false;
}

const num_tensor *num_npz_find(const num_npz *z, const char *name) {
    for (size_t i = 0; i < z->count; i++)
        if (strcmp(z->items[i].name, name) == 0) return &z->items[i].tensor;
    return NULL;
}

void num_npz_close(num_npz *z) {
    for (size_t i = 0; i < z->count; i++) free(z->items[i].name);
    for (size_t i = 0; i < z->owned_count; i++) base_big_free(z->owned[i]);
    free(z->items);
    free(z->owned);
    base_map_close(&z->map);
    *z = (num_npz){0};
}

typedef struct npz_writer {
    FILE *file;
    uint64_t at; // bytes written
    base_buf directory;
    uint64_t members;
} npz_writer;

static void put(base_buf *b, uint64_t value, int bytes) {
    char text[8];
    for (int i = 0; i < bytes; i++) text[i] = (char)(value >> 8 * i);
    base_buf_add(b, text, (size_t)bytes);
}

static void emit(npz_writer *w, const void *data, size_t bytes) {
    if (bytes) fwrite(data, 1, bytes, w->file); // a failure is seen at commit
    w->at += bytes;
}

// The fields that a member's own header and its row of the directory share.
static void put_common(base_buf *b, bool deflated, uint32_t crc, size_t name, size_t extra) {
    put(b, 45, 2);      // version needed: 64-bit fields
    put(b, 1 << 11, 2); // names are UTF-8
    put(b, deflated ? 8 : 0, 2);
    put(b, 0, 2);
    put(b, 1 << 5 | 1, 2); // 1 January 1980
    put(b, crc, 4);
    put(b, 0xFFFFFFFF, 4);
    put(b, 0xFFFFFFFF, 4);
    put(b, name, 2);
    put(b, extra, 2);
}

static void write_member(npz_writer *w, const char *name, bool deflated, uint32_t crc, uint64_t bytes,
                         uint64_t packed) {
    size_t n = strlen(name) + 4;
    uint64_t from = w->at;
    base_buf local = {0};
    base_buf_puts(&local, "PK\3\4");
    put_common(&local, deflated, crc, n, 20);
    base_buf_printf(&local, "%s.npy", name);
    put(&local, 1, 2), put(&local, 16, 2), put(&local, bytes, 8), put(&local, packed, 8);
    emit(w, local.text, local.length);
    base_buf_free(&local);

    base_buf *d = &w->directory;
    base_buf_puts(d, "PK\1\2");
    put(d, 3 << 8 | 45, 2); // made on Unix
    put_common(d, deflated, crc, n, 28);
    put(d, 0, 2), put(d, 0, 2), put(d, 0, 2); // comment, disk, internal
    put(d, 0x81A4u << 16, 4);                 // -rw-r--r--
    put(d, 0xFFFFFFFF, 4);
    base_buf_printf(d, "%s.npy", name);
    put(d, 1, 2), put(d, 24, 2), put(d, bytes, 8), put(d, packed, 8), put(d, from, 8);
    w->members++;
}

static void write_end(npz_writer *w) {
    uint64_t from = w->at, bytes = w->directory.length;
    emit(w, w->directory.text, w->directory.length);
    uint64_t end64 = w->at;
    base_buf b = {0};
    base_buf_puts(&b, "PK\6\6");
    put(&b, 44, 8), put(&b, 3 << 8 | 45, 2), put(&b, 45, 2), put(&b, 0, 4), put(&b, 0, 4);
    put(&b, w->members, 8), put(&b, w->members, 8), put(&b, bytes, 8), put(&b, from, 8);
    base_buf_puts(&b, "PK\6\7");
    put(&b, 0, 4), put(&b, end64, 8), put(&b, 1, 4);
    base_buf_puts(&b, "PK\5\6");
    put(&b, 0, 2), put(&b, 0, 2), put(&b, 0xFFFF, 2), put(&b, 0xFFFF, 2);
    put(&b, 0xFFFFFFFF, 4), put(&b, 0xFFFFFFFF, 4), put(&b, 0, 2);
    emit(w, b.text, b.length);
    base_buf_free(&b);
}

// Header and values as one raw deflate stream; base_big_free the result.
static uint8_t *deflate_array(const base_buf *header, const void *data, size_t bytes, size_t *packed, base_err *err) {
    z_stream z = {0};
    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY) != Z_OK) {
        base_fail(err, "zlib could not start");
        return NULL;
    }
    size_t room = header->length + bytes;
    room += room / 1000 + 1024; // beyond deflateBound's worst case for these settings
    uint8_t *out = base_big_alloc(room, 1, "a compressed array", err);
    const struct {
        const void *data;
        size_t bytes;
    } parts[] = {{header->text, header->length}, {data, bytes}};
    enum { STEP = 1 << 30 };
    *packed = 0;
    int state = Z_OK;
    for (int p = 0; out && p < 2 && state == Z_OK; p++) {
        const uint8_t *from = parts[p].data;
        size_t left = parts[p].bytes;
        do {
            z.next_in = (Bytef *)(uintptr_t)from;
            z.avail_in = left < STEP ? (uInt)left : STEP;
            from += z.avail_in, left -= z.avail_in;
            bool last = p == 1 && left == 0;
            do {
                size_t free_bytes = room - *packed;
                uInt step = free_bytes < STEP ? (uInt)free_bytes : STEP;
                z.next_out = out + *packed;
                z.avail_out = step;
                state = deflate(&z, last ? Z_FINISH : Z_NO_FLUSH);
                *packed += step - z.avail_out;
            } while (state == Z_OK && (z.avail_in > 0 || last));
        } while (left > 0 && state == Z_OK);
    }
    deflateEnd(&z);
    if (out && state != Z_STREAM_END) {
        base_fail(err, "zlib could not compress (code %d)", state);
        base_big_free(out);
        return NULL;
    }
    return out;
}

static bool write_array(npz_writer *w, const num_npz_item *item, bool compress, base_err *err) {
    const num_tensor *t = &item->tensor;
    size_t bytes, packed = 0;
    base_buf header = {0};
    if (strlen(item->name) > 60000) return base_fail(err, "an array name is longer than 60000 bytes");
    if (!num_count(t->ndim, t->dim, t->dtype, NULL, &bytes))
        return base_fail(err, "array '%s' has a bad shape", item->name);
    if (!npy_header(t, &header, err)) return base_wrap(err, "array '%s': ", item->name);
    uLong crc = crc32_z(crc32_z(0, NULL, 0), (const Bytef *)header.text, header.length);
    if (bytes) crc = crc32_z(crc, t->data, bytes);
    size_t whole = header.length + bytes;
    uint8_t *small = compress ? deflate_array(&header, t->data, bytes, &packed, err) : NULL;
    bool good = !compress || small;
    if (good) {
        write_member(w, item->name, compress, (uint32_t)crc, whole, compress ? packed : whole);
        if (compress) {
            emit(w, small, packed);
        } else {
            emit(w, header.text, header.length);
            emit(w, t->data, bytes);
        }
    }
    base_big_free(small);
    base_buf_free(&header);
    return good;
}

bool num_npz_save(const char *path, const num_npz_item *items, size_t count, bool compress, base_err *err) {
    base_out out;
    if (!base_out_open(&out, path, err)) return false;
    npz_writer w = {.file = out.file};
    bool good = true;
    for (size_t i = 0; i < count && good; i++) good = write_array(&w, &items[i], compress, err);
    if (good) {
        write_end(&w);
        good = base_out_commit(&out, err);
    } else {
        base_out_abort(&out);
        base_wrap(err, "writing %s: ", path);
    }
    base_buf_free(&w.directory);
    return good;
}
