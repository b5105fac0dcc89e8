/* kernels/avx2/vector_lanes_avx2.h - sixteen float32 lanes in two AVX2 registers; defined by
 * ref/vector_lanes_ref.h. */
#ifndef KERNELS_AVX2_VECTOR_LANES_AVX2_H
#define KERNELS_AVX2_VECTOR_LANES_AVX2_H

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct { __m256 a, b; } lanes;

#define LANES_PAIR(first, second) \
    lanes r;                      \
    r.a = (first);                \
    r.b = (second);               \
    return r

static inline lanes lanes_set(float x) { LANES_PAIR(_mm256_set1_ps(x), _mm256_set1_ps(x)); }
static inline lanes lanes_load(const float *p) { LANES_PAIR(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)); }
static inline void lanes_store(float *p, lanes x)
{
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}
static inline lanes lanes_load_part(const float *p, int n, float fill)
{
    float v[16];
    lanes_store(v, lanes_set(fill));
    memcpy(v, p, (size_t)n * sizeof *p);
    return lanes_load(v);
}
static inline void lanes_store_part(float *p, lanes x, int n)
{
    float v[16];
    lanes_store(v, x);
    memcpy(p, v, (size_t)n * sizeof *p);
}
static inline lanes lanes_load_half(const uint16_t *p)
{
    LANES_PAIR(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)),
               _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8))));
}
static inline lanes lanes_load_half_part(const uint16_t *p, int n)
{
    uint16_t v[16] = {0};
    memcpy(v, p, (size_t)n * sizeof *p);
    return lanes_load_half(v);
}
static inline void lanes_store_half(uint16_t *p, lanes x, int n)
{
    uint16_t v[16];
    _mm_storeu_si128((__m128i *)v, _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    _mm_storeu_si128((__m128i *)(v + 8), _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    memcpy(p, v, (size_t)n * sizeof *p);
}
static inline lanes lanes_add(lanes x, lanes y) { LANES_PAIR(_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)); }
static inline lanes lanes_sub(lanes x, lanes y) { LANES_PAIR(_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)); }
static inline lanes lanes_mul(lanes x, lanes y) { LANES_PAIR(_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)); }
static inline lanes lanes_div(lanes x, lanes y) { LANES_PAIR(_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)); }
static inline lanes lanes_fma(lanes x, lanes y, lanes z)
{
    LANES_PAIR(_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b));
}
static inline lanes lanes_max(lanes x, lanes y) { LANES_PAIR(_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)); }
static inline lanes lanes_min(lanes x, lanes y) { LANES_PAIR(_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)); }
static inline lanes lanes_abs(lanes x)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    LANES_PAIR(_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b));
}
static inline float lanes_sum(lanes a)
{
    const __m256 half = _mm256_add_ps(a.a, a.b);
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
static inline float lanes_largest(lanes a)
{
    const __m256 half = _mm256_max_ps(a.a, a.b);
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}
static inline lanes lanes_zero_up_to(lanes x, float limit, lanes value)
{
    const __m256 l = _mm256_set1_ps(limit);
    LANES_PAIR(_mm256_andnot_ps(_mm256_cmp_ps(x.a, l, _CMP_LE_OQ), value.a),
               _mm256_andnot_ps(_mm256_cmp_ps(x.b, l, _CMP_LE_OQ), value.b));
}

static inline bool lanes_hold_nan(lanes x)
{
    return _mm256_movemask_ps(_mm256_cmp_ps(x.a, x.b, _CMP_UNORD_Q)) != 0;
}
static inline lanes lanes_round(lanes x)
{
    LANES_PAIR(_mm256_round_ps(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
               _mm256_round_ps(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
static inline __m256 power_of_two_avx2(__m256 n)
{
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}
static inline lanes lanes_scale_by_power(lanes x, lanes n)
{
    LANES_PAIR(_mm256_mul_ps(x.a, power_of_two_avx2(n.a)), _mm256_mul_ps(x.b, power_of_two_avx2(n.b)));
}
static inline void lanes_store_int8(int8_t *p, lanes x, int n)
{
    const __m256i both = _mm256_packs_epi32(_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b));
    const __m256i words = _mm256_permute4x64_epi64(both, 0xD8); /* 16 int16 in order */
    const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    if (n == 16) {
        _mm_storeu_si128((__m128i *)p, bytes);
    } else {
        int8_t v[16];
        _mm_storeu_si128((__m128i *)v, bytes);
        memcpy(p, v, (size_t)n);
    }
}

#undef LANES_PAIR
#define SCORE_LANES(n) ((n) == 1 ? 4 : (n) == 2 ? 2 : 1)
#define VALUE_LANES(n) ((n) == 1 ? 4 : (n) == 2 ? 2 : 1)

#endif
