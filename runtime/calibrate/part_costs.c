/* runtime/calibrate/part_costs.c - what parts of a step cost, by short runs of decoding, each with something left
 * out. Either their time on this machine, the runs taken in turns: others on the machine can only make a run slower, so
 * of each the quickest counts. Or the bytes of weights that they read, which one run of each tells.
 *
 *   whole           sum of layers + head
 *   headless        sum of layers                          → head
 *   narrow          one routed expert in each layer        → expert, layer
 *   asked, by m     whole + check m [+ head]               → check m
 *   left            half of the layers, checks "always"    → fill (with what leaving itself costs)
 *   left, lazy      the same, but the last token runs all  → fill of lazy, all others' rows in one product
 *
 * Layers count as alike, but that only those with a router have experts to save.
 *
 * Where a plan leaves experts on disk, what is waited for them is no part of these times. What such an expert costs
 * where a token needs it is told apart: a read, as it is timed here (or the bytes of a slot), times the share of these
 * experts for which there is no slot. So it knows of no locality, and not of what runs meanwhile: it is rather dear. */
#include "runtime/calibrate/part_costs.h"

#include <math.h>

#include "base/clock.h"
#include "base/memory.h"

enum { WHOLE, HEADLESS, NARROW, LEFT, LAZY, ASKED, N_RUNS = ASKED + MEASURE_COUNT };

struct timing {
    const struct part_runs *how;
    struct policy_rung      rungs[N_RUNS];
    bool                    is_run[N_RUNS];
    double                  cost[N_RUNS];   /* of a token: least seen */
    double                  second[N_RUNS]; /* and next to it         */
};

/* ---- exits ---- */

bool cm_exit_can_ask(const calmoe_engine *engine, enum exit_measure measure, int layer)
{
    struct policy_rung rung = {.n_exits = 1, .k_tail = TAIL_NONE};
    rung.exits[0] = (struct policy_exit){.layer = layer, .measure = measure};
    return layer >= (cm_exit_measures[measure].reads_previous ? 2 : 1) &&
           cm_exits_check(NULL, &rung, engine->exit_weights) == CALMOE_OK;
}

int cm_exit_layer_of(const calmoe_engine *engine, enum exit_measure measure)
{
    const int n_layers = engine->model->spec.n_layers, middle = n_layers / 2 > 0 ? n_layers / 2 : 1;
    for (int away = 0; away < n_layers; away++) {
        if (middle + away < n_layers && cm_exit_can_ask(engine, measure, middle + away)) return middle + away;
        if (middle - away > 0 && cm_exit_can_ask(engine, measure, middle - away)) return middle - away;
    }
    return 0;
}

/* ---- runs ---- */

static bool has_reads(const calmoe_engine *engine) { return cm_plan_n_streamed(&engine->plan, -1) > 0; }

/* What has been spent so far: microseconds, or kilobytes. */
static double spent(const struct part_runs *how)
{
    const calmoe_engine *engine = how->lanes->engine;
    if (how->unit != CALMOE_COSTS_TIME) return (double)cm_decoder_counters(engine->decoder)->n_weight_bytes / 1000.0;
    const double waited_ns = has_reads(engine) ? (double)cm_expert_stream_counts(engine->weights->stream).waited_ns /
                                                     cm_team_n_wanted(engine->team)
                                               : 0.0;
    return ((double)cm_now_ns() - waited_ns) / 1000.0;
}

static calmoe_status price_reads(const struct part_runs *how, double *price)
{
    const calmoe_engine  *engine = how->lanes->engine;
    struct expert_stream *stream = engine->weights->stream;
    double                ns = 0.0;
    if (!has_reads(engine)) return CALMOE_OK;
    const struct stream_size size = cm_expert_stream_size(stream);
    const double absent = size.n_slots < size.n_experts ? 1.0 - (double)size.n_slots / size.n_experts : 0.0;
    if (how->unit != CALMOE_COSTS_TIME) {
        *price = absent * (double)cm_expert_stream_slot_bytes(stream) / 1000.0;
        return CALMOE_OK;
    }
    CM_TRY(cm_expert_stream_time_reads(stream, engine->model->spec.most.n_used, &ns));
    *price = absent * ns / 1000.0;
    return CALMOE_OK;
}

/* Tokens that are read do not matter for time, but for which experts they take. */
static calmoe_status run_once(struct timing *timing, int which)
{
    const struct part_runs *how = timing->how;
    struct lanes           *lanes = how->lanes;
    cm_lanes_begin(lanes, which == WHOLE || which == HEADLESS ? NULL : &timing->rungs[which]);
    const double start = spent(how);
    for (int t = 0; t < how->n_tokens; t++) {
        for (int i = 0; i < lanes->n; i++) {
            struct lane *lane = &lanes->at[i];
            lane->tokens = how->answers[i] + t % how->n_answers[i];
            lane->n_tokens = 1;
            if (which == LAZY && t == how->n_tokens - 1) lane->session->rung = NULL;
        }
        CM_TRY(cm_lanes_read(lanes, which == HEADLESS ? CALMOE_LOGITS_NONE : CALMOE_LOGITS_LAST, NULL, NULL));
    }
    const double cost = (spent(how) - start) / how->n_tokens / lanes->n;
    double *least = &timing->cost[which], *second = &timing->second[which];
    if (*least == 0.0 || cost < *least) {
        *second = *least;
        *least = cost;
    } else if (*second == 0.0 || cost < *second) *second = cost;
    return CALMOE_OK;
}

static bool is_steady(const struct timing *timing)
{
    for (int which = 0; which < N_RUNS; which++)
        if (timing->is_run[which] &&
            !(timing->second[which] > 0.0 && timing->second[which] < 1.03 * timing->cost[which]))
            return false;
    return true;
}

static struct policy_rung one_exit(int layer, enum exit_measure measure, enum threshold_schedule schedule)
{
    struct policy_rung rung = {.n_exits = 1, .k_tail = TAIL_NONE};
    rung.exits[0] = (struct policy_exit){layer, measure, {.schedule = schedule, .lambda = 1.0f}};
    return rung;
}

static void list_runs(struct timing *timing, struct width_rule *widths)
{
    const calmoe_engine     *engine = timing->how->lanes->engine;
    const struct model_spec *spec = &engine->model->spec;
    timing->is_run[WHOLE] = timing->is_run[HEADLESS] = true;
    timing->is_run[NARROW] = spec->most.n_used > 1;
    for (int layer = 0; layer < spec->n_layers; layer++)
        widths[layer] = (struct width_rule){.kind = WIDTH_FIXED, .k = 1};
    timing->rungs[NARROW] = (struct policy_rung){.k_tail = TAIL_NONE, .widths = widths};
    const int middle = cm_exit_layer_of(engine, MEASURE_ALWAYS);
    timing->is_run[LEFT] = middle > 0;
    timing->rungs[LEFT] = one_exit(middle, MEASURE_ALWAYS, SCHEDULE_CONSTANT);
    timing->is_run[LAZY] = timing->is_run[LEFT];
    timing->rungs[LAZY] = timing->rungs[LEFT];
    cm_rung_set_fill(&timing->rungs[LAZY], KV_LAZY);
    for (int m = 0; m < MEASURE_COUNT; m++) {
        const int layer = cm_exit_layer_of(engine, (enum exit_measure)m);
        timing->rungs[ASKED + m] = one_exit(layer, (enum exit_measure)m, SCHEDULE_OFF);
        timing->is_run[ASKED + m] = layer > 0;
    }
}

/* ---- what they tell ---- */

static double above_zero(double x) { return x > 0.0 ? x : 0.0; }

static void solve_checks(const struct timing *timing, struct parts *prices)
{
    const double *cost = timing->cost;
    for (int m = 0; m < MEASURE_COUNT; m++) {
        const double head = cm_exit_measures[m].reads_logits ? prices->of[PART_HEAD] : 0.0;
        if (timing->is_run[ASKED + m])
            prices->of[PART_CHECK + m] = above_zero(cost[ASKED + m] - cost[WHOLE] - head);
    }
}

static void solve_fills(const struct timing *timing, double whole_layer, struct parts *prices)
{
    const calmoe_engine *engine = timing->how->lanes->engine;
    const double        *cost = timing->cost;
    const int            n_run = cm_exit_layer_of(engine, MEASURE_ALWAYS), n_tokens = timing->how->n_tokens;
    if (!timing->is_run[LEFT]) return;
    const double left = n_run * whole_layer + prices->of[PART_HEAD] + prices->of[PART_CHECK + MEASURE_ALWAYS];
    const double n_filled = engine->model->spec.n_layers - n_run;
    prices->of[PART_FILL] = above_zero(cost[LEFT] - left) / n_filled;
    prices->of[PART_LAZY_FILL] =
        above_zero((n_tokens * cost[LAZY] - cost[WHOLE]) / (n_tokens - 1) - left) / n_filled;
}

static void solve(const struct timing *timing, struct part_costs *out)
{
    const struct model_spec *spec = &timing->how->lanes->engine->model->spec;
    const double *cost = timing->cost;
    const int     n_layers = spec->n_layers, n_used = spec->most.n_used, n_sparse = cm_routed_layers(spec);
    const int     n_ffns = n_sparse + cm_dense_layers(spec); /* a dense half is taken to cost what n_used experts do */
    const double  whole_layer = cost[HEADLESS] / n_layers;
    double        expert = 0.0;
    if (timing->is_run[NARROW]) expert = above_zero(cost[WHOLE] - cost[NARROW]) / (n_used - 1) / n_sparse;
    if (expert * n_used * n_ffns > cost[HEADLESS]) expert = cost[HEADLESS] / n_ffns / n_used;
    *out = (struct part_costs){.step = cost[WHOLE]};
    out->prices.of[PART_EXPERT] = expert;
    out->prices.of[PART_LAYER] = whole_layer - expert * n_used * n_ffns / n_layers;
    out->prices.of[PART_HEAD] = above_zero(cost[WHOLE] - cost[HEADLESS]);
    solve_checks(timing, &out->prices);
    solve_fills(timing, whole_layer, &out->prices);
}

calmoe_status cm_measure_parts(const struct part_runs *how, struct part_costs *out)
{
    calmoe_engine     *engine = how->lanes->engine;
    struct timing      timing = {.how = how};
    struct width_rule *widths =
        cm_alloc(engine->ctx, (size_t)engine->model->spec.n_layers, sizeof *widths, "what parts cost");
    calmoe_status      status = widths ? CALMOE_OK : CALMOE_NO_MEMORY;
    if (widths) list_runs(&timing, widths);
    const uint64_t start = cm_now_ns();
    const int      n_rounds = how->unit == CALMOE_COSTS_TIME ? how->most_rounds : 1;
    for (int round = 0; round < n_rounds && status == CALMOE_OK; round++) {
        const uint64_t spent_ns = cm_now_ns() - start;
        if (round >= how->least_rounds && spent_ns > how->most_ns) break;
        if ((round >= how->steady_rounds || spent_ns > how->most_ns / 4) && is_steady(&timing)) break;
        if (how->progress) status = how->progress(how->user, (double)round / n_rounds);
        for (int which = 0; which < N_RUNS && status == CALMOE_OK; which++)
            if (timing.is_run[which]) status = run_once(&timing, which);
    }
    if (status == CALMOE_OK) solve(&timing, out);
    if (status == CALMOE_OK) status = price_reads(how, &out->prices.of[PART_READ]);
    if (status == CALMOE_OK) out->is_steady = how->unit != CALMOE_COSTS_TIME || is_steady(&timing);
    cm_free(widths);
    return status;
}

/* ---- layers ---- */

void cm_cost_layers(const struct model_spec *spec, int *memory, struct cost_layers *out)
{
    *out = (struct cost_layers){spec->n_layers, memory, memory + spec->n_layers};
    for (int layer = 0; layer < spec->n_layers; layer++) {
        const struct ffn_spec *ffn = &spec->layers[layer].ffn;
        out->n_fixed[layer] = cm_is_dense(ffn) ? spec->most.n_used : 0;
        out->n_routed[layer] = cm_is_routed(ffn);
    }
}

void cm_off_parts(const struct cost_layers *layers, int n_used, struct parts *out)
{
    *out = (struct parts){{[PART_LAYER] = layers->n_layers, [PART_HEAD] = 1.0}};
    for (int layer = 0; layer < layers->n_layers; layer++)
        out->of[PART_EXPERT] += layers->n_fixed[layer] + n_used * layers->n_routed[layer];
}
