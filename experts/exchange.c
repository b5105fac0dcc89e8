/* exchange.c - see exchange.h. A rank's message has a head, then of each piece, row by row, its columns: codes of whole
 * blocks, their scales, and all other columns as floats. */
#include "experts/exchange.h"

#include <string.h>

#include "base/memory.h"

struct head {
    uint32_t n_exchanges; /* before this one: ranks that walk apart would be told here */
    uint16_t wants_stop, has_failed;
};

calmoe_status cm_exchange_open(struct calmoe_context *ctx, struct ranks *ranks, const struct rank_shares *shares,
                               enum isa isa, size_t most_floats, struct exchange **out)
{
    struct exchange *e = *out = cm_alloc(ctx, 1, sizeof *e, "the exchange between ranks");
    if (!e) return CALMOE_NO_MEMORY;
    *e = (struct exchange){.ctx = ctx, .ranks = ranks, .shares = shares, .ops = cm_vector_ops(isa),
                           .failed_rank = -1};
    e->capacity = most_floats * sizeof(float) + (size_t)shares->n_ranks * sizeof(struct head);
    if (e->capacity > INT32_MAX)
        return cm_fail(ctx, CALMOE_UNSUPPORTED,
                       "ranks would exchange %zu bytes at once; with fewer rows in a step (max_rows) that is less",
                       e->capacity);
    e->sent = cm_alloc(ctx, e->capacity, 1, "the exchange between ranks");
    e->received = cm_alloc(ctx, e->capacity, 1, "the exchange between ranks");
    return e->sent && e->received ? CALMOE_OK : CALMOE_NO_MEMORY;
}

void cm_exchange_close(struct exchange **exchange)
{
    if (!*exchange) return;
    cm_free((*exchange)->sent);
    cm_free((*exchange)->received);
    cm_free(*exchange);
    *exchange = NULL;
}

struct columns { /* of a rank: floats, whole blocks, floats */
    size_t begin, blocks_begin, blocks_end, end;
};

static int n_columns_of(const struct exchange_piece *piece)
{
    return piece->n_columns > 0 ? piece->n_columns : piece->n_units * piece->unit;
}

static struct columns columns_of(const struct rank_shares *shares, const struct exchange_piece *piece, int rank)
{
    int32_t borders[CM_MAX_RANKS + 1];
    cm_rank_borders(shares, piece->n_units, piece->quantum, borders);
    const int end = n_columns_of(piece);
    int       first = borders[rank] * piece->unit, last = borders[rank + 1] * piece->unit;
    first = first < end ? first : end;
    last = last < end ? last : end;
    const int block = piece->block > 0 ? piece->block : 1;
    int       blocks_begin = (first + block - 1) / block * block, blocks_end = last == end ? end : last / block * block;
    if (piece->block == 0 || blocks_begin >= blocks_end) blocks_begin = blocks_end = first;
    return (struct columns){(size_t)first, (size_t)blocks_begin, (size_t)blocks_end, (size_t)last};
}

static size_t n_scales(const struct exchange_piece *piece, const struct columns *columns)
{
    const size_t n = columns->blocks_end - columns->blocks_begin, block = (size_t)piece->block;
    return n > 0 ? (n + block - 1) / block : 0;
}

static size_t bytes_of_row(const struct exchange_piece *piece, const struct columns *columns)
{
    const size_t n_codes = columns->blocks_end - columns->blocks_begin;
    return n_codes + (n_scales(piece, columns) + columns->end - columns->begin - n_codes) * sizeof(float);
}

static size_t bytes_of(const struct rank_shares *shares, const struct exchange_piece *pieces, int n_pieces, int rank)
{
    size_t n = sizeof(struct head);
    for (int i = 0; i < n_pieces; i++) {
        const struct columns columns = columns_of(shares, &pieces[i], rank);
        n += bytes_of_row(&pieces[i], &columns) * (size_t)pieces[i].n_rows;
    }
    return n;
}

uint64_t cm_exchange_bytes(const struct rank_shares *shares, const struct exchange_piece *pieces, int n_pieces, int to)
{
    uint64_t n = 0;
    for (int rank = 0; rank < shares->n_ranks; rank++)
        if (rank != to) n += bytes_of(shares, pieces, n_pieces, rank);
    return n;
}

struct message {
    uint8_t *at;      /* of what comes next */
    bool     is_back; /* it was received    */
};

/* Between some place and a message, whichever way. */
static void move(struct message *message, void *place, size_t n_bytes)
{
    if (message->is_back) memcpy(place, message->at, n_bytes);
    else memcpy(message->at, place, n_bytes);
    message->at += n_bytes;
}

/* Whole blocks of a row: quantized as they leave, with the sums of their codes as they come. */
static void move_blocks(const struct exchange *e, const struct exchange_piece *piece, const struct columns *columns,
                        size_t row, struct message *message)
{
    struct quantized *const form = piece->block == 32 ? &piece->input->q32 : &piece->input->q256;
    const size_t n = (size_t)piece->input->n_columns, block = (size_t)piece->block, n_sums = (n + 15) / 16;
    int8_t *const codes = form->codes + row * n;
    if (!message->is_back)
        e->ops->quantize(piece->input, (int)row, (int)columns->blocks_begin, (int)columns->blocks_end, piece->kinds);
    move(message, codes + columns->blocks_begin, columns->blocks_end - columns->blocks_begin);
    move(message, form->scales + row * ((n + block - 1) / block) + columns->blocks_begin / block,
         n_scales(piece, columns) * sizeof(float));
    for (size_t i = columns->blocks_begin; message->is_back && i < columns->blocks_end; i += 16) {
        const size_t end = i + 16 < columns->blocks_end ? i + 16 : columns->blocks_end;
        int          sum = 0;
        for (size_t j = i; j < end; j++) sum += codes[j];
        form->sums[row * n_sums + i / 16] = (int16_t)sum;
    }
}

/* A rank's columns of all pieces: from there to a message behind its head, or back. */
static void copy(const struct exchange *e, const struct exchange_piece *pieces, int n_pieces, int rank,
                 uint8_t *bytes, bool is_back)
{
    struct message message = {bytes + sizeof(struct head), is_back};
    for (int i = 0; i < n_pieces; i++) {
        const struct columns columns = columns_of(e->shares, &pieces[i], rank);
        const size_t         stride = (size_t)pieces[i].n_units * (size_t)pieces[i].unit;
        for (int row = 0; row < pieces[i].n_rows; row++) {
            const size_t r = (size_t)(pieces[i].rows ? pieces[i].rows[row] : row);
            float *const values = pieces[i].values + r * stride;
            if (columns.blocks_begin < columns.blocks_end) move_blocks(e, &pieces[i], &columns, r, &message);
            move(&message, values + columns.begin, (columns.blocks_begin - columns.begin) * sizeof *values);
            move(&message, values + columns.blocks_end, (columns.end - columns.blocks_end) * sizeof *values);
        }
    }
}

void cm_exchange_quantize(const struct exchange *e, const struct exchange_piece *piece, int row)
{
    const int n = piece->input->n_columns;
    if (piece->block == 0) {
        e->ops->quantize(piece->input, row, 0, n, piece->kinds);
        return;
    }
    for (int rank = 0, done = 0; rank < e->shares->n_ranks; rank++) { /* blocks that a rank's last column cuts */
        const int end = (int)columns_of(e->shares, piece, rank).end, block = end / piece->block * piece->block;
        if (end == block || end == n || block < done) continue;
        done = block + piece->block < n ? block + piece->block : n;
        e->ops->quantize(piece->input, row, block, done, piece->kinds);
    }
}

static void take_head(struct exchange *e, int rank, const uint8_t *message)
{
    struct head head;
    memcpy(&head, message, sizeof head);
    e->is_stopped |= head.wants_stop != 0 || head.has_failed != 0;
    if (head.has_failed != 0 && (e->failed_rank < 0 || rank < e->failed_rank)) e->failed_rank = rank;
    if (head.n_exchanges != e->n_exchanges)
        e->failure = cm_fail(e->ctx, CALMOE_IO,
                             "rank %d is at exchange %u, this one at %u: they do not run the same step", rank,
                             head.n_exchanges, e->n_exchanges);
}

static void exchange(struct exchange *e, const struct exchange_piece *pieces, int n_pieces, int to)
{
    const int         n_ranks = e->shares->n_ranks, own = e->shares->own;
    const struct head head = {e->n_exchanges, e->wants_stop, e->has_failed};
    size_t            sizes[CM_MAX_RANKS];
    if (e->failure != CALMOE_OK) return;
    for (int rank = 0; rank < n_ranks; rank++) sizes[rank] = bytes_of(e->shares, pieces, n_pieces, rank);
    memcpy(e->sent, &head, sizeof head);
    copy(e, pieces, n_pieces, own, e->sent, false);
    if (to < 0) take_head(e, own, e->sent); /* where one alone hears, it is not known to all yet */
    e->failure = cm_ranks_gather(e->ranks, e->sent, sizes, e->received, to);
    uint8_t *at = e->received;
    for (int rank = 0; rank < n_ranks && e->failure == CALMOE_OK; at += sizes[rank++]) {
        if (rank == own || (to >= 0 && to != own)) continue;
        take_head(e, rank, at);
        copy(e, pieces, n_pieces, rank, at, true);
    }
    e->n_exchanges++;
}

/* ---- rows that are whole on one rank ---- */

static size_t bytes_dealt(const struct exchange_deal *deal, const int32_t *columns, int from, int to)
{
    const size_t n_rows = (size_t)(deal->rows[from + 1] - deal->rows[from]);
    return sizeof(struct head) + n_rows * (size_t)(columns[to + 1] - columns[to]) * sizeof(float);
}

uint64_t cm_exchange_deal_bytes(const struct rank_shares *shares, const struct exchange_deal *deal, int to)
{
    int32_t  columns[CM_MAX_RANKS + 1];
    uint64_t n = 0;
    cm_rank_borders(shares, deal->n_columns, CM_SLICE_QUANTUM, columns);
    for (int rank = 0; rank < shares->n_ranks; rank++)
        if (rank != to) n += bytes_dealt(deal, columns, rank, to);
    return n;
}

/* The columns that rank `to` has of the rows of rank `from`: from their place to a message behind its head, or back. */
static void copy_dealt(const struct exchange_deal *deal, const int32_t *columns, int from, int to, uint8_t *bytes,
                       bool is_back)
{
    struct message message = {bytes + sizeof(struct head), is_back};
    const size_t   n = (size_t)(columns[to + 1] - columns[to]);
    for (int row = deal->rows[from]; row < deal->rows[from + 1]; row++)
        move(&message, deal->values + (size_t)row * (size_t)deal->n_columns + columns[to], n * sizeof(float));
}

static void exchange_dealt(struct exchange *e, const struct exchange_deal *deal)
{
    const int         n_ranks = e->shares->n_ranks, own = e->shares->own;
    const struct head head = {e->n_exchanges, e->wants_stop, e->has_failed};
    size_t            own_sizes[CM_MAX_RANKS], sizes[CM_MAX_RANKS];
    int32_t           columns[CM_MAX_RANKS + 1];
    uint8_t          *at = e->sent;
    if (e->failure != CALMOE_OK) return;
    cm_rank_borders(e->shares, deal->n_columns, CM_SLICE_QUANTUM, columns);
    for (int rank = 0; rank < n_ranks; rank++) {
        sizes[rank] = rank == own ? 0 : bytes_dealt(deal, columns, rank, own);
        own_sizes[rank] = rank == own ? 0 : bytes_dealt(deal, columns, own, rank);
        if (rank == own) continue;
        memcpy(at, &head, sizeof head);
        copy_dealt(deal, columns, own, rank, at, false);
        at += own_sizes[rank];
    }
    take_head(e, own, (const uint8_t *)&head);
    e->failure = cm_ranks_deal(e->ranks, e->sent, own_sizes, sizes, e->received);
    at = e->received;
    for (int rank = 0; rank < n_ranks && e->failure == CALMOE_OK; at += sizes[rank++]) {
        if (rank == own) continue;
        take_head(e, rank, at);
        copy_dealt(deal, columns, rank, own, at, true);
    }
    e->n_exchanges++;
}

/* ---- what rank 0 tells ---- */

static void exchange_told(struct exchange *e, const struct exchange_words *words, int n)
{
    const int         n_ranks = e->shares->n_ranks, own = e->shares->own;
    const struct head head = {e->n_exchanges, e->wants_stop, e->has_failed};
    size_t            sizes[CM_MAX_RANKS];
    struct message    message = {e->sent + sizeof head, false};
    if (e->failure != CALMOE_OK) return;
    for (int rank = 0; rank < n_ranks; rank++) sizes[rank] = sizeof head;
    for (int i = 0; i < n; i++) sizes[0] += words[i].n_bytes;
    memcpy(e->sent, &head, sizeof head);
    for (int i = 0; i < n && own == 0; i++) move(&message, words[i].at, words[i].n_bytes);
    take_head(e, own, e->sent);
    e->failure = cm_ranks_gather(e->ranks, e->sent, sizes, e->received, -1);
    uint8_t *at = e->received;
    for (int rank = 0; rank < n_ranks && e->failure == CALMOE_OK; at += sizes[rank++])
        if (rank != own) take_head(e, rank, at);
    message = (struct message){e->received + sizeof head, true};
    for (int i = 0; i < n && own > 0 && e->failure == CALMOE_OK; i++) move(&message, words[i].at, words[i].n_bytes);
    e->n_exchanges++;
}

/* ---- by all workers ---- */

struct dealing {
    struct exchange            *exchange;
    const struct exchange_deal *deal;
};

static void deal_rows(void *arg)
{
    const struct dealing *dealing = arg;
    exchange_dealt(dealing->exchange, dealing->deal);
}

void cm_exchange_deal(struct exchange *e, const struct exchange_deal *deal, const struct worker *me)
{
    cm_barrier_with(me, deal_rows, &(struct dealing){e, deal});
}

struct telling {
    struct exchange             *exchange;
    const struct exchange_words *words;
    int                          n;
};

static void tell_words(void *arg)
{
    const struct telling *telling = arg;
    exchange_told(telling->exchange, telling->words, telling->n);
}

void cm_exchange_tell(struct exchange *e, const struct exchange_words *words, int n, const struct worker *me)
{
    cm_barrier_with(me, tell_words, &(struct telling){e, words, n});
}

struct meeting {
    struct exchange             *exchange;
    const struct exchange_piece *pieces;
    int                          n_pieces, to;
};

static void meet(void *arg)
{
    const struct meeting *meeting = arg;
    exchange(meeting->exchange, meeting->pieces, meeting->n_pieces, -1);
}

void cm_exchange_meet(struct exchange *e, const struct exchange_piece *pieces, int n_pieces, const struct worker *me)
{
    cm_barrier_with(me, meet, &(struct meeting){e, pieces, n_pieces, -1});
}

int cm_exchange_rows_at_once(const struct exchange_piece *piece, size_t capacity)
{
    const size_t n = capacity / sizeof(float) / (size_t)n_columns_of(piece);
    return n < 1 ? 1 : n < (size_t)piece->n_rows ? (int)n : piece->n_rows;
}

static void meet_in_parts(void *arg)
{
    const struct meeting *meeting = arg;
    struct exchange      *e = meeting->exchange;
    const size_t          capacity = e->capacity - (size_t)e->shares->n_ranks * sizeof(struct head);
    for (int i = 0; i < meeting->n_pieces; i++) {
        const struct exchange_piece all = meeting->pieces[i];
        const int                   n_rows = cm_exchange_rows_at_once(&all, capacity);
        struct exchange_piece       some = all;
        for (int row = 0; row < all.n_rows; row += n_rows) {
            some.n_rows = all.n_rows - row < n_rows ? all.n_rows - row : n_rows;
            if (all.rows) some.rows = all.rows + row;
            else some.values = all.values + (size_t)row * (size_t)all.n_units * (size_t)all.unit;
            exchange(e, &some, 1, meeting->to);
        }
    }
}

void cm_exchange_meet_in_parts(struct exchange *e, const struct exchange_piece *pieces, int n_pieces, int to,
                               const struct worker *me)
{
    cm_barrier_with(me, meet_in_parts, &(struct meeting){e, pieces, n_pieces, to});
}
