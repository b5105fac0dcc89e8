/* calmoe - a mixture-of-experts sparse model runtime for CPUs. This header brings in what running a model takes:
 * contexts, models, tokens, conversations, engines, sessions, samplers, policies, statistics. Beside it stand, each
 * to be included by who wants it:
 *
 *     calmoe/profile.h      how experts are used           calmoe/calibration.h  policies whose bounds are proven
 *     calmoe/placement.h    where experts are to live      calmoe/fit_exits.h    exits fitted to a model
 *     calmoe/trace.h        routings in a file             calmoe/synthetic.h    models with random weights
 *     calmoe/machine.h      what the machine can do        calmoe/quantize.h     files of smaller types
 *     calmoe/ranks.h        one model by several processes calmoe/pack.h         experts as kernels read them
 *     calmoe/adapter.h      adapters (LoRA) that change what a model says
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
 * - Threads: models, policies and constraints do not change once they are opened, so any number of threads may use one
 *   of them, under one context. An engine, with its sessions, and everything else serves one thread at a time;
 *   calmoe_session_interrupt() alone may be called meanwhile, from anywhere. So two engines on one model may work on
 *   two threads, best on cores of their own. What is opened or closed is used by nobody else meanwhile. Contexts are
 *   independent.
 * - Options: structs begin with `size`; their _init function sets it and the defaults. NULL = defaults.
 * - Answers: a struct that a call fills in begins with `size` too, which the caller sets to its sizeof before the call.
 *   So either side may be of a newer version, where such structs have more members. Elements of arrays, such as
 *   calmoe_chunk, calmoe_event, calmoe_prompt or calmoe_specialist, have no size and never get members: what is new
 *   about them comes by a call of its own. Structs that the library hands to callbacks may get members at their end.
 * - The same bits: a token's logits depend on the file and the tokens before it, not on threads, batch,
 *   prompt chunks, placement or instruction set. */
#ifndef CALMOE_CALMOE_H
#define CALMOE_CALMOE_H

#include "calmoe/chat.h"
#include "calmoe/constraint.h"
#include "calmoe/context.h"
#include "calmoe/engine.h"
#include "calmoe/model.h"
#include "calmoe/policy.h"
#include "calmoe/sampler.h"
#include "calmoe/session.h"
#include "calmoe/stats.h"
#include "calmoe/status.h"
#include "calmoe/stops.h"
#include "calmoe/tokenizer.h"
#include "calmoe/version.h"

#endif
