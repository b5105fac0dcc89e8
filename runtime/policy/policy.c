/* policy.c - see policy.h. */
#include "runtime/policy/policy.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "kernels/elementary.h"

const char *const cm_kv_fill_names[KV_FILL_COUNT] = {
    [KV_PROPAGATE] = "propagate",
    [KV_LAZY] = "lazy",
    [KV_CATCH_UP] = "catch_up",
};

static bool same_exit(const struct policy_exit *a, const struct policy_exit *b)
{
    return a->layer == b->layer && a->measure == b->measure && a->threshold.schedule == b->threshold.schedule &&
           a->threshold.lambda == b->threshold.lambda && a->threshold.tau == b->threshold.tau &&
           a->threshold.length == b->threshold.length;
}

bool cm_rung_goes_by_plan(const struct policy_rung *rung, int n_layers)
{
    bool goes = false;
    for (int layer = 0; rung->widths && layer < n_layers; layer++) goes |= rung->widths[layer].kind == WIDTH_RESIDENT;
    return goes;
}

bool cm_same_exits(const struct policy_rung *a, const struct policy_rung *b)
{
    if (a->n_exits != b->n_exits) return false;
    for (int i = 0; i < a->n_exits; i++)
        if (!same_exit(&a->exits[i], &b->exits[i])) return false;
    return true;
}

void cm_rung_set_fill(struct policy_rung *rung, enum kv_fill fill)
{
    rung->kv_fill = fill;
    rung->max_pending = fill == KV_PROPAGATE ? 0 : POLICY_PENDING;
}

/* ---- memory ---- */

calmoe_status cm_policy_reserve(struct calmoe_context *ctx, struct policy *policy)
{
    policy->widths =
        cm_alloc(ctx, (size_t)POLICY_MAX_RUNGS * (size_t)policy->n_layers, sizeof *policy->widths, "a policy");
    return policy->widths ? CALMOE_OK : CALMOE_NO_MEMORY;
}

struct width_rule *cm_policy_widths(const struct policy *policy, int rung)
{
    return policy->widths + (size_t)rung * (size_t)policy->n_layers;
}

void cm_policy_close(struct policy *policy)
{
    cm_free(policy->widths);
    *policy = (struct policy){0};
}

/* ---- checks ---- */

static bool is_inside(double x) { return x > 0.0 && x < 1.0; } /* false for NaN */

static calmoe_status check_proof(struct calmoe_context *ctx, const struct policy_rung *rung, int index)
{
    if (!is_inside(rung->delta) || !is_inside(rung->epsilon))
        return cm_fail(ctx, CALMOE_BAD_FILE, "rung %d: delta %g, epsilon %g; both must be above 0 and below 1", index,
                       rung->delta, rung->epsilon);
    if (!(rung->p >= 0.0 && rung->p <= rung->epsilon))
        return cm_fail(ctx, CALMOE_BAD_FILE, "rung %d: p = %g proves nothing at epsilon %g", index, rung->p,
                       rung->epsilon);
    if (cm_p_values[rung->p_value].is_binary && !cm_loss_kinds[rung->loss].is_binary)
        return cm_fail(ctx, CALMOE_BAD_FILE, "rung %d: the p-value '%s' is for losses of 0 and 1; '%s' is another",
                       index, cm_p_values[rung->p_value].name, cm_loss_kinds[rung->loss].name);
    /* Of no row can p be below (1 - delta)^n, what losses of 0 give the exact binomial. */
    if (rung->n_prompts < 1 || !(rung->n_prompts * cm_ln(1.0 - rung->delta) <= cm_ln(rung->epsilon)))
        return cm_fail(ctx, CALMOE_BAD_FILE,
                       "rung %d: %d prompts cannot prove a risk of at most %g at epsilon %g", index,
                       rung->n_prompts, rung->delta, rung->epsilon);
    return CALMOE_OK;
}

static calmoe_status check_threshold(struct calmoe_context *ctx, const struct policy_exit *exit, int index)
{
    const struct exit_threshold *threshold = &exit->threshold;
    const bool is_constant = threshold->schedule == SCHEDULE_CONSTANT;
    if (threshold->schedule == SCHEDULE_OFF)
        return cm_fail(ctx, CALMOE_BAD_FILE, "rung %d: the exit after layer %d is off; leave it out instead", index,
                       exit->layer);
    if (!(threshold->lambda > 0.0f && threshold->lambda <= 1.0f))
        return cm_fail(ctx, CALMOE_BAD_FILE,
                       "rung %d: the exit after layer %d has threshold %g; it must be above 0 and "
                       "at most 1", index, exit->layer, (double)threshold->lambda);
    if (is_constant ? threshold->tau != 0.0f || threshold->length != 0
                    : !(threshold->tau >= 0.0f && threshold->tau < INFINITY) || threshold->length < 1 ||
                          threshold->length > POLICY_MAX_TOKENS)
        return cm_fail(ctx, CALMOE_BAD_FILE, "rung %d: the exit after layer %d has tau %g and length %d, which do not "
                       "suit schedule '%s'", index, exit->layer, (double)threshold->tau, threshold->length,
                       cm_schedule_names[threshold->schedule]);
    return CALMOE_OK;
}

static calmoe_status check_exits(struct calmoe_context *ctx, const struct policy *policy,
                                 const struct policy_rung *rung, int index)
{
    if (rung->n_exits < 0 || rung->n_exits > POLICY_MAX_EXITS)
        return cm_fail(ctx, CALMOE_BAD_FILE, "rung %d: %d exits; at most %d are supported", index, rung->n_exits,
                       POLICY_MAX_EXITS);
    for (int i = 0; i < rung->n_exits; i++) {
        const struct policy_exit *exit = &rung->exits[i];
        if (exit->layer < 1 || exit->layer >= policy->n_layers)
            return cm_fail(ctx, CALMOE_BAD_FILE,
                           "rung %d: an exit after layer %d; this model has %d layers, so 1 to %d "
                           "are exits", index, exit->layer, policy->n_layers, policy->n_layers - 1);
        if (i > 0 && exit->layer <= exit[-1].layer)
            return cm_fail(ctx, CALMOE_BAD_FILE, "rung %d: an exit after layer %d behind one after layer %d; they must "
                           "ascend", index, exit->layer, exit[-1].layer);
        if (exit->measure == MEASURE_STATE && exit->layer < 2)
            return cm_fail(ctx, CALMOE_BAD_FILE, "rung %d: an exit after layer 1 by 'state', which compares two layers",
                           index);
        CM_TRY(check_threshold(ctx, exit, index));
    }
    return CALMOE_OK;
}

static calmoe_status check_widths(struct calmoe_context *ctx, const struct policy *policy,
                                  const struct policy_rung *rung, int index)
{
    for (int layer = 0; rung->widths && layer < policy->n_layers; layer++) {
        const struct width_rule *rule = &rung->widths[layer];
        const bool has_bound = rule->kind == WIDTH_RATIO || rule->kind == WIDTH_TOP_P || rule->kind == WIDTH_RESIDENT;
        if (has_bound && !(rule->bound > 0.0f && rule->bound <= 1.0f))
            return cm_fail(ctx, CALMOE_BAD_FILE,
                           "rung %d: width of layer %d: bound %g; it must be above 0 and at most 1",
                           index, layer + 1, (double)rule->bound);
        if (rule->kind != WIDTH_OFF && (rule->k < 1 || rule->k > POLICY_MAX_WIDTH))
            return cm_fail(ctx, CALMOE_BAD_FILE,
                           "rung %d: width of layer %d: k %d; it must be 1 to %d", index, layer + 1,
                           rule->k, POLICY_MAX_WIDTH);
    }
    return CALMOE_OK;
}

static calmoe_status check_rung(struct calmoe_context *ctx, const struct policy *policy, int index)
{
    const struct policy_rung *rung = &policy->rungs[index];
    CM_TRY(check_exits(ctx, policy, rung, index));
    if (rung->k_tail < TAIL_NONE || rung->k_tail > POLICY_MAX_WIDTH)
        return cm_fail(ctx, CALMOE_BAD_FILE, "rung %d: k_tail %d; it must be none or 0 to %d", index, rung->k_tail,
                       POLICY_MAX_WIDTH);
    if (rung->kv_fill == KV_PROPAGATE ? rung->max_pending != 0
                                      : rung->max_pending < 1 || rung->max_pending > POLICY_MAX_PENDING)
        return cm_fail(ctx, CALMOE_BAD_FILE, "rung %d: %d rows may wait; '%s' wants %s", index, rung->max_pending,
                       cm_kv_fill_names[rung->kv_fill], rung->kv_fill == KV_PROPAGATE ? "0" : "1 to 1024");
    CM_TRY(check_widths(ctx, policy, rung, index));
    if (rung->n_exits == 0 && !rung->widths)
        return cm_fail(ctx, CALMOE_BAD_FILE, "rung %d: neither exits nor widths; it leaves out nothing", index);
    return CALMOE_OK;
}

/* Rungs of one delta were proven together: the same statement, and each with its parts. */
static calmoe_status check_front(struct calmoe_context *ctx, const struct policy_rung *rung, int index, int n_before)
{
    const struct policy_rung *first = rung - n_before;
    if (!rung->has_parts || !first->has_parts)
        return cm_fail(ctx, CALMOE_BAD_FILE, "rung %d: delta %g as before it, which wants both to have their parts",
                       index, rung->delta);
    if (rung->epsilon != first->epsilon || rung->loss != first->loss || rung->p_value != first->p_value ||
        rung->n_prompts != first->n_prompts)
        return cm_fail(ctx, CALMOE_BAD_FILE, "rung %d: delta %g as before it, but another epsilon, loss, p-value or "
                       "number of prompts; they must be proven together", index, rung->delta);
    if (n_before >= POLICY_MAX_FRONT)
        return cm_fail(ctx, CALMOE_BAD_FILE, "rung %d: one more of delta %g; at most %d are supported", index,
                       rung->delta, POLICY_MAX_FRONT);
    return CALMOE_OK;
}

/* What is proven of a rule that goes by a plan is proven for one set of experts that stay. */
static calmoe_status check_kept(struct calmoe_context *ctx, const struct policy *policy, int index)
{
    const struct policy_rung *rung = &policy->rungs[index];
    const bool goes = cm_rung_goes_by_plan(rung, policy->n_layers);
    if (policy->kept[0] || (!goes && rung->parts.of[PART_READ] == 0.0)) return CALMOE_OK;
    return cm_fail(ctx, CALMOE_BAD_FILE, "rung %d: %s; the policy does not say of which plan", index,
                   goes ? "width 'resident'" : "reads from disk");
}

static calmoe_status check_order(struct calmoe_context *ctx, const struct policy *policy, int index)
{
    const struct policy_rung *rung = &policy->rungs[index];
    const int                 first = cm_policy_front(policy, index, NULL);
    for (int part = 0; part < PART_COUNT && rung->has_parts; part++)
        if (!(rung->parts.of[part] >= 0.0 && rung->parts.of[part] <= POLICY_MAX_PARTS))
            return cm_fail(ctx, CALMOE_BAD_FILE, "rung %d: %g of part '%s'; it must be 0 to %d", index,
                           rung->parts.of[part], cm_part_names[part], POLICY_MAX_PARTS);
    if (first < index) return check_front(ctx, rung, index, index - first);
    if (index > 0 && !(rung->delta > rung[-1].delta))
        return cm_fail(ctx, CALMOE_BAD_FILE, "rung %d: delta %g behind delta %g; they must ascend", index,
                       rung->delta, rung[-1].delta);
    return CALMOE_OK;
}

static calmoe_status check(struct calmoe_context *ctx, const struct policy *policy, bool is_proven)
{
    if (policy->n_layers < 1 || policy->n_layers > POLICY_MAX_LAYERS)
        return cm_fail(ctx, CALMOE_BAD_FILE, "a policy for %d layers; 1 to %d are supported", policy->n_layers,
                       POLICY_MAX_LAYERS);
    if (policy->n_rungs < 0 || policy->n_rungs > POLICY_MAX_RUNGS)
        return cm_fail(ctx, CALMOE_BAD_FILE, "a policy of %d rungs; at most %d are supported", policy->n_rungs,
                       POLICY_MAX_RUNGS);
    for (int i = 0; i < policy->n_rungs; i++) {
        if (is_proven) CM_TRY(check_proof(ctx, &policy->rungs[i], i));
        if (is_proven) CM_TRY(check_kept(ctx, policy, i));
        if (is_proven) CM_TRY(check_order(ctx, policy, i));
        CM_TRY(check_rung(ctx, policy, i));
    }
    return CALMOE_OK;
}

calmoe_status cm_policy_check(struct calmoe_context *ctx, const struct policy *policy)
{
    return check(ctx, policy, true);
}

calmoe_status cm_policy_check_unproven(struct calmoe_context *ctx, const struct policy *policy)
{
    return check(ctx, policy, false);
}

static calmoe_status check_width_fits(struct calmoe_context *ctx, const struct policy_rung *rung, int index,
                                      int n_layers, int n_used)
{
    if (rung->k_tail > n_used)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "rung %d of the policy runs %d experts after an exit; this model "
                       "uses %d of a token", index, rung->k_tail, n_used);
    for (int layer = 0; rung->widths && layer < n_layers; layer++)
        if (rung->widths[layer].kind != WIDTH_OFF && rung->widths[layer].k > n_used)
            return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                           "rung %d of the policy keeps at least %d experts in layer %d; this "
                           "model uses %d of a token", index, rung->widths[layer].k, layer + 1, n_used);
    return CALMOE_OK;
}

calmoe_status cm_policy_fits(struct calmoe_context *ctx, const struct policy *policy, const char *fingerprint,
                             int n_layers, int n_used)
{
    if (strcmp(policy->fingerprint, fingerprint) != 0)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "the policy is for a model with fingerprint %s; this one's is %s",
                       policy->fingerprint, fingerprint);
    if (policy->n_layers != n_layers)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "the policy is for %d layers; this model has %d", policy->n_layers,
                       n_layers);
    for (int i = 0; i < policy->n_rungs; i++)
        CM_TRY(check_width_fits(ctx, &policy->rungs[i], i, n_layers, n_used));
    return CALMOE_OK;
}

/* ---- choice ---- */

int cm_policy_front(const struct policy *policy, int rung, int *n)
{
    const double delta = policy->rungs[rung].delta;
    int          first = rung, end = rung + 1;
    while (first > 0 && policy->rungs[first - 1].delta == delta) first--;
    while (end < policy->n_rungs && policy->rungs[end].delta == delta) end++;
    if (n) *n = end - first;
    return first;
}

int cm_policy_front_for(const struct policy *policy, double wish)
{
    int best = -1;
    for (int i = 0; i < policy->n_rungs && policy->rungs[i].delta <= wish; i++) best = i;
    return best < 0 ? best : cm_policy_front(policy, best, NULL);
}

static bool is_true_under(const struct policy *policy, int rung, const char *kept)
{
    return strcmp(policy->kept, kept) == 0 || !cm_rung_goes_by_plan(&policy->rungs[rung], policy->n_layers);
}

int cm_policy_n_untrue(const struct policy *policy, const char *kept)
{
    int n = 0;
    for (int i = 0; i < policy->n_rungs; i++) n += !is_true_under(policy, i, kept);
    return n;
}

void cm_policy_leave_untrue(struct policy *policy, const char *kept)
{
    for (int first = 0, n; first < policy->n_rungs; first += n) {
        (void)cm_policy_front(policy, first, &n);
        policy->chosen[first] = FRONT_BELOW;
        for (int i = n - 1; i >= 0; i--)
            if (is_true_under(policy, first + i, kept)) policy->chosen[first] = i;
    }
}

/* Of the front of n rungs that begins with first, where any is true. */
static int cheapest(const struct policy *policy, int first, int n, const char *kept, const struct parts *prices,
                    double off)
{
    const struct policy_rung *rungs = &policy->rungs[first];
    int best = FRONT_OFF;
    for (int i = 0; i < n; i++) {
        if (!is_true_under(policy, first + i, kept)) continue;
        const double cost = cm_parts_cost(&rungs[i].parts, prices);
        if (cost < off) off = cost, best = i;
    }
    return best;
}

calmoe_status cm_policy_choose(struct calmoe_context *ctx, struct policy *policy, const char *kept,
                               const struct parts *prices, double off)
{
    for (int i = 0; i < policy->n_rungs; i++)
        if (policy->rungs[i].has_parts && isnan(cm_parts_cost(&policy->rungs[i].parts, prices)))
            return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "the costs say nothing of a part that rung %d of the policy "
                           "has", i);
    cm_policy_leave_untrue(policy, kept);
    for (int first = 0, n; first < policy->n_rungs; first += n) {
        (void)cm_policy_front(policy, first, &n);
        if (policy->rungs[first].has_parts && policy->chosen[first] != FRONT_BELOW)
            policy->chosen[first] = cheapest(policy, first, n, kept, prices, off);
    }
    return CALMOE_OK;
}

/* first: of a front; -1 = there is none. */
static const struct policy_rung *taken(const struct policy *policy, int first)
{
    while (first >= 0 && policy->chosen[first] == FRONT_BELOW)
        first = first > 0 ? cm_policy_front(policy, first - 1, NULL) : -1;
    if (first < 0 || policy->chosen[first] == FRONT_OFF) return NULL;
    return &policy->rungs[first + policy->chosen[first]];
}

const struct policy_rung *cm_policy_rung(const struct policy *policy, double wish)
{
    return taken(policy, cm_policy_front_for(policy, wish));
}

const struct policy_rung *cm_policy_safest(const struct policy *policy)
{
    return taken(policy, policy->n_rungs > 0 ? 0 : -1);
}

const struct policy_rung *cm_policy_step_down(const struct policy *policy, const struct policy_rung *rung)
{
    if (!rung) return NULL;
    const int first = cm_policy_front(policy, (int)(rung - policy->rungs), NULL);
    return taken(policy, first > 0 ? cm_policy_front(policy, first - 1, NULL) : -1);
}

int cm_policy_index(const struct policy *policy, const struct policy_rung *rung)
{
    return rung ? (int)(rung - policy->rungs) : -1;
}
