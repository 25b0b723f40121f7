// steps: the table of steps, their arguments by name, and the short text that names a step in rows and logs.
#include "compress/layer.h"

#include <string.h>

const compress_step_kind *const compress_steps[] = {
    &step_quantize, &step_prune,  &step_lowrank, &step_keep, &step_codebook, &step_outliers,
    &step_scale,    &step_rotate, &step_permute, &step_code, &step_vq,       &step_trellis,
    &step_e8,       &step_signs,  &step_pvq,     &step_qjl,  &step_simvq,    &step_lr2vq};
const size_t compress_step_count = sizeof compress_steps / sizeof *compress_steps;

const compress_step_kind *compress_step_find(const char *name) {
    for (size_t i = 0; i < compress_step_count; i++)
        if (!strcmp(compress_steps[i]->name, name)) return compress_steps[i];
    return NULL;
}

static size_t find(const compress_step *s, const char *arg) {
    size_t i = 0;
    while (i < s->kind->arg_count && strcmp(s->kind->args[i].name, arg)) i++;
    BASE_CHECK(i < s->kind->arg_count);
    return i;
}

double compress_number(const compress_step *s, const char *arg) {
    return s->value[find(s, arg)].number;
}

const char *compress_text(const compress_step *s, const char *arg) {
    return s->value[find(s, arg)].text;
}

// The name and every argument that was given or is worth seeing: numbers as "bits=4", choices as they are.
char *compress_step_text(const compress_step *s) {
    base_buf b = {0};
    base_buf_puts(&b, s->kind->name);
    for (size_t i = 0; i < s->kind->arg_count; i++) {
        const base_arg *a = &s->kind->args[i];
        const base_value *v = &s->value[i];
        bool leading = i == 0 && a->type == BASE_TEXT; // the solver, criterion or method is always named
        if (!v->given && !leading) continue;
        if (a->type == BASE_TEXT)
            base_buf_printf(&b, " %s", v->text);
        else if (a->type == BASE_BOOL)
            base_buf_printf(&b, " %s%s", v->number != 0 ? "" : "not ", a->name);
        else
            base_buf_printf(&b, " %s=%g", a->name, v->number);
    }
    return b.text;
}

char *compress_step_lua(const compress_step *s) {
    if (compress_step_find(s->kind->name) != s->kind) return NULL;
    base_buf b = {0};
    bool any = false;
    base_buf_printf(&b, "%s{", s->kind->name);
    for (size_t i = 0; i < s->kind->arg_count; i++) {
        const base_arg *a = &s->kind->args[i];
        const base_value *v = &s->value[i];
        if (!v->given) continue;
        base_buf_printf(&b, "%s %s = ", any ? "," : "", a->name);
        if (a->type == BASE_BOOL) {
            base_buf_puts(&b, v->number != 0 ? "true" : "false");
        } else if (a->type != BASE_TEXT) {
            base_buf_printf(&b, "%.17g", v->number);
        } else {
            base_buf_puts(&b, "\"");
            for (const char *c = v->text; *c; c++) {
                if (*c == '"' || *c == '\\') base_buf_puts(&b, "\\");
                base_buf_add(&b, c, 1);
            }
            base_buf_puts(&b, "\"");
        }
        any = true;
    }
    base_buf_puts(&b, any ? " }" : "}");
    return b.text;
}
