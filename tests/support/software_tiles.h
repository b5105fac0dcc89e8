/* software_tiles.h - the AMX kernels on tiles in plain C: compiled from the very files of kernels/amx/, so that a
 * machine without AMX checks them. */
#ifndef TESTS_SUPPORT_SOFTWARE_TILES_H
#define TESTS_SUPPORT_SOFTWARE_TILES_H

#include <stdbool.h>

#include "kernels/linear.h"

/* Kernel i, with the packing of its native row and named "linear_q4_0_amx (software tiles)"; NULL past the end, and
 * where this build has no AMX kernels. They need a CPU with ISA_AVX512VNNI. */
const struct linear_kernel *cm_software_kernel_at(int i);

/* True between a configuration of this thread's software tiles and their release. */
bool cm_software_tiles_are_configured(void);

#endif
