/* kernels/weight_type.h - how weights are stored in files: a table with one row for each type.
 *
 * A type is a sequence of blocks; a block holds n_elements weights in n_bytes bytes. Layouts follow
 * ggml's block formats (the types' names in GGUF files). */
#ifndef KERNELS_WEIGHT_TYPE_H
#define KERNELS_WEIGHT_TYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum weight_type { /* our own numbers; GGUF files use file_id */
    WEIGHT_F32, WEIGHT_F16, WEIGHT_BF16,
    WEIGHT_Q4_0, WEIGHT_Q4_1, WEIGHT_Q5_0, WEIGHT_Q5_1, WEIGHT_Q8_0,
    WEIGHT_Q2_K, WEIGHT_Q3_K, WEIGHT_Q4_K, WEIGHT_Q5_K, WEIGHT_Q6_K,
    WEIGHT_IQ4_NL, WEIGHT_IQ4_XS, WEIGHT_MXFP4,
    WEIGHT_IQ1_S, WEIGHT_IQ1_M, WEIGHT_IQ2_XXS, WEIGHT_IQ2_XS, WEIGHT_IQ2_S, WEIGHT_IQ3_XXS, WEIGHT_IQ3_S,
    WEIGHT_TQ1_0, WEIGHT_TQ2_0,
    WEIGHT_TYPE_COUNT
};

/* How a matrix's input must be stored for weights of a type. */
enum activation_kind {
    ACTIVATION_F32, /* float32 as it is                                          */
    ACTIVATION_Q32, /* int8, one float32 scale for each block of 32 values       */
    ACTIVATION_Q256 /* int8, one float32 scale for each block of 256 values      */
};

struct weight_type_row {
    const char          *name;       /* "q4_k": the name for users and in documents about GGUF    */
    uint32_t             file_id;    /* ggml type id                                              */
    int                  n_elements; /* weights in a block                                        */
    int                  n_bytes;    /* bytes in a block                                          */
    enum activation_kind activation;
    /* Converts n_blocks blocks to n_blocks * n_elements floats, exactly as the format defines. */
    void (*dequantize)(const void *blocks, float *out, size_t n_blocks);
    /* The reverse, rounding to nearest, for the types that `calmoe quantize` can write; else NULL. */
    void (*quantize)(const float *in, void *blocks, size_t n_blocks);
};

extern const struct weight_type_row cm_weight_types[WEIGHT_TYPE_COUNT];

/* The type with that id in files; the type with that name. False: there is none. */
bool cm_weight_type_of_file(uint32_t file_id, enum weight_type *out);
bool cm_weight_type_of_name(const char *name, enum weight_type *out);

/* Bytes of one row of n_columns weights; n_columns is a multiple of n_elements (the caller checks). */
size_t cm_row_bytes(enum weight_type type, size_t n_columns);

#endif
