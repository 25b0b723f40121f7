// reference: the recipe language as Markdown. Steps, arguments and figures come from the tables that the program itself
// checks against; the functions from the table below, which a test compares with what is registered.
#include <math.h>
#include <string.h>

#include "script/matrix.h"
#include "script/recipe.h"

static const struct {
    const char *name, *call, *help;
} functions[] = {
    {"recipe", "recipe{ name =, about =, source = }",
     "Says what the recipe is: a name, one line about it, and the paper or standard it follows (or why it exists). "
     "Must "
     "come first; all three are needed."},
    {"param", "param(name, default, range, help)",
     "Declares a knob and returns its value. `range` is `{lowest, highest}` for numbers (whole numbers when all three "
     "are "
     "written without a point), `{\"a\", \"b\"}` for a choice, `nil` for true or false. The screen shows it as a "
     "control, "
     "`--set name=value` sets it. Params stand before the first call that does work."},
    {"arg", "arg.model, arg.data, arg.base", "What the caller gave as `--model`, `--data` and `--base`, or `nil`."},
    {"model", "model(path [, { arch = \"name\", base = \"path\" }])",
     "Opens a model. Fields: `name arch path weights bytes layers`; `layers` is a list of `{ name, kind, shape, rows, "
     "columns, weights }`."},
    {"dataset", "dataset(path) or dataset{ ... }",
     "Opens a dataset: a folder, a descriptor, one data file, or a descriptor written as a table (docs/datasets.md). "
     "`dataset(nil)` is a dataset without samples: what needs data then says so, everything else works."},
    {"default_data", "default_data(net)",
     "The path of the dataset that belongs to a shipped or known model, or `nil`."},
    {"rule", "rule(pattern, step, ...)",
     "Which steps which layers get. The pattern (PCRE2) is searched in the layers' names; `first` and `last` name the "
     "first "
     "and the last layer of any model. The first rule that matches a layer counts, with all its steps in order; a "
     "layer no "
     "rule matches stays as it is. A pattern that matches nothing is an error."},
    {"change", "change(layer, step, ... [, call])",
     "The steps of one layer, by its exact name, before all rules of the first call of `compress` (or the one that is "
     "counted by `call`); without steps the layer stays as it is. Steps typed for a layer while a run waits before it "
     "are recorded as such a line at the top of the recipe, so that `vise replay` gives the same bytes."},
    {"step", "step{ name =, apply = function(w, ctx) ... end [, about =] [, inputs =] }",
     "A step of your own, used in rules like the built-in ones: see \"A step of your own\"."},
    {"compress", "compress(net, { rule, ..., option = value })",
     "Walks the model layer by layer and applies the rules. Always starts from the weights as opened, so it can be "
     "called "
     "again. Returns `net`."},
    {"fold_batch_norms", "fold_batch_norms(net [, part])",
     "A new model whose batch norms are folded into the layers before them: see \"Rewriting a network\"."},
    {"equalise", "equalise(net [, part] [, { option = value }])",
     "A new model with the ranges of its channels shared out between neighbouring layers."},
    {"absorb_bias", "absorb_bias(net, part [, { option = value }])",
     "A new model whose high biases have moved through relu into the next layer."},
    {"smooth", "smooth(net, part [, { option = value }])",
     "A new model with SmoothQuant's scales folded into its norms."},
    {"rotate_stream", "rotate_stream(net [, part] [, { option = value }])",
     "A new model whose residual stream is rotated, the rotation folded into the layers around it."},
    {"permute_channels", "permute_channels(net [, part] [, { option = value }])",
     "A new model whose channels, hidden units and heads stand in the order of their importance."},
    {"shrink", "shrink(net, { what =, option = value [, calibrate = part] })",
     "A new, smaller model without the channels, hidden units, attention heads or residual blocks that matter least, "
     "and a table of its figures (`parameters`, `bytes`, `flops`, each also `_before`). What reads a removed piece "
     "loses the inputs for it and, with `repair`, its other inputs make up for them by least squares on the samples. "
     "`evaluate` compares the new model with the one it was made from; `compress` goes on from it."},
    {"learn_rotation", "learn_rotation(net, part [, { option = value }])",
     "A new model with a rotation of its residual stream and scales of its channels that were learned to be "
     "quantised."},
    {"correct_bias", "correct_bias(net, part)",
     "After compress: for each compressed layer the mean of its output on these samples is made what it was with the "
     "original weights, E[W x] - E[Wc xc] going to its bias or off the running mean of the batch norm behind it. "
     "Layers in order, each behind the corrected ones. (Nagel et al., ICCV 2019, arXiv 1906.04721, section 4.2.)"},
    {"reestimate_norms", "reestimate_norms(net, part)",
     "After compress: running means and variances of all batch norms are measured again on these samples, in order, "
     "with the compressed weights. (Batch-norm tuning of Hubara et al., arXiv 2006.10518.)"},
    {"reconstruct", "reconstruct(net, part [, { option = value }])",
     "After compress: integer codes of each block's layers are learned together on the output of the block "
     "(`vise methods reconstruct`). (BRECQ, arXiv 2102.05426; `window`: CBQ, arXiv 2312.07950.)"},
    {"tune_blocks", "tune_blocks(net, part [, { option = value }])",
     "After compress: the weights behind the codes, the scales and the zero points of each block's layers are learned "
     "on the output of the block; what was pruned stays so (`vise methods tune_blocks`). (GQSA, arXiv 2412.17560.)"},
    {"tune_biases", "tune_biases(net, part [, { option = value }])",
     "After compress: biases of layers and norms are learned on the divergence from the original network's outputs, "
     "weights stay (`vise methods tune_biases`). (Bias tuning of Hubara et al., arXiv 2006.10518.)"},
    {"tune_scales", "tune_scales(net, part [, { option = value }])",
     "After compress: scales and zero points of all layers are learned on the loss of the whole network, codes stay "
     "(`vise methods tune_scales`). (GQSA, arXiv 2412.17560.)"},
    {"cut", "cut(net [, bits or { bits = , bytes = }])",
     "After compress: from now on the network is what is left of it. bits: codes of quantize{nested=...} are rounded "
     "again to so many bits (double rounding). bytes: the first blocks of signs steps that so many bytes of arrays "
     "have "
     "room for, in the order of their gain over all layers. Each cut starts from what compress made; cut(net) goes "
     "back "
     "to it. A saved file opens cut with model(path, { cut = 4 }) and `vise eval FILE --cut 4`."},
    {"evaluate", "evaluate(net, part [, label])",
     "Measures the model on a part of a dataset and returns a table of figures (below). Of a compressed model it "
     "measures "
     "the original as well, once for each part: `figures.original`. What cannot be measured is absent from the table, "
     "with a warning. Samples that served for calibration, training or selection are warned about."},
    {"compare", "compare(a, b)",
     "Two tables that evaluate returned on the same samples, sample by sample: a's figures less b's, each with the 95 "
     "% "
     "interval of the mean difference: `kl`, `kl_low`, `kl_high`, likewise `loss` (nats), and `top1` (points) of "
     "networks that classify. Also a line in the log. An interval without 0 tells the two apart, even where their own "
     "intervals overlap, since what makes a sample hard for both drops out."},
    {"report", "report(value, ...)",
     "Shows figures: what `evaluate` returned goes to the screen, the log and the history (the original first); lists "
     "are "
     "reported entry by entry, other tables as `key value` lines."},
    {"save", "save(net, path [, notes])",
     "Writes a `.safetensors` file below the out folder (`--out`, usually `out`); a compressed model in its packed "
     "form. "
     "`notes` is a table of texts and numbers kept in the metadata of an uncompressed file. Returns `{ path, bytes, "
     "header_bytes, hash }`."},
    {"new_model", "new_model(arch, config [, seed])",
     "A new network of an architecture (docs/architectures.md), to be trained."},
    {"train", "train(net, { train =, check =, augment =, option = value })",
     "Trains a new network on a part of a dataset; `check` is the part that chooses the best moment. `augment(batch, "
     "step)` "
     "may change samples: `batch.count`, `batch.values`, `batch:get(i)`, `batch:set(i, values)`, `batch:scale(i, "
     "factor)`."},
    {"sensitivity", "sensitivity(net, { options =, metric =, calibrate =, measure =, layers =, except =, seed = })",
     "Measures what each option does to each layer and returns a table: see \"The study\"."},
    {"allocate", "allocate(table, { budget =, solver =, groups =, fixed = })",
     "Chooses an option for each layer of a sensitivity table, least loss within the budget: see \"The study\". What "
     "it returns goes into compress{} in the place of rules."},
    {"rank_correlation", "rank_correlation(a, b)",
     "Spearman's rank correlation of two sensitivity tables of the same layers and options (a table without options is "
     "repeated for each), or `nil` where fewer than three cells are in both."},
    {"log", "log(value, ...)", "A line in the log. `print` does the same."},
};
static const size_t function_count = sizeof functions / sizeof *functions;

static void print_cell(FILE *out, const char *text) {
    for (; *text; text++) {
        if (*text == '|')
            fputs("\\|", out);
        else
            fputc(*text, out);
    }
}

static void print_range(FILE *out, const base_arg *a) {
    if (a->type == BASE_TEXT) {
        print_cell(out, a->choices ? a->choices : "text");
    } else if (a->type == BASE_BOOL) {
        fputs("true or false", out);
    } else {
        const char *kind = a->type == BASE_INT ? "whole number" : "number";
        bool low = !isnan(a->min) && a->min != a->max, high = !isnan(a->max) && a->min != a->max && a->max < 1e9;
        if (low && high)
            fprintf(out, "%g .. %g", a->min, a->max);
        else if (low)
            fprintf(out, "%s from %g", kind, a->min);
        else
            fputs(kind, out);
    }
}

static void print_default(FILE *out, const base_arg *a) {
    if (a->type == BASE_TEXT)
        fprintf(out, "%s", a->text_def && *a->text_def ? a->text_def : "");
    else if (a->type == BASE_BOOL)
        fputs(a->def != 0 ? "true" : "false", out);
    else
        fprintf(out, "%g", a->def);
}

static void print_args(FILE *out, const base_arg *args, size_t count) {
    if (count == 0) return;
    fputs("| argument | value | default | what |\n|---|---|---|---|\n", out);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "| `%s` | ", args[i].name);
        print_range(out, &args[i]);
        fputs(" | ", out);
        print_default(out, &args[i]);
        fputs(" | ", out);
        print_cell(out, args[i].help);
        fputs(" |\n", out);
    }
    fputc('\n', out);
}

static void print_about(FILE *out, const char *at) {
    while (at && *at) {
        size_t n = strcspn(at, "\n");
        fprintf(out, "    %.*s\n", (int)n, at);
        at += n + (at[n] == '\n');
    }
}

static void print_step(FILE *out, const compress_step_kind *k) {
    fprintf(out, "### %s\n\n%c%s.\n\n", k->name, k->help[0] >= 'a' && k->help[0] <= 'z' ? k->help[0] - 32 : k->help[0],
            k->help + 1);
    print_args(out, k->args, k->arg_count);
    print_about(out, k->about);
    fprintf(out, "\nSource: %s.\nCost: %s.\n\n", k->source, k->cost);
}

static void print_rewrites(FILE *out) {
    fputs(
        "## Rewriting a network\n\n"
        "These calls take a model and give a new one, before `compress`: maps are folded into neighbouring layers, so "
        "that the\nnetwork computes what it did and compresses better, and no map is stored. The new network's logits "
        "are compared with the\nold one's, on samples of `part` where one is given, else on drawn ones; a difference "
        "above 1e-5 of the largest |logit|\nis an error. Each says in the log what was folded, and what was not and "
        "why; a network where nothing can be folded is\nan error. Options are given in braces: `NAME(net, part, { "
        "option = value })`.\n\n",
        out);
    for (size_t i = 0; i < compress_rewrite_count; i++) {
        const compress_rewrite *k = compress_rewrites[i];
        fprintf(out, "### %s\n\n%c%s.\n\n", k->name,
                k->help[0] >= 'a' && k->help[0] <= 'z' ? k->help[0] - 32 : k->help[0], k->help + 1);
        print_args(out, k->args, k->arg_count);
        print_about(out, k->about);
        fprintf(out, "\nSource: %s.\nCost: %s.\n\n", k->source, k->cost);
    }
}

static void print_heading(FILE *out, const char *name, const char *help) {
    fprintf(out, "#### %s\n\n%c%s.\n\n", name, help[0] >= 'a' && help[0] <= 'z' ? help[0] - 32 : help[0], help + 1);
}

static void print_study(FILE *out) {
    fputs(
        "## The study\n\n"
        "`sensitivity(net, { options = { [\"2\"] = quantize{ bits = 2 }, [\"4\"] = { smooth{}, quantize{ bits = 4 } } "
        "} })` "
        "measures each\nlayer under each option alone, everything else original. Options are steps or lists of steps, "
        "under a name each, or a\nlist of them (`name = \"...\"` inside, else named by their steps); `{}` leaves the "
        "layer as it is.\n\n"
        "| field | what |\n|---|---|\n"
        "| `options` | needed by metrics that look at them |\n"
        "| `metric` | one of those below; default `measured` |\n"
        "| `calibrate` | part that steps calibrate on, and gradients are taken of |\n"
        "| `measure` | part that the network is measured on; default: `calibrate`. The test part is warned about, and "
        "so "
        "are figures on samples that served here |\n"
        "| `layers`, `except` | patterns of the layers in the table; default: all |\n"
        "| `seed` | of steps and metrics that draw numbers |\n"
        "| others | arguments of the metric |\n\n"
        "The result has `rows` (layers), `options`, `metric`, `unit`, `measured` (cells measured by this call), and "
        "`value(layer,\noption)`, `error` (standard error), `bytes` and `seconds` likewise, `nil` where there is none; "
        "a "
        "table without options\nleaves the second out. `report(t)` draws it. Cells are kept in the history under the "
        "hash of the program, network,\nlayer, steps, samples, metric and seed: what was measured once is not measured "
        "again (`vise tables` lists them,\n`--no-cache` measures all). Steps of a recipe's own are not kept.\n\n"
        "`allocate(t, { budget = { bytes = 60000 } })` chooses an option for each layer: least sum of the table's "
        "values "
        "within\nthe budget.\n\n"
        "| field | what |\n|---|---|\n"
        "| `budget` | `{ bytes = }`: all arrays that the saved file holds, layers outside the table, norms and biases "
        "included, only the file's header aside: `bytes` of `evaluate`. `{ bits = }`: 8 x bytes of all layers / their "
        "weights, layers outside the table included, norms and biases not: `bits` of `evaluate`. `{ bitops = , "
        "activations = 8 }`: multiply-accumulates of one sample x bits of the weights (`bits` of the option's steps "
        "added "
        "up, 32 where none has any) x bits of the activations, layers outside the table included. `{ seconds = , "
        "samples = 1 }`: what the layers take one after another on this machine, each decoded from its stored form "
        "and run once on so many samples (`vise methods time`), layers outside the table included; measured by the "
        "clock, so the choice can differ from run to run until the times are kept in the history. Not for baq and "
        "waterfill, which reckon in bits |\n"
        "| `solver` | one of those below; default `exact` |\n"
        "| `groups` | lists of patterns: layers whose names differ only in what the patterns of one list match take "
        "the "
        "same option, such as `{ { \"q_proj\", \"k_proj\", \"v_proj\" } }` |\n"
        "| `fixed` | rules for layers outside the table; what they store is counted, and they stand first in the "
        "result. "
        "Other layers outside are counted as they are |\n"
        "| `measure` | for evopress, anneal and rco: part on which whole choices are measured, all layers under their "
        "options at once; without it they see the table's sums. Every layer is held under every option |\n"
        "| others | arguments of the solver |\n\n"
        "The result takes the place of rules: `compress(net, { calibrate = part, choice })`. Fields: `rules`, "
        "`options` "
        "(by layer),\n`loss`, `bound` (nothing within the budget is below), `gap` (to the optimum where it is known, "
        "else to "
        "the bound),\n`optimal`, `cost`, `budget`, `outside`, `bytes`, `bits`, `solver`, `metric`. `report(choice)` "
        "draws "
        "it, and `report(figures,\nchoice)` with what `evaluate` said afterwards puts predicted beside measured. "
        "Losses "
        "of layers do not add up exactly.\nA budget that nothing fits is an error with the nearest one that something "
        "does.\n\n### Metrics\n\n",
        out);
    for (size_t i = 0; i < study_metric_count; i++) {
        const study_metric *k = study_metrics[i];
        print_heading(out, k->name, k->help);
        print_args(out, k->args, k->arg_count);
        print_about(out, k->about);
        fprintf(out, "\nSource: %s.\nCost: %s.\n\n", k->source, k->cost);
    }
    fputs("### Solvers of allocate\n\n", out);
    for (size_t i = 0; i < study_allocator_count; i++) {
        const study_allocator *k = &study_allocators[i];
        print_heading(out, k->name, k->help);
        print_args(out, k->args, k->arg_count);
        print_about(out, k->about);
        fprintf(out, "\nSource: %s.\nCost: %s.\n\n", k->source, k->cost);
    }
}

static void print_figures(FILE *out) {
    fputs("| figure | unit | what |\n|---|---|---|\n", out);
    for (size_t i = 0; i < base_model_field_count; i++) {
        const base_field *f = &base_model_fields[i];
        fprintf(out, "| `%s` | ", f->name);
        print_cell(out, f->unit ? f->unit : "");
        fputs(" | ", out);
        print_cell(out, f->help ? f->help : "");
        fputs(" |\n", out);
    }
    fputc('\n', out);
}

static void print_functions(FILE *out, const matrix_function *list) {
    for (; list->name; list++) {
        if (!list->help) continue;
        fprintf(out, "| `%s` | ", list->call);
        print_cell(out, list->help);
        fputs(" |\n", out);
    }
}

static void print_own_steps(FILE *out) {
    fputs(
        "## A step of your own\n\n"
        "`step{ name =, about =, apply =, inputs = }` defines a step from operations on matrices; the recipe `my-rtn` "
        "is\nround to nearest in a dozen lines. `apply(w, ctx)` is called for each layer of the rule. `w` is a matrix "
        "[outputs x\ninputs]: what the terms so far leave over of the weight (a convolution's is [out x in kh kw]), 0 "
        "where it was pruned. It "
        "returns one or more\nterms, whose sum takes the place of `w`. They are stored, counted, checked (NaN, shapes, "
        "pruned weights stay 0), saved\nand read back as those of the built-in steps.\n"
        "`w` and `ctx.H` are copies: changing them changes nothing else. An error names the layer, the step and the "
        "line;\n"
        "so does a loop of 10 s of processor time in which no matrix was worked on. Lua's own tables and texts have 67 "
        "MB,\n"
        "all matrices together 8.6 GB or half of the machine's memory, whichever is less.\n\n"
        "| of ctx | what |\n|---|---|\n"
        "| `ctx.layer`, `ctx.rows`, `ctx.cols`, `ctx.groups`, `ctx.seed` | the layer's name, size, groups of a "
        "convolution, and a seed of its own |\n"
        "| `ctx.H` | second moment X^T X / n of its inputs [cols x cols] (of a grouped convolution the groups' below "
        "each other), or nil. `inputs = \"needed\"` insists on calibration data, `\"none\"` spares the work; "
        "`\"wanted\"` is the default |\n"
        "| `ctx.counts` | an embedding's: how often each row was used, or nil |\n"
        "| `ctx.mask` | 1 where a weight was kept by pruning, 0 where not; nil: nothing was pruned |\n"
        "| `ctx.codes{ codes =, scales =, bits = [, zeros =] [, group =] [, dtype =] }` | integer codes: value = scale "
        "* "
        "(code - zero), zero = 2^(bits-1) without `zeros`. Scales (and zeros) are [rows x 1], [1 x 1], or [rows x "
        "groups] with `group` inputs in each; they are stored in the shortest of f16, bf16, f32 that holds them "
        "exactly, or in `dtype` |\n"
        "| `ctx.levels{ codes =, levels =, bits = [, dtype =] }` | codes into a table of any values: value = level of "
        "the "
        "code, the first for code 0. `levels` is [1 x 2^bits], or [rows x 2^bits] for a table a row; f16 or f32 |\n"
        "| `ctx.dense(m [, dtype])` | the values as floats (`f16`); a later quantize step replaces them |\n"
        "| `ctx.lowrank(u, v [, dtype])` | the product of two factors |\n"
        "| `ctx.sparse(mask, m [, dtype])` | the values of `m` where `mask` is not 0, with their positions; later "
        "steps leave them alone |\n"
        "| `t:decode()`, `t.bytes` | of any such term: the matrix it stands for, and its stored size |\n\n"
        "### Matrices\n\n"
        "Values are float32; sums are taken in float64. `+ - * / ^` and the comparisons work value by value, with "
        "numbers,\nand with a single row or column, which is repeated. Rows and columns count from 1. `m.rows`, "
        "`m.cols` are the size.\n\n"
        "| function | what |\n|---|---|\n",
        out);
    print_functions(out, tensor_functions);
    print_functions(out, matrix_math);
    print_functions(out, matrix_algebra);
    print_functions(out, matrix_parts);
    fputc('\n', out);
}

void script_reference_markdown(FILE *out) {
    fputs("## Functions\n\n", out);
    for (size_t i = 0; i < function_count; i++)
        fprintf(out, "**`%s`**  \n%s\n\n", functions[i].call, functions[i].help);
    fputs("**`part:sample(n [, seed])`, `part:first(n)`, `#part`**  \nParts of a dataset are `.calib` (also called "
          "`.train`), `.select`, `.test` and `.all`; a sample is drawn without repetition.\n\n",
          out);
    fputs(
        "## Options of compress\n\n| argument | value | default | what |\n|---|---|---|---|\n"
        "| `calibrate` | part of a dataset | none | inputs that steps may look at, and on which errors are measured |\n"
        "| `held` | part of a dataset, or false | a sample of `.select` | inputs for the held-out error figures |\n",
        out);
    for (size_t i = 0; i < recipe_plan_arg_count; i++) {
        const base_arg *a = &recipe_plan_args[i];
        fprintf(out, "| `%s` | ", a->name);
        print_range(out, a);
        fputs(" | ", out);
        print_default(out, a);
        fprintf(out, " | %s |\n", a->help);
    }
    fputs("\n", out);
    print_rewrites(out);
    fputs("## Steps\n\n", out);
    for (size_t i = 0; i < compress_step_count; i++) print_step(out, compress_steps[i]);
    print_own_steps(out);
    print_study(out);
    fputs("## Figures of evaluate\n\n", out);
    print_figures(out);
    fputs("## Options of train\n\n", out);
    print_args(out, engine_train_args, engine_train_arg_count);
}

const char *recipe_function_help(const char *name) {
    for (size_t i = 0; i < function_count; i++)
        if (strcmp(functions[i].name, name) == 0) return functions[i].help;
    return NULL;
}
