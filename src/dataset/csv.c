// csv: rows of numbers with a label column, through libcsv, one physical line at a time so that every complaint can
// name file, line and column.
#include <csv.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "dataset/store.h"

typedef struct csv_reader {
    data_reader *reader;
    const data_spec *spec;
    data_chunk *chunk;
    base_err *err;
    bool failed;
    int64_t line, row_line;        // being fed; where the current row began
    int64_t columns, columns_line; // of every row; the line that set them
    int64_t label;                 // column of the label, -1: none
    bool header_done;
    base_buf cells; // the current row, every cell followed by NUL
    size_t *cell;   // offset of each cell, and the end of the last
    size_t cell_count, cell_capacity;
    float *x; // [rows x features]
    int64_t rows;
    bool first_label_word; // the first row's label is no number: it may yet turn out to be a header
} csv_reader;

// Numbers are read in the "C" locale whatever the program's locale is: 0.5 is a half, never a list of two. Made once
// for all threads; the loser of a race frees its own.
static locale_t c_locale(void) {
    static _Atomic(locale_t) shared;
    locale_t c = atomic_load(&shared), none = NULL;
    if (c) return c;
    c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (atomic_compare_exchange_strong(&shared, &none, c)) return c;
    freelocale(c);
    return none;
}

// Up to 15 digits and a power of ten up to 22 are exact in float64, so one product or quotient rounds correctly
// (Clinger, "How to read floating point numbers accurately", 1990, the fast case). False: not decided here.
static bool quick_number(const char *p, size_t length, double *value) {
    static const double ten[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    const char *end = p + length;
    bool negative = *p == '-', point = false;
    p += negative || *p == '+';
    if (end - p > 16 || p == end) return false;
    int64_t digits = 0;
    int count = 0, decimals = 0;
    for (; p < end; p++) {
        if (*p == '.' && !point) {
            point = true;
            continue;
        }
        if (*p < '0' || *p > '9') return false;
        digits = 10 * digits + (*p - '0');
        decimals += point;
        count++;
    }
    if (count == 0 || count > 15) return false;
    *value = (double)(negative ? -digits : digits) / ten[decimals];
    if (digits == 0 && negative) *value = -0.0;
    return true;
}

bool data_number(const char *text, size_t length, double *value, const char **why) {
    while (length && (*text == ' ' || *text == '\t')) text++, length--;
    while (length && (text[length - 1] == ' ' || text[length - 1] == '\t')) length--;
    char copy[64];
    *why = length ? "is not a number" : "is empty";
    if (!length || length >= sizeof copy) return false;
    if (quick_number(text, length, value)) return true;
    memcpy(copy, text, length);
    copy[length] = 0;
    if (strspn(copy, "0123456789+-.eE") != length) {
        const char *word = copy + (*copy == '-' || *copy == '+');
        if (!strcasecmp(word, "nan") || !strcasecmp(word, "inf") || !strcasecmp(word, "infinity"))
            *why = "is not a finite number";
        return false;
    }
    char *end;
    double v = strtod_l(copy, &end, c_locale());
    if (end == copy || *end) return false;
    *why = "is too large for float32";
    if (!isfinite((float)v)) return false;
    *value = v;
    return true;
}

static bool cell_fail(csv_reader *c, int64_t column, const char *why, const char *hint) {
    char shown[48];
    base_clean(shown, sizeof shown, c->cells.text + c->cell[column]);
    c->failed = true;
    return base_fail(c->err, "%s, line %lld, column %lld: '%s' %s%s", c->chunk->shown, (long long)c->row_line,
                     (long long)column + 1, shown, why, hint);
}

static bool row_fail(csv_reader *c, const char *why) {
    c->failed = true;
    return base_fail(c->err, "%s, line %lld: %s", c->chunk->shown, (long long)c->row_line, why);
}

static size_t cell_length(const csv_reader *c, int64_t i) {
    return c->cell[i + 1] - c->cell[i] - 1;
}

static bool cell_number(const csv_reader *c, int64_t i, double *value, const char **why) {
    return data_number(c->cells.text + c->cell[i], cell_length(c, i), value, why);
}

// The label column from its number, counted from 1 or from the end; the last one when nothing is said.
static bool label_by_number(csv_reader *c, const char *text, int64_t *column) {
    int64_t n = (int64_t)c->cell_count, k = -1;
    if (text) {
        errno = 0;
        k = strtoll(text, NULL, 10);
        if (errno || k == 0 || k > n || k < -n) {
            c->failed = true;
            return base_fail(c->err, "%s: label column %s does not exist: there are %lld columns", c->chunk->shown,
                             text, (long long)n);
        }
    }
    *column = k > 0 ? k - 1 : n + k;
    return true;
}

static bool label_by_name(csv_reader *c, const char *name, int64_t *column) {
    const char **names = base_calloc(c->cell_count, sizeof *names);
    int64_t found = -1;
    for (size_t i = 0; i < c->cell_count; i++) {
        names[i] = c->cells.text + c->cell[i];
        if (found < 0 && !strcmp(names[i], name)) found = (int64_t)i;
    }
    if (found < 0) {
        char near[80] = "";
        const char *nearest = base_nearest(name, names, c->cell_count);
        if (nearest) base_clean(near, sizeof near, nearest);
        c->failed = true;
        base_fail(c->err, "%s, line %lld: no column is named '%s'%s%s%s", c->chunk->shown, (long long)c->row_line, name,
                  nearest ? "; the nearest is '" : "", near, nearest ? "'" : "");
    }
    free(names);
    *column = found;
    return found >= 0;
}

static bool is_column_number(const char *s) {
    size_t digits = strspn(s + (*s == '-'), "0123456789");
    return digits && !s[(*s == '-') + digits];
}

// The first row settles the number of columns, the label's column and whether the row is a header.
static bool first_row(csv_reader *c, bool *is_header) {
    const data_spec *spec = c->spec;
    c->columns = (int64_t)c->cell_count;
    c->columns_line = c->row_line;
    c->header_done = true;
    c->label = -1;
    bool by_name = spec->label_column && !is_column_number(spec->label_column);
    if (by_name && spec->header == 0)
        return row_fail(c, "the label column is given by name, so the first line must be a header (header = true)");
    if (by_name && !label_by_name(c, spec->label_column, &c->label)) return false;
    if (!by_name && (spec->label_column || !spec->unlabelled) && !label_by_number(c, spec->label_column, &c->label))
        return false;
    if (c->columns - (c->label >= 0) < 1)
        return row_fail(c, "there is only one column, the label; features were expected beside it (wrong delimiter?)");
    *is_header = spec->header == 1 || by_name;
    if (spec->header >= 0 || by_name) return true;
    // Nothing was said: a row without any number among the features names the columns.
    int64_t numbers = 0;
    double v;
    const char *why;
    for (int64_t i = 0; i < c->columns; i++) numbers += i != c->label && cell_number(c, i, &v, &why);
    *is_header = numbers == 0;
    if (!*is_header && c->label >= 0) c->first_label_word = c->chunk->labels && !cell_number(c, c->label, &v, &why);
    return true;
}

static bool take_label(csv_reader *c) {
    if (!c->chunk->labels) return true;
    const char *text = c->cells.text + c->cell[c->label];
    size_t length = cell_length(c, c->label);
    if (!length) return cell_fail(c, c->label, "is empty; a label was expected", "");
    if (strlen(text) != length) return cell_fail(c, c->label, "holds a zero byte; a label was expected", "");
    size_t id = data_labels_add(&c->reader->labels, text, c->chunk->shown, c->row_line, c->label + 1);
    if (id == SIZE_MAX)
        return cell_fail(c, c->label, "is one label too many",
                         ": a column with over 65,536 different values is no class");
    c->chunk->labels[c->rows] = (int32_t)id;
    return true;
}

static bool take_row(csv_reader *c) {
    if (!c->header_done) {
        bool is_header = false;
        if (!first_row(c, &is_header)) return false;
        if (is_header) return true;
    }
    if ((int64_t)c->cell_count != c->columns) {
        c->failed = true;
        return base_fail(c->err, "%s, line %lld: %zu columns, expected %lld as on line %lld", c->chunk->shown,
                         (long long)c->row_line, c->cell_count, (long long)c->columns, (long long)c->columns_line);
    }
    double v;
    const char *why;
    if (c->rows == 1 && c->first_label_word && cell_number(c, c->label, &v, &why)) {
        // Columns named by numbers ("0,1,...,63,digit"): only the second row's label shows that the first was names.
        c->rows = 0;
        c->reader->labels.items[c->chunk->labels[0]].uses--;
        c->first_label_word = false;
    }
    if (c->rows == 1) c->first_label_word = false;
    const char *hint = c->rows == 0 && c->spec->header < 0
                           ? "; if this line names the columns say header = true, if it describes the file skip_lines"
                           : "";
    float *out = c->x + c->rows * (c->columns - (c->label >= 0));
    for (int64_t i = 0; i < c->columns; i++) {
        if (i == c->label) continue;
        if (!cell_number(c, i, &v, &why)) return cell_fail(c, i, why, hint);
        *out++ = (float)v;
    }
    if (!take_label(c)) return false;
    c->rows++;
    return true;
}

// ---- libcsv's side ------------------------------------------------------------------------------------------------

static void on_cell(void *text, size_t length, void *context) {
    csv_reader *c = context;
    if (c->failed) return;
    if (c->cell_count + 2 > c->cell_capacity) {
        c->cell_capacity = c->cell_capacity ? 2 * c->cell_capacity : 128;
        c->cell = base_realloc(c->cell, c->cell_capacity, sizeof *c->cell);
    }
    c->cell[c->cell_count++] = c->cells.length;
    base_buf_add(&c->cells, text, length);
    base_buf_add(&c->cells, "", 1);
    c->cell[c->cell_count] = c->cells.length;
}

static void on_row(int terminator, void *context) {
    (void)terminator;
    csv_reader *c = context;
    if (!c->failed && c->cell_count) take_row(c);
    base_buf_clear(&c->cells);
    c->cell_count = 0;
    c->row_line = 0;
}

// One past the end of the line at p: its "\n", "\r" or "\r\n" included.
static const char *line_end(const char *p, const char *end) {
    while (p < end && *p != '\n' && *p != '\r') p++;
    if (p < end) p += *p == '\r' && p + 1 < end && p[1] == '\n' ? 2 : 1;
    return p;
}

static bool is_blank(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r')) p++;
    return p == end;
}

static bool feed(csv_reader *c, struct csv_parser *parser, const char *p, const char *end) {
    bool open = false; // a row has begun on an earlier line, inside quotes
    while (p < end && !c->failed) {
        const char *next = line_end(p, end);
        c->line++;
        if (c->line % 4096 == 0 && !base_go_on(c->reader->job, c->err)) return false;
        if (!open) c->row_line = c->line;
        if (csv_parse(parser, p, (size_t)(next - p), on_cell, on_row, c) != (size_t)(next - p))
            return base_fail(c->err, "%s, line %lld: %s", c->chunk->shown, (long long)c->line,
                             csv_error(parser) == CSV_EPARSE
                                 ? "a quote stands where none may (a quoted cell begins and "
                                   "ends with \", and a \" inside is written twice)"
                                 : csv_strerror(csv_error(parser)));
        open = c->row_line && (open || !is_blank(p, next));
        p = next;
    }
    if (c->failed) return false;
    int64_t opened = c->row_line;
    if (csv_fini(parser, on_cell, on_row, c) != 0)
        return base_fail(c->err, "%s, line %lld: a quoted cell that begins here is never closed", c->chunk->shown,
                         (long long)opened);
    return !c->failed;
}

// Upper bounds on rows and cells from the characters alone, so that memory is asked for once.
static bool reserve(csv_reader *c, const char *text, size_t bytes, char delimiter) {
    size_t lines = 1, cells = 1;
    for (size_t i = 0; i < bytes; i++) {
        bool line = text[i] == '\n' || text[i] == '\r';
        lines += line;
        cells += line || text[i] == delimiter;
    }
    c->chunk->owned = base_big_alloc(cells, sizeof(float), "the values of a csv file", c->err);
    if (!c->chunk->owned) return false;
    c->x = c->chunk->owned;
    if (c->spec->unlabelled) return true;
    c->chunk->labels = base_big_alloc(lines, sizeof(int32_t), "the labels of a csv file", c->err);
    return c->chunk->labels != NULL;
}

static bool parse(csv_reader *c, const char *text, size_t bytes, char delimiter) {
    const char *p = text, *end = text + bytes;
    if (bytes >= 3 && !memcmp(p, "\xEF\xBB\xBF", 3)) p += 3;
    for (int64_t i = 0; i < c->spec->skip_lines; i++) {
        if (p == end)
            return base_fail(c->err, "%s: skip_lines = %lld, but the file has %lld lines", c->chunk->shown,
                             (long long)c->spec->skip_lines, (long long)i);
        p = line_end(p, end);
        c->line++;
    }
    struct csv_parser parser;
    if (csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI) != 0) return base_fail(c->err, "libcsv could not start");
    csv_set_delim(&parser, (unsigned char)delimiter);
    bool ok = feed(c, &parser, p, end);
    csv_free(&parser);
    return ok;
}

bool data_read_csv(data_reader *r, const data_source *source, data_chunk *chunk, base_err *err) {
    if (source->labels)
        return base_fail(err, "%s: a csv file holds its labels itself; a file of labels was given beside it",
                         chunk->shown);
    size_t bytes;
    uint8_t *text = num_gunzip(chunk->path, DATA_MAX_FILE, &bytes, err);
    if (!text) return false;
    char extension[16];
    data_extension(chunk->path, extension);
    char delimiter = r->spec->delimiter ? r->spec->delimiter : !strcmp(extension, "tsv") ? '\t' : ',';
    csv_reader c = {.reader = r, .spec = r->spec, .chunk = chunk, .err = err};
    bool ok = reserve(&c, (const char *)text, bytes, delimiter) && parse(&c, (const char *)text, bytes, delimiter);
    if (ok && c.rows == 0)
        ok = base_fail(err, "%s: no rows of data (%zu bytes%s)", chunk->shown, bytes,
                       c.columns ? ", only a header" : "");
    if (ok) {
        chunk->count = c.rows;
        chunk->dtype = NUM_F32;
        chunk->values = chunk->owned;
        chunk->ndim = 1;
        chunk->dim[0] = c.columns - (c.label >= 0);
        chunk->named_labels = chunk->labels != NULL;
    }
    free(c.cell);
    base_buf_free(&c.cells);
    base_big_free(text);
    return ok;
}
