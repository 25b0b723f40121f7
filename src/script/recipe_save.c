// recipe_save: save(net, path) - below the out folder, atomically, with the exact size and hash of what was written.
#include "script/recipe.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// A scratch file for a run that saves nothing but must know size and hash.
typedef struct scratch {
    char path[256];
} scratch;

static bool make_scratch(scratch *s, base_err *err) {
    const char *given = getenv("TMPDIR"), *folder = given && *given ? given : "/tmp";
    for (int i = 0; i < 100; i++) {
        snprintf(s->path, sizeof s->path, "%.200s/vise-%ld-%d.safetensors", folder, (long)getpid(), i);
        int fd = open(s->path, O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (fd < 0) continue;
        close(fd);
        return true;
    }
    return base_fail(err, "save: no scratch file can be made in %s", folder);
}

// What goes into the file beside the weights: which recipe made it, on which dataset.
static char *metadata_of(const recipe_run *run, const recipe_model *net) {
    json_t *o = json_object();
    json_object_set_new(o, "recipe", json_string(run->recipe->name));
    if (net->trained_on[0]) json_object_set_new(o, "dataset", json_string(net->trained_on));
    char *text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(o);
    return text;
}

static bool write_net(const recipe_run *run, recipe_model *net, const char *path, compress_saved *saved,
                      base_err *err) {
    if (net->result) return compress_save(net->result, path, NULL, saved, err);
    char *metadata = metadata_of(run, net);
    size_t bytes = 0;
    bool ok = model_save(net->m, NULL, path, metadata, saved->hash, &bytes, err);
    free(metadata);
    saved->file_bytes = (int64_t)bytes;
    saved->header_bytes = 0;
    return ok;
}

static void check_extension(lua_State *L, const char *path) {
    const char *extension = base_extension(path);
    if (strcmp(extension, ".safetensors") != 0)
        script_error(L, "save: '%s' must end in .safetensors, the format that is written", path);
}

// save(net, path) -> { path, bytes, header_bytes, hash }
static int api_save(lua_State *L) {
    recipe_work(L, "save");
    lua_settop(L, 2);
    recipe_run *run = recipe_of(L);
    recipe_model *net = recipe_check_model(L, 1);
    const char *path = luaL_checkstring(L, 2);
    check_extension(L, path);
    const char *full = recipe_out_path(L, path);
    compress_saved saved = {0};
    base_err err = {0};
    bool ok;
    if (run->options->no_save) {
        scratch s;
        ok = make_scratch(&s, &err);
        if (ok) {
            ok = write_net(run, net, s.path, &saved, &err);
            unlink(s.path);
        }
    } else {
        ok = write_net(run, net, full, &saved, &err);
    }
    recipe_done(L, ok, &err);
    base_emit(run->job, (base_event){.kind = BASE_EV_SAVED,
                                     .text = full,
                                     .hash = saved.hash,
                                     .done = saved.file_bytes,
                                     .of = saved.header_bytes});
    lua_createtable(L, 0, 4);
    lua_pushstring(L, full);
    lua_setfield(L, -2, "path");
    lua_pushstring(L, saved.hash);
    lua_setfield(L, -2, "hash");
    lua_pushinteger(L, saved.file_bytes);
    lua_setfield(L, -2, "bytes");
    lua_pushinteger(L, saved.header_bytes);
    lua_setfield(L, -2, "header_bytes");
    return 1;
}

const luaL_Reg recipe_save_functions[] = {{"save", api_save}, {NULL, NULL}};
