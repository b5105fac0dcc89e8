/* runtime/exits/staying.c - rows leave and join between layers; this lists the rows of logits that are still to be made
 * when all layers have run. */
#include "runtime/exits/exits_parts.h"

/* Adds a row to the ascending list. */
static void add_staying(struct exits *e, int32_t logits_row)
{
    int at = e->n_staying++;
    for (; at > 0 && e->staying[at - 1] > logits_row; at--) e->staying[at] = e->staying[at - 1];
    e->staying[at] = logits_row;
}

void cm_exits_list_staying(struct exits *e, const struct decoder *d)
{
    e->n_staying = 0;
    for (int r = 0; r < cm_batch_n(d); r++) {
        const struct row *row = cm_batch_row(d, r);
        if (row->asked.logits_row >= 0 && !row->is_in_tail) add_staying(e, row->asked.logits_row);
    }
    for (int i = 0; i < e->n_late; i++) add_staying(e, e->late[i]);
}
