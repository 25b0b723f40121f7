// Private to ui/: the composer's rows, which its commands act on.
#ifndef VISE_UI_COMPOSER_H
#define VISE_UI_COMPOSER_H

#include "ui/recipe.h"

typedef struct ui_composer_row {
    int64_t rule, step, arg; // step -1: the rule itself, arg -1: the step itself; arg: of the step's kind
    char text[200];
} ui_composer_row;

typedef struct ui_composer {
    ui_rules rules; // of the recipe shown
    bool readable;  // it has rules; else `why` says what is in the way
    char why[200];
    int *hits, *of; // [rules] layers that the pattern fits, and that get the rule (the first that fits); -1: no list
    ui_composer_row *row;
    int row_count;
    int open_rule, open_step;     // the step whose arguments are shown; -1: none
    int wanted_rule, wanted_step; // where the cursor is to go at the next draw; -1: nowhere
    uint64_t version;             // of the text that this was made from
    int64_t layers;               // and of the layers
} ui_composer;

ui_composer *ui_composer_of(const ui_app *app);
ui_composer *ui_composer_now(ui_app *app);                            // as the recipe is
const compress_step_kind *ui_composer_kind(const ui_rule_step *step); // NULL: not one that can be taken apart
// An argument as a control: its value, range, choices; text it is given as when that is no plain value (`expression`).
// False: the step leaves it out.
bool ui_composer_value(const ui_rule_step *step, const base_arg *arg, base_param_row *value, const char **expression);
const char *ui_composer_given(const ui_rule_step *step, const char *arg); // the Lua expression; NULL: left out
char *ui_composer_steps(const ui_rule *rule);                             // "a{}, b{}"; caller frees
// Whether the recipe would take the steps of a rule that stands on `line`.
bool ui_composer_check(const ui_app *app, const ui_rule *rule, int line, base_err *err);
extern const script_function ui_composer_functions[];
extern const size_t ui_composer_function_count;
extern const ui_source ui_composer_sources[];
extern const size_t ui_composer_source_count;

#endif
