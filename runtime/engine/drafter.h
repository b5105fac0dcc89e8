/* runtime/engine/drafter.h - a second, smaller decoder beside the engine's, on the same threads, which drafts:
 *
 *   further   the block behind a model's layers that was trained to predict a further token (multi-token prediction,
 *             arXiv 2412.19437): one layer, that reads the model's state at a position and the token behind it
 *   model     another, smaller model of the same vocabulary
 *
 * An engine opens them with its first lossless session. What a session's drafter has read is a struct draft_reader: it
 * is brought up to the session's tokens whenever drafts are wanted, wherever the session went meanwhile. */
#ifndef RUNTIME_ENGINE_DRAFTER_H
#define RUNTIME_ENGINE_DRAFTER_H

#include <calmoe/calmoe.h>

#include <stdint.h>

enum drafter_kind { DRAFTER_FURTHER, DRAFTER_MODEL, N_DRAFTERS };

struct drafter;
struct draft_reader;

/* Is the engine's draft model one for its model? INVALID_ARGUMENT, with the first token that differs. */
calmoe_status cm_draft_model_check(const calmoe_engine *engine);
/* Those that the engine has, where they are not open yet; on all ranks. NO_MEMORY and whatever packing weights may
 * answer. */
calmoe_status cm_drafters_open(calmoe_engine *engine);
/* This rank's part of that, as rank 0 tells it. */
calmoe_status cm_drafters_follow(calmoe_engine *engine);
void          cm_drafter_close(struct drafter **drafter); /* NULL inside is fine */
const struct model_spec *cm_drafter_spec(const struct drafter *drafter);

/* A session's. *out NULL where the engine has no such drafter. NO_MEMORY. */
calmoe_status cm_draft_reader_open(calmoe_session *session, enum drafter_kind kind, struct draft_reader **out);
void          cm_draft_reader_close(struct draft_reader **reader); /* NULL inside is fine */
/* The session's row of that position is about to run: where its state goes (dim), for what is read later; NULL: it is
 * of no use. reader NULL is fine. */
float        *cm_draft_reader_state(struct draft_reader *reader, int position);
/* For tests: the state that is kept of a position. */
const float  *cm_draft_reader_state_of(const struct draft_reader *reader, int position);
/* Reads what the session has read, if that is much: behind a prompt. A failure only means that it is read later. reader
 * NULL is fine. */
void          cm_draft_reader_follow(const calmoe_session *session, struct draft_reader *reader);
/* At most n tokens that may follow all that the session knows, drawn as its sampler will draw (marked, and supposing
 * all of them); *n_drafts: how many. Whatever a step may answer. */
calmoe_status cm_draft_reader_draft(calmoe_session *session, struct draft_reader *reader, int n, int32_t *tokens,
                                    int *n_drafts);

#endif
