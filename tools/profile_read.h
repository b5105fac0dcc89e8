/* tools/profile_read.h - reads texts through an engine that makes a profile, and remembers for some of their tokens
 * which experts they took. */
#ifndef TOOLS_PROFILE_READ_H
#define TOOLS_PROFILE_READ_H

#include <calmoe/profile.h>
#include <calmoe/trace.h>

#include "tools/front.h"

enum { KEPT_TOKENS = 4096 }; /* tokens of a domain that are remembered one by one    */

struct kept { /* the first tokens of a domain, with the experts that they took in all layers */
    char    *name;
    int      n;
    int32_t *tokens;  /* (n) */
    int32_t *experts; /* (n, n_layers, n_used); -1: the token took fewer */
    float   *weights; /* (n, n_layers, n_used) */
    int32_t *layers;  /* (n) layers that the token used */
    size_t   n_read;  /* number of all tokens that were read */
    size_t   n_windows;
};

struct reading {
    const struct front  *front;
    int                  n_layers, n_used;
    int                  window;     /* most tokens of a sequence                */
    int                  max_tokens; /* most tokens of a file; 0 = all           */
    calmoe_trace_writer *trace;      /* NULL: none                               */
    calmoe_policy       *policy;     /* NULL: texts are read in full; else they are read as if they were answers
                                        under this policy, with given tokens                            */
    double               quality;    /* chooses the policy's rung                */
    struct kept         *domains;    /* (n_domains) with different names         */
    int                  n_domains;
    struct kept         *now;
    int                  first;      /* position at which the present step began */
};

/* A calmoe_routing_fn; user is the struct reading. */
void cm_reading_see(void *user, const calmoe_routing_event *event);

/* Reads a file in windows, each of which is a sequence of its own; its tokens count for the domain. n_done of n_files
 * files were read before, for the progress bar. False with a sentence, or after Ctrl-C. */
bool cm_reading_file(struct reading *reading, const char *domain, const char *path, int n_done, int n_files);
void cm_reading_close(struct reading *reading); /* leaves the trace open */

/* The token's text as whole characters; control characters are shown as blanks. */
void cm_token_text(const struct front *front, int32_t token, char *text, size_t n_text);

struct liked { /* a token that often goes to an expert */
    int32_t token;
    double  score; /* sum of the weights that it gave the expert, times the share of its occurrences that took the
                      expert                                                                           */
};
/* Finds the tokens of a domain with the highest scores for an expert, best first; returns how many there are, at most
 * n. */
int cm_liked_tokens(const struct reading *reading, const char *domain, int layer, int expert, struct liked *liked,
                    int n);
const struct kept *cm_reading_domain(const struct reading *reading, const char *name); /* NULL: there is none */

#endif
