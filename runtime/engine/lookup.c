/* runtime/engine/lookup.c - see lookup.h. */
#include "runtime/engine/lookup.h"

#include <stdbool.h>
#include <string.h>

enum { FIRST_DRAFTS = 4, LEAST_DRAFTS = 2, FIRST_PAUSE = 4, LONGEST_PAUSE = 256 };

void cm_lookup_begin(struct lookup *lookup) { lookup->n_next = FIRST_DRAFTS; }

void cm_lookup_forget(struct lookup *lookup, int n)
{
    if (lookup->n_seen > n) lookup->n_seen = n;
}

/* Of the LOOKUP_N tokens before a place. */
static int32_t *slot_of(struct lookup *lookup, const int32_t *end)
{
    uint32_t hash = 0;
    for (int i = LOOKUP_N; i > 0; i--) hash = (hash + (uint32_t)end[-i]) * 2654435761u;
    return &lookup->behind[hash >> 18 & (LOOKUP_TABLE - 1)];
}

static bool is_same(const int32_t *end, const int32_t *other)
{
    return memcmp(end - LOOKUP_N, other - LOOKUP_N, LOOKUP_N * sizeof *end) == 0;
}

/* The place before which the sequence's last tokens stood; 0: nowhere. What is in the table may be of tokens that are
 * gone, or of others with the same hash. */
static int find_place(struct lookup *lookup, const int32_t *tokens, int n)
{
    for (int at = lookup->n_seen < LOOKUP_N ? LOOKUP_N : lookup->n_seen; at < n; at++)
        *slot_of(lookup, tokens + at) = at;
    lookup->n_seen = n;
    const int place = n >= LOOKUP_N ? *slot_of(lookup, tokens + n) : 0;
    return place >= LOOKUP_N && place < n && is_same(tokens + place, tokens + n) ? place : 0;
}

int cm_lookup_find(struct lookup *lookup, const int32_t *tokens, int n, int32_t *draft, int most)
{
    const int place = find_place(lookup, tokens, n);
    int       n_drafts = most < lookup->n_next ? most : lookup->n_next;
    if (place == 0 || n_drafts < 1) return 0;
    if (lookup->n_paused < lookup->n_pause) {
        lookup->n_paused++;
        return 0;
    }
    for (int i = 0; i < n_drafts; i++) /* behind the sequence's end stands what is drafted */
        draft[i] = place + i < n ? tokens[place + i] : draft[place + i - n];
    return n_drafts;
}

void cm_lookup_note(struct lookup *lookup, int n_drafts, int n_accepted, double gain)
{
    if (n_accepted == n_drafts) lookup->n_next = 2 * n_drafts;
    else lookup->n_next = n_accepted + 1;
    if (lookup->n_next < LEAST_DRAFTS) lookup->n_next = LEAST_DRAFTS;
    if (lookup->n_next > LOOKUP_MOST) lookup->n_next = LOOKUP_MOST;
    if (gain >= 1.0) {
        lookup->n_pause = 0;
    } else {
        lookup->n_pause = lookup->n_pause == 0 ? FIRST_PAUSE : 2 * lookup->n_pause;
        if (lookup->n_pause > LONGEST_PAUSE) lookup->n_pause = LONGEST_PAUSE;
    }
    lookup->n_paused = 0;
}
