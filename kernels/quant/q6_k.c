/* q6_k.c - Q6_K, 210 bytes for 256 weights: low nibbles[128], high bit pairs[64], scales int8[16],
 * d float16. Weight = d * sc * (code - 32).
 * Of each 128 weights: nibbles in 64 bytes (low nibbles weights 0 … 63, high nibbles 64 … 127), bit pairs
 * in 32 bytes (byte l: weights l, l + 32, l + 64, l + 96 from the low bits up). */
#include <string.h>

#include "kernels/half.h"
#include "kernels/quant/block.h"
#include "kernels/quant/rounding.h"

void cm_unpack_q6_k(const uint8_t *block, struct unpacked_block *out)
{
    const uint8_t *nibbles = block;
    const uint8_t *pairs = block + 128;
    out->d = cm_load_half(block + 208);
    for (int j = 0; j < CM_SUBBLOCKS; j++) out->scales[j] = (int8_t)block[192 + j];
    for (int k = 0; k < CM_SUPERBLOCK; k++) {
        const int half = k / 128, in_half = k % 128;
        const int byte = nibbles[64 * half + in_half % 64];
        const int low = in_half < 64 ? byte & 15 : byte >> 4;
        const int high = pairs[32 * half + in_half % 32] >> 2 * (in_half / 32) & 3;
        out->codes[k] = (int8_t)((low | high << 4) - 32);
    }
}

/* The scale s that fits 16 weights best as s * code, code in [-32, 31]: a few slightly different steps
 * are tried; for the codes that each gives, least squares tells the best scale,
 * s = sum(i x c) / sum(i c^2), and by how much it lowers the error, sum(i x c)^2 / sum(i c^2). */
static float best_scale(const float *x)
{
    enum { N = 16, TRIALS = 9 };
    const float extreme = cm_extreme(x, N);
    float       importance[N], best = 0.0f, best_gain = 0.0f;
    cm_importance(x, N, importance);
    for (int trial = -TRIALS; trial <= TRIALS; trial++) {
        const float step = extreme / -(32.0f + 0.1f * (float)trial);
        const float inverse = cm_inverse(step);
        float       product = 0.0f, square = 0.0f;
        for (int k = 0; k < N; k++) {
            const float code = (float)cm_nearest(x[k] * inverse, -32, 31);
            product += importance[k] * x[k] * code;
            square += importance[k] * code * code;
        }
        if (!(square > 0.0f) || !(product * product > best_gain * square)) continue;
        best = product / square;
        best_gain = product * best;
    }
    return best;
}

void cm_quantize_q6_k(const float *in, void *blocks, size_t n_blocks)
{
    uint8_t *block = blocks;
    for (size_t i = 0; i < n_blocks; i++, in += CM_SUPERBLOCK, block += 210) {
        float scales[CM_SUBBLOCKS], d;
        for (int j = 0; j < CM_SUBBLOCKS; j++) scales[j] = best_scale(in + 16 * j);
        cm_store_u16(block + 208, cm_store_scale(cm_extreme(scales, CM_SUBBLOCKS) / -128.0f, &d));
        memset(block, 0, 192);
        for (int k = 0; k < CM_SUPERBLOCK; k++) {
            const int   half = k / 128, in_half = k % 128;
            const int   scale = cm_nearest(d != 0.0f ? scales[k / 16] / d : 0.0f, -128, 127);
            const float step = d * (float)scale;
            const int   code = cm_nearest(step != 0.0f ? in[k] / step : 0.0f, -32, 31) + 32;
            block[192 + k / 16] = (uint8_t)scale;
            block[64 * half + in_half % 64] |= (uint8_t)((code & 15) << (in_half < 64 ? 0 : 4));
            block[128 + 32 * half + in_half % 32] |= (uint8_t)(code >> 4 << 2 * (in_half / 32));
        }
    }
}
