/* q5_0.c - Q5_0, 22 bytes for 32 weights: d float16, fifth bits u32 (bit k of weight k), nibbles[16].
 * Weight = d * (code - 16). */
#include "kernels/half.h"
#include "kernels/quant/block.h"

void cm_unpack_q5_0(const uint8_t *block, struct unpacked_block *out)
{
    const uint32_t high = cm_load_u32(block + 2);
    out->d = cm_load_half(block);
    cm_unpack_nibbles(block + 6, out->codes);
    for (int k = 0; k < 32; k++) {
        const int bit = (int)(high >> k & 1u);
        out->codes[k] = (int8_t)((out->codes[k] | bit << 4) - 16);
    }
}
