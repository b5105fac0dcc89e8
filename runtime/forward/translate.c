/* runtime/forward/translate.c - what the head reads at an exit with a translator: h + up (down h) + bias, an estimate
 * of the last layer's state.
 *
 * Keys and values of skipped layers are made of states between the two (kv_propagate.c): a layer's W_K and W_V were
 * trained on states of its own depth. So what lies between is kept, the drift: up (down h) + bias. */
#include "runtime/forward/exits_parts.h"

/* Own places of the list: the sum, its norm. The order of the sum is fixed: (h + bias) + product. */
static void norm_translated(struct decoder *d, const struct exit_weight *weight, const struct worker *me)
{
    const int dim = d->spec->dim;
    int begin, end;
    cm_share(d->exits->n_asked, 1, me->index, me->n_workers, &begin, &end);
    for (int i = begin; i < end; i++) {
        const int r = d->exits->asked[i];
        const float *state = cm_row(d->x, r, dim);
        float *translated = cm_row(d->exits->translated, i, dim), *drift = cm_row(d->exits->drifts, r, dim);
        for (int j = 0; j < dim; j++) {
            drift[j] = weight->bias[j] + translated[j];
            translated[j] = (state[j] + weight->bias[j]) + translated[j];
        }
        cm_head_norm_state(d, translated, d->rows[r].logits_row);
    }
}

size_t cm_translator_bytes(const struct exit_weight *weight)
{
    return weight->down.n_bytes + weight->up.n_bytes;
}

void cm_translate_asked(struct decoder *d, int n_layers_run, const struct worker *me)
{
    const struct exit_weight *weight = cm_exit_weight(d->exit_weights, n_layers_run);
    struct exits *exits = d->exits;
    if (exits->n_asked == 0) return;
    const struct activations states = {.n_columns = d->spec->dim, .values = d->x};
    const struct activations low = {.n_columns = weight->down.n_rows, .values = exits->low};
    cm_linear_shared(d, &weight->down, &states, exits->asked, exits->n_asked, NULL, exits->low, me);
    cm_barrier(me);
    cm_linear_shared(d, &weight->up, &low, NULL, exits->n_asked, NULL, exits->translated, me);
    cm_barrier(me);
    norm_translated(d, weight, me);
    cm_barrier(me);
}
