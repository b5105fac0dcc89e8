/* runtime/api/calibrate_aim.c - policies on purpose near each bound: paths of boldness, all on the first part.
 *
 * What the search found stands where its prices and quantiles happened to fall, and a policy's keys and values make its
 * risk higher than on paper; so few candidates are near a given delta. Here one of them, the anchor of a delta, is made
 * bolder and more careful (boldness.h): some steps far apart show how risk grows, then steps are put at given shares of
 * delta. Risk rises along a path, so a sequence of tests along it goes up to what can be proven, where a front of
 * strangers ends at the first one that was lucky on the first part. */
#include <math.h>

#include "base/memory.h"
#include "kernels/elementary.h"
#include "runtime/api/calibrate_parts.h"
#include "runtime/early_exit/boldness.h"

static const double coarse[] = {1.0 / 32, 1.0 / 8, 0.5, 1.0, 2.0, 8.0}; /* boldness                  */
static const double shares[] = {0.1, 0.2,  0.3,  0.4,  0.5, 0.6, 0.7,
                                0.78, 0.86, 0.93, 1.0, 1.08, 1.16}; /* of what can be proven at best */
enum { N_COARSE = sizeof coarse / sizeof coarse[0], N_SHARES = sizeof shares / sizeof shares[0] };

struct step { /* of a path */
    int    path, configuration;
    double b;
};

struct aiming {
    struct calmoe_calibration *calibration;
    int                        n_paths, n_steps;
    int                       *anchors; /* (n_paths) configurations      */
    struct step               *steps;   /* (n_steps)                     */
    struct boldness_point     *points;  /* scratch: of one path          */
    struct trial              *trials;
    struct width_rule         *widths;  /* scratch (n_layers)            */
};

int cm_calibrate_most_steps(const struct calmoe_calibration *c)
{
    return cm_calibrate_n_kinds(c) * c->n_deltas * (N_COARSE + N_SHARES);
}

/* ---- anchors ---- */

static bool can_scale(const struct aiming *aiming, int configuration)
{
    struct policy_rung out;
    return cm_rung_at_boldness(&aiming->calibration->configurations.rungs[configuration],
                               aiming->calibration->costs.n_layers, 1.0, aiming->widths, &out);
}

/* The largest mean loss at which any test of n prompts can be sure to pass: one prompt in 1 / (delta - mean) that loses
 * all would lift the risk to delta, and ln(1/epsilon) / (delta - mean) prompts miss it with chance epsilon. */
static double best_proof(const struct calmoe_calibration *c, double delta)
{
    return delta + cm_ln(c->options.epsilon) / (c->n_prompts - c->n_first);
}

/* The cheapest of a kind whose mean loss is at most `wanted`; the one of least loss where there is none; -1. */
static int find_anchor(const struct aiming *aiming, int kind, double wanted, int n_candidates)
{
    const struct calmoe_calibration *c = aiming->calibration;
    int    best = -1;
    double best_mean = 0.0;
    for (int i = 0; i < n_candidates; i++) {
        if (!cm_calibrate_has_run(c, i, c->n_first) || !can_scale(aiming, i) ||
            !cm_calibrate_is_of_kind(&c->configurations.rungs[i], kind))
            continue;
        const double mean = cm_calibrate_first_mean(c, i, c->n_first);
        const bool   is_safer = mean < best_mean, is_cheaper = best >= 0 && c->cost[i] < c->cost[best];
        if (best < 0 || (best_mean > wanted ? is_safer : mean <= wanted && is_cheaper)) best = i, best_mean = mean;
    }
    return best;
}

static int path_of(struct aiming *aiming, int anchor)
{
    int path = 0;
    while (path < aiming->n_paths && aiming->anchors[path] != anchor) path++;
    if (path == aiming->n_paths) aiming->anchors[aiming->n_paths++] = anchor;
    return path;
}

/* ---- steps ---- */

static void add_step(struct aiming *aiming, int path, double b)
{
    struct configurations *list = &aiming->calibration->configurations;
    struct policy_rung     rung;
    for (int i = 0; i < aiming->n_steps; i++)
        if (aiming->steps[i].path == path && fabs(aiming->steps[i].b / b - 1.0) < 0.01) return;
    (void)cm_rung_at_boldness(&list->rungs[aiming->anchors[path]], list->n_layers, b, aiming->widths, &rung);
    (void)cm_configurations_add(list, &rung, rung.widths);
    const int which = cm_configurations_find(list, &rung, rung.widths);
    if (which >= 0) aiming->steps[aiming->n_steps++] = (struct step){path, which, b};
}

/* Those of which nothing is known yet, on the whole first part. */
static calmoe_status run_steps(struct aiming *aiming, int begin)
{
    struct calmoe_calibration *c = aiming->calibration;
    int n = 0;
    for (int i = begin; i < c->configurations.n; i++)
        aiming->trials[n++] = (struct trial){.rung = &c->configurations.rungs[i], .losses = cm_losses_of(c, i)};
    if (n > 0) CM_TRY(cm_calibrate_run(c, 0, c->n_first, aiming->trials, n));
    for (int i = begin; i < c->configurations.n; i++) cm_calibrate_note(c, i, &aiming->trials[i - begin]);
    return CALMOE_OK;
}

/* A path's steps that have run, ascending in b: configurations into order, and what was seen into points. */
static int sort_path(const struct aiming *aiming, int path, int *order)
{
    const struct calmoe_calibration *c = aiming->calibration;
    int n = 0;
    for (int i = 0; i < aiming->n_steps; i++) {
        const struct step *step = &aiming->steps[i];
        if (step->path != path || !cm_calibrate_has_run(c, step->configuration, c->n_first)) continue;
        int at = n++;
        for (; at > 0 && aiming->points[at - 1].b > step->b; at--) {
            aiming->points[at] = aiming->points[at - 1];
            order[at] = order[at - 1];
        }
        aiming->points[at] = (struct boldness_point){step->b, cm_calibrate_first_mean(c, step->configuration,
                                                                                      c->n_first)};
        order[at] = step->configuration;
    }
    return n;
}

static void add_shares(struct aiming *aiming, int path, double wanted, int *order)
{
    const int n = sort_path(aiming, path, order);
    for (int i = 0; i < N_SHARES && n > 0; i++)
        add_step(aiming, path, cm_boldness_of(aiming->points, n, shares[i] * wanted));
}

/* ---- the stage ---- */

static calmoe_status open_aiming(struct aiming *aiming)
{
    struct calmoe_calibration *c = aiming->calibration;
    const size_t n_steps = (size_t)cm_calibrate_most_steps(c), n_aims = (size_t)(cm_calibrate_n_kinds(c) * c->n_deltas);
    c->aim_memory = cm_alloc(c->ctx, n_steps, sizeof *c->aim_memory, "calibration");
    aiming->anchors = cm_alloc(c->ctx, n_aims, sizeof *aiming->anchors, "calibration");
    aiming->steps = cm_alloc(c->ctx, n_steps, sizeof *aiming->steps, "calibration");
    aiming->points = cm_alloc(c->ctx, n_steps, sizeof *aiming->points, "calibration");
    aiming->trials = cm_alloc(c->ctx, n_steps, sizeof *aiming->trials, "calibration");
    aiming->widths = cm_alloc(c->ctx, (size_t)c->costs.n_layers, sizeof *aiming->widths, "calibration");
    return c->aim_memory && aiming->anchors && aiming->steps && aiming->points && aiming->trials && aiming->widths
               ? CALMOE_OK
               : CALMOE_NO_MEMORY;
}

static void close_aiming(struct aiming *aiming)
{
    cm_free(aiming->anchors);
    cm_free(aiming->steps);
    cm_free(aiming->points);
    cm_free(aiming->trials);
    cm_free(aiming->widths);
}

static calmoe_status aim(struct aiming *aiming)
{
    struct calmoe_calibration *c = aiming->calibration;
    const int n_candidates = c->configurations.n, n_kinds = cm_calibrate_n_kinds(c);
    int       paths[N_KINDS][CALMOE_MAX_DELTAS];
    for (int kind = 0; kind < n_kinds; kind++)
        for (int i = 0; i < c->n_deltas; i++) {
            const double wanted = best_proof(c, c->deltas[i]);
            const int    anchor = wanted > 0.0 ? find_anchor(aiming, kind, wanted, n_candidates) : -1;
            paths[kind][i] = anchor < 0 ? -1 : path_of(aiming, anchor);
        }
    for (int path = 0; path < aiming->n_paths; path++)
        for (int i = 0; i < N_COARSE; i++) add_step(aiming, path, coarse[i]);
    CM_TRY(run_steps(aiming, n_candidates));
    const int n_before = c->configurations.n;
    for (int kind = 0; kind < n_kinds; kind++)
        for (int i = 0; i < c->n_deltas; i++)
            if (paths[kind][i] >= 0) add_shares(aiming, paths[kind][i], best_proof(c, c->deltas[i]), c->aim_memory);
    CM_TRY(run_steps(aiming, n_before));
    for (int path = 0, at = 0, n; path < aiming->n_paths; path++, at += n) {
        n = sort_path(aiming, path, c->aim_memory + at);
        for (int kind = 0; kind < n_kinds; kind++)
            for (int i = 0; i < c->n_deltas; i++)
                if (paths[kind][i] == path) c->aims[kind][i] = (struct aim){n, c->aim_memory + at};
    }
    return CALMOE_OK;
}

calmoe_status cm_calibrate_aim(struct calmoe_calibration *c)
{
    struct aiming aiming = {.calibration = c};
    calmoe_status status = open_aiming(&aiming);
    if (status == CALMOE_OK) status = aim(&aiming);
    close_aiming(&aiming);
    return status;
}
