/* driver.c - what runs on the little machines: tables of plans and of failures, one process for each row.
 *
 *     driver here MODEL               writes the tiny model, runs it on the machine at hand, prints its logits' hash
 *     driver ROWS HASH MACHINE        as the only program of a machine: "all" rows, or only those of "plans";
 *                                     MACHINE is what it must see, MEGABYTES:CORES:NEAR for each node, with commas
 *
 * A line for each row, PASS or FAIL; exit status 0 when no row failed. */
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <calmoe/calmoe.h>
#include <calmoe/placement.h>

#include "base/clock.h"
#include "base/memory.h"
#include "runtime/documents/plan_file.h"
#include "tests/numa/checks.h"
#include "tests/numa/deprive.h"
#include "tests/support/random_plan.h"
#include "tests/support/tiny_model.h"

enum { N_PROMPT = 12, N_SINGLE = 3, MAX_REMARKS = 8 };

static const char  *model_path = "/model.gguf";
static const char  *wanted_hash;
static const char  *machine;
static char         remarks[MAX_REMARKS][CM_MESSAGE_BYTES];
static int          n_remarks;

static void keep_remark(void *user, const char *sentence)
{
    (void)user;
    if (n_remarks < MAX_REMARKS) snprintf(remarks[n_remarks++], CM_MESSAGE_BYTES, "%s", sentence);
}

/* ---- one process ---- */

static void open_model(struct process *p)
{
    calmoe_context_options options;
    calmoe_context_options_init(&options);
    options.log = keep_remark;
    must(p, calmoe_context_open(&options, &p->context), "context");
    must(p, calmoe_model_open(p->context, model_path, NULL, &p->model), "model");
}

static _Atomic int n_noted;

/* By all threads of the engine, each for rows of its own. */
static void note_processor(void *user, const calmoe_routing_choice *choice)
{
    unsigned cpu, node;
    (void)user, (void)choice;
    const int at = n_noted++;
    if (at < (int)(sizeof seen / sizeof *seen) && getcpu(&cpu, &node) == 0) seen[at] = cpu;
}

static calmoe_status open_engine(struct process *p)
{
    calmoe_engine_options options;
    calmoe_engine_options_init(&options);
    options.plan = p->plan[0] ? p->plan : NULL;
    options.max_rows = 64;
    options.fixed_threads = 1; /* workers of each node are looked at, also where the emulator is slow */
    options.routing_source = note_processor;
    return calmoe_engine_open(p->model, &options, &p->engine);
}

static void close_all(struct process *p)
{
    calmoe_session_close(&p->session);
    calmoe_engine_close(&p->engine);
    calmoe_model_close(&p->model);
    calmoe_context_close(&p->context);
}

/* A prompt in one step, then single tokens; all logits into the hash. */
static void step(struct process *p, char hash[65])
{
    calmoe_session_options options;
    int32_t                tokens[N_PROMPT + N_SINGLE];
    for (int i = 0; i < N_PROMPT + N_SINGLE; i++) tokens[i] = 20 + 7 * i % 31;
    calmoe_session_options_init(&options);
    options.hash_logits = 1;
    must(p, calmoe_session_open(p->engine, &options, &p->session), "session");
    for (int done = 0; done < N_PROMPT + N_SINGLE;) {
        const calmoe_chunk chunk = {p->session, tokens + done, done < N_PROMPT ? N_PROMPT : 1, CALMOE_LOGITS_ALL};
        must(p, calmoe_engine_step(p->engine, &chunk, 1), "step");
        done += chunk.n_tokens;
        if (done == N_PROMPT) n_seen = n_noted;
    }
    must(p, calmoe_session_logit_hash(p->session, hash), "hash");
}

/* ---- plans ---- */

/* By a policy, as `calmoe place` makes and writes it. */
static void make_plan(struct process *p, const char *policy, const char *topology)
{
    calmoe_placement_options options;
    calmoe_placement        *placement;
    calmoe_placement_options_init(&options);
    options.policy = policy;
    options.topology = topology;
    must(p, calmoe_placement_open(p->model, &options, &placement), policy);
    must(p, calmoe_placement_write(placement, p->plan), "plan");
    calmoe_placement_close(&placement);
}

/* What no policy makes: every expert on the last node; whole experts dealt out over all nodes, those without cores
 * too; every expert in copies; all of that and slices by chance. The rest on the home node, or by chance too. */
static void build_plan(struct process *p, char kind)
{
    const struct model_spec *spec = &p->model->spec;
    struct topology          topology;
    struct plan_file         file = {0};
    must(p, cm_topology_open(p->context, NULL, &topology), "topology");
    const int         width = spec->most.width[cm_is_dense_model(spec) ? BANK_SHARED : BANK_ROUTED];
    const struct plan shape = {.n_nodes = topology.n_nodes, .n_layers = spec->n_layers,
                               .n_experts = spec->most.n_experts, .width = width, .dim = spec->dim,
                               .quantum = 16, .n_kv_heads = spec->most.n_kv_heads};
    must(p, kind == 'x' ? random_plan(p->context, &shape, 1, &file.plan)
                        : cm_plan_open(p->context, &shape, &file.plan), "plan");
    for (int layer = 0; layer < shape.n_layers && kind != 'x'; layer++)
        for (int expert = 0; expert < shape.n_experts; expert++) {
            struct place *place = cm_place_of(&file.plan, layer, expert);
            place->node = kind == 'l' ? shape.n_nodes - 1 : (expert + layer) % shape.n_nodes;
            if (kind == 'r') *place = (struct place){.kind = PLACE_REPLICATED, .replicas = 3};
        }
    memcpy(file.fingerprint, p->model->fingerprint, sizeof file.fingerprint);
    must(p, cm_plan_file_write(p->context, p->plan, &file), "plan");
    cm_plan_file_close(&file);
    cm_topology_close(&topology);
}

/* ---- rows ---- */

enum { PAGES = 1, THREADS = 2, REMOTE = 4, ALL = 7 };

struct run_case {
    const char   *name;
    const char   *policy;   /* NULL = no plan; "*l", "*d", "*r", "*x": built by build_plan()            */
    const char   *topology; /* that the plan is made for; NULL = this machine                           */
    void        (*deprive)(void);
    unsigned      checks;
    calmoe_status status;   /* of opening the engine                                                    */
    const char   *says;     /* a part of its sentence; where it opens, of its only remark; NULL = none  */
};

static const struct run_case rows[] = {
    /* plans of all kinds */
    {"no plan", NULL, NULL, deprive_of_nothing, ALL, CALMOE_OK, NULL},
    {"one_node", "one_node", NULL, deprive_of_nothing, ALL, CALMOE_OK, NULL},
    {"round_robin", "round_robin", NULL, deprive_of_nothing, ALL, CALMOE_OK, NULL},
    {"sliced", "sliced", NULL, deprive_of_nothing, ALL, CALMOE_OK, NULL},
    {"interleave", "interleave", NULL, deprive_of_nothing, ALL, CALMOE_OK, NULL},
    {"replicated", "*r", NULL, deprive_of_nothing, ALL, CALMOE_OK, NULL},
    {"experts dealt out", "*d", NULL, deprive_of_nothing, ALL, CALMOE_OK, NULL},
    {"experts on the last node", "*l", NULL, deprive_of_nothing, ALL, CALMOE_OK, NULL},
    {"a plan by chance", "*x", NULL, deprive_of_nothing, ALL, CALMOE_OK, NULL},
    /* plans for others */
    {"plan for another machine", "one_node", "numa:7 core:1 pu:1", deprive_of_nothing, 0, CALMOE_INVALID_ARGUMENT,
     "the plan is for a machine with 7 memory nodes; this one has "},
    /* systems that refuse */
    {"without root", "*d", NULL, deprive_of_root, ALL, CALMOE_OK, NULL},
    {"without binding", "*d", NULL, deprive_of_binding, THREADS | REMOTE, CALMOE_OK,
     "the system does not bind memory to node "},
    {"without memory policy", "*d", NULL, deprive_of_memory_policy, THREADS | REMOTE, CALMOE_OK,
     "the system does not bind memory to node "},
    {"without pins", "*d", NULL, deprive_of_pins, REMOTE, CALMOE_OK, "the system does not pin threads to cores"},
    {"a cpuset of node 0's memory", NULL, NULL, deprive_of_nodes, REMOTE, CALMOE_OK, NULL},
};

/* The second remark that may follow the first: where pages lie that could not be bound. */
static bool is_about_pages(const char *remark)
{
    return strstr(remark, "lie on other nodes") != NULL;
}

static void check_remarks(const struct run_case *row)
{
    for (int i = 0; i < n_remarks; i++)
        if (!row->says || (!strstr(remarks[i], row->says) && !is_about_pages(remarks[i])))
            fail("it remarks: %s", remarks[i]);
    int n_said = 0;
    for (int i = 0; i < n_remarks; i++) n_said += row->says && strstr(remarks[i], row->says) != NULL;
    if (row->says && n_said != 1) fail("it remarks %d times '%s'", n_said, row->says);
}

static void check_hash(const char *hash)
{
    if (strcmp(hash, wanted_hash) != 0) fail("the logits' hash is %.16s, not %.16s", hash, wanted_hash);
}

static void run_row(const struct run_case *row)
{
    const long     n_live = cm_live_blocks();
    struct process p = {0};
    char           hash[65];
    open_model(&p);
    if (row->policy) snprintf(p.plan, sizeof p.plan, "/tmp/%d.json", (int)getpid());
    if (row->policy && row->policy[0] == '*') build_plan(&p, row->policy[1]);
    else if (row->policy) make_plan(&p, row->policy, row->topology);
    row->deprive();
    const calmoe_status status = open_engine(&p);
    if (status != row->status || (status != CALMOE_OK && !strstr(calmoe_context_message(p.context), row->says)))
        fail("opening gives %s: %s", calmoe_status_name(status), calmoe_context_message(p.context));
    if (status == CALMOE_OK) {
        step(&p, hash);
        check_hash(hash);
        check_remarks(row);
        if (row->checks & PAGES) check_pages(&p);
        if (row->checks & THREADS) check_threads(&p);
        if (row->checks & REMOTE) check_remote(&p);
    }
    close_all(&p);
    if (cm_live_blocks() != n_live) fail("%ld blocks of memory are left over", cm_live_blocks() - n_live);
}

/* ---- rows of their own kind ---- */

/* The machine is seen as qemu was told to make it. */
static void sees_the_machine(void)
{
    struct topology topology;
    const char     *at = machine;
    if (cm_topology_open(NULL, NULL, &topology) != CALMOE_OK) fail("no topology");
    int n = 0;
    for (; *at; n++) {
        char      *end;
        const long megabytes = strtol(at, &end, 10), cores = strtol(end + 1, &end, 10);
        const long near = strtol(end + 1, &end, 10);
        if (n >= topology.n_nodes) fail("%d nodes", topology.n_nodes);
        const struct topology_node *node = &topology.nodes[n];
        const double share = (double)node->memory_bytes / ((double)megabytes * 1048576);
        if (node->os_index != (unsigned)n || node->n_cores != cores || node->served_by != near || share > 1 ||
            share < 0.7) /* the kernel and the initramfs have theirs */
            fail("node %d is number %u with %d cores, %llu bytes, served by node %d", n, node->os_index, node->n_cores,
                 (unsigned long long)node->memory_bytes, node->served_by);
        at = end + (*end == ',');
    }
    if (n != topology.n_nodes) fail("%d nodes", topology.n_nodes);
    cm_topology_close(&topology);
}

/* A node with less room than its share: a sentence, nothing left over; and with room again it runs. */
static void node_without_room(void)
{
    const long     n_live = cm_live_blocks();
    const char    *says = "no memory on node ";
    struct process p = {.plan = "/tmp/room.json"};
    char           hash[65];
    open_model(&p);
    build_plan(&p, 'l');
    struct topology topology;
    must(&p, cm_topology_open(p.context, NULL, &topology), "topology");
    const int last = topology.n_nodes - 1;
    deprive_of_room(topology.nodes[last].os_index, (size_t)4 << 20);
    const long          n_before = cm_live_blocks();
    const calmoe_status status = open_engine(&p);
    if (status != CALMOE_NO_MEMORY || !strstr(calmoe_context_message(p.context), says))
        fail("opening gives %s: %s", calmoe_status_name(status), calmoe_context_message(p.context));
    if (cm_live_blocks() != n_before || p.engine) fail("%ld blocks are left over", cm_live_blocks() - n_before);
    printf("NOTE %s: %s\n", row_name, calmoe_context_message(p.context));
    give_room_back();
    must(&p, open_engine(&p), "with room again");
    step(&p, hash);
    check_hash(hash);
    check_pages(&p);
    cm_topology_close(&topology);
    close_all(&p);
    if (cm_live_blocks() != n_live) fail("%ld blocks of memory are left over", cm_live_blocks() - n_live);
}

/* Blocks as large as a node's room are given and lie there; larger ones are refused; the process lives. */
static void whole_rooms(void)
{
    struct topology   topology;
    struct node_block block;
    struct node_pages pages;
    if (cm_topology_open(NULL, NULL, &topology) != CALMOE_OK) fail("no topology");
    for (int node = 0; node < topology.n_nodes; node++) {
        const size_t room = (size_t)cm_node_room(&topology, node), some = (size_t)4 << 20;
        if (room > topology.nodes[node].memory_bytes || room < topology.nodes[node].memory_bytes / 4)
            fail("node %d has room for %zu bytes", node, room);
        if (cm_node_block_open(NULL, &topology, node, room + some, &block) != CALMOE_NO_MEMORY)
            fail("node %d gives %zu bytes, and has %zu", node, room + some, room);
        if (cm_node_block_open(NULL, &topology, node, room - some, &block) != CALMOE_OK)
            fail("node %d does not give %zu bytes", node, room - some);
        memset(block.bytes, 1, block.n_bytes);
        if (!cm_node_block_check(&topology, &block, &pages) || pages.n_elsewhere > 0 ||
            pages.n_touched * PAGE != block.n_mapped)
            fail("node %d: %zu pages, %zu elsewhere", node, pages.n_touched, pages.n_elsewhere);
        cm_node_block_close(&block);
    }
    cm_topology_close(&topology);
}

/* What is written in the middle of a step, keys and values, flows over to another node instead of killing. */
static void sparse_overflow(void)
{
    struct topology   topology;
    struct node_block block;
    struct node_pages pages;
    if (cm_topology_open(NULL, NULL, &topology) != CALMOE_OK) fail("no topology");
    const int    last = topology.n_nodes - 1;
    const size_t n_bytes = topology.nodes[last].memory_bytes; /* more than it has free, less than all have */
    if (cm_node_block_open_sparse(NULL, &topology, last, n_bytes, &block) != CALMOE_OK || !block.is_bound)
        fail("the block is not given");
    memset(block.bytes, 1, block.n_bytes);
    if (!cm_node_block_check(&topology, &block, &pages) || pages.n_elsewhere == 0 ||
        pages.n_elsewhere > pages.n_touched / 2)
        fail("%zu pages, %zu elsewhere", pages.n_touched, pages.n_elsewhere);
    cm_node_block_close(&block);
    cm_topology_close(&topology);
}

/* The cpuset shrinks after the machine was looked at: the node that is gone cannot be bound to. */
static void node_taken_away(void)
{
    struct calmoe_context context = {.log = keep_remark};
    struct topology       topology;
    struct node_block     blocks[2];
    if (cm_topology_open(&context, NULL, &topology) != CALMOE_OK) fail("no topology");
    deprive_of_nodes();
    for (int i = 0; i < 2; i++) {
        if (cm_node_block_open(&context, &topology, 1, 1 << 20, &blocks[i]) != CALMOE_OK) fail("%s", context.message);
        if (blocks[i].is_bound) fail("it is bound to node 1, which is not allowed");
        memset(blocks[i].bytes, 1, blocks[i].n_bytes);
    }
    if (n_remarks != 1 || !strstr(remarks[0], "does not bind memory to node 1"))
        fail("%d remarks, the first: %s", n_remarks, remarks[0]);
    for (int i = 0; i < 2; i++) cm_node_block_close(&blocks[i]);
    cm_topology_close(&topology);
}

/* A cpuset that leaves fewer nodes: the plan is for another machine. */
static void plan_outside_the_cpuset(void)
{
    struct process p = {.plan = "/tmp/cpuset.json"};
    open_model(&p);
    build_plan(&p, 'd');
    deprive_of_nodes();
    const calmoe_status status = open_engine(&p);
    if (status != CALMOE_INVALID_ARGUMENT || !strstr(calmoe_context_message(p.context), "; this one has 1"))
        fail("opening gives %s: %s", calmoe_status_name(status), calmoe_context_message(p.context));
    close_all(&p);
}

static const struct {
    const char *name;
    void      (*run)(void);
} own_rows[] = {
    {"the machine is seen as it is", sees_the_machine},
    {"blocks as large as a node's room", whole_rooms},
    {"a sparse block larger than its node", sparse_overflow},
    {"a node without room for its share", node_without_room},
    {"a node taken away later", node_taken_away},
    {"a plan and a cpuset", plan_outside_the_cpuset},
};

/* ---- all of them ---- */

/* Each row in a process of its own, because it may be killed, and loses rights that it does not get back. */
static int run_alone(const char *name, const struct run_case *row, void (*run)(void))
{
    int            status = -1;
    const uint64_t begin_ns = cm_now_ns();
    row_name = name;
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        if (row) run_row(row);
        else run();
        exit(0);
    }
    waitpid(child, &status, 0);
    if (status == 0) printf("PASS %s (%.1f s)\n", name, (double)(cm_now_ns() - begin_ns) * 1e-9);
    else if (WIFSIGNALED(status)) printf("FAIL %s: killed by signal %d\n", name, WTERMSIG(status));
    else printf("FAIL %s: exit status %d\n", name, WEXITSTATUS(status));
    fflush(stdout);
    return status != 0;
}

static int run_there(bool only_plans)
{
    int n_failed = 0;
    for (size_t i = 0; i < sizeof own_rows / sizeof *own_rows; i++)
        if (!only_plans || own_rows[i].run == sees_the_machine)
            n_failed += run_alone(own_rows[i].name, NULL, own_rows[i].run);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!only_plans || (rows[i].checks == ALL && rows[i].deprive == deprive_of_nothing))
            n_failed += run_alone(rows[i].name, &rows[i], NULL);
    return n_failed > 0;
}

static int run_here(void)
{
    struct tiny_model tiny = tiny_model_wide();
    struct process    p = {0};
    char              hash[65];
    tiny_model_write(&tiny, model_path);
    open_model(&p);
    must(&p, open_engine(&p), "engine");
    step(&p, hash);
    close_all(&p);
    printf("%s\n", hash);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "here") == 0) {
        model_path = argv[2];
        return run_here();
    }
    const bool only_plans = argc == 4 && strcmp(argv[1], "plans") == 0;
    if (argc != 4 || (!only_plans && strcmp(argv[1], "all") != 0)) {
        fputs("driver here MODEL | driver all|plans HASH MACHINE\n", stderr);
        return 2;
    }
    wanted_hash = argv[2];
    machine = argv[3];
    return run_there(only_plans);
}
