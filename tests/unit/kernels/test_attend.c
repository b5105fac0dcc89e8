/* test_attend.c - attention against a plain loop that follows the words of vector_ops.h operation by operation: the
 * same bits at every level, for any head size, number of queries at a time, and mix of positions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "kernels/half.h"
#include "kernels/vector_ops.h"
#include "tests/support/thin.h"

enum { MAX_HEAD = 192, MAX_QUERIES = 21, MAX_SPANS = 3, MAX_POSITIONS = MAX_SPANS * CM_ATTEND_SPAN };

struct sequence {
    enum kv_type type;
    int          head_size, value_size, n_positions, n_queries;
    int          seen[MAX_QUERIES];  /* each query attends first … seen - 1             */
    int          first[MAX_QUERIES];
    float        soft_cap;
    bool         are_rows;           /* keys lie as rows, and a value is the beginning of its key */
    bool         has_slopes;
    float        slopes[MAX_QUERIES];
    bool         has_sinks;
    float        sinks[MAX_QUERIES];
    float        queries[MAX_QUERIES][MAX_HEAD];
    float        k[MAX_POSITIONS][MAX_HEAD], v[MAX_POSITIONS][MAX_HEAD];
    _Alignas(64) float keys[MAX_POSITIONS * MAX_HEAD], values[MAX_POSITIONS * MAX_HEAD];
    size_t       span_bytes;
};

static struct sequence sequence;
static _Alignas(64) float parts[MAX_QUERIES * (CM_PART_SUMS + MAX_HEAD)];
static _Alignas(64) float whole[MAX_QUERIES * (CM_PART_SUMS + MAX_HEAD)];

static float stored(float x, enum kv_type type)
{
    return type == KV_F32 ? x : cm_float_of_half(cm_half_of_float(x));
}

/* e^x for x <= 0 as the lanes compute it, by attention itself: two positions with scores 0 and x and values 0 and 1 sum
 * to e^x. That it is e^x: test_vector_values.c. */
static float exp_of(const struct vector_ops *ops, float x)
{
    static _Alignas(64) float keys[CM_KV_BLOCK], values[2], part[CM_PART_SUMS + 16];
    const float one = 1.0f;
    const float *const queries[] = {&one};
    const int n = 2;
    keys[0] = 0.0f;
    keys[1] = x;
    values[1] = 1.0f;
    const struct attention_input in = {.keys = keys, .values = values, .type = KV_F32, .head_size = 1, .value_size = 1,
                                       .scale = 1.0f, .n_queries = 1, .queries = queries, .n_positions = &n};
    ops->attend_span(&in, 0, part, CM_PART_SUMS + 16);
    return part[CM_PART_SUMS];
}

static float tree(float *v)
{
    for (int step = 8; step >= 1; step /= 2)
        for (int i = 0; i < step; i++) v[i] += v[i + step];
    return v[0];
}

/* One query's part of one span; false: it attends none of it. */
static bool part_plainly(const struct sequence *s, int query, int span, float *part)
{
    static float w[CM_ATTEND_SPAN];
    const int first = span * CM_ATTEND_SPAN, left = s->seen[query] - first;
    const int begin = s->first[query] > first ? s->first[query] - first : 0;
    const int n = left < CM_ATTEND_SPAN ? left : CM_ATTEND_SPAN;
    const float scale = 1.0f / sqrtf((float)s->head_size);
    float sums[16] = {0};
    if (begin >= n) return false;
    part[0] = -INFINITY;
    for (int p = begin; p < n; p++) {
        float lanes[16] = {0}; /* one chain, or where keys lie as rows 16 */
        for (int d = 0; d < s->head_size; d++) {
            float *lane = &lanes[s->are_rows ? d % 16 : 0];
            *lane = fmaf(s->queries[query][d], stored(s->k[first + p][d], s->type), *lane);
        }
        w[p] = tree(lanes) * scale;
        if (s->soft_cap > 0.0f) cm_vector_ops(ISA_REF)->soft_cap(&w[p], s->soft_cap, 1);
        if (s->has_slopes) w[p] = fmaf(s->slopes[query], (float)(first + p - s->seen[query] + 1), w[p]);
        if (w[p] > part[0]) part[0] = w[p];
    }
    for (int p = begin; p < n; p++) {
        w[p] = exp_of(cm_vector_ops(ISA_REF), w[p] - part[0]);
        sums[p % 16] += w[p];
    }
    part[1] = tree(sums);
    for (int d = 0; d < s->value_size; d++) {
        float *sum = &part[CM_PART_SUMS + d];
        *sum = 0.0f;
        for (int p = begin; p < n; p++)
            *sum = fmaf(w[p], stored(s->are_rows ? s->k[first + p][d] : s->v[first + p][d], s->type), *sum);
    }
    return true;
}

static void merge_plainly(float *a, const float *b, int value_size)
{
    const struct vector_ops *ops = cm_vector_ops(ISA_REF);
    const float larger = b[0] > a[0] ? b[0] : a[0];
    const float keep = exp_of(ops, a[0] - larger), add = exp_of(ops, b[0] - larger);
    a[0] = larger;
    a[1] = fmaf(a[1], keep, b[1] * add);
    for (int d = CM_PART_SUMS; d < CM_PART_SUMS + value_size; d++) a[d] = fmaf(a[d], keep, b[d] * add);
}

static void attend_plainly(const struct sequence *s, int query, float *out)
{
    float sum[CM_PART_SUMS + MAX_HEAD], part[CM_PART_SUMS + MAX_HEAD];
    bool is_first = true;
    for (int span = 0; span < MAX_SPANS; span++) {
        if (!part_plainly(s, query, span, part)) continue;
        if (is_first) memcpy(sum, part, sizeof sum);
        else merge_plainly(sum, part, s->value_size);
        is_first = false;
    }
    if (s->has_sinks) {
        const float sink[CM_PART_SUMS + MAX_HEAD] = {s->sinks[query], 1.0f};
        merge_plainly(sum, sink, s->value_size);
    }
    for (int d = 0; d < s->value_size; d++) out[d] = sum[CM_PART_SUMS + d] / sum[1];
}

/* Queries [first, first + n) in one go. out: (n, value_size) */
static void attend_some(const struct vector_ops *ops, const struct sequence *s, int first, int n, float *out)
{
    const float *queries[MAX_QUERIES];
    const size_t stride = cm_part_floats(s->value_size);
    bool is_windowed = false;
    int begin, end;
    for (int i = 0; i < n; i++) {
        queries[i] = s->queries[first + i];
        is_windowed |= s->first[first + i] > 0;
    }
    const struct attention_input in = {.keys = s->are_rows ? NULL : s->keys, .values = s->values,
                                       .span_bytes = s->span_bytes,
                                       .type = s->type, .head_size = s->head_size, .value_size = s->value_size,
                                       .scale = 1.0f / sqrtf((float)s->head_size), .n_queries = n,
                                       .queries = queries, .n_positions = s->seen + first, .soft_cap = s->soft_cap,
                                       .first = is_windowed ? s->first + first : NULL,
                                       .slopes = s->has_slopes ? s->slopes + first : NULL};
    cm_attended_spans(&in, &begin, &end);
    for (int span = begin; span < end; span++) {
        float *to = span == begin ? whole : parts;
        ops->attend_span(&in, span, to, stride);
        cm_attend_take(ops, &in, span, to, whole, stride);
    }
    for (int i = 0; i < n; i++) {
        if (s->has_sinks) ops->attend_sink(whole + (size_t)i * stride, s->sinks[first + i], s->value_size);
        ops->attend_finish(whole + (size_t)i * stride, s->value_size, out + i * s->value_size);
    }
}

/* Puts all positions into the cache, from first_stored on. */
static void store(struct sequence *s, int first_stored)
{
    memset(s->keys, 0xff, sizeof s->keys); /* what nobody stored is NaN, and must not matter */
    memset(s->values, 0xff, sizeof s->values);
    s->span_bytes = CM_ATTEND_SPAN * MAX_HEAD * sizeof(float);
    for (int p = first_stored; p < s->n_positions; p++) {
        const size_t at = (size_t)(p / CM_ATTEND_SPAN) * s->span_bytes;
        uint8_t *values = (uint8_t *)s->values + at;
        if (s->are_rows)
            cm_vector_ops(ISA_REF)->store_kv(NULL, s->k[p], NULL, values, s->type, 0, s->head_size, p % CM_ATTEND_SPAN);
        else
            cm_vector_ops(ISA_REF)->store_kv(s->k[p], s->v[p], (uint8_t *)s->keys + at, values, s->type, s->head_size,
                                             s->value_size, p % CM_ATTEND_SPAN);
    }
}

/* Queries see all from position 0; no cap, no sinks, no slopes. */
static void fill(struct random *random, struct sequence *s)
{
    memset(s->first, 0, sizeof s->first);
    s->soft_cap = 0.0f;
    s->has_slopes = false;
    s->has_sinks = false;
    for (int p = 0; p < s->n_positions; p++)
        for (int d = 0; d < MAX_HEAD; d++) {
            s->k[p][d] = cm_random_normal(random);
            s->v[p][d] = cm_random_normal(random);
        }
    for (int i = 0; i < s->n_queries; i++)
        for (int d = 0; d < MAX_HEAD; d++) s->queries[i][d] = cm_random_normal(random) * (i % 3 == 2 ? 5.0f : 1.0f);
    store(s, 0);
}

/* All levels, and queries one by one, all at once, and in groups of every size between. */
static void check(const struct sequence *s)
{
    static float wanted[MAX_QUERIES * MAX_HEAD], found[MAX_QUERIES * MAX_HEAD];
    const size_t n_bytes = (size_t)(s->n_queries * s->value_size) * sizeof(float);
    static int n_checked;
    if (way_is_left_out(n_checked++, 4)) return;
    for (int i = 0; i < s->n_queries; i++) attend_plainly(s, i, wanted + i * s->value_size);
    for (int isa = 0; isa < ISA_COUNT; isa++)
        for (int n = 1; n <= s->n_queries && cm_isa_is_supported((enum isa)isa); n += n < 6 ? 1 : 5) {
            memset(found, 0xff, sizeof found);
            for (int first = 0; first < s->n_queries; first += n)
                attend_some(cm_vector_ops((enum isa)isa), s, first,
                            s->n_queries - first < n ? s->n_queries - first : n, found + first * s->value_size);
            if (memcmp(found, wanted, n_bytes))
                fail_msg("%s, %d at a time, heads of %d and %d, %d positions: other bits", cm_isa_name((enum isa)isa),
                         n, s->head_size, s->value_size, s->n_positions);
        }
}

static const int sizes[][2] = {{64, 64}, {80, 80}, {96, 96}, {128, 128}, {192, 128}, {5, 19}, {1, 1}};

/* A chunk of a prompt: each query sees one position more than the one before. */
static void chunks(void **state)
{
    (void)state;
    static const int lasts[] = {21, 33, 64, 65, 100, 200, 511, 512, 513, 530, 1030, 1536};
    struct random random = cm_random(11);
    struct sequence *s = &sequence;
    for (size_t size = 0; size < sizeof sizes / sizeof *sizes; size++)
        for (size_t i = size % 3; i < sizeof lasts / sizeof *lasts; i += 3) {
            s->type = (i + size) % 2 ? KV_F16 : KV_F32;
            s->head_size = sizes[size][0];
            s->value_size = sizes[size][1];
            s->n_positions = lasts[i];
            s->n_queries = MAX_QUERIES;
            fill(&random, s);
            for (int query = 0; query < s->n_queries; query++) s->seen[query] = lasts[i] - MAX_QUERIES + 1 + query;
            check(s);
        }
}

/* Heads that share keys: all see the same positions. */
static void shared_heads(void **state)
{
    (void)state;
    struct random random = cm_random(12);
    struct sequence *s = &sequence;
    static const int n_heads[] = {1, 3, 4, 8};
    for (int n = 1; n <= 200; n += n < 20 ? 1 : 13)
        for (int i = 0; i < 4; i++) {
            s->type = n % 2 ? KV_F16 : KV_F32;
            s->head_size = sizes[n % 4][0];
            s->value_size = sizes[n % 4][1];
            s->n_positions = n;
            s->n_queries = n_heads[i];
            fill(&random, s);
            for (int query = 0; query < s->n_queries; query++) s->seen[query] = n;
            s->has_slopes = n % 3 == 1;
            for (int query = 0; query < s->n_queries; query++) s->slopes[query] = 1.0f / (float)(2 << query);
            check(s);
        }
}

/* Latents: heads that share rows, of one position and of a chunk. */
static void rows(void **state)
{
    (void)state;
    static const int sizes_of_rows[][2] = {{192, 128}, {26, 20}, {28, 24}, {24, 16}, {5, 3}, {64, 64}};
    static const int lasts[] = {1, 5, 21, 64, 65, 130, 512, 530, 1030};
    struct random random = cm_random(15);
    struct sequence *s = &sequence;
    s->are_rows = true;
    for (size_t i = 0; i < sizeof lasts / sizeof *lasts; i++)
        for (size_t size = i % 2; size < sizeof sizes_of_rows / sizeof *sizes_of_rows; size += 2) {
            s->type = (i + size / 2) % 2 ? KV_F16 : KV_F32;
            s->head_size = sizes_of_rows[size][0];
            s->value_size = sizes_of_rows[size][1];
            s->n_positions = lasts[i];
            s->n_queries = 9;
            fill(&random, s);
            for (int query = 0; query < s->n_queries; query++)
                s->seen[query] = lasts[i] > 40 && size % 3 ? lasts[i] - 8 + query : lasts[i];
            check(s);
        }
    s->are_rows = false;
}

/* Queries that see nothing of a span stand beside others that do. */
static void far_apart(void **state)
{
    (void)state;
    struct random random = cm_random(13);
    struct sequence *s = &sequence;
    s->type = KV_F16;
    s->head_size = s->value_size = 64;
    s->n_positions = MAX_POSITIONS;
    s->n_queries = 7;
    fill(&random, s);
    const int seen[] = {1536, 3, 1025, 512, 513, 1024, 700};
    memcpy(s->seen, seen, sizeof seen);
    check(s);
}

/* Queries attend their last `window` positions; what lies before all windows was never stored. */
static void slide(struct sequence *s, int window)
{
    int earliest = s->n_positions;
    for (int i = 0; i < s->n_queries; i++) {
        s->first[i] = s->seen[i] > window ? s->seen[i] - window : 0;
        if (s->first[i] < earliest) earliest = s->first[i];
    }
    store(s, earliest);
}

/* Windows that begin and end anywhere in blocks and spans, of a chunk's queries and of heads that share keys; with
 * and without sinks and caps. */
static void windows(void **state)
{
    (void)state;
    static const int lasts[] = {21, 100, 511, 512, 513, 640, 700, 1030, 1536}, wide[] = {1, 2, 15, 64, 100, 128, 600};
    struct random random = cm_random(14);
    struct sequence *s = &sequence;
    int run = 0;
    for (size_t i = 0; i < sizeof lasts / sizeof *lasts; i++)
        for (size_t w = 0; w < sizeof wide / sizeof *wide; w++, run++) {
            s->type = run % 2 ? KV_F16 : KV_F32;
            s->head_size = sizes[run % 7][0];
            s->value_size = sizes[run % 7][1];
            s->n_positions = lasts[i];
            s->n_queries = 9;
            fill(&random, s);
            for (int query = 0; query < 9; query++) s->seen[query] = lasts[i] - (run % 3 ? 8 - query : 0);
            s->soft_cap = run % 4 == 1 ? 2.0f : 0.0f;
            s->has_sinks = run % 5 < 2;
            for (int query = 0; query < 9; query++) s->sinks[query] = 4.0f * cm_random_normal(&random);
            s->has_slopes = run % 3 == 0;
            for (int query = 0; query < 9; query++) s->slopes[query] = 1.0f / (float)(1 << query);
            slide(s, wide[w]);
            check(s);
        }
}

/* Windows of their own for each query: some begin where others end, some lie in other spans. */
static void unlike_windows(void **state)
{
    (void)state;
    struct random random = cm_random(15);
    struct sequence *s = &sequence;
    s->type = KV_F16;
    s->head_size = s->value_size = 64;
    s->n_positions = MAX_POSITIONS;
    s->n_queries = 8;
    for (int run = 0; run < 20; run++) {
        fill(&random, s);
        for (int i = 0; i < s->n_queries; i++) {
            s->seen[i] = 1 + (int)cm_random_below(&random, MAX_POSITIONS);
            s->first[i] = (int)cm_random_below(&random, (uint64_t)s->seen[i]);
        }
        if (run % 2) s->first[3] = 0;
        check(s);
    }
}

/* A large sink takes all, a small one nothing. */
static void sinks(void **state)
{
    (void)state;
    const float part[CM_PART_SUMS + 16] = {3.0f, 2.0f, [CM_PART_SUMS] = 8.0f, [CM_PART_SUMS + 1] = -6.0f};
    _Alignas(64) float merged[CM_PART_SUMS + 16];
    static const struct { float sink, out[2]; } cases[] = {
        {-INFINITY, {4.0f, -3.0f}}, {-200.0f, {4.0f, -3.0f}}, {3.0f, {8.0f / 3.0f, -2.0f}}, {200.0f, {0.0f, 0.0f}}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int isa = 0; isa < ISA_COUNT; isa++) {
            float out[2];
            if (!cm_isa_is_supported((enum isa)isa)) continue;
            memcpy(merged, part, sizeof merged);
            cm_vector_ops((enum isa)isa)->attend_sink(merged, cases[i].sink, 2);
            cm_vector_ops((enum isa)isa)->attend_finish(merged, 2, out);
            assert_true(out[0] == cases[i].out[0] && out[1] == cases[i].out[1]);
        }
}

/* Spans in front of every window are not asked for, nor those behind all queries. */
static void spans(void **state)
{
    (void)state;
    static const int first[] = {600, 1023, 512}, n_positions[] = {900, 1024, 513};
    struct attention_input in = {.n_queries = 1, .first = first, .n_positions = n_positions};
    int begin, end;
    cm_attended_spans(&in, &begin, &end);
    assert_int_equal(begin, 1);
    assert_int_equal(end, 2);
    in.n_queries = 3;
    cm_attended_spans(&in, &begin, &end);
    assert_int_equal(begin, 1);
    assert_int_equal(end, 2);
    in.n_positions = (const int[]){900, 1025, 513};
    cm_attended_spans(&in, &begin, &end);
    assert_int_equal(end, 3);
    in.first = NULL;
    cm_attended_spans(&in, &begin, &end);
    assert_int_equal(begin, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(chunks), cmocka_unit_test(shared_heads), cmocka_unit_test(rows),
                                       cmocka_unit_test(far_apart), cmocka_unit_test(windows),
                                       cmocka_unit_test(unlike_windows), cmocka_unit_test(sinks),
                                       cmocka_unit_test(spans)};
    return cmocka_run_group_tests_name("attend", tests, NULL, NULL);
}
