/* kernels/avx2/peak_avx2.c - peak loops of AVX2 and FMA. 12 independent chains hide the latency of 4 to 5 cycles at
 * two instructions a cycle; with their two inputs they fit the 16 registers. The empty asm makes each value opaque
 * in every round, so that the compiler neither folds nor drops the work. */
#include <immintrin.h>

#include "kernels/peak.h"

enum { CHAINS = 12, STREAMS = 4 };

/* A byte product here is vpmaddubsw (pairs to int16), vpmaddwd (pairs to int32), vpaddd. */
static double int8_peak(uint64_t rounds)
{
    __m256i sums[CHAINS], a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(-2);
    const __m256i ones = _mm256_set1_epi16(1);
    for (int i = 0; i < CHAINS; i++) sums[i] = _mm256_set1_epi32(i);
    for (uint64_t round = 0; round < rounds; round++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) {
            __asm__ volatile("" : "+x"(a));
            const __m256i pairs = _mm256_maddubs_epi16(a, b);
            sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(pairs, ones));
        }
    }
    for (int i = 0; i < CHAINS; i++) __asm__ volatile("" : : "x"(sums[i]));
    return (double)rounds * CHAINS * 32 * 2;
}

double cm_peak_f32_avx2(uint64_t rounds)
{
    __m256 sums[CHAINS], a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(0.25f);
    for (int i = 0; i < CHAINS; i++) sums[i] = _mm256_set1_ps((float)i);
    for (uint64_t round = 0; round < rounds; round++) {
        __asm__ volatile("" : "+x"(a), "+x"(b));
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) sums[i] = _mm256_fmadd_ps(a, sums[i], b);
    }
    for (int i = 0; i < CHAINS; i++) __asm__ volatile("" : : "x"(sums[i]));
    return (double)rounds * CHAINS * 8 * 2;
}

uint64_t cm_peak_read_avx2(const void *bytes, size_t n_bytes)
{
    const uint8_t *at = bytes;
    __m256i        sums[STREAMS] = {_mm256_setzero_si256()};
    for (size_t i = 0; i < n_bytes; i += 32 * STREAMS)
#pragma GCC unroll 4
        for (int s = 0; s < STREAMS; s++)
            sums[s] = _mm256_add_epi64(sums[s], _mm256_load_si256((const __m256i *)(at + i + 32 * (size_t)s)));
    uint64_t words[4], sum = 0;
    const __m256i low = _mm256_add_epi64(sums[0], sums[1]), high = _mm256_add_epi64(sums[2], sums[3]);
    _mm256_storeu_si256((__m256i *)words, _mm256_add_epi64(low, high));
    for (int i = 0; i < 4; i++) sum += words[i];
    return sum;
}

extern const struct peak_row cm_peak_row_avx2;
const struct peak_row cm_peak_row_avx2 = {
    .isa = ISA_AVX2, .int8 = int8_peak, .f32 = cm_peak_f32_avx2, .read = cm_peak_read_avx2};
