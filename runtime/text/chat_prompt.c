/* chat_prompt.c - renders a conversation, finds in the text where the last turn begins and where what asks for an
 * answer begins, and makes tokens of it: special ones only of what the template wrote. */
#include "runtime/text/chat_prompt.h"

#include <string.h>

#include "base/memory.h"
#include "runtime/text/conversation.h"
#include "runtime/text/tokenizer_parts.h"

/* ---- text ---- */

static bool mentions(const struct chat_template *tmpl, const char *word)
{
    return tmpl->n_text > 0 && memmem(tmpl->text, tmpl->n_text, word, strlen(word));
}

static calmoe_status choose_template(struct calmoe_context *ctx, const struct chat_prompt_source *source,
                                     const struct conversation *conversation, struct chat_template *out)
{
    const struct json_value tools = cm_json_get(&conversation->root, "tools");
    const bool              has_tools = cm_json_length(&tools) > 0;
    *out = has_tools && source->for_tools.n_text > 0 ? source->for_tools : source->plain;
    if (out->program || source->format) return CALMOE_OK;
    return cm_fail(ctx, CALMOE_UNSUPPORTED, "the file's chat template for tools cannot be read: %s", out->problem);
}

static calmoe_status render(struct calmoe_context *ctx, const struct chat_prompt_source *source,
                            const struct chat_template *tmpl, struct conversation *conversation,
                            struct template_text *out)
{
    struct chat_tokens tokens;
    cm_chat_tokens(source->tokenizer, &tokens);
    const struct template_input input = { .define = cm_conversation_define, .user = conversation,
                                          .n_bytes = conversation->n_bytes, .now = source->now,
                                          .bos = tokens.bos[0] ? tokens.bos : NULL,
                                          .eos = tokens.eos[0] ? tokens.eos : NULL };
    conversation->knows_developer = mentions(tmpl, "developer");
    conversation->knows_thinking = mentions(tmpl, ".thinking") || mentions(tmpl, "\"thinking\"") ||
                                   mentions(tmpl, "'thinking'");
    conversation->format = source->format;
    if (source->format) return cm_template_print(ctx, &input, cm_conversation_in_format, conversation, out);
    return cm_template_render(ctx, tmpl->program, &input, out);
}

/* An answer that goes on is the end of the text, whatever the template wrote behind it. */
static calmoe_status cut_behind_answer(struct calmoe_context *ctx, const struct conversation *conversation,
                                       struct template_text *text)
{
    size_t n = text->n;
    if (!conversation->goes_on) return CALMOE_OK;
    while (n > 0 && text->marks[n - 1] != MARK_PREFILL) n--;
    if (n == 0)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "messages: the template does not write the last one, which the answer is to go on from");
    text->n = n;
    text->text[n] = '\0';
    return CALMOE_OK;
}

/* Where the last user's turn begins: behind the token that ended what stands before his text, and white space. n where
 * his text is not there. */
static size_t find_turn(const struct tokenizer *tokenizer, const struct template_text *text)
{
    size_t at = 0, begin, turn;
    while (at < text->n && text->marks[at] != MARK_LAST_USER) at++;
    if (at == text->n) return text->n;
    for (begin = at; begin > 0 && text->marks[begin - 1] == MARK_TEMPLATE;) begin--;
    turn = begin;
    while (begin < at) {
        const int32_t id = cm_special_at(tokenizer, &tokenizer->with_special, text->text + begin, at - begin);
        begin += id >= 0 ? tokenizer->tokens[id].n_text : 1;
        if (id < 0 || !cm_token_ends_generation(tokenizer, id)) continue;
        while (begin < at && strchr(" \n\t", text->text[begin])) begin++;
        if (begin < at) turn = begin;
    }
    return turn;
}

/* Behind the last text of the conversation but an answer's that goes on. */
static size_t find_tail(const struct template_text *text)
{
    size_t at = text->n;
    while (at > 0 && (text->marks[at - 1] == MARK_TEMPLATE || text->marks[at - 1] == MARK_PREFILL)) at--;
    return at;
}

/* ---- tokens ---- */

static size_t count_parts(const struct template_text *text, size_t n_bytes)
{
    size_t n = 1;
    for (size_t i = 1; i < n_bytes; i++) n += text->marks[i] != text->marks[i - 1];
    return n;
}

/* Tokens of the first n_bytes of a text whose marks are 0 and 1. */
static calmoe_status tokenize(struct calmoe_context *ctx, const struct tokenizer *tokenizer,
                              const struct template_text *text, size_t n_bytes, struct token_list *list)
{
    const struct token *bos = tokenizer->adds_bos ? &tokenizer->tokens[tokenizer->bos] : NULL;
    const bool          has_bos = bos && bos->n_text > 0 && n_bytes >= bos->n_text && text->marks[0] == 0 &&
                         !memcmp(text->text, bos->text, bos->n_text);
    struct text_part   *parts = cm_alloc(ctx, count_parts(text, n_bytes), sizeof *parts, "a conversation");
    int                 n = 0;
    if (!parts) return CALMOE_NO_MEMORY;
    for (size_t begin = 0, at = 1; begin < n_bytes; at++) {
        if (at < n_bytes && text->marks[at] == text->marks[begin]) continue;
        parts[n++] = (struct text_part){ text->text + begin, at - begin, text->marks[begin] == 0 };
        begin = at;
    }
    calmoe_status status = bos && !has_bos ? cm_token_list_put(ctx, list, tokenizer->bos) : CALMOE_OK;
    if (status == CALMOE_OK) status = cm_tokenize_parts(ctx, tokenizer, parts, n, TOKENIZE_SPARE_SPACE, list);
    cm_free(parts);
    return status;
}

/* The token that begins at a byte, or the one that reaches across it. */
static calmoe_status token_at(struct calmoe_context *ctx, const struct tokenizer *tokenizer,
                              const struct chat_prompt *prompt, size_t byte, int *token)
{
    struct token_list   before = { .n = 0 };
    const calmoe_status status = tokenize(ctx, tokenizer, &prompt->text, byte, &before);
    for (*token = 0; *token < before.n && *token < prompt->tokens.n; ++*token)
        if (before.ids[*token] != prompt->tokens.ids[*token]) break;
    cm_token_list_close(&before);
    return status;
}

/* ---- schemas ---- */

static bool is_text_type(const struct json_value *type)
{
    size_t      n;
    const char *bytes = cm_json_bytes(type, &n);
    return cm_json_sort(type) == JSON_IS_TEXT && n == 6 && !memcmp(bytes, "string", 6);
}

/* Whether a schema allows texts only. */
static bool allows_only_text(const struct json_value *schema)
{
    const struct json_value type = cm_json_get(schema, "type"), values = cm_json_get(schema, "enum");
    if (cm_json_sort(&type) == JSON_IS_TEXT) return is_text_type(&type);
    if (cm_json_sort(&type) == JSON_IS_ARRAY) {
        const struct json_value only = cm_json_element(&type, 0);
        return cm_json_length(&type) == 1 && is_text_type(&only);
    }
    bool is_text = cm_json_length(&values) > 0;
    for (size_t i = 0; i < cm_json_length(&values); i++) {
        const struct json_value value = cm_json_element(&values, i);
        is_text = is_text && cm_json_sort(&value) == JSON_IS_TEXT;
    }
    return is_text;
}

/* Adds a row, or where list is NULL only counts it and the bytes of its texts. */
static void add_parameter(struct tool_parameter *list, char *texts, size_t *n, size_t *n_bytes, const char *function,
                          const char *name, bool is_text)
{
    const char *pair[2] = { function, name };
    for (int k = 0; k < 2; k++) {
        const size_t n_text = strlen(pair[k]) + 1;
        if (list) pair[k] = memcpy(texts + *n_bytes, pair[k], n_text);
        *n_bytes += n_text;
    }
    if (list) list[*n] = (struct tool_parameter){ pair[0], pair[1], is_text };
    ++*n;
}

/* Walks all tools, each a row without a name of a parameter, and their parameters. */
static void walk_parameters(const struct conversation *conversation, struct tool_parameter *list, char *texts,
                            size_t *n, size_t *n_bytes)
{
    const struct json_value tools = cm_json_get(&conversation->root, "tools");
    *n = *n_bytes = 0;
    for (size_t i = 0; i < cm_json_length(&tools); i++) {
        const struct json_value tool = cm_json_element(&tools, i), function = cm_json_get(&tool, "function");
        const struct json_value name = cm_json_get(&function, "name");
        const struct json_value schema = cm_json_get(&function, "parameters"), all = cm_json_get(&schema, "properties");
        struct json_value       parameter = {0};
        size_t                  n_name;
        const char             *function_name = cm_json_bytes(&name, &n_name);
        add_parameter(list, texts, n, n_bytes, function_name, "", false);
        while (cm_json_sort(&all) == JSON_IS_OBJECT && cm_json_next(&all, &parameter))
            add_parameter(list, texts, n, n_bytes, function_name, parameter.key, allows_only_text(&parameter));
    }
}

static calmoe_status read_parameters(struct calmoe_context *ctx, const struct conversation *conversation,
                                     struct tool_parameters *out)
{
    size_t n_texts;
    walk_parameters(conversation, NULL, NULL, &out->n, &n_texts);
    out->n_bytes = out->n * sizeof *out->list + n_texts;
    out->list = cm_alloc(ctx, out->n_bytes, 1, "the tools");
    if (!out->list) return CALMOE_NO_MEMORY;
    walk_parameters(conversation, out->list, (char *)(out->list + out->n), &out->n, &n_texts);
    return CALMOE_OK;
}

/* ---- prompts ---- */

static calmoe_status fill(struct calmoe_context *ctx, const struct chat_prompt_source *source,
                          struct conversation *conversation, struct chat_prompt *prompt)
{
    struct template_text *text = &prompt->text;
    CM_TRY(choose_template(ctx, source, conversation, &prompt->written_with));
    CM_TRY(render(ctx, source, &prompt->written_with, conversation, text));
    CM_TRY(cut_behind_answer(ctx, conversation, text));
    const size_t turn = find_turn(source->tokenizer, text);
    prompt->tail = find_tail(text);
    for (size_t i = 0; i < text->n; i++) text->marks[i] = text->marks[i] != MARK_TEMPLATE;
    CM_TRY(tokenize(ctx, source->tokenizer, text, text->n, &prompt->tokens));
    prompt->turn_begin = prompt->turn_end = -1;
    if (prompt->tail > 0 && prompt->tail < text->n)
        CM_TRY(token_at(ctx, source->tokenizer, prompt, prompt->tail, &prompt->turn_end));
    if (turn < text->n) CM_TRY(token_at(ctx, source->tokenizer, prompt, turn, &prompt->turn_begin));
    return read_parameters(ctx, conversation, &prompt->parameters);
}

calmoe_status cm_chat_prompt_open(struct calmoe_context *ctx, const struct chat_prompt_source *source,
                                  const char *text, size_t n_bytes, struct chat_prompt **out)
{
    struct conversation conversation;
    struct chat_prompt *prompt = *out = NULL;
    calmoe_status       status = cm_conversation_open(ctx, text, n_bytes, &conversation);
    if (status == CALMOE_OK) {
        prompt = cm_alloc(ctx, 1, sizeof *prompt, "a prompt");
        status = prompt ? fill(ctx, source, &conversation, prompt) : CALMOE_NO_MEMORY;
    }
    cm_conversation_close(&conversation);
    if (status != CALMOE_OK) cm_chat_prompt_close(&prompt);
    *out = prompt;
    return status;
}

void cm_chat_prompt_close(struct chat_prompt **prompt)
{
    if (!*prompt) return;
    cm_template_text_close(&(*prompt)->text);
    cm_token_list_close(&(*prompt)->tokens);
    cm_free((*prompt)->parameters.list);
    cm_free(*prompt);
    *prompt = NULL;
}
