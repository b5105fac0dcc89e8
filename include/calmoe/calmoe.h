/* calmoe - a mixture-of-experts sparse model runtime for CPUs. This header brings in all others.
 *
 *     calmoe_context    *context = NULL;
 *     calmoe_model      *model   = NULL;
 *     calmoe_engine     *engine  = NULL;
 *     calmoe_session    *session = NULL;
 *     calmoe_text_stream stream  = {{0}};
 *     char               text[1024];
 *     int32_t            token;
 *
 *     if (calmoe_context_open(NULL, &context) ||
 *         calmoe_model_open(context, "model.gguf", NULL, &model) ||
 *         calmoe_engine_open(model, NULL, &engine) ||
 *         calmoe_session_open(engine, NULL, &session) ||
 *         calmoe_session_feed_text(session, "Once upon a time", 16, CALMOE_TOKENIZE_BOS))
 *         die(calmoe_context_message(context));
 *     while (calmoe_session_next(session, &token) == CALMOE_OK)
 *         if (calmoe_text_stream_put(model, &stream, token, text, sizeof text) == CALMOE_OK)
 *             fputs(text, stdout);
 *     calmoe_session_close(&session);
 *     calmoe_engine_close(&engine);
 *     calmoe_model_close(&model);
 *     calmoe_context_close(&context);
 *
 * Rules for all of it:
 * - Errors: a call that can fail answers a calmoe_status; CALMOE_OK is 0. The sentence is
 *   calmoe_context_message() of the context under which the thing was opened. Output parameters of a
 *   failed open are NULL. NULL for a required argument is INVALID_ARGUMENT, never a crash.
 * - Ownership: who opens closes, in the reverse order; _close takes a pointer to the handle, sets it to
 *   NULL, and is fine with NULL. const pointers in results are borrowed; each says until when.
 * - Threads: a context and everything under it serve one thread at a time. Contexts are independent.
 * - Options: structs begin with `size`; their _init function sets it and the defaults. NULL = defaults.
 * - The same bits: a token's logits depend on the file and the tokens before it, not on threads, batch,
 *   prompt chunks, placement or instruction set. */
#ifndef CALMOE_CALMOE_H
#define CALMOE_CALMOE_H

#include "calmoe/calibration.h"
#include "calmoe/context.h"
#include "calmoe/engine.h"
#include "calmoe/fit_exits.h"
#include "calmoe/machine.h"
#include "calmoe/model.h"
#include "calmoe/placement.h"
#include "calmoe/policy.h"
#include "calmoe/profile.h"
#include "calmoe/quantize.h"
#include "calmoe/sampler.h"
#include "calmoe/session.h"
#include "calmoe/stats.h"
#include "calmoe/status.h"
#include "calmoe/synthetic.h"
#include "calmoe/tokenizer.h"
#include "calmoe/trace.h"
#include "calmoe/version.h"

#endif
