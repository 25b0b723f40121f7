// The preview of the Start tab, made in a task: what a model holds, the first samples of a dataset, a recipe's text,
// the first lines of anything else.
#include "ui/start.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { ROWS = 6, LAYERS = 40, TEXT_BYTES = 65536, TEXT_LINES = 200, SAMPLE_MOST = 1 << 20 };

static void say(start_look *l, ui_style style, const char *fmt, ...) BASE_PRINTF(3, 4);
static void say(start_look *l, ui_style style, const char *fmt, ...) {
    char text[600];
    va_list list;
    va_start(list, fmt);
    vsnprintf(text, sizeof text, fmt, list);
    va_end(list);
    ui_page_add(&l->raw, style, 0, text);
}

static bool look_model(start_look *l, base_job *job, base_err *err) {
    char size[24], shape[48], count[32];
    model *m = script_model_open(l->path, NULL, err);
    if (!m) return false;
    say(l, UI_STRONG, "%s", m->name);
    say(l, UI_NORMAL, "%s%s, %s, %d tensors", m->tensors->format,
        compress_is_packed(m->tensors) ? ", packed by Vise" : "", base_bytes_text(size, (double)model_stored_bytes(m)),
        m->tensors->count);
    say(l, UI_NORMAL, "%s parameters", ui_format(UI_AS_COUNT, (double)model_weight_count(m), count, sizeof count));
    if (m->arch && m->graph)
        say(l, UI_NORMAL, "architecture %s, %d layer%s, input %s", m->arch, m->layer_count,
            m->layer_count == 1 ? "" : "s",
            m->graph->input_kind == DATA_TOKENS
                ? "tokens"
                : num_shape_text(shape, m->graph->input.ndim - 1, m->graph->input.dim + 1));
    else
        say(l, UI_WARN, "no architecture fits: %s", m->why_no_arch ? m->why_no_arch : "");
    ui_page_add(&l->raw, UI_NORMAL, 0, "");
    for (int i = 0; i < m->layer_count && i < LAYERS && !base_cancelled(job); i++) {
        const model_layer *layer = &m->layers[i];
        say(l, UI_DIM, "%-22s %-10s %s", layer->name, layer->kind,
            num_shape_text(shape, layer->shape.ndim, layer->shape.dim));
    }
    if (m->layer_count > LAYERS) say(l, UI_DIM, "... %d more", m->layer_count - LAYERS);
    model_close(m);
    return true;
}

static const char *class_name(const data_set *s, int32_t label, char room[16]) {
    snprintf(room, 16, "%d", (int)label);
    return label >= 0 && s->class_names && label < s->classes ? s->class_names[label] : room;
}

// The first sample as a picture when it has the shape of one.
static void take_image(start_look *l, const data_set *s, const data_batch *b) {
    int channels = s->ndim == 3 ? (int)s->dim[0] : 1, at = s->ndim == 3;
    char room[16];
    if ((s->ndim != 2 && s->ndim != 3) || channels > 4 || b->count < 1) return;
    l->channels = channels;
    l->height = (int)s->dim[at];
    l->width = (int)s->dim[at + 1];
    l->image = base_alloc((size_t)s->sample_values * sizeof *l->image);
    memcpy(l->image, b->x, (size_t)s->sample_values * sizeof *l->image);
    if (b->labels) snprintf(l->caption, sizeof l->caption, "the first one: %s", class_name(s, b->labels[0], room));
}

static void show_features(start_look *l, const data_set *s, const data_batch *b) {
    char room[16];
    for (int64_t n = 0; n < b->count; n++) {
        base_buf line = {0};
        if (b->labels) base_buf_printf(&line, "%-10s ", class_name(s, b->labels[n], room));
        for (int64_t i = 0; i < s->sample_values && i < 12; i++)
            base_buf_printf(&line, " %6.3g", (double)b->x[n * s->sample_values + i]);
        if (s->sample_values > 12) base_buf_puts(&line, "  ...");
        say(l, UI_DIM, "%s", line.text);
        base_buf_free(&line);
    }
}

static void show_tokens(start_look *l, const data_set *s, const data_batch *b) {
    for (int64_t n = 0; n < b->count; n++) {
        int64_t length = b->lengths ? b->lengths[n] : b->length;
        const int32_t *tokens = b->tokens + n * b->length;
        if (length > 160) length = 160;
        base_buf line = {0};
        char *text = s->plain_text ? data_text(s, tokens, length) : NULL;
        for (int64_t i = 0; !text && i < length && i < 24; i++) base_buf_printf(&line, "%d ", (int)tokens[i]);
        say(l, UI_DIM, "%s ...", text ? text : line.text ? line.text : "");
        base_buf_free(&line);
        free(text);
    }
}

static bool look_data(start_look *l, base_job *job, base_err *err) {
    char shape[48], count[32];
    data_set *s = script_dataset_open(l->path, job, err);
    if (!s) return false;
    say(l, UI_STRONG, "%s", s->name);
    ui_format(UI_AS_COUNT, (double)s->count, count, sizeof count);
    if (s->kind == DATA_TOKENS)
        say(l, UI_NORMAL, "%s sequences of at most %lld tokens, vocabulary of %lld", count, (long long)s->sample_values,
            (long long)s->classes);
    else
        say(l, UI_NORMAL, "%s samples of %s, %lld classes", count, num_shape_text(shape, s->ndim, s->dim),
            (long long)s->classes);
    for (int p = 0; p < 3; p++) say(l, UI_NORMAL, "%-7s %lld", data_part_names[p], (long long)s->part_count[p]);
    ui_page_add(&l->raw, UI_NORMAL, 0, "");
    data_view *all = data_view_part(s, DATA_ALL, err), *first = NULL;
    data_batch batch = {0};
    bool ok = all && s->sample_values < SAMPLE_MOST;
    if (ok) first = data_view_range(all, 0, all->count < ROWS ? all->count : ROWS, err);
    if (first && data_fetch(first, 0, first->count, &batch, err)) {
        if (s->kind == DATA_TOKENS) {
            show_tokens(l, s, &batch);
        } else {
            take_image(l, s, &batch);
            show_features(l, s, &batch);
        }
    }
    data_batch_free(&batch);
    data_view_free(first);
    data_view_free(all);
    data_close(s);
    return true;
}

// The first lines; a file that is no text is only counted.
static bool look_text(start_look *l, base_job *job, base_err *err) {
    FILE *f = fopen(l->path, "rb");
    (void)job;
    if (!f) return base_fail(err, "%s cannot be read", l->path);
    char *text = base_alloc(TEXT_BYTES + 1);
    size_t n = fread(text, 1, TEXT_BYTES, f);
    fclose(f);
    text[n] = 0;
    if (memchr(text, 0, n)) {
        say(l, UI_DIM, "not a text");
    } else {
        char *rest = text;
        for (int i = 0; i < TEXT_LINES && rest; i++) {
            char *line = strsep(&rest, "\n");
            ui_page_add(&l->raw, strncmp(line, "--", 2) == 0 ? UI_DIM : UI_NORMAL, 0, line);
        }
    }
    free(text);
    return true;
}

static bool look_folder(start_look *l, base_job *job, base_err *err) {
    size_t count = 0;
    char **names = base_list_dir(l->path, &count, err);
    if (!names) return false;
    say(l, UI_NORMAL, "%zu files and folders", count);
    for (size_t i = 0; i < count && i < TEXT_LINES && !base_cancelled(job); i++) {
        char *path = base_join(l->path, names[i]);
        say(l, UI_DIM, "%-8s %s", start_kind(path), names[i]);
        free(path);
    }
    base_names_free(names, count);
    return true;
}

bool start_look_work(void *look, base_job *job, base_err *err) {
    static const struct {
        const char *kind;
        bool (*look)(start_look *l, base_job *job, base_err *err);
    } kinds[] = {{"model", look_model}, {"data", look_data}, {"recipe", look_text}, {"folder", look_folder}};
    start_look *l = look;
    struct stat st;
    if (stat(l->path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
        say(l, UI_DIM, "neither a file nor a folder"); // a pipe would keep us waiting
        return true;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].kind, l->kind) == 0) return kinds[i].look(l, job, err);
    return look_text(l, job, err);
}

void start_look_free(start_look *l) {
    ui_page_clear(&l->page);
    ui_page_clear(&l->raw);
    free(l->image);
    free(l);
}
