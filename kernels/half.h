/* half.h - float16 and bfloat16 to float32 and back, in plain C and exact on every machine.
 *
 * To float32: exact; a signalling float16 NaN becomes quiet, as in hardware. From float32: round to nearest,
 * ties to even, including subnormals; too large becomes infinity; a NaN stays a NaN, quiet. */
#ifndef KERNELS_HALF_H
#define KERNELS_HALF_H

#include <stdint.h>
#include <string.h>

static inline float cm_float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t cm_bits_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float cm_float_of_half(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t exponent = (half >> 10) & 0x1fu;
    const uint32_t fraction = half & 0x3ffu;
    if (exponent == 0) { /* zero or subnormal: fraction * 2^-24, exact */
        const float magnitude = (float)fraction * 0x1p-24f;
        return cm_float_of_bits(cm_bits_of_float(magnitude) | sign);
    }
    if (exponent == 31) {
        const uint32_t quiet = fraction != 0 ? 0x400000u : 0;
        return cm_float_of_bits(sign | 0x7f800000u | quiet | fraction << 13);
    }
    return cm_float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

static inline uint16_t cm_half_of_float(float value)
{
    const uint32_t bits = cm_bits_of_float(value);
    const uint32_t sign = bits >> 16 & 0x8000u;
    const uint32_t magnitude = bits & 0x7fffffffu;
    uint32_t       half;
    if (magnitude > 0x7f800000u) {
        half = 0x7e00u | (magnitude >> 13 & 0x3ffu);
    } else if (magnitude >= 0x477ff000u) { /* rounds to 65536 or more */
        half = 0x7c00u;
    } else if (magnitude < 0x38800000u) { /* below 2^-14: adding 0.5 rounds at the unit 2^-24 */
        half = cm_bits_of_float(cm_float_of_bits(magnitude) + 0.5f) - 0x3f000000u;
    } else { /* drop 13 bits, rounded; a carry runs into the exponent as it must */
        half = (magnitude + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
        half -= 112u << 10;
    }
    return (uint16_t)(sign | half);
}

static inline float cm_float_of_bfloat(uint16_t bfloat)
{
    return cm_float_of_bits((uint32_t)bfloat << 16);
}

static inline uint16_t cm_bfloat_of_float(float value)
{
    const uint32_t bits = cm_bits_of_float(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/* Little-endian reads and writes at any address. */
static inline uint16_t cm_load_u16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static inline uint32_t cm_load_u32(const uint8_t *bytes)
{
    return cm_load_u16(bytes) | (uint32_t)cm_load_u16(bytes + 2) << 16;
}

static inline void cm_store_u16(uint8_t *bytes, uint16_t value)
{
    bytes[0] = (uint8_t)value;
    bytes[1] = (uint8_t)(value >> 8);
}

static inline float cm_load_half(const uint8_t *bytes)
{
    return cm_float_of_half(cm_load_u16(bytes));
}

#endif
