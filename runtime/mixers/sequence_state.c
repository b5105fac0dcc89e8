/* runtime/mixers/sequence_state.c - see sequence_state.h. */
#include "runtime/mixers/sequence_state.h"

#include <string.h>

#include "base/memory.h"
#include "runtime/mixers/mixer.h"
#include "runtime/mixers/state_parts.h"

static void tell(const struct sequence_state *state, enum state_event event, int value, int from_id)
{
    const struct state_listener *listener = &state->listener;
    if (listener->tell) listener->tell(listener->user, event, listener->id, value, from_id);
}

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

calmoe_status cm_sequence_state_open(const struct machine *machine, const struct model_spec *spec,
                                     const struct state_place *place, struct sequence_state *out)
{
    *out = (struct sequence_state){.ctx = machine->ctx, .machine = machine, .spec = spec, .n_prefix = place->n_prefix};
    calmoe_status status = cm_kv_cache_open(machine->ctx, spec, place->type, place->n_prefix + place->n_positions,
                                            place->max_rows, machine->topology, machine->plan, &out->kv);
    if (status == CALMOE_OK) status = open_fixed(spec, place->snapshot_bytes, out);
    if (status != CALMOE_OK) cm_sequence_state_close(out);
    return status;
}

static void let_go(struct kept_state *kept)
{
    if (--kept->n_holders == 0) cm_free(kept);
}

void cm_sequence_state_close(struct sequence_state *state)
{
    tell(state, STATE_CLOSE, 0, 0);
    for (int i = 0; i < state->n_snapshots; i++) let_go(state->snapshots[i].kept);
    cm_free(state->snapshots);
    for (int i = 0; i < state->n_kept; i++) cm_free(state->kept[i]);
    cm_free(state->kept);
    cm_free(state->fixed);
    cm_free(state->fixed_at);
    cm_kv_cache_close(&state->kv);
    *state = (struct sequence_state){0};
}

void cm_sequence_state_note(struct sequence_state *state, int n_positions)
{
    tell(state, STATE_NOTE, n_positions, 0);
    if (n_positions > state->n_written) state->n_written = n_positions;
    state->n_seen = n_positions;
}

/* ---- snapshots ---- */

static void forget(struct sequence_state *state, int i)
{
    let_go(state->snapshots[i].kept);
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
    int at;
    if (state->fixed_bytes == 0) return CALMOE_OK;
    tell(state, STATE_SNAPSHOT, position, 0);
    for (int i = 0; i < state->n_snapshots; i++)
        if (state->snapshots[i].position == position) { /* a sequence that was read again may differ from there on */
            forget(state, i);
            break;
        }
    if (state->n_snapshots == state->max_snapshots) forget_one(state);
    struct kept_state *kept = cm_alloc(state->ctx, sizeof *kept + state->fixed_bytes, 1, "a snapshot");
    if (!kept) return CALMOE_NO_MEMORY;
    kept->n_holders = 1;
    memcpy(kept->bytes, state->fixed, state->fixed_bytes);
    for (at = state->n_snapshots++; at > 0 && state->snapshots[at - 1].position > position; at--)
        state->snapshots[at] = state->snapshots[at - 1];
    state->snapshots[at] = (struct state_snapshot){position, ++state->n_uses, kept};
    return CALMOE_OK;
}

void cm_sequence_state_touch(struct sequence_state *state, int position)
{
    tell(state, STATE_TOUCH, position, 0);
    for (int i = 0; i < state->n_snapshots; i++)
        if (state->snapshots[i].position == position) state->snapshots[i].used = ++state->n_uses;
}

calmoe_status cm_sequence_state_keep(struct sequence_state *state, int n, size_t n_bytes)
{
    if (state->fixed_bytes == 0 || state->kept) return CALMOE_OK;
    if ((size_t)n > n_bytes / state->fixed_bytes) n = (int)(n_bytes / state->fixed_bytes);
    state->kept = cm_alloc(state->ctx, (size_t)n, sizeof *state->kept, "states of drafts");
    if (!state->kept) return CALMOE_NO_MEMORY;
    while (state->n_kept < n) {
        uint8_t *bytes = cm_alloc(state->ctx, state->fixed_bytes, 1, "states of drafts");
        if (!bytes) return CALMOE_NO_MEMORY;
        state->kept[state->n_kept++] = bytes;
    }
    return CALMOE_OK;
}

void cm_sequence_state_take_kept(struct sequence_state *state, int i, int n_positions)
{
    tell(state, STATE_TAKE_KEPT, n_positions, i);
    uint8_t *const bytes = state->kept[i];
    state->kept[i] = state->fixed;
    state->fixed = bytes;
    state->n_seen = n_positions;
}

void cm_sequence_state_lose(struct sequence_state *state)
{
    tell(state, STATE_LOSE, 0, 0);
    state->n_seen = -1;
}

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
    if (snapshot) memcpy(state->fixed, snapshot->kept->bytes, state->fixed_bytes);
    else memset(state->fixed, 0, state->fixed_bytes);
    if (snapshot) snapshot->used = ++state->n_uses;
    return state->n_seen;
}

int cm_sequence_state_rewind(struct sequence_state *state, int position)
{
    tell(state, STATE_REWIND, position, 0);
    if (position < state->n_least || !cm_kv_may_rewind(&state->kv, cm_kv_position(state, position),
                                                       cm_kv_filled(state, state->n_written)))
        position = 0;
    if (state->fixed_bytes > 0) position = rewind_fixed(state, position);
    if (position == 0) state->n_written = state->n_least = 0;
    return position;
}

/* ---- the whole of it ---- */

/* The first span that a layer has of what was written up to n_written: of all, or of those that a ring still has. */
static int first_kept(const struct kv_layer *layer, int n_written)
{
    const int n_spans = cm_spans_of(n_written);
    return layer->n_ring > 0 && n_spans > layer->n_ring ? n_spans - layer->n_ring : 0;
}

/* The blocks of one kv head that hold any of the first n positions of a span. */
static void copy_region(const struct kv_cache *from, struct kv_cache *to, int layer, int span, int kv_head, int n)
{
    const struct kv_region region = cm_kv_region(from, layer, kv_head, span);
    const struct kv_region copy = cm_kv_region(to, layer, kv_head, span);
    const struct region_bytes bytes = cm_region_bytes(from, layer, n);
    memcpy(copy.keys, region.keys, bytes.keys);
    memcpy(copy.values, region.values, bytes.values);
}

/* All that the layers have of the cache's first n_positions, but for the first n_skipped spans of layers that keep all.
 * Ascending: a ring's last spans stay. */
static void copy_all(const struct sequence_state *from, int n_positions, int n_skipped, struct kv_cache *to)
{
    const struct kv_cache *kv = &from->kv;
    for (int layer = 0; layer < kv->n_layers; layer++) {
        const struct kept_heads heads = cm_kept_here(kv, layer);
        int span = first_kept(&kv->layers[layer], cm_kv_filled(from, from->n_written));
        if (kv->layers[layer].n_ring == 0 && span < n_skipped) span = n_skipped;
        for (; span < cm_spans_of(n_positions); span++)
            for (int head = heads.first; head < heads.first + heads.n; head++)
                copy_region(kv, to, layer, span, head, cm_positions_in(span, n_positions));
    }
}

calmoe_status cm_sequence_state_own(struct sequence_state *state, int first, int end, int n_kept)
{
    return cm_kv_cache_own(&state->kv, cm_kv_filled(state, first), cm_kv_position(state, end),
                           cm_kv_filled(state, n_kept));
}

/* Those before n_positions, or as many of the last ones as find room. */
static void share_snapshots(const struct sequence_state *from, int n_positions, struct sequence_state *to)
{
    int n = from->n_snapshots;
    while (n > 0 && from->snapshots[n - 1].position > n_positions) n--;
    for (int i = n > to->max_snapshots ? n - to->max_snapshots : 0; i < n; i++) {
        to->snapshots[to->n_snapshots++] = from->snapshots[i];
        from->snapshots[i].kept->n_holders++;
    }
    to->n_uses = from->n_uses;
}

int cm_sequence_state_copy(const struct sequence_state *from, int n_positions, struct sequence_state *to, int *n_shared)
{
    tell(to, STATE_COPY, n_positions, from->listener.id);
    const int            n_spans = cm_kv_cache_share(&from->kv, *n_shared / CM_ATTEND_SPAN, &to->kv);
    const int            n_written = cm_kv_filled(from, from->n_written);
    const int            least = cm_least_position(from, first_kept, n_written);
    *n_shared = n_spans * CM_ATTEND_SPAN;
    copy_all(from, cm_kv_filled(from, n_positions), n_spans, &to->kv);
    to->n_written = to->n_seen = n_positions;
    to->n_least = from->n_least > least ? from->n_least : least;
    if (from->fixed_bytes == 0) return n_positions;
    const struct state_snapshot *snapshot = snapshot_before(from, n_positions);
    const bool                   stands_there = from->n_seen == n_positions;
    if (!stands_there) to->n_seen = snapshot ? snapshot->position : 0;
    if (to->n_seen == 0) memset(to->fixed, 0, to->fixed_bytes);
    else memcpy(to->fixed, stands_there ? from->fixed : snapshot->kept->bytes, to->fixed_bytes);
    share_snapshots(from, n_positions, to);
    return to->n_seen;
}
