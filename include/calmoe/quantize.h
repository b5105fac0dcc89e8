/* calmoe/quantize.h - writes a copy of a model file with its weights in another type. */
#ifndef CALMOE_QUANTIZE_H
#define CALMOE_QUANTIZE_H

#include "calmoe/model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What happens to a tensor, and why. */
typedef enum calmoe_tensor_fate {
    CALMOE_TENSOR_KEPT,      /* a vector, a norm, the router, or not a weight at all: stays as it is               */
    CALMOE_TENSOR_UNCHANGED, /* already has the wanted type                                                        */
    CALMOE_TENSOR_QUANTIZED, /* is quantized already and stays so because of CALMOE_QUANTIZED_KEEP                 */
    CALMOE_TENSOR_CONVERTED, /* gets the wanted type                                                               */
    CALMOE_TENSOR_FINER,     /* is the output head: gets a type with more bits                                     */
    CALMOE_TENSOR_FALLBACK,  /* its rows are not a multiple of the type's block: gets another type, or stays as it is */
    CALMOE_N_TENSOR_FATES
} calmoe_tensor_fate;

typedef struct calmoe_quantized_tensor {
    const char        *name;
    const char        *from, *to;  /* types before and after: "f16", "q4_k"           */
    calmoe_tensor_fate fate;
    uint64_t           n_columns;  /* weights in a row                                */
    int                block;      /* weights in a block of the wanted type           */
} calmoe_quantized_tensor;

/* What to do with weights that are quantized already, but in another type than the wanted one. */
enum {
    CALMOE_QUANTIZED_REFUSE, /* return UNSUPPORTED and write nothing (default)                */
    CALMOE_QUANTIZED_KEEP,   /* leave them as they are, and convert the others                */
    CALMOE_QUANTIZED_CONVERT /* convert them too; the errors of the first quantization remain            */
};

typedef struct calmoe_quantize_options {
    size_t size;                 /* set by calmoe_quantize_options_init()                             */
    int    quantized;            /* CALMOE_QUANTIZED_*                                                */
    void (*on_tensor)(void *user, const calmoe_quantized_tensor *tensor); /* called for each tensor before anything
                                                                             is written; its texts are borrowed
                                                                             during the call; NULL = not called
                                                                             (default)                      */
    void              *on_tensor_user;
    calmoe_progress_fn progress; /* NULL = none (default); may cancel                                 */
    void              *progress_user;
    int                n_threads; /* 0 = one for each core (default); the resulting file does not depend on it */
    const char        *adapter;   /* path of an adapter (adapter.h) that is merged into the weights; the tensors that
                                     it changes are written anew, even if they keep their type. NULL = none (default) */
    float              adapter_scale; /* how strongly the adapter is applied (default 1)              */
} calmoe_quantize_options;

CALMOE_API void calmoe_quantize_options_init(calmoe_quantize_options *options);

typedef struct calmoe_quantize_result {
    size_t      size;           /* set by the caller to sizeof(calmoe_quantize_result)               */
    const char *type;           /* the type of most weights, as general.file_type says; static storage       */
    uint64_t    n_bytes;        /* size of all tensors                                               */
    uint64_t    n_requantized;  /* tensors that were quantized before and were converted             */
    double      relative_error; /* over all converted weights: root mean square of the differences / root mean square
                                   of the weights; 0 if nothing was converted                        */
} calmoe_quantize_result;

/* The i-th type that can be converted to: "f16", "q4_k", …; NULL past the last. Static storage. */
CALMOE_API const char *calmoe_quantize_type(int i);

/* Writes a copy of the GGUF file `in`, with all its shards, to `out`, in which the weight matrices have the type
 * `type`. As in published files, one-dimensional tensors, norms and the router stay as they are, and for q4_k the
 * output head becomes q6_k. A matrix whose row length is not a multiple of the type's block becomes q8_0; if 32 does
 * not divide it either, it stays as it was. general.file_type names the type of most weights.
 *
 * BAD_FILE: a weight is NaN or infinite, or too large for the type; the sentence names the tensor and the place.
 * UNSUPPORTED: weights are quantized already (see options->quantized) or have a type that cannot be read; the file
 * holds no model; the adapter cannot be merged. The failures of calmoe_adapter_open() are possible too.
 * INVALID_ARGUMENT: in and out are the same file, or out exists and is not a regular file. IO, NO_MEMORY, SYSTEM,
 * CANCELLED. The file `out` is either complete or not there; a failure leaves nothing behind. options and result may be
 * NULL. */
CALMOE_API calmoe_status calmoe_quantize(calmoe_context *context, const char *in, const char *out, const char *type,
                                         const calmoe_quantize_options *options, calmoe_quantize_result *result);

#ifdef __cplusplus
}
#endif
#endif
