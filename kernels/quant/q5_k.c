/* q5_k.c - Q5_K, 176 bytes for 256 weights: d float16, dmin float16, scales and minimums[12], fifth
 * bits[32], nibbles[128]. Weight = d * sc * code - dmin * minimum.
 * Nibbles lie as in Q4_K; bit k / 32 of byte k % 32 is weight k's fifth bit. */
#include "kernels/half.h"
#include "kernels/quant/block.h"

void cm_unpack_q5_k(const uint8_t *block, struct unpacked_block *out)
{
    const uint8_t *high = block + 16;
    const uint8_t *nibbles = block + 48;
    out->d = cm_load_half(block);
    out->m = cm_load_half(block + 2);
    cm_unpack_k_scales(block + 4, out->scales, out->minimums);
    for (int chunk = 0; chunk < 4; chunk++) {
        for (int l = 0; l < 32; l++) {
            const int byte = nibbles[32 * chunk + l];
            const int bits = high[l] >> 2 * chunk;
            out->codes[64 * chunk + l] = (int8_t)((byte & 15) | (bits & 1) << 4);
            out->codes[64 * chunk + 32 + l] = (int8_t)(byte >> 4 | (bits >> 1 & 1) << 4);
        }
    }
}
