/* q4_k.c - Q4_K, 144 bytes for 256 weights: d float16, dmin float16, scales and minimums[12],
 * nibbles[128]. Weight = d * sc * nibble - dmin * minimum.
 * Of each 64 weights, 32 bytes hold weights 0 … 31 in the low and 32 … 63 in the high nibbles. */
#include <string.h>

#include "kernels/half.h"
#include "kernels/quant/block.h"
#include "kernels/quant/rounding.h"

void cm_unpack_q4_k(const uint8_t *block, struct unpacked_block *out)
{
    const uint8_t *nibbles = block + 16;
    out->d = cm_load_half(block);
    out->m = cm_load_half(block + 2);
    cm_unpack_k_scales(block + 4, out->scales, out->minimums);
    for (int chunk = 0; chunk < 4; chunk++) {
        for (int l = 0; l < 32; l++) {
            out->codes[64 * chunk + l] = (int8_t)(nibbles[32 * chunk + l] & 15);
            out->codes[64 * chunk + 32 + l] = (int8_t)(nibbles[32 * chunk + l] >> 4);
        }
    }
}

struct fit { /* weight = scale * code - minimum */
    float scale;
    float minimum; /* >= 0: zero stays representable */
};

/* Codes for a trial step, then the scale and minimum that fit these codes best by least squares with
 * importance i (normal equations of two unknowns). Returns the error that is left. */
static float fit_codes(const float *x, const float *importance, float lowest, float step,
                       struct fit *out)
{
    float       sum_i = 0, sum_c = 0, sum_cc = 0, sum_x = 0, sum_xc = 0;
    float       codes[32], error = 0;
    const float inverse = cm_inverse(step);
    for (int k = 0; k < 32; k++) {
        const float i = importance[k], c = (float)cm_nearest((x[k] - lowest) * inverse, 0, 15);
        codes[k] = c;
        sum_i += i;
        sum_c += i * c;
        sum_cc += i * c * c;
        sum_x += i * x[k];
        sum_xc += i * x[k] * c;
    }
    const float determinant = sum_i * sum_cc - sum_c * sum_c;
    *out = (struct fit){ step, -lowest };
    if (determinant > 0) {
        out->scale = (sum_i * sum_xc - sum_c * sum_x) / determinant;
        out->minimum = -(sum_x - out->scale * sum_c) / sum_i;
        if (out->minimum < 0) *out = (struct fit){ sum_xc / sum_cc, 0 };
    }
    for (int k = 0; k < 32; k++) {
        const float miss = out->scale * codes[k] - out->minimum - x[k];
        error += importance[k] * miss * miss;
    }
    return error;
}

static struct fit best_fit(const float *x)
{
    enum { TRIALS = 10 };
    float importance[32], lowest = 0, highest = 0, best_error = INFINITY;
    struct fit best = { 0, 0 };
    cm_importance(x, 32, importance);
    for (int k = 0; k < 32; k++) {
        if (x[k] < lowest) lowest = x[k];
        if (x[k] > highest) highest = x[k];
    }
    for (int trial = -TRIALS; trial <= TRIALS; trial++) {
        const float step = (highest - lowest) / (15.0f + 0.1f * (float)trial);
        struct fit  fit;
        const float error = fit_codes(x, importance, lowest, step, &fit);
        if (error < best_error && fit.scale >= 0) {
            best_error = error;
            best = fit;
        }
    }
    return best;
}

static void store_k_scales(const int *scales, const int *minimums, uint8_t packed[12])
{
    for (int j = 0; j < 4; j++) {
        packed[j] = (uint8_t)(scales[j] | scales[j + 4] >> 4 << 6);
        packed[j + 4] = (uint8_t)(minimums[j] | minimums[j + 4] >> 4 << 6);
        packed[j + 8] = (uint8_t)((scales[j + 4] & 15) | (minimums[j + 4] & 15) << 4);
    }
}

static void quantize_superblock(const float *in, uint8_t *block)
{
    float steps[8], lows[8], d, dmin;
    int   scales[8], minimums[8];
    for (int j = 0; j < 8; j++) {
        const struct fit fit = best_fit(in + 32 * j);
        steps[j] = fit.scale;
        lows[j] = fit.minimum;
    }
    cm_store_u16(block, cm_store_scale(cm_extreme(steps, 8) / 63.0f, &d));
    cm_store_u16(block + 2, cm_store_scale(cm_extreme(lows, 8) / 63.0f, &dmin));
    memset(block + 16, 0, 128);
    for (int j = 0; j < 8; j++) {
        scales[j] = cm_nearest(d != 0.0f ? steps[j] / d : 0.0f, 0, 63);
        minimums[j] = cm_nearest(dmin != 0.0f ? lows[j] / dmin : 0.0f, 0, 63);
        const float step = d * (float)scales[j], low = dmin * (float)minimums[j];
        for (int l = 0; l < 32; l++) {
            const float value = in[32 * j + l] + low;
            const int   code = cm_nearest(step != 0.0f ? value / step : 0.0f, 0, 15);
            block[16 + 32 * (j / 2) + l] |= (uint8_t)(code << 4 * (j % 2));
        }
    }
    store_k_scales(scales, minimums, block + 4);
}

void cm_quantize_q4_k(const float *in, void *blocks, size_t n_blocks)
{
    for (size_t i = 0; i < n_blocks; i++)
        quantize_superblock(in + CM_SUPERBLOCK * i, (uint8_t *)blocks + 144 * i);
}
