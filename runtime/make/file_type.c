/* file_type.c - see file_type.h. Of types that come in mixtures, the number is that of the plainest one. */
#include "runtime/make/file_type.h"

static const uint8_t numbers[WEIGHT_TYPE_COUNT] = {
    [WEIGHT_F32] = 0,   [WEIGHT_F16] = 1,   [WEIGHT_BF16] = 32,   [WEIGHT_Q4_0] = 2,    [WEIGHT_Q4_1] = 3,
    [WEIGHT_Q5_0] = 8,  [WEIGHT_Q5_1] = 9,  [WEIGHT_Q8_0] = 7,    [WEIGHT_Q2_K] = 10,   [WEIGHT_Q3_K] = 11,
    [WEIGHT_Q4_K] = 14, [WEIGHT_Q5_K] = 16, [WEIGHT_Q6_K] = 18,   [WEIGHT_IQ4_NL] = 25, [WEIGHT_IQ4_XS] = 30,
    [WEIGHT_MXFP4] = 38, [WEIGHT_IQ1_S] = 24, [WEIGHT_IQ1_M] = 31,  [WEIGHT_IQ2_XXS] = 19, [WEIGHT_IQ2_XS] = 20,
    [WEIGHT_IQ2_S] = 28, [WEIGHT_IQ3_XXS] = 23, [WEIGHT_IQ3_S] = 26,
    [WEIGHT_TQ1_0] = 36, [WEIGHT_TQ2_0] = 37,
};

uint32_t cm_file_type_of(enum weight_type type)
{
    return numbers[type];
}
