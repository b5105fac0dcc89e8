/* runtime/api/chat.c - conversations as prompts, and answers as what they say (calmoe/chat.h). */
#include <string.h>
#include <time.h>

#include "base/memory.h"
#include "base/options.h"
#include "runtime/engine/handles.h"
#include "runtime/text/chat_prompt.h"

/* ---- prompts ---- */

struct calmoe_chat_prompt {
    struct chat_prompt *prompt;
};

void calmoe_chat_prompt_options_init(calmoe_chat_prompt_options *options)
{
    if (options) *options = (calmoe_chat_prompt_options){.size = sizeof *options};
}

/* What the conversation is written with: the format of this name, else the file's template. */
static calmoe_status choose_source(struct calmoe_context *ctx, const calmoe_model *model,
                                   const calmoe_chat_prompt_options *options, struct chat_format **format,
                                   struct chat_prompt_source *source)
{
    *format = NULL;
    *source = (struct chat_prompt_source){.tmpl = model->tmpl, .tokenizer = model->tokenizer,
                                          .template_text = model->template_text.bytes,
                                          .n_template = (size_t)model->template_text.n_bytes,
                                          .now = options->now ? options->now : (int64_t)time(NULL)};
    if (options->chat_format) {
        CM_TRY(cm_chat_format_of_name(ctx, options->chat_format, model->tokenizer, format));
        source->format = *format;
        return CALMOE_OK;
    }
    if (model->tmpl) return CALMOE_OK;
    return cm_fail(ctx, CALMOE_UNSUPPORTED, "'%s' cannot write conversations: %s", model->path, model->template_problem);
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
