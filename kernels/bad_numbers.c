/* bad_numbers.c - see bad_numbers.h. Weights are nearly always good, so they are passed over quickly, many at a time;
 * only where something is suspicious are they looked at one by one. */
#include "kernels/bad_numbers.h"

#include <math.h>

#include "kernels/half.h"
#include "kernels/quant/block.h"

enum { AT_ONCE = 1024, LANES = 16 };

bool cm_are_finite(const float *x, size_t n)
{
    /* 0 times a number is 0, but 0 times a NaN or an infinity is NaN, and a sum never loses it again */
    float  sums[LANES] = {0}, sum = 0.0f;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int lane = 0; lane < LANES; lane++) sums[lane] += x[i + (size_t)lane] * 0.0f;
    for (; i < n; i++) sum += x[i] * 0.0f;
    for (int lane = 0; lane < LANES; lane++) sum += sums[lane];
    return sum == 0.0f;
}

void cm_count_bad_floats(const float *x, size_t n, uint64_t place, struct bad_numbers *found)
{
    if (cm_are_finite(x, n)) return;
    for (size_t i = 0; i < n; i++) {
        if (isfinite(x[i])) continue;
        if (found->n_nan + found->n_infinite == 0) {
            found->first = place + i;
            found->first_is_nan = isnan(x[i]) != 0;
        }
        if (isnan(x[i])) found->n_nan++;
        else found->n_infinite++;
    }
}

/* A block's weights are no larger than its scale times 2^14: codes stay below 2^7, and so do scales of its parts. */
static bool is_suspicious(const struct block_form *form, const uint8_t *block)
{
    struct unpacked_block unpacked;
    form->unpack(block, &unpacked);
    return !isfinite(unpacked.d * 16384.0f) || (form->has_minimum && !isfinite(unpacked.m * 16384.0f));
}

static void count_in_blocks(enum weight_type type, const uint8_t *blocks, size_t n_blocks, uint64_t place,
                            struct bad_numbers *found)
{
    const struct weight_type_row *row = &cm_weight_types[type];
    const size_t n_bytes = (size_t)row->n_bytes, n = (size_t)row->n_elements;
    float values[CM_SUPERBLOCK];
    for (size_t i = 0; i < n_blocks; i++) {
        if (!is_suspicious(&cm_block_forms[type], blocks + i * n_bytes)) continue;
        row->dequantize(blocks + i * n_bytes, values, 1);
        cm_count_bad_floats(values, n, place + i * n, found);
    }
}

void cm_count_bad_weights(enum weight_type type, const void *blocks, size_t n_blocks, uint64_t place,
                          struct bad_numbers *found)
{
    const struct weight_type_row *row = &cm_weight_types[type];
    const uint8_t *bytes = blocks;
    if (row->n_elements > 1) {
        count_in_blocks(type, bytes, n_blocks, place, found);
        return;
    }
    float values[AT_ONCE];
    for (size_t i = 0, n; i < n_blocks; i += n) {
        n = n_blocks - i < AT_ONCE ? n_blocks - i : AT_ONCE;
        row->dequantize(bytes + i * (size_t)row->n_bytes, values, n);
        cm_count_bad_floats(values, n, place + i, found);
    }
}
