/* runtime/api/policy.c - calmoe_policy: read from a file or made of options, and told. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/names.h"
#include "base/options.h"
#include "runtime/engine/handles.h"
#include "runtime/documents/policy_file.h"

static calmoe_status begin(calmoe_model *model, const char *call, const void *needed, calmoe_policy **out)
{
    if (out) *out = NULL;
    if (!model || !needed || !out)
        return cm_fail(model ? model->ctx : NULL, CALMOE_INVALID_ARGUMENT, "%s: model, %s and out are needed", call,
                       strcmp(call, "calmoe_policy_open") == 0 ? "path" : "options");
    if (!model->has_weights)
        return cm_fail(model->ctx, CALMOE_INVALID_ARGUMENT, "'%s' was opened for its vocabulary only", model->path);
    *out = cm_alloc(model->ctx, 1, sizeof **out, "the policy");
    if (!*out) return CALMOE_NO_MEMORY;
    (*out)->ctx = model->ctx;
    return CALMOE_OK;
}

calmoe_status calmoe_policy_open(calmoe_model *model, const char *path, calmoe_policy **out)
{
    CM_TRY(begin(model, "calmoe_policy_open", path, out));
    (*out)->is_proven = true;
    calmoe_status status = cm_policy_file_read(model->ctx, path, &(*out)->policy);
    if (status == CALMOE_OK) status = cm_policy_fits_model(model, &(*out)->policy);
    if (status != CALMOE_OK) calmoe_policy_close(out);
    return status;
}

void calmoe_policy_close(calmoe_policy **policy)
{
    if (!policy || !*policy) return;
    cm_policy_close(&(*policy)->policy);
    cm_free(*policy);
    *policy = NULL;
}

calmoe_status calmoe_policy_save(const calmoe_policy *policy, const char *path)
{
    if (!policy || !path)
        return cm_fail(policy ? policy->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_policy_save: policy and path are needed");
    if (!policy->is_proven)
        return cm_fail(policy->ctx, CALMOE_INVALID_ARGUMENT, "nothing is proven of this policy, as a file would say");
    return cm_policy_file_write(policy->ctx, path, &policy->policy);
}

calmoe_status calmoe_policy_fix(calmoe_policy *policy, double quality, int member)
{
    if (!policy) return cm_fail(NULL, CALMOE_INVALID_ARGUMENT, "calmoe_policy_fix: a policy is needed");
    const int first = cm_policy_front_for(&policy->policy, quality);
    int       n = 0;
    if (first < 0 || !policy->is_proven)
        return cm_fail(policy->ctx, CALMOE_INVALID_ARGUMENT, "nothing of the policy is proven for a bound of %g",
                       quality);
    (void)cm_policy_front(&policy->policy, first, &n);
    if (member < 1 || member > n)
        return cm_fail(policy->ctx, CALMOE_INVALID_ARGUMENT, "policy %d of those proven for a bound of %g; 1 to %d is "
                       "wanted", member, policy->policy.rungs[first].delta, n);
    policy->policy.chosen[first] = member - 1;
    return CALMOE_OK;
}

/* ---- made of options ---- */

void calmoe_policy_options_init(calmoe_policy_options *options)
{
    if (options) *options = (calmoe_policy_options){.size = sizeof *options, .k_tail = TAIL_NONE, .width_k = 1};
}

/* Every layer at which an exit is possible; where those are more than a policy may have, as many of them, evenly
 * spread, which the log tells. */
static calmoe_status choose_exits(calmoe_context *ctx, enum exit_measure measure, int n_layers, int *layers, int *n)
{
    const int first = measure == MEASURE_STATE ? 2 : 1, n_possible = n_layers - first;
    if (cm_exit_measures[measure].reads_features)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "measure '%s' without exit layers: it is possible only after "
                       "those that the exits file has it for, which must be named", cm_exit_measures[measure].name);
    if (n_possible < 1)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "no exit by '%s' is possible in a model of %d layers",
                       cm_exit_measures[measure].name, n_layers);
    *n = n_possible < POLICY_MAX_EXITS ? n_possible : POLICY_MAX_EXITS;
    char told[8 * POLICY_MAX_EXITS] = "";
    for (int i = 0; i < *n; i++) {
        layers[i] = first + (2 * i + 1) * n_possible / (2 * *n);
        const size_t at = strlen(told);
        snprintf(told + at, sizeof told - at, "%s%d", i > 0 ? ", " : "", layers[i]);
    }
    if (*n < n_possible)
        cm_log(ctx, "exits are possible after %d layers, and a policy may have %d: after layers %s", n_possible, *n,
               told);
    return CALMOE_OK;
}

static calmoe_status make_exits(calmoe_context *ctx, const calmoe_policy_options *options, int n_layers,
                                struct policy_rung *rung)
{
    int chosen[POLICY_MAX_EXITS], row;
    struct policy_exit exit = {.threshold = {.schedule = SCHEDULE_CONSTANT, .lambda = options->threshold}};
    if (!options->measure) return CALMOE_OK;
    CM_TRY(cm_name_choose(ctx, "measure", CM_NAMES(cm_exit_measures, name), options->measure, &row));
    exit.measure = (enum exit_measure)row;
    const bool is_every_layer = !options->exit_layers && options->n_exits == 0;
    if (!is_every_layer && (!options->exit_layers || options->n_exits < 1 || options->n_exits > POLICY_MAX_EXITS))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "%d exit layers; 1 to %d are wanted, or none for every layer",
                       options->n_exits, POLICY_MAX_EXITS);
    rung->n_exits = options->n_exits;
    if (is_every_layer) CM_TRY(choose_exits(ctx, exit.measure, n_layers, chosen, &rung->n_exits));
    if (options->schedule) {
        const struct names moving = cm_names_from(CM_TEXTS(cm_schedule_names), SCHEDULE_PAPER);
        CM_TRY(cm_name_choose(ctx, "schedule", moving, options->schedule, &row));
        exit.threshold.schedule = (enum threshold_schedule)(SCHEDULE_PAPER + row);
        exit.threshold.tau = options->tau;
        exit.threshold.length = options->length;
    }
    row = KV_PROPAGATE;
    if (options->kv_fill)
        CM_TRY(cm_name_choose(ctx, "kv_fill", CM_TEXTS(cm_kv_fill_names), options->kv_fill, &row));
    cm_rung_set_fill(rung, (enum kv_fill)row);
    if (options->max_pending != 0) rung->max_pending = options->max_pending;
    for (int i = 0; i < rung->n_exits; i++) {
        exit.layer = is_every_layer ? chosen[i] : options->exit_layers[i];
        rung->exits[i] = exit;
    }
    return CALMOE_OK;
}

static calmoe_status make_widths(const calmoe_model *model, const calmoe_policy_options *options,
                                 struct policy *policy)
{
    const struct router_spec *router = cm_first_router(&model->spec);
    const struct names rules = cm_names_from(CM_NAMES(cm_width_rules, name), WIDTH_OFF + 1);
    int                row;
    if (!options->width) return CALMOE_OK;
    CM_TRY(cm_name_choose(model->ctx, "width", rules, options->width, &row));
    const struct width_rule rule = {
        .kind = (enum width_kind)(WIDTH_OFF + 1 + row),
        .bound = options->width_bound,
        .k = options->width_k,
        .renormalise = cm_renormalises(router),
    };
    policy->rungs[0].widths = cm_policy_widths(policy, 0);
    for (int layer = 0; layer < policy->n_layers; layer++) policy->rungs[0].widths[layer] = rule;
    return CALMOE_OK;
}

static calmoe_status make(const calmoe_model *model, const calmoe_policy_options *options, struct policy *policy)
{
    calmoe_context *ctx = model->ctx;
    memcpy(policy->fingerprint, model->fingerprint, sizeof policy->fingerprint);
    policy->n_layers = model->spec.n_layers;
    policy->n_rungs = 1;
    policy->rungs[0].k_tail = options->k_tail;
    CM_TRY(cm_policy_reserve(ctx, policy));
    CM_TRY(make_exits(ctx, options, policy->n_layers, &policy->rungs[0]));
    CM_TRY(make_widths(model, options, policy));
    const calmoe_status status = cm_policy_check_unproven(ctx, policy);
    if (status != CALMOE_OK) return status == CALMOE_BAD_FILE ? CALMOE_INVALID_ARGUMENT : status;
    return cm_policy_fits_model(model, policy);
}

calmoe_status calmoe_policy_make(calmoe_model *model, const calmoe_policy_options *given, calmoe_policy **out)
{
    calmoe_policy_options options;
    calmoe_policy_options_init(&options);
    if (out) *out = NULL;
    if (model) CM_TRY(cm_options_copy(model->ctx, "calmoe_policy_options", &options, sizeof options, given));
    CM_TRY(begin(model, "calmoe_policy_make", given, out));
    const calmoe_status status = make(model, &options, &(*out)->policy);
    if (status != CALMOE_OK) calmoe_policy_close(out);
    return status;
}

/* ---- told ---- */

int calmoe_policy_n_rungs(const calmoe_policy *policy) { return policy ? policy->policy.n_rungs : 0; }

calmoe_status calmoe_policy_get_rung(const calmoe_policy *policy, int index, calmoe_rung_info *out)
{
    if (!policy || !out || out->size < sizeof out->size || index < 0 || index >= policy->policy.n_rungs)
        return cm_fail(policy ? policy->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_policy_get_rung: a policy, rung 0 to %d, and info with its size set are needed",
                       calmoe_policy_n_rungs(policy) - 1);
    const struct policy_rung *rung = &policy->policy.rungs[index];
    calmoe_rung_info info = {.is_proven = policy->is_proven, .loss = "", .p_value = "", .n_exits = rung->n_exits,
                             .k_tail = rung->k_tail, .has_width = rung->widths != NULL};
    const int first = cm_policy_front(&policy->policy, index, &info.n_members);
    info.member = index - first + 1;
    info.is_taken = policy->policy.chosen[first] == index - first;
    if (policy->off > 0.0 && rung->has_parts) info.cost = cm_parts_cost(&rung->parts, &policy->prices) / policy->off;
    if (policy->is_proven) {
        info.delta = rung->delta;
        info.epsilon = rung->epsilon;
        info.loss = cm_loss_kinds[rung->loss].name;
        info.p_value = cm_p_values[rung->p_value].name;
        info.p = rung->p;
        info.n_prompts = rung->n_prompts;
    }
    for (int i = 0; i < rung->n_exits; i++) info.exit_layers[i] = rung->exits[i].layer;
    cm_options_give(out, &info, sizeof info);
    return CALMOE_OK;
}
