/* q8_0.c - Q8_0, 34 bytes for 32 weights: d float16, codes int8[32]. Weight = d * code. */
#include <string.h>

#include "kernels/half.h"
#include "kernels/quant/block.h"
#include "kernels/quant/rounding.h"

void cm_unpack_q8_0(const uint8_t *block, struct unpacked_block *out)
{
    out->d = cm_load_half(block);
    memcpy(out->codes, block + 2, 32);
}

/* d = amax / 127 */
void cm_quantize_q8_0(const float *in, void *blocks, size_t n_blocks)
{
    uint8_t *block = blocks;
    for (size_t i = 0; i < n_blocks; i++, in += 32, block += 34) {
        float d;
        cm_store_u16(block, cm_store_scale(fabsf(cm_extreme(in, 32)) / 127.0f, &d));
        for (int k = 0; k < 32; k++)
            block[2 + k] = (uint8_t)cm_nearest(d != 0.0f ? in[k] / d : 0.0f, -127, 127);
    }
}
