/* runtime/calibrate/exit_search.h - which exits, with which thresholds: found on paper, from what tokens would have
 * said if they had been asked at every layer. Pure.
 *
 * Every token has been asked everywhere without leaving, so the search knows at each exit its confidence, and whether
 * the full model's token would have come out. What a token leaves behind in the keys and values of others is not
 * in it: what is found here is a candidate, and is run before anything is said about it. */
#ifndef RUNTIME_CALIBRATE_EXIT_SEARCH_H
#define RUNTIME_CALIBRATE_EXIT_SEARCH_H

#include <stddef.h>

#include "runtime/calibrate/cost_model.h"

enum { EXIT_SEARCH_LEVELS = 32 }; /* thresholds that are tried at an exit: quantiles of its confidences */

struct exit_trace {
    int            n_tokens;
    int            n_exits;      /* that were asked                                         */
    const int     *layers;       /* (n_exits) ascending                                     */
    const float   *confidences;  /* (n_exits, n_tokens)                                     */
    const uint8_t *agrees;       /* (n_exits, n_tokens): the token that comes out here is the full model's */
    const uint8_t *confirmed;    /* (n_exits, n_tokens): the full head has the same winner; NULL = no one asks */
};

struct exit_search {
    struct exit_trace  trace;
    struct cost_table  costs;
    enum exit_measure  measure;
    enum kv_fill       kv_fill;
    int                k_tail;
    int                n_used;     /* experts of a token in a layer                           */
    int                max_exits;  /* 1 … 3 is sensible                                       */
    uint8_t           *levels;     /* (n_exits, n_tokens): how many thresholds each reaches   */
    float             *thresholds; /* (n_exits, EXIT_SEARCH_LEVELS) ascending                 */
};

struct exit_choice { /* as found on paper */
    struct policy_rung rung;
    double             risk;   /* share of tokens that differ          */
    double             cost;   /* microseconds a token                 */
    double             layers; /* mean                                 */
};

/* Fills in levels and thresholds, whose memory is the caller's; sorted: scratch (n_tokens). */
void cm_exit_search_begin(struct exit_search *search, float *sorted);

/* The exits with the least cost + price * risk that one-by-one choice finds, price in microseconds: the best exit, then
 * the exit that adds most to it, each time with all thresholds looked at again. No exits where none pays. */
void cm_exit_search(const struct exit_search *search, double price, struct exit_choice *out);

/* Mean layers if each token left at the first exit that agrees: the oracle. */
double cm_oracle_layers(const struct exit_trace *trace, int n_layers);

#endif
