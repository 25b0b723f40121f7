// Private to ui/: the line at the bottom where commands and patterns are typed.
#ifndef VISE_UI_PROMPT_H
#define VISE_UI_PROMPT_H

#include "ui/cells.h"

enum { UI_PROMPT_BYTES = 512, UI_HISTORY_LINES = 100 };

typedef enum ui_prompt_kind { UI_PROMPT_NONE, UI_PROMPT_COMMAND, UI_PROMPT_SEARCH } ui_prompt_kind;

typedef struct ui_lines {
    char *line[UI_HISTORY_LINES];
    int count;
} ui_lines;

typedef struct ui_prompt {
    ui_prompt_kind kind;
    char text[UI_PROMPT_BYTES];
    int cursor;          // byte offset
    bool bad;            // the pattern does not compile
    char trouble[160];   // why
    ui_lines history[3]; // one for each kind
    int at;              // line of the history shown; history count: what was typed
    char typed[UI_PROMPT_BYTES];
    char candidates[256]; // what Tab found, for the line below
} ui_prompt;

typedef enum ui_prompt_result { UI_PROMPT_GOES_ON, UI_PROMPT_CHANGED, UI_PROMPT_DONE, UI_PROMPT_LEFT } ui_prompt_result;

void ui_prompt_start(ui_prompt *p, ui_prompt_kind kind, const char *text);
// Editing keys. DONE: text is the answer and is remembered; LEFT: given up. Tab is not handled here.
ui_prompt_result ui_prompt_key(ui_prompt *p, int key);
void ui_prompt_insert(ui_prompt *p, const char *text);
// Replace the word that ends at the cursor by what `count` candidates have in common; lists them when they differ.
void ui_prompt_complete(ui_prompt *p, int word_start, const char *const *candidates, int count);
void ui_prompt_free(ui_prompt *p);

#endif
