/* runtime/forward/tuning.h - settings of kernels that are chosen by measuring, once for a machine. No bit of any result
 * depends on them. */
#ifndef RUNTIME_FORWARD_TUNING_H
#define RUNTIME_FORWARD_TUNING_H

#include "experts/machine.h"
#include "experts/packing.h"

/* Chooses how weights are read ahead, for the whole process: as it was measured on such a machine before, else by
 * measuring with the list's matrices, which are packed; where they are too few, it stays as it is. NO_MEMORY. */
calmoe_status cm_tune(const struct machine *machine, const struct pack_list *list);

#endif
