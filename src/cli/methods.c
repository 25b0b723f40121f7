// vise methods: the tables of steps, calls, methods, metrics and allocators as one list of help pages.
#include "cli/command.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void print_argument(const base_arg *a) {
    char range[128] = "", def[48] = "";
    if (a->type == BASE_TEXT) {
        snprintf(def, sizeof def, "%s", a->text_def ? a->text_def : "-");
        if (a->choices) snprintf(range, sizeof range, "%s", a->choices);
    } else if (a->type == BASE_BOOL) {
        snprintf(def, sizeof def, "%s", a->def != 0 ? "true" : "false");
    } else {
        snprintf(def, sizeof def, "%g", a->def);
        snprintf(range, sizeof range, "%g .. %g", a->min, a->max);
    }
    printf("  %-14s default %-10s %s%s%s\n", a->name, def, a->help, range[0] ? "; " : "", range);
}

// One entry of any table. step: the one it is a method of, NULL for those with arguments of their own.
typedef struct page {
    const char *kind, *name, *before, *after; // called as: before name after
    const char *help, *about, *source, *cost, *step;
    const base_arg *args;
    size_t count;
} page;

static const struct {
    const char *kind, *title;
} kinds[] = {{"step", "Steps (recipes call them; `vise methods NAME` explains one)"},
             {"rewrite", "Rewrites (calls that take a model and give a new one)"},
             {"call", "Other calls that change a network"},
             {"method", "Methods"},
             {"metric", "Metrics of sensitivity()"},
             {"allocator", "Solvers of allocate()"}};

// The step, rewrite or call that a method belongs to, among the pages so far; NULL: there is none.
static const page *parent_of(const page *all, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (!all[i].step && !strcmp(all[i].name, name)) return &all[i];
    return NULL;
}

static page *collect(size_t *count) {
    size_t n = 0;
    page *all = base_calloc(compress_step_count + compress_rewrite_count + compress_call_count + compress_method_count +
                                study_metric_count + study_allocator_count,
                            sizeof *all);
    for (size_t i = 0; i < compress_step_count; i++) {
        const compress_step_kind *k = compress_steps[i];
        all[n++] =
            (page){"step", k->name, "", "{}", k->help, k->about, k->source, k->cost, NULL, k->args, k->arg_count};
    }
    for (size_t i = 0; i < compress_rewrite_count; i++) {
        const compress_rewrite *k = compress_rewrites[i];
        const char *after =
            k->data == COMPRESS_DATA_NEEDED ? "(net, part), which gives a new model" : "(net), which gives a new model";
        all[n++] =
            (page){"rewrite", k->name, "", after, k->help, k->about, k->source, k->cost, NULL, k->args, k->arg_count};
    }
    for (size_t i = 0; i < compress_call_count; i++) {
        const compress_call *k = &compress_calls[i];
        all[n++] =
            (page){"call", k->name, "",           k->usage + strlen(k->name), k->help, k->about, k->source, k->cost,
                   NULL,   k->args, *k->arg_count};
    }
    for (size_t i = 0; i < compress_method_count; i++) {
        const compress_method *k = &compress_methods[i];
        const page *of = parent_of(all, n, k->step);
        all[n++] = (page){"method",          k->name,   "",      "",      k->help,
                          k->about,          k->source, k->cost, k->step, of ? of->args : NULL,
                          of ? of->count : 0};
    }
    for (size_t i = 0; i < study_metric_count; i++) {
        const study_metric *k = study_metrics[i];
        all[n++] = (page){"metric",  k->name,     "sensitivity(net, { metric = \"",
                          "\" })",   k->help,     k->about,
                          k->source, k->cost,     NULL,
                          k->args,   k->arg_count};
    }
    for (size_t i = 0; i < study_allocator_count; i++) {
        const study_allocator *k = &study_allocators[i];
        all[n++] = (page){"allocator", k->name,     "allocate(table, { solver = \"",
                          "\" })",     k->help,     k->about,
                          k->source,   k->cost,     NULL,
                          k->args,     k->arg_count};
    }
    *count = n;
    return all;
}

static void list_methods_of(const page *all, size_t count, const char *step) {
    bool first = true;
    for (size_t i = 0; i < count; i++) {
        if (!all[i].step || strcmp(all[i].step, step)) continue;
        if (first) printf("\nMethods (vise methods NAME):\n");
        first = false;
        printf("  %-20s %s\n", all[i].name, all[i].help);
    }
}

static void print_names(const page *p) {
    bool first = true;
    for (size_t i = 0; i < compress_name_count; i++) {
        if (strcmp(compress_names[i].name, p->name)) continue;
        printf("%s%s", first ? "Also called: " : ", ", compress_names[i].said);
        first = false;
    }
    if (!first) putchar('\n');
}

// The shipped recipe of this name, or of one of its other names; NULL: there is none.
static script_recipe *recipe_of(const page *p) {
    base_err ignored;
    size_t count;
    char **names = script_recipe_names(&count, &ignored);
    const char *found = NULL;
    for (size_t i = 0; names && i < count; i++) {
        const char *meant = compress_name_of(names[i]);
        if (!strcmp(names[i], p->name)) found = names[i];
        if (!found && meant && !strcmp(meant, p->name)) found = names[i];
    }
    script_recipe *r = found ? script_recipe_load(found, &ignored) : NULL;
    if (names) base_names_free(names, count);
    return r;
}

static void print_recipe(const page *p) {
    script_recipe *r = recipe_of(p);
    if (!r) return;
    printf("Recipe: vise run %s (`vise recipes %s` shows it and what it gives); --set NAME=VALUE of:\n", r->name,
           r->name);
    for (size_t i = 0; i < r->param_count; i++) {
        const base_param_row *k = &r->params[i];
        char number[32];
        snprintf(number, sizeof number, "%g", k->def);
        printf("  %-14s default %-10s %s\n", k->name, k->choices[0] ? k->text : number, k->help);
    }
    script_recipe_free(r);
}

static void print_page(const page *p, const page *all, size_t count) {
    printf("%s%s%s", p->before, p->name, p->after);
    const char *braces = p->step && compress_step_find(p->step) ? "{}" : "()"; // a step, or another call
    if (p->step) printf(", a method of %s%s", p->step, braces);
    printf(" - %s\n\n%s\n", p->help, p->about ? p->about : "");
    printf("\nData and cost: %s\nSource: %s\n", p->cost ? p->cost : "-", p->source ? p->source : "-");
    print_names(p);
    print_recipe(p);
    if (p->step)
        printf("\nArguments of %s%s, with their defaults:\n", p->step, braces);
    else
        printf("\nArguments:\n");
    for (size_t i = 0; i < p->count; i++) print_argument(&p->args[i]);
    if (!p->count) printf("  none\n");
    if (!p->step) list_methods_of(all, count, p->name);
}

static void list_text(const page *all, size_t count) {
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        printf("%s%s:\n", k ? "\n" : "", kinds[k].title);
        for (size_t i = 0; i < count; i++) {
            if (strcmp(all[i].kind, kinds[k].kind)) continue;
            if (all[i].step)
                printf("  %-20s %-10s %s\n", all[i].name, all[i].step, all[i].help);
            else
                printf("  %-20s %s\n", all[i].name, all[i].help);
        }
    }
}

static void put(json_t *o, const char *key, const char *text) {
    if (text) json_object_set_new(o, key, json_string(text));
}

static json_t *argument_json(const base_arg *a) {
    json_t *arg = json_object();
    put(arg, "name", a->name);
    put(arg, "help", a->help);
    if (a->type == BASE_TEXT) {
        put(arg, "default", a->text_def);
        put(arg, "choices", a->choices);
    } else if (a->type == BASE_BOOL) {
        json_object_set_new(arg, "default", json_boolean(a->def != 0));
    } else {
        json_object_set_new(arg, "default", json_real(a->def));
        json_object_set_new(arg, "min", json_real(a->min));
        json_object_set_new(arg, "max", json_real(a->max));
    }
    return arg;
}

static void print_json(const page *p) {
    json_t *o = json_object(), *args = json_array();
    put(o, "name", p->name);
    put(o, "kind", p->kind);
    put(o, "step", p->step);
    put(o, "help", p->help);
    put(o, "about", p->about);
    put(o, "source", p->source);
    put(o, "cost", p->cost);
    for (size_t i = 0; i < p->count; i++) json_array_append_new(args, argument_json(&p->args[i]));
    json_object_set_new(o, "args", args);
    char *text = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER);
    puts(text ? text : "{}");
    free(text);
    json_decref(o);
}

// Every page of this name, but a method that has the name of a step or call; NULL: all.
static void show(const page *all, size_t count, const char *wanted, bool json) {
    size_t shown = 0;
    for (size_t i = 0; i < count; i++) {
        if (wanted && (strcmp(all[i].name, wanted) || (all[i].step && shown))) continue;
        if (json)
            print_json(&all[i]);
        else {
            if (shown) putchar('\n');
            print_page(&all[i], all, count);
        }
        shown++;
    }
}

// The page that is meant: by its name, by the name's letters and digits alone, or by another name of it; NULL: none.
static const char *meant(const page *all, size_t count, const char *said) {
    char wanted[64], plain[64];
    for (size_t i = 0; i < count; i++)
        if (!strcmp(all[i].name, said)) return said;
    compress_plain_name(wanted, sizeof wanted, said);
    for (size_t i = 0; wanted[0] && i < count; i++) {
        compress_plain_name(plain, sizeof plain, all[i].name);
        if (!strcmp(plain, wanted)) return all[i].name;
    }
    return compress_name_of(said);
}

// Whether the page says these words, letters alike whatever their case.
static bool mentions(const page *p, const char *words) {
    const char *const texts[] = {p->name, p->help, p->about, p->source};
    size_t n = strlen(words);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        for (const char *at = texts[i]; at && *at; at++)
            if (!strncasecmp(at, words, n)) return true;
    return false;
}

// Names of the pages that say the words, the first few: "a, b, c". False: none does, or they are too short to tell.
static bool mentioned(const page *all, size_t count, const char *words, base_buf *names) {
    int found = 0;
    for (size_t i = 0; i < count && strlen(words) >= 3; i++) {
        if (!mentions(&all[i], words) || found++ >= 6) continue;
        base_buf_printf(names, "%s%s", names->length ? ", " : "", all[i].name);
    }
    if (found > 6) base_buf_puts(names, ", ...");
    return found > 0;
}

// A name that is no page: a recipe's, a published method's that is not here, or a slip.
static base_status refuse(const page *all, size_t count, const char *said, base_err *err) {
    base_err ignored;
    size_t recipes = 0, n = 0;
    char shown[96], **shipped = script_recipe_names(&recipes, &ignored);
    base_clean(shown, sizeof shown, said);
    bool is_recipe = false;
    for (size_t i = 0; i < recipes; i++) is_recipe = is_recipe || !strcmp(shipped[i], said);
    const char *absent = compress_nearest_to(said);
    base_buf names_of = {0};
    const char **names = base_calloc(count + compress_name_count + 1, sizeof *names);
    for (size_t i = 0; i < count; i++) names[n++] = all[i].name;
    for (size_t i = 0; i < compress_name_count; i++) names[n++] = compress_names[i].said;
    const char *near = base_nearest(said, names, n), *leads = near ? meant(all, count, near) : NULL;
    if (is_recipe)
        base_fail_as(err, BASE_USAGE, "'%s' is a recipe and no method: `vise recipes %s` shows it", shown, shown);
    else if (absent)
        base_fail_as(err, BASE_USAGE, "'%s' is not built in; what comes nearest is '%s' (`vise methods %s`)", shown,
                     absent, absent);
    else if (mentioned(all, count, said, &names_of))
        base_fail_as(err, BASE_USAGE, "there is no method '%s'; pages that mention it: %s", shown, names_of.text);
    else if (near && leads && strcmp(near, leads))
        base_fail_as(err, BASE_USAGE,
                     "there is no method '%s', did you mean '%s' (here '%s')?; `vise methods` lists them", shown, near,
                     leads);
    else
        base_fail_as(err, BASE_USAGE, "there is no method '%s'%s%s%s; `vise methods` lists them", shown,
                     near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "");
    free(names);
    base_buf_free(&names_of);
    if (shipped) base_names_free(shipped, recipes);
    return BASE_USAGE;
}

base_status cli_methods(const cli_options *o, base_err *err) {
    const char *wanted = o->arg_count ? o->args[0] : NULL;
    size_t count;
    page *all = collect(&count);
    const char *name = wanted ? meant(all, count, wanted) : NULL;
    base_status status = BASE_OK;
    if (!wanted && !o->json)
        list_text(all, count);
    else if (wanted && !name)
        status = refuse(all, count, wanted, err);
    else
        show(all, count, name, o->json);
    free(all);
    return status;
}
