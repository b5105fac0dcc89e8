/* tools/serve/generation_request.h - what all requests for text have in common: sampling, length, stop texts, slots. */
#ifndef TOOLS_SERVE_GENERATION_REQUEST_H
#define TOOLS_SERVE_GENERATION_REQUEST_H

#include "tools/serve/job.h"
#include "tools/serve/json_reader.h"

/* Where one API calls a member otherwise than the others. NULL = it has none. */
struct generation_names {
    const char *max_tokens[3]; /* the first that is there counts */
    const char *stop;
};

/* Of the server that is asked. */
struct generation_scope {
    const calmoe_model *model; /* by which texts become tokens; NULL: those in "logit_bias" are refused */
    int                 n_vocab, n_slots, n_context;
};

/* Reads the members of body into the job, which holds the server's defaults. False and the refusal filled. */
bool cm_read_generation(const struct sent_value *body, const struct generation_names *names,
                        const struct generation_scope *scope, struct job *job, struct refusal *refusal);

/* A list of {"id", "scale"} of adapters: *n is the largest id and one, and those that it does not name have the scale
 * 0. name: of the list, for refusals. */
bool cm_read_scales(const struct sent_value *list, const char *name, int *n, float scales[CALMOE_MAX_ADAPTERS],
                    struct refusal *refusal);

/* "calmoe": {"quality", "experts", "tokens", "routing", "context"}: what may be left out, what is told of each token,
 * and what was read before. */
struct own_request {
    char context[MAX_SAVED_NAME + 2]; /* that stands before the prompt (contexts.h); "" = none. A longer name is cut to
                                         one that is too long */
    char context_sha256[65];          /* of its text; "" where it is not known */
    bool tokens;  /* layers, experts and confidence of each token */
    bool routing; /* and the numbers of its experts               */
};
bool cm_read_own_request(const struct sent_value *body, int n_experts_used, struct job_request *want,
                         struct own_request *own, struct refusal *refusal);

#endif
