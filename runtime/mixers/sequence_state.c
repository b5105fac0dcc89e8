/* runtime/mixers/sequence_state.c - see sequence_state.h. */
#include "runtime/mixers/sequence_state.h"

#include <string.h>

#include "base/memory.h"
#include "runtime/mixers/mixer.h"

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
    *out = (struct sequence_state){.ctx = machine->ctx, .n_prefix = place->n_prefix};
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
    struct kept_state *kept = cm_alloc(state->ctx, sizeof *kept + state->fixed_bytes, 1, "a snapshot");
    if (!kept) return CALMOE_NO_MEMORY;
    kept->n_holders = 1;
    memcpy(kept->bytes, state->fixed, state->fixed_bytes);
    if (state->n_snapshots == state->max_snapshots) forget_one(state);
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

static int spans_of(int n_positions) { return (n_positions + CM_ATTEND_SPAN - 1) / CM_ATTEND_SPAN; }

/* The first span that a layer has of what was written up to n_written: of all, or of those that a ring still has. */
static int first_kept(const struct kv_layer *layer, int n_written)
{
    const int n_spans = spans_of(n_written);
    return layer->n_ring > 0 && n_spans > layer->n_ring ? n_spans - layer->n_ring : 0;
}

/* The first span that the row at n_positions, and rows behind it, look at. */
static int first_wanted(const struct kv_layer *layer, int n_positions)
{
    return layer->window > 0 && n_positions >= layer->window ? (n_positions + 1 - layer->window) / CM_ATTEND_SPAN : 0;
}

/* Where a sequence may stand at least, besides at 0, so that no layer misses what lies before the span that it has
 * first. first: first_kept() or first_wanted(), with n of the cache's positions. */
static int least_position(const struct sequence_state *state, int (*first)(const struct kv_layer *layer, int n), int n)
{
    const struct kv_cache *kv = &state->kv;
    int                    least = 0;
    for (int layer = 0; layer < kv->n_layers; layer++) {
        const int begin = first(&kv->layers[layer], n) * CM_ATTEND_SPAN;
        if (begin > 0 && begin + kv->layers[layer].window - 1 > least) least = begin + kv->layers[layer].window - 1;
    }
    return least > state->n_prefix ? least - state->n_prefix : 0;
}

struct passing {
    const struct kv_cache *kv;   /* the one that regions are of                                           */
    const struct kv_cache *to;   /* to be copied to; NULL: put or get                                     */
    calmoe_status (*put)(void *user, const void *bytes, size_t n);
    calmoe_status (*get)(void *user, void *bytes, size_t n);
    void *user;
    int   n_skipped;             /* spans of layers that keep all of them */
};

static size_t blocks_of(const struct kv_cache *kv)
{
    return (size_t)(kv->capacity < CM_ATTEND_SPAN ? kv->capacity : CM_ATTEND_SPAN) / CM_KV_BLOCK;
}

/* Keys, or values, of n_bytes in a region. */
static calmoe_status pass_bytes(const struct passing *passing, void *bytes, void *to, size_t n_bytes)
{
    if (passing->put) return passing->put(passing->user, bytes, n_bytes);
    if (passing->get) return passing->get(passing->user, bytes, n_bytes);
    memcpy(to, bytes, n_bytes);
    return CALMOE_OK;
}

/* The blocks of one kv head that hold any of the first n positions of a span. */
static calmoe_status pass_region(const struct passing *passing, int layer, int span, int kv_head, int n)
{
    const struct kv_layer *of = &passing->kv->layers[layer];
    const size_t           n_blocks = ((size_t)n + CM_KV_BLOCK - 1) / CM_KV_BLOCK, all = blocks_of(passing->kv);
    const struct kv_region region = cm_kv_region(passing->kv, layer, kv_head, span);
    struct kv_region       to = {NULL, NULL};
    if (passing->to) to = cm_kv_region(passing->to, layer, kv_head, span);
    CM_TRY(pass_bytes(passing, region.keys, to.keys, of->key_bytes / all * n_blocks));
    return pass_bytes(passing, region.values, to.values, (of->region_bytes - of->key_bytes) / all * n_blocks);
}

/* All that the layers have of the cache's first n_positions from the span that first() says on, in a fixed order:
 * layers, spans, kv heads, of each keys and values. */
static calmoe_status pass_all(const struct passing *passing, int n_positions,
                              int (*first)(const struct kv_layer *layer, int n), int n_of_first)
{
    const struct kv_cache *kv = passing->kv;
    for (int layer = 0; layer < kv->n_layers; layer++) {
        int first_head = 0, n_heads = 0;
        for (int i = 0; i < kv->n_parts && kv->layers[layer].region_bytes > 0; i++) {
            if (i == 0) first_head = kv->parts[i].regions[layer].first_head;
            n_heads += kv->parts[i].regions[layer].n_heads;
        }
        int span = first(&kv->layers[layer], n_of_first);
        if (kv->layers[layer].n_ring == 0 && span < passing->n_skipped) span = passing->n_skipped;
        for (; span < spans_of(n_positions); span++) {
            const int left = n_positions - span * CM_ATTEND_SPAN, n = left < CM_ATTEND_SPAN ? left : CM_ATTEND_SPAN;
            for (int head = first_head; head < first_head + n_heads; head++)
                CM_TRY(pass_region(passing, layer, span, head, n));
        }
    }
    return CALMOE_OK;
}

void cm_sequence_state_wipe(struct sequence_state *state, int n_positions)
{
    const size_t element = state->kv.type == KV_F32 ? sizeof(float) : sizeof(uint16_t);
    const int    end = cm_kv_filled(state, n_positions);
    const size_t at = (size_t)end % CM_KV_BLOCK, n_left = CM_KV_BLOCK - at;
    const size_t block = (size_t)end % CM_ATTEND_SPAN / CM_KV_BLOCK;
    for (int layer = 0; layer < state->kv.n_layers && at > 0; layer++) {
        const struct kv_layer *of = &state->kv.layers[layer];
        const size_t key_bytes = of->key_bytes / blocks_of(&state->kv);
        const size_t value_bytes = (of->region_bytes - of->key_bytes) / blocks_of(&state->kv);
        for (int i = 0; i < state->kv.n_parts && of->region_bytes > 0; i++) {
            const struct kv_regions *regions = &state->kv.parts[i].regions[layer];
            for (int head = regions->first_head; head < regions->first_head + regions->n_heads; head++) {
                const struct kv_region region = cm_kv_region(&state->kv, layer, head, end / CM_ATTEND_SPAN);
                uint8_t *keys = (uint8_t *)region.keys + block * key_bytes; /* (head_size, 64) */
                for (size_t d = 0; d < key_bytes / (CM_KV_BLOCK * element); d++)
                    memset(keys + (d * CM_KV_BLOCK + at) * element, 0, n_left * element);
                memset((uint8_t *)region.values + block * value_bytes + at * (value_bytes / CM_KV_BLOCK), 0,
                       n_left * (value_bytes / CM_KV_BLOCK));
            }
        }
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
    const struct passing copying = {.kv = &from->kv, .to = &to->kv, .n_skipped = n_spans};
    const int            n_written = cm_kv_filled(from, from->n_written);
    const int            least = least_position(from, first_kept, n_written);
    *n_shared = n_spans * CM_ATTEND_SPAN;
    /* ascending: a ring's last spans stay */
    (void)pass_all(&copying, cm_kv_filled(from, n_positions), first_kept, n_written);
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

calmoe_status cm_sequence_state_write(const struct sequence_state *state, int n_positions,
                                      calmoe_status (*put)(void *user, const void *bytes, size_t n), void *user)
{
    const struct passing passing = {.kv = &state->kv, .put = put, .user = user};
    const int            n = cm_kv_filled(state, n_positions);
    CM_TRY(pass_all(&passing, n, first_wanted, n));
    return state->fixed_bytes > 0 ? put(user, state->fixed, state->fixed_bytes) : CALMOE_OK;
}

static calmoe_status count(void *user, const void *bytes, size_t n)
{
    (void)bytes;
    *(uint64_t *)user += n;
    return CALMOE_OK;
}

uint64_t cm_sequence_state_bytes(const struct sequence_state *state, int n_positions)
{
    uint64_t n_bytes = 0;
    (void)cm_sequence_state_write(state, n_positions, count, &n_bytes);
    return n_bytes;
}

calmoe_status cm_sequence_state_read(struct sequence_state *state, int n_positions,
                                     calmoe_status (*get)(void *user, void *bytes, size_t n), void *user)
{
    const struct passing passing = {.kv = &state->kv, .get = get, .user = user};
    const int            n = cm_kv_filled(state, n_positions);
    CM_TRY(pass_all(&passing, n, first_wanted, n));
    state->n_written = state->n_seen = n_positions;
    state->n_least = least_position(state, first_wanted, n);
    return state->fixed_bytes > 0 ? get(user, state->fixed, state->fixed_bytes) : CALMOE_OK;
}
