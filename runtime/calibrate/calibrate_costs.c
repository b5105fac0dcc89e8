/* runtime/calibrate/calibrate_costs.c - what parts of a token cost here, with the prompts and answers of the
 * calibration. */
#include "base/memory.h"
#include "runtime/calibrate/calibrate_parts.h"

enum { MIN_ROUNDS = 4, MAX_ROUNDS = 24 };

static const uint64_t most_ns = 10000000000ULL;

static calmoe_status tell(void *user, double fraction) { return cm_calibrate_progress(user, fraction); }

static calmoe_status measure(struct calmoe_calibration *c, struct part_costs *out)
{
    struct part_runs how = {.lanes = &c->lanes, .unit = c->options.costs, .n_tokens = TIMED_TOKENS,
                            .least_rounds = MIN_ROUNDS, .most_rounds = MAX_ROUNDS, .steady_rounds = MAX_ROUNDS,
                            .most_ns = most_ns, .progress = tell, .user = c};
    CM_TRY(cm_calibrate_load(c, 0, c->options.batch < c->n_first ? c->options.batch : c->n_first));
    for (int i = 0; i < c->lanes.n; i++) {
        const int prompt = c->lanes.at[i].prompt;
        how.answers[i] = c->full.forced + (size_t)prompt * (size_t)c->options.answer_tokens;
        how.n_answers[i] = c->full.n_forced[prompt];
    }
    return cm_measure_parts(&how, out);
}

/* Machines differ most in how dear the vocabulary is, and its checks, beside layers; where experts are read from disk,
 * in how dear a read is. */
static const double head_factors[N_SHEETS] = {1.0, 3.0, 1.0 / 3.0}, read_factors[N_SHEETS] = {1.0, 8.0, 1.0 / 8.0};

static void make_sheets(struct calmoe_calibration *c)
{
    for (int i = 0; i < N_SHEETS; i++) {
        c->sheets[i] = c->prices;
        c->sheets[i].of[PART_READ] *= read_factors[i];
        for (int part = PART_HEAD; part < PART_COUNT && !c->options.resident; part++)
            c->sheets[i].of[part] *= head_factors[i];
    }
}

/* What a whole token reads from disk, on the first part. */
static calmoe_status count_reads(struct calmoe_calibration *c)
{
    struct trial whole = {.rung = NULL};
    if (!c->options.resident) return CALMOE_OK;
    CM_TRY(cm_calibrate_run(c, 0, c->n_first, &whole, 1));
    c->off_parts.of[PART_READ] = whole.n_tokens > 0 ? whole.parts.of[PART_READ] / (double)whole.n_tokens : 0.0;
    return CALMOE_OK;
}

calmoe_status cm_calibrate_costs(struct calmoe_calibration *c)
{
    const struct model_spec *spec = &c->engine->model->spec;
    const size_t             n_layers = (size_t)spec->n_layers;
    struct part_costs        found;
    struct cost_layers       layers;
    c->cost_layers = cm_alloc(c->ctx, 2 * n_layers, sizeof *c->cost_layers, "calibration");
    c->cost_memory = cm_alloc(c->ctx, 4 * n_layers * (PART_COUNT + 1), sizeof *c->cost_memory, "calibration");
    if (!c->cost_layers || !c->cost_memory) return CALMOE_NO_MEMORY;
    CM_TRY(measure(c, &found));
    cm_cost_layers(spec, c->cost_layers, &layers);
    cm_price_layers(&layers, &found.prices, c->cost_memory, &c->costs);
    for (int part = 0; part < PART_COUNT; part++) {
        struct parts one = {{0.0}};
        one.of[part] = 1.0;
        cm_price_layers(&layers, &one, c->cost_memory + (size_t)(part + 1) * 4 * n_layers, &c->part_tables[part]);
    }
    /* rows at an answer's end are never filled lazily, which runs as short as these hardly show */
    c->prices = found.prices;
    c->kv_fill = found.prices.of[PART_LAZY_FILL] < 1.5 * found.prices.of[PART_FILL] ? KV_LAZY : KV_PROPAGATE;
    c->off_step = found.step;
    cm_off_parts(&layers, spec->most.n_used, &c->off_parts);
    CM_TRY(count_reads(c));
    c->off_cost = cm_parts_cost(&c->off_parts, &c->prices);
    make_sheets(c);
    return CALMOE_OK;
}
