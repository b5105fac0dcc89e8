/* runtime/api/hand_out.h - what an engine's statistics and a profile hand out alike: the work of a memory node. */
#ifndef RUNTIME_API_HAND_OUT_H
#define RUNTIME_API_HAND_OUT_H

#include <calmoe/stats.h>

#include "runtime/documents/profile_file.h"

/* out has its size set. */
void cm_hand_out_node(const struct profile_node *node, calmoe_node_stats *out);

/* seconds, bytes (PROFILE_PHASES) to to_seconds, to_bytes (n), each of which may be NULL; 0 for phases beyond. */
void cm_hand_out_phases(const double *seconds, const uint64_t *bytes, double *to_seconds, uint64_t *to_bytes, int n);

#endif
