/* calmoe/trace.h - which experts each token took, in a file: recorded while a model runs, read by a bench or a
 * planner. docs/FORMATS.md tells the bytes. */
#ifndef CALMOE_TRACE_H
#define CALMOE_TRACE_H

#include "calmoe/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct calmoe_trace_info {
    size_t size;            /* set by the caller to sizeof(calmoe_trace_info)                         */
    char   fingerprint[17]; /* of the model that it was recorded with (calmoe_model_info)             */
    int    n_layers;        /* 1 to 1024                                                              */
    int    n_experts;       /* of a layer that has any, 1 to 1024                                     */
    int    n_used;          /* a token's experts in a layer, 1 to 64                                  */
} calmoe_trace_info;

typedef struct calmoe_trace_token {
    int            position; /* in its sequence */
    int32_t        token;
    const int32_t *experts;  /* (n_layers, n_used), in a layer all distinct; in a dense layer all -1  */
    const float   *weights;  /* (n_layers, n_used); kept as float16                                   */
} calmoe_trace_token;

typedef struct calmoe_trace_writer calmoe_trace_writer;
typedef struct calmoe_trace_reader calmoe_trace_reader;

/* Begins the file. info is copied. INVALID_ARGUMENT, NO_MEMORY, IO. */
CALMOE_API calmoe_status calmoe_trace_writer_open(calmoe_context *context, const char *path,
                                                  const calmoe_trace_info *info, calmoe_trace_writer **out);
/* INVALID_ARGUMENT: a number that does not fit the info. */
CALMOE_API calmoe_status calmoe_trace_writer_add(calmoe_trace_writer *writer, const calmoe_trace_token *token);
/* A calmoe_routing_fn: give it to an engine with the writer as routing_user, and every token of every step is added
 * once its last layer is routed. What fails is told when the writer is closed. */
CALMOE_API void calmoe_trace_writer_see(void *writer, const calmoe_routing_event *event);
/* Ends the file; sets *writer to NULL; NULL is fine. The first failure of all calls, if any: then the file is
 * incomplete and is removed. */
CALMOE_API calmoe_status calmoe_trace_writer_close(calmoe_trace_writer **writer);

/* IO, BAD_FILE, UNSUPPORTED (a newer version), NO_MEMORY. */
CALMOE_API calmoe_status calmoe_trace_reader_open(calmoe_context *context, const char *path,
                                                  calmoe_trace_reader **out);
CALMOE_API void          calmoe_trace_reader_close(calmoe_trace_reader **reader); /* NULL is fine */
CALMOE_API calmoe_status calmoe_trace_reader_get_info(const calmoe_trace_reader *reader, calmoe_trace_info *info);
/* The next token; what it points to is valid until the next call. END after the last, BAD_FILE for experts that do
 * not exist or stand twice, weights that are no numbers, or a file that ends inside a token. */
CALMOE_API calmoe_status calmoe_trace_reader_next(calmoe_trace_reader *reader, calmoe_trace_token *token);

#ifdef __cplusplus
}
#endif
#endif
