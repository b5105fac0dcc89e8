/* linear_lanes_neon.h - the vectors of the matrix kernels with NEON: 4 lanes, a quarter of a tile's rows. What these
 * functions mean stands in linear_blocks_body.h; V(name) is what the x86 intrinsic of that name does.
 *
 * If the compiler may use the dot product of four signed bytes (FEAT_DotProd), the level is neondot; else four products
 * are multiplied and added in three steps, with exactly the same result. */
#ifndef KERNELS_NEON_LINEAR_LANES_NEON_H
#define KERNELS_NEON_LINEAR_LANES_NEON_H

#include <arm_neon.h>

#include "kernels/tile16.h"

#define CM_HAS_DOT4 1
#define CM_DOT4_IS_SIGNED
#define CM_FLOAT_TOKENS 6
enum { LANES = 4, HALVES = 4, TOKENS = CM_GROUP, FLOAT_TOKENS = CM_FLOAT_TOKENS };

typedef int32x4_t   vi;
typedef float32x4_t vf;
typedef int         shift_count;
#define V(operation) neon_##operation

#define AS_S16 vreinterpretq_s16_s32
#define AS_U16 vreinterpretq_u16_s32
#define AS_S8  vreinterpretq_s8_s32
#define AS_U8  vreinterpretq_u8_s32
#define OF_S16 vreinterpretq_s32_s16
#define OF_U16 vreinterpretq_s32_u16
#define OF_S8  vreinterpretq_s32_s8
#define OF_U8  vreinterpretq_s32_u8

CM_INLINE vi vi_load(const void *at) { return OF_U8(vld1q_u8(at)); }
CM_INLINE void vi_store(void *at, vi v) { vst1q_u8(at, AS_U8(v)); }
CM_INLINE vi vi_zero(void) { return vdupq_n_s32(0); }
CM_INLINE vi vi_and(vi a, vi b) { return vandq_s32(a, b); }
CM_INLINE vi vi_or(vi a, vi b) { return vorrq_s32(a, b); }
CM_INLINE vi vi_xor(vi a, vi b) { return veorq_s32(a, b); }
CM_INLINE vi vi_shift_right(vi v, int n) { return vreinterpretq_s32_u32(vreinterpretq_u32_s32(v) >> (uint32_t)n); }
CM_INLINE vi vi_copies(const int8_t bytes[16]) { return OF_S8(vld1q_s8(bytes)); }

CM_INLINE vi V(set1_epi32)(int32_t x) { return vdupq_n_s32(x); }
CM_INLINE vi V(set1_epi8)(char x) { return OF_U8(vdupq_n_u8((uint8_t)x)); }
CM_INLINE vi V(add_epi32)(vi a, vi b) { return vaddq_s32(a, b); }
CM_INLINE vi V(sub_epi32)(vi a, vi b) { return vsubq_s32(a, b); }
CM_INLINE vi V(mullo_epi32)(vi a, vi b) { return vmulq_s32(a, b); }
CM_INLINE vi V(add_epi8)(vi a, vi b) { return OF_U8(vaddq_u8(AS_U8(a), AS_U8(b))); }
CM_INLINE vi V(sub_epi8)(vi a, vi b) { return OF_U8(vsubq_u8(AS_U8(a), AS_U8(b))); }
CM_INLINE vi V(slli_epi32)(vi v, int n) { return vreinterpretq_s32_u32(vreinterpretq_u32_s32(v) << (uint32_t)n); }
CM_INLINE vi V(srli_epi32)(vi v, int n) { return vi_shift_right(v, n); }
CM_INLINE vi V(srai_epi32)(vi v, int n) { return v >> n; }
CM_INLINE vi V(slli_epi16)(vi v, int n) { return OF_U16(AS_U16(v) << (uint16_t)n); }
CM_INLINE vi V(srli_epi16)(vi v, int n) { return OF_U16(AS_U16(v) >> (uint16_t)n); }
CM_INLINE vi V(sllv_epi32)(vi v, vi n) { return vshlq_s32(v, n); }
CM_INLINE vi V(shuffle_epi8)(vi table, vi at) { return OF_U8(vqtbl1q_u8(AS_U8(table), AS_U8(at))); }

CM_INLINE vf V(set1_ps)(float x) { return vdupq_n_f32(x); }
CM_INLINE vf V(loadu_ps)(const float *at) { return vld1q_f32(at); }
CM_INLINE void V(storeu_ps)(float *at, vf v) { vst1q_f32(at, v); }
CM_INLINE vf V(mul_ps)(vf a, vf b) { return vmulq_f32(a, b); }
CM_INLINE vf V(fmadd_ps)(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
CM_INLINE vf V(fnmadd_ps)(vf a, vf b, vf c) { return vfmsq_f32(c, a, b); }
CM_INLINE vf V(cvtepi32_ps)(vi v) { return vcvtq_f32_s32(v); }

CM_INLINE vi vi_of_u16(const uint8_t *at)
{
    return vreinterpretq_s32_u32(vmovl_u16(vreinterpret_u16_u8(vld1_u8(at))));
}

CM_INLINE vi vi_of_u8(const uint8_t *at)
{
    uint32_t four;
    memcpy(&four, at, sizeof four);
    const uint8x8_t bytes = vreinterpret_u8_u32(vdup_n_u32(four));
    return vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(bytes))));
}

CM_INLINE vf vf_of_halves(const uint8_t *at) { return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(at))); }
CM_INLINE vf vf_of_bits(vi v) { return vreinterpretq_f32_s32(v); }

CM_INLINE vi vi_pair(vi low, vi high)
{
    return vorrq_s32(vandq_s32(low, vdupq_n_s32(0xffff)), V(slli_epi32)(high, 16));
}

CM_INLINE vi vi_add_where(vi v, vi bits, vi own, vi addend)
{
    return V(add_epi8)(v, vandq_s32(OF_U8(vtstq_u8(AS_U8(bits), AS_U8(own))), addend));
}

CM_INLINE vi vi_choose_greater1(vi v, vi yes, vi no)
{
    return vbslq_s32(vcgtq_s32(v, vdupq_n_s32(1)), yes, no);
}

CM_INLINE vi vi_dot2(vi sum, vi a, vi b)
{
    const int32x4_t low = vmull_s16(vget_low_s16(AS_S16(a)), vget_low_s16(AS_S16(b)));
    return vaddq_s32(sum, vpaddq_s32(low, vmull_high_s16(AS_S16(a), AS_S16(b))));
}

#if defined(__ARM_FEATURE_DOTPROD)
#define CM_LEVEL neondot
CM_INLINE vi vi_dot4(vi sum, vi u, vi q) { return vdotq_s32(sum, AS_S8(u), AS_S8(q)); }
#else
#define CM_LEVEL neon
/* A product of two bytes fits into int16, but the sum of two products need not: |-128 * -128| * 2 = 2^15. */
CM_INLINE vi vi_dot4(vi sum, vi u, vi q)
{
    const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(AS_S8(u)), vget_low_s8(AS_S8(q))));
    return vaddq_s32(sum, vpaddq_s32(low, vpaddlq_s16(vmull_high_s8(AS_S8(u), AS_S8(q)))));
}
#endif

#endif
