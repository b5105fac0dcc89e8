/* runtime/forward/lm_head.c - the last norm and the vocabulary product, for the rows whose logits are wanted. */
#include "runtime/forward/decoder.h"

void cm_lm_head(struct decoder *d, const struct worker *me)
{
    const int dim = d->spec->dim, n_vocab = d->spec->n_vocab;
    int begin, end;
    if (d->n_logits == 0) return;
    cm_own_rows(d, me, &begin, &end);
    for (int r = begin; r < end; r++) {
        const int to = d->rows[r].logits_row;
        if (to < 0) continue;
        d->ops->rms_norm(d->x + (size_t)r * (size_t)dim, d->weights->output_norm, d->spec->norm_eps, dim,
                         d->normed.values + (size_t)to * (size_t)dim);
        d->ops->quantize(&d->normed, to, 0, dim, d->weights->output_kinds);
    }
    cm_barrier(me);
    cm_linear_shared(&d->weights->output, &d->normed, d->n_logits, NULL, d->logits, me);
    if (d->spec->logit_divisor == 1.0f) return;
    cm_share(n_vocab, 16, me->index, me->n_workers, &begin, &end);
    for (int row = 0; row < d->n_logits; row++) {
        float *logits = d->logits + (size_t)row * (size_t)n_vocab;
        for (int i = begin; i < end; i++) logits[i] /= d->spec->logit_divisor;
    }
}
