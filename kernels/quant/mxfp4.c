/* mxfp4.c - MXFP4 (OCP microscaling), 17 bytes for 32 weights: e u8, nibbles[16]; a nibble is an E2M1
 * number. Weight = 2^(e - 127) * number; codes here are doubled to be whole, d = 2^(e - 128). */
#include "kernels/half.h"
#include "kernels/quant/block.h"

static const int8_t doubled[16] = { 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12 };

void cm_unpack_mxfp4(const uint8_t *block, struct unpacked_block *out)
{
    const uint32_t e = block[0];
    /* exponent field e - 1 for 2^(e - 128); below that, 2^-127 and 2^-128 as subnormal fractions */
    const uint32_t bits = e >= 2 ? (e - 1) << 23 : 0x200000u << e;
    out->d = cm_float_of_bits(bits);
    cm_unpack_nibbles(block + 1, out->codes);
    for (int k = 0; k < 32; k++) out->codes[k] = doubled[out->codes[k]];
}
