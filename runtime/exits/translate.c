/* runtime/exits/translate.c - what the head reads at an exit with a translator: h + up (down h) + bias, an estimate
 * of the last layer's state.
 *
 * Keys and values of skipped layers are made of states on the way from h to that estimate
 * (cm_fill_layers() in forward/between.h), because a layer's W_K and W_V were trained on states of its own depth. So
 * the way itself is kept beside h. It is called the drift: up (down h) + bias. */
#include "runtime/exits/exits_parts.h"

/* Own places of the list: the sum, its norm. The order of the sum is fixed: (h + bias) + product. */
static void norm_translated(struct exits *e, struct decoder *d, const struct exit_weight *weight,
                            const struct worker *me)
{
    int begin, end;
    cm_share(e->n_asked, 1, me->index, me->n_workers, &begin, &end);
    for (int i = begin; i < end; i++) {
        const int r = e->asked[i];
        const float *state = cm_batch_state(d, r);
        float *translated = cm_row(e->translated, i, e->dim), *drift = cm_row(e->drifts, r, e->dim);
        for (int j = 0; j < e->dim; j++) {
            drift[j] = weight->bias[j] + translated[j];
            translated[j] = (state[j] + weight->bias[j]) + translated[j];
        }
        cm_head_norm(d, translated, cm_batch_row(d, r)->asked.logits_row);
    }
}

size_t cm_translator_bytes(const struct exit_weight *weight)
{
    return weight->down.n_bytes + weight->up.n_bytes;
}

void cm_translate_asked(struct exits *e, struct decoder *d, int n_layers_run, const struct worker *me)
{
    const struct exit_weight *weight = cm_exit_weight(e->weights, n_layers_run);
    if (e->n_asked == 0) return;
    const struct activations states = cm_batch_states(d);
    const struct activations low = {.n_columns = weight->down.n_rows, .values = e->low};
    cm_between_multiply(d, &weight->down, &states, e->asked, e->n_asked, e->low, me);
    cm_between_gather(d, e->low, e->n_asked, weight->down.n_rows, me);
    cm_between_multiply(d, &weight->up, &low, NULL, e->n_asked, e->translated, me);
    cm_between_gather(d, e->translated, e->n_asked, e->dim, me);
    norm_translated(e, d, weight, me);
    cm_barrier(me);
}
