/* experts/measure_reading.c - see measure_reading.h. */
#include "experts/measure_reading.h"

#include "base/clock.h"
#include "base/memory.h"

enum {
    ROUNDS = 6,               /* in which all rows of the table take turns */
    HALVES = 2,               /* every other round; in each, of a row the quickest counts                */
    PIECES = 8,               /* that a worker reads in a turn                                           */
    PIECE_BYTES = 256 << 10,
    MATRICES_PER_WORKER = 4,  /* at least, so that workers' shares are even enough                       */
    MAX_SHAPES = 16,
    MAX_WAYS = 16             /* rows of the table */
};
/* A row is chosen where it is so many times quicker in both halves: what other programs do meanwhile must not decide.
 * */
static const double CLEARLY = 1.05;
/* Where halves differ by more, the machine was too busy to tell. */
static const double AGREED = 1.15;

struct shape { /* matrices that one kernel reads with the same input */
    const struct linear_kernel *kernel;
    int                         n_columns;
    size_t                      n_bytes;
};

struct cursor { /* what a worker reads next */
    size_t at; /* matrix of the list */
    int    row;
};

struct probe {
    const struct pack_list *list;
    struct shape            shape;
    int                     piece_rows;
    struct cursor          *cursors;      /* (n_workers)             */
    float                  *outputs;      /* (n_workers, piece_rows) */
    void                   *input_memory;
    struct activations      input;        /* one token of zeros      */
    uint64_t                begin_ns, ns;
};

static bool has_shape(const struct matrix *matrix, const struct shape *shape)
{
    return matrix->kernel == shape->kernel && matrix->n_columns == shape->n_columns;
}

/* The shape that most bytes have, which are the experts' in nearly all models. Of more than MAX_SHAPES the first are
 * looked at. */
static struct shape commonest_shape(const struct pack_list *list)
{
    struct shape shapes[MAX_SHAPES], best = { 0 };
    int          n = 0;
    for (size_t i = 0; i < cm_pack_list_size(list); i++) {
        const struct matrix *matrix = cm_pack_list_matrix(list, i, NULL);
        int                  s = 0;
        if (matrix == NULL || matrix->kernel->tile_rows == 1) continue; /* plain C reads as it comes */
        while (s < n && !has_shape(matrix, &shapes[s])) s++;
        if (s == MAX_SHAPES) continue;
        if (s == n) shapes[n++] = (struct shape){ matrix->kernel, matrix->n_columns, 0 };
        shapes[s].n_bytes += cm_matrix_bytes(matrix);
        if (shapes[s].n_bytes > best.n_bytes) best = shapes[s];
    }
    return best;
}

/* From matrix `at` of the list on, the first of the shape on the node; the list's size where there is none. */
static size_t next_matrix(const struct probe *probe, size_t at, int node)
{
    const size_t n = cm_pack_list_size(probe->list);
    for (int its_node; at < n; at++) {
        const struct matrix *matrix = cm_pack_list_matrix(probe->list, at, &its_node);
        if (matrix != NULL && its_node == node && has_shape(matrix, &probe->shape)) return at;
    }
    return n;
}

/* Workers begin at equal distances in their node's matrices. False where a worker would come to what another has read
 * before, and find it in a cache. A node without matrices has workers that read nothing. */
static bool place_cursors(struct probe *probe, const struct team *team, int n_ways)
{
    const size_t wanted = (size_t)n_ways * ROUNDS * PIECES * PIECE_BYTES, n = cm_pack_list_size(probe->list);
    for (int w = 0; w < cm_team_n_workers(team); w++) {
        const struct worker *worker = cm_team_worker(team, w);
        const size_t         n_workers = (size_t)worker->n_on_node;
        size_t               n_here = 0, n_bytes = 0, n_before = 0;
        for (size_t i = next_matrix(probe, 0, worker->node); i < n; i = next_matrix(probe, i + 1, worker->node)) {
            n_bytes += cm_matrix_bytes(cm_pack_list_matrix(probe->list, i, NULL));
            n_here++;
        }
        if (n_here > 0 && (n_here / n_workers < MATRICES_PER_WORKER || n_bytes / n_workers < wanted)) return false;
        probe->cursors[w].at = next_matrix(probe, 0, worker->node);
        for (; n_before < n_here * (size_t)worker->rank_on_node / n_workers; n_before++)
            probe->cursors[w].at = next_matrix(probe, probe->cursors[w].at + 1, worker->node);
    }
    return true;
}

static void read_piece(const struct probe *probe, struct cursor *at, int node, float *output)
{
    if (at->at == cm_pack_list_size(probe->list)) return;
    const struct matrix *matrix = cm_pack_list_matrix(probe->list, at->at, NULL);
    const int            left = matrix->n_rows - at->row, n = left < probe->piece_rows ? left : probe->piece_rows;
    matrix->kernel->multiply(matrix, at->row, at->row + n, &probe->input, NULL, 1, output, (size_t)n);
    at->row += n;
    if (at->row < matrix->n_rows) return;
    *at = (struct cursor){ next_matrix(probe, at->at + 1, node), 0 };
}

static void read_pieces(void *arg, const struct worker *me)
{
    struct probe *probe = arg;
    float        *output = probe->outputs + (size_t)me->index * (size_t)probe->piece_rows;
    cm_barrier(me);
    if (me->index == 0) probe->begin_ns = cm_now_ns();
    for (int i = 0; i < PIECES; i++) read_piece(probe, &probe->cursors[me->index], me->node, output);
    cm_barrier(me);
    if (me->index == 0) probe->ns = cm_now_ns() - probe->begin_ns;
}

/* The rows of the table take turns, so that what the machine does meanwhile hits all alike. */
static void take_turns(struct probe *probe, struct team *team, int n_ways, uint64_t least_ns[HALVES][MAX_WAYS])
{
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < n_ways; i++) {
            uint64_t *least = &least_ns[round % HALVES][i];
            cm_read_ahead_choose(cm_read_ahead_row(i));
            cm_team_run(team, read_pieces, probe);
            if (round < HALVES || probe->ns < *least) *least = probe->ns;
        }
    }
}

/* Of the two halves' times the longer one for row i: what can be relied on. */
static double relied_on(uint64_t least_ns[HALVES][MAX_WAYS], int i)
{
    return (double)(least_ns[0][i] > least_ns[1][i] ? least_ns[0][i] : least_ns[1][i]);
}

static bool halves_agree(uint64_t least_ns[HALVES][MAX_WAYS], int i)
{
    const double first = (double)least_ns[0][i], second = (double)least_ns[1][i];
    return first < AGREED * second && second < AGREED * first;
}

static bool is_clearly_quicker(uint64_t least_ns[HALVES][MAX_WAYS], int i, int than)
{
    for (int half = 0; half < HALVES; half++)
        if ((double)least_ns[half][i] * CLEARLY > (double)least_ns[half][than]) return false;
    return true;
}

static calmoe_status open_probe(struct calmoe_context *ctx, const struct team *team, struct probe *probe)
{
    const size_t n_workers = (size_t)cm_team_n_workers(team), n_columns = (size_t)probe->shape.n_columns;
    const size_t row_bytes = cm_row_bytes(probe->shape.kernel->type, n_columns);
    const int    tile = probe->shape.kernel->tile_rows, n_tiles = (int)(PIECE_BYTES / (row_bytes * (size_t)tile));
    probe->piece_rows = (n_tiles < 1 ? 1 : n_tiles) * tile;
    probe->cursors = cm_alloc(ctx, n_workers, sizeof *probe->cursors, "measuring");
    probe->outputs = cm_alloc(ctx, n_workers * (size_t)probe->piece_rows, sizeof(float), "measuring");
    probe->input_memory = cm_alloc(ctx, cm_activations_bytes(1, (int)n_columns), 1, "measuring");
    if (!probe->cursors || !probe->outputs || !probe->input_memory) return CALMOE_NO_MEMORY;
    cm_activations_place(&probe->input, 1, (int)n_columns, probe->input_memory);
    return CALMOE_OK;
}

static void measure(struct probe *probe, struct team *team, int n_ways, struct reading *out)
{
    const struct read_ahead_row *own = cm_read_ahead();
    const double bytes = (double)cm_team_n_workers(team) * PIECES * (double)probe->piece_rows *
                         (double)cm_row_bytes(probe->shape.kernel->type, (size_t)probe->shape.n_columns);
    uint64_t least_ns[HALVES][MAX_WAYS];
    int      own_way = 0, best;
    cm_team_time_waits(team, false);
    take_turns(probe, team, n_ways, least_ns);
    cm_team_time_waits(team, true);
    cm_read_ahead_choose(own);
    while (cm_read_ahead_row(own_way) != own) own_way++;
    best = own_way;
    for (int i = 0; i < n_ways; i++)
        if (is_clearly_quicker(least_ns, i, own_way) && relied_on(least_ns, i) < relied_on(least_ns, best)) best = i;
    if (!halves_agree(least_ns, own_way) || !halves_agree(least_ns, best)) return;
    out->quickest = cm_read_ahead_row(best);
    out->own_rate = 1e9 * bytes / relied_on(least_ns, own_way);
    out->quickest_rate = 1e9 * bytes / relied_on(least_ns, best);
}

calmoe_status cm_measure_reading(struct calmoe_context *ctx, const struct pack_list *list, struct team *team,
                                 struct reading *out)
{
    struct probe probe = { .list = list, .shape = commonest_shape(list) };
    int          n_ways = 0;
    *out = (struct reading){ 0 };
    if (probe.shape.kernel == NULL) return CALMOE_OK;
    while (n_ways < MAX_WAYS && cm_read_ahead_row(n_ways) != NULL) n_ways++;
    const calmoe_status status = open_probe(ctx, team, &probe);
    if (status == CALMOE_OK && place_cursors(&probe, team, n_ways)) measure(&probe, team, n_ways, out);
    cm_free(probe.cursors);
    cm_free(probe.outputs);
    cm_free(probe.input_memory);
    return status;
}
