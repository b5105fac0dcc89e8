/* router/routing.h - the contract between the router and experts/: who goes where. */
#ifndef ROUTER_ROUTING_H
#define ROUTER_ROUTING_H

#include <stdint.h>

struct routing {
    int      n_tokens;
    int      n_slots; /* experts of a token; slot 0 has the best selection score */
    int32_t *experts; /* (n_tokens, n_slots)                               */
    float   *weights; /* (n_tokens, n_slots) on the experts' outputs       */
};

#endif
