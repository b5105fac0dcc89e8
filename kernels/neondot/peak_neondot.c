/* kernels/neondot/peak_neondot.c - the peak loop of NEON's dot product of bytes: 16 independent chains. The empty asm
 * makes the inputs opaque in every round. */
#include <arm_neon.h>

#include "kernels/peak.h"

enum { CHAINS = 16 };

static double int8_peak(uint64_t rounds)
{
    int32x4_t sums[CHAINS];
    int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(-2);
    for (int i = 0; i < CHAINS; i++) sums[i] = vdupq_n_s32(i);
    for (uint64_t round = 0; round < rounds; round++) {
        __asm__ volatile("" : "+w"(a), "+w"(b));
#pragma GCC unroll 16
        for (int i = 0; i < CHAINS; i++) sums[i] = vdotq_s32(sums[i], a, b);
    }
    for (int i = 0; i < CHAINS; i++) __asm__ volatile("" : : "w"(sums[i]));
    return (double)rounds * CHAINS * 16 * 2;
}

extern const struct peak_row cm_peak_row_neondot;
const struct peak_row cm_peak_row_neondot = {
    .isa = ISA_NEONDOT, .int8 = int8_peak, .f32 = cm_peak_f32_neon, .read = cm_peak_read_neon};
