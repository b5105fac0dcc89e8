/* runtime/api/chat.c - conversations as prompts, and answers as what they say (calmoe/chat.h). */
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/options.h"
#include "runtime/engine/handles.h"
#include "runtime/text/answer_parser.h"
#include "runtime/text/chat_prompt.h"

/* ---- prompts ---- */

struct calmoe_chat_prompt {
    struct chat_prompt *prompt;
};

void calmoe_chat_prompt_options_init(calmoe_chat_prompt_options *options)
{
    if (options) *options = (calmoe_chat_prompt_options){.size = sizeof *options};
}

static struct chat_template as_source(const struct file_template *from)
{
    return (struct chat_template){from->program, from->text.bytes, (size_t)from->text.n_bytes, from->problem};
}

/* What the conversation is written with: the format of this name, else the file's templates. */
static calmoe_status choose_source(struct calmoe_context *ctx, const calmoe_model *model,
                                   const calmoe_chat_prompt_options *options, struct chat_format **format,
                                   struct chat_prompt_source *source)
{
    *format = NULL;
    *source = (struct chat_prompt_source){.plain = as_source(&model->plain), .for_tools = as_source(&model->for_tools),
                                          .tokenizer = model->tokenizer,
                                          .now = options->now ? options->now : (int64_t)time(NULL)};
    if (options->chat_format) {
        CM_TRY(cm_chat_format_of_name(ctx, options->chat_format, model->tokenizer, format));
        source->format = *format;
        return CALMOE_OK;
    }
    if (model->plain.program) return CALMOE_OK;
    return cm_fail(ctx, CALMOE_UNSUPPORTED, "'%s' cannot write conversations: %s", model->path,
                   model->plain.problem);
}

calmoe_status calmoe_chat_prompt_open(calmoe_context *ctx, const calmoe_model *model, const char *conversation,
                                      size_t n_bytes, const calmoe_chat_prompt_options *given, calmoe_chat_prompt **out)
{
    calmoe_chat_prompt_options options;
    struct chat_prompt_source  source;
    struct chat_format        *format;
    if (out) *out = NULL;
    if (!model || !out || (!conversation && n_bytes > 0))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "calmoe_chat_prompt_open: model, conversation and out are needed");
    if (!model->tokenizer)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "'%s' was opened without its vocabulary", model->path);
    calmoe_chat_prompt_options_init(&options);
    CM_TRY(cm_options_copy(ctx, "calmoe_chat_prompt_options", &options, sizeof options, given));
    CM_TRY(choose_source(ctx, model, &options, &format, &source));
    calmoe_chat_prompt *prompt = cm_alloc(ctx, 1, sizeof *prompt, "a prompt");
    calmoe_status       status = prompt ? CALMOE_OK : CALMOE_NO_MEMORY;
    if (status == CALMOE_OK) status = cm_chat_prompt_open(ctx, &source, conversation, n_bytes, &prompt->prompt);
    if (format) cm_chat_format_close(&format);
    if (status != CALMOE_OK) calmoe_chat_prompt_close(&prompt);
    *out = prompt;
    return status;
}

void calmoe_chat_prompt_close(calmoe_chat_prompt **prompt)
{
    if (!prompt || !*prompt) return;
    cm_chat_prompt_close(&(*prompt)->prompt);
    cm_free(*prompt);
    *prompt = NULL;
}

const char *calmoe_chat_prompt_text(const calmoe_chat_prompt *prompt, size_t *n_bytes)
{
    if (n_bytes) *n_bytes = prompt ? prompt->prompt->text.n : 0;
    return prompt ? prompt->prompt->text.text : "";
}

const unsigned char *calmoe_chat_prompt_marks(const calmoe_chat_prompt *prompt)
{
    return prompt ? prompt->prompt->text.marks : NULL;
}

const int32_t *calmoe_chat_prompt_tokens(const calmoe_chat_prompt *prompt, size_t *n_tokens)
{
    if (n_tokens) *n_tokens = prompt ? (size_t)prompt->prompt->tokens.n : 0;
    return prompt ? prompt->prompt->tokens.ids : NULL;
}

int64_t calmoe_chat_prompt_turn_begin(const calmoe_chat_prompt *prompt)
{
    return prompt ? prompt->prompt->turn_begin : -1;
}

int64_t calmoe_chat_prompt_turn_end(const calmoe_chat_prompt *prompt)
{
    return prompt ? prompt->prompt->turn_end : -1;
}

/* ---- answers ---- */

struct calmoe_answer_parser {
    struct calmoe_context *ctx;
    struct answer_parser  *parser;
    calmoe_answer_fn       on_event;
    void                  *user;
};

static const int kinds[] = {
    [ANSWER_TEXT] = CALMOE_ANSWER_TEXT, [ANSWER_REASONING] = CALMOE_ANSWER_REASONING,
    [ANSWER_CALL_BEGIN] = CALMOE_ANSWER_CALL_BEGIN, [ANSWER_CALL_ARGUMENTS] = CALMOE_ANSWER_CALL_ARGUMENTS,
    [ANSWER_CALL_END] = CALMOE_ANSWER_CALL_END,
};

static void hand_on(void *user, const struct answer_told *told)
{
    const calmoe_answer_parser *parser = user;
    const calmoe_answer_event   event = {kinds[told->kind], told->text, told->n, told->call, told->id};
    parser->on_event(parser->user, &event);
}

void calmoe_answer_parser_options_init(calmoe_answer_parser_options *options)
{
    if (options) *options = (calmoe_answer_parser_options){.size = sizeof *options};
}

static calmoe_status open_inside(calmoe_answer_parser *parser, const calmoe_model *model,
                                 const calmoe_chat_prompt *prompt, const calmoe_answer_parser_options *options)
{
    const struct chat_template tmpl = prompt ? prompt->prompt->written_with : as_source(&model->plain);
    const struct answer_source source = {.tmpl = tmpl.text, .n_tmpl = tmpl.n_text,
                                         .tokenizer = model->tokenizer, .prompt = prompt ? prompt->prompt : NULL,
                                         .tell = hand_on, .user = parser, .no_calls = options->no_calls != 0,
                                         .no_reasoning = options->no_reasoning != 0};
    return cm_answer_parser_open(parser->ctx, &source, &parser->parser);
}

calmoe_status calmoe_answer_parser_open(calmoe_context *ctx, const calmoe_model *model,
                                        const calmoe_chat_prompt *prompt, const calmoe_answer_parser_options *given,
                                        calmoe_answer_parser **out)
{
    calmoe_answer_parser_options options;
    if (out) *out = NULL;
    calmoe_answer_parser_options_init(&options);
    CM_TRY(cm_options_copy(ctx, "calmoe_answer_parser_options", &options, sizeof options, given));
    if (!model || !model->tokenizer || !out || !options.on_event)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "calmoe_answer_parser_open: a model with its vocabulary, on_event, and out are needed");
    calmoe_answer_parser *parser = cm_alloc(ctx, 1, sizeof *parser, "a parser of answers");
    if (!parser) return CALMOE_NO_MEMORY;
    parser->ctx = ctx;
    parser->on_event = options.on_event;
    parser->user = options.on_event_user;
    const calmoe_status status = open_inside(parser, model, prompt, &options);
    if (status != CALMOE_OK) calmoe_answer_parser_close(&parser);
    *out = parser;
    return status;
}

void calmoe_answer_parser_close(calmoe_answer_parser **parser)
{
    if (!parser || !*parser) return;
    cm_answer_parser_close(&(*parser)->parser);
    cm_free(*parser);
    *parser = NULL;
}

calmoe_status calmoe_answer_parser_put(calmoe_answer_parser *parser, const char *bytes, size_t n_bytes, int is_control)
{
    if (!parser || (!bytes && n_bytes > 0))
        return cm_fail(parser ? parser->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_answer_parser_put: parser and bytes are needed");
    return cm_answer_parser_put(parser->parser, bytes, n_bytes, is_control != 0);
}

calmoe_status calmoe_answer_parser_put_token(calmoe_answer_parser *parser, int32_t token)
{
    if (!parser) return CALMOE_INVALID_ARGUMENT;
    return cm_answer_parser_put_token(parser->parser, token);
}

calmoe_status calmoe_answer_parser_finish(calmoe_answer_parser *parser)
{
    if (!parser) return CALMOE_INVALID_ARGUMENT;
    return cm_answer_parser_finish(parser->parser);
}

int calmoe_answer_parser_in_text(const calmoe_answer_parser *parser)
{
    return parser && cm_answer_parser_in_text(parser->parser);
}
