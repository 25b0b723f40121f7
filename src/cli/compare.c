// vise compare: two recorded runs side by side, layer by layer and in total, as text or JSON.
#include "cli/runs.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *verdict(session_better better) {
    return session_better_names[better];
}

// ---- text ------------------------------------------------------------------------------------------

static const char *figure(char out[16], double value, const char *format) {
    snprintf(out, 16, isfinite(value) ? format : "-", value);
    return out;
}

static void print_heads(const session_comparison *c) {
    for (int k = 0; k < 2; k++) {
        const session_record *r = &c->run[k]->record;
        char recipe[64], checkpoint[96];
        base_clean(recipe, sizeof recipe, r->recipe);
        base_clean(checkpoint, sizeof checkpoint, base_basename(r->model));
        printf("%s: run %lld, %s on %s, %s\n", k ? "second" : "first ", (long long)r->id, recipe,
               *checkpoint ? checkpoint : "no model", r->status);
    }
    const session_record *a = &c->run[0]->record, *b = &c->run[1]->record;
    if (strcmp(a->model_hash, b->model_hash) != 0)
        printf("the runs worked on different models: layers are matched by name\n");
    if (strcmp(a->data_hash, b->data_hash) != 0) printf("the runs used different data\n");
}

static void print_pairs(const session_comparison *c) {
    printf("\n%-28s %10s %10s %7s %7s %10s %10s  %s\n", "layer", "bytes", "bytes", "bits", "bits", "error", "error",
           "better");
    for (size_t i = 0; i < c->pair_count; i++) {
        const session_pair *p = &c->pairs[i];
        char name[64], e[2][16], bits[2][16];
        base_clean(name, sizeof name, p->row[0]->name);
        printf("%-28s %10lld %10lld %7s %7s %10s %10s  %s%s\n", name, (long long)p->row[0]->bytes,
               (long long)p->row[1]->bytes, figure(bits[0], p->row[0]->bits, "%.3f"),
               figure(bits[1], p->row[1]->bits, "%.3f"), figure(e[0], p->value[0], "%.3e"),
               figure(e[1], p->value[1], "%.3e"), verdict(p->better),
               p->error && strcmp(p->error, "weight_error") == 0 ? " (weight error)" : "");
    }
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < c->alone_count[k]; i++) {
            char name[128];
            base_clean(name, sizeof name, c->alone[k][i]->name);
            printf("only in the %s: %s, %lld bytes\n", k ? "second" : "first", name, (long long)c->alone[k][i]->bytes);
        }
}

static void print_totals(const session_comparison *c) {
    const session_total *t = c->total;
    char bits[2][16];
    if (c->run[0]->layer_count || c->run[1]->layer_count)
        printf("\nlayers: %lld and %lld bytes (%+lld), %s and %s bits a weight\n", (long long)t[0].bytes,
               (long long)t[1].bytes, (long long)(t[1].bytes - t[0].bytes), figure(bits[0], t[0].bits, "%.4f"),
               figure(bits[1], t[1].bits, "%.4f"));
    int64_t files[2] = {c->run[0]->record.output_bytes, c->run[1]->record.output_bytes};
    if (files[0] || files[1])
        printf("saved files: %lld and %lld bytes (%+lld)\n", (long long)files[0], (long long)files[1],
               (long long)(files[1] - files[0]));
    const session_comparison *f = c;
    if (f->why_not) {
        printf("metric: %s\n", f->why_not);
        return;
    }
    for (int k = 0; k < 2; k++) {
        char *text = session_figures_text(f->figure[k]);
        printf("%s: %s\n", k ? "second" : "first ", text);
        free(text);
    }
    printf("%s: %+.6g from the first to the second; ", f->figure[0]->metric, f->difference);
    if (f->better == SESSION_EQUAL)
        printf("they are equal\n");
    else
        printf("the %s is better%s\n", verdict(f->better),
               !f->known    ? ", without intervals to judge it by"
               : f->overlap ? ", but the 95 % intervals overlap: not settled by these samples"
                            : ", and the 95 % intervals do not overlap");
}

// ---- JSON ------------------------------------------------------------------------------------------

static json_t *real(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}
static json_t *two(json_t *a, json_t *b) {
    json_t *list = json_array();
    json_array_append_new(list, a);
    json_array_append_new(list, b);
    return list;
}
// Names come from files: what is not UTF-8 is replaced first.
static json_t *text_of(const char *text) {
    char clean[256];
    base_clean(clean, sizeof clean, text);
    return json_string(clean);
}

static json_t *pair_json(const session_pair *p) {
    json_t *o = json_object();
    json_object_set_new(o, "layer", text_of(p->row[0]->name));
    json_object_set_new(o, "bytes", two(json_integer(p->row[0]->bytes), json_integer(p->row[1]->bytes)));
    json_object_set_new(o, "bits", two(real(p->row[0]->bits), real(p->row[1]->bits)));
    json_object_set_new(o, "figure", p->error ? json_string(p->error) : json_null());
    json_object_set_new(o, "error", two(real(p->value[0]), real(p->value[1])));
    json_object_set_new(o, "better", json_string(verdict(p->better)));
    return o;
}

static json_t *figures_json(const session_comparison *c) {
    const session_comparison *f = c;
    json_t *o = json_object();
    if (f->why_not) {
        json_object_set_new(o, "why_not", json_string(f->why_not));
        return o;
    }
    json_object_set_new(o, "metric", text_of(f->figure[0]->metric));
    json_object_set_new(o, "data", text_of(f->figure[0]->data));
    json_object_set_new(o, "value", two(real(f->figure[0]->value), real(f->figure[1]->value)));
    json_object_set_new(o, "low", two(real(f->figure[0]->low), real(f->figure[1]->low)));
    json_object_set_new(o, "high", two(real(f->figure[0]->high), real(f->figure[1]->high)));
    json_object_set_new(o, "difference", real(f->difference));
    json_object_set_new(o, "overlap", f->known ? json_boolean(f->overlap) : json_null());
    json_object_set_new(o, "better", json_string(verdict(f->better)));
    return o;
}

static void print_json(const session_comparison *c) {
    const session_total *t = c->total;
    const session_record *r[2] = {&c->run[0]->record, &c->run[1]->record};
    json_t *o = json_object(), *layers = json_array(), *alone = json_array();
    for (size_t i = 0; i < c->pair_count; i++) json_array_append_new(layers, pair_json(&c->pairs[i]));
    for (int k = 0; k < 2; k++) {
        json_t *list = json_array();
        for (size_t i = 0; i < c->alone_count[k]; i++) json_array_append_new(list, text_of(c->alone[k][i]->name));
        json_array_append_new(alone, list);
    }
    json_object_set_new(o, "runs", two(json_integer(r[0]->id), json_integer(r[1]->id)));
    json_object_set_new(o, "recipes", two(text_of(r[0]->recipe), text_of(r[1]->recipe)));
    json_object_set_new(o, "status", two(text_of(r[0]->status), text_of(r[1]->status)));
    json_object_set_new(o, "same_model", json_boolean(strcmp(r[0]->model_hash, r[1]->model_hash) == 0));
    json_object_set_new(o, "layers", layers);
    json_object_set_new(o, "only_in", alone);
    json_object_set_new(o, "bytes", two(json_integer(t[0].bytes), json_integer(t[1].bytes)));
    json_object_set_new(o, "bits", two(real(t[0].bits), real(t[1].bits)));
    json_object_set_new(o, "file_bytes", two(json_integer(r[0]->output_bytes), json_integer(r[1]->output_bytes)));
    json_object_set_new(o, "figures", figures_json(c));
    char *text = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER);
    puts(text ? text : "{}");
    free(text);
    json_decref(o);
}

base_status cli_compare(const cli_options *o, base_err *err) {
    int count;
    session_recorded *runs = cli_runs_open(o, "compare", &count, err);
    if (!runs) return cli_failed(err);
    if (count != 2) {
        cli_runs_close(runs, count);
        base_fail_as(err, BASE_USAGE, "vise compare takes two runs, and %d were named", count);
        return cli_failed(err);
    }
    session_comparison c;
    session_compare(&runs[0], &runs[1], &c);
    if (o->json) {
        print_json(&c);
    } else {
        print_heads(&c);
        if (c.pair_count || c.alone_count[0] || c.alone_count[1]) print_pairs(&c);
        print_totals(&c);
    }
    session_comparison_free(&c);
    cli_runs_close(runs, 2);
    return BASE_OK;
}
