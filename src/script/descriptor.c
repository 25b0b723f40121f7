// descriptor: a dataset.lua (or the same table inside a recipe) becomes a data_spec; every key and value is checked.
//
// Reading a table only walks it (lua_next, lua_rawgeti): nothing is pushed that could ask Lua for memory, so nothing
// here can raise and lose what C holds. Keys are looked for in the order of the list below, so that the same file
// always gets the same complaint.
#include "script/descriptor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "script/sandbox.h"

typedef struct descriptor {
    lua_State *L;
    data_spec *spec;
    const char *folder; // of the descriptor
    bool split_given;
    int means, stds; // entries of mean and std
    const char *key; // being read, for messages
    base_err *err;
} descriptor;

// Roles in the order in which their files become samples.
enum { ROLE_DATA, ROLE_CALIB, ROLE_SELECT, ROLE_TEST };

typedef struct descriptor_key {
    const char *name;
    bool (*read)(descriptor *d, int index);
    size_t offset;   // of the member that a plain reader fills
    double min, max; // of a number
} descriptor_key;

static bool wrong(descriptor *d, int index, const char *expected) {
    char shown[64] = "";
    if (lua_type(d->L, index) == LUA_TSTRING) base_clean(shown, sizeof shown, lua_tostring(d->L, index));
    if (lua_type(d->L, index) == LUA_TNUMBER) snprintf(shown, sizeof shown, "%.17g", lua_tonumber(d->L, index));
    bool value = *shown != 0;
    return base_fail(d->err, "%s is %s%s%s; %s was expected", d->key, value ? "'" : "a ",
                     value ? shown : lua_typename(d->L, lua_type(d->L, index)), value ? "'" : "", expected);
}

// ---- plain values -------------------------------------------------------------------------------------------------

static const descriptor_key *key_of(const char *name);
static void *member(descriptor *d) {
    return (char *)d->spec + key_of(d->key)->offset;
}

static bool text_at(descriptor *d, int index, char **out) {
    size_t length = 0;
    const char *text = lua_type(d->L, index) == LUA_TSTRING ? lua_tolstring(d->L, index, &length) : NULL;
    if (!text || !length) return wrong(d, index, "text");
    if (strlen(text) != length) return base_fail(d->err, "%s holds a zero byte", d->key);
    free(*out);
    *out = base_strdup(text);
    return true;
}

static bool read_text(descriptor *d, int index) {
    return text_at(d, index, member(d));
}

static bool read_note(descriptor *d, int index) {
    return lua_type(d->L, index) == LUA_TSTRING || wrong(d, index, "text");
}

static bool number_at(descriptor *d, int index, double *out) {
    if (lua_type(d->L, index) != LUA_TNUMBER || !isfinite(lua_tonumber(d->L, index)))
        return wrong(d, index, "a finite number");
    *out = lua_tonumber(d->L, index);
    return true;
}

static bool integer_at(descriptor *d, int index, double min, double max, int64_t *out) {
    double v = lua_type(d->L, index) == LUA_TNUMBER ? lua_tonumber(d->L, index) : NAN;
    if (!(v >= min && v <= max) || v != floor(v)) {
        char expected[80];
        snprintf(expected, sizeof expected, "a whole number from %.0f to %.0f", min, max);
        return wrong(d, index, expected);
    }
    *out = (int64_t)v;
    return true;
}

static bool read_integer(descriptor *d, int index) {
    const descriptor_key *k = key_of(d->key);
    return integer_at(d, index, k->min, k->max, member(d));
}

static bool read_seed(descriptor *d, int index) {
    int64_t seed = 0;
    if (!integer_at(d, index, 0, 9007199254740992.0, &seed)) return false;
    d->spec->seed = (uint64_t)seed;
    return true;
}

static bool read_scale(descriptor *d, int index) {
    if (!number_at(d, index, &d->spec->scale)) return false;
    return d->spec->scale != 0 || wrong(d, index, "a number other than 0");
}

static bool read_boolean(descriptor *d, int index) {
    if (!lua_isboolean(d->L, index)) return wrong(d, index, "true or false");
    *(bool *)member(d) = lua_toboolean(d->L, index);
    return true;
}

static bool read_header(descriptor *d, int index) {
    if (!lua_isboolean(d->L, index)) return wrong(d, index, "true or false");
    d->spec->header = lua_toboolean(d->L, index);
    return true;
}

static bool read_delimiter(descriptor *d, int index) {
    size_t length = 0;
    const char *text = lua_type(d->L, index) == LUA_TSTRING ? lua_tolstring(d->L, index, &length) : NULL;
    if (length != 1 || strchr("\"\r\n", *text) || (unsigned char)*text >= 128)
        return wrong(d, index, "one character such as \",\" or \";\"");
    d->spec->delimiter = *text;
    return true;
}

static bool read_label(descriptor *d, int index) {
    int64_t column = 0;
    if (lua_type(d->L, index) == LUA_TSTRING) return text_at(d, index, &d->spec->label_column);
    if (!integer_at(d, index, -1e6, 1e6, &column)) return false;
    if (column == 0) return wrong(d, index, "a column's name or its number from 1 (negative: from the end)");
    d->spec->label_column = base_sprintf("%lld", (long long)column);
    return true;
}

static bool read_level(descriptor *d, int index) {
    if (!text_at(d, index, &d->spec->level)) return false;
    return !strcmp(d->spec->level, "byte") || !strcmp(d->spec->level, "char") ||
           wrong(d, index, "\"byte\" or \"char\"");
}

// ---- lists --------------------------------------------------------------------------------------------------------

// Length of a list; -1 when the value at `index` is none: every key must be one of 1..n.
static int64_t list_length(lua_State *L, int index) {
    if (!lua_istable(L, index)) return -1;
    int64_t n = (int64_t)lua_rawlen(L, index), keys = 0;
    lua_pushnil(L);
    while (lua_next(L, index)) {
        keys++;
        lua_pop(L, 1);
        if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 1 || lua_tointeger(L, -1) > n) {
            lua_pop(L, 1);
            return -1;
        }
    }
    return keys == n ? n : -1;
}

// A list of numbers, or one number as a list of one; its length, 0 on failure.
static int numbers_at(descriptor *d, int index, int most, double *out) {
    if (lua_type(d->L, index) == LUA_TNUMBER) return number_at(d, index, out);
    int64_t n = list_length(d->L, index);
    char expected[48];
    snprintf(expected, sizeof expected, "a list of 1 to %d numbers", most);
    if (n < 1 || n > most) {
        wrong(d, index, expected);
        return 0;
    }
    for (int i = 0; i < n; i++) {
        lua_rawgeti(d->L, index, i + 1);
        bool ok = number_at(d, lua_gettop(d->L), &out[i]);
        lua_pop(d->L, 1);
        if (!ok) return 0;
    }
    return (int)n;
}

static bool read_shape(descriptor *d, int index) {
    double dim[4];
    int n = numbers_at(d, index, 4, dim);
    for (int i = 0; i < n; i++) {
        if (dim[i] < 1 || dim[i] > INT32_MAX || dim[i] != floor(dim[i]))
            return base_fail(d->err, "shape: dimension %d is %g; a whole number from 1 on was expected", i + 1, dim[i]);
        d->spec->dim[i] = (int64_t)dim[i];
    }
    d->spec->ndim = n;
    return n > 0;
}

// mean and std: one for all channels or one a channel; settle_channels brings them to the same length.
static bool read_channels(descriptor *d, int index) {
    int *count = member(d) == d->spec->mean ? &d->means : &d->stds;
    *count = numbers_at(d, index, 16, member(d));
    return *count > 0;
}

static bool settle_channels(descriptor *d) {
    data_spec *s = d->spec;
    s->channels = d->means > d->stds ? d->means : d->stds;
    if ((d->means > 1 && d->means != s->channels) || (d->stds > 1 && d->stds != s->channels))
        return base_fail(d->err, "mean has %d entries and std %d; one each or one a channel was expected", d->means,
                         d->stds);
    for (int c = 0; c < s->channels; c++) {
        if (c >= d->means) s->mean[c] = d->means ? s->mean[0] : 0;
        if (c >= d->stds) s->std[c] = d->stds ? s->std[0] : 1;
    }
    return true;
}

static bool read_classes(descriptor *d, int index) {
    if (lua_type(d->L, index) == LUA_TNUMBER) return integer_at(d, index, 1, 1 << 20, &d->spec->classes);
    int64_t n = list_length(d->L, index);
    if (n < 1 || n > 1 << 20) return wrong(d, index, "a number of classes or a list of their names");
    d->spec->class_names = base_calloc((size_t)n, sizeof(char *));
    d->spec->classes = n;
    for (int64_t i = 0; i < n; i++) {
        lua_rawgeti(d->L, index, i + 1);
        bool ok = text_at(d, lua_gettop(d->L), &d->spec->class_names[i]);
        lua_pop(d->L, 1);
        if (!ok) return false;
    }
    return true;
}

// Leaves the value of a text key on the stack; false (and nothing left) when the table has none.
static bool push_field(lua_State *L, int index, const char *key) {
    lua_pushnil(L);
    while (lua_next(L, index)) {
        if (lua_type(L, -2) == LUA_TSTRING && !strcmp(lua_tostring(L, -2), key)) {
            lua_remove(L, -2);
            return true;
        }
        lua_pop(L, 1);
    }
    return false;
}

// An unknown key: the first in the alphabet, so that the message does not depend on the table's order.
static bool check_keys(descriptor *d, int index, const char *what, const char *const *names, size_t count) {
    const char *unknown = NULL;
    bool number = false;
    lua_pushnil(d->L);
    while (lua_next(d->L, index)) {
        lua_pop(d->L, 1);
        const char *key = lua_type(d->L, -1) == LUA_TSTRING ? lua_tostring(d->L, -1) : NULL;
        bool known = false;
        for (size_t i = 0; key && i < count && !known; i++) known = !strcmp(names[i], key);
        number = number || !key;
        if (key && !known && (!unknown || strcmp(key, unknown) < 0)) unknown = key;
    }
    if (number && !unknown) return base_fail(d->err, "%s has an entry without a name; expected name = value", what);
    if (!unknown) return true;
    char shown[64];
    base_clean(shown, sizeof shown, unknown);
    const char *near = base_nearest(unknown, names, count);
    if (near) return base_fail(d->err, "%s has no key '%s'; the nearest is '%s'", what, shown, near);
    base_buf all = {0};
    for (size_t i = 0; i < count; i++) base_buf_printf(&all, "%s%s", i ? " " : "", names[i]);
    base_fail(d->err, "%s has no key '%s'; its keys are: %s", what, shown, all.text);
    base_buf_free(&all);
    return false;
}

static bool read_split(descriptor *d, int index) {
    static const char *const names[] = {"calib", "select", "test"};
    double fraction[3] = {0};
    d->split_given = true;
    if (lua_istable(d->L, index) && list_length(d->L, index) < 0) {
        if (!check_keys(d, index, "split", names, 3)) return false;
        for (int p = 0; p < 3; p++) {
            if (!push_field(d->L, index, names[p])) continue;
            bool ok = number_at(d, lua_gettop(d->L), &fraction[p]);
            lua_pop(d->L, 1);
            if (!ok) return false;
        }
    } else if (!numbers_at(d, index, 3, fraction)) {
        return false;
    }
    double sum = fraction[0] + fraction[1] + fraction[2];
    for (int p = 0; p < 3; p++)
        if (fraction[p] < 0 || (p == 2 && !(sum > 0)))
            return base_fail(d->err, "split gives %g to %s; fractions from 0 on with a sum above 0 were expected",
                             fraction[p], names[p]);
    memcpy(d->spec->fraction, fraction, sizeof fraction);
    return true;
}

// ---- files --------------------------------------------------------------------------------------------------------

static bool add_source(descriptor *d, int index, int role) {
    data_spec *s = d->spec;
    static const char *const names[] = {"file", "images", "labels", "format"};
    s->sources = base_realloc(s->sources, s->source_count + 1, sizeof *s->sources);
    data_source *source = &s->sources[s->source_count++];
    *source = (data_source){.part = role};
    if (lua_type(d->L, index) == LUA_TSTRING) return text_at(d, index, &source->path);
    if (!lua_istable(d->L, index)) return wrong(d, index, "a file name or { file = ..., labels = ... }");
    char what[32];
    snprintf(what, sizeof what, "%s", d->key);
    if (!check_keys(d, index, what, names, 4)) return false;
    char **const members[] = {&source->path, &source->path, &source->labels, &source->format};
    for (size_t i = 0; i < 4; i++) {
        if (!push_field(d->L, index, names[i])) continue;
        bool twice = i == 1 && source->path, ok = text_at(d, lua_gettop(d->L), members[i]);
        lua_pop(d->L, 1);
        if (twice) return base_fail(d->err, "%s has both file and images; they mean the same", d->key);
        if (!ok) return false;
    }
    return source->path || base_fail(d->err, "%s names no file (file = \"...\")", d->key);
}

static int role_of(const char *key) {
    return !strcmp(key, "data")     ? ROLE_DATA
           : !strcmp(key, "select") ? ROLE_SELECT
           : !strcmp(key, "test")   ? ROLE_TEST
                                    : ROLE_CALIB;
}

static bool read_files(descriptor *d, int index) {
    int64_t n = list_length(d->L, index);
    if (n < 1) return add_source(d, index, role_of(d->key));
    for (int64_t i = 0; i < n; i++) {
        lua_rawgeti(d->L, index, i + 1);
        bool ok = add_source(d, lua_gettop(d->L), role_of(d->key));
        lua_pop(d->L, 1);
        if (!ok) return false;
    }
    return true;
}

// Roles become parts. Files named for one part only are that part; those of `data`, and those of `calib` (train) when
// select or test has none of its own, are split among the parts without files.
static bool settle_parts(descriptor *d) {
    data_spec *s = d->spec;
    bool own[4] = {false};
    for (size_t i = 0; i < s->source_count; i++) own[s->sources[i].part] = true;
    if (!s->source_count) return base_fail(d->err, "no files are named: say data = \"...\", or calib, select and test");
    bool shared = own[ROLE_DATA] || (own[ROLE_CALIB] && !(own[ROLE_SELECT] && own[ROLE_TEST]));
    if (!own[ROLE_DATA]) own[ROLE_CALIB] = own[ROLE_CALIB] && !shared;
    for (size_t i = 0; i < s->source_count; i++) {
        int role = s->sources[i].part;
        s->sources[i].part =
            role == ROLE_DATA || (role == ROLE_CALIB && !own[ROLE_CALIB]) ? DATA_ALL : role - ROLE_CALIB;
    }
    if (!shared) return true;
    static const double usual[3] = {0.7, 0.1, 0.2};
    double sum = 0;
    for (int p = 0; p < 3; p++) {
        if (own[p + ROLE_CALIB] && d->split_given && s->fraction[p] > 0)
            return base_fail(d->err, "split gives %g to %s, which has files of its own", s->fraction[p],
                             data_part_names[p]);
        if (!d->split_given) s->fraction[p] = own[p + ROLE_CALIB] ? 0 : usual[p];
        sum += s->fraction[p];
    }
    return sum > 0 || base_fail(d->err, "data is given beside calib, select and test: nothing is left to split it for");
}

// An absolute path without "." and "..", by its letters alone.
static char *absolute(const char *folder, const char *path) {
    char *cwd = getcwd(NULL, 0), *base = base_join(cwd ? cwd : "/", folder), *whole = base_join(base, path);
    base_buf out = {0};
    char *save = NULL;
    base_buf_puts(&out, "");
    for (char *part = strtok_r(whole, "/", &save); part; part = strtok_r(NULL, "/", &save)) {
        if (!strcmp(part, ".")) continue;
        if (strcmp(part, "..")) {
            base_buf_printf(&out, "/%s", part);
            continue;
        }
        while (out.length && out.text[out.length - 1] != '/') out.text[--out.length] = 0;
        if (out.length) out.text[--out.length] = 0;
    }
    free(whole);
    free(base);
    free(cwd);
    return out.text;
}

static char *real_root(void) {
    const char *given = getenv("VISE_REAL");
    return given && *given ? base_strdup(given) : base_join(base_home(), "../shared/real");
}

// A descriptor reads below its own folder, the folder Vise was started in, Vise's own data and the real data; a
// stranger's descriptor cannot look elsewhere.
static bool allowed(descriptor *d, const char *path) {
    char *real = real_root();
    const char *const roots[] = {d->folder, ".", base_home(), real};
    char *target = absolute(d->spec->folder, path);
    bool inside = false;
    for (size_t i = 0; i < 4 && !inside; i++) {
        char *root = absolute(".", roots[i]);
        size_t n = strlen(root);
        inside = !strncmp(target, root, n) && (target[n] == '/' || target[n] == 0 || n == 0);
        free(root);
    }
    free(real);
    char shown[200];
    base_clean(shown, sizeof shown, target);
    free(target);
    return inside || base_fail(d->err,
                               "%s is outside the descriptor's folder and the folder Vise runs in: put the descriptor "
                               "beside the data",
                               shown);
}

static bool settle_folder(descriptor *d) {
    data_spec *s = d->spec;
    char *joined = s->folder ? base_join(d->folder, s->folder) : base_strdup(d->folder);
    free(s->folder);
    s->folder = joined;
    for (size_t i = 0; i < s->source_count; i++)
        if (!allowed(d, s->sources[i].path) || (s->sources[i].labels && !allowed(d, s->sources[i].labels)))
            return false;
    if (base_is_dir(s->folder)) return true;
    char shown[200];
    base_clean(shown, sizeof shown, s->folder);
    return base_fail(d->err, "folder %s does not exist", shown);
}

// ---- the table ----------------------------------------------------------------------------------------------------

#define MEMBER(m) offsetof(data_spec, m)
static const descriptor_key keys[] = {
    {"name", read_text, MEMBER(name), 0, 0},
    {"about", read_note, 0, 0, 0},
    {"source", read_note, 0, 0, 0},
    {"licence", read_note, 0, 0, 0},
    {"folder", read_text, MEMBER(folder), 0, 0},
    {"data", read_files, 0, 0, 0},
    {"calib", read_files, 0, 0, 0},
    {"train", read_files, 0, 0, 0},
    {"select", read_files, 0, 0, 0},
    {"test", read_files, 0, 0, 0},
    {"shape", read_shape, 0, 0, 0},
    {"scale", read_scale, 0, 0, 0},
    {"mean", read_channels, MEMBER(mean), 0, 0},
    {"std", read_channels, MEMBER(std), 0, 0},
    {"classes", read_classes, 0, 0, 0},
    {"unlabelled", read_boolean, MEMBER(unlabelled), 0, 0},
    {"header", read_header, 0, 0, 0},
    {"label", read_label, 0, 0, 0},
    {"delimiter", read_delimiter, 0, 0, 0},
    {"skip_lines", read_integer, MEMBER(skip_lines), 0, 1e9},
    {"level", read_level, 0, 0, 0},
    {"vocabulary", read_text, MEMBER(vocabulary), 0, 0},
    {"bos", read_integer, MEMBER(bos), 0, (1 << 20) - 1},
    {"window", read_integer, MEMBER(window), 1, 1 << 24},
    {"vocabulary_size", read_integer, MEMBER(vocabulary_size), 1, 1 << 20},
    {"split", read_split, 0, 0, 0},
    {"seed", read_seed, 0, 0, 0},
};
enum { KEYS = sizeof keys / sizeof *keys };

static const descriptor_key *key_of(const char *name) {
    size_t i = 0;
    while (i + 1 < KEYS && strcmp(keys[i].name, name)) i++;
    return &keys[i];
}

static bool read_table(descriptor *d, int index) {
    const char *names[KEYS];
    for (size_t i = 0; i < KEYS; i++) names[i] = keys[i].name;
    if (!lua_istable(d->L, index))
        return base_fail(d->err, "a dataset descriptor is a table (return { data = \"...\" }); this is a %s",
                         lua_typename(d->L, lua_type(d->L, index)));
    if (!lua_checkstack(d->L, 16)) return base_fail(d->err, "Lua's stack is full");
    if (!check_keys(d, index, "a dataset descriptor", names, KEYS)) return false;
    for (size_t i = 0; i < KEYS; i++) {
        if (!push_field(d->L, index, keys[i].name)) continue;
        d->key = keys[i].name;
        bool ok = keys[i].read(d, lua_gettop(d->L));
        lua_pop(d->L, 1);
        if (!ok) return false;
    }
    return settle_channels(d) && settle_parts(d) && settle_folder(d);
}

data_spec *script_dataset_table(lua_State *L, int index, const char *folder, base_err *err) {
    int top = lua_gettop(L);
    descriptor d = {.L = L, .spec = data_spec_new(), .folder = folder, .key = "", .err = err};
    bool ok = read_table(&d, lua_absindex(L, index));
    lua_settop(L, top);
    if (ok) return d.spec;
    data_spec_free(d.spec);
    return NULL;
}

int script_real(lua_State *L) {
    const char *relative = luaL_checkstring(L, 1);
    char path[2048]; // on the stack: what follows may raise
    char *root = real_root(), *joined = base_join(root, relative);
    size_t n = strlen(joined) < sizeof path ? strlen(joined) : sizeof path - 1;
    bool there = !joined[n] && (base_is_dir(joined) || base_is_file(joined));
    memcpy(path, joined, n);
    path[n] = 0;
    free(joined);
    free(root);
    if (there) return lua_pushstring(L, path), 1;
    char shown[400];
    base_clean(shown, sizeof shown, path);
    script_error(L, "%s does not exist: set VISE_REAL to the folder that holds the real models and datasets", shown);
}

// ---- files and folders --------------------------------------------------------------------------------------------

static data_spec *from_file(const char *path, base_err *err) {
    enum { MEMORY = 64 << 20 };
    static const luaL_Reg functions[] = {{"real", script_real}, {NULL, NULL}};
    char shown[200];
    base_clean(shown, sizeof shown, path);
    lua_State *L = script_state_new("dataset descriptor", MEMORY, NULL);
    if (!L) {
        base_fail(err, "%s: no memory for Lua", shown);
        return NULL;
    }
    data_spec *spec = NULL;
    char *folder = base_dirname(path);
    if (script_register(L, functions, err) && script_load_file(L, path, err) && script_pcall(L, 0, 1, 2, err)) {
        spec = script_dataset_table(L, -1, folder, err);
        if (!spec) base_wrap(err, "%s: ", shown);
    }
    if (spec && !spec->name) {
        const char *name = base_basename(path);
        spec->name = base_strndup(name, strcspn(name, "."));
    }
    free(folder);
    script_state_free(L);
    return spec;
}

// A path that is not there counts from where Vise's own files are, so that "data/digits" is found from any folder.
static char *locate(const char *path) {
    char *home = base_join(base_home(), path);
    bool here = base_is_dir(path) || base_is_file(path), there = base_is_dir(home) || base_is_file(home);
    if (!here && there) return home;
    free(home);
    return base_strdup(path);
}

data_spec *script_dataset_spec(const char *path, base_err *err) {
    char *at = locate(path), *file = base_join(at, "dataset.lua");
    data_spec *spec;
    if (!strcmp(base_extension(at), ".lua") && !base_is_dir(at))
        spec = from_file(at, err);
    else
        spec = base_is_dir(at) && base_is_file(file) ? from_file(file, err) : data_spec_guess(at, err);
    free(file);
    free(at);
    return spec;
}

data_set *script_dataset_open(const char *path, base_job *job, base_err *err) {
    data_spec *spec = script_dataset_spec(path, err);
    data_set *set = spec ? data_open(spec, job, err) : NULL;
    data_spec_free(spec);
    return set;
}
