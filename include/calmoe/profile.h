/* calmoe/profile.h - how a model's experts are used, separately for each domain of text, such as a language. An engine
 * that was opened with calmoe_engine_options.profile counts it. Profiles are kept in files (docs/FORMATS.md), can be
 * merged, and are turned into figures for people. Placement (placement.h) uses them.
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
 * One thread counts, between the phases of a step; counting allocates no memory. For up to 256 experts a layer, all
 * pairs of experts that a token takes together are counted; this takes 4 n_layers n_experts (n_experts - 1) bytes. For
 * more experts, 128 KiB a layer hold the frequent pairs, with lower bounds for their counts. A profile keeps the 1024
 * most frequent pairs of each layer and domain (16 KiB). */
#ifndef CALMOE_PROFILE_H
#define CALMOE_PROFILE_H

#include "calmoe/stats.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct calmoe_profile calmoe_profile;

/* The tokens of the next steps belong to the domain of this name. NULL or "" = the domain without a name, with which an
 * engine begins. One may return to an earlier domain. INVALID_ARGUMENT: the engine counts no profile, or there are 256
 * domains already. NO_MEMORY. */
CALMOE_API calmoe_status calmoe_engine_profile_domain(calmoe_engine *engine, const char *name);
/* Gives a copy of all counts so far, which is the caller's until calmoe_profile_close(); counting goes on.
 * calmoe_engine_reset_stats() does not reset these counts. INVALID_ARGUMENT: the engine counts no profile, or no token
 * was counted yet. NO_MEMORY. */
CALMOE_API calmoe_status calmoe_engine_get_profile(calmoe_engine *engine, calmoe_profile **out);

/* Reads a profile from a file. IO, BAD_FILE, NO_MEMORY. */
CALMOE_API calmoe_status calmoe_profile_open(calmoe_context *context, const char *path, calmoe_profile **out);
CALMOE_API void          calmoe_profile_close(calmoe_profile **profile); /* sets it to NULL; NULL is fine */
/* Adds the profile `more` to `into`: counts of domains with the same name are added up, other domains are appended.
 * INVALID_ARGUMENT: the two are of different models. NO_MEMORY: a part of `more` may have been added. */
CALMOE_API calmoe_status calmoe_profile_merge(calmoe_profile *into, const calmoe_profile *more);
/* Writes a profile to a file. IO. */
CALMOE_API calmoe_status calmoe_profile_write(const calmoe_profile *profile, const char *path);

typedef struct calmoe_profile_info {
    size_t size;            /* set by the caller to sizeof(calmoe_profile_info)     */
    char   fingerprint[17]; /* fingerprint of the model (calmoe_model_info)         */
    int    n_layers;
    int    n_experts;       /* experts of a layer that has any; 1 in a dense model  */
    int    n_used;          /* experts that a token takes in such a layer           */
    int    n_domains;
} calmoe_profile_info;

CALMOE_API calmoe_status calmoe_profile_get_info(const calmoe_profile *profile, calmoe_profile_info *info);

enum { CALMOE_REUSE_BINS = 16 };

typedef struct calmoe_profile_domain {
    size_t          size;     /* set by the caller to sizeof(calmoe_profile_domain)                       */
    const char     *name;
    uint64_t        n_tokens;
    const uint64_t *tokens;   /* (n_layers, n_experts): how many tokens took the expert; 0 in dense layers */
    const double   *weights;  /* (n_layers, n_experts): sum of the magnitudes of the weights that these tokens gave
                                 it                                                                            */
    const uint64_t *reuse;    /* (n_layers, CALMOE_REUSE_BINS): uses of an expert, by how many tokens before in the
                                 same sequence it was used last: 1, 2, up to 4, up to 8 … up to 2^14; the last bin
                                 counts uses after a longer time, and first uses                          */
    const uint64_t *exits;    /* (n_layers): tokens that left after the layer; those that ran all layers count in the
                                 last                                                                     */
    const uint64_t *used;     /* (n_used + 1): pairs of token and layer in which the token took 0, 1, 2 … experts.
                                 Dense layers count as 0; layers that a token skipped do not count        */
    uint64_t        n_steps;  /* 0: the members below were not measured                                   */
    double          waited_seconds; /* time spent waiting at barriers, mean over threads                  */
    uint64_t        n_expert_bytes, n_head_bytes, n_dense_bytes; /* packed weights that steps read, each matrix once
                                                                    a step: of experts (also shared ones), of the
                                                                    output head, of all else              */
} calmoe_profile_domain;

/* The i-th domain; what it points to is borrowed until the profile changes or is closed. CALMOE_END past the last. */
CALMOE_API calmoe_status calmoe_profile_get_domain(const calmoe_profile *profile, int i, calmoe_profile_domain *domain);

/* Seconds of a domain by phase (n), mean over threads, as calmoe_engine_get_phases() gives them. */
CALMOE_API calmoe_status calmoe_profile_get_phases(const calmoe_profile *profile, int domain, double *seconds, int n);

/* What the steps of a domain cost on the i-th memory node of the machine that counted. If profiles of several machines
 * were merged, this is the sum over nodes of the same number. CALMOE_END past the last, and if nodes were not
 * measured. */
CALMOE_API calmoe_status calmoe_profile_get_node(const calmoe_profile *profile, int domain, int i,
                                                 calmoe_node_stats *stats);
/* The same by phase (n), as calmoe_engine_get_node_phases() gives it. */
CALMOE_API calmoe_status calmoe_profile_get_node_phases(const calmoe_profile *profile, int domain, int i,
                                                        double *seconds, uint64_t *n_bytes, int n);

typedef struct calmoe_expert_pair { /* two experts, a < b, of a layer; n_tokens tokens took both */
    int32_t  a, b;
    uint64_t n_tokens;
} calmoe_expert_pair;

/* The i-th pair of a domain and layer, in ascending order of a, then b; CALMOE_END past the last. */
CALMOE_API calmoe_status calmoe_profile_get_pair(const calmoe_profile *profile, int domain, int layer, int i,
                                                 calmoe_expert_pair *pair);

typedef struct calmoe_expert_load { /* how evenly the experts of a layer are used */
    size_t size;     /* set by the caller to sizeof(calmoe_expert_load)                   */
    double peak;     /* largest count / mean count; 1 = all experts are used alike        */
    double gini;     /* Gini coefficient of the counts: 0 = all alike, towards 1 = one expert has everything */
    double entropy;  /* of the counts, in bits; log2 n_experts = all alike                */
    int    n_dead;   /* experts that no token took                                        */
    int    busiest;  /* the expert that most tokens took; of several, the first           */
} calmoe_expert_load;

/* How evenly a layer's experts are used by a domain; domain -1 = by all domains together. */
CALMOE_API calmoe_status calmoe_profile_get_load(const calmoe_profile *profile, int domain, int layer,
                                                 calmoe_expert_load *load);
/* The cosine between the layer's counts of two domains: 1 = the same shares, 0 = no expert in common. layer -1 = the
 * mean over the layers in which either domain took an expert; dense layers have none. */
CALMOE_API calmoe_status calmoe_profile_get_similarity(const calmoe_profile *profile, int domain, int other, int layer,
                                                       double *cosine);

typedef struct calmoe_specialist { /* an expert that a domain uses more than others do */
    int    layer, expert;
    double share;    /* share of the domain's expert uses in this layer that fall on this expert            */
    double lift;     /* that share / the mean of the domains' shares; from 0 to the number of domains       */
    double bits;     /* share * log2(lift): how much this expert contributes to telling the domain from the mean;
                        specialists are ranked by it                                                        */
} calmoe_specialist;

/* The n experts, of all layers, that have the most bits for the domain, best first; of equal ones, the lower layer and
 * expert first. *n_found is how many there are: fewer than n if fewer have a lift above 1. A profile with one domain
 * has none. */
CALMOE_API calmoe_status calmoe_profile_get_specialists(const calmoe_profile *profile, int domain,
                                                        calmoe_specialist *specialists, int n, int *n_found);

/* Writes all figures except pairs in Prometheus' text exposition format (version 0.0.4); all names begin with
 * calmoe_profile_. *n_text gets the length without the NUL; at most `capacity` bytes are written, the last of them a
 * NUL. FULL when the text did not fit: call again with more room. */
CALMOE_API calmoe_status calmoe_profile_get_text(const calmoe_profile *profile, char *text, size_t capacity,
                                                 size_t *n_text);

#ifdef __cplusplus
}
#endif
#endif
