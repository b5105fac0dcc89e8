/* runtime/calibrate/part_costs.h - what the parts of a token (runtime/policy/parts.h) cost on an engine. */
#ifndef RUNTIME_CALIBRATE_PART_COSTS_H
#define RUNTIME_CALIBRATE_PART_COSTS_H

#include <calmoe/calibration.h>

#include "runtime/calibrate/cost_model.h"
#include "runtime/calibrate/lanes.h"

/* Can the engine ask a token by a measure after so many layers? And the layer nearest to the middle where it can; 0:
 * there is none. */
bool cm_exit_can_ask(const calmoe_engine *engine, enum exit_measure measure, int layer);
int  cm_exit_layer_of(const calmoe_engine *engine, enum exit_measure measure);

struct part_runs {
    struct lanes  *lanes;     /* have read their prompts; steps have a row of each               */
    int            unit;      /* CALMOE_COSTS_*                                                  */
    const int32_t *answers[MAX_LANES];   /* (n_answers) tokens that are read, again and again    */
    int            n_answers[MAX_LANES];
    int            n_tokens;  /* of a run, 2 at least                                            */
    int            least_rounds, most_rounds; /* of runs in turns, where time is measured        */
    uint64_t       most_ns;   /* after so long, and the least rounds, it is enough               */
    int            steady_rounds; /* after so many, or a quarter of that time, it is enough that all are steady */
    calmoe_status (*progress)(void *user, double fraction); /* NULL = none                       */
    void          *user;
};
struct part_costs {
    struct parts prices; /* 0: the engine cannot run that part                    */
    double       step;   /* as it was measured                                    */
    bool         is_steady; /* of each run the two quickest are about the same; else others were at work on the machine
                               all the time, and times mean little                */
};
calmoe_status cm_measure_parts(const struct part_runs *how, struct part_costs *out);

/* The model's layers for cm_price_layers(); memory (2, layers of the model) becomes theirs. */
void cm_cost_layers(const struct model_spec *spec, int *memory, struct cost_layers *out);
/* What a token runs of which nothing is left out. */
void cm_off_parts(const struct cost_layers *layers, int n_used, struct parts *out);

#endif
