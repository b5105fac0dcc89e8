/* runtime/families/spec_reader.c - metadata to model_spec: which family, and what is the same for the whole model. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/families/spec_parts.h"

/* Features by which layers have other tensors than the family's have: they are named before such a tensor is missed. */
static calmoe_status check_features(struct keys *keys, const struct family *family)
{
    static const char *const names[] = {"attention.shared_kv_layers", "embedding_length_per_layer_input"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int n = 0;
        CM_TRY(cm_key_int(keys, names[i], 0, 1 << 20, &n));
        if (n > 0)
            return cm_fail(keys->ctx, CALMOE_UNSUPPORTED, "%s is %d; models of the family %s run without it (0)",
                           keys->key, n, family->name);
    }
    return CALMOE_OK;
}

/* Some files hold the further block alone: other programs draft with it beside the model's file. */
static calmoe_status check_has_layers(struct keys *keys, int n_layers)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%d.nextn.eh_proj.weight", n_layers);
    if (!cm_file_tensor(keys->file, name)) return CALMOE_OK;
    for (uint64_t i = 0; i < keys->file->n_tensors; i++)
        if (strncmp(keys->file->tensors[i].name, "blk.0.", strlen("blk.0.")) == 0) return CALMOE_OK;
    return cm_fail(keys->ctx, CALMOE_UNSUPPORTED,
                   "'%s' holds only the block that predicts a further token (%s), and none of the model's %d layers; a "
                   "file with both is wanted", keys->file->name, name, n_layers);
}

static calmoe_status read_sizes(struct keys *keys, struct model_spec *spec)
{
    CM_TRY(cm_key_need_int(keys, "block_count", 1, MAX_LAYERS, &spec->n_layers));
    int n_extra = 0; /* blocks at the end that predict further tokens; plain decoding does not run them */
    CM_TRY(cm_key_int(keys, "nextn_predict_layers", 0, MAX_LAYERS, &n_extra));
    if (n_extra >= spec->n_layers)
        return cm_fail(keys->ctx, CALMOE_BAD_FILE, "%s is %d of %d blocks; no block is left", keys->key, n_extra,
                       spec->n_layers);
    spec->n_blocks = spec->n_layers;
    spec->n_layers -= n_extra;
    if (n_extra > 0) CM_TRY(check_has_layers(keys, spec->n_layers));
    CM_TRY(cm_key_need_int(keys, "embedding_length", 1, MAX_DIM, &spec->dim));
    spec->context_length = 2048;
    CM_TRY(cm_key_int(keys, "context_length", 0, MAX_CONTEXT, &spec->context_length));
    if (spec->context_length < 1) spec->context_length = 2048;
    spec->n_vocab = cm_size_of_tensor(keys->file, "token_embd.weight", 1);
    if (spec->n_vocab < 1 || spec->n_vocab > MAX_VOCAB)
        return cm_fail(keys->ctx, CALMOE_BAD_FILE,
                       "tensor 'token_embd.weight' is missing or has no rows of tokens (1 to %d are wanted)",
                       MAX_VOCAB);
    return CALMOE_OK;
}

static calmoe_status read_scales(struct keys *keys, const struct family *family, struct model_spec *spec)
{
    spec->embedding_scale = family->scales_embedding ? sqrtf((float)spec->dim) : 1.0f;
    spec->logit_divisor = 1.0f;
    spec->centres_norms = family->centres_norms;
    static const char plain_eps[] = "attention.layer_norm_epsilon", rms_eps[] = "attention.layer_norm_rms_epsilon";
    const bool takes_plain = cm_key_exists(keys, plain_eps) && (family->centres_norms || !cm_key_exists(keys, rms_eps));
    CM_TRY(cm_key_need_float(keys, takes_plain ? plain_eps : rms_eps, 0.0, 1.0, &spec->norm_eps));
    CM_TRY(cm_key_float(keys, "embedding_scale", -1e6, 1e6, &spec->embedding_scale));
    CM_TRY(cm_key_float(keys, "logit_scale", 0.0, 1e6, &spec->logit_divisor));
    CM_TRY(cm_key_float(keys, "final_logit_softcapping", 0.0, 1e6, &spec->logit_soft_cap));
    /* Writers put 0 where a model has no such factor. */
    if (spec->embedding_scale == 0.0f) spec->embedding_scale = 1.0f;
    if (spec->logit_divisor == 0.0f) spec->logit_divisor = 1.0f;
    return CALMOE_OK;
}

static calmoe_status unknown_family(struct calmoe_context *ctx, const char *architecture,
                                    const struct meta_string *name, int n_experts)
{
    const struct family *family;
    const char *not_run = cm_family_not_run(architecture);
    char known[CM_MESSAGE_BYTES - 192] = ""; /* the rest of the sentence is shorter */
    for (int i = 0; (family = cm_family_at(i)) != NULL; i++) {
        const size_t length = strlen(known);
        snprintf(known + length, sizeof known - length, "%s%s", i ? ", " : "", family->name);
    }
    if (not_run)
        return cm_fail(ctx, CALMOE_UNSUPPORTED,
                       "general.architecture is '%s': models of the family %s are not run yet; families that run: %s",
                       architecture, not_run, known);
    return cm_fail(ctx, CALMOE_UNSUPPORTED,
                   "general.architecture is '%.*s' with %d experts; families that run: %s",
                   (int)(name->n_bytes < 40 ? name->n_bytes : 40), name->bytes, n_experts, known);
}

/* What is said of experts without saying how many there are would else be a dense model. */
static calmoe_status check_no_experts(struct keys *keys)
{
    int n_used = 0, n_experts;
    if (cm_key_exists(keys, "expert_count")) return CALMOE_OK;
    CM_TRY(cm_key_int(keys, "expert_used_count", 0, 1 << 20, &n_used));
    return n_used > 0 ? cm_key_need_int(keys, "expert_count", 1, 1 << 20, &n_experts) : CALMOE_OK;
}

static calmoe_status find_family(struct keys *keys, const struct meta_string *name, const struct family **out)
{
    int n_experts = 0;
    if (keys->architecture[0] != '\0') CM_TRY(cm_key_int(keys, "expert_count", 0, 1 << 20, &n_experts));
    if (cm_family_of(keys->architecture, true)) CM_TRY(check_no_experts(keys));
    *out = cm_family_of(keys->architecture, n_experts > 0);
    return *out ? CALMOE_OK : unknown_family(keys->ctx, keys->architecture, name, n_experts);
}

static calmoe_status need_key(struct keys *keys, const struct family *family, const char *name)
{
    if (cm_key_exists(keys, name)) return CALMOE_OK;
    return cm_fail(keys->ctx, CALMOE_BAD_FILE, "'%s': key '%.80s' is missing; the family %s needs it",
                   keys->file->name, keys->key, family->name);
}

static calmoe_status check_needs(struct keys *keys, const struct family *family)
{
    static const struct {
        unsigned    need;
        const char *tensor;
    } tensors[] = {{NEEDS_OUTPUT, "output.weight"}, {NEEDS_ROPE_FACTORS, "rope_freqs.weight"},
                   {NEEDS_LOGIT_BIASES, "output.bias"}};
    for (const char *const *key = family->keys; key && *key; key++) CM_TRY(need_key(keys, family, *key));
    if (family->needs & NEEDS_ROPE_BASE) CM_TRY(need_key(keys, family, "rope.freq_base"));
    if (family->needs & NEEDS_ROTATED) CM_TRY(need_key(keys, family, "rope.dimension_count"));
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++)
        if ((family->needs & tensors[i].need) && !cm_file_tensor(keys->file, tensors[i].tensor))
            return cm_fail(keys->ctx, CALMOE_BAD_FILE, "tensor '%s' is missing; the family %s needs it",
                           tensors[i].tensor, family->name);
    return CALMOE_OK;
}

static calmoe_status read_spec(struct keys *keys, const struct meta_string *name, struct model_spec *out)
{
    const struct family *family = NULL;
    CM_TRY(find_family(keys, name, &family));
    out->family = family->name;
    CM_TRY(check_features(keys, family));
    CM_TRY(check_needs(keys, family));
    CM_TRY(read_sizes(keys, out));
    CM_TRY(read_scales(keys, family, out));
    out->layers = cm_alloc(keys->ctx, (size_t)out->n_layers, sizeof *out->layers, "the layers' records");
    if (!out->layers) return CALMOE_NO_MEMORY;
    CM_TRY(cm_read_layers(keys, family, out));
    CM_TRY(cm_read_rope(keys, family, out));
    if (family->adjust) CM_TRY(family->adjust(keys, out));
    cm_model_spec_measure(out);
    return cm_keys_check_rest(keys, family->name);
}

/* The layer of a further block, and what is the model's. */
static calmoe_status read_further(struct keys *keys, const struct model_spec *of, struct model_spec *out)
{
    const struct family *family = cm_family_of(keys->architecture, of->most.width[BANK_ROUTED] > 0);
    char name[64];
    snprintf(name, sizeof name, "blk.%d.nextn.eh_proj.weight", of->n_layers);
    if (of->n_blocks == of->n_layers || !family || family->norms == NORMS_OF_ONE_HALF ||
        !cm_file_tensor(keys->file, name))
        return CALMOE_OK;
    *out = (struct model_spec){.family = of->family, .n_layers = 1, .n_blocks = of->n_blocks,
                               .first_block = of->n_layers, .hands_on_plain = family->hands_on_plain, .dim = of->dim,
                               .n_vocab = of->n_vocab, .context_length = of->context_length};
    keys->first_block = of->n_layers;
    CM_TRY(read_scales(keys, family, out));
    out->layers = cm_alloc(keys->ctx, 1, sizeof *out->layers, "the layers' records");
    if (!out->layers) return CALMOE_NO_MEMORY;
    CM_TRY(cm_read_layers(keys, family, out));
    CM_TRY(cm_read_rope(keys, family, out));
    if (family->adjust) CM_TRY(family->adjust(keys, out));
    cm_model_spec_measure(out);
    return CALMOE_OK;
}

calmoe_status cm_read_further_spec(struct calmoe_context *ctx, const struct model_file *file,
                                   const struct model_spec *of, struct model_spec *out)
{
    struct keys        keys;
    struct meta_string name = {0};
    *out = (struct model_spec){0};
    calmoe_status status = cm_keys_open(ctx, file, &keys, &name);
    if (status == CALMOE_OK) status = read_further(&keys, of, out);
    cm_keys_close(&keys);
    if (status != CALMOE_OK) cm_model_spec_close(out);
    return status;
}

calmoe_status cm_read_model_spec(struct calmoe_context *ctx, const struct model_file *file,
                                 struct model_spec *out)
{
    struct keys        keys;
    struct meta_string name = {0};
    *out = (struct model_spec){0};
    calmoe_status status = cm_keys_open(ctx, file, &keys, &name);
    if (status == CALMOE_OK) status = read_spec(&keys, &name, out);
    cm_keys_close(&keys);
    if (status != CALMOE_OK) cm_model_spec_close(out);
    return status;
}
