// The parts of the screen, and everything they add as one list.
#include "ui/layers.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

static const ui_place core_places[] = {{"params", "Keys on params"},
                                       {"chart", "Keys on a chart"},
                                       {"running", "Keys while a run is going"},
                                       {"recipes", "Keys in the list of recipes"},
                                       {"help", "Keys on a page like this"},
                                       {"quit", "Keys at the question before quitting"},
                                       {NULL, NULL}};

// Keys and functions are tables of files of their own: three parts are the core.
static const ui_part part_places = {.name = "places", .places = core_places};

const ui_part *const ui_parts[] = {
    &ui_part_own_keys, // config.c
    &ui_part_commands, // commands.c
    &ui_part_keys,     // keys.c
    &ui_part_host,     // host.c
    &part_places,      // above
    &ui_part_save,     // cmd_save.c
    &ui_part_control,  // control.c
    &ui_part_columns,  // layers_columns.c
    &ui_part_layers,   // layers.c
    &ui_part_past,     // past.c
    &ui_part_trade,    // trade.c
    &ui_part_resize,   // resize.c
    &ui_part_recipe,   // recipe.c
    &ui_part_recipe_code, &ui_part_recipe_file,
    &ui_part_composer, // composer.c
    &ui_part_samples,  // samples.c
    &ui_part_heat,     // heat.c
    &ui_part_look,     // look.c
    &ui_part_start,    // start.c
    &ui_part_frames,   // frames.c
};
const size_t ui_part_count = sizeof ui_parts / sizeof *ui_parts;
_Static_assert(sizeof ui_parts / sizeof *ui_parts <= UI_MAX_PARTS, "UI_MAX_PARTS is too small");

void *ui_part_own(const ui_state *s, const ui_part *part) {
    for (size_t i = 0; i < ui_part_count; i++)
        if (ui_parts[i] == part) return s->part[i];
    return NULL;
}

void ui_parts_open(ui_app *app) {
    for (size_t i = 0; i < ui_part_count; i++) {
        const ui_part *p = ui_parts[i];
        if (p->bytes) app->state.part[i] = base_calloc(1, p->bytes);
        if (p->open) p->open(app, app->state.part[i]);
    }
}

void ui_parts_close(ui_app *app) {
    for (size_t i = ui_part_count; i-- > 0;) {
        const ui_part *p = ui_parts[i];
        if (p->bytes && !app->state.part[i]) continue; // never opened
        if (p->close) p->close(app, app->state.part[i]);
        free(app->state.part[i]);
        app->state.part[i] = NULL;
    }
}

void ui_parts_event(ui_app *app, const base_event *e) {
    for (size_t i = 0; i < ui_part_count; i++)
        if (ui_parts[i]->event) ui_parts[i]->event(app, app->state.part[i], e);
}

json_t *ui_parts_keep(const ui_app *app) {
    json_t *all = json_object();
    for (size_t i = 0; i < ui_part_count; i++) {
        json_t *one = ui_parts[i]->keep ? ui_parts[i]->keep(app, app->state.part[i]) : NULL;
        if (one) json_object_set_new(all, ui_parts[i]->name, one);
    }
    return all;
}

void ui_parts_restore(ui_app *app, const json_t *kept) {
    for (size_t i = 0; i < ui_part_count; i++) {
        const json_t *one = json_object_get(kept, ui_parts[i]->name);
        if (one && ui_parts[i]->restore) ui_parts[i]->restore(app, app->state.part[i], one);
    }
}

int ui_parts_fds(const ui_app *app, struct pollfd *fds) {
    int count = 0;
    for (size_t i = 0; i < ui_part_count && count < UI_PART_FDS; i++) {
        int fd = ui_parts[i]->fd ? ui_parts[i]->fd(app->state.part[i]) : -1;
        if (fd >= 0) fds[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
    return count;
}

bool ui_parts_ready(ui_app *app, const struct pollfd *fds, int count) {
    bool any = false;
    for (int f = 0; f < count; f++)
        for (size_t i = 0; fds[f].revents && i < ui_part_count; i++) {
            const ui_part *p = ui_parts[i];
            if (!p->fd || p->fd(app->state.part[i]) != fds[f].fd) continue;
            p->ready(app, app->state.part[i]);
            any = true;
            break;
        }
    return any;
}

// The index-th of all parts' rows of one kind.
#define AT(array, count)                                                                                               \
    for (size_t i = 0; i < ui_part_count; i++) {                                                                       \
        if (index < ui_parts[i]->count) return &ui_parts[i]->array[index];                                             \
        index -= ui_parts[i]->count;                                                                                   \
    }                                                                                                                  \
    return NULL

const ui_command *ui_command_at(size_t index) {
    AT(commands, command_count);
}
const ui_binding *ui_binding_at(size_t index) {
    AT(bindings, binding_count);
}
const script_function *ui_function_at(size_t index) {
    AT(functions, function_count);
}
const ui_source *ui_part_source(size_t index) {
    AT(sources, source_count);
}

const script_function *ui_functions(size_t *count) {
    enum { MOST = 128 };
    static script_function all[MOST];
    const script_function *f;
    for (*count = 0; *count < MOST && (f = ui_function_at(*count)); (*count)++) all[*count] = *f;
    return all;
}
