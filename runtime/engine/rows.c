/* runtime/engine/rows.c - a step from its first row to its logits: the one way in which sessions' tokens become rows,
 * and steps run. Who runs steps: chunks.c, ready.c and draft_round.c. */
#include <math.h>
#include <string.h>

#include "router/router.h"
#include "runtime/engine/followers.h"

/* ---- building ---- */

void cm_step_begin(calmoe_engine *engine)
{
    engine->step = (struct step){.rows = engine->rows};
}

/* Where the state of fixed size behind a row goes, too, of which a round's later rows may turn out to be wrong. */
static uint8_t *kept_behind(const calmoe_session *session, int position)
{
    const int at = session->kept_first >= 0 ? position - session->kept_first : -1;
    return at >= 0 && at < session->state.n_kept ? session->state.kept[at] : NULL;
}

void cm_step_add(calmoe_engine *engine, calmoe_session *session, int position, int32_t token, bool wants_logits,
                 const struct policy_rung *rung)
{
    struct step *step = &engine->step;
    step->rows[step->n_rows++] = (struct row){
        .asked = {.sequence = &session->sequence, .position = position, .token = token,
                  .logits_row = wants_logits ? step->n_logits++ : -1, .kept = kept_behind(session, position),
                  .state = cm_draft_reader_state(session->readers[DRAFTER_FURTHER], position)},
        .may = {rung, rung ? position - session->answer_begin : 0},
    };
}

/* A token of an answer may leave early, but not the second reading of an audited one. */
static const struct policy_rung *rung_of(const calmoe_session *session, int position)
{
    return cm_session_is_answer(session, position) && session->audit.state != AUDIT_IN_FULL ? session->rung : NULL;
}

void cm_step_add_chunk(calmoe_engine *engine, const calmoe_chunk *chunk)
{
    calmoe_session *session = chunk->session;
    const int n_plain = chunk->n_tokens - cm_chunk_n_logits(chunk);
    for (int i = 0; i < chunk->n_tokens; i++) {
        const int position = session->n_positions + i;
        cm_step_add(engine, session, position, chunk->tokens[i], i >= n_plain, rung_of(session, position));
    }
}

void cm_step_add_waiting(calmoe_engine *engine, calmoe_session *session)
{
    struct waiting *waiting = session->sequence.waiting;
    for (int i = 0; i < waiting->n; i++) {
        struct waiting_row *row = &waiting->rows[i];
        row->logits_row = engine->step.n_logits++;
        row->kept = kept_behind(session, row->position);
        row->state = cm_draft_reader_state(session->readers[DRAFTER_FURTHER], row->position);
    }
}

/* ---- the engine's own observers ---- */

static void profile_routing(void *user, int layer, const struct row *rows, int n_rows, const struct routing *routing)
{
    const calmoe_engine *engine = user;
    for (int r = 0; r < n_rows; r++) {
        const calmoe_session *session = rows[r].asked.sequence->owner;
        const size_t          at = (size_t)r * (size_t)routing->n_slots;
        cm_profiler_count(engine->profiler, layer, rows[r].asked.position, routing->experts + at,
                          routing->weights + at, cm_n_kept(routing, r), session->last_used);
    }
}

static void tell_routing(void *user, int layer, const struct row *rows, int n_rows, const struct routing *routing)
{
    const calmoe_engine *engine = user;
    for (int r = 0; r < n_rows; r++) {
        const size_t at = (size_t)r * (size_t)routing->n_slots;
        if (routing->n_slots > 0 && cm_n_kept(routing, r) == 0) continue;
        const calmoe_routing_event event = {
            .session = rows[r].asked.sequence->owner,
            .layer = layer,
            .position = rows[r].asked.position,
            .token = rows[r].asked.token,
            .n = cm_n_kept(routing, r),
            .experts = routing->experts + at,
            .weights = routing->weights + at,
        };
        engine->options.routing(engine->options.routing_user, &event);
    }
}

static bool is_choice(const int32_t *experts, const float *weights, int n, int n_experts)
{
    uint64_t seen[ROUTER_MAX_EXPERTS / 64] = {0};
    for (int slot = 0; slot < n; slot++) {
        const int32_t expert = experts[slot];
        if (expert < 0 || expert >= n_experts || !isfinite(weights[slot])) return false;
        if (seen[expert / 64] >> expert % 64 & 1) return false;
        seen[expert / 64] |= (uint64_t)1 << expert % 64;
    }
    return true;
}

static void take_choice(void *user, int layer, const struct row *row, int32_t *experts, float *weights)
{
    const calmoe_engine      *engine = user;
    const struct router_spec *router = &engine->model->spec.layers[layer].ffn.router;
    const size_t n = (size_t)router->n_used;
    int32_t new_experts[ROUTER_MAX_USED];
    float   new_weights[ROUTER_MAX_USED];
    memcpy(new_experts, experts, n * sizeof *experts);
    memcpy(new_weights, weights, n * sizeof *weights);
    const calmoe_routing_choice choice = {row->asked.sequence->owner, layer, row->index, row->asked.position,
                                          row->asked.token, router->n_used, new_experts, new_weights};
    engine->options.routing_source(engine->options.routing_source_user, &choice);
    if (!is_choice(new_experts, new_weights, router->n_used, router->n_experts)) return;
    memcpy(experts, new_experts, n * sizeof *experts);
    memcpy(weights, new_weights, n * sizeof *weights);
}

/* ---- running ---- */

calmoe_status cm_step_run(calmoe_engine *engine, const struct step_observer *observers)
{
    calmoe_status status = CALMOE_OK;
    engine->is_profiled = engine->profiler && !cm_decoder_counters(engine->decoder)->is_paused;
    const struct step_observer profile = {engine, .routing = profile_routing, .next = observers};
    if (engine->is_profiled) observers = &profile;
    const struct step_observer host = {
        engine, .routing = engine->options.routing ? tell_routing : NULL,
        .choice = engine->options.routing_source && engine->shares.own == 0 ? take_choice : NULL, .next = observers};
    if (host.routing || host.choice) observers = &host;
    engine->step.observers = observers;
    engine->step.between = engine->exits ? &cm_exits_between : NULL;
    engine->step.between_self = engine->exits;
    cm_step_use_adapters(engine);
    if (engine->followers) engine->step.tells_choices = engine->options.routing_source != NULL;
    if (engine->followers) status = cm_followers_begin_step(engine->followers, &engine->step, engine->exits);
    if (status == CALMOE_OK) {
        status = cm_step_run_by_crew(engine);
        if (engine->followers) cm_followers_end_step(engine->followers);
    }
    engine->step.observers = NULL;
    return status;
}
