/* q2_k.c - Q2_K, 84 bytes for 256 weights: scales[16] (low nibble scale, high nibble minimum), two-bit
 * codes[64], d float16, dmin float16. Weight = d * sc * code - dmin * minimum.
 * Of each 128 weights, byte l of 32 holds weights l, l + 32, l + 64, l + 96 from the low bits up. */
#include "kernels/half.h"
#include "kernels/quant/block.h"

void cm_unpack_q2_k(const uint8_t *block, struct unpacked_block *out)
{
    const uint8_t *codes = block + 16;
    out->d = cm_load_half(block + 80);
    out->m = cm_load_half(block + 82);
    for (int j = 0; j < CM_SUBBLOCKS; j++) {
        out->scales[j] = (int16_t)(block[j] & 15);
        out->minimums[j] = (int16_t)(block[j] >> 4);
    }
    for (int k = 0; k < CM_SUPERBLOCK; k++) {
        const int half = k / 128, part = k / 32 % 4;
        out->codes[k] = (int8_t)(codes[32 * half + k % 32] >> 2 * part & 3);
    }
}
