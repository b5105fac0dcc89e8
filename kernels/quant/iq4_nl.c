/* iq4_nl.c - IQ4_NL, 18 bytes for 32 weights: d float16, nibbles[16]. Weight = d * value of nibble. */
#include "kernels/half.h"
#include "kernels/quant/block.h"

void cm_unpack_iq4_nl(const uint8_t *block, struct unpacked_block *out)
{
    out->d = cm_load_half(block);
    cm_unpack_nibbles(block + 2, out->codes);
    for (int k = 0; k < 32; k++) out->codes[k] = cm_iq4_values[out->codes[k]];
}
