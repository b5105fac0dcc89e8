/* experts/place_by_usage.c - the policy by_usage: for each expert pinned, sliced or replicated.
 *
 * It minimises the expected seconds of the experts' part of a one-token step (place_load.h) under the memory limit
 * and the nodes' capacities. Each layer is searched for itself, with its part of the memory and what earlier
 * layers left of theirs. Starts:
 *     all sliced · the most used cut by bandwidth, the rest over what memory is left, where fast nodes are small ·
 *     whole experts, dealt out by use · the same with the most used ones twice · or everywhere
 * From each, one expert after the other, the most used first, is moved to wherever the time falls, until nothing
 * moves or MAX_PASSES have passed. The search sees the first half of the steps and is judged by the second half,
 * so that it does not learn chance by heart. Plain slicing is among what is judged, and replicas must buy
 * at least two per cent. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "experts/place_policy.h"

enum { MAX_PASSES = 3, MAX_TARGETS = 6 /* nodes that a move is tried to */ };

static const double worth_its_memory = 0.98; /* replicas must make a layer at least so much faster */

struct search {
    const struct place_problem *problem;
    struct plan                *plan;
    int                         layer;
    int                         n_steps, n_slots;
    int                         n_search; /* steps that the search sees; the others judge      */
    bool                        may_replicate;
    struct place_costs          costs;
    struct place_use           *uses;     /* (n_steps, n_slots)                                */
    int                        *n_uses;   /* (n_steps)                                         */
    int                        *first;    /* (n_experts + 1): into steps                       */
    int                        *steps;    /* (n_steps * n_slots): those that take each expert  */
    int                        *order;    /* (n_experts): most used first                      */
    int16_t                    *serving;  /* (n_slots)                                         */
    double                     *seconds;  /* (n_steps): of the plan as it is                   */
    double                     *trial;    /* (n_steps)                                         */
    struct place               *best;     /* (n_experts)                                       */
    struct place               *sliced;   /* (n_experts): cut by shares                        */
    struct place               *tiered;   /* (n_experts), by rank of use: cut by ideal, or by what is left */
    int                         n_ideal;  /* of them cut by ideal                              */
    double                      bytes;    /* of one expert                                     */
    double                      shares[CM_MAX_NODES], ideal[CM_MAX_NODES]; /* place_room's */
    double                      room[CM_MAX_NODES];    /* bytes left on each node for this layer        */
    double                      extra;                 /* bytes left for replicas                       */
    int                         targets[CM_MAX_NODES]; /* nodes that may hold experts                   */
    int                         n_targets;
};

static calmoe_status open_search(struct calmoe_context *ctx, const struct place_problem *problem, struct search *s)
{
    const size_t n_steps = (size_t)problem->routings->n_tokens, n_slots = (size_t)problem->routings->n_slots;
    const size_t n_experts = (size_t)problem->model->n_experts;
    static const char what[] = "the search for a placement";
    s->n_steps = problem->routings->n_tokens;
    s->n_slots = problem->routings->n_slots;
    s->n_search = s->n_steps - cm_place_proof(problem->routings).n_tokens;
    if (s->n_search == 0) s->n_search = s->n_steps;
    s->uses = cm_alloc(ctx, n_steps * n_slots, sizeof *s->uses, what);
    s->n_uses = cm_alloc(ctx, n_steps, sizeof *s->n_uses, what);
    s->first = cm_alloc(ctx, n_experts + 2, sizeof *s->first, what);
    s->steps = cm_alloc(ctx, n_steps * n_slots, sizeof *s->steps, what);
    s->order = cm_alloc(ctx, n_experts, sizeof *s->order, what);
    s->serving = cm_alloc(ctx, n_slots, sizeof *s->serving, what);
    s->seconds = cm_alloc(ctx, n_steps, sizeof *s->seconds, what);
    s->trial = cm_alloc(ctx, n_steps, sizeof *s->trial, what);
    s->best = cm_alloc(ctx, n_experts, sizeof *s->best, what);
    s->sliced = cm_alloc(ctx, n_experts, sizeof *s->sliced, what);
    s->tiered = cm_alloc(ctx, n_experts, sizeof *s->tiered, what);
    const bool has_all = s->uses && s->n_uses && s->first && s->steps && s->order && s->serving && s->seconds &&
                         s->trial && s->best && s->sliced && s->tiered;
    return has_all ? CALMOE_OK : CALMOE_NO_MEMORY;
}

static void close_search(struct search *s)
{
    cm_free(s->uses);
    cm_free(s->n_uses);
    cm_free(s->first);
    cm_free(s->steps);
    cm_free(s->order);
    cm_free(s->serving);
    cm_free(s->seconds);
    cm_free(s->trial);
    cm_free(s->best);
    cm_free(s->sliced);
    cm_free(s->tiered);
}

static int n_uses_of(const struct search *s, int expert) { return s->first[expert + 1] - s->first[expert]; }

/* The layer's steps, and for each expert the steps that take it. */
static void read_steps(struct search *s)
{
    const struct place_routings *r = s->problem->routings;
    const int                    n_experts = s->plan->n_experts;
    memset(s->first, 0, ((size_t)n_experts + 2) * sizeof *s->first);
    for (int step = 0; step < s->n_steps; step++) {
        const int32_t *experts =
            r->experts + ((size_t)step * (size_t)r->n_layers + (size_t)s->layer) * (size_t)r->n_slots;
        s->n_uses[step] = 0;
        for (int slot = 0; slot < s->n_slots; slot++) {
            if (experts[slot] < 0) continue;
            s->uses[step * s->n_slots + s->n_uses[step]++] = (struct place_use){experts[slot], 1};
            s->first[experts[slot] + 2] += step < s->n_search;
        }
    }
    for (int expert = 0; expert < n_experts; expert++) s->first[expert + 2] += s->first[expert + 1];
    for (int step = 0; step < s->n_search; step++)
        for (int i = 0; i < s->n_uses[step]; i++)
            s->steps[s->first[s->uses[step * s->n_slots + i].expert + 1]++] = step;
    for (int i = 0; i < n_experts; i++) { /* insertion: few, and stable */
        int at = i;
        for (; at > 0 && n_uses_of(s, s->order[at - 1]) < n_uses_of(s, i); at--) s->order[at] = s->order[at - 1];
        s->order[at] = i;
    }
}

static double step_seconds(struct search *s, int step)
{
    struct place_load load;
    double            slowest, mean;
    cm_place_serve(s->plan, s->layer, &s->costs, s->uses + step * s->n_slots, s->n_uses[step], s->serving, &load);
    cm_place_times(&s->costs, &load, &slowest, &mean);
    return slowest;
}

/* Of the steps that the search sees, or of those that judge. */
static double total_seconds(struct search *s, bool is_proof)
{
    const int first = is_proof && s->n_search < s->n_steps ? s->n_search : 0;
    const int end = is_proof ? s->n_steps : s->n_search;
    double    sum = 0;
    for (int step = first; step < end; step++) sum += s->seconds[step] = step_seconds(s, step);
    return sum;
}

/* ---- memory ---- */

/* Adds (sign +1) or takes away (-1) what a place holds. */
static void account(struct search *s, const struct place *place, double sign)
{
    const struct place_layer *layer = &s->problem->model->layers[s->layer];
    int                       n_copies = 0;
    for (int node = 0; node < s->plan->n_nodes; node++) {
        double part = 0;
        if (place->kind == PLACE_SLICED) {
            const struct slice *slice = &s->plan->slices[place->slice];
            part = ((double)layer->gate_up_bytes * slice->rows[node] / s->plan->width +
                    (double)layer->down_bytes * slice->down_rows[node] / s->plan->dim);
        } else if (place->kind == PLACE_PINNED ? place->node == node : (place->replicas >> node & 1) != 0) {
            part = s->bytes;
            n_copies++;
        }
        s->room[node] -= sign * part;
    }
    if (n_copies > 1) s->extra -= sign * s->bytes * (n_copies - 1);
}

/* Puts an expert somewhere else, whatever there is room for. */
static void set(struct search *s, int expert, const struct place *place)
{
    struct place *at = cm_place_of(s->plan, s->layer, expert);
    account(s, at, -1);
    account(s, place, +1);
    *at = *place;
}

/* Puts an expert somewhere else, where memory allows. What is overdrawn already (by the odd quanta of slices) may
 * stay so, but not more. */
static bool put(struct search *s, int expert, const struct place *place)
{
    const struct place old = *cm_place_of(s->plan, s->layer, expert);
    const double       slack = 1e-6 * s->bytes, extra = s->extra;
    double             room[CM_MAX_NODES];
    memcpy(room, s->room, sizeof room);
    set(s, expert, place);
    bool fits = s->extra >= -slack || s->extra >= extra;
    for (int node = 0; node < s->plan->n_nodes; node++)
        fits = fits && (s->room[node] >= -slack || s->room[node] >= room[node] - slack);
    if (!fits) set(s, expert, &old);
    return fits;
}

/* ---- starts ---- */

/* The most used are cut by bandwidth alone, as many as the fast but small nodes have room for; the others share
 * what is left. */
static void start_tiered(struct search *s)
{
    for (int i = 0; i < s->plan->n_experts; i++) set(s, s->order[i], &s->tiered[i]);
}

/* Of the nodes with room for the whole expert the one that would be done first with its uses; -1 = none. */
static int best_target(struct search *s, int expert, const double *done)
{
    const int n_uses = n_uses_of(s, expert) + 1; /* an expert that nobody took yet weighs something too */
    double    best_done = DBL_MAX;
    int       best = -1;
    for (int i = 0; i < s->n_targets; i++) {
        const int    node = s->targets[i];
        const double node_done = done[s->costs.server[node]] + s->costs.seconds_per_byte[node] * n_uses;
        if (s->room[node] < s->bytes || node_done >= best_done) continue;
        best = node;
        best_done = node_done;
    }
    return best;
}

/* Whole experts, most used first, each to the node that would be done first with its uses so far. What fits
 * nowhere whole stays sliced. */
static void start_pinned(struct search *s)
{
    double done[CM_MAX_NODES] = {0};
    for (int expert = 0; expert < s->plan->n_experts; expert++)
        account(s, cm_place_of(s->plan, s->layer, expert), -1);
    for (int i = 0; i < s->plan->n_experts; i++) {
        const int     expert = s->order[i], node = best_target(s, expert, done);
        struct place *place = cm_place_of(s->plan, s->layer, expert);
        *place = node < 0 ? s->sliced[expert] : (struct place){.kind = PLACE_PINNED, .node = node};
        account(s, place, +1);
        if (node >= 0)
            done[s->costs.server[node]] += s->costs.seconds_per_byte[node] * (n_uses_of(s, expert) + 1);
    }
}

/* Then copies of the most used, n_copies of each at most, while memory lasts. */
static void start_replicated(struct search *s, int n_copies)
{
    start_pinned(s);
    for (int i = 0; i < s->plan->n_experts; i++) {
        const int expert = s->order[i];
        for (int j = 1, n = 1; j < s->n_targets && n < n_copies; j++) {
            struct place place = *cm_place_of(s->plan, s->layer, expert);
            if (place.kind == PLACE_SLICED) break;
            if (place.kind == PLACE_PINNED) place.replicas = UINT64_C(1) << place.node;
            const int node = s->targets[(expert + i + j) % s->n_targets];
            if (place.replicas >> node & 1) continue;
            place = (struct place){.kind = PLACE_REPLICATED, .replicas = place.replicas | UINT64_C(1) << node};
            if (put(s, expert, &place)) n++;
        }
    }
}

/* ---- the search ---- */

static bool is_same(const struct place *a, const struct place *b)
{
    return a->kind == b->kind && a->node == b->node && a->slice == b->slice && a->replicas == b->replicas;
}

/* Moves an expert to place if that makes the steps that take it faster. */
static bool try_move(struct search *s, int expert, const struct place *place)
{
    const struct place old = *cm_place_of(s->plan, s->layer, expert);
    double             before = 0, after = 0;
    if (is_same(&old, place) || !put(s, expert, place)) return false;
    for (int i = s->first[expert]; i < s->first[expert + 1]; i++) {
        before += s->seconds[s->steps[i]];
        after += s->trial[s->steps[i]] = step_seconds(s, s->steps[i]);
    }
    if (after < before * (1 - 1e-9)) {
        for (int i = s->first[expert]; i < s->first[expert + 1]; i++) s->seconds[s->steps[i]] = s->trial[s->steps[i]];
        return true;
    }
    set(s, expert, &old);
    return false;
}

/* The nodes worth a try for an expert: all where they are few, else a handful that changes with expert and
 * pass. */
static int target_of(const struct search *s, int expert, int pass, int i)
{
    const int at = s->n_targets <= MAX_TARGETS ? i : (expert * 7 + pass * MAX_TARGETS + i) % s->n_targets;
    return s->targets[at];
}

static bool improve(struct search *s, int expert, int pass)
{
    const int n = s->n_targets < MAX_TARGETS ? s->n_targets : MAX_TARGETS;
    bool      has_moved = try_move(s, expert, &s->sliced[expert]);
    for (int i = 0; i < n; i++) {
        const int          node = target_of(s, expert, pass, i);
        const struct place pinned = {.kind = PLACE_PINNED, .node = node};
        has_moved |= try_move(s, expert, &pinned);
        const struct place *now = cm_place_of(s->plan, s->layer, expert);
        const uint64_t      bit = UINT64_C(1) << node;
        const uint64_t      held = now->kind == PLACE_PINNED     ? UINT64_C(1) << now->node
                                   : now->kind == PLACE_REPLICATED ? now->replicas
                                                                   : 0;
        if (!s->may_replicate || !held || (held & bit)) continue;
        const struct place more = {.kind = PLACE_REPLICATED, .replicas = held | bit};
        has_moved |= try_move(s, expert, &more);
    }
    return has_moved;
}

struct judged { /* the best of a layer so far */
    double seconds;
    double extra;   /* bytes for replicas that it leaves */
};

/* Keeps the layer as it is where the steps that judge say so. */
static void judge(struct search *s, struct judged *best)
{
    const double seconds = total_seconds(s, true);
    const bool   has_more = s->extra < best->extra - 1e-6 * s->bytes;
    if (!(seconds < best->seconds * (has_more ? worth_its_memory : 1 - 1e-9))) return;
    *best = (struct judged){seconds, s->extra};
    memcpy(s->best, cm_place_of(s->plan, s->layer, 0), (size_t)s->plan->n_experts * sizeof *s->best);
}

static void search_from_here(struct search *s, struct judged *best)
{
    bool has_moved = true;
    total_seconds(s, false);
    for (int pass = 0; pass < MAX_PASSES && has_moved; pass++) {
        has_moved = false;
        for (int i = 0; i < s->plan->n_experts; i++)
            if (n_uses_of(s, s->order[i]) > 0) has_moved |= improve(s, s->order[i], pass);
    }
    judge(s, best);
}

/* Cuts as many experts by the ideal shares as the nodes have room for, and the others so that all together are cut
 * by s->shares. */
static calmoe_status cut_tiers(struct calmoe_context *ctx, struct search *s)
{
    const int n_experts = s->plan->n_experts, n_nodes = s->plan->n_nodes;
    double    left[CM_MAX_NODES], credit[2][CM_MAX_NODES] = {{0}}, down_credit[2][CM_MAX_NODES] = {{0}};
    s->n_ideal = n_experts;
    for (int node = 0; node < n_nodes; node++)
        if (s->ideal[node] > 0)
            s->n_ideal = (int)fmin(s->n_ideal, floor(n_experts * s->shares[node] / s->ideal[node] + 1e-9));
    for (int node = 0; node < n_nodes; node++)
        left[node] = fmax(0, n_experts * s->shares[node] - s->n_ideal * s->ideal[node]);
    for (int i = 0; i < n_experts; i++) {
        const int     tier = i >= s->n_ideal;
        const double *shares = tier ? left : s->ideal;
        struct slice  slice = {{0}, {0}};
        int           only = -1, n_used = 0;
        cm_cut(s->plan->width, s->plan->quantum, shares, n_nodes, credit[tier], slice.rows);
        cm_cut(s->plan->dim, s->plan->quantum, shares, n_nodes, down_credit[tier], slice.down_rows);
        for (int node = 0; node < n_nodes; node++)
            if (slice.rows[node] + slice.down_rows[node] > 0) {
                only = node;
                n_used++;
            }
        s->tiered[i] = (struct place){.kind = PLACE_PINNED, .node = only};
        if (n_used == 1) continue;
        s->tiered[i] = (struct place){.kind = PLACE_SLICED};
        CM_TRY(cm_plan_add_slice(ctx, s->plan, &slice, &s->tiered[i].slice));
    }
    return CALMOE_OK;
}

static calmoe_status search_layer(struct calmoe_context *ctx, struct search *s)
{
    const int n_experts = s->plan->n_experts;
    s->costs = cm_place_costs(s->problem->topology, &s->problem->model->layers[s->layer]);
    read_steps(s);
    CM_TRY(cm_place_slice_layer(ctx, s->plan, s->layer, s->shares));
    for (int expert = 0; expert < n_experts; expert++) {
        s->sliced[expert] = *cm_place_of(s->plan, s->layer, expert);
        account(s, &s->sliced[expert], +1);
    }
    struct judged best = {DBL_MAX, s->extra};
    judge(s, &best);
    s->may_replicate = false;
    if (s->n_targets > 1) {
        search_from_here(s, &best);
        CM_TRY(cut_tiers(ctx, s));
        if (s->n_ideal > 0 && s->n_ideal < n_experts) {
            start_tiered(s);
            judge(s, &best);
            search_from_here(s, &best);
        }
        start_pinned(s);
        search_from_here(s, &best);
        s->may_replicate = true;
        start_replicated(s, 2);
        search_from_here(s, &best);
        if (s->n_targets > 2) {
            start_replicated(s, s->n_targets);
            search_from_here(s, &best);
        }
    }
    for (int expert = 0; expert < n_experts; expert++) set(s, expert, &s->best[expert]);
    return CALMOE_OK;
}

/* ---- the whole ---- */

/* All layers, each with its part of what dense parts leave. */
static calmoe_status search_all(struct calmoe_context *ctx, struct search *s, const struct place_room *room)
{
    const struct place_model *model = s->problem->model;
    double                    dense[CM_MAX_NODES], all = 0;
    struct plan               only_dense = *s->plan;
    only_dense.n_experts = 0;
    cm_plan_bytes(&only_dense, model, dense);
    for (int layer = 0; layer < model->n_layers; layer++)
        all += (double)(model->layers[layer].gate_up_bytes + model->layers[layer].down_bytes);
    const double extra = (s->problem->memory_limit - 1) * (double)cm_place_model_bytes(model);
    for (s->layer = 0; s->layer < model->n_layers; s->layer++) {
        if (cm_n_to_place(model, s->layer) == 0) continue;
        s->bytes = (double)(model->layers[s->layer].gate_up_bytes + model->layers[s->layer].down_bytes);
        const double part = s->bytes / all;
        for (int node = 0; node < s->plan->n_nodes; node++)
            s->room[node] += room->capacity[node] >= DBL_MAX ? DBL_MAX / 1e6
                                                             : (room->capacity[node] - dense[node]) * part;
        s->extra += extra * part;
        CM_TRY(search_layer(ctx, s));
    }
    return CALMOE_OK;
}

calmoe_status cm_place_by_usage(struct calmoe_context *ctx, const struct place_problem *problem, struct plan *out)
{
    struct search     s = {.problem = problem, .plan = out};
    struct place_room room;
    CM_TRY(cm_place_room(ctx, problem, &room));
    CM_TRY(cm_place_open(ctx, problem, room.shares, out));
    memcpy(s.shares, room.shares, sizeof s.shares);
    memcpy(s.ideal, room.ideal, sizeof s.ideal);
    for (int node = 0; node < problem->topology->n_nodes; node++)
        if (room.shares[node] > 0) s.targets[s.n_targets++] = node;
    calmoe_status status = open_search(ctx, problem, &s);
    if (status == CALMOE_OK) status = search_all(ctx, &s, &room);
    close_search(&s);
    CM_TRY(status);
    cm_plan_drop_unused(out);
    return CALMOE_OK;
}
