// The Start tab: models, datasets, recipes and runs used lately or shipped, a file picker, and a preview of what the
// cursor is on. Enter opens it.
#include "ui/start.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ui/host.h"
#include "ui/image.h"

enum { RECENT = 12, RUNS = 12 };

typedef struct start {
    start_list places, files;
    char folder[1024];
    char recent[3][RECENT][1024]; // model, data, recipe; newest first
    start_list runs;              // from the history
    start_look *look;             // what the preview shows, NULL: nothing yet
    char wanted[1024];            // path it should show
    int last;                     // list that had the focus last: 0 places, 1 files
} start;

static const char *const recent_kinds[3] = {"model", "data", "recipe"};

start_place *start_add(start_list *l, const char *kind, const char *path, const char *name, const char *about) {
    if (l->count == l->capacity) {
        l->capacity = l->capacity ? l->capacity * 2 : 64;
        l->row = base_realloc(l->row, (size_t)l->capacity, sizeof *l->row);
    }
    start_place *p = &l->row[l->count++];
    *p = (start_place){.size = -1};
    snprintf(p->kind, sizeof p->kind, "%s", kind);
    snprintf(p->path, sizeof p->path, "%s", path);
    base_clean(p->name, sizeof p->name, name);
    base_clean(p->about, sizeof p->about, about);
    return p;
}

void start_list_free(start_list *l) {
    free(l->row);
    *l = (start_list){0};
}

// ---- kinds of files ----------------------------------------------------------------------------

static bool ends(const char *name, const char *const *ends_of) {
    for (; *ends_of; ends_of++) {
        size_t n = strlen(*ends_of), m = strlen(name);
        if (m >= n && strcasecmp(name + m - n, *ends_of) == 0) return true;
    }
    return false;
}

static bool holds(const char *folder, const char *name) {
    char *path = base_join(folder, name);
    bool there = base_is_file(path);
    free(path);
    return there;
}

const char *start_kind(const char *path) {
    static const char *const models[] = {".safetensors", ".npz", ".safetensors.index.json", NULL};
    static const char *const data[] = {".csv",      ".csv.gz", ".npy",    ".idx", "-ubyte",
                                       "-ubyte.gz", ".txt",    ".txt.gz", NULL};
    const char *name = base_basename(path);
    if (base_is_dir(path)) {
        if (holds(path, "dataset.lua")) return "data";
        return holds(path, "config.json") || holds(path, "model.safetensors") ? "model" : "folder";
    }
    if (strcmp(name, "dataset.lua") == 0 || ends(name, data)) return "data";
    if (ends(name, models)) return "model";
    return strcmp(base_extension(name), ".lua") == 0 ? "recipe" : "file";
}

// ---- lists -------------------------------------------------------------------------------------

// "data/models" for what lies below the program's own folder, else with ~ for the home.
static void short_path(const char *path, char *out, size_t size) {
    const char *home = getenv("HOME"), *tree = base_home();
    size_t n = strlen(tree);
    if (strncmp(path, tree, n) == 0 && path[n] == '/')
        snprintf(out, size, "%s", path + n + 1);
    else if (home && home[0] && strncmp(path, home, strlen(home)) == 0 && path[strlen(home)] == '/')
        snprintf(out, size, "~%s", path + strlen(home));
    else
        snprintf(out, size, "%s", path);
}

static bool listed(const start_list *l, const char *path) {
    for (int i = 0; i < l->count; i++)
        if (strcmp(l->row[i].path, path) == 0) return true;
    return false;
}

static void add_path(start *s, const char *kind, const char *path, const char *why) {
    char shown[400], about[420];
    if (listed(&s->places, path) || (!base_is_file(path) && !base_is_dir(path))) return;
    char *folder = base_dirname(path);
    short_path(folder, shown, sizeof shown);
    snprintf(about, sizeof about, "%s  %s", why, shown);
    start_add(&s->places, kind, path, base_basename(path), about);
    free(folder);
}

static void add_shipped(start *s, const char *kind, const char *below) {
    char *folder = base_join(base_home(), below);
    base_err ignored;
    size_t count = 0;
    char **names = base_is_dir(folder) ? base_list_dir(folder, &count, &ignored) : NULL;
    for (size_t i = 0; names && i < count; i++) {
        char *path = base_join(folder, names[i]);
        if (strcmp(start_kind(path), kind) == 0) add_path(s, kind, path, "shipped");
        free(path);
    }
    if (names) base_names_free(names, count);
    free(folder);
}

static bool shipped_recipe(const ui_app *app, const char *path) {
    char *folder = base_join(base_home(), "recipes");
    size_t n = strlen(folder);
    bool below = strncmp(path, folder, n) == 0 && path[n] == '/' && app->state.recipe_count > 0;
    free(folder);
    return below; // it is listed by its name with what it does
}

// Recent ones of each kind first, then what ships; runs between data and recipes.
static void make_places(ui_app *app, start *s) {
    s->places.count = 0;
    for (int i = 0; i < RECENT && s->recent[0][i][0]; i++) add_path(s, "model", s->recent[0][i], "recent");
    add_shipped(s, "model", "data/models");
    for (int i = 0; i < RECENT && s->recent[1][i][0]; i++) add_path(s, "data", s->recent[1][i], "recent");
    add_shipped(s, "data", "data");
    for (int i = 0; i < s->runs.count; i++) {
        start_place *p = start_add(&s->places, "run", "", "", "");
        *p = s->runs.row[i];
    }
    for (int i = 0; i < RECENT && s->recent[2][i][0]; i++)
        if (!shipped_recipe(app, s->recent[2][i])) add_path(s, "recipe", s->recent[2][i], "recent");
    for (int i = 0; i < app->state.recipe_count; i++) {
        const ui_recipe_name *r = &app->state.recipes[i];
        char below[100];
        snprintf(below, sizeof below, "recipes/%s.lua", r->name);
        char *path = base_join(base_home(), below);
        if (!listed(&s->places, path)) start_add(&s->places, "recipe", path, r->name, r->about);
        free(path);
    }
}

static int by_kind(const void *a, const void *b) {
    const start_place *x = a, *y = b;
    bool fx = base_is_dir(x->path), fy = base_is_dir(y->path);
    return fx != fy ? fy - fx : strcmp(x->name, y->name);
}

static bool make_files(start *s, const char *folder, base_err *err) {
    size_t count = 0;
    char real[PATH_MAX];
    if (!realpath(folder, real) || strlen(real) >= sizeof s->folder)
        return base_fail(err, "there is no folder %s", folder);
    char **names = base_list_dir(real, &count, err);
    if (!names) return false;
    s->files.count = 0;
    memcpy(s->folder, real, strlen(real) + 1);
    for (size_t i = 0; i < count; i++) {
        char *path = base_join(real, names[i]), size[24] = "";
        struct stat st;
        bool file = stat(path, &st) == 0 && S_ISREG(st.st_mode), dir = base_is_dir(path);
        const char *kind = file || dir ? start_kind(path) : "file";
        start_place *p =
            start_add(&s->files, kind, path, names[i], file ? base_bytes_text(size, (double)st.st_size) : "");
        if (file) p->size = st.st_size;
        if (dir && strlen(p->name) + 2 < sizeof p->name) strcat(p->name, "/");
        free(path);
    }
    if (s->files.count) qsort(s->files.row, (size_t)s->files.count, sizeof *s->files.row, by_kind);
    base_names_free(names, count);
    return true;
}

// ---- runs of the history, read in a task -------------------------------------------------------

typedef struct run_task {
    char *dir;
    start_list runs;
} run_task;

static bool runs_work(void *own, base_job *job, base_err *err) {
    run_task *t = own;
    session_record *records = NULL;
    size_t count = 0;
    (void)job;
    session_history *h = session_history_open(t->dir, err);
    if (!h) return false;
    bool ok = session_history_list(h, RUNS, &records, &count, err);
    for (size_t i = 0; ok && i < count; i++) {
        const session_record *r = &records[i];
        char name[160], about[400], when[32] = "";
        time_t at = (time_t)r->started;
        struct tm tm;
        if (localtime_r(&at, &tm)) strftime(when, sizeof when, "%d %b %H:%M", &tm);
        snprintf(name, sizeof name, "%lld %s", (long long)r->id, r->recipe);
        snprintf(about, sizeof about, "%s  %s  %s %s", when, r->status, base_basename(r->model), r->params);
        start_add(&t->runs, "run", "", name, about)->run = r->id;
    }
    for (size_t i = 0; i < count; i++) session_record_free(&records[i]);
    free(records);
    session_history_close(h);
    return ok;
}

static void runs_done(ui_app *app, void *own, base_status status, const char *message) {
    run_task *t = own;
    (void)message;
    start *s = ui_part_own(&app->state, &ui_part_start);
    if (status == BASE_OK && s) {
        start_list_free(&s->runs);
        s->runs = t->runs;
        t->runs = (start_list){0};
        make_places(app, s);
    }
    start_list_free(&t->runs);
    free(t->dir);
    free(t);
}

static void read_runs(ui_app *app) {
    if (!app->history) return;
    run_task *t = base_calloc(1, sizeof *t);
    t->dir = base_strdup(app->state_dir);
    ui_task_start(
        app, &(ui_task){
                 .kind = "start runs", .what = "reading the history", .own = t, .work = runs_work, .done = runs_done});
}

// ---- the preview -------------------------------------------------------------------------------

static void look_done(ui_app *app, void *own, base_status status, const char *message) {
    start_look *l = own;
    start *s = ui_part_own(&app->state, &ui_part_start);
    if (!s || status == BASE_CANCELLED || strcmp(s->wanted, l->path) != 0) {
        start_look_free(l);
        return;
    }
    if (status != BASE_OK) ui_page_add(&l->raw, UI_BAD, 0, message);
    if (s->look) start_look_free(s->look);
    s->look = l;
}

static const start_place *place_at(const ui_app *app, const start *s, const char *view) {
    int i = ui_view_find(app, view);
    const start_list *l = strcmp(view, "files") == 0 ? &s->files : &s->places;
    if (i < 0 || app->views[i].scroll.cursor >= l->count) return NULL;
    return &l->row[app->views[i].scroll.cursor];
}

// What is under the cursor of the list that has the focus, or had it last.
static const start_place *place_here(const ui_app *app, start *s) {
    static const char *const names[] = {"start", "files"};
    const char *here = app->view_count ? app->views[app->focus].name : "";
    for (int i = 0; i < 2; i++)
        if (strcmp(here, names[i]) == 0) s->last = i;
    return place_at(app, s, names[s->last]);
}

static void want(ui_app *app, start *s, const start_place *p) {
    char key[1024];
    if (p->run)
        snprintf(key, sizeof key, "run %lld", (long long)p->run);
    else
        snprintf(key, sizeof key, "%s", p->path);
    if (strcmp(key, s->wanted) == 0) return;
    snprintf(s->wanted, sizeof s->wanted, "%s", key);
    start_look *l = base_calloc(1, sizeof *l);
    l->raw.width = 4096;
    snprintf(l->path, sizeof l->path, "%s", key);
    snprintf(l->kind, sizeof l->kind, "%s", p->kind);
    if (p->run) {
        ui_page_add(&l->raw, UI_STRONG, 0, p->name);
        ui_page_add(&l->raw, UI_NORMAL, 0, p->about);
        ui_page_add(&l->raw, UI_DIM, 0, "Enter opens its recipe with these params.");
        look_done(app, l, BASE_OK, "");
        return;
    }
    ui_task_start(
        app,
        &(ui_task){
            .kind = "preview", .what = "looking into a file", .own = l, .work = start_look_work, .done = look_done});
}

// The lines at this width; made anew when the panel got another one.
static void wrap(start_look *l, int width) {
    if (l->page.width == width) return;
    ui_page_clear(&l->page);
    l->page.width = width;
    for (int i = 0; i < l->raw.count; i++) ui_page_add(&l->page, l->raw.line[i].style, 2, l->raw.line[i].text);
}

HOST(h_preview) {
    APP;
    (void)c;
    if (!ui_host_drawing(app, err)) return false;
    start *s = ui_part_own(&app->state, &ui_part_start);
    const start_place *p = s ? place_here(app, s) : NULL;
    ui_look look = ui_host_look(app, "preview", NULL);
    ui_area a = ui_host_take(app);
    if (!p) return true;
    want(app, s, p);
    start_look *l = s->look;
    if (!l || strcmp(l->path, s->wanted) != 0) {
        ui_put(a, 0, 0, UI_DIM, "looking ...");
        return true;
    }
    wrap(l, a.r.w);
    int used = 0;
    if (l->image && a.r.h >= 8) {
        used = ui_image_draw(ui_sub(a, 0, 0, a.r.w, a.r.h / 2), l->image, l->channels, l->height, l->width,
                             ui_theme_depth());
        if (used) ui_fit(a, 0, used++, a.r.w, UI_LEFT, UI_DIM, l->caption), used++;
    }
    ui_scroll_fit(look.scroll, l->page.count, a.r.h - used);
    for (int i = 0; i + used < a.r.h && look.scroll->top + i < l->page.count; i++) {
        const ui_page_line *line = &l->page.line[look.scroll->top + i];
        bool hit = ui_search_hit(look.search, line->text);
        ui_fit(a, 0, used + i, a.r.w, UI_LEFT, hit ? UI_FOUND : line->style, line->text);
        if (look.focused && look.scroll->top + i == look.scroll->cursor) ui_reverse(a, 0, used + i, a.r.w);
    }
    return true;
}

HOST(h_folder) {
    APP;
    (void)err;
    char text[400] = "";
    start *s = ui_part_own(&app->state, &ui_part_start);
    if (s) short_path(s->folder, text, sizeof text);
    script_push_text(c, text[0] ? text : "/");
    return true;
}

// ---- commands ----------------------------------------------------------------------------------

static start *own_of(const ui_app *app) {
    return ui_part_own(&app->state, &ui_part_start);
}

static bool go_folder(ui_app *app, const char *path, base_err *err) {
    start *s = own_of(app);
    char before[1024];
    snprintf(before, sizeof before, "%s", s->folder);
    if (!make_files(s, path, err)) return false;
    int v = ui_view_find(app, "files");
    if (v >= 0) {
        app->views[v].scroll = (ui_scroll){.count = s->files.count, .page = 1};
        for (int i = 0; i < s->files.count; i++) // coming up, the cursor is on the folder that was left
            if (strcmp(s->files.row[i].path, before) == 0) ui_scroll_to(&app->views[v].scroll, i);
    }
    return true;
}

static bool open_run(ui_app *app, int64_t run, base_err *err) {
    session_record r = {0};
    if (!app->history || !session_history_get(app->history, run, &r, err)) return false;
    bool ok = ui_recipe_open(app, r.recipe_path && base_is_file(r.recipe_path) ? r.recipe_path : r.recipe, err);
    const char *name;
    json_t *value, *params = ok && r.params ? json_loads(r.params, 0, NULL) : NULL;
    json_object_foreach(params, name, value) {
        base_err gone; // the recipe may have changed since
        char *text = json_is_string(value) ? base_strdup(json_string_value(value))
                                           : base_sprintf("%.17g", json_number_value(value));
        if (!ui_param_set(app, name, text, &gone)) ui_say(app, UI_WARN, "%s", gone.text);
        free(text);
    }
    json_decref(params);
    if (ok && r.data && r.data[0] && (base_is_dir(r.data) || base_is_file(r.data))) ui_use_data(app, r.data);
    if (ok && r.model && base_is_file(r.model)) ui_use_model(app, r.model);
    session_record_free(&r);
    return ok;
}

static bool open_place(ui_app *app, const start_place *p, base_err *err) {
    char path[1024];
    int64_t run = p->run;
    bool recipe = strcmp(p->kind, "recipe") == 0;
    snprintf(path, sizeof path, "%s", p->path); // the list may be made anew below
    if (strcmp(p->kind, "folder") == 0) return go_folder(app, path, err);
    if (app->state.job == UI_RUNNING) return base_fail(err, "a run is going; Esc stops it");
    if (strcmp(p->kind, "model") == 0) {
        ui_use_model(app, path);
        ui_say(app, UI_NORMAL, "%s is open; Enter on the Run tab compresses it.", base_basename(path));
    } else if (strcmp(p->kind, "data") == 0) {
        ui_use_data(app, path);
        ui_say(app, UI_NORMAL, "The next run uses %s.", path);
    } else if (recipe || run) {
        if (!(run ? open_run(app, run, err) : ui_recipe_open(app, path, err))) return false;
        ui_tab_go(app, ui_tab_find(app, "Run"));
        ui_say(app, UI_NORMAL, "%s: %s", app->state.recipe, app->state.recipe_about);
    } else {
        return base_fail(
            err, "%s is no model, dataset or recipe that Vise knows by its name; :model PATH tries it all the same",
            base_basename(path));
    }
    return true;
}

ON(on_open) {
    (void)argument;
    const start_place *p = place_here(app, own_of(app));
    return !p || open_place(app, p, err);
}
// A folder that is a dataset or a model is opened by Enter and entered by this.
ON(on_into) {
    (void)argument;
    const start_place *p = place_here(app, own_of(app));
    if (!p) return true;
    char path[1024];
    snprintf(path, sizeof path, "%s", p->path);
    return base_is_dir(path) ? go_folder(app, path, err) : open_place(app, p, err);
}
ON(on_folder) {
    char here[PATH_MAX];
    const char *home = getenv("HOME");
    char *path = argument[0] == '~' && home ? base_sprintf("%s%s", home, argument + 1)
                 : argument[0]              ? base_strdup(argument)
                                            : base_strdup(getcwd(here, sizeof here) ? here : "/");
    bool ok = go_folder(app, path, err);
    free(path);
    int v = ok ? ui_view_find(app, "files") : -1;
    if (v >= 0) ui_view_focus(app, v);
    return ok;
}
ON(on_up_folder) {
    (void)argument;
    char *up = base_dirname(own_of(app)->folder);
    bool ok = go_folder(app, up, err);
    free(up);
    return ok;
}

// ---- the part ----------------------------------------------------------------------------------

static void remember(start *s, int kind, const char *path) {
    char(*list)[1024] = s->recent[kind];
    if (!path || !path[0] || strlen(path) >= sizeof list[0]) return;
    int at = 0;
    while (at < RECENT - 1 && list[at][0] && strcmp(list[at], path) != 0) at++;
    memmove(list[1], list[0], (size_t)at * sizeof list[0]);
    snprintf(list[0], sizeof list[0], "%s", path);
}

// What a run or a look at a model opened counts as used.
static void on_event(ui_app *app, void *own, const base_event *e) {
    start *s = own;
    if (e->kind != BASE_EV_RUN_END) return;
    remember(s, 0, app->model);
    remember(s, 1, app->data);
    if (app->recipe && app->recipe->path && app->recipe->path[0] == '/') remember(s, 2, app->recipe->path);
    make_places(app, s);
    if (app->state.run_count > 0) read_runs(app);
}

static void on_start_open(ui_app *app, void *own) {
    start *s = own;
    char here[PATH_MAX];
    base_err ignored;
    make_places(app, s);
    const char *folder = app->options->body ? base_home() : getcwd(here, sizeof here) ? here : "/";
    if (!make_files(s, folder, &ignored)) s->files.count = 0;
    read_runs(app);
}

static void on_start_close(ui_app *app, void *own) {
    start *s = own;
    (void)app;
    start_list_free(&s->places);
    start_list_free(&s->files);
    start_list_free(&s->runs);
    if (s->look) start_look_free(s->look);
}

static json_t *keep(const ui_app *app, const void *own) {
    const start *s = own;
    (void)app;
    json_t *all = json_object();
    for (int k = 0; k < 3; k++) {
        json_t *list = json_array();
        for (int i = 0; i < RECENT && s->recent[k][i][0]; i++)
            json_array_append_new(list, json_string(s->recent[k][i]));
        json_object_set_new(all, recent_kinds[k], list);
    }
    return all;
}

static void restore(ui_app *app, void *own, const json_t *kept) {
    start *s = own;
    for (int k = 0; k < 3; k++) {
        json_t *list = json_object_get(kept, recent_kinds[k]);
        for (size_t i = json_array_size(list); i-- > 0;) remember(s, k, json_string_value(json_array_get(list, i)));
    }
    make_places(app, s);
}

#define FIELD_TEXT(name, help)                                                                                         \
    { #name, "", help, BASE_F_TEXT, offsetof(start_place, name), sizeof(((start_place *)0)->name) }
static const base_field fields[] = {
    FIELD_TEXT(kind, "model, data, recipe, run, folder, file"),
    FIELD_TEXT(name, "name"),
    FIELD_TEXT(about, "where it is, or what it does"),
    FIELD_TEXT(path, "absolute path"),
    {"size", "B", "bytes of a file", BASE_F_INT, offsetof(start_place, size), sizeof(int64_t)},
    {"run", "", "number in the history", BASE_F_INT, offsetof(start_place, run), sizeof(int64_t)},
};
enum { FIELDS = sizeof fields / sizeof *fields };

static const start_list *list_of(const ui_state *s, bool files) {
    static const start_list none;
    const start *own = ui_part_own(s, &ui_part_start);
    return !own ? &none : files ? &own->files : &own->places;
}
static int place_count(const ui_state *s) {
    return list_of(s, false)->count;
}
static int file_count(const ui_state *s) {
    return list_of(s, true)->count;
}
static const void *place_rows(const ui_state *s) {
    return list_of(s, false)->row;
}
static const void *file_rows(const ui_state *s) {
    return list_of(s, true)->row;
}
static const ui_source sources[] = {
    {"places", fields, FIELDS, sizeof(start_place), place_count, place_rows, "name"},
    {"files", fields, FIELDS, sizeof(start_place), file_count, file_rows, "name"},
};

static const ui_command commands[] = {
    {"open", "", "open the model, dataset, recipe, run or folder under the cursor", on_open, NULL, NULL},
    {"folder", "[PATH]", "list a folder in the file picker; nothing: the one Vise was started in", on_folder, NULL,
     NULL},
    {"into-folder", "", "into the folder under the cursor, also when it is a dataset or a model", on_into, NULL, NULL},
    {"up-folder", "", "to the folder above", on_up_folder, NULL, NULL},
};
static const ui_binding bindings[] = {
    {"Enter", "open", "start", "open"},        {"Enter", "open", "files", "open"},
    {"Right", "into-folder", "files", NULL},   {"l", "into-folder", "files", "into"},
    {"Left", "up-folder", "files", NULL},      {"h", "up-folder", "files", "up"},
    {"Backspace", "up-folder", "files", NULL},
};
static const script_function functions[] = {
    {"preview", "() a look into what the cursor of the Start tab is on", h_preview},
    {"folder", "() the folder that the file picker lists", h_folder},
};
static const ui_place key_places[] = {
    {"start", "Keys in the list of the Start tab"}, {"files", "Keys in the file picker"}, {NULL, NULL}};

const ui_part ui_part_start = {.name = "start",
                               UI_LIST(command, commands),
                               UI_LIST(binding, bindings),
                               UI_LIST(function, functions),
                               UI_LIST(source, sources),
                               .bytes = sizeof(start),
                               .open = on_start_open,
                               .close = on_start_close,
                               .event = on_event,
                               .places = key_places,
                               .keep = keep,
                               .restore = restore};
