/* experts/place_predict.c - replays routings through a plan (place_load.h). */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "experts/place_load.h"

static const double activation_bytes = 1.125; /* of a quantized value: int8, and a float32 for each 32 */

struct replay {
    const struct topology       *topology;
    const struct place_model    *model;
    const struct plan           *plan;
    const struct place_routings *routings;
    struct place_prediction     *out;
    struct place_costs           costs;
    int                          servers[CM_MAX_NODES], n_servers;
    struct place_use            *uses;    /* (n_experts)                               */
    int16_t                     *serving; /* (n_experts)                               */
    int                         *use_of;  /* (n_experts): into uses; -1 between steps  */
    double                       slowest, mean; /* sums over steps and layers          */
    double                       seconds[CM_MAX_NODES];
};

static const int32_t *routing_of(const struct place_routings *routings, int token, int layer)
{
    return routings->experts +
           ((size_t)token * (size_t)routings->n_layers + (size_t)layer) * (size_t)routings->n_slots;
}

/* The experts that tokens first … first + n - 1 take in a layer, in order of first use. */
static int gather(struct replay *r, int layer, int first, int n)
{
    int n_uses = 0;
    for (int token = first; token < first + n; token++) {
        const int32_t *experts = routing_of(r->routings, token, layer);
        for (int slot = 0; slot < r->routings->n_slots; slot++) {
            if (experts[slot] < 0) continue;
            int *use = &r->use_of[experts[slot]];
            if (*use < 0) {
                *use = n_uses;
                r->uses[n_uses++] = (struct place_use){experts[slot], 0};
            }
            r->uses[*use].n_tokens++;
        }
    }
    return n_uses;
}

/* Weights read from each node's memory. */
static void count_weights(struct replay *r, int layer, int n_uses)
{
    const struct place_layer *bytes = &r->model->layers[layer];
    for (int i = 0; i < n_uses; i++) {
        const struct place *place = cm_place_of(r->plan, layer, r->uses[i].expert);
        r->out->n_uses++;
        r->out->n_sliced_uses += place->kind == PLACE_SLICED;
        if (place->kind == PLACE_REPLICATED) {
            r->out->n_replica_uses++;
            r->out->nodes[r->serving[i]].n_replica_uses++;
        }
        for (int node = 0; node < r->plan->n_nodes; node++) {
            double n = 0;
            if (r->serving[i] == node) n = (double)(bytes->gate_up_bytes + bytes->down_bytes);
            else if (r->serving[i] < 0)
                n = (double)bytes->gate_up_bytes * r->plan->slices[place->slice].rows[node] / r->plan->width +
                    (double)bytes->down_bytes * r->plan->slices[place->slice].down_rows[node] / r->plan->dim;
            r->out->nodes[node].expert_bytes += (uint64_t)llround(n);
            if (r->costs.server[node] != node) r->out->nodes[node].remote_weights += (uint64_t)llround(n);
        }
    }
}

/* What one token's slot makes travel; *readers: servers that need the token's input, as bits. */
static void count_slot(struct replay *r, const struct place *place, int serving, int home, uint64_t *readers)
{
    const struct plan *plan = r->plan;
    for (int node = 0; node < plan->n_nodes; node++) {
        const struct slice *slice = serving < 0 ? &plan->slices[place->slice] : NULL;
        const int           server = r->costs.server[node];
        const int rows = slice ? slice->rows[node] : node == serving ? plan->width : 0;
        const int down_rows = slice ? slice->down_rows[node] : node == serving ? plan->dim : 0;
        if (rows > 0) *readers |= UINT64_C(1) << server;
        if (down_rows > 0) /* hidden states that it did not make itself */
            r->out->nodes[server].remote_activations += (uint64_t)(activation_bytes * (plan->width - rows));
        if (server != home)
            r->out->nodes[home].remote_activations += (uint64_t)down_rows * sizeof(float);
    }
}

static void count_activations(struct replay *r, int layer, int first, int n)
{
    for (int i = 0; i < n; i++) {
        const int      home = r->servers[(int64_t)i * r->n_servers / n]; /* rows are split over workers in order */
        const int32_t *experts = routing_of(r->routings, first + i, layer);
        uint64_t       readers = 0;
        for (int slot = 0; slot < r->routings->n_slots; slot++) {
            if (experts[slot] < 0) continue;
            const int use = r->use_of[experts[slot]];
            count_slot(r, cm_place_of(r->plan, layer, experts[slot]), r->serving[use], home, &readers);
        }
        for (int node = 0; node < r->plan->n_nodes; node++)
            if (node != home && (readers >> node & 1))
                r->out->nodes[node].remote_activations += (uint64_t)(activation_bytes * r->plan->dim);
    }
}

static void replay_layer(struct replay *r, int layer, int first, int n)
{
    struct place_load load;
    double            slowest, mean;
    const int         n_uses = gather(r, layer, first, n);
    r->costs = cm_place_costs(r->topology, &r->model->layers[layer]);
    cm_place_serve(r->plan, layer, &r->costs, r->uses, n_uses, r->serving, &load);
    cm_place_times(&r->costs, &load, &slowest, &mean);
    r->out->expert_seconds += slowest;
    r->slowest += slowest;
    r->mean += mean;
    for (int node = 0; node < r->plan->n_nodes; node++) r->seconds[node] += load.gate_up[node] + load.down[node];
    count_weights(r, layer, n_uses);
    count_activations(r, layer, first, n);
    for (int i = 0; i < n_uses; i++) r->use_of[r->uses[i].expert] = -1;
}

/* Seconds that the dense parts of a step take: each ends when its slowest node is done. */
static double dense_seconds(const struct replay *r)
{
    const struct place_costs costs = cm_place_costs(r->topology, &r->model->layers[0]);
    double                   heads = 0, dense = (double)r->model->head_bytes, n_shares = 0;
    double                   of_heads[CM_MAX_NODES] = {0}, of_shares[CM_MAX_NODES] = {0};
    for (int layer = 0; layer < r->model->n_layers; layer++) {
        heads += (double)r->model->layers[layer].heads_bytes;
        dense += (double)r->model->layers[layer].dense_bytes;
    }
    for (int node = 0; node < r->plan->n_nodes; node++) n_shares += r->plan->shares[node];
    for (int node = 0; node < r->plan->n_nodes; node++) {
        const int    server = costs.server[node];
        const double seconds = costs.seconds_per_byte[node];
        of_shares[server] += dense * r->plan->shares[node] / n_shares * seconds;
        if (r->plan->n_kv_heads > 0)
            of_heads[server] += heads * r->plan->kv_heads[node] / r->plan->n_kv_heads * seconds;
    }
    double slowest_heads = 0, slowest_shares = 0;
    for (int node = 0; node < r->plan->n_nodes; node++) {
        slowest_heads = fmax(slowest_heads, of_heads[node]);
        slowest_shares = fmax(slowest_shares, of_shares[node]);
    }
    return slowest_heads + slowest_shares;
}

static void finish(struct replay *r)
{
    struct place_prediction *out = r->out;
    double                   all = 0;
    out->imbalance = r->mean > 0 ? r->slowest / r->mean : 1;
    for (int node = 0; node < r->plan->n_nodes; node++) all += r->seconds[node];
    for (int node = 0; node < r->plan->n_nodes; node++) out->nodes[node].share = all > 0 ? r->seconds[node] / all : 0;
    if (out->n_steps == 0) return;
    out->expert_seconds /= (double)out->n_steps;
    out->step_seconds = out->expert_seconds + dense_seconds(r);
    if (r->topology->is_bandwidth_known && out->step_seconds > 0)
        out->tokens_per_s = (double)out->n_tokens / (double)out->n_steps / out->step_seconds;
}

calmoe_status cm_place_predict(struct calmoe_context *ctx, const struct topology *topology,
                               const struct place_model *model, const struct plan *plan,
                               const struct place_routings *routings, int batch, struct place_prediction *out)
{
    struct replay r = {.topology = topology, .model = model, .plan = plan, .routings = routings, .out = out};
    const size_t  n_experts = (size_t)model->n_experts;
    *out = (struct place_prediction){.batch = batch, .n_tokens = (uint64_t)routings->n_tokens};
    r.uses = cm_alloc(ctx, n_experts, sizeof *r.uses, "a prediction");
    r.serving = cm_alloc(ctx, n_experts, sizeof *r.serving, "a prediction");
    r.use_of = cm_alloc(ctx, n_experts, sizeof *r.use_of, "a prediction");
    const bool has_memory = r.uses && r.serving && r.use_of;
    if (has_memory) {
        for (size_t i = 0; i < n_experts; i++) r.use_of[i] = -1;
        for (int node = 0; node < topology->n_nodes; node++)
            if (topology->nodes[node].served_by == node) r.servers[r.n_servers++] = node;
        for (int first = 0; first < routings->n_tokens; first += batch, out->n_steps++) {
            const int n = routings->n_tokens - first < batch ? routings->n_tokens - first : batch;
            for (int layer = 0; layer < model->n_layers; layer++) replay_layer(&r, layer, first, n);
        }
        finish(&r);
    }
    cm_free(r.uses);
    cm_free(r.serving);
    cm_free(r.use_of);
    return has_memory ? CALMOE_OK : CALMOE_NO_MEMORY;
}

/* ---- steps from counts ---- */

/* Shares of the tokens that take each expert: n_used * count / sum, none above 1; what that leaves over goes to
 * the others in proportion. Experts that nobody counted get a thousandth of a mean share, so that enough can be
 * taken whatever the counts are. */
static void inclusion(const uint64_t *counts, int n_experts, int n_used, double *shares)
{
    double sum = 0;
    for (int e = 0; e < n_experts; e++) sum += (double)counts[e];
    const double least = sum > 0 ? 1e-3 * sum / n_experts : 1;
    for (int e = 0; e < n_experts; e++) shares[e] = fmax((double)counts[e], least);
    for (int round = 0; round <= n_experts; round++) {
        double open = 0, wanted = n_used;
        bool   has_changed = false;
        for (int e = 0; e < n_experts; e++)
            if (shares[e] < 0) wanted -= 1; /* settled at 1 */
            else open += shares[e];
        for (int e = 0; e < n_experts; e++)
            if (shares[e] >= 0 && shares[e] * wanted >= open) {
                shares[e] = -1;
                has_changed = true;
            }
        if (has_changed) continue;
        for (int e = 0; e < n_experts; e++) shares[e] = shares[e] < 0 ? 1 : shares[e] * wanted / open;
        return;
    }
}

/* Takes n_used different experts, e with probability shares[e]; they sum up to n_used. */
static void draw(struct random *random, const double *shares, int n_experts, int n_used, int *order, int32_t *out)
{
    for (int i = n_experts - 1; i > 0; i--) {
        const int j = (int)cm_random_below(random, (uint64_t)i + 1), other = order[j];
        order[j] = order[i];
        order[i] = other;
    }
    const double start = cm_random_unit(random);
    double       sum = 0;
    int          n = 0;
    for (int i = 0; i < n_experts && n < n_used; i++) {
        sum += shares[order[i]];
        const bool must = n_experts - i <= n_used - n; /* rounding at the very end */
        if (sum > start + n || must) out[n++] = order[i];
    }
}

calmoe_status cm_place_sample(struct calmoe_context *ctx, const struct place_model *model, const uint64_t *counts,
                              int n_tokens, uint64_t seed, int32_t **out)
{
    const int     n_experts = model->n_experts, n_used = model->n_used;
    const size_t  n_layers = (size_t)model->n_layers;
    struct random random = cm_random(seed);
    double       *shares = cm_alloc(ctx, (size_t)n_experts, sizeof *shares, "sampled steps");
    int          *order = cm_alloc(ctx, (size_t)n_experts, sizeof *order, "sampled steps");
    size_t        n = 0;
    *out = NULL;
    if (shares && order && cm_multiply((size_t)n_tokens * (size_t)n_used, n_layers, &n))
        *out = cm_alloc(ctx, n, sizeof **out, "sampled steps");
    for (size_t layer = 0; *out && layer < n_layers; layer++) {
        if (!cm_layer_has_experts(&model->layers[layer])) {
            for (size_t token = 0; token < (size_t)n_tokens; token++)
                for (int slot = 0; slot < n_used; slot++)
                    (*out)[(token * n_layers + layer) * (size_t)n_used + (size_t)slot] = -1;
            continue;
        }
        inclusion(counts + layer * (size_t)n_experts, n_experts, n_used, shares);
        for (int i = 0; i < n_experts; i++) order[i] = i;
        for (size_t token = 0; token < (size_t)n_tokens; token++)
            draw(&random, shares, n_experts, n_used, order, *out + (token * n_layers + layer) * (size_t)n_used);
    }
    cm_free(shares);
    cm_free(order);
    return *out ? CALMOE_OK : CALMOE_NO_MEMORY;
}
