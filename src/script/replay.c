// A recorded run made ready to run again: its recipe with its params, and whether its inputs are what they were.
#include "script/script.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

// A param's value as --set would take it.
static bool set_params(script_recipe *recipe, const char *params, base_err *err) {
    json_error_t trouble;
    json_t *object = json_loads(params, 0, &trouble);
    if (!json_is_object(object)) {
        json_decref(object);
        return base_fail(err, "the recorded params are not a JSON object: '%s'", params);
    }
    const char *name;
    json_t *value;
    bool ok = true;
    json_object_foreach(object, name, value) {
        char text[160];
        if (json_is_string(value))
            snprintf(text, sizeof text, "%s", json_string_value(value));
        else
            snprintf(text, sizeof text, "%.17g", json_number_value(value));
        if (!script_recipe_set(recipe, name, text, err)) {
            ok = false;
            break;
        }
    }
    json_decref(object);
    return ok;
}

// The inputs must be what they were; saying which one changed is better than a hash that differs at the end.
bool script_same_inputs(const session_record *r, base_err *err) {
    if (r->model[0] && r->model_hash[0]) {
        model_tensors *t = model_tensors_open(r->model, err);
        if (!t) return base_wrap(err, "the recorded model cannot be opened: ");
        bool same = strcmp(t->hash, r->model_hash) == 0;
        if (!same)
            base_fail(err, "%s has changed since run %lld: its hash is %s, recorded was %s", r->model, (long long)r->id,
                      t->hash, r->model_hash);
        model_tensors_close(t);
        if (!same) return false;
    }
    return true;
}

script_recipe *script_recipe_recorded(const session_record *r, base_err *err) {
    script_recipe *recipe = script_recipe_text(r->recipe_path, r->recipe_text, err);
    if (recipe && set_params(recipe, r->params, err)) return recipe;
    script_recipe_free(recipe);
    return NULL;
}
