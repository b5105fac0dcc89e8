/* iq4_xs.c - IQ4_XS, 136 bytes for 256 weights: d float16, top scale bits u16, low scale nibbles[4],
 * nibbles[128] in eight sub-blocks of 16 bytes. Weight = d * (sc - 32) * value of nibble. */
#include "kernels/half.h"
#include "kernels/quant/block.h"

void cm_unpack_iq4_xs(const uint8_t *block, struct unpacked_block *out)
{
    const int top = cm_load_u16(block + 2);
    out->d = cm_load_half(block);
    for (int j = 0; j < 8; j++) {
        const int low = block[4 + j / 2] >> 4 * (j % 2) & 15;
        const int scale = (low | (top >> 2 * j & 3) << 4) - 32;
        out->scales[2 * j] = out->scales[2 * j + 1] = (int16_t)scale;
        cm_unpack_nibbles(block + 8 + 16 * j, out->codes + 32 * j);
    }
    for (int k = 0; k < CM_SUPERBLOCK; k++) out->codes[k] = cm_iq4_values[out->codes[k]];
}
