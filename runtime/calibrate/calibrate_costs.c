/* runtime/calibrate/calibrate_costs.c - what parts of a step cost, by short runs of decoding, each with something left
 * out. Either their time on this machine, the runs taken in turns: others on the machine can only make a run slower, so
 * of each the quickest counts. Or the bytes of weights that they read, which one run of each tells.
 *
 *   whole           sum of layers + head
 *   headless        sum of layers                          → head
 *   narrow          one routed expert in each layer        → expert, layer
 *   asked, by m     whole + check m [+ head]               → check m
 *   left            half of the layers, checks "always"    → fill (with what leaving itself costs)
 *   left, lazy      the same, but the last token runs all  → fill of lazy, seven rows in one product
 *
 * Layers count as alike, but that only those with a router have experts to save. */
#include <math.h>

#include "base/clock.h"
#include "base/memory.h"
#include "runtime/calibrate/calibrate_parts.h"

enum { MIN_ROUNDS = 4, MAX_ROUNDS = 24 };
enum { WHOLE, HEADLESS, NARROW, LEFT, LAZY, ASKED, N_RUNS = ASKED + MEASURE_COUNT };

static const uint64_t most_ns = 10000000000ULL;

struct timing {
    struct calmoe_calibration *calibration;
    int                        n_lanes;
    struct policy_rung         rungs[N_RUNS];
    bool                       is_run[N_RUNS];
    double                     cost[N_RUNS]; /* of a token: least seen */
};

/* What has been spent so far: microseconds, or kilobytes. */
static double spent(const struct calmoe_calibration *c)
{
    return c->options.costs == CALMOE_COSTS_TIME
               ? (double)cm_now_ns() / 1000.0
               : (double)cm_decoder_counters(c->engine->decoder)->n_weight_bytes / 1000.0;
}

/* Tokens that are read do not matter for time, but for which experts they take: the answers' own. */
static calmoe_status run_once(struct timing *timing, int which)
{
    struct calmoe_calibration *c = timing->calibration;
    struct lanes              *lanes = &c->lanes;
    cm_lanes_begin(lanes, which == WHOLE || which == HEADLESS ? NULL : &timing->rungs[which]);
    const double start = spent(c);
    for (int t = 0; t < TIMED_TOKENS; t++) {
        for (int i = 0; i < lanes->n; i++) {
            struct lane *lane = &lanes->at[i];
            const int    n = c->full.n_forced[lane->prompt];
            lane->tokens = c->full.forced + (size_t)lane->prompt * (size_t)c->options.answer_tokens + t % n;
            lane->n_tokens = 1;
            if (which == LAZY && t == TIMED_TOKENS - 1) lane->session->rung = NULL;
        }
        CM_TRY(cm_lanes_read(lanes, which == HEADLESS ? CALMOE_LOGITS_NONE : CALMOE_LOGITS_LAST, NULL, NULL));
    }
    const double cost = (spent(c) - start) / TIMED_TOKENS / lanes->n;
    if (timing->cost[which] == 0.0 || cost < timing->cost[which]) timing->cost[which] = cost;
    return CALMOE_OK;
}

static struct policy_rung one_exit(int layer, enum exit_measure measure, enum threshold_schedule schedule)
{
    struct policy_rung rung = {.n_exits = 1, .k_tail = TAIL_NONE};
    rung.exits[0] = (struct policy_exit){layer, measure, {.schedule = schedule, .lambda = 1.0f}};
    return rung;
}

static void list_runs(struct timing *timing, struct width_rule *widths)
{
    const struct calmoe_calibration *c = timing->calibration;
    const struct model_spec         *spec = &c->engine->model->spec;
    timing->is_run[WHOLE] = timing->is_run[HEADLESS] = true;
    timing->is_run[NARROW] = spec->most.n_used > 1;
    for (int layer = 0; layer < spec->n_layers; layer++)
        widths[layer] = (struct width_rule){.kind = WIDTH_FIXED, .k = 1};
    timing->rungs[NARROW] = (struct policy_rung){.k_tail = TAIL_NONE, .widths = widths};
    const int middle = cm_calibrate_layer_of(c, MEASURE_ALWAYS);
    timing->is_run[LEFT] = middle > 0;
    timing->rungs[LEFT] = one_exit(middle, MEASURE_ALWAYS, SCHEDULE_CONSTANT);
    timing->is_run[LAZY] = timing->is_run[LEFT];
    timing->rungs[LAZY] = timing->rungs[LEFT];
    cm_rung_set_fill(&timing->rungs[LAZY], KV_LAZY);
    for (int m = 0; m < MEASURE_COUNT; m++) {
        const int layer = cm_calibrate_layer_of(c, (enum exit_measure)m);
        timing->rungs[ASKED + m] = one_exit(layer, (enum exit_measure)m, SCHEDULE_OFF);
        timing->is_run[ASKED + m] = layer > 0;
    }
}

static double above_zero(double x) { return x > 0.0 ? x : 0.0; }

static void solve(const struct timing *timing)
{
    struct calmoe_calibration *c = timing->calibration;
    const struct model_spec   *spec = &c->engine->model->spec;
    const double *cost = timing->cost;
    const int     n_layers = spec->n_layers, n_used = spec->most.n_used, n_sparse = cm_routed_layers(spec);
    const int     n_ffns = n_sparse + cm_dense_layers(spec); /* a dense half is taken to cost what n_used experts do */
    const double  head = above_zero(cost[WHOLE] - cost[HEADLESS]), whole_layer = cost[HEADLESS] / n_layers;
    double        expert = 0.0, fill = 0.0, fill_lazily = 0.0;
    if (timing->is_run[NARROW]) expert = above_zero(cost[WHOLE] - cost[NARROW]) / (n_used - 1) / n_sparse;
    if (expert * n_used * n_ffns > cost[HEADLESS]) expert = cost[HEADLESS] / n_ffns / n_used;
    const double rest = whole_layer - expert * n_used * n_ffns / n_layers;
    for (int m = 0; m < MEASURE_COUNT; m++)
        if (timing->is_run[ASKED + m])
            c->costs.check[m] =
                above_zero(cost[ASKED + m] - cost[WHOLE] - (cm_exit_measures[m].reads_logits ? head : 0.0));
    if (timing->is_run[LEFT]) {
        const int n_run = cm_calibrate_layer_of(c, MEASURE_ALWAYS);
        const double left = n_run * whole_layer + head + c->costs.check[MEASURE_ALWAYS];
        const double n_filled = n_layers - n_run;
        fill = above_zero(cost[LEFT] - left) / n_filled;
        fill_lazily = above_zero((TIMED_TOKENS * cost[LAZY] - cost[WHOLE]) / (TIMED_TOKENS - 1) - left) / n_filled;
    }
    double *layers = c->cost_memory, *experts = layers + n_layers, *fills = experts + n_layers;
    double *lazy_fills = fills + n_layers;
    for (int layer = 0; layer < n_layers; layer++) {
        const struct ffn_spec *ffn = &spec->layers[layer].ffn;
        layers[layer] = cm_is_dense(ffn) ? rest + n_used * expert : rest;
        experts[layer] = cm_is_routed(ffn) ? expert : 0.0;
        fills[layer] = fill;
        lazy_fills[layer] = fill_lazily;
    }
    c->costs.n_layers = n_layers;
    c->costs.layer = layers;
    c->costs.expert = experts;
    for (int i = 0; i < KV_FILL_COUNT; i++) c->costs.fill[i] = i == KV_LAZY ? lazy_fills : fills;
    /* rows at an answer's end are never filled lazily, which runs as short as these hardly show */
    c->kv_fill = fill_lazily < 1.5 * fill ? KV_LAZY : KV_PROPAGATE;
    c->costs.head = head;
    c->off_step = cost[WHOLE];
    c->off_cost = n_layers * whole_layer + head;
}

calmoe_status cm_calibrate_costs(struct calmoe_calibration *c)
{
    const size_t       n_layers = (size_t)c->engine->model->spec.n_layers;
    struct timing      timing = {.calibration = c};
    struct width_rule *widths = cm_alloc(c->ctx, n_layers, sizeof *widths, "calibration");
    c->cost_memory = cm_alloc(c->ctx, 4 * n_layers, sizeof *c->cost_memory, "calibration");
    if (!widths || !c->cost_memory) {
        cm_free(widths);
        return CALMOE_NO_MEMORY;
    }
    list_runs(&timing, widths);
    const int n = c->options.batch < c->n_first ? c->options.batch : c->n_first;
    calmoe_status  status = cm_calibrate_load(c, 0, n);
    const uint64_t start = cm_now_ns();
    const int n_rounds = c->options.costs == CALMOE_COSTS_TIME ? MAX_ROUNDS : 1;
    for (int round = 0; round < n_rounds && status == CALMOE_OK; round++) {
        if (round >= MIN_ROUNDS && cm_now_ns() - start > most_ns) break;
        status = cm_calibrate_progress(c, (double)round / n_rounds);
        for (int which = 0; which < N_RUNS && status == CALMOE_OK; which++)
            if (timing.is_run[which]) status = run_once(&timing, which);
    }
    if (status == CALMOE_OK) solve(&timing);
    cm_free(widths);
    return status;
}
