// model: binding a graph to the tensors of a file, new models with drawn weights, the list of layers, and saving.
#include "model/files.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct model_owned {
    void **blocks; // base_big_alloc: converted or transposed weights
    int block_count;
    float **writable; // created models: the same pointers as model->weights; NULL else
};

static bool is_float(num_dtype d) {
    return d == NUM_F64 || d == NUM_F32 || d == NUM_F16 || d == NUM_BF16;
}

// ---- matching ----------------------------------------------------------------------------------

static bool missing(const model_tensors *t, const model_param *p, base_err *err) {
    const char **names = base_calloc((size_t)t->count + 1, sizeof *names);
    for (int k = 0; k < t->count; k++) names[k] = t->items[k].name;
    const char *near = base_nearest(p->name, names, (size_t)t->count);
    char shape[48];
    model_shape_text(shape, &p->shape);
    base_fail(err, "%s: tensor '%s' of shape %s is missing%s%s%s", t->path, p->name, shape,
              near ? "; the nearest is '" : "", near ? near : "", near ? "'" : "");
    free(names);
    return false;
}

static bool param_fits(const model_param *p, const model_tensor *tensor, const char *path, base_err *err) {
    bool turned = p->transposed && !tensor->graph_order;
    model_shape want = p->shape;
    if (turned) want = (model_shape){2, {p->shape.dim[1], p->shape.dim[0]}};
    bool same = tensor->t.ndim == want.ndim;
    for (int d = 0; same && d < want.ndim; d++) same = tensor->t.dim[d] == want.dim[d];
    char a[48], b[48];
    if (!same)
        return base_fail(err, "%s: tensor '%s' has shape %s, expected %s%s", path, p->name,
                         num_shape_text(a, tensor->t.ndim, tensor->t.dim), model_shape_text(b, &want),
                         turned ? " (stored as [in x out])" : "");
    if (!is_float(tensor->t.dtype))
        return base_fail(err, "%s: tensor '%s' has dtype %s, expected floating-point weights", path, p->name,
                         num_dtypes[tensor->t.dtype].safetensors);
    return true;
}

bool model_matches(const model_graph *graph, const model_tensors *tensors, base_err *err) {
    for (int k = 0; k < graph->param_count; k++) {
        const model_tensor *tensor = model_tensors_find(tensors, graph->params[k].name);
        if (!tensor) return missing(tensors, &graph->params[k], err);
        if (!param_fits(&graph->params[k], tensor, tensors->path, err)) return false;
    }
    return true;
}

// ---- values ------------------------------------------------------------------------------------

static float *own(model *m, size_t count, const char *what, base_err *err) {
    float *block = base_big_alloc(count ? count : 1, sizeof *block, what, err);
    if (!block) return NULL;
    struct model_owned *o = m->owned;
    o->blocks = base_realloc(o->blocks, (size_t)o->block_count + 1, sizeof *o->blocks);
    o->blocks[o->block_count++] = block;
    return block;
}

static bool check_finite(const char *path, const char *name, const float *x, size_t count, base_err *err) {
    if (num_all_finite(x, count)) return true;
    size_t k = 0;
    while (k < count && isfinite(x[k])) k++;
    return base_fail(err, "%s: value %zu of tensor '%s' is %s, expected finite weights", path, k, name,
                     k < count && isnan(x[k]) ? "NaN" : "infinite");
}

// The tensor's values as float32, in the graph's order: mapped when possible, else an owned copy.
static const float *values_of(model *m, const model_tensor *tensor, bool turn, base_err *err) {
    size_t count, bytes;
    if (!num_count(tensor->t.ndim, tensor->t.dim, tensor->t.dtype, &count, &bytes)) {
        base_fail(err, "%s: tensor '%s' is too large", m->tensors->path, tensor->name);
        return NULL;
    }
    const float *x = tensor->t.data;
    if (tensor->t.dtype != NUM_F32 || (uintptr_t)x % sizeof(float) || !x) {
        float *copy = own(m, count, tensor->name, err);
        if (!copy) return NULL;
        if (count) num_to_f32(tensor->t.dtype, tensor->t.data, copy, count);
        x = copy;
    }
    if (!check_finite(m->tensors->path, tensor->name, x, count, err)) return NULL;
    if (!turn) return x;
    float *out = own(m, count, tensor->name, err);
    if (!out) return NULL;
    int64_t rows = tensor->t.dim[0], columns = tensor->t.dim[1];
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++) out[c * rows + r] = x[r * columns + c];
    return out;
}

static bool bind_graph(model *m, base_err *err) {
    const model_graph *g = m->graph;
    if (!model_matches(g, m->tensors, err)) return false;
    m->weight_count = g->param_count;
    m->weights = base_calloc((size_t)g->param_count + 1, sizeof *m->weights);
    m->param_tensor = base_calloc((size_t)g->param_count + 1, sizeof *m->param_tensor);
    for (int k = 0; k < g->param_count; k++) {
        const model_tensor *tensor = model_tensors_find(m->tensors, g->params[k].name);
        m->param_tensor[k] = (int)(tensor - m->tensors->items);
        m->weights[k] = values_of(m, tensor, g->params[k].transposed && !tensor->graph_order, err);
        if (!m->weights[k]) return false;
    }
    return true;
}

static bool bind_tensors(model *m, base_err *err) {
    const model_tensors *t = m->tensors;
    m->weight_count = t->count;
    m->weights = base_calloc((size_t)t->count + 1, sizeof *m->weights);
    m->param_tensor = base_calloc((size_t)t->count + 1, sizeof *m->param_tensor);
    for (int k = 0; k < t->count; k++) {
        m->param_tensor[k] = k;
        if (!is_float(t->items[k].t.dtype)) continue;
        m->weights[k] = values_of(m, &t->items[k], false, err);
        if (!m->weights[k]) return false;
    }
    return true;
}

// ---- layers ------------------------------------------------------------------------------------

static void add_layer(model *m, model_layer layer, const char *name, const char *kind) {
    m->layers = base_realloc(m->layers, (size_t)m->layer_count + 1, sizeof *m->layers);
    layer.name = base_strdup(name);
    snprintf(layer.kind, sizeof layer.kind, "%s", kind);
    layer.out = layer.shape.ndim ? layer.shape.dim[0] : 1;
    layer.weights = model_shape_count(&layer.shape);
    layer.in = layer.out ? layer.weights / layer.out : 0;
    m->layers[m->layer_count++] = layer;
}

// One layer for each compressible weight, in the order of the nodes; a tied weight belongs to its first node.
static void graph_layers(model *m) {
    const model_graph *g = m->graph;
    for (int k = 0; k < g->node_count; k++) {
        const model_node *node = &g->nodes[k];
        int which = model_ops[node->op].weight_param;
        if (which < 0 || which >= node->param_count || node->param[which] < 0) continue;
        int weight = node->param[which];
        if (g->params[weight].node != k) continue;
        int bias = node->param_count > 1 ? node->param[1] : -1;
        int64_t groups = node->op == MODEL_CONV2D ? (int64_t)node->attr[CONV_GROUPS] : 1;
        add_layer(m,
                  (model_layer){
                      .node = k, .weight = weight, .bias = bias, .groups = groups, .shape = g->params[weight].shape},
                  node->name, model_ops[node->op].name);
    }
}

// Shapes of more than 5 dimensions keep the first four and fold the rest.
static model_shape fold(const num_tensor *t) {
    model_shape s = {t->ndim < 5 ? t->ndim : 5, {0}};
    for (int d = 0; d < t->ndim; d++) {
        if (d < 5)
            s.dim[d] = t->dim[d];
        else
            s.dim[4] *= t->dim[d];
    }
    return s;
}

static void tensor_layers(model *m) {
    const model_tensors *t = m->tensors;
    for (int least = 2; least >= 0 && !m->layer_count; least -= 2)
        for (int k = 0; k < t->count; k++) {
            const model_tensor *item = &t->items[k];
            model_shape shape = fold(&item->t);
            if (!is_float(item->t.dtype) || item->t.ndim < least || !model_shape_count(&shape)) continue;
            add_layer(m, (model_layer){.node = -1, .weight = k, .bias = -1, .groups = 1, .shape = shape}, item->name,
                      "tensor");
        }
}

// ---- opening, creating, closing ----------------------------------------------------------------

// "a/b/net.safetensors" gives "net"; a file called model.* is named after its folder.
static char *model_name(const char *path) {
    char *copy = base_strdup(path);
    for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/'; n--) copy[n - 1] = 0;
    char *stem = base_strdup(base_basename(copy));
    if (!base_is_dir(copy)) {
        char *dot = strchr(stem, '.');
        if (dot && dot != stem) *strrchr(stem, '.') = 0;
        if (!strncmp(stem, "model", 5) && (!stem[5] || stem[5] == '.' || stem[5] == '-')) {
            char *folder = base_dirname(copy);
            const char *base = base_basename(folder);
            if (*base && strcmp(base, ".") && strcmp(base, "..")) {
                free(stem);
                stem = base_strdup(base);
            }
            free(folder);
        }
    }
    free(copy);
    char clean[128];
    base_clean(clean, sizeof clean, stem);
    free(stem);
    return base_strdup(clean);
}

model *model_bind(model_graph *graph, model_tensors *tensors, const char *arch, base_err *err) {
    model *m = base_alloc(sizeof *m);
    m->owned = base_alloc(sizeof *m->owned);
    m->graph = graph;
    m->tensors = tensors;
    m->arch = base_strdup(arch);
    m->name = model_name(tensors->path);
    bool ok = (graph ? bind_graph(m, err) : bind_tensors(m, err)) && model_tensors_intact(tensors, err);
    if (!ok) {
        model_close(m);
        return NULL;
    }
    if (graph)
        graph_layers(m);
    else
        tensor_layers(m);
    return m;
}

// Whether the node's output reaches a relu with nothing but normalisation, pooling or reshaping between.
static bool before_relu(const model_graph *g, int node) {
    int value = g->nodes[node].out[0];
    for (int k = node + 1; k < g->node_count; k++) {
        const model_node *n = &g->nodes[k];
        bool uses = false;
        for (int i = 0; i < n->in_count; i++) uses = uses || n->in[i] == value;
        if (!uses) continue;
        if (n->op == MODEL_RELU) return true;
        bool passes = n->op == MODEL_BATCH_NORM || n->op == MODEL_MAX_POOL || n->op == MODEL_AVG_POOL ||
                      n->op == MODEL_RESHAPE || n->op == MODEL_ADD;
        if (!passes) return false;
        value = n->out[0];
    }
    return false;
}

// Kaiming-normal (He et al. 2015, eq. 10) for what feeds a relu, variance 1/fan-in else; N(0, 0.02) for language
// models (Radford et al. 2019). Norm weights and variances are 1, biases and means 0.
static void draw(const model_graph *g, int param, uint64_t seed, float *x) {
    const model_param *p = &g->params[param];
    int64_t count = model_shape_count(&p->shape);
    const char *suffix = strrchr(p->name, '.') + 1;
    model_op op = g->nodes[p->node].op;
    bool matrix = p->shape.ndim >= 2;
    if (!matrix) {
        bool one = !strcmp(suffix, "weight") || !strcmp(suffix, "running_var");
        for (int64_t k = 0; k < count; k++) x[k] = one ? 1.0f : 0.0f;
        return;
    }
    double scale = 0.02;
    if (g->task != MODEL_LANGUAGE && op != MODEL_EMBEDDING && op != MODEL_POSITION) {
        double fan_in = (double)(count / p->shape.dim[0]);
        scale = sqrt((before_relu(g, p->node) ? 2.0 : 1.0) / fan_in);
    }
    num_rng rng = num_rng_seed(seed, (uint64_t)param);
    for (int64_t k = 0; k < count; k++) x[k] = (float)(num_rng_normal(&rng) * scale);
}

model *model_create(model_graph *graph, const char *arch, const char *name, uint64_t seed, base_err *err) {
    model_tensors *t = files_new(name, "memory");
    for (int k = 0; k < graph->param_count; k++) {
        const model_param *p = &graph->params[k];
        float *x = base_big_alloc((size_t)model_shape_count(&p->shape), sizeof *x, p->name, err);
        if (!x) {
            model_tensors_close(t);
            model_graph_free(graph);
            return NULL;
        }
        draw(graph, k, seed, x);
        model_tensors_put(t, p->name, NUM_F32, p->shape.ndim, p->shape.dim, x);
    }
    model *m = model_bind(graph, t, arch, err);
    if (!m) return NULL;
    free(m->name);
    m->name = base_strdup(name);
    m->owned->writable = base_calloc((size_t)m->weight_count + 1, sizeof *m->owned->writable);
    for (int k = 0; k < m->weight_count; k++) m->owned->writable[k] = (float *)m->weights[k];
    return m;
}

float **model_mutable(model *m) {
    return m->owned->writable;
}

void model_close(model *m) {
    if (!m) return;
    for (int k = 0; k < m->layer_count; k++) free(m->layers[k].name);
    for (int k = 0; k < m->owned->block_count; k++) base_big_free(m->owned->blocks[k]);
    free(m->owned->blocks);
    free(m->owned->writable);
    free(m->owned);
    free(m->layers);
    free(m->weights);
    free(m->param_tensor);
    free(m->name);
    free(m->arch);
    free(m->why_no_arch);
    free(m->config);
    free(m->vocabulary);
    free(m->packed);
    model_graph_free(m->graph);
    model_tensors_close(m->tensors);
    free(m);
}

int model_find_layer(const model *m, const char *name) {
    for (int k = 0; k < m->layer_count; k++)
        if (!strcmp(m->layers[k].name, name)) return k;
    return -1;
}

int64_t model_weight_count(const model *m) {
    int64_t total = 0;
    for (int k = 0; k < m->tensors->count; k++) {
        const num_tensor *t = &m->tensors->items[k].t;
        int64_t count = 1;
        for (int d = 0; d < t->ndim; d++) count *= t->dim[d];
        total += count;
    }
    return total;
}

size_t model_stored_bytes(const model *m) {
    size_t total = m->tensors->stored_bytes;
    for (int k = 0; !m->tensors->stored_bytes && k < m->tensors->count; k++) total += m->tensors->items[k].bytes;
    return total;
}
