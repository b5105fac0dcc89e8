/* runtime/calibrate/calibrate_candidates.c - which policies to try: paths along which risk buys time.
 *
 * Exits: tokens are asked at every layer without leaving, and for each price of risk the exits are found that would
 * have been best (exit_search.h). Widths: rules are tried in one layer at a time, and for each price each layer takes
 * its own (width_search.h). Then the two paths are crossed, with a few uniform widths and thin tails beside them. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/calibrate/calibrate_parts.h"
#include "runtime/calibrate/exit_search.h"
#include "runtime/calibrate/width_search.h"
#include "runtime/sample/likeliest.h"

enum { MAX_ASKED = POLICY_MAX_EXITS, TRACE_TOKENS = 12288, WIDTH_TOKENS = 4096, N_PRICES = 12, MAX_RULES = 24,
       MAX_DEPTHS = MEASURE_COUNT * N_PRICES, MAX_WIDTHS = N_PRICES };

struct paths {
    struct calmoe_calibration *calibration;
    /* depth */
    int                n_asked;
    int                asked[MAX_ASKED];
    int                n_trace_prompts;
    int               *first_token; /* (n_trace_prompts + 1): where a prompt's rows begin in the trace */
    struct exit_search search;
    float             *confidences; /* (n_asked, n_tokens)              */
    uint8_t           *agrees;      /* (n_asked, n_tokens)              */
    uint8_t           *is_short;    /* (n_asked, n_tokens): the winner is on the shortlist */
    float             *sorted;
    bool               has_agrees;
    int                n_depths;
    struct exit_choice depths[MAX_DEPTHS];
    /* width */
    int                  n_rules;
    struct width_rule    rules[MAX_RULES];
    struct width_effect *effects;   /* (n_layers, n_rules)              */
    int                  n_widths;
    struct width_rule   *widths;    /* (MAX_WIDTHS + MAX_RULES, n_layers) */
};

/* Microseconds for a risk of 1: from "a token that differs is worth one token's time" to 90. What pays on models of a
 * few layers lies below 10, so steps are small. */
static double price_of(const struct calmoe_calibration *c, int i) { return c->off_cost * pow(1.5, i); }

/* ---- depth ---- */

static void choose_asked(struct paths *paths)
{
    const int n_inner = paths->calibration->engine->model->spec.n_layers - 1;
    const int n = n_inner < MAX_ASKED ? n_inner : MAX_ASKED;
    paths->n_asked = n;
    for (int i = 0; i < n; i++) paths->asked[i] = n == n_inner ? i + 1 : 1 + (int)((long)(i + 1) * n_inner / (n + 1));
}

static calmoe_status open_trace(struct paths *paths)
{
    struct calmoe_calibration *c = paths->calibration;
    struct exit_search        *search = &paths->search;
    choose_asked(paths);
    paths->first_token = cm_alloc(c->ctx, (size_t)c->n_first + 1, sizeof(int), "calibration");
    if (!paths->first_token) return CALMOE_NO_MEMORY;
    int n = 0, p = 0;
    for (; p < c->n_first && n < TRACE_TOKENS; p++) {
        paths->first_token[p] = n;
        n += c->full.n_forced[p] > 1 ? c->full.n_forced[p] - 1 : 0;
    }
    paths->first_token[p] = n;
    paths->n_trace_prompts = p;
    const size_t n_cells = (size_t)n * (size_t)paths->n_asked;
    paths->confidences = cm_alloc(c->ctx, n_cells, sizeof(float), "calibration");
    paths->agrees = cm_alloc(c->ctx, n_cells, 1, "calibration");
    paths->is_short = cm_alloc(c->ctx, n_cells, 1, "calibration");
    paths->sorted = cm_alloc(c->ctx, (size_t)n, sizeof(float), "calibration");
    search->levels = cm_alloc(c->ctx, n_cells, 1, "calibration");
    search->thresholds = cm_alloc(c->ctx, (size_t)paths->n_asked * EXIT_SEARCH_LEVELS, sizeof(float), "calibration");
    if (!paths->confidences || !paths->agrees || !paths->is_short || !paths->sorted || !search->levels ||
        !search->thresholds)
        return CALMOE_NO_MEMORY;
    search->trace = (struct exit_trace){n, paths->n_asked, paths->asked, paths->confidences, paths->agrees, NULL};
    search->costs = c->costs;
    search->kv_fill = c->kv_fill;
    search->k_tail = TAIL_NONE;
    search->n_used = c->engine->model->spec.most.n_used;
    search->max_exits = c->options.max_exits;
    return CALMOE_OK;
}

/* The lanes' observer: rows of one lane, by any worker. */
static void note_exit(void *user, const struct row *row, int n_layers_run, const float *logits)
{
    struct paths                    *paths = user;
    const struct calmoe_calibration *c = paths->calibration;
    int exit = 0, i = 0;
    while (paths->asked[exit] != n_layers_run) exit++;
    while (c->lanes.at[i].session != row->asked.sequence->owner) i++;
    const struct lane *lane = &c->lanes.at[i];
    const size_t at = (size_t)exit * (size_t)paths->search.trace.n_tokens +
                      (size_t)(paths->first_token[lane->prompt] + row->may.t);
    paths->confidences[at] = row->came.confidence;
    if (!logits || paths->has_agrees) return;
    const calmoe_model *model = c->engine->model;
    const int32_t winner = cm_likeliest_token(logits, model->spec.n_vocab, model->usable);
    const size_t token = (size_t)lane->prompt * (size_t)c->options.answer_tokens + (size_t)row->may.t;
    paths->agrees[at] = winner == c->full.winners[token];
    paths->is_short[at] = winner < cm_shortlist_length(model->spec.n_vocab);
}

static calmoe_status ask(struct paths *paths, enum exit_measure measure)
{
    struct calmoe_calibration *c = paths->calibration;
    const struct step_observer observer = {paths, .asked = note_exit};
    struct policy_rung         rung = {.k_tail = TAIL_NONE};
    for (int i = 0; i < paths->n_asked; i++)
        if (cm_exit_can_ask(c->engine, measure, paths->asked[i]))
            rung.exits[rung.n_exits++] = (struct policy_exit){paths->asked[i], measure, {.schedule = SCHEDULE_OFF}};
    calmoe_status status = CALMOE_OK;
    memset(paths->confidences, 0, (size_t)paths->n_asked * (size_t)paths->search.trace.n_tokens * sizeof(float));
    c->lanes.observer = &observer;
    for (int p = 0, n; p < paths->n_trace_prompts && status == CALMOE_OK; p += n) {
        n = paths->n_trace_prompts - p < c->lanes.n_open ? paths->n_trace_prompts - p : c->lanes.n_open;
        status = cm_calibrate_progress(c, 0.5 * p / paths->n_trace_prompts);
        if (status == CALMOE_OK) status = cm_calibrate_load(c, p, n);
        if (status == CALMOE_OK) status = cm_calibrate_force(c, &rung, NULL, NULL);
    }
    c->lanes.observer = NULL;
    return status;
}

/* The choices of one measure along the prices; those that come twice once. */
static void search_depths(struct paths *paths, enum exit_measure measure)
{
    struct exit_search *search = &paths->search;
    search->measure = measure;
    search->trace.confirmed = cm_exit_measures[measure].reads_shortlist ? paths->is_short : NULL;
    cm_exit_search_begin(search, paths->sorted);
    for (int i = 0; i < N_PRICES; i++) {
        struct exit_choice choice;
        cm_exit_search(search, price_of(paths->calibration, i), &choice);
        const struct exit_choice *last = paths->n_depths > 0 ? &paths->depths[paths->n_depths - 1] : NULL;
        if (choice.rung.n_exits == 0) continue;
        if (last && last->cost == choice.cost && last->risk == choice.risk) continue;
        paths->depths[paths->n_depths++] = choice;
    }
}

/* Is "softmax" a word of "state,softmax"? */
static bool is_listed(const char *list, const char *name)
{
    const size_t n = strlen(name);
    for (const char *at = list; at; at = strchr(at, ','), at = at ? at + 1 : NULL)
        if (strncmp(at, name, n) == 0 && (at[n] == ',' || at[n] == '\0')) return true;
    return false;
}

static bool is_wanted(const struct calmoe_calibration *c, enum exit_measure measure)
{
    if (cm_exit_layer_of(c->engine, measure) == 0) return false;
    return c->options.measures ? is_listed(c->options.measures, cm_exit_measures[measure].name)
                               : measure != MEASURE_ALWAYS;
}

static calmoe_status find_depths(struct paths *paths)
{
    struct calmoe_calibration *c = paths->calibration;
    if (c->engine->model->spec.n_layers < 2 || (c->options.measures && c->options.measures[0] == '\0'))
        return CALMOE_OK;
    CM_TRY(open_trace(paths));
    if (paths->search.trace.n_tokens == 0) return CALMOE_OK;
    CM_TRY(ask(paths, MEASURE_SOFTMAX)); /* whose heads tell what comes out where */
    paths->has_agrees = true;
    c->oracle_layers = cm_oracle_layers(&paths->search.trace, c->costs.n_layers);
    for (int m = 0; m < MEASURE_COUNT; m++) {
        if (!is_wanted(c, (enum exit_measure)m)) continue;
        if (m != MEASURE_SOFTMAX) CM_TRY(ask(paths, (enum exit_measure)m));
        search_depths(paths, (enum exit_measure)m);
    }
    return CALMOE_OK;
}

/* ---- width ---- */

static double per_token(double sum, const struct trial *trial)
{
    return trial->n_tokens > 0 ? sum / (double)trial->n_tokens : sum;
}

/* Each rule in one layer alone; and, where experts are read from disk, a last trial with all layers whole. */
static calmoe_status find_effects(struct paths *paths)
{
    struct calmoe_calibration *c = paths->calibration;
    const int    n_layers = c->costs.n_layers, n_rules = n_layers * paths->n_rules;
    const int    n_trials = n_rules + (c->options.resident ? 1 : 0);
    const int    n_most = 1 + WIDTH_TOKENS / c->options.answer_tokens;
    const int    n_prompts = c->n_first < n_most ? c->n_first : n_most;
    struct trial *trials = cm_alloc(c->ctx, (size_t)n_trials, sizeof *trials, "calibration");
    struct policy_rung *rungs = cm_alloc(c->ctx, (size_t)n_trials, sizeof *rungs, "calibration");
    struct width_rule *widths = cm_alloc(c->ctx, (size_t)n_rules * (size_t)n_layers, sizeof *widths, "calibration");
    calmoe_status status = trials && rungs && widths ? CALMOE_OK : CALMOE_NO_MEMORY;
    for (int i = 0; i < n_rules && status == CALMOE_OK; i++) {
        struct width_rule *row = widths + (size_t)i * (size_t)n_layers;
        row[i / paths->n_rules] = paths->rules[i % paths->n_rules];
        rungs[i] = (struct policy_rung){.k_tail = TAIL_NONE, .widths = row};
        trials[i].rung = &rungs[i];
    }
    if (status == CALMOE_OK) status = cm_calibrate_run(c, 0, n_prompts, trials, n_trials);
    const double n_all = cm_experts_of_token(&c->engine->model->spec);
    for (int i = 0; i < n_rules && status == CALMOE_OK; i++) {
        const struct trial *trial = &trials[i], *whole = &trials[n_trials - 1];
        const int n_used = c->engine->model->spec.layers[i / paths->n_rules].ffn.router.n_used;
        /* the other layers' experts are all n_all - n_used of them */
        paths->effects[i] = (struct width_effect){
            per_token(trial->n_differ, trial), per_token(trial->experts, trial) - (n_all - n_used),
            per_token(trial->parts.of[PART_READ], trial) - per_token(whole->parts.of[PART_READ], whole)};
    }
    cm_free(trials);
    cm_free(rungs);
    cm_free(widths);
    return status;
}

static calmoe_status find_widths(struct paths *paths)
{
    struct calmoe_calibration *c = paths->calibration;
    const struct router_spec  *router = cm_first_router(&c->engine->model->spec);
    const size_t n_layers = (size_t)c->costs.n_layers;
    paths->widths = cm_alloc(c->ctx, (MAX_WIDTHS + MAX_RULES) * n_layers, sizeof *paths->widths, "calibration");
    paths->effects = cm_alloc(c->ctx, n_layers * MAX_RULES, sizeof *paths->effects, "calibration");
    if (!paths->widths || !paths->effects) return CALMOE_NO_MEMORY;
    if (!c->options.width || (router->n_used < 2 && !c->options.resident)) return CALMOE_OK;
    const int n_all = cm_width_rules_to_try(router->n_used, cm_renormalises(router), c->options.resident, paths->rules,
                                            MAX_RULES);
    for (paths->n_rules = 0; paths->n_rules < n_all; paths->n_rules++)
        if (paths->rules[paths->n_rules].kind != WIDTH_RATIO && paths->rules[paths->n_rules].kind != WIDTH_RESIDENT)
            break;
    /* Of kinds that leave out experts, ratios only: they suit a token best, and one is enough for the path. */
    CM_TRY(find_effects(paths));
    const struct width_search search = {(int)n_layers, paths->n_rules, router->n_used, paths->rules, paths->effects,
                                        c->costs.expert, c->prices.of[PART_READ]};
    for (int i = 0; i < N_PRICES; i++)
        cm_width_search(&search, price_of(c, i), paths->widths + (size_t)paths->n_widths++ * n_layers);
    for (int rule = 0; rule < n_all; rule++, paths->n_widths++)
        for (size_t layer = 0; layer < n_layers; layer++)
            paths->widths[(size_t)paths->n_widths * n_layers + layer] = paths->rules[rule];
    return CALMOE_OK;
}

/* ---- both ---- */

static void add(struct paths *paths, const struct policy_rung *rung, int width)
{
    const size_t n_layers = (size_t)paths->calibration->costs.n_layers;
    (void)cm_configurations_add(&paths->calibration->configurations, rung,
                                width < 0 ? NULL : paths->widths + (size_t)width * n_layers);
}

static bool is_beaten(const struct paths *paths, const struct exit_choice *choice)
{
    for (int i = 0; i < paths->n_depths; i++)
        if (paths->depths[i].cost < 0.95 * choice->cost && paths->depths[i].risk <= choice->risk) return true;
    return false;
}

/* For comparison: an exit that all tokens take. */
static void add_static(struct paths *paths)
{
    for (int i = 0; i < paths->n_asked; i++) {
        struct policy_rung rung = {.n_exits = 1, .k_tail = TAIL_NONE};
        rung.exits[0] = (struct policy_exit){paths->asked[i], MEASURE_ALWAYS, {SCHEDULE_CONSTANT, 1.0f, 0.0f, 0}};
        cm_rung_set_fill(&rung, paths->calibration->kv_fill);
        add(paths, &rung, -1);
    }
}

/* Alone first, so that they are in if the list is full; then the cross; then tails. */
static void combine(struct paths *paths)
{
    const struct policy_rung none = {.k_tail = TAIL_NONE};
    const int n_path = paths->n_widths < N_PRICES ? paths->n_widths : N_PRICES;
    for (int i = 0; i < paths->n_depths; i++) add(paths, &paths->depths[i].rung, -1);
    for (int width = 0; width < paths->n_widths; width++) add(paths, &none, width);
    if (paths->calibration->options.rivals) add_static(paths);
    for (int i = 0; i < paths->n_depths && paths->calibration->options.tails; i++) {
        struct policy_rung rung = paths->depths[i].rung;
        if (is_beaten(paths, &paths->depths[i])) continue;
        rung.k_tail = i % 2; /* attention alone, and one expert more */
        cm_rung_set_fill(&rung, KV_PROPAGATE); /* there is nothing to fill */
        add(paths, &rung, -1);
    }
    for (int width = n_path - 1; width >= 0; width--)
        for (int i = 0; i < paths->n_depths; i++)
            if (!is_beaten(paths, &paths->depths[i])) add(paths, &paths->depths[i].rung, width);
}

calmoe_status cm_calibrate_candidates(struct calmoe_calibration *c)
{
    struct paths paths = {.calibration = c};
    calmoe_status status = find_depths(&paths);
    if (status == CALMOE_OK) status = find_widths(&paths);
    if (status == CALMOE_OK) combine(&paths);
    cm_free(paths.first_token);
    cm_free(paths.confidences);
    cm_free(paths.agrees);
    cm_free(paths.is_short);
    cm_free(paths.sorted);
    cm_free(paths.search.levels);
    cm_free(paths.search.thresholds);
    cm_free(paths.effects);
    cm_free(paths.widths);
    return status;
}
