/* tools/serve/generation_request.h - reads what all requests for text have in common: sampling, length, stop texts,
 * slots. */
#ifndef TOOLS_SERVE_GENERATION_REQUEST_H
#define TOOLS_SERVE_GENERATION_REQUEST_H

#include "tools/serve/job.h"
#include "tools/serve/json_reader.h"

/* The names of members that differ from API to API. NULL = this API has none. */
struct generation_names {
    const char *max_tokens[3]; /* the first one that is present counts */
    const char *stop;
};

/* What must be known of the server. */
struct generation_scope {
    const calmoe_model *model; /* turns texts into tokens; NULL: texts in "logit_bias" are refused      */
    int                 n_vocab, n_slots, n_context;
};

/* Reads the members of body into the job, which already has the server's defaults. False, and the refusal filled. */
bool cm_read_generation(const struct sent_value *body, const struct generation_names *names,
                        const struct generation_scope *scope, struct job *job, struct refusal *refusal);

/* Reads a list of {"id", "scale"} of adapters: *n becomes the largest id plus one, and ids that are not listed get the
 * scale 0. name: the list's name, for refusals. */
bool cm_read_scales(const struct sent_value *list, const char *name, int *n, float scales[CALMOE_MAX_ADAPTERS],
                    struct refusal *refusal);

/* "calmoe": {"quality", "experts", "tokens", "routing", "context"}: what may be left out, what is reported for each
 * token, and which context was read before. */
struct own_request {
    char context[MAX_SAVED_NAME + 2]; /* name of the context that stands before the prompt (contexts.h); "" = none. A
                                         name that is too long is cut off, but stays too long */
    char context_sha256[65];          /* SHA-256 of its text; "" if it is not known */
    bool tokens;  /* report layers, experts and confidence of each token */
    bool routing; /* also report the numbers of its experts       */
};
bool cm_read_own_request(const struct sent_value *body, int n_experts_used, struct job_request *want,
                         struct own_request *own, struct refusal *refusal);

#endif
