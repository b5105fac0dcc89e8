/* tools/serve/metrics.c - see metrics.h. */
#include "tools/serve/metrics.h"

#include <inttypes.h>
#include <stddef.h>

static const double token_bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5,
                                      0.75, 1, 2.5, 5, 10};
static const double request_bounds[] = {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160,
                                        640, 2560};
enum { N_TOKEN_BOUNDS = sizeof token_bounds / sizeof token_bounds[0],
       N_REQUEST_BOUNDS = sizeof request_bounds / sizeof request_bounds[0] };

void cm_metrics_open(struct metrics *metrics)
{
    *metrics = (struct metrics){.first_token    = {.bounds = request_bounds, .n = N_REQUEST_BOUNDS},
                                .between_tokens = {.bounds = token_bounds, .n = N_TOKEN_BOUNDS},
                                .whole_request  = {.bounds = request_bounds, .n = N_REQUEST_BOUNDS}};
}

void cm_histogram_add(struct histogram *histogram, double seconds)
{
    int i = 0;
    while (i < histogram->n && seconds > histogram->bounds[i]) i++;
    histogram->counts[i]++;
    histogram->sum += seconds;
}

static void head(struct json_writer *writer, const char *name, const char *type, const char *help)
{
    cm_write_format(writer, "# HELP calmoe_%s %s\n# TYPE calmoe_%s %s\n", name, help, name, type);
}

static void tell(struct json_writer *writer, const char *name, const char *type, const char *help, double value)
{
    head(writer, name, type, help);
    cm_write_format(writer, "calmoe_%s %.15g\n", name, value);
}

static void tell_histogram(struct json_writer *writer, const char *name, const char *help,
                           const struct histogram *histogram)
{
    uint64_t n = 0;
    head(writer, name, "histogram", help);
    for (int i = 0; i < histogram->n; i++) {
        n += histogram->counts[i];
        cm_write_format(writer, "calmoe_%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, histogram->bounds[i], n);
    }
    n += histogram->counts[histogram->n];
    cm_write_format(writer, "calmoe_%s_bucket{le=\"+Inf\"} %" PRIu64 "\ncalmoe_%s_sum %.9g\ncalmoe_%s_count %" PRIu64
                            "\n", name, n, name, histogram->sum, name, n);
}

static double ratio(double a, double b) { return b > 0 ? a / b : 0; }

void cm_metrics_write(struct json_writer *writer, const struct metrics *metrics, const struct metrics_now *now)
{
    const double n_prompt = (double)metrics->n_prompt_tokens, n_predicted = (double)metrics->n_predicted_tokens;
    const double n_steps = (double)metrics->n_steps;
    const struct { const char *name, *type, *help; double value; } rows[] = {
        {"prompt_tokens_total", "counter", "Tokens of prompts that were read.", n_prompt},
        {"prompt_cached_tokens_total", "counter", "Tokens of prompts that a slot had read before.",
         (double)metrics->n_cached_tokens},
        {"prompt_seconds_total", "counter", "Time in which prompts were read.", metrics->prompt_seconds},
        {"tokens_predicted_total", "counter", "Tokens of answers.", n_predicted},
        {"tokens_predicted_seconds_total", "counter", "Time in which answers were made.", metrics->predicted_seconds},
        {"prompt_tokens_seconds", "gauge", "Tokens of prompts a second, mean.",
         ratio(n_prompt, metrics->prompt_seconds)},
        {"predicted_tokens_seconds", "gauge", "Tokens of answers a second, mean of a request.",
         ratio(n_predicted, metrics->predicted_seconds)},
        {"requests_processing", "gauge", "Requests that have a slot.", now->n_processing},
        {"requests_deferred", "gauge", "Requests that wait for a slot.", now->n_deferred},
        {"slots", "gauge", "Requests that can be processed at once.", now->n_slots},
        {"n_decode_total", "counter", "Steps of the engine.", n_steps},
        {"n_busy_slots_per_decode", "gauge", "Slots at work in a step, mean.",
         ratio((double)metrics->n_busy_slots, n_steps)},
        {"n_tokens_max", "counter", "Tokens of the longest sequence.", (double)metrics->n_tokens_max},
        {"requests_total", "counter", "Requests that got a slot.", (double)metrics->n_requests},
        {"requests_refused_total", "counter", "Requests refused because the queue was full.",
         (double)metrics->n_refused},
        {"requests_timed_out_total", "counter", "Requests that waited too long for a slot.",
         (double)metrics->n_timed_out},
        {"requests_cancelled_total", "counter", "Requests whose client left.", (double)metrics->n_cancelled},
        {"requests_failed_total", "counter", "Requests that ended with an error of the engine.",
         (double)metrics->n_failed},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        tell(writer, rows[i].name, rows[i].type, rows[i].help, rows[i].value);
    tell_histogram(writer, "time_to_first_token_seconds", "From the request to its first token.",
                   &metrics->first_token);
    tell_histogram(writer, "inter_token_latency_seconds", "From one token to the next.", &metrics->between_tokens);
    tell_histogram(writer, "e2e_request_latency_seconds", "From the request to its last token.",
                   &metrics->whole_request);
}
