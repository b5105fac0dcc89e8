/* runtime/engine/speculation.h - does speculation pay, and which? The controller of lossless self-speculation:
 * plain data and arithmetic, fed with what rounds cost and gave.
 *
 * A round reads one token, drafts some more with an early exit, and verifies them; it gives 1 token and those accepted.
 * Ways to do so (layer, threshold, how many drafts) are arms; the plain step is the one to beat. What a round costs
 * depends on the machine, the model and the text, so nothing is assumed of it: time is measured, in short phases, and
 * the arm with the most tokens per second goes on, if it beats plain steps (Cascade, arXiv 2506.20675).
 *
 * Rounds leave other things in the caches than plain steps do: after a change the first plain steps were seen to take a
 * third longer than those behind them, and counted, they would make rounds look better than they are. So what comes
 * right after a change says nothing of the arm. And a step that was held up (other programs run, too) counts as a few
 * usual ones at most.
 *
 * Trials cost. The excess is the time of all rounds, and of plain steps right behind them, less what their tokens would
 * have cost plainly; a trial begins only while it is below a share of all the time. So a stream for which nothing pays
 * loses that share and no more, and one for which something pays has credit to try the others. */
#ifndef RUNTIME_ENGINE_SPECULATION_H
#define RUNTIME_ENGINE_SPECULATION_H

#include <stdbool.h>

enum { SPECULATION_MAX_ARMS = 16, SPECULATION_PLAIN = -1 };

struct speculation_arm {
    double rounds, tokens, ns; /* that count, older ones less */
    int    n_rounds;           /* that counted, in all        */
};

struct speculation {
    int                    n_arms;
    struct speculation_arm arms[SPECULATION_MAX_ARMS];
    struct speculation_arm plain;
    double total_ns, excess_ns;
    double other_excess_ns; /* of rounds that are none of the arms: what they win pays for no trial of an arm */
    int    arm, n_left; /* of the phase: this arm so many times more */
    int    n_settling;  /* so many of which do not count yet         */
    int    next_trial;  /* the arm that is tried next                */
    int    n_phases;
};

void cm_speculation_begin(struct speculation *speculation, int n_arms);

/* What comes next: an arm, or SPECULATION_PLAIN. */
int cm_speculation_choose(struct speculation *speculation);
/* It gave so many tokens and took so long. */
void cm_speculation_note(struct speculation *speculation, int arm, int n_tokens, double ns);

/* Rounds that are none of the arms (drafts that cost nothing come where they come): may one be made now, as far as
 * trials cost? And it gave so many tokens and took so long; answers how many times the tokens a second of plain
 * steps. */
bool   cm_speculation_may(const struct speculation *speculation);
double cm_speculation_note_other(struct speculation *speculation, int n_tokens, double ns);

/* Nanoseconds a token, 0 before the first; arm may be SPECULATION_PLAIN. */
double cm_speculation_cost(const struct speculation *speculation, int arm);

#endif
