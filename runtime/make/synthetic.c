/* runtime/make/synthetic.c - calmoe_synthesize: writes a model file of random weights, tensor by tensor in pieces. */
#include <calmoe/synthetic.h>

#include "runtime/make/synthetic_plan.h"

#include <string.h>

#include "base/memory.h"
#include "base/team.h"
#include "kernels/random_weights.h"
#include "runtime/make/file_type.h"
#include "runtime/make/filler_vocabulary.h"

enum {
    PIECE_BYTES = 1 << 18, /* about; each has a seed of its own, so any worker may make it */
    PIECES_AT_ONCE = 128,
    MAX_LAYERS_AT_ALL = 1024
};

calmoe_status calmoe_synthetic_bytes(calmoe_context *ctx, const calmoe_synthetic_options *options, uint64_t *n_bytes)
{
    struct synthetic_plan plan;
    if (!ctx || !options || !n_bytes)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "calmoe_synthetic_bytes: context, options and n_bytes are needed");
    const calmoe_status status = cm_synthetic_plan_open(ctx, options, &plan);
    *n_bytes = plan.n_bytes;
    cm_synthetic_plan_close(&plan);
    return status;
}

struct synthesis {
    struct calmoe_context   *ctx;
    struct synthetic_plan    plan;
    struct filler_vocabulary vocabulary;
    struct meta_draft       *draft;
    struct new_tensor  *tensors;
    struct model_writer      *writer;
    struct topology          topology;
    struct team             *team;
    uint8_t                 *pieces;  /* (PIECES_AT_ONCE, PIECE_BYTES) */
    int32_t                  kv_heads[MAX_LAYERS_AT_ALL]; /* where layers differ */
    uint8_t                  has_window[MAX_LAYERS_AT_ALL];
    int32_t                  sections[4]; /* of a head's rotated pairs; the last is 0 */
    uint64_t                 n_written;
    calmoe_progress_fn       progress;
    void                    *user;
    /* the pieces that the team makes now */
    const struct synthetic_tensor *tensor;
    uint64_t                 first_piece, first_block, n_blocks, piece_blocks;
};

static void make_pieces(void *arg, const struct worker *me)
{
    const struct synthesis *s = arg;
    const enum weight_type  type = s->tensor->tensor.type;
    const uint64_t index = (uint64_t)(s->tensor - s->plan.tensors);
    for (uint64_t i = (uint64_t)me->index; i * s->piece_blocks < s->n_blocks; i += (uint64_t)me->n_workers) {
        const uint64_t begin = i * s->piece_blocks, left = s->n_blocks - begin;
        /* distinct for every piece of a file */
        const uint64_t seed = s->plan.options.seed * 0xd1342543de82ef95u + (index << 40) + s->first_piece + i;
        cm_random_weights(type, s->tensor->mean, s->tensor->deviation, seed,
                          s->pieces + begin * (uint64_t)cm_weight_types[type].n_bytes,
                          (size_t)(left < s->piece_blocks ? left : s->piece_blocks));
    }
}

static calmoe_status write_tensor(struct synthesis *s, const struct synthetic_tensor *tensor)
{
    const uint64_t block_bytes = (uint64_t)cm_weight_types[tensor->tensor.type].n_bytes;
    const uint64_t n_blocks = tensor->tensor.n_bytes / block_bytes;
    s->tensor = tensor;
    s->piece_blocks = PIECE_BYTES / block_bytes;
    s->first_piece = 0;
    for (uint64_t at = 0; at < n_blocks; at += s->n_blocks, s->first_piece += PIECES_AT_ONCE) {
        const uint64_t most = s->piece_blocks * PIECES_AT_ONCE;
        if (s->progress && s->progress(s->user, (double)s->n_written / (double)s->plan.n_bytes))
            return cm_fail(s->ctx, CALMOE_CANCELLED, "writing the synthetic model was cancelled");
        s->n_blocks = n_blocks - at < most ? n_blocks - at : most;
        cm_team_run(s->team, make_pieces, s);
        CM_TRY(cm_model_writer_put_part(s->writer, s->pieces, s->n_blocks * block_bytes));
        s->n_written += s->n_blocks * block_bytes;
    }
    return cm_model_writer_end_tensor(s->writer);
}

static void describe_scales(const calmoe_synthetic_options *o, struct meta_draft *draft)
{
    if (o->embedding_scale > 0.0f) cm_meta_draft_f32(draft, "%.embedding_scale", o->embedding_scale);
    if (o->residual_scale > 0.0f) cm_meta_draft_f32(draft, "%.residual_scale", o->residual_scale);
    if (o->attention_scale > 0.0f) cm_meta_draft_f32(draft, "%.attention.scale", o->attention_scale);
    if (o->logit_scale > 0.0f) cm_meta_draft_f32(draft, "%.logit_scale", o->logit_scale);
}

/* Whether files of the family say for each layer whether it sees a window. */
static bool says_windows_by_layer(const struct synthetic_plan *plan)
{
    return cm_family_needs_key(plan->family, "attention.sliding_window_pattern");
}

/* Which layers see a window and what heads they have, in families whose files say it for each layer. */
static void describe_windows(struct synthesis *s, struct meta_draft *draft)
{
    const calmoe_synthetic_options *o = &s->plan.options;
    for (int layer = 0; layer < o->n_layers; layer++) {
        s->kv_heads[layer] = cm_synthetic_kv_heads(&s->plan, layer);
        s->has_window[layer] = cm_synthetic_has_window(&s->plan, layer);
    }
    const uint32_t size = (uint32_t)(o->window_head_size > 0 ? o->window_head_size : o->head_size);
    cm_meta_draft_i32s(draft, "%.attention.head_count_kv", s->kv_heads, (uint64_t)o->n_layers);
    cm_meta_draft_bools(draft, "%.attention.sliding_window_pattern", s->has_window, (uint64_t)o->n_layers);
    cm_meta_draft_u32(draft, "%.embedding_length_per_layer_input", 0); /* no embeddings of their own in layers */
    cm_meta_draft_u32(draft, "%.attention.key_length_swa", size);
    cm_meta_draft_u32(draft, "%.attention.value_length_swa", size);
    cm_meta_draft_u32(draft, "%.rope.dimension_count_swa", size);
}

static void describe_heads(const struct synthetic_plan *plan, struct meta_draft *draft)
{
    const calmoe_synthetic_options *o = &plan->options;
    const bool has_latents = cm_synthetic_has_latents(plan);
    if (cm_synthetic_lists_kinds(plan))
        cm_meta_draft_i32s(draft, "%.attention.head_count_kv", plan->kv_heads, (uint64_t)o->n_layers);
    else if (!says_windows_by_layer(plan))
        cm_meta_draft_u32(draft, "%.attention.head_count_kv", (uint32_t)(has_latents ? 1 : o->n_kv_heads));
    cm_meta_draft_u32(draft, "%.attention.key_length", (uint32_t)(has_latents ? o->latent + o->rotated : o->head_size));
    cm_meta_draft_u32(draft, "%.attention.value_length", (uint32_t)(has_latents ? o->latent : o->head_size));
    if (!has_latents) return;
    cm_meta_draft_u32(draft, "%.attention.key_length_mla", (uint32_t)o->head_size);
    cm_meta_draft_u32(draft, "%.attention.value_length_mla", (uint32_t)o->value_size);
    cm_meta_draft_u32(draft, "%.attention.kv_lora_rank", (uint32_t)o->latent);
    if (o->q_rank > 0) cm_meta_draft_u32(draft, "%.attention.q_lora_rank", (uint32_t)o->q_rank);
    cm_meta_draft_u32(draft, "%.expert_gating_func", 1); /* softmax */
}

static void describe_recurrent(const struct synthetic_plan *plan, struct meta_draft *draft)
{
    const calmoe_synthetic_options *o = &plan->options;
    if (!plan->family || (o->attention_interval == 0 && !o->kinds)) return;
    if (o->attention_interval > 0)
        cm_meta_draft_u32(draft, "%.full_attention_interval", (uint32_t)o->attention_interval);
    if (plan->family->recurrent == RECURRENT_SHORTCONV) {
        cm_meta_draft_u32(draft, "%.shortconv.l_cache", CM_SYNTHETIC_SHORT_TAPS);
        return;
    }
    cm_meta_draft_u32(draft, "%.ssm.conv_kernel", CM_SYNTHETIC_TAPS);
    cm_meta_draft_u32(draft, "%.ssm.state_size", (uint32_t)o->state_size);
    cm_meta_draft_u32(draft, "%.ssm.group_count", (uint32_t)o->delta_key_heads);
    cm_meta_draft_u32(draft, "%.ssm.time_step_rank", (uint32_t)o->delta_value_heads);
    cm_meta_draft_u32(draft, "%.ssm.inner_size", (uint32_t)(o->delta_value_heads * o->delta_head_size));
}

/* How many of a head's pairs turn by a text's, an image row's and an image column's position, a third each, and 0:
 * files of Qwen3.5 say it, and other engines want it. In a text all three positions are the same. */
static void describe_sections(struct synthesis *s, struct meta_draft *draft)
{
    const int n_pairs = s->plan.options.rotated / 2;
    if (!s->plan.family || s->plan.family->recurrent != RECURRENT_DELTA_IN_TURN || n_pairs == 0) return;
    for (int i = 0; i < 3; i++) s->sections[i] = (n_pairs + 2 - i) / 3;
    cm_meta_draft_i32s(draft, "%.rope.dimension_sections", s->sections, 4);
}

static void describe(struct synthesis *s, struct meta_draft *draft)
{
    static const char *const ones[] = {"%.expert_group_count", "%.expert_group_used_count",
                                       "%.interleave_moe_layer_step"};
    const calmoe_synthetic_options *o = &s->plan.options;
    cm_meta_draft_begin(draft, o->family);
    cm_meta_draft_text(draft, "general.architecture", o->family);
    cm_meta_draft_text(draft, "general.name", o->name ? o->name : "synthetic");
    cm_meta_draft_u32(draft, "%.block_count", (uint32_t)o->n_layers);
    cm_meta_draft_u32(draft, "%.context_length", (uint32_t)o->context_length);
    cm_meta_draft_u32(draft, "%.embedding_length", (uint32_t)o->width);
    const int dense = o->dense_layers > 0 ? o->dense_width : o->dense_part;
    const int width = dense > 0 ? dense : o->expert_width;
    if (s->plan.family && s->plan.family->norms == NORMS_OF_ONE_HALF)
        cm_meta_draft_i32s(draft, "%.feed_forward_length", s->plan.widths, (uint64_t)o->n_layers);
    else cm_meta_draft_u32(draft, "%.feed_forward_length", (uint32_t)width);
    cm_meta_draft_u32(draft, "%.attention.head_count", (uint32_t)o->n_heads);
    describe_heads(&s->plan, draft);
    const bool has_plain_eps = cm_family_needs_key(s->plan.family, "attention.layer_norm_epsilon");
    cm_meta_draft_f32(draft, has_plain_eps ? "%.attention.layer_norm_epsilon" : "%.attention.layer_norm_rms_epsilon",
                      o->norm_eps);
    cm_meta_draft_u32(draft, "%.rope.dimension_count", (uint32_t)(o->rotated ? o->rotated : o->head_size));
    cm_meta_draft_f32(draft, "%.rope.freq_base", o->rope_base);
    cm_meta_draft_u32(draft, "%.vocab_size", (uint32_t)o->n_vocab);
    if (cm_family_needs_key(s->plan.family, "rope.scaling.factor")) { /* 1, since rotation costs the same by any */
        cm_meta_draft_text(draft, "%.rope.scaling.type", "yarn");
        cm_meta_draft_f32(draft, "%.rope.scaling.factor", 1.0f);
        cm_meta_draft_u32(draft, "%.rope.scaling.original_context_length", (uint32_t)o->context_length);
    }
    if (o->n_experts > 0) {
        cm_meta_draft_u32(draft, "%.expert_count", (uint32_t)o->n_experts);
        cm_meta_draft_u32(draft, "%.expert_used_count", (uint32_t)o->n_experts_used);
        cm_meta_draft_u32(draft, "%.expert_feed_forward_length", (uint32_t)o->expert_width);
    }
    if (cm_family_needs_key(s->plan.family, "expert_weights_scale"))
        cm_meta_draft_f32(draft, "%.expert_weights_scale", 1.0f);
    if (cm_family_needs_key(s->plan.family, "expert_weights_norm"))
        cm_meta_draft_bool(draft, "%.expert_weights_norm", true);
    if (cm_family_needs_key(s->plan.family, "rope.scaling.finetuned"))
        cm_meta_draft_bool(draft, "%.rope.scaling.finetuned", false);
    if (o->window > 0 || (s->plan.family && s->plan.family->window_period > 0))
        cm_meta_draft_u32(draft, "%.attention.sliding_window", (uint32_t)o->window);
    for (size_t i = 0; i < sizeof ones / sizeof *ones; i++)
        if (cm_family_needs_key(s->plan.family, ones[i] + 2)) cm_meta_draft_u32(draft, ones[i], 1);
    if (says_windows_by_layer(&s->plan)) describe_windows(s, draft);
    if (cm_family_needs_key(s->plan.family, "final_logit_softcapping"))
        cm_meta_draft_f32(draft, "%.final_logit_softcapping", 30.0f);
    if (cm_family_needs_key(s->plan.family, "attn_logit_softcapping"))
        cm_meta_draft_f32(draft, "%.attn_logit_softcapping", 50.0f);
    if (o->n_experts > 0 && o->shared_width > 0) {
        cm_meta_draft_u32(draft, "%.expert_shared_feed_forward_length", (uint32_t)o->shared_width);
        if (o->shared_width % o->expert_width == 0) /* some engines know the width by this alone */
            cm_meta_draft_u32(draft, "%.expert_shared_count", (uint32_t)(o->shared_width / o->expert_width));
    }
    if (o->dense_layers > 0 || cm_family_needs_key(s->plan.family, "leading_dense_block_count"))
        cm_meta_draft_u32(draft, "%.leading_dense_block_count", (uint32_t)o->dense_layers);
    describe_recurrent(&s->plan, draft);
    describe_sections(s, draft);
    describe_scales(o, draft);
    cm_filler_vocabulary_describe(&s->vocabulary, draft);
}

static calmoe_status open_writer(struct synthesis *s, const char *path)
{
    const struct new_meta_u32 added[] = {{"general.file_type", cm_file_type_of(s->plan.type)},
                                         {"general.quantization_version", 2}};
    CM_TRY(cm_filler_vocabulary_open(s->ctx, s->plan.options.n_vocab, &s->vocabulary));
    s->draft = cm_alloc(s->ctx, 1, sizeof *s->draft, "metadata");
    s->tensors = cm_alloc(s->ctx, (size_t)s->plan.n_tensors, sizeof *s->tensors, "the tensor table");
    s->pieces = cm_alloc(s->ctx, PIECES_AT_ONCE, PIECE_BYTES, "pieces of weights");
    if (!s->draft || !s->tensors || !s->pieces) return CALMOE_NO_MEMORY;
    for (uint64_t i = 0; i < s->plan.n_tensors; i++) {
        const struct file_tensor *tensor = &s->plan.tensors[i].tensor;
        s->tensors[i] = (struct new_tensor){tensor, tensor->file_id, tensor->n_bytes};
    }
    describe(s, s->draft);
    CM_TRY(cm_topology_open(s->ctx, NULL, &s->topology));
    CM_TRY(cm_team_open(s->ctx, &s->topology, s->plan.options.n_threads, PIN_NO, &s->team));
    return cm_model_writer_open(s->ctx, path, &s->draft->file, NULL, 0, added, 2, s->tensors, s->plan.n_tensors,
                               &s->writer);
}

static calmoe_status write_file(struct synthesis *s, const char *path)
{
    CM_TRY(open_writer(s, path));
    for (uint64_t i = 0; i < s->plan.n_tensors; i++) CM_TRY(write_tensor(s, &s->plan.tensors[i]));
    if (s->progress && s->progress(s->user, 1.0))
        return cm_fail(s->ctx, CALMOE_CANCELLED, "writing the synthetic model was cancelled");
    return cm_model_writer_finish(s->writer);
}

calmoe_status calmoe_synthesize(calmoe_context *ctx, const calmoe_synthetic_options *options, const char *path,
                                calmoe_progress_fn progress, void *user)
{
    struct synthesis s = {.ctx = ctx, .progress = progress, .user = user};
    if (!ctx || !options || !path)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "calmoe_synthesize: context, options and path are needed");
    calmoe_status status = cm_synthetic_plan_open(ctx, options, &s.plan);
    if (status == CALMOE_OK) status = write_file(&s, path);
    cm_model_writer_close(&s.writer);
    cm_team_close(&s.team);
    cm_topology_close(&s.topology);
    cm_free(s.pieces);
    cm_free(s.tensors);
    cm_free(s.draft);
    cm_filler_vocabulary_close(&s.vocabulary);
    cm_synthetic_plan_close(&s.plan);
    return status;
}
