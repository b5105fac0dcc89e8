/* experts/dispatch.h - routing to work: the tokens of a step, grouped by expert once for the layer.
 *
 * Every kept (token, slot) of the routing becomes one entry; entries of one expert stand together, tokens
 * ascending. An expert that only dropped slots name has no group: it costs nothing. Each bank whose expert every token
 * takes has one entry more for each token, after all others, in the order of the banks. */
#ifndef EXPERTS_DISPATCH_H
#define EXPERTS_DISPATCH_H

#include "base/status.h"
#include "experts/banks.h"
#include "router/routing.h"

struct expert_group { /* the entries of one expert that has any */
    int bank;
    int expert;
    int first;        /* entry */
    int n;
};

struct dispatch {
    int                  n_tokens;
    int                  n_slots;   /* of a token: n_routed_slots, then one for each bank that every token takes */
    int                  n_routed_slots;
    int                  first[N_BANKS]; /* entries of each bank: the first                    */
    int                  n_of_bank[N_BANKS]; /* and how many                                   */
    int                  n_groups;
    struct expert_group *groups;    /* (n_groups): routed by expert index, then the other banks' */
    int32_t             *token_of;  /* (n_entries)                                             */
    int32_t             *entry_of;  /* (n_tokens, n_slots); of dropped slots not set            */
    int                 *counts;    /* scratch (n_experts + 1)                                 */
};

calmoe_status cm_dispatch_open(struct calmoe_context *ctx, int max_tokens, int max_slots, int n_experts,
                               struct dispatch *out);
void          cm_dispatch_close(struct dispatch *dispatch);

/* routing: experts are in [0, n_experts); NULL: there are none. always: a bit (1 << bank) for each bank whose expert
 * all n_tokens tokens take. */
void cm_dispatch(const struct routing *routing, int n_tokens, int n_experts, unsigned always, struct dispatch *out);

#endif
