/* documents.c - see documents.h. */
#include "tests/support/documents.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <calmoe/calmoe.h>
#include <calmoe/trace.h>

#include "base/memory.h"
#include "runtime/documents/plan_file.h"
#include "runtime/documents/policy_file.h"
#include "runtime/documents/profile_file.h"

#define CHECK(condition) ((condition) ? (void)0 : abort())

static calmoe_status read_plan(calmoe_context *ctx, const uint8_t *bytes, size_t n_bytes)
{
    struct plan_file    file;
    const calmoe_status status = cm_plan_file_parse(ctx, "f", bytes, n_bytes, &file);
    const struct plan  *plan = &file.plan;
    const struct plan   shape = *plan;
    if (status == CALMOE_OK) {
        CHECK(strlen(file.fingerprint) == 16);
        CHECK(plan->n_nodes >= 1 && plan->n_nodes <= PLAN_MAX_NODES);
        CHECK(plan->n_layers >= 1 && plan->n_layers <= PLAN_MAX_LAYERS);
        CHECK(plan->n_experts >= 1 && plan->n_experts <= PLAN_MAX_EXPERTS);
        CHECK(cm_plan_check(NULL, plan, &shape) == CALMOE_OK);
    }
    cm_plan_file_close(&file);
    return status;
}

/* A profile merges into an empty one and gives the same counts. */
static void check_profile(const struct profile *profile)
{
    struct profile sum = *profile;
    const size_t   n = (size_t)profile->n_layers * (size_t)profile->n_experts;
    uint64_t      *counts = calloc(2 * n, sizeof *counts);
    CHECK(counts != NULL && strlen(profile->fingerprint) == 16 && profile->n_domains > 0);
    sum.n_domains = 0;
    sum.domains = NULL;
    CHECK(cm_profile_merge(NULL, &sum, profile) == CALMOE_OK && sum.n_domains == profile->n_domains);
    CHECK(cm_profile_counts(NULL, profile, NULL, counts) == CALMOE_OK);
    CHECK(cm_profile_counts(NULL, &sum, NULL, counts + n) == CALMOE_OK);
    CHECK(memcmp(counts, counts + n, n * sizeof *counts) == 0);
    cm_profile_close(&sum);
    free(counts);
}

static calmoe_status read_profile(calmoe_context *ctx, const uint8_t *bytes, size_t n_bytes)
{
    struct profile      profile;
    const calmoe_status status = cm_profile_parse(ctx, "f", bytes, n_bytes, &profile);
    if (status == CALMOE_OK) check_profile(&profile);
    cm_profile_close(&profile);
    return status;
}

static calmoe_status read_policy(calmoe_context *ctx, const uint8_t *bytes, size_t n_bytes)
{
    struct policy       policy;
    const calmoe_status status = cm_policy_file_parse(ctx, "f", bytes, n_bytes, &policy);
    if (status == CALMOE_OK) CHECK(cm_policy_check(NULL, &policy) == CALMOE_OK && strlen(policy.fingerprint) == 16);
    cm_policy_close(&policy);
    return status;
}

/* All tokens; END, which is the end of a good trace, as OK. */
static calmoe_status read_tokens(calmoe_trace_reader *reader)
{
    calmoe_trace_info  info = {.size = sizeof info};
    calmoe_trace_token token;
    calmoe_status      status;
    CHECK(calmoe_trace_reader_get_info(reader, &info) == CALMOE_OK);
    CHECK(info.n_layers > 0 && info.n_used > 0 && info.n_used <= info.n_experts);
    while ((status = calmoe_trace_reader_next(reader, &token)) == CALMOE_OK)
        for (int i = 0; i < info.n_layers * info.n_used; i++) { /* -1 in the whole of a dense layer */
            const bool is_dense = token.experts[i / info.n_used * info.n_used] < 0;
            CHECK(is_dense ? token.experts[i] == -1 : token.experts[i] >= 0 && token.experts[i] < info.n_experts);
            CHECK(isfinite(token.weights[i]));
        }
    return status == CALMOE_END ? CALMOE_OK : status;
}

/* A trace is read from files only, so the bytes become one in memory. */
static calmoe_status read_trace(calmoe_context *ctx, const uint8_t *bytes, size_t n_bytes)
{
    char                 path[32];
    calmoe_trace_reader *reader;
    const int            file = memfd_create("trace", MFD_CLOEXEC);
    CHECK(file >= 0 && write(file, bytes, n_bytes) == (ssize_t)n_bytes);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    calmoe_status status = calmoe_trace_reader_open(ctx, path, &reader);
    CHECK((status == CALMOE_OK) == (reader != NULL));
    if (status == CALMOE_OK) status = read_tokens(reader);
    calmoe_trace_reader_close(&reader);
    close(file);
    return status;
}

calmoe_status document_read(int kind, const uint8_t *bytes, size_t n_bytes)
{
    static calmoe_status (*const readers[N_DOCUMENTS])(calmoe_context *, const uint8_t *, size_t) = {
        [DOCUMENT_PLAN] = read_plan, [DOCUMENT_PROFILE] = read_profile, [DOCUMENT_POLICY] = read_policy,
        [DOCUMENT_TRACE] = read_trace};
    const long            n_live = cm_live_blocks();
    struct calmoe_context ctx = {0};
    const calmoe_status   status = readers[kind](&ctx, bytes, n_bytes);
    CHECK((status == CALMOE_OK) == (ctx.message[0] == '\0'));
    CHECK(status == CALMOE_OK || status == CALMOE_BAD_FILE || (kind == DOCUMENT_TRACE && status == CALMOE_UNSUPPORTED));
    CHECK(cm_live_blocks() == n_live);
    return status;
}
