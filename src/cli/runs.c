// Which recorded runs a command is about.
#include "cli/runs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool read_id(const char *text, const char *command, int64_t *id, base_err *err) {
    char *end, clean[64];
    errno = 0;
    long long value = strtoll(text, &end, 10);
    base_clean(clean, sizeof clean, text);
    if (errno || end == text || *end || value < 1)
        return base_fail_as(err, BASE_USAGE, "vise %s takes numbers of runs (`vise history` lists them), not '%s'",
                            command, clean);
    *id = value;
    return true;
}

session_recorded *cli_runs_open(const cli_options *o, const char *command, base_err *err) {
    int64_t *ids = base_calloc((size_t)o->arg_count + 1, sizeof *ids);
    bool ok = true;
    for (int i = 0; ok && i < o->arg_count; i++) {
        ok = read_id(o->args[i], command, &ids[i], err);
        for (int k = 0; ok && k < i; k++)
            if (ids[k] == ids[i]) ok = base_fail_as(err, BASE_USAGE, "run %lld is named twice", (long long)ids[i]);
    }
    session_history *h = ok ? session_history_open(o->state, err) : NULL;
    session_recorded *runs = base_calloc((size_t)o->arg_count + 1, sizeof *runs);
    ok = h != NULL;
    for (int i = 0; ok && i < o->arg_count; i++) ok = session_recorded_read(h, ids[i], &runs[i], err);
    session_history_close(h);
    free(ids);
    if (ok) return runs;
    cli_runs_close(runs, o->arg_count);
    return NULL;
}

void cli_runs_close(session_recorded *runs, int count) {
    for (int i = 0; i < count; i++) session_recorded_free(&runs[i]);
    free(runs);
}
