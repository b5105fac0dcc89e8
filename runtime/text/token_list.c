/* token_list.c - lists of ids that grow. */
#include <string.h>

#include "base/memory.h"
#include "runtime/text/tokenizer_parts.h"

void cm_token_list_close(struct token_list *list)
{
    cm_free(list->ids);
    *list = (struct token_list){0};
}

calmoe_status cm_token_list_put(struct calmoe_context *ctx, struct token_list *list, int32_t id)
{
    if (list->n == list->capacity) {
        const int capacity = list->capacity ? 2 * list->capacity : 64; /* texts are below INT_MAX / 2 */
        int32_t  *ids = cm_alloc(ctx, (size_t)capacity, sizeof *ids, "a list of tokens");
        if (!ids) return CALMOE_NO_MEMORY;
        if (list->n) memcpy(ids, list->ids, (size_t)list->n * sizeof *ids);
        cm_free(list->ids);
        list->ids = ids;
        list->capacity = capacity;
    }
    list->ids[list->n++] = id;
    return CALMOE_OK;
}

calmoe_status cm_encode_byte(struct encoder *encoder, unsigned char byte)
{
    int32_t id = encoder->tokenizer->byte_ids[byte];
    if (id < 0) id = encoder->tokenizer->unknown;
    return id < 0 ? CALMOE_OK : cm_token_list_put(encoder->ctx, encoder->list, id);
}
