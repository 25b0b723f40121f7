// message: turns whatever a script raised into one sentence - file, line, the source line itself, and a hint.
#include "script/sandbox.h"

#include <stdlib.h>
#include <string.h>

// What a person who sees the message for the first time should look at. The first match counts.
static const struct {
    const char *part, *hint;
} hints[] = {
    {"perform arithmetic on a nil", "the name has no value here; is it spelt as where it was set?"},
    {"attempt to index a nil", "what stands before the dot has no value here; is it spelt as where it was set?"},
    {"attempt to call a nil", "no function has this name; is it spelt right?"},
    {"attempt to call a table", "steps are written with braces, quantize{ bits = 4 }, and are not called again"},
    {"attempt to compare", "both sides must be numbers; tonumber() makes a number of text"},
    {"attempt to concatenate", "tostring() makes text of anything"},
    {"a 'string' with", "text is not a number here; tonumber() makes one"},
    {"C stack overflow", "nested too deeply, or a function calls itself without end"},
    {"stack overflow", "a function calls itself without end"},
    {"near '='", "one = sets a value, == compares"},
    {"near <eof>", "an `end`, a bracket or a brace is missing before the end of the file"},
    {"'}' expected", "fields of a table are separated by commas"},
    {"')' expected", "a bracket is not closed, or a comma is missing"},
    {"unfinished string", "the closing quote is missing"},
    {"attempt to yield", "coroutine.yield works only inside a coroutine, and not from a function that Vise calls"},
};

static const char *hint_for(const char *text) {
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++)
        if (strstr(text, hints[i].part)) return hints[i].hint;
    return NULL;
}

// The text of an error object without trusting it: its __tostring may raise, so it runs protected.
static int object_text(lua_State *L) {
    luaL_tolstring(L, 1, NULL);
    return 1;
}

static void read_object(lua_State *L, script_box *box) {
    const char *text = NULL;
    if (lua_type(L, 1) == LUA_TSTRING || lua_type(L, 1) == LUA_TNUMBER) {
        text = lua_tostring(L, 1);
    } else if (lua_type(L, 1) == LUA_TTABLE && luaL_getmetafield(L, 1, "__tostring") == LUA_TNIL) {
        lua_pushliteral(L, "message");
        if (lua_rawget(L, 1) == LUA_TSTRING) text = lua_tostring(L, -1);
    } else if (lua_type(L, 1) == LUA_TTABLE) {
        lua_pushcfunction(L, object_text);
        lua_pushvalue(L, 1);
        if (lua_pcall(L, 1, 1, 0) == LUA_OK && lua_type(L, -1) == LUA_TSTRING) text = lua_tostring(L, -1);
    }
    if (text)
        base_clean(box->message, sizeof box->message, text);
    else
        snprintf(box->message, sizeof box->message, "the error is a value of type %s, not a text", luaL_typename(L, 1));
}

int script_message_handler(lua_State *L) {
    script_box *box = script_box_of(L);
    box->line = box->chunk = -1;
    read_object(L, box);
    lua_Debug ar;
    for (int level = 1; lua_getstack(L, level, &ar); level++) {
        if (!lua_getinfo(L, "Sl", &ar) || ar.currentline <= 0) continue;
        box->line = ar.currentline;
        box->chunk = script_box_chunk(box, ar.short_src);
        break;
    }
    lua_settop(L, 1);
    return 1;
}

// Behind "NAME:LINE: " at the start of `text`, remembering both, or NULL.
static const char *behind_position(script_box *box, int chunk, const char *name, const char *text) {
    size_t n = strlen(name);
    if (strncmp(text, name, n) != 0 || text[n] != ':') return NULL;
    char *end = NULL;
    long line = strtol(text + n + 1, &end, 10);
    if (end == text + n + 1 || *end != ':') return NULL;
    box->line = (int)line;
    box->chunk = chunk;
    return end[1] == ' ' ? end + 2 : end + 1;
}

// Messages begin with a position, and with several when an error passed through nested calls: the innermost says most.
static const char *strip_position(script_box *box, const char *text) {
    for (int i = box->chunk_count - 1; i >= 0; i--) {
        const char *rest = behind_position(box, i, box->chunks[i].short_src, text);
        if (!rest) rest = behind_position(box, i, box->chunks[i].path, text);
        if (!rest) continue;
        text = rest;
        i = box->chunk_count;
    }
    return text;
}

// The source line without its indentation, cut to what fits a sentence.
static void source_line(const script_chunk *c, int line, char out[100]) {
    const char *at = c->text;
    for (int i = 1; i < line && at; i++) {
        at = strchr(at, '\n');
        if (at) at++;
    }
    out[0] = 0;
    if (!at) return;
    at += strspn(at, " \t");
    size_t n = strcspn(at, "\r\n");
    char cut[400];
    if (n >= sizeof cut) n = sizeof cut - 1;
    memcpy(cut, at, n);
    cut[n] = 0;
    base_clean(out, 100, cut);
    if (n >= 100) memcpy(out + 96, "...", 4);
}

static void status_text(script_box *box, int status) {
    char size[24];
    if (status == LUA_ERRMEM) {
        snprintf(box->message, sizeof box->message,
                 "the %s needs more than %s of Lua memory (a table or text that grows without end, or a function that "
                 "calls itself?)",
                 box->owner, base_bytes_text(size, (double)box->limit));
        box->line = box->seen_line;
        box->chunk = box->seen_chunk;
    } else if (status == LUA_ERRERR)
        snprintf(box->message, sizeof box->message, "an error arose while another was being handled");
}

void script_format_error(script_box *box, int status, base_err *err) {
    if (box->stopped) {
        *err = box->stop;
        if (err->status == BASE_CANCELLED) return;
        box->line = box->stop_line;
        box->chunk = box->stop_chunk;
        base_clean(box->message, sizeof box->message, box->stop.text);
    } else if (!box->message[0] || status == LUA_ERRMEM) {
        status_text(box, status);
    }
    const char *text = box->stopped ? box->message : strip_position(box, box->message);
    const char *hint = box->stopped || strchr(text, '`') ? NULL : hint_for(text);
    const char *path = box->chunk >= 0        ? box->chunks[box->chunk].path
                       : box->chunk_count > 0 ? box->chunks[0].path
                                              : box->owner;
    char quoted[100] = "";
    if (box->chunk >= 0 && box->line > 0 && !strstr(text, ", in `"))
        source_line(&box->chunks[box->chunk], box->line, quoted);
    base_buf b = {0};
    base_buf_puts(&b, path);
    if (box->chunk >= 0 && box->line > 0) base_buf_printf(&b, ":%d", box->line);
    base_buf_printf(&b, ": %s", text);
    if (quoted[0]) base_buf_printf(&b, ", in `%s`", quoted);
    if (hint) base_buf_printf(&b, " (%s)", hint);
    base_fail_as(err, BASE_FAILED, "%s", b.text);
    base_buf_free(&b);
}
