/* synthetic_plan.c - see synthetic_plan.h. */
#include "runtime/make/synthetic_plan.h"

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <calmoe/synthetic.h>

#include "base/memory.h"
#include "base/options.h"
#include "router/router.h"
#include "runtime/families/model_tensors.h"
#include "runtime/make/filler_vocabulary.h"

enum { TENSORS_OF_LAYER = 32, TENSORS_OF_MODEL = 4, NAME_BYTES = 256 };

void calmoe_synthetic_options_init(calmoe_synthetic_options *options)
{
    if (options)
        *options = (calmoe_synthetic_options){.size = sizeof *options, .type = "q8_0", .seed = 1,
                                              .context_length = 4096, .rope_base = 10000.0f, .norm_eps = 1e-6f};
}

/* The same limits as the reader has: what is written can be read. */
static const struct limit {
    const char *name;
    size_t      offset;
    int         min, max;
} limits[] = {
#define LIMIT(member, min, max) {#member, offsetof(calmoe_synthetic_options, member), min, max}
    LIMIT(n_layers, 1, 1024),      LIMIT(width, 1, 1 << 17),
    LIMIT(n_heads, 1, 1024),       LIMIT(n_kv_heads, 1, 1024),
    LIMIT(head_size, 2, 1024),     LIMIT(n_experts, 0, ROUTER_MAX_EXPERTS),
    LIMIT(expert_width, 1, 1 << 17), LIMIT(shared_width, 0, 1 << 17),
    LIMIT(shared_gate, 0, 1),      LIMIT(n_vocab, FILLER_MIN_TOKENS, FILLER_MAX_TOKENS),
    LIMIT(context_length, 1, 1 << 24), LIMIT(head_norms, CALMOE_NORM_NONE, CALMOE_NORM_WHOLE),
    LIMIT(qkv_biases, 0, 1),       LIMIT(tied, 0, 1),
    LIMIT(rotated, 0, 1024),       LIMIT(attention_interval, 0, 1024),
    LIMIT(n_threads, 0, 4096),     LIMIT(window, 0, 1 << 24),
    LIMIT(latent, 0, 512),         LIMIT(q_rank, 0, 1 << 17),
    LIMIT(value_size, 0, 1024),    LIMIT(dense_layers, 0, 1024),
    LIMIT(dense_width, 0, 1 << 17), LIMIT(window_head_size, 0, 1024),
    LIMIT(window_kv_heads, 0, 1024), LIMIT(keys_are_values, 0, 1),
    LIMIT(dense_part, 0, 1 << 17), LIMIT(state_size, 0, 1024),
#undef LIMIT
};

static calmoe_status check_int(struct calmoe_context *ctx, const char *name, int value, int min, int max)
{
    if (value >= min && value <= max) return CALMOE_OK;
    return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "%s is %d; %d to %d is wanted", name, value, min, max);
}

static calmoe_status check_real(struct calmoe_context *ctx, const char *name, float value, double min, double max)
{
    if ((double)value >= min && (double)value <= max) return CALMOE_OK; /* so no NaN */
    return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "%s is %g; %g to %g is wanted", name, (double)value, min, max);
}

static bool is_one_half(const struct synthetic_plan *plan)
{
    return plan->family && plan->family->norms == NORMS_OF_ONE_HALF;
}

char cm_synthetic_kind(const calmoe_synthetic_options *options, int layer)
{
    if (options->kinds) return options->kinds[(size_t)layer % strlen(options->kinds)];
    return options->attention_interval == 0 || (layer + 1) % options->attention_interval == 0 ? 'a' : 'r';
}

bool cm_synthetic_lists_kinds(const struct synthetic_plan *plan)
{
    return plan->family &&
           (plan->family->recurrent == RECURRENT_MAMBA2 || plan->family->recurrent == RECURRENT_SHORTCONV);
}

/* Layers with this letter. */
static int n_of_kind(const calmoe_synthetic_options *options, char kind)
{
    int n = 0;
    for (int layer = 0; layer < options->n_layers; layer++) n += cm_synthetic_kind(options, layer) == kind;
    return n;
}

static calmoe_status check_kinds(struct calmoe_context *ctx, const struct synthetic_plan *plan)
{
    const calmoe_synthetic_options *o = &plan->options;
    const char *const letters = is_one_half(plan) ? "arf" : "ar";
    if (o->kinds && (o->kinds[0] == '\0' || o->kinds[strspn(o->kinds, letters)] != '\0' || o->attention_interval > 0))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "kinds is '%.40s'; letters of '%s' are wanted for the family '%s',"
                       " and no attention_interval", o->kinds, letters, o->family);
    if (n_of_kind(o, 'a') == 0 || (is_one_half(plan) && n_of_kind(o, 'f') == 0))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "kinds says that of %d layers %d attend and %d are feed-forward"
                       " halves; the family '%s' has some", o->n_layers, n_of_kind(o, 'a'), n_of_kind(o, 'f'),
                       o->family);
    return CALMOE_OK;
}

static calmoe_status check_recurrent(struct calmoe_context *ctx, struct synthetic_plan *plan)
{
    calmoe_synthetic_options *o = &plan->options;
    const struct family      *family = plan->family;
    if (o->attention_interval > 0 && (!family || family->recurrent == RECURRENT_NONE))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "attention_interval is %d; the family '%s' has attention only",
                       o->attention_interval, o->family);
    if (o->attention_interval > 0)
        CM_TRY(check_int(ctx, "attention_interval", o->attention_interval, 2, o->n_layers));
    CM_TRY(check_kinds(ctx, plan));
    if (n_of_kind(o, 'r') == 0 || (family && family->recurrent == RECURRENT_SHORTCONV)) return CALMOE_OK;
    if (!family || family->recurrent == RECURRENT_NONE)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "kinds is '%.40s'; the family '%s' has attention only", o->kinds,
                       o->family);
    CM_TRY(check_int(ctx, "delta_key_heads", o->delta_key_heads, 1, 1024));
    CM_TRY(check_int(ctx, "delta_value_heads", o->delta_value_heads, 1, 1024));
    CM_TRY(check_int(ctx, "delta_head_size", o->delta_head_size, 1, 1024));
    if (o->state_size == 0) o->state_size = o->delta_head_size;
    if (o->delta_value_heads % o->delta_key_heads == 0) return CALMOE_OK;
    return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                   "delta_value_heads is %d; a multiple of delta_key_heads, %d, is wanted", o->delta_value_heads,
                   o->delta_key_heads);
}

bool cm_synthetic_has_latents(const struct synthetic_plan *plan)
{
    return plan->family && (plan->family->needs & NEEDS_LATENTS) != 0;
}

/* Options of latent attention, and of layers that are dense before others. */
static calmoe_status check_latents(struct calmoe_context *ctx, struct synthetic_plan *plan)
{
    calmoe_synthetic_options *o = &plan->options;
    if (o->dense_layers > 0) {
        CM_TRY(check_int(ctx, "dense_layers", o->dense_layers, 1, o->n_experts > 0 ? o->n_layers - 1 : 0));
        CM_TRY(check_int(ctx, "dense_width", o->dense_width, 1, 1 << 17));
    }
    if (!cm_synthetic_has_latents(plan)) {
        CM_TRY(check_int(ctx, "latent", o->latent, 0, 0));
        CM_TRY(check_int(ctx, "q_rank", o->q_rank, 0, 0));
        return check_int(ctx, "value_size", o->value_size, 0, 0);
    }
    CM_TRY(check_int(ctx, "latent", o->latent, 1, 512));
    CM_TRY(check_int(ctx, "rotated", o->rotated, 2, o->head_size - 1));
    if (o->value_size == 0) o->value_size = o->head_size - o->rotated;
    return CALMOE_OK;
}

/* Options of layers that differ from each other, and of a dense part beside experts. */
static calmoe_status check_parts(struct calmoe_context *ctx, const struct synthetic_plan *plan)
{
    const calmoe_synthetic_options *o = &plan->options;
    const struct family            *family = plan->family;
    if (cm_family_needs_key(family, "attention.sliding_window_pattern"))
        CM_TRY(check_int(ctx, "window", o->window, 1, 1 << 24));
    const bool has_windows = o->window > 0 && family && family->window_period > 0;
    const bool has_part = family && (family->needs & NEEDS_DENSE_PART);
    CM_TRY(check_int(ctx, "dense_part", o->dense_part, has_part, has_part ? 1 << 17 : 0));
    CM_TRY(check_int(ctx, "keys_are_values", o->keys_are_values, 0, family && family->may_lack_values));
    if (!has_windows) {
        CM_TRY(check_int(ctx, "window_head_size", o->window_head_size, 0, 0));
        return check_int(ctx, "window_kv_heads", o->window_kv_heads, 0, 0);
    }
    if (o->window_head_size % 2 != 0 || (o->window_kv_heads > 0 && o->n_heads % o->window_kv_heads != 0))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "heads of size %d for %d kv heads in layers with a window; an even size and a divisor of %d are"
                       " wanted", o->window_head_size, o->window_kv_heads, o->n_heads);
    return CALMOE_OK;
}

static calmoe_status check_options(struct calmoe_context *ctx, struct synthetic_plan *plan)
{
    const calmoe_synthetic_options *o = &plan->options;
    if (!o->family || o->family[0] == '\0' || strlen(o->family) >= 32)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "family is '%.40s'; an architecture's name is wanted",
                       o->family ? o->family : "");
    if (o->name && strlen(o->name) >= NAME_BYTES)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "name has %zu bytes; fewer than %d are wanted", strlen(o->name),
                       NAME_BYTES);
    if (!o->type || !cm_weight_type_of_name(o->type, &plan->type))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "type is '%.40s'; a weight type such as q4_0 is wanted",
                       o->type ? o->type : "");
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        CM_TRY(check_int(ctx, limits[i].name, *(const int *)((const char *)o + limits[i].offset), limits[i].min,
                         limits[i].max));
    if (o->n_experts > 0)
        CM_TRY(check_int(ctx, "n_experts_used", o->n_experts_used, 1,
                         o->n_experts < ROUTER_MAX_USED ? o->n_experts : ROUTER_MAX_USED));
    if (o->n_heads % o->n_kv_heads != 0 || o->head_size % 2 != 0)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "%d heads of size %d for %d kv heads; a divisor of the heads and an even size are wanted",
                       o->n_heads, o->head_size, o->n_kv_heads);
    if (o->rotated % 2 != 0 || o->rotated > o->head_size)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "rotated is %d; an even number up to the head size %d is wanted",
                       o->rotated, o->head_size);
    CM_TRY(check_real(ctx, "rope_base", o->rope_base, 1.0, 1e12));
    CM_TRY(check_real(ctx, "norm_eps", o->norm_eps, 0.0, 1.0));
    CM_TRY(check_real(ctx, "embedding_scale", o->embedding_scale, 0.0, 1e3));
    CM_TRY(check_real(ctx, "residual_scale", o->residual_scale, 0.0, 1e3));
    CM_TRY(check_real(ctx, "attention_scale", o->attention_scale, 0.0, 1e3));
    return check_real(ctx, "logit_scale", o->logit_scale, 0.0, 1e3);
}

/* What quantizers take where a type's block does not divide the row. */
static enum weight_type fitting_type(enum weight_type wanted, int n_columns)
{
    static const uint8_t narrower[WEIGHT_TYPE_COUNT] = {
        [WEIGHT_Q2_K] = WEIGHT_IQ4_NL, [WEIGHT_Q3_K] = WEIGHT_IQ4_NL, [WEIGHT_IQ4_XS] = WEIGHT_IQ4_NL,
        [WEIGHT_Q4_K] = WEIGHT_Q5_0,   [WEIGHT_Q5_K] = WEIGHT_Q5_1,   [WEIGHT_Q6_K] = WEIGHT_Q8_0,
        [WEIGHT_IQ1_S] = WEIGHT_IQ4_NL,   [WEIGHT_IQ1_M] = WEIGHT_IQ4_NL, [WEIGHT_IQ2_XXS] = WEIGHT_IQ4_NL,
        [WEIGHT_IQ2_XS] = WEIGHT_IQ4_NL,  [WEIGHT_IQ2_S] = WEIGHT_IQ4_NL,
        [WEIGHT_IQ3_XXS] = WEIGHT_IQ4_NL, [WEIGHT_IQ3_S] = WEIGHT_IQ4_NL,
        [WEIGHT_TQ1_0] = WEIGHT_Q4_0,     [WEIGHT_TQ2_0] = WEIGHT_Q4_0};
    enum weight_type type = wanted;
    if (n_columns % cm_weight_types[type].n_elements != 0 && narrower[type] != 0)
        type = (enum weight_type)narrower[type];
    return n_columns % cm_weight_types[type].n_elements == 0 ? type : WEIGHT_F16;
}

struct lister {
    struct synthetic_plan *plan;
    int                    layer; /* -1: names have no "blk.N." in front */
};

static void add_tensor(struct lister *lister, const char *role, enum weight_type type, const int shape[3],
                       float mean, float deviation)
{
    struct synthetic_tensor *added = &lister->plan->tensors[lister->plan->n_tensors++];
    struct file_tensor      *tensor = &added->tensor;
    *added = (struct synthetic_tensor){.mean = mean, .deviation = deviation};
    if (lister->layer < 0) snprintf(tensor->name, sizeof tensor->name, "%s", role);
    else snprintf(tensor->name, sizeof tensor->name, "blk.%d.%s", lister->layer, role);
    tensor->type = type;
    tensor->file_id = cm_weight_types[type].file_id;
    tensor->is_weight = true;
    tensor->n_dims = shape[2] > 0 ? 3 : shape[1] > 0 ? 2 : 1;
    for (int dim = 0; dim < FILE_MAX_DIMS; dim++)
        tensor->shape[dim] = dim < tensor->n_dims ? (uint64_t)shape[dim] : 1;
    tensor->n_bytes = cm_row_bytes(type, (size_t)shape[0]) * tensor->shape[1] * tensor->shape[2];
    lister->plan->n_bytes += tensor->n_bytes;
}

/* Inputs of mean square 1 give outputs of mean square 1. */
static float deviation_of(int n_columns)
{
    return 1.0f / sqrtf((float)n_columns);
}

static void add_matrix(struct lister *lister, const char *role, int n_columns, int n_rows)
{
    add_tensor(lister, role, fitting_type(lister->plan->type, n_columns), (int[]){n_columns, n_rows, 0}, 0.0f,
               deviation_of(n_columns));
}

static void add_stack(struct lister *lister, const char *role, int n_columns, int n_rows, int n)
{
    add_tensor(lister, role, fitting_type(lister->plan->type, n_columns), (int[]){n_columns, n_rows, n}, 0.0f,
               deviation_of(n_columns));
}

static void add_vector(struct lister *lister, const char *role, int n, float mean, float deviation)
{
    add_tensor(lister, role, WEIGHT_F32, (int[]){n, 0, 0}, mean, deviation);
}

static void add_norm(struct lister *lister, const char *role, int n)
{
    add_vector(lister, role, n, 1.0f, 0.1f);
}

/* A vector for each of n_experts. */
static void add_biases(struct lister *lister, const char *role, int n, int n_experts)
{
    add_tensor(lister, role, WEIGHT_F32, (int[]){n, n_experts, 0}, 0.0f, 0.1f);
}

static bool family_needs(const struct lister *lister, unsigned need)
{
    return lister->plan->family && (lister->plan->family->needs & need);
}

static const struct norm_roles *norm_roles(const struct lister *lister)
{
    return &cm_norm_roles[lister->plan->family ? lister->plan->family->norms : NORMS_BEFORE];
}

bool cm_synthetic_has_window(const struct synthetic_plan *plan, int layer)
{
    const int period = plan->family ? plan->family->window_period : 0;
    return plan->options.window > 0 && period > 0 && layer % period < period - 1;
}

int cm_synthetic_head_size(const struct synthetic_plan *plan, int layer)
{
    const calmoe_synthetic_options *o = &plan->options;
    return cm_synthetic_has_window(plan, layer) && o->window_head_size > 0 ? o->window_head_size : o->head_size;
}

int cm_synthetic_kv_heads(const struct synthetic_plan *plan, int layer)
{
    const calmoe_synthetic_options *o = &plan->options;
    return cm_synthetic_has_window(plan, layer) && o->window_kv_heads > 0 ? o->window_kv_heads : o->n_kv_heads;
}

/* Of the stream, with a bias where the family's norms centre. */
static void add_state_norm(struct lister *lister, const char *role)
{
    char bias[64];
    add_norm(lister, role, lister->plan->options.width);
    if (!lister->plan->family || !lister->plan->family->centres_norms) return;
    snprintf(bias, sizeof bias, "%.*s.bias", (int)(strlen(role) - strlen(".weight")), role);
    add_vector(lister, bias, lister->plan->options.width, 0.0f, 0.1f);
}

static void add_attention(struct lister *lister)
{
    const calmoe_synthetic_options *o = &lister->plan->options;
    const int head_size = cm_synthetic_head_size(lister->plan, lister->layer);
    const int q = o->n_heads * head_size, kv = cm_synthetic_kv_heads(lister->plan, lister->layer) * head_size;
    const bool is_whole = o->head_norms == CALMOE_NORM_WHOLE;
    add_state_norm(lister, norm_roles(lister)->attention);
    if (norm_roles(lister)->after_attention) add_norm(lister, norm_roles(lister)->after_attention, o->width);
    if (o->head_norms != CALMOE_NORM_NONE) {
        add_norm(lister, "attn_q_norm.weight", is_whole ? q : head_size);
        add_norm(lister, "attn_k_norm.weight", is_whole ? kv : head_size);
    }
    add_matrix(lister, "attn_q.weight", o->width, family_needs(lister, NEEDS_QUERY_GATES) ? 2 * q : q);
    add_matrix(lister, "attn_k.weight", o->width, kv);
    if (!o->keys_are_values || cm_synthetic_has_window(lister->plan, lister->layer))
        add_matrix(lister, "attn_v.weight", o->width, kv);
    if (o->qkv_biases || family_needs(lister, NEEDS_QKV_BIASES)) {
        add_vector(lister, "attn_q.bias", q, 0.0f, 0.1f);
        add_vector(lister, "attn_k.bias", kv, 0.0f, 0.1f);
        add_vector(lister, "attn_v.bias", kv, 0.0f, 0.1f);
    }
    if (family_needs(lister, NEEDS_GATES)) /* soft ones: one for each head */
        add_matrix(lister, "attn_gate.weight", o->width, lister->plan->family->has_soft_gates ? o->n_heads : q);
    add_matrix(lister, "attn_output.weight", q, o->width);
    if (family_needs(lister, NEEDS_OTHER_BIASES) || family_needs(lister, NEEDS_PROJECTION_BIASES))
        add_vector(lister, "attn_output.bias", o->width, 0.0f, 0.1f);
    if (family_needs(lister, NEEDS_SINKS)) add_vector(lister, "attn_sinks.weight", o->n_heads, 0.0f, 1.0f);
}

/* States that decay by a third to a half with each token, so that long texts neither fade nor pile up. */
static void add_delta(struct lister *lister)
{
    const calmoe_synthetic_options *o = &lister->plan->options;
    const int n_heads = o->delta_value_heads, size = o->delta_head_size;
    const int values = n_heads * size, channels = 2 * o->delta_key_heads * size + values;
    add_norm(lister, "attn_norm.weight", o->width);
    add_matrix(lister, "attn_qkv.weight", o->width, channels);
    add_matrix(lister, "attn_gate.weight", o->width, values);
    if (lister->plan->family->recurrent == RECURRENT_DELTA_IN_GROUPS)
        add_matrix(lister, "ssm_ba.weight", o->width, 2 * n_heads);
    else {
        add_matrix(lister, "ssm_beta.weight", o->width, n_heads);
        add_matrix(lister, "ssm_alpha.weight", o->width, n_heads);
    }
    add_tensor(lister, "ssm_conv1d.weight", WEIGHT_F32, (int[]){CM_SYNTHETIC_TAPS, channels, 0}, 0.0f,
               deviation_of(CM_SYNTHETIC_TAPS));
    add_vector(lister, "ssm_dt.bias", n_heads, 0.0f, 0.1f);
    add_vector(lister, "ssm_a", n_heads, -0.7f, 0.05f);
    add_norm(lister, "ssm_norm.weight", size);
    add_matrix(lister, "ssm_out.weight", values, o->width);
}

static void add_mamba2(struct lister *lister)
{
    const calmoe_synthetic_options *o = &lister->plan->options;
    const int n_heads = o->delta_value_heads, n_groups = o->delta_key_heads, values = n_heads * o->delta_head_size;
    const int channels = values + 2 * n_groups * o->state_size;
    add_norm(lister, "attn_norm.weight", o->width);
    add_matrix(lister, "ssm_in.weight", o->width, values + channels + n_heads);
    add_tensor(lister, "ssm_conv1d.weight", WEIGHT_F32, (int[]){CM_SYNTHETIC_TAPS, channels, 0}, 0.0f,
               deviation_of(CM_SYNTHETIC_TAPS));
    add_vector(lister, "ssm_conv1d.bias", channels, 0.0f, 0.1f);
    add_vector(lister, "ssm_dt.bias", n_heads, 0.0f, 0.1f);
    add_tensor(lister, "ssm_a", WEIGHT_F32, (int[]){1, n_heads, 0}, -0.7f, 0.05f);
    add_tensor(lister, "ssm_d", WEIGHT_F32, (int[]){1, n_heads, 0}, 1.0f, 0.1f);
    add_tensor(lister, "ssm_norm.weight", WEIGHT_F32, (int[]){values / n_groups, n_groups, 0}, 1.0f, 0.1f);
    add_matrix(lister, "ssm_out.weight", values, o->width);
}

static void add_shortconv(struct lister *lister)
{
    const int width = lister->plan->options.width;
    add_norm(lister, "attn_norm.weight", width);
    add_matrix(lister, "shortconv.in_proj.weight", width, 3 * width);
    add_tensor(lister, "shortconv.conv.weight", WEIGHT_F32, (int[]){CM_SYNTHETIC_SHORT_TAPS, width, 0}, 0.0f,
               deviation_of(CM_SYNTHETIC_SHORT_TAPS));
    add_matrix(lister, "shortconv.out_proj.weight", width, width);
}

static void add_recurrent(struct lister *lister)
{
    const enum recurrent_layers recurrent = lister->plan->family->recurrent;
    if (recurrent == RECURRENT_MAMBA2) add_mamba2(lister);
    else if (recurrent == RECURRENT_SHORTCONV) add_shortconv(lister);
    else add_delta(lister);
}

static void add_mla(struct lister *lister)
{
    const calmoe_synthetic_options *o = &lister->plan->options;
    const int q = o->n_heads * o->head_size, n_plain = o->head_size - o->rotated;
    add_norm(lister, "attn_norm.weight", o->width);
    if (o->q_rank > 0) {
        add_matrix(lister, "attn_q_a.weight", o->width, o->q_rank);
        add_norm(lister, "attn_q_a_norm.weight", o->q_rank);
        add_matrix(lister, "attn_q_b.weight", o->q_rank, q);
    } else add_matrix(lister, "attn_q.weight", o->width, q);
    add_matrix(lister, "attn_kv_a_mqa.weight", o->width, o->latent + o->rotated);
    add_norm(lister, "attn_kv_a_norm.weight", o->latent);
    add_stack(lister, "attn_k_b.weight", n_plain, o->latent, o->n_heads);
    add_stack(lister, "attn_v_b.weight", o->latent, o->value_size, o->n_heads);
    add_matrix(lister, "attn_output.weight", o->n_heads * o->value_size, o->width);
}

/* Whether feed-forward blocks have a gate besides up. */
static bool has_gate(const struct lister *lister)
{
    return !lister->plan->family || cm_nonlinearities[lister->plan->family->nonlinearity].has_gate;
}

/* Beside experts, and the norms that keep both apart. */
static void add_dense_part(struct lister *lister)
{
    const calmoe_synthetic_options *o = &lister->plan->options;
    static const char *const norms[] = {"ffn_gate_inp.scale", "pre_ffw_norm_2.weight", "post_ffw_norm_1.weight",
                                        "post_ffw_norm_2.weight"};
    for (size_t i = 0; i < sizeof norms / sizeof *norms; i++) add_norm(lister, norms[i], o->width);
    add_norm(lister, "ffn_down_exps.scale", o->n_experts);
    add_matrix(lister, "ffn_gate.weight", o->width, o->dense_part);
    add_matrix(lister, "ffn_up.weight", o->width, o->dense_part);
    add_matrix(lister, "ffn_down.weight", o->dense_part, o->width);
}

static void add_feed_forward(struct lister *lister)
{
    const calmoe_synthetic_options *o = &lister->plan->options;
    const bool is_dense = o->n_experts == 0 || lister->layer < o->dense_layers;
    const int n = o->n_experts, width = o->n_experts == 0 ? o->expert_width : o->dense_width;
    add_state_norm(lister, norm_roles(lister)->ffn);
    if (norm_roles(lister)->after_ffn) add_norm(lister, norm_roles(lister)->after_ffn, o->width);
    if (is_dense) {
        if (has_gate(lister)) add_matrix(lister, "ffn_gate.weight", o->width, width);
        add_matrix(lister, "ffn_up.weight", o->width, width);
        add_matrix(lister, "ffn_down.weight", width, o->width);
        if (!family_needs(lister, NEEDS_DENSE_BIASES)) return;
        add_vector(lister, "ffn_up.bias", width, 0.0f, 0.1f);
        add_vector(lister, "ffn_down.bias", o->width, 0.0f, 0.1f);
        return;
    }
    if (o->dense_part > 0) add_dense_part(lister);
    add_tensor(lister, "ffn_gate_inp.weight", WEIGHT_F32, (int[]){o->width, n, 0}, 0.0f, deviation_of(o->width));
    if (has_gate(lister)) add_stack(lister, "ffn_gate_exps.weight", o->width, o->expert_width, n);
    add_stack(lister, "ffn_up_exps.weight", o->width, o->expert_width, n);
    add_stack(lister, "ffn_down_exps.weight", o->expert_width, o->width, n);
    if (family_needs(lister, NEEDS_CHOICE_BIASES)) add_vector(lister, "exp_probs_b.bias", n, 0.0f, 0.01f);
    if (family_needs(lister, NEEDS_OTHER_BIASES)) {
        add_vector(lister, "ffn_gate_inp.bias", n, 0.0f, 0.1f);
        add_biases(lister, "ffn_gate_exps.bias", o->expert_width, n);
        add_biases(lister, "ffn_up_exps.bias", o->expert_width, n);
        add_biases(lister, "ffn_down_exps.bias", o->width, n);
    }
    if (o->shared_width == 0) return;
    if (has_gate(lister)) add_matrix(lister, "ffn_gate_shexp.weight", o->width, o->shared_width);
    add_matrix(lister, "ffn_up_shexp.weight", o->width, o->shared_width);
    add_matrix(lister, "ffn_down_shexp.weight", o->shared_width, o->width);
    if (o->shared_gate) add_vector(lister, "ffn_gate_inp_shexp.weight", o->width, 0.0f, deviation_of(o->width));
}

static void add_layer(struct lister *lister)
{
    const char kind = cm_synthetic_kind(&lister->plan->options, lister->layer);
    if (cm_synthetic_has_latents(lister->plan)) add_mla(lister);
    else if (kind == 'a') add_attention(lister);
    else if (kind == 'r') add_recurrent(lister);
    if (kind == 'f' || !is_one_half(lister->plan)) add_feed_forward(lister);
}

/* Embeddings of mean square 1 after the model's own scale. */
static void list_tensors(struct synthetic_plan *plan)
{
    const calmoe_synthetic_options *o = &plan->options;
    struct lister lister = {plan, -1};
    add_matrix(&lister, "token_embd.weight", o->width, o->n_vocab);
    /* a tied one must serve as the output as well */
    if (!o->tied) plan->tensors[0].deviation = o->embedding_scale > 0.0f ? 1.0f / o->embedding_scale : 1.0f;
    add_state_norm(&lister, norm_roles(&lister)->output);
    if (norm_roles(&lister)->embedding) add_state_norm(&lister, norm_roles(&lister)->embedding);
    if (!o->tied) add_matrix(&lister, "output.weight", o->width, o->n_vocab);
    if (family_needs(&lister, NEEDS_LOGIT_BIASES)) add_vector(&lister, "output.bias", o->n_vocab, 0.0f, 0.1f);
    if (family_needs(&lister, NEEDS_ROPE_FACTORS)) add_norm(&lister, "rope_freqs.weight", o->head_size / 2);
    for (lister.layer = 0; lister.layer < o->n_layers; lister.layer++) {
        const char kind = cm_synthetic_kind(o, lister.layer);
        plan->kv_heads[lister.layer] = kind == 'a' ? o->n_kv_heads : 0;
        plan->widths[lister.layer] = kind == 'f' ? o->expert_width : 0;
        add_layer(&lister);
    }
}

calmoe_status cm_synthetic_plan_open(struct calmoe_context *ctx, const calmoe_synthetic_options *given,
                                     struct synthetic_plan *out)
{
    *out = (struct synthetic_plan){0};
    calmoe_synthetic_options_init(&out->options);
    CM_TRY(cm_options_copy(ctx, "calmoe_synthetic_options", &out->options, sizeof out->options, given));
    CM_TRY(check_options(ctx, out));
    out->family = cm_family_of(out->options.family, out->options.n_experts > 0);
    CM_TRY(check_recurrent(ctx, out));
    CM_TRY(check_latents(ctx, out));
    CM_TRY(check_parts(ctx, out));
    const size_t n = (size_t)out->options.n_layers * TENSORS_OF_LAYER + TENSORS_OF_MODEL;
    out->tensors = cm_alloc(ctx, n, sizeof *out->tensors, "the tensor table");
    out->kv_heads = cm_alloc(ctx, (size_t)out->options.n_layers, sizeof *out->kv_heads, "the metadata");
    out->widths = cm_alloc(ctx, (size_t)out->options.n_layers, sizeof *out->widths, "the metadata");
    if (!out->tensors || !out->kv_heads || !out->widths) return CALMOE_NO_MEMORY;
    list_tensors(out);
    return CALMOE_OK;
}

void cm_synthetic_plan_close(struct synthetic_plan *plan)
{
    cm_free(plan->tensors);
    cm_free(plan->kv_heads);
    cm_free(plan->widths);
    *plan = (struct synthetic_plan){0};
}
