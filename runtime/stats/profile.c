/* profile.c - see profile.h. */
#include "runtime/stats/profile.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

static const char what[] = "a profile";

/* Pairs of n experts: (a, b), a < b, stand in rows of falling length, n (n - 1) / 2 in all. */
static size_t n_pairs_of(size_t n) { return n * (n - 1) / 2; }

static size_t pair_index(size_t n, size_t a, size_t b) { return a * (2 * n - a - 1) / 2 + b - a - 1; }

static void set_header(struct profile *profile, const char *fingerprint, int n_layers, int n_experts, int n_used)
{
    *profile = (struct profile){.n_layers = n_layers, .n_experts = n_experts, .n_used = n_used};
    memcpy(profile->fingerprint, fingerprint, sizeof profile->fingerprint);
}

static calmoe_status reserve(struct profiler *p)
{
    struct profile_domain *domain;
    const size_t           n_layers = (size_t)p->now.n_layers, n_experts = (size_t)p->now.n_experts;
    size_t                 n_scratch = PROFILER_SETS * PROFILER_SET;
    if (n_experts <= PROFILER_FULL_PAIRS) {
        n_scratch = n_pairs_of(n_experts);
        p->all_pairs = cm_alloc(p->ctx, n_layers * n_scratch, sizeof *p->all_pairs, what);
    } else {
        p->sets = cm_alloc(p->ctx, n_layers * n_scratch, sizeof *p->sets, what);
    }
    p->scratch = cm_alloc(p->ctx, n_scratch, sizeof *p->scratch, what);
    p->n_waiting = cm_alloc(p->ctx, n_layers, sizeof *p->n_waiting, what);
    p->row_bytes = sizeof(struct profiler_row) + (size_t)p->now.n_used * (sizeof(int32_t) + sizeof(float));
    p->rows = cm_alloc(p->ctx, n_layers * PROFILER_WAITING, p->row_bytes, what);
    if (!p->scratch || (!p->all_pairs && !p->sets) || !p->n_waiting || !p->rows) return CALMOE_NO_MEMORY;
    return cm_profile_add_domain(p->ctx, &p->now, "", &domain);
}

calmoe_status cm_profiler_open(struct calmoe_context *ctx, const char *fingerprint, int n_layers, int n_experts,
                               int n_used, struct profiler **out)
{
    *out = NULL;
    struct profiler *p = cm_alloc(ctx, 1, sizeof *p, what);
    if (!p) return CALMOE_NO_MEMORY;
    p->ctx = ctx;
    set_header(&p->now, fingerprint, n_layers, n_experts, n_used);
    set_header(&p->done, fingerprint, n_layers, n_experts, n_used);
    const calmoe_status status = reserve(p);
    if (status != CALMOE_OK) cm_profiler_close(&p);
    *out = p;
    return status;
}

void cm_profiler_close(struct profiler **profiler)
{
    struct profiler *p = *profiler;
    if (!p) return;
    cm_profile_close(&p->now);
    cm_profile_close(&p->done);
    cm_free(p->all_pairs);
    cm_free(p->sets);
    cm_free(p->scratch);
    cm_free(p->n_waiting);
    cm_free(p->rows);
    cm_free(p);
    *profiler = NULL;
}

/* ---- counting ---- */

static void count_in_set(struct profile_pair *set, int32_t a, int32_t b)
{
    struct profile_pair *least = set;
    for (int i = 0; i < PROFILER_SET; i++) {
        if (set[i].n_tokens > 0 && set[i].a == a && set[i].b == b) {
            set[i].n_tokens++;
            return;
        }
        if (set[i].n_tokens < least->n_tokens) least = &set[i];
    }
    if (least->n_tokens > 0 && --least->n_tokens > 0) return;
    *least = (struct profile_pair){a, b, 1};
}

static void count_pair(struct profiler *p, int layer, int32_t a, int32_t b)
{
    const size_t n = (size_t)p->now.n_experts;
    if (p->all_pairs) {
        p->all_pairs[(size_t)layer * n_pairs_of(n) + pair_index(n, (size_t)a, (size_t)b)]++;
        return;
    }
    const uint32_t hash = ((uint32_t)a * 1024u + (uint32_t)b) * 2654435761u;
    const size_t   set = (size_t)layer * PROFILER_SETS + (hash >> 22);
    count_in_set(p->sets + set * PROFILER_SET, a, b);
}

/* Bin k holds distances of 2^(k-1) + 1 to 2^k tokens; the last, all that is longer, and first uses. */
static int reuse_bin(int position, int32_t last_use)
{
    if (last_use < 1 || last_use > position) return PROFILE_REUSE_BINS - 1;
    const uint32_t distance = (uint32_t)(position + 1 - last_use);
    const int      bin = distance == 1 ? 0 : 32 - __builtin_clz(distance - 1);
    return bin < PROFILE_REUSE_BINS - 1 ? bin : PROFILE_REUSE_BINS - 1;
}

static struct profiler_row *row_of(const struct profiler *p, int layer, int i)
{
    const size_t at = (size_t)layer * PROFILER_WAITING + (size_t)i;
    return (struct profiler_row *)(void *)(p->rows + at * p->row_bytes); /* row_bytes: a multiple of 8 */
}

static float *weights_of(const struct profiler *p, struct profiler_row *row)
{
    return (float *)(void *)(row->experts + p->now.n_used);
}

static void count_row(struct profiler *p, int layer, struct profiler_row *row)
{
    struct profile_domain *domain = p->now.domains;
    const size_t           at = (size_t)layer * (size_t)p->now.n_experts;
    const float           *weights = weights_of(p, row);
    uint64_t              *reuse = domain->reuse + (size_t)layer * PROFILE_REUSE_BINS;
    if (layer == 0) domain->n_tokens++;
    domain->used[row->n]++;
    for (int i = 0; i < row->n; i++) {
        const int32_t expert = row->experts[i];
        const size_t  cell = at + (size_t)expert;
        domain->tokens[cell]++;
        domain->weights[cell] += (double)fabsf(weights[i]);
        reuse[reuse_bin(row->position, row->last_used[cell])]++;
        row->last_used[cell] = row->position + 1;
        for (int j = 0; j < i; j++)
            if (row->experts[j] < expert) count_pair(p, layer, row->experts[j], expert);
            else count_pair(p, layer, expert, row->experts[j]);
    }
}

static void flush_layer(struct profiler *p, int layer)
{
    for (int i = 0; i < p->n_waiting[layer]; i++) count_row(p, layer, row_of(p, layer, i));
    p->n_waiting[layer] = 0;
}

void cm_profiler_flush(struct profiler *p)
{
    for (int layer = 0; layer < p->now.n_layers; layer++) flush_layer(p, layer);
}

void cm_profiler_count(struct profiler *p, int layer, int position, const int32_t *experts, const float *weights,
                       int n, int32_t *last_used)
{
    struct profiler_row *row = row_of(p, layer, p->n_waiting[layer]);
    row->last_used = last_used;
    row->position = position;
    row->n = n;
    if (n > 0) { /* a layer without routed experts has no lists */
        memcpy(row->experts, experts, (size_t)n * sizeof *experts);
        memcpy(weights_of(p, row), weights, (size_t)n * sizeof *weights);
    }
    if (++p->n_waiting[layer] == PROFILER_WAITING) flush_layer(p, layer);
}

void cm_profiler_exit(struct profiler *p, int layer) { p->now.domains->exits[layer]++; }

/* ---- folding ---- */

static int gather_pairs(const struct profiler *p, int layer)
{
    const int n = p->now.n_experts;
    int       n_found = 0;
    if (p->all_pairs) {
        const uint64_t *counts = p->all_pairs + (size_t)layer * n_pairs_of((size_t)n);
        for (int32_t a = 0; a < n; a++)
            for (int32_t b = a + 1; b < n; b++, counts++)
                if (*counts > 0) p->scratch[n_found++] = (struct profile_pair){a, b, *counts};
    } else {
        const struct profile_pair *pairs = p->sets + (size_t)layer * PROFILER_SETS * PROFILER_SET;
        for (int i = 0; i < PROFILER_SETS * PROFILER_SET; i++)
            if (pairs[i].n_tokens > 0) p->scratch[n_found++] = pairs[i];
    }
    return cm_profile_trim_pairs(p->scratch, n_found);
}

static void clear(struct profiler *p)
{
    struct profile_domain *domain = p->now.domains;
    const size_t           n_layers = (size_t)p->now.n_layers, n_experts = (size_t)p->now.n_experts;
    domain->n_tokens = 0;
    domain->work = (struct profile_work){0};
    memset(domain->tokens, 0, n_layers * n_experts * sizeof *domain->tokens);
    memset(domain->weights, 0, n_layers * n_experts * sizeof *domain->weights);
    memset(domain->reuse, 0, n_layers * PROFILE_REUSE_BINS * sizeof *domain->reuse);
    memset(domain->exits, 0, n_layers * sizeof *domain->exits);
    memset(domain->used, 0, ((size_t)p->now.n_used + 1) * sizeof *domain->used);
    memset(domain->n_pairs, 0, n_layers * sizeof *domain->n_pairs);
    if (p->all_pairs) memset(p->all_pairs, 0, n_layers * n_pairs_of(n_experts) * sizeof *p->all_pairs);
    if (p->sets) memset(p->sets, 0, n_layers * PROFILER_SETS * PROFILER_SET * sizeof *p->sets);
}

calmoe_status cm_profiler_fold(struct profiler *p)
{
    struct profile_domain *domain = p->now.domains;
    cm_profiler_flush(p);
    if (domain->n_tokens == 0) return CALMOE_OK;
    for (int layer = 0; layer < p->now.n_layers; layer++) {
        const int n = gather_pairs(p, layer);
        if (n > 0)
            memcpy(domain->pairs + (size_t)layer * PROFILE_MAX_PAIRS, p->scratch, (size_t)n * sizeof *p->scratch);
        domain->n_pairs[layer] = n;
    }
    CM_TRY(cm_profile_merge(p->ctx, &p->done, &p->now));
    clear(p);
    return CALMOE_OK;
}

calmoe_status cm_profiler_begin(struct profiler *p, const char *domain)
{
    char *name = cm_copy_text(p->ctx, domain, strlen(domain));
    if (!name) return CALMOE_NO_MEMORY;
    const calmoe_status status = cm_profiler_fold(p);
    if (status != CALMOE_OK) {
        cm_free(name);
        return status;
    }
    cm_free(p->now.domains->name);
    p->now.domains->name = name;
    return CALMOE_OK;
}
