// vise without a command: the screen.
#include "cli/command.h"
#include "ui/ui.h"

#include <stdlib.h>

base_status cli_screen(const cli_options *o, base_err *err) {
    cli_use_threads(o);
    char *path = base_absolute(o->model), *data = base_absolute(o->data);
    ui_options options = {.model = path,
                          .data = data,
                          .arch = o->arch,
                          .recipe = o->recipe,
                          .sets = o->sets.items,
                          .set_count = (int)o->sets.count,
                          .out = o->out,
                          .seed = (uint64_t)o->seed,
                          .state_dir = o->state,
                          .script = o->script,
                          .theme = o->theme,
                          .ascii = o->ascii,
                          .no_mouse = o->no_mouse,
                          .fresh = o->fresh,
                          .cache = cli_open_cache(o)};
    base_status status;
    if (o->colour && !ui_colours_parse(o->colour, &options.colours, err)) {
        err->status = BASE_USAGE;
        status = BASE_USAGE;
    } else {
        status = ui_main(&options, err);
    }
    base_cache_close(options.cache);
    free(path);
    free(data);
    return status;
}
