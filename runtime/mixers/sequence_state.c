/* runtime/mixers/sequence_state.c - see sequence_state.h. */
#include "runtime/mixers/sequence_state.h"

#include <string.h>

#include "base/memory.h"
#include "runtime/mixers/mixer.h"

/* ---- opening ---- */

static calmoe_status open_fixed(const struct model_spec *spec, size_t snapshot_bytes, struct sequence_state *state)
{
    const size_t n_layers = (size_t)spec->n_layers;
    state->fixed_at = cm_alloc(state->ctx, n_layers + 1, sizeof *state->fixed_at, "a sequence's state");
    if (!state->fixed_at) return CALMOE_NO_MEMORY;
    for (size_t i = 0; i < n_layers; i++) {
        const size_t n = cm_mixers[spec->layers[i].mixer]->fixed_bytes(&spec->layers[i]);
        state->fixed_at[i + 1] = state->fixed_at[i] + (n + CM_ALIGNMENT - 1) / CM_ALIGNMENT * CM_ALIGNMENT;
    }
    state->fixed_bytes = state->fixed_at[n_layers];
    if (state->fixed_bytes == 0) return CALMOE_OK;
    const size_t most = snapshot_bytes / state->fixed_bytes;
    state->max_snapshots = most < 1 ? 1 : most > 4096 ? 4096 : (int)most;
    state->fixed = cm_alloc(state->ctx, state->fixed_bytes, 1, "a sequence's state");
    state->snapshots = cm_alloc(state->ctx, (size_t)state->max_snapshots, sizeof *state->snapshots, "snapshots");
    return state->fixed && state->snapshots ? CALMOE_OK : CALMOE_NO_MEMORY;
}

calmoe_status cm_sequence_state_open(struct calmoe_context *ctx, const struct model_spec *spec,
                                     const struct state_place *place, struct sequence_state *out)
{
    *out = (struct sequence_state){.ctx = ctx};
    calmoe_status status = cm_kv_cache_open(ctx, spec, place->type, place->n_positions, place->max_rows,
                                            place->topology, place->kv_heads, &out->kv);
    if (status == CALMOE_OK) status = open_fixed(spec, place->snapshot_bytes, out);
    if (status != CALMOE_OK) cm_sequence_state_close(out);
    return status;
}

void cm_sequence_state_close(struct sequence_state *state)
{
    for (int i = 0; i < state->n_snapshots; i++) cm_free(state->snapshots[i].bytes);
    cm_free(state->snapshots);
    cm_free(state->fixed);
    cm_free(state->fixed_at);
    cm_kv_cache_close(&state->kv);
    *state = (struct sequence_state){0};
}

void cm_sequence_state_note(struct sequence_state *state, int n_positions)
{
    if (n_positions > state->n_written) state->n_written = n_positions;
    state->n_seen = n_positions;
}

/* ---- snapshots ---- */

static void forget(struct sequence_state *state, int i)
{
    cm_free(state->snapshots[i].bytes);
    for (state->n_snapshots--; i < state->n_snapshots; i++) state->snapshots[i] = state->snapshots[i + 1];
}

static void forget_one(struct sequence_state *state)
{
    int oldest = 0;
    for (int i = 1; i < state->n_snapshots; i++)
        if (state->snapshots[i].used < state->snapshots[oldest].used) oldest = i;
    forget(state, oldest);
}

calmoe_status cm_sequence_state_snapshot(struct sequence_state *state, int position)
{
    int at = state->n_snapshots;
    if (state->fixed_bytes == 0) return CALMOE_OK;
    for (int i = 0; i < state->n_snapshots; i++)
        if (state->snapshots[i].position == position) { /* a sequence that was read again may differ from there on */
            memcpy(state->snapshots[i].bytes, state->fixed, state->fixed_bytes);
            state->snapshots[i].used = ++state->n_uses;
            return CALMOE_OK;
        }
    uint8_t *bytes = cm_alloc(state->ctx, state->fixed_bytes, 1, "a snapshot");
    if (!bytes) return CALMOE_NO_MEMORY;
    if (state->n_snapshots == state->max_snapshots) forget_one(state);
    memcpy(bytes, state->fixed, state->fixed_bytes);
    for (at = state->n_snapshots++; at > 0 && state->snapshots[at - 1].position > position; at--)
        state->snapshots[at] = state->snapshots[at - 1];
    state->snapshots[at] = (struct state_snapshot){position, ++state->n_uses, bytes};
    return CALMOE_OK;
}

void cm_sequence_state_touch(struct sequence_state *state, int position)
{
    for (int i = 0; i < state->n_snapshots; i++)
        if (state->snapshots[i].position == position) state->snapshots[i].used = ++state->n_uses;
}

void cm_sequence_state_lose(struct sequence_state *state) { state->n_seen = -1; }

/* The last snapshot at or before the position; NULL: only the beginning is. */
static struct state_snapshot *snapshot_before(const struct sequence_state *state, int position)
{
    struct state_snapshot *found = NULL;
    for (int i = 0; i < state->n_snapshots && state->snapshots[i].position <= position; i++)
        found = &state->snapshots[i];
    return found;
}

static int rewind_fixed(struct sequence_state *state, int position)
{
    struct state_snapshot *snapshot = snapshot_before(state, position);
    const bool stands_there = state->n_seen == position;
    while (state->n_snapshots > 0 && state->snapshots[state->n_snapshots - 1].position > position)
        forget(state, state->n_snapshots - 1);
    if (stands_there) return position;
    state->n_seen = snapshot ? snapshot->position : 0;
    if (snapshot) memcpy(state->fixed, snapshot->bytes, state->fixed_bytes);
    else memset(state->fixed, 0, state->fixed_bytes);
    if (snapshot) snapshot->used = ++state->n_uses;
    return state->n_seen;
}

int cm_sequence_state_rewind(struct sequence_state *state, int position)
{
    if (position > 0 && !cm_kv_may_rewind(&state->kv, position, state->n_written)) position = 0;
    if (state->fixed_bytes > 0) position = rewind_fixed(state, position);
    if (position == 0) state->n_written = 0;
    return position;
}

/* ---- the whole of it ---- */

/* Spans of a layer that hold any of the first n_positions: all of them, or those that a ring still has. */
static int first_span_of(const struct kv_layer *layer, int n_spans)
{
    return layer->n_ring > 0 && n_spans > layer->n_ring ? n_spans - layer->n_ring : 0;
}

/* Calls see() for each region of the first n_positions, in a fixed order: layers, spans, kv heads. */
static calmoe_status each_region(const struct kv_cache *kv, int n_positions,
                                 calmoe_status (*see)(void *user, int layer, int span, int kv_head), void *user)
{
    const int n_spans = (n_positions + CM_ATTEND_SPAN - 1) / CM_ATTEND_SPAN;
    for (int layer = 0; layer < kv->n_layers; layer++) {
        const struct kv_layer *of = &kv->layers[layer];
        int n_heads = 0;
        for (int i = 0; i < kv->n_parts && of->region_bytes > 0; i++) n_heads += kv->parts[i].regions[layer].n_heads;
        for (int span = first_span_of(of, n_spans); span < n_spans; span++)
            for (int head = 0; head < n_heads; head++) CM_TRY(see(user, layer, span, head));
    }
    return CALMOE_OK;
}

struct copying {
    const struct kv_cache *from, *to;
    int                    first_span_kept[2];
};

/* Of a ring, only what both have. */
static calmoe_status copy_region(void *user, int layer, int span, int kv_head)
{
    const struct copying   *copying = user;
    const struct kv_region  from = cm_kv_region(copying->from, layer, kv_head, span);
    const struct kv_region  to = cm_kv_region(copying->to, layer, kv_head, span);
    const struct kv_layer  *of_from = &copying->from->layers[layer], *of_to = &copying->to->layers[layer];
    const size_t n_values_from = of_from->region_bytes - of_from->key_bytes;
    const size_t n_values_to = of_to->region_bytes - of_to->key_bytes;
    const size_t n_keys = of_from->key_bytes < of_to->key_bytes ? of_from->key_bytes : of_to->key_bytes;
    memcpy(to.keys, from.keys, n_keys);
    memcpy(to.values, from.values, n_values_from < n_values_to ? n_values_from : n_values_to);
    return CALMOE_OK;
}

void cm_sequence_state_copy(const struct sequence_state *from, int n_positions, struct sequence_state *to)
{
    struct copying copying = {.from = &from->kv, .to = &to->kv};
    (void)each_region(&from->kv, n_positions, copy_region, &copying); /* ascending: a ring's last spans stay */
    if (from->fixed_bytes > 0) memcpy(to->fixed, from->fixed, from->fixed_bytes);
    to->n_written = n_positions;
    to->n_seen = from->n_seen;
}

struct passing {
    const struct kv_cache *kv;
    calmoe_status (*put)(void *user, const void *bytes, size_t n);
    calmoe_status (*get)(void *user, void *bytes, size_t n);
    void *user;
};

static calmoe_status pass_region(void *user, int layer, int span, int kv_head)
{
    const struct passing   *passing = user;
    const struct kv_region  region = cm_kv_region(passing->kv, layer, kv_head, span);
    const size_t            n = passing->kv->layers[layer].region_bytes;
    return passing->put ? passing->put(passing->user, region.keys, n) : passing->get(passing->user, region.keys, n);
}

calmoe_status cm_sequence_state_write(const struct sequence_state *state, int n_positions,
                                      calmoe_status (*put)(void *user, const void *bytes, size_t n), void *user)
{
    struct passing passing = {.kv = &state->kv, .put = put, .user = user};
    CM_TRY(each_region(&state->kv, n_positions, pass_region, &passing));
    return state->fixed_bytes > 0 ? put(user, state->fixed, state->fixed_bytes) : CALMOE_OK;
}

calmoe_status cm_sequence_state_read(struct sequence_state *state, int n_positions,
                                     calmoe_status (*get)(void *user, void *bytes, size_t n), void *user)
{
    struct passing passing = {.kv = &state->kv, .get = get, .user = user};
    CM_TRY(each_region(&state->kv, n_positions, pass_region, &passing));
    state->n_written = state->n_seen = n_positions;
    return state->fixed_bytes > 0 ? get(user, state->fixed, state->fixed_bytes) : CALMOE_OK;
}
