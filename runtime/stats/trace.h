/* runtime/stats/trace.h - the bytes of a routing trace (docs/FORMATS.md): header and records to memory and back,
 * checked. Files are the business of runtime/api/trace.c. */
#ifndef RUNTIME_STATS_TRACE_H
#define RUNTIME_STATS_TRACE_H

#include <stdbool.h>
#include <stddef.h>

#include <calmoe/trace.h>

#include "base/status.h"

enum { TRACE_HEADER_BYTES = 48, TRACE_VERSION = 1 };

/* Bytes of one token's record: at most 8 + 1024 * 64 * 4. */
size_t cm_trace_record_bytes(const calmoe_trace_info *info);

/* INVALID_ARGUMENT: a count outside its limits, more experts used than there are, no fingerprint. */
calmoe_status cm_trace_check_info(struct calmoe_context *ctx, const calmoe_trace_info *info);
void          cm_trace_write_header(const calmoe_trace_info *info, uint8_t bytes[TRACE_HEADER_BYTES]);
/* n_bytes: what the file has, from its beginning. name for messages. */
calmoe_status cm_trace_read_header(struct calmoe_context *ctx, const char *name, const uint8_t *bytes,
                                   size_t n_bytes, calmoe_trace_info *out);

/* NULL, or what is wrong with a layer's choice. */
const char *cm_trace_fault(const calmoe_trace_info *info, const int32_t *experts, const float *weights);
/* The token was checked. */
void cm_trace_write_record(const calmoe_trace_info *info, const calmoe_trace_token *token, uint8_t *bytes);
/* experts, weights: (n_layers, n_used). */
void cm_trace_read_record(const calmoe_trace_info *info, const uint8_t *bytes, int *position, int32_t *token,
                          int32_t *experts, float *weights);

#endif
