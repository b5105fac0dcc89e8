/* runtime/forward/weights.c - see weights.h. */
#include "runtime/forward/weights.h"

#include <math.h>
#include <stdio.h>

#include "base/limits.h"
#include "base/memory.h"
#include "runtime/forward/streaming.h"
#include "runtime/forward/tuning.h"

struct builder {
    struct calmoe_context        *ctx;
    const struct machine         *machine;
    float                        *next_vector; /* in out->vectors                                        */
    float                        *biases;      /* of all experts, until they are copied to their nodes   */
    float                        *next_bias;   /* in biases                                              */
    const struct model_spec      *spec;
    const struct weights_options *options;
    struct pack_list             *list;
    struct weights               *out;
};

static size_t elements_of(const struct file_tensor *tensor)
{
    return tensor ? (size_t)tensor->shape[0] * (size_t)tensor->shape[1] : 0;
}

/* A tensor's elements in float32, at *next, which moves behind them; NULL for NULL. */
static float *read_floats(const struct file_tensor *tensor, float **next)
{
    if (!tensor) return NULL;
    const struct weight_type_row *type = &cm_weight_types[tensor->type];
    const size_t n = elements_of(tensor);
    float *at = *next;
    type->dequantize(tensor->bytes, at, n / (size_t)type->n_elements);
    *next += n;
    return at;
}

/* A norm's weights, and its bias behind them, where it has one. */
static float *read_norm(const struct file_tensor *norm, const struct file_tensor *bias, float **next)
{
    float *at = read_floats(norm, next);
    (void)read_floats(bias, next);
    return at;
}

/* For each row of the output matrix, one over its length: logits are products with rows of length 1. */
static calmoe_status measure_rows(struct calmoe_context *ctx, const struct weight_source *output, float **out)
{
    const struct weight_type_row *type = &cm_weight_types[output->type];
    const size_t n = (size_t)output->n_columns, row_bytes = cm_row_bytes(output->type, n);
    float *row = cm_alloc(ctx, n, sizeof *row, "a row of the output");
    *out = cm_alloc(ctx, (size_t)output->n_rows, sizeof **out, "lengths of the output's rows");
    for (int r = 0; row && *out && r < output->n_rows; r++) {
        double squares = 0.0;
        type->dequantize(output->rows + (size_t)r * row_bytes, row, n / (size_t)type->n_elements);
        for (size_t i = 0; i < n; i++) squares += (double)row[i] * (double)row[i];
        (*out)[r] = (float)(1.0 / (squares > 1e-24 ? sqrt(squares) : 1e-12));
    }
    cm_free(row);
    return row && *out ? CALMOE_OK : CALMOE_NO_MEMORY;
}

/* All vectors of all layers lie in one block, whose size is added up first; experts' biases in another. */
static calmoe_status reserve_vectors(struct builder *b, const struct model_tensors *tensors)
{
    const struct file_tensor *const of_model[] = {
        tensors->output_norm, tensors->output_norm_bias, tensors->first_norm, tensors->first_norm_bias,
        tensors->output_bias, tensors->rope_factors, tensors->further.embedding_norm, tensors->further.state_norm};
    size_t n = 0, n_biases = 0;
    for (size_t v = 0; v < sizeof of_model / sizeof *of_model; v++) n += elements_of(of_model[v]);
    for (int i = 0; i < tensors->n_layers; i++) {
        const struct layer_tensors *t = &tensors->layers[i];
        const struct file_tensor *const vectors[] = {
            t->ffn_norm,    t->ffn_norm_bias,     t->after_ffn_norm,
              t->router_bias,      t->choice_bias,  t->router_norm,
            t->routed_norm, t->after_routed_norm, t->after_dense_norm, t->expert_scale, t->output_scale};
        for (size_t v = 0; v < sizeof vectors / sizeof *vectors; v++) n += elements_of(vectors[v]);
        for (int bank = 0; bank < N_BANKS; bank++)
            n_biases += elements_of(t->banks[bank].gate_bias.tensor) + elements_of(t->banks[bank].up_bias.tensor) +
                        elements_of(t->banks[bank].down_bias.tensor);
    }
    b->next_vector = b->out->vectors = cm_alloc(b->ctx, n, sizeof(float), "norms and biases");
    b->next_bias = b->biases = cm_alloc(b->ctx, n_biases, sizeof(float), "biases of experts");
    return b->out->vectors && b->biases ? CALMOE_OK : CALMOE_NO_MEMORY;
}

static void build_vectors(struct builder *b, const struct layer_tensors *t, struct layer *layer)
{
    layer->ffn_norm = read_norm(t->ffn_norm, t->ffn_norm_bias, &b->next_vector);
    layer->after_ffn_norm = read_floats(t->after_ffn_norm, &b->next_vector);
    layer->router_norm = read_floats(t->router_norm, &b->next_vector);
    for (int i = 0; layer->router_norm && i < b->spec->dim; i++) /* what it reads is divided by sqrt(dim) as well */
        layer->router_norm[i] /= sqrtf((float)b->spec->dim);
    layer->routed_norm = read_floats(t->routed_norm, &b->next_vector);
    layer->after_bank_norms[BANK_ROUTED] = read_floats(t->after_routed_norm, &b->next_vector);
    layer->after_bank_norms[BANK_DENSE] = read_floats(t->after_dense_norm, &b->next_vector);
    layer->expert_scale = read_floats(t->expert_scale, &b->next_vector);
    layer->output_scale = read_floats(t->output_scale, &b->next_vector);
    layer->router_bias = read_floats(t->router_bias, &b->next_vector);
    layer->choice_bias = read_floats(t->choice_bias, &b->next_vector);
}

/* What the router reads is small, and all of it is read by whoever owns a token: each node has its own. */
static calmoe_status add_copies(struct builder *b, const struct weight_source *source, struct placed_matrix *out)
{
    CM_TRY(cm_placed_copies_open(b->ctx, b->list, source, b->machine->team, b->machine->plan->n_nodes, out));
    b->out->n_dense_bytes += out->n_bytes;
    return CALMOE_OK;
}

/* Expert e's bias of all that the source has at values; NULL where it has none. */
static const float *bias_of(const struct bias_source *source, const float *values, int expert)
{
    return values ? values + (size_t)expert * (size_t)source->tensor->shape[0] + source->first : NULL;
}

static calmoe_status build_bank(struct builder *b, const struct layer_tensors *t, int bank, int n_experts,
                                struct layer *layer)
{
    const struct bank_tensors *from = &t->banks[bank];
    struct expert_sources *sources = cm_alloc(b->ctx, (size_t)n_experts, sizeof *sources, "experts");
    if (!sources) return CALMOE_NO_MEMORY;
    const float *gate = read_floats(from->gate_bias.tensor, &b->next_bias);
    const float *up = read_floats(from->up_bias.tensor, &b->next_bias);
    const float *down = read_floats(from->down_bias.tensor, &b->next_bias);
    for (int expert = 0; expert < n_experts; expert++) {
        sources[expert] = from->experts[expert];
        sources[expert].gate_bias = bias_of(&from->gate_bias, gate, expert);
        sources[expert].up_bias = bias_of(&from->up_bias, up, expert);
        sources[expert].down_bias = bias_of(&from->down_bias, down, expert);
    }
    const calmoe_status status = cm_expert_bank_open(b->ctx, &layer->experts, bank, sources, n_experts, b->list);
    cm_free(sources);
    return status;
}

static calmoe_status build_mixer(struct builder *b, const struct layer_tensors *t, int index, struct mixer_layer *out)
{
    out->mixer = cm_mixers[b->spec->layers[index].mixer];
    const struct mixer_place place = {.machine = b->machine, .spec = b->spec, .mixer = out->mixer};
    CM_TRY(out->mixer->pack(&place, b->list, index, t, &out->weights));
    b->out->n_dense_bytes += out->mixer->step_bytes(out->weights);
    return CALMOE_OK;
}

static calmoe_status build_ffn(struct builder *b, const struct ffn_spec *spec, const struct layer_tensors *t, int index,
                               struct layer *layer)
{
    if (!cm_has_ffn(spec)) return CALMOE_OK;
    layer->experts.dim = b->spec->dim;
    layer->experts.plan = b->machine->plan;
    layer->experts.index = index;
    for (int bank = 0; bank < N_BANKS; bank++) {
        layer->experts.banks[bank].nonlinearity = spec->branches[bank].nonlinearity;
        layer->experts.banks[bank].weighs_input = spec->branches[bank].weighs_input;
    }
    if (cm_is_routed(spec)) CM_TRY(add_copies(b, &t->router, &layer->router));
    for (int bank = BANK_ROUTED + 1; bank < N_BANKS; bank++)
        if (spec->branches[bank].width > 0) CM_TRY(build_bank(b, t, bank, 1, layer));
    if (t->shared_gate) {
        const struct weight_source gate = {.type = t->shared_gate->type, .rows = t->shared_gate->bytes,
                                           .n_rows = 1, .n_columns = b->spec->dim};
        CM_TRY(add_copies(b, &gate, &layer->shared_gate));
    }
    return CALMOE_OK;
}

/* The routed experts, when all else is listed: only then is it known whether there is room for them. */
static calmoe_status build_routed(struct builder *b, const struct layer_tensors *t, int index, struct layer *layer)
{
    const struct ffn_spec *spec = &b->spec->layers[index].ffn;
    layer->experts.stream = b->out->stream;
    layer->experts.plan_streams = cm_plan_n_streamed(b->machine->plan, -1) > 0;
    layer->experts.packed = b->out->stream ? NULL : b->options->packed;
    if (cm_is_routed(spec)) CM_TRY(build_bank(b, t, BANK_ROUTED, spec->router.n_experts, layer));
    layer->ffn_kinds =
        layer->experts.input_kinds | cm_placed_kind(&layer->router) | cm_placed_kind(&layer->shared_gate);
    return CALMOE_OK;
}

static calmoe_status build_layer(struct builder *b, const struct layer_tensors *t, int index,
                                 struct layer *layer)
{
    const struct layer_spec *spec = &b->spec->layers[index];
    build_vectors(b, t, layer);
    CM_TRY(build_mixer(b, t, index, &layer->mixer));
    return build_ffn(b, &spec->ffn, t, index, layer);
}

/* Before minutes are spent on reading what cannot stay. */
static calmoe_status check_room(const struct builder *b, uint64_t n_slot_bytes)
{
    const uint64_t packed = cm_pack_list_bytes(b->list) + n_slot_bytes, behind = b->options->n_bytes_behind;
    char           what[160], first[32], second[32];
    struct memory_room room;
    if (!b->machine->topology->is_this_machine) return CALMOE_OK;
    cm_limits_room(&room);
    snprintf(what, sizeof what, "packed weights (%s) and what works with them (at least %s)",
             cm_bytes_text(packed, first), cm_bytes_text(behind, second));
    CM_TRY(cm_room_check(b->ctx, &room, packed + behind, what));
    if (packed + behind > room.room)
        cm_log(b->ctx, "a part of %s goes to swap, which is slow: %s of memory can be had (%s)", what,
               cm_bytes_text(room.room, first), room.name);
    return CALMOE_OK;
}

static calmoe_status build(struct builder *b, const struct model_tensors *tensors)
{
    struct weights *out = b->out;
    struct streaming streaming = {.machine = b->machine, .spec = b->spec, .options = b->options};
    out->layers = cm_alloc(b->ctx, (size_t)tensors->n_layers, sizeof *out->layers, "layers");
    if (!out->layers) return CALMOE_NO_MEMORY;
    out->n_layers = tensors->n_layers;
    out->plan = b->machine->plan;
    out->looks_ahead = b->options->looks_ahead;
    CM_TRY(reserve_vectors(b, tensors));
    out->embedding = tensors->embedding;
    out->output_norm = read_norm(tensors->output_norm, tensors->output_norm_bias, &b->next_vector);
    out->first_norm = read_norm(tensors->first_norm, tensors->first_norm_bias, &b->next_vector);
    out->output_bias = read_floats(tensors->output_bias, &b->next_vector);
    if (b->spec->has_unit_output) CM_TRY(measure_rows(b->ctx, &tensors->output, &out->token_scale));
    out->rope_factors = read_floats(tensors->rope_factors, &b->next_vector);
    out->embedding_norm = read_floats(tensors->further.embedding_norm, &b->next_vector);
    out->state_norm = read_floats(tensors->further.state_norm, &b->next_vector);
    if (tensors->further.joint.rows)
        CM_TRY(cm_placed_shares_open(b->ctx, b->list, &tensors->further.joint, b->machine->plan, &out->joint));
    out->n_dense_bytes += out->joint.n_bytes;
    for (int i = 0; i < tensors->n_layers; i++) CM_TRY(build_layer(b, &tensors->layers[i], i, &out->layers[i]));
    out->has_others_output = b->options->output_of != NULL;
    if (out->has_others_output) out->output = b->options->output_of->output;
    else CM_TRY(cm_placed_shares_open(b->ctx, b->list, &tensors->output, b->machine->plan, &out->output));
    out->output_kinds = cm_placed_kind(&out->output);
    CM_TRY(cm_streaming_open(&streaming, tensors, b->list, &out->stream));
    for (int i = 0; i < tensors->n_layers; i++)
        CM_TRY(build_routed(b, &tensors->layers[i], i, &out->layers[i]));
    CM_TRY(cm_streaming_fit(&streaming, b->list, out->stream));
    CM_TRY(cm_pack_list_origins(b->ctx, b->list, &out->origins, &out->n_origins));
    CM_TRY(check_room(b, streaming.n_slot_bytes));
    CM_TRY(cm_pack_list_run(b->ctx, b->list, b->machine->topology, b->machine->team, b->options->progress,
                            b->options->user, &out->packed));
    CM_TRY(cm_streaming_start(&streaming, out->stream));
    return b->options->is_tuned ? cm_tune(b->machine, b->list) : CALMOE_OK;
}

calmoe_status cm_weights_open(const struct machine *machine, const struct model_spec *spec,
                              const struct model_tensors *tensors, const struct weights_options *options,
                              struct weights **out)
{
    struct builder b = {.ctx = machine->ctx, .machine = machine, .spec = spec, .options = options};
    *out = NULL;
    b.out = cm_alloc(machine->ctx, 1, sizeof *b.out, "the weights");
    if (!b.out) return CALMOE_NO_MEMORY;
    calmoe_status status = cm_pack_list_open(machine->ctx, machine->isa, &b.list);
    if (status == CALMOE_OK) {
        cm_pack_list_number(b.list);
        cm_pack_list_share(b.list, options->sharing);
        status = build(&b, tensors);
    }
    cm_pack_list_close(&b.list);
    cm_free(b.biases);
    if (status != CALMOE_OK) cm_weights_close(&b.out);
    *out = b.out;
    return status;
}

static void close_layer(struct layer *layer)
{
    struct placed_matrix *all[] = {&layer->router, &layer->shared_gate};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) cm_placed_close(all[i]);
    cm_expert_layer_close(&layer->experts);
    if (layer->mixer.mixer) layer->mixer.mixer->drop(&layer->mixer.weights);
}

void cm_weights_close(struct weights **weights)
{
    if (!*weights) return;
    for (int i = 0; i < (*weights)->n_layers; i++) close_layer(&(*weights)->layers[i]);
    if (!(*weights)->has_others_output) cm_placed_close(&(*weights)->output);
    cm_placed_close(&(*weights)->joint);
    cm_expert_stream_close(&(*weights)->stream);
    cm_packed_weights_close(&(*weights)->packed);
    cm_free((*weights)->origins);
    cm_free((*weights)->token_scale);
    cm_free((*weights)->vectors);
    cm_free((*weights)->layers);
    cm_free(*weights);
    *weights = NULL;
}
