/* runtime/stats/exposition.h - numbers as text in Prometheus' exposition format, version 0.0.4. */
#ifndef RUNTIME_STATS_EXPOSITION_H
#define RUNTIME_STATS_EXPOSITION_H

#include <stddef.h>

#include "runtime/documents/profile_file.h"
#include "runtime/stats/counters.h"

struct exposition {
    char  *text;     /* (capacity) of the caller */
    size_t capacity;
    size_t n;        /* bytes so far, also those that did not fit */
};

/* nodes (stats->n_nodes) */
void cm_expose_stats(struct exposition *out, const calmoe_stats *stats, const struct counters *counters,
                     const struct profile_node *nodes);
/* Of experts on disk; nothing where all are in memory. */
void cm_expose_disk(struct exposition *out, const calmoe_disk_stats *stats);
void cm_expose_profile(struct exposition *out, const struct profile *profile);
/* *n_text: bytes without the NUL. FULL: they, and a NUL, did not fit. */
calmoe_status cm_exposition_end(const struct exposition *out, struct calmoe_context *ctx, size_t *n_text);

/* "project", "attend", …, as in labels and files; phase 0 to CALMOE_N_PHASES - 1. */
const char *cm_phase_name(int phase);

#endif
