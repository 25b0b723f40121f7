// zip (private to numeric): the directory of a zip file in memory, and deflate both ways.
#ifndef VISE_NUMERIC_ZIP_H
#define VISE_NUMERIC_ZIP_H

#include "base/base.h"

typedef struct zip_entry {
    char *name; // control characters replaced
    bool deflated;
    uint32_t crc;
    size_t packed, bytes; // in the file, once inflated
    size_t header, from;  // offsets of the local header and of the data
} zip_entry;

// Reads and checks the whole directory: every member inside the file, none overlapping, no name twice.
zip_entry *zip_open(const uint8_t *data, size_t bytes, size_t *count, base_err *err) BASE_MUST_USE;
void zip_free(zip_entry *entries, size_t count);
// The bytes of a member, checksum compared: into the mapped file when stored, else into `*owned` (base_big_free).
const uint8_t *zip_read(const uint8_t *data, const zip_entry *e, void **owned, base_err *err) BASE_MUST_USE;

#endif
