/* tools/policy_request.h - the options that say what an answer may leave out: --policy, --quality, --exit,
 * --kv-fill, --width, --exits, --lossless, --draft-model. */
#ifndef TOOLS_POLICY_REQUEST_H
#define TOOLS_POLICY_REQUEST_H

#include <calmoe/calmoe.h>
#include <stdbool.h>

struct front; /* tools/front.h */

struct policy_request { /* as typed; NULL = not given */
    const char *file;    /* --policy FILE                                 */
    const char *quality; /* --quality DELTA[:N]: "1%", "0.01" or "1%:2"   */
    const char *costs;   /* --costs time|bytes|FILE                       */
    const char *exit;    /* --exit MEASURE:THRESHOLD[@LAYER[,LAYER]]      */
    const char *width;   /* --width RULE:VALUE                            */
    const char *kv_fill; /* --kv-fill HOW                                 */
    int         lossless; /* --lossless: exits are only used for drafts, and need no proof */
    const char *exits;   /* --exits FILE, for calmoe_engine_options.exits */
    const char *draft_model; /* --draft-model FILE: a second model that drafts, with --lossless */
};

/* Whether the options allow answers to leave anything out. */
bool cm_policy_request_any(const struct policy_request *request);
/* Returns CLI_GO_ON, or the exit status after a sentence. trace: the value of --trace FILE, NULL = not given. */
int cm_policy_request_check(const char *command, const struct policy_request *request, const char *trace);
/* The number of experts that "--width fixed:K" keeps of a token; 0 if no fixed width is given. */
int cm_policy_request_fixed_width(const struct policy_request *request);
/* Opens the requested policy; *policy is NULL if none is requested. --quality without --policy reads the policy file
 * that stands beside the model: MODEL.policy.json for MODEL.gguf. cm_policy_request_check() must have succeeded before.
 * False after a sentence. */
bool cm_policy_request_open(const struct front *front, const struct policy_request *request, calmoe_policy **policy,
                            double *quality);
/* Chooses a rung from each front of the policy (calmoe/policy.h): the one that --quality fixes by its number, else the
 * cheapest by --costs; without --costs, the cheapest by a measurement on the engine if `tunes`, else the first in the
 * file. policy may be NULL; no session may use it yet. False after a sentence. */
bool cm_policy_request_choose(const struct front *front, const struct policy_request *request, bool tunes,
                              calmoe_policy *policy);
/* Prints the costs by which a rung was chosen from a front; nothing if there was no choice. */
void cm_policy_say_costs(const calmoe_policy *policy);
/* Prints one sentence on stderr: what is proven about the session's rung, or that the session is OFF. Nothing without a
 * policy. */
void cm_policy_say(const calmoe_policy *policy, const calmoe_session *session);
/* Prints what a lossless session drafted; nothing for other sessions. */
void cm_lossless_say(const calmoe_session *session);
/* The names of the ways to draft, indexed by CALMOE_DRAFTS_BY_*, as reports write them. */
extern const char *const cm_draft_names[CALMOE_N_DRAFT_KINDS];
/* Prints what the session's audit found; nothing if no token was audited. */
void cm_audit_say(const calmoe_session *session);

#endif
