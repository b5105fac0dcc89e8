/* runtime/adapters/adapter_parts.h - what the readers of adapters share. */
#ifndef RUNTIME_ADAPTERS_ADAPTER_PARTS_H
#define RUNTIME_ADAPTERS_ADAPTER_PARTS_H

#include "runtime/adapters/adapter_reader.h"

/* An adapter that is read: for messages, `name` is the last component of its path. */
struct adapter_reading {
    struct calmoe_context      *ctx;
    const struct adapter_model *model;
    const char                 *path, *name;
    struct adapter             *out;
};

/* A matrix of the model, or rows of one. */
struct adapter_target {
    const struct file_tensor *tensor;
    bool                      is_embedding;
    int                       first_row, n_rows; /* of each matrix of a stack          */
    int                       n_columns, n_stacked;
};

/* The target that files call so, "blk.3.attn_q.weight"; where the model's file has it as rows of another tensor, such
 * as attn_qkv, those. False: the model has none. */
bool cm_adapter_target(const struct adapter_model *model, const char *name, struct adapter_target *out);

/* A target called ffn_up… that has the rows of gate, too, because the file has no ffn_gate…: up's are its second
 * half. */
void cm_adapter_leave_gate_out(const struct adapter_model *model, const char *name, struct adapter_target *target);

/* Adds a pair with room for its numbers, zeros, which the caller writes: *a (rank, columns), *b (n_rows, rank), of
 * the embedding as adapter_pair says. The adapter's until it is closed. NO_MEMORY, UNSUPPORTED. */
calmoe_status cm_adapter_add(const struct adapter_reading *reading, const struct adapter_target *target, int slice,
                             int rank, float scale, float **a, float **b);

/* Of models whose files turn the rows of a head: which of a module's n rows of a head is row i of the file's. */
static inline int cm_turned_row(int i, int n) { return i / 2 + i % 2 * (n / 2); }

calmoe_status cm_adapter_read_file(const struct adapter_reading *reading);
calmoe_status cm_adapter_read_folder(const struct adapter_reading *reading);

#endif
