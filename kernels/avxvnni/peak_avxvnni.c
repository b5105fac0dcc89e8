/* kernels/avxvnni/peak_avxvnni.c - the peak loop of AVX-VNNI: 12 independent chains, which with their inputs fit the
 * 16 registers. The empty asm makes the inputs opaque in every round. */
#include <immintrin.h>

#include "kernels/peak.h"

enum { CHAINS = 12 };

static double int8_peak(uint64_t rounds)
{
    __m256i sums[CHAINS], a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(-2);
    for (int i = 0; i < CHAINS; i++) sums[i] = _mm256_set1_epi32(i);
    for (uint64_t round = 0; round < rounds; round++) {
        __asm__ volatile("" : "+x"(a), "+x"(b));
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) sums[i] = _mm256_dpbusd_avx_epi32(sums[i], a, b);
    }
    for (int i = 0; i < CHAINS; i++) __asm__ volatile("" : : "x"(sums[i]));
    return (double)rounds * CHAINS * 32 * 2;
}

extern const struct peak_row cm_peak_row_avxvnni;
const struct peak_row cm_peak_row_avxvnni = {
    .isa = ISA_AVXVNNI, .int8 = int8_peak, .f32 = cm_peak_f32_avx2, .read = cm_peak_read_avx2};
