/* runtime/proof/deal.h - prompts in a random order, for dealing them to parts. */
#ifndef RUNTIME_PROOF_DEAL_H
#define RUNTIME_PROOF_DEAL_H

#include <stdint.h>

/* prompts (n) = 0 … n - 1 in an order that depends on the seed and n alone, never on losses. */
void cm_deal(int *prompts, int n, uint64_t seed);

#endif
