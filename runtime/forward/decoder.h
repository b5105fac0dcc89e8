/* runtime/forward/decoder.h - the forward pass: a step takes rows through all layers and gives logits.
 *
 * Rows of many sequences, prompts in chunks and single tokens, stand in one step. The caller says in a struct step what
 * is wanted and who watches; nobody outside this folder knows what the decoder works with. What runs between two layers
 * (early exits: runtime/exits) is handed over with the step, and works through forward/between.h.
 * All memory is reserved at opening, or by cm_decoder_reserve_logits() before a step. */
#ifndef RUNTIME_FORWARD_DECODER_H
#define RUNTIME_FORWARD_DECODER_H

#include "kernels/cpu.h"
#include "router/routing.h"
#include "runtime/mixers/row.h"
#include "runtime/forward/weights.h"
#include "runtime/stats/counters.h"

struct decoder;

/* One of those who watch a step; each function may be NULL. Rows are as they stand in the batch at that time. */
struct step_observer {
    void *user;
    /* What a layer's router chose for rows (n_rows); by the caller's thread, once for each layer. */
    void (*routing)(void *user, int layer, const struct row *rows, int n_rows, const struct routing *routing);
    /* May change what the router chose for a row: experts and weights (n_used). By one worker for a row. */
    void (*choice)(void *user, int layer, const struct row *row, int32_t *experts, float *weights);
    /* Sees the states after a layer, x (n_rows, dim), of rows begin … end; by each worker for its own. */
    void (*states)(void *user, int layer, int begin, int end, const float *x);
    /* Sees a row's confidence at an exit, whether it leaves or not; logits (n_vocab) where the measure read all of
     * them, else NULL. By one worker for a row. */
    void (*asked)(void *user, const struct row *row, int n_layers_run, const float *logits);
    const struct step_observer *next; /* who watches as well; NULL = nobody */
};

/* What runs between layers. "All workers" means that each of the team calls it. */
struct between_layers {
    /* Before the first layer, by one thread: the rows are set. */
    void (*begin)(void *self, struct decoder *decoder);
    /* After n_layers_run layers, 0 before the first one, by all workers: rows may go, and others may join. */
    void (*after)(void *self, struct decoder *decoder, int n_layers_run, const struct worker *me);
    /* Will rows join later, though there may be none now? The same answer for all workers. */
    bool (*more_come)(const void *self);
    /* How many of the router's slots of row r are run in a layer; may renormalise weights (n_used). */
    int  (*width)(void *self, const struct row *row, int layer, int r, float *weights);
    /* Whether width() is asked in this step, and where it notes its answers: (max_rows) or NULL. */
    const uint8_t *(*widths)(void *self);
    /* The rows of logits that are still to be made, ascending, after the last layer; how many. */
    int  (*head_rows)(void *self, const int32_t **rows);
    /* By all workers: the head's norm of those of them whose rows are gone. */
    void (*norm_gone)(void *self, struct decoder *decoder, const struct worker *me);
    /* After the step, by one thread: counts what was read. is_undone: the step failed, and what was done to
     * sequences is taken back. */
    void (*end)(void *self, struct decoder *decoder, bool is_undone);
};

struct step {
    /* from the caller */
    struct row *rows;       /* (n_rows): asked and may are set, came is written; the rest is not looked at. Rows of a
                               sequence stand together, positions ascending                                     */
    int         n_rows;
    int         n_logits;   /* rows of logits that are wanted, by rows here or by rows that join: there is room */
    const struct step_observer  *observers;  /* NULL: nobody watches                                            */
    const struct low_rank_set *const *adapters; /* (n_adapters) all that a row's sequence may use, in the order in which
                                                   they are added                                               */
    int         n_adapters;
    bool        tells_choices; /* among ranks, which all say so: what routers choose is rank 0's, told in each layer */
    const struct between_layers *between;    /* NULL: nothing runs between layers, and no row has a rung        */
    void                        *between_self;
    /* from the step */
    float              *logits;    /* (n_logits, n_vocab), until the decoder's next step                */
    struct row_outcome *outcomes;  /* (n_logits): how each row of logits came about; likewise           */
};

calmoe_status cm_decoder_open(const struct machine *machine, const struct model_spec *spec,
                              const struct weights *weights, int max_rows, struct decoder **out);
void          cm_decoder_close(struct decoder **decoder);

/* Room for so many rows of logits in a step; what the last step's were is lost. NO_MEMORY. */
calmoe_status cm_decoder_reserve_logits(struct decoder *decoder, int n);

/* Runs the step. OK: keys and values of all rows are in their caches, logits and outcomes are there. CANCELLED: all
 * sequences that have rows in it were interrupted, so it ended at the next layer; as long as one wants its rows, the
 * step goes on. Any other status: a part that can fail did, and said why. In both cases sequences are as before: what
 * caches hold of the step's positions means nothing. */
calmoe_status cm_decoder_run(struct decoder *decoder, struct step *step);

int                      cm_decoder_max_rows(const struct decoder *decoder); /* of a step, those that join included */
const struct model_spec *cm_decoder_spec(const struct decoder *decoder);
const struct vector_ops *cm_decoder_ops(const struct decoder *decoder);
struct counters         *cm_decoder_counters(struct decoder *decoder);

#endif
