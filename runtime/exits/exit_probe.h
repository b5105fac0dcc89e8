/* runtime/exits/exit_probe.h - what the head says of given states, between steps: for fitting exits and for judging
 * them. No part of a step; it uses the decoder's rows, logits and scratch. */
#ifndef RUNTIME_EXITS_EXIT_PROBE_H
#define RUNTIME_EXITS_EXIT_PROBE_H

#include "runtime/exits/exits.h"

struct exit_guess {
    int32_t token;  /* the likeliest                             */
    float   margin; /* p1 - p2; 0 where the logits are no numbers */
};

/* states (n, dim), after n_layers_run; translated by the exit's translator where is_translated: then exits are open
 * with weights that have one, else they may be NULL. n is at most max_rows, and there is room for so many rows of
 * logits. usable (n_vocab): sample/likeliest.h. guesses (n). The same arithmetic as at an exit and at the end, to the
 * bit. */
void cm_exit_probe(struct exits *exits, struct decoder *decoder, int n_layers_run, bool is_translated,
                   const float *states, int n, const uint8_t *usable, struct exit_guess *guesses);
/* (n, dim): what the translator added to the states of the last probe that was translated. */
const float *cm_exit_probe_drifts(const struct exits *exits);

#endif
