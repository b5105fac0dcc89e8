/* width.c - see width.h. */
#include "router/width.h"

#include <string.h>

static int keep_all(const struct width_rule *rule, const float *weights, int n)
{
    (void)rule;
    (void)weights;
    return n;
}

static int keep_k(const struct width_rule *rule, const float *weights, int n)
{
    (void)weights;
    return rule->k < n ? rule->k : n;
}

static int keep_ratio(const struct width_rule *rule, const float *weights, int n)
{
    float largest = weights[0];
    for (int i = 1; i < n; i++)
        if (weights[i] > largest) largest = weights[i];
    int n_kept = n;
    while (n_kept > 1 && weights[n_kept - 1] < rule->bound * largest) n_kept--;
    return n_kept;
}

static float sum_of(const float *weights, int n)
{
    float sum = 0.0f;
    for (int i = 0; i < n; i++) sum += weights[i];
    return sum;
}

static int keep_top_p(const struct width_rule *rule, const float *weights, int n)
{
    const float wanted = rule->bound * sum_of(weights, n);
    float       sum = 0.0f;
    for (int i = 0; i < n; i++) {
        sum += weights[i];
        if (sum >= wanted) return i + 1;
    }
    return n;
}

const struct width_row cm_width_rules[WIDTH_KIND_COUNT] = {
    [WIDTH_OFF] = {"off", keep_all},
    [WIDTH_FIXED] = {"fixed", keep_k},
    [WIDTH_RATIO] = {"ratio", keep_ratio},
    [WIDTH_TOP_P] = {"top_p", keep_top_p},
    [WIDTH_RESIDENT] = {"resident", keep_all},
};

int cm_width(const struct width_rule *rule, float *weights, int n)
{
    const int least = rule->k < 1 ? 1 : rule->k;
    for (int i = 0; i < n; i++)
        if (weights[i] != weights[i]) return n;
    int n_kept = cm_width_rules[rule->kind].n_kept(rule, weights, n);
    if (n_kept < least) n_kept = least;
    if (n_kept >= n) return n;
    if (!rule->renormalise) return n_kept;
    const float kept = sum_of(weights, n_kept);
    if (!(kept > 0.0f)) return n_kept;
    const float scale = sum_of(weights, n) / kept;
    for (int i = 0; i < n_kept; i++) weights[i] *= scale;
    return n_kept;
}
