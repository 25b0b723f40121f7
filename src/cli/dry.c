// vise run --dry-run: the recipe without its work, and what it would give, take and write.
#include "cli/run.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char *const sure_words[] = {
    [COMPRESS_EXACT] = "exactly", [COMPRESS_AT_MOST] = "at most", [COMPRESS_ABOUT] = "about"};

typedef struct dry_body {
    const cli_run_request *q;
    script_estimate *estimate;
    const study_store *store; // cells that were measured before; NULL: no history yet
} dry_body;

static bool body(void *context, base_job *job, base_err *err) {
    const dry_body *b = context;
    script_run_options options = {.model = b->q->model,
                                  .data = b->q->data,
                                  .arch = b->q->arch,
                                  .base = b->q->base,
                                  .out = b->q->out,
                                  .seed = (uint64_t)b->q->seed,
                                  .store = b->store,
                                  .dry = b->estimate};
    return script_recipe_run(b->q->recipe, &options, job, err);
}

static double seconds_of(const script_estimate *e) {
    return e->compress_seconds + e->evaluate_seconds + e->train_seconds + e->other_seconds + e->study_seconds;
}

static void print_text(const script_estimate *e) {
    char bytes[24], all[24], part[5][24];
    for (size_t i = 0; i < e->saved_count; i++) {
        const script_saving *s = &e->saved[i];
        printf("would save %s: %s %lld bytes, of which header %lld\n", s->path, sure_words[s->sure],
               (long long)s->bytes, (long long)s->header_bytes);
        if (s->why[0]) printf("  %s\n", s->why);
    }
    if (!e->saved_count) printf("would save nothing\n");
    printf("expected peak memory for data: %s\n", base_bytes_text(bytes, e->peak_bytes));
    printf("expected time: %s (compressing %s, evaluating %s, training %s, rewriting %s, sensitivity %s)\n",
           base_seconds_text(all, seconds_of(e)), base_seconds_text(part[0], e->compress_seconds),
           base_seconds_text(part[1], e->evaluate_seconds), base_seconds_text(part[2], e->train_seconds),
           base_seconds_text(part[3], e->other_seconds), base_seconds_text(part[4], e->study_seconds));
    if (e->studies.text) fputs(e->studies.text, stdout);
    printf("nothing was written or recorded\n");
}

static void print_json(const script_estimate *e) {
    json_t *o = json_object(), *list = json_array();
    for (size_t i = 0; i < e->saved_count; i++) {
        const script_saving *s = &e->saved[i];
        json_t *f = json_object();
        json_object_set_new(f, "path", json_string(s->path));
        json_object_set_new(f, "bytes", json_integer(s->bytes));
        json_object_set_new(f, "header_bytes", json_integer(s->header_bytes));
        json_object_set_new(f, "sure", json_string(sure_words[s->sure]));
        json_object_set_new(f, "why", json_string(s->why));
        json_array_append_new(list, f);
    }
    json_object_set_new(o, "event", json_string("estimate"));
    json_object_set_new(o, "saved", list);
    json_object_set_new(o, "peak_bytes", json_integer((json_int_t)e->peak_bytes));
    json_object_set_new(o, "seconds", json_real(seconds_of(e)));
    json_object_set_new(o, "compress_seconds", json_real(e->compress_seconds));
    json_object_set_new(o, "evaluate_seconds", json_real(e->evaluate_seconds));
    json_object_set_new(o, "train_seconds", json_real(e->train_seconds));
    json_object_set_new(o, "other_seconds", json_real(e->other_seconds));
    json_object_set_new(o, "study_seconds", json_real(e->study_seconds));
    json_object_set_new(o, "studies", json_string(e->studies.text ? e->studies.text : ""));
    char *text = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER);
    puts(text ? text : "{}");
    free(text);
    json_decref(o);
}

// Only what is wrong or strange is told while it goes; figures are not, since nothing is measured.
static void on_event(void *context, const base_event *e) {
    (void)context;
    if (e->kind != BASE_EV_LOG || e->level < BASE_WARN) return;
    char clean[600];
    base_clean(clean, sizeof clean, e->text);
    fprintf(stderr, "vise: %s\n", clean);
}

// The history is only looked into, and not made where there is none.
static session_history *open_history(const cli_run_request *q) {
    char *folder = q->state ? base_strdup(q->state) : base_state_dir();
    char *path = folder ? base_join(folder, "history.db") : NULL;
    base_err ignored;
    session_history *h = path && base_is_file(path) ? session_history_open(folder, &ignored) : NULL;
    free(folder);
    free(path);
    return h;
}

base_status cli_dry_run(const cli_run_request *q, base_err *err) {
    script_estimate e = {0};
    session_history *h = q->no_history ? NULL : open_history(q);
    study_store store = h ? session_history_store(h) : (study_store){0};
    dry_body b = {q, &e, h ? &store : NULL};
    session_listener listener = {on_event, NULL};
    base_status status = session_job_run(body, &b, &listener, 1, cli_job(), err);
    if (status == BASE_OK) (q->json ? print_json : print_text)(&e);
    script_estimate_free(&e);
    session_history_close(h);
    return status;
}
