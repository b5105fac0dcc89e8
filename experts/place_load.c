/* experts/place_load.c - see place_load.h. */
#include "experts/place_load.h"

#include <math.h>
#include <string.h>


enum { TOKENS_PER_READ = 16 }; /* beyond these, an expert's time grows with its tokens */
#define RELATIVE_BYTES_PER_S 5e9 /* what one unit of a relative bandwidth (a core) is taken for */

uint64_t cm_place_model_bytes(const struct place_model *model)
{
    uint64_t n = model->head_bytes;
    for (int i = 0; i < model->n_layers; i++) {
        const struct place_layer *layer = &model->layers[i];
        n += layer->heads_bytes + layer->dense_bytes +
             (uint64_t)model->n_experts * (layer->gate_up_bytes + layer->down_bytes);
    }
    return n;
}

struct plan cm_place_shape(const struct place_model *model, int n_nodes)
{
    return (struct plan){.n_nodes = n_nodes, .n_layers = model->n_layers, .n_experts = model->n_experts,
                         .width = model->width, .dim = model->dim, .quantum = model->quantum,
                         .n_kv_heads = model->n_kv_heads};
}

struct place_costs cm_place_costs(const struct topology *topology, const struct place_layer *layer)
{
    struct place_costs costs = {.n_nodes = topology->n_nodes, .task_seconds = CM_PLACE_TASK_SECONDS,
                                .gate_up_bytes = (double)layer->gate_up_bytes,
                                .down_bytes = (double)layer->down_bytes};
    const double unit = topology->is_bandwidth_known ? 1 : RELATIVE_BYTES_PER_S;
    for (int node = 0; node < topology->n_nodes; node++) {
        const double bandwidth = topology->nodes[node].bandwidth * unit;
        costs.server[node] = topology->nodes[node].served_by;
        costs.seconds_per_byte[node] = 1 / (bandwidth > 0 ? bandwidth : 1); /* no cores near: as if never */
    }
    return costs;
}

/* ---- one step of one layer ---- */

static double weight_of(int n_tokens)
{
    return n_tokens > TOKENS_PER_READ ? (double)n_tokens / TOKENS_PER_READ : 1;
}

static void add_whole(const struct place_costs *costs, int node, double weight, struct place_load *load)
{
    const int    server = costs->server[node];
    const double seconds = weight * costs->seconds_per_byte[node];
    load->gate_up[server] += costs->gate_up_bytes * seconds + costs->task_seconds;
    load->down[server] += costs->down_bytes * seconds + costs->task_seconds;
}

static void add_slice(const struct plan *plan, const struct place_costs *costs, int slice, double weight,
                      struct place_load *load)
{
    const struct slice *cut = &plan->slices[slice];
    const double        gate_up = weight * costs->gate_up_bytes / plan->width;
    const double        down = weight * costs->down_bytes / plan->dim;
    for (int node = 0; node < costs->n_nodes; node++) {
        const int    server = costs->server[node];
        const double seconds = costs->seconds_per_byte[node];
        if (cut->rows[node] > 0) load->gate_up[server] += gate_up * cut->rows[node] * seconds + costs->task_seconds;
        if (cut->down_rows[node] > 0) load->down[server] += down * cut->down_rows[node] * seconds + costs->task_seconds;
    }
}

/* The replica whose node would be done first with this expert. */
static int best_replica(const struct place_costs *costs, uint64_t replicas, double weight,
                        const struct place_load *load)
{
    const double bytes = weight * (costs->gate_up_bytes + costs->down_bytes);
    int          best = -1;
    double       best_done = 0;
    for (int node = 0; replicas >> node; node++) {
        if (!(replicas >> node & 1)) continue;
        const int    server = costs->server[node];
        const double done = load->gate_up[server] + load->down[server] + bytes * costs->seconds_per_byte[node];
        if (best < 0 || done < best_done) {
            best = node;
            best_done = done;
        }
        if (node == CM_MAX_NODES - 1) break;
    }
    return best;
}

static int n_bits(uint64_t bits)
{
    int n = 0;
    for (; bits; bits &= bits - 1) n++;
    return n;
}

void cm_place_serve(const struct plan *plan, int layer, const struct place_costs *costs,
                    const struct place_use *uses, int n_uses, int16_t *serving, struct place_load *load)
{
    int n_left = 0;
    memset(load->gate_up, 0, (size_t)costs->n_nodes * sizeof *load->gate_up);
    memset(load->down, 0, (size_t)costs->n_nodes * sizeof *load->down);
    for (int i = 0; i < n_uses; i++) { /* those without a choice first */
        const struct place *place = cm_place_of(plan, layer, uses[i].expert);
        const double        weight = weight_of(uses[i].n_tokens);
        serving[i] = -1;
        if (place->kind == PLACE_REPLICATED) n_left++;
        else if (place->kind == PLACE_SLICED) add_slice(plan, costs, place->slice, weight, load);
        else add_whole(costs, serving[i] = (int16_t)place->node, weight, load);
    }
    for (int n_replicas = 1; n_left > 0; n_replicas++)
        for (int i = 0; i < n_uses; i++) {
            const struct place *place = cm_place_of(plan, layer, uses[i].expert);
            if (place->kind != PLACE_REPLICATED || n_bits(place->replicas) != n_replicas) continue;
            const double weight = weight_of(uses[i].n_tokens);
            serving[i] = (int16_t)best_replica(costs, place->replicas, weight, load);
            add_whole(costs, serving[i], weight, load);
            n_left--;
        }
}

void cm_place_times(const struct place_costs *costs, const struct place_load *load, double *slowest, double *mean)
{
    double max_gate_up = 0, max_down = 0, sum = 0;
    int    n_servers = 0;
    for (int node = 0; node < costs->n_nodes; node++) {
        if (costs->server[node] != node) continue;
        max_gate_up = fmax(max_gate_up, load->gate_up[node]);
        max_down = fmax(max_down, load->down[node]);
        sum += load->gate_up[node] + load->down[node];
        n_servers++;
    }
    *slowest = max_gate_up + max_down;
    *mean = n_servers > 0 ? sum / n_servers : 0;
}

void cm_plan_bytes(const struct plan *plan, const struct place_model *model, double *bytes)
{
    double n_shares = 0, dense = (double)model->head_bytes, heads = 0;
    for (int node = 0; node < plan->n_nodes; node++) n_shares += plan->shares[node];
    for (int layer = 0; layer < plan->n_layers; layer++) {
        dense += (double)model->layers[layer].dense_bytes;
        heads += (double)model->layers[layer].heads_bytes;
    }
    for (int node = 0; node < plan->n_nodes; node++)
        bytes[node] = dense * plan->shares[node] / n_shares +
                      (plan->n_kv_heads > 0 ? heads * plan->kv_heads[node] / plan->n_kv_heads : 0);
    for (int layer = 0; layer < plan->n_layers; layer++) {
        const double gate_up = (double)model->layers[layer].gate_up_bytes;
        const double down = (double)model->layers[layer].down_bytes;
        for (int expert = 0; expert < plan->n_experts; expert++) {
            const struct place *place = cm_place_of(plan, layer, expert);
            if (place->is_streamed) continue;
            if (place->kind == PLACE_PINNED) bytes[place->node] += gate_up + down;
            for (int node = 0; node < plan->n_nodes; node++)
                if (place->kind == PLACE_REPLICATED)
                    bytes[node] += (double)(place->replicas >> node & 1) * (gate_up + down);
                else if (place->kind == PLACE_SLICED)
                    bytes[node] += gate_up * plan->slices[place->slice].rows[node] / plan->width +
                                   down * plan->slices[place->slice].down_rows[node] / plan->dim;
        }
    }
}
