// Histories of fixed rows, written below the recorder so that clocks and process numbers do not show in them.
#include "past.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "session/history.h"

static const struct {
    const char *name, *kind, *shape;
    int64_t weights;
    double error; // at four bits
} layers[] = {
    {"conv1", "conv2d", "16x1x3x3", 144, 0.0021},
    {"stage1.conv", "conv2d", "32x16x3x3", 4608, 0.0048},
    {"stage2.conv", "conv2d", "64x32x3x3", 18432, 0.0034},
    {"stage3.conv", "conv2d", "64x64x3x3", 36864, 0.0093},
    {"head.fc1", "linear", "128x256", 32768, 0.00042},
    {"head.fc2", "linear", "64x128", 8192, 0.000018},
    {"head.out", "linear", "10x64", 640, 0.13},
};
enum { LAYERS = sizeof layers / sizeof *layers };

static void must(bool ok, const base_err *err) {
    if (ok) return;
    fprintf(stderr, "past: %s\n", err->text);
    abort();
}

static void text(sqlite3_stmt *st, int slot, const char *value) {
    sqlite3_bind_text(st, slot, value ? value : "", -1, SQLITE_TRANSIENT);
}

static void put_layers(session_history *h, int64_t id, const past_run *r) {
    base_err err = {0};
    for (int i = 0; r->bits > 0 && i < LAYERS; i++) {
        double bits = r->bits + (r->mixed && i % 2 ? 1 : 0), error = layers[i].error * pow(4, 4 - bits);
        base_layer_row l = {.index = i,
                            .weights = layers[i].weights,
                            .bytes = (int64_t)((double)layers[i].weights * (bits + 0.25) / 8),
                            .bytes_before = layers[i].weights * 4,
                            .weight_error = error * 0.8,
                            .output_error = error,
                            .output_error_held = error * 1.1,
                            .chained_error = error * 1.5,
                            .chained_error_held = error * 1.6,
                            .sqnr_db = -10 * log10(error * 0.8),
                            .cosine = 1 - error / 2,
                            .damping = NAN,
                            .d_of_r = pow(2, -2 * bits),
                            .seconds = 0.125};
        l.bits = 8 * (double)l.bytes / (double)l.weights;
        snprintf(l.name, sizeof l.name, "%s", layers[i].name);
        snprintf(l.kind, sizeof l.kind, "%s", layers[i].kind);
        snprintf(l.shape, sizeof l.shape, "%s", layers[i].shape);
        snprintf(l.steps, sizeof l.steps, "quantize rtn b%g g64", bits);
        must(history_insert_row(h, "layers", id, i, &l, base_layer_fields, base_layer_field_count, &err), &err);
    }
}

static void put_models(session_history *h, int64_t id, const past_run *r) {
    base_err err = {0};
    base_model_row m = {.samples = 360,
                        .value = 98.33,
                        .low = 96.4,
                        .high = 99.2,
                        .loss = 0.061,
                        .kl = NAN,
                        .kl_low = NAN,
                        .kl_high = NAN,
                        .flips = -1,
                        .bytes = 408224,
                        .header_bytes = 1192,
                        .bits = 32,
                        .peak_bytes = 3145728,
                        .seconds = 0.5};
    snprintf(m.label, sizeof m.label, "original");
    snprintf(m.data, sizeof m.data, "digits/test");
    snprintf(m.metric, sizeof m.metric, "%s", r->metric ? r->metric : "top1");
    if (r->metric) m.value = 4.18, m.low = 4.08, m.high = 4.28;
    if (r->bits > 0 || isfinite(r->value))
        must(history_insert_row(h, "models", id, 0, &m, base_model_fields, base_model_field_count, &err), &err);
    if (!isfinite(r->value)) return;
    snprintf(m.label, sizeof m.label, "compressed");
    m.value = r->value;
    m.low = r->low;
    m.high = r->high;
    m.kl = r->kl;
    m.kl_low = r->kl - r->spread;
    m.kl_high = r->kl + r->spread;
    m.flips = (int64_t)(r->kl * 300);
    m.bytes = r->bytes;
    m.bits = r->bits + 0.25;
    must(history_insert_row(h, "models", id, 1, &m, base_model_fields, base_model_field_count, &err), &err);
}

int64_t past_add(session_history *h, const past_run *r) {
    base_err err = {0};
    sqlite3_stmt *st;
    must(history_prepare(
             h,
             "INSERT INTO runs(recipe, recipe_path, recipe_text, recipe_hash, model, model_hash, data,"
             " data_hash, params, settings, seeds, environment, output, output_hash, output_bytes,"
             " output_header_bytes, started, seconds, status, message, peak_bytes, pid)"
             " VALUES(?1, ?2, ?3, ?4, ?5, ?6, '/data/digits', 'd0', ?7, ?8, '[1]', '{\"threads\":1}', '', '', 0, 0,"
             " ?9, ?10, ?11, ?12, 3145728, 0)",
             &st, &err),
         &err);
    char hash[33] = "", path[200], settings[300];
    base_hash_of(r->text ? r->text : "", r->text ? strlen(r->text) : 0, hash);
    snprintf(path, sizeof path, "recipes/%s.lua", r->recipe);
    snprintf(settings, sizeof settings, "{\"model\":\"%s\",\"seed\":0}", r->model);
    text(st, 1, r->recipe);
    text(st, 2, path);
    text(st, 3, r->text);
    text(st, 4, hash);
    text(st, 5, r->model);
    text(st, 6, base_basename(r->model));
    text(st, 7, r->params ? r->params : "{}");
    text(st, 8, settings);
    sqlite3_bind_int64(st, 9, r->started);
    sqlite3_bind_double(st, 10, r->seconds);
    text(st, 11, r->status ? r->status : "done");
    text(st, 12, r->message);
    must(history_step_done(h, st, &err), &err);
    int64_t id = sqlite3_last_insert_rowid(h->db);
    put_layers(h, id, r);
    put_models(h, id, r);
    if (r->table) {
        must(history_prepare(h, "INSERT INTO tables VALUES(?1, 0, ?2)", &st, &err), &err);
        sqlite3_bind_int64(st, 1, id);
        text(st, 2, r->table);
        must(history_step_done(h, st, &err), &err);
    }
    return id;
}

// ---- the story -------------------------------------------------------------------------------------

#define DIGITS "/models/digits-cnn.safetensors"
#define RECIPE                                                                                                         \
    "recipe{ name = \"story\", about = \"Every layer to a few bits.\", source = \"a test\" }\n"                        \
    "local bits = param(\"bits\", 4, {1, 8}, \"width of the codes\")\n"                                                \
    "local group = param(\"group\", 64, {8, 256}, \"weights that share a scale\")\n"

// Sensitivity of the seven layers at 2, 3, 4 and 8 bits: KL alone and bytes.
static char *table_text(void) {
    static const double bits[] = {2, 3, 4, 8};
    base_buf b = {0};
    base_buf_puts(&b, "{\"kind\":\"sensitivity\",\"metric\":\"kl\",\"unit\":\"nats\",\"rows\":[");
    for (int i = 0; i < LAYERS; i++) base_buf_printf(&b, "%s\"%s\"", i ? "," : "", layers[i].name);
    base_buf_puts(
        &b, "],\"options\":[\"2\",\"3\",\"4\",\"8\"],\"steps\":[\"quantize{ bits = 2 }\",\"quantize{ bits = 3 }\","
            "\"quantize{ bits = 4 }\",\"quantize{ bits = 8 }\"],\"value\":[");
    for (int i = 0; i < LAYERS; i++)
        for (int k = 0; k < 4; k++)
            base_buf_printf(&b, "%s%.9g%s",
                            k   ? ","
                            : i ? ",["
                                : "[",
                            layers[i].error * pow(4, 4 - bits[k]) * 0.1, k == 3 ? "]" : "");
    base_buf_puts(&b, "],\"bytes\":[");
    for (int i = 0; i < LAYERS; i++)
        for (int k = 0; k < 4; k++)
            base_buf_printf(&b, "%s%lld%s",
                            k   ? ","
                            : i ? ",["
                                : "[",
                            (long long)((double)layers[i].weights * (bits[k] + 0.25) / 8), k == 3 ? "]" : "");
    base_buf_puts(&b, "],\"weights\":[");
    for (int i = 0; i < LAYERS; i++) base_buf_printf(&b, "%s%lld", i ? "," : "", (long long)layers[i].weights);
    base_buf_puts(&b, "]}");
    return b.text;
}

static session_history *open_at(const char *dir) {
    base_err err = {0};
    session_history *h = session_history_open(dir, &err);
    must(h != NULL, &err);
    return h;
}

void past_story(const char *dir) {
    char *table = table_text();
    const int64_t day = 86400, first = 1795000000;
    const past_run runs[] = {
        {"w8", RECIPE, "{\"bits\":8,\"group\":64}", DIGITS, NULL, "", first, 2.5, 8, 98.33, 96.4, 99.2, 0.0004, 0.0001,
         NULL, 104800, false, NULL},
        {"w4", RECIPE, "{\"bits\":4,\"group\":64}", DIGITS, NULL, "", first + 60, 2.25, 4, 97.22, 95.0, 98.5, 0.0123,
         0.0022, NULL, 55680, false, NULL},
        {"w4", RECIPE, "{\"bits\":3,\"group\":64}", DIGITS, NULL, "", first + 120, 2, 3, 93.06, 90.0, 95.2, 0.061,
         0.008, NULL, 43000, false, NULL},
        {"w4", RECIPE, "{\"bits\":2,\"group\":64}", DIGITS, NULL, "", first + 200, 1.75, 2, 71.4, 66.5, 75.8, 0.72,
         0.06, NULL, 30300, false, NULL},
        {"gptq", RECIPE, "{\"bits\":4,\"group\":64}", DIGITS, NULL, "", first + day, 8.5, 4, 98.06, 96.0, 99.0, 0.0051,
         0.001, NULL, 55680, false, NULL},
        {"gptq", RECIPE, "{\"bits\":3,\"group\":32}", DIGITS, NULL, "", first + day + 90, 9, 3, 96.94, 94.6, 98.3,
         0.019, 0.003, NULL, 46100, true, NULL},
        {"gptq", RECIPE, "{\"bits\":9,\"group\":32}", DIGITS, "failed", "bits is 9; 1 to 8 was expected",
         first + day + 200, 0.25, 0, NAN, NAN, NAN, NAN, NAN, NULL, 0, false, NULL},
        {"gptq", RECIPE, "{\"bits\":2,\"group\":32}", DIGITS, "cancelled", "stopped", first + day + 300, 4, 2, NAN, NAN,
         NAN, NAN, NAN, NULL, 0, false, NULL},
        {"sensitivity", RECIPE, "{}", DIGITS, NULL, "", first + 2 * day, 31, 0, NAN, NAN, NAN, NAN, NAN, NULL, 0, false,
         table},
        {"mixed", RECIPE, "{\"bits\":3,\"group\":64}", DIGITS, NULL, "", first + 2 * day + 60, 12, 3, 97.5, 95.3, 98.7,
         0.011, 0.002, NULL, 48900, true, NULL},
        {"w4", RECIPE, "{\"bits\":4,\"group\":64}", "/models/stories260K.safetensors", NULL, "", first + 2 * day + 500,
         40, 4, 4.31, 4.2, 4.42, 0.04, 0.004, "perplexity", 163000, false, NULL},
    };
    session_history *h = open_at(dir);
    base_err err = {0};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) past_add(h, &runs[i]);
    must(session_history_pin(h, 6, true, &err), &err);
    must(session_history_note(h, 4, "too far for this network", &err), &err);
    session_history_close(h);
    free(table);
}

void past_many(const char *dir, int count) {
    session_history *h = open_at(dir);
    sqlite3_exec(h->db, "BEGIN", NULL, NULL, NULL);
    for (int i = 0; i < count; i++) {
        double bits = 2 + i % 7, kl = pow(4, -bits) * (1 + 0.5 * sin(i));
        char params[80];
        snprintf(params, sizeof params, "{\"bits\":%d,\"group\":%d}", 2 + i % 7, 16 + i % 113);
        past_run r = {.recipe = "w4",
                      .text = RECIPE,
                      .params = params,
                      .model = DIGITS,
                      .started = 1795000000 + i,
                      .seconds = 1,
                      .bits = bits,
                      .value = 98.33 - 20 * kl,
                      .low = 97.33 - 20 * kl,
                      .high = 98.9 - 20 * kl,
                      .kl = kl,
                      .spread = kl / 10,
                      .bytes = (int64_t)(12700 * (bits + 0.25)) + i % 997};
        past_add(h, &r);
    }
    sqlite3_exec(h->db, "COMMIT", NULL, NULL, NULL);
    session_history_close(h);
}
