/* experts/dispatch.c - a counting sort of the routing by expert. */
#include "experts/dispatch.h"

#include <string.h>

#include "base/memory.h"
#include "experts/expert_store.h"

calmoe_status cm_dispatch_open(struct calmoe_context *ctx, int max_tokens, int max_slots, int n_experts,
                               struct dispatch *out)
{
    const size_t n_entries = (size_t)max_tokens * (size_t)max_slots, n = (size_t)n_experts + 1;
    *out = (struct dispatch){0};
    out->groups = cm_alloc(ctx, n, sizeof *out->groups, "the dispatch");
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

void cm_dispatch(const struct routing *routing, int n_experts, int has_shared, struct dispatch *out)
{
    const int n_slots = routing->n_slots;
    out->n_tokens = routing->n_tokens;
    out->n_slots = n_slots + (has_shared ? 1 : 0);
    out->n_routed = 0;
    out->n_groups = 0;

    int *next = out->counts; /* first entry of each expert, later the next free one */
    memset(next, 0, ((size_t)n_experts + 1) * sizeof *next);
    for (int token = 0; token < routing->n_tokens; token++) {
        const int n_kept = cm_n_kept(routing, token);
        for (int slot = 0; slot < n_kept; slot++) next[routing->experts[token * n_slots + slot] + 1]++;
        out->n_routed += n_kept;
    }
    for (int expert = 0; expert < n_experts; expert++) {
        const int n = next[expert + 1];
        next[expert + 1] += next[expert];
        if (n > 0) out->groups[out->n_groups++] = (struct expert_group){BANK_ROUTED, expert, next[expert], n};
    }
    for (int token = 0; token < routing->n_tokens; token++)
        for (int slot = 0; slot < cm_n_kept(routing, token); slot++)
            add_entry(out, token, slot, next[routing->experts[token * n_slots + slot]]++);
    if (!has_shared) return;
    for (int token = 0; token < routing->n_tokens; token++) add_entry(out, token, n_slots, out->n_routed + token);
    out->groups[out->n_groups++] =
        (struct expert_group){BANK_SHARED, 0, out->n_routed, routing->n_tokens};
}
