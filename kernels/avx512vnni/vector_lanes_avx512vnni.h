/* kernels/avx512vnni/vector_lanes_avx512vnni.h - sixteen float32 lanes in one AVX-512 register; defined by
 * ref/vector_lanes_ref.h. */
#ifndef KERNELS_AVX512VNNI_VECTOR_LANES_AVX512VNNI_H
#define KERNELS_AVX512VNNI_VECTOR_LANES_AVX512VNNI_H

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>

typedef __m512 lanes;

static inline __mmask16 first_lanes(int n) { return (__mmask16)((1u << n) - 1u); }

static inline lanes lanes_set(float x) { return _mm512_set1_ps(x); }
static inline lanes lanes_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void lanes_store(float *p, lanes x) { _mm512_storeu_ps(p, x); }
static inline lanes lanes_load_part(const float *p, int n, float fill)
{
    return _mm512_mask_loadu_ps(_mm512_set1_ps(fill), first_lanes(n), p);
}
static inline void lanes_store_part(float *p, lanes x, int n) { _mm512_mask_storeu_ps(p, first_lanes(n), x); }
static inline lanes lanes_load_half(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
static inline lanes lanes_load_half_part(const uint16_t *p, int n)
{
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(n), p));
}
static inline void lanes_store_half(uint16_t *p, lanes x, int n)
{
    _mm256_mask_storeu_epi16(p, first_lanes(n),
                             _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
static inline lanes lanes_add(lanes x, lanes y) { return _mm512_add_ps(x, y); }
static inline lanes lanes_sub(lanes x, lanes y) { return _mm512_sub_ps(x, y); }
static inline lanes lanes_mul(lanes x, lanes y) { return _mm512_mul_ps(x, y); }
static inline lanes lanes_div(lanes x, lanes y) { return _mm512_div_ps(x, y); }
static inline lanes lanes_fma(lanes x, lanes y, lanes z) { return _mm512_fmadd_ps(x, y, z); }
static inline lanes lanes_max(lanes x, lanes y) { return _mm512_max_ps(x, y); }
static inline lanes lanes_min(lanes x, lanes y) { return _mm512_min_ps(x, y); }
static inline lanes lanes_abs(lanes x) { return _mm512_abs_ps(x); }
static inline float lanes_sum(lanes a)
{
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
#define CM_SUMS_FOUR
/* out[i] = lanes_sum(x[i]) * scale, the same additions for four vectors at once: sums of eight, four, two, one. */
static inline void lanes_sum_four(const lanes x[4], float scale, float *out)
{
    const __m512 a = _mm512_add_ps(_mm512_shuffle_f32x4(x[0], x[1], 0x44), _mm512_shuffle_f32x4(x[0], x[1], 0xee));
    const __m512 b = _mm512_add_ps(_mm512_shuffle_f32x4(x[2], x[3], 0x44), _mm512_shuffle_f32x4(x[2], x[3], 0xee));
    const __m512 c = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
    const __m512 d = _mm512_add_ps(c, _mm512_permute_ps(c, 0xee)), e = _mm512_add_ps(d, _mm512_permute_ps(d, 0x55));
    const __m128 low = _mm512_castps512_ps128(_mm512_maskz_compress_ps(0x1111, e));
    _mm_storeu_ps(out, _mm_mul_ps(low, _mm_set1_ps(scale)));
}
static inline float lanes_largest(lanes a)
{
    const __m256 half = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}
static inline lanes lanes_zero_up_to(lanes x, float limit, lanes value)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(limit), _CMP_NLE_UQ), value);
}

static inline bool lanes_hold_nan(lanes x) { return _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q) != 0; }
static inline lanes lanes_round(lanes x)
{
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline lanes lanes_scale_by_power(lanes x, lanes n)
{
    const __m512i exponent = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
    return _mm512_mul_ps(x, _mm512_castsi512_ps(_mm512_slli_epi32(exponent, 23)));
}
static inline void lanes_store_int8(int8_t *p, lanes x, int n)
{
    _mm_mask_storeu_epi8(p, first_lanes(n), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(x)));
}

#define SCORE_LANES(n) 4
#define VALUE_LANES(n) ((n) <= 2 ? 8 : 4)

#endif
