/* floats.c - F16, BF16 and F32 as they lie in files: 2, 2 and 4 bytes, little-endian. */
#include "kernels/half.h"
#include "kernels/quant/block.h"

float cm_float_weight(enum weight_type type, const uint8_t *bytes)
{
    switch (type) {
    case WEIGHT_F16: return cm_load_half(bytes);
    case WEIGHT_BF16: return cm_float_of_bfloat(cm_load_u16(bytes));
    default: return cm_float_of_bits(cm_load_u32(bytes));
    }
}

void cm_quantize_f32(const float *in, void *blocks, size_t n_blocks)
{
    uint8_t *out = blocks;
    for (size_t i = 0; i < n_blocks; i++) {
        const uint32_t bits = cm_bits_of_float(in[i]);
        cm_store_u16(out + 4 * i, (uint16_t)bits);
        cm_store_u16(out + 4 * i + 2, (uint16_t)(bits >> 16));
    }
}

void cm_quantize_f16(const float *in, void *blocks, size_t n_blocks)
{
    uint8_t *out = blocks;
    for (size_t i = 0; i < n_blocks; i++) cm_store_u16(out + 2 * i, cm_half_of_float(in[i]));
}

void cm_quantize_bf16(const float *in, void *blocks, size_t n_blocks)
{
    uint8_t *out = blocks;
    for (size_t i = 0; i < n_blocks; i++) cm_store_u16(out + 2 * i, cm_bfloat_of_float(in[i]));
}
