/* fit_paths.c - how far along its translator's way a state has come when l layers have run, for the keys and values of
 * layers that are skipped (cm_fill_layers() in forward/between.h makes them). Let h be the state at the exit, t what
 * the translator makes of it, and h_l the full model's state at layer l, scaled to the size of h, because norms take
 * sizes away. Then
 *
 *     path_l  minimises  sum over tokens of |h_l - h - path_l (t - h)|^2 / |h|^2 */
#include <math.h>

#include "base/memory.h"
#include "runtime/fit/fit_parts.h"

struct path_sums { /* of one exit and one layer, each over |h|^2 */
    double along;  /* (h_l - h) · (t - h) */
    double way;    /* |t - h|^2           */
    double error;  /* |h_l - h|^2         */
    double n;
};

calmoe_status cm_fit_paths_open(struct fitting *f)
{
    const size_t n_layers = (size_t)f->learned.n_layers;
    f->path_sums = cm_alloc(f->ctx, (size_t)f->n_exits * n_layers, sizeof *f->path_sums, "sums");
    return f->path_sums ? CALMOE_OK : CALMOE_NO_MEMORY;
}

static double squares_of(const float *state, int dim)
{
    double sum = 0.0;
    for (int i = 0; i < dim; i++) sum += (double)state[i] * (double)state[i];
    return sum;
}

/* A row with numbers that are not finite, or none but zeros, says nothing. */
static void add_row(const float *state, const float *drift, const float *later, int dim, struct path_sums *sums)
{
    const double squares = squares_of(state, dim), size = sqrt(squares / squares_of(later, dim));
    struct path_sums row = {0.0, 0.0, 0.0, 0.0};
    for (int i = 0; i < dim; i++) {
        const double moved = size * (double)later[i] - (double)state[i];
        row.along += moved * (double)drift[i];
        row.way += (double)drift[i] * (double)drift[i];
        row.error += moved * moved;
    }
    if (!(squares > 0.0 && isfinite(row.along / squares) && isfinite(row.way / squares) &&
          isfinite(row.error / squares)))
        return;
    sums->along += row.along / squares;
    sums->way += row.way / squares;
    sums->error += row.error / squares;
    sums->n++;
}

void cm_fit_paths_add(struct fitting *f, int exit, int n)
{
    const int    dim = f->learned.dim;
    const float *drifts = cm_exit_probe_drifts(f->exits);
    for (int i = 0; i < f->reader.n_kept; i++) {
        const int layer = f->reader.layers[i];
        if (layer <= f->layers[exit]) continue;
        struct path_sums *sums = &f->path_sums[(size_t)exit * (size_t)f->learned.n_layers + (size_t)layer];
        for (int r = 0; r < n; r++)
            add_row(cm_row(cm_states(&f->reader, exit), r, dim), drifts + (size_t)r * (size_t)dim,
                    cm_row(cm_states(&f->reader, i), r, dim), dim, sums);
    }
}

calmoe_status cm_fit_path_solve(struct fitting *f, int i)
{
    struct learned_exit    *exit = &f->learned.exits[i];
    const struct path_sums *sums = f->path_sums + (size_t)i * (size_t)f->learned.n_layers;
    double before = 0.0, won = 0.0, n = 0.0;
    if (exit->rank == 0 || exit->layer + 1 >= f->learned.n_layers) return CALMOE_OK;
    CM_TRY(cm_learned_path_reserve(f->ctx, exit, f->learned.n_layers));
    for (int layer = exit->layer + 1; layer < f->learned.n_layers; layer++) {
        const double path = sums[layer].way > 0.0 ? sums[layer].along / sums[layer].way : 0.0;
        exit->path[layer] = (float)path;
        before += sums[layer].error;
        won += path * sums[layer].along;
        n += sums[layer].n;
    }
    f->skipped_before[i] = n > 0.0 ? before / n : 0.0;
    f->skipped_after[i] = n > 0.0 ? (before - won) / n : 0.0;
    return CALMOE_OK;
}
