// prune_update: criteria that know what weights do together - sparsegpt and the exact obs, which change what stays, and
// icbs, which only chooses - and the update after any other criterion; a convolution group at a time.
#include "compress/solvers/icbs.h"
#include "compress/solvers/obq.h"
#include "compress/solvers/sparsegpt.h"
#include "compress/steps/prune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

// An embedding's inputs choose one row each: within a row H is a multiple of 1, nothing can make up for anything, and
// the best choice is by magnitude. Rows are ranked one by one, or those the calibration never met would vanish.
static void prune_embedding(prune_work *p) {
    int64_t m = (int64_t)compress_number(p->step, "m");
    if (m)
        prune_runs(p->target, p->l->rows, p->l->cols, (int64_t)compress_number(p->step, "n"), m, p->mask);
    else
        prune_rows(p->target, p->l->rows, p->l->cols, compress_number(p->step, "sparsity"), p->mask);
}

static bool open_values(prune_work *p, base_err *err) {
    p->damping = p->l->damping;
    p->values = base_big_alloc((size_t)(p->l->rows * p->l->cols), sizeof *p->values, "the pruned weights", err);
    return p->values != NULL;
}

static void note_damping(prune_work *p, double damping) {
    if (!(p->damping > damping)) p->damping = damping; // the largest of all groups; NaN at first
}

// ---- sparsegpt ---------------------------------------------------------------------------------------

static bool open_joint(prune_work *p, base_err *err) {
    solver_problem *q = &p->joint;
    int64_t rows = p->l->rows, cols = p->l->cols;
    q->layer = p->l->name;
    q->rows = rows;
    q->cols = cols;
    q->grid = (grid_spec){.bits = (int64_t)compress_number(p->step, "bits"),
                          .scheme = compress_number(p->step, "sym") != 0 ? UNIFORM_SYM : UNIFORM_ASYM,
                          .group = (int64_t)compress_number(p->step, "group"),
                          .mse = compress_text(p->step, "range")[1] == 's',
                          .scale = compress_number(p->step, "bits") > 8 ? NUM_F32 : NUM_F16};
    int64_t scales = uniform_scale_count(rows, cols, q->grid.group);
    q->codes = base_big_alloc((size_t)(rows * cols), sizeof *q->codes, "codes of a layer", err);
    q->scales = q->codes ? base_big_alloc((size_t)scales, sizeof *q->scales, "scales of a layer", err) : NULL;
    q->zeros = q->scales ? base_big_alloc((size_t)scales, sizeof *q->zeros, "zero points of a layer", err) : NULL;
    return q->zeros != NULL;
}

// fixed: the mask is chosen already.
// ranges [rows x cols]: weights that the grids of a joint sweep are made for; NULL: the layer's own.
static bool sparsegpt_groups(prune_work *p, bool fixed, const float *ranges, base_err *err) {
    const layer *l = p->l;
    int64_t rows = l->rows / l->groups, cols = l->cols, n = rows * cols,
            block = (int64_t)compress_number(p->step, "block");
    bool joint = p->joint.codes != NULL;
    int64_t scales = joint ? uniform_scale_count(rows, cols, p->joint.grid.group) : 0;
    int64_t m = (int64_t)compress_number(p->step, "m"), keep = (int64_t)compress_number(p->step, "n");
    bool ok = true;
    for (int64_t g = 0; ok && g < l->groups; g++) {
        sparsegpt_problem q = {.layer = l->name,
                               .w = p->target + g * n,
                               .h = l->h + g * cols * cols,
                               .fixed = fixed ? p->mask + g * n : NULL,
                               .alive = l->mask ? l->mask + g * n : NULL,
                               .rows = rows,
                               .cols = cols,
                               .sparsity = compress_number(p->step, "sparsity"),
                               .n = m && !fixed ? m - keep : 0,
                               .m = m && !fixed ? m : 1,
                               .damp = compress_number(p->step, "damp"),
                               .block = block && !fixed ? block : 128,
                               .grid = joint ? &p->joint.grid : NULL,
                               .ranges = ranges ? ranges + g * n : NULL,
                               .job = l->job,
                               .out = p->values + g * n,
                               .mask = p->mask + g * n,
                               .codes = joint ? p->joint.codes + g * n : NULL,
                               .scales = joint ? p->joint.scales + g * scales : NULL,
                               .zeros = joint ? p->joint.zeros + g * scales : NULL};
        ok = sparsegpt_solve(&q, err);
        note_damping(p, q.damping);
    }
    return ok;
}

// Weights that stay grow while they make up for those that go. The authors' grids are made before that and clip them;
// range=swept makes the grids for what pruning alone leaves.
static bool sweep_jointly(prune_work *p, base_err *err) {
    int64_t count = p->l->rows * p->l->cols;
    float *ranges = NULL;
    bool ok = true;
    if (!strcmp(compress_text(p->step, "range"), "swept")) {
        ranges = base_big_alloc((size_t)count, sizeof *ranges, "the weights a grid is made for", err);
        ok = ranges && sparsegpt_groups(p, false, NULL, err);
        if (ok) memcpy(ranges, p->values, (size_t)count * sizeof *ranges);
    }
    ok = ok && open_joint(p, err) && sparsegpt_groups(p, false, ranges, err);
    if (ok && !solver_scales_fit(&p->joint, uniform_scale_count(p->l->rows, p->l->cols, p->joint.grid.group))) {
        base_log(p->l->job, BASE_INFO, "%s: scales do not fit f16, stored as f32", p->l->name);
        p->joint.grid.scale = NUM_F32;
        ok = sparsegpt_groups(p, false, ranges, err);
    }
    base_big_free(ranges);
    return ok;
}

bool prune_by_sparsegpt(prune_work *p, base_err *err) {
    bool joint = compress_number(p->step, "bits") > 0;
    if (p->l->diagonal && joint)
        return base_fail(err, "sparsegpt with bits is for layers with weighted inputs; give an embedding prune and "
                              "quantize as two steps");
    if (p->l->diagonal) {
        prune_embedding(p);
        return true;
    }
    if (!open_values(p, err)) return false;
    return joint ? sweep_jointly(p, err) : sparsegpt_groups(p, false, NULL, err);
}

// ---- obs -----------------------------------------------------------------------------------------------

bool prune_by_obs(prune_work *p, base_err *err) {
    const layer *l = p->l;
    if (l->diagonal) {
        prune_embedding(p);
        return true;
    }
    if (!open_values(p, err)) return false;
    int64_t rows = l->rows / l->groups, cols = l->cols, n = rows * cols,
            block = (int64_t)compress_number(p->step, "block");
    int64_t m = (int64_t)compress_number(p->step, "m"), keep = (int64_t)compress_number(p->step, "n");
    bool ok = true;
    for (int64_t g = 0; ok && g < l->groups; g++) {
        obq_prune_problem q = {.layer = l->name,
                               .w = p->target + g * n,
                               .h = l->h + g * cols * cols,
                               .alive = l->mask ? l->mask + g * n : NULL,
                               .rows = rows,
                               .cols = cols,
                               .sparsity = compress_number(p->step, "sparsity"),
                               .damp = compress_number(p->step, "damp"),
                               .n = m ? m - keep : 0,
                               .m = m ? m : 1,
                               .block = block ? block : 1,
                               .job = l->job,
                               .out = p->values + g * n,
                               .mask = p->mask + g * n};
        ok = obq_prune(&q, err);
        note_damping(p, q.damping);
    }
    return ok;
}

// ---- an update after other criteria ----------------------------------------------------------------

bool prune_update(prune_work *p, base_err *err) {
    if (p->l->diagonal) return true; // within a row of an embedding nothing can make up for anything
    return open_values(p, err) && sparsegpt_groups(p, true, NULL, err);
}

// ---- icbs ----------------------------------------------------------------------------------------------

bool prune_by_icbs(prune_work *p, base_err *err) {
    const layer *l = p->l;
    if (l->diagonal) {
        prune_embedding(p);
        return true;
    }
    int64_t rows = l->rows / l->groups, cols = l->cols, n = rows * cols,
            block = (int64_t)compress_number(p->step, "block"), m = (int64_t)compress_number(p->step, "m");
    if (!prune_by_wanda(p, err)) return false; // where the search begins
    double before = 0, after = 0;
    for (int64_t g = 0; g < l->groups; g++) {
        icbs_problem q = {.w = p->target + g * n,
                          .h = l->h + g * cols * cols,
                          .rows = rows,
                          .cols = cols,
                          .m = m,
                          .block = block ? block : 64,
                          .passes = (int64_t)compress_number(p->step, "passes"),
                          .alive = l->mask ? l->mask + g * n : NULL,
                          .job = l->job,
                          .mask = p->mask + g * n};
        if (!icbs_solve(&q, err)) return false;
        before += q.before;
        after += q.after;
    }
    base_log(l->job, BASE_INFO, "%s: trades lowered the output error of what goes to %.3g of wanda's", l->name,
             before > 0 ? after / before : 1.0);
    return true;
}
