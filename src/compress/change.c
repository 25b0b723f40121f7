// change: a layer's steps replaced in the middle of a walk. The result is that of a recipe with one more rule before
// all others, so only changes are taken for which that holds.
#include "compress/change.h"

#include <stdlib.h>
#include <string.h>

static const compress_step *looks_beyond(const compress_rule *rule) {
    for (int k = 0; rule && k < rule->step_count; k++) {
        const compress_step *s = &rule->steps[k];
        unsigned needs = s->kind->needs ? s->kind->needs(s) : 0;
        if (needs & (COMPRESS_NEEDS_ALL_LAYERS | COMPRESS_NEEDS_GRADIENT)) return s;
    }
    return NULL;
}

bool change_allowed(const compress_rule *old, const compress_rule *now, base_err *err) {
    const compress_step *s = looks_beyond(old);
    if (s)
        return base_fail(err, "its step %s was planned over the whole network, so one layer of it cannot be changed",
                         s->kind->name);
    s = looks_beyond(now);
    return !s || base_fail(err, "%s plans over the whole network, so it cannot be given to one layer during a run",
                           s->kind->name);
}

void change_take(change_list *c, const compress_plan **plan, const compress_rule *rule, int *rule_of_layer) {
    if (*plan != &c->plan) {
        const compress_plan *given = *plan;
        c->plan = *given;
        c->original = given->rule_count;
        c->plan.rules = base_calloc((size_t)given->rule_count + 1, sizeof *c->plan.rules);
        if (given->rule_count) memcpy(c->plan.rules, given->rules, (size_t)given->rule_count * sizeof *given->rules);
        *plan = &c->plan;
    }
    c->plan.rules = base_realloc(c->plan.rules, (size_t)c->plan.rule_count + 1, sizeof *c->plan.rules);
    c->plan.rules[c->plan.rule_count] = *rule;
    *rule_of_layer = c->plan.rule_count++;
}

void change_free(change_list *c) {
    for (int i = c->original; i < c->plan.rule_count; i++) {
        free(c->plan.rules[i].pattern);
        free(c->plan.rules[i].steps);
    }
    free(c->plan.rules);
    *c = (change_list){0};
}
