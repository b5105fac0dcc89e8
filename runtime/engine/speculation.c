/* speculation.c - see speculation.h. */
#include "runtime/engine/speculation.h"

enum {
    SETTLE_PLAIN = 6, SETTLE_ROUNDS = 1, /* after a change                   */
    FIRST_PLAIN = SETTLE_PLAIN + 4,      /* tokens before anything is tried  */
    TRIAL = SETTLE_ROUNDS + 3,           /* rounds                           */
    PHASE = 16,       /* plain tokens, or rounds of an arm that is hardly known, before choosing anew */
    LONG_PHASE = 40,  /* rounds of one that is known */
    CHECK_PLAIN = SETTLE_PLAIN + 6,      /* plain tokens between two phases of an arm       */
    TRY_AGAIN = 12                       /* phases from trial to trial, once all were tried */
};
static const double held_up = 4.0;    /* usual rounds that one counts as at most                       */
static const double share = 0.015;    /* of all the time that trials may cost                          */
static const double head_start = 1.5; /* and so many tokens' time, so that the first need not wait     */
static const double memory = 0.97;    /* what a round counts when the next one has come                */
static const double margin = 1.03;    /* an arm must be so much better than plain steps                */

void cm_speculation_begin(struct speculation *s, int n_arms)
{
    *s = (struct speculation){.n_arms = n_arms, .arm = SPECULATION_PLAIN, .n_left = FIRST_PLAIN,
                              .n_settling = SETTLE_PLAIN};
}

static const struct speculation_arm *arm_of(const struct speculation *s, int arm)
{
    return arm == SPECULATION_PLAIN ? &s->plain : &s->arms[arm];
}

double cm_speculation_cost(const struct speculation *s, int arm)
{
    const struct speculation_arm *of = arm_of(s, arm);
    return of->tokens > 0.0 ? of->ns / of->tokens : 0.0;
}

static void count(struct speculation_arm *of, int n_tokens, double ns)
{
    const double usual = of->rounds > 0.0 ? of->ns / of->rounds : ns;
    of->rounds = of->rounds * memory + 1.0;
    of->tokens = of->tokens * memory + n_tokens;
    of->ns = of->ns * memory + (ns < held_up * usual ? ns : held_up * usual);
    of->n_rounds++;
}

void cm_speculation_note(struct speculation *s, int arm, int n_tokens, double ns)
{
    const bool is_settling = arm == s->arm && s->n_settling > 0;
    if (is_settling) s->n_settling--;
    else count(arm == SPECULATION_PLAIN ? &s->plain : &s->arms[arm], n_tokens, ns);
    s->total_ns += ns;
    if ((arm != SPECULATION_PLAIN || is_settling) && s->plain.n_rounds > 0)
        s->excess_ns += ns - n_tokens * cm_speculation_cost(s, SPECULATION_PLAIN);
}

/* Of the arms that were tried; SPECULATION_PLAIN where none is better. */
static int best_arm(const struct speculation *s)
{
    double least = cm_speculation_cost(s, SPECULATION_PLAIN) / margin;
    int best = SPECULATION_PLAIN;
    for (int arm = 0; arm < s->n_arms; arm++) {
        const double cost = cm_speculation_cost(s, arm);
        if (s->arms[arm].n_rounds == 0 || cost >= least) continue;
        least = cost;
        best = arm;
    }
    return best;
}

static bool is_allowed(const struct speculation *s, double excess_ns)
{
    const double allowed = share * s->total_ns + head_start * cm_speculation_cost(s, SPECULATION_PLAIN);
    return excess_ns < allowed;
}

static bool has_credit(const struct speculation *s) { return s->n_arms > 0 && is_allowed(s, s->excess_ns); }

bool cm_speculation_may(const struct speculation *s)
{
    return s->plain.n_rounds > 0 && is_allowed(s, s->other_excess_ns);
}

double cm_speculation_note_other(struct speculation *s, int n_tokens, double ns)
{
    const double plain_ns = n_tokens * cm_speculation_cost(s, SPECULATION_PLAIN);
    s->total_ns += ns;
    s->other_excess_ns += ns - plain_ns;
    return ns > 0.0 ? plain_ns / ns : 1.0;
}

static void begin_phase(struct speculation *s, int arm, int n)
{
    if (arm != s->arm) s->n_settling = arm == SPECULATION_PLAIN ? SETTLE_PLAIN : SETTLE_ROUNDS;
    s->arm = arm;
    s->n_left = n;
}

/* Untried arms are tried one after the other, and then now and then one again; between phases of an arm the plain
 * step is measured too, for it changes with the context and the machine. */
static void next_phase(struct speculation *s)
{
    const int best = best_arm(s);
    const bool is_new = s->next_trial < s->n_arms;
    s->n_phases++;
    if (has_credit(s) && (is_new || s->n_phases % TRY_AGAIN == 0)) {
        int arm = s->next_trial++ % s->n_arms;
        if (!is_new && arm == best) arm = s->next_trial++ % s->n_arms;
        begin_phase(s, arm, TRIAL);
    } else if (best != SPECULATION_PLAIN && s->arm == SPECULATION_PLAIN && has_credit(s)) {
        begin_phase(s, best, s->arms[best].n_rounds < PHASE ? PHASE : LONG_PHASE);
    } else {
        begin_phase(s, SPECULATION_PLAIN, best == SPECULATION_PLAIN ? PHASE : CHECK_PLAIN);
    }
}

int cm_speculation_choose(struct speculation *s)
{
    if (s->arm != SPECULATION_PLAIN && !has_credit(s)) s->n_left = 0;
    if (s->n_left == 0) next_phase(s);
    s->n_left--;
    return s->arm;
}
