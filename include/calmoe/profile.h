/* calmoe/profile.h - how a model's experts are used, for each domain of text: counted by an engine that was opened
 * with calmoe_engine_options.profile, kept in files (docs/FORMATS.md), merged, and turned into numbers that people
 * read. Placement (placement.h) decides by it.
 *
 *     options.profile = 1;
 *     calmoe_engine_open(model, &options, &engine);
 *     calmoe_engine_profile_domain(engine, "russian");
 *     …steps…
 *     calmoe_engine_profile_domain(engine, "c");
 *     …steps…
 *     if (calmoe_engine_get_profile(engine, &profile) == CALMOE_OK)
 *         calmoe_profile_write(profile, "profile.json");
 *
 * Counting is done by one thread between the phases of a step and allocates nothing. Pairs of experts are counted in
 * full for up to 256 experts a layer, with 4 n_layers n_experts (n_experts - 1) bytes; beyond, 128 KiB a layer keep
 * the pairs that meet often, with lower bounds for counts. A profile itself keeps of each layer and domain the 1024
 * pairs that met most often, 16 KiB. */
#ifndef CALMOE_PROFILE_H
#define CALMOE_PROFILE_H

#include "calmoe/stats.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct calmoe_profile calmoe_profile;

/* What the next steps run belongs to this domain; NULL or "" = the one without a name, as at opening. A domain may
 * come again. INVALID_ARGUMENT: the engine counts no profile, or there are 256 domains. NO_MEMORY. */
CALMOE_API calmoe_status calmoe_engine_profile_domain(calmoe_engine *engine, const char *name);
/* A copy of all that was counted so far, the caller's until calmoe_profile_close(); counting goes on.
 * calmoe_engine_reset_stats() does not touch it. INVALID_ARGUMENT: the engine counts no profile, or no token
 * yet. NO_MEMORY. */
CALMOE_API calmoe_status calmoe_engine_get_profile(calmoe_engine *engine, calmoe_profile **out);

/* Reads a file. IO, BAD_FILE, NO_MEMORY. */
CALMOE_API calmoe_status calmoe_profile_open(calmoe_context *context, const char *path, calmoe_profile **out);
CALMOE_API void          calmoe_profile_close(calmoe_profile **profile); /* sets it to NULL; NULL is fine */
/* Adds `more` to `into`: counts of domains of the same name are summed, other domains are added.
 * INVALID_ARGUMENT: of another model. NO_MEMORY: into may be half done. */
CALMOE_API calmoe_status calmoe_profile_merge(calmoe_profile *into, const calmoe_profile *more);
/* IO. */
CALMOE_API calmoe_status calmoe_profile_write(const calmoe_profile *profile, const char *path);

typedef struct calmoe_profile_info {
    size_t size;            /* set by the caller to sizeof(calmoe_profile_info)     */
    char   fingerprint[17]; /* of the model (calmoe_model_info)                     */
    int    n_layers;
    int    n_experts;       /* of a layer that has any; 1 of a dense model          */
    int    n_used;          /* a token's experts in such a layer                    */
    int    n_domains;
} calmoe_profile_info;

CALMOE_API calmoe_status calmoe_profile_get_info(const calmoe_profile *profile, calmoe_profile_info *info);

enum { CALMOE_REUSE_BINS = 16 };

typedef struct calmoe_profile_domain {
    size_t          size;     /* set by the caller to sizeof(calmoe_profile_domain)                       */
    const char     *name;
    uint64_t        n_tokens;
    const uint64_t *tokens;   /* (n_layers, n_experts): tokens that took the expert; 0 in dense layers    */
    const double   *weights;  /* (n_layers, n_experts): sum of the magnitudes of the weights that they gave it */
    const uint64_t *reuse;    /* (n_layers, CALMOE_REUSE_BINS): uses of an expert that was last used 1, 2, up
                                 to 4, up to 8 … up to 2^14 tokens before in the same sequence; the last bin:
                                 longer ago, or never                                                     */
    const uint64_t *exits;    /* (n_layers): tokens that left after the layer; at full depth, the last    */
    const uint64_t *used;     /* (n_used + 1): (token, layer) pairs that took 0, 1, 2 … experts; dense layers
                                 count as 0, layers that a token skipped are not in it                    */
    uint64_t        n_steps;  /* 0: nobody measured what follows                                          */
    double          waited_seconds; /* at barriers, mean over threads                                     */
    uint64_t        n_expert_bytes, n_head_bytes, n_dense_bytes; /* packed weights that steps read, a matrix
                                 once a step: experts (shared ones too), the head, all else               */
} calmoe_profile_domain;

/* Domain i; what it points to is borrowed until the profile changes or is closed. CALMOE_END past the last. */
CALMOE_API calmoe_status calmoe_profile_get_domain(const calmoe_profile *profile, int i, calmoe_profile_domain *domain);

/* Seconds of a domain by phase (n), mean over threads: as of calmoe_engine_get_phases(). */
CALMOE_API calmoe_status calmoe_profile_get_phases(const calmoe_profile *profile, int domain, double *seconds, int n);

/* What the steps of a domain cost on memory node i of the machine that counted it; where profiles of several machines
 * were merged, the sum of nodes of the same number. CALMOE_END past the last, and where nobody measured nodes. */
CALMOE_API calmoe_status calmoe_profile_get_node(const calmoe_profile *profile, int domain, int i,
                                                 calmoe_node_stats *stats);
/* The same by phase (n): as of calmoe_engine_get_node_phases(). */
CALMOE_API calmoe_status calmoe_profile_get_node_phases(const calmoe_profile *profile, int domain, int i,
                                                        double *seconds, uint64_t *n_bytes, int n);

typedef struct calmoe_expert_pair { /* experts a < b of a layer that n_tokens tokens took both */
    int32_t  a, b;
    uint64_t n_tokens;
} calmoe_expert_pair;

/* Pair i of a domain and layer, ascending by a, then b; CALMOE_END past the last. */
CALMOE_API calmoe_status calmoe_profile_get_pair(const calmoe_profile *profile, int domain, int layer, int i,
                                                 calmoe_expert_pair *pair);

typedef struct calmoe_expert_load { /* how evenly the experts of a layer are used */
    size_t size;     /* set by the caller to sizeof(calmoe_expert_load)                   */
    double peak;     /* max / mean; 1 = even                                              */
    double gini;     /* 0 = even, towards 1 = one expert has all                          */
    double entropy;  /* bits; log2 n_experts = even                                       */
    int    n_dead;   /* experts that no token took                                        */
    int    busiest;  /* the expert that most tokens took, of equals the first             */
} calmoe_expert_load;

/* domain -1 = all of them together. */
CALMOE_API calmoe_status calmoe_profile_get_load(const calmoe_profile *profile, int domain, int layer,
                                                 calmoe_expert_load *load);
/* Cosine of the layer's counts of two domains: 1 = the same shares, 0 = no expert in common. layer -1: mean over the
 * layers in which either of them took any expert; dense layers have none to take. */
CALMOE_API calmoe_status calmoe_profile_get_similarity(const calmoe_profile *profile, int domain, int other, int layer,
                                                       double *cosine);

typedef struct calmoe_specialist {
    int    layer, expert;
    double share;    /* of the domain's uses of experts in the layer                                        */
    double lift;     /* share / mean over the domains of their shares; from 0 to the number of domains      */
    double bits;     /* share * log2(lift): its part in what tells the domain from the mean of all; ranks   */
} calmoe_specialist;

/* The n experts of all layers with the most bits for the domain, best first, of equals the lower layer and expert;
 * *n_found of them, fewer where fewer have a lift above 1. One domain alone has none. */
CALMOE_API calmoe_status calmoe_profile_get_specialists(const calmoe_profile *profile, int domain,
                                                        calmoe_specialist *specialists, int n, int *n_found);

/* All but pairs as text, in Prometheus' exposition format (version 0.0.4): names begin with
 * calmoe_profile_. *n_text gets its bytes without the NUL; at most capacity of them are written, the last a NUL. FULL
 * when they did not fit (call again with more room). */
CALMOE_API calmoe_status calmoe_profile_get_text(const calmoe_profile *profile, char *text, size_t capacity,
                                                 size_t *n_text);

#ifdef __cplusplus
}
#endif
#endif
