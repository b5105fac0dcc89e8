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
    int         lossless; /* --lossless: exits only draft, and need no proof */
    const char *exits;   /* --exits FILE, for calmoe_engine_options.exits */
    const char *draft_model; /* --draft-model FILE: a model that drafts, with --lossless */
};

/* Whether answers may leave anything out. */
bool cm_policy_request_any(const struct policy_request *request);
/* CLI_GO_ON, or the exit status after a sentence. trace: --trace FILE, NULL = not given. */
int cm_policy_request_check(const char *command, const struct policy_request *request, const char *trace);
/* Experts of a token that "--width fixed:K" keeps; 0 where no fixed width is given. */
int cm_policy_request_fixed_width(const struct policy_request *request);
/* *policy NULL where nothing is asked for. --quality without --policy reads the file beside the model,
 * MODEL.policy.json for MODEL.gguf. False after a sentence. cm_policy_request_check() was fine. */
bool cm_policy_request_open(const struct front *front, const struct policy_request *request, calmoe_policy **policy,
                            double *quality);
/* Which of the policies of a front answers go by: the one that --quality fixes, else the one that is cheapest by
 * --costs; without that by what is measured on the engine if `tunes`, else the file's first. *policy NULL is fine;
 * no session has it yet. False after a sentence. */
bool cm_policy_request_choose(const struct front *front, const struct policy_request *request, bool tunes,
                              calmoe_policy *policy);
/* What each policy of a front costs by what it was chosen by; nothing where there was no choice. */
void cm_policy_say_costs(const calmoe_policy *policy);
/* One sentence on stderr: what is proven of the session's rung, or that it is OFF. Nothing without a policy. */
void cm_policy_say(const calmoe_policy *policy, const calmoe_session *session);
/* What a lossless session drafted; nothing where it did not. */
void cm_lossless_say(const calmoe_session *session);
/* The names of the ways to draft, CALMOE_DRAFTS_BY_*, as reports have them. */
extern const char *const cm_draft_names[CALMOE_N_DRAFT_KINDS];
/* And what its audit found; nothing where no token was audited. */
void cm_audit_say(const calmoe_session *session);

#endif
