/* token_list.c - lists of ids that grow. */

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
        CM_TRY(cm_grow(ctx, &list->ids, (size_t)list->n, (size_t)capacity, sizeof id, "a list of tokens"));
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
