/* runtime/engine/engine_plan.c - the placement plan that an engine executes: a file's, or the
 * default for its machine. */
#include <string.h>

#include "base/memory.h"
#include "experts/place_policy.h"
#include "kernels/pack16.h"
#include "runtime/engine/handles.h"
#include "runtime/documents/plan_file.h"

/* ---- the model as bytes ---- */

static uint64_t bytes_of(const struct weight_source *source)
{
    if (!source->rows) return 0;
    return (uint64_t)cm_pack16_row_bytes(source->type, (size_t)source->n_columns) * (uint64_t)source->n_rows;
}

static uint64_t recurrent_bytes(const struct recurrent_tensors *t)
{
    uint64_t n = bytes_of(&t->out);
    for (int product = 0; product < N_PRODUCTS; product++) n += bytes_of(&t->products[product]);
    return n;
}

static uint64_t mla_bytes(const struct mla_tensors *t)
{
    return bytes_of(&t->q_a) + bytes_of(&t->latent) + bytes_of(&t->k) + bytes_of(&t->v) + bytes_of(&t->joint);
}

/* Of a matrix of one expert, with its bias. */
static uint64_t expert_bytes(const struct weight_source *source, const struct bias_source *bias)
{
    return bytes_of(source) + (bias->tensor ? (uint64_t)source->n_rows * sizeof(float) : 0);
}

/* Of one expert of a bank. */
static uint64_t gate_up_bytes(const struct bank_tensors *bank)
{
    if (!bank->experts) return 0;
    return expert_bytes(&bank->experts[0].gate, &bank->gate_bias) + expert_bytes(&bank->experts[0].up, &bank->up_bias);
}

static uint64_t down_bytes(const struct bank_tensors *bank)
{
    return bank->experts ? expert_bytes(&bank->experts[0].down, &bank->down_bias) : 0;
}

calmoe_status cm_describe_weights(calmoe_context *ctx, const struct model_spec *spec,
                                  const struct model_tensors *tensors, struct place_layer **layers,
                                  struct place_model *out)
{
    *layers = cm_alloc(ctx, (size_t)tensors->n_layers, sizeof **layers, "a placement");
    if (!*layers) return CALMOE_NO_MEMORY;
    for (int i = 0; i < tensors->n_layers; i++) {
        const struct layer_tensors *t = &tensors->layers[i];
        (*layers)[i] = (struct place_layer){
            .gate_up_bytes = gate_up_bytes(&t->banks[BANK_ROUTED]),
            .down_bytes = down_bytes(&t->banks[BANK_ROUTED]),
            .heads_bytes = bytes_of(&t->q) + bytes_of(&t->k) + bytes_of(&t->v),
            .dense_bytes = recurrent_bytes(&t->recurrent) + mla_bytes(&t->mla) + bytes_of(&t->o) +
                           bytes_of(&t->router) +
                           gate_up_bytes(&t->banks[BANK_SHARED]) + down_bytes(&t->banks[BANK_SHARED]) +
                           gate_up_bytes(&t->banks[BANK_DENSE]) + down_bytes(&t->banks[BANK_DENSE])};
    }
    const struct layer_maxima *most = &spec->most;
    *out = (struct place_model){.n_layers = tensors->n_layers, .n_experts = most->n_experts, .n_used = most->n_used,
                                .width = most->width[cm_is_dense_model(spec) ? BANK_SHARED : BANK_ROUTED],
                                .dim = spec->dim, .quantum = CM_SLICE_QUANTUM, .n_kv_heads = most->n_kv_heads,
                                .head_bytes = bytes_of(&tensors->output), .layers = *layers};
    return CALMOE_OK;
}

uint64_t cm_whole_bytes(const calmoe_model *model)
{
    uint64_t n = 0;
    for (int i = 0; i < model->tensors.n_layers; i++) {
        const struct layer_tensors *t = &model->tensors.layers[i];
        n += bytes_of(&t->router) + bytes_of(&t->mla.q_a) + bytes_of(&t->mla.latent) +
             bytes_of(&t->recurrent.products[PRODUCT_BETA]) + bytes_of(&t->recurrent.products[PRODUCT_ALPHA]);
    }
    return n;
}

/* What of the model is this rank's: how many of its rows and heads, and as many of its bytes. Whole experts have all
 * their rows. */
static void take_own(const calmoe_engine *engine, struct place_layer *layers, struct place_model *model,
                     struct plan *first)
{
    const struct rank_shares *shares = &engine->shares;
    const struct {
        int *n, *first, quantum;
    } all[] = {{&model->width, &first->first_row, CM_SLICE_QUANTUM},
               {&model->dim, &first->first_down_row, CM_SLICE_QUANTUM},
               {&model->n_kv_heads, NULL, 1}};
    double sum = 0;
    for (int rank = 0; rank < shares->n_ranks; rank++) sum += shares->of[rank];
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        int32_t borders[CM_MAX_RANKS + 1];
        if (all[i].first && shares->has_whole_experts) continue;
        cm_rank_borders(shares, *all[i].n, all[i].quantum, borders);
        if (all[i].first) *all[i].first = borders[shares->own];
        *all[i].n = borders[shares->own + 1] - borders[shares->own];
    }
    const double part = shares->of[shares->own] / sum;
    uint64_t *const head = &model->head_bytes;
    *head = (uint64_t)((double)*head * part);
    for (int i = 0; i < model->n_layers; i++) {
        uint64_t *const bytes[] = {&layers[i].gate_up_bytes, &layers[i].down_bytes, &layers[i].heads_bytes,
                                   &layers[i].dense_bytes};
        for (size_t j = 0; j < sizeof bytes / sizeof *bytes; j++) *bytes[j] = (uint64_t)((double)*bytes[j] * part);
    }
}

/* ---- a plan from a file ---- */

calmoe_status cm_read_plan(const calmoe_model *model, const char *path, const struct topology *topology,
                           const struct plan *shape, struct plan *out)
{
    struct plan_file file;
    CM_TRY(cm_plan_file_read(model->ctx, path, &file));
    *out = file.plan; /* its memory is the caller's now */
    if (strcmp(file.fingerprint, model->file_fingerprint) != 0)
        return cm_fail(model->ctx, CALMOE_INVALID_ARGUMENT,
                       "the plan is for the model %s; this one's fingerprint is %s", file.fingerprint,
                       model->file_fingerprint);
    CM_TRY(cm_plan_check(model->ctx, out, shape));
    cm_plan_complete(out, shape, cm_home_node(topology));
    return CALMOE_OK;
}

/* ---- the default ---- */

/* The machine as the team uses it: the memory of a node without workers is far from those that read it. */
static struct topology seen_by(const struct team *team, const struct topology *topology)
{
    struct topology seen = *topology;
    for (int i = 0; i < seen.n_nodes; i++) {
        struct topology_node *node = &seen.nodes[i];
        node->served_by = cm_team_server(team, i);
        if (node->served_by == i || node->n_cores == 0) continue;
        node->n_cores = 0;
        node->bandwidth *= 0.5;
    }
    return seen;
}

/* Sliced over the nodes that have workers and memory; on one node, everything there. */
static calmoe_status make_default(const calmoe_engine *engine, const struct place_model *shape, struct plan *out)
{
    const struct topology      seen = seen_by(engine->team, &engine->topology);
    const struct place_problem problem = {.topology = &seen, .model = shape, .memory_limit = 1};
    const struct plan          whole = cm_place_shape(shape, 1);
    const struct place_policy *policy;
    struct place_result        result;
    if (seen.n_nodes == 1) return cm_plan_open(engine->ctx, &whole, out);
    CM_TRY(cm_place_policy_named(engine->ctx, "sliced", &policy));
    CM_TRY(cm_place(engine->ctx, policy, &problem, &result));
    if (result.notes[0]) cm_log(engine->ctx, "%s", result.notes);
    *out = result.plan;
    return CALMOE_OK;
}

/* Of this rank's part. path: of a file, which is a plan of all of the model; NULL = the default. */
static calmoe_status open_plan(const calmoe_engine *engine, const struct model_spec *spec,
                               const struct model_tensors *tensors, const char *path, struct plan *out)
{
    struct place_layer *layers = NULL;
    struct place_model  model;
    struct plan         first = {0};
    calmoe_status       status = cm_describe_weights(engine->ctx, spec, tensors, &layers, &model);
    const bool is_part = engine->shares.n_ranks > 1;
    if (status == CALMOE_OK) {
        const struct plan whole = cm_place_shape(&model, engine->topology.n_nodes);
        if (is_part) take_own(engine, layers, &model, &first);
        const struct plan part = cm_place_shape(&model, engine->topology.n_nodes);
        status = path ? cm_read_plan(engine->model, path, &engine->topology, &whole, out)
                      : make_default(engine, &model, out);
        if (status == CALMOE_OK && path && is_part) cm_plan_take_part(out, &part);
        if (status == CALMOE_OK && engine->shares.has_whole_experts && cm_plan_n_streamed(out, -1) > 0)
            status = cm_fail(engine->ctx, CALMOE_UNSUPPORTED,
                             "experts that are whole on ranks stay in memory; the plan streams some");
        out->ranks = engine->shares;
        out->first_row = first.first_row;
        out->first_down_row = first.first_down_row;
    }
    cm_free(layers);
    return status;
}

calmoe_status cm_engine_plan_beside(const calmoe_engine *engine, const struct model_spec *spec,
                                    const struct model_tensors *tensors, struct plan *out)
{
    return open_plan(engine, spec, tensors, NULL, out);
}

calmoe_status cm_engine_open_plan(calmoe_engine *engine)
{
    return open_plan(engine, &engine->model->spec, &engine->model->tensors, engine->options.plan, &engine->plan);
}
