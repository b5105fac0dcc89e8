/* runtime/proof/exit_audit.h - watches at run time whether a policy keeps its bound: some tokens are also run
 * in full, and a sequential test bets that they differ more often than the bound allows. Pure state, no memory.
 *
 * Each observation X is a loss in [0, 1]. For each of some bets nu the wealth is multiplied by 1 + nu (X - delta),
 * nu <= 1/delta; while the mean of X, given all that came before, is at most delta, no bet gains on average. The bets'
 * mean M is looked at after every observation. It alarms
 *   EVER         once M >= 1/alpha: the chance that this ever happens without cause is at most alpha (Ville);
 *   RUN_LENGTH   once the sum of the wealths of bettors who began at each observation is >= 1/alpha: without cause
 *                that takes at least 1/alpha observations on average (Shiryaev-Roberts; Shin, Ramdas & Rinaldo 2023). A
 *                long good past does not dull it.
 *
 * What to observe: answers are independent of one another, the tokens of an answer are not. One bad answer among
 * many good ones would be ten observations in a row above delta although the bound holds. So observe one loss for
 * each answer: the share of its audited tokens that differ (cm_audit_token, cm_audit_answer); tokens must be
 * picked for the audit without regard to what they are. Answers with more tokens are audited more often: the
 * bound is watched over answers so weighted. */
#ifndef RUNTIME_PROOF_EXIT_AUDIT_H
#define RUNTIME_PROOF_EXIT_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

enum audit_kind { AUDIT_EVER, AUDIT_RUN_LENGTH };

enum { AUDIT_BETS = 8 };

struct exit_audit {
    enum audit_kind kind;
    double          delta, alpha;
    double          bets[AUDIT_BETS];
    double          ln_wealth[AUDIT_BETS];
    uint64_t        n;                     /* observations                       */
    double          sum;                   /* of their losses                    */
    bool            alarmed;               /* stays until cm_audit_begin         */
    int             n_tokens, n_different; /* of the answer at hand              */
};

/* 0 < delta, alpha < 1. Also after an alarm, for the next rung, with that rung's delta. */
void cm_audit_begin(struct exit_audit *audit, enum audit_kind kind, double delta, double alpha);

/* One loss; a NaN or what is out of [0, 1] counts as 1: what cannot be checked is no evidence of quality.
 * True: step down a rung. */
bool cm_audit_observe(struct exit_audit *audit, double loss);

/* A token of the answer at hand, run both ways; the end of that answer, which is an observation if any of its
 * tokens was audited. */
void cm_audit_token(struct exit_audit *audit, bool differs);
bool cm_audit_answer(struct exit_audit *audit);

/* ln of what is compared to ln(1/alpha): the evidence so far. */
double cm_audit_ln_evidence(const struct exit_audit *audit);

#endif
