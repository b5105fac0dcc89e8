/* experts/expert_run.h - a layer's experts at work: two phases with a barrier after each, no reduction.
 *
 *   plan      one worker: group tokens by expert, choose replicas, cut tasks, one list for each node
 *   gate_up   tasks (part of an expert, rows of gate and up): h = nonlinear(gate x + bias, up x + bias), quantized for
 *             down; where the bank's weights are on the input: of weight * x
 *   down      tasks (part of an expert, rows of down): a piece of one output row, down h + bias, for each entry
 *   sum       for each token, banks and slots in order: sum of weight * output
 *
 * Where there are other ranks, each has rows of every expert. What gate_up gave is gathered behind it; of down, each
 * sums its own rows over slots first, since a sum's elements do not look at one another, and sums are gathered. Or each
 * rank has some of the routed experts whole: these run both phases as if there was one rank, and behind down every rank
 * gets its own columns of what the others' experts gave, unsummed.
 *
 * Where a layer's routed experts are a stream's, the plan tells it which are needed, and gate_up takes tasks of experts
 * that are still on their way from disk after all others.
 *
 * A task is one writer of its outputs, and each output is one lane's sum: which worker runs it, and how experts are
 * cut, changes no bit. Workers take tasks of their own node only. */
#ifndef EXPERTS_EXPERT_RUN_H
#define EXPERTS_EXPERT_RUN_H

#include "experts/dispatch.h"
#include "experts/expert_store.h"
#include "experts/low_rank.h"
#include "experts/machine.h"
#include "kernels/vector_ops.h"

struct expert_run;

struct expert_run_limits {
    int max_tokens;
    int dim;
    int n_slots;               /* routed experts of a token, at most */
    int max_experts;           /* of a layer                          */
    int max_width[N_BANKS];    /* of any layer; 0 where no layer has such a bank */
    bool has_stream;           /* layers may have one                 */
};

/* What a layer's experts are given; all stays borrowed until the last sum. */
struct expert_step {
    int                       n_tokens;
    const struct routing     *routing;          /* of n_tokens; NULL where the layer has no routed experts          */
    const struct activations *inputs[N_BANKS];  /* (n_tokens, dim) of each bank that the layer has, in the forms
                                                   bank->input_kinds; banks may share one                          */
    const float              *weights[N_BANKS]; /* (n_tokens) of a bank that every token takes; NULL = 1            */
    const struct low_rank_rows *adapters;       /* what tokens add to products; NULL: none adds anything            */
};

/* machine->plan is not looked at: layers bring theirs. */
calmoe_status cm_expert_run_open(const struct machine *machine, const struct expert_run_limits *limits,
                                 struct expert_run **out);
void          cm_expert_run_close(struct expert_run **run);

/* By one worker, others waiting. */
void cm_expert_run_plan(struct expert_run *run, const struct expert_layer *layer, const struct expert_step *step);
/* What the plan reads of the weights: routed experts with any token, packed bytes of all experts. */
struct expert_reads {
    int    n_routed;
    size_t n_bytes;
};
struct expert_reads cm_expert_run_reads(const struct expert_run *run);

/* By all workers; a barrier before and after each; where ranks have experts whole, down ends with one in which they
 * hand each other what their experts gave. bytes_of[node] += the packed bytes that this worker read from that
 * node's memory; only of its own node, but for nodes that have no workers. */
void cm_expert_run_gate_up(struct expert_run *run, const struct worker *me, uint64_t *bytes_of);
void cm_expert_run_down(struct expert_run *run, const struct worker *me, uint64_t *bytes_of);
/* By one worker behind either phase: whether an expert could not be read, so that outputs mean nothing; told once. */
bool cm_expert_run_has_failed(struct expert_run *run);
/* Where there are other ranks, between the two, instead of the barrier behind gate_up. */
void cm_expert_run_gather(struct expert_run *run, const struct worker *me);
/* sum (dim) = sum over some banks, of bits 1 << bank, and their kept slots of weight * output, in order; any worker,
 * any token. Elements that other ranks have are 0. */
void cm_expert_run_sum(const struct expert_run *run, int token, unsigned banks, float *sum);

#endif
