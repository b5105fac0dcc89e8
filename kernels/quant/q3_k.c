/* q3_k.c - Q3_K, 110 bytes for 256 weights: third bits[32], two-bit codes[64], six-bit scales[12],
 * d float16. Weight = d * (sc - 32) * (code - 4), where the third bit counts 4.
 * Two-bit codes lie as in Q2_K; bit k / 32 of byte k % 32 is weight k's third bit. */
#include "kernels/half.h"
#include "kernels/quant/block.h"

/* Scale j: low nibble in byte j % 8 (its high half for j >= 8), top two bits in byte 8 + j % 4. */
static int scale_of(const uint8_t packed[12], int j)
{
    const int low = j < 8 ? packed[j] & 15 : packed[j - 8] >> 4;
    const int high = packed[8 + j % 4] >> 2 * (j / 4) & 3;
    return (low | high << 4) - 32;
}

void cm_unpack_q3_k(const uint8_t *block, struct unpacked_block *out)
{
    const uint8_t *codes = block + 32;
    out->d = cm_load_half(block + 108);
    for (int j = 0; j < CM_SUBBLOCKS; j++) out->scales[j] = (int16_t)scale_of(block + 96, j);
    for (int k = 0; k < CM_SUPERBLOCK; k++) {
        const int half = k / 128, part = k / 32 % 4;
        const int low = codes[32 * half + k % 32] >> 2 * part & 3;
        const int third = block[k % 32] >> k / 32 & 1;
        out->codes[k] = (int8_t)(low + 4 * third - 4);
    }
}
