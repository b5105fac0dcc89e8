/* runtime/engine/adapters.h - an adapter behind its handle. */
#ifndef RUNTIME_ENGINE_ADAPTERS_H
#define RUNTIME_ENGINE_ADAPTERS_H

#include "runtime/engine/handles.h"
#include "runtime/forward/adapter_weights.h"

struct calmoe_adapter {
    calmoe_engine         *engine;
    struct adapter_weights weights;
    struct adapter_prefix  prefix;    /* n_positions 0: it is none     */
    char                  *path, *name;
    calmoe_adapter_info    about;
    int                    number;    /* in the order of opening       */
    int                    n_users;   /* sessions, and who opened it   */
    bool                   is_closed; /* by who opened it              */
    bool                   is_remarked; /* that, as a prefix, it takes positions beyond those that the model knows */
};

/* calmoe_adapter_open() of this rank alone, which all ranks call together. */
calmoe_status cm_adapter_open_here(calmoe_engine *engine, const char *path, calmoe_adapter **out);
/* No session uses it. */
void          cm_adapter_drop(calmoe_adapter *adapter);

#endif
