/* runtime/mixers/attention_weights.c - an attention layer's tensors as it runs them: matrices packed where the plan
 * keeps their heads, vectors in float32. */
#include "base/memory.h"
#include "kernels/elementary.h"
#include "runtime/mixers/attention.h"

static size_t elements_of(const struct file_tensor *tensor)
{
    return tensor ? (size_t)tensor->shape[0] * (size_t)tensor->shape[1] : 0;
}

/* Each vector and where it comes from. */
struct vector {
    float                  **to;
    const struct file_tensor *from;
};

/* Slopes of ALiBi. Of n heads, p being the largest power of two up to n, the first p have those of p heads; the others
 * have every other one of those of 2 p heads. */
static void set_slopes(const struct attention_spec *spec, float *slopes)
{
    int power = 1;
    while (2 * power <= spec->n_heads) power *= 2;
    for (int head = 0; head < spec->n_heads; head++) {
        const int    exponent = head < power ? head + 1 : 2 * (head - power) + 1;
        const double of_power = (double)spec->max_bias / (head < power ? power : 2 * power);
        slopes[head] = (float)cm_exp(-exponent * of_power * cm_ln(2.0));
    }
}

static calmoe_status read_vectors(struct calmoe_context *ctx, const struct attention_spec *spec,
                                  const struct layer_tensors *t, struct attention_weights *out)
{
    float *bias; /* of the norm: it stands behind the norm's weights */
    const struct vector all[] = {
        {&out->norm, t->attention_norm}, {&bias, t->attention_norm_bias},
        {&out->q_norm, t->q_norm},       {&out->k_norm, t->k_norm},
        {&out->q_bias, t->q_bias},       {&out->k_bias, t->k_bias}, {&out->v_bias, t->v_bias},
        {&out->o_bias, t->o_bias},       {&out->sinks, t->sinks},   {&out->q_bias, t->qkv_bias},
        {&out->after_norm, t->after_attention_norm},
    };
    const size_t n_vectors = sizeof all / sizeof *all;
    const size_t n_slopes = spec->max_bias > 0.0f ? (size_t)spec->n_heads : 0;
    size_t n = n_slopes;
    for (size_t i = 0; i < n_vectors; i++) n += elements_of(all[i].from);
    float *at = out->vectors = cm_alloc(ctx, n, sizeof *at, "norms and biases");
    if (!at) return CALMOE_NO_MEMORY;
    for (size_t i = 0; i < n_vectors; i++) {
        const size_t n_elements = elements_of(all[i].from);
        if (n_elements == 0) continue;
        const struct weight_type_row *type = &cm_weight_types[all[i].from->type];
        type->dequantize(all[i].from->bytes, at, n_elements / (size_t)type->n_elements);
        *all[i].to = at;
        at += n_elements;
    }
    if (n_slopes > 0) set_slopes(spec, out->slopes = at);
    if (t->qkv_bias) {
        out->k_bias = out->q_bias + t->q.n_rows;
        out->v_bias = out->k_bias + t->k.n_rows;
    }
    return CALMOE_OK;
}

/* The rows that belong to each kv head of the layer, on the node that keeps the head. */
static calmoe_status add_heads(const struct mixer_place *place, struct pack_list *list,
                               const struct weight_source *source, int n_kv_heads, struct placed_matrix *out)
{
    const struct plan *plan = place->machine->plan;
    const int          n_rows = source->n_rows / n_kv_heads;
    int32_t            rows[CM_MAX_NODES];
    const int first = cm_own_heads(plan, n_kv_heads, rows);
    for (int node = 0; node < plan->n_nodes; node++) rows[node] *= n_rows;
    return cm_placed_rows_open(place->machine->ctx, list, source, first * n_rows, rows, plan->n_nodes, out);
}

static calmoe_status pack(const struct mixer_place *place, struct pack_list *list, const struct attention_spec *spec,
                          const struct layer_tensors *t, struct attention_weights *out)
{
    CM_TRY(read_vectors(place->machine->ctx, spec, t, out));
    CM_TRY(add_heads(place, list, &t->q, spec->n_kv_heads, &out->q));
    CM_TRY(add_heads(place, list, &t->k, spec->n_kv_heads, &out->k));
    if (!spec->keys_are_values) CM_TRY(add_heads(place, list, &t->v, spec->n_kv_heads, &out->v));
    if (spec->gate_size > 0) CM_TRY(add_heads(place, list, &t->gate, spec->n_kv_heads, &out->gate));
    CM_TRY(cm_placed_shares_open(place->machine->ctx, list, &t->o, place->machine->plan, &out->o));
    out->input_kinds = cm_placed_kind(&out->q) | cm_placed_kind(&out->k) | cm_placed_kind(&out->v) |
                       cm_placed_kind(&out->gate);
    out->o_kinds = cm_placed_kind(&out->o);
    return CALMOE_OK;
}

calmoe_status cm_attention_pack(const struct mixer_place *place, struct pack_list *list, int layer,
                                const struct layer_tensors *tensors, void **weights)
{
    struct attention_weights *out = *weights = cm_alloc(place->machine->ctx, 1, sizeof *out, "a layer");
    return out ? pack(place, list, &place->spec->layers[layer].attention, tensors, out) : CALMOE_NO_MEMORY;
}

void cm_attention_drop(void **weights)
{
    struct attention_weights *w = *weights;
    if (!w) return;
    struct placed_matrix *all[] = {&w->q, &w->k, &w->v, &w->gate, &w->o};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) cm_placed_close(all[i]);
    cm_free(w->vectors);
    cm_free(w);
    *weights = NULL;
}
