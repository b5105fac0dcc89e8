/* stack.h - whether a thread's stack is large enough for what calmoe does on it.
 *
 * `ulimit -s`, OMP_STACKSIZE or a host's own thread may make a stack so small that opening a model or running a step
 * would run over its end, which ends the process. So the stack is looked at first, and the call refused. */
#ifndef CALMOE_BASE_STACK_H
#define CALMOE_BASE_STACK_H

#include <stddef.h>
#include "base/status.h"

/* Bytes of the calling thread's stack if it is too small; 0 if it is large enough, or the system does not tell. */
size_t cm_small_stack(void);

/* Says that a stack of n_bytes is too small; CALMOE_SYSTEM. */
calmoe_status cm_refuse_stack(struct calmoe_context *ctx, size_t n_bytes);

#endif
