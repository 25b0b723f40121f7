// Arguments to a command: the table of commands, the table of options, --help pages made from both.
#include "cli/command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AT(field) offsetof(cli_options, field)

static const cli_option option_table[] = {
    {"model", "PATH", "checkpoint: a safetensors or npz file, or a folder (default: the recipe's own)", CLI_TEXT,
     AT(model), 0, 0},
    {"data", "PATH", "dataset: a folder, a descriptor .lua, or one data file (default: the recipe's own)", CLI_TEXT,
     AT(data), 0, 0},
    {"arch", "NAME", "architecture, where the checkpoint does not tell (lua/arch/NAME.lua, or a file)", CLI_TEXT,
     AT(arch), 0, 0},
    {"base", "PATH", "checkpoint that the model is, or is to be, stored against (default: beside the model)", CLI_TEXT,
     AT(base), 0, 0},
    {"set", "NAME=VALUE", "set a declared param of the recipe; may be given many times", CLI_LIST, AT(sets), 0, 0},
    {"out", "DIR", "folder that save() writes below (default: out); the file of a report", CLI_TEXT, AT(out), 0, 0},
    {"cut", "LESS", "open a packed file with less of it: a number of bits (nested codes), or bytes=N (blocks of signs)",
     CLI_TEXT, AT(cut), 0, 0},
    {"part", "NAME", "part of the dataset: calib, select, test or all (default: test)", CLI_TEXT, AT(part), 0, 0},
    {"recipe", "NAME", "recipe to open on the screen: a file, or a shipped one", CLI_TEXT, AT(recipe), 0, 0},
    {"seed", "N", "added to every seed the recipe does not state (default: 0)", CLI_INT, AT(seed), 0, 1LL << 53},
    {"threads", "N", "threads to use (default: all cores); results do not depend on it", CLI_INT, AT(threads), 1, 1024},
    {"limit", "N", "how many, newest first (default: 20; 0: all)", CLI_INT, AT(limit), 0, 1 << 30},
    {"json", NULL, "one JSON object a line on standard output", CLI_FLAG, AT(json), 0, 0},
    {"quiet", NULL, "no progress; only closing figures and errors", CLI_FLAG, AT(quiet), 0, 0},
    {"csv", NULL, "comma-separated values on standard output", CLI_FLAG, AT(csv), 0, 0},
    {"dry-run", NULL, "check everything and tell bytes, memory and time, without the work", CLI_FLAG, AT(dry_run), 0,
     0},
    {"check", NULL, "compare hashes only; write nothing", CLI_FLAG, AT(check), 0, 0},
    {"no-history", NULL, "do not record this run", CLI_FLAG, AT(no_history), 0, 0},
    {"no-cache", NULL, "compute everything, also what an earlier run has computed", CLI_FLAG, AT(no_cache), 0, 0},
    {"cache-mb", "N", "most megabytes that results kept between runs may take (default: 2048)", CLI_INT, AT(cache_mb),
     1, 1 << 30},
    {"state", "DIR", "folder of the history (default: $XDG_STATE_HOME/vise or ~/.local/state/vise)", CLI_TEXT,
     AT(state), 0, 0},
    {"theme", "NAME", "colours of the screen: dark, light, colour-blind, plain, or a file", CLI_TEXT, AT(theme), 0, 0},
    {"colour", "MODE", "auto, 16M, 256, 16, 8 or none (default: auto; NO_COLOR is respected)", CLI_TEXT, AT(colour), 0,
     0},
    {"ascii", NULL, "draw with ASCII only", CLI_FLAG, AT(ascii), 0, 0},
    {"no-mouse", NULL, "leave the mouse to the terminal", CLI_FLAG, AT(no_mouse), 0, 0},
    {"fresh", NULL, "start without the last session, and keep nothing of this one", CLI_FLAG, AT(fresh), 0, 0},
    {"script", "FILE", "keys to type on the screen, for tests and demonstrations", CLI_TEXT, AT(script), 0, 0},
    {"budget", "SECONDS", "start no point that is expected to end later than this", CLI_TEXT, AT(budget), 0, 0},
    {"resume", NULL, "leave out the points that the history has as done", CLI_FLAG, AT(resume), 0, 0},
    {"shard", "I/N", "only every N-th point, from the I-th on (default: all)", CLI_TEXT, AT(shard), 0, 0},
    {"csv:file", "FILE", "write the table as comma-separated values", CLI_TEXT, AT(csv_file), 0, 0},
    {"json:file", "FILE", "write the table as JSON", CLI_TEXT, AT(json_file), 0, 0},
    {"svg:file", "FILE", "draw the points and their front", CLI_TEXT, AT(svg_file), 0, 0},
    {"help", NULL, "this page", CLI_FLAG, AT(help), 0, 0},
};

const cli_command cli_commands[] = {
    {"screen", "", "open the workbench (what `vise` alone does)",
     "Opens the terminal screen with a model, a dataset and a recipe; Enter runs it. Press ? for the keys.",
     "model data arch recipe set out seed threads state no-cache cache-mb colour theme ascii no-mouse fresh "
     "script",
     0, 0, cli_screen},
    {"run", "RECIPE", "run a recipe without a screen",
     "RECIPE is a Lua file, or the name of a shipped recipe (`vise recipes`). On a terminal a progress line is shown, "
     "elsewhere plain lines; with --json one event a line.",
     "model data arch base set out seed threads state json quiet dry-run no-history no-cache cache-mb", 1, 1, cli_run},
    {"sweep", "RECIPE NAME=VALUES...", "run a recipe at every combination of some params",
     "VALUES are a range (2..8, 0..1:0.25), a list (32,64,128) or both; NAME is a param the recipe declares. Every "
     "point "
     "is a run in the history, so a sweep that was stopped or killed goes on with --resume, and `vise merge` joins the "
     "histories of shards. The table at the end marks the front of bytes against the reported figure. Files are "
     "written only with --out, one folder a point. See docs/sweeps.md.",
     "model data arch base set out seed threads state budget resume shard csv:file json:file svg:file quiet no-cache "
     "cache-mb",
     2, 256, cli_sweep},
    {"merge", "DIR...", "join other histories into this one",
     "DIR is a folder given to --state elsewhere, or its history.db. Finished runs are copied with all their rows and "
     "new numbers; a run that is here already is not copied again. The others are only read.",
     "state quiet", 1, 100000, cli_merge},
    {"recipes", "[NAME]", "list the shipped recipes, or show one",
     "Without a name: every shipped recipe with what it does. With a name or a file: its source and declared params.",
     "json", 0, 1, cli_recipes},
    {"info", "MODEL", "what a checkpoint holds",
     "Format, architecture, layers with shapes, parameters and bytes, how each is stored, total size and hash.",
     "arch base json", 1, 1, cli_info},
    {"eval", "MODEL [DATA]", "measure a checkpoint",
     "Prints the metric of the model's task with its 95 % interval on the test part of the dataset. Without DATA the "
     "dataset that belongs to a shipped model is used.",
     "arch base cut part threads json quiet", 1, 2, cli_eval},
    {"methods", "[NAME]", "list the compression methods, or explain one",
     "Without a name: every step, method, metric of sensitivity() and solver of allocate(), one line each. With a "
     "name: what it computes, arguments with defaults and "
     "ranges, data needed, cost, and the paper.",
     "json", 0, 1, cli_methods},
    {"history", "[RUN]", "list recorded runs, or show one",
     "Without a number: the newest runs. With one: its recipe, params, layers and figures.", "state limit json", 0, 1,
     cli_history},
    {"report", "RUN...", "recorded runs as one HTML page, CSV or JSON",
     "RUN is a number, a range (3..9), or the name of a recipe: every finished run of its newest text, such as a "
     "sweep. Writes one HTML file that needs nothing else (default: out/report.html): the layer tables, charts, "
     "sensitivity tables, allocations with predicted and measured loss, figures, recipe text, params, environment "
     "and how to replay each run. --csv: a line a layer, then a line a cell of the tables; --json: an object a run; "
     "both on standard output unless --out names a file.",
     "out csv json state", 1, 4096, cli_report},
    {"compare", "RUN RUN", "two recorded runs side by side",
     "Bytes, bits and error of each layer in both runs and which is better, layers that only one has, and the "
     "difference of the metric with whether its intervals overlap. Layers are matched by name.",
     "json state", 2, 2, cli_compare},
    {"tables", "", "list the cells of sensitivity tables that are kept",
     "What sensitivity() has measured and never measures again while network, steps, samples and program are the same: "
     "one "
     "line for each network, metric and set of samples.",
     "state json", 0, 0, cli_tables},
    {"replay", "RUN", "run a recorded run again and compare the bytes",
     "Runs the recorded recipe text with the recorded model, data and params, and compares the hash of each file it "
     "saves with the recorded one; exit code 1 when one differs.",
     "state out check threads quiet", 1, 1, cli_replay},
    {"cache", "[clear]", "what is kept between runs, or remove it",
     "Layers, activations and measurements of earlier runs are kept under the hash of everything they depend on, so "
     "that "
     "a run computes only what changed; its results are the same bytes. The longest unused go when the limit is "
     "reached. `vise cache clear` removes all of them.",
     "state cache-mb json", 0, 1, cli_cache},
};
const size_t cli_command_count = sizeof cli_commands / sizeof cli_commands[0];
enum { OPTION_COUNT = sizeof option_table / sizeof option_table[0] };

static bool takes(const cli_command *c, const char *name) {
    if (strcmp(name, "help") == 0) return true;
    size_t n = strlen(name);
    for (const char *p = c->options; (p = strstr(p, name)); p += n)
        if ((p == c->options || p[-1] == ' ') && (p[n] == 0 || p[n] == ' ')) return true;
    return false;
}

// Without what only tells rows of the table apart.
static size_t typed_length(const cli_option *o) {
    return strcspn(o->name, ":");
}

static void print_options(const cli_command *c) {
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const cli_option *o = &option_table[i];
        if (!takes(c, o->name)) continue;
        char left[40];
        snprintf(left, sizeof left, "--%.*s%s%s", (int)typed_length(o), o->name, o->value ? " " : "",
                 o->value ? o->value : "");
        printf("  %-20s %s\n", left, o->help);
    }
}

static void print_command_help(const cli_command *c) {
    bool screen = strcmp(c->name, "screen") == 0;
    printf("vise %s%s%s [options] - %s\n\n%s\n\nOptions:\n", screen ? "" : c->name, *c->args ? " " : "", c->args,
           c->help, c->about);
    print_options(c);
    if (screen) return;
    printf("\nExit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped.\n");
}

static void print_help(void) {
    printf("vise %s - a workbench for compressing trained neural networks\n\n"
           "  vise                         open the screen\n",
           VISE_VERSION);
    for (size_t i = 1; i < cli_command_count; i++) {
        char left[64];
        snprintf(left, sizeof left, "vise %s %s", cli_commands[i].name, cli_commands[i].args);
        printf("  %-28s %s\n", left, cli_commands[i].help);
    }
    printf("\n`vise COMMAND --help` explains a command. Options of the screen:\n");
    print_options(&cli_commands[0]);
}

static const cli_command *find_command(const char *name, base_err *err) {
    const char *names[32];
    for (size_t i = 0; i < cli_command_count; i++) {
        names[i] = cli_commands[i].name;
        if (strcmp(name, names[i]) == 0) return &cli_commands[i];
    }
    const char *near = base_nearest(name, names, cli_command_count);
    base_fail_as(err, BASE_USAGE, "there is no command '%s'%s%s%s; `vise --help` lists them", name,
                 near ? ", did you mean '" : "", near ? near : "", near ? "'?" : "");
    return NULL;
}

static const cli_option *find_option(const cli_command *c, const char *name, size_t length, base_err *err) {
    char typed[OPTION_COUNT][24];
    const char *names[OPTION_COUNT];
    size_t count = 0;
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const cli_option *o = &option_table[i];
        if (!takes(c, o->name)) continue;
        snprintf(typed[count], sizeof typed[count], "%.*s", (int)typed_length(o), o->name);
        names[count] = typed[count];
        count++;
        if (typed_length(o) == length && strncmp(o->name, name, length) == 0) return o;
    }
    char word[64];
    snprintf(word, sizeof word, "%.*s", (int)(length < 60 ? length : 60), name);
    const char *near = base_nearest(word, names, count);
    base_fail_as(err, BASE_USAGE, "vise %s has no option --%s%s%s%s", c->name, word, near ? ", did you mean --" : "",
                 near ? near : "", near ? "?" : "");
    return NULL;
}

static bool set_option(const cli_option *o, const char *text, cli_options *options, base_err *err) {
    char *at = (char *)options + o->offset;
    if (o->kind == CLI_TEXT) {
        *(const char **)(void *)at = text;
    } else if (o->kind == CLI_LIST) {
        cli_list *list = (cli_list *)(void *)at;
        list->items = base_realloc(list->items, list->count + 1, sizeof *list->items);
        list->items[list->count++] = text;
    } else {
        char *end;
        errno = 0;
        long long value = strtoll(text, &end, 10);
        if (errno || end == text || *end || value < o->min || value > o->max)
            return base_fail_as(err, BASE_USAGE, "--%s takes a whole number from %lld to %lld, not '%s'", o->name,
                                (long long)o->min, (long long)o->max, text);
        *(int64_t *)(void *)at = value;
    }
    return true;
}

static bool parse(const cli_command *c, int argc, char **argv, cli_options *options, base_err *err) {
    bool only_args = false;
    for (int i = 0; i < argc; i++) {
        const char *a = argv[i];
        if (only_args || a[0] != '-' || a[1] == 0) {
            if (!a[0]) return base_fail_as(err, BASE_USAGE, "vise %s: argument %d is empty", c->name, i + 1);
            options->args[options->arg_count++] = a;
            continue;
        }
        if (strcmp(a, "--") == 0) {
            only_args = true;
            continue;
        }
        if (strcmp(a, "-h") == 0) a = "--help";
        if (strncmp(a, "--", 2) != 0)
            return base_fail_as(err, BASE_USAGE, "vise %s does not know '%s'; options are written --name value",
                                c->name, a);
        const char *equals = strchr(a, '=');
        size_t length = equals ? (size_t)(equals - a) - 2 : strlen(a) - 2;
        const cli_option *o = find_option(c, a + 2, length, err);
        if (!o) return false;
        if (o->kind == CLI_FLAG) {
            if (equals) return base_fail_as(err, BASE_USAGE, "--%s takes no value", o->name);
            *((bool *)(void *)((char *)options + o->offset)) = true;
            continue;
        }
        const char *value = equals ? equals + 1 : i + 1 < argc ? argv[++i] : NULL;
        if (!value)
            return base_fail_as(err, BASE_USAGE, "--%.*s needs a value: %s", (int)typed_length(o), o->name, o->value);
        // An empty value is a shell variable that was not set; taken as a path it would be the folder one is in.
        if (!*value)
            return base_fail_as(err, BASE_USAGE, "the value of --%.*s is empty; expected %s", (int)typed_length(o),
                                o->name, o->value);
        if (!set_option(o, value, options, err)) return false;
    }
    return true;
}

static int report(base_status status, const base_err *err) {
    if (status != BASE_OK && err->text[0]) cli_say(stderr, "vise: %s\n", err->text);
    return (int)status;
}

static int run_command(const cli_command *c, int argc, char **argv) {
    base_err err = {0};
    cli_options options = {.limit = 20};
    options.args = base_calloc((size_t)argc + 1, sizeof *options.args);
    base_status status = BASE_OK;
    if (!parse(c, argc, argv, &options, &err)) {
        status = cli_failed(&err);
    } else if (options.help) {
        print_command_help(c);
    } else if (options.arg_count < c->min_args || options.arg_count > c->max_args) {
        base_fail_as(&err, BASE_USAGE, "vise %s %s: %d argument%s given; `vise %s --help` explains", c->name, c->args,
                     options.arg_count, options.arg_count == 1 ? " was" : "s were", c->name);
        status = BASE_USAGE;
    } else if (options.base && access(options.base, F_OK) != 0) {
        base_fail(&err, "--base: there is no '%s'", options.base); // also where the model turns out not to need it
        status = BASE_FAILED;
    } else {
        status = c->run(&options, &err);
    }
    free(options.args);
    free(options.sets.items);
    int code = report(status, &err);
    // Output that could not be written (a full disk, a closed pipe) is a failure too.
    bool lost = ferror(stdout) != 0, failed = fflush(stdout) != 0;
    if ((lost || failed) && code == BASE_OK) {
        fprintf(stderr, "vise: cannot write to standard output: %s\n",
                failed ? strerror(errno) : "some of it was lost");
        code = BASE_FAILED;
    }
    return code;
}

int cli_main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0); // `vise run | tee log` shows each line as it comes, and in order with the errors
    if (argc >= 2 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0)) {
        printf("vise %s (OpenBLAS %s, kernel %s)\n", VISE_VERSION, num_blas_version(), num_blas_kernel());
        return BASE_OK;
    }
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)) {
        base_err err = {0};
        const cli_command *c = argc >= 3 ? find_command(argv[2], &err) : NULL;
        if (argc >= 3 && !c) return report(BASE_USAGE, &err);
        if (c)
            print_command_help(c);
        else
            print_help();
        return BASE_OK;
    }
    if (argc < 2 || argv[1][0] == '-') return run_command(&cli_commands[0], argc - 1, argv + 1);
    base_err err = {0};
    const cli_command *c = find_command(argv[1], &err);
    if (!c) return report(BASE_USAGE, &err);
    return run_command(c, argc - 2, argv + 2);
}
