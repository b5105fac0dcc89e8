/* runtime/api/text.c - the tokenizer's part of the public API. */
#include <string.h>

#include "runtime/engine/handles.h"

calmoe_status calmoe_tokenize(calmoe_context *ctx, const calmoe_model *model, const char *text, size_t n_bytes,
                              unsigned flags, int32_t *tokens, size_t capacity, size_t *n_tokens)
{
    if (!model || (!text && n_bytes > 0) || !n_tokens || (!tokens && capacity > 0))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "calmoe_tokenize: model, text and n_tokens are needed");
    if (!model->tokenizer)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "'%s' was opened without its vocabulary", model->path);
    struct token_list list = {0};
    *n_tokens = 0;
    const calmoe_status status = cm_tokenize(ctx, model->tokenizer, text ? text : "", n_bytes, flags, &list);
    if (status == CALMOE_OK) {
        *n_tokens = (size_t)list.n;
        const size_t n = (size_t)list.n < capacity ? (size_t)list.n : capacity;
        if (n > 0) memcpy(tokens, list.ids, n * sizeof *tokens);
    }
    cm_token_list_close(&list);
    if (status == CALMOE_OK && *n_tokens > capacity)
        return cm_fail(ctx, CALMOE_FULL, "the text is %zu tokens; there is room for %zu", *n_tokens, capacity);
    return status;
}

const char *calmoe_token_bytes(const calmoe_model *model, int32_t token, int show_special, size_t *n_bytes)
{
    int n = 0;
    const char *bytes = model && model->tokenizer ? cm_token_bytes(model->tokenizer, token, show_special != 0, &n) : "";
    if (n_bytes) *n_bytes = (size_t)n;
    return bytes ? bytes : "";
}

int calmoe_token_ends(const calmoe_model *model, int32_t token)
{
    return model && model->tokenizer && cm_token_ends_generation(model->tokenizer, token);
}

_Static_assert(sizeof(struct text_stream) <= sizeof(calmoe_text_stream), "the public stream holds the one inside");

calmoe_status calmoe_text_stream_put(const calmoe_model *model, calmoe_text_stream *stream, int32_t token, char *text,
                                     size_t n_text)
{
    if (!model || !model->tokenizer || !stream || !text || n_text == 0)
        return cm_fail(model ? model->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_text_stream_put: a model with its vocabulary, stream and text are needed");
    struct text_stream inside;
    memcpy(&inside, stream, sizeof inside);
    int n_bytes = 0;
    if (token >= 0) cm_token_bytes(model->tokenizer, token, false, &n_bytes);
    text[0] = '\0';
    const size_t needed = 4 * (size_t)n_bytes + 64;
    if (needed > n_text)
        return cm_fail(model->ctx, CALMOE_FULL,
                       "calmoe_text_stream_put: token %d needs a text of %zu bytes; it has %zu", (int)token, needed,
                       n_text);
    const int n = token >= 0
                      ? cm_text_stream_put(model->tokenizer, &inside, token, false, text, (int)needed - 1)
                      : cm_text_stream_end(&inside, text, (int)needed - 1);
    text[n] = '\0';
    memcpy(stream, &inside, sizeof inside);
    return CALMOE_OK;
}

const char *calmoe_chat_format_name(int i) { return cm_chat_format_name_at(i); }
