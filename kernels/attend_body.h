/* kernels/attend_body.h - the cache of keys and values and attention over it, on sixteen lanes; the second half of
 * vector_body.h, which includes it. What is computed, and in which order: kernels/vector_ops.h.
 *
 * For scores, lanes are positions (the position is the fastest index of the keys), and each lane runs over the elements
 * of the head. If keys lie as rows instead, lanes are elements of the head, and the lanes are added up at the end. For
 * sums of values, lanes are elements of the value, and each lane runs over the positions. Both are computed in tiles of
 * a few queries by a few vectors, held in registers: a key or value is loaded and widened once for all queries of a
 * tile, and stays in the nearest cache for the following tiles. The tile into which an output falls does not change its
 * chain of operations. */
#ifndef KERNELS_ATTEND_BODY_H
#define KERNELS_ATTEND_BODY_H

#include "kernels/unroll.h"

enum {
    TILE_QUERIES = 4,
    SCORED_QUERIES = 16 /* queries whose scores are kept at a time */
};

/* Where element d of a position's key is stored: in blocks of 64 positions, transposed. */
static inline size_t key_index(int head_size, int position, int d)
{
    const size_t block = (size_t)(position / CM_KV_BLOCK), within = (size_t)(position % CM_KV_BLOCK);
    return (block * (size_t)head_size + (size_t)d) * CM_KV_BLOCK + within;
}

/* The largest finite float16. Larger values are clamped to it, since an overflow must not become an infinity that
 * spoils later sums. */
static inline void store_halves(uint16_t *p, lanes x, int n)
{
    const lanes largest = lanes_set(65504.0f), smallest = lanes_set(-65504.0f);
    lanes_store_half(p, lanes_max(smallest, lanes_min(largest, x)), n);
}

static void store_kv(const float *k, const float *v, void *keys, void *values, enum kv_type type,
                     int head_size, int value_size, int position)
{
    const size_t first = (size_t)position * (size_t)value_size;
    if (type == KV_F32) {
        for (int d = 0; d < head_size; d++) ((float *)keys)[key_index(head_size, position, d)] = k[d];
        for (int d = 0; d < value_size; d++) ((float *)values)[first + (size_t)d] = v[d];
        return;
    }
    for (int d = 0; d < head_size; d += 16) {
        const int n = least(16, head_size - d);
        uint16_t halves[16], *to = (uint16_t *)keys + key_index(head_size, position, d);
        store_halves(halves, load_up_to(k + d, n, 0.0f), n);
        for (int i = 0; i < n; i++) to[(size_t)i * CM_KV_BLOCK] = halves[i];
    }
    for (int d = 0; d < value_size; d += 16) {
        const int n = least(16, value_size - d);
        store_halves((uint16_t *)values + first + (size_t)d, load_up_to(v + d, n, 0.0f), n);
    }
}

/* Cache elements [at, at + n) as lanes; n <= 16. */
CM_INLINE lanes load_cached(const void *cache, enum kv_type type, size_t at, int n)
{
    if (type == KV_F32) return load_up_to((const float *)cache + at, n, 0.0f);
    const uint16_t *p = (const uint16_t *)cache + at;
    return n >= 16 ? lanes_load_half(p) : lanes_load_half_part(p, n);
}

/* Prefetches cache elements [at, at + n). With several queries, a CPU computes too long between loads to run ahead on
 * its own. It is a hint, so it may point past the end. */
CM_INLINE void fetch_cached(const void *cache, enum kv_type type, size_t at, size_t n)
{
    const size_t size = type == KV_F32 ? sizeof(float) : sizeof(uint16_t);
    for (size_t i = 0; i < n * size; i += 64) __builtin_prefetch((const void *)((uintptr_t)cache + at * size + i));
}

/* scores[q][within + 0 … 16 n_lanes) of n_queries queries and one block of positions. */
CM_INLINE void score_tile(const struct attention_input *in, enum kv_type type, int query, int n_queries,
                                 int n_lanes, bool fetches, int block, int within,
                                 float (*scores)[CM_ATTEND_SPAN])
{
    lanes sums[TILE_QUERIES][CM_KV_BLOCK / 16];
    const float *q[TILE_QUERIES];
    CM_UNROLL for (int i = 0; i < n_queries; i++) {
        q[i] = in->queries[query + i];
        CM_UNROLL for (int l = 0; l < n_lanes; l++) sums[i][l] = lanes_set(0.0f);
    }
    const size_t ahead = (size_t)in->head_size * CM_KV_BLOCK;
    size_t at = key_index(in->head_size, block * CM_KV_BLOCK + within, 0);
    for (int d = 0; d < in->head_size; d++, at += CM_KV_BLOCK) {
        if (fetches) fetch_cached(in->keys, type, at + ahead, 16 * (size_t)n_lanes);
        lanes keys[CM_KV_BLOCK / 16];
        CM_UNROLL for (int l = 0; l < n_lanes; l++)
            keys[l] = load_cached(in->keys, type, at + 16 * (size_t)l, 16);
        CM_UNROLL for (int i = 0; i < n_queries; i++) {
            const lanes x = lanes_set(q[i][d]);
            CM_UNROLL for (int l = 0; l < n_lanes; l++) sums[i][l] = lanes_fma(x, keys[l], sums[i][l]);
        }
    }
    const lanes scale = lanes_set(in->scale);
    const int to = block * CM_KV_BLOCK + within;
    CM_UNROLL for (int i = 0; i < n_queries; i++)
        CM_UNROLL for (int l = 0; l < n_lanes; l++)
            lanes_store(scores[i] + to + 16 * l, lanes_mul(sums[i][l], scale));
}

/* A whole block for a tile of n_queries, 1 … TILE_QUERIES. */
CM_INLINE void score_block(const struct attention_input *in, enum kv_type type, int query, int n_queries,
                                  int block, float (*scores)[CM_ATTEND_SPAN])
{
#define SCORE_CASE(n)                                                                       \
    case n:                                                                                 \
        for (int within = 0; within < CM_KV_BLOCK; within += 16 * SCORE_LANES(n))           \
            score_tile(in, type, query, n, SCORE_LANES(n), (n) > 1, block, within, scores); \
        break;
    switch (n_queries) { SCORE_CASE(1) SCORE_CASE(2) SCORE_CASE(3) SCORE_CASE(4) }
#undef SCORE_CASE
}

/* Elements d … d + n of n_positions keys that lie as rows, and of the queries: products added to the sums' lanes. */
CM_INLINE void add_products(const struct attention_input *in, enum kv_type type, int query, int n_queries,
                                   int n_positions, int position, int d, int n, lanes (*sums)[CM_KV_BLOCK / 16])
{
    lanes keys[CM_KV_BLOCK / 16];
    const size_t width = (size_t)in->head_size, at = (size_t)position * width + (size_t)d;
    CM_UNROLL for (int l = 0; l < n_positions; l++)
        keys[l] = load_cached(in->values, type, at + (size_t)l * width, n);
    CM_UNROLL for (int i = 0; i < n_queries; i++) {
        const lanes x = load_up_to(in->queries[query + i] + d, n, 0.0f);
        CM_UNROLL for (int l = 0; l < n_positions; l++) sums[i][l] = lanes_fma(x, keys[l], sums[i][l]);
    }
}

/* out[i] = lanes_sum(x[i]) * scale */
CM_INLINE void store_four_sums(const lanes x[4], float scale, float *out)
{
#if defined(CM_SUMS_FOUR) /* four sums together, with fewer instructions than one by one */
    lanes_sum_four(x, scale, out);
#else
    CM_UNROLL for (int i = 0; i < 4; i++) out[i] = lanes_sum(x[i]) * scale;
#endif
}

/* scores[q][position … position + n_positions) of keys that lie as rows. */
CM_INLINE void score_rows_tile(const struct attention_input *in, enum kv_type type, int query, int n_queries,
                                      int n_positions, int position, float (*scores)[CM_ATTEND_SPAN])
{
    lanes sums[TILE_QUERIES][CM_KV_BLOCK / 16];
    int d = 0;
    CM_UNROLL for (int i = 0; i < n_queries; i++)
        CM_UNROLL for (int l = 0; l < n_positions; l++) sums[i][l] = lanes_set(0.0f);
    for (; d + 16 <= in->head_size; d += 16)
        add_products(in, type, query, n_queries, n_positions, position, d, 16, sums);
    if (d < in->head_size)
        add_products(in, type, query, n_queries, n_positions, position, d, in->head_size - d, sums);
    CM_UNROLL for (int i = 0; i < n_queries; i++) {
        if (n_positions == 4) store_four_sums(sums[i], in->scale, scores[i] + position);
        else
            CM_UNROLL for (int l = 0; l < n_positions; l++) scores[i][position + l] = lanes_sum(sums[i][l]) * in->scale;
    }
}

/* Prefetches elements [d, d + n) of as many keys as a tile takes, one block after position. */
CM_INLINE void fetch_rows(const struct attention_input *in, enum kv_type type, int n_positions, int position, int d,
                          int n)
{
    const size_t width = (size_t)in->head_size;
    for (size_t l = 0; l < (size_t)n_positions; l++)
        fetch_cached(in->values, type, ((size_t)(position + CM_KV_BLOCK) + l) * width + (size_t)d, (size_t)n);
}

/* Computes scores of positions [begin, end) of keys that lie as rows, for a tile of n_queries, 1 … TILE_QUERIES.
 * Meanwhile it prefetches elements [d, d + n_elements) of the next block's keys; the tiles of a block share that
 * work. */
CM_INLINE void score_rows(const struct attention_input *in, enum kv_type type, int query, int n_queries, int begin,
                                 int end, int d, int n_elements, float (*scores)[CM_ATTEND_SPAN])
{
    int p = begin;
#define SCORE_CASE(n)                                                                               \
    case n:                                                                                         \
        for (; p + SCORE_LANES(n) <= end; p += SCORE_LANES(n)) {                                    \
            fetch_rows(in, type, SCORE_LANES(n), p, d, n_elements);                                 \
            score_rows_tile(in, type, query, n, SCORE_LANES(n), p, scores);                         \
        }                                                                                           \
        for (; p < end; p++) score_rows_tile(in, type, query, n, 1, p, scores);                     \
        break;
    switch (n_queries) { SCORE_CASE(1) SCORE_CASE(2) SCORE_CASE(3) SCORE_CASE(4) }
#undef SCORE_CASE
}

/* The number of elements between two positions' values. */
CM_INLINE size_t value_stride(const struct attention_input *in)
{
    return (size_t)(in->keys ? in->value_size : in->head_size);
}

/* sums[q][d + 0 … 16 n_lanes) += weights[q][p] v_p for positions p of the span, [begin, end) ascending; only the first
 * n_elements of the last vector are there. */
CM_INLINE void value_tile(const struct attention_input *in, enum kv_type type, int n_queries,
                                 int n_lanes, bool fetches, int d, int n_elements, int begin, int end,
                                 const float (*weights)[CM_ATTEND_SPAN], float *const *sums)
{
    lanes s[TILE_QUERIES][VALUE_LANES(1)];
    CM_UNROLL for (int i = 0; i < n_queries; i++)
        CM_UNROLL for (int l = 0; l < n_lanes; l++) s[i][l] = lanes_load(sums[i] + d + 16 * l);
    const size_t width = value_stride(in);
    size_t at = (size_t)begin * width + (size_t)d;
    for (int p = begin; p < end; p++, at += width) {
        if (fetches) fetch_cached(in->values, type, at + CM_KV_BLOCK * width, 16 * (size_t)n_lanes);
        lanes w[TILE_QUERIES];
        CM_UNROLL for (int i = 0; i < n_queries; i++) w[i] = lanes_set(weights[i][p]);
        CM_UNROLL for (int l = 0; l < n_lanes; l++) {
            const lanes v = load_cached(in->values, type, at + 16 * (size_t)l, n_lanes > 1 ? 16 : n_elements);
            CM_UNROLL for (int i = 0; i < n_queries; i++) s[i][l] = lanes_fma(w[i], v, s[i][l]);
        }
    }
    CM_UNROLL for (int i = 0; i < n_queries; i++)
        CM_UNROLL for (int l = 0; l < n_lanes; l++) lanes_store(sums[i] + d + 16 * l, s[i][l]);
}

/* The same for all elements of the value. */
CM_INLINE void value_row(const struct attention_input *in, enum kv_type type, int n_queries,
                                int n_lanes, int begin, int end, const float (*weights)[CM_ATTEND_SPAN],
                                float *const *sums)
{
    int d = 0;
    for (; d + 16 * n_lanes <= in->value_size; d += 16 * n_lanes)
        value_tile(in, type, n_queries, n_lanes, n_queries > 1, d, 16, begin, end, weights, sums);
    for (; d + 16 <= in->value_size; d += 16)
        value_tile(in, type, n_queries, 1, false, d, 16, begin, end, weights, sums);
    if (d < in->value_size)
        value_tile(in, type, n_queries, 1, false, d, in->value_size - d, begin, end, weights, sums);
}

CM_INLINE void value_block(const struct attention_input *in, enum kv_type type, int n_queries,
                                  int begin, int end, const float (*weights)[CM_ATTEND_SPAN], float *const *sums)
{
#define VALUE_CASE(n) \
    case n: value_row(in, type, n, VALUE_LANES(n), begin, end, weights, sums); break;
    switch (n_queries) { VALUE_CASE(1) VALUE_CASE(2) VALUE_CASE(3) VALUE_CASE(4) }
#undef VALUE_CASE
}

/* The same of one query. */
static __attribute__((noinline)) void value_alone(const struct attention_input *in, enum kv_type type, int begin,
                                                  int end, const float (*weights)[CM_ATTEND_SPAN], float *const *sums)
{
    if (type == KV_F32) value_row(in, KV_F32, 1, VALUE_LANES(1), begin, end, weights, sums);
    else value_row(in, KV_F16, 1, VALUE_LANES(1), begin, end, weights, sums);
}

/* Replaces the scores of positions [begin, end) of the span by exp(score - largest), and sets 0 on both sides up to
 * multiples of 16; part gets largest and total. */
static void exponentials(float *scores, int begin, int end, float *part)
{
    const int first = begin / 16 * 16;
    for (int p = first; p < begin; p++) scores[p] = -INFINITY;
    lanes top = lanes_set(-INFINITY), total = lanes_set(0.0f);
    for (int p = first; p < end; p += 16) top = lanes_max(load_up_to(scores + p, end - p, -INFINITY), top);
    const float largest = lanes_largest(top);
    for (int p = first; p < end; p += 16) {
        const lanes e = lanes_exp(lanes_sub(load_up_to(scores + p, end - p, -INFINITY), lanes_set(largest)));
        total = lanes_add(total, e);
        lanes_store(scores + p, e);
    }
    part[0] = largest;
    part[1] = lanes_sum(total);
}

/* scores[0 … n) += slope * distance. `distance` belongs to the first score, and grows by one from score to score. */
static void add_slope(float *scores, float slope, int first_distance, int n)
{
    static const float steps[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for (int i = 0; i < n; i += 16) {
        const int m = least(16, n - i);
        const lanes distances = lanes_add(lanes_set((float)(first_distance + i)), lanes_load(steps));
        store_up_to(scores + i, lanes_fma(lanes_set(slope), distances, load_up_to(scores + i, m, 0.0f)), m);
    }
}

struct positions { int begin, end; }; /* of the span; empty if begin >= end */

/* The positions of [begin, end) that the query attends. has_first: in->first is not NULL; the compiler knows it, so
 * that attention without windows becomes separate code. */
CM_INLINE struct positions attended(const struct attention_input *in, bool has_first, int query, int span, int begin,
                                    int end)
{
    const int span_begin = span * CM_ATTEND_SPAN;
    const int last = in->n_positions[query] - span_begin;
    struct positions own = {begin, least(last, end)};
    if (has_first && in->first[query] - span_begin > begin) own.begin = in->first[query] - span_begin;
    return own;
}

/* sums += weights v for positions [begin, end) of the span that each query of the tile attends: positions that all of
 * them attend are done together, those before and after one query at a time. */
CM_INLINE void add_values(const struct attention_input *in, enum kv_type type, bool has_first, int span, int query,
                                 int n_queries, int begin, int end, const float (*weights)[CM_ATTEND_SPAN],
                                 float *parts, size_t stride)
{
    float *sums[TILE_QUERIES];
    struct positions own[TILE_QUERIES], common = {begin, end};
    for (int i = 0; i < n_queries; i++) {
        sums[i] = parts + (size_t)(query + i) * stride + CM_PART_SUMS;
        own[i] = attended(in, has_first, query + i, span, begin, end);
        if (own[i].begin > common.begin) common.begin = own[i].begin;
        if (own[i].end < common.end) common.end = own[i].end;
    }
    if (common.begin >= common.end) common.begin = common.end = has_first ? end : begin;
    for (int i = 0; has_first && i < n_queries; i++) {
        const int before = least(own[i].end, common.begin);
        if (own[i].begin < before) value_alone(in, type, own[i].begin, before, weights + i, sums + i);
    }
    if (common.begin < common.end) value_block(in, type, n_queries, common.begin, common.end, weights, sums);
    for (int i = 0; i < n_queries; i++)
        if (common.end < own[i].end)
            value_row(in, type, 1, VALUE_LANES(1), common.end, own[i].end, weights + i, sums + i);
}

/* Forms of attention, known to the compiler, so that each becomes separate code. */
enum attend_form {
    ALL_POSITIONS, /* in->first is NULL                          */
    WINDOWED,      /* it is not                                  */
    KEYS_AS_ROWS   /* in->keys is NULL, and in->first too        */
};

/* Computes the parts of queries [query, query + n), n <= SCORED_QUERIES, for one span. */
CM_INLINE void attend_queries(const struct attention_input *in, enum kv_type type, enum attend_form form, int span,
                                     int query, int n, float *parts, size_t stride)
{
    _Alignas(64) float scores[SCORED_QUERIES][CM_ATTEND_SPAN];
    const bool has_first = form == WINDOWED;
    int first = CM_ATTEND_SPAN, end = 0; /* of the positions that any query attends */
    for (int i = 0; i < n; i++) {
        const struct positions own = attended(in, has_first, query + i, span, 0, CM_ATTEND_SPAN);
        if (own.begin >= own.end) continue;
        first = least(first, own.begin);
        if (own.end > end) end = own.end;
    }
    first = first / CM_KV_BLOCK * CM_KV_BLOCK;
    for (int at = first; at < end; at += CM_KV_BLOCK)
        for (int i = 0; i < n; i += TILE_QUERIES) {
            const int n_tile = least(TILE_QUERIES, n - i);
            if (form == KEYS_AS_ROWS)
                score_rows(in, type, query + i, n_tile, at, least(at + CM_KV_BLOCK, end), in->head_size * i / n,
                           in->head_size * n_tile / n, scores + i);
            else score_block(in, type, query + i, n_tile, at / CM_KV_BLOCK, scores + i);
        }
    for (int i = 0; i < n; i++) {
        float *part = parts + (size_t)(query + i) * stride;
        const struct positions own = attended(in, has_first, query + i, span, 0, CM_ATTEND_SPAN);
        if (own.begin < own.end && in->soft_cap > 0.0f)
            soft_cap(scores[i] + own.begin, in->soft_cap, own.end - own.begin);
        if (own.begin < own.end && in->slopes)
            add_slope(scores[i] + own.begin, in->slopes[query + i],
                      span * CM_ATTEND_SPAN + own.begin - (in->n_positions[query + i] - 1), own.end - own.begin);
        if (own.begin < own.end) exponentials(scores[i], own.begin, own.end, part);
        for (int d = 0; d < in->value_size; d += 16) lanes_store(part + CM_PART_SUMS + d, lanes_set(0.0f));
    }
    for (int at = first; at < end; at += CM_KV_BLOCK)
        for (int i = 0; i < n; i += TILE_QUERIES)
            add_values(in, type, has_first, span, query + i, least(TILE_QUERIES, n - i), at,
                       least(at + CM_KV_BLOCK, end), (const float(*)[CM_ATTEND_SPAN])(scores + i), parts, stride);
}

CM_FORM void attend_all(const struct attention_input *in, enum kv_type type, enum attend_form form, int span,
                          float *parts, size_t stride)
{
    for (int query = 0; query < in->n_queries; query += SCORED_QUERIES)
        attend_queries(in, type, form, span, query, least(SCORED_QUERIES, in->n_queries - query), parts, stride);
}

static void attend_half(const struct attention_input *in, int span, float *parts, size_t stride)
{
    if (!in->keys) attend_all(in, KV_F16, KEYS_AS_ROWS, span, parts, stride);
    else if (in->first) attend_all(in, KV_F16, WINDOWED, span, parts, stride);
    else attend_all(in, KV_F16, ALL_POSITIONS, span, parts, stride);
}

static void attend_float(const struct attention_input *in, int span, float *parts, size_t stride)
{
    if (!in->keys) attend_all(in, KV_F32, KEYS_AS_ROWS, span, parts, stride);
    else if (in->first) attend_all(in, KV_F32, WINDOWED, span, parts, stride);
    else attend_all(in, KV_F32, ALL_POSITIONS, span, parts, stride);
}

static void attend_span(const struct attention_input *in, int span, float *parts, size_t stride)
{
    struct attention_input here = *in; /* keys and values of this span */
    if (in->keys) here.keys = (const uint8_t *)in->keys + (size_t)span * in->span_bytes;
    here.values = (const uint8_t *)in->values + (size_t)span * in->span_bytes;
    if (in->type == KV_F32) attend_float(&here, span, parts, stride);
    else attend_half(&here, span, parts, stride);
}

/* e^(x - y) as the lanes compute it. */
static inline lanes exp_difference(float x, float y) { return lanes_exp(lanes_set(x - y)); }

static void attend_merge(float *whole, const float *part, int value_size)
{
    const float larger = part[0] > whole[0] ? part[0] : whole[0];
    const lanes keep = exp_difference(whole[0], larger), add = exp_difference(part[0], larger);
    float total[16];
    lanes_store(total, lanes_fma(lanes_set(whole[1]), keep, lanes_mul(lanes_set(part[1]), add)));
    whole[0] = larger;
    whole[1] = total[0];
    for (int d = CM_PART_SUMS; d < CM_PART_SUMS + value_size; d += 16)
        lanes_store(whole + d, lanes_fma(lanes_load(whole + d), keep, lanes_mul(lanes_load(part + d), add)));
}

static void attend_sink(float *whole, float sink, int value_size)
{
    const float larger = sink > whole[0] ? sink : whole[0];
    const lanes keep = exp_difference(whole[0], larger);
    float total[16];
    lanes_store(total, lanes_fma(lanes_set(whole[1]), keep, exp_difference(sink, larger)));
    whole[0] = larger;
    whole[1] = total[0];
    for (int d = CM_PART_SUMS; d < CM_PART_SUMS + value_size; d += 16)
        lanes_store(whole + d, lanes_mul(lanes_load(whole + d), keep));
}

static void attend_finish(const float *whole, int value_size, float *out)
{
    const lanes total = lanes_set(whole[1]);
    for (int d = 0; d < value_size; d += 16)
        store_up_to(out + d, lanes_div(lanes_load(whole + CM_PART_SUMS + d), total), least(16, value_size - d));
}

#endif
