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
    enum { TRIALS = 10, REFINEMENTS = 4 };
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
    for (int round = 0; round < REFINEMENTS; round++) { /* codes for the fit, a fit for the codes */
        struct fit  fit;
        const float error = fit_codes(x, importance, -best.minimum, best.scale, &fit);
        if (!(error < best_error) || !(fit.scale >= 0)) break;
        best_error = error;
        best = fit;
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

static int code_of(float x, float step, float low)
{
    return cm_nearest(step != 0.0f ? (x + low) / step : 0.0f, 0, 15);
}

/* The six-bit scale and minimum of 32 weights: those nearest to the fit, or their neighbours where these
 * leave less error. */
static void choose_pair(const float *x, struct fit fit, float d, float dmin, int *scale, int *minimum)
{
    const int near_scale = cm_nearest(d != 0.0f ? fit.scale / d : 0.0f, 0, 63);
    const int near_minimum = cm_nearest(dmin != 0.0f ? fit.minimum / dmin : 0.0f, 0, 63);
    float     importance[32], best_error = INFINITY;
    cm_importance(x, 32, importance);
    *scale = near_scale;
    *minimum = near_minimum;
    for (int trial = 0; trial < 9; trial++) {
        const int   sc = near_scale + trial / 3 - 1, m = near_minimum + trial % 3 - 1;
        const float step = d * (float)sc, low = dmin * (float)m;
        float       error = 0;
        if (sc < 0 || sc > 63 || m < 0 || m > 63) continue;
        for (int k = 0; k < 32; k++) {
            const float miss = step * (float)code_of(x[k], step, low) - low - x[k];
            error += importance[k] * miss * miss;
        }
        if (!(error < best_error)) continue;
        best_error = error;
        *scale = sc;
        *minimum = m;
    }
}

static void quantize_superblock(const float *in, uint8_t *block)
{
    struct fit fits[8];
    float      steepest = 0, deepest = 0, d, dmin;
    int        scales[8], minimums[8];
    for (int j = 0; j < 8; j++) {
        fits[j] = best_fit(in + 32 * j);
        if (fits[j].scale > steepest) steepest = fits[j].scale;
        if (fits[j].minimum > deepest) deepest = fits[j].minimum;
    }
    cm_store_u16(block, cm_store_scale(steepest / 63.0f, &d));
    cm_store_u16(block + 2, cm_store_scale(deepest / 63.0f, &dmin));
    memset(block + 16, 0, 128);
    for (int j = 0; j < 8; j++) {
        choose_pair(in + 32 * j, fits[j], d, dmin, &scales[j], &minimums[j]);
        const float step = d * (float)scales[j], low = dmin * (float)minimums[j];
        for (int l = 0; l < 32; l++) {
            const int code = code_of(in[32 * j + l], step, low);
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
