/* runtime/api/machine.c - calmoe_machine_measure: streaming reads by a pinned team, the peak loops of every
 * instruction set, and what meetings cost. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <calmoe/machine.h>

#include "base/clock.h"
#include "base/meeting_cost.h"
#include "base/memory.h"
#include "base/node_memory.h"
#include "base/options.h"
#include "base/team.h"
#include "kernels/cpu_name.h"
#include "kernels/peak.h"

enum { MAX_THREADS = 4096, READ_PASSES = 15, NODE_PASSES = 9, PEAK_PASSES = 9, MAX_PASSES = 15 };
enum { PAGE = 4096, MIN_SLICE = 64 << 20, MIN_NODE_BYTES = 512 << 20 };
static const uint64_t FIRST_ROUNDS = 1 << 16, PEAK_NS = 10000000;

void calmoe_machine_options_init(calmoe_machine_options *options)
{
    if (options) *options = (calmoe_machine_options){.size = sizeof *options, .pin_threads = CALMOE_PIN_AUTO};
}

struct calmoe_read_meter {
    struct calmoe_context *ctx;
    struct topology        topology;
    struct team           *team;
    int                    n_workers;
    struct node_block     *blocks;  /* (n_workers) each worker's own, on its node */
    const struct peak_row *best;    /* whose reads are taken                      */
    /* one pass */
    int                    node;    /* whose workers read; -1 = all               */
    cm_peak_loop           loop;
    uint64_t               rounds;
    double                *done;    /* (n_workers) bytes or operations            */
    uint64_t               begin_ns, end_ns; /* from the first barrier to the second */
    _Atomic uint64_t       sink;    /* takes what was read                        */
};

static void begin_clock(void *arg)
{
    ((struct calmoe_read_meter *)arg)->begin_ns = cm_now_ns();
}

static void end_clock(void *arg)
{
    ((struct calmoe_read_meter *)arg)->end_ns = cm_now_ns();
}

/* Fresh pages may all be one page of zeros: they are written before they are read. */
static void touch_block(void *arg, const struct worker *me)
{
    const struct calmoe_read_meter *m = arg;
    memset(m->blocks[me->index].bytes, me->index + 1, m->blocks[me->index].n_bytes);
}

static void read_pass(void *arg, const struct worker *me)
{
    struct calmoe_read_meter      *m = arg;
    const struct node_block *block = &m->blocks[me->index];
    cm_barrier_with(me, begin_clock, m);
    m->done[me->index] = 0.0;
    if (m->node < 0 || m->node == me->node) {
        atomic_fetch_add_explicit(&m->sink, m->best->read(block->bytes, block->n_bytes), memory_order_relaxed);
        m->done[me->index] = (double)block->n_bytes;
    }
    cm_barrier_with(me, end_clock, m);
}

static void peak_pass(void *arg, const struct worker *me)
{
    struct calmoe_read_meter *m = arg;
    cm_barrier_with(me, begin_clock, m);
    m->done[me->index] = m->loop(m->rounds);
    cm_barrier_with(me, end_clock, m);
}

static int ascending(const void *a, const void *b)
{
    const double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double rate_of_pass(struct calmoe_read_meter *m, void (*pass)(void *, const struct worker *))
{
    double done = 0.0;
    cm_team_run(m->team, pass, m);
    for (int i = 0; i < m->n_workers; i++) done += m->done[i];
    const uint64_t ns = m->end_ns > m->begin_ns ? m->end_ns - m->begin_ns : 1;
    return done * 1e9 / (double)ns;
}

static calmoe_rate rate_of(struct calmoe_read_meter *m, void (*pass)(void *, const struct worker *), int n_passes)
{
    double rates[MAX_PASSES];
    for (int i = 0; i < n_passes; i++) rates[i] = rate_of_pass(m, pass);
    qsort(rates, (size_t)n_passes, sizeof rates[0], ascending);
    return (calmoe_rate){.best = rates[n_passes - 1], .median = (rates[(n_passes - 1) / 2] + rates[n_passes / 2]) / 2};
}

/* A first pass wakes the cores and tells how many rounds a pass needs. */
static calmoe_rate peak_of(struct calmoe_read_meter *m, cm_peak_loop loop)
{
    if (!loop) return (calmoe_rate){0.0, 0.0};
    m->loop = loop;
    m->rounds = FIRST_ROUNDS;
    rate_of_pass(m, peak_pass);
    const uint64_t ns = m->end_ns - m->begin_ns;
    m->rounds = ns < PEAK_NS ? FIRST_ROUNDS * (PEAK_NS / (ns + 1) + 1) : FIRST_ROUNDS;
    return rate_of(m, peak_pass, PEAK_PASSES);
}

static void measure_peaks(struct calmoe_read_meter *m, calmoe_machine *out)
{
    for (int isa = 0; isa < ISA_COUNT && out->n_levels < CALMOE_MAX_LEVELS; isa++) {
        const struct peak_row *row = cm_peak_row((enum isa)isa);
        if (!row || !cm_isa_is_supported((enum isa)isa)) continue;
        out->levels[out->n_levels++] = (calmoe_level_peaks){.isa = cm_isa_name((enum isa)isa),
                                                            .int8 = peak_of(m, row->int8),
                                                            .f32 = peak_of(m, row->f32),
                                                            .bf16 = peak_of(m, row->bf16)};
    }
}

static bool has_workers_on_many_nodes(const struct calmoe_read_meter *m)
{
    for (int i = 1; i < m->n_workers; i++)
        if (cm_team_worker(m->team, i)->node != cm_team_worker(m->team, 0)->node) return true;
    return false;
}

static void measure_reads(struct calmoe_read_meter *m, calmoe_machine *out)
{
    rate_of_pass(m, read_pass);
    out->read = rate_of(m, read_pass, READ_PASSES);
    if (!has_workers_on_many_nodes(m)) {
        out->node_read[cm_team_worker(m->team, 0)->node] = out->read;
        return;
    }
    for (m->node = 0; m->node < m->topology.n_nodes; m->node++)
        out->node_read[m->node] = rate_of(m, read_pass, NODE_PASSES);
}

/* Far more than the caches of the cores that read: the last level holds at most some 12 MiB for each core of current
 * servers, 32 MiB of the most lavish ones. */
static calmoe_status open_blocks(struct calmoe_read_meter *m)
{
    m->blocks = cm_alloc(m->ctx, (size_t)m->n_workers, sizeof *m->blocks, "blocks to read");
    m->done = cm_alloc(m->ctx, (size_t)m->n_workers, sizeof *m->done, "blocks to read");
    if (!m->blocks || !m->done) return CALMOE_NO_MEMORY;
    for (int i = 0; i < m->n_workers; i++) {
        const struct worker *worker = cm_team_worker(m->team, i);
        size_t n_bytes = (size_t)MIN_NODE_BYTES / (size_t)worker->n_on_node / PAGE * PAGE;
        if (n_bytes < MIN_SLICE) n_bytes = MIN_SLICE;
        CM_TRY(cm_node_block_open(m->ctx, &m->topology, worker->node, n_bytes, &m->blocks[i]));
    }
    return CALMOE_OK;
}

/* Ready to read: a team, and blocks that were written. */
static calmoe_status open_meter(struct calmoe_read_meter *m, const calmoe_machine_options *options)
{
    for (int isa = 0; isa < ISA_COUNT; isa++) {
        const struct peak_row *row = cm_peak_row((enum isa)isa);
        if (row && cm_isa_is_supported((enum isa)isa) && row->read) m->best = row;
    }
    CM_TRY(cm_topology_open(m->ctx, NULL, &m->topology));
    CM_TRY(cm_team_open(m->ctx, &m->topology, options->n_threads, (enum team_pin)options->pin_threads, &m->team));
    if (cm_team_n_called(m->team) < cm_team_n_workers(m->team)) { /* a quota leaves out some */
        const int n = cm_team_n_called(m->team);
        cm_team_close(&m->team);
        CM_TRY(cm_team_open(m->ctx, &m->topology, n, (enum team_pin)options->pin_threads, &m->team));
    }
    m->n_workers = cm_team_n_workers(m->team);
    CM_TRY(open_blocks(m));
    cm_team_run(m->team, touch_block, m);
    m->node = -1;
    return CALMOE_OK;
}

static calmoe_status measure_meetings(struct calmoe_read_meter *m, calmoe_machine *out)
{
    struct meeting_delays found;
    CM_TRY(cm_measure_meetings(m->ctx, m->team, &m->topology, &found));
    out->line_near = (calmoe_delay){found.near.least, found.near.median};
    out->line_far = (calmoe_delay){found.far.least, found.far.median};
    out->barrier = (calmoe_delay){found.barrier.least, found.barrier.median};
    return CALMOE_OK;
}

static calmoe_status measure(struct calmoe_read_meter *m, const calmoe_machine_options *options, calmoe_machine *out)
{
    const uint64_t start = cm_now_ns();
    CM_TRY(open_meter(m, options));
    cm_cpu_name(out->cpu, sizeof out->cpu);
    out->n_cores = m->topology.n_cores;
    out->n_nodes = m->topology.n_nodes;
    out->n_threads = m->n_workers;
    measure_reads(m, out);
    measure_peaks(m, out);
    CM_TRY(measure_meetings(m, out));
    out->seconds = (double)(cm_now_ns() - start) * 1e-9;
    return CALMOE_OK;
}

static void close_meter(struct calmoe_read_meter *m)
{
    for (int i = 0; m->blocks && i < m->n_workers; i++) cm_node_block_close(&m->blocks[i]);
    cm_free(m->blocks);
    cm_free(m->done);
    cm_team_close(&m->team);
    cm_topology_close(&m->topology);
}

static calmoe_status copy_options(calmoe_context *ctx, const calmoe_machine_options *given, calmoe_machine_options *out)
{
    calmoe_machine_options_init(out);
    CM_TRY(cm_options_copy(ctx, "calmoe_machine_options", out, sizeof *out, given));
    if (out->n_threads >= 0 && out->n_threads <= MAX_THREADS) return CALMOE_OK;
    return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "n_threads is %d; 0 (every core) to %d is wanted", out->n_threads,
                   MAX_THREADS);
}

calmoe_status calmoe_machine_measure(calmoe_context *ctx, const calmoe_machine_options *given, calmoe_machine *out)
{
    calmoe_machine_options   options;
    struct calmoe_read_meter m = {.ctx = ctx};
    calmoe_machine           machine = {0};
    if (!ctx || !out || out->size < sizeof out->size)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "calmoe_machine_measure: context and machine with its size set are needed");
    CM_TRY(copy_options(ctx, given, &options));
    const calmoe_status status = measure(&m, &options, &machine);
    close_meter(&m);
    if (status != CALMOE_OK) return status;
    cm_options_give(out, &machine, sizeof machine);
    return CALMOE_OK;
}

calmoe_status calmoe_read_meter_open(calmoe_context *ctx, const calmoe_machine_options *given, calmoe_read_meter **out)
{
    calmoe_machine_options options;
    if (!ctx || !out)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "calmoe_read_meter_open: context and meter are needed");
    *out = NULL;
    CM_TRY(copy_options(ctx, given, &options));
    struct calmoe_read_meter *m = cm_alloc(ctx, 1, sizeof *m, "a read meter");
    if (!m) return CALMOE_NO_MEMORY;
    m->ctx = ctx;
    const calmoe_status status = open_meter(m, &options);
    if (status == CALMOE_OK) *out = m;
    else calmoe_read_meter_close(&m);
    return status;
}

void calmoe_read_meter_close(calmoe_read_meter **meter)
{
    if (!meter || !*meter) return;
    close_meter(*meter);
    cm_free(*meter);
    *meter = NULL;
}

double calmoe_read_meter_pass(calmoe_read_meter *meter)
{
    return meter ? rate_of_pass(meter, read_pass) : 0.0;
}
