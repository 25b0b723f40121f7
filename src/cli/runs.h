// Private to cli/: the recorded runs that report and compare are about.
#ifndef VISE_CLI_RUNS_H
#define VISE_CLI_RUNS_H

#include "cli/command.h"

// The runs that the positional arguments name: numbers, ranges (3..9), or a recipe, which stands for every finished run
// of its newest text (a sweep). Each run may be named once. NULL with err.
session_recorded *cli_runs_open(const cli_options *o, const char *command, int *count, base_err *err);
void cli_runs_close(session_recorded *runs, int count);

#endif
