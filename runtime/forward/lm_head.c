/* runtime/forward/lm_head.c - the last norm and the vocabulary product, for the rows whose logits are wanted. */
#include <string.h>

#include "runtime/forward/decoder_parts.h"

void cm_head_norm(struct decoder *d, const float *state, int to)
{
    const int dim = d->batch.spec->dim;
    cm_norm(&d->batch, state, d->weights->output_norm, cm_row(d->batch.normed.values, to, dim));
    d->batch.ops->quantize(&d->batch.normed, to, 0, dim, d->weights->output_kinds);
}

size_t cm_head_bytes(const struct decoder *d) { return d->weights->output.n_bytes; }

/* Logits as the model gives them, of n products, those of token `first` and the next ones. */
static void finish_logits(const struct decoder *d, float *logits, int first, int n)
{
    const struct model_spec *spec = d->batch.spec;
    const float *scale = d->weights->token_scale;
    for (int i = 0; scale && i < n; i++) logits[i] *= scale[first + i];
    for (int i = 0; spec->logit_divisor != 1.0f && i < n; i++) logits[i] /= spec->logit_divisor;
    if (spec->logit_soft_cap > 0.0f) d->batch.ops->soft_cap(logits, spec->logit_soft_cap, n);
}

/* Rows first … first + n of the logits, tokens below n_tokens. */
static void multiply(struct decoder *d, int first, int n, int n_tokens, const struct worker *me)
{
    const struct placed_matrix *output = &d->weights->output;
    const int32_t *rows = first > 0 ? d->batch.identity + first : NULL;
    const int n_vocab = d->batch.spec->n_vocab;
    float *logits = cm_row(d->logits, first, n_vocab);
    for (int i = 0; i < output->n_parts; i++) {
        const struct matrix_part *part = &output->parts[i];
        const int n_left = n_tokens - part->first_row; /* of this part and those behind it */
        int begin, end;
        if (n_left <= 0 || cm_team_server(me->team, part->node) != me->node) continue;
        cm_share(n_left < part->matrix.n_rows ? n_left : part->matrix.n_rows, 16, me->rank_on_node, me->n_on_node,
                 &begin, &end);
        cm_linear_plain_part(&d->batch, output, part, begin, end, &d->batch.normed, rows, n, d->weights->output_bias,
                             logits, me);
        if (d->batch.adapters && begin < end) {
            const struct low_rank_product product = {
                .matrix = &part->matrix, .begin = begin, .end = end, .x = &d->batch.normed, .which = rows, .n = n,
                .y = logits + part->first_row + begin, .stride = (size_t)output->n_rows};
            cm_low_rank_add(d->batch.ops, &d->logit_adapters, &product);
        }
        for (int row = 0; row < n && begin < end; row++)
            finish_logits(d, cm_row(logits, row, n_vocab) + part->first_row + begin, part->first_row + begin,
                          end - begin);
    }
}

void cm_head_multiply(struct decoder *d, const int32_t *rows, int n_rows, int n_tokens, const struct worker *me)
{
    for (int i = 0, n; i < n_rows; i += n) { /* rows that follow each other go together */
        for (n = 1; i + n < n_rows && rows[i + n] == rows[i] + n;) n++;
        multiply(d, rows[i], n, n_tokens, me);
    }
}

static struct exchange_piece logits_piece(const struct decoder *d, const struct logit_rows *which)
{
    struct exchange_piece piece = cm_columns_piece(d->logits, which->n, d->batch.spec->n_vocab);
    piece.rows = which->rows;
    piece.n_columns = which->n_tokens;
    return piece;
}

void cm_head_gather(struct decoder *d, const struct logit_rows *which, int n, const struct worker *me)
{
    struct exchange_piece pieces[MAX_HEAD_LISTS];
    for (int i = 0; i < n && d->batch.exchange; i++) pieces[i] = logits_piece(d, &which[i]);
    if (d->batch.exchange) cm_exchange_meet_in_parts(d->batch.exchange, pieces, n, -1, me);
    else cm_barrier(me);
}

/* Own rows: their states behind the last norm, for logits and for who wants them themselves. */
static void norm_rows(struct decoder *d, const struct worker *me)
{
    const struct model_spec *spec = d->batch.spec;
    int begin, end;
    cm_own_rows(&d->batch, me, &begin, &end);
    for (int r = begin; r < end; r++) {
        const struct row *row = &d->batch.rows[r];
        const float *x = cm_row(d->batch.x, r, spec->dim);
        if (row->is_in_tail) continue;
        if (row->asked.logits_row >= 0) cm_head_norm(d, x, row->asked.logits_row);
        if (row->asked.state && spec->hands_on_plain)
            memcpy(row->asked.state, x, (size_t)spec->dim * sizeof *x);
        else if (row->asked.state)
            cm_norm(&d->batch, x, d->weights->output_norm, row->asked.state);
    }
}

void cm_lm_head(struct decoder *d, const struct worker *me)
{
    const struct between_layers *between = d->step->between;
    void *self = d->step->between_self;
    const int32_t *rows = d->batch.identity;
    int n = d->step->n_logits;
    if (between) n = between->head_rows(self, &rows);
    norm_rows(d, me);
    if (n == 0) return;
    if (between) between->norm_gone(self, d, me);
    cm_barrier(me);
    cm_head_multiply(d, rows, n, d->batch.spec->n_vocab, me);
    if (!d->batch.exchange) return;
    const struct exchange_piece logits = logits_piece(d, &(struct logit_rows){rows, n, d->batch.spec->n_vocab});
    cm_exchange_meet_in_parts(d->batch.exchange, &logits, 1, 0, me);
}
