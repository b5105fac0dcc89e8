/* q4_1.c - Q4_1, 20 bytes for 32 weights: d float16, m float16, nibbles[16]. Weight = d * nibble + m. */
#include "kernels/half.h"
#include "kernels/quant/block.h"

void cm_unpack_q4_1(const uint8_t *block, struct unpacked_block *out)
{
    out->d = cm_load_half(block);
    out->m = cm_load_half(block + 2);
    cm_unpack_nibbles(block + 4, out->codes);
}
