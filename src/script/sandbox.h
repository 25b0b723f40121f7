// Private to script/: a Lua state that a stranger's file may run in.
//
// A state has base, string, table, math, utf8 and coroutine without whatever reaches outside (no io, os, debug,
// package, bytecode, finalisers), a memory limit, a time limit and a cancel flag that pcall cannot swallow, and
// globals that are read-only and must exist. Entry is by script_load and script_pcall only: every error comes back as
// one sentence with file, line, the source line and a hint.
#ifndef VISE_SCRIPT_SANDBOX_H
#define VISE_SCRIPT_SANDBOX_H

#include <lauxlib.h>
#include <lua.h>

#include "script/script.h"

enum { SCRIPT_MEMORY = 64 << 20 };    // bytes, the usual memory limit
enum { SCRIPT_TEXT_LIMIT = 4 << 20 }; // bytes of a Lua file

// `owner` is the word for this file in messages ("recipe", "architecture", "view"); `job` may be NULL and must outlive
// the state. NULL only when memory is out.
lua_State *script_state_new(const char *owner, size_t memory_limit, base_job *job);
void script_state_free(lua_State *L); // runs the finalisers of handles

// Compile `text` (never bytecode) and push it as a function; `path` is for messages and for require, which finds
// lua/vise/NAME.lua and NAME.lua in the folder of the first file loaded. On failure nothing is pushed.
bool script_load(lua_State *L, const char *path, const char *text, base_err *err) BASE_MUST_USE;
// The same, reading the file. The text is kept by the state for error messages.
bool script_load_file(lua_State *L, const char *path, base_err *err) BASE_MUST_USE;
// Call the function below `nargs` arguments. `seconds` of Lua may pass (0: no limit) without script_renew. On failure
// function and arguments are popped, nothing is pushed and err says where. Calls may nest.
bool script_pcall(lua_State *L, int nargs, int nresults, double seconds, base_err *err) BASE_MUST_USE;
// The time limit starts anew: called by functions that do real work, so that only idle Lua counts.
void script_renew(lua_State *L);
// Or only the time since script_clock() gave `began` is not counted: for functions that compute for a moment.
double script_clock(void);
void script_forgive(lua_State *L, double began);

// Pop the value on top and make it the global `name`. Call it inside the setup or a protected call (it allocates).
void script_global(lua_State *L, const char *name);
// Register functions as globals; stops at a NULL name. Safe outside a protected call.
bool script_register(lua_State *L, const luaL_Reg *functions, base_err *err) BASE_MUST_USE;

// Raise `err` at the line of the script that called the running function. A cancelled error stays cancelled whatever
// the script catches.
_Noreturn void script_raise(lua_State *L, const base_err *err);
_Noreturn void script_error(lua_State *L, const char *fmt, ...) BASE_PRINTF(2, 3);
base_job *script_job(lua_State *L);
const char *script_folder(lua_State *L);              // of the first file loaded; owned by the state
void script_set_context(lua_State *L, void *context); // what the state's own functions need
void *script_context(lua_State *L);
// Give up now with this status, as the cancel flag does: no pcall in the script can go on. Raises.
_Noreturn void script_stop(lua_State *L, base_status status, const char *text);
// After a call failed because it ran too long: what was called, before the sentence that says so ("layer conv1: ").
// Nothing where it failed for another reason.
void script_stop_in(lua_State *L, const char *what);
// The function on top of the stack is about to be called: where it begins is what a message names that cannot know
// better, such as that of memory at its end.
void script_begins(lua_State *L);

// Private to the sandbox's own files.
typedef struct script_chunk {
    char *path, *text;
    char short_src[LUA_IDSIZE]; // as Lua writes it in messages
} script_chunk;

typedef struct script_box {
    const char *owner;
    lua_State *L;
    base_job *job;
    void *context;
    size_t used, limit;
    int seen_line, seen_chunk; // where Lua was when the hook last ran
    bool starved;              // an allocation was refused
    int depth;                 // calls now nested
    double seconds, deadline;  // time limit of the innermost call, in the thread's own time; deadline 0: none
    bool stopped;              // sticky: cancelled or out of time
    base_err stop;
    int stop_line;
    int stop_chunk;
    script_chunk *chunks;
    int chunk_count;
    char *folder;
    // Filled by the message handler, read by script_pcall.
    char message[720];
    int line, chunk; // -1: not known
} script_box;
script_box *script_box_of(lua_State *L);
bool script_box_expired(script_box *box); // cancelled or out of time: marks the box as stopped
int script_box_chunk(const script_box *box, const char *short_src); // -1: none
// Raise when the box is stopped or expired; for loops of C functions.
void script_check_stop(lua_State *L);
int script_open_libraries(lua_State *L);  // lua_CFunction
int script_open_strings(lua_State *L);    // lua_CFunction: string with bounded patterns; leaves it on the stack
int script_message_handler(lua_State *L); // lua_CFunction
void script_format_error(script_box *box, int status, base_err *err);

#endif
