/* number_check.c - see number_check.h. */
#include "runtime/load/number_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

enum { PIECE_BYTES = 1 << 18, PIECES_OF_WORKER = 16 };

struct number_check {
    struct calmoe_context *ctx;
    struct team           *team;
    uint8_t               *buffers; /* (n_workers, PIECE_BYTES)   */
    struct bad_numbers    *found;   /* (n_workers) of the batch   */
    int                   *errors;  /* (n_workers) of reading     */
    /* the batch of pieces that the team looks at now: blocks first_block … end_block of the tensor */
    const struct file_map    *map;
    const struct file_tensor *tensor;
    size_t                    first_block, end_block, piece_blocks;
};

calmoe_status cm_number_check_open(struct calmoe_context *ctx, struct team *team, struct number_check **out)
{
    struct number_check *check = *out = cm_alloc(ctx, 1, sizeof *check, "a check of numbers");
    if (!check) return CALMOE_NO_MEMORY;
    const size_t n = (size_t)cm_team_n_workers(team);
    check->ctx = ctx;
    check->team = team;
    check->buffers = cm_alloc(ctx, n, PIECE_BYTES, "a check of numbers");
    check->found = cm_alloc(ctx, n, sizeof *check->found, "a check of numbers");
    check->errors = cm_alloc(ctx, n, sizeof *check->errors, "a check of numbers");
    if (check->buffers && check->found && check->errors) return CALMOE_OK;
    cm_number_check_close(out);
    return CALMOE_NO_MEMORY;
}

void cm_number_check_close(struct number_check **check)
{
    if (!*check) return;
    cm_free((*check)->buffers);
    cm_free((*check)->found);
    cm_free((*check)->errors);
    cm_free(*check);
    *check = NULL;
}

/* Each worker takes a row of neighbouring pieces, so that the first bad number is that of the first worker that has
 * one. */
static void look(void *arg, const struct worker *me)
{
    const struct number_check *check = arg;
    const struct file_tensor  *tensor = check->tensor;
    const size_t  block_bytes = (size_t)cm_weight_types[tensor->type].n_bytes;
    const size_t  block_numbers = (size_t)cm_weight_types[tensor->type].n_elements;
    const size_t  n_pieces = (check->end_block - check->first_block + check->piece_blocks - 1) / check->piece_blocks;
    uint8_t      *buffer = check->buffers + (size_t)me->index * PIECE_BYTES;
    int           begin, end;
    check->found[me->index] = (struct bad_numbers){0};
    check->errors[me->index] = 0;
    cm_share((int)n_pieces, 1, me->index, me->n_workers, &begin, &end);
    for (int piece = begin; piece < end; piece++) {
        const size_t at = check->first_block + (size_t)piece * check->piece_blocks, left = check->end_block - at;
        const size_t n = left < check->piece_blocks ? left : check->piece_blocks;
        const size_t offset = (size_t)(tensor->bytes - check->map->bytes) + at * block_bytes;
        check->errors[me->index] = cm_file_map_read(check->map, offset, n * block_bytes, buffer);
        if (check->errors[me->index] != 0) return;
        cm_count_bad_weights(tensor->type, buffer, n, at * block_numbers, &check->found[me->index]);
    }
}

/* Adds what the workers found. */
static calmoe_status gather(struct number_check *check, const struct model_file *file, struct bad_numbers *found)
{
    for (int i = 0; i < cm_team_n_workers(check->team); i++) {
        const struct bad_numbers *one = &check->found[i];
        if (check->errors[i] != 0)
            return cm_fail(check->ctx, CALMOE_IO, "'%s': cannot read tensor '%s': %s", file->name, check->tensor->name,
                           check->errors[i] == CM_FILE_ENDED ? "the file was cut short" : strerror(check->errors[i]));
        if (found->n_nan + found->n_infinite == 0 && one->n_nan + one->n_infinite > 0) {
            found->first = one->first;
            found->first_is_nan = one->first_is_nan;
        }
        found->n_nan += one->n_nan;
        found->n_infinite += one->n_infinite;
    }
    return CALMOE_OK;
}

calmoe_status cm_number_check_tensor(struct number_check *check, const struct model_file *file,
                                     const struct file_tensor *tensor, int (*on_bytes)(void *user, uint64_t n_bytes),
                                     void *user, struct bad_numbers *found)
{
    const size_t block_bytes = (size_t)cm_weight_types[tensor->type].n_bytes;
    const size_t n_blocks = (size_t)tensor->n_bytes / block_bytes;
    *found = (struct bad_numbers){0};
    check->map = &file->maps[tensor->shard];
    check->tensor = tensor;
    check->piece_blocks = PIECE_BYTES / block_bytes;
    const size_t batch = check->piece_blocks * PIECES_OF_WORKER * (size_t)cm_team_n_workers(check->team);
    for (size_t at = 0; at < n_blocks; at = check->end_block) {
        check->first_block = at;
        check->end_block = n_blocks - at < batch ? n_blocks : at + batch;
        cm_team_run(check->team, look, check);
        CM_TRY(gather(check, file, found));
        if (on_bytes && on_bytes(user, (check->end_block - at) * block_bytes))
            return cm_fail(check->ctx, CALMOE_CANCELLED, "checking '%s' was cancelled", file->name);
    }
    return CALMOE_OK;
}

/* ---- told ---- */

void cm_number_place(const struct file_tensor *tensor, uint64_t place, char text[NUMBER_PLACE_BYTES])
{
    const uint64_t column = place % tensor->shape[0], rows = place / tensor->shape[0];
    const uint64_t row = rows % tensor->shape[1], matrix = rows / tensor->shape[1];
    const char    *kind = strstr(tensor->name, "_exps") ? "expert" : "matrix";
    if (tensor->n_dims == 1) snprintf(text, NUMBER_PLACE_BYTES, "element %" PRIu64, column);
    else if (tensor->n_dims == 2)
        snprintf(text, NUMBER_PLACE_BYTES, "row %" PRIu64 ", column %" PRIu64, row, column);
    else
        snprintf(text, NUMBER_PLACE_BYTES, "%s %" PRIu64 ", row %" PRIu64 ", column %" PRIu64, kind, matrix, row,
                 column);
}

calmoe_status cm_fail_bad_numbers(struct calmoe_context *ctx, const struct model_file *file,
                                  const struct file_tensor *tensor, const struct bad_numbers *found)
{
    char place[NUMBER_PLACE_BYTES];
    cm_number_place(tensor, found->first, place);
    return cm_fail(ctx, CALMOE_BAD_FILE,
                   "'%s': tensor '%s' holds %" PRIu64 " NaN and %" PRIu64 " infinite weights, the first %s at %s",
                   file->name, tensor->name, found->n_nan, found->n_infinite,
                   found->first_is_nan ? "a NaN" : "infinite", place);
}
