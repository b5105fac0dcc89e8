/* cost_model.c - see cost_model.h. */
#include "runtime/calibrate/cost_model.h"

void cm_price_layers(const struct cost_layers *layers, const struct parts *prices, double *memory,
                     struct cost_table *out)
{
    const int n = layers->n_layers;
    double   *layer = memory, *expert = layer + n, *fill = expert + n, *lazy = fill + n;
    for (int i = 0; i < n; i++) {
        layer[i] = prices->of[PART_LAYER] + layers->n_fixed[i] * prices->of[PART_EXPERT];
        expert[i] = layers->n_routed[i] * prices->of[PART_EXPERT];
        fill[i] = prices->of[PART_FILL];
        lazy[i] = prices->of[PART_LAZY_FILL];
    }
    *out = (struct cost_table){.n_layers = n, .layer = layer, .expert = expert, .head = prices->of[PART_HEAD]};
    for (int i = 0; i < KV_FILL_COUNT; i++) out->fill[i] = i == KV_LAZY ? lazy : fill;
    for (int m = 0; m < MEASURE_COUNT; m++) out->check[m] = prices->of[PART_CHECK + m];
}

void cm_count_parts(const struct cost_table tables[PART_COUNT], const struct policy_rung *rung,
                    const struct token_depths *tokens, struct parts *counts)
{
    for (int part = 0; part < PART_COUNT; part++)
        counts->of[part] += tokens->n_tokens * cm_expected_cost(&tables[part], rung, tokens);
}

/* Layers [begin, end) with the experts kept, at most k of them. */
static double cost_of_layers(const struct cost_table *table, const uint8_t *n_kept, int begin, int end, int k)
{
    double cost = 0.0;
    for (int layer = begin; layer < end; layer++)
        cost += table->layer[layer] + (n_kept[layer] < k ? n_kept[layer] : k) * table->expert[layer];
    return cost;
}

static double cost_of_rest(const struct cost_table *table, const struct policy_rung *rung, const uint8_t *n_kept,
                           int n_run)
{
    double cost = 0.0;
    if (rung->k_tail != TAIL_NONE) return cost_of_layers(table, n_kept, n_run, table->n_layers, rung->k_tail);
    for (int layer = n_run; layer < table->n_layers; layer++) cost += table->fill[rung->kv_fill][layer];
    return cost;
}

/* Checks at exits up to n_run. The head that such a check ran serves the token that leaves there; at the last
 * layer, and where the measure read no logits, a head comes on top. */
static double cost_of_checks(const struct cost_table *table, const struct policy_rung *rung, int n_run, int n_refused)
{
    double cost = table->head * (1 + n_refused);
    for (int i = 0; i < rung->n_exits && rung->exits[i].layer <= n_run; i++) {
        const struct policy_exit *exit = &rung->exits[i];
        cost += table->check[exit->measure];
        if (cm_exit_measures[exit->measure].reads_logits && exit->layer != n_run) cost += table->head;
    }
    return cost;
}

double cm_expected_cost(const struct cost_table *table, const struct policy_rung *rung,
                        const struct token_depths *tokens)
{
    const int n_layers = table->n_layers;
    double    sum = 0.0;
    for (int token = 0; token < tokens->n_tokens; token++) {
        const uint8_t *n_kept = tokens->n_kept + (size_t)token * (size_t)n_layers;
        const int      n_run = rung ? tokens->n_layers_run[token] : n_layers;
        const int      n_refused = rung && tokens->n_refused ? tokens->n_refused[token] : 0;
        sum += cost_of_layers(table, n_kept, 0, n_run, UINT8_MAX);
        sum += rung ? cost_of_checks(table, rung, n_run, n_refused) + cost_of_rest(table, rung, n_kept, n_run)
                    : table->head;
    }
    return tokens->n_tokens > 0 ? sum / tokens->n_tokens : 0.0;
}

double cm_mean_layers(const struct token_depths *tokens)
{
    double sum = 0.0;
    for (int token = 0; token < tokens->n_tokens; token++) sum += tokens->n_layers_run[token];
    return tokens->n_tokens > 0 ? sum / tokens->n_tokens : 0.0;
}
