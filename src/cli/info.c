// vise info: what a checkpoint holds, layer by layer, and how each layer is stored.
#include "cli/command.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static int64_t tensor_bytes(const model *m, const model_layer *l) {
    int index = m->graph ? m->param_tensor[l->weight] : l->weight;
    if (index < 0) return 0;
    const model_tensor *t = &m->tensors->items[index];
    return (int64_t)(t->packed ? t->packed : t->bytes);
}

static const char *tensor_name(const model *m, const model_layer *l) {
    return m->graph ? m->graph->params[l->weight].name : m->tensors->items[l->weight].name;
}

// Stored form in words: a packed file describes its terms, a plain one has a data type.
static char *stored_as(const model *m, const model_layer *l) {
    char *packed = compress_describe(m->tensors, tensor_name(m, l));
    const model_tensor *t = model_tensors_find(m->tensors, tensor_name(m, l));
    if (packed && (!t || !t->entropy[0])) return packed;
    if (packed) {
        char *both = base_sprintf("%s%s%s, entropy of the codes %s bits", packed, t->coders[0] ? ", coded " : "",
                                  t->coders, t->entropy);
        free(packed);
        return both;
    }
    return base_strdup(t ? num_dtypes[t->t.dtype].name : "-");
}

static void print_text(const model *m) {
    char size[24], shape[48], clean[256];
    base_clean(clean, sizeof clean, m->name);
    printf("%s: %s%s, %lld values in %d tensor%s, %s of tensors + %zu bytes of header, xxh128 %s\n", clean,
           m->tensors->format, compress_is_packed(m->tensors) ? " (packed by Vise)" : "",
           (long long)model_weight_count(m), m->tensors->count, m->tensors->count == 1 ? "" : "s",
           base_bytes_text(size, (double)model_stored_bytes(m)), m->tensors->header_bytes, m->tensors->hash);
    if (m->arch && m->graph) {
        const model_shape *in = &m->graph->input;
        printf("architecture %s%s: %d node%s, %d layer%s, input %s, %.2f MFLOP a %s\n", m->arch,
               m->rewritten ? " (rewritten, the graph is in the file)" : "", m->graph->node_count,
               m->graph->node_count == 1 ? "" : "s", m->layer_count, m->layer_count == 1 ? "" : "s",
               m->graph->input_kind == DATA_TOKENS ? "tokens" : num_shape_text(shape, in->ndim - 1, in->dim + 1),
               model_graph_flops(m->graph, 1, 1) / 1e6, m->graph->input_kind == DATA_TOKENS ? "token" : "sample");
    } else {
        printf("no architecture fits, so it opens for per-tensor work only: %s\n",
               m->why_no_arch ? m->why_no_arch : "");
    }
    int width = 12;
    for (int i = 0; i < m->layer_count; i++) {
        int columns = base_columns(m->layers[i].name);
        if (columns > width) width = columns > 48 ? 48 : columns;
    }
    printf("\n%-*s %-11s %-16s %10s %10s %7s  %s\n", width, "layer", "kind", "shape", "weights", "bytes", "bits",
           "stored as");
    for (int i = 0; i < m->layer_count; i++) {
        const model_layer *l = &m->layers[i];
        base_clean(clean, sizeof clean, l->name);
        char *stored = stored_as(m, l);
        int64_t bytes = tensor_bytes(m, l);
        printf("%-*s %-11s %-16s %10lld %10lld %7.3f  %s\n", width, clean, l->kind,
               num_shape_text(shape, l->shape.ndim, l->shape.dim), (long long)l->weights, (long long)bytes,
               l->weights ? 8.0 * (double)bytes / (double)l->weights : 0.0, stored);
        free(stored);
    }
}

static void print_json(const model *m) {
    json_t *o = json_object(), *list = json_array();
    json_object_set_new(o, "name", json_string(m->name));
    json_object_set_new(o, "format", json_string(m->tensors->format));
    json_object_set_new(o, "packed", json_boolean(compress_is_packed(m->tensors)));
    json_object_set_new(o, "arch", m->arch ? json_string(m->arch) : json_null());
    json_object_set_new(o, "rewritten", json_boolean(m->rewritten));
    if (m->why_no_arch) json_object_set_new(o, "why_no_arch", json_string(m->why_no_arch));
    json_object_set_new(o, "values", json_integer((json_int_t)model_weight_count(m)));
    json_object_set_new(o, "bytes", json_integer((json_int_t)model_stored_bytes(m)));
    json_object_set_new(o, "header_bytes", json_integer((json_int_t)m->tensors->header_bytes));
    json_object_set_new(o, "hash", json_string(m->tensors->hash));
    for (int i = 0; i < m->layer_count; i++) {
        const model_layer *l = &m->layers[i];
        char shape[48], *stored = stored_as(m, l);
        json_t *row = json_object();
        json_object_set_new(row, "name", json_string(l->name));
        json_object_set_new(row, "kind", json_string(l->kind));
        json_object_set_new(row, "shape", json_string(num_shape_text(shape, l->shape.ndim, l->shape.dim)));
        json_object_set_new(row, "weights", json_integer((json_int_t)l->weights));
        json_object_set_new(row, "bytes", json_integer((json_int_t)tensor_bytes(m, l)));
        json_object_set_new(row, "stored", json_string(stored));
        const model_tensor *t = model_tensors_find(m->tensors, tensor_name(m, l));
        if (t && t->entropy[0]) json_object_set_new(row, "entropy", json_string(t->entropy));
        if (t && t->coders[0]) json_object_set_new(row, "coded", json_string(t->coders));
        json_array_append_new(list, row);
        free(stored);
    }
    json_object_set_new(o, "layers", list);
    char *text = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER);
    puts(text ? text : "{}");
    free(text);
    json_decref(o);
}

base_status cli_info(const cli_options *o, base_err *err) {
    model *m = script_model_open_on(o->args[0], o->arch, o->base, err);
    if (!m) return cli_failed(err);
    if (o->json)
        print_json(m);
    else
        print_text(m);
    model_close(m);
    return BASE_OK;
}
