// gz: a whole gzip file (RFC 1952, any number of members) inflated into memory, or a plain file read as it is.
#include "numeric/numeric.h"

#include <string.h>
#include <zlib.h>

typedef struct growing {
    uint8_t *data;
    size_t used, room, limit;
} growing;

static bool grow(growing *g, base_err *err) {
    if (g->room == g->limit) {
        char text[24];
        return base_fail(err, "it inflates to more than %s, the most that is read here",
                         base_bytes_text(text, (double)g->limit));
    }
    size_t room = g->room > g->limit / 2 ? g->limit : g->room * 2;
    uint8_t *data = base_big_alloc(room, 1, "inflated data", err);
    if (!data) return false;
    memcpy(data, g->data, g->used);
    base_big_free(g->data);
    g->data = data;
    g->room = room;
    return true;
}

static bool inflate_all(const base_map *map, growing *g, z_stream *z, base_err *err) {
    enum { STEP = 1 << 30 }; // zlib counts in 32 bits
    const uint8_t *from = map->data;
    size_t left = map->bytes;
    int state = Z_OK;
    for (;;) {
        if (z->avail_in == 0 && left > 0) {
            z->next_in = (Bytef *)(uintptr_t)from;
            z->avail_in = left < STEP ? (uInt)left : STEP;
            from += z->avail_in, left -= z->avail_in;
        }
        if (state == Z_STREAM_END) {
            if (z->avail_in == 0) return true;
            if (inflateReset(z) != Z_OK) return base_fail(err, "zlib could not start");
        }
        // One byte of room always stays, so that exactly `limit` bytes can be told from more.
        if (g->used == g->room && !grow(g, err)) return false;
        size_t room = g->room - g->used;
        uInt step = room < STEP ? (uInt)room : STEP;
        z->next_out = g->data + g->used;
        z->avail_out = step;
        state = inflate(z, Z_NO_FLUSH);
        g->used += step - z->avail_out;
        if (state == Z_BUF_ERROR || (state == Z_OK && z->avail_in == 0 && left == 0 && z->avail_out > 0))
            return base_fail(err, "the gzip data ends too early, after %zu inflated bytes", g->used);
        if (state != Z_OK && state != Z_STREAM_END)
            return base_fail(err, "the gzip data is damaged after %zu inflated bytes (%s)", g->used,
                             z->msg ? z->msg : "zlib gives no reason");
    }
}

static uint8_t *gunzip_map(const base_map *map, size_t limit, size_t *bytes, base_err *err) {
    // The trailer's length is only a first guess (it counts modulo 2^32 and may lie); deflate reaches 1032 to 1.
    const uint8_t *tail = map->data + map->bytes - 4;
    size_t guess = tail[0] | (size_t)tail[1] << 8 | (size_t)tail[2] << 16 | (size_t)tail[3] << 24;
    if (guess / 1032 > map->bytes) guess = map->bytes;
    growing g = {.limit = limit == SIZE_MAX ? limit : limit + 1};
    g.room = guess + 1 < g.limit ? guess + 1 : g.limit;
    g.data = base_big_alloc(g.room, 1, "inflated data", err);
    if (!g.data) return NULL;
    z_stream z = {0};
    bool good = inflateInit2(&z, MAX_WBITS + 16) == Z_OK;
    if (!good)
        base_fail(err, "zlib could not start");
    else
        good = inflate_all(map, &g, &z, err);
    inflateEnd(&z);
    if (good && g.used > limit) {
        char text[24];
        good = base_fail(err, "it inflates to more than %s, the most that is read here",
                         base_bytes_text(text, (double)limit));
    }
    if (!good) {
        base_big_free(g.data);
        return NULL;
    }
    *bytes = g.used;
    return g.data;
}

static uint8_t *copy_map(const base_map *map, size_t limit, size_t *bytes, base_err *err) {
    if (map->bytes > limit) {
        char text[24];
        base_fail(err, "it is larger than %s, the most that is read here", base_bytes_text(text, (double)limit));
        return NULL;
    }
    uint8_t *data = base_big_alloc(map->bytes, 1, "a file", err);
    if (!data) return NULL;
    memcpy(data, map->data, map->bytes);
    *bytes = map->bytes;
    return data;
}

uint8_t *num_gunzip(const char *path, size_t limit, size_t *bytes, base_err *err) {
    base_map map;
    if (!base_map_open(&map, path, err)) return NULL;
    bool packed = map.bytes >= 2 && map.data[0] == 0x1F && map.data[1] == 0x8B;
    uint8_t *data = NULL;
    if (packed && map.bytes < 18)
        base_fail(err, "the gzip data ends too early");
    else
        data = packed ? gunzip_map(&map, limit, bytes, err) : copy_map(&map, limit, bytes, err);
    if (!data) base_wrap(err, "%s: ", path);
    if (data && !base_map_intact(&map, err)) {
        base_big_free(data);
        data = NULL;
    }
    base_map_close(&map);
    return data;
}
