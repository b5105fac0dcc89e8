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
    grow(&most->k_columns, attention->n_kv_heads * attention->head_size);
    grow(&most->v_columns, attention->n_kv_heads * attention->value_size);
    grow(&most->attended_columns, attention->n_heads * attention->value_size);
}

static void measure_delta(struct layer_maxima *most, const struct delta_spec *delta)
{
    const int values = cm_delta_value_columns(delta);
    grow(&most->delta_columns, cm_delta_channels(delta) + (delta->is_by_head ? values : 0));
    grow(&most->delta_values, values);
    grow(&most->delta_heads, delta->n_value_heads);
}

void cm_model_spec_measure(struct model_spec *spec)
{
    struct layer_maxima *most = &spec->most;
    *most = (struct layer_maxima){.n_experts = 1, .n_used = 1};
    for (int i = 0; i < spec->n_layers; i++) {
        const struct ffn_spec *ffn = &spec->layers[i].ffn;
        if (spec->layers[i].mixer == MIXER_DELTA_NET) measure_delta(most, &spec->layers[i].delta);
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

const struct router_spec *cm_first_router(const struct model_spec *spec)
{
    for (int i = 0; i < spec->n_layers; i++)
        if (!cm_is_dense(&spec->layers[i].ffn)) return &spec->layers[i].ffn.router;
    return &spec->layers[0].ffn.router;
}

int cm_experts_of_token(const struct model_spec *spec)
{
    int n = 0;
    for (int i = 0; i < spec->n_layers; i++) n += spec->layers[i].ffn.router.n_used;
    return n;
}
