/* calmoe/trace.h - files that say which experts each token took. They are recorded while a model runs, and read by
 * benchmarks and by planners. docs/FORMATS.md describes the bytes. */
#ifndef CALMOE_TRACE_H
#define CALMOE_TRACE_H

#include "calmoe/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct calmoe_trace_info {
    size_t size;            /* set by the caller to sizeof(calmoe_trace_info)                         */
    char   fingerprint[17]; /* fingerprint of the model that was recorded (calmoe_model_info)         */
    int    n_layers;        /* 1 to 1024                                                              */
    int    n_experts;       /* experts of a layer that has any, 1 to 1024                             */
    int    n_used;          /* experts that a token takes in a layer, 1 to 64                         */
} calmoe_trace_info;

typedef struct calmoe_trace_token {
    int            position; /* in its sequence */
    int32_t        token;
    const int32_t *experts;  /* (n_layers, n_used); all distinct within a layer; all -1 in a dense layer */
    const float   *weights;  /* (n_layers, n_used); stored as float16                                 */
} calmoe_trace_token;

typedef struct calmoe_trace_writer calmoe_trace_writer;
typedef struct calmoe_trace_reader calmoe_trace_reader;

/* Begins a file. info is copied. INVALID_ARGUMENT, NO_MEMORY, IO. */
CALMOE_API calmoe_status calmoe_trace_writer_open(calmoe_context *context, const char *path,
                                                  const calmoe_trace_info *info, calmoe_trace_writer **out);
/* Adds a token. INVALID_ARGUMENT: a number does not fit the info. */
CALMOE_API calmoe_status calmoe_trace_writer_add(calmoe_trace_writer *writer, const calmoe_trace_token *token);
/* A calmoe_routing_fn: give it to an engine, with the writer as routing_user, and it adds every token of every step
 * once the token's last layer is routed. A failure is reported when the writer is closed. */
CALMOE_API void calmoe_trace_writer_see(void *writer, const calmoe_routing_event *event);
/* Ends the file. Sets *writer to NULL; NULL is fine. Returns the first failure of all calls, if there was any; the file
 * would be incomplete and is removed. */
CALMOE_API calmoe_status calmoe_trace_writer_close(calmoe_trace_writer **writer);

/* Opens a file for reading. IO, BAD_FILE, UNSUPPORTED (a newer version), NO_MEMORY. */
CALMOE_API calmoe_status calmoe_trace_reader_open(calmoe_context *context, const char *path,
                                                  calmoe_trace_reader **out);
CALMOE_API void          calmoe_trace_reader_close(calmoe_trace_reader **reader); /* NULL is fine */
CALMOE_API calmoe_status calmoe_trace_reader_get_info(const calmoe_trace_reader *reader, calmoe_trace_info *info);
/* Reads the next token; what it points to is valid until the next call. END after the last. BAD_FILE: an expert does
 * not exist or stands twice, a weight is not finite, or the file ends inside a token. */
CALMOE_API calmoe_status calmoe_trace_reader_next(calmoe_trace_reader *reader, calmoe_trace_token *token);

#ifdef __cplusplus
}
#endif
#endif
