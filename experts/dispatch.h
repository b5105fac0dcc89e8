/* experts/dispatch.h - routing to work: the tokens of a step, grouped by expert once for the layer.
 *
 * Every kept (token, slot) of the routing becomes one entry; entries of one expert stand together, tokens
 * ascending. An expert that only dropped slots name has no group: it costs nothing. Where the layer has a shared
 * expert, each token has one entry more, after all others. */
#ifndef EXPERTS_DISPATCH_H
#define EXPERTS_DISPATCH_H

#include "base/status.h"
#include "router/routing.h"

struct expert_group { /* the entries of one expert that has any */
    int bank;
    int expert;
    int first;        /* entry */
    int n;
};

struct dispatch {
    int                  n_tokens;
    int                  n_slots;   /* of a token, the shared expert's included                */
    int                  n_routed;  /* entries of routed experts; those of the shared follow   */
    int                  n_groups;
    struct expert_group *groups;    /* (n_groups): routed by expert index, then shared         */
    int32_t             *token_of;  /* (n_entries)                                             */
    int32_t             *entry_of;  /* (n_tokens, n_slots); of dropped slots not set            */
    int                 *counts;    /* scratch (n_experts + 1)                                 */
};

calmoe_status cm_dispatch_open(struct calmoe_context *ctx, int max_tokens, int max_slots, int n_experts,
                               struct dispatch *out);
void          cm_dispatch_close(struct dispatch *dispatch);

/* routing->experts are in [0, n_experts). */
void cm_dispatch(const struct routing *routing, int n_experts, int has_shared, struct dispatch *out);

#endif
