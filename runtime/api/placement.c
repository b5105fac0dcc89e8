/* runtime/api/placement.c - calmoe_placement: plans made for a machine, explained, tried, written. */
#include <math.h>
#include <string.h>

#include "base/meeting_cost.h"
#include "base/memory.h"
#include "base/options.h"
#include "runtime/api/placement_parts.h"
#include "runtime/forward/step_barriers.h"
#include "runtime/documents/plan_file.h"
#include "runtime/documents/profile_file.h"

enum { SAMPLED_TOKENS = 1024 }; /* steps that stand for a profile's counts */

void calmoe_placement_options_init(calmoe_placement_options *options)
{
    if (options) *options = (calmoe_placement_options){.size = sizeof *options, .memory_limit = 1.25f};
}

calmoe_status calmoe_placement_policy(int i, const char **name, const char **summary)
{
    const struct place_policy *policy = cm_place_policy_at(i);
    if (!policy) return CALMOE_END;
    if (name) *name = policy->name;
    if (summary) *summary = policy->summary;
    return CALMOE_OK;
}

/* ---- opening ---- */

static calmoe_status check_profile(const calmoe_placement *p, const struct profile *profile)
{
    if (strcmp(profile->fingerprint, p->model->fingerprint) != 0)
        return cm_fail(p->ctx, CALMOE_INVALID_ARGUMENT, "the profile is of the model %s; this one's fingerprint is %s",
                       profile->fingerprint, p->model->fingerprint);
    if (profile->n_layers != p->shape.n_layers || profile->n_experts != p->shape.n_experts)
        return cm_fail(p->ctx, CALMOE_INVALID_ARGUMENT,
                       "the profile is of %d layers of %d experts; the model has %d layers of %d", profile->n_layers,
                       profile->n_experts, p->shape.n_layers, p->shape.n_experts);
    return CALMOE_OK;
}

/* How experts are used: the profile's counts, or all alike; and steps drawn from that. */
static calmoe_status read_use(calmoe_placement *p, const calmoe_placement_options *options)
{
    const size_t n = (size_t)p->shape.n_layers * (size_t)p->shape.n_experts;
    p->counts = cm_alloc(p->ctx, n, sizeof *p->counts, "a placement");
    if (!p->counts) return CALMOE_NO_MEMORY;
    for (size_t i = 0; i < n; i++) p->counts[i] = 1;
    if (options->profile && options->usage)
        return cm_fail(p->ctx, CALMOE_INVALID_ARGUMENT, "a profile from a file and one in memory exclude each other");
    if (options->usage) {
        CM_TRY(check_profile(p, &options->usage->data));
        CM_TRY(cm_profile_counts(p->ctx, &options->usage->data, options->domain, p->counts));
        p->has_profile = true;
    } else if (options->profile) {
        struct profile profile;
        CM_TRY(cm_profile_read(p->ctx, options->profile, &profile));
        calmoe_status status = check_profile(p, &profile);
        if (status == CALMOE_OK) status = cm_profile_counts(p->ctx, &profile, options->domain, p->counts);
        cm_profile_close(&profile);
        CM_TRY(status);
        p->has_profile = true;
    } else if (options->domain) {
        return cm_fail(p->ctx, CALMOE_INVALID_ARGUMENT, "domain '%s' needs a profile", options->domain);
    }
    return cm_place_sample(p->ctx, &p->shape, p->counts, SAMPLED_TOKENS, 1, &p->sampled);
}

struct place_routings cm_placement_sampled(const calmoe_placement *p)
{
    return (struct place_routings){.n_tokens = SAMPLED_TOKENS, .n_layers = p->shape.n_layers,
                                   .n_slots = p->shape.n_used, .experts = p->sampled};
}

static calmoe_status read_plan(calmoe_placement *p, const char *path)
{
    const struct plan shape = cm_place_shape(&p->shape, p->topology.n_nodes);
    CM_TRY(cm_read_plan(p->model, path, &p->topology, &shape, &p->result.plan));
    p->policy = "";
    cm_place_describe(&p->shape, &p->result);
    return CALMOE_OK;
}

static calmoe_status make_plan(calmoe_placement *p, const calmoe_placement_options *options)
{
    const struct place_routings routings = cm_placement_sampled(p);
    struct topology             topology = p->topology; /* where a part stays on disk, memory is what the limit says */
    const struct place_problem  problem = {.topology = &topology, .model = &p->shape,
                                           .routings = p->has_profile ? &routings : NULL,
                                           .memory_limit = (double)options->memory_limit};
    const struct place_policy  *policy;
    const char *name = options->policy ? options->policy : p->has_profile ? "by_usage" : "sliced";
    if (options->stream_limit > 0) topology.is_memory_known = false;
    CM_TRY(cm_place_policy_named(p->ctx, name, &policy));
    CM_TRY(cm_place(p->ctx, policy, &problem, &p->result));
    p->policy = policy->name;
    return options->stream_limit > 0 ? cm_placement_stream(p, options->stream_limit) : CALMOE_OK;
}

static calmoe_status open_parts(calmoe_placement *p, const calmoe_placement_options *options)
{
    if (!(options->memory_limit >= 1 && options->memory_limit <= 64))
        return cm_fail(p->ctx, CALMOE_INVALID_ARGUMENT, "memory_limit is %g; 1 to 64 is wanted",
                       (double)options->memory_limit);
    if (options->plan && options->stream_limit > 0)
        return cm_fail(p->ctx, CALMOE_INVALID_ARGUMENT,
                       "a plan to look at and a limit to make one for exclude each other");
    if (options->plan && options->policy)
        return cm_fail(p->ctx, CALMOE_INVALID_ARGUMENT, "a plan to look at and a policy to make one exclude each"
            " other");
    if (!(options->near_latency >= 0 && options->near_latency <= 1 && options->far_latency >= 0 &&
          options->far_latency <= 1))
        return cm_fail(p->ctx, CALMOE_INVALID_ARGUMENT, "latencies of a cache line are %g and %g s; 0 to 1 is wanted",
                       options->near_latency, options->far_latency);
    CM_TRY(cm_describe_weights(p->model->ctx, &p->model->spec, &p->model->tensors, &p->layers, &p->shape));
    CM_TRY(cm_topology_open(p->ctx, options->topology, &p->topology));
    p->barrier_seconds = cm_barrier_seconds(&p->topology, options->near_latency, options->far_latency);
    if (options->bandwidth) CM_TRY(cm_topology_set_bandwidth(p->ctx, &p->topology, options->bandwidth));
    CM_TRY(read_use(p, options));
    return options->plan ? read_plan(p, options->plan) : make_plan(p, options);
}

calmoe_status calmoe_placement_open(calmoe_model *model, const calmoe_placement_options *given, calmoe_placement **out)
{
    calmoe_placement_options options;
    if (out) *out = NULL;
    calmoe_context *ctx = model ? model->ctx : NULL;
    if (!model || !out)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "calmoe_placement_open: model and out are needed");
    if (!model->has_weights)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "'%s' was opened for its vocabulary only", model->path);
    calmoe_placement_options_init(&options);
    CM_TRY(cm_options_copy(ctx, "calmoe_placement_options", &options, sizeof options, given));
    calmoe_placement *p = cm_alloc(ctx, 1, sizeof *p, "a placement");
    if (!p) return CALMOE_NO_MEMORY;
    p->ctx = ctx;
    p->model = model;
    const calmoe_status status = open_parts(p, &options);
    if (status != CALMOE_OK) calmoe_placement_close(&p);
    *out = p;
    return status;
}

void calmoe_placement_close(calmoe_placement **placement)
{
    if (!placement || !*placement) return;
    calmoe_placement *p = *placement;
    cm_place_result_close(&p->result);
    cm_topology_close(&p->topology);
    cm_free(p->layers);
    cm_free(p->counts);
    cm_free(p->sampled);
    cm_free(p);
    *placement = NULL;
}

calmoe_status calmoe_placement_write(const calmoe_placement *p, const char *path)
{
    if (!p || !path)
        return cm_fail(p ? p->ctx : NULL, CALMOE_INVALID_ARGUMENT,
            "calmoe_placement_write: placement and path are needed");
    struct plan_file file = {.plan = p->result.plan};
    memcpy(file.fingerprint, p->model->file_fingerprint, sizeof file.fingerprint);
    return cm_plan_file_write(p->ctx, path, &file);
}

/* ---- telling ---- */

calmoe_status calmoe_placement_get_info(const calmoe_placement *p, calmoe_placement_info *out)
{
    if (!p || !out || out->size < sizeof out->size)
        return cm_fail(p ? p->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_placement_get_info: placement and info with its size set are needed");
    double placed = 0;
    for (int node = 0; node < p->topology.n_nodes; node++) placed += p->result.bytes[node];
    calmoe_placement_info info = {
        .policy = p->policy, .why = p->result.why, .notes = p->result.notes, .use = p->has_profile ? "profile" : "even",
        .n_nodes = p->topology.n_nodes, .n_layers = p->shape.n_layers, .n_experts = p->shape.n_experts,
        .n_pinned = p->result.n_pinned, .n_sliced = p->result.n_sliced, .n_streamed = p->result.n_streamed,
        .n_replicated = p->result.n_replicated,
        .n_weight_bytes = cm_place_model_bytes(&p->shape), .n_placed_bytes = (uint64_t)llround(placed),
        .is_memory_known = p->topology.is_memory_known, .is_bandwidth_known = p->topology.is_bandwidth_known};
    cm_options_give(out, &info, sizeof info);
    return CALMOE_OK;
}

/* The part of an expert that is on a node; 0 of a dense layer's, which are none. */
static double part_on(const struct plan *plan, const struct place_layer *layer, const struct place *place, int node)
{
    if (!cm_layer_has_experts(layer) || place->is_streamed) return 0;
    if (place->kind == PLACE_PINNED) return place->node == node ? 1 : 0;
    if (place->kind == PLACE_REPLICATED) return place->replicas >> node & 1 ? 1 : 0;
    const struct slice *slice = &plan->slices[place->slice];
    const double        gate_up = (double)layer->gate_up_bytes, down = (double)layer->down_bytes;
    return (gate_up * slice->rows[node] / plan->width + down * slice->down_rows[node] / plan->dim) / (gate_up + down);
}

calmoe_status calmoe_placement_get_node(const calmoe_placement *p, int i, calmoe_placement_node *out)
{
    if (!p || !out || out->size < sizeof out->size || i < 0)
        return cm_fail(p ? p->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_placement_get_node: placement and node with its size set are needed");
    if (i >= p->topology.n_nodes) return CALMOE_END;
    const struct topology_node *it = &p->topology.nodes[i];
    const struct plan          *plan = &p->result.plan;
    calmoe_placement_node       node = {
              .n_cores = it->n_cores, .served_by = it->served_by,
              .memory_bytes = p->topology.is_memory_known ? it->memory_bytes : 0, .cache_bytes = it->cache_bytes,
              .bandwidth = it->bandwidth, .weight_bytes = (uint64_t)llround(p->result.bytes[i]),
              .kv_heads = plan->kv_heads[i]};
    for (int layer = 0; layer < plan->n_layers; layer++)
        for (int expert = 0; expert < plan->n_experts; expert++) {
            const struct place *place = cm_place_of(plan, layer, expert);
            if (!(part_on(plan, &p->layers[layer], place, i) > 0)) continue;
            node.n_pinned += place->kind == PLACE_PINNED;
            node.n_sliced += place->kind == PLACE_SLICED;
            node.n_replicas += place->kind == PLACE_REPLICATED;
        }
    cm_options_give(out, &node, sizeof node);
    return CALMOE_OK;
}

calmoe_status calmoe_placement_get_expert(const calmoe_placement *p, int layer, int expert, int *kind, double *parts,
                                          int n)
{
    if (!p || !kind || !parts || layer < 0 || layer >= p->shape.n_layers || expert < 0 ||
        expert >= p->shape.n_experts || n < p->topology.n_nodes)
        return cm_fail(p ? p->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_placement_get_expert: placement, a layer and an expert of the model, kind, and parts for"
                       " every node are needed");
    const struct place *place = cm_place_of(&p->result.plan, layer, expert);
    *kind = place->is_streamed ? CALMOE_PLACE_STREAMED : (int)place->kind;
    for (int node = 0; node < p->topology.n_nodes; node++)
        parts[node] = part_on(&p->result.plan, &p->layers[layer], place, node);
    return CALMOE_OK;
}

/* ---- predicting ---- */

static calmoe_status predict(const calmoe_placement *p, const struct place_routings *routings, int batch,
                             calmoe_prediction *out)
{
    struct place_prediction found;
    CM_TRY(cm_place_predict(p->ctx, &p->topology, &p->shape, &p->result.plan, routings, batch, &found));
    calmoe_prediction told = {.batch = batch, .n_steps = found.n_steps, .n_tokens = found.n_tokens,
                              .imbalance = found.imbalance, .expert_seconds = found.expert_seconds,
                              .step_seconds = found.step_seconds, .tokens_per_s = found.tokens_per_s,
                              .n_uses = found.n_uses, .n_sliced_uses = found.n_sliced_uses,
                              .n_replica_uses = found.n_replica_uses,
                              .n_barriers = cm_step_barriers(&p->model->spec, p->topology.n_cores)};
    told.barrier_seconds = told.n_barriers * p->barrier_seconds;
    if (told.tokens_per_s > 0) told.tokens_per_s *= told.step_seconds / (told.step_seconds + told.barrier_seconds);
    if (p->topology.is_bandwidth_known) told.step_seconds += told.barrier_seconds;
    for (int node = 0; node < p->topology.n_nodes; node++) {
        told.node_share[node] = found.nodes[node].share;
        told.node_bytes[node] = found.nodes[node].expert_bytes;
        told.node_remote_weights[node] = found.nodes[node].remote_weights;
        told.node_remote_activations[node] = found.nodes[node].remote_activations;
        told.node_replica_uses[node] = found.nodes[node].n_replica_uses;
    }
    cm_options_give(out, &told, sizeof told);
    return CALMOE_OK;
}

static calmoe_status check_call(const calmoe_placement *p, int batch, const calmoe_prediction *out, const char *call)
{
    if (!p || !out || out->size < sizeof out->size || batch < 1)
        return cm_fail(p ? p->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "%s: placement, batch >= 1 and a prediction with its size set are needed", call);
    return CALMOE_OK;
}

calmoe_status calmoe_placement_predict(const calmoe_placement *p, int batch, calmoe_prediction *out)
{
    CM_TRY(check_call(p, batch, out, "calmoe_placement_predict"));
    const struct place_routings routings = cm_placement_sampled(p);
    return predict(p, &routings, batch, out);
}

calmoe_status calmoe_placement_simulate(const calmoe_placement *p, const int32_t *experts, int n_tokens, int n_slots,
                                        int batch, calmoe_prediction *out)
{
    CM_TRY(check_call(p, batch, out, "calmoe_placement_simulate"));
    CM_TRY(cm_placement_check_experts(p, experts, n_tokens, n_slots, "calmoe_placement_simulate"));
    const struct place_routings routings = cm_placement_routings(p, experts, n_tokens, n_slots);
    return predict(p, &routings, batch, out);
}
