/* evex_kernels.h - the AVX-VNNI kernels in AVX-512's encoding of the same instruction: compiled from the very files of
 * kernels/avxvnni/, so that a machine with AVX-512 VNNI and without AVX-VNNI checks them. */
#ifndef TESTS_SUPPORT_EVEX_KERNELS_H
#define TESTS_SUPPORT_EVEX_KERNELS_H

#include "kernels/linear.h"

/* Kernel i, with the packing of its native row and named "linear_q4_0_avxvnni (EVEX)"; NULL past the end, and where
 * this build has no AVX-VNNI kernels. They need a CPU with ISA_AVX512VNNI. */
const struct linear_kernel *cm_evex_kernel_at(int i);

#endif
