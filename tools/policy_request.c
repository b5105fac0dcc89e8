/* tools/policy_request.c - see policy_request.h. */
#include "tools/policy_request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/front.h"

enum { MAX_NAME = 32, MAX_PATH = 4096 };

struct parsed { /* --exit or --width */
    char  name[MAX_NAME];
    float number;
    int   layers[CALMOE_MAX_EXITS], n_layers;
};

/* Reads NAME:NUMBER; *rest is what follows. The number must be above 0. */
static bool read_pair(const char *text, struct parsed *out, const char **rest)
{
    const size_t n = strcspn(text, ":");
    if (n == 0 || n >= MAX_NAME || text[n] == '\0') return false;
    memcpy(out->name, text, n);
    out->name[n] = '\0';
    char *end   = NULL;
    out->number = strtof(text + n + 1, &end);
    *rest       = end;
    return end != text + n + 1 && out->number > 0.0f && out->number <= 64.0f;
}

static bool read_exit(const char *text, struct parsed *out)
{
    const char *at;
    if (!read_pair(text, out, &at) || out->number > 1.0f || (*at != '@' && *at != '\0')) return false;
    while (*at == '@' || *at == ',') {
        char      *end    = NULL;
        const long number = strtol(at + 1, &end, 10);
        if (end == at + 1 || number < 1 || number > 1 << 20 || out->n_layers == CALMOE_MAX_EXITS) return false;
        out->layers[out->n_layers++] = (int)number;
        at                           = end;
    }
    return *at == '\0';
}

/* The rule fixed needs a whole number; the others need a number that is at most 1. */
static bool read_width(const char *text, struct parsed *out)
{
    const char *at;
    if (!read_pair(text, out, &at) || *at != '\0') return false;
    return strcmp(out->name, "fixed") == 0 ? out->number >= 1.0f && out->number == (float)(int)out->number
                                           : out->number <= 1.0f;
}

/* Reads a bound, and which of the rungs that are proven for it is wanted; 0: that is not said. */
static bool read_quality(const char *text, double *out, int *member)
{
    char *end = NULL;
    *out      = strtod(text, &end);
    *member   = 0;
    if (end == text) return false;
    if (*end == '%') {
        *out /= 100.0;
        end++;
    }
    if (*end == ':') {
        const char *number = end + 1;
        const long  found  = strtol(number, &end, 10);
        if (end == number || found < 1 || found > 1000) return false;
        *member = (int)found;
    }
    return *end == '\0' && *out > 0.0 && *out < 1.0;
}

static bool is_fill(const char *text)
{
    return strcmp(text, "propagate") == 0 || strcmp(text, "lazy") == 0 || strcmp(text, "catch_up") == 0;
}

bool cm_policy_request_any(const struct policy_request *request)
{
    return request->file || request->quality || request->exit || request->width || request->lossless;
}

int cm_policy_request_check(const char *command, const struct policy_request *request, const char *trace)
{
    if (trace && cm_policy_request_any(request))
        return cm_usage_error(command, "option '--trace' does not go with policies and drafts: a trace has as many "
                                       "experts of every layer for each token");
    struct parsed exit = {.n_layers = 0}, width = {.n_layers = 0};
    double        quality;
    int           member = 0;
    const bool    is_made = request->exit != NULL || request->width != NULL;
    if (is_made && (request->file != NULL || request->quality != NULL))
        return cm_usage_error(command, "option '%s' does not go with %s", request->exit != NULL ? "--exit" : "--width",
                              request->file != NULL ? "--policy" : "--quality");
    if (request->kv_fill != NULL && request->exit == NULL)
        return cm_usage_error(command, "option '--kv-fill' wants --exit");
    if (request->kv_fill != NULL && !is_fill(request->kv_fill))
        return cm_usage_error(command, "option '--kv-fill' wants propagate, lazy or catch_up, found '%s'",
                              request->kv_fill);
    if (request->draft_model != NULL && !request->lossless)
        return cm_usage_error(command, "option '--draft-model' wants --lossless");
    if (request->lossless && (request->width != NULL || request->kv_fill != NULL))
        return cm_usage_error(command, "option '--lossless' does not go with %s",
                              request->width != NULL ? "--width" : "--kv-fill");
    if (request->quality != NULL && !read_quality(request->quality, &quality, &member))
        return cm_usage_error(command, "option '--quality' wants a share such as 1%% or 0.01, or 1%%:2, found '%s'",
                              request->quality);
    if (request->costs != NULL && (is_made || (request->file == NULL && request->quality == NULL)))
        return cm_usage_error(command, "option '--costs' wants --policy or --quality");
    if (request->costs != NULL && member > 0)
        return cm_usage_error(command, "option '--costs' does not go with '--quality %s', which has chosen",
                              request->quality);
    if (request->exit != NULL && !read_exit(request->exit, &exit))
        return cm_usage_error(command, "option '--exit' wants MEASURE:THRESHOLD[@LAYER[,LAYER]] with a threshold above "
                                       "0 and at most 1, found '%s'", request->exit);
    if (request->width != NULL && !read_width(request->width, &width))
        return cm_usage_error(command, "option '--width' wants fixed:K, ratio:BOUND, top_p:BOUND or resident:BOUND "
                                       "with a bound above 0 and at most 1, found '%s'", request->width);
    return CLI_GO_ON;
}

int cm_policy_request_fixed_width(const struct policy_request *request)
{
    struct parsed width = {.n_layers = 0};
    if (request->width == NULL || !read_width(request->width, &width) || strcmp(width.name, "fixed") != 0) return 0;
    return (int)width.number;
}

static bool make(const struct front *front, const struct policy_request *request, calmoe_policy **policy)
{
    struct parsed         exit = {.n_layers = 0}, width = {.n_layers = 0};
    calmoe_policy_options options;
    calmoe_policy_options_init(&options);
    if (request->exit != NULL && read_exit(request->exit, &exit)) {
        options.measure     = exit.name;
        options.threshold   = exit.number;
        options.exit_layers = exit.n_layers > 0 ? exit.layers : NULL;
        options.n_exits     = exit.n_layers;
        options.kv_fill     = request->kv_fill;
    }
    if (request->width != NULL && read_width(request->width, &width)) {
        options.width       = width.name;
        options.width_bound = width.number <= 1.0f ? width.number : 1.0f;
        if (strcmp(width.name, "fixed") == 0) options.width_k = (int)width.number;
    }
    if (!cm_front_succeeded(front, calmoe_policy_make(front->model, &options, policy))) return false;
    if (request->lossless) return true;
    cm_say("nothing is proven of this policy: how far answers are from the full model's is not known");
    return true;
}

/* The path of the policy beside the model; false where the model's path is too long. */
static bool path_beside(const char *model, char *path)
{
    size_t n = strlen(model);
    if (n > 5 && strcmp(model + n - 5, ".gguf") == 0) n -= 5;
    return snprintf(path, MAX_PATH, "%.*s.policy.json", (int)n, model) < MAX_PATH;
}

bool cm_policy_request_open(const struct front *front, const struct policy_request *request, calmoe_policy **policy,
                            double *quality)
{
    char              path[MAX_PATH];
    calmoe_model_info info = {.size = sizeof info};
    *policy                = NULL;
    *quality               = 0.0;
    if (request->exit != NULL || request->width != NULL) return make(front, request, policy);
    int member;
    if (request->quality != NULL) (void)read_quality(request->quality, quality, &member);
    if (request->file != NULL)
        return cm_front_succeeded(front, calmoe_policy_open(front->model, request->file, policy));
    if (request->quality == NULL) return true;
    if (!cm_front_succeeded(front, calmoe_model_get_info(front->model, &info))) return false;
    return path_beside(info.path, path) &&
           cm_front_succeeded(front, calmoe_policy_open(front->model, path, policy));
}

bool cm_policy_request_choose(const struct front *front, const struct policy_request *request, bool tunes,
                              calmoe_policy *policy)
{
    double quality;
    int    member = 0;
    if (policy == NULL || request->exit != NULL || request->width != NULL) return true;
    if (request->quality != NULL && read_quality(request->quality, &quality, &member) && member > 0)
        return cm_front_succeeded(front, calmoe_policy_fix(policy, quality, member));
    if (request->costs == NULL && !tunes) return true;
    return cm_front_succeeded(front, calmoe_policy_choose(policy, front->engine, request->costs));
}

void cm_policy_say_costs(const calmoe_policy *policy)
{
    for (int i = 0; policy != NULL && i < calmoe_policy_n_rungs(policy); i++) {
        calmoe_rung_info info = {.size = sizeof info};
        char             exits[8 * CALMOE_MAX_EXITS] = "";
        if (calmoe_policy_get_rung(policy, i, &info) != CALMOE_OK || info.cost <= 0.0) continue;
        for (int exit = 0; exit < info.n_exits; exit++) {
            const size_t at = strlen(exits);
            (void)snprintf(exits + at, sizeof exits - at, "%s%d", exit > 0 ? ", " : " after layers ",
                           info.exit_layers[exit]);
        }
        cm_say("policy %d of %d at %g: exits%s, %s experts, %.1f %% of the full model's cost%s", info.member,
               info.n_members, info.delta, info.n_exits > 0 ? exits : " nowhere", info.has_width ? "fewer" : "all",
               100.0 * info.cost, info.is_taken ? ", taken" : "");
    }
}

/* Whether the policy has a front with a choice, so that it is worth reporting which rung was chosen. */
static void say_which(const calmoe_rung_info *info)
{
    if (info->n_members < 2) return;
    if (info->cost > 0.0)
        cm_say("policy %d of %d that are proven for it, expected to cost %.0f %% of the full model", info->member,
               info->n_members, 100.0 * info->cost);
    else cm_say("policy %d of %d that are proven for it", info->member, info->n_members);
}

void cm_policy_say(const calmoe_policy *policy, const calmoe_session *session)
{
    const int        rung = calmoe_session_rung(session);
    calmoe_rung_info info = {.size = sizeof info};
    if (policy == NULL) return;
    if (rung < 0) {
        cm_say("nothing of the policy has so small a bound and is cheaper than the full model: nothing is left out");
        return;
    }
    if (calmoe_policy_get_rung(policy, rung, &info) != CALMOE_OK || !info.is_proven) return;
    cm_say("policy: %s at most %g with confidence %g (%s, %d prompts)", info.loss, info.delta, 1.0 - info.epsilon,
           info.p_value, info.n_prompts);
    say_which(&info);
}

void cm_audit_say(const calmoe_session *session)
{
    calmoe_audit audit = {.size = sizeof audit};
    if (calmoe_session_audit(session, &audit) != CALMOE_OK || audit.n_tokens == 0) return;
    cm_say("audit: %" PRIu64 " tokens were run twice, %" PRIu64 " differ%s", audit.n_tokens, audit.n_different,
           audit.n_alarms > 0 ? "; the policy stepped down" : "");
}

const char *const cm_draft_names[CALMOE_N_DRAFT_KINDS] = {
    [CALMOE_DRAFTS_BY_EXITS] = "exits",
    [CALMOE_DRAFTS_BY_LOOKUP] = "lookup",
    [CALMOE_DRAFTS_BY_FURTHER] = "further block",
    [CALMOE_DRAFTS_BY_MODEL] = "draft model",
};

void cm_lossless_say(const calmoe_session *session)
{
    calmoe_speculation drafts = {.size = sizeof drafts};
    char               by[256] = "";
    if (calmoe_session_speculation(session, &drafts) != CALMOE_OK || drafts.drafted == 0) return;
    for (int kind = 0; kind < CALMOE_N_DRAFT_KINDS; kind++) {
        const size_t n = strlen(by);
        if (drafts.rounds_by[kind] > 0)
            snprintf(by + n, sizeof by - n, "%s%s %llu", n > 0 ? ", " : "", cm_draft_names[kind],
                     (unsigned long long)drafts.rounds_by[kind]);
    }
    cm_say("lossless: %llu rounds, %llu tokens drafted, %llu accepted (%.1f %%), %.2f tokens a round; %llu plain "
           "steps; rounds: %s",
           (unsigned long long)drafts.rounds, (unsigned long long)drafts.drafted, (unsigned long long)drafts.accepted,
           100.0 * (double)drafts.accepted / (double)drafts.drafted,
           1.0 + (double)drafts.accepted / (double)drafts.rounds, (unsigned long long)drafts.plain, by);
}
