// stream_rows: the input matrix X of a layer, in tiles that stay in cache, and what is summed over it: second moments
// and output errors. A linear layer's rows are the positions as they lie in memory; a convolution's are its patches,
// unfolded tile by tile. Tiles are dealt to a fixed number of parts, and parts are summed in order, so sums do not
// depend on the thread count.
#include "engine/conv.h"
#include "engine/stream.h"

#include <stdlib.h>
#include <string.h>

// Floats in a tile of X (256 KiB), parts of a sum, floats that all parts' partial sums together may take (256 MiB).
enum { TILE_FLOATS = 1 << 16, PARTS = 16, PART_FLOATS = 1 << 26, WIDE_ROWS = 2048, WIDE_COLUMNS = 256 };

// How a layer's X is cut. A linear layer's tile is `step` rows; a convolution's is `step` positions of one image.
typedef struct tiling {
    const engine_stream *s;
    const model_node *node;
    const float *x;
    bool conv;
    int64_t in, out, groups; // columns of X and of Y for one group
    int64_t rows, step, tiles;
    conv_shape image; // convolution: of one image
    int64_t positions, tiles_an_image;
} tiling;

static int64_t step_for(int64_t in, int64_t most) {
    int64_t step = TILE_FLOATS / in < 16 ? 16 : TILE_FLOATS / in;
    return step < most ? step : most;
}

static bool tiling_make(tiling *l, const engine_stream *s, int node, base_err *err) {
    if (!stream_has(s, node, err)) return false;
    const model_graph *g = s->g;
    const model_node *n = &g->nodes[node];
    *l = (tiling){.s = s, .node = n, .x = s->value[n->in[0]], .groups = 1};
    if ((n->op != MODEL_LINEAR && n->op != MODEL_CONV2D) || !l->x)
        return base_fail(err, "%s (%s) has no input matrix: only linear and conv2d layers have", n->name,
                         model_ops[n->op].name);
    if (n->op == MODEL_LINEAR) {
        const model_shape *w = &g->params[n->param[0]].shape;
        l->in = w->dim[1];
        l->out = w->dim[0];
        l->rows = (int64_t)s->value_count[n->in[0]] / l->in;
        l->step = step_for(l->in, l->rows);
        l->tiles = (l->rows + l->step - 1) / l->step;
        return true;
    }
    l->conv = true;
    l->image = conv_shape_of(n, model_graph_shape(g, n->in[0]));
    l->groups = l->image.groups;
    l->in = l->image.k;
    l->out = l->image.og;
    l->positions = l->image.oh * l->image.ow;
    // Whole output lines, so that patches can also be taken as columns, line by line.
    l->step = step_for(l->in, l->positions) / l->image.ow * l->image.ow;
    if (l->step < l->image.ow) l->step = l->image.ow;
    l->tiles_an_image = (l->positions + l->step - 1) / l->step;
    int64_t images = (int64_t)s->value_count[n->in[0]] / model_shape_count(model_graph_shape(g, n->in[0]));
    l->rows = images * l->positions;
    l->tiles = images * l->tiles_an_image;
    return true;
}

// The rows of a tile: where they lie already, or unfolded into `buffer` of step * in floats.
static const float *tile_rows(const tiling *l, int64_t tile, int64_t group, float *buffer, int64_t *rows) {
    int64_t from = (l->conv ? tile % l->tiles_an_image : tile) * l->step, all = l->conv ? l->positions : l->rows;
    *rows = all - from < l->step ? all - from : l->step;
    if (!l->conv) return l->x + from * l->in;
    const conv_shape *c = &l->image;
    const float *x = l->x + (tile / l->tiles_an_image * c->c + group * c->cg) * c->h * c->w;
    conv_unfold(c, x, from, from + *rows, buffer);
    return buffer;
}

// A convolution's tile as columns [in x rows]: copied line by line, several times as fast as patches one by one.
static void tile_columns(const tiling *l, int64_t tile, int64_t group, float *columns, int64_t *rows) {
    const conv_shape *c = &l->image;
    int64_t from = tile % l->tiles_an_image * l->step;
    *rows = l->positions - from < l->step ? l->positions - from : l->step;
    const float *x = l->x + (tile / l->tiles_an_image * c->c + group * c->cg) * c->h * c->w;
    conv_columns(c, x, from / c->ow, (from + *rows) / c->ow, columns);
}

static float *tile_buffers(const tiling *l, int64_t count, base_err *err) {
    return base_big_alloc((size_t)(count * l->step * l->in) + 1, sizeof(float), "unfolded inputs", err);
}

int64_t engine_stream_rows(const engine_stream *s, int node) {
    base_err ignored;
    tiling l;
    if (s->g->nodes[node].op == MODEL_EMBEDDING) return s->token_count;
    return tiling_make(&l, s, node, &ignored) ? l.rows : 0;
}

bool engine_stream_visit(engine_stream *s, int node, int64_t group, engine_visit visit, void *context, base_job *job,
                         base_err *err) {
    tiling l;
    if (!tiling_make(&l, s, node, err)) return false;
    if (group < 0 || group >= l.groups) return base_fail(err, "%s has no group %lld", l.node->name, (long long)group);
    float *buffer = tile_buffers(&l, l.conv ? 1 : 0, err);
    bool ok = buffer;
    for (int64_t tile = 0; ok && tile < l.tiles; tile++) {
        int64_t rows;
        const float *x = tile_rows(&l, tile, group, buffer, &rows);
        ok = base_go_on(job, err) && visit(context, x, rows, l.in, err);
    }
    base_big_free(buffer);
    return ok;
}

// ---- second moments ----------------------------------------------------------------------------

typedef struct gram_run {
    tiling l;
    int64_t parts;
    float *partial; // [groups x parts x in x in]
    float *buffers; // [workers] tiles
    float *h;
} gram_run;

// One part of one group: every tile whose number falls to it. The first part sums straight into the result.
static bool gram_part(void *context, int64_t item, int worker, base_err *err) {
    (void)err;
    gram_run *r = context;
    const tiling *l = &r->l;
    int64_t group = item / r->parts, part = item % r->parts, square = l->in * l->in;
    float *sum = r->partial + item * square, *buffer = r->buffers + worker * l->step * l->in;
    for (int64_t tile = l->tiles * part / r->parts; tile < l->tiles * (part + 1) / r->parts; tile++) {
        int64_t rows;
        if (l->conv) {
            tile_columns(l, tile, group, buffer, &rows);
            num_gram_columns(l->in, rows, buffer, rows, sum, l->in);
            continue;
        }
        const float *x = tile_rows(l, tile, group, buffer, &rows);
        num_gram(rows, l->in, 1.0f, x, l->in, sum, l->in, false);
    }
    return true;
}

// Sums the parts of one row of a group's matrix in order, in double, and mirrors nothing: see gram_mirror.
static bool gram_reduce(void *context, int64_t item, int worker, base_err *err) {
    (void)worker, (void)err;
    gram_run *r = context;
    int64_t n = r->l.in, group = item / n, i = item % n;
    for (int64_t j = i; j < n; j++) {
        double sum = 0;
        for (int64_t p = 0; p < r->parts; p++) sum += r->partial[((group * r->parts + p) * n + i) * n + j];
        r->h[(group * n + i) * n + j] = (float)(sum / (double)r->l.rows);
    }
    return true;
}

static void gram_mirror(float *h, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i + 1; j < n; j++) h[j * n + i] = h[i * n + j];
}

static bool gram_parts(gram_run *r, base_job *job, base_err *err) {
    const tiling *l = &r->l;
    r->partial = base_big_alloc((size_t)(l->groups * r->parts * l->in * l->in), sizeof(float), "second moments", err);
    r->buffers = r->partial ? tile_buffers(l, l->conv ? exec_workers() : 0, err) : NULL;
    bool ok = r->buffers && exec_parallel(l->groups * r->parts, gram_part, r, job, err) &&
              exec_parallel(l->groups * l->in, gram_reduce, r, job, err);
    for (int64_t g = 0; ok && g < l->groups; g++) gram_mirror(r->h + g * l->in * l->in, l->in);
    base_big_free(r->buffers);
    base_big_free(r->partial);
    return ok;
}

// Layers too wide for a partial matrix a part: the rows come in slabs, and the square is cut into tiles of its own.
typedef struct wide_run {
    const float *x;
    int64_t rows, n, across; // across: tiles along a side
    float *h;
} wide_run;

static bool wide_item(void *context, int64_t item, int worker, base_err *err) {
    (void)worker, (void)err;
    const wide_run *r = context;
    int64_t i = item / r->across * WIDE_COLUMNS, j = item % r->across * WIDE_COLUMNS;
    if (j < i) return true;
    int64_t ni = r->n - i < WIDE_COLUMNS ? r->n - i : WIDE_COLUMNS,
            nj = r->n - j < WIDE_COLUMNS ? r->n - j : WIDE_COLUMNS;
    num_gemm1(true, false, ni, nj, r->rows, 1.0f, r->x + i, r->n, r->x + j, r->n, 1.0f, r->h + i * r->n + j, r->n);
    return true;
}

static bool gram_wide(const tiling *l, int64_t group, float *h, base_job *job, base_err *err) {
    int64_t most = l->step, a_slab = WIDE_ROWS / most < 1 ? 1 : WIDE_ROWS / most;
    float *slab = tile_buffers(l, a_slab, err);
    bool ok = slab;
    wide_run r = {.n = l->in, .across = (l->in + WIDE_COLUMNS - 1) / WIDE_COLUMNS, .h = h, .x = slab};
    memset(h, 0, (size_t)(l->in * l->in) * sizeof *h);
    for (int64_t tile = 0; ok && tile < l->tiles; tile += a_slab) {
        r.rows = 0;
        for (int64_t k = tile; k < tile + a_slab && k < l->tiles; k++) {
            int64_t rows;
            float *at = slab + r.rows * l->in;
            const float *x = tile_rows(l, k, group, at, &rows);
            if (x != at) memcpy(at, x, (size_t)(rows * l->in) * sizeof *at);
            r.rows += rows;
        }
        ok = exec_parallel(r.across * r.across, wide_item, &r, job, err);
    }
    base_big_free(slab);
    for (int64_t i = 0; ok && i < l->in; i++)
        for (int64_t j = i; j < l->in; j++) h[i * l->in + j] /= (float)l->rows;
    if (ok) gram_mirror(h, l->in);
    return ok;
}

// How often each entry of an embedding is looked up, as a fraction of all look-ups.
static bool embedding_counts(const engine_stream *s, const model_node *node, float *h, base_err *err) {
    int64_t entries = (int64_t)node->attr[EMBEDDING_COUNT];
    if (!s->tokens) return base_fail(err, "%s: the stream holds no tokens", node->name);
    int64_t *count = base_calloc((size_t)entries, sizeof *count);
    for (int64_t i = 0; i < s->token_count; i++) count[s->tokens[i]]++;
    for (int64_t e = 0; e < entries; e++) h[e] = (float)((double)count[e] / (double)s->token_count);
    free(count);
    return true;
}

bool engine_stream_gram(engine_stream *s, int node, float *h, base_job *job, base_err *err) {
    const model_node *n = &s->g->nodes[node];
    if (n->op == MODEL_EMBEDDING) return embedding_counts(s, n, h, err);
    gram_run r = {.h = h};
    if (!tiling_make(&r.l, s, node, err)) return false;
    int64_t square = r.l.in * r.l.in;
    r.parts = PART_FLOATS / (square * r.l.groups);
    if (r.parts > PARTS) r.parts = PARTS;
    bool ok = true;
    if (r.l.conv && gram_conv_fits(&r.l.image))
        ok = gram_conv(&r.l.image, r.l.x, r.l.rows / r.l.positions, h, job, err);
    else if (r.parts >= (r.l.groups > 1 ? 1 : 4))
        ok = gram_parts(&r, job, err);
    else
        for (int64_t g = 0; ok && g < r.l.groups; g++) ok = gram_wide(&r.l, g, h + g * square, job, err);
    if (ok && !num_all_finite(h, (size_t)(r.l.groups * square)))
        return base_fail(err, "the second moments of %s's input are not finite (NaN or Inf)", n->name);
    return ok;
}

// ---- output errors -----------------------------------------------------------------------------

typedef struct error_run {
    tiling l, lc;
    const float *w, *wc;
    float *memory; // [workers] tiles of x, xc, y, yc
    int64_t worker_floats;
    engine_error *sum; // [tiles]
} error_run;

// Outputs of one tile and group: rows [rows x out] of a linear layer, columns [out x rows] of a convolution. The sums
// over them do not care which.
static void tile_outputs(const tiling *l, int64_t tile, int64_t group, const float *w, float *buffer, float *y,
                         int64_t *rows) {
    if (l->conv) {
        tile_columns(l, tile, group, buffer, rows);
        num_gemm1(false, false, l->out, *rows, l->in, 1, w, l->in, buffer, *rows, 0, y, *rows);
        return;
    }
    const float *x = tile_rows(l, tile, group, buffer, rows);
    num_gemm1(false, true, *rows, l->out, l->in, 1, x, l->in, w, l->in, 0, y, l->out);
}

static bool error_item(void *context, int64_t item, int worker, base_err *err) {
    (void)err;
    error_run *r = context;
    const tiling *l = &r->l;
    int64_t most = l->step, rows;
    float *bx = r->memory + worker * r->worker_floats, *bc = bx + most * l->in;
    float *y = bc + most * l->in, *yc = y + most * l->out;
    for (int64_t g = 0; g < l->groups; g++) {
        int64_t at = g * l->out * l->in;
        tile_outputs(l, item, g, r->w + at, bx, y, &rows);
        tile_outputs(&r->lc, item, g, r->wc + at, bc, yc, &rows);
        size_t count = (size_t)(rows * l->out);
        engine_error *e = &r->sum[item];
        e->difference += num_diff_squares(y, yc, count);
        e->reference += num_sum_squares(y, count);
        e->product += num_dot(y, yc, count);
        e->compressed += num_sum_squares(yc, count);
    }
    return true;
}

// An embedding's output rows are rows of its table, as often as they are looked up.
static bool embedding_error(const engine_stream *s, const model_node *node, const float *w, const float *wc,
                            engine_error *e, base_err *err) {
    if (!s->tokens) return base_fail(err, "%s: the stream holds no tokens", node->name);
    int64_t width = (int64_t)node->attr[EMBEDDING_WIDTH];
    *e = (engine_error){0};
    for (int64_t i = 0; i < s->token_count; i++) {
        const float *a = w + s->tokens[i] * width, *b = wc + s->tokens[i] * width;
        e->difference += num_diff_squares(a, b, (size_t)width);
        e->reference += num_sum_squares(a, (size_t)width);
        e->product += num_dot(a, b, (size_t)width);
        e->compressed += num_sum_squares(b, (size_t)width);
    }
    return true;
}

bool engine_stream_error(engine_stream *s, engine_stream *c, int node, const float *w, const float *wc, engine_error *e,
                         base_job *job, base_err *err) {
    const model_node *n = &s->g->nodes[node];
    if (n->op == MODEL_EMBEDDING) return embedding_error(s, n, w, wc, e, err);
    error_run r = {.w = w, .wc = wc};
    if (!tiling_make(&r.l, s, node, err) || !tiling_make(&r.lc, c, node, err)) return false;
    if (r.l.rows != r.lc.rows)
        return base_fail(err, "%s: the two streams carry different samples (%lld and %lld rows)", n->name,
                         (long long)r.l.rows, (long long)r.lc.rows);
    r.worker_floats = 2 * r.l.step * (r.l.in + r.l.out);
    r.memory = base_big_alloc((size_t)(exec_workers() * r.worker_floats), sizeof(float), "layer outputs", err);
    if (!r.memory) return false;
    r.sum = base_calloc((size_t)r.l.tiles + 1, sizeof *r.sum);
    bool ok = exec_parallel(r.l.tiles, error_item, &r, job, err);
    *e = (engine_error){0};
    for (int64_t i = 0; ok && i < r.l.tiles; i++) {
        e->difference += r.sum[i].difference;
        e->reference += r.sum[i].reference;
        e->product += r.sum[i].product;
        e->compressed += r.sum[i].compressed;
    }
    free(r.sum);
    base_big_free(r.memory);
    return ok;
}
