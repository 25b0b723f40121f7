// recipe_adjust: correct_bias and reestimate_norms, which follow compress.
#include "script/recipe.h"

typedef bool (*adjustment)(compress_result *r, const data_view *calib, int *changed, base_job *job, base_err *err);

static int adjust(lua_State *L, const char *function, const char *what, adjustment apply) {
    recipe_work(L, function);
    lua_settop(L, 2);
    recipe_model *net = recipe_check_model(L, 1);
    recipe_view *view = recipe_check_view(L, 2);
    if (!net->result) script_error(L, "%s: the model is as it was opened; compress(net, ...) comes first", function);
    if (!view->v) script_error(L, "%s: there are no samples: %s", function, view->why);
    recipe_note_use(L, 2, "calibration");
    base_err err = {0};
    int changed = 0;
    base_job *job = recipe_of(L)->job;
    bool ok = apply(net->result, view->v, &changed, job, &err) || base_wrap(&err, "%s: ", function);
    if (ok) base_log(job, BASE_INFO, "%s: %d %s on %s", function, changed, what, view->v->label);
    recipe_done(L, ok, &err);
    lua_settop(L, 1);
    return 1;
}

int recipe_correct_bias(lua_State *L) {
    return adjust(L, "correct_bias", "layers corrected", compress_correct_bias);
}

int recipe_reestimate_norms(lua_State *L) {
    return adjust(L, "reestimate_norms", "batch norms estimated again", compress_reestimate_norms);
}
