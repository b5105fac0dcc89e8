/* tools/serve/job.c - see job.h. */
#include "tools/serve/job.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct job *cm_job_open(void)
{
    struct job        *job = calloc(1, sizeof *job);
    pthread_condattr_t monotonic;
    if (job == NULL) return NULL;
    if (calmoe_context_open(NULL, &job->context) != CALMOE_OK) {
        free(job);
        return NULL;
    }
    calmoe_sampler_options_init(&job->want.sampler);
    job->want.max_tokens = -1;
    job->want.n_top      = JOB_NO_LOGPROBS;
    job->want.uses_cache = true;
    job->want.slot       = -1;
    job->want.quality    = -1.0;
    job->figures.slot    = -1;
    job->figures.stop    = -1;
    job->figures.rung    = -1;
    job->n_holders       = 1;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&job->changed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    return job;
}

void cm_job_free(struct job *job)
{
    free(job->want.tokens);
    free((void *)(uintptr_t)job->want.sampler.bias_tokens);
    free((void *)(uintptr_t)job->want.sampler.biases);
    calmoe_stops_close(&job->want.stops);
    calmoe_constraint_close(&job->constraint);
    calmoe_context_close(&job->context);
    cm_bytes_close(&job->want.stop_texts);
    cm_bytes_close(&job->out);
    (void)pthread_cond_destroy(&job->changed);
    free(job);
}

const char *cm_job_stop_text(const struct job *job)
{
    const char *text = job->want.stop_texts.at;
    if (job->figures.stop < 0) return NULL;
    for (int i = 0; i < job->figures.stop; i++) text += strlen(text) + 1;
    return text;
}

bool cm_job_next_record(const struct bytes *bytes, size_t *at, struct job_record *record)
{
    if (*at >= bytes->n) return false;
    const char *from = bytes->at + *at;
    memcpy(&record->token, from, sizeof record->token);
    record->text    = from + sizeof record->token;
    record->top     = record->text + record->token.n_text;
    record->routing = record->top + (size_t)record->token.n_top * sizeof(struct job_top);
    *at += (size_t)(record->routing - from) + (size_t)record->token.n_routing * sizeof(int16_t);
    return true;
}
