// Private to cli/: the recorded runs that report and compare are about.
#ifndef VISE_CLI_RUNS_H
#define VISE_CLI_RUNS_H

#include "cli/command.h"

// The runs that the positional arguments number; each may be named once. NULL with err.
session_recorded *cli_runs_open(const cli_options *o, const char *command, base_err *err);
void cli_runs_close(session_recorded *runs, int count);

#endif
