/* kernels/avx512vnni/peak_avx512vnni.c - peak loops of AVX-512 and VNNI: 16 independent chains, which with their
 * inputs fit the 32 registers and hide 4 to 5 cycles of latency at two instructions a cycle. The empty asm makes the
 * inputs opaque in every round, so that the compiler neither folds nor drops the work. */
#include <immintrin.h>

#include "kernels/peak.h"

enum { CHAINS = 16, STREAMS = 4 };

static double int8_peak(uint64_t rounds)
{
    __m512i sums[CHAINS], a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(-2);
    for (int i = 0; i < CHAINS; i++) sums[i] = _mm512_set1_epi32(i);
    for (uint64_t round = 0; round < rounds; round++) {
        __asm__ volatile("" : "+v"(a), "+v"(b));
#pragma GCC unroll 16
        for (int i = 0; i < CHAINS; i++) sums[i] = _mm512_dpbusd_epi32(sums[i], a, b);
    }
    for (int i = 0; i < CHAINS; i++) __asm__ volatile("" : : "v"(sums[i]));
    return (double)rounds * CHAINS * 64 * 2;
}

double cm_peak_f32_avx512vnni(uint64_t rounds)
{
    __m512 sums[CHAINS], a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(0.25f);
    for (int i = 0; i < CHAINS; i++) sums[i] = _mm512_set1_ps((float)i);
    for (uint64_t round = 0; round < rounds; round++) {
        __asm__ volatile("" : "+v"(a), "+v"(b));
#pragma GCC unroll 16
        for (int i = 0; i < CHAINS; i++) sums[i] = _mm512_fmadd_ps(a, sums[i], b);
    }
    for (int i = 0; i < CHAINS; i++) __asm__ volatile("" : : "v"(sums[i]));
    return (double)rounds * CHAINS * 16 * 2;
}

uint64_t cm_peak_read_avx512vnni(const void *bytes, size_t n_bytes)
{
    const uint8_t *at = bytes;
    __m512i        sums[STREAMS] = {_mm512_setzero_si512()};
    for (size_t i = 0; i < n_bytes; i += 64 * STREAMS)
#pragma GCC unroll 4
        for (int s = 0; s < STREAMS; s++)
            sums[s] = _mm512_add_epi64(sums[s], _mm512_load_si512(at + i + 64 * (size_t)s));
    const __m512i low = _mm512_add_epi64(sums[0], sums[1]), high = _mm512_add_epi64(sums[2], sums[3]);
    uint64_t      lanes[8], sum = 0;
    _mm512_storeu_si512(lanes, _mm512_add_epi64(low, high));
    for (int lane = 0; lane < 8; lane++) sum += lanes[lane];
    return sum;
}

extern const struct peak_row cm_peak_row_avx512vnni;
const struct peak_row cm_peak_row_avx512vnni = {
    .isa = ISA_AVX512VNNI, .int8 = int8_peak, .f32 = cm_peak_f32_avx512vnni, .read = cm_peak_read_avx512vnni};
