/* experts/low_rank.c - see low_rank.h. */
#include "experts/low_rank.h"

#include <stdalign.h>
#include <string.h>

enum {
    INNER = 2 * LOW_RANK_MOST, /* elements of A x of the tokens that are taken at once    */
    MOST_TOKENS = 64,          /* as many as a panel of the matrix kernels                */
    OUTER = 256                /* elements of B (A x) of a token that are summed at once  */
};

static const struct low_rank_use *use_of(const struct low_rank_uses *uses, const struct low_rank_set *set)
{
    for (int i = 0; uses && i < uses->n; i++)
        if (uses->uses[i].set == set) return &uses->uses[i];
    return NULL;
}

/* y (n) += scale times rows first … first + n of B inner, inner (rank). b, of which columns are stride apart, begins at
 * the first of these rows. */
static void add_outer(const struct vector_ops *ops, const float *b, size_t stride, int rank, const float *inner, int n,
                      float scale, float *y)
{
    alignas(64) float sum[OUTER];
    for (int done = 0; done < n; done += OUTER) {
        const int n_now = n - done < OUTER ? n - done : OUTER;
        memset(sum, 0, sizeof sum);
        for (int i = 0; i < rank; i++) ops->add_scaled(sum, b + (size_t)i * stride + done, inner[i], n_now);
        ops->add_scaled(y + done, sum, scale, n_now);
    }
}

/* Some tokens of a product, which one set's rows share: their place in y, their row of x, the scale. */
struct group {
    int     n;
    int     at[MOST_TOKENS];
    int32_t which[MOST_TOKENS];
    float   scales[MOST_TOKENS];
};

static void add_group(const struct vector_ops *ops, const struct low_rank *low_rank,
                      const struct low_rank_product *product, const struct group *group)
{
    alignas(64) float inner[INNER];
    const int rank = low_rank->a.n_rows, first = low_rank->first_row, last = first + low_rank->n_rows;
    const int begin = product->begin > first ? product->begin : first, end = product->end < last ? product->end : last;
    if (begin >= end) return;
    low_rank->a.kernel->multiply(&low_rank->a, 0, rank, product->x, group->which, group->n, inner, (size_t)rank);
    for (int i = 0; i < group->n; i++)
        add_outer(ops, low_rank->b + begin - first, (size_t)low_rank->n_rows, rank, inner + (size_t)i * (size_t)rank,
                  end - begin, low_rank->scale * group->scales[i],
                  product->y + (size_t)group->at[i] * product->stride + (begin - product->begin));
}

/* The tokens from t on that use the set, up to most of them; the token behind the last that was looked at. */
static int take_group(const struct low_rank_rows *rows, const struct low_rank_set *set,
                      const struct low_rank_product *product, int t, int most, struct group *group)
{
    group->n = 0;
    for (; t < product->n && group->n < most; t++) {
        const int32_t which = product->which ? product->which[t] : t;
        const struct low_rank_use *use = use_of(rows->of_row[product->rows ? product->rows[t] : which], set);
        if (!use) continue;
        group->at[group->n] = t;
        group->which[group->n] = which;
        group->scales[group->n++] = use->scale;
    }
    return t;
}

void cm_low_rank_add(const struct vector_ops *ops, const struct low_rank_rows *rows,
                     const struct low_rank_product *product)
{
    struct group group;
    if (product->matrix->id == 0) return;
    for (int s = 0; s < rows->n_sets; s++) {
        const struct low_rank *low_rank = rows->sets[s]->of[product->matrix->id];
        for (; low_rank; low_rank = low_rank->next) {
            const int fits = INNER / low_rank->a.n_rows, most = fits < MOST_TOKENS ? fits : MOST_TOKENS;
            for (int t = 0; t < product->n;) {
                t = take_group(rows, rows->sets[s], product, t, most, &group);
                if (group.n > 0) add_group(ops, low_rank, product, &group);
            }
        }
    }
}

void cm_low_rank_embed(const struct vector_ops *ops, const struct low_rank_uses *uses, int32_t token, int dim,
                       float *row)
{
    for (int i = 0; uses && i < uses->n; i++) {
        const struct low_rank_embedding *added = &uses->uses[i].set->embedding;
        if (added->rank > 0)
            add_outer(ops, added->b, (size_t)dim, added->rank, added->a + (size_t)token * (size_t)added->rank, dim,
                      added->scale * uses->uses[i].scale, row);
    }
}
