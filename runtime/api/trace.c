/* runtime/api/trace.c - routing traces as files. One record is in memory at a time; a writer that watches an engine
 * holds those of one step. */
#include <calmoe/trace.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/options.h"
#include "base/whole_file.h"
#include "runtime/stats/trace.h"

struct calmoe_trace_writer {
    struct calmoe_context *ctx;
    calmoe_trace_info      info;
    struct whole_file      file;
    uint8_t               *record;
    calmoe_status          status;   /* of the first call that failed */
    /* tokens of the step that is watched */
    int                    layer;    /* of the events that come now */
    int                    n_seen;   /* events of that layer        */
    int                    n_rows;   /* of the step                 */
    int                    capacity; /* rows below                  */
    int                   *positions;
    int32_t               *tokens, *experts; /* experts, weights: (capacity, n_layers, n_used) */
    float                 *weights;
};

static calmoe_status begin_file(calmoe_trace_writer *writer, const char *path)
{
    uint8_t header[TRACE_HEADER_BYTES];
    writer->record = cm_alloc(writer->ctx, 1, cm_trace_record_bytes(&writer->info), "a trace");
    if (!writer->record) return CALMOE_NO_MEMORY;
    CM_TRY(cm_whole_file_open(writer->ctx, path, &writer->file));
    cm_trace_write_header(&writer->info, header);
    fwrite(header, 1, sizeof header, writer->file.stream);
    return cm_whole_file_check(writer->ctx, &writer->file);
}

calmoe_status calmoe_trace_writer_open(calmoe_context *ctx, const char *path, const calmoe_trace_info *given,
                                       calmoe_trace_writer **out)
{
    calmoe_trace_info info = {.size = sizeof info};
    if (out) *out = NULL;
    if (!ctx || !path || !given || !out)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "calmoe_trace_writer_open: context, path, info and out are needed");
    CM_TRY(cm_options_copy(ctx, "calmoe_trace_info", &info, sizeof info, given));
    CM_TRY(cm_trace_check_info(ctx, &info));
    calmoe_trace_writer *writer = cm_alloc(ctx, 1, sizeof *writer, "a trace");
    if (!writer) return CALMOE_NO_MEMORY;
    writer->ctx = ctx;
    writer->info = info;
    writer->status = begin_file(writer, path);
    if (writer->status == CALMOE_OK) {
        *out = writer;
        return CALMOE_OK;
    }
    return calmoe_trace_writer_close(&writer);
}

static calmoe_status add(calmoe_trace_writer *writer, const calmoe_trace_token *token)
{
    const calmoe_trace_info *info = &writer->info;
    if (!token->experts || !token->weights || token->position < 0 || token->token < 0)
        return cm_fail(writer->ctx, CALMOE_INVALID_ARGUMENT,
                       "token %d at position %d: numbers from 0 up, experts and weights are wanted",
                       (int)token->token, token->position);
    for (int layer = 0; layer < info->n_layers; layer++) {
        const size_t at = (size_t)layer * (size_t)info->n_used;
        const char  *fault = cm_trace_fault(info, token->experts + at, token->weights + at);
        if (fault)
            return cm_fail(writer->ctx, CALMOE_INVALID_ARGUMENT, "position %d, layer %d of a trace: %s",
                           token->position, layer, fault);
    }
    const size_t n_bytes = cm_trace_record_bytes(info);
    cm_trace_write_record(info, token, writer->record);
    fwrite(writer->record, 1, n_bytes, writer->file.stream);
    return cm_whole_file_check(writer->ctx, &writer->file);
}

calmoe_status calmoe_trace_writer_add(calmoe_trace_writer *writer, const calmoe_trace_token *token)
{
    if (!writer || !token)
        return cm_fail(writer ? writer->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_trace_writer_add: writer and token are needed");
    const calmoe_status status = add(writer, token);
    if (status == CALMOE_IO && writer->status == CALMOE_OK) writer->status = status;
    return status;
}

/* Twice the rows of a step; only layer 0's events ask for more, so that nothing that was seen is lost but what is
 * copied here. */
static calmoe_status grow_rows(calmoe_trace_writer *writer)
{
    const size_t n_old = (size_t)writer->capacity, n = n_old > 0 ? 2 * n_old : 64;
    const size_t n_choice = (size_t)writer->info.n_layers * (size_t)writer->info.n_used;
    int     *positions = cm_alloc(writer->ctx, n, sizeof *positions, "rows of a trace");
    int32_t *tokens = cm_alloc(writer->ctx, n, sizeof *tokens, "rows of a trace");
    int32_t *experts = cm_alloc(writer->ctx, n * n_choice, sizeof *experts, "rows of a trace");
    float   *weights = cm_alloc(writer->ctx, n * n_choice, sizeof *weights, "rows of a trace");
    const bool is_fine = positions && tokens && experts && weights;
    if (is_fine && n_old > 0) {
        memcpy(positions, writer->positions, n_old * sizeof *positions);
        memcpy(tokens, writer->tokens, n_old * sizeof *tokens);
        memcpy(experts, writer->experts, n_old * n_choice * sizeof *experts);
        memcpy(weights, writer->weights, n_old * n_choice * sizeof *weights);
    }
    cm_free(is_fine ? writer->positions : positions);
    cm_free(is_fine ? writer->tokens : tokens);
    cm_free(is_fine ? writer->experts : experts);
    cm_free(is_fine ? writer->weights : weights);
    if (!is_fine) return CALMOE_NO_MEMORY;
    writer->positions = positions;
    writer->tokens = tokens;
    writer->experts = experts;
    writer->weights = weights;
    writer->capacity = (int)n;
    return CALMOE_OK;
}

/* Where the event's row stood in layer 0; -1: it was not there, for it left in an earlier step and joined. */
static int row_of(calmoe_trace_writer *writer, const calmoe_routing_event *event)
{
    if (event->layer == 0) {
        writer->n_rows = writer->n_seen + 1;
        return writer->n_seen;
    }
    for (int row = writer->n_seen; row < writer->n_rows; row++)
        if (writer->positions[row] == event->position && writer->tokens[row] == event->token) return row;
    return -1;
}

/* Events of a step come layer by layer, in each the rows in the same order; some leave between layers, some join.
 * Recorded is who runs them all in one step. */
static calmoe_status see(calmoe_trace_writer *writer, const calmoe_routing_event *event)
{
    const calmoe_trace_info *info = &writer->info;
    if (event->layer != writer->layer) writer->n_seen = 0;
    writer->layer = event->layer;
    if (event->layer == 0 && writer->n_seen == writer->capacity) CM_TRY(grow_rows(writer));
    const int row = event->layer < 0 ? 0 : row_of(writer, event);
    if (row < 0) return CALMOE_OK;
    writer->n_seen = row + 1;
    if (event->layer < 0 || event->layer >= info->n_layers || event->n > info->n_used || row >= writer->capacity)
        return cm_fail(writer->ctx, CALMOE_INVALID_ARGUMENT,
                       "routing of layer %d with %d experts does not fit a trace of %d layers with %d", event->layer,
                       event->n, info->n_layers, info->n_used);
    const size_t n_used = (size_t)info->n_used, n_choice = (size_t)info->n_layers * n_used;
    const size_t at = (size_t)row * n_choice + (size_t)event->layer * n_used;
    writer->positions[row] = event->position;
    writer->tokens[row] = event->token;
    for (size_t slot = 0; slot < n_used; slot++) { /* those that a narrower step left out too; none in a dense layer */
        writer->experts[at + slot] = event->n > 0 ? event->experts[slot] : -1;
        writer->weights[at + slot] = event->n > 0 ? event->weights[slot] : 0.0f;
    }
    if (event->layer < info->n_layers - 1) return CALMOE_OK;
    if (info->n_layers == 1) writer->n_seen = 0; /* the next event may be of another step */
    const calmoe_trace_token token = {event->position, event->token, writer->experts + (size_t)row * n_choice,
                                      writer->weights + (size_t)row * n_choice};
    return add(writer, &token);
}

void calmoe_trace_writer_see(void *user, const calmoe_routing_event *event)
{
    calmoe_trace_writer *writer = user;
    if (writer && event && writer->status == CALMOE_OK) writer->status = see(writer, event);
}

calmoe_status calmoe_trace_writer_close(calmoe_trace_writer **pointer)
{
    if (!pointer || !*pointer) return CALMOE_OK;
    calmoe_trace_writer *writer = *pointer;
    calmoe_status        status = writer->status;
    if (status == CALMOE_OK) status = cm_whole_file_finish(writer->ctx, &writer->file);
    cm_whole_file_close(&writer->file);
    cm_free(writer->record);
    cm_free(writer->positions);
    cm_free(writer->tokens);
    cm_free(writer->experts);
    cm_free(writer->weights);
    cm_free(writer);
    *pointer = NULL;
    return status;
}

/* ---- reading ---- */

struct calmoe_trace_reader {
    struct calmoe_context *ctx;
    calmoe_trace_info      info;
    char                  *path;
    FILE                  *file;
    uint8_t               *record;
    int32_t               *experts; /* (n_layers, n_used) */
    float                 *weights; /* (n_layers, n_used) */
    uint64_t               n_read;
};

static calmoe_status begin_reading(calmoe_trace_reader *reader, const char *path)
{
    uint8_t header[TRACE_HEADER_BYTES];
    reader->path = cm_copy_text(reader->ctx, path, strlen(path));
    if (!reader->path) return CALMOE_NO_MEMORY;
    reader->file = fopen(path, "rb");
    if (!reader->file) return cm_fail(reader->ctx, CALMOE_IO, "cannot open '%s': %s", path, strerror(errno));
    const size_t n = fread(header, 1, sizeof header, reader->file);
    if (ferror(reader->file)) return cm_fail(reader->ctx, CALMOE_IO, "cannot read '%s': %s", path, strerror(errno));
    CM_TRY(cm_trace_read_header(reader->ctx, path, header, n, &reader->info));
    const size_t n_choice = (size_t)reader->info.n_layers * (size_t)reader->info.n_used;
    reader->record = cm_alloc(reader->ctx, 1, cm_trace_record_bytes(&reader->info), "a trace");
    reader->experts = cm_alloc(reader->ctx, n_choice, sizeof *reader->experts, "a trace");
    reader->weights = cm_alloc(reader->ctx, n_choice, sizeof *reader->weights, "a trace");
    return reader->record && reader->experts && reader->weights ? CALMOE_OK : CALMOE_NO_MEMORY;
}

calmoe_status calmoe_trace_reader_open(calmoe_context *ctx, const char *path, calmoe_trace_reader **out)
{
    if (out) *out = NULL;
    if (!ctx || !path || !out)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "calmoe_trace_reader_open: context, path and out are needed");
    calmoe_trace_reader *reader = cm_alloc(ctx, 1, sizeof *reader, "a trace");
    if (!reader) return CALMOE_NO_MEMORY;
    reader->ctx = ctx;
    const calmoe_status status = begin_reading(reader, path);
    if (status != CALMOE_OK) calmoe_trace_reader_close(&reader);
    *out = reader;
    return status;
}

void calmoe_trace_reader_close(calmoe_trace_reader **pointer)
{
    if (!pointer || !*pointer) return;
    calmoe_trace_reader *reader = *pointer;
    if (reader->file) fclose(reader->file);
    cm_free(reader->path);
    cm_free(reader->record);
    cm_free(reader->experts);
    cm_free(reader->weights);
    cm_free(reader);
    *pointer = NULL;
}

calmoe_status calmoe_trace_reader_get_info(const calmoe_trace_reader *reader, calmoe_trace_info *out)
{
    if (!reader || !out || out->size < sizeof out->size)
        return cm_fail(reader ? reader->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_trace_reader_get_info: reader and info with its size set are needed");
    calmoe_trace_info info = reader->info;
    cm_options_give(out, &info, sizeof info);
    return CALMOE_OK;
}

calmoe_status calmoe_trace_reader_next(calmoe_trace_reader *reader, calmoe_trace_token *out)
{
    if (!reader || !out)
        return cm_fail(reader ? reader->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_trace_reader_next: reader and token are needed");
    const calmoe_trace_info *info = &reader->info;
    const size_t n_wanted = cm_trace_record_bytes(info), n = fread(reader->record, 1, n_wanted, reader->file);
    const unsigned long long index = reader->n_read;
    if (ferror(reader->file))
        return cm_fail(reader->ctx, CALMOE_IO, "cannot read '%s': %s", reader->path, strerror(errno));
    if (n == 0) return CALMOE_END;
    if (n < n_wanted)
        return cm_fail(reader->ctx, CALMOE_BAD_FILE, "'%s' ends inside token %llu, %zu of its %zu bytes", reader->path,
                       index, n, n_wanted);
    *out = (calmoe_trace_token){.experts = reader->experts, .weights = reader->weights};
    cm_trace_read_record(info, reader->record, &out->position, &out->token, reader->experts, reader->weights);
    for (int layer = 0; layer < info->n_layers; layer++) {
        const size_t at = (size_t)layer * (size_t)info->n_used;
        const char  *fault = cm_trace_fault(info, reader->experts + at, reader->weights + at);
        if (fault)
            return cm_fail(reader->ctx, CALMOE_BAD_FILE, "'%s': token %llu, layer %d: %s", reader->path, index, layer,
                           fault);
    }
    reader->n_read++;
    return CALMOE_OK;
}
