/* tests/support/adapter_fixture.h - what tests of adapters share: a text, a model of float32 keys and values, an
 * adapter that is opened or ends the test, paths in the folder of the test (folder_fixture.h). Behind cmocka.h. */
#ifndef TESTS_SUPPORT_ADAPTER_FIXTURE_H
#define TESTS_SUPPORT_ADAPTER_FIXTURE_H

#include <stdio.h>

#include <calmoe/adapter.h>

#include "base/random.h"
#include "tests/support/folder_fixture.h"
#include "tests/support/running.h"

enum { N_TOKENS = 23, MAX_VOCAB = 1024 };

static int32_t text[N_TOKENS];

static inline void make_text(int n_vocab, uint64_t seed)
{
    struct random random = cm_random(seed);
    assert_true(n_vocab <= MAX_VOCAB);
    for (int i = 0; i < N_TOKENS; i++) text[i] = (int32_t)cm_random_below(&random, (uint64_t)n_vocab);
}

static inline void in_folder(char path[600], const char *name) { snprintf(path, 600, "%s/%s", folder->path, name); }

static inline struct running open_model(const char *path, int n_threads, const char *isa)
{
    calmoe_engine_options options = running_options(n_threads, isa);
    options.kv_float32 = 1;
    return running_open(path, &options, NULL);
}

static inline calmoe_adapter *open_adapter(struct running *r, const char *path)
{
    calmoe_adapter *adapter;
    running_must(r->context, calmoe_adapter_open(r->engine, path, &adapter));
    return adapter;
}

#endif
