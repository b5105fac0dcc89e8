/* runtime/forward/step_barriers.h - how often all threads meet in a step on one rank, told beforehand: a pure function
 * of the model. What is counted while steps run is the same (test_step_barriers). */
#ifndef RUNTIME_FORWARD_STEP_BARRIERS_H
#define RUNTIME_FORWARD_STEP_BARRIERS_H

#include "runtime/families/model_spec.h"

/* Of a step that wants logits, without exits. A layer's feed-forward part has three: experts are dealt out when all
 * rows are routed, down needs all of the hidden states, and sums need all of what the experts gave. n_workers:
 * of all nodes, which have equally many. */
int cm_step_barriers(const struct model_spec *spec, int n_workers);

#endif
