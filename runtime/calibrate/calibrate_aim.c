/* runtime/calibrate/calibrate_aim.c - policies on purpose near each bound: paths of boldness, all on the first part.
 *
 * What the search found stands where its prices and quantiles happened to fall, and a policy's keys and values make its
 * risk higher than on paper; so few candidates are near a given delta. Here, for each delta, some candidates around it
 * are made so bold or so careful (boldness.h) that their risk should be what can be proven at best; the cheapest there
 * leads a path, with steps at given shares of that risk. Risk rises along a path, so a sequence of tests along it goes
 * up to what can be proven, where a front of strangers ends at the first one that was lucky on the first part. (With
 * these steps in it the front still proved policies that took up to a hundredth more of a token's time.) */
#include <math.h>

#include "base/memory.h"
#include "kernels/elementary.h"
#include "runtime/calibrate/calibrate_parts.h"
#include "runtime/calibrate/boldness.h"

/* of what can be proven at best */
static const double shares[] = {0.15, 0.3, 0.42, 0.53, 0.63, 0.72, 0.81, 0.89, 0.96, 1.03, 1.12};
enum { N_SHARES = sizeof shares / sizeof shares[0], N_NEAR = 3 /* candidates on each side */ };

struct aim_step { /* of a path */
    int    path, configuration;
    double b;
};

struct target { /* of a kind, a delta and a sheet of prices */
    int    kind, sheet;
    double wanted; /* mean loss */
    int    n_paths;
    int    paths[2 * N_NEAR]; /* one of them leads */
};

struct aiming {
    struct calmoe_calibration *calibration;
    int                        n_candidates, n_paths, n_steps;
    double                    *means;   /* (n_candidates) on the first part; NaN: it is out */
    int                       *anchors; /* (n_paths) candidates          */
    struct aim                *orders;  /* (n_paths) their steps         */
    struct aim_step               *steps;   /* (n_steps)                     */
    struct boldness_point     *points;  /* scratch: of one path          */
    struct trial              *trials;
    struct width_rule         *widths;  /* scratch (n_layers)            */
    struct target              targets[N_KINDS][CALMOE_MAX_DELTAS][N_SHEETS];
};

int cm_calibrate_most_steps(const struct calmoe_calibration *c)
{
    return (cm_calibrate_n_kinds(c) - 1 + N_SHEETS) * c->n_deltas * (2 * 2 * N_NEAR + N_SHARES);
}

/* ---- candidates around a mean loss ---- */

/* The largest mean loss at which any test of n prompts can be sure to pass: one prompt in 1 / (delta - mean) that
 * loses all would lift the risk to delta, and ln(1/epsilon) / (delta - mean) prompts miss it with chance epsilon. In
 * a family of sequences each has its share of epsilon. */
static double best_proof(const struct calmoe_calibration *c, double delta, int n_sequences)
{
    return delta + cm_ln(c->options.epsilon / n_sequences) / (c->n_prompts - c->n_first);
}

/* How many sheets of prices get a path: all of them, where that takes away at most a tenth of what one could prove.
 * Known before any loss is. */
static int n_sheets_of(const struct calmoe_calibration *c, int kind, double delta)
{
    const double alone = best_proof(c, delta, 1);
    return kind == KIND_ANY && best_proof(c, delta, N_SHEETS) >= 0.9 * alone && alone > 0.0 ? N_SHEETS : 1;
}

static double cost_at(const struct aiming *aiming, int configuration, int sheet)
{
    return cm_parts_cost(&aiming->calibration->parts[configuration], &aiming->calibration->sheets[sheet]);
}

static const struct policy_rung *rung_of(const struct aiming *aiming, int candidate)
{
    return &aiming->calibration->configurations.rungs[candidate];
}

static void find_means(struct aiming *aiming)
{
    const struct calmoe_calibration *c = aiming->calibration;
    struct policy_rung out;
    for (int i = 0; i < aiming->n_candidates; i++) {
        const bool is_in = cm_calibrate_has_run(c, i, c->n_first) &&
                           cm_rung_at_boldness(rung_of(aiming, i), c->costs.n_layers, 1.0, aiming->widths, &out);
        aiming->means[i] = is_in ? cm_calibrate_first_mean(c, i, c->n_first) : (double)NAN;
    }
}

static bool is_beaten(const struct aiming *aiming, const struct target *target, int i)
{
    const double *means = aiming->means;
    for (int j = 0; j < aiming->n_candidates; j++)
        if (means[j] <= means[i] && cost_at(aiming, j, target->sheet) < cost_at(aiming, i, target->sheet) &&
            cm_calibrate_is_of_kind(rung_of(aiming, j), target->kind))
            return true;
    return false;
}

static bool same_exits(const struct policy_rung *a, const struct policy_rung *b)
{
    if (a->n_exits != b->n_exits || a->k_tail != b->k_tail) return false;
    for (int i = 0; i < a->n_exits; i++)
        if (a->exits[i].layer != b->exits[i].layer || a->exits[i].measure != b->exits[i].measure) return false;
    return true;
}

/* Thresholds are what a path changes, so one of each set of exits is enough; of widths alone each is a path. */
static bool is_chosen(const struct aiming *aiming, const struct target *target, int i)
{
    for (int j = 0; j < target->n_paths; j++) {
        const int anchor = aiming->anchors[target->paths[j]];
        if (anchor == i || (rung_of(aiming, i)->n_exits > 0 && same_exits(rung_of(aiming, i), rung_of(aiming, anchor))))
            return true;
    }
    return false;
}

/* The next of a kind that none beats, from the wanted mean downwards or upwards; -1. */
static int next_near(const struct aiming *aiming, const struct target *target, bool up)
{
    const double *means = aiming->means;
    int           best = -1;
    for (int i = 0; i < aiming->n_candidates; i++) {
        if (!(up ? means[i] > target->wanted : means[i] <= target->wanted)) continue;
        if (best >= 0 && !(up ? means[i] < means[best] : means[i] > means[best])) continue;
        if (cm_calibrate_is_of_kind(rung_of(aiming, i), target->kind) && !is_chosen(aiming, target, i) &&
            !is_beaten(aiming, target, i))
            best = i;
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
    if (which >= 0) aiming->steps[aiming->n_steps++] = (struct aim_step){path, which, b};
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
        const struct aim_step *step = &aiming->steps[i];
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

/* ---- the stage ---- */

/* Each candidate around the target, and made such that it should come there. */
static void add_contenders(struct aiming *aiming, struct target *target)
{
    for (int i = 0; i < 2 * N_NEAR; i++) {
        const int candidate = next_near(aiming, target, i % 2 != 0);
        if (candidate < 0) continue;
        const int                   path = path_of(aiming, candidate);
        const struct boldness_point here = {1.0, aiming->means[candidate]};
        target->paths[target->n_paths++] = path;
        add_step(aiming, path, 1.0);
        add_step(aiming, path, cm_boldness_of(&here, 1, target->wanted));
    }
}

/* A path's cost where its mean loss is the wanted one: linear in the logarithm, between steps or a bit beyond. */
static double cost_of_path(const struct aiming *aiming, int path, const struct target *target, int *order)
{
    const double wanted = target->wanted, least = wanted / 16;
    const int    n = sort_path(aiming, path, order), sheet = target->sheet;
    int          i = 1;
    if (n < 2) return n == 1 ? cost_at(aiming, order[0], sheet) : (double)INFINITY;
    while (i < n - 1 && aiming->points[i].mean < wanted) i++;
    const double from = fmax(aiming->points[i - 1].mean, least), to = fmax(aiming->points[i].mean, least);
    const double cost = cost_at(aiming, order[i - 1], sheet);
    if (to < 1.02 * from) return cost;
    const double share = fmin(fmax(cm_ln(wanted / from) / cm_ln(to / from), -1.0), 2.0);
    return cost + share * (cost_at(aiming, order[i], sheet) - cost);
}

/* The cheapest path becomes the target's only one, and gets its steps. */
static void add_shares(struct aiming *aiming, struct target *target, int *order)
{
    double least = (double)INFINITY;
    int    best = target->paths[0];
    for (int i = 0; i < target->n_paths; i++) {
        const double cost = cost_of_path(aiming, target->paths[i], target, order);
        if (cost < least) least = cost, best = target->paths[i];
    }
    target->n_paths = 1;
    target->paths[0] = best;
    const int n = sort_path(aiming, best, order);
    for (int i = 0; i < N_SHARES && n > 0; i++)
        add_step(aiming, best, cm_boldness_of(aiming->points, n, shares[i] * target->wanted));
}

static calmoe_status open_aiming(struct aiming *aiming)
{
    struct calmoe_calibration *c = aiming->calibration;
    const size_t n_steps = (size_t)cm_calibrate_most_steps(c), n_candidates = (size_t)aiming->n_candidates;
    c->aim_memory = cm_alloc(c->ctx, n_steps, sizeof *c->aim_memory, "calibration");
    aiming->means = cm_alloc(c->ctx, n_candidates, sizeof *aiming->means, "calibration");
    aiming->anchors = cm_alloc(c->ctx, n_candidates, sizeof *aiming->anchors, "calibration");
    aiming->orders = cm_alloc(c->ctx, n_candidates, sizeof *aiming->orders, "calibration");
    aiming->steps = cm_alloc(c->ctx, n_steps, sizeof *aiming->steps, "calibration");
    aiming->points = cm_alloc(c->ctx, n_steps, sizeof *aiming->points, "calibration");
    aiming->trials = cm_alloc(c->ctx, n_steps, sizeof *aiming->trials, "calibration");
    aiming->widths = cm_alloc(c->ctx, (size_t)c->costs.n_layers, sizeof *aiming->widths, "calibration");
    return c->aim_memory && aiming->means && aiming->anchors && aiming->orders && aiming->steps && aiming->points &&
                   aiming->trials && aiming->widths
               ? CALMOE_OK
               : CALMOE_NO_MEMORY;
}

static void close_aiming(struct aiming *aiming)
{
    cm_free(aiming->means);
    cm_free(aiming->anchors);
    cm_free(aiming->orders);
    cm_free(aiming->steps);
    cm_free(aiming->points);
    cm_free(aiming->trials);
    cm_free(aiming->widths);
}

/* The paths of a delta's sheets, each once. */
static void tell_aims_of(const struct aiming *aiming, int kind, int delta)
{
    struct calmoe_calibration *c = aiming->calibration;
    int *n = &c->n_aims[kind][delta];
    for (int sheet = 0; sheet < N_SHEETS; sheet++) {
        const struct target *target = &aiming->targets[kind][delta][sheet];
        bool                 is_told = target->n_paths != 1;
        for (int j = 0; j < sheet; j++)
            is_told |= aiming->targets[kind][delta][j].n_paths == 1 &&
                       aiming->targets[kind][delta][j].paths[0] == target->paths[0];
        if (!is_told) c->aims[kind][delta][(*n)++] = aiming->orders[target->paths[0]];
    }
}

static void tell_aims(struct aiming *aiming)
{
    struct calmoe_calibration *c = aiming->calibration;
    for (int path = 0, at = 0, n; path < aiming->n_paths; path++, at += n) {
        n = sort_path(aiming, path, c->aim_memory + at);
        aiming->orders[path] = (struct aim){n, c->aim_memory + at};
    }
    for (int kind = 0; kind < cm_calibrate_n_kinds(c); kind++)
        for (int i = 0; i < c->n_deltas; i++) tell_aims_of(aiming, kind, i);
}

typedef void (*target_fn)(struct aiming *aiming, struct target *target);

static void add_shares_of(struct aiming *aiming, struct target *target)
{
    if (target->n_paths > 0) add_shares(aiming, target, aiming->calibration->aim_memory);
}

static void each_target(struct aiming *aiming, target_fn fn)
{
    const struct calmoe_calibration *c = aiming->calibration;
    for (int kind = 0; kind < cm_calibrate_n_kinds(c); kind++)
        for (int i = 0; i < c->n_deltas; i++)
            for (int sheet = 0; sheet < n_sheets_of(c, kind, c->deltas[i]); sheet++) {
                struct target *target = &aiming->targets[kind][i][sheet];
                target->kind = kind;
                target->sheet = sheet;
                target->wanted = best_proof(c, c->deltas[i], n_sheets_of(c, kind, c->deltas[i]));
                if (target->wanted > 0.0) fn(aiming, target);
            }
}

static calmoe_status aim(struct aiming *aiming)
{
    struct calmoe_calibration *c = aiming->calibration;
    find_means(aiming);
    each_target(aiming, add_contenders);
    CM_TRY(run_steps(aiming, aiming->n_candidates));
    const int n_before = c->configurations.n;
    each_target(aiming, add_shares_of);
    CM_TRY(run_steps(aiming, n_before));
    tell_aims(aiming);
    return CALMOE_OK;
}

calmoe_status cm_calibrate_aim(struct calmoe_calibration *c)
{
    struct aiming aiming = {.calibration = c, .n_candidates = c->configurations.n};
    calmoe_status status = open_aiming(&aiming);
    if (status == CALMOE_OK) status = aim(&aiming);
    close_aiming(&aiming);
    return status;
}
