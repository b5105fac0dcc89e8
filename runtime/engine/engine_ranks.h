/* runtime/engine/engine_ranks.h - an engine among several ranks: what it agrees on with the others before it is opened.
 * What rank 0's engine tells the others' from then on: followers.h. */
#ifndef RUNTIME_ENGINE_ENGINE_RANKS_H
#define RUNTIME_ENGINE_ENGINE_RANKS_H

#include "runtime/engine/handles.h"

/* How opening went so far on this rank; the others' word is waited for. OK: all are well, have the same model and
 * options, and engine->shares says who has which part. Without other ranks: status. */
calmoe_status cm_engine_join(calmoe_engine *engine, calmoe_status status);
/* The engine's weights are there: opens the exchange. */
calmoe_status cm_engine_open_exchange(calmoe_engine *engine);
/* The last word of opening: fitted exits are the same, too. Then rank 0's sessions are told to the others. */
calmoe_status cm_engine_begin_ranks(calmoe_engine *engine, calmoe_status status);
/* Rank 0 tells the others that its engine is closed, where it told them anything. */
void          cm_engine_end_ranks(calmoe_engine *engine);
/* How something went that may take one rank longer than another; all do it, and say the same text. */
calmoe_status cm_engine_agree(const calmoe_engine *engine, calmoe_status status, const char *text);

#endif
