/* runtime/families/rope_reader.c - how a model tells positions: metadata to rope_spec, or to slopes on scores. */
#include <string.h>

#include "kernels/elementary.h"
#include "runtime/families/spec_parts.h"

const char *const cm_rope_scaling_names[ROPE_SCALING_COUNT] = {
    [ROPE_SCALING_NONE] = "none", [ROPE_SCALING_LINEAR] = "linear", [ROPE_SCALING_YARN] = "yarn"};

/* A file that names a way of scaling has lost what it scales by. */
static calmoe_status need_factor(struct keys *keys)
{
    if (cm_key_exists(keys, "rope.scale_linear") || cm_key_exists(keys, "rope.scaling.factor")) return CALMOE_OK;
    return cm_fail(keys->ctx, CALMOE_BAD_FILE, "'%s': key '%.80s' is missing; rope.scaling.type asks for it",
                   keys->file->name, keys->key);
}

static bool has_long_factors(const struct keys *keys)
{
    return cm_file_tensor(keys->file, ROPE_LONG_FACTORS) ||
           cm_file_tensor(keys->file, ROPE_SHORT_FACTORS);
}

/* Leaves *out where the file does not say it. */
static calmoe_status read_type(struct keys *keys, enum rope_scaling *out)
{
    struct meta_string type = {0};
    CM_TRY(cm_key_string(keys, "rope.scaling.type", &type));
    if (!type.bytes) return CALMOE_OK;
    for (int i = 0; i < ROPE_SCALING_COUNT; i++) {
        const size_t n = strlen(cm_rope_scaling_names[i]);
        if (type.n_bytes != n || memcmp(type.bytes, cm_rope_scaling_names[i], n) != 0) continue;
        *out = (enum rope_scaling)i;
        return i == ROPE_SCALING_NONE ? CALMOE_OK : need_factor(keys);
    }
    /* LongRoPE: two sets of factors, and nothing else. */
    if (type.n_bytes == 8 && memcmp(type.bytes, "longrope", 8) == 0 && has_long_factors(keys)) return CALMOE_OK;
    return cm_fail(keys->ctx, CALMOE_UNSUPPORTED,
                   "rope.scaling.type is '%.*s'; none, linear and yarn are supported",
                   (int)(type.n_bytes < 40 ? type.n_bytes : 40), type.bytes);
}

/* Converters write the whole factor on sines and cosines, which is 1 + 0.1 ln(factor) where a model has none of its
 * own. 1 is what others write who mean a factor beside that one, and means nothing. */
static calmoe_status read_own_magnitude(struct keys *keys, struct rope_spec *rope)
{
    float whole = 1.0f;
    if (rope->scaling != ROPE_SCALING_YARN || rope->factor <= 1.0f) return CALMOE_OK;
    CM_TRY(cm_key_float(keys, "rope.scaling.yarn_attn_factor", 0.0, 1e3, &whole));
    if (whole == 1.0f || whole == 0.0f) return CALMOE_OK;
    rope->magnitude *= (float)((double)whole / (1.0 + 0.1 * cm_ln(rope->factor)));
    return CALMOE_OK;
}

static calmoe_status read_scaling(struct keys *keys, int context_length, struct rope_spec *rope)
{
    rope->factor = rope->magnitude = 1.0f;
    rope->beta_fast = 32.0f;
    rope->beta_slow = 1.0f;
    rope->has_whole_bounds = true;
    rope->original_context = context_length;
    CM_TRY(cm_key_float(keys, "rope.scale_linear", 0.0, 1e6, &rope->factor)); /* of old files */
    CM_TRY(cm_key_float(keys, "rope.scaling.factor", 0.0, 1e6, &rope->factor));
    CM_TRY(cm_key_float(keys, "rope.scaling.attn_factor", 0.0, 1e3, &rope->magnitude));
    CM_TRY(cm_key_float(keys, "rope.scaling.yarn_beta_fast", 0.0, 1e6, &rope->beta_fast));
    CM_TRY(cm_key_float(keys, "rope.scaling.yarn_beta_slow", 0.0, 1e6, &rope->beta_slow));
    CM_TRY(cm_key_int(keys, "rope.scaling.original_context_length", 0, MAX_CONTEXT, &rope->original_context));
    if (rope->factor == 0.0f) rope->factor = 1.0f;
    if (rope->magnitude == 0.0f) rope->magnitude = 1.0f;
    if (rope->original_context < 1) rope->original_context = context_length;
    /* A factor alone means linear scaling, as it did before files named the type. */
    rope->scaling = rope->factor != 1.0f ? ROPE_SCALING_LINEAR : ROPE_SCALING_NONE;
    CM_TRY(read_type(keys, &rope->scaling));
    return read_own_magnitude(keys, rope);
}

/* Elements of a head that rotation may turn, in the first layer that sees a window, or in the first that sees all
 * positions; 0 = there is none. */
static int head_size_of(const struct model_spec *spec, bool has_window)
{
    for (int layer = 0; layer < spec->n_layers; layer++) {
        const struct layer_spec *of = &spec->layers[layer];
        if (of->mixer == MIXER_MLA && !has_window) return of->mla.rope_size;
        if (of->mixer == MIXER_ATTENTION && (of->attention.window > 0) == has_window) return of->attention.head_size;
    }
    return 0;
}

static calmoe_status check_rotated(struct keys *keys, int n_rot, int head_size)
{
    if (n_rot >= 2 && n_rot <= head_size && n_rot % 2 == 0) return CALMOE_OK;
    return cm_fail(keys->ctx, CALMOE_BAD_FILE, "%s is %d; an even number from 2 to the head size %d is wanted",
                   keys->key, n_rot, head_size);
}

/* Layers that see a window may turn by another base; whether all else of their rotation is the same, the family
 * knows. */
static calmoe_status read_window_rope(struct keys *keys, const struct family *family, struct model_spec *spec)
{
    struct rope_spec rope = spec->ropes[0];
    const int head_size = head_size_of(spec, true);
    if (head_size == 0) return CALMOE_OK;
    if (family->window_base > 0.0f) {
        if (head_size != head_size_of(spec, false)) rope.n_rot = head_size;
        rope.base = family->window_base;
        rope.scaling = ROPE_SCALING_NONE;
        rope.factor = rope.magnitude = 1.0f;
        rope.has_factors = false;
    }
    CM_TRY(cm_key_float(keys, "rope.freq_base_swa", 1.0, 1e12, &rope.base));
    CM_TRY(cm_key_int(keys, "rope.dimension_count_swa", 0, MAX_HEAD_SIZE, &rope.n_rot));
    CM_TRY(check_rotated(keys, rope.n_rot, head_size));
    if (rope.base == spec->ropes[0].base && family->window_base == 0.0f) return CALMOE_OK;
    spec->ropes[1] = rope;
    spec->n_ropes = 2;
    for (int layer = 0; layer < spec->n_layers; layer++)
        spec->layers[layer].attention.rope = spec->layers[layer].attention.window > 0;
    return CALMOE_OK;
}

/* LongRoPE. The whole model rotates as its context asks, so that a position's angles do not depend on how long a text
 * is. */
static calmoe_status choose_factors(struct keys *keys, struct model_spec *spec)
{
    static const char *const needed[] = {"context_length", "rope.scaling.original_context_length",
                                         "rope.scaling.attn_factor"};
    struct rope_spec *rope = &spec->ropes[0];
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) CM_TRY(cm_key_need(keys, needed[i]));
    rope->factors = spec->context_length > rope->original_context ? ROPE_LONG_FACTORS
                                                                  : ROPE_SHORT_FACTORS;
    return CALMOE_OK;
}

calmoe_status cm_read_rope(struct keys *keys, const struct family *family, struct model_spec *spec)
{
    const int head_size = head_size_of(spec, false) > 0 ? head_size_of(spec, false) : head_size_of(spec, true);
    struct rope_spec *rope = &spec->ropes[0];
    spec->n_ropes = 1;
    *rope = (struct rope_spec){.is_on = true, .pairing = family->pairing, .n_rot = head_size, .base = 10000.0f,
                               .has_factors = true, .factors = ROPE_FACTORS};
    CM_TRY(cm_key_float(keys, "rope.freq_base", 1.0, 1e12, &rope->base));
    CM_TRY(cm_key_int(keys, "rope.dimension_count", 0, MAX_HEAD_SIZE, &rope->n_rot));
    CM_TRY(check_rotated(keys, rope->n_rot, head_size));
    CM_TRY(read_scaling(keys, spec->context_length, rope));
    if (has_long_factors(keys)) CM_TRY(choose_factors(keys, spec));
    return read_window_rope(keys, family, spec);
}

calmoe_status cm_read_alibi(struct keys *keys, float usual, float least, struct model_spec *spec)
{
    float max_bias = usual;
    CM_TRY(cm_key_float(keys, "attention.max_alibi_bias", (double)least, 1e3, &max_bias));
    for (int i = 0; i < spec->n_layers; i++) spec->layers[i].attention.max_bias = max_bias;
    if (max_bias > 0.0f) spec->ropes[0].is_on = false;
    return CALMOE_OK;
}

int cm_add_no_rope(struct model_spec *spec)
{
    spec->ropes[spec->n_ropes] = (struct rope_spec){.is_on = false};
    return spec->n_ropes++;
}

void cm_rotate_in_windows_only(struct model_spec *spec)
{
    const int none = cm_add_no_rope(spec);
    for (int i = 0; i < spec->n_layers; i++)
        if (spec->layers[i].attention.window == 0) spec->layers[i].attention.rope = none;
}
