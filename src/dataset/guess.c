// guess: what a folder or a file without a descriptor most likely holds, from names alone where that is enough.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataset/store.h"

static void add_source(data_spec *s, const char *format, const char *path, const char *labels, int part) {
    s->sources = base_realloc(s->sources, s->source_count + 1, sizeof *s->sources);
    s->sources[s->source_count++] = (data_source){base_strdup(format), base_strdup(path), base_strdup(labels), part};
}

static bool has(const char *text, const char *word) {
    return strcasestr(text, word) != NULL;
}

// A role that shows in a file's name (DATA_ALL for files to be split); -1 when none does.
static int role_of(const char *name) {
    static const struct {
        const char *word;
        int part;
    } words[] = {{"test", DATA_TEST},  {"t10k", DATA_TEST}, {"val", DATA_SELECT}, {"select", DATA_SELECT},
                 {"dev", DATA_SELECT}, {"train", DATA_ALL}, {"calib", DATA_ALL}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (has(name, words[i].word)) return words[i].part;
    return -1;
}

// `name` with the first `from` replaced by `to`; NULL when it is not there.
static char *replaced(const char *name, const char *from, const char *to) {
    const char *at = strstr(name, from);
    if (!at) return NULL;
    return base_sprintf("%.*s%s%s", (int)(at - name), name, to, at + strlen(from));
}

static bool listed(const char *name, char *const *names, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!strcmp(name, names[i])) return true;
    return false;
}

// The file of labels that belongs to a file of samples: "train-images-idx3-ubyte" has "train-labels-idx1-ubyte",
// "x_test.npy" has "y_test.npy", "calib_images_u8_nchw.npy" has the one "calib_labels*".
static char *labels_for(const char *name, char *const *names, size_t count) {
    static const char *const pairs[][2] = {{"images-idx3", "labels-idx1"},
                                           {"images.idx3", "labels.idx1"},
                                           {"images", "labels"},
                                           {"image", "label"},
                                           {"x_", "y_"},
                                           {"X_", "y_"},
                                           {"_x", "_y"},
                                           {"_X", "_y"},
                                           {"x.", "y."},
                                           {"X.", "y."}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char *labels = replaced(name, pairs[i][0], pairs[i][1]);
        if (labels && listed(labels, names, count)) return labels;
        free(labels);
    }
    const char *at = strstr(name, "images");
    char *prefix = at ? base_sprintf("%.*slabels", (int)(at - name), name) : NULL;
    char *found = NULL;
    for (size_t i = 0; prefix && i < count; i++)
        if (!strncmp(names[i], prefix, strlen(prefix)) && !found) found = base_strdup(names[i]);
    free(prefix);
    return found;
}

static bool is_idx(const char *name) {
    size_t n = strlen(name);
    if (n > 3 && !strcmp(name + n - 3, ".gz")) n -= 3;
    return (n > 5 && !strncmp(name + n - 5, "ubyte", 5)) || (n > 4 && !strncmp(name + n - 4, ".idx", 4));
}

static bool is_format(const char *name, const char *format) {
    char extension[16];
    data_extension(name, extension);
    if (!strcmp(format, "idx")) return is_idx(name);
    if (!strcmp(format, "npy")) return !strcmp(extension, "npy");
    if (!strcmp(format, "csv")) return !strcmp(extension, "csv") || !strcmp(extension, "tsv");
    return !strcmp(extension, "txt");
}

// Papers that come with data and are no data.
static bool is_note(const char *name) {
    return !strncasecmp(name, "readme", 6) || !strncasecmp(name, "licen", 5) || !strncasecmp(name, "notice", 6);
}

static void add_files(data_spec *s, const char *format, char **names, size_t count) {
    bool pairs = !strcmp(format, "idx") || !strcmp(format, "npy");
    for (size_t i = 0; i < count; i++) {
        if (!is_format(names[i], format) || is_note(names[i])) continue;
        char *labels = pairs ? labels_for(names[i], names, count) : NULL;
        if (!pairs || labels) add_source(s, format, names[i], labels, role_of(names[i]));
        free(labels);
    }
}

// Files of one role each; with a test file beside the others, what is left is split between the other parts.
static bool settle_roles(data_spec *s, const char *shown, base_err *err) {
    bool part[4] = {false};
    for (size_t i = 0; i < s->source_count; i++) {
        data_source *source = &s->sources[i];
        char name[96];
        base_clean(name, sizeof name, source->path);
        if (source->part < 0 && s->source_count > 1)
            return base_fail(err,
                             "%s holds %zu %s files, and what %s is for does not show in its name: say it in a "
                             "dataset.lua",
                             shown, s->source_count, source->format, name);
        if (source->part < 0) source->part = DATA_ALL;
        part[source->part] = true;
    }
    if (!part[DATA_ALL] || !(part[DATA_TEST] || part[DATA_SELECT])) return true;
    s->fraction[0] = 0.8;
    s->fraction[1] = part[DATA_SELECT] ? 0 : 0.2;
    s->fraction[2] = part[DATA_TEST] ? 0 : 0.2;
    return true;
}

static bool guess_folder(data_spec *s, const char *path, base_err *err) {
    size_t count;
    char shown[200];
    base_clean(shown, sizeof shown, path);
    char **names = base_list_dir(path, &count, err);
    if (!names) return false;
    static const char *const formats[] = {"idx", "npy", "csv", "text"};
    const char *found = NULL;
    bool ok = true;
    for (size_t f = 0; f < 4 && ok; f++) {
        size_t before = s->source_count;
        add_files(s, formats[f], names, count);
        if (s->source_count == before) continue;
        if (found)
            ok = base_fail(err, "%s holds both %s and %s files: say which in a dataset.lua beside them", shown, found,
                           formats[f]);
        found = formats[f];
    }
    base_names_free(names, count);
    if (ok && !found)
        ok = base_fail(err,
                       "%s holds no dataset that shows by its names: looked for dataset.lua, *-images-idx3-ubyte with "
                       "labels, npy pairs (images/labels, x/y), csv and txt files",
                       shown);
    return ok && settle_roles(s, shown, err);
}

static bool guess_file(data_spec *s, const char *path, base_err *err) {
    const char *name = base_basename(path);
    char shown[200];
    base_clean(shown, sizeof shown, path);
    if (is_format(name, "csv") || is_format(name, "text")) {
        add_source(s, is_format(name, "csv") ? "csv" : "text", name, NULL, DATA_ALL);
        return true;
    }
    if (!is_format(name, "idx") && !is_format(name, "npy"))
        return base_fail(
            err, "%s: not a csv, tsv, txt, npy or IDX (...-ubyte) file by its name, nor a descriptor (.lua)", shown);
    size_t count;
    char **names = base_list_dir(s->folder, &count, err);
    if (!names) return false;
    char *labels = labels_for(name, names, count);
    base_names_free(names, count);
    bool npy = is_format(name, "npy");
    if (!labels && !npy) return base_fail(err, "%s: no file of labels was found beside it", shown);
    add_source(s, labels ? (npy ? "npy" : "idx") : "tokens", name, labels, DATA_ALL);
    free(labels);
    return true;
}

data_spec *data_spec_guess(const char *path, base_err *err) {
    char shown[200];
    base_clean(shown, sizeof shown, path);
    data_spec *s = data_spec_new();
    bool ok;
    if (base_is_dir(path)) {
        s->folder = base_strdup(path);
        ok = guess_folder(s, path, err);
    } else if (base_is_file(path)) {
        s->folder = base_dirname(path);
        ok = guess_file(s, path, err);
    } else {
        ok = base_fail(err, "%s: %s", shown,
                       access(path, F_OK) == 0 ? "neither a file nor a folder" : "no such file or folder");
    }
    if (!ok) {
        data_spec_free(s);
        return NULL;
    }
    char *bare = base_strdup(path);
    for (size_t n = strlen(bare); n > 1 && bare[n - 1] == '/'; n--) bare[n - 1] = 0;
    const char *name = base_basename(bare);
    size_t stem = strcspn(name, ".");
    s->name = stem ? base_strndup(name, stem) : base_strdup("data");
    free(bare);
    bool pictures = !strcmp(s->sources[0].format, "idx");
    if (pictures) s->scale = 1.0 / 255;
    return s;
}
