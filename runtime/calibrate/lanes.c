/* lanes.c - see lanes.h. */
#include "runtime/calibrate/lanes.h"

calmoe_status cm_lanes_open(calmoe_engine *engine, int n, int context, struct lanes *out)
{
    calmoe_session_options options;
    calmoe_session_options_init(&options);
    options.context = context;
    *out = (struct lanes){.engine = engine};
    calmoe_status status = CALMOE_OK;
    for (int i = 0; i < n && status == CALMOE_OK; i++) {
        status = calmoe_session_open(engine, &options, &out->at[i].session);
        if (status != CALMOE_OK) break;
        out->n_open++;
        status = cm_session_let_wait(out->at[i].session, POLICY_PENDING);
    }
    if (status != CALMOE_OK) cm_lanes_close(out);
    return status;
}

void cm_lanes_close(struct lanes *lanes)
{
    for (int i = lanes->n_open - 1; i >= 0; i--) calmoe_session_close(&lanes->at[i].session);
    *lanes = (struct lanes){0};
}

void cm_lanes_begin(struct lanes *lanes, const struct policy_rung *rung)
{
    for (int i = 0; i < lanes->n; i++) {
        calmoe_session *session = lanes->at[i].session;
        (void)calmoe_session_rewind(session, lanes->at[i].n_prompt); /* it has them: the prompt was read */
        session->rung = rung;
        calmoe_session_begin_answer(session);
    }
}

calmoe_status cm_lanes_read(struct lanes *lanes, int logits, lane_rows_fn rows, void *user)
{
    calmoe_chunk chunks[MAX_LANES];
    int          lane_of[MAX_LANES];
    for (int i = 0; i < lanes->n; i++) lanes->at[i].n_read = 0;
    for (;;) {
        int n_chunks = 0, left = lanes->engine->options.max_rows;
        for (int i = 0; i < lanes->n && left > 0; i++) {
            const struct lane *lane = &lanes->at[i];
            const int limit = cm_session_chunk_limit(lane->session, cm_session_n_read(lane->session));
            const int most = limit < left ? limit : left;
            const int n_left = lane->n_tokens - lane->n_read, n = n_left < most ? n_left : most;
            if (n <= 0) continue;
            lane_of[n_chunks] = i;
            chunks[n_chunks++] = (calmoe_chunk){lane->session, lane->tokens + lane->n_read, n, logits};
            left -= n;
        }
        if (n_chunks == 0) return CALMOE_OK;
        CM_TRY(cm_engine_run(lanes->engine, chunks, n_chunks, lanes->observer));
        CM_TRY(cm_chunks_check_logits(chunks, n_chunks));
        for (int i = 0; i < n_chunks; i++) {
            struct lane *lane = &lanes->at[lane_of[i]];
            if (rows) rows(user, lane, lane->n_read, chunks[i].n_tokens);
            lane->n_read += chunks[i].n_tokens;
        }
    }
}
