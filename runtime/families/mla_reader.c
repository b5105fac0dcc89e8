/* runtime/families/mla_reader.c - the numbers of latent attention. */
#include <math.h>
#include <stdio.h>

#include "runtime/families/spec_parts.h"

static int size_of(const struct keys *keys, int layer, const char *role, int dimension)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%d.%s", keys->first_block + layer, role);
    return cm_size_of_tensor(keys->file, name, dimension);
}

/* Workers take queries of a position in such groups: of 16 heads at most, which read a latent together, but four groups
 * or more where there are so many heads. */
static int groups_of(int n_heads)
{
    int size = 16;
    while (n_heads % size != 0 || (size > 1 && n_heads / size < 4)) size--;
    return n_heads / size;
}

static calmoe_status read_heads(struct keys *keys, const struct model_spec *spec, int *out)
{
    int n_heads[MAX_LAYERS] = {0};
    CM_TRY(cm_key_need(keys, "attention.head_count"));
    CM_TRY(cm_key_layer_ints(keys, "attention.head_count", 1, MAX_HEADS, spec->n_layers, n_heads));
    for (int layer = 1; layer < spec->n_layers; layer++)
        if (n_heads[layer] != n_heads[0])
            return cm_fail(keys->ctx, CALMOE_UNSUPPORTED, "%s is %d in layer %d and %d in the first; latent attention "
                           "runs with as many heads in all layers", keys->key, n_heads[layer], layer, n_heads[0]);
    *out = n_heads[0];
    return CALMOE_OK;
}

/* Sizes of a head. Files whose key and value matrices are apart have them under names of their own, and the usual names
 * for what a cache keeps. */
static calmoe_status read_sizes(struct keys *keys, const struct attention_spec *attention, bool is_joint,
                                struct mla_spec *out)
{
    int key_size, kept_key = attention->head_size, kept_value = attention->value_size;
    CM_TRY(cm_key_need_int(keys, is_joint ? "attention.value_length" : "attention.value_length_mla", 1, MAX_HEAD_SIZE,
                           &out->value_size));
    CM_TRY(cm_key_need_int(keys, is_joint ? "attention.key_length" : "attention.key_length_mla", 2, MAX_HEAD_SIZE,
                           &key_size));
    out->plain_size = key_size - out->rope_size;
    if (out->plain_size < 1)
        return cm_fail(keys->ctx, CALMOE_BAD_FILE, "%s is %d; more than the %d dimensions that are rotated are wanted",
                       keys->key, key_size, out->rope_size);
    if (is_joint) return CALMOE_OK;
    CM_TRY(cm_key_int(keys, "attention.key_length", kept_key, kept_key, &kept_key));
    return cm_key_int(keys, "attention.value_length", kept_value, kept_value, &kept_value);
}

static calmoe_status read_numbers(struct keys *keys, const struct model_spec *spec, struct attention_spec *attention,
                                  struct mla_spec *mla)
{
    int latent = 0, key_length = 0;
    *attention = (struct attention_spec){.has_latents = true};
    CM_TRY(read_heads(keys, spec, &attention->n_heads));
    attention->n_kv_heads = groups_of(attention->n_heads);
    CM_TRY(cm_key_need_int(keys, "rope.dimension_count", 2, MAX_HEAD_SIZE / 2, &mla->rope_size));
    CM_TRY(cm_key_need_int(keys, "attention.kv_lora_rank", 1, MAX_HEAD_SIZE / 2, &latent));
    attention->value_size = latent;
    attention->head_size = latent + mla->rope_size;
    mla->is_joint = size_of(keys, 0, "attn_k_b.weight", 0) == 0 && size_of(keys, 0, "attn_v_b.weight", 0) == 0;
    CM_TRY(read_sizes(keys, attention, mla->is_joint, mla));
    key_length = mla->plain_size + mla->rope_size;
    attention->scale = 1.0f / sqrtf((float)key_length);
    return CALMOE_OK;
}

/* The first of them that is there tells; which ones are missing is seen when tensors are looked for. */
static calmoe_status read_rank(struct keys *keys, int layer, int *out)
{
    int told = 0;
    *out = size_of(keys, layer, "attn_q_a.weight", 1);
    if (*out == 0) *out = size_of(keys, layer, "attn_q_b.weight", 0);
    if (*out == 0) *out = size_of(keys, layer, "attn_q_a_norm.weight", 0);
    CM_TRY(cm_key_int(keys, "attention.q_lora_rank", 0, MAX_DIM, &told));
    if (told == 0 || told == *out) return CALMOE_OK;
    return cm_fail(keys->ctx, CALMOE_BAD_FILE, "%s is %d; the tensors of layer %d have %d (0: no such tensors)",
                   keys->key, told, layer, *out);
}

calmoe_status cm_read_mla_layers(struct keys *keys, const struct family *family, struct model_spec *spec)
{
    struct attention_spec attention;
    struct mla_spec       mla = {0};
    if (!(family->needs & NEEDS_LATENTS)) return CALMOE_OK;
    CM_TRY(read_numbers(keys, spec, &attention, &mla));
    for (int layer = 0; layer < spec->n_layers; layer++) {
        struct layer_spec *out = &spec->layers[layer];
        out->mixer = MIXER_MLA;
        out->attention = attention;
        out->mla = mla;
        CM_TRY(read_rank(keys, layer, &out->mla.q_rank));
    }
    return CALMOE_OK;
}
