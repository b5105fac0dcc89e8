/* runtime/policy/parts.h - what a token costs, in parts: how many layers, experts, checks … it runs, and what each of
 * them costs on some machine. The first are the same everywhere, the second are not; their product is the cost. */
#ifndef RUNTIME_POLICY_PARTS_H
#define RUNTIME_POLICY_PARTS_H

#include <stdbool.h>

#include "runtime/policy/exit_measures.h"

enum {
    PART_LAYER,     /* attention, norms, gate, shared expert of a layer that runs                           */
    PART_EXPERT,    /* a routed expert; a dense half counts as the experts of a token                       */
    PART_READ,      /* of these, one that the plan leaves on disk: what it takes until it is there          */
    PART_FILL,      /* keys and values of a layer that does not run, at once (or exact, as layers: catch_up) */
    PART_LAZY_FILL, /* the same when a later token needs them                                               */
    PART_HEAD,      /* the vocabulary's product                                                             */
    PART_CHECK,     /* a check by the first measure, without the head that it reads; + enum exit_measure     */
    PART_COUNT = PART_CHECK + MEASURE_COUNT
};
extern const char *const cm_part_names[PART_COUNT]; /* "layer", …, then the measures' */

struct parts {
    double of[PART_COUNT]; /* of a token: how many, in the mean; or what one of them costs (NaN: nobody knows) */
};

/* What so many cost. NaN where one that is there has no known price. */
double cm_parts_cost(const struct parts *counts, const struct parts *prices);

/* Does b do with less of one part and no more of any other, so that it is cheaper whatever parts cost? A fill is
 * taken to cost at most what the layer would, and layers not run to be filled. */
bool cm_parts_beat(const struct parts *b, const struct parts *a);

#endif
