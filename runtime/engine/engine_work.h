/* runtime/engine/engine_work.h - what the steps of an engine cost: times and bytes from its counters, as a profile
 * keeps them. */
#ifndef RUNTIME_ENGINE_ENGINE_WORK_H
#define RUNTIME_ENGINE_ENGINE_WORK_H

#include "runtime/engine/handles.h"

/* The work of a memory node and its threads since statistics were reset. */
struct profile_node cm_engine_node_work(const calmoe_engine *engine, int node);

/* Adds to the engine's profile, where it has one, what its steps cost since the last call. To be called before
 * statistics are reset, too. */
void cm_engine_profile_work(calmoe_engine *engine);

#endif
