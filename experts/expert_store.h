/* experts/expert_store.h - the experts of one layer: their matrices, where they live, and how a
 * token's hidden state must be stored for them. */
#ifndef EXPERTS_EXPERT_STORE_H
#define EXPERTS_EXPERT_STORE_H

#include "experts/packing.h"
#include "experts/placement.h"

/* Experts of one kind share shapes: the routed ones, and the shared one that every token takes. */
struct expert {
    struct matrix gate, up; /* (width, dim) */
    struct matrix down;     /* (dim, width) */
    int           node;
    size_t        n_bytes;  /* of all three, packed */
};

struct expert_bank {
    int            n_experts;
    int            width;
    int            quantum;      /* rows of gate and up in a task are multiples of this: whole tiles, and
                                    whole quantization blocks of down's input */
    unsigned       hidden_kinds; /* forms of the hidden state that down reads */
    struct expert *experts;      /* (n_experts) */
};

enum { BANK_ROUTED, BANK_SHARED, N_BANKS };

struct expert_layer {
    int                dim;
    unsigned           input_kinds; /* forms of the input that gate and up read */
    struct expert_bank banks[N_BANKS];
};

struct expert_sources { /* one expert in the file */
    struct weight_source gate, up, down;
};

/* Lists the experts of a bank for packing. sources: (n_experts). node_of(arg, expert) says where each goes.
 * layer->dim is set before. */
calmoe_status cm_expert_bank_open(struct calmoe_context *ctx, struct expert_layer *layer, int bank,
                                  const struct expert_sources *sources, int n_experts,
                                  int (*node_of)(const void *arg, int expert), const void *arg,
                                  struct pack_list *list);
void cm_expert_layer_close(struct expert_layer *layer); /* zeroed is fine */

#endif
