// grid_search: the range of tables, and the searches for the range of any grid.
//
// A range is the extremes times a factor. extremes: the largest magnitude is the largest level (OCP MX: the shared
// exponent is that of the largest magnitude less that of the largest level). The searches try factors:
//   mse         1 - i/100, i = 0..79, least sum |w - q|^2.4 (GPTQ's Quantizer; tables only, even grids have their own)
//   fast        1 - i/100, i = 0..19, the same sum, ended by five factors in a row that were no better
//   (llm-compressor's
//               observer: maxshrink 0.2, patience 5)
//   golden      golden section on [0.2, 1.05] for the least weighted sum (w - q)^2, whose weights are the diagonal of H
//               where it is known: range estimation is locally convex (Hubara et al., AdaQuant, arXiv 2006.10518)
//   near        1, then up to 1.1 and down to 0.9 in fifty steps each, the same sum (SliM-LLM, arXiv 2405.14917,
//   section
//               3.3: its salient weights count as the others do, lambda_salience = 1 in the authors' code)
//   percentile  the extremes are percentiles of the values
//   cfp         the extremes without outliers, found coarse to fine (Ding et al., CBQ, arXiv 2312.07950, section 3.4
//   and
//               algorithm 1): of the sorted |w| those above Q3 + 1.5 (Q3 - Q1) are candidates; they are parted at the
//               place where (gap between the parts)^2 less the variance of the lower part is largest, and what lies
//               above is cut to the largest value below
//   imatrix     for each of 21 factors in 0.7..1.1 and its codes the least-squares scale, sum h w l / sum h l^2; the
//   one
//               with the least weighted error (the search of ggml's block formats)
#include "compress/solvers/grid.h"
#include "compress/types/types.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RUN = 256, LANES = 16 }; // lanes: partial sums at fixed places, the same for every vector width

void grid_table_encode(const grid_spec *g, grid_param p, const float *x, int64_t count, grid_code *codes) {
    float v[RUN];
    if (!g->split && p.scale > 0) {
        table_encode(g->table, p.scale, x, count, codes);
        return;
    }
    float down = g->split ? p.zero : p.scale;
    for (int64_t at = 0; at < count; at += RUN) {
        int64_t n = count - at < RUN ? count - at : RUN;
        for (int64_t i = 0; i < n; i++) {
            float s = x[at + i] < 0 ? down : p.scale;
            v[i] = s > 0 ? x[at + i] / s : 0; // a scale that is stored as 0 holds nothing but zeros
        }
        table_encode(g->table, 1, v, n, codes + at);
    }
}

// What a search looks at.
typedef struct search {
    const grid_spec *g;
    const float *x, *weight;
    int64_t count;
    float low, high;
    const base_job *job;
} search;

// Extremes as the grid wants them, 0 between.
static void extremes(search *s) {
    s->low = s->high = 0;
    for (int64_t i = 0; i < s->count; i++) {
        s->low = s->x[i] < s->low ? s->x[i] : s->low;
        s->high = s->x[i] > s->high ? s->x[i] : s->high;
    }
}

static int rising(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

// The value below which `percent` of the sorted values lie, linear between neighbours.
static float percentile(const float *sorted, int64_t count, double percent) {
    double at = percent / 100 * (double)(count - 1);
    int64_t i = (int64_t)at;
    if (i >= count - 1) return sorted[count - 1];
    return (float)((double)sorted[i] + (at - (double)i) * ((double)sorted[i + 1] - (double)sorted[i]));
}

static bool percentile_extremes(search *s, base_err *err) {
    bool both = !s->g->table && s->g->scheme == UNIFORM_ASYM;
    extremes(s);
    if (!s->count) return true;
    float *sorted = base_big_alloc((size_t)s->count, sizeof *sorted, "sorted weights", err);
    if (!sorted) return false;
    for (int64_t i = 0; i < s->count; i++) sorted[i] = both || s->g->split ? s->x[i] : fabsf(s->x[i]);
    qsort(sorted, (size_t)s->count, sizeof *sorted, rising);
    float high = percentile(sorted, s->count, (double)s->g->percentile);
    float low = percentile(sorted, s->count, 100 - (double)s->g->percentile);
    if (!both && !s->g->split) low = -high;
    if (high > 0) s->high = high; // a percentile of 0 would leave no range at all
    if (low < 0) s->low = low;
    base_big_free(sorted);
    return true;
}

// Where the outliers begin in sorted magnitudes; count: there are none.
static int64_t first_outlier(const float *sorted, int64_t count) {
    double q1 = (double)percentile(sorted, count, 25), q3 = (double)percentile(sorted, count, 75);
    double threshold = q3 + 1.5 * (q3 - q1), sum = 0, square = 0, most = -INFINITY;
    int64_t first = count, found = count;
    while (first > 0 && (double)sorted[first - 1] > threshold) first--;
    for (int64_t i = first; i > 0 && i < count; i++) { // the lower part are the candidates before i
        double n = (double)(i - first), gap = (double)sorted[i] - (double)sorted[i - 1];
        double gain = gap * gap - (n > 0 ? square / n - sum / n * (sum / n) : 0);
        if (gain > most) most = gain, found = i;
        sum += (double)sorted[i];
        square += (double)sorted[i] * (double)sorted[i];
    }
    return found;
}

static bool plain_extremes(search *s, base_err *err) {
    extremes(s);
    if (!s->count) return true;
    float *sorted = base_big_alloc((size_t)s->count, sizeof *sorted, "sorted weights", err);
    if (!sorted) return false;
    for (int64_t i = 0; i < s->count; i++) sorted[i] = fabsf(s->x[i]);
    qsort(sorted, (size_t)s->count, sizeof *sorted, rising);
    int64_t first = first_outlier(sorted, s->count);
    float most = sorted[first - 1];
    if (most > 0) { // else nothing but outliers and zeros: there would be no range
        s->high = fminf(s->high, most);
        s->low = fmaxf(s->low, -most);
    }
    base_big_free(sorted);
    return true;
}

static float root_mean_square(const search *s) {
    double sum = num_sum_squares(s->x, (size_t)s->count);
    return s->count ? (float)sqrt(sum / (double)s->count) : 0;
}

// Rounded to what will be stored, so that a search judges the scale it gets.
static grid_param settled(const grid_spec *g, grid_param p) {
    p.scale = scales_round(g->form, g->scale, g->outer, p.scale);
    if (g->split) p.zero = scales_round(g->form, g->scale, g->outer, p.zero);
    return p;
}

float grid_step_up(const grid_spec *g, float step) {
    float r = scales_round(g->form, g->scale, g->outer, step);
    if (r >= step || !(step > 0)) return r;
    if (g->form == SCALE_E8M0) return scales_round(g->form, g->scale, g->outer, 2 * r);
    // Eight mantissas of e4m3 to each power of two, or even steps near 0.
    for (int i = 1; g->form == SCALE_E4M3 && r < step && i <= 16; i++)
        r = scales_round(g->form, g->scale, g->outer, step * (1 + (float)i / 128) + (float)i / 8192 * g->outer);
    return r;
}

// A scale of one byte decides the zero point.
static float up_if_byte(const grid_spec *g, float step) {
    return g->form == SCALE_E8M0 || g->form == SCALE_E4M3 ? grid_step_up(g, step) : step;
}

static grid_param table_param(const search *s, float factor) {
    const grid_spec *g = s->g;
    float top = g->table->top, up = s->high, down = -s->low;
    if (!g->split || down <= 0) down = up > down ? up : down;
    if (!g->split || up <= 0) up = down;
    if (up <= 0) up = down = 1; // nothing but zeros
    if (g->table->type.kind == TABLE_LLOYD && !g->split) {
        float rms = root_mean_square(s); // its levels are for a deviation of 1
        if (rms > 0) up = down = rms * top;
    }
    if (g->form == SCALE_E8M0) {
        // Powers of two: the exponent of the largest less that of the largest level, then whole steps.
        int step = (int)lrintf(log2f(factor));
        return (grid_param){ldexpf(1, ilogbf(up) - ilogbf(top) + step), ldexpf(1, ilogbf(down) - ilogbf(top) + step)};
    }
    if (g->table->type.kind == TABLE_INT)
        return (grid_param){up_if_byte(g, factor * up / top), up_if_byte(g, factor * down / top)};
    return (grid_param){factor * up / top, factor * down / top};
}

static grid_param even_param(const search *s, float factor) {
    const grid_spec *g = s->g;
    float low = s->low, high = s->high, top = (float)grid_max_code(g), middle = (float)((int64_t)1 << (g->bits - 1));
    if (low == 0 && high == 0) low = -1, high = 1;
    if (g->scheme == UNIFORM_TERNARY) {
        high = -low > high ? -low : high;
        return (grid_param){factor * high * 2 / 3, 1};
    }
    if (g->scheme == UNIFORM_SYM) {
        high = -low > high ? -low : high;
        return (grid_param){up_if_byte(g, factor * (g->absmax && g->bits > 1 ? high / (middle - 1) : 2 * high / top)),
                            middle};
    }
    low *= factor;
    high *= factor;
    grid_param p = {up_if_byte(g, (high - low) / top), 0};
    p.zero = p.scale > 0 ? nearbyintf(-low / p.scale) : 0;
    p.zero = p.zero < 0 ? 0 : p.zero > top ? top : p.zero;
    return p;
}

static grid_param at_factor(const search *s, float factor) {
    return settled(s->g, s->g->table ? table_param(s, factor) : even_param(s, factor));
}

static double sum_of_squares(const float *x, const float *q, const float *weight, int64_t count) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        double d = (double)x[i] - (double)q[i];
        sum += weight ? d * d * (double)weight[i] : d * d;
    }
    return sum;
}

BASE_CLONES static double sum_of_powers(const float *x, const float *q, int64_t count, float over) {
    float sum[LANES] = {0};
    double total = 0;
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int k = 0; k < LANES; k++) {
            float d = (q[i + k] - x[i + k]) * over, a = d * d;
            a = a > 1e-30f ? a : 1e-30f;
            sum[k] += a * grid_fifth_root(a);
        }
    for (int k = 0; k < LANES; k++) total += (double)sum[k];
    for (; i < count; i++) {
        float d = (q[i] - x[i]) * over, a = d * d;
        a = a > 1e-30f ? a : 1e-30f;
        total += (double)(a * grid_fifth_root(a));
    }
    return total;
}

// Sum of (|w - q| / extreme)^2.4, or of weight (w - q)^2.
static double error_at(const search *s, grid_param p, bool squares) {
    grid_code codes[RUN];
    float value[RUN];
    double total = 0;
    // In units of the extreme, so that no power leaves the range of float32.
    float unit = s->high > -s->low ? s->high : -s->low, over = unit > 0 ? 1 / unit : 1;
    for (int64_t at = 0; at < s->count; at += RUN) {
        int64_t n = s->count - at < RUN ? s->count - at : RUN;
        const float *weight = s->weight ? s->weight + at : NULL;
        grid_encode(s->g, p, s->x + at, n, codes);
        for (int64_t i = 0; i < n; i++) value[i] = grid_value(s->g, p, codes[i]);
        total += squares ? sum_of_squares(s->x + at, value, weight, n) : sum_of_powers(s->x + at, value, n, over);
    }
    return total;
}

static grid_param by_steps(const search *s, int steps, int patience) {
    grid_param best = at_factor(s, 1);
    double least = INFINITY;
    int idle = 0;
    for (int i = 0; i < steps && idle < patience && !base_cancelled(s->job); i++) {
        grid_param p = at_factor(s, (float)(1 - i / 100.0));
        double e = error_at(s, p, false);
        idle = e < least ? 0 : idle + 1;
        if (e < least) least = e, best = p;
    }
    return best;
}

static grid_param by_neighbours(const search *s) {
    grid_param best = at_factor(s, 1);
    double least = error_at(s, best, false);
    for (int i = 1; i <= 100 && !base_cancelled(s->job); i++) {
        grid_param p = at_factor(s, i <= 50 ? 1 + 0.002f * (float)i : 1 - 0.002f * (float)(i - 50));
        double e = error_at(s, p, false);
        if (e < least) least = e, best = p;
    }
    return best;
}

// Powers of two have only a few that matter: the standard's, one above and two below.
static grid_param by_powers(const search *s, bool squares) {
    grid_param best = at_factor(s, 1);
    double least = error_at(s, best, squares);
    static const float factors[] = {2, 0.5f, 0.25f};
    for (int i = 0; i < 3; i++) {
        grid_param p = at_factor(s, factors[i]);
        double e = error_at(s, p, squares);
        if (e < least) least = e, best = p;
    }
    return best;
}

static grid_param by_golden_section(const search *s) {
    const float ratio = 0.61803399f;
    float a = 0.2f, b = 1.05f, c = b - ratio * (b - a), d = a + ratio * (b - a);
    double at_c = error_at(s, at_factor(s, c), true), at_d = error_at(s, at_factor(s, d), true);
    for (int i = 0; i < 18 && !base_cancelled(s->job); i++) {
        if (at_c <= at_d) {
            b = d, d = c, at_d = at_c;
            c = b - ratio * (b - a);
            at_c = error_at(s, at_factor(s, c), true);
        } else {
            a = c, c = d, at_c = at_d;
            d = a + ratio * (b - a);
            at_d = error_at(s, at_factor(s, d), true);
        }
    }
    // Codes make the curve ragged, so the end of the search is not always better than where it began.
    grid_param found = at_factor(s, at_c <= at_d ? c : d), whole = at_factor(s, 1);
    return error_at(s, whole, true) < (at_c <= at_d ? at_c : at_d) ? whole : found;
}

// Least-squares scale for the codes that p gives; the second one for negative levels of a split table.
static grid_param refit(const search *s, grid_param p) {
    double cross[2] = {0}, square[2] = {0};
    grid_code codes[RUN];
    for (int64_t at = 0; at < s->count; at += RUN) {
        int64_t n = s->count - at < RUN ? s->count - at : RUN;
        grid_encode(s->g, p, s->x + at, n, codes);
        for (int64_t i = 0; i < n; i++) {
            grid_param one = {1, s->g->split ? 1 : p.zero};
            double level = (double)grid_value(s->g, one, codes[i]), h = s->weight ? (double)s->weight[at + i] : 1;
            int side = s->g->split && level < 0;
            cross[side] += h * level * (double)s->x[at + i];
            square[side] += h * level * level;
        }
    }
    if (square[0] > 0 && cross[0] > 0) p.scale = (float)(cross[0] / square[0]);
    if (s->g->split && square[1] > 0 && cross[1] > 0) p.zero = (float)(cross[1] / square[1]);
    return settled(s->g, p);
}

static grid_param by_refits(const search *s) {
    grid_param best = at_factor(s, 1);
    double least = error_at(s, best, true);
    for (int i = 0; i <= 20 && !base_cancelled(s->job); i++) {
        grid_param p = refit(s, at_factor(s, (float)(0.7 + 0.02 * i)));
        double e = error_at(s, p, true);
        if (e < least) least = e, best = p;
    }
    return best;
}

// Double rounding: the factor with the least sum over the widths of their errors, each in units of the least that any
// factor gives that width. The codes of lower widths are those of term_uniform_cut.
static double nested_error(const search *s, grid_param p, int64_t bits) {
    int down = (int)(s->g->bits - bits);
    float top = (float)(((int64_t)1 << bits) - 1);
    double sum = 0;
    grid_code codes[RUN];
    for (int64_t at = 0; at < s->count; at += RUN) {
        int64_t n = s->count - at < RUN ? s->count - at : RUN;
        grid_encode(s->g, p, s->x + at, n, codes);
        for (int64_t i = 0; i < n; i++) {
            float code = rintf(ldexpf((float)codes[i], -down));
            double d = (double)(p.scale * (ldexpf(code > top ? top : code, down) - p.zero)) - (double)s->x[at + i];
            sum += d * d;
        }
    }
    return sum;
}

static grid_param by_nesting(const search *s) {
    enum { FACTORS = 61 };
    double error[16][FACTORS], least[16], best = INFINITY;
    grid_param found = at_factor(s, 1);
    int64_t widths = s->g->bits - s->g->nested + 1;
    for (int64_t k = 0; k < widths; k++) {
        least[k] = INFINITY;
        for (int i = 0; i < FACTORS && !base_cancelled(s->job); i++) {
            error[k][i] = nested_error(s, at_factor(s, (float)(1.1 - i / 100.0)), s->g->bits - k);
            if (error[k][i] < least[k]) least[k] = error[k][i];
        }
    }
    for (int i = 0; i < FACTORS && !base_cancelled(s->job); i++) {
        double sum = 0;
        for (int64_t k = 0; k < widths; k++) sum += least[k] > 0 ? error[k][i] / least[k] : error[k][i] > 0 ? 1e9 : 0;
        if (sum < best) best = sum, found = at_factor(s, (float)(1.1 - i / 100.0));
    }
    return found;
}

bool grid_search_fit(const grid_spec *g, const float *x, const float *weight, int64_t count, const base_job *job,
                     grid_param *p, base_err *err) {
    search s = {.g = g, .x = x, .weight = weight, .count = count, .job = job};
    if (g->search == SEARCH_PERCENTILE) {
        if (!percentile_extremes(&s, err)) return false;
    } else if (g->search == SEARCH_CFP) {
        if (!plain_extremes(&s, err)) return false;
    } else {
        extremes(&s);
    }
    bool searched = g->mse || (g->search != SEARCH_NONE && g->search != SEARCH_PERCENTILE && g->search != SEARCH_CFP &&
                               g->search != SEARCH_LARGEST);
    if (s.low == 0 && s.high == 0) searched = false;
    if (searched && g->form == SCALE_E8M0)
        *p = by_powers(&s, !g->mse && g->search != SEARCH_FAST && g->search != SEARCH_NEAR);
    else if (searched && g->search == SEARCH_GOLDEN)
        *p = by_golden_section(&s);
    else if (searched && g->search == SEARCH_NEAR)
        *p = by_neighbours(&s);
    else if (searched && g->search == SEARCH_NESTED)
        *p = by_nesting(&s);
    else if (searched && g->search == SEARCH_IMATRIX)
        *p = by_refits(&s);
    else if (searched)
        *p = by_steps(&s, g->mse ? 80 : 20, g->mse ? 80 : 5);
    else
        *p = at_factor(&s, 1);
    return true;
}
