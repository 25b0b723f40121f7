// Prints the reference of the recipe language; `make docs` puts it into docs/recipes.md.
#include "script/script.h"

int main(void) {
    script_reference_markdown(stdout);
    return 0;
}
