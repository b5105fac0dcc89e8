/* q4_0.c - Q4_0, 18 bytes for 32 weights: d float16, nibbles[16]. Weight = d * (nibble - 8). */
#include "kernels/half.h"
#include "kernels/quant/block.h"
#include "kernels/quant/rounding.h"

void cm_unpack_q4_0(const uint8_t *block, struct unpacked_block *out)
{
    out->d = cm_load_half(block);
    cm_unpack_nibbles(block + 2, out->codes);
    for (int k = 0; k < 32; k++) out->codes[k] = (int8_t)(out->codes[k] - 8);
}

/* The weight of largest magnitude gets nibble 0, code -8, which is the longer side: d = extreme / -8. */
void cm_quantize_q4_0(const float *in, void *blocks, size_t n_blocks)
{
    uint8_t *block = blocks;
    for (size_t i = 0; i < n_blocks; i++, in += 32, block += 18) {
        float d;
        cm_store_u16(block, cm_store_scale(cm_extreme(in, 32) / -8.0f, &d));
        for (int k = 0; k < 16; k++) {
            const int low = cm_nearest(d != 0.0f ? in[k] / d : 0.0f, -8, 7) + 8;
            const int high = cm_nearest(d != 0.0f ? in[k + 16] / d : 0.0f, -8, 7) + 8;
            block[2 + k] = (uint8_t)(low | high << 4);
        }
    }
}
