// Every shipped recipe as it stands, on the model and data it names itself: its dry run finds nothing wrong. (That they
// run is tests/recipes/test_shipped's, on data cut small and params of its own.)
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../support/support.h"

static void test_recipes(void **state) {
    (void)state;
    char program[4096], folder[4200];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 8);
    assert_true(n > 0);
    program[n] = 0;
    for (int up = 0; up < 3; up++) *strrchr(program, '/') = 0;
    strcat(program, "/vise");
    snprintf(folder, sizeof folder, "%s/recipes", support_tree());
    DIR *d = opendir(folder);
    assert_non_null(d);
    int seen = 0, failed = 0;
    for (struct dirent *e; (e = readdir(d));) {
        char *dot = strrchr(e->d_name, '.');
        if (!dot || strcmp(dot, ".lua") != 0) continue;
        *dot = 0;
        char command[13000], *out = NULL;
        snprintf(command, sizeof command,
                 "cd %s && XDG_STATE_HOME=%s timeout 60 %s run %s --dry-run --threads 1 2>&1 < /dev/null",
                 support_temp_path(""), support_temp_path("state"), program, e->d_name);
        if (support_run(command, &out) != 0 && ++failed) print_error("%s\n", out);
        free(out);
        seen++;
    }
    closedir(d);
    assert_true(seen > 50);
    assert_int_equal(failed, 0);
    assert_int_equal(access(support_temp_path("out"), F_OK), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_recipes)};
    return cmocka_run_group_tests_name("cli/dry", tests, NULL, NULL);
}
