/* calmoe/quantize.h - a copy of a model file with its weights in another type. */
#ifndef CALMOE_QUANTIZE_H
#define CALMOE_QUANTIZE_H

#include "calmoe/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What becomes of a tensor, and why. */
typedef enum calmoe_tensor_fate {
    CALMOE_TENSOR_KEPT,      /* a vector, a norm, the router, or no weights: stays as it is                        */
    CALMOE_TENSOR_UNCHANGED, /* is of the type already                                                             */
    CALMOE_TENSOR_QUANTIZED, /* is quantized already and stays, as CALMOE_QUANTIZED_KEEP wants                     */
    CALMOE_TENSOR_CONVERTED, /* gets the type                                                                      */
    CALMOE_TENSOR_FINER,     /* the output head: gets a type of more bits                                          */
    CALMOE_TENSOR_FALLBACK,  /* the type's block does not divide its rows: gets another type, or stays             */
    CALMOE_N_TENSOR_FATES
} calmoe_tensor_fate;

typedef struct calmoe_quantized_tensor {
    const char        *name;
    const char        *from, *to;  /* types, "f16", "q4_k"                            */
    calmoe_tensor_fate fate;
    uint64_t           n_columns;  /* of a row                                        */
    int                block;      /* columns that a block of the wanted type has     */
} calmoe_quantized_tensor;

/* What to do with weights that are quantized already, when they are of another type than the wanted one. */
enum {
    CALMOE_QUANTIZED_REFUSE, /* UNSUPPORTED; nothing is written (default)                     */
    CALMOE_QUANTIZED_KEEP,   /* leave them as they are; the others are converted              */
    CALMOE_QUANTIZED_CONVERT /* convert them too: they keep the losses of the first time                 */
};

typedef struct calmoe_quantize_options {
    size_t size;                 /* set by calmoe_quantize_options_init()                             */
    int    quantized;            /* CALMOE_QUANTIZED_*                                                */
    void (*on_tensor)(void *user, const calmoe_quantized_tensor *tensor); /* told of each tensor, before anything
                                    is written; texts are borrowed during the call; NULL = nobody (default) */
    void              *on_tensor_user;
    calmoe_progress_fn progress; /* NULL = none (default); may cancel                                 */
    void              *progress_user;
    int                n_threads; /* 0 = one for each core (default); the file does not depend on it  */
    const char        *adapter;   /* path of an adapter (adapter.h) that is added to the weights for good; tensors that
                                     it changes are written anew, also those that keep their type. NULL = none
                                     (default) */
    float              adapter_scale; /* how strongly (default 1)                                     */
} calmoe_quantize_options;

CALMOE_API void calmoe_quantize_options_init(calmoe_quantize_options *options);

typedef struct calmoe_quantize_result {
    size_t      size;           /* set by the caller to sizeof(calmoe_quantize_result)               */
    const char *type;           /* that most weights have now, as general.file_type says; static storage     */
    uint64_t    n_bytes;        /* of all tensors                                                    */
    uint64_t    n_requantized;  /* tensors that were quantized before and were converted             */
    double      relative_error; /* of all that was converted: root of the mean square of the differences over that
                                   of the weights; 0 where nothing was                               */
} calmoe_quantize_result;

/* The types that can be wanted, "f16", "q4_k", …; NULL past the last. Static storage. */
CALMOE_API const char *calmoe_quantize_type(int i);

/* Writes a copy of the GGUF file `in`, or of all its shards, to `out`, in which the weight matrices are of `type`. As
 * in published files, one-dimensional tensors, norms and the router stay as they are, and with q4_k the output head
 * becomes q6_k. A row length that the type's block does not divide falls back to q8_0, or where 32 does not divide it
 * either, to what the tensor was. general.file_type says what most weights are.
 *
 * BAD_FILE: a weight is NaN or infinite, or too large for the type; the sentence names the tensor and the place.
 * UNSUPPORTED: weights are quantized already (options->quantized), or of a type that is not read; the file holds no
 * model; the adapter cannot be merged. Whatever calmoe_adapter_open() may answer to the adapter. INVALID_ARGUMENT: in
 * and out are the same file, or out is there and is no regular file. IO, NO_MEMORY, SYSTEM,
 * CANCELLED. out is written whole or not at all; on failure nothing is left behind. options and result may be NULL. */
CALMOE_API calmoe_status calmoe_quantize(calmoe_context *context, const char *in, const char *out, const char *type,
                                         const calmoe_quantize_options *options, calmoe_quantize_result *result);

#ifdef __cplusplus
}
#endif
#endif
