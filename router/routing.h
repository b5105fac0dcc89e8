/* router/routing.h - the contract between the router and experts/: who goes where. */
#ifndef ROUTER_ROUTING_H
#define ROUTER_ROUTING_H

#include <stdint.h>

struct routing {
    int      n_tokens;
    int      n_slots; /* experts of a token, 0 in a dense layer; slot 0 has the best selection score */
    int32_t *experts; /* (n_tokens, n_slots)                               */
    float   *weights; /* (n_tokens, n_slots) on the experts' outputs       */
    const uint8_t *n_kept; /* (n_tokens) slots that are run at most, the first of each; NULL = all */
};

static inline int cm_n_kept(const struct routing *routing, int token)
{
    return routing->n_kept && routing->n_kept[token] < routing->n_slots ? routing->n_kept[token] : routing->n_slots;
}

#endif
