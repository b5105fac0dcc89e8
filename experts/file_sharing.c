/* file_sharing.c - see file_sharing.h. A rank asks with a number of ranges and where they are; 0 ranges: it has all.
 * Rank 0 asks the others by turns, so that none waits for longer than all the others' portions take. */
#include "experts/file_sharing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { PIECE_BYTES = 4 << 20 };

struct asked_range { /* a range, as ranks tell each other */
    uint64_t map, offset, n;
};

/* ---- what is lent ---- */

static int compare_ranges(const void *a, const void *b)
{
    const uintptr_t left = (uintptr_t)((const struct file_range *)a)->bytes;
    const uintptr_t right = (uintptr_t)((const struct file_range *)b)->bytes;
    return (left > right) - (left < right);
}

void cm_sharing_lend(struct file_sharing *sharing, struct file_range *lent, size_t n)
{
    size_t n_merged = 0;
    if (n > 0) qsort(lent, n, sizeof *lent, compare_ranges);
    for (size_t i = 0; i < n; i++) {
        struct file_range *last = n_merged > 0 ? &lent[n_merged - 1] : NULL;
        const uint8_t     *end = lent[i].bytes + lent[i].n;
        if (!last || (uintptr_t)lent[i].bytes > (uintptr_t)(last->bytes + last->n)) lent[n_merged++] = lent[i];
        else if ((uintptr_t)end > (uintptr_t)(last->bytes + last->n)) last->n = (size_t)(end - last->bytes);
    }
    cm_free(sharing->lent);
    sharing->lent = lent;
    sharing->n_lent = n_merged;
}

void cm_sharing_close(struct file_sharing *sharing)
{
    cm_free(sharing->lent);
    *sharing = (struct file_sharing){0};
}

bool cm_sharing_is_lent(const struct file_sharing *sharing, const uint8_t *bytes)
{
    size_t first = 0, end = sharing->n_lent; /* the first that ends behind them is in first … end */
    while (first < end) {
        const size_t             middle = (first + end) / 2;
        const struct file_range *range = &sharing->lent[middle];
        if ((uintptr_t)(range->bytes + range->n) <= (uintptr_t)bytes) first = middle + 1;
        else end = middle;
    }
    return first < sharing->n_lent && (uintptr_t)sharing->lent[first].bytes <= (uintptr_t)bytes;
}

calmoe_status cm_sharing_agree(const struct file_sharing *sharing, calmoe_status status)
{
    struct rank_word word = {.status = status};
    double           numbers[CM_MAX_RANKS];
    snprintf(word.text, sizeof word.text, "%.*s", CM_RANK_TEXT - 1,
             status == CALMOE_OK ? "a file that rank 0 shares" : cm_message(sharing->ctx));
    return cm_ranks_agree(sharing->ranks, &word, numbers);
}

/* ---- bytes from rank 0 ---- */

static const struct file_map *map_of(const struct file_sharing *sharing, const uint8_t *bytes)
{
    const struct file_map *map = sharing->maps;
    const uintptr_t        at = (uintptr_t)bytes;
    while (at < (uintptr_t)map->bytes || at >= (uintptr_t)(map->bytes + map->n_bytes)) map++;
    return map;
}

/* Some bytes of a map; to: a rank, -1 = all others. */
static calmoe_status send_piece(const struct file_sharing *s, const struct file_map *map, size_t offset, size_t n,
                                uint8_t *buffer, int to)
{
    const int failure = cm_file_map_read(map, offset, n, buffer);
    if (failure != 0)
        return cm_fail(s->ctx, CALMOE_IO, "cannot read the model's file, which ranks share: %s",
                       failure == CM_FILE_ENDED ? "it has become shorter" : strerror(failure));
    for (int rank = 1; rank < cm_ranks_n(s->ranks); rank++)
        if (to < 0 || to == rank) CM_TRY(cm_ranks_send(s->ranks, rank, buffer, n));
    return CALMOE_OK;
}

static calmoe_status take_piece(const struct file_sharing *s, const struct file_map *map, size_t offset, size_t n,
                                uint8_t *buffer)
{
    CM_TRY(cm_ranks_receive(s->ranks, 0, buffer, n));
    const int failure = cm_file_map_fill(map, offset, n, buffer);
    if (failure == 0) return CALMOE_OK;
    return cm_fail(s->ctx, CALMOE_NO_MEMORY, "no memory for %zu bytes of the model's file, which ranks share: %s", n,
                   strerror(failure));
}

static calmoe_status move_range(const struct file_sharing *s, const struct file_map *map, size_t offset, size_t n,
                                int to)
{
    uint8_t      *buffer = cm_alloc(s->ctx, PIECE_BYTES, 1, "a file that ranks share");
    calmoe_status status = buffer ? CALMOE_OK : CALMOE_NO_MEMORY;
    for (size_t done = 0; done < n && status == CALMOE_OK;) {
        const size_t n_now = n - done < PIECE_BYTES ? n - done : PIECE_BYTES;
        status = cm_ranks_own(s->ranks) == 0 ? send_piece(s, map, offset + done, n_now, buffer, to)
                                             : take_piece(s, map, offset + done, n_now, buffer);
        done += n_now;
    }
    cm_free(buffer);
    return status;
}

calmoe_status cm_sharing_spread(const struct file_sharing *s, const struct file_range *range)
{
    if (range->n == 0) return CALMOE_OK;
    const struct file_map *map = map_of(s, range->bytes);
    return move_range(s, map, (size_t)(range->bytes - map->bytes), range->n, -1);
}

calmoe_status cm_sharing_spread_rest(const struct file_sharing *s)
{
    for (int i = 0; i < s->n_maps; i++) {
        const struct file_map *map = &s->maps[i];
        size_t                 at = 0;
        for (size_t j = 0; j < s->n_lent; j++) {
            if (map_of(s, s->lent[j].bytes) != map) continue;
            const size_t begin = (size_t)(s->lent[j].bytes - map->bytes);
            CM_TRY(cm_sharing_spread(s, &(struct file_range){map->bytes + at, begin - at}));
            at = begin + s->lent[j].n;
        }
        CM_TRY(cm_sharing_spread(s, &(struct file_range){map->bytes + at, map->n_bytes - at}));
    }
    return CALMOE_OK;
}

/* ---- what is fetched ---- */

/* One rank's request is served; *is_over: it was its last. */
static calmoe_status serve_one(const struct file_sharing *s, int rank, bool *is_over)
{
    uint64_t n;
    CM_TRY(cm_ranks_receive(s->ranks, rank, &n, sizeof n));
    *is_over = n == 0;
    for (uint64_t i = 0; i < n; i++) {
        struct asked_range asked;
        CM_TRY(cm_ranks_receive(s->ranks, rank, &asked, sizeof asked));
        if (asked.map >= (uint64_t)s->n_maps || asked.offset > s->maps[asked.map].n_bytes ||
            asked.n > s->maps[asked.map].n_bytes - asked.offset)
            return cm_fail(s->ctx, CALMOE_IO, "rank %d asks for bytes that the model's file has not", rank);
        CM_TRY(move_range(s, &s->maps[asked.map], (size_t)asked.offset, (size_t)asked.n, rank));
    }
    return CALMOE_OK;
}

calmoe_status cm_sharing_serve(const struct file_sharing *s)
{
    const int n_ranks = cm_ranks_n(s->ranks);
    bool      is_over[CM_MAX_RANKS] = {true};
    for (int n_over = 1; n_over < n_ranks;)
        for (int rank = 1; rank < n_ranks; rank++) {
            if (is_over[rank]) continue;
            CM_TRY(serve_one(s, rank, &is_over[rank]));
            n_over += is_over[rank];
        }
    return CALMOE_OK;
}

calmoe_status cm_sharing_fetch(const struct file_sharing *s, const struct file_range *ranges, size_t n)
{
    const uint64_t told = n;
    if (n == 0) return CALMOE_OK;
    CM_TRY(cm_ranks_send(s->ranks, 0, &told, sizeof told));
    for (size_t i = 0; i < n; i++) {
        const struct file_map   *map = map_of(s, ranges[i].bytes);
        const size_t             offset = (size_t)(ranges[i].bytes - map->bytes);
        const struct asked_range asked = {(uint64_t)(map - s->maps), offset, ranges[i].n};
        CM_TRY(cm_ranks_send(s->ranks, 0, &asked, sizeof asked));
        CM_TRY(move_range(s, map, offset, ranges[i].n, 0));
    }
    return CALMOE_OK;
}

void cm_sharing_drop(const struct file_sharing *s, const struct file_range *ranges, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct file_map *map = map_of(s, ranges[i].bytes);
        cm_file_map_empty(map, (size_t)(ranges[i].bytes - map->bytes), ranges[i].n);
    }
}

calmoe_status cm_sharing_end(const struct file_sharing *s)
{
    const uint64_t none = 0;
    return cm_ranks_send(s->ranks, 0, &none, sizeof none);
}
