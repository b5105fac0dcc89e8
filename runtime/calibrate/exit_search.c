/* exit_search.c - see exit_search.h. */
#include "runtime/calibrate/exit_search.h"

#include <stdlib.h>

/* ---- thresholds ---- */

static int compare_floats(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return x < y ? -1 : x > y;
}

static void find_thresholds(struct exit_search *search, int exit, float *sorted)
{
    const int      n = search->trace.n_tokens;
    const float   *confidences = search->trace.confidences + (size_t)exit * (size_t)n;
    float         *thresholds = search->thresholds + (size_t)exit * EXIT_SEARCH_LEVELS;
    uint8_t       *levels = search->levels + (size_t)exit * (size_t)n;
    for (int i = 0; i < n; i++) sorted[i] = confidences[i] > 0.0f ? confidences[i] : 0.0f;
    qsort(sorted, (size_t)n, sizeof *sorted, compare_floats);
    for (int level = 0; level < EXIT_SEARCH_LEVELS; level++)
        thresholds[level] = sorted[(size_t)level * (size_t)n / EXIT_SEARCH_LEVELS];
    for (int i = 0; i < n; i++) {
        int level = 0;
        while (level < EXIT_SEARCH_LEVELS && confidences[i] >= thresholds[level]) level++;
        levels[i] = confidences[i] > 0.0f ? (uint8_t)level : 0;
    }
}

void cm_exit_search_begin(struct exit_search *search, float *sorted)
{
    for (int exit = 0; exit < search->trace.n_exits; exit++) find_thresholds(search, exit, sorted);
}

/* ---- what a set of exits does ---- */

struct set { /* exits in use, ascending; a token leaves at index i from level[i] on */
    int n;
    int exits[POLICY_MAX_EXITS];
    int levels[POLICY_MAX_EXITS];
};

static void make_rung(const struct exit_search *search, const struct set *set, struct policy_rung *rung)
{
    *rung = (struct policy_rung){.n_exits = set->n, .k_tail = search->k_tail};
    cm_rung_set_fill(rung, search->kv_fill);
    for (int i = 0; i < set->n; i++) {
        const float lambda =
            search->thresholds[(size_t)set->exits[i] * EXIT_SEARCH_LEVELS + (size_t)set->levels[i] - 1];
        rung->exits[i] = (struct policy_exit){
            .layer = search->trace.layers[set->exits[i]],
            .measure = search->measure,
            .threshold = {.schedule = SCHEDULE_CONSTANT, .lambda = lambda > 0.0f ? lambda : 1e-6f},
        };
    }
}

/* costs (n + 1): of a token that leaves at the i-th exit of the set, and of one that stays. */
static void find_costs(const struct exit_search *search, const struct set *set, double *costs)
{
    uint8_t            n_kept[POLICY_MAX_LAYERS];
    struct policy_rung rung;
    make_rung(search, set, &rung);
    for (int layer = 0; layer < search->costs.n_layers; layer++) n_kept[layer] = (uint8_t)search->n_used;
    for (int i = 0; i <= set->n; i++) {
        const int32_t             n_run = i < set->n ? rung.exits[i].layer : search->costs.n_layers;
        const struct token_depths one = {.n_tokens = 1, .n_layers_run = &n_run, .n_kept = n_kept};
        costs[i] = cm_expected_cost(&search->costs, &rung, &one);
    }
}

struct outcome {
    double cost, risk, layers;
};

static struct outcome try(const struct exit_search *search, const struct set *set)
{
    const struct exit_trace *trace = &search->trace;
    const size_t n = (size_t)trace->n_tokens;
    double       costs[POLICY_MAX_EXITS + 1];
    size_t       n_left[POLICY_MAX_EXITS + 1] = {0}, n_wrong = 0, n_refused = 0;
    find_costs(search, set, costs);
    for (size_t token = 0; token < n; token++) {
        int i = 0;
        for (; i < set->n; i++) {
            const size_t at = (size_t)set->exits[i] * n + token;
            if (search->levels[at] < set->levels[i]) continue;
            if (!trace->confirmed || trace->confirmed[at]) break;
            n_refused++;
        }
        n_left[i]++;
        if (i < set->n) n_wrong += !trace->agrees[(size_t)set->exits[i] * n + token];
    }
    struct outcome outcome = {.cost = search->costs.head * (double)n_refused, .risk = (double)n_wrong / (double)n};
    for (int i = 0; i <= set->n; i++) {
        outcome.cost += costs[i] * (double)n_left[i];
        outcome.layers += (double)n_left[i] *
                          (i < set->n ? trace->layers[set->exits[i]] : search->costs.n_layers);
    }
    outcome.cost /= (double)n;
    outcome.layers /= (double)n;
    return outcome;
}

/* ---- the search ---- */

static double value_of(const struct outcome *outcome, double price) { return outcome->cost + price * outcome->risk; }

/* The best threshold of the i-th exit, the others as they are. */
static double improve(const struct exit_search *search, struct set *set, int i, double price)
{
    double best = 0.0;
    int    best_level = 0;
    for (int level = 1; level <= EXIT_SEARCH_LEVELS; level++) {
        set->levels[i] = level;
        const struct outcome outcome = try(search, set);
        const double         value = value_of(&outcome, price);
        if (best_level == 0 || value < best) best = value, best_level = level;
    }
    set->levels[i] = best_level;
    return best;
}

static struct set with_exit(const struct set *set, int exit)
{
    struct set larger = {.n = set->n + 1};
    int        at = 0;
    while (at < set->n && set->exits[at] < exit) at++;
    for (int i = 0; i < larger.n; i++) {
        larger.exits[i] = i < at ? set->exits[i] : i == at ? exit : set->exits[i - 1];
        larger.levels[i] = i < at ? set->levels[i] : i == at ? EXIT_SEARCH_LEVELS : set->levels[i - 1];
    }
    return larger;
}

static bool has_exit(const struct set *set, int exit)
{
    for (int i = 0; i < set->n; i++)
        if (set->exits[i] == exit) return true;
    return false;
}

/* The set with one more exit that is best; false where none is better than `value`. */
static bool add_exit(const struct exit_search *search, struct set *set, double price, double *value)
{
    struct set best = *set;
    double     best_value = *value;
    for (int exit = 0; exit < search->trace.n_exits; exit++) {
        if (has_exit(set, exit) || (search->measure == MEASURE_STATE && search->trace.layers[exit] < 2)) continue;
        struct set larger = with_exit(set, exit);
        int        at = 0;
        while (larger.exits[at] != exit) at++;
        double found = improve(search, &larger, at, price);
        for (int i = 0; i < larger.n && larger.n > 1; i++) found = improve(search, &larger, i, price);
        if (found < best_value) best_value = found, best = larger;
    }
    const bool is_better = best_value < *value;
    *set = best;
    *value = best_value;
    return is_better;
}

void cm_exit_search(const struct exit_search *search, double price, struct exit_choice *out)
{
    struct set     set = {0};
    struct outcome outcome = try(search, &set);
    double         value = value_of(&outcome, price);
    while (set.n < search->max_exits && add_exit(search, &set, price, &value)) {}
    outcome = try(search, &set);
    *out = (struct exit_choice){.risk = outcome.risk, .cost = outcome.cost, .layers = outcome.layers};
    make_rung(search, &set, &out->rung);
}

double cm_oracle_layers(const struct exit_trace *trace, int n_layers)
{
    double sum = 0.0;
    for (int token = 0; token < trace->n_tokens; token++) {
        int i = 0;
        while (i < trace->n_exits && !trace->agrees[(size_t)i * (size_t)trace->n_tokens + (size_t)token]) i++;
        sum += i < trace->n_exits ? trace->layers[i] : n_layers;
    }
    return trace->n_tokens > 0 ? sum / trace->n_tokens : (double)n_layers;
}
