/* weight_type.c - the table of weight types. Layouts and values are in quant/<type>.c. */
#include "kernels/weight_type.h"

#include <assert.h>
#include <string.h>

#include "kernels/quant/block.h"

static void dequantize_floats(enum weight_type type, const void *blocks, float *out, size_t n_blocks)
{
    const size_t   n_bytes = (size_t)cm_weight_types[type].n_bytes;
    const uint8_t *bytes = blocks;
    for (size_t i = 0; i < n_blocks; i++) out[i] = cm_float_weight(type, bytes + n_bytes * i);
}

/* weight = d * code (+ m) */
static void dequantize_block(enum weight_type type, const uint8_t *bytes, float *out)
{
    const struct block_form form = cm_block_forms[type];
    struct unpacked_block   block;
    form.unpack(bytes, &block);
    for (int k = 0; k < cm_weight_types[type].n_elements; k++) {
        const float scaled = block.d * (float)block.codes[k];
        out[k] = form.has_minimum ? scaled + block.m : scaled;
    }
}

/* weight = d * sc * code (- m * minimum); every product is exact in float32 */
static void dequantize_superblock(enum weight_type type, const uint8_t *bytes, float *out)
{
    const struct block_form form = cm_block_forms[type];
    struct unpacked_block   block;
    form.unpack(bytes, &block);
    for (int j = 0; j < CM_SUBBLOCKS; j++) {
        const float scale = block.d * (float)block.scales[j];
        const float minimum = form.has_minimum ? block.m * (float)block.minimums[j] : 0.0f;
        for (int k = 16 * j; k < 16 * j + 16; k++) {
            const float scaled = scale * (float)block.codes[k];
            out[k] = form.has_minimum ? scaled - minimum : scaled;
        }
    }
}

static void dequantize(enum weight_type type, const void *blocks, float *out, size_t n_blocks)
{
    const struct weight_type_row *row = &cm_weight_types[type];
    const uint8_t                *bytes = blocks;
    if (row->n_elements == 1) {
        dequantize_floats(type, blocks, out, n_blocks);
        return;
    }
    for (size_t i = 0; i < n_blocks; i++) {
        if (row->n_elements == CM_SUPERBLOCK)
            dequantize_superblock(type, bytes, out);
        else
            dequantize_block(type, bytes, out);
        bytes += row->n_bytes;
        out += row->n_elements;
    }
}

/* The table's functions do not get the type: one small function for each. */
#define DEQUANTIZE(lower, upper)                                                          \
    static void dequantize_##lower(const void *blocks, float *out, size_t n_blocks)       \
    {                                                                                     \
        dequantize(WEIGHT_##upper, blocks, out, n_blocks);                                \
    }
DEQUANTIZE(f32, F32)
DEQUANTIZE(f16, F16)
DEQUANTIZE(bf16, BF16)
DEQUANTIZE(q4_0, Q4_0)
DEQUANTIZE(q4_1, Q4_1)
DEQUANTIZE(q5_0, Q5_0)
DEQUANTIZE(q5_1, Q5_1)
DEQUANTIZE(q8_0, Q8_0)
DEQUANTIZE(q2_k, Q2_K)
DEQUANTIZE(q3_k, Q3_K)
DEQUANTIZE(q4_k, Q4_K)
DEQUANTIZE(q5_k, Q5_K)
DEQUANTIZE(q6_k, Q6_K)
DEQUANTIZE(iq4_nl, IQ4_NL)
DEQUANTIZE(iq4_xs, IQ4_XS)
DEQUANTIZE(mxfp4, MXFP4)
DEQUANTIZE(iq1_s, IQ1_S)
DEQUANTIZE(iq1_m, IQ1_M)
DEQUANTIZE(iq2_xxs, IQ2_XXS)
DEQUANTIZE(iq2_xs, IQ2_XS)
DEQUANTIZE(iq2_s, IQ2_S)
DEQUANTIZE(iq3_xxs, IQ3_XXS)
DEQUANTIZE(iq3_s, IQ3_S)
DEQUANTIZE(tq1_0, TQ1_0)
DEQUANTIZE(tq2_0, TQ2_0)

/* clang-format off */
const struct weight_type_row cm_weight_types[WEIGHT_TYPE_COUNT] = {
    /*                 name      id  n  bytes  activation        dequantize          quantize        */
    [WEIGHT_F32]    = { "f32",    0,   1,   4, ACTIVATION_F32,  dequantize_f32,    cm_quantize_f32  },
    [WEIGHT_F16]    = { "f16",    1,   1,   2, ACTIVATION_F32,  dequantize_f16,    cm_quantize_f16  },
    [WEIGHT_BF16]   = { "bf16",   30,  1,   2, ACTIVATION_F32,  dequantize_bf16,   cm_quantize_bf16 },
    [WEIGHT_Q4_0]   = { "q4_0",   2,  32,  18, ACTIVATION_Q32,  dequantize_q4_0,   cm_quantize_q4_0 },
    [WEIGHT_Q4_1]   = { "q4_1",   3,  32,  20, ACTIVATION_Q32,  dequantize_q4_1,   NULL             },
    [WEIGHT_Q5_0]   = { "q5_0",   6,  32,  22, ACTIVATION_Q32,  dequantize_q5_0,   NULL             },
    [WEIGHT_Q5_1]   = { "q5_1",   7,  32,  24, ACTIVATION_Q32,  dequantize_q5_1,   NULL             },
    [WEIGHT_Q8_0]   = { "q8_0",   8,  32,  34, ACTIVATION_Q32,  dequantize_q8_0,   cm_quantize_q8_0 },
    [WEIGHT_Q2_K]   = { "q2_k",   10, 256,  84, ACTIVATION_Q256, dequantize_q2_k,   NULL             },
    [WEIGHT_Q3_K]   = { "q3_k",   11, 256, 110, ACTIVATION_Q256, dequantize_q3_k,   NULL             },
    [WEIGHT_Q4_K]   = { "q4_k",   12, 256, 144, ACTIVATION_Q256, dequantize_q4_k,   cm_quantize_q4_k },
    [WEIGHT_Q5_K]   = { "q5_k",   13, 256, 176, ACTIVATION_Q256, dequantize_q5_k,   NULL             },
    [WEIGHT_Q6_K]   = { "q6_k",   14, 256, 210, ACTIVATION_Q256, dequantize_q6_k,   cm_quantize_q6_k },
    [WEIGHT_IQ4_NL] = { "iq4_nl", 20, 32,  18, ACTIVATION_Q32,  dequantize_iq4_nl, NULL             },
    [WEIGHT_IQ4_XS] = { "iq4_xs", 23, 256, 136, ACTIVATION_Q256, dequantize_iq4_xs, NULL             },
    [WEIGHT_MXFP4]  = { "mxfp4",  39, 32,  17, ACTIVATION_Q32,  dequantize_mxfp4,  NULL             },
    [WEIGHT_IQ1_S]   = { "iq1_s",  19, 256,  50, ACTIVATION_Q256, dequantize_iq1_s,  NULL             },
    [WEIGHT_IQ1_M]   = { "iq1_m",  29, 256,  56, ACTIVATION_Q256, dequantize_iq1_m,  NULL             },
    [WEIGHT_IQ2_XXS] = { "iq2_xxs",16, 256,  66, ACTIVATION_Q256, dequantize_iq2_xxs,NULL             },
    [WEIGHT_IQ2_XS]  = { "iq2_xs", 17, 256,  74, ACTIVATION_Q256, dequantize_iq2_xs, NULL             },
    [WEIGHT_IQ2_S]   = { "iq2_s",  22, 256,  82, ACTIVATION_Q256, dequantize_iq2_s,  NULL             },
    [WEIGHT_IQ3_XXS] = { "iq3_xxs",18, 256,  98, ACTIVATION_Q256, dequantize_iq3_xxs,NULL             },
    [WEIGHT_IQ3_S]   = { "iq3_s",  21, 256, 110, ACTIVATION_Q256, dequantize_iq3_s,  NULL             },
    [WEIGHT_TQ1_0]   = { "tq1_0",  34, 256,  54, ACTIVATION_Q256, dequantize_tq1_0,  NULL             },
    [WEIGHT_TQ2_0]   = { "tq2_0",  35, 256,  66, ACTIVATION_Q256, dequantize_tq2_0,  NULL             },
};

const struct block_form cm_block_forms[WEIGHT_TYPE_COUNT] = {
    /*                  unpack         has_minimum */
    [WEIGHT_Q4_0]   = { cm_unpack_q4_0,   false },
    [WEIGHT_Q4_1]   = { cm_unpack_q4_1,   true  },
    [WEIGHT_Q5_0]   = { cm_unpack_q5_0,   false },
    [WEIGHT_Q5_1]   = { cm_unpack_q5_1,   true  },
    [WEIGHT_Q8_0]   = { cm_unpack_q8_0,   false },
    [WEIGHT_Q2_K]   = { cm_unpack_q2_k,   true  },
    [WEIGHT_Q3_K]   = { cm_unpack_q3_k,   false },
    [WEIGHT_Q4_K]   = { cm_unpack_q4_k,   true  },
    [WEIGHT_Q5_K]   = { cm_unpack_q5_k,   true  },
    [WEIGHT_Q6_K]   = { cm_unpack_q6_k,   false },
    [WEIGHT_IQ4_NL] = { cm_unpack_iq4_nl, false },
    [WEIGHT_IQ4_XS] = { cm_unpack_iq4_xs, false },
    [WEIGHT_MXFP4]  = { cm_unpack_mxfp4,  false },
    [WEIGHT_IQ1_S]   = { cm_unpack_iq1_s,   false },
    [WEIGHT_IQ1_M]   = { cm_unpack_iq1_m,   false },
    [WEIGHT_IQ2_XXS] = { cm_unpack_iq2_xxs, false },
    [WEIGHT_IQ2_XS]  = { cm_unpack_iq2_xs,  false },
    [WEIGHT_IQ2_S]   = { cm_unpack_iq2_s,   false },
    [WEIGHT_IQ3_XXS] = { cm_unpack_iq3_xxs, false },
    [WEIGHT_IQ3_S]   = { cm_unpack_iq3_s,   false },
    [WEIGHT_TQ1_0]   = { cm_unpack_tq1_0,   false },
    [WEIGHT_TQ2_0]   = { cm_unpack_tq2_0,   false },
};

/* clang-format on */

bool cm_weight_type_of_file(uint32_t file_id, enum weight_type *out)
{
    for (int type = 0; type < WEIGHT_TYPE_COUNT; type++) {
        if (cm_weight_types[type].file_id != file_id) continue;
        *out = (enum weight_type)type;
        return true;
    }
    return false;
}

bool cm_weight_type_of_name(const char *name, enum weight_type *out)
{
    for (int type = 0; type < WEIGHT_TYPE_COUNT; type++) {
        if (strcmp(cm_weight_types[type].name, name) != 0) continue;
        *out = (enum weight_type)type;
        return true;
    }
    return false;
}

size_t cm_row_bytes(enum weight_type type, size_t n_columns)
{
    const struct weight_type_row *row = &cm_weight_types[type];
    assert(n_columns % (size_t)row->n_elements == 0);
    return n_columns / (size_t)row->n_elements * (size_t)row->n_bytes;
}
