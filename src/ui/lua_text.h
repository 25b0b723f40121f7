// Private to ui/: Lua as text - its tokens, for colours and for finding the rules in a recipe, and its texts in quotes.
#ifndef VISE_UI_LUA_TEXT_H
#define VISE_UI_LUA_TEXT_H

#include "base/base.h"

typedef enum ui_lua_kind {
    UI_LUA_END, // of the text; nothing in it
    UI_LUA_SPACE,
    UI_LUA_NAME,
    UI_LUA_KEYWORD,
    UI_LUA_STRING,
    UI_LUA_COMMENT,
    UI_LUA_NUMBER,
    UI_LUA_SIGN, // one character or, as "..", "==", "::", "<=" and their kin, more
    UI_LUA_WRONG // a text that does not end, a character that Lua has no use for
} ui_lua_kind;

typedef struct ui_lua_token {
    ui_lua_kind kind;
    size_t from, to; // bytes of the text
} ui_lua_token;

// The token that begins at `at`; tokens follow each other without gaps.
ui_lua_token ui_lua_next(const char *text, size_t at);
bool ui_lua_is(const char *text, ui_lua_token t, const char *word);

// The bytes that a string token stands for; NULL when it is no whole one or holds a zero byte. Caller frees.
char *ui_lua_unquote(const char *text, ui_lua_token t);
void ui_lua_quote(base_buf *out, const char *text); // in double quotes, on one line

#endif
