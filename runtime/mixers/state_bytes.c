/* state_bytes.c - what a sequence keeps as bytes, for files: the same bytes on one rank and on several, each of which
 * keeps some heads. There rank 0 gathers what it puts, one span of a layer at a time, and hands on what it gets. */
#include <string.h>

#include "base/memory.h"
#include "base/ranks.h"
#include "runtime/mixers/mixer.h"
#include "runtime/mixers/state_parts.h"

void cm_sequence_state_wipe(struct sequence_state *state, int n_positions)
{
    const size_t element = state->kv.type == KV_F32 ? sizeof(float) : sizeof(uint16_t);
    const int    end = cm_kv_filled(state, n_positions);
    const size_t at = (size_t)end % CM_KV_BLOCK, n_left = CM_KV_BLOCK - at;
    const size_t block = (size_t)end % CM_ATTEND_SPAN / CM_KV_BLOCK;
    for (int layer = 0; layer < state->kv.n_layers && at > 0; layer++) {
        const struct kv_layer *of = &state->kv.layers[layer];
        const size_t key_bytes = of->key_bytes / cm_blocks_of(&state->kv);
        const size_t value_bytes = (of->region_bytes - of->key_bytes) / cm_blocks_of(&state->kv);
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

/* The first span that the row at n_positions, and rows behind it, look at. */
static int first_wanted(const struct kv_layer *layer, int n_positions)
{
    return layer->window > 0 && n_positions >= layer->window ? (n_positions + 1 - layer->window) / CM_ATTEND_SPAN : 0;
}

/* Heads of a layer that all ranks together keep. */
static int n_heads_of(const struct sequence_state *state, int layer)
{
    if (state->kv.layers[layer].region_bytes == 0) return 0;
    return cm_kept_heads(&state->spec->layers[layer].attention);
}

uint64_t cm_sequence_state_bytes(const struct sequence_state *state, int n_positions)
{
    const int n = cm_kv_filled(state, n_positions);
    uint64_t  n_bytes = state->fixed_bytes;
    for (int layer = 0; layer < state->kv.n_layers; layer++) {
        const uint64_t n_heads = (uint64_t)n_heads_of(state, layer);
        for (int span = first_wanted(&state->kv.layers[layer], n); span < cm_spans_of(n); span++) {
            const struct region_bytes bytes = cm_region_bytes(&state->kv, layer, cm_positions_in(span, n));
            n_bytes += n_heads * (bytes.keys + bytes.values);
        }
    }
    return n_bytes;
}

/* ---- passing on ---- */

struct passing {
    const struct sequence_state *state;
    calmoe_status (*put)(void *user, const void *bytes, size_t n);
    calmoe_status (*get)(void *user, void *bytes, size_t n);
    void    *user;
    bool     is_saved;     /* put, else get                                                        */
    uint8_t *own, *all;    /* of several ranks: what this one has of a span or layer, and what all have */
    calmoe_status status;  /* of rank 0's put: exchanges go on behind a failure                    */
};

/* What rank 0 hands on begins so. */
struct handed {
    uint64_t is_over; /* it could not get more */
};

static calmoe_status pass_bytes(const struct passing *p, void *bytes, size_t n)
{
    return p->is_saved ? p->put(p->user, bytes, n) : p->get(p->user, bytes, n);
}

/* One head of a span, from or to bytes, which lie as in a file. */
static void copy_head(const struct passing *p, int layer, int span, int head, struct region_bytes n, uint8_t *bytes)
{
    const struct kv_region region = cm_kv_region(&p->state->kv, layer, head, span);
    if (p->is_saved) {
        memcpy(bytes, region.keys, n.keys);
        memcpy(bytes + n.keys, region.values, n.values);
    } else {
        memcpy(region.keys, bytes, n.keys);
        memcpy(region.values, bytes + n.keys, n.values);
    }
}

static struct exchange *exchange_of(const struct passing *p) { return p->state->machine->exchange; }
static bool is_first(const struct passing *p) { return exchange_of(p)->shares->own == 0; }

/* All ranks' bytes, n[rank] of each, come to rank 0. */
static calmoe_status gather(struct passing *p, const size_t *n)
{
    return cm_ranks_gather(exchange_of(p)->ranks, p->own, n, p->all, 0);
}

static void put_all(struct passing *p, size_t n)
{
    if (is_first(p) && p->status == CALMOE_OK) p->status = p->put(p->user, p->all, n);
}

/* Rank 0 gets n bytes, which all ranks find at *bytes. */
static calmoe_status hand_on(struct passing *p, size_t n, uint8_t **bytes)
{
    struct handed *const head = (void *)p->all;
    size_t sizes[CM_MAX_RANKS] = {sizeof *head + n};
    calmoe_status status = CALMOE_OK;
    *bytes = p->all + sizeof *head;
    if (is_first(p)) status = p->get(p->user, *bytes, n);
    if (is_first(p)) head->is_over = status != CALMOE_OK;
    CM_TRY(cm_ranks_gather(exchange_of(p)->ranks, p->all, sizes, p->all, -1));
    if (is_first(p)) return status;
    return head->is_over ? CALMOE_CANCELLED : CALMOE_OK;
}

/* A span of a layer of which each rank has some heads; or, of latents, all. */
static calmoe_status pass_span_together(struct passing *p, int layer, int span, struct region_bytes n)
{
    const struct rank_shares *shares = exchange_of(p)->shares;
    const struct kept_heads own = cm_kept_here(&p->state->kv, layer);
    const int    n_heads = n_heads_of(p->state, layer);
    const size_t n_head = n.keys + n.values, own_at = (size_t)own.first * n_head;
    const bool   has_all = p->state->spec->layers[layer].attention.has_latents;
    int32_t      borders[CM_MAX_RANKS + 1];
    size_t       sizes[CM_MAX_RANKS] = {0};
    uint8_t     *bytes = p->own;
    cm_rank_borders(shares, n_heads, 1, borders);
    for (int rank = 0; rank < shares->n_ranks && !has_all; rank++)
        sizes[rank] = (size_t)(borders[rank + 1] - borders[rank]) * n_head;
    if (!p->is_saved) CM_TRY(hand_on(p, (size_t)n_heads * n_head, &bytes));
    if (!p->is_saved) bytes += own_at;
    for (int i = 0; i < own.n; i++) copy_head(p, layer, span, own.first + i, n, bytes + (size_t)i * n_head);
    if (!p->is_saved) return CALMOE_OK;
    if (!has_all) CM_TRY(gather(p, sizes));
    if (is_first(p)) memcpy(p->all + own_at, p->own, (size_t)own.n * n_head);
    put_all(p, (size_t)n_heads * n_head);
    return CALMOE_OK;
}

static calmoe_status pass_span(struct passing *p, int layer, int span, int n_positions)
{
    const struct region_bytes n = cm_region_bytes(&p->state->kv, layer, cm_positions_in(span, n_positions));
    if (exchange_of(p)) return pass_span_together(p, layer, span, n);
    for (int head = 0; head < n_heads_of(p->state, layer); head++) {
        const struct kv_region region = cm_kv_region(&p->state->kv, layer, head, span);
        CM_TRY(pass_bytes(p, region.keys, n.keys));
        CM_TRY(pass_bytes(p, region.values, n.values));
    }
    return CALMOE_OK;
}

/* A layer's state of fixed size. What a rank does not have of it is zero on that rank, so all together are the bits
 * that any of them has. */
static calmoe_status pass_fixed_together(struct passing *p, int layer, uint8_t *bytes, size_t n)
{
    const struct layer_spec  *spec = &p->state->spec->layers[layer];
    const struct rank_shares *shares = exchange_of(p)->shares;
    size_t sizes[CM_MAX_RANKS];
    if (!p->is_saved) {
        uint8_t *handed;
        CM_TRY(hand_on(p, n, &handed));
        memcpy(bytes, handed, n);
        const struct mixer *mixer = cm_mixers[spec->mixer];
        mixer->clear_others(mixer, spec, p->state->machine->plan, bytes);
        return CALMOE_OK;
    }
    for (int rank = 0; rank < shares->n_ranks; rank++) sizes[rank] = n;
    memcpy(p->own, bytes, n);
    CM_TRY(gather(p, sizes));
    if (!is_first(p)) return CALMOE_OK;
    memcpy(p->all, p->own, n);
    for (int rank = 1; rank < shares->n_ranks; rank++)
        for (size_t i = 0; i < n; i++) p->all[i] |= p->all[(size_t)rank * n + i];
    put_all(p, n);
    return CALMOE_OK;
}

static calmoe_status pass_fixed(struct passing *p)
{
    const struct sequence_state *state = p->state;
    if (state->fixed_bytes > 0 && !exchange_of(p)) return pass_bytes(p, state->fixed, state->fixed_bytes);
    for (int layer = 0; layer < state->spec->n_layers; layer++) {
        const size_t n = state->fixed_at[layer + 1] - state->fixed_at[layer];
        if (n > 0) CM_TRY(pass_fixed_together(p, layer, state->fixed + state->fixed_at[layer], n));
    }
    return CALMOE_OK;
}

/* n_positions: the cache's. */
static calmoe_status pass_all(struct passing *p, int n_positions)
{
    const struct kv_cache *kv = &p->state->kv;
    for (int layer = 0; layer < kv->n_layers; layer++) {
        if (kv->layers[layer].region_bytes == 0) continue;
        for (int span = first_wanted(&kv->layers[layer], n_positions); span < cm_spans_of(n_positions); span++)
            CM_TRY(pass_span(p, layer, span, n_positions));
    }
    CM_TRY(pass_fixed(p));
    return p->status;
}

/* What ranks need room for, at once. */
static calmoe_status open_room(struct passing *p)
{
    const struct sequence_state *state = p->state;
    size_t most = 0;
    if (!exchange_of(p)) return CALMOE_OK;
    for (int layer = 0; layer < state->spec->n_layers; layer++) {
        const size_t n = (size_t)n_heads_of(state, layer) * state->kv.layers[layer].region_bytes;
        const size_t n_fixed = state->fixed_at[layer + 1] - state->fixed_at[layer];
        most = n > most ? n : most;
        most = n_fixed > most ? n_fixed : most;
    }
    const size_t n_ranks = (size_t)exchange_of(p)->shares->n_ranks;
    p->own = cm_alloc(state->ctx, most, 1, "a session's state");
    p->all = cm_alloc(state->ctx, n_ranks * most + sizeof(struct handed), 1, "a session's state");
    return p->own && p->all ? CALMOE_OK : CALMOE_NO_MEMORY;
}

static calmoe_status pass(struct passing *p, int n_positions)
{
    calmoe_status status = open_room(p);
    if (status == CALMOE_OK) status = pass_all(p, cm_kv_filled(p->state, n_positions));
    cm_free(p->own);
    cm_free(p->all);
    return status;
}

calmoe_status cm_sequence_state_write(const struct sequence_state *state, int n_positions,
                                      calmoe_status (*put)(void *user, const void *bytes, size_t n), void *user)
{
    return pass(&(struct passing){.state = state, .put = put, .user = user, .is_saved = true}, n_positions);
}

calmoe_status cm_sequence_state_read(struct sequence_state *state, int n_positions,
                                     calmoe_status (*get)(void *user, void *bytes, size_t n), void *user)
{
    CM_TRY(pass(&(struct passing){.state = state, .get = get, .user = user}, n_positions));
    state->n_written = state->n_seen = n_positions;
    state->n_least = cm_least_position(state, first_wanted, cm_kv_filled(state, n_positions));
    return CALMOE_OK;
}
