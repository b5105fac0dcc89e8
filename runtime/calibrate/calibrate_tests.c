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
    int                 *order;  /* (n) configurations */
    int                  n, at;  /* at: of the next test */
    struct sequence_test test;
    struct proven       *passed; /* (n_passed) of them */
    int                  n_passed;
};

/* Of a kind and a delta: one family, so each sequence has its share of epsilon. */
struct test_family {
    int                  n;
    struct test_sequence sequences[N_SHEETS];
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
    struct test_family  families[N_KINDS][CALMOE_MAX_DELTAS];
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
 * kind's policies on the first part. aim may be NULL. */
static calmoe_status order_sequence(struct proof *proof, double delta, double epsilon, const struct loss_table *table,
                                    const struct aim *aim, struct test_sequence *sequence)
{
    struct calmoe_calibration *c = proof->calibration;
    const int    n_aim = aim ? aim->n : 0;
    const size_t n_most = (size_t)c->configurations.n + (size_t)n_aim;
    int *order = sequence->order = cm_alloc(c->ctx, n_most, sizeof *sequence->order, "calibration");
    sequence->passed = cm_alloc(c->ctx, n_most, sizeof *sequence->passed, "calibration");
    if (!order || !sequence->passed) return CALMOE_NO_MEMORY;
    cm_sequence_begin(&sequence->test, c->p_value, delta, epsilon, (size_t)(c->n_prompts - c->n_first));
    if (sequence->test.is_over) return CALMOE_OK; /* too few prompts */
    const int n_front = table->n_configurations > 0 ? cm_pareto_order(table, c->p_value, delta, epsilon,
                                                                      proof->scratch, order)
                                                    : 0;
    int first = 0, n = 0;
    while (first < n_aim && c->cost[aim->order[first]] >= c->off_cost) first++;
    for (int i = 0; i < n_front; i++) {
        const int which = proof->kind_kept[order[i]];
        if (c->cost[which] < c->off_cost &&
            (first == n_aim || proof->means[which] < proof->means[aim->order[first]]))
            order[n++] = which;
    }
    for (int i = first; i < n_aim; i++) order[n++] = aim->order[i];
    sequence->n = cm_thin_order(proof->means, delta, order, n);
    return CALMOE_OK;
}

static calmoe_status order_family(struct proof *proof, int kind, int delta, const struct loss_table *table)
{
    const struct calmoe_calibration *c = proof->calibration;
    struct test_family *family = &proof->families[kind][delta];
    const int      n_aims = c->n_aims[kind][delta];
    family->n = n_aims > 0 ? n_aims : 1;
    for (int i = 0; i < family->n; i++)
        CM_TRY(order_sequence(proof, c->deltas[delta], c->options.epsilon / family->n, table,
                              n_aims > 0 ? &c->aims[kind][delta][i] : NULL, &family->sequences[i]));
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
        for (int i = 0; i < c->n_deltas; i++) CM_TRY(order_family(proof, kind, i, &table));
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
        if (cm_sequence_add(&sequence->test, which, cm_losses_of(c, which) + c->n_first, c->cost[which]))
            sequence->passed[sequence->n_passed++] = (struct proven){which, sequence->test.p, sequence->test.mean_loss};
    }
}

/* Policies of a family that wait for their run, or else its next tests. */
static int go_on(struct proof *proof, struct test_family *family, bool is_asking, int ahead, int n_waiting)
{
    for (int i = 0; i < family->n; i++) {
        struct test_sequence *sequence = &family->sequences[i];
        if (!is_asking) test_next(proof, sequence);
        else if (!sequence->test.is_over) n_waiting = add_waiting(proof, sequence, ahead, n_waiting);
    }
    return n_waiting;
}

static int all_go_on(struct proof *proof, bool is_asking)
{
    const struct calmoe_calibration *c = proof->calibration;
    const int all = c->options.n_splits > 0 ? c->configurations.n : AHEAD; /* which divisions want anyway */
    int       n_waiting = 0;
    for (int kind = 0; kind < cm_calibrate_n_kinds(c); kind++)
        for (int i = 0; i < c->n_deltas; i++)
            n_waiting = go_on(proof, &proof->families[kind][i], is_asking, kind == KIND_ANY ? all : AHEAD, n_waiting);
    return n_waiting;
}

/* The cheapest that any of the family's sequences proved; else the reason of the first. */
static struct risk_finding find(const struct test_family *family, double epsilon)
{
    struct risk_finding best = family->sequences[0].test.finding;
    int                 n_tried = best.n_tried;
    for (int i = 1; i < family->n; i++) {
        const struct risk_finding *found = &family->sequences[i].test.finding;
        n_tried += found->n_tried;
        if (found->answer == RISK_PROVEN && (best.answer != RISK_PROVEN || found->cost < best.cost)) best = *found;
    }
    best.n_tried = n_tried;
    best.epsilon = epsilon;
    best.p = best.p * family->n < 1.0 ? best.p * family->n : 1.0;
    return best;
}

/* Is there another one that is proven and cheaper whatever parts cost? Of equal ones the first stays. */
static bool is_beaten(const struct calmoe_calibration *c, const struct test_family *family, int at, int i)
{
    const struct parts *parts = &c->parts[family->sequences[at].passed[i].configuration];
    for (int j = 0; j < family->n; j++)
        for (int k = 0; k < family->sequences[j].n_passed; k++) {
            const struct parts *other = &c->parts[family->sequences[j].passed[k].configuration];
            const bool is_before = j < at || (j == at && k < i);
            if (cm_parts_beat(other, parts) || (is_before && !cm_parts_beat(parts, other) &&
                                                memcmp(other, parts, sizeof *parts) == 0))
                return true;
        }
    return false;
}

/* What none of the proven beats in parts, from the cheapest here on; where they are too many, without the dearest. */
static struct front front_of(const struct calmoe_calibration *c, const struct test_family *family)
{
    struct front front = {0};
    for (int i = 0; i < family->n; i++)
        for (int j = 0; j < family->sequences[i].n_passed; j++) {
            struct proven one = family->sequences[i].passed[j];
            if (is_beaten(c, family, i, j)) continue;
            one.p = one.p * family->n < 1.0 ? one.p * family->n : 1.0;
            int at = front.n;
            while (at > 0 && c->cost[one.configuration] < c->cost[front.of[at - 1].configuration]) at--;
            if (at == POLICY_MAX_FRONT) continue;
            const int n_moved = (front.n < POLICY_MAX_FRONT ? front.n : POLICY_MAX_FRONT - 1) - at;
            memmove(&front.of[at + 1], &front.of[at], (size_t)n_moved * sizeof one);
            front.of[at] = one;
            front.n = at + n_moved + 1;
        }
    return front;
}

static calmoe_status prove(struct proof *proof)
{
    struct calmoe_calibration *c = proof->calibration;
    for (int n_waiting; (n_waiting = all_go_on(proof, true)) > 0;) {
        CM_TRY(run_waiting(proof, n_waiting));
        (void)all_go_on(proof, false);
    }
    for (int kind = 0; kind < cm_calibrate_n_kinds(c); kind++)
        for (int i = 0; i < c->n_deltas; i++)
            c->found[kind][i].finding = find(&proof->families[kind][i], c->options.epsilon);
    for (int i = 0; i < c->n_deltas; i++) {
        struct risk_finding *finding = &c->found[KIND_ANY][i].finding;
        c->fronts[i] = front_of(c, &proof->families[KIND_ANY][i]);
        if (c->fronts[i].n == 0) continue;
        const struct proven *first = &c->fronts[i].of[0]; /* as cheap here, and in parts not beaten */
        finding->configuration = first->configuration;
        finding->p = first->p;
        finding->mean_loss = first->mean_loss;
        finding->cost = c->cost[first->configuration];
    }
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
        struct test_family *family = &proof->families[KIND_ANY][i];
        for (int j = 0; j < family->n; j++) {
            family->sequences[j].at = 0;
            n = add_waiting(proof, &family->sequences[j], family->sequences[j].n, n);
        }
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
        const struct test_family *family = &proof->families[KIND_ANY][i];
        struct split_order   orders[N_SHEETS];
        struct split_finding found;
        for (int j = 0; j < family->n; j++)
            orders[j] = (struct split_order){family->sequences[j].order, family->sequences[j].n};
        status = cm_split_test(c->ctx, &table, orders, family->n, &options, &found);
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
    c->parts = cm_alloc(c->ctx, n, sizeof *c->parts, "calibration");
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
    if (!c->cost || !c->parts || !c->layers || !c->experts || !c->losses || !proof->first || !proof->costs ||
        !proof->means || !proof->kind_kept || !proof->scratch || !proof->kept || !proof->trials || !proof->waiting)
        return CALMOE_NO_MEMORY;
    for (size_t i = 0; i < n_cells; i++) c->losses[i] = (double)NAN;
    return CALMOE_OK;
}

static void close_proof(struct proof *proof)
{
    for (int kind = 0; kind < N_KINDS; kind++)
        for (int i = 0; i < proof->calibration->n_deltas; i++)
            for (int j = 0; j < N_SHEETS; j++) {
                cm_free(proof->families[kind][i].sequences[j].order);
                cm_free(proof->families[kind][i].sequences[j].passed);
            }
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
