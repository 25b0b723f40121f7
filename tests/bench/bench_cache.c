// What a re-run costs: a whole gptq run with its evaluation, then the same with the rules of the last third of the
// layers changed, and with the classifier's alone, through the cache; the bytes must be those of runs without it.
#include "script/script.h"
#include "tests/support/support.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct bench {
    model *m;
    data_set *set;
    data_view *calib, *test;
    base_cache *cache;
} bench;

static compress_step gptq(int bits) {
    base_err err = {0};
    compress_step s = {.kind = compress_step_find("quantize")};
    base_arg_defaults(s.kind->args, s.kind->arg_count, s.value);
    if (!base_arg_set_text("bench", s.kind->args, s.kind->arg_count, s.value, "solver", "gptq", &err) ||
        !base_arg_set_number("bench", s.kind->args, s.kind->arg_count, s.value, "bits", bits, &err))
        exit(1);
    return s;
}

// Seconds on the clock and of all processors; the latter count what others on the machine do not disturb.
typedef struct spent {
    double wall, cpu;
} spent;

// Layers from `from` on take 3 bits, the rest 4. Seconds, and the hash of the file.
static spent run(const bench *b, int from, bool cached, char hash[33]) {
    base_err err = {0};
    compress_step steps[2] = {gptq(3), gptq(4)};
    base_buf pattern = {0};
    base_buf_puts(&pattern, "^(");
    for (int i = from; i < b->m->layer_count; i++)
        base_buf_printf(&pattern, "%s%s", i > from ? "|" : "", b->m->layers[i].name);
    base_buf_puts(&pattern, ")$");
    compress_rule rules[2] = {{pattern.text, &steps[0], 1}, {(char *)".*", &steps[1], 1}};
    bool all = from < b->m->layer_count;
    compress_plan plan = {.rules = all ? rules : rules + 1, .rule_count = all ? 2 : 1, .calib = b->calib, .seed = 1};
    base_job job = {.cache = cached ? b->cache : NULL};
    compress_result *r = NULL;
    base_model_row row = {0};
    compress_saved saved;
    double began = base_now();
    clock_t ticks = clock();
    bool ok = compress_run(b->m, &plan, &job, &r, &err) &&
              engine_measure(b->m, compress_weights(r), b->m->weights, b->test, &row, &job, &err);
    spent s = {base_now() - began, (double)(clock() - ticks) / CLOCKS_PER_SEC};
    ok = ok && compress_save(r, support_temp_path("bench.safetensors"), NULL, &saved, &err);
    if (!ok) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    memcpy(hash, saved.hash, 33);
    compress_result_free(r);
    base_buf_free(&pattern);
    return s;
}

int main(void) {
    base_err err = {0};
    const char *real = support_real("models/resnet20_cifar10.safetensors");
    char *path = real ? base_strdup(real) : base_join(support_tree(), "data/models/digits-cnn.safetensors");
    char *data = base_join(support_tree(), real ? "tests/real/cifar10.lua" : "data/digits");
    bench b = {.m = script_model_open(path, NULL, &err)};
    b.set = b.m ? script_dataset_open(data, NULL, &err) : NULL;
    data_view *all = b.set ? data_view_part(b.set, DATA_CALIB, &err) : NULL;
    b.calib = all ? data_view_sample(all, all->count < 1024 ? all->count : 1024, 1, &err) : NULL;
    b.test = b.calib ? data_view_part(b.set, DATA_TEST, &err) : NULL;
    b.cache = b.test ? base_cache_open(support_temp_dir(), (size_t)2 << 30, &err) : NULL;
    if (!b.cache) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    int n = b.m->layer_count;
    char plain[33], cached[33];
    spent whole = run(&b, n, true, cached), without = run(&b, n, false, plain);
    printf("%s, gptq of all %d layers, %lld images, and evaluation: %.2f s (processors %.2f s), without a cache %.2f s "
           "(%.2f s)%s\n",
           b.m->name, n, (long long)b.calib->count, whole.wall, whole.cpu, without.wall, without.cpu,
           strcmp(plain, cached) ? ", OTHER BYTES" : "");
    bool same = !strcmp(plain, cached);
    const int from[] = {n - n / 3, n - 1, n};
    static const char *const names[] = {"the last third changed", "the classifier changed", "nothing changed"};
    for (int k = 0; k < 3; k++) {
        spent again = run(&b, from[k], true, cached);
        run(&b, from[k], false, plain);
        same = same && !strcmp(plain, cached);
        printf("  %-24s %7.3f s, %5.1f %% of the whole; %5.1f %% of its processors' time\n", names[k], again.wall,
               100 * again.wall / without.wall, 100 * again.cpu / without.cpu);
    }
    puts(same ? "  all files the same bytes as without the cache" : "  FILES DIFFER");
    data_view_free(all);
    data_view_free(b.calib);
    data_view_free(b.test);
    data_close(b.set);
    model_close(b.m);
    base_cache_close(b.cache);
    free(path);
    free(data);
    return same ? 0 : 1;
}
