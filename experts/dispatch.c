/* experts/dispatch.c - a counting sort of the routing by expert. */
#include "experts/dispatch.h"

#include <string.h>

#include "base/memory.h"

calmoe_status cm_dispatch_open(struct calmoe_context *ctx, int max_tokens, int max_slots, int n_experts,
                               struct dispatch *out)
{
    const size_t n_entries = (size_t)max_tokens * (size_t)max_slots, n = (size_t)n_experts + 1;
    *out = (struct dispatch){0};
    out->groups = cm_alloc(ctx, (size_t)n_experts + N_BANKS - 1, sizeof *out->groups, "the dispatch");
    out->token_of = cm_alloc(ctx, n_entries, sizeof *out->token_of, "the dispatch");
    out->entry_of = cm_alloc(ctx, n_entries, sizeof *out->entry_of, "the dispatch");
    out->counts = cm_alloc(ctx, n, sizeof *out->counts, "the dispatch");
    if (out->groups && out->token_of && out->entry_of && out->counts) return CALMOE_OK;
    cm_dispatch_close(out);
    return CALMOE_NO_MEMORY;
}

void cm_dispatch_close(struct dispatch *dispatch)
{
    cm_free(dispatch->groups);
    cm_free(dispatch->token_of);
    cm_free(dispatch->entry_of);
    cm_free(dispatch->counts);
    *dispatch = (struct dispatch){0};
}

static void add_entry(struct dispatch *out, int token, int slot, int entry)
{
    out->token_of[entry] = token;
    out->entry_of[(size_t)token * (size_t)out->n_slots + (size_t)slot] = entry;
}

/* A counting sort by expert. */
static void add_routed(const struct routing *routing, int n_experts, struct dispatch *out)
{
    const int n_slots = routing->n_slots;
    int *next = out->counts; /* first entry of each expert, later the next free one */
    memset(next, 0, ((size_t)n_experts + 1) * sizeof *next);
    for (int token = 0; token < routing->n_tokens; token++) {
        const int n_kept = cm_n_kept(routing, token);
        for (int slot = 0; slot < n_kept; slot++) next[routing->experts[token * n_slots + slot] + 1]++;
        out->n_of_bank[BANK_ROUTED] += n_kept;
    }
    for (int expert = 0; expert < n_experts; expert++) {
        const int n = next[expert + 1];
        next[expert + 1] += next[expert];
        if (n > 0) out->groups[out->n_groups++] = (struct expert_group){BANK_ROUTED, expert, next[expert], n};
    }
    for (int token = 0; token < routing->n_tokens; token++)
        for (int slot = 0; slot < cm_n_kept(routing, token); slot++)
            add_entry(out, token, slot, next[routing->experts[token * n_slots + slot]]++);
}

void cm_dispatch(const struct routing *routing, int n_tokens, int n_experts, unsigned always, struct dispatch *out)
{
    out->n_tokens = n_tokens;
    out->n_slots = out->n_routed_slots = routing ? routing->n_slots : 0;
    out->n_groups = 0;
    memset(out->first, 0, sizeof out->first);
    memset(out->n_of_bank, 0, sizeof out->n_of_bank);
    for (int bank = 0; bank < N_BANKS; bank++)
        if (always >> bank & 1) out->n_slots++;
    if (routing) add_routed(routing, n_experts, out);
    int first = out->n_of_bank[BANK_ROUTED], slot = out->n_routed_slots;
    for (int bank = 0; bank < N_BANKS; bank++) {
        if (!(always >> bank & 1)) continue;
        for (int token = 0; token < n_tokens; token++) add_entry(out, token, slot, first + token);
        out->groups[out->n_groups++] = (struct expert_group){bank, 0, first, n_tokens};
        out->first[bank] = first;
        out->n_of_bank[bank] = n_tokens;
        first += n_tokens;
        slot++;
    }
}
