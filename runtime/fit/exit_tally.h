/* runtime/fit/exit_tally.h - how good exits are, counted over tokens whose full model's answer is known: each by
 * itself, and along a token's way through them. */
#ifndef RUNTIME_FIT_EXIT_TALLY_H
#define RUNTIME_FIT_EXIT_TALLY_H

#include "runtime/policy/policy.h"

#define EXIT_IS_SURE 0.5f /* from this confidence on */

struct exit_answer { /* of one exit to one token */
    bool  agrees;     /* its likeliest token is the full model's */
    float margin;     /* p1 - p2                                 */
};

struct exit_count {
    uint64_t n_agreeing, n_sure, n_sure_agreeing;
    uint64_t n_first; /* tokens whose first agreeing exit it is  */
};

struct exit_tally {
    int               n_exits, n_layers;
    int               layers[POLICY_MAX_EXITS];
    uint64_t          n;
    struct exit_count exits[POLICY_MAX_EXITS];
    /* along the way: all layers where no exit serves */
    uint64_t          n_oracle_layers; /* sum: up to the first exit that agrees      */
    uint64_t          n_sure_layers;   /* sum: up to the first exit that is sure     */
    uint64_t          n_path_agreeing; /* tokens that agree where that exit is taken */
};

/* answers (n_exits) */
void cm_exit_tally_add(struct exit_tally *tally, const struct exit_answer *answers);

#endif
