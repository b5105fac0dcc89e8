/* tokenizer.c - opens a tokenizer out of a file's metadata, and answers questions about its tokens. */
#include "runtime/text/tokenizer.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/text/tokenizer_parts.h"

static bool equals(struct meta_string text, const char *word)
{
    return text.n_bytes == strlen(word) && !memcmp(text.bytes, word, (size_t)text.n_bytes);
}

/* For "%.*s": untrusted text, shortened. */
static int shown_bytes(struct meta_string text)
{
    return text.n_bytes < 80 ? (int)text.n_bytes : 80;
}

static calmoe_status choose_row(struct calmoe_context *ctx, const struct model_file *file,
                                struct meta_string model, struct tokenizer *tokenizer)
{
    struct meta_string pre = { "default", 7 };
    if (equals(model, "gemma4")) pre = model; /* files of the family name their rules there */
    else CM_TRY(cm_meta_get_string(ctx, file, "tokenizer.ggml.pre", &pre));
    tokenizer->row = cm_pretokenizer_row(pre.bytes, (size_t)pre.n_bytes);
    if (!tokenizer->row)
        return cm_fail(ctx, CALMOE_UNSUPPORTED, "'%s': pre-tokenizer '%.*s' is not known to this version",
                       file->name, shown_bytes(pre), pre.bytes);
    if (equals(pre, "default"))
        cm_log(ctx, "'%s' does not say which pre-tokenizer it wants; texts may be cut in other places than "
               "the model is used to", file->name);
    snprintf(tokenizer->name, sizeof tokenizer->name, "bpe/%.*s", (int)pre.n_bytes, pre.bytes);
    return cm_pretokenizer_open(ctx, tokenizer->row, &tokenizer->pretokenizer);
}

static calmoe_status read(struct calmoe_context *ctx, const struct model_file *file, struct tokenizer *tokenizer)
{
    struct meta_string model;
    CM_TRY(cm_meta_need_string(ctx, file, "tokenizer.ggml.model", &model));
    tokenizer->is_spm = equals(model, "llama");
    if (!tokenizer->is_spm && !equals(model, "gemma4") && !equals(model, "gpt2"))
        return cm_fail(ctx, CALMOE_UNSUPPORTED, "'%s': tokenizer model '%.*s' is not known to this version; "
                       "'gpt2', 'llama' and 'gemma4' are", file->name, shown_bytes(model), model.bytes);
    if (tokenizer->is_spm)
        snprintf(tokenizer->name, sizeof tokenizer->name, "spm");
    else
        CM_TRY(choose_row(ctx, file, model, tokenizer));
    tokenizer->is_plain = tokenizer->is_spm || tokenizer->row->is_plain;
    CM_TRY(cm_vocabulary_read(ctx, file, tokenizer));
    CM_TRY(cm_merge_rules_read(ctx, file, tokenizer));
    return cm_special_tokens_read(ctx, file, tokenizer);
}

calmoe_status cm_tokenizer_open(struct calmoe_context *ctx, const struct model_file *file,
                                struct tokenizer **out)
{
    *out = NULL;
    struct tokenizer *tokenizer = cm_alloc(ctx, 1, sizeof *tokenizer, "a tokenizer");
    if (!tokenizer) return CALMOE_NO_MEMORY;
    const calmoe_status status = read(ctx, file, tokenizer);
    if (status != CALMOE_OK) cm_tokenizer_close(&tokenizer);
    *out = tokenizer;
    return status;
}

void cm_tokenizer_close(struct tokenizer **tokenizer)
{
    if (!*tokenizer) return;
    cm_pretokenizer_close(&(*tokenizer)->pretokenizer);
    cm_free((*tokenizer)->tokens);
    cm_free((*tokenizer)->arena);
    cm_free((*tokenizer)->slots);
    cm_free((*tokenizer)->orders);
    cm_free((*tokenizer)->rules);
    cm_free((*tokenizer)->always.ids);
    cm_free((*tokenizer)->with_special.ids);
    cm_free(*tokenizer);
    *tokenizer = NULL;
}

/* ---- questions ---- */

static const struct token *token_of(const struct tokenizer *tokenizer, int32_t id)
{
    return id >= 0 && id < tokenizer->n_tokens ? &tokenizer->tokens[id] : NULL;
}

const char *cm_token_bytes(const struct tokenizer *tokenizer, int32_t id, bool show_special, int *n_bytes)
{
    const struct token *token = token_of(tokenizer, id);
    *n_bytes = 0;
    if (!token) return "";
    const bool is_hidden = token->type == TOKEN_CONTROL || token->type == TOKEN_UNKNOWN ||
                           token->type == TOKEN_UNUSED;
    if (is_hidden && !token->is_shown && !show_special) return "";
    *n_bytes = is_hidden ? token->n_text : token->n_bytes;
    return is_hidden ? token->text : token->bytes;
}

int32_t cm_tokenizer_n_tokens(const struct tokenizer *tokenizer)
{
    return tokenizer->n_tokens;
}

bool cm_token_ends_generation(const struct tokenizer *tokenizer, int32_t id)
{
    const struct token *token = token_of(tokenizer, id);
    return token && token->ends_generation;
}

bool cm_token_is_special(const struct tokenizer *tokenizer, int32_t id)
{
    const struct token *token = token_of(tokenizer, id);
    return token && (token->type == TOKEN_CONTROL || token->type == TOKEN_UNKNOWN || token->type == TOKEN_USER_DEFINED);
}

bool cm_token_is_usable(const struct tokenizer *tokenizer, int32_t id)
{
    const struct token *token = token_of(tokenizer, id);
    return token && token->type != TOKEN_UNUSED;
}

int32_t cm_tokenizer_bos(const struct tokenizer *tokenizer)
{
    return tokenizer->bos;
}

int32_t cm_tokenizer_eos(const struct tokenizer *tokenizer)
{
    return tokenizer->eos;
}

bool cm_tokenizer_adds_bos(const struct tokenizer *tokenizer)
{
    return tokenizer->adds_bos;
}

const char *cm_tokenizer_name(const struct tokenizer *tokenizer)
{
    return tokenizer->name;
}
