/* random_weights.c - see random_weights.h. A block is filled with random bits; then its scales are put in, and bits
 * that quantizers never write are mended. Layouts: quant/<type>.c. */
#include "kernels/random_weights.h"

#include <assert.h>
#include <math.h>

#include "base/random.h"
#include "kernels/half.h"
#include "kernels/quant/block.h"
#include "kernels/quant/code_book.h"

/* A type whose scale is a float16 d. rms is that of the weights for d = 1 and uniform codes: the root of
 * E[(sc * code - minimum)^2], with sub-block scales as `mend` leaves them. */
struct random_form {
    int   d_at;
    int   m_at;    /* of a minimum beside d; 0 = none                            */
    float m_per_d; /* the minimum that makes the mean 0                          */
    float rms;
    void (*mend)(uint8_t *block); /* NULL = all random bits are good             */
};

/* Codes -127 … 127, as quantizers write them. */
static void mend_q8_0(uint8_t *block)
{
    for (int k = 2; k < 34; k++) block[k] = (uint8_t)(block[k] == 0x80 ? 0x81 : block[k]);
}

/* Scales and minimums 8 … 15, so that one minimum is near the middle of its codes. */
static void mend_q2_k(uint8_t *block)
{
    for (int j = 0; j < CM_SUBBLOCKS; j++) block[j] |= 0x88;
}

/* Scales and minimums 32 … 63: the top bit of pairs 0-3 is bit 5 of bytes 0-7, of pairs 4-7 bit 7. */
static void mend_q4_k(uint8_t *block)
{
    for (int j = 4; j < 12; j++) block[j] |= 0xA0;
}

/* d was put where the first numbers of vectors are, and stays there as if random. */
static void mend_iq1_m(uint8_t *block)
{
    cm_iq1_m_put_d(block, cm_load_u16(block));
}

static const struct random_form forms[WEIGHT_TYPE_COUNT] = {
    /*                 d_at m_at m_per_d  rms      mend      */
    [WEIGHT_Q4_0]   = {0,   0,   0.0f,    4.637f,  NULL},
    [WEIGHT_Q4_1]   = {0,   2,   -7.5f,   4.610f,  NULL},
    [WEIGHT_Q5_0]   = {0,   0,   0.0f,    9.247f,  NULL},
    [WEIGHT_Q5_1]   = {0,   2,   -15.5f,  9.233f,  NULL},
    [WEIGHT_Q8_0]   = {0,   0,   0.0f,    73.90f,  mend_q8_0},
    [WEIGHT_Q2_K]   = {80,  82,  1.5f,    13.98f,  mend_q2_k},
    [WEIGHT_Q3_K]   = {108, 0,   0.0f,    43.34f,  NULL},
    [WEIGHT_Q4_K]   = {0,   2,   7.5f,    243.6f,  mend_q4_k},
    [WEIGHT_Q5_K]   = {0,   2,   15.5f,   490.5f,  mend_q4_k},
    [WEIGHT_Q6_K]   = {208, 0,   0.0f,    1365.7f, NULL},
    [WEIGHT_IQ4_NL] = {0,   0,   0.0f,    67.44f,  NULL},
    [WEIGHT_IQ4_XS] = {0,   0,   0.0f,    1246.2f, NULL},
    [WEIGHT_IQ1_S]   = {0,   0,   0.0f,    7.2f,    NULL},
    [WEIGHT_IQ1_M]   = {0,   0,   0.0f,    7.2f,    mend_iq1_m},
    [WEIGHT_IQ2_XXS] = {0,   0,   0.0f,    53.36f,  NULL},
    [WEIGHT_IQ2_XS]  = {0,   0,   0.0f,    55.9f,   NULL},
    [WEIGHT_IQ2_S]   = {0,   0,   0.0f,    56.39f,  NULL},
    [WEIGHT_IQ3_XXS] = {0,   0,   0.0f,    142.4f,  NULL},
    [WEIGHT_IQ3_S]   = {0,   0,   0.0f,    140.2f,  NULL},
    [WEIGHT_TQ1_0]   = {52,  0,   0.0f,    0.817f,  NULL},
    [WEIGHT_TQ2_0]   = {64,  0,   0.0f,    1.225f,  NULL},
};

static void fill(struct random *random, uint8_t *bytes, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i += 8) {
        const uint64_t bits = cm_random_u64(random);
        const size_t   n = n_bytes - i < 8 ? n_bytes - i : 8;
        for (size_t b = 0; b < n; b++) bytes[i + b] = (uint8_t)(bits >> 8 * b);
    }
}

/* Magnitudes of d are uniform in [0.75, 1.25) of the middle one; E[u^2] = 1 + 1/48. Types without a minimum get
 * d of either sign, as real files have it. */
static void put_scales(const struct random_form *form, float middle, uint64_t bits, uint8_t *block)
{
    const bool  has_minimum = form->m_at != 0;
    const float size = middle * (0.75f + (float)(bits & 0xffff) * 0x1p-17f);
    const float d = !has_minimum && (bits >> 16 & 1) ? -size : size;
    cm_store_u16(block + form->d_at, cm_half_of_float(d));
    if (has_minimum) cm_store_u16(block + form->m_at, cm_half_of_float(d * form->m_per_d));
    if (form->mend) form->mend(block);
}

static void random_scaled(enum weight_type type, float deviation, struct random *random, uint8_t *blocks,
                          size_t n_blocks)
{
    const struct random_form *form = &forms[type];
    const size_t n_bytes = (size_t)cm_weight_types[type].n_bytes;
    const float  middle = deviation / (form->rms * 1.010363f);
    fill(random, blocks, n_blocks * n_bytes);
    for (size_t i = 0; i < n_blocks; i++) put_scales(form, middle, cm_random_u64(random), blocks + i * n_bytes);
}

/* Scales are powers of two: the two nearest ones, so mixed that the mean square is right. Codes are doubled
 * numbers, their mean square is 34.25. */
static void random_mxfp4(float deviation, struct random *random, uint8_t *blocks, size_t n_blocks)
{
    const float ratio = deviation / sqrtf(34.25f);
    int         exponent;
    const float fraction = 2.0f * frexpf(ratio, &exponent); /* ratio = fraction * 2^(exponent - 1) */
    const float share = (fraction * fraction - 1.0f) / 3.0f; /* of blocks with the higher scale    */
    fill(random, blocks, n_blocks * 17);
    for (size_t i = 0; i < n_blocks; i++) {
        const bool is_high = (float)cm_random_unit(random) < share;
        blocks[17 * i] = (uint8_t)(128 + exponent - 1 + (is_high ? 1 : 0));
    }
}

/* Uniform in mean ± sqrt(3) deviation, 16 bits fine. */
static void random_floats(enum weight_type type, float mean, float deviation, struct random *random, uint8_t *out,
                          size_t n)
{
    const float step = deviation * sqrtf(3.0f) * 0x1p-15f;
    uint64_t    bits = 0;
    for (size_t i = 0; i < n; i++, bits >>= 16) {
        if (i % 4 == 0) bits = cm_random_u64(random);
        const float value = mean + step * ((float)(bits & 0xffff) - 32767.5f);
        const uint32_t word = cm_bits_of_float(value);
        switch (type) {
        case WEIGHT_F16: cm_store_u16(out + 2 * i, cm_half_of_float(value)); break;
        case WEIGHT_BF16: cm_store_u16(out + 2 * i, cm_bfloat_of_float(value)); break;
        default:
            cm_store_u16(out + 4 * i, (uint16_t)word);
            cm_store_u16(out + 4 * i + 2, (uint16_t)(word >> 16));
        }
    }
}

void cm_random_weights(enum weight_type type, float mean, float deviation, uint64_t seed, void *blocks,
                       size_t n_blocks)
{
    struct random random = cm_random(seed);
    if (cm_weight_types[type].n_elements == 1) {
        random_floats(type, mean, deviation, &random, blocks, n_blocks);
    } else if (type == WEIGHT_MXFP4) {
        random_mxfp4(deviation, &random, blocks, n_blocks);
    } else {
        assert(forms[type].rms > 0.0f); /* a new type needs its row */
        random_scaled(type, deviation, &random, blocks, n_blocks);
    }
}
