// Private to ui/: the rules written in a recipe's compress{} as text - found, told apart and changed in place, so that
// everything else in the recipe stays as its author wrote it. Knows Lua's tokens, not Lua.
#ifndef VISE_UI_RULES_H
#define VISE_UI_RULES_H

#include "ui/lua_text.h"

typedef struct ui_rule_arg {
    char *name, *value; // value: the Lua expression
} ui_rule_arg;

typedef struct ui_rule_step {
    char *text; // as written
    char *name; // of a call such as quantize{ bits = 4 }; NULL: another expression, shown but not taken apart
    ui_rule_arg *arg;
    int arg_count;
} ui_rule_step;

typedef struct ui_rule {
    char *text;       // as written
    char *pattern;    // NULL: no text in quotes, or no rule(...) at all
    char *expression; // the first argument as written; NULL: no rule(...)
    ui_rule_step *step;
    int step_count;
    size_t from, to; // bytes of the recipe's text
    int line;        // from 1
} ui_rule;

typedef struct ui_rules {
    ui_rule *rule;
    int count;
    size_t open, close; // the braces of the table
} ui_rules;

// The rules of the first compress(net, {...}) of a recipe. False: there is none that can be read; `why` says so.
bool ui_rules_read(const char *text, ui_rules *rules, base_err *why);
void ui_rules_free(ui_rules *rules); // contents
// Steps alone, "quantize{ bits = 3 }, lowrank{ rank = 8 }"; the rule has no pattern then.
bool ui_rules_steps(const char *text, ui_rule *rule, base_err *err);
void ui_rule_free(ui_rule *rule); // contents

// A rule as text from its expression and steps, broken into lines at `indent` columns where it is long.
char *ui_rule_write(const ui_rule *rule, int indent);
void ui_step_rewrite(ui_rule_step *step); // its text from its name and arguments

// New texts of the recipe; caller frees. `rules` is what ui_rules_read found in `text`.
char *ui_rules_replace(const char *text, const ui_rules *rules, int index, const char *rule);
char *ui_rules_insert(const char *text, const ui_rules *rules, int index, const char *rule); // before that one
char *ui_rules_remove(const char *text, const ui_rules *rules, int index);
char *ui_rules_swap(const char *text, const ui_rules *rules, int index); // with the next one
int ui_rules_indent(const char *text, const ui_rules *rules);            // columns before the rules

// A pattern that fits exactly these layer names; caller frees.
char *ui_rules_pattern(const char *const *layers, int count);

#endif
