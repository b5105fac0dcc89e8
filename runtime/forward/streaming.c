/* runtime/forward/streaming.c - see streaming.h. */
#include "runtime/forward/streaming.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/limits.h"

/* What a list of weights takes for a matrix and its bias: for the rows that are this rank's, with room to align each
 * node's part. */
static uint64_t packed_bytes(const struct machine *machine, const struct weight_source *source,
                             const struct bias_source *bias)
{
    int first;
    if (!source->rows) return 0;
    const struct linear_kernel *kernel = cm_linear_kernel(source->type, machine->isa);
    const size_t   n_rows = (size_t)cm_own_part(machine->plan, source->n_rows, CM_SLICE_QUANTUM, &first);
    const uint64_t n_parts = (uint64_t)machine->plan->n_nodes * (bias->tensor ? 2 : 1);
    return kernel->packed_bytes(n_rows, (size_t)source->n_columns) + (bias->tensor ? n_rows * sizeof(float) : 0) +
           n_parts * CM_ALIGNMENT;
}

/* Of all routed experts, as kernels read them. */
static uint64_t routed_bytes(const struct streaming *s, const struct model_tensors *tensors)
{
    uint64_t n = 0;
    for (int layer = 0; layer < tensors->n_layers; layer++) {
        const struct ffn_spec *ffn = &s->spec->layers[layer].ffn;
        const struct bank_tensors *bank = &tensors->layers[layer].banks[BANK_ROUTED];
        for (int e = 0; cm_is_routed(ffn) && e < ffn->router.n_experts; e++) {
            const struct expert_sources *expert = &bank->experts[e];
            n += packed_bytes(s->machine, &expert->gate, &bank->gate_bias) +
                 packed_bytes(s->machine, &expert->up, &bank->up_bias) +
                 packed_bytes(s->machine, &expert->down, &bank->down_bias);
        }
    }
    return n;
}

static uint64_t beside_experts(const struct streaming *s, const struct pack_list *list)
{
    return cm_pack_list_bytes(list) + s->options->n_bytes_behind;
}

calmoe_status cm_streaming_open(struct streaming *s, const struct model_tensors *tensors, const struct pack_list *list,
                                struct expert_stream **out)
{
    *out = NULL;
    s->n_planned = cm_plan_n_streamed(s->machine->plan, -1);
    if (s->options->memory_limit == 0 && s->n_planned == 0) return CALMOE_OK;
    if (cm_is_dense_model(s->spec)) return CALMOE_OK;
    s->n_whole = s->n_planned > 0 ? UINT64_MAX : beside_experts(s, list) + routed_bytes(s, tensors);
    if (s->n_whole <= s->options->memory_limit) return CALMOE_OK;
    return cm_expert_stream_open(s->machine->ctx, s->machine->isa, s->spec->n_layers, s->spec->most.n_experts,
                                 s->options->packed, out);
}

/* That a step may need at once: the most experts that its rows can name in a layer. */
static int least_slots(const struct streaming *s)
{
    int least = 0;
    for (int layer = 0; layer < s->spec->n_layers; layer++) {
        const struct ffn_spec *ffn = &s->spec->layers[layer].ffn;
        if (!cm_is_routed(ffn)) continue;
        const int64_t named = (int64_t)s->options->max_rows * ffn->router.n_used;
        const int     most = s->n_planned > 0 ? cm_plan_n_streamed(s->machine->plan, layer) : ffn->router.n_experts;
        const int     n = named < most ? (int)named : most;
        if (n > least) least = n;
    }
    return least;
}

/* A limit that is not below n_bytes, as it may be typed. */
static const char *limit_text(uint64_t n_bytes, char text[32])
{
    const bool     is_large = n_bytes >= 64 << 20;
    const uint64_t unit = is_large ? 1 << 20 : 1 << 10;
    snprintf(text, 32, "%" PRIu64 "%s", (n_bytes + unit - 1) / unit, is_large ? "MiB" : "KiB");
    return text;
}

calmoe_status cm_streaming_fit(struct streaming *s, const struct pack_list *list, const struct expert_stream *stream)
{
    const uint64_t limit = s->options->memory_limit, each = stream ? cm_expert_stream_slot_bytes(stream) : 0;
    const uint64_t beside = beside_experts(s, list) + (stream ? cm_expert_stream_buffer_bytes(stream) : 0);
    const int      least = stream ? least_slots(s) : 0, most = stream ? cm_expert_stream_n_experts(stream) : 0;
    const uint64_t smallest = beside + (uint64_t)least * each;
    char           texts[4][32];
    if (limit == 0 && !stream) return CALMOE_OK;
    if (smallest > limit && limit > 0)
        return cm_fail(s->machine->ctx, CALMOE_INVALID_ARGUMENT,
                       "a memory limit of %s is too small: %s for all but %s experts, and %d experts of %s that a "
                       "step may need at once; %s is the smallest that works", cm_bytes_text(limit, texts[0]),
                       cm_bytes_text(beside, texts[1]), s->n_planned > 0 ? "the plan's streamed" : "routed",
                       least, cm_bytes_text(each, texts[2]),
                       limit_text(stream && s->n_whole < smallest ? s->n_whole : smallest, texts[3]));
    if (!stream) return CALMOE_OK;
    const uint64_t room = limit == 0 || each == 0 ? (uint64_t)least : (limit - beside) / each;
    const int      n_kept = cm_expert_stream_size(stream).n_kept;
    s->n_slots = room < (uint64_t)most ? (int)room : most;
    if (most == 0) s->n_slots = 1; /* a rank may have no row of any expert: then nothing is ever read into it */
    s->n_slot_bytes = (uint64_t)s->n_slots * each + cm_expert_stream_buffer_bytes(stream);
    if (n_kept > 0)
        cm_log(s->machine->ctx, "%d of %d experts stay in memory by the plan, %d more at a time (%s); these are read "
               "from disk when they are needed", n_kept, n_kept + most, s->n_slots,
               cm_bytes_text((uint64_t)s->n_slots * each, texts[0]));
    else
        cm_log(s->machine->ctx, "%d of %d experts stay in memory (%s); the others are read from disk when they are "
               "needed", s->n_slots, most, cm_bytes_text((uint64_t)s->n_slots * each, texts[0]));
    return CALMOE_OK;
}

calmoe_status cm_streaming_start(const struct streaming *s, struct expert_stream *stream)
{
    const struct stream_start start = {.topology = s->machine->topology, .n_slots = s->n_slots,
                                       .uses = s->options->uses, .n_used = s->spec->most.n_used,
                                       .is_direct = s->options->is_direct, .progress = s->options->progress,
                                       .user = s->options->user};
    return stream ? cm_expert_stream_start(stream, &start) : CALMOE_OK;
}
