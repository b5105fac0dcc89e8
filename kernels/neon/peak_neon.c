/* kernels/neon/peak_neon.c - peak loops of NEON: 16 independent chains. The empty asm makes the inputs opaque in every
 * round, so that the compiler neither folds nor drops the work. */
#include <arm_neon.h>

#include "kernels/peak.h"

enum { CHAINS = 16, STREAMS = 4 };

/* Bytes by the three steps that stand for a dot product. */
static double int8_peak(uint64_t rounds)
{
    int32x4_t sums[CHAINS];
    int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(-2);
    for (int i = 0; i < CHAINS; i++) sums[i] = vdupq_n_s32(i);
    for (uint64_t round = 0; round < rounds; round++) {
        __asm__ volatile("" : "+w"(a), "+w"(b));
#pragma GCC unroll 16
        for (int i = 0; i < CHAINS; i++) {
            const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(b)));
            sums[i] = vaddq_s32(sums[i], vpaddq_s32(low, vpaddlq_s16(vmull_high_s8(a, b))));
        }
    }
    for (int i = 0; i < CHAINS; i++) __asm__ volatile("" : : "w"(sums[i]));
    return (double)rounds * CHAINS * 16 * 2;
}

double cm_peak_f32_neon(uint64_t rounds)
{
    float32x4_t sums[CHAINS], a = vdupq_n_f32(0.5f), b = vdupq_n_f32(0.25f);
    for (int i = 0; i < CHAINS; i++) sums[i] = vdupq_n_f32((float)i);
    for (uint64_t round = 0; round < rounds; round++) {
        __asm__ volatile("" : "+w"(a), "+w"(b));
#pragma GCC unroll 16
        for (int i = 0; i < CHAINS; i++) sums[i] = vfmaq_f32(b, a, sums[i]);
    }
    for (int i = 0; i < CHAINS; i++) __asm__ volatile("" : : "w"(sums[i]));
    return (double)rounds * CHAINS * 4 * 2;
}

uint64_t cm_peak_read_neon(const void *bytes, size_t n_bytes)
{
    const uint64_t *at = bytes;
    uint64x2_t      sums[STREAMS] = {vdupq_n_u64(0), vdupq_n_u64(0), vdupq_n_u64(0), vdupq_n_u64(0)};
    for (size_t i = 0; i < n_bytes / 8; i += 2 * STREAMS)
#pragma GCC unroll 4
        for (int s = 0; s < STREAMS; s++) sums[s] = vaddq_u64(sums[s], vld1q_u64(at + i + 2 * (size_t)s));
    return vaddvq_u64(vaddq_u64(vaddq_u64(sums[0], sums[1]), vaddq_u64(sums[2], sums[3])));
}

extern const struct peak_row cm_peak_row_neon;
const struct peak_row cm_peak_row_neon = {
    .isa = ISA_NEON, .int8 = int8_peak, .f32 = cm_peak_f32_neon, .read = cm_peak_read_neon};
