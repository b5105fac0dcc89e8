/* linear_ref.c - y = W x in plain C for every weight type, on rows as they lie in the file. It is the
 * specification: every other kernel gives the same bits. The formulas are those of linear.h.
 *
 * A block is unpacked once (quant/block.h) and used for up to 8 tokens. */
#include <assert.h>
#include <math.h>

#include "kernels/linear.h"
#include "kernels/quant/block.h"

enum { TOKENS = 8 };

void cm_linear_ref(const struct matrix *matrix, int row_begin, int row_end,
                   const struct activations *x, const int32_t *which, int n_tokens, float *y,
                   size_t y_stride);

struct token_group { /* up to 8 rows of the input */
    int    n;
    size_t rows[TOKENS];
};

static int32_t dot(const int8_t *w, const int8_t *q, int n)
{
    int32_t sum = 0;
    for (int k = 0; k < n; k++) sum += w[k] * q[k];
    return sum;
}

/* acc = fmaf(w_k, x_k, acc), k ascending */
static void dot_floats(enum weight_type type, const uint8_t *row, const struct activations *x,
                       const struct token_group *tokens, float *acc)
{
    const size_t n_columns = (size_t)x->n_columns;
    const size_t n_bytes = (size_t)cm_weight_types[type].n_bytes;
    for (size_t k = 0; k < n_columns; k++) {
        const float weight = cm_float_weight(type, row + k * n_bytes);
        for (int t = 0; t < tokens->n; t++)
            acc[t] = fmaf(weight, x->values[tokens->rows[t] * n_columns + k], acc[t]);
    }
}

/* acc = fmaf((float)idot, d * da, acc), and with a minimum acc = fmaf(m * da, (float)asum, acc) */
static void dot_blocks(enum weight_type type, const uint8_t *row, const struct activations *x,
                       const struct token_group *tokens, float *acc)
{
    const struct block_form form = cm_block_forms[type];
    const size_t            n_columns = (size_t)x->n_columns, n_blocks = n_columns / 32;
    struct unpacked_block   w;
    for (size_t b = 0; b < n_blocks; b++) {
        form.unpack(row + b * (size_t)cm_weight_types[type].n_bytes, &w);
        for (int t = 0; t < tokens->n; t++) {
            const size_t   token = tokens->rows[t];
            const int8_t  *q = x->q32.codes + token * n_columns + 32 * b;
            const int16_t *sums = x->q32.sums + token * 2 * n_blocks + 2 * b;
            const float    da = x->q32.scales[token * n_blocks + b];
            const int32_t  idot = dot(w.codes, q, 32);
            acc[t] = fmaf((float)idot, w.d * da, acc[t]);
            if (form.has_minimum) acc[t] = fmaf(w.m * da, (float)(sums[0] + sums[1]), acc[t]);
        }
    }
}

/* isum = sum_j sc_j * idot_j, msum = sum_j m_j * asum_j over sub-blocks of 16;
 * acc = fmaf((float)isum, d * da, acc), and with a minimum acc = fmaf(-(float)msum, dmin * da, acc) */
static void dot_superblocks(enum weight_type type, const uint8_t *row, const struct activations *x,
                            const struct token_group *tokens, float *acc)
{
    const struct block_form form = cm_block_forms[type];
    const size_t            n_columns = (size_t)x->n_columns, n_blocks = n_columns / CM_SUPERBLOCK;
    struct unpacked_block   w;
    for (size_t b = 0; b < n_blocks; b++) {
        form.unpack(row + b * (size_t)cm_weight_types[type].n_bytes, &w);
        for (int t = 0; t < tokens->n; t++) {
            const size_t   token = tokens->rows[t];
            const int8_t  *q = x->q256.codes + token * n_columns + CM_SUPERBLOCK * b;
            const int16_t *sums = x->q256.sums + (token * n_blocks + b) * CM_SUBBLOCKS;
            const float    da = x->q256.scales[token * n_blocks + b];
            int32_t        isum = 0, msum = 0;
            for (int j = 0; j < CM_SUBBLOCKS; j++)
                isum += w.scales[j] * dot(w.codes + 16 * j, q + 16 * j, 16);
            acc[t] = fmaf((float)isum, w.d * da, acc[t]);
            if (!form.has_minimum) continue;
            for (int j = 0; j < CM_SUBBLOCKS; j++) msum += w.minimums[j] * sums[j];
            acc[t] = fmaf(-(float)msum, w.m * da, acc[t]);
        }
    }
}

void cm_linear_ref(const struct matrix *matrix, int row_begin, int row_end,
                   const struct activations *x, const int32_t *which, int n_tokens, float *y,
                   size_t y_stride)
{
    const enum weight_type type = matrix->kernel->type;
    const size_t           row_bytes = cm_row_bytes(type, (size_t)matrix->n_columns);
    assert(row_begin >= 0 && row_end <= matrix->n_rows && matrix->n_columns == x->n_columns);
    for (int row = row_begin; row < row_end; row++) {
        const uint8_t *weights = matrix->packed + (size_t)row * row_bytes;
        for (int first = 0; first < n_tokens; first += TOKENS) {
            struct token_group tokens = { .n = n_tokens - first < TOKENS ? n_tokens - first : TOKENS };
            float              acc[TOKENS] = { 0 };
            for (int t = 0; t < tokens.n; t++)
                tokens.rows[t] = (size_t)(which != NULL ? which[first + t] : first + t);
            switch (cm_weight_types[type].activation) {
            case ACTIVATION_F32: dot_floats(type, weights, x, &tokens, acc); break;
            case ACTIVATION_Q32: dot_blocks(type, weights, x, &tokens, acc); break;
            case ACTIVATION_Q256: dot_superblocks(type, weights, x, &tokens, acc); break;
            }
            for (int t = 0; t < tokens.n; t++)
                y[(size_t)(first + t) * y_stride + (size_t)(row - row_begin)] = acc[t];
        }
    }
}
