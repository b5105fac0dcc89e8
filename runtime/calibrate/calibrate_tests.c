/* runtime/calibrate/calibrate_tests.c - first part: what all candidates do there, aims, orders; second part: the proof.
 *
 * The order for a delta knows the first part only. On the second part policies are run when their turn comes, some at a
 * time for all deltas together, since reading the prompts is half of the work. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/calibrate/calibrate_parts.h"
#include "runtime/proof/split_tests.h"

enum { AHEAD = 3 }; /* policies of a sequence that are run before the first of them is tested */

struct test_sequence {
    int                 *order; /* (n) configurations */
    int                  n, at; /* at: of the next test */
    struct sequence_test test;
};

struct proof {
    struct calmoe_calibration *calibration;
    /* those of a kind, while they are ordered */
    double         *first;   /* (…, n_first)                                            */
    double         *costs;
    int            *kind_kept;
    double         *means;   /* (n_configurations) of the first part                    */
    double         *scratch; /* (2, n_configurations)                                   */
    int            *kept;    /* (n_kept): configurations that ran on the whole first part */
    int             n_kept;
    struct trial   *trials;  /* (n_configurations)                                      */
    int            *waiting; /* (n_configurations) of each trial                        */
    struct test_sequence sequences[N_KINDS][CALMOE_MAX_DELTAS];
};

/* ---- kinds ---- */

/* Does a stand in for b in every kind that b is of? */
static bool is_rival_of(const struct calmoe_calibration *c, int a, int b)
{
    for (int kind = 0; kind < cm_calibrate_n_kinds(c); kind++)
        if (cm_calibrate_is_of_kind(&c->configurations.rungs[b], kind) &&
            !cm_calibrate_is_of_kind(&c->configurations.rungs[a], kind))
            return false;
    return true;
}

/* ---- the first part ---- */

static calmoe_status run_first(struct proof *proof, int begin, int n)
{
    struct calmoe_calibration *c = proof->calibration;
    struct trial              *trials = proof->trials;
    for (int i = 0; i < proof->n_kept; i++) {
        const int which = proof->kept[i];
        if (begin == 0) trials[i] = (struct trial){.rung = &c->configurations.rungs[which]};
        trials[i].losses = cm_losses_of(c, which);
    }
    return cm_calibrate_run(c, begin, n, trials, proof->n_kept);
}

/* After some of the prompts: is trial i so far off that the rest will not save it? */
static bool is_hopeless(const struct proof *proof, int i, int n)
{
    const struct calmoe_calibration *c = proof->calibration;
    const double risk = cm_calibrate_first_mean(c, proof->kept[i], n), cost = proof->trials[i].cost;
    if (risk > 2.0 * c->deltas[c->n_deltas - 1]) return true;
    for (int j = 0; j < proof->n_kept; j++)
        if (proof->trials[j].cost < 0.98 * cost && is_rival_of(c, proof->kept[j], proof->kept[i]) &&
            cm_calibrate_first_mean(c, proof->kept[j], n) < 0.7 * risk - 0.0005)
            return true;
    return false;
}

static void drop_hopeless(struct proof *proof, int n)
{
    bool is_out[MAX_POLICIES] = {false};
    int  n_kept = 0;
    for (int i = 0; i < proof->n_kept; i++) is_out[i] = is_hopeless(proof, i, n);
    for (int i = 0; i < proof->n_kept; i++) {
        if (is_out[i]) continue;
        proof->kept[n_kept] = proof->kept[i];
        proof->trials[n_kept++] = proof->trials[i];
    }
    proof->n_kept = n_kept;
}

static calmoe_status run_candidates(struct proof *proof)
{
    struct calmoe_calibration *c = proof->calibration;
    static const int parts[] = {12, 3, 1}; /* a twelfth, a third, all */
    proof->n_kept = c->configurations.n;
    for (int i = 0; i < proof->n_kept; i++) proof->kept[i] = i;
    for (int i = 0, begin = 0, end; i < 3; i++, begin = end) {
        end = c->n_first / parts[i];
        if (end == begin) continue;
        CM_TRY(run_first(proof, begin, end - begin));
        if (end < c->n_first) drop_hopeless(proof, end);
    }
    for (int i = 0; i < proof->n_kept; i++) cm_calibrate_note(c, proof->kept[i], &proof->trials[i]);
    return CALMOE_OK;
}

/* ---- orders ---- */

/* Where there is a path: of the front what is safer than all of the path, then the path; else the front. table: the
 * kind's policies on the first part. */
static calmoe_status order_sequence(struct proof *proof, double delta, const struct loss_table *table,
                                    const struct aim *aim, struct test_sequence *sequence)
{
    struct calmoe_calibration *c = proof->calibration;
    const size_t n_most = (size_t)c->configurations.n + (size_t)aim->n;
    int *order = sequence->order = cm_alloc(c->ctx, n_most, sizeof *sequence->order, "calibration");
    if (!order) return CALMOE_NO_MEMORY;
    cm_sequence_begin(&sequence->test, c->p_value, delta, c->options.epsilon, (size_t)(c->n_prompts - c->n_first));
    if (sequence->test.is_over) return CALMOE_OK; /* too few prompts */
    const int n_front = table->n_configurations > 0 ? cm_pareto_order(table, c->p_value, delta, c->options.epsilon,
                                                                      proof->scratch, order)
                                                    : 0;
    int first = 0, n = 0;
    while (first < aim->n && c->cost[aim->order[first]] >= c->off_cost) first++;
    for (int i = 0; i < n_front; i++) {
        const int which = proof->kind_kept[order[i]];
        if (c->cost[which] < c->off_cost &&
            (first == aim->n || proof->means[which] < proof->means[aim->order[first]]))
            order[n++] = which;
    }
    for (int i = first; i < aim->n; i++) order[n++] = aim->order[i];
    sequence->n = cm_thin_order(proof->means, delta, order, n);
    return CALMOE_OK;
}

static calmoe_status order_sequences(struct proof *proof)
{
    struct calmoe_calibration *c = proof->calibration;
    const size_t row_bytes = (size_t)c->n_first * sizeof *proof->first;
    for (int kind = 0; kind < cm_calibrate_n_kinds(c); kind++) {
        struct loss_table table = {0, c->n_first, proof->first, proof->costs};
        for (int which = 0; which < c->configurations.n; which++) {
            const int row = table.n_configurations;
            if (!cm_calibrate_has_run(c, which, c->n_first) ||
                !cm_calibrate_is_of_kind(&c->configurations.rungs[which], kind))
                continue;
            memcpy(proof->first + (size_t)row * (size_t)c->n_first, cm_losses_of(c, which), row_bytes);
            proof->costs[row] = c->cost[which];
            proof->means[which] = cm_calibrate_first_mean(c, which, c->n_first);
            proof->kind_kept[row] = which;
            table.n_configurations++;
        }
        if (table.n_configurations > 0) CM_TRY(cm_check_loss_table(c->ctx, c->p_value, &table));
        for (int i = 0; i < c->n_deltas; i++)
            CM_TRY(order_sequence(proof, c->deltas[i], &table, &c->aims[kind][i], &proof->sequences[kind][i]));
    }
    return CALMOE_OK;
}

/* ---- the second part ---- */

static bool has_run(const struct calmoe_calibration *c, int configuration)
{
    return cm_calibrate_has_run(c, configuration, c->n_prompts);
}

/* The next policies of a sequence that have not run, up to `ahead` steps. */
static int add_waiting(struct proof *proof, const struct test_sequence *sequence, int ahead, int n_waiting)
{
    const struct calmoe_calibration *c = proof->calibration;
    for (int i = sequence->at; i < sequence->n && i < sequence->at + ahead; i++) {
        bool is_there = has_run(c, sequence->order[i]);
        for (int j = 0; j < n_waiting; j++) is_there |= proof->waiting[j] == sequence->order[i];
        if (!is_there) proof->waiting[n_waiting++] = sequence->order[i];
    }
    return n_waiting;
}

static calmoe_status run_waiting(struct proof *proof, int n_waiting)
{
    struct calmoe_calibration *c = proof->calibration;
    if (n_waiting == 0) return CALMOE_OK;
    for (int i = 0; i < n_waiting; i++)
        proof->trials[i] = (struct trial){.rung = &c->configurations.rungs[proof->waiting[i]],
                                          .losses = cm_losses_of(c, proof->waiting[i])};
    return cm_calibrate_run(c, c->n_first, c->n_prompts - c->n_first, proof->trials, n_waiting);
}

static void test_next(struct proof *proof, struct test_sequence *sequence)
{
    const struct calmoe_calibration *c = proof->calibration;
    while (!sequence->test.is_over && sequence->at < sequence->n && has_run(c, sequence->order[sequence->at])) {
        const int which = sequence->order[sequence->at++];
        (void)cm_sequence_add(&sequence->test, which, cm_losses_of(c, which) + c->n_first, c->cost[which]);
    }
}

static calmoe_status prove(struct proof *proof)
{
    struct calmoe_calibration *c = proof->calibration;
    const int all = c->options.n_splits > 0 ? c->configurations.n : AHEAD; /* which divisions want anyway */
    for (bool any = true; any;) {
        int n_waiting = 0;
        for (int kind = 0; kind < cm_calibrate_n_kinds(c); kind++)
            for (int i = 0; i < c->n_deltas; i++)
                if (!proof->sequences[kind][i].test.is_over)
                    n_waiting = add_waiting(proof, &proof->sequences[kind][i], kind == KIND_ANY ? all : AHEAD,
                                            n_waiting);
        any = n_waiting > 0;
        CM_TRY(run_waiting(proof, n_waiting));
        for (int kind = 0; kind < cm_calibrate_n_kinds(c); kind++)
            for (int i = 0; i < c->n_deltas; i++) test_next(proof, &proof->sequences[kind][i]);
    }
    for (int kind = 0; kind < cm_calibrate_n_kinds(c); kind++)
        for (int i = 0; i < c->n_deltas; i++) c->found[kind][i].finding = proof->sequences[kind][i].test.finding;
    return CALMOE_OK;
}

/* ---- divisions of it ---- */

static calmoe_status divide(struct proof *proof)
{
    struct calmoe_calibration *c = proof->calibration;
    const int n_second = c->n_prompts - c->n_first;
    int       n = 0;
    if (c->options.n_splits == 0) return CALMOE_OK;
    for (int i = 0; i < c->n_deltas; i++) {
        struct test_sequence *sequence = &proof->sequences[KIND_ANY][i];
        sequence->at = 0;
        n = add_waiting(proof, sequence, sequence->n, n);
    }
    CM_TRY(run_waiting(proof, n));
    double *second = cm_alloc(c->ctx, (size_t)c->configurations.n * (size_t)n_second, sizeof *second, "calibration");
    if (!second) return CALMOE_NO_MEMORY;
    for (int which = 0; which < c->configurations.n; which++)
        memcpy(second + (size_t)which * (size_t)n_second, cm_losses_of(c, which) + c->n_first,
               (size_t)n_second * sizeof *second);
    const struct loss_table table = {c->configurations.n, n_second, second, c->cost};
    calmoe_status status = CALMOE_OK;
    for (int i = 0; i < c->n_deltas && status == CALMOE_OK; i++) {
        const struct split_options options = {c->p_value, c->deltas[i], c->options.epsilon, c->off_cost,
                                              c->options.n_splits, c->options.seed + 1};
        struct split_finding found;
        status = cm_split_test(c->ctx, &table, proof->sequences[KIND_ANY][i].order,
                               proof->sequences[KIND_ANY][i].n, &options, &found);
        c->splits[i] = (calmoe_split_finding){sizeof c->splits[i], found.n_splits, found.n_proven, found.n_violated,
                                              found.mean_risk, found.mean_cost / c->off_cost};
    }
    cm_free(second);
    return status;
}

/* ---- the stage ---- */

static calmoe_status open_proof(struct proof *proof)
{
    struct calmoe_calibration *c = proof->calibration;
    CM_TRY(cm_configurations_grow(c->ctx, cm_calibrate_most_steps(c), &c->configurations));
    const size_t n = (size_t)c->configurations.capacity, n_first = (size_t)c->n_first;
    const size_t n_cells = n * (size_t)c->n_prompts;
    c->cost = cm_alloc(c->ctx, n, sizeof *c->cost, "calibration");
    c->layers = cm_alloc(c->ctx, n, sizeof *c->layers, "calibration");
    c->experts = cm_alloc(c->ctx, n, sizeof *c->experts, "calibration");
    c->losses = cm_alloc(c->ctx, n_cells, sizeof *c->losses, "losses");
    proof->first = cm_alloc(c->ctx, n * n_first, sizeof *proof->first, "losses");
    proof->costs = cm_alloc(c->ctx, n, sizeof *proof->costs, "calibration");
    proof->means = cm_alloc(c->ctx, n, sizeof *proof->means, "calibration");
    proof->kind_kept = cm_alloc(c->ctx, n, sizeof *proof->kind_kept, "calibration");
    proof->scratch = cm_alloc(c->ctx, 2 * n, sizeof *proof->scratch, "calibration");
    proof->kept = cm_alloc(c->ctx, n, sizeof *proof->kept, "calibration");
    proof->trials = cm_alloc(c->ctx, n, sizeof *proof->trials, "calibration");
    proof->waiting = cm_alloc(c->ctx, n, sizeof *proof->waiting, "calibration");
    if (!c->cost || !c->layers || !c->experts || !c->losses || !proof->first || !proof->costs || !proof->means ||
        !proof->kind_kept || !proof->scratch || !proof->kept || !proof->trials || !proof->waiting)
        return CALMOE_NO_MEMORY;
    for (size_t i = 0; i < n_cells; i++) c->losses[i] = (double)NAN;
    return CALMOE_OK;
}

static void close_proof(struct proof *proof)
{
    for (int kind = 0; kind < N_KINDS; kind++)
        for (int i = 0; i < proof->calibration->n_deltas; i++) cm_free(proof->sequences[kind][i].order);
    cm_free(proof->first);
    cm_free(proof->costs);
    cm_free(proof->means);
    cm_free(proof->kind_kept);
    cm_free(proof->scratch);
    cm_free(proof->kept);
    cm_free(proof->trials);
    cm_free(proof->waiting);
}

calmoe_status cm_calibrate_tests(struct calmoe_calibration *c)
{
    struct proof  proof = {.calibration = c};
    calmoe_status status = open_proof(&proof);
    if (status == CALMOE_OK) status = run_candidates(&proof);
    if (status == CALMOE_OK) status = cm_calibrate_aim(c);
    if (status == CALMOE_OK) status = order_sequences(&proof);
    if (status == CALMOE_OK) status = prove(&proof);
    if (status == CALMOE_OK) status = divide(&proof);
    close_proof(&proof);
    return status;
}
