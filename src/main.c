// main: arguments to a command, nothing else.
#include "cli/cli.h"

int main(int argc, char **argv) {
    num_setup(argv);
    return cli_main(argc, argv);
}
