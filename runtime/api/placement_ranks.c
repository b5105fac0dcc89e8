/* runtime/api/placement_ranks.c - a model on several such machines, predicted: what they exchange in a step, how long
 * that and reading the weights takes, and whether routed experts had better be cut by rows over ranks or each be whole
 * on one.
 *
 *     cut     hidden states of k experts a token travel to all ranks; reading takes a rank 1 / N of one machine's time
 *     whole   what k experts gave travels, of which a rank gets its 1 / N of the columns; reading takes as long as the
 *             rank whose experts are taken most */
#include <stdio.h>

#include "base/options.h"
#include "runtime/api/placement_parts.h"
#include "runtime/forward/step_exchanges.h"

enum { MAX_ROWS = 512 };

struct sharing { /* of the experts by ranks, one way */
    struct step_exchanges exchanges;
    double                exchange_seconds, expert_seconds; /* of a step */
};

/* Experts' seconds of a step where each is whole on one of n ranks: as if they were nodes of one machine. */
static calmoe_status predict_whole(const calmoe_placement *p, const struct rank_shares *shares, double bandwidth,
                                   int batch, double *seconds)
{
    const struct place_routings routings = cm_placement_sampled(p);
    const struct plan           shape = cm_place_shape(&p->shape, shares->n_ranks);
    struct topology             ranks = {.n_nodes = shares->n_ranks, .is_bandwidth_known = true};
    int32_t                     borders[CM_MAX_RANKS + 1];
    struct place_prediction     found;
    struct plan                 plan;
    CM_TRY(cm_plan_open(p->ctx, &shape, &plan));
    cm_rank_borders(shares, plan.n_experts, 1, borders);
    for (int rank = 0; rank < shares->n_ranks; rank++) {
        ranks.nodes[rank] = (struct topology_node){.n_cores = 1, .served_by = rank, .bandwidth = bandwidth};
        for (int layer = 0; layer < plan.n_layers; layer++)
            for (int expert = borders[rank]; expert < borders[rank + 1]; expert++)
                cm_place_of(&plan, layer, expert)->node = rank;
    }
    const calmoe_status status = cm_place_predict(p->ctx, &ranks, &p->shape, &plan, &routings, batch, &found);
    *seconds = found.expert_seconds;
    cm_plan_close(&plan);
    return status;
}

static struct sharing share(const calmoe_placement *p, const calmoe_network *net, const struct rank_shares *shares,
                            int batch, double expert_seconds)
{
    struct sharing it = {.expert_seconds = expert_seconds};
    it.exchanges = cm_step_exchanges(&p->model->spec, &p->model->tensors, shares, MAX_ROWS, batch, batch, 0);
    it.exchange_seconds = (it.exchanges.n + 1) * net->latency + (double)it.exchanges.n_bytes / net->bandwidth;
    return it;
}

static void explain(const struct sharing *cut, const struct sharing *whole, char *why, size_t n)
{
    const double exchanges = (whole->exchange_seconds - cut->exchange_seconds) * 1e6;
    const double reading = (whole->expert_seconds - cut->expert_seconds) * 1e6;
    snprintf(why, n, "whole experts: exchanges %.0f us %s, the slowest rank %.0f us %s",
             exchanges < 0 ? -exchanges : exchanges, exchanges < 0 ? "less" : "more", reading < 0 ? -reading : reading,
             reading < 0 ? "less" : "more");
}

static calmoe_status predict(const calmoe_placement *p, const calmoe_network *net, int batch,
                             calmoe_ranks_prediction *told)
{
    calmoe_prediction  one = {.size = sizeof one};
    struct rank_shares shares = {.n_ranks = net->n_ranks};
    double             bandwidth = 0, seconds = 0;
    const bool         is_known = p->topology.is_bandwidth_known;
    const bool         has_experts = !cm_is_dense_model(&p->model->spec);
    CM_TRY(calmoe_placement_predict(p, batch, &one));
    for (int rank = 0; rank < net->n_ranks; rank++) shares.of[rank] = 1;
    for (int node = 0; node < p->topology.n_nodes; node++) bandwidth += p->topology.nodes[node].bandwidth;
    const struct sharing cut = share(p, net, &shares, batch, one.expert_seconds / net->n_ranks);
    if (has_experts && is_known) CM_TRY(predict_whole(p, &shares, bandwidth, batch, &seconds));
    shares.has_whole_experts = true;
    const struct sharing whole = share(p, net, &shares, batch, seconds);
    const bool is_quicker =
        is_known && whole.exchange_seconds + whole.expert_seconds < cut.exchange_seconds + cut.expert_seconds;
    const bool is_whole =
        has_experts && (net->experts == CALMOE_RANK_EXPERTS_WHOLE || (net->experts == 0 && is_quicker));
    const struct sharing *chosen = is_whole ? &whole : &cut;
    *told = (calmoe_ranks_prediction){
        .batch = batch, .n_exchanges = chosen->exchanges.n, .n_bytes_received = chosen->exchanges.n_bytes,
        .exchange_seconds = chosen->exchange_seconds, .step_seconds = chosen->exchange_seconds,
        .experts = is_whole ? CALMOE_RANK_EXPERTS_WHOLE : CALMOE_RANK_EXPERTS_CUT};
    const char *unknown = "what nodes read is not known, so neither is which is quicker";
    if (!has_experts) unknown = "the model has no routed experts";
    if (!has_experts || !is_known) snprintf(told->why, sizeof told->why, "%s", unknown);
    else explain(&cut, &whole, told->why, sizeof told->why);
    if (!is_known) return CALMOE_OK;
    const double of_all = (double)cm_whole_bytes(p->model) / bandwidth;
    told->step_seconds +=
        of_all + (one.step_seconds - one.expert_seconds - of_all) / net->n_ranks + chosen->expert_seconds;
    told->tokens_per_s = batch / told->step_seconds;
    return CALMOE_OK;
}

calmoe_status calmoe_placement_predict_ranks(const calmoe_placement *p, const calmoe_network *net, int batch,
                                             calmoe_ranks_prediction *out)
{
    if (!p || !net || !out || out->size < sizeof out->size || batch < 1 || batch > MAX_ROWS || net->n_ranks < 2 ||
        net->n_ranks > CM_MAX_RANKS || !(net->latency >= 0) || !(net->bandwidth > 0) || net->experts < 0 ||
        net->experts > CALMOE_RANK_EXPERTS_WHOLE)
        return cm_fail(p ? p->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_placement_predict_ranks: placement, a network of 2 to %d ranks with a latency and a "
                       "bandwidth, a batch of 1 to %d, and a prediction with its size set are needed", CM_MAX_RANKS,
                       MAX_ROWS);
    calmoe_ranks_prediction told;
    CM_TRY(predict(p, net, batch, &told));
    cm_options_give(out, &told, sizeof told);
    return CALMOE_OK;
}
