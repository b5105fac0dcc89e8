/* tools/serve/prompts.h - reads the "prompt" of a request: one or several texts or lists of tokens. */
#ifndef TOOLS_SERVE_PROMPTS_H
#define TOOLS_SERVE_PROMPTS_H

#include <calmoe/chat.h>

#include "tools/serve/server.h"

struct prompt { /* borrowed from the request's document: a text, or an array of texts and tokens */
    const struct sent_value *value;
};
struct prompt_list {
    struct prompt *at;
    size_t         n;
};

/* Reads "prompt": a text, an array of tokens, or an array of either. False, and the refusal filled. */
bool cm_read_prompts(const struct sent_value *body, struct prompt_list *prompts, size_t max, struct refusal *refusal);
void cm_prompts_close(struct prompt_list *prompts);
/* Returns true, and fills the refusal, if the request has a "suffix": the text before it is to be filled in, for which
 * models here are not trained. */
bool cm_refuses_suffix(const struct sent_value *body, struct refusal *refusal);

/* The prompt's tokens, to be freed. begins: a text begins with the beginning-of-sequence token, if the file wants
 * one. */
bool cm_prompt_tokens(const struct server *server, const struct prompt *prompt, bool begins, int32_t **tokens,
                      int *n_tokens, struct refusal *refusal);
/* The prompt's text, to be freed; tokens are decoded. */
bool cm_prompt_text(const struct server *server, const struct prompt *prompt, char **text, size_t *n_text,
                    struct refusal *refusal);
/* The text of tokens, to be freed. */
bool cm_tokens_text(const struct server *server, const int32_t *tokens, int n_tokens, char **text, size_t *n_text,
                    struct refusal *refusal);
/* The prompt of a conversation in the form of chat completions (n_bytes of JSON). */
bool cm_open_prompt(const struct server *server, const char *conversation, size_t n_bytes, calmoe_chat_prompt **out,
                    struct refusal *refusal);
/* An array of tokens, to be freed. name: its name, for refusals. */
bool cm_read_tokens(const struct server *server, const struct sent_value *array, const char *name, int32_t **tokens,
                    int *n_tokens, struct refusal *refusal);

#endif
