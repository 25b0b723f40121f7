// vise recipes: the shipped recipes, from their own headers and declared params.
#include "cli/command.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void print_params(const script_recipe *r) {
    for (size_t i = 0; i < r->param_count; i++) {
        const base_param_row *p = &r->params[i];
        char range[320] = "";
        if (p->choices[0])
            snprintf(range, sizeof range, "%s of %s", p->text, p->choices);
        else if (!isnan(p->min) && !isnan(p->max))
            snprintf(range, sizeof range, "%g of %g .. %g", p->def, p->min, p->max);
        else
            snprintf(range, sizeof range, "%g", p->def);
        printf("  --set %-14s %-24s %s\n", p->name, range, p->help);
    }
}

static void print_json(const script_recipe *r) {
    json_t *o = json_object(), *params = json_array();
    json_object_set_new(o, "name", json_string(r->name));
    json_object_set_new(o, "about", json_string(r->about));
    json_object_set_new(o, "source", json_string(r->source));
    json_object_set_new(o, "path", json_string(r->path));
    for (size_t i = 0; i < r->param_count; i++) json_array_append_new(params, json_string(r->params[i].name));
    json_object_set_new(o, "params", params);
    char *text = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER);
    puts(text ? text : "{}");
    free(text);
    json_decref(o);
}

static base_status show(const char *path, bool json, base_err *err) {
    script_recipe *r = script_recipe_load(path, err);
    if (!r) return cli_failed(err);
    if (json) {
        print_json(r);
    } else {
        printf("%s - %s\nsource: %s\nfile: %s\n", r->name, r->about, r->source, r->path);
        print_params(r);
        cli_say(stdout, "\n%s", r->text);
    }
    script_recipe_free(r);
    return BASE_OK;
}

base_status cli_recipes(const cli_options *o, base_err *err) {
    if (o->arg_count) return show(o->args[0], o->json, err);
    size_t count;
    char **names = script_recipe_names(&count, err);
    if (!names) return cli_failed(err);
    base_status status = BASE_OK;
    for (size_t i = 0; i < count; i++) {
        script_recipe *r = script_recipe_load(names[i], err);
        if (!r) { // one broken file must not hide the others
            cli_say(stderr, "vise: %s\n", err->text);
            memset(err, 0, sizeof *err);
            status = BASE_FAILED;
            continue;
        }
        if (o->json)
            print_json(r);
        else
            printf("%-24s %s\n", names[i], r->about);
        script_recipe_free(r);
    }
    base_names_free(names, count);
    return status;
}
