/* tools/serve/prompts.c - see prompts.h. */
#include "tools/serve/prompts.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- reading the request ---- */

static bool is_token_list(const struct sent_value *value)
{
    return cm_sent_kind(value) == SENT_ARRAY && cm_sent_n(value) > 0 &&
           cm_sent_kind(cm_sent_at(value, 0)) == SENT_INTEGER;
}

bool cm_read_prompts(const struct sent_value *body, struct prompt_list *prompts, size_t max, struct refusal *refusal)
{
    const struct sent_value *given = cm_sent_member(body, "prompt");
    const bool   is_one = cm_sent_kind(given) == SENT_TEXT || is_token_list(given);
    const size_t n = is_one ? 1 : cm_sent_n(given);
    if (!is_one && cm_sent_kind(given) != SENT_ARRAY)
        return cm_refuse(refusal, 400, "prompt", "'prompt' wants a text, tokens, or an array of them, found %s",
                         given == NULL ? "none" : cm_sent_kind_name(given));
    if (n > 1 && max == 1) return cm_refuse(refusal, 400, "prompt", "'prompt' wants one prompt, found %zu", n);
    if (n == 0 || n > max)
        return cm_refuse(refusal, 400, "prompt", "'prompt' wants 1 to %zu prompts, found %zu", max, n);
    prompts->at = calloc(n, sizeof *prompts->at);
    if (prompts->at == NULL) return cm_refuse_memory(refusal);
    prompts->n = n;
    for (size_t i = 0; i < n; i++) {
        prompts->at[i].value = is_one ? given : cm_sent_at(given, i);
        if (cm_sent_kind(prompts->at[i].value) != SENT_TEXT && cm_sent_kind(prompts->at[i].value) != SENT_ARRAY)
            return cm_refuse(refusal, 400, "prompt", "'prompt' wants texts or arrays of tokens, found %s",
                             cm_sent_kind_name(prompts->at[i].value));
    }
    return true;
}

void cm_prompts_close(struct prompt_list *prompts)
{
    free(prompts->at);
    prompts->at = NULL;
}

bool cm_refuses_suffix(const struct sent_value *body, struct refusal *refusal)
{
    const char *suffix = "";
    if (!cm_read_text(body, "suffix", &suffix, refusal)) return true;
    if (suffix[0] == '\0') return false;
    return !cm_refuse(refusal, 400, "suffix", "'suffix' is not supported: texts are continued, not filled in");
}

/* ---- tokens and texts ---- */

bool cm_server_tokenize(const struct server *server, const char *text, size_t n_bytes, unsigned flags,
                        int32_t **tokens, int *n_tokens, struct refusal *refusal)
{
    size_t        capacity = n_bytes / 2 + 16, n = 0;
    calmoe_status status = CALMOE_FULL;
    *tokens              = NULL;
    while (status == CALMOE_FULL) {
        if (n > capacity) capacity = n;
        int32_t *larger = realloc(*tokens, capacity * sizeof **tokens);
        status          = CALMOE_NO_MEMORY;
        if (larger == NULL) break;
        *tokens = larger;
        status  = calmoe_tokenize(NULL, cm_server_model(server), text, n_bytes, flags, *tokens, capacity, &n);
    }
    *n_tokens = (int)n;
    if (status == CALMOE_OK && n <= INT_MAX) return true;
    free(*tokens);
    *tokens = NULL;
    return cm_refuse_memory(refusal);
}

bool cm_read_tokens(const struct server *server, const struct sent_value *array, const char *name, int32_t **tokens,
                    int *n_tokens, struct refusal *refusal)
{
    const size_t n = cm_sent_n(array);
    const int    n_vocab = cm_service_model(server->service)->n_vocab;
    *tokens              = malloc((n + 1) * sizeof **tokens);
    if (*tokens == NULL) return cm_refuse_memory(refusal);
    for (size_t i = 0; i < n; i++) {
        const struct sent_value *value = cm_sent_at(array, i);
        const int64_t            token = cm_sent_int(value);
        if (cm_sent_kind(value) != SENT_INTEGER || token < 0 || token >= n_vocab)
            return cm_refuse(refusal, 400, name, "'%s' wants tokens from 0 to %d; number %zu is none", name,
                             n_vocab - 1, i);
        (*tokens)[i] = (int32_t)token;
    }
    *n_tokens = (int)n;
    return true;
}

bool cm_prompt_tokens(const struct server *server, const struct prompt *prompt, bool begins, int32_t **tokens,
                      int *n_tokens, struct refusal *refusal)
{
    size_t            n = 0;
    const char *const text = cm_sent_string(prompt->value, &n);
    const unsigned    flags = CALMOE_TOKENIZE_SPECIAL | (begins ? (unsigned)CALMOE_TOKENIZE_BOS : 0u);
    if (text == NULL ? !cm_read_tokens(server, prompt->value, "prompt", tokens, n_tokens, refusal)
                     : !cm_server_tokenize(server, text, n, flags, tokens, n_tokens, refusal))
        return false;
    if (*n_tokens > 0) return true;
    return cm_refuse(refusal, 400, "prompt", "'prompt' is empty, and the model has no token that begins a text");
}

bool cm_tokens_text(const struct server *server, const int32_t *tokens, int n_tokens, char **text, size_t *n_text,
                    struct refusal *refusal)
{
    struct bytes all = {0};
    bool         is_fine = cm_bytes_append(&all, "", 0);
    for (int i = 0; is_fine && i < n_tokens; i++) {
        size_t            n = 0;
        const char *const bytes = calmoe_token_bytes(cm_server_model(server), tokens[i], 1, &n);
        is_fine = cm_bytes_append(&all, bytes, n);
    }
    *text   = all.at;
    *n_text = all.n;
    return is_fine || cm_refuse_memory(refusal);
}

bool cm_prompt_text(const struct server *server, const struct prompt *prompt, char **text, size_t *n_text,
                    struct refusal *refusal)
{
    size_t            n = 0;
    const char *const given = cm_sent_string(prompt->value, &n);
    if (given == NULL) {
        int32_t *tokens = NULL;
        int      n_tokens = 0;
        const bool is_fine = cm_read_tokens(server, prompt->value, "prompt", &tokens, &n_tokens, refusal) &&
                             cm_tokens_text(server, tokens, n_tokens, text, n_text, refusal);
        free(tokens);
        return is_fine;
    }
    *text   = malloc(n + 1);
    *n_text = n;
    if (*text == NULL) return cm_refuse_memory(refusal);
    memcpy(*text, given, n + 1);
    return true;
}

bool cm_open_prompt(const struct server *server, const char *conversation, size_t n_bytes, calmoe_chat_prompt **out,
                    struct refusal *refusal)
{
    calmoe_context *context = NULL; /* of this thread, for the sentence of a failure */
    if (calmoe_context_open(NULL, &context) != CALMOE_OK) return cm_refuse_memory(refusal);
    const calmoe_status status =
        calmoe_chat_prompt_open(context, cm_server_model(server), conversation, n_bytes, NULL, out);
    if (status == CALMOE_UNSUPPORTED) refusal->type = "not_supported_error";
    if (status == CALMOE_NO_MEMORY) (void)cm_refuse_memory(refusal);
    else if (status != CALMOE_OK) (void)cm_refuse(refusal, 400, NULL, "%s", calmoe_context_message(context));
    calmoe_context_close(&context);
    return status == CALMOE_OK;
}
