// recipe_choice: report() of a choice that allocate() made - what it costs, what was predicted and what came out.
#include "script/study.h"

#include <math.h>
#include <string.h>

// ---- report(choice [, figures]) ----------------------------------------------------------------------

bool recipe_is_choice(lua_State *L, int index) {
    if (!lua_istable(L, index) || !lua_getmetatable(L, index)) return false;
    luaL_getmetatable(L, RECIPE_CHOICE);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

static double get_number(lua_State *L, int index, const char *key) {
    lua_pushstring(L, key);
    double x = lua_rawget(L, index) == LUA_TNUMBER ? lua_tonumber(L, -1) : NAN;
    lua_pop(L, 1);
    return x;
}

static const char *get_text(lua_State *L, int index, const char *key) {
    lua_pushstring(L, key);
    const char *text = lua_rawget(L, index) == LUA_TSTRING ? lua_tostring(L, -1) : "";
    lua_pop(L, 1); // the table keeps it
    return text;
}

// What the whole model's figures say in the metric of the table; NaN: they do not have it.
static double measured_as(const char *metric, const base_model_row *row, const base_model_row *original) {
    if (!strcmp(metric, "kl")) return row->kl;
    if (!original) return NAN;
    if (!strcmp(metric, "loss")) return row->loss - original->loss;
    if (strcmp(metric, "metric")) return NAN;
    return strcmp(row->metric, "top1") ? row->value - original->value : original->value - row->value;
}

static void list_options(lua_State *L, int index, const recipe_table *h, base_buf *b) {
    base_job *job = recipe_of(L)->job;
    lua_getfield(L, index, "options");
    int options = lua_gettop(L);
    for (int o = 0; o < h->t.cols; o++) {
        int n = 0;
        base_buf_clear(b);
        for (int r = 0; r < h->t.rows; r++) {
            lua_pushstring(L, h->t.row[r]);
            bool this = lua_rawget(L, options) == LUA_TSTRING && !strcmp(lua_tostring(L, -1), h->t.col[o]);
            lua_pop(L, 1);
            if (this) base_buf_printf(b, "%s%s", n++ ? " " : "", h->t.row[r]);
        }
        if (n) base_log(job, BASE_INFO, "  %s: %d layer%s: %.700s", h->t.col[o], n, n == 1 ? "" : "s", b->text);
    }
    lua_pop(L, 1);
}

static void emit_choice(lua_State *L, int index, const recipe_table *h, double measured, base_buf *b) {
    static const char *const numbers[] = {"loss", "bound", "gap", "cost", "budget", "outside", "bytes", "bits"};
    base_buf_clear(b);
    base_buf_puts(b, "{\"kind\":\"allocation\"");
    static const char *const texts[] = {"solver", "metric", "unit"};
    for (int i = 0; i < 3; i++) {
        base_buf_printf(b, ",\"%s\":", texts[i]);
        study_json_text(b, get_text(L, index, texts[i]));
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        base_buf_printf(b, ",\"%s\":", numbers[i]);
        study_json_number(b, get_number(L, index, numbers[i]));
    }
    base_buf_puts(b, ",\"measured\":");
    study_json_number(b, measured);
    base_buf_puts(b, ",\"rows\":[");
    lua_getfield(L, index, "options");
    for (int k = 0; k < 2; k++) {
        if (k) base_buf_puts(b, "],\"choice\":[");
        for (int r = 0; r < h->t.rows; r++) {
            if (r) base_buf_puts(b, ",");
            study_json_text(b, k ? get_text(L, lua_gettop(L), h->t.row[r]) : h->t.row[r]);
        }
    }
    lua_pop(L, 1);
    base_buf_puts(b, "]}");
    base_emit(recipe_of(L)->job, (base_event){.kind = BASE_EV_TABLE, .text = b->text});
}

void recipe_report_choice(lua_State *L, int index, const base_model_row *figures, const base_model_row *original) {
    index = lua_absindex(L, index);
    lua_getfield(L, index, "table");
    const recipe_table *h = recipe_check_table(L, -1);
    base_job *job = recipe_of(L)->job;
    const char *metric = get_text(L, index, "metric"), *unit = get_text(L, index, "unit");
    double loss = get_number(L, index, "loss"), bound = get_number(L, index, "bound"),
           gap = get_number(L, index, "gap"), whole = get_number(L, index, "measured");
    base_log(
        job, BASE_INFO,
        "allocation %s: %.0f %s of at most %.0f (%.0f outside the table), %.4f bits a weight, %.0f bytes of arrays",
        get_text(L, index, "solver"), get_number(L, index, "cost"), unit, get_number(L, index, "budget"),
        get_number(L, index, "outside"), get_number(L, index, "bits"), get_number(L, index, "bytes"));
    lua_getfield(L, index, "optimal");
    bool optimal = lua_toboolean(L, -1);
    lua_pop(L, 1);
    if (optimal)
        base_log(job, BASE_INFO, "  predicted %s %.4g, the least there is (proved)", metric, loss);
    else
        base_log(job, BASE_INFO, "  predicted %s %.4g; no choice is below %.4g: gap %.2g (%.2f %%)", metric, loss,
                 bound, gap, fabs(bound) > 0 ? 100 * gap / fabs(bound) : NAN);
    if (!isnan(whole)) base_log(job, BASE_INFO, "  measured as a whole while searching: %s %.4g", metric, whole);
    base_buf b = {0};
    list_options(L, index, h, &b);
    double measured = figures ? measured_as(metric, figures, original) : NAN;
    if (figures && !isnan(measured))
        base_log(job, BASE_INFO, "  predicted %s %.4g (layers alone, added up, on %s), measured %.4g on %s: %.2f times",
                 metric, loss, h->samples, measured, figures->data, measured / loss);
    if (figures)
        base_log(job, BASE_INFO, "  predicted %.0f bytes, stored %lld", get_number(L, index, "bytes"),
                 (long long)figures->bytes);
    emit_choice(L, index, h, measured, &b);
    base_buf_free(&b);
    lua_pop(L, 1);
}
