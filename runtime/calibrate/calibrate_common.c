/* runtime/calibrate/calibrate_common.c - what several stages of a calibration ask of it. */
#include <math.h>

#include "runtime/calibrate/calibrate_parts.h"

calmoe_status cm_calibrate_progress(struct calmoe_calibration *c, double fraction)
{
    const double all = c->stage_begin + (c->stage_end - c->stage_begin) * fraction;
    if (c->options.progress && c->options.progress(c->options.progress_user, all) != 0)
        return cm_fail(c->ctx, CALMOE_CANCELLED, "calibration was cancelled");
    return CALMOE_OK;
}

/* ---- kinds of policies ---- */

bool cm_calibrate_is_of_kind(const struct policy_rung *rung, int kind)
{
    switch (kind) {
    case KIND_DEPTH: return !rung->widths && rung->exits[0].measure != MEASURE_ALWAYS;
    case KIND_WIDTH: return rung->n_exits == 0;
    case KIND_STATIC:
        return rung->n_exits > 0 ? !rung->widths && rung->exits[0].measure == MEASURE_ALWAYS
                                 : rung->widths[0].kind == WIDTH_FIXED;
    default: return true;
    }
}

int cm_calibrate_n_kinds(const struct calmoe_calibration *c) { return c->options.rivals ? N_KINDS : 1; }

/* ---- what is known of a policy ---- */

bool cm_calibrate_has_run(const struct calmoe_calibration *c, int configuration, int n_prompts)
{
    return !isnan(cm_losses_of(c, configuration)[n_prompts - 1]);
}

void cm_calibrate_note(struct calmoe_calibration *c, int which, const struct trial *trial)
{
    const double n = trial->n_tokens > 0 ? (double)trial->n_tokens : 1.0;
    c->cost[which] = trial->n_tokens > 0 ? trial->cost / n : c->off_cost;
    for (int part = 0; part < PART_COUNT; part++) c->parts[which].of[part] = trial->parts.of[part] / n;
    c->layers[which] = trial->layers / n;
    c->experts[which] = trial->n_layer_runs > 0.0 ? trial->experts / trial->n_layer_runs : 0.0;
}

double cm_calibrate_first_mean(const struct calmoe_calibration *c, int configuration, int n)
{
    double sum = 0.0;
    for (int p = 0; p < n; p++) sum += cm_losses_of(c, configuration)[p];
    return sum / n;
}
