/* q5_1.c - Q5_1, 24 bytes for 32 weights: d float16, m float16, fifth bits u32, nibbles[16].
 * Weight = d * code + m. */
#include "kernels/half.h"
#include "kernels/quant/block.h"

void cm_unpack_q5_1(const uint8_t *block, struct unpacked_block *out)
{
    const uint32_t high = cm_load_u32(block + 4);
    out->d = cm_load_half(block);
    out->m = cm_load_half(block + 2);
    cm_unpack_nibbles(block + 8, out->codes);
    for (int k = 0; k < 32; k++) {
        const int bit = (int)(high >> k & 1u);
        out->codes[k] = (int8_t)(out->codes[k] | bit << 4);
    }
}
