/* experts/expert_run.c - see expert_run.h. */
#include "experts/expert_run.h"

#include <stdatomic.h>
#include <string.h>

#include "base/memory.h"
#include "base/task_ranges.h"
#include "experts/place_load.h"

enum {
    TASK_ROWS = 256,      /* rows of a task at most                                          */
    STREAM_ROWS = 512,    /* the same for few tokens: time goes to reading, in long streams  */
    FEW_TOKENS = 8,       /* of a group: for so many, kernels read each weight once          */
    TOKENS_AT_ONCE = 64,  /* tokens whose gate and up outputs wait in a worker's scratch; as many as a panel of AMX's */
    SCRATCH = TOKENS_AT_ONCE * TASK_ROWS, /* floats of a worker for gate, as many for up     */
    TASKS_PER_WORKER = 4  /* wanted, so that a slow worker does not hold up the rest         */
};

struct expert_task {
    const struct expert_part *part;
    int                       group;
    int                       row_begin, row_end; /* of the part's matrix */
};

struct work_list { /* of one node */
    struct expert_task *tasks;
    int                 n_tasks;
    struct task_range  *ranges; /* one for each worker there */
};

struct expert_run {
    struct expert_run_limits  limits;
    const struct vector_ops  *ops;
    const struct team        *team;
    struct exchange          *exchange;        /* NULL: there is one rank                   */
    int                       first_column, n_columns; /* of outputs: those that this rank sums */
    struct exchange_deal      deal;            /* of outputs, where ranks have routed experts whole        */
    int                       n_nodes;
    int                       n_workers;
    struct work_list          gate_up[CM_MAX_NODES], down[CM_MAX_NODES];
    struct work_list          late[CM_MAX_NODES]; /* of gate_up: experts that were still to be read, in that order  */
    int32_t                  *wanted;          /* (max_experts) routed experts of a layer that has a stream */
    bool                     *is_late;         /* (max_experts) of those                  */
    atomic_bool               has_failed;      /* an expert could not be read             */
    struct dispatch           dispatch;
    struct activations        hidden[N_BANKS]; /* (entries of the bank, width)             */
    void                     *hidden_memory[N_BANKS];
    float                    *outputs;         /* (n_entries, dim)                          */
    float                    *scratch;         /* (n_workers, 2, SCRATCH)                  */
    atomic_int               *n_seam_rows;     /* (n_groups, n_nodes), see count_seam()     */
    /* where some experts are replicated */
    struct place_costs        costs;
    struct place_use         *uses;            /* (max_experts): one for each routed group  */
    int16_t                  *serving;         /* (max_experts): the node that serves it    */
    struct place_load         load;
    /* the layer at work */
    const struct expert_layer *layer;
    struct expert_step         step;
};

static int round_up(int n, int to) { return (n + to - 1) / to * to; }

/* Rows of a task: enough tasks for all workers, but never less than a quantum. */
static int rows_of_task(const struct expert_run *run, int n_rows, int quantum, int n_groups, int n_tokens)
{
    const int wanted = TASKS_PER_WORKER * cm_team_n_called(run->team);
    const int most = n_tokens > FEW_TOKENS ? TASK_ROWS : STREAM_ROWS;
    const int64_t rows = ((int64_t)n_rows * n_groups + wanted - 1) / wanted;
    const int bounded = rows < most ? (int)rows : most;
    return round_up(bounded < 1 ? 1 : bounded, quantum);
}

/* No more tasks than this can come of n_rows and n_groups groups, each in up to n_nodes parts (see rows_of_task). */
static size_t most_tasks(int n_rows, int n_groups, int n_nodes, int n_workers)
{
    return (size_t)n_groups * ((size_t)n_rows / TASK_ROWS + 1 + (size_t)n_nodes) +
           (size_t)(TASKS_PER_WORKER * n_workers);
}

static calmoe_status open_lists(struct calmoe_context *ctx, struct expert_run *run)
{
    const int n_groups = run->limits.max_experts + N_BANKS - 1;
    int width = 0;
    for (int bank = 0; bank < N_BANKS; bank++)
        if (run->limits.max_width[bank] > width) width = run->limits.max_width[bank];
    for (int node = 0; node < run->n_nodes; node++) {
        struct work_list *lists[] = {&run->gate_up[node], &run->down[node], &run->late[node]};
        const int n_rows[] = {width, run->limits.dim, width};
        for (int i = 0; i < (run->limits.has_stream ? 3 : 2); i++) {
            const size_t n = most_tasks(n_rows[i], n_groups, run->n_nodes, run->n_workers);
            const size_t n_ranges = (size_t)cm_team_n_called_on(run->team, node); /* all, when it is opened */
            lists[i]->tasks = cm_alloc(ctx, n, sizeof *lists[i]->tasks, "expert tasks");
            lists[i]->ranges = cm_alloc(ctx, n_ranges, sizeof *lists[i]->ranges, "expert tasks");
            if (!lists[i]->tasks || !lists[i]->ranges) return CALMOE_NO_MEMORY;
        }
    }
    return CALMOE_OK;
}

static calmoe_status open_memory(struct calmoe_context *ctx, struct expert_run *run)
{
    const struct expert_run_limits *limits = &run->limits;
    size_t n_slots = (size_t)limits->n_slots;
    for (int bank = 0; bank < N_BANKS; bank++) {
        if (limits->max_width[bank] == 0) continue;
        const int slots_of_bank = bank == BANK_ROUTED ? limits->n_slots : 1;
        const size_t n_bytes = cm_activations_bytes(limits->max_tokens * slots_of_bank, limits->max_width[bank]);
        run->hidden_memory[bank] = cm_alloc(ctx, n_bytes, 1, "hidden states of experts");
        if (!run->hidden_memory[bank]) return CALMOE_NO_MEMORY;
        n_slots += bank != BANK_ROUTED;
    }
    const size_t tokens = (size_t)limits->max_tokens, dim = (size_t)limits->dim;
    run->outputs = cm_alloc(ctx, tokens * n_slots * dim, sizeof(float), "outputs of experts");
    run->scratch = cm_alloc(ctx, (size_t)run->n_workers * 2 * SCRATCH, sizeof(float), "expert scratch");
    const size_t n_experts = (size_t)limits->max_experts, n_groups = n_experts + N_BANKS - 1;
    run->n_seam_rows = cm_alloc(ctx, n_groups * (size_t)run->n_nodes, sizeof *run->n_seam_rows, "expert tasks");
    run->uses = cm_alloc(ctx, n_experts, sizeof *run->uses, "expert tasks");
    run->serving = cm_alloc(ctx, n_experts, sizeof *run->serving, "expert tasks");
    run->wanted = cm_alloc(ctx, n_experts, sizeof *run->wanted, "expert tasks");
    run->is_late = cm_alloc(ctx, n_experts, sizeof *run->is_late, "expert tasks");
    if (!run->outputs || !run->scratch || !run->n_seam_rows || !run->uses || !run->serving || !run->wanted ||
        !run->is_late)
        return CALMOE_NO_MEMORY;
    return cm_dispatch_open(ctx, limits->max_tokens, (int)n_slots, limits->max_experts, &run->dispatch);
}

calmoe_status cm_expert_run_open(const struct machine *machine, const struct expert_run_limits *limits,
                                 struct expert_run **out)
{
    struct calmoe_context *ctx = machine->ctx;
    const struct team     *team = machine->team;
    *out = NULL;
    struct expert_run *run = cm_alloc(ctx, 1, sizeof *run, "the expert runner");
    if (!run) return CALMOE_NO_MEMORY;
    run->limits = *limits;
    run->ops = cm_vector_ops(machine->isa);
    run->team = team;
    run->exchange = machine->exchange;
    run->n_columns = limits->dim;
    if (run->exchange) {
        int32_t borders[CM_MAX_RANKS + 1];
        cm_rank_borders(run->exchange->shares, limits->dim, CM_SLICE_QUANTUM, borders);
        run->first_column = borders[run->exchange->shares->own];
        run->n_columns = borders[run->exchange->shares->own + 1] - run->first_column;
    }
    run->n_nodes = machine->topology->n_nodes;
    run->n_workers = cm_team_n_workers(team);
    run->costs = cm_place_costs(machine->topology, &(struct place_layer){0});
    for (int node = 0; node < run->n_nodes; node++) run->costs.server[node] = cm_team_server(team, node);
    calmoe_status status = open_lists(ctx, run);
    if (status == CALMOE_OK) status = open_memory(ctx, run);
    if (status != CALMOE_OK) {
        cm_expert_run_close(&run);
        return status;
    }
    *out = run;
    return CALMOE_OK;
}

void cm_expert_run_close(struct expert_run **run_pointer)
{
    struct expert_run *run = *run_pointer;
    if (!run) return;
    for (int node = 0; node < run->n_nodes; node++) {
        cm_free(run->gate_up[node].tasks);
        cm_free(run->gate_up[node].ranges);
        cm_free(run->down[node].tasks);
        cm_free(run->down[node].ranges);
        cm_free(run->late[node].tasks);
        cm_free(run->late[node].ranges);
    }
    for (int bank = 0; bank < N_BANKS; bank++) cm_free(run->hidden_memory[bank]);
    cm_dispatch_close(&run->dispatch);
    cm_free(run->outputs);
    cm_free(run->scratch);
    cm_free(run->n_seam_rows);
    cm_free(run->uses);
    cm_free(run->serving);
    cm_free(run->wanted);
    cm_free(run->is_late);
    cm_free(run);
    *run_pointer = NULL;
}

/* Which replica serves each replicated expert of the step. */
static void choose_replicas(struct expert_run *run)
{
    const struct expert_layer *layer = run->layer;
    int n = 0;
    for (; n < run->dispatch.n_groups && run->dispatch.groups[n].bank == BANK_ROUTED; n++)
        run->uses[n] = (struct place_use){run->dispatch.groups[n].expert, run->dispatch.groups[n].n};
    run->costs.gate_up_bytes = layer->gate_up_bytes;
    run->costs.down_bytes = layer->down_bytes;
    cm_place_serve(layer->plan, layer->index, &run->costs, run->uses, n, run->serving, &run->load);
}

/* The stream is told what the layer needs of it. Groups of routed experts come first. */
static void want_experts(struct expert_run *run)
{
    int n = 0;
    for (; n < run->dispatch.n_groups && run->dispatch.groups[n].bank == BANK_ROUTED; n++)
        run->wanted[n] = run->dispatch.groups[n].expert;
    cm_expert_stream_want(run->layer->stream, run->layer->index, run->wanted, n, run->is_late);
}

static bool comes_late(const struct expert_run *run, int group)
{
    return run->layer->stream && run->dispatch.groups[group].bank == BANK_ROUTED && run->is_late[group];
}

/* Waits for the expert of a task, where it came late; false: it could not be read. */
static bool is_there(struct expert_run *run, const struct expert_task *task)
{
    if (!comes_late(run, task->group)) return true;
    if (cm_expert_stream_wait(run->layer->stream, run->layer->index, run->dispatch.groups[task->group].expert))
        return true;
    atomic_store_explicit(&run->has_failed, true, memory_order_relaxed);
    return false;
}

/* Rows of a part, in tasks that begin at multiples of step of the expert's rows: else they would cut blocks. */
static void cut_part(struct work_list *list, const struct expert_part *part, int group, int first_row, int n_rows,
                     int step)
{
    for (int row = 0, end = step - first_row % step; row < n_rows; row = end, end += step) {
        if (end > n_rows) end = n_rows;
        list->tasks[list->n_tasks++] = (struct expert_task){part, group, row, end};
    }
}

/* Cuts every group into tasks of both phases, on the lists of the nodes that its expert's parts lie on. */
static void cut_tasks(struct expert_run *run)
{
    for (int node = 0; node < run->n_nodes; node++)
        run->gate_up[node].n_tasks = run->down[node].n_tasks = run->late[node].n_tasks = 0;
    const int n_groups = run->dispatch.n_groups;
    for (int g = 0; g < n_groups; g++) {
        const struct expert_group *group = &run->dispatch.groups[g];
        const struct expert_bank *bank = &run->layer->banks[group->bank];
        const struct expert *expert = &bank->experts[group->expert];
        const int step = rows_of_task(run, bank->width, bank->quantum, n_groups, group->n);
        const int down_step = rows_of_task(run, run->layer->dim, 16, n_groups, group->n);
        for (int i = 0; i < expert->n_parts; i++) {
            const struct expert_part *part = &expert->parts[i];
            if (expert->is_replicated && part->node != run->serving[g]) continue;
            const int node = cm_team_server(run->team, part->node);
            struct work_list *list = comes_late(run, g) ? &run->late[node] : &run->gate_up[node];
            cut_part(list, part, g, part->row, part->up.weights.n_rows, step);
            cut_part(&run->down[node], part, g, part->down_row, part->down.weights.n_rows, down_step);
        }
    }
    for (int node = 0; node < run->n_nodes; node++) {
        const int n_workers = cm_team_n_called_on(run->team, node);
        cm_deal_tasks(run->gate_up[node].ranges, n_workers, run->gate_up[node].n_tasks);
        cm_deal_tasks(run->down[node].ranges, n_workers, run->down[node].n_tasks);
        if (run->late[node].n_tasks > 0) cm_deal_tasks(run->late[node].ranges, 1, run->late[node].n_tasks);
    }
}

/* Are routed experts of this layer whole on a rank each? */
static bool are_whole(const struct expert_run *run)
{
    return run->exchange && run->exchange->shares->has_whole_experts && run->layer->banks[BANK_ROUTED].n_experts > 0;
}

/* Have ranks parts of a bank's hidden states? */
static bool is_gathered(const struct expert_run *run, int bank)
{
    return run->exchange && !(bank == BANK_ROUTED && are_whole(run));
}

/* Whose rows of outputs are whose: entries stand by expert, and a rank has experts that follow one another. */
static void deal_outputs(struct expert_run *run)
{
    const struct rank_shares *shares = run->exchange->shares;
    int32_t                   borders[CM_MAX_RANKS + 1];
    int                       g = 0;
    cm_rank_borders(shares, run->layer->banks[BANK_ROUTED].n_experts, 1, borders);
    run->deal = (struct exchange_deal){.values = run->outputs, .n_columns = run->layer->dim};
    for (int rank = 0; rank < shares->n_ranks; rank++) {
        run->deal.rows[rank + 1] = run->deal.rows[rank];
        for (; g < run->dispatch.n_groups; g++) {
            const struct expert_group *group = &run->dispatch.groups[g];
            if (group->bank != BANK_ROUTED || group->expert >= borders[rank + 1]) break;
            run->deal.rows[rank + 1] += group->n;
        }
    }
}

void cm_expert_run_plan(struct expert_run *run, const struct expert_layer *layer, const struct expert_step *step)
{
    const struct routing *routing = layer->banks[BANK_ROUTED].n_experts > 0 ? step->routing : NULL;
    unsigned always = 0;
    for (int bank = BANK_ROUTED + 1; bank < N_BANKS; bank++)
        if (layer->banks[bank].n_experts > 0) always |= 1u << bank;
    run->layer = layer;
    run->step = *step;
    cm_dispatch(routing, step->n_tokens, layer->banks[BANK_ROUTED].n_experts, always, &run->dispatch);
    for (int bank = 0; bank < N_BANKS; bank++)
        if (layer->banks[bank].n_experts > 0)
            cm_activations_place(&run->hidden[bank], run->dispatch.n_of_bank[bank], layer->banks[bank].width,
                                 run->hidden_memory[bank]);
    if (layer->has_replicas) choose_replicas(run);
    if (layer->stream && routing) want_experts(run);
    if (are_whole(run)) deal_outputs(run);
    cut_tasks(run);
}

struct expert_reads cm_expert_run_reads(const struct expert_run *run)
{
    struct expert_reads reads = {0};
    for (int g = 0; g < run->dispatch.n_groups; g++) {
        const struct expert_group *group = &run->dispatch.groups[g];
        reads.n_routed += group->bank == BANK_ROUTED;
        reads.n_bytes += run->layer->banks[group->bank].experts[group->expert].n_bytes;
    }
    return reads;
}

/* The row of hidden[group->bank] that entry has. */
static int hidden_row(const struct expert_run *run, const struct expert_group *group, int entry)
{
    return entry - run->dispatch.first[group->bank];
}

/* A slice's border may cut a block of down's input. Rows begin … end of such a block, of all the group's tokens, are
 * ready: whoever brings the last of its rows quantizes it, for all of them. A block is counted at the part that it
 * begins in; at 0 again when it is whole. */
static void count_seam(struct expert_run *run, int group_index, int begin, int end)
{
    const struct expert_group *group = &run->dispatch.groups[group_index];
    const struct expert_bank *bank = &run->layer->banks[group->bank];
    const struct expert *expert = &bank->experts[group->expert];
    const int block = begin / bank->quantum * bank->quantum;
    const int block_end = block + bank->quantum < bank->width ? block + bank->quantum : bank->width;
    int i = 0;
    while (expert->parts[i].row + expert->parts[i].up.weights.n_rows <= block) i++;
    atomic_int *n_rows = &run->n_seam_rows[group_index * run->n_nodes + i];
    if (atomic_fetch_add_explicit(n_rows, end - begin, memory_order_acq_rel) + end - begin < block_end - block) return;
    atomic_store_explicit(n_rows, 0, memory_order_relaxed);
    for (int entry = group->first; entry < group->first + group->n; entry++)
        run->ops->quantize(&run->hidden[group->bank], hidden_row(run, group, entry), block, block_end,
                           bank->hidden_kinds);
}

/* Rows of an expert as blocks of down's input: whole ones, and at both ends parts of others. */
struct block_rows {
    int begin, whole_begin, whole_end, end;
};

static struct block_rows blocks_of(const struct expert_bank *bank, const struct expert_task *task)
{
    const int begin = task->part->row + task->row_begin, end = task->part->row + task->row_end;
    struct block_rows rows = {begin, begin, end, end};
    if (task->part->up.weights.n_rows == bank->width) return rows; /* tasks of a whole expert cut no block */
    rows.whole_begin = round_up(begin, bank->quantum);
    if (rows.whole_begin > end) rows.whole_begin = end;
    if (end < bank->width) rows.whole_end = end / bank->quantum * bank->quantum;
    if (rows.whole_end < rows.whole_begin) rows.whole_end = rows.whole_begin;
    return rows;
}

struct rows_in { /* some rows of a matrix input */
    const struct activations *x;
    const int32_t            *which; /* (n) */
    const int32_t            *tokens; /* (n) whose they are */
    int                       n;
    const float              *scales; /* (n) factors on the rows; NULL = 1 */
};

/* The door to the kernels for gate, up and down: y (n, stride) = the task's rows of a part's matrix times each row of
 * the input, with what the tokens' adapters add, plus the bias. */
static void multiply_part(const struct expert_run *run, const struct expert_matrix *matrix,
                          const struct expert_task *task, const struct rows_in *in, float *y, size_t stride)
{
    const struct matrix *weights = &matrix->weights;
    const int n_rows = task->row_end - task->row_begin;
    if (weights->n_rows == 0) return;
    weights->kernel->multiply(weights, task->row_begin, task->row_end, in->x, in->which, in->n, y, stride);
    if (run->step.adapters) {
        const struct low_rank_product product = {.matrix = weights, .begin = task->row_begin, .end = task->row_end,
                                                 .x = in->x, .which = in->which, .rows = in->tokens, .n = in->n,
                                                 .y = y, .stride = stride};
        cm_low_rank_add(run->ops, run->step.adapters, &product);
    }
    for (int i = 0; in->scales && i < in->n; i++)
        for (int row = 0; row < n_rows; row++) y[(size_t)i * stride + (size_t)row] *= in->scales[i];
    for (int i = 0; matrix->bias && i < in->n; i++)
        run->ops->add_scaled(y + (size_t)i * stride, matrix->bias + task->row_begin, 1.0f, n_rows);
}

/* The weights that tokens (n) give to a group's expert. */
static void weights_of(const struct expert_run *run, const struct expert_group *group, const int32_t *tokens, int n,
                       float *weights)
{
    const struct routing *routing = run->step.routing;
    const float *given = run->step.weights[group->bank];
    for (int i = 0; i < n; i++) {
        if (group->bank != BANK_ROUTED) {
            weights[i] = given ? given[tokens[i]] : 1.0f;
            continue;
        }
        size_t at = (size_t)tokens[i] * (size_t)routing->n_slots;
        while (routing->experts[at] != group->expert) at++;
        weights[i] = routing->weights[at];
    }
}

static void gate_up_task(struct expert_run *run, const struct expert_task *task, float *gate, float *up)
{
    const struct expert_group *group = &run->dispatch.groups[task->group];
    const struct expert_bank *bank = &run->layer->banks[group->bank];
    const struct expert_part *part = task->part;
    struct activations *hidden = &run->hidden[group->bank];
    const int n_rows = task->row_end - task->row_begin;
    const struct block_rows rows = blocks_of(bank, task);
    const size_t stride = (size_t)n_rows;
    float weights[TOKENS_AT_ONCE];
    for (int done = 0; done < group->n; done += TOKENS_AT_ONCE) {
        const int n = group->n - done < TOKENS_AT_ONCE ? group->n - done : TOKENS_AT_ONCE;
        const int32_t *tokens = run->dispatch.token_of + group->first + done;
        const struct rows_in in = {run->step.inputs[group->bank], tokens, tokens, n,
                                   bank->weighs_input ? weights : NULL};
        if (bank->weighs_input) weights_of(run, group, tokens, n, weights);
        multiply_part(run, &part->gate, task, &in, gate, stride);
        multiply_part(run, &part->up, task, &in, up, stride);
        for (int i = 0; i < n; i++) {
            const int row = hidden_row(run, group, group->first + done + i);
            float *h = hidden->values + (size_t)row * (size_t)bank->width + (size_t)rows.begin;
            run->ops->nonlinear[bank->nonlinearity](gate + (size_t)i * stride, up + (size_t)i * stride, n_rows, h);
            if (rows.whole_begin < rows.whole_end && !is_gathered(run, group->bank))
                run->ops->quantize(hidden, row, rows.whole_begin, rows.whole_end, bank->hidden_kinds);
        }
    }
    if (is_gathered(run, group->bank)) return; /* blocks are whole when all ranks' rows are there */
    if (rows.begin < rows.whole_begin) count_seam(run, task->group, rows.begin, rows.whole_begin);
    if (rows.whole_end < rows.end) count_seam(run, task->group, rows.whole_end, rows.end);
}

void cm_expert_run_gather(struct expert_run *run, const struct worker *me)
{
    struct exchange_piece pieces[N_BANKS];
    int                   n_pieces = 0, begin, end;
    for (int b = 0; b < N_BANKS; b++) {
        const struct expert_bank   *bank = &run->layer->banks[b];
        const struct exchange_piece hidden =
            cm_columns_piece(run->hidden[b].values, run->dispatch.n_of_bank[b], bank->width);
        if (bank->n_experts > 0 && is_gathered(run, b))
            pieces[n_pieces++] =
                cm_input_piece(hidden, &run->hidden[b], bank->hidden_kinds, run->step.adapters != NULL);
    }
    if (n_pieces == 0) {
        cm_barrier(me);
        return;
    }
    cm_exchange_meet(run->exchange, pieces, n_pieces, me);
    for (int i = 0; i < n_pieces; i++) {
        cm_share(pieces[i].n_rows, 1, me->index, me->n_workers, &begin, &end);
        for (int row = begin; row < end; row++) cm_exchange_quantize(run->exchange, &pieces[i], row);
    }
    cm_barrier(me);
}

static void down_task(struct expert_run *run, const struct expert_task *task, int32_t *rows)
{
    const struct expert_group *group = &run->dispatch.groups[task->group];
    const struct expert_part *part = task->part;
    const size_t dim = (size_t)run->layer->dim, first_row = (size_t)(part->down_row + task->row_begin);
    for (int done = 0; done < group->n; done += TOKENS_AT_ONCE) {
        const int n = group->n - done < TOKENS_AT_ONCE ? group->n - done : TOKENS_AT_ONCE;
        const int first = group->first + done;
        for (int i = 0; i < n; i++) rows[i] = hidden_row(run, group, first + i);
        const struct rows_in in = {&run->hidden[group->bank], rows, run->dispatch.token_of + first, n, NULL};
        multiply_part(run, &part->down, task, &in, run->outputs + (size_t)first * dim + first_row, dim);
    }
}

/* The worker's next task of its node's list, NULL when all are taken. */
static const struct expert_task *take(const struct work_list *list, const struct worker *me)
{
    const int i = cm_take_task(list->ranges, me->n_on_node, me->rank_on_node);
    return i >= 0 ? &list->tasks[i] : NULL;
}

static void gate_up_and_count(struct expert_run *run, const struct expert_task *task, const struct worker *me,
                              uint64_t *bytes_of)
{
    const struct expert_part *part = task->part;
    const int n_rows = task->row_end - task->row_begin;
    float *gate = run->scratch + (size_t)me->index * 2 * SCRATCH;
    gate_up_task(run, task, gate, gate + SCRATCH);
    bytes_of[part->node] += cm_expert_matrix_bytes(&part->gate, n_rows) + cm_expert_matrix_bytes(&part->up, n_rows);
}

void cm_expert_run_gate_up(struct expert_run *run, const struct worker *me, uint64_t *bytes_of)
{
    struct work_list *late = &run->late[me->node];
    const struct expert_task *task;
    int i;
    while ((task = take(&run->gate_up[me->node], me)) != NULL) gate_up_and_count(run, task, me, bytes_of);
    while (late->n_tasks > 0 && (i = cm_take_task(late->ranges, 1, 0)) >= 0)
        if (is_there(run, &late->tasks[i])) gate_up_and_count(run, &late->tasks[i], me, bytes_of);
}

bool cm_expert_run_has_failed(struct expert_run *run) { return atomic_exchange(&run->has_failed, false); }

void cm_expert_run_down(struct expert_run *run, const struct worker *me, uint64_t *bytes_of)
{
    int32_t rows[TOKENS_AT_ONCE];
    const struct expert_task *task;
    while ((task = take(&run->down[me->node], me)) != NULL) {
        const struct expert_part *part = task->part;
        if (!is_there(run, task)) continue;
        down_task(run, task, rows);
        bytes_of[part->node] += cm_expert_matrix_bytes(&part->down, task->row_end - task->row_begin);
    }
    if (are_whole(run)) cm_exchange_deal(run->exchange, &run->deal, me);
}

/* sum += weight * the output of (token, slot), as far as this rank has it */
static void add_output(const struct expert_run *run, int token, int slot, float weight, float *sum)
{
    const struct dispatch *dispatch = &run->dispatch;
    const int entry = dispatch->entry_of[(size_t)token * (size_t)dispatch->n_slots + (size_t)slot];
    const float *output = run->outputs + (size_t)entry * (size_t)run->layer->dim;
    run->ops->add_scaled(sum + run->first_column, output + run->first_column, weight, run->n_columns);
}

void cm_expert_run_sum(const struct expert_run *run, int token, unsigned banks, float *sum)
{
    const struct expert_bank *bank = run->layer->banks;
    const struct expert_step *step = &run->step;
    memset(sum, 0, (size_t)run->layer->dim * sizeof *sum);
    if (banks & 1u << BANK_ROUTED && bank[BANK_ROUTED].n_experts > 0) {
        const float *weights = step->routing->weights + (size_t)token * (size_t)step->routing->n_slots;
        const int n_kept = cm_n_kept(step->routing, token);
        for (int slot = 0; slot < n_kept; slot++)
            add_output(run, token, slot, bank[BANK_ROUTED].weighs_input ? 1.0f : weights[slot], sum);
    }
    int slot = run->dispatch.n_routed_slots;
    for (int b = BANK_ROUTED + 1; b < N_BANKS; b++) {
        if (bank[b].n_experts == 0) continue;
        const bool has_weight = step->weights[b] && !bank[b].weighs_input;
        if (banks >> b & 1) add_output(run, token, slot, has_weight ? step->weights[b][token] : 1.0f, sum);
        slot++;
    }
}
