// write: the safetensors writer. The same tensors and metadata give the same bytes: the header is compact JSON in the
// order given, padded with spaces to a multiple of 8 as the reference implementation pads it.
#include "model/files.h"

#include <stdlib.h>
#include <string.h>

// The metadata text as a checked JSON object of strings; NULL and an error when it is not one.
static json_t *parse_metadata(const char *metadata, base_err *err) {
    json_t *json = files_json(metadata, strlen(metadata), "the metadata", "safetensors", err);
    const char *key;
    json_t *value;
    if (!json) return NULL;
    json_object_foreach(json, key, value) if (!json_is_string(value)) {
        base_fail(err, "safetensors: the value of '%s' in the metadata is not text", key);
        json_decref(json);
        return NULL;
    }
    return json;
}

static json_t *entry(const model_tensor *item, size_t begin, size_t bytes) {
    json_t *shape = json_array();
    for (int d = 0; d < item->t.ndim; d++) json_array_append_new(shape, json_integer(item->t.dim[d]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", num_dtypes[item->t.dtype].safetensors, "shape", shape,
                     "data_offsets", (json_int_t)begin, (json_int_t)(begin + bytes));
}

// Adds the tensors to the header; checks names and sizes.
static bool add_entries(json_t *header, const model_tensor *items, int count, base_err *err) {
    size_t at = 0;
    for (int k = 0; k < count; k++) {
        const model_tensor *item = &items[k];
        size_t values, bytes;
        if (!num_count(item->t.ndim, item->t.dim, item->t.dtype, &values, &bytes))
            return base_fail(err, "safetensors: tensor '%s' is too large", item->name);
        if (!strcmp(item->name, "__metadata__") || json_object_get(header, item->name))
            return base_fail(err, "safetensors: the tensor name '%s' is taken already", item->name);
        json_t *json = entry(item, at, bytes);
        if (!json || json_object_set_new(header, item->name, json))
            return base_fail(err, "safetensors: the tensor name '%.80s' is not valid UTF-8", item->name);
        at += bytes;
    }
    return true;
}

// Header text with its padding; `length` is without the 8 bytes in front. Freed with free().
static char *make_header(const model_tensor *items, int count, const char *metadata, size_t *length, base_err *err) {
    json_t *header = json_object();
    bool ok = true;
    if (metadata) {
        json_t *json = parse_metadata(metadata, err);
        ok = json != NULL;
        if (ok) json_object_set_new(header, "__metadata__", json);
    }
    ok = ok && add_entries(header, items, count, err);
    char *text = ok ? json_dumps(header, JSON_COMPACT) : NULL;
    json_decref(header);
    if (!text) return NULL;
    size_t have = strlen(text), want = (have + 7) / 8 * 8;
    char *padded = base_realloc(text, want + 1, 1);
    memset(padded + have, ' ', want - have);
    padded[want] = 0;
    *length = want;
    return padded;
}

bool model_safetensors_header(const model_tensor *items, int count, const char *metadata, size_t *header_bytes,
                              base_err *err) {
    size_t length;
    char *text = make_header(items, count, metadata, &length, err);
    if (!text) return false;
    free(text);
    *header_bytes = 8 + length;
    return true;
}

// Writes and hashes; a short write is reported by base_out_commit, so the result need not be looked at here.
static void put(base_out *out, base_hash *hash, const void *data, size_t bytes, size_t *total) {
    if (!bytes) return;
    fwrite(data, 1, bytes, out->file);
    base_hash_add(hash, data, bytes);
    *total += bytes;
}

bool model_safetensors_save(const char *path, const model_tensor *items, int count, const char *metadata,
                            size_t *file_bytes, size_t *header_bytes, char hash[33], base_err *err) {
    size_t length, total = 0;
    char *text = make_header(items, count, metadata, &length, err);
    if (!text) return base_wrap(err, "writing %s: ", path);
    base_out out;
    if (!base_out_open(&out, path, err)) {
        free(text);
        return false;
    }
    base_hash *sum = base_hash_new();
    uint8_t front[8];
    for (int k = 0; k < 8; k++) front[k] = (uint8_t)((uint64_t)length >> 8 * k);
    put(&out, sum, front, 8, &total);
    put(&out, sum, text, length, &total);
    for (int k = 0; k < count; k++) {
        size_t values, bytes;
        if (num_count(items[k].t.ndim, items[k].t.dim, items[k].t.dtype, &values, &bytes))
            put(&out, sum, items[k].t.data, bytes, &total);
    }
    free(text);
    char hex[33];
    base_hash_end(sum, hex);
    if (!base_out_commit(&out, err)) return false;
    if (file_bytes) *file_bytes = total;
    if (header_bytes) *header_bytes = 8 + length;
    if (hash) memcpy(hash, hex, sizeof hex);
    return true;
}
