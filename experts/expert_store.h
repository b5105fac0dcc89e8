/* experts/expert_store.h - the experts of one layer: their matrices, in parts on the nodes where the plan puts them,
 * and how a token's hidden state must be stored for them. */
#ifndef EXPERTS_EXPERT_STORE_H
#define EXPERTS_EXPERT_STORE_H

#include "experts/banks.h"
#include "experts/expert_stream.h"
#include "experts/packing.h"
#include "experts/placement.h"
#include "kernels/nonlinearity.h"

struct expert_matrix { /* rows of gate, up or down that lie on one node                        */
    struct matrix weights; /* n_rows 0: there are none here, or the bank has no such matrix    */
    const float  *bias;    /* (n_rows), added to the product; NULL = none                      */
};

/* Bytes that a step reads of n_rows of them. */
static inline size_t cm_expert_matrix_bytes(const struct expert_matrix *matrix, int n_rows)
{
    if (matrix->weights.n_rows == 0) return 0;
    return cm_rows_bytes(&matrix->weights, n_rows) + (matrix->bias ? (size_t)n_rows * sizeof *matrix->bias : 0);
}

struct expert_part { /* what of an expert lies on one node */
    int                  node;
    int                  row;      /* gate's and up's first row is this one of the expert's */
    int                  down_row; /* the same of down                                      */
    struct expert_matrix gate, up; /* (its rows of width, dim)                              */
    struct expert_matrix down;     /* (its rows of dim, width)                              */
};

struct expert {
    struct expert_part *parts;         /* (n_parts), rows ascending               */
    int                 n_parts;
    bool                is_replicated; /* each part is the whole expert: one serves */
    size_t              n_bytes;       /* packed, that a step reads of it         */
};

struct expert_bank {
    enum nonlinearity   nonlinearity; /* h of gate and up; says whether there is a gate matrix */
    bool                weighs_input; /* a token's weight goes on the expert's input, not on its output */
    int                 n_experts;    /* 0: the layer has no such bank */
    int                 width;
    int                 quantum;      /* rows of gate and up of a quantization block of down's input, 16 at least */
    unsigned            input_kinds;  /* forms of the input that gate and up read */
    unsigned            hidden_kinds; /* forms of the hidden state that down reads */
    struct expert      *experts;      /* (n_experts) */
    struct expert_part *parts;        /* of all of them */
};

struct expert_layer {
    int                dim;
    unsigned           input_kinds; /* of all banks */
    struct expert_bank banks[N_BANKS];
    struct expert_stream *stream; /* that has the routed experts; NULL: they are all in memory        */
    bool               plan_streams; /* it has those only that the plan says                           */
    const struct packed_experts *packed; /* where they are mapped, if there is no stream; NULL: they are packed */
    /* by which replicas are chosen (place_load.h) */
    bool               has_replicas;
    const struct plan *plan;
    int                index;       /* of the layer in the plan                   */
    double             gate_up_bytes, down_bytes; /* of a whole expert             */
};

struct expert_sources { /* one expert in the file */
    struct weight_source gate, up, down;       /* gate is not read where the bank's nonlinearity has none */
    const float         *gate_bias, *up_bias;  /* (width) added to the products; NULL = none              */
    const float         *down_bias;            /* (dim) added to the output, before the token's weight     */
};

/* Lists the experts of a bank for packing, where the plan puts them; biases must stay until the list has run. sources:
 * (n_experts). layer->dim, plan, stream, plan_streams, packed and index, the bank's nonlinearity and weighs_input are
 * set before; the plan must outlive the layer. Routed experts of a stream are added to it instead, cut over nodes as
 * dense matrices are: only their biases are listed. Others of its layers stay in memory, as the plan says. */
calmoe_status cm_expert_bank_open(struct calmoe_context *ctx, struct expert_layer *layer, int bank,
                                  const struct expert_sources *sources, int n_experts, struct pack_list *list);
void cm_expert_layer_close(struct expert_layer *layer); /* zeroed is fine */

#endif
