/* runtime/proof/losses.h - how far a shortened answer is from the full model's: losses in [0, 1], one for each
 * prompt, 0 = the same. NaN in, NaN out: calibration refuses it. */
#ifndef RUNTIME_PROOF_LOSSES_H
#define RUNTIME_PROOF_LOSSES_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/vector_ops.h"

enum loss_kind {
    LOSS_TOKEN_DISAGREEMENT, /* teacher-forced: share of positions with another most likely token; the default */
    LOSS_TOTAL_VARIATION,    /* teacher-forced: mean total variation distance of the two distributions         */
    LOSS_ROUGE_L,            /* free-running: 1 - ROUGE-L of the two answers                                   */
    LOSS_EXACT_MATCH,        /* free-running: 0 where the answers are the same, else 1                         */
    LOSS_KIND_COUNT
};

struct loss_row {
    const char *name;         /* "token_disagreement", … as options and policy files write it */
    const char *unit;         /* of what the bound speaks: "of tokens differ", …               */
    bool        is_binary;    /* 0 or 1, so the exact binomial may be used                     */
    bool        is_free_running;
};

extern const struct loss_row cm_loss_kinds[LOSS_KIND_COUNT];

/* Share of n positions where the two differ; NaN for n = 0, since nothing was compared. */
double cm_token_disagreement(const int32_t *early, const int32_t *full, int n);

/* Of softmax(early) and softmax(full): 1/2 sum |p - q|. Both (n) are overwritten. */
double cm_total_variation(const struct vector_ops *ops, float *early, float *full, int n);

/* 1 - F of the longest common subsequence (C.-Y. Lin 2004), with R = lcs / n_full, P = lcs / n_early,
 * F = (1 + b^2) P R / (R + b^2 P); b = 1 weighs both alike. Two empty answers are the same; one is all
 * different. scratch: (n_full + 1). */
double cm_rouge_l_loss(const int32_t *early, int n_early, const int32_t *full, int n_full, double b, int32_t *scratch);

double cm_exact_match_loss(const int32_t *early, int n_early, const int32_t *full, int n_full);

/* Risk against a reference: what the early answer loses; gains are not credited (CALM §4.2). */
double cm_excess_loss(double early_loss, double full_loss);

#endif
