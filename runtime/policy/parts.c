/* parts.c - see parts.h. */
#include "runtime/policy/parts.h"

const char *const cm_part_names[PART_COUNT] = {
    [PART_LAYER] = "layer",
    [PART_EXPERT] = "expert",
    [PART_READ] = "read",
    [PART_FILL] = "fill",
    [PART_LAZY_FILL] = "lazy_fill",
    [PART_HEAD] = "head",
    [PART_CHECK + MEASURE_SOFTMAX] = "softmax",
    [PART_CHECK + MEASURE_STATE] = "state",
    [PART_CHECK + MEASURE_CLASSIFIER] = "classifier",
    [PART_CHECK + MEASURE_SHORTLIST] = "shortlist",
    [PART_CHECK + MEASURE_LEAD] = "lead",
    [PART_CHECK + MEASURE_ALWAYS] = "always",
};

double cm_parts_cost(const struct parts *counts, const struct parts *prices)
{
    double cost = 0.0;
    for (int part = 0; part < PART_COUNT; part++)
        if (counts->of[part] != 0.0) cost += counts->of[part] * prices->of[part];
    return cost;
}

bool cm_parts_beat(const struct parts *b, const struct parts *a)
{
    enum { N_CORNERS = 4 };
    const double rounding = 1e-9;
    bool         is_less = false;
    double       less[PART_COUNT + N_CORNERS];
    for (int part = 0; part < PART_COUNT; part++) less[part] = a->of[part] - b->of[part];
    /* Prices of fills go from 0 to that of a layer, so it is enough to look at the four corners of that square. */
    for (int corner = 0; corner < N_CORNERS; corner++)
        less[PART_COUNT + corner] = less[PART_LAYER] + (corner & 1 ? less[PART_FILL] : 0.0) +
                                    (corner & 2 ? less[PART_LAZY_FILL] : 0.0);
    less[PART_FILL] = less[PART_LAZY_FILL] = 0.0;
    for (int i = 0; i < PART_COUNT + N_CORNERS; i++) {
        if (less[i] < -rounding) return false;
        is_less |= less[i] > rounding;
    }
    return is_less;
}
