/* running.c - a model, an engine and a session, opened together. */
#include "tests/support/running.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/cpu.h"

void running_must(const calmoe_context *context, calmoe_status status)
{
    if (status != CALMOE_OK) fail_msg("%s: %s", calmoe_status_name(status), calmoe_context_message(context));
}

struct running running_open(const char *path, const calmoe_engine_options *engine,
                            const calmoe_session_options *session)
{
    struct running r = {0};
    calmoe_model_info info = {.size = sizeof info};
    running_must(NULL, calmoe_context_open(NULL, &r.context));
    running_must(r.context, calmoe_model_open(r.context, path, NULL, &r.model));
    running_must(r.context, calmoe_model_get_info(r.model, &info));
    running_must(r.context, calmoe_engine_open(r.model, engine, &r.engine));
    running_must(r.context, calmoe_session_open(r.engine, session, &r.session));
    r.n_vocab = info.n_vocab;
    return r;
}

void running_close(struct running *running)
{
    calmoe_session_close(&running->session);
    calmoe_engine_close(&running->engine);
    calmoe_model_close(&running->model);
    calmoe_context_close(&running->context);
}

calmoe_engine_options running_options(int n_threads, const char *isa)
{
    calmoe_engine_options options;
    calmoe_engine_options_init(&options);
    options.n_threads = n_threads;
    options.pin_threads = 0;
    options.fixed_threads = 1; /* a busy machine must not spare the others their turn */
    options.isa = isa;
    return options;
}

uint64_t running_smallest_limit(const char *path, calmoe_engine_options options)
{
    calmoe_context    *context;
    calmoe_model      *model;
    calmoe_engine     *engine;
    unsigned long long kib = 0;
    options.memory_limit = 1;
    running_must(NULL, calmoe_context_open(NULL, &context));
    running_must(context, calmoe_model_open(context, path, NULL, &model));
    assert_int_equal(calmoe_engine_open(model, &options, &engine), CALMOE_INVALID_ARGUMENT);
    const char *sentence = calmoe_context_message(context), *at = strstr(sentence, "may need at once; ");
    if (!at || sscanf(at, "may need at once; %lluKiB is the smallest that works", &kib) != 1)
        fail_msg("%s: %s", path, sentence);
    calmoe_model_close(&model);
    calmoe_context_close(&context);
    return kib * 1024;
}

void running_read(struct running *running, calmoe_session *session, const int32_t *tokens, int n, int n_chunk,
                  float *logits)
{
    for (int done = 0; done < n; done += n_chunk) {
        const int n_now = n - done < n_chunk ? n - done : n_chunk;
        const calmoe_chunk chunk = {session, tokens + done, n_now, CALMOE_LOGITS_ALL};
        running_must(running->context, calmoe_engine_step(running->engine, &chunk, 1));
        for (int row = 0; row < n_now; row++) {
            const float *from = calmoe_session_logits(session, row);
            assert_non_null(from);
            memcpy(logits + (size_t)(done + row) * (size_t)running->n_vocab, from,
                   (size_t)running->n_vocab * sizeof *logits);
        }
        assert_null(calmoe_session_logits(session, n_now));
    }
}

calmoe_policy *running_exits(struct running *running, const char *measure, float threshold, const int *layers,
                             int n_layers, const char *kv_fill, int max_pending)
{
    calmoe_policy_options options;
    calmoe_policy *policy = NULL;
    if (!measure) return NULL;
    calmoe_policy_options_init(&options);
    options.measure = measure;
    options.threshold = threshold;
    options.exit_layers = layers;
    options.n_exits = n_layers;
    options.kv_fill = kv_fill;
    options.max_pending = max_pending;
    running_must(running->context, calmoe_policy_make(running->model, &options, &policy));
    return policy;
}

calmoe_depth running_depth(const calmoe_session *session, int row)
{
    calmoe_depth depth = {.size = sizeof depth};
    const calmoe_status status = calmoe_session_depth(session, row, &depth);
    if (status != CALMOE_OK) fail_msg("row %d: %s", row, calmoe_status_name(status));
    return depth;
}

void running_same_depths(const calmoe_depth *a, const calmoe_depth *b, int n)
{
    for (int i = 0; i < n; i++) {
        assert_int_equal(a[i].layers, b[i].layers);
        assert_int_equal(a[i].experts, b[i].experts);
        assert_memory_equal(&a[i].confidence, &b[i].confidence, sizeof a[i].confidence);
    }
}

const char *running_isa(int i)
{
    for (int isa = 0; isa < ISA_COUNT; isa++) /* some between may be missing */
        if (cm_isa_is_supported((enum isa)isa) && i-- == 0) return cm_isa_name((enum isa)isa);
    return NULL;
}
