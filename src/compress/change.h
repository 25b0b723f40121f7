// Private to compress/: steps of a layer that are replaced while the walk waits before it.
#ifndef VISE_COMPRESS_CHANGE_H
#define VISE_COMPRESS_CHANGE_H

#include "compress/result.h"

// A walk's own copy of its plan, with a rule more for each change. Empty until the first.
typedef struct change_list {
    compress_plan plan;
    int original; // rules of the plan as it was given, which are lent
} change_list;
// Whether these steps may take the place of the others: neither may look at more than its own layer, since what other
// layers got already would be another run's.
bool change_allowed(const compress_rule *old, const compress_rule *now, base_err *err);
// The rule, which the list owns from now on, becomes the layer's.
void change_take(change_list *c, const compress_plan **plan, const compress_rule *rule, int *rule_of_layer);
void change_free(change_list *c);

#endif
