/* bench/replay.c - uses recorded routing in place of the router's, since random weights route tokens evenly and real
 * ones do not. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <calmoe/trace.h>

#include "bench/bench.h"

enum { MAX_BYTES = 256 << 20 }; /* of the trace are kept and replayed, not more */

struct bench_replay {
    calmoe_trace_info info;
    size_t            n_tokens, capacity;
    size_t            n_choice; /* n_layers * n_used                              */
    int16_t          *experts;  /* (n_tokens, n_layers, n_used)                   */
    float            *weights;  /* the same                                       */
    int               session;  /* to which the rows belong; -1: row i belongs to session i */
    size_t            stride;   /* tokens of the trace between the beginnings of two sessions */
};

static bool keep(struct bench_replay *replay, const calmoe_trace_token *token)
{
    if (replay->n_tokens == replay->capacity) {
        const size_t capacity = replay->capacity > 0 ? 2 * replay->capacity : 64;
        int16_t *experts = realloc(replay->experts, capacity * replay->n_choice * sizeof *experts);
        if (experts != NULL) replay->experts = experts;
        float *weights = realloc(replay->weights, capacity * replay->n_choice * sizeof *weights);
        if (weights != NULL) replay->weights = weights;
        if (experts == NULL || weights == NULL) {
            cm_say("no memory for a trace of %zu tokens", capacity);
            return false;
        }
        replay->capacity = capacity;
    }
    const size_t at = replay->n_tokens++ * replay->n_choice;
    for (size_t i = 0; i < replay->n_choice; i++) {
        replay->experts[at + i] = (int16_t)token->experts[i];
        replay->weights[at + i] = token->weights[i];
    }
    return true;
}

static bool read_tokens(const struct front *front, calmoe_trace_reader *reader, struct bench_replay *replay)
{
    const size_t n_most = (size_t)MAX_BYTES / (replay->n_choice * (sizeof(int16_t) + sizeof(float)));
    calmoe_trace_token token;
    calmoe_status      status = CALMOE_OK;
    while (replay->n_tokens < n_most && (status = calmoe_trace_reader_next(reader, &token)) == CALMOE_OK)
        if (!keep(replay, &token)) return false;
    return status == CALMOE_END || cm_front_succeeded(front, status);
}

bool cm_bench_replay_open(const struct front *front, const char *path, struct bench_replay **out)
{
    calmoe_trace_reader *reader = NULL;
    struct bench_replay *replay = *out = calloc(1, sizeof *replay);
    if (replay == NULL) {
        cm_say("no memory for a trace");
        return false;
    }
    replay->info.size = sizeof replay->info;
    bool fine = cm_front_succeeded(front, calmoe_trace_reader_open(front->context, path, &reader)) &&
                cm_front_succeeded(front, calmoe_trace_reader_get_info(reader, &replay->info));
    replay->n_choice = (size_t)replay->info.n_layers * (size_t)replay->info.n_used;
    fine = fine && read_tokens(front, reader, replay);
    calmoe_trace_reader_close(&reader);
    if (fine && replay->n_tokens == 0) {
        cm_say("'%s' holds no token", path);
        fine = false;
    }
    if (!fine) cm_bench_replay_close(out);
    else cm_bench_replay_rows(replay, 0, 1);
    return fine;
}

void cm_bench_replay_close(struct bench_replay **replay)
{
    if (*replay == NULL) return;
    free((*replay)->experts);
    free((*replay)->weights);
    free(*replay);
    *replay = NULL;
}

bool cm_bench_replay_fits(const struct bench_replay *replay, const calmoe_model_info *info)
{
    const calmoe_trace_info *trace = &replay->info;
    if (trace->n_layers == info->n_layers && trace->n_experts == info->n_experts &&
        trace->n_used == info->n_experts_used)
        return true;
    cm_say("the trace has %d layers and %d of %d experts for a token; the model %d layers and %d of %d",
           trace->n_layers, trace->n_used, trace->n_experts, info->n_layers, info->n_experts_used, info->n_experts);
    return false;
}

void cm_bench_replay_rows(struct bench_replay *replay, int session, int n_sessions)
{
    replay->session = session;
    replay->stride = replay->n_tokens / (size_t)n_sessions;
}

void cm_bench_replay_choose(void *user, const calmoe_routing_choice *choice)
{
    const struct bench_replay *replay = user;
    const size_t session = (size_t)(replay->session < 0 ? choice->row : replay->session);
    const size_t token = (session * replay->stride + (size_t)choice->position) % replay->n_tokens;
    const size_t n_used = (size_t)replay->info.n_used;
    const size_t at = token * replay->n_choice + (size_t)choice->layer * n_used;
    for (size_t slot = 0; slot < n_used; slot++) {
        choice->experts[slot] = replay->experts[at + slot];
        choice->weights[slot] = replay->weights[at + slot];
    }
}
