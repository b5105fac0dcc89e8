/* drafts.c - lossless sessions on several ranks: drafts by exits, by lookup, by the block that predicts a further
 * token, and by a draft model; with rewinds, forks, and drafts that turn out to be wrong. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/ranks/driver.h"

static void open_lossless(struct run *run, const calmoe_policy *policy)
{
    static const float     biases[] = {40, 40};
    calmoe_sampler_options sampler;
    calmoe_session_options options;
    calmoe_sampler_options_init(&sampler);
    sampler.temperature = 0.7f;
    sampler.n_biases = policy ? 2 : 0; /* the same two tokens again and again: what follows can be looked up */
    sampler.bias_tokens = run->tokens;
    sampler.biases = biases;
    sampler.seed = 3;
    calmoe_session_options_init(&options);
    options.context = CONTEXT;
    options.ignore_end = 1;
    options.policy = policy;
    options.sampler = &sampler;
    options.lossless = CALMOE_LOSSLESS_ALWAYS;
    open_sessions(run, &options);
}

static calmoe_speculation rounds_of(const struct run *run, const calmoe_session *session)
{
    calmoe_speculation told = {.size = sizeof told};
    must(run, calmoe_session_speculation(session, &told));
    return told;
}

/* Drafts, which come by turns, and what of them was accepted are the same, too. */
static void add_rounds(struct run *run, const calmoe_session *session, calmoe_speculation *sum)
{
    const calmoe_speculation told = rounds_of(run, session);
    for (int kind = 0; kind < CALMOE_N_DRAFT_KINDS; kind++) {
        const uint64_t counts[] = {told.rounds_by[kind], told.drafted_by[kind], told.accepted_by[kind]};
        cm_sha256_add(&run->hash, counts, sizeof counts);
        sum->rounds_by[kind] += told.rounds_by[kind];
        sum->drafted += told.drafted_by[kind];
        sum->accepted += told.accepted_by[kind];
    }
}

/* Sessions by turns: each takes away the logits that the other's rounds had made. */
static void read_rounds(struct run *run, const calmoe_policy *policy, calmoe_speculation *sum)
{
    calmoe_session *const *const sessions = run->sessions;
    open_lossless(run, policy);
    for (int i = 0; i < 2; i++) {
        step(run, (const int[]){i == 0 ? 6 : 0, i == 1 ? 3 : 0, 0, 0}, 0, CALMOE_LOGITS_LAST);
        generate(run, sessions[i], 9);
    }
    generate(run, sessions[0], 12);
    must(run, calmoe_session_rewind(sessions[0], calmoe_session_n_positions(sessions[0]) - 3));
    must(run, calmoe_session_fork(sessions[1], &run->sessions[N_SESSIONS]));
    generate(run, sessions[0], 5);
    generate(run, sessions[N_SESSIONS], 5);
    generate(run, sessions[1], 12);
    for (int i = 0; i <= N_SESSIONS; i++) add_rounds(run, sessions[i], sum);
    close_sessions(run);
}

void read_drafts(struct run *run)
{
    calmoe_policy_options options;
    calmoe_policy        *policy;
    calmoe_speculation    sum = {.size = sizeof sum};
    const int             layer = 1;
    calmoe_policy_options_init(&options);
    options.measure = "softmax";
    options.threshold = 0.01f;
    options.exit_layers = &layer;
    options.n_exits = 1;
    must(run, calmoe_policy_make(run->model, &options, &policy));
    read_rounds(run, NULL, &sum);
    read_rounds(run, policy, &sum);
    calmoe_policy_close(&policy);
    if (sum.rounds_by[CALMOE_DRAFTS_BY_EXITS] > 0 && sum.rounds_by[CALMOE_DRAFTS_BY_LOOKUP] > 0 &&
        sum.rounds_by[CALMOE_DRAFTS_BY_MODEL] > 0 && sum.accepted > 0 && sum.accepted < sum.drafted)
        return;
    printf("FAIL %s: %llu of %llu drafts were accepted; rounds by exits, lookup, model, a further block: %llu, %llu, "
           "%llu, %llu\n", run->path, (unsigned long long)sum.accepted, (unsigned long long)sum.drafted,
           (unsigned long long)sum.rounds_by[CALMOE_DRAFTS_BY_EXITS],
           (unsigned long long)sum.rounds_by[CALMOE_DRAFTS_BY_LOOKUP],
           (unsigned long long)sum.rounds_by[CALMOE_DRAFTS_BY_MODEL],
           (unsigned long long)sum.rounds_by[CALMOE_DRAFTS_BY_FURTHER]);
    exit(1);
}
