/* step_exchanges.c - see step_exchanges.h. */
#include "runtime/forward/step_exchanges.h"

#include "runtime/mixers/mixer.h"

static unsigned kind_of(const struct weight_source *source)
{
    return cm_kind_bit(cm_weight_types[source->type].activation);
}

/* Forms that the products of a layer read which follow what its mixer gave, and what a bank's experts gave. */
static unsigned output_kinds(const struct layer_tensors *tensors)
{
    return kind_of(tensors->recurrent.out.rows ? &tensors->recurrent.out : &tensors->o);
}

static unsigned hidden_kinds(const struct bank_tensors *bank, int n_experts)
{
    unsigned kinds = 0;
    for (int expert = 0; expert < n_experts; expert++) kinds |= kind_of(&bank->experts[expert].down);
    return kinds;
}

/* Outputs of routed experts are dealt out: there are any, and each is whole on a rank. */
static bool deals(const struct ffn_spec *ffn, const struct rank_shares *shares)
{
    return shares->has_whole_experts && ffn->router.n_used > 0 && ffn->branches[BANK_ROUTED].width > 0;
}

/* Hidden states of the experts that ranks have parts of, all of a layer's banks in one exchange; and the sums of what
 * experts gave, those that are normed by themselves apart. */
static void add_ffn(const struct model_spec *spec, const struct ffn_spec *ffn, const struct layer_tensors *tensors,
                    const struct rank_shares *shares, int n_rows, struct gatherings *out)
{
    struct exchange_piece *hidden = out->pieces[out->n];
    int                    n = 0;
    for (int bank = 0; bank < N_BANKS; bank++) {
        const int n_slots = bank == BANK_ROUTED ? ffn->router.n_used : 1, width = ffn->branches[bank].width;
        if (width == 0 || n_slots == 0 || (bank == BANK_ROUTED && deals(ffn, shares))) continue;
        hidden[n] = cm_as_input(cm_columns_piece(NULL, n_rows * n_slots, width));
        if (tensors) hidden[n].block = cm_block_of_kinds(hidden_kinds(&tensors->banks[bank], bank == BANK_ROUTED ?
                                                                      ffn->router.n_experts : 1));
        n++;
    }
    if (n > 0) out->n_pieces[out->n++] = n;
    const int n_sums = 1 + (ffn->branches[BANK_DENSE].width > 0 ? 2 : 0); /* routed and dense beside each other */
    for (int i = 0; i < n_sums; i++) out->pieces[out->n][i] = cm_columns_piece(NULL, n_rows, spec->dim);
    out->n_pieces[out->n++] = n_sums;
}

static struct gatherings of_layer(const struct model_spec *spec, const struct model_tensors *of_all,
                                  const struct rank_shares *shares, int layer, int n_rows)
{
    const struct layer_tensors *tensors = of_all ? &of_all->layers[layer] : NULL;
    struct gatherings all = {.n = 0};
    const struct mixer *mixer = cm_mixers[spec->layers[layer].mixer];
    mixer->gathers(mixer, &spec->layers[layer], spec->dim, n_rows, &all);
    for (int i = 0; tensors && i < all.n; i++)
        if (all.pieces[i][0].is_input) all.pieces[i][0].block = cm_block_of_kinds(output_kinds(tensors));
    if (cm_has_ffn(&spec->layers[layer].ffn)) add_ffn(spec, &spec->layers[layer].ffn, tensors, shares, n_rows, &all);
    return all;
}

/* Where all routed experts are used evenly. */
static struct exchange_deal even_deal(const struct ffn_spec *ffn, const struct rank_shares *shares, int dim, int n_rows)
{
    struct exchange_deal deal = {.n_columns = dim};
    int32_t              borders[CM_MAX_RANKS + 1];
    const int64_t        n_experts = ffn->router.n_experts, n = (int64_t)n_rows * ffn->router.n_used;
    cm_rank_borders(shares, (int)n_experts, 1, borders);
    for (int rank = 0; rank <= shares->n_ranks; rank++) deal.rows[rank] = (int32_t)(n * borders[rank] / n_experts);
    return deal;
}

struct step_exchanges cm_step_exchanges(const struct model_spec *spec, const struct model_tensors *tensors,
                                        const struct rank_shares *shares, int max_rows, int n_rows, int n_logits,
                                        int rank)
{
    struct step_exchanges sum = {0};
    const struct exchange_piece logits = cm_columns_piece(NULL, n_logits, spec->n_vocab);
    const size_t capacity = cm_exchange_floats(spec, shares, max_rows) * sizeof(float);
    const int    at_once = cm_exchange_rows_at_once(&logits, capacity);
    for (int layer = 0; layer < spec->n_layers; layer++) {
        const struct ffn_spec  *ffn = &spec->layers[layer].ffn;
        const struct gatherings all = of_layer(spec, tensors, shares, layer, n_rows);
        for (int i = 0; i < all.n; i++)
            sum.n_bytes += cm_exchange_bytes(shares, all.pieces[i], all.n_pieces[i], rank);
        sum.n += all.n;
        if (!deals(ffn, shares)) continue;
        const struct exchange_deal deal = even_deal(ffn, shares, spec->dim, n_rows);
        sum.n_dealt_bytes += cm_exchange_deal_bytes(shares, &deal, rank);
        sum.n++;
    }
    sum.n_bytes += sum.n_dealt_bytes;
    for (int row = 0; row < n_logits; row += at_once) {
        const int n = n_logits - row < at_once ? n_logits - row : at_once;
        const struct exchange_piece some = cm_columns_piece(NULL, n, spec->n_vocab);
        if (rank == 0) sum.n_bytes += cm_exchange_bytes(shares, &some, 1, 0);
        sum.n++;
    }
    return sum;
}

size_t cm_exchange_floats(const struct model_spec *spec, const struct rank_shares *shares, int max_rows)
{
    size_t most = (size_t)spec->n_vocab; /* a row of logits at least */
    for (int layer = 0; layer < spec->n_layers; layer++) {
        const struct ffn_spec  *ffn = &spec->layers[layer].ffn;
        const struct gatherings all = of_layer(spec, NULL, shares, layer, max_rows);
        /* One rank may have all the experts that rows take, and hands over what they gave. */
        const size_t dealt = deals(ffn, shares) ? (size_t)max_rows * (size_t)ffn->router.n_used * (size_t)spec->dim : 0;
        most = dealt > most ? dealt : most;
        for (int i = 0; i < all.n; i++) {
            size_t n = 0;
            for (int piece = 0; piece < all.n_pieces[i]; piece++)
                n += (size_t)all.pieces[i][piece].n_rows * (size_t)all.pieces[i][piece].n_units *
                     (size_t)all.pieces[i][piece].unit;
            most = n > most ? n : most;
        }
    }
    return most;
}
