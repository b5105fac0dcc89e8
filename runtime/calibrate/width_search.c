/* width_search.c - see width_search.h. */
#include "runtime/calibrate/width_search.h"

#include <stddef.h>

void cm_width_search(const struct width_search *search, double price, struct width_rule *out)
{
    for (int layer = 0; layer < search->n_layers; layer++) {
        double least = search->expert[layer] * search->n_used;
        out[layer] = (struct width_rule){.kind = WIDTH_OFF};
        for (int rule = 0; rule < search->n_rules; rule++) {
            const struct width_effect *effect = &search->effects[layer * search->n_rules + rule];
            const double cost =
                search->expert[layer] * effect->kept + search->read * effect->reads + price * effect->risk;
            if (cost >= least) continue;
            least = cost;
            out[layer] = search->rules[rule];
        }
    }
}

/* One rule for each bound, behind the n that there are. */
static int add_rules(enum width_kind kind, const float *bounds, int n_bounds, bool renormalise, struct width_rule *out,
                     int n, int capacity)
{
    for (int i = 0; i < n_bounds && n < capacity; i++) out[n++] = (struct width_rule){kind, bounds[i], 1, renormalise};
    return n;
}

int cm_width_rules_to_try(int n_used, bool renormalise, bool has_plan, struct width_rule *out, int capacity)
{
    static const float ratios[] = {0.1f, 0.2f, 0.3f, 0.4f, 0.5f, 0.65f, 0.8f};
    static const float preferred[] = {0.95f, 0.85f, 0.7f, 0.5f, 0.3f, 0.1f};
    static const float shares[] = {0.95f, 0.9f, 0.8f, 0.7f, 0.6f};
    int n = 0;
    if (n_used > 1) n = add_rules(WIDTH_RATIO, ratios, 7, renormalise, out, n, capacity);
    if (has_plan) n = add_rules(WIDTH_RESIDENT, preferred, 6, renormalise, out, n, capacity);
    if (n_used > 1) n = add_rules(WIDTH_TOP_P, shares, 5, renormalise, out, n, capacity);
    for (int k = n_used - 1, n_fixed = 0; k >= 1 && n_fixed < 4 && n < capacity; n_fixed++) {
        out[n++] = (struct width_rule){WIDTH_FIXED, 0.0f, k, renormalise};
        k = k > 4 ? k * 3 / 4 : k - 1;
    }
    return n;
}
