// base: what every room stands on - errors, memory, text, files, hashes, events, declared arguments.
//
// Ownership: every *_new / *_open / *_dup result belongs to the caller and has a matching *_free /
// *_close. Strings inside structs belong to the struct. Functions that can fail return bool (true =
// done) or a pointer (NULL = failed) and fill `err`; on failure nothing is left half-made and output
// arguments are untouched or empty. `err` may not be NULL.
#ifndef VISE_BASE_H
#define VISE_BASE_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define VISE_VERSION "0.1.0"

#if defined(__GNUC__)
#define BASE_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define BASE_MUST_USE __attribute__((warn_unused_result))
#else
#define BASE_PRINTF(f, a)
#define BASE_MUST_USE
#endif

// Vector code chosen at run time: put BASE_CLONES before a hot, plain C loop function. On x86-64 with
// glibc the loader picks the clone for this CPU; elsewhere it is the one portable version.
#if defined(__x86_64__) && defined(__linux__) && !defined(VISE_NO_CLONES)
#define BASE_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define BASE_CLONES
#endif

// ---- errors ------------------------------------------------------------------------------------

// Also the exit codes of the program.
typedef enum base_status { BASE_OK = 0, BASE_FAILED = 1, BASE_USAGE = 2, BASE_CANCELLED = 130 } base_status;

typedef struct base_err {
    base_status status;
    char text[1024]; // one sentence: what is wrong, where, which value, what was expected
} base_err;

// Fill `err` and return false, so that `return base_fail(err, ...)` reads well.
bool base_fail(base_err *err, const char *fmt, ...) BASE_PRINTF(2, 3);
bool base_fail_as(base_err *err, base_status status, const char *fmt, ...) BASE_PRINTF(3, 4);
// Put a prefix ("reading x.csv: ") before the sentence already in `err`; returns false.
bool base_wrap(base_err *err, const char *fmt, ...) BASE_PRINTF(2, 3);
// A broken promise inside our own code: restores the terminal (see base_on_fatal), prints, aborts.
_Noreturn void base_bug(const char *file, int line, const char *what);
#define BASE_CHECK(cond) ((cond) ? (void)0 : base_bug(__FILE__, __LINE__, #cond))
// Called by base_bug and by crash handlers before anything is printed (the screen gives the terminal back).
void base_on_fatal(void (*restore)(void));

// ---- memory ------------------------------------------------------------------------------------

// Small objects: zeroed; when memory is out the program stops with a message.
void *base_alloc(size_t bytes);
void *base_calloc(size_t count, size_t size);           // count*size checked for overflow
void *base_realloc(void *p, size_t count, size_t size); // not zeroed beyond the old size
char *base_strdup(const char *s);                       // NULL gives NULL
char *base_strndup(const char *s, size_t n);
char *base_sprintf(const char *fmt, ...) BASE_PRINTF(1, 2);
// Weights, activations, datasets: 64-byte aligned, zeroed; NULL and an error naming `what` when refused.
void *base_big_alloc(size_t count, size_t size, const char *what, base_err *err) BASE_MUST_USE;
// The same without the zeros, for what is written whole at once.
void *base_big_room(size_t count, size_t size, const char *what, base_err *err) BASE_MUST_USE;
void base_big_free(void *p);
// Bytes now held through base_big_alloc, and the most since the last reset (the figure runs report).
size_t base_big_now(void);
size_t base_big_peak(void);
void base_big_peak_reset(void);
// The process's own peak resident set, bytes.
size_t base_rss_peak(void);
bool base_mul(size_t a, size_t b, size_t *product); // false on overflow

// ---- text --------------------------------------------------------------------------------------

typedef struct base_buf {
    char *text; // always NUL-terminated once anything was added; NULL when empty
    size_t length, capacity;
} base_buf;

void base_buf_add(base_buf *b, const char *text, size_t length);
void base_buf_puts(base_buf *b, const char *text);
void base_buf_printf(base_buf *b, const char *fmt, ...) BASE_PRINTF(2, 3);
void base_buf_clear(base_buf *b);
void base_buf_free(base_buf *b);

// Copy `in` to `out` (size bytes) with control characters and broken UTF-8 replaced by '?', cut to fit on a
// character boundary. For every name or message that comes from a file.
void base_clean(char *out, size_t size, const char *in);
// Terminal columns that UTF-8 `s` takes.
int base_columns(const char *s);
// The nearest of `names` to `word` by edit distance (transpositions count one); NULL when none is close.
const char *base_nearest(const char *word, const char *const *names, size_t count);
// "1.2 MB", "310 B", decimal units; "3.4 s", "2 m 10 s"; both write into `out` and return it.
char *base_bytes_text(char out[24], double bytes);
char *base_seconds_text(char out[24], double seconds);

// ---- time, hash --------------------------------------------------------------------------------

double base_now(void);              // monotonic seconds
int64_t base_wall(void);            // Unix seconds
const char *base_machine(void);     // this machine's name and processor, what times were measured on
typedef struct base_hash base_hash; // XXH3, 128 bits (check from a shell with xxh128sum)
base_hash *base_hash_new(void);
void base_hash_add(base_hash *h, const void *data, size_t bytes);
base_hash *base_hash_copy(const base_hash *h);
void base_hash_peek(const base_hash *h, char hex[33]); // of what was added so far
void base_hash_end(base_hash *h, char hex[33]);        // also frees h
void base_hash_of(const void *data, size_t bytes, char hex[33]);
bool base_hash_file(const char *path, char hex[33], base_err *err) BASE_MUST_USE;

// ---- files -------------------------------------------------------------------------------------

// A file mapped read-only. When the file shrinks under us the missing pages read as zero and
// base_map_intact says so; check it after every pass over mapped data.
typedef struct base_map {
    const uint8_t *data;
    size_t bytes;
    char *path;
    int slot; // private
} base_map;

bool base_map_open(base_map *map, const char *path, base_err *err) BASE_MUST_USE;
bool base_map_intact(const base_map *map, base_err *err) BASE_MUST_USE;
void base_map_close(base_map *map);
// Whole file into memory, NUL added after the end; refuses directories and files above `limit` bytes.
char *base_read_file(const char *path, size_t limit, size_t *bytes, base_err *err) BASE_MUST_USE;

// A file written under no name or a temporary one, synced, and renamed over `path` by commit: readers see the old
// file or the whole new one, never a part, even after kill -9.
typedef struct base_out {
    FILE *file;
    char *path, *temporary; // temporary is NULL where the system can write a nameless file (O_TMPFILE)
} base_out;
bool base_out_open(base_out *out, const char *path, base_err *err) BASE_MUST_USE; // makes missing folders
bool base_out_commit(base_out *out, base_err *err) BASE_MUST_USE; // also reports a full disk; frees in any case
void base_out_abort(base_out *out);                               // safe after a failed open or commit

bool base_is_dir(const char *path);
bool base_is_file(const char *path);
bool base_mkdirs(const char *path, base_err *err) BASE_MUST_USE;
char *base_join(const char *dir, const char *name); // absolute `name` wins
char *base_absolute(const char *path);              // links stay as they are; NULL stays NULL
char *base_dirname(const char *path);               // "." when there is none
const char *base_basename(const char *path);
const char *base_extension(const char *path); // ".csv" or ""
// Sorted names in a folder (no dot files); caller frees with base_names_free.
char **base_list_dir(const char *path, size_t *count, base_err *err) BASE_MUST_USE;
void base_names_free(char **names, size_t count);
// Where lua/, recipes/, views/ and data/ are: $VISE_HOME, else the source tree the binary was built in
// (build/..), else PREFIX/share/vise. The result is owned by base.
const char *base_home(void);
// $XDG_STATE_HOME/vise or ~/.local/state/vise; caller frees.
char *base_state_dir(void);
char *base_config_dir(void); // $XDG_CONFIG_HOME/vise or ~/.config/vise; caller frees
char *base_cache_dir(void);  // $XDG_CACHE_HOME/vise or ~/.cache/vise; caller frees

// ---- results kept between runs -----------------------------------------------------------------

// A folder of entries under the hash of what they depend on (base_hash text, 32 hex digits). A NULL cache holds
// nothing. Trouble with the folder costs time, never a result; entries are checked by their hash when they are read.
typedef struct base_cache base_cache;
typedef struct base_part {
    const void *data;
    size_t bytes;
} base_part;
typedef struct base_cache_figures {
    const char *dir;
    size_t entries, bytes, limit;
    int64_t hits, misses, written; // by this process
} base_cache_figures;
// dir NULL: base_cache_dir(). limit: bytes of all entries together; the longest unused go first.
base_cache *base_cache_open(const char *dir, size_t limit, base_err *err) BASE_MUST_USE;
void base_cache_close(base_cache *c);
// true: *data, 64-byte aligned, lies in *map, which the caller closes.
bool base_cache_get(base_cache *c, const char *key, base_map *map, const void **data, size_t *bytes) BASE_MUST_USE;
void base_cache_put(base_cache *c, const char *key, const base_part *parts,
                    size_t count); // the parts one behind another
// A large entry, filled in place (in a file, so that its memory can be given back): reserve, write data, commit.
typedef struct base_slot {
    void *data; // [bytes], zeroed, 64-byte aligned; NULL: there is none
    size_t bytes;
    char *temporary; // private
    void *map;
} base_slot;
bool base_cache_reserve(base_cache *c, size_t bytes, base_slot *slot) BASE_MUST_USE; // false: no room, no cache
void base_cache_commit(base_cache *c, base_slot *slot, const char *key);
void base_cache_drop(base_slot *slot); // not commited after all; safe on an empty slot
void base_cache_clear(base_cache *c);
base_cache_figures base_cache_look(base_cache *c);
const char *base_program_hash(void); // of the running program's file: part of every key

// ---- declared arguments ------------------------------------------------------------------------

// One row per argument of a step, command, op or solver; checks, help pages and completion come from it.
typedef enum base_arg_type { BASE_INT, BASE_NUM, BASE_BOOL, BASE_TEXT } base_arg_type;

typedef struct base_arg {
    const char *name;
    base_arg_type type;
    double def, min, max; // numbers and booleans; min == max: no limits, NaN: open on that side
    const char *text_def; // BASE_TEXT
    const char *choices;  // BASE_TEXT: "rtn|gptq"; NULL = free text
    const char *help;     // one line, with the unit
} base_arg;

typedef struct base_value {
    bool given;     // false: the default
    double number;  // BASE_INT, BASE_NUM, BASE_BOOL (0/1)
    char text[256]; // BASE_TEXT
} base_value;

void base_arg_defaults(const base_arg *args, size_t count, base_value *values);
// Set one argument, from a number or from text; errors name `owner`, the argument, the value and the range, and the
// nearest name when `name` is unknown.
bool base_arg_set_number(const char *owner, const base_arg *args, size_t count, base_value *values, const char *name,
                         double number, base_err *err) BASE_MUST_USE;
bool base_arg_set_text(const char *owner, const base_arg *args, size_t count, base_value *values, const char *name,
                       const char *text, base_err *err) BASE_MUST_USE;

// ---- rows and events ---------------------------------------------------------------------------

// A field of a row struct, so that JSON, SQLite, CSV and the screen's columns walk one table.
typedef enum base_field_type { BASE_F_TEXT, BASE_F_INT, BASE_F_REAL } base_field_type;
typedef struct base_field {
    const char *name, *unit, *help;
    base_field_type type;
    size_t offset; // char[] for TEXT, int64_t for INT, double for REAL (NaN = not measured)
    size_t size;   // bytes of the field (room of a char[])
} base_field;

// One layer after its steps. Errors are relative: ||.||^2 / ||reference||^2.
typedef struct base_layer_row {
    char name[128];              // layer, as in the model
    char kind[24];               // op: linear, conv2d, embedding, tensor
    char shape[48];              // "64x16x3x3"
    char steps[160];             // "quantize rtn b4 g64; lowrank svd r8"
    int64_t index;               // position in the walk, from 0
    int64_t weights;             // number of original weights
    int64_t bytes, bytes_before; // stored now, stored in the input file
    double bits;                 // 8 * bytes / weights
    double weight_error;         // ||W-Wc||^2 / ||W||^2
    double output_error;         // own error on calibration inputs of the original model
    double output_error_held;    // the same on held-out inputs
    double chained_error;        // ||W X - Wc Xc||^2 / ||W X||^2: with what arrives from upstream
    double chained_error_held;
    double sqnr_db; // 10 log10(1 / weight_error)
    double cosine;  // between outputs, calibration inputs
    double damping; // used in a factorisation, NaN when none was
    double d_of_r;  // Gaussian bound 2^(-2 bits)
    double seconds;
} base_layer_row;
extern const base_field base_layer_fields[];
extern const size_t base_layer_field_count;

// One model measured on one piece of data.
typedef struct base_model_row {
    char label[64];             // "original", "compressed", or the recipe's own word
    char data[96];              // dataset and part: "digits/test"
    char metric[24];            // "top1", "perplexity", "mse"
    int64_t samples;            // images, or predicted tokens
    double value, low, high;    // metric with 95 % interval (top1 in percent)
    double loss;                // mean cross-entropy (nats) or mse
    double kl, kl_low, kl_high; // mean KL(original || compressed), nats, 95 % interval; NaN for the original
    int64_t flips;              // changed decisions against the original; -1 when not compared
    int64_t bytes;              // stored bytes of all tensors
    int64_t header_bytes;       // of the file that would hold them
    double bits;                // 8 * bytes of compressible layers / their weights
    int64_t peak_bytes;         // most memory held through base_big_alloc
    double seconds;
} base_model_row;
extern const base_field base_model_fields[];
extern const size_t base_model_field_count;

typedef struct base_param_row { // a knob a recipe declares with param(name, default, range, help)
    char name[48], help[120];
    char choices[160];           // "a|b|c" for a choice, "" for a number
    char text[96];               // value of a choice
    double value, def, min, max; // min..max: NaN when open
    bool integer;
} base_param_row;

typedef enum base_event_kind {
    BASE_EV_RUN_BEGIN,   // text: recipe name
    BASE_EV_PARAM,       // param
    BASE_EV_LOG,         // level, text
    BASE_EV_PLAN,        // layer row (name, kind, shape, weights, bytes_before); one a layer, index/total
    BASE_EV_PROGRESS,    // text: phase ("calibrating", "evaluating"); done/of; eta seconds or NaN
    BASE_EV_LAYER_BEGIN, // layer row as far as known; index/total
    BASE_EV_STEP,        // layer row so far; text: what the step did
    BASE_EV_LAYER_END,   // layer row complete
    BASE_EV_TRAIN,       // index/total: step; value: loss; value2: learning rate; eta
    BASE_EV_MODEL,       // model row
    BASE_EV_SAVED,       // text: path; hash; done: file bytes; of: header bytes
    BASE_EV_SEED,        // text: what it seeds; done: the seed
    BASE_EV_TABLE,       // text: a table as a JSON object: what report() drew of a sensitivity table or an allocation
    BASE_EV_CELL,     // text: a JSON object: a sensitivity table as measuring begins (kind "sensitivity_begun"), then a
                      // cell as soon as it is measured ("sensitivity_cell": metric, unit, row, option, value, ...)
    BASE_EV_PAUSE,    // index 1: the work waits, 0: it goes on; layer: before which one, NULL: in the midst of work
    BASE_EV_CHANGE,   // layer row with new steps; text: the Lua that says so; status BASE_FAILED: refused, text: why
    BASE_EV_BASELINE, // layer row (name); value: output error of round to nearest in as many bytes; done: its bits
    BASE_EV_RUN_END,  // status; text: closing sentence or error
    BASE_EV_KINDS
} base_event_kind;
extern const char *const base_event_names[BASE_EV_KINDS]; // "run_begin", ...

typedef enum base_level { BASE_DEBUG, BASE_INFO, BASE_WARN, BASE_ERROR } base_level;

// Pointers are valid only during the call; listeners copy what they keep.
typedef struct base_event {
    base_event_kind kind;
    double time; // seconds since the job began
    base_level level;
    base_status status;
    const char *text, *hash;
    const base_layer_row *layer;
    const base_model_row *model;
    const base_param_row *param;
    int64_t index, total, done, of;
    double value, value2, eta;
} base_event;

// What long work carries: where events go and whether to stop. Work checks base_cancelled between blocks of at most
// 0.1 s. A NULL job is silent and never cancelled.
typedef struct base_job {
    void (*emit)(void *context, const base_event *event); // called from the job's thread
    void *context;
    double start;      // base_now() when the job began
    atomic_int cancel; // 1: stop and keep what is finished
    atomic_int pause;  // 1: wait, see hold
    base_cache *cache; // results kept between runs; NULL: none
    // Of a run that somebody watches; all NULL headless. hold waits while `pause` is set: base_cancelled calls it, so
    // every loop that can be stopped can be paused. before_layer is called by a walk over layers before each one on the
    // job's thread, and waits while the run is paused there; *steps: steps typed for that layer, in Lua (caller frees),
    // after which it is called again; false: cancelled.
    void (*hold)(struct base_job *job);
    bool (*before_layer)(struct base_job *job, const char *layer, char **steps);
    double held;                 // seconds waited so far; read on the job's thread
    const struct base_job *over; // a job that this is a part of: its stop and its pause count here too; NULL: none
} base_job;
// Seconds of work: base_now() without the time held.
double base_work_time(const base_job *job);

void base_emit(base_job *job, base_event event); // fills time
void base_log(base_job *job, base_level level, const char *fmt, ...) BASE_PRINTF(3, 4);
void base_progress(base_job *job, const char *phase, int64_t done, int64_t of, double eta);
bool base_cancelled(const base_job *job);
// Fails with BASE_CANCELLED when the job was asked to stop: `if (!base_go_on(job, err)) return false;`
bool base_go_on(const base_job *job, base_err *err);

#endif
