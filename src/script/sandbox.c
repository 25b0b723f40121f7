// sandbox: the state itself - memory and time limits, loading, calling.
//
// The time limit is a count hook. Once it trips, the box is marked as stopped and the hook fires at every further
// instruction, so a pcall in the script can catch the error but not go on. Long loops of C functions that allocate are
// stopped by the allocator; C functions that could loop without allocating are replaced (libraries.c, strings.c).
#include "script/sandbox.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

// Instructions between two looks at the clock: about 10 us of plain Lua.
enum { HOOK_COUNT = 1000 };
// Allocations from this size on look at the clock too, for loops inside one C function.
enum { BIG_ALLOCATION = 1 << 16 };

// Seconds this thread has computed: time spent stopped (Ctrl-Z) or waiting for a core is not the script's.
static double thread_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

script_box *script_box_of(lua_State *L) {
    return *(script_box **)lua_getextraspace(L);
}

bool script_box_expired(script_box *box) {
    if (box->stopped) return true;
    if (base_cancelled(box->job)) {
        box->stop.status = BASE_CANCELLED;
        snprintf(box->stop.text, sizeof box->stop.text, "cancelled");
    } else if (box->deadline > 0 && thread_seconds() > box->deadline) {
        box->stop.status = BASE_FAILED;
        snprintf(box->stop.text, sizeof box->stop.text,
                 "the %s ran %.3g s of Lua without doing any work and was stopped (an endless loop?)", box->owner,
                 box->seconds);
    } else {
        return false;
    }
    box->stopped = true;
    box->stop_line = -1;
    box->stop_chunk = -1;
    return true;
}

static void *box_allocate(void *context, void *p, size_t old, size_t bytes) {
    script_box *box = context;
    if (!p) old = 0; // then it is a type tag
    if (bytes == 0) {
        free(p);
        box->used -= old;
        return NULL;
    }
    if (bytes > old) {
        if (bytes - old > box->limit || box->used > box->limit - (bytes - old)) {
            box->starved = true;
            return NULL;
        }
        if (bytes >= BIG_ALLOCATION && script_box_expired(box)) return NULL;
    }
    void *q = realloc(p, bytes);
    if (!q) return bytes <= old ? p : NULL;
    box->used = box->used - old + bytes;
    return q;
}

// Where the innermost Lua function of this state stands: its chunk and line, or -1.
static void box_where(lua_State *L, const script_box *box, int *chunk, int *line) {
    lua_Debug ar;
    for (int level = 0; lua_getstack(L, level, &ar); level++) {
        if (!lua_getinfo(L, "Sl", &ar) || ar.currentline <= 0) continue;
        *chunk = script_box_chunk(box, ar.short_src);
        *line = ar.currentline;
        return;
    }
    *chunk = *line = -1;
}

static void box_hook(lua_State *L, lua_Debug *ar) {
    script_box *box = script_box_of(L);
    if (!script_box_expired(box)) {
        // When memory runs out nobody can be asked where: the last look at the clock knows about where.
        if (lua_getinfo(L, "Sl", ar) && ar->currentline > 0) {
            box->seen_line = ar->currentline;
            box->seen_chunk = script_box_chunk(box, ar->short_src);
        }
        return;
    }
    if (box->stop_line < 0) box_where(L, box, &box->stop_chunk, &box->stop_line);
    lua_sethook(L, box_hook, LUA_MASKCOUNT, 1);
    luaL_error(L, "%s", box->stop.text);
}

void script_stop(lua_State *L, base_status status, const char *text) {
    script_box *box = script_box_of(L);
    if (!box->stopped) {
        box->stopped = true;
        box->stop.status = status;
        snprintf(box->stop.text, sizeof box->stop.text, "%s", text);
        box_where(L, box, &box->stop_chunk, &box->stop_line);
    }
    lua_sethook(L, box_hook, LUA_MASKCOUNT, 1);
    luaL_error(L, "%s", box->stop.text);
    base_bug(__FILE__, __LINE__, "an error that returns");
}

void script_stop_in(lua_State *L, const char *what) {
    script_box *box = script_box_of(L);
    if (!box->stopped || box->stop.status == BASE_CANCELLED) return;
    base_wrap(&box->stop, "%s", what);
}

void script_begins(lua_State *L) {
    script_box *box = script_box_of(L);
    lua_Debug ar;
    lua_pushvalue(L, -1);
    if (!lua_getinfo(L, ">S", &ar) || ar.linedefined <= 0) return;
    box->seen_line = ar.linedefined;
    box->seen_chunk = script_box_chunk(box, ar.short_src);
}

static int box_panic(lua_State *L) {
    (void)L;
    base_bug(__FILE__, __LINE__, "Lua error outside a protected call");
}

lua_State *script_state_new(const char *owner, size_t memory_limit, base_job *job) {
    script_box *box = base_alloc(sizeof *box);
    box->owner = owner;
    box->limit = memory_limit ? memory_limit : SCRIPT_MEMORY;
    box->job = job;
    box->stop_line = box->stop_chunk = box->line = box->chunk = box->seen_line = box->seen_chunk = -1;
    lua_State *L = lua_newstate(box_allocate, box);
    if (!L) {
        free(box);
        return NULL;
    }
    box->L = L;
    *(script_box **)lua_getextraspace(L) = box;
    lua_atpanic(L, box_panic);
    lua_pushcfunction(L, script_open_libraries);
    if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
        script_state_free(L);
        return NULL;
    }
    lua_sethook(L, box_hook, LUA_MASKCOUNT, HOOK_COUNT);
    return L;
}

void script_state_free(lua_State *L) {
    if (!L) return;
    script_box *box = script_box_of(L);
    lua_sethook(L, NULL, 0, 0);
    lua_close(L);
    for (int i = 0; i < box->chunk_count; i++) {
        free(box->chunks[i].path);
        free(box->chunks[i].text);
    }
    free(box->chunks);
    free(box->folder);
    free(box);
}

// ---- loading -----------------------------------------------------------------------------------

int script_box_chunk(const script_box *box, const char *short_src) {
    for (int i = box->chunk_count - 1; i >= 0; i--)
        if (strcmp(box->chunks[i].short_src, short_src) == 0) return i;
    return -1;
}

// Lua shortens long names from the left; the end of a path says most.
static void short_name(const char *path, char out[LUA_IDSIZE]) {
    char clean[1024];
    base_clean(clean, sizeof clean, path);
    size_t n = strlen(clean), room = LUA_IDSIZE - 1;
    bool cut = n > room;
    memcpy(out, cut ? clean + n - room : clean, (cut ? room : n) + 1);
    if (cut) memcpy(out, "...", 3);
}

static void add_chunk(script_box *box, const char *path, const char *text) {
    box->chunks = base_realloc(box->chunks, (size_t)box->chunk_count + 1, sizeof *box->chunks);
    script_chunk *c = &box->chunks[box->chunk_count];
    char clean[512];
    base_clean(clean, sizeof clean, path);
    c->path = base_strdup(clean);
    c->text = base_strdup(text);
    short_name(path, c->short_src);
    if (!box->folder) box->folder = base_dirname(path);
    box->chunk_count++;
}

bool script_load(lua_State *L, const char *path, const char *text, base_err *err) {
    script_box *box = script_box_of(L);
    if (text[0] == LUA_SIGNATURE[0]) return base_fail(err, "%s: is compiled Lua; only text is accepted", path);
    if (!lua_checkstack(L, LUA_MINSTACK)) return base_fail(err, "%s: too many nested calls", path);
    // A first line "#!..." is for the shell; an empty line keeps the numbering.
    if (text[0] == '#')
        while (*text && *text != '\n') text++;
    add_chunk(box, path, text);
    const script_chunk *c = &box->chunks[box->chunk_count - 1];
    // "=" takes the name as it is. The name has at most LUA_IDSIZE bytes, so the buffer holds it.
    char name[LUA_IDSIZE + 1];
    snprintf(name, sizeof name, "=%s", c->short_src);
    int status = luaL_loadbufferx(L, c->text, strlen(c->text), name, "t");
    if (status == LUA_OK) return true;
    const char *message = lua_tostring(L, -1);
    snprintf(box->message, sizeof box->message, "%s", message ? message : "cannot be read");
    box->line = -1;
    box->chunk = box->chunk_count - 1;
    script_format_error(box, status, err);
    lua_pop(L, 1);
    return false;
}

bool script_load_file(lua_State *L, const char *path, base_err *err) {
    size_t bytes = 0;
    char *text = base_read_file(path, SCRIPT_TEXT_LIMIT, &bytes, err);
    if (!text) return false;
    bool done = memchr(text, 0, bytes) ? base_fail(err, "%s: is not text (it holds a zero byte)", path)
                                       : script_load(L, path, text, err);
    free(text);
    return done;
}

// ---- calling -----------------------------------------------------------------------------------

bool script_pcall(lua_State *L, int nargs, int nresults, double seconds, base_err *err) {
    script_box *box = script_box_of(L);
    if (!lua_checkstack(L, LUA_MINSTACK)) {
        lua_pop(L, nargs + 1);
        return base_fail(err, "%s: too many nested calls", box->owner);
    }
    double outer_deadline = box->deadline, outer_seconds = box->seconds;
    if (box->depth == 0 && box->stopped && box->stop.status != BASE_CANCELLED) {
        // A view that was too slow once may be called again.
        box->stopped = false;
        lua_sethook(L, box_hook, LUA_MASKCOUNT, HOOK_COUNT);
    }
    box->depth++;
    box->seconds = seconds;
    box->deadline = seconds > 0 ? thread_seconds() + seconds : 0;
    box->line = box->chunk = -1;
    box->message[0] = 0;
    box->starved = false;
    int handler = lua_gettop(L) - nargs;
    lua_pushcfunction(L, script_message_handler);
    lua_insert(L, handler);
    int status = lua_pcall(L, nargs, nresults, handler);
    lua_remove(L, handler);
    box->depth--;
    // The time of a nested call is not the outer call's idling.
    box->seconds = outer_seconds;
    box->deadline = outer_deadline > 0 ? thread_seconds() + outer_seconds : 0;
    if (status == LUA_OK && !box->stopped) return true;
    if (status == LUA_OK)
        lua_settop(L, handler - 1);
    else
        lua_pop(L, 1);
    script_format_error(box, status, err);
    return false;
}

void script_renew(lua_State *L) {
    script_box *box = script_box_of(L);
    if (box->deadline > 0) box->deadline = thread_seconds() + box->seconds;
}

double script_clock(void) {
    return thread_seconds();
}

void script_forgive(lua_State *L, double began) {
    script_box *box = script_box_of(L);
    if (box->deadline > 0) box->deadline += thread_seconds() - began;
}

// ---- for the other files of this room ----------------------------------------------------------

struct registration {
    const luaL_Reg *functions;
};

static int register_functions(lua_State *L) {
    const struct registration *r = lua_touserdata(L, 1);
    for (const luaL_Reg *f = r->functions; f->name; f++) {
        lua_pushcfunction(L, f->func);
        script_global(L, f->name);
    }
    return 0;
}

bool script_register(lua_State *L, const luaL_Reg *functions, base_err *err) {
    struct registration r = {functions};
    lua_pushcfunction(L, register_functions);
    lua_pushlightuserdata(L, &r);
    return script_pcall(L, 1, 0, 0, err);
}

void script_raise(lua_State *L, const base_err *err) {
    if (err->status == BASE_CANCELLED) script_stop(L, err->status, err->text);
    script_error(L, "%s", err->text);
}

void script_error(lua_State *L, const char *fmt, ...) {
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    luaL_error(L, "%s", text);
    base_bug(__FILE__, __LINE__, "an error that returns");
}

base_job *script_job(lua_State *L) {
    return script_box_of(L)->job;
}

const char *script_folder(lua_State *L) {
    const script_box *box = script_box_of(L);
    return box->folder ? box->folder : ".";
}

void script_set_context(lua_State *L, void *context) {
    script_box_of(L)->context = context;
}

void *script_context(lua_State *L) {
    return script_box_of(L)->context;
}

void script_check_stop(lua_State *L) {
    script_box *box = script_box_of(L);
    if (script_box_expired(box)) script_stop(L, box->stop.status, box->stop.text);
}
