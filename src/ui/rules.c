// The rules of a recipe as text: a reader of the one shape that recipes are written in, compress(net, { rule("...",
// step{...}), ... }), and the changes that the composer makes to it. What has another shape stays as it is.
#include "ui/rules.h"

#include <stdlib.h>
#include <string.h>

// ---- reading -----------------------------------------------------------------------------------

typedef struct reader {
    const char *text;
    size_t at;
    ui_lua_token token; // the last one taken that is no space and no comment
} reader;

static bool take(reader *r) {
    do {
        r->token = ui_lua_next(r->text, r->at);
        r->at = r->token.to;
    } while (r->token.kind == UI_LUA_SPACE || r->token.kind == UI_LUA_COMMENT);
    return r->token.kind != UI_LUA_END && r->token.kind != UI_LUA_WRONG;
}
static bool is(const reader *r, const char *word) {
    return ui_lua_is(r->text, r->token, word);
}
static ui_lua_token peek(const reader *r) {
    reader copy = *r;
    take(&copy);
    return copy.token;
}

// +1 for what opens a bracket or a block, -1 for what closes one.
static int nesting(const reader *r) {
    static const char *const opens[] = {"(", "{", "[", "function", "if", "do", "repeat"};
    static const char *const closes[] = {")", "}", "]", "end", "until"};
    if (r->token.kind != UI_LUA_SIGN && r->token.kind != UI_LUA_KEYWORD) return 0;
    for (size_t i = 0; i < sizeof opens / sizeof *opens; i++)
        if (is(r, opens[i])) return 1;
    for (size_t i = 0; i < sizeof closes / sizeof *closes; i++)
        if (is(r, closes[i])) return -1;
    return 0;
}

typedef struct span {
    size_t from, to; // without spaces and comments around
    bool last;       // the closing bracket came behind it
} span;

// One entry of a list, up to a comma or the bracket that closes the list (taken). False: the text ends first.
static bool entry(reader *r, span *s) {
    int depth = 0;
    *s = (span){0};
    while (take(r)) {
        if (depth == 0 && (is(r, ",") || is(r, ";"))) return true;
        depth += nesting(r);
        if (depth < 0) return s->last = true;
        if (!s->to) s->from = r->token.from;
        s->to = r->token.to;
    }
    return false;
}

static char *cut(const char *text, span s) {
    return base_strndup(text + s.from, s.to - s.from);
}

// "name{ a = 1, ... }" of exactly this span; what is not of this shape keeps its text only.
static void read_step(const char *text, span s, ui_rule_step *step) {
    *step = (ui_rule_step){.text = cut(text, s)};
    reader r = {.text = step->text};
    if (!take(&r) || r.token.kind != UI_LUA_NAME) return;
    span name = {r.token.from, r.token.to, false}, e;
    if (!take(&r) || !is(&r, "{")) return;
    bool plain = true;
    do {
        if (!entry(&r, &e)) return;
        if (e.to == e.from) continue;
        reader field = {.text = step->text, .at = e.from};
        take(&field);
        span key = {field.token.from, field.token.to, false};
        plain = plain && field.token.kind == UI_LUA_NAME && take(&field) && is(&field, "=");
        if (plain) take(&field);
        plain = plain && field.token.from < e.to; // "a =" has no value
        if (!plain) break;
        step->arg = base_realloc(step->arg, (size_t)step->arg_count + 1, sizeof *step->arg);
        step->arg[step->arg_count++] =
            (ui_rule_arg){cut(step->text, key), cut(step->text, (span){field.token.from, e.to, false})};
    } while (!e.last);
    if (plain && peek(&r).kind == UI_LUA_END) step->name = cut(step->text, name);
}

static void add_step(ui_rule *rule, const char *text, span s) {
    rule->step = base_realloc(rule->step, (size_t)rule->step_count + 1, sizeof *rule->step);
    read_step(text, s, &rule->step[rule->step_count++]);
}

static void read_rule(ui_rule *rule) {
    reader r = {.text = rule->text};
    span e;
    if (!take(&r) || !is(&r, "rule") || !take(&r) || !is(&r, "(") || !entry(&r, &e) || e.from == e.to) return;
    rule->expression = cut(rule->text, e);
    ui_lua_token first = ui_lua_next(rule->text, e.from);
    if (first.to == e.to) rule->pattern = ui_lua_unquote(rule->text, first);
    while (!e.last && entry(&r, &e))
        if (e.from < e.to) add_step(rule, rule->text, e);
}

// An entry of compress's table: false for "name = value", which is no rule.
static bool is_field(const char *text, span s) {
    reader r = {.text = text, .at = s.from};
    take(&r);
    bool named = r.token.kind == UI_LUA_NAME || is(&r, "[");
    return named && (is(&r, "[") || (take(&r) && is(&r, "=")));
}

static int line_of(const char *text, size_t at) {
    int line = 1;
    for (size_t i = 0; i < at; i++) line += text[i] == '\n';
    return line;
}

bool ui_rules_read(const char *text, ui_rules *rules, base_err *why) {
    reader r = {.text = text};
    span e = {0};
    *rules = (ui_rules){0};
    bool found = false;
    while (!found && take(&r)) {
        if (r.token.kind != UI_LUA_NAME || !is(&r, "compress") || !ui_lua_is(text, peek(&r), "(")) continue;
        take(&r);
        found = entry(&r, &e) && !e.last && take(&r) && is(&r, "{");
    }
    if (!found) return base_fail(why, "this recipe has no compress(net, { rule(...) }) whose rules stand in its text");
    rules->open = r.token.from;
    do {
        if (!entry(&r, &e)) {
            ui_rules_free(rules);
            return base_fail(why, "the braces of compress(net, {...}) do not close");
        }
        if (e.from == e.to || is_field(text, e)) continue;
        rules->rule = base_realloc(rules->rule, (size_t)rules->count + 1, sizeof *rules->rule);
        ui_rule *rule = &rules->rule[rules->count++];
        *rule = (ui_rule){.text = cut(text, e), .from = e.from, .to = e.to, .line = line_of(text, e.from)};
        read_rule(rule);
    } while (!e.last);
    rules->close = r.token.from;
    return true;
}

bool ui_rules_steps(const char *text, ui_rule *rule, base_err *err) {
    base_buf whole = {0};
    base_buf_printf(&whole, "(%s)", text);
    reader r = {.text = whole.text};
    span e = {0};
    *rule = (ui_rule){0};
    take(&r);
    bool ok = true;
    while (ok && !e.last)
        if ((ok = entry(&r, &e)) && e.from < e.to) add_step(rule, whole.text, e);
    ok = ok && peek(&r).kind == UI_LUA_END;
    base_buf_free(&whole);
    if (ok) return true;
    ui_rule_free(rule);
    return base_fail(err, "\"%.200s\" is no list of steps, such as quantize{ bits = 4 }", text);
}

static void step_free(ui_rule_step *s) {
    for (int i = 0; i < s->arg_count; i++) {
        free(s->arg[i].name);
        free(s->arg[i].value);
    }
    free(s->arg);
    free(s->text);
    free(s->name);
}
void ui_rule_free(ui_rule *rule) {
    for (int i = 0; i < rule->step_count; i++) step_free(&rule->step[i]);
    free(rule->step);
    free(rule->text);
    free(rule->pattern);
    free(rule->expression);
    *rule = (ui_rule){0};
}
void ui_rules_free(ui_rules *rules) {
    for (int i = 0; i < rules->count; i++) ui_rule_free(&rules->rule[i]);
    free(rules->rule);
    *rules = (ui_rules){0};
}

// ---- writing -----------------------------------------------------------------------------------

void ui_step_rewrite(ui_rule_step *step) {
    base_buf b = {0};
    base_buf_printf(&b, "%s{", step->name);
    for (int i = 0; i < step->arg_count; i++)
        base_buf_printf(&b, "%s %s = %s", i ? "," : "", step->arg[i].name, step->arg[i].value);
    base_buf_puts(&b, step->arg_count ? " }" : "}");
    free(step->text);
    step->text = b.text;
}

char *ui_rule_write(const ui_rule *rule, int indent) {
    enum { MOST_COLUMNS = 110 };
    base_buf b = {0};
    base_buf_printf(&b, "rule(%s", rule->expression);
    size_t line = 0; // where the last line begins
    for (int i = 0; i < rule->step_count; i++) {
        size_t length = strlen(rule->step[i].text);
        base_buf_puts(&b, ",");
        if (i > 0 && b.length - line + length + (size_t)indent > MOST_COLUMNS) {
            base_buf_puts(&b, "\n");
            line = b.length;
            base_buf_printf(&b, "%*s", indent + 5, "");
        } else {
            base_buf_puts(&b, " ");
        }
        base_buf_add(&b, rule->step[i].text, length);
    }
    base_buf_puts(&b, ")");
    return b.text;
}

static char *spliced(const char *text, size_t from, size_t to, const char *middle) {
    base_buf b = {0};
    base_buf_add(&b, text, from);
    base_buf_puts(&b, middle);
    base_buf_puts(&b, text + to);
    return b.text;
}

static size_t line_start(const char *text, size_t at) {
    while (at > 0 && text[at - 1] != '\n') at--;
    return at;
}
// Only spaces between the start of the line and `at`.
static bool begins_line(const char *text, size_t at) {
    size_t start = line_start(text, at);
    return start + strspn(text + start, " \t") >= at;
}

int ui_rules_indent(const char *text, const ui_rules *rules) {
    if (rules->count == 0) return 2;
    size_t at = rules->rule[0].from;
    return begins_line(text, at) ? (int)(at - line_start(text, at)) : 2;
}

char *ui_rules_replace(const char *text, const ui_rules *rules, int index, const char *rule) {
    return spliced(text, rules->rule[index].from, rules->rule[index].to, rule);
}

char *ui_rules_insert(const char *text, const ui_rules *rules, int index, const char *rule) {
    base_buf b = {0};
    int indent = ui_rules_indent(text, rules);
    char *out;
    if (index < rules->count) {
        size_t at = rules->rule[index].from;
        base_buf_printf(&b, "%s,", rule);
        if (begins_line(text, at))
            base_buf_printf(&b, "\n%*s", indent, "");
        else
            base_buf_puts(&b, " ");
        out = spliced(text, at, at, b.text);
    } else if (rules->count) {
        size_t at = rules->rule[rules->count - 1].to;
        bool lines = begins_line(text, rules->rule[rules->count - 1].from);
        base_buf_puts(&b, lines ? ",\n" : ", ");
        base_buf_printf(&b, "%*s%s", lines ? indent : 0, "", rule);
        out = spliced(text, at, at, b.text);
    } else {
        base_buf_printf(&b, "\n%*s%s,", indent, "", rule);
        out = spliced(text, rules->open + 1, rules->open + 1, b.text);
    }
    base_buf_free(&b);
    return out;
}

char *ui_rules_remove(const char *text, const ui_rules *rules, int index) {
    size_t from = rules->rule[index].from, to = rules->rule[index].to;
    reader r = {.text = text, .at = to};
    take(&r);
    if (is(&r, ",") || is(&r, ";")) to = r.token.to;
    size_t rest = to + strspn(text + to, " \t");
    bool to_end = text[rest] == '\n' || (text[rest] == '-' && text[rest + 1] == '-');
    if (begins_line(text, from) && to_end) { // the line goes, with the remark at its end
        from = line_start(text, from);
        to = rest + strcspn(text + rest, "\n");
        to += text[to] == '\n';
    } else {
        to = rest;
    }
    return spliced(text, from, to, "");
}

char *ui_rules_swap(const char *text, const ui_rules *rules, int index) {
    const ui_rule *a = &rules->rule[index], *b = &rules->rule[index + 1];
    base_buf out = {0};
    base_buf_add(&out, text, a->from);
    base_buf_puts(&out, b->text);
    base_buf_add(&out, text + a->to, b->from - a->to);
    base_buf_puts(&out, a->text);
    base_buf_puts(&out, text + b->to);
    return out.text;
}

// Dots, which most names have, become [.]; what holds other signs is quoted whole.
static void add_name(base_buf *b, const char *name) {
    bool plain = true;
    for (const char *c = name; *c; c++) plain = plain && !strchr("\\^$|()[]{}*+?#", *c) && (unsigned char)*c >= 32;
    if (!plain) {
        base_buf_puts(b, "\\Q");
        for (const char *e; (e = strstr(name, "\\E")); name = e + 2) {
            base_buf_add(b, name, (size_t)(e - name));
            base_buf_puts(b, "\\E\\\\E\\Q");
        }
        base_buf_printf(b, "%s\\E", name);
        return;
    }
    for (; *name; name++) base_buf_puts(b, *name == '.' ? "[.]" : (char[]){*name, 0});
}

char *ui_rules_pattern(const char *const *layers, int count) {
    base_buf b = {0};
    bool breaks = false; // $ would also match before a line break at the end
    for (int i = 0; i < count; i++) breaks |= strchr(layers[i], '\n') != NULL;
    base_buf_puts(&b, count == 1 ? "^" : "^(");
    for (int i = 0; i < count; i++) {
        if (i) base_buf_puts(&b, "|");
        add_name(&b, layers[i]);
    }
    base_buf_puts(&b, count == 1 ? "" : ")");
    base_buf_puts(&b, breaks ? "\\z" : "$");
    return b.text;
}
