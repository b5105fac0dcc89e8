/* runtime/families/model_spec.c - see model_spec.h. */
#include "runtime/families/model_spec.h"

#include "base/memory.h"

void cm_model_spec_close(struct model_spec *spec)
{
    cm_free(spec->layers);
    *spec = (struct model_spec){0};
}

static void grow(int *most, int value)
{
    if (value > *most) *most = value;
}

static void measure_attention(struct layer_maxima *most, const struct attention_spec *attention)
{
    grow(&most->n_heads, attention->n_heads);
    grow(&most->n_kv_heads, attention->n_kv_heads);
    grow(&most->head_size, attention->head_size);
    grow(&most->value_size, attention->value_size);
    grow(&most->q_columns, attention->n_heads * cm_query_size(attention));
    grow(&most->gate_columns, attention->n_heads * attention->gate_size);
    grow(&most->k_columns, cm_kept_heads(attention) * attention->head_size);
    grow(&most->v_columns, cm_kept_heads(attention) * attention->value_size);
    grow(&most->attended_columns, attention->n_heads * attention->value_size);
}

static void measure_mla(struct layer_maxima *most, const struct layer_spec *layer)
{
    const struct attention_spec *attention = &layer->attention;
    const struct mla_spec       *mla = &layer->mla;
    measure_attention(most, attention);
    grow(&most->mla_inputs, attention->n_heads * (mla->plain_size + mla->rope_size));
    grow(&most->mla_values, attention->n_heads * mla->value_size);
    grow(&most->mla_q_rank, mla->q_rank);
    grow(&most->mla_plain_size, mla->plain_size);
}

static void shape_delta(const struct delta_spec *delta, struct recurrent_shape *out)
{
    const int values = cm_delta_value_columns(delta), channels = cm_delta_channels(delta), n = delta->n_value_heads;
    *out = (struct recurrent_shape){
        .n_heads = n, .key_size = delta->key_size, .value_size = delta->value_size, .n_taps = delta->n_taps,
        .n_channels = channels, .n_values = values,
        .rows = {[PRODUCT_INPUT] = channels + (delta->is_by_head ? values : 0),
                 [PRODUCT_BETA] = delta->has_pairs ? 2 * n : n, [PRODUCT_ALPHA] = delta->has_pairs ? 0 : n,
                 [PRODUCT_GATE] = delta->is_by_head ? 0 : values}};
}

static void shape_mamba2(const struct mamba2_spec *mamba2, struct recurrent_shape *out)
{
    const int values = mamba2->n_heads * mamba2->head_size;
    const int channels = values + 2 * mamba2->n_groups * mamba2->state_size;
    *out = (struct recurrent_shape){
        .n_heads = mamba2->n_heads, .key_size = mamba2->state_size, .value_size = mamba2->head_size,
        .n_taps = mamba2->n_taps, .n_channels = channels, .n_values = values,
        .rows = {[PRODUCT_INPUT] = channels + mamba2->n_heads, [PRODUCT_GATE] = values}};
}

static void shape_shortconv(const struct shortconv_spec *shortconv, struct recurrent_shape *out)
{
    const int n = shortconv->n_channels;
    *out = (struct recurrent_shape){
        .n_taps = shortconv->n_taps, .n_channels = n, .n_values = n,
        .rows = {[PRODUCT_INPUT] = n, [PRODUCT_FACTOR] = n, [PRODUCT_GATE] = n}};
}

struct recurrent_shape cm_recurrent_shape(const struct layer_spec *layer)
{
    struct recurrent_shape shape = {0};
    if (layer->mixer == MIXER_DELTA_NET) shape_delta(&layer->delta, &shape);
    if (layer->mixer == MIXER_MAMBA2) shape_mamba2(&layer->mamba2, &shape);
    if (layer->mixer == MIXER_SHORTCONV) shape_shortconv(&layer->shortconv, &shape);
    return shape;
}

static void measure_recurrent(struct layer_maxima *most, const struct layer_spec *layer)
{
    const struct recurrent_shape shape = cm_recurrent_shape(layer);
    int n = 2 * shape.n_values;
    for (int product = 0; product < N_PRODUCTS; product++) n += shape.rows[product];
    grow(&most->recurrent_floats, n);
}

void cm_model_spec_measure(struct model_spec *spec)
{
    struct layer_maxima *most = &spec->most;
    *most = (struct layer_maxima){.n_experts = 1, .n_used = 1};
    for (int i = 0; i < spec->n_layers; i++) {
        const struct ffn_spec *ffn = &spec->layers[i].ffn;
        measure_recurrent(most, &spec->layers[i]);
        if (spec->layers[i].mixer == MIXER_MLA) measure_mla(most, &spec->layers[i]);
        if (spec->layers[i].mixer == MIXER_ATTENTION) measure_attention(most, &spec->layers[i].attention);
        grow(&most->n_experts, ffn->router.n_experts);
        grow(&most->n_used, ffn->router.n_used);
        for (int bank = 0; bank < N_BANKS; bank++) grow(&most->width[bank], ffn->branches[bank].width);
    }
}

int cm_dense_layers(const struct model_spec *spec)
{
    int n = 0;
    for (int i = 0; i < spec->n_layers; i++) n += cm_is_dense(&spec->layers[i].ffn);
    return n;
}

int cm_routed_layers(const struct model_spec *spec)
{
    int n = 0;
    for (int i = 0; i < spec->n_layers; i++) n += cm_is_routed(&spec->layers[i].ffn);
    return n;
}

const struct router_spec *cm_first_router(const struct model_spec *spec)
{
    for (int i = 0; i < spec->n_layers; i++)
        if (cm_is_routed(&spec->layers[i].ffn)) return &spec->layers[i].ffn.router;
    return &spec->layers[0].ffn.router;
}

int cm_experts_of_token(const struct model_spec *spec)
{
    int n = 0;
    for (int i = 0; i < spec->n_layers; i++) n += spec->layers[i].ffn.router.n_used;
    return n;
}
