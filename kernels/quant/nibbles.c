/* nibbles.c - the parts that several block formats share. */
#include "kernels/quant/block.h"

const int8_t cm_iq4_values[16] = { -127, -104, -83, -65, -49, -35, -22, -10,
                                   1,    13,   25,  38,  53,  69,  89,  113 };

void cm_unpack_nibbles(const uint8_t *bytes, int8_t codes[32])
{
    for (int i = 0; i < 16; i++) {
        codes[i] = (int8_t)(bytes[i] & 15);
        codes[i + 16] = (int8_t)(bytes[i] >> 4);
    }
}

/* Eight pairs in 12 bytes: bytes 0-3 and 4-7 hold the low six bits of scales and minimums 0-3, and in
 * their top two bits the top of pairs 4-7; bytes 8-11 hold the low nibbles of scales and minimums 4-7. */
void cm_unpack_k_scales(const uint8_t packed[12], int16_t scales[CM_SUBBLOCKS],
                        int16_t minimums[CM_SUBBLOCKS])
{
    for (int j = 0; j < 4; j++) {
        const int low_scale = packed[j] & 63;
        const int low_minimum = packed[j + 4] & 63;
        const int high_scale = (packed[j + 8] & 15) | (packed[j] >> 6) << 4;
        const int high_minimum = packed[j + 8] >> 4 | (packed[j + 4] >> 6) << 4;
        scales[2 * j] = scales[2 * j + 1] = (int16_t)low_scale;
        minimums[2 * j] = minimums[2 * j + 1] = (int16_t)low_minimum;
        scales[2 * j + 8] = scales[2 * j + 9] = (int16_t)high_scale;
        minimums[2 * j + 8] = minimums[2 * j + 9] = (int16_t)high_minimum;
    }
}
