// Fuzz target: a recipe as text - Lua's tokens, texts in quotes, and the rules of compress{} read and changed in place.
#include <stdlib.h>
#include <string.h>

#include "ui/rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Rules of a text that was made from one with rules; frees it.
static int count_again(char *text) {
    ui_rules r;
    base_err err = {0};
    BASE_CHECK(ui_rules_read(text, &r, &err));
    int count = r.count;
    ui_rules_free(&r);
    free(text);
    return count;
}

static void tokens(const char *text, size_t size) {
    size_t at = 0;
    for (ui_lua_token t; (t = ui_lua_next(text, at)).kind != UI_LUA_END; at = t.to) {
        BASE_CHECK(t.from == at && t.to > at && t.to <= size);
        char *said = ui_lua_unquote(text, t);
        if (!said) continue;
        base_buf quoted = {0};
        ui_lua_quote(&quoted, said);
        char *again = ui_lua_unquote(quoted.text, ui_lua_next(quoted.text, 0));
        BASE_CHECK(again && strcmp(said, again) == 0);
        base_buf_free(&quoted);
        free(again);
        free(said);
    }
    BASE_CHECK(at == size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = base_strndup((const char *)data, size);
    size = strlen(text);
    tokens(text, size);
    ui_rules r;
    base_err err = {0};
    ui_rule steps = {0};
    if (ui_rules_steps(text, &steps, &err)) {
        free(ui_rule_write(&steps, 4));
        ui_rule_free(&steps);
    }
    if (ui_rules_read(text, &r, &err)) {
        for (int i = 0; i < r.count; i++) {
            BASE_CHECK(r.rule[i].from < r.rule[i].to && r.rule[i].to <= size);
            free(ui_rule_write(&r.rule[i], ui_rules_indent(text, &r)));
            BASE_CHECK(count_again(ui_rules_replace(text, &r, i, "rule('a', x{})")) == r.count);
            BASE_CHECK(count_again(ui_rules_remove(text, &r, i)) == r.count - 1);
            if (i + 1 < r.count) BASE_CHECK(count_again(ui_rules_swap(text, &r, i)) == r.count);
        }
        for (int i = 0; i <= r.count; i++)
            BASE_CHECK(count_again(ui_rules_insert(text, &r, i, "rule('a', x{})")) == r.count + 1);
        ui_rules_free(&r);
    }
    free(text);
    return 0;
}
