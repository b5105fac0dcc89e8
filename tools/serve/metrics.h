/* tools/serve/metrics.h - what the server counts, written in Prometheus' text exposition format (version 0.0.4),
 * followed by the engine's own statistics (calmoe/stats.h). Protected by the service's lock. */
#ifndef TOOLS_SERVE_METRICS_H
#define TOOLS_SERVE_METRICS_H

#include <stdint.h>

#include "tools/serve/json_writer.h"

enum { METRIC_MAX_BUCKETS = 24 };

struct histogram {
    const double *bounds; /* (n) ascending, in seconds */
    int           n;
    uint64_t      counts[METRIC_MAX_BUCKETS + 1]; /* the last one: values above all bounds */
    double        sum;
};

struct metrics {
    uint64_t n_prompt_tokens, n_cached_tokens, n_predicted_tokens;
    double   prompt_seconds, predicted_seconds;
    uint64_t n_steps, n_busy_slots;             /* steps; and the number of busy slots, summed over steps */
    uint64_t n_tokens_max;                      /* the longest sequence                                  */
    uint64_t n_requests, n_refused, n_cancelled, n_failed, n_timed_out;
    struct histogram first_token, between_tokens, whole_request;
};

struct metrics_now { /* the situation at this moment */
    int    n_processing, n_deferred, n_slots;
};

void cm_metrics_open(struct metrics *metrics);
void cm_histogram_add(struct histogram *histogram, double seconds);
void cm_metrics_write(struct json_writer *writer, const struct metrics *metrics, const struct metrics_now *now);

#endif
