// main: arguments to a command, nothing else.
#include "numeric/numeric.h"

int main(int argc, char **argv) {
    (void)argc;
    num_setup(argv);
    return BASE_OK;
}
