/* runtime/documents/profile_file.h - how a model's experts are used, as plain data and as a file (docs/FORMATS.md):
 * read, written, merged. Who counts is no matter of this file.
 *
 *     {"schema": "calmoe.profile.1", "version": "0.1.0",
 *      "model": {"fingerprint": "0123456789abcdef", "layers": 1, "experts": 4, "used": 2},
 *      "domains": [{"name": "russian", "tokens": 100, "used": [0, 0, 100], "work": {…} where it was measured,
 *        "layers": [{"tokens": [50, 50, 50, 50], "weights": [25, 25.5, 25, 24.5], "reuse": [9, …], "exits": 0,
 *                    "pairs": [[0, 1, 20], [2, 3, 30]]}]}]}
 */
#ifndef RUNTIME_DOCUMENTS_PROFILE_FILE_H
#define RUNTIME_DOCUMENTS_PROFILE_FILE_H

#include <stdint.h>

#include "base/status.h"

enum {
    PROFILE_MAX_LAYERS  = 4096,
    PROFILE_MAX_EXPERTS = 4096,
    PROFILE_MAX_USED    = 256,
    PROFILE_MAX_DOMAINS = 256,
    PROFILE_MAX_BLOCKS  = 16384, /* layers in all domains together, so that no small file asks for much memory */
    PROFILE_MAX_PAIRS   = 1024, /* of a layer and domain: those that met most often */
    PROFILE_REUSE_BINS  = 16,
    PROFILE_PHASES      = 8, /* of a step, CALMOE_PHASE_* */
    PROFILE_MAX_NODES   = 64
};

struct profile_node { /* a memory node and its threads */
    double   seconds[PROFILE_PHASES], waited; /* mean over its threads                                        */
    uint64_t bytes[PROFILE_PHASES];           /* packed weights that steps read from its memory in each phase */
    uint64_t remote_bytes;                    /* that its threads read from other nodes' memory               */
};

struct profile_work { /* what the domain's steps cost where it was counted; all zero where nobody measured it */
    uint64_t n_steps;
    double   seconds[PROFILE_PHASES], waited;           /* mean over threads                                  */
    uint64_t expert_bytes, head_bytes, dense_bytes;     /* packed weights that the steps read, once each step */
    int                 n_nodes;                        /* 0: not known                                       */
    struct profile_node nodes[PROFILE_MAX_NODES];
};

struct profile_pair { /* experts that the same token took */
    int32_t  a, b;    /* a < b  */
    uint64_t n_tokens;
};

struct profile_domain {
    char                *name;    /* "" where there is but one                                          */
    uint64_t             n_tokens;
    uint64_t            *tokens;  /* (n_layers, n_experts): tokens that took the expert                 */
    double              *weights; /* (n_layers, n_experts): sum of the weights that they gave it        */
    uint64_t            *reuse;   /* (n_layers, PROFILE_REUSE_BINS): the same expert again within 1, 2, 4 …
                                     2^14 tokens of its sequence (each counted in the first bin that
                                     holds it); the last bin: later, or taken for the first time        */
    uint64_t            *exits;   /* (n_layers): tokens that left after the layer                       */
    uint64_t            *used;    /* (n_used + 1): (token, layer) pairs with that many experts          */
    int                 *n_pairs; /* (n_layers)                                                         */
    struct profile_pair *pairs;   /* (n_layers, PROFILE_MAX_PAIRS), each layer's ascending by a, then b  */
    struct profile_work  work;
};

struct profile {
    char                   fingerprint[17];
    int                    n_layers, n_experts, n_used;
    int                    n_domains;
    struct profile_domain *domains; /* (n_domains), names are different */
};

/* An empty domain for a profile whose numbers are set; NO_MEMORY. */
calmoe_status cm_profile_add_domain(struct calmoe_context *ctx, struct profile *profile, const char *name,
                                    struct profile_domain **out);
void          cm_profile_close(struct profile *profile); /* zeroes it; a zeroed one is fine */

/* On success *out is the caller's until cm_profile_close(). BAD_FILE for anything that is not a profile, unknown
 * members and counts that cannot be too. */
calmoe_status cm_profile_read(struct calmoe_context *ctx, const char *path, struct profile *out);
calmoe_status cm_profile_parse(struct calmoe_context *ctx, const char *name, const void *text, size_t n_bytes,
                               struct profile *out);
/* IO: "cannot write 'PATH': why". */
calmoe_status cm_profile_write(struct calmoe_context *ctx, const char *path, const struct profile *profile);

/* Adds `more` to `into`: domains of the same name are summed, others are added. Of pairs those that met most often
 * stay, of equals the lower indices (so what both had dropped is lost). INVALID_ARGUMENT where they
 * are of different models; into may be half done only on NO_MEMORY. */
calmoe_status cm_profile_merge(struct calmoe_context *ctx, struct profile *into, const struct profile *more);

/* Keeps of n different pairs the PROFILE_MAX_PAIRS that met most often, ascending by a, then b; answers how many. */
int cm_profile_trim_pairs(struct profile_pair *pairs, int n);
void cm_profile_add_work(struct profile_work *into, const struct profile_work *more);

/* counts (n_layers, n_experts): tokens of one domain, or of all where domain is NULL. INVALID_ARGUMENT: no such
 * domain. */
calmoe_status cm_profile_counts(struct calmoe_context *ctx, const struct profile *profile, const char *domain,
                                uint64_t *counts);

#endif
