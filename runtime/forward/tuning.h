/* runtime/forward/tuning.h - settings of kernels that are chosen by measuring, once for a machine. No bit of any result
 * depends on them. */
#ifndef RUNTIME_FORWARD_TUNING_H
#define RUNTIME_FORWARD_TUNING_H

#include "experts/machine.h"
#include "experts/packing.h"

enum { MACHINE_BYTES = 200 };

/* "AuthenticAMD, AMD EPYC 9R14, avx512vnni, 2 threads": all that times of such work depend on, where nobody else
 * works. */
void cm_tell_machine(const struct machine *machine, char text[MACHINE_BYTES]);

/* Chooses how weights are read ahead, for the whole process: as it was measured on such a machine before, else by
 * measuring with the list's matrices, which are packed; where they are too few, it stays as it is. NO_MEMORY. */
calmoe_status cm_tune(const struct machine *machine, const struct pack_list *list);

#endif
