/* exit_audit.c - see exit_audit.h. */
#include "runtime/proof/exit_audit.h"

#include <math.h>

#include "kernels/elementary.h"

/* Bets from timid to bold, each twice the one before: nu is best near (r - delta) / (delta (1 - delta)) for losses
 * of 0 and 1 at a rate r, so 1/4 suits 1.25 delta and 32 suits 33 delta. Half of 1/delta at most, so that one good
 * token never costs a bettor more than half of all. */
void cm_audit_begin(struct exit_audit *audit, enum audit_kind kind, double delta, double alpha)
{
    *audit = (struct exit_audit){.kind = kind, .delta = delta, .alpha = alpha};
    for (int i = 0; i < AUDIT_BETS; i++) {
        audit->bets[i] = fmin(0.25 * (double)(1 << i), 0.5 / delta);
        audit->ln_wealth[i] = kind == AUDIT_EVER ? 0.0 : -(double)INFINITY;
    }
}

/* ln(e^a + e^b); either may be -inf */
static double ln_sum(double a, double b)
{
    const double high = fmax(a, b), low = fmin(a, b);
    return isinf(low) ? high : high + cm_ln(1.0 + cm_exp(low - high));
}

double cm_audit_ln_evidence(const struct exit_audit *audit)
{
    double sum = audit->ln_wealth[0];
    for (int i = 1; i < AUDIT_BETS; i++) sum = ln_sum(sum, audit->ln_wealth[i]);
    return sum - cm_ln((double)AUDIT_BETS);
}

bool cm_audit_observe(struct exit_audit *audit, double loss)
{
    if (!(loss >= 0.0 && loss <= 1.0)) loss = 1.0;
    audit->n++;
    audit->sum += loss;
    for (int i = 0; i < AUDIT_BETS; i++) {
        if (audit->kind == AUDIT_RUN_LENGTH) audit->ln_wealth[i] = ln_sum(audit->ln_wealth[i], 0.0);
        audit->ln_wealth[i] += cm_ln(1.0 + audit->bets[i] * (loss - audit->delta));
    }
    if (cm_audit_ln_evidence(audit) >= -cm_ln(audit->alpha)) audit->alarmed = true;
    return audit->alarmed;
}

void cm_audit_token(struct exit_audit *audit, bool differs)
{
    audit->n_tokens++;
    audit->n_different += differs;
}

bool cm_audit_answer(struct exit_audit *audit)
{
    if (audit->n_tokens == 0) return audit->alarmed;
    const double loss = (double)audit->n_different / audit->n_tokens;
    audit->n_tokens = audit->n_different = 0;
    return cm_audit_observe(audit, loss);
}
