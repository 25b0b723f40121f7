// foretell: what a run will give, before it. Sizes come from the steps themselves: each that looks at samples, or takes
// long to choose values, is replaced by one of the same stored form that does not (round to nearest stores what GPTQ
// stores), and the code that counts bytes is the code that will. Time and memory are a model of the walk.
#include "compress/foretell.h"
#include "compress/result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- plain steps -----------------------------------------------------------------------------------

// An argument that is set to something cheaper. `from` is what it has to be now ("a|b"; NULL: anything).
typedef struct plain_row {
    const char *step, *arg, *from, *text;
    double number;
} plain_row;

static const plain_row plain_rows[] = {
    {"quantize", "solver", "gptq|adaround|obq|adaquant|signround|gsq", "rtn", 0},
    {"quantize", "refine", NULL, "none", 0},
    {"quantize", "iterations", NULL, NULL, 1},
    {"quantize", "turns", NULL, NULL, 0},
    {"prune", "criterion", "wanda|taylor|saliency|gqsa|icbs|obs", "magnitude", 0},
    {"prune", "update", NULL, NULL, 0},
    {"codebook", "weight", NULL, "none", 0},
    {"codebook", "exact", NULL, NULL, 0},
    {"codebook", "iterations", NULL, NULL, 1},
    {"codebook", "refine", NULL, "none", 0},
    {"outliers", "criterion", NULL, "magnitude", 0},
    {"lowrank", "method", "whitened|lord", "svd", 0},
    {"vq", "iterations", NULL, NULL, 1},
    {"vq", "turns", NULL, NULL, 0},
    {"vq", "beam", NULL, NULL, 1},
    {"vq", "feedback", "ldlq", "none", 0},
    {"signs", "weight", NULL, "none", 0},
    {"signs", "order", NULL, "output", 0},
    {"signs", "turns", NULL, NULL, 0},
    {"permute", "order", "act", "weight", 0},
    {"trellis", "feedback", NULL, "none", 0},
    {"e8", "feedback", NULL, "none", 0},
    {"pvq", "feedback", NULL, "none", 0},
    {"pvq", "exchange", NULL, NULL, 0},
    {"trellis", "passes", NULL, NULL, 0},
    {"e8", "passes", NULL, NULL, 0},
    {"pvq", "passes", NULL, NULL, 0},
    {"simvq", "iterations", NULL, NULL, 1},
    {"lr2vq", "iterations", NULL, NULL, 1},
};

static bool is_one_of(const char *list, const char *text) {
    size_t n = strlen(text);
    for (const char *at = list; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL)
        if (strncmp(at, text, n) == 0 && (at[n] == 0 || at[n] == '|')) return true;
    return false;
}

static base_value *value_at(compress_step *s, const char *arg) {
    for (size_t i = 0; i < s->kind->arg_count; i++)
        if (strcmp(s->kind->args[i].name, arg) == 0) return &s->value[i];
    return NULL;
}

// sparsegpt that also rounds is one step for two terms and stays as it is.
static bool stays(const compress_step *s) {
    return strcmp(s->kind->name, "prune") == 0 && strcmp(compress_text(s, "criterion"), "sparsegpt") == 0;
}

// The same stored form, chosen without samples. true: something was changed, so the values will differ.
static bool make_plain(compress_step *s) {
    bool changed = false;
    if (stays(s)) return false;
    for (size_t i = 0; i < sizeof plain_rows / sizeof *plain_rows; i++) {
        const plain_row *p = &plain_rows[i];
        base_value *v = strcmp(s->kind->name, p->step) == 0 ? value_at(s, p->arg) : NULL;
        if (!v || (p->from && !is_one_of(p->from, v->text))) continue;
        bool same = p->text ? strcmp(v->text, p->text) == 0 : v->number == p->number;
        if (same) continue;
        if (p->text) snprintf(v->text, sizeof v->text, "%s", p->text);
        v->number = p->number;
        changed = true;
    }
    return changed;
}

static unsigned needs_of(const compress_step *s) {
    return s->kind->needs ? s->kind->needs(s) : 0;
}

// ---- how sure a size is ----------------------------------------------------------------------------

static void doubt(compress_estimate *e, compress_sure sure, const char *pattern, const char *why) {
    if (e->sure >= sure) return;
    e->sure = sure;
    snprintf(e->why, sizeof e->why, "rule \"%.60s\": %s", pattern, why);
}

static bool has_text(const compress_step *s, const char *arg, const char *text) {
    for (size_t i = 0; i < s->kind->arg_count; i++)
        if (strcmp(s->kind->args[i].name, arg) == 0) return strcmp(s->value[i].text, text) == 0;
    return false;
}
static double number_or(const compress_step *s, const char *arg, double otherwise) {
    for (size_t i = 0; i < s->kind->arg_count; i++)
        if (strcmp(s->kind->args[i].name, arg) == 0) return s->value[i].number;
    return otherwise;
}

// Which positions are kept depends on samples: a bitmap and an index take the same bytes for any of them, gaps do not.
// Where the form is free the smaller of those two bounds what will be taken; a bitmap of a quarter or more beats any
// gaps of a byte each.
static void settle_positions(compress_step *s, const char *pattern, double kept, compress_estimate *e) {
    base_value *format = value_at(s, "format");
    if (!format) return;
    if (strcmp(format->text, "delta") == 0) {
        doubt(e, COMPRESS_ABOUT, pattern,
              "gaps between weights kept by what samples say take a varying number of bytes");
    } else if (strcmp(format->text, "auto") == 0 && has_text(s, "pattern", "free")) {
        if (number_or(s, "m", 0) > 0) return;
        snprintf(format->text, sizeof format->text, "%s", kept < 1.0 / 16 ? "index" : "bitmap");
        if (kept < 0.25) doubt(e, COMPRESS_AT_MOST, pattern, "gaps between kept weights may take less than a bitmap");
    } else if (strcmp(format->text, "auto") == 0 && strcmp(s->kind->name, "outliers") == 0) {
        snprintf(format->text, sizeof format->text, "%s", kept < 1.0 / 16 ? "index" : "bitmap");
        doubt(e, COMPRESS_AT_MOST, pattern, "gaps between outliers may take less than their indices");
    }
}

static void judge_step(compress_step *s, const char *pattern, compress_estimate *e) {
    const char *name = s->kind->name;
    if (!compress_step_find(name) || compress_step_find(name) != s->kind)
        doubt(e, COMPRESS_ABOUT, pattern, "a step of the recipe's own looks at samples");
    if (strcmp(name, "prune") == 0) {
        if (!has_text(s, "scope", "layer"))
            doubt(e, COMPRESS_ABOUT, pattern, "how much of each layer is pruned depends on samples");
        settle_positions(s, pattern, 1 - number_or(s, "sparsity", 0.5), e);
    }
    if (strcmp(name, "outliers") == 0 && has_text(s, "criterion", "spqr")) {
        doubt(e, COMPRESS_ABOUT, pattern, "how many weights are above the threshold depends on samples");
        value_at(s, "fraction")->number = 0.01; // what the authors' threshold gives
    }
    if (strcmp(name, "outliers") == 0) settle_positions(s, pattern, number_or(s, "fraction", 0), e);
    if (strcmp(name, "lowrank") == 0 && number_or(s, "energy", 0) > 0)
        doubt(e, COMPRESS_ABOUT, pattern, "the rank depends on the energy that samples give");
    if (strcmp(name, "scale") == 0 && has_text(s, "method", "svdquant"))
        doubt(e, COMPRESS_AT_MOST, pattern, "layers whose output error no scales lower store none");
    if (strcmp(name, "quantize") == 0 && !has_text(s, "mix", "none"))
        doubt(e, COMPRESS_ABOUT, pattern, "which groups get more bits depends on samples");
}

// A plain copy of one rule. Coding makes arrays shorter or leaves them: behind values that will differ it is left out,
// and the size is a bound.
static compress_rule plain_rule(const compress_rule *r, bool wants, compress_estimate *e) {
    compress_rule out = {.pattern = r->pattern, .steps = base_calloc((size_t)r->step_count + 1, sizeof *out.steps)};
    unsigned data = COMPRESS_NEEDS_GRAM | COMPRESS_NEEDS_INPUTS | COMPRESS_NEEDS_GRADIENT | COMPRESS_NEEDS_STATS |
                    (wants ? COMPRESS_WANTS_GRAM : 0);
    bool differs = false;
    for (int k = 0; k < r->step_count; k++) {
        compress_step s = r->steps[k];
        bool looks = (needs_of(&s) & data) != 0;
        if (looks) judge_step(&s, r->pattern, e);
        differs = make_plain(&s) || looks || differs;
        if (differs && strcmp(s.kind->name, "code") == 0) {
            doubt(e, COMPRESS_AT_MOST, r->pattern, "how short the codes become depends on their values");
            continue;
        }
        if (differs && !looks && strcmp(s.kind->name, "prune") == 0)
            settle_positions(&s, r->pattern, 1 - number_or(&s, "sparsity", 0.5), e);
        out.steps[out.step_count++] = s;
    }
    return out;
}

bool compress_foretell(const model *m, const compress_plan *plan, const compress_speed *speed, base_job *job,
                       compress_result **out, compress_estimate *e, base_err *err) {
    *out = NULL;
    *e = (compress_estimate){0};
    if (!compress_check(m, plan, err)) return false;
    compress_plan plain = *plan;
    plain.calib = plain.held = NULL;
    plain.rules = base_calloc((size_t)plan->rule_count + 1, sizeof *plain.rules);
    for (int r = 0; r < plan->rule_count; r++) plain.rules[r] = plain_rule(&plan->rules[r], plan->calib != NULL, e);
    size_t before = base_big_now();
    base_big_peak_reset();
    bool ok = compress_sizes_only(m, &plain, job, out, err);
    for (int r = 0; r < plan->rule_count; r++) free(plain.rules[r].steps);
    free(plain.rules);
    if (!ok) return false;
    size_t peak = base_big_peak();
    e->peak_bytes = peak > before ? (double)(peak - before) : 0;
    return foretell_costs(m, plan, *out, speed, e, err);
}
