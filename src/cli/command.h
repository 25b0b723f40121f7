// Private to cli/: what a command is, and how options are declared and read.
#ifndef VISE_CLI_COMMAND_H
#define VISE_CLI_COMMAND_H

#include "cli/cli.h"

#include <jansson.h>

// One option of a command. Values land in cli_options by offset.
typedef enum cli_kind { CLI_FLAG, CLI_TEXT, CLI_INT, CLI_LIST } cli_kind;
typedef struct cli_option {
    // "model", "FILE" (NULL: a flag), one line. Where two commands mean different things by one name, the table has it
    // twice, told apart by what follows a colon ("json:file"), which is not a part of what is typed.
    const char *name, *value, *help;
    cli_kind kind;
    size_t offset;    // in cli_options
    int64_t min, max; // CLI_INT
} cli_option;

typedef struct cli_list {
    const char **items;
    size_t count;
} cli_list;

// Every command reads from one struct; a command lists the options it takes.
typedef struct cli_options {
    const char *model, *data, *arch, *base, *out, *state, *part, *cut, *colour, *script, *recipe, *theme;
    const char *csv_file, *json_file, *svg_file, *shard, *budget;
    cli_list sets;
    int64_t threads, seed, limit, cache_mb;
    bool no_cache, json, csv, dry_run, help, check, ascii, no_mouse, quiet, no_history, resume, fresh;
    const char **args; // positional
    int arg_count;
} cli_options;

typedef struct cli_command {
    const char *name, *args, *help; // "run", "RECIPE", one line
    const char *about;              // a paragraph for --help
    const char *options;            // names it takes: "model data set"
    int min_args, max_args;
    base_status (*run)(const cli_options *o, base_err *err);
} cli_command;

extern const cli_command cli_commands[];
extern const size_t cli_command_count;

base_status cli_screen(const cli_options *o, base_err *err);
base_status cli_run(const cli_options *o, base_err *err);
base_status cli_info(const cli_options *o, base_err *err);
base_status cli_eval(const cli_options *o, base_err *err);
base_status cli_methods(const cli_options *o, base_err *err);
base_status cli_recipes(const cli_options *o, base_err *err);
base_status cli_history(const cli_options *o, base_err *err);
base_status cli_report(const cli_options *o, base_err *err);
base_status cli_compare(const cli_options *o, base_err *err);
base_status cli_tables(const cli_options *o, base_err *err);
base_status cli_replay(const cli_options *o, base_err *err);
base_status cli_sweep(const cli_options *o, base_err *err);
base_status cli_merge(const cli_options *o, base_err *err);
base_status cli_cache(const cli_options *o, base_err *err);

// ---- progress (progress.c): listeners for standard output ----------------------------------------

typedef struct cli_progress cli_progress;
// json: one event a line on stdout. Otherwise plain lines on stdout and, on a terminal, one live line.
cli_progress *cli_progress_new(bool json, bool quiet);
void cli_progress_event(void *progress, const base_event *event);
void cli_progress_free(cli_progress *p);

// ---- shared (common.c) -------------------------------------------------------------------------

// The job of this process: SIGINT and SIGTERM set its cancel flag, a second one ends the process at once.
base_job *cli_job(void);
// The cache that these options ask for: NULL with --no-cache, and, with a warning on standard error, where there can be
// none.
base_cache *cli_open_cache(const cli_options *o);
int cli_use_threads(const cli_options *o);        // sets and returns the number
json_t *cli_record_json(const session_record *r); // a new object
// printf for texts that recipes and files bring: control characters, which a terminal would obey, become '?'.
void cli_say(FILE *to, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Whether save() could write below `out` (NULL: not asked for): told before the work, not after it.
bool cli_check_out(const char *out, base_err *err);
base_status cli_failed(const base_err *err); // the exit code of an error

#endif
