/* test_expert_run.c - a layer's experts at work: the same bits as plain loops in the documented order, and the
 * same bits on any machine, team and plan: pinned, sliced, replicated. Machines of several nodes are synthetic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/random.h"
#include "experts/expert_run.h"
#include "kernels/half.h"
#include "tests/support/random_plan.h"
#include "tests/support/thin.h"

enum { MAX_TOKENS = 70, MAX_EXPERTS = 9, MAX_SLOTS = 4 };

struct shape {
    int               dim, width, shared_width, dense_width; /* a width of 0: no such bank    */
    int               n_experts, n_slots, n_tokens;
    enum weight_type  gate, up, down;
    float             scale;
    bool              has_shared_weights;
    bool              drops;         /* some slots are not run                                    */
    bool              has_biases;
    bool              weighs_input;  /* the routed experts                                        */
    bool              adds_apart;    /* each bank's sum is added by itself; inputs differ, too    */
    enum nonlinearity nonlinearity;  /* of the routed experts; the shared one has the next, and so on */
};

struct problem { /* what is computed, apart from the machine */
    struct shape           shape;
    struct expert_sources  sources[N_BANKS][MAX_EXPERTS];
    float                 *x[N_BANKS]; /* (n_tokens, dim) the layer's normed input */
    float                 *residual; /* (n_tokens, dim) what is added to          */
    struct routing         routing;
    int32_t                experts[MAX_TOKENS * MAX_SLOTS];
    float                  weights[MAX_TOKENS * MAX_SLOTS];
    float                  shared_weights[MAX_TOKENS];
    uint8_t                n_kept[MAX_TOKENS];
};

struct machine_case {
    const char *topology; /* NULL: this one */
    int         n_workers;
    int         seed;     /* of the plan; 0 = all on the first node */
    enum isa    isa;
};

/* ---- problems ---- */

static float *random_floats(struct random *random, size_t n, float scale)
{
    float *values = malloc(n * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < n; i++) values[i] = scale * cm_random_normal(random);
    return values;
}

static struct weight_source random_source(struct random *random, enum weight_type type, int n_rows, int n_columns)
{
    const size_t n = (size_t)n_rows * (size_t)n_columns;
    float *values = random_floats(random, n, 1.0f / sqrtf((float)n_columns));
    void *rows = values;
    if (type != WEIGHT_F32) {
        rows = malloc(cm_row_bytes(type, (size_t)n_columns) * (size_t)n_rows);
        assert_non_null(rows);
        cm_weight_types[type].quantize(values, rows, n / (size_t)cm_weight_types[type].n_elements);
        free(values);
    }
    return (struct weight_source){.type = type, .rows = rows, .n_rows = n_rows, .n_columns = n_columns};
}

static int width_of(const struct shape *shape, int bank)
{
    const int widths[N_BANKS] = {shape->width, shape->shared_width, shape->dense_width};
    return widths[bank];
}

static int n_of_bank(const struct problem *p, int bank)
{
    return width_of(&p->shape, bank) == 0 ? 0 : bank == BANK_ROUTED ? p->shape.n_experts : 1;
}

static enum nonlinearity nonlinearity_of(const struct shape *shape, int bank)
{
    return (enum nonlinearity)(((int)shape->nonlinearity + bank) % NONLINEARITY_COUNT);
}

static void random_routing(struct random *random, struct problem *p)
{
    p->routing = (struct routing){.n_tokens = p->shape.n_tokens, .n_slots = p->shape.n_slots, .experts = p->experts,
                                  .weights = p->weights, .n_kept = p->shape.drops ? p->n_kept : NULL};
    for (int token = 0; token < p->shape.n_tokens; token++) {
        const int first = (int)cm_random_below(random, (uint64_t)p->shape.n_experts);
        for (int slot = 0; slot < p->shape.n_slots; slot++) {
            p->experts[token * p->shape.n_slots + slot] = (first + slot) % p->shape.n_experts;
            p->weights[token * p->shape.n_slots + slot] = (float)cm_random_unit(random);
        }
        p->shared_weights[token] = (float)cm_random_unit(random);
        p->n_kept[token] = (uint8_t)(token % (p->shape.n_slots + 1));
        for (int slot = p->n_kept[token]; p->shape.drops && slot < p->shape.n_slots; slot++)
            p->weights[token * p->shape.n_slots + slot] = NAN; /* nothing is multiplied by it */
    }
}

static struct problem *problem_open(const struct shape *shape, uint64_t seed)
{
    struct random random = cm_random(seed);
    struct problem *p = calloc(1, sizeof *p);
    assert_non_null(p);
    p->shape = *shape;
    for (int bank = 0; bank < N_BANKS; bank++)
        for (int i = 0; i < n_of_bank(p, bank); i++) {
            const int width = width_of(shape, bank);
            struct expert_sources *sources = &p->sources[bank][i];
            if (cm_nonlinearities[nonlinearity_of(shape, bank)].has_gate)
                sources->gate = random_source(&random, shape->gate, width, shape->dim);
            sources->up = random_source(&random, shape->up, width, shape->dim);
            sources->down = random_source(&random, shape->down, shape->dim, width);
            if (!shape->has_biases) continue;
            if (sources->gate.rows) sources->gate_bias = random_floats(&random, (size_t)width, 1.0f);
            if (i != 1) sources->up_bias = random_floats(&random, (size_t)width, 1.0f); /* one expert has none */
            if (i != 2) sources->down_bias = random_floats(&random, (size_t)shape->dim, 1.0f);
        }
    const size_t n = (size_t)shape->n_tokens * (size_t)shape->dim;
    for (int bank = 0; bank < N_BANKS; bank++)
        p->x[bank] = bank > 0 && !shape->adds_apart ? p->x[0] : random_floats(&random, n, 1.0f);
    p->residual = random_floats(&random, n, 1.0f);
    if (n_of_bank(p, BANK_ROUTED) > 0) random_routing(&random, p);
    return p;
}

static void problem_close(struct problem *p)
{
    for (int bank = 0; bank < N_BANKS; bank++)
        for (int i = 0; i < n_of_bank(p, bank); i++) {
            free((void *)(uintptr_t)p->sources[bank][i].gate.rows);
            free((void *)(uintptr_t)p->sources[bank][i].up.rows);
            free((void *)(uintptr_t)p->sources[bank][i].down.rows);
            free((void *)(uintptr_t)p->sources[bank][i].gate_bias);
            free((void *)(uintptr_t)p->sources[bank][i].up_bias);
            free((void *)(uintptr_t)p->sources[bank][i].down_bias);
        }
    for (int bank = 0; bank < N_BANKS; bank++)
        if (bank == 0 || p->x[bank] != p->x[0]) free(p->x[bank]);
    free(p->residual);
    free(p);
}

/* ---- plain loops, F32 ---- */

static float weight_at(const struct weight_source *source, int row, int column)
{
    float value;
    memcpy(&value, source->rows + 4 * ((size_t)row * (size_t)source->n_columns + (size_t)column), sizeof value);
    return value;
}

static float dot(const struct weight_source *source, int row, const float *x)
{
    float sum = 0.0f;
    for (int k = 0; k < source->n_columns; k++) sum = fmaf(weight_at(source, row, k), x[k], sum);
    return sum;
}

static bool weighs_input(const struct shape *shape, int bank) { return bank == BANK_ROUTED && shape->weighs_input; }

static void add_expert(const struct problem *p, int bank, int index, int token, float weight, float *sum)
{
    float gate[600], up[600], hidden[600];
    const float *x = p->x[bank] + (size_t)token * (size_t)p->shape.dim;
    const struct expert_sources *expert = &p->sources[bank][index];
    const int width = expert->up.n_rows;
    const float before = weighs_input(&p->shape, bank) ? weight : 1.0f, behind = before == weight ? 1.0f : weight;
    for (int j = 0; j < width; j++) {
        gate[j] = expert->gate.rows ? before * dot(&expert->gate, j, x) : NAN;
        up[j] = before * dot(&expert->up, j, x);
        if (expert->gate_bias) gate[j] += expert->gate_bias[j];
        if (expert->up_bias) up[j] += expert->up_bias[j];
    }
    cm_vector_ops(ISA_REF)->nonlinear[nonlinearity_of(&p->shape, bank)](gate, up, width, hidden);
    for (int i = 0; i < expert->down.n_rows; i++) {
        const float output = dot(&expert->down, i, hidden) + (expert->down_bias ? expert->down_bias[i] : 0.0f);
        sum[i] = fmaf(behind, output, sum[i]);
    }
}

/* sum (dim) += what a bank gives a token */
static void add_bank(const struct problem *p, int bank, int token, float *sum)
{
    const int n_slots = p->shape.n_slots;
    if (n_of_bank(p, bank) == 0) return;
    if (bank != BANK_ROUTED) {
        const bool has_weight = bank == BANK_SHARED && p->shape.has_shared_weights;
        add_expert(p, bank, 0, token, has_weight ? p->shared_weights[token] : 1.0f, sum);
        return;
    }
    for (int slot = 0; slot < cm_n_kept(&p->routing, token); slot++) {
        const int at = token * n_slots + slot;
        add_expert(p, bank, p->experts[at], token, p->weights[at], sum);
    }
}

static void run_plainly(const struct problem *p, float *out)
{
    const int dim = p->shape.dim;
    float sum[608];
    for (int token = 0; token < p->shape.n_tokens; token++) {
        float *to = out + (size_t)token * (size_t)dim;
        memcpy(to, p->residual + (size_t)token * (size_t)dim, (size_t)dim * sizeof *to);
        memset(sum, 0, sizeof sum);
        for (int bank = 0; bank < N_BANKS; bank++) {
            add_bank(p, bank, token, sum);
            if (bank < N_BANKS - 1 && !p->shape.adds_apart) continue;
            for (int i = 0; i < dim; i++) to[i] = fmaf(p->shape.scale, sum[i], to[i]);
            memset(sum, 0, sizeof sum);
        }
    }
}

/* ---- by the team ---- */

struct at_work {
    const struct problem    *problem;
    struct expert_layer      layer;
    struct expert_run       *run;
    struct activations       inputs[N_BANKS];
    const struct vector_ops *ops;
    float                   *out;
    struct plan              where;
    uint64_t                (*bytes_of)[CM_MAX_NODES]; /* (n_workers) */
};

static void plan(void *arg)
{
    struct at_work *w = arg;
    const struct shape *shape = &w->problem->shape;
    const struct expert_step step = {
        .n_tokens = shape->n_tokens,
        .routing = n_of_bank(w->problem, BANK_ROUTED) > 0 ? &w->problem->routing : NULL,
        .inputs = {&w->inputs[0], &w->inputs[1], &w->inputs[2]},
        .weights = {[BANK_SHARED] = shape->has_shared_weights ? w->problem->shared_weights : NULL},
    };
    cm_expert_run_plan(w->run, &w->layer, &step);
}

static void add(struct at_work *w, int token)
{
    const struct shape *shape = &w->problem->shape;
    float *to = w->out + (size_t)token * (size_t)shape->dim, sum[608];
    for (int bank = 0; bank < (shape->adds_apart ? N_BANKS : 1); bank++) {
        cm_expert_run_sum(w->run, token, shape->adds_apart ? 1u << bank : ~0u, sum);
        w->ops->add_scaled(to, sum, shape->scale, shape->dim);
    }
}

static void phase(void *arg, const struct worker *me)
{
    struct at_work *w = arg;
    cm_barrier_with(me, plan, w);
    cm_expert_run_gate_up(w->run, me, w->bytes_of[me->index]);
    cm_barrier(me);
    cm_expert_run_down(w->run, me, w->bytes_of[me->index]);
    cm_barrier(me);
    for (int token = me->index; token < w->problem->shape.n_tokens; token += me->n_workers) add(w, token);
}

static void pack(struct at_work *w, const struct machine_case *machine, const struct topology *topology,
                 struct team *team, struct packed_weights *weights)
{
    struct calmoe_context ctx = {0};
    const struct shape *shape = &w->problem->shape;
    const struct plan where = {.n_nodes = topology->n_nodes, .n_layers = 1, .n_experts = shape->n_experts,
                               .width = shape->width, .dim = shape->dim, .quantum = CM_SLICE_QUANTUM};
    struct pack_list *list = NULL;
    assert_int_equal(machine->seed > 0 ? random_plan(NULL, &where, (uint64_t)machine->seed, &w->where)
                                       : cm_plan_open(NULL, &where, &w->where),
                     CALMOE_OK);
    w->layer.dim = shape->dim;
    w->layer.plan = &w->where;
    assert_int_equal(cm_pack_list_open(&ctx, machine->isa, &list), CALMOE_OK);
    for (int bank = 0; bank < N_BANKS; bank++) {
        w->layer.banks[bank].nonlinearity = nonlinearity_of(shape, bank);
        w->layer.banks[bank].weighs_input = weighs_input(shape, bank);
    }
    for (int bank = 0; bank < N_BANKS; bank++)
        if (n_of_bank(w->problem, bank) > 0)
            assert_int_equal(cm_expert_bank_open(&ctx, &w->layer, bank, w->problem->sources[bank],
                                                 n_of_bank(w->problem, bank), list),
                             CALMOE_OK);
    if (cm_pack_list_run(&ctx, list, topology, team, NULL, NULL, weights) != CALMOE_OK) fail_msg("%s", ctx.message);
    cm_pack_list_close(&list);
}

/* Every byte that the plan of the step names was read once, by a worker of its node where that has any. */
static void check_bytes(const struct at_work *w, const struct topology *topology, const struct team *team)
{
    uint64_t n_bytes = 0;
    for (int i = 0; i < cm_team_n_workers(team); i++)
        for (int node = 0; node < topology->n_nodes; node++) {
            if (cm_team_server(team, node) != cm_team_worker(team, i)->node) assert_int_equal(w->bytes_of[i][node], 0);
            n_bytes += w->bytes_of[i][node];
        }
    assert_int_equal(n_bytes, cm_expert_run_reads(w->run).n_bytes);
}

/* The inputs of all banks, in the forms that they read; the memory is the caller's. */
static void fill_inputs(struct at_work *w, void **memory)
{
    const struct shape *shape = &w->problem->shape;
    const size_t n_bytes = (size_t)shape->n_tokens * (size_t)shape->dim * sizeof(float);
    for (int bank = 0; bank < N_BANKS; bank++) {
        memory[bank] = cm_alloc(NULL, cm_activations_bytes(shape->n_tokens, shape->dim), 1, "the test's input");
        assert_non_null(memory[bank]);
        cm_activations_place(&w->inputs[bank], shape->n_tokens, shape->dim, memory[bank]);
        memcpy(w->inputs[bank].values, w->problem->x[bank], n_bytes);
        for (int token = 0; token < shape->n_tokens; token++)
            w->ops->quantize(&w->inputs[bank], token, 0, shape->dim, w->layer.banks[bank].input_kinds);
    }
}

/* out (n_tokens, dim): the residual with the layer added, computed twice by the same runner. */
static void run_on(const struct problem *p, const struct machine_case *machine, float *out)
{
    const struct shape *shape = &p->shape;
    struct topology topology;
    struct team *team = NULL;
    struct packed_weights weights;
    struct at_work w = {.problem = p, .ops = cm_vector_ops(machine->isa), .out = out};
    const long live = cm_live_blocks();
    assert_int_equal(cm_topology_open(NULL, machine->topology, &topology), CALMOE_OK);
    assert_int_equal(cm_team_open(NULL, &topology, machine->n_workers, false, &team), CALMOE_OK);
    pack(&w, machine, &topology, team, &weights);
    const struct expert_run_limits limits = {.max_tokens = shape->n_tokens, .dim = shape->dim,
                                             .n_slots = shape->n_slots, .max_experts = shape->n_experts,
                                             .max_width = {shape->width, shape->shared_width, shape->dense_width}};
    const struct machine here = {.isa = machine->isa, .topology = &topology, .team = team};
    assert_int_equal(cm_expert_run_open(&here, &limits, &w.run), CALMOE_OK);
    void *memory[N_BANKS];
    fill_inputs(&w, memory);
    for (int time = 0; time < 2; time++) { /* nothing of the first run may show in the second */
        memcpy(out, p->residual, (size_t)shape->n_tokens * (size_t)shape->dim * sizeof *out);
        w.bytes_of = calloc((size_t)machine->n_workers, sizeof *w.bytes_of);
        assert_non_null(w.bytes_of);
        cm_team_run(team, phase, &w);
        check_bytes(&w, &topology, team);
        free(w.bytes_of);
    }
    for (int bank = 0; bank < N_BANKS; bank++) cm_free(memory[bank]);
    cm_plan_close(&w.where);
    cm_expert_run_close(&w.run);
    cm_expert_layer_close(&w.layer);
    cm_packed_weights_close(&weights);
    cm_team_close(&team);
    cm_topology_close(&topology);
    assert_int_equal(cm_live_blocks(), live);
}

static const struct machine_case machines[] = {
    {NULL, 1, 0, ISA_REF},
    {NULL, 1, 0, ISA_AVX2},
    {NULL, 2, 0, ISA_AVX512VNNI},
    {NULL, 5, 0, ISA_AVX512VNNI},
    {NULL, 3, 0, ISA_AVXVNNI},
    {NULL, 2, 0, ISA_AMX},
    {"numa:3 core:2 pu:1", 6, 1, ISA_AVX512VNNI},
    {"numa:3 core:2 pu:1", 6, 2, ISA_AVX2},
    {"numa:3 core:2 pu:1", 2, 5, ISA_AVX512VNNI}, /* a node without workers */
    {"numa:3 core:2 pu:1", 1, 3, ISA_AVX512VNNI},
    {"numa:5 core:1 pu:1", 3, 4, ISA_AVX512VNNI},
    {"numa:2 core:3 pu:1", 4, 0, ISA_AVX512VNNI},
    {"numa:2 core:1 pu:1", 2, 6, ISA_AMX},
    {"numa:4 core:1 pu:1", 4, 7, ISA_AVX512VNNI},
    {"numa:7 core:1 pu:1", 7, 8, ISA_REF},
    {"numa:7 core:2 pu:1", 3, 9, ISA_AVX512VNNI},
};

/* wanted NULL: what the first machine says. */
static void check(const struct shape *shape, uint64_t seed, bool is_plain)
{
    static int n_runs;
    struct problem *p = problem_open(shape, seed);
    const size_t n = (size_t)shape->n_tokens * (size_t)shape->dim;
    float *wanted = malloc(n * sizeof *wanted), *found = malloc(n * sizeof *found);
    assert_true(wanted && found);
    if (is_plain) run_plainly(p, wanted);
    else run_on(p, &machines[0], wanted);
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
        if (way_is_left_out(n_runs++, 3)) continue;
        struct machine_case machine = machines[i];
        if (!cm_isa_is_supported(machine.isa)) machine.isa = cm_isa_best();
        run_on(p, &machine, found);
        if (memcmp(found, wanted, n * sizeof *found) != 0)
            fail_msg("machine %zu (%s, %d workers, %s) computes something else", i,
                     machine.topology ? machine.topology : "this one", machine.n_workers, cm_isa_name(machine.isa));
    }
    for (size_t i = 0; i < n; i++) assert_true(isfinite(found[i]));
    assert_memory_not_equal(found, p->residual, n * sizeof *found);
    free(wanted);
    free(found);
    problem_close(p);
}

#define F32_SHAPE .gate = WEIGHT_F32, .up = WEIGHT_F32, .down = WEIGHT_F32, .scale = 1.0f

static void plain_loops(void **state)
{
    (void)state;
    static const struct shape shapes[] = {
        {.dim = 5, .width = 3, .n_experts = 1, .n_slots = 1, .n_tokens = 1, F32_SHAPE},
        {.dim = 37, .width = 19, .n_experts = 7, .n_slots = 3, .n_tokens = 13, F32_SHAPE},
        {.dim = 40, .width = 9, .shared_width = 21, .n_experts = 6, .n_slots = 4, .n_tokens = 9, F32_SHAPE},
        {.dim = 16, .width = 300, .shared_width = 530, .n_experts = 3, .n_slots = 2, .n_tokens = 5,
         .has_shared_weights = true, F32_SHAPE},
        {.dim = 300, .width = 16, .n_experts = 9, .n_slots = 4, .n_tokens = 70, .gate = WEIGHT_F32,
         .up = WEIGHT_F32, .down = WEIGHT_F32, .scale = 0.22f},
        /* more tokens for one expert than are worked on at a time */
        {.dim = 12, .width = 20, .shared_width = 8, .n_experts = 2, .n_slots = 2, .n_tokens = 70, F32_SHAPE},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) check(&shapes[i], i + 1, true);
    for (size_t i = 1; i < sizeof shapes / sizeof *shapes; i++) {
        struct shape shape = shapes[i];
        shape.drops = true;
        shape.nonlinearity = (enum nonlinearity)(i % NONLINEARITY_COUNT);
        check(&shape, i + 1, true);
    }
}

/* Banks of every kind, with and without biases, weights on the input or the output, sums together or apart. */
static void branches(void **state)
{
    (void)state;
    static const struct shape shapes[] = {
        {.dim = 40, .width = 21, .shared_width = 9, .dense_width = 33, .n_experts = 4, .n_slots = 2, .n_tokens = 7,
         .has_shared_weights = true, F32_SHAPE},
        {.dim = 24, .width = 16, .dense_width = 70, .n_experts = 5, .n_slots = 3, .n_tokens = 35, .adds_apart = true,
         F32_SHAPE},
        {.dim = 33, .dense_width = 150, .n_experts = 1, .n_tokens = 6, F32_SHAPE}, /* dense alone   */
        {.dim = 33, .shared_width = 17, .dense_width = 50, .n_experts = 1, .n_tokens = 40, .adds_apart = true,
         F32_SHAPE},
        {.dim = 20, .width = 300, .n_experts = 6, .n_slots = 1, .n_tokens = 37, .weighs_input = true,
         .shared_width = 30, F32_SHAPE},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int has_biases = 0; has_biases < 2; has_biases++) {
            struct shape shape = shapes[i];
            shape.has_biases = has_biases;
            shape.drops = has_biases && shape.n_slots > 1;
            shape.nonlinearity = (enum nonlinearity)((2 * i + (size_t)has_biases) % NONLINEARITY_COUNT);
            check(&shape, 200 + i, true);
        }
}

static void quantized_weights(void **state)
{
    (void)state;
    static const struct shape shapes[] = {
        {.dim = 64, .width = 96, .n_experts = 5, .n_slots = 2, .n_tokens = 11, .gate = WEIGHT_Q8_0,
         .up = WEIGHT_Q4_0, .down = WEIGHT_Q8_0, .scale = 1.0f},
        {.dim = 256, .width = 512, .shared_width = 256, .n_experts = 4, .n_slots = 3, .n_tokens = 7,
         .gate = WEIGHT_Q4_K, .up = WEIGHT_Q6_K, .down = WEIGHT_Q4_K, .scale = 1.0f, .has_shared_weights = true},
        {.dim = 256, .width = 96, .shared_width = 32, .n_experts = 4, .n_slots = 1, .n_tokens = 40,
         .gate = WEIGHT_Q6_K, .up = WEIGHT_F16, .down = WEIGHT_Q8_0, .scale = 0.5f},
        {.dim = 32, .width = 256, .n_experts = 3, .n_slots = 3, .n_tokens = 3, .gate = WEIGHT_BF16,
         .up = WEIGHT_Q8_0, .down = WEIGHT_Q6_K, .scale = 1.0f},
        /* tasks as long as they get; experts have few tokens or more */
        {.dim = 608, .width = 1568, .n_experts = 9, .n_slots = 4, .n_tokens = 18, .gate = WEIGHT_Q4_0,
         .up = WEIGHT_Q8_0, .down = WEIGHT_Q4_0, .scale = 1.0f},
        {.dim = 256, .width = 544, .shared_width = 96, .dense_width = 320, .n_experts = 4, .n_slots = 3, .n_tokens = 9,
         .gate = WEIGHT_Q4_0, .up = WEIGHT_Q4_0, .down = WEIGHT_Q8_0, .scale = 1.0f, .has_biases = true,
         .nonlinearity = NONLINEARITY_CLAMPED_UP},
        /* no gate */
        {.dim = 64, .width = 544, .n_experts = 5, .n_slots = 2, .n_tokens = 35, .up = WEIGHT_Q4_0, .down = WEIGHT_Q8_0,
         .scale = 1.0f, .nonlinearity = NONLINEARITY_RELU_SQUARED},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) check(&shapes[i], 100 + i, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_loops),
        cmocka_unit_test(branches),
        cmocka_unit_test(quantized_weights),
    };
    return cmocka_run_group_tests_name("expert run", tests, NULL, NULL);
}
