// cli: the commands of the program, one file each, one row of a table each.
#ifndef VISE_CLI_H
#define VISE_CLI_H

#include "script/script.h"

// Runs the command that argv names; returns the exit code: 0 done, 1 failed, 2 wrong usage, 130 cancelled.
int cli_main(int argc, char **argv);

#endif
