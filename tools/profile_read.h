/* tools/profile_read.h - texts read through an engine that profiles, and what some of their tokens took. */
#ifndef TOOLS_PROFILE_READ_H
#define TOOLS_PROFILE_READ_H

#include <calmoe/profile.h>
#include <calmoe/trace.h>

#include "tools/front.h"

enum { KEPT_TOKENS = 4096 }; /* of a domain: whose experts are remembered one by one */

struct kept { /* the first tokens of a domain, with their experts in all layers */
    char    *name;
    int      n;
    int32_t *tokens;  /* (n) */
    int32_t *experts; /* (n, n_layers, n_used); -1: it took fewer */
    float   *weights; /* (n, n_layers, n_used) */
    int32_t *layers;  /* (n) that it used         */
    size_t   n_read;  /* tokens that were read in all */
    size_t   n_windows;
};

struct reading {
    const struct front  *front;
    int                  n_layers, n_used;
    int                  window;     /* tokens of a sequence at most             */
    int                  max_tokens; /* of a file; 0 = all                       */
    calmoe_trace_writer *trace;      /* NULL: none                               */
    calmoe_policy       *policy;     /* NULL: texts are read in full; else as answers, each token given */
    double               quality;    /* that the policy's rung is chosen by      */
    struct kept         *domains;    /* (n_domains), names are different         */
    int                  n_domains;
    struct kept         *now;
    int                  first;      /* position at which the step began         */
};

/* A calmoe_routing_fn; user: the reading. */
void cm_reading_see(void *user, const calmoe_routing_event *event);

/* Reads a file in windows, each a sequence of its own that begins empty; its tokens count for the domain. n_done of
 * n_files before it, for the bar. False with a sentence, or after Ctrl-C. */
bool cm_reading_file(struct reading *reading, const char *domain, const char *path, int n_done, int n_files);
void cm_reading_close(struct reading *reading); /* not the trace */

/* The token's text as whole characters, control characters shown as blanks. */
void cm_token_text(const struct front *front, int32_t token, char *text, size_t n_text);

struct liked { /* a token, and how an expert likes it */
    int32_t token;
    double  score; /* sum of the weights it gave the expert * the part of its occurrences that took it */
};
/* The tokens of a domain that an expert likes most, best first; answers how many of n there are. */
int cm_liked_tokens(const struct reading *reading, const char *domain, int layer, int expert, struct liked *liked,
                    int n);
const struct kept *cm_reading_domain(const struct reading *reading, const char *name); /* NULL: none */

#endif
