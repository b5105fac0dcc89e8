/* runtime/adapters/adapter.c - see adapter.h. */
#include "runtime/adapters/adapter.h"

#include "base/memory.h"

void cm_adapter_close(struct adapter **adapter)
{
    if (!*adapter) return;
    for (int i = 0; i < (*adapter)->n_pairs; i++) {
        cm_free((*adapter)->pairs[i].a);
        cm_free((*adapter)->pairs[i].b);
    }
    cm_free((*adapter)->pairs);
    cm_free((*adapter)->prefix.numbers);
    cm_free((*adapter)->name);
    cm_free(*adapter);
    *adapter = NULL;
}
