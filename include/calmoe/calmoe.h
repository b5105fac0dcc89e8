/* calmoe - a mixture-of-experts sparse model runtime for CPUs. This header includes all that is needed to run a model:
 * contexts, models, tokens, conversations, engines, sessions, samplers, policies, statistics. The other headers serve
 * special purposes; include them where you need them:
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
 * - Errors: a call that can fail returns a calmoe_status; CALMOE_OK is 0. calmoe_context_message() gives a sentence
 *   that says what went wrong; ask the context under which the object was opened. When an open call fails, it sets its
 *   output parameter to NULL. NULL for a required argument gives INVALID_ARGUMENT, never a crash. Where a comment lists
 *   names such as IO or NO_MEMORY, these are the failures that the call can return.
 * - Ownership: the caller closes what it opened, in reverse order. A _close function takes a pointer to the handle and
 *   sets the handle to NULL; a handle that is NULL already is fine. const pointers in results are borrowed: the library
 *   owns what they point to, and each comment says how long it stays valid.
 * - Threads: models, policies and constraints do not change once they are opened, so any number of threads may use one
 *   of them at the same time, under one context. An engine together with its sessions, and every other object, serves
 *   one thread at a time; only calmoe_session_interrupt() may be called from elsewhere meanwhile. So two threads may
 *   run two engines on one model, best on separate cores. While an object is opened or closed, no other thread may use
 *   it. Contexts are independent of each other.
 * - Options: structs of options begin with `size`; their _init function sets it, and sets the defaults. NULL instead of
 *   such a struct means the defaults.
 * - Results: a struct that a call fills in begins with `size` too. The caller sets it to the struct's sizeof before the
 *   call. So the program and the library may be of different versions, where the newer one's structs have more members.
 *   Elements of arrays, such as calmoe_chunk, calmoe_event, calmoe_prompt or calmoe_specialist, have no size and never
 *   get new members; a later version adds a new call instead. Structs that the library hands to callbacks may get new
 *   members at their end.
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
