/* runtime/engine/not_finite.c - logits that are no numbers. Steps say of each row after how many layers its state held
 * NaN or infinities first, and a session remembers the first of its positions of which that was said: from there they
 * spread, by keys and values, to all that follow. Whoever chooses a token looks at its logits, which costs one pass
 * over them, and where they are no numbers the sentence names that position and layer. */
#include <inttypes.h>

#include "kernels/bad_numbers.h"
#include "runtime/engine/handles.h"

void cm_session_note_numbers(calmoe_session *session, int position, const struct row_outcome *came)
{
    const bool is_known = session->broke_after >= 0 && session->broken < position;
    if (is_known) return;
    session->broken = position;
    session->broke_after = came->broke_after;
}

calmoe_status cm_session_check_logits(calmoe_session *session, int row)
{
    calmoe_context    *ctx = session->engine->ctx;
    const int          n_vocab = session->engine->model->spec.n_vocab;
    const int          position = session->n_positions - session->n_logits + row;
    const float       *logits = cm_session_logits(session, row);
    struct bad_numbers found = {0};
    if (!logits || cm_are_finite(logits, (size_t)n_vocab)) return CALMOE_OK;
    cm_count_bad_floats(logits, (size_t)n_vocab, 0, &found);
    const uint64_t n_bad = found.n_nan + found.n_infinite;
    if (session->broke_after < 0 || session->broken > position)
        return cm_fail(ctx, CALMOE_NOT_FINITE, "%" PRIu64 " of %d logits after position %d are NaN or infinite; it "
                       "begins in the output head", n_bad, n_vocab, position);
    if (session->broke_after == 0)
        return cm_fail(ctx, CALMOE_NOT_FINITE, "%" PRIu64 " of %d logits after position %d are NaN or infinite; it "
                       "begins in the embedding of token %d, at position %d", n_bad, n_vocab, position,
                       (int)session->tokens[session->broken], session->broken);
    return cm_fail(ctx, CALMOE_NOT_FINITE, "%" PRIu64 " of %d logits after position %d are NaN or infinite; it begins "
                   "in layer %d (blk.%d), at position %d", n_bad, n_vocab, position, session->broke_after - 1,
                   session->broke_after - 1, session->broken);
}

calmoe_status cm_chunks_check_logits(const calmoe_chunk *chunks, int n_chunks)
{
    for (int i = 0; i < n_chunks; i++)
        for (int row = 0; row < chunks[i].session->n_logits; row++)
            CM_TRY(cm_session_check_logits(chunks[i].session, row));
    return CALMOE_OK;
}
