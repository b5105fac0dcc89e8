/* runtime/calibrate/choose_policy.c - calmoe_policy_choose: which of the proven policies is cheapest here. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/calibrate/part_costs.h"
#include "runtime/documents/costs_file.h"
#include "runtime/engine/handles.h"
#include "runtime/forward/tuning.h"

enum { N_PROMPT = 16, N_READ = 4, LEAST_ROUNDS = 2, STEADY_ROUNDS = 8, MOST_ROUNDS = 1000 };

static const uint64_t most_ns = 1000000000ULL; /* mostly it takes some hundredths of that */

/* ---- measured ---- */

/* Tokens that are read do not matter, but that they are spread over the experts. */
static void spread_tokens(const calmoe_model *model, int32_t *tokens, int n)
{
    const int n_vocab = model->spec.n_vocab;
    for (int i = 0; i < n; i++) {
        int token = (int)((uint32_t)(i + 1) * 2654435761U % (uint32_t)n_vocab);
        for (int tried = 0; tried < n_vocab && !model->usable[token]; tried++) token = (token + 1) % n_vocab;
        tokens[i] = token;
    }
}

static calmoe_status run(calmoe_engine *engine, struct part_runs *how, struct part_costs *out)
{
    int32_t tokens[N_PROMPT + N_READ];
    spread_tokens(engine->model, tokens, N_PROMPT + N_READ);
    struct lane *lane = &how->lanes->at[0];
    lane->n_prompt = lane->n_tokens = N_PROMPT;
    lane->tokens = tokens;
    how->lanes->n = 1;
    how->answers[0] = tokens + N_PROMPT;
    how->n_answers[0] = N_READ;
    CM_TRY(cm_lanes_read(how->lanes, CALMOE_LOGITS_LAST, NULL, NULL));
    return cm_measure_parts(how, out);
}

/* *is_known false: it was too noisy to tell. */
static calmoe_status measure(calmoe_engine *engine, int unit, struct parts *out, bool *is_known)
{
    struct lanes      lanes;
    struct part_costs costs;
    struct part_runs  how = {.lanes = &lanes, .unit = unit, .n_tokens = N_READ, .least_rounds = LEAST_ROUNDS,
                             .most_rounds = MOST_ROUNDS, .most_ns = most_ns, .steady_rounds = STEADY_ROUNDS};
    CM_TRY(cm_engine_need_exits(engine));
    CM_TRY(cm_lanes_open(engine, 1, N_PROMPT + N_READ + 1, &lanes));
    const calmoe_engine_options options = engine->options;
    engine->options.routing = NULL; /* these steps are nobody's */
    engine->options.routing_source = NULL;
    const calmoe_status status = run(engine, &how, &costs);
    engine->options.routing = options.routing;
    engine->options.routing_source = options.routing_source;
    cm_lanes_close(&lanes);
    calmoe_engine_reset_stats(engine);
    if (status != CALMOE_OK) return status;
    *out = costs.prices;
    *is_known = costs.is_steady;
    if (!costs.is_steady)
        cm_log(engine->ctx, "other programs are at work, so what parts of a token cost here is not known yet; of what "
               "is proven the first is taken");
    return CALMOE_OK;
}

/* Where a plan leaves experts on disk, what parts cost depends on which, and on how they are read. */
static void add_disk(const calmoe_engine *engine, char machine[MACHINE_BYTES])
{
    const size_t n = strlen(machine);
    char         kept[17];
    cm_plan_kept(&engine->plan, kept);
    if (!kept[0]) return;
    const struct stream_size size = cm_expert_stream_size(engine->weights->stream);
    snprintf(machine + n, MACHINE_BYTES - n, ", keeping %s, %d slots%s", kept, size.n_slots,
             size.is_direct ? ", past the cache" : "");
}

/* Measured before on such a machine, or now. */
static calmoe_status know_times(calmoe_engine *engine, struct costs_file *costs, bool *is_known)
{
    struct costs_file kept;
    char              machine[MACHINE_BYTES];
    cm_tell_machine(&engine->machine, machine);
    const size_t n = strlen(machine);
    if (engine->shares.n_ranks > 1)
        snprintf(machine + n, sizeof machine - n, ", one of %d ranks", engine->shares.n_ranks);
    add_disk(engine, machine);
    memcpy(costs->machine, machine, sizeof machine);
    char *path = cm_costs_path(costs);
    FILE *file = path ? fopen(path, "re") : NULL;
    if (file) {
        fclose(file);
        const bool is_good = cm_costs_file_read(NULL, path, &kept) == CALMOE_OK &&
                             strcmp(kept.fingerprint, costs->fingerprint) == 0;
        if (is_good) costs->prices = kept.prices;
        else cm_log(engine->ctx, "'%s' does not tell what was measured on this machine; it is ignored", path);
        if (is_good) {
            cm_free(path);
            return CALMOE_OK;
        }
    }
    const calmoe_status status = measure(engine, CALMOE_COSTS_TIME, &costs->prices, is_known);
    if (status == CALMOE_OK && *is_known && path) cm_costs_file_keep(engine->ctx, path, costs);
    cm_free(path);
    return status;
}

/* ---- chosen ---- */

static calmoe_status know_costs(calmoe_engine *engine, const char *from, struct costs_file *costs, bool *is_known)
{
    const char *fingerprint = engine->model->fingerprint;
    memcpy(costs->fingerprint, fingerprint, sizeof costs->fingerprint);
    if (strcmp(from, "time") == 0) return know_times(engine, costs, is_known);
    if (strcmp(from, "bytes") == 0) return measure(engine, CALMOE_COSTS_BYTES, &costs->prices, is_known);
    CM_TRY(cm_costs_file_read(engine->ctx, from, costs));
    if (strcmp(costs->fingerprint, fingerprint) == 0) return CALMOE_OK;
    return cm_fail(engine->ctx, CALMOE_INVALID_ARGUMENT, "'%s' has costs of a model with fingerprint %s; this one's "
                   "is %s", from, costs->fingerprint, fingerprint);
}

static calmoe_status choose(calmoe_policy *policy, calmoe_engine *engine, const char *from, const char *kept)
{
    const struct model_spec *spec = &engine->model->spec;
    struct costs_file        costs = {.machine = ""};
    struct cost_layers       layers;
    struct parts             off;
    bool                     is_known = true;
    int *memory = cm_alloc(engine->ctx, 2 * (size_t)spec->n_layers, sizeof *memory, "what parts cost");
    if (!memory) return CALMOE_NO_MEMORY;
    cm_cost_layers(spec, memory, &layers);
    cm_off_parts(&layers, spec->most.n_used, &off);
    cm_free(memory);
    CM_TRY(know_costs(engine, from, &costs, &is_known));
    if (!is_known) cm_policy_leave_untrue(&policy->policy, kept);
    if (!is_known) return CALMOE_OK;
    if (strcmp(policy->policy.kept, kept) == 0) off.of[PART_READ] = policy->policy.off_reads;
    else costs.prices.of[PART_READ] = 0.0; /* which experts would be read under this plan nobody knows */
    const double whole = cm_parts_cost(&off, &costs.prices);
    if (!(whole > 0.0))
        return cm_fail(engine->ctx, CALMOE_INVALID_ARGUMENT, "costs by '%s' say nothing of layers, experts, "
                       "reads or head", from);
    CM_TRY(cm_policy_choose(engine->ctx, &policy->policy, kept, &costs.prices, whole));
    policy->prices = costs.prices;
    policy->off = whole;
    return CALMOE_OK;
}

calmoe_status calmoe_policy_choose(calmoe_policy *policy, calmoe_engine *engine, const char *costs)
{
    if (!policy || !engine)
        return cm_fail(policy ? policy->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_policy_choose: a policy and an engine are needed");
    const char *from = costs ? costs : "time";
    bool        has_choice = false;
    char        kept[17];
    for (int i = 0; i < policy->policy.n_rungs; i++) has_choice |= policy->policy.rungs[i].has_parts;
    if (!has_choice) return CALMOE_OK;
    CM_TRY(cm_policy_fits_model(engine->model, &policy->policy));
    cm_plan_kept(&engine->plan, kept);
    const int n_untrue = cm_policy_n_untrue(&policy->policy, kept);
    if (n_untrue > 0)
        cm_log(engine->ctx, "%d of %d rungs of the policy are proven under a plan that keeps other experts in memory "
               "(%s) than this engine's (%s); the others are left to choose from", n_untrue, policy->policy.n_rungs,
               policy->policy.kept, kept[0] ? kept : "none");
    if (engine->profiler && (strcmp(from, "time") == 0 || strcmp(from, "bytes") == 0)) {
        cm_log(engine->ctx, "what parts of a token cost is not measured, for the profile would count it; of what is "
               "proven the first is taken");
        cm_policy_leave_untrue(&policy->policy, kept);
        return CALMOE_OK;
    }
    return choose(policy, engine, from, kept);
}
