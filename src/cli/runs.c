// Which recorded runs a command is about.
#include "cli/runs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct numbers {
    int64_t *id;
    int count;
} numbers;
enum { MOST_RUNS = 4096 };

static bool add_run(numbers *n, int64_t id, base_err *err) {
    for (int k = 0; k < n->count; k++)
        if (n->id[k] == id) return base_fail_as(err, BASE_USAGE, "run %lld is named twice", (long long)id);
    if (n->count >= MOST_RUNS) return base_fail_as(err, BASE_USAGE, "more than %d runs are named", MOST_RUNS);
    n->id = base_realloc(n->id, (size_t)n->count + 1, sizeof *n->id);
    n->id[n->count++] = id;
    return true;
}

// "7" or "3..9"; *is_number false: it is something else.
static bool add_numbers(numbers *n, const char *text, bool *is_number, base_err *err) {
    char *end;
    errno = 0;
    long long first = strtoll(text, &end, 10), last = first;
    *is_number = end != text;
    if (*is_number && !strncmp(end, "..", 2)) last = strtoll(end + 2, &end, 10);
    *is_number = *is_number && !*end && !errno && first > 0 && last > 0;
    if (!*is_number) return true;
    if (last < first) return base_fail_as(err, BASE_USAGE, "the range %s of runs falls", text);
    for (long long id = first; id <= last; id++)
        if (!add_run(n, id, err)) return false;
    return true;
}

// Finished runs of the newest text of a recipe, oldest first.
static bool add_recipe(numbers *n, session_history *h, const char *name, const char *command, base_err *err) {
    session_record *all;
    size_t count;
    const char *hash = NULL;
    bool ok = true;
    if (!session_history_list(h, 0, &all, &count, err)) return false;
    for (size_t i = 0; !hash && i < count; i++)
        if (strcmp(all[i].status, "done") == 0 && strcmp(all[i].recipe, name) == 0) hash = all[i].recipe_hash;
    for (size_t i = count; hash && ok && i-- > 0;)
        if (strcmp(all[i].status, "done") == 0 && strcmp(all[i].recipe_hash, hash) == 0)
            ok = add_run(n, all[i].id, err);
    char clean[64];
    base_clean(clean, sizeof clean, name);
    if (!hash)
        ok = base_fail_as(err, BASE_USAGE,
                          "vise %s takes numbers of runs (`vise history` lists them)%s or the name of a recipe that "
                          "was run, not '%s'",
                          command, strcmp(command, "compare") ? ", ranges (3..9)" : "", clean);
    for (size_t i = 0; i < count; i++) session_record_free(&all[i]);
    free(all);
    return ok;
}

session_recorded *cli_runs_open(const cli_options *o, const char *command, int *count, base_err *err) {
    numbers n = {0};
    session_history *h = session_history_open(o->state, err);
    bool ok = h != NULL;
    for (int i = 0; ok && i < o->arg_count; i++) {
        bool number = false;
        ok = add_numbers(&n, o->args[i], &number, err);
        if (ok && !number) ok = add_recipe(&n, h, o->args[i], command, err);
    }
    session_recorded *runs = base_calloc((size_t)n.count + 1, sizeof *runs);
    for (int i = 0; ok && i < n.count; i++) ok = session_recorded_read(h, n.id[i], &runs[i], err);
    session_history_close(h);
    free(n.id);
    *count = n.count;
    if (ok) return runs;
    cli_runs_close(runs, n.count);
    return NULL;
}

void cli_runs_close(session_recorded *runs, int count) {
    for (int i = 0; i < count; i++) session_recorded_free(&runs[i]);
    free(runs);
}
