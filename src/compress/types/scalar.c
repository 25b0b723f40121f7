// scalar: the normal distribution's quantiles, Lloyd-Max and uniform quantisers of N(0, 1), and the distortion bound.
//
// Lloyd-Max levels solve y_i = E[x | t_i < x < t_{i+1}] with t_i the middle of its neighbours. Lloyd's own iteration
// creeps for many levels; Newton's on the tridiagonal system takes a dozen steps from the asymptotic density of levels.
#include "compress/types/scalar.h"

#include <math.h>
#include <string.h>

static const double ROOT_HALF = 0.70710678118654752440, ROOT_TWO_PI = 2.50662827463100050242;

static double density(double x) {
    return isinf(x) ? 0 : exp(-x * x / 2) / ROOT_TWO_PI;
}

// P(a < x < b), from the tail on which it does not cancel.
static double mass(double a, double b) {
    if (a > 0) return 0.5 * (erfc(a * ROOT_HALF) - erfc(b * ROOT_HALF));
    if (b < 0) return 0.5 * (erfc(-b * ROOT_HALF) - erfc(-a * ROOT_HALF));
    return 0.5 * (erf(b * ROOT_HALF) - erf(a * ROOT_HALF));
}

double scalar_normal_quantile(double p) {
    if (p == 0.5) return 0;
    if (p > 0.5) return -scalar_normal_quantile(1 - p);
    // Newton on log Phi, which is concave: from the left of the root it never overshoots far.
    double x = -sqrt(-2 * log(p));
    for (int i = 0; i < 60; i++) {
        double below = 0.5 * erfc(-x * ROOT_HALF), step = (log(below) - log(p)) * below / density(x);
        x -= step;
        if (fabs(step) < 1e-16 * (1 + fabs(x))) break;
    }
    return x;
}

static void middles(int n, const double *y, double *t) { // t[0 .. n], the ends infinite
    t[0] = -INFINITY;
    t[n] = INFINITY;
    for (int i = 1; i < n; i++) t[i] = (y[i - 1] + y[i]) / 2;
}

// One Newton step; returns the largest move. The Jacobian of y - centroid(y) is tridiagonal and diagonally dominant.
static double newton_step(int n, double *y, double *t) {
    double upper[SCALAR_MOST], rhs[SCALAR_MOST], most = 0;
    middles(n, y, t);
    for (int i = 0; i < n; i++) {
        double a = t[i], b = t[i + 1], p = mass(a, b), m = (density(a) - density(b)) / p;
        double left = isinf(a) ? 0 : 0.5 * density(a) * (m - a) / p;
        double right = isinf(b) ? 0 : 0.5 * density(b) * (b - m) / p;
        double diagonal = 1 - left - right, r = m - y[i];
        if (i > 0) {
            diagonal += left * upper[i - 1];
            r += left * rhs[i - 1];
        }
        upper[i] = -right / diagonal;
        rhs[i] = r / diagonal;
    }
    for (int i = n - 2; i >= 0; i--) rhs[i] -= upper[i] * rhs[i + 1];
    for (int i = 0; i < n; i++) {
        y[i] += rhs[i];
        most = fabs(rhs[i]) > most ? fabs(rhs[i]) : most;
    }
    for (int i = 0; i < n / 2; i++) { // symmetric, whatever the last digit of the sums
        double a = (y[n - 1 - i] - y[i]) / 2;
        y[i] = -a;
        y[n - 1 - i] = a;
    }
    if (n % 2) y[n / 2] = 0;
    return most;
}

scalar_figures scalar_lloyd_max(int n, double *levels, double *thresholds) {
    BASE_CHECK(n >= 1 && n <= SCALAR_MOST);
    double t[SCALAR_MOST + 1], last = INFINITY;
    scalar_figures f = {1, 0};
    // Levels of density proportional to the cube root of the normal one, which is a normal density sqrt(3) as wide.
    for (int i = 0; i < n; i++) levels[i] = sqrt(3.0) * scalar_normal_quantile((i + 0.5) / n);
    for (int i = 0; i < 100; i++) {
        double move = newton_step(n, levels, t);
        if (move == 0 || (move < 1e-12 && move >= last)) break;
        last = move;
    }
    middles(n, levels, t);
    for (int i = 0; i < n; i++) {
        double p = mass(t[i], t[i + 1]);
        f.mse -= p * levels[i] * levels[i];
        f.entropy -= p * log2(p);
    }
    if (thresholds) memcpy(thresholds, t + 1, (size_t)(n - 1) * sizeof *thresholds);
    return f;
}

// Half the derivative of the error by the step (edges lie midway, so their moves do not count), and the error.
static double uniform_slope(int n, double step, double *mse) {
    double first = 0, second = 0;
    for (int i = 0; i < n; i++) {
        double level = i - (n - 1) / 2.0, a = i ? (level - 0.5) * step : -INFINITY,
               b = i < n - 1 ? (level + 0.5) * step : INFINITY;
        first += level * (density(a) - density(b));
        second += level * level * mass(a, b);
    }
    *mse = 1 - 2 * step * first + step * step * second;
    return step * second - first;
}

double scalar_uniform(int n, double *mse) {
    double low = 0, high = 4;
    for (int i = 0; i < 200 && low < high; i++) {
        double middle = (low + high) / 2;
        if (middle == low || middle == high) break;
        if (uniform_slope(n, middle, mse) < 0)
            low = middle;
        else
            high = middle;
    }
    uniform_slope(n, high, mse);
    return high;
}

double scalar_rate_distortion(double bits) {
    return exp2(-2 * bits);
}
