/* tests/support/running.h - a model, an engine and a session, opened together; and logits as plain arrays. What
 * should not fail but does ends the test with the context's sentence. */
#ifndef TESTS_SUPPORT_RUNNING_H
#define TESTS_SUPPORT_RUNNING_H

#include <calmoe/calmoe.h>

struct running {
    calmoe_context *context;
    calmoe_model   *model;
    calmoe_engine  *engine;
    calmoe_session *session;
    int             n_vocab;
};

/* Fails the test unless status is OK; prints the sentence. */
void running_must(const calmoe_context *context, calmoe_status status);

/* engine and session options may be NULL. */
struct running running_open(const char *path, const calmoe_engine_options *engine,
                            const calmoe_session_options *session);
void           running_close(struct running *running);

/* The defaults with `n_threads` threads that are not pinned, and that level of instructions (NULL: the best). */
calmoe_engine_options running_options(int n_threads, const char *isa);

/* The smallest memory limit that such an engine would take, out of the sentence that refuses one byte. */
uint64_t running_smallest_limit(const char *path, calmoe_engine_options options);

/* Steps through the tokens in chunks of at most n_chunk and writes all their logits, (n, n_vocab). */
void running_read(struct running *running, calmoe_session *session, const int32_t *tokens, int n, int n_chunk,
                  float *logits);

/* How row `row` of the session's last step was computed, -1 = the last row. */
calmoe_depth running_depth(const calmoe_session *session, int row);
/* Fails the test unless the n depths of both are the same. */
void         running_same_depths(const calmoe_depth *a, const calmoe_depth *b, int n);

/* Leaves after one of the layers where `measure` reaches the threshold; NULL where measure is NULL. kv_fill NULL and
 * max_pending 0: the defaults. */
calmoe_policy *running_exits(struct running *running, const char *measure, float threshold, const int *layers,
                             int n_layers, const char *kv_fill, int max_pending);

/* Every level of instructions that this machine supports, plain C first: name i, NULL past the last. */
const char *running_isa(int i);

#endif
