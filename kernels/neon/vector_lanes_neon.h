/* kernels/neon/vector_lanes_neon.h - sixteen float32 lanes in four NEON registers; defined by ref/vector_lanes_ref.h.
 * */
#ifndef KERNELS_NEON_VECTOR_LANES_NEON_H
#define KERNELS_NEON_VECTOR_LANES_NEON_H

#include <arm_neon.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct { float32x4_t v[4]; } lanes;

#define LANES_EACH(expression)                              \
    lanes r;                                                \
    for (int i = 0; i < 4; i++) r.v[i] = (expression);      \
    return r

static inline lanes lanes_set(float x) { LANES_EACH(vdupq_n_f32(x)); }
static inline lanes lanes_load(const float *p) { LANES_EACH(vld1q_f32(p + 4 * i)); }
static inline void lanes_store(float *p, lanes x)
{
    for (int i = 0; i < 4; i++) vst1q_f32(p + 4 * i, x.v[i]);
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
    LANES_EACH(vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))));
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
    for (int i = 0; i < 4; i++) vst1_u16(v + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(x.v[i])));
    memcpy(p, v, (size_t)n * sizeof *p);
}
static inline lanes lanes_add(lanes x, lanes y) { LANES_EACH(vaddq_f32(x.v[i], y.v[i])); }
static inline lanes lanes_sub(lanes x, lanes y) { LANES_EACH(vsubq_f32(x.v[i], y.v[i])); }
static inline lanes lanes_mul(lanes x, lanes y) { LANES_EACH(vmulq_f32(x.v[i], y.v[i])); }
static inline lanes lanes_div(lanes x, lanes y) { LANES_EACH(vdivq_f32(x.v[i], y.v[i])); }
static inline lanes lanes_fma(lanes x, lanes y, lanes z) { LANES_EACH(vfmaq_f32(z.v[i], x.v[i], y.v[i])); }
static inline float32x4_t larger_neon(float32x4_t x, float32x4_t y) { return vbslq_f32(vcgtq_f32(x, y), x, y); }
static inline lanes lanes_max(lanes x, lanes y) { LANES_EACH(larger_neon(x.v[i], y.v[i])); }
static inline lanes lanes_min(lanes x, lanes y) { LANES_EACH(vbslq_f32(vcltq_f32(x.v[i], y.v[i]), x.v[i], y.v[i])); }
static inline lanes lanes_abs(lanes x) { LANES_EACH(vabsq_f32(x.v[i])); }
static inline float lanes_sum(lanes a)
{
    const float32x4_t x = vaddq_f32(vaddq_f32(a.v[0], a.v[2]), vaddq_f32(a.v[1], a.v[3]));
    const float32x2_t y = vadd_f32(vget_low_f32(x), vget_high_f32(x));
    return vget_lane_f32(y, 0) + vget_lane_f32(y, 1);
}
static inline float lanes_largest(lanes a)
{
    const float32x4_t x = larger_neon(larger_neon(a.v[0], a.v[2]), larger_neon(a.v[1], a.v[3]));
    const float32x4_t y = larger_neon(x, vextq_f32(x, x, 2)), z = larger_neon(y, vextq_f32(y, y, 1));
    return vgetq_lane_f32(z, 0);
}
static inline lanes lanes_zero_up_to(lanes x, float limit, lanes value)
{
    LANES_EACH(vreinterpretq_f32_u32(
        vbicq_u32(vreinterpretq_u32_f32(value.v[i]), vcleq_f32(x.v[i], vdupq_n_f32(limit)))));
}

static inline bool lanes_hold_nan(lanes x)
{
    uint32x4_t are_numbers = vceqq_f32(x.v[0], x.v[0]);
    for (int i = 1; i < 4; i++) are_numbers = vandq_u32(are_numbers, vceqq_f32(x.v[i], x.v[i]));
    return vminvq_u32(are_numbers) == 0;
}
static inline lanes lanes_round(lanes x) { LANES_EACH(vrndnq_f32(x.v[i])); }
static inline float32x4_t power_of_two_neon(float32x4_t n)
{
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127)), 23));
}
static inline lanes lanes_scale_by_power(lanes x, lanes n) { LANES_EACH(vmulq_f32(x.v[i], power_of_two_neon(n.v[i]))); }
static inline void lanes_store_int8(int8_t *p, lanes x, int n)
{
    int8_t v[16];
    for (int i = 0; i < 4; i += 2) {
        const int16x4_t first = vqmovn_s32(vcvtnq_s32_f32(x.v[i])), second = vqmovn_s32(vcvtnq_s32_f32(x.v[i + 1]));
        vst1_s8(v + 4 * i, vqmovn_s16(vcombine_s16(first, second)));
    }
    memcpy(p, v, (size_t)n);
}

#undef LANES_EACH
#define SCORE_LANES(n) ((n) == 1 ? 4 : (n) == 2 ? 2 : 1)
#define VALUE_LANES(n) ((n) == 1 ? 4 : (n) == 2 ? 2 : 1)

#endif
