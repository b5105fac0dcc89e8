/* tools/serve/text_api.c - texts to tokens and back, conversations to prompts. */
#include <stdlib.h>
#include <string.h>

#include "tools/serve/conversation.h"
#include "tools/serve/prompts.h"

static struct sent_value *read_body(const struct server *server, const struct http_request *request,
                                    struct refusal *refusal)
{
    return cm_server_is_ready(server, refusal) ? cm_sent_read(request->body, request->n_body, refusal) : NULL;
}

/* A token's text, or its bytes as numbers if it is not whole UTF-8. */
static void write_piece(struct json_writer *writer, const struct server *server, int32_t token)
{
    size_t            n = 0;
    const char *const bytes = calmoe_token_bytes(cm_server_model(server), token, 1, &n);
    cm_write_object(writer, NULL);
    cm_write_integer(writer, "id", token);
    if (cm_is_utf8(bytes, n)) {
        cm_write_bytes(writer, "piece", bytes, n);
    } else {
        cm_write_array(writer, "piece");
        for (size_t i = 0; i < n; i++) cm_write_integer(writer, NULL, (unsigned char)bytes[i]);
        cm_write_end_array(writer);
    }
    cm_write_end_object(writer);
}

/* The text is "content" for llama.cpp's clients and "prompt" for vLLM's, which may send a conversation instead. */
static bool read_tokenize(const struct server *server, const struct http_request *request,
                          const struct sent_value *body, bool *with_pieces, int32_t **tokens, int *n_tokens,
                          struct refusal *refusal)
{
    const char *text = "";
    size_t      n = 0;
    /* Each API has its own defaults. */
    bool        add_special = cm_sent_member(body, "content") == NULL, parse_special = true;
    if (!cm_read_text(body, "content", &text, refusal) || !cm_read_text(body, "prompt", &text, refusal) ||
        !cm_read_bool(body, "add_special", &add_special, refusal) ||
        !cm_read_bool(body, "add_special_tokens", &add_special, refusal) ||
        !cm_read_bool(body, "parse_special", &parse_special, refusal) ||
        !cm_read_bool(body, "with_pieces", with_pieces, refusal))
        return false;
    if (cm_sent_member(body, "messages") != NULL) {
        calmoe_chat_prompt *prompt = NULL;
        if (!cm_open_prompt(server, request->body, request->n_body, &prompt, refusal)) return false;
        const int32_t *const ids = calmoe_chat_prompt_tokens(prompt, &n);
        *tokens   = malloc((n + 1) * sizeof **tokens);
        *n_tokens = (int)n;
        if (*tokens != NULL) memcpy(*tokens, ids, n * sizeof **tokens);
        calmoe_chat_prompt_close(&prompt);
        return *tokens != NULL || cm_refuse_memory(refusal);
    }
    const struct sent_value *content = cm_sent_member(body, "content");
    if (content == NULL) content = cm_sent_member(body, "prompt");
    if (content == NULL) return cm_refuse(refusal, 400, "content", "'content' wants a text, found none");
    (void)cm_sent_string(content, &n);
    return cm_server_tokenize(server, text, n, (add_special ? (unsigned)CALMOE_TOKENIZE_BOS : 0u) |
                                                   (parse_special ? (unsigned)CALMOE_TOKENIZE_SPECIAL : 0u),
                              tokens, n_tokens, refusal);
}

void cm_serve_tokenize(struct server *server, struct http_exchange *exchange, const struct http_request *request)
{
    struct refusal     refusal = {0};
    struct json_writer writer = {.failed = false};
    int32_t           *tokens = NULL;
    int                n_tokens = 0;
    bool               with_pieces = false;
    struct sent_value *body = read_body(server, request, &refusal);
    if (body != NULL && read_tokenize(server, request, body, &with_pieces, &tokens, &n_tokens, &refusal)) {
        cm_write_object(&writer, NULL);
        cm_write_array(&writer, "tokens");
        for (int i = 0; i < n_tokens; i++) {
            if (with_pieces) write_piece(&writer, server, tokens[i]);
            else cm_write_integer(&writer, NULL, tokens[i]);
        }
        cm_write_end_array(&writer);
        cm_write_integer(&writer, "count", n_tokens);
        cm_write_integer(&writer, "max_model_len", cm_service_context(server->service));
        cm_write_end_object(&writer);
        cm_reply(exchange, 200, &writer);
    } else cm_reply_refusal(exchange, &refusal);
    free(tokens);
    cm_sent_free(body);
}

static bool read_detokenize(const struct server *server, const struct sent_value *body, char **text, size_t *n,
                            struct refusal *refusal)
{
    const struct sent_value *array = NULL;
    int32_t                 *tokens = NULL;
    int                      n_tokens = 0;
    if (!cm_read_value(body, "tokens", SENT_ARRAY, &array, refusal)) return false;
    if (array == NULL) return cm_refuse(refusal, 400, "tokens", "'tokens' wants an array of tokens, found none");
    const bool is_fine = cm_read_tokens(server, array, "tokens", &tokens, &n_tokens, refusal) &&
                         cm_tokens_text(server, tokens, n_tokens, text, n, refusal);
    free(tokens);
    return is_fine;
}

/* other: a second name of the member, or NULL. */
static void reply_text(struct http_exchange *exchange, const char *name, const char *other, const char *text, size_t n)
{
    struct json_writer writer = {.failed = false};
    cm_write_object(&writer, NULL);
    cm_write_bytes(&writer, name, text, n);
    if (other != NULL) cm_write_bytes(&writer, other, text, n);
    cm_write_end_object(&writer);
    cm_reply(exchange, 200, &writer);
}

void cm_serve_detokenize(struct server *server, struct http_exchange *exchange, const struct http_request *request)
{
    struct refusal     refusal = {0};
    char              *text = NULL;
    size_t             n = 0;
    struct sent_value *body = read_body(server, request, &refusal);
    if (body != NULL && read_detokenize(server, body, &text, &n, &refusal))
        reply_text(exchange, "content", "prompt", text, n);
    else cm_reply_refusal(exchange, &refusal);
    free(text);
    cm_sent_free(body);
}

void cm_serve_template(struct server *server, struct http_exchange *exchange, const struct http_request *request)
{
    struct refusal      refusal = {0};
    calmoe_chat_prompt *prompt = NULL;
    size_t              n = 0;
    struct sent_value *body = read_body(server, request, &refusal);
    if (body != NULL && cm_open_prompt(server, request->body, request->n_body, &prompt, &refusal)) {
        const char *const text = calmoe_chat_prompt_text(prompt, &n);
        reply_text(exchange, "prompt", NULL, text, n);
    } else cm_reply_refusal(exchange, &refusal);
    calmoe_chat_prompt_close(&prompt);
    cm_sent_free(body);
}
