/* boldness.c - see boldness.h. */
#include "runtime/calibrate/boldness.h"

#include "kernels/elementary.h"

static const float least = 0x1p-100f, most = 0x1.fffffep-1f; /* the floats next to "all" and to "none" that odds keep */

float cm_scale_odds(float x, double factor)
{
    if (!(x < 1.0f)) return x;
    const double p = (double)x, scaled = p * factor / (p * factor + (1.0 - p));
    return scaled < (double)least ? least : scaled > (double)most ? most : (float)scaled;
}

static bool scale(float *x, double factor)
{
    const float before = *x;
    *x = cm_scale_odds(before, factor);
    return before < 1.0f;
}

static bool scale_rule(struct width_rule *rule, double b)
{
    switch (rule->kind) {
    case WIDTH_RATIO: return scale(&rule->bound, b);
    case WIDTH_TOP_P:
    case WIDTH_RESIDENT: return scale(&rule->bound, 1.0 / b);
    default: return false;
    }
}

bool cm_rung_at_boldness(const struct policy_rung *rung, int n_layers, double b, struct width_rule *widths,
                         struct policy_rung *out)
{
    bool any = false;
    *out = *rung;
    for (int i = 0; i < rung->n_exits; i++)
        if (rung->exits[i].measure != MEASURE_ALWAYS) any |= scale(&out->exits[i].threshold.lambda, 1.0 / b);
    if (!rung->widths) return any;
    out->widths = widths;
    for (int layer = 0; layer < n_layers; layer++) {
        widths[layer] = rung->widths[layer];
        any |= scale_rule(&widths[layer], b);
    }
    return any;
}

/* ---- paths ---- */

static double within(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

/* From an end on; slope: of log mean over log b, 0.6 being usual. */
static double beyond(const struct boldness_point *end, double slope, double mean)
{
    const double times = end->mean > 0.0 ? within(mean / end->mean, 1.0 / 64, 64.0) : 1.0;
    return end->b * cm_exp(cm_ln(times) / within(slope, 0.3, 2.0));
}

static double slope_of(const struct boldness_point *a, const struct boldness_point *b)
{
    return a->mean > 0.0 && b->mean > 0.0 && b->b > a->b ? cm_ln(b->mean / a->mean) / cm_ln(b->b / a->b) : 0.6;
}

double cm_boldness_of(const struct boldness_point *points, int n, double mean)
{
    const struct boldness_point *last = &points[n - 1];
    double low = points[0].mean;
    if (n == 1) return beyond(last, 0.6, mean);
    if (mean <= low) return beyond(&points[0], slope_of(&points[0], &points[1]), mean);
    for (int i = 1; i < n; i++) {
        const double high = points[i].mean;
        if (mean <= high) {
            const double floor = low > high / 16 ? low : high / 16; /* a mean of 0 has no logarithm */
            const double share = mean > floor ? cm_ln(mean / floor) / cm_ln(high / floor) : 0.0;
            return points[i - 1].b * cm_exp(share * cm_ln(points[i].b / points[i - 1].b));
        }
        if (high > low) low = high;
    }
    return beyond(last, slope_of(last - 1, last), mean);
}
