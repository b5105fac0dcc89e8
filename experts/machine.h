/* experts/machine.h - what an engine runs on, in one record: whoever opens a part of it is handed this. */
#ifndef EXPERTS_MACHINE_H
#define EXPERTS_MACHINE_H

#include "base/team.h"
#include "experts/exchange.h"
#include "kernels/cpu.h"

struct machine { /* all of it outlives what is opened on it */
    struct calmoe_context *ctx;      /* for sentences                               */
    enum isa               isa;      /* the level of instructions that kernels have */
    const struct topology *topology;
    struct team           *team;
    const struct plan     *plan;     /* which node has what                         */
    struct exchange       *exchange; /* with other ranks; NULL: there is one only   */
};

#endif
