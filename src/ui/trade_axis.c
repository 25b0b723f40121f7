// The arithmetic of the trade-off's axes: places and values, fitting, zoom, pan, ticks, and which point is nearest.
#include <math.h>
#include <string.h>

#include "ui/trade.h"

static double scaled(const trade_axis *a, double v) {
    return a->log ? v > 0 ? log(v) : NAN : v;
}

double trade_place(const trade_axis *a, double value) {
    double low = scaled(a, a->low), high = scaled(a, a->high);
    return (scaled(a, value) - low) / (high - low);
}

double trade_value(const trade_axis *a, double place) {
    double low = scaled(a, a->low), high = scaled(a, a->high), v = low + place * (high - low);
    return a->log ? exp(v) : v;
}

trade_axis trade_fit(const double *values, size_t count, bool log) {
    trade_axis a = {INFINITY, -INFINITY, log};
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i]) || (log && !(values[i] > 0))) continue;
        a.low = fmin(a.low, values[i]);
        a.high = fmax(a.high, values[i]);
    }
    if (!(a.low <= a.high)) return (trade_axis){log ? 1 : 0, log ? 10 : 1, log};
    if (log) {
        a.low = fmin(fmax(a.low, 1e-290), 1e290); // logarithms that can still be told apart
        a.high = fmin(fmax(a.high, 1e-290), 1e290);
        double air = a.high > a.low * (1 + 1e-9) ? pow(a.high / a.low, 0.06) : 1.2;
        a.low /= fmin(air, 1e8);
        a.high *= fmin(air, 1e8);
        return a;
    }
    double most = fmax(fabs(a.low), fabs(a.high)), span = a.high - a.low;
    double air = span > 1e-12 * most ? span * 0.06 : most > 0 ? most * 0.05 : 1;
    a.low -= air;
    a.high += air;
    return a;
}

// What a range may be: wide enough for its numbers to differ, and not beyond what they can say.
static bool usable(double low, double high, bool log) {
    double most = fmax(fabs(low), fabs(high));
    if (log) return isfinite(low) && isfinite(high) && high - low > 1e-9 && most < 690;
    return isfinite(low) && isfinite(high) && high - low > 1e-9 * most && high - low > 1e-290 && most < 1e290;
}

static void set(trade_axis *a, double low, double high) {
    if (!usable(low, high, a->log)) return;
    a->low = a->log ? exp(low) : low;
    a->high = a->log ? exp(high) : high;
}

void trade_zoom(trade_axis *a, double place, double factor) {
    double low = scaled(a, a->low), high = scaled(a, a->high), middle = low + place * (high - low);
    set(a, middle - (middle - low) * factor, middle + (high - middle) * factor);
}

void trade_pan(trade_axis *a, double share) {
    double low = scaled(a, a->low), high = scaled(a, a->high), by = share * (high - low);
    set(a, low + by, high + by);
}

int trade_ticks(const trade_axis *a, int wanted, double *ticks, int limit) {
    if (wanted < 1) wanted = 1;
    if (!a->log || a->high < a->low * 3) return ui_chart_ticks(a->low, a->high, wanted, ticks, limit);
    double first = floor(log10(a->low)), decades = log10(a->high) - log10(a->low);
    int each = decades * 3 <= wanted * 1.5 ? 3 : 1, step = 1, count = 0;
    while (decades / step > wanted) step++;
    for (double n = each == 3 ? first : ceil(first / step) * step; n <= 308; n += each == 3 ? 1 : step) {
        if (pow(10, n) > a->high) break;
        static const double times[] = {1, 2, 5};
        for (int k = 0; k < each && count < limit; k++) {
            double v = pow(10, n) * times[k];
            if (v >= a->low * (1 - 1e-12) && v <= a->high * (1 + 1e-12)) ticks[count++] = v;
        }
    }
    return count;
}

int trade_nearest(const trade_point *p, int count, const trade_axis *x, const trade_axis *y, double x_place,
                  double y_place, double aspect) {
    int best = -1;
    double least = INFINITY;
    for (int i = 0; i < count; i++) {
        double d = hypot(trade_place(x, p[i].x) - x_place, (trade_place(y, p[i].y) - y_place) * aspect);
        if (d < least) best = i, least = d;
    }
    return best;
}

int trade_toward(const trade_point *p, int count, int from, const trade_axis *x, const trade_axis *y, int dx, int dy,
                 double aspect) {
    if (from < 0 || from >= count) return -1;
    double at_x = trade_place(x, p[from].x), at_y = trade_place(y, p[from].y), least = INFINITY;
    int best = -1;
    for (int i = 0; i < count; i++) {
        double right = trade_place(x, p[i].x) - at_x, up = (trade_place(y, p[i].y) - at_y) * aspect;
        double along = right * dx + up * dy, across = fabs(right * dy) + fabs(up * dx);
        if (i == from || !(along > 1e-12) || across > along) continue;
        double d = along + across; // what lies straight ahead is nearer than what lies aside
        if (d < least) best = i, least = d;
    }
    return best;
}
