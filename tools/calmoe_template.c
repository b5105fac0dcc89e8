/* tools/calmoe_template.c - `calmoe template`: prints a conversation as the text or the tokens that the model would
 * read. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/command.h"
#include "tools/front.h"

struct settings {
    const char *model;
    const char *file;
    const char *format;
    int         tokens;
    int         marks;
};

static const struct cli_option options[] = {
    {"model", 'm', CLI_TEXT, offsetof(struct settings, model), 0, 0, "MODEL",
     "GGUF file, with or without weights (default: the embedded model)"},
    {"file", 'f', CLI_TEXT, offsetof(struct settings, file), 0, 0, "FILE",
     "take the conversation from FILE (default: standard input)"},
    {"chat-format", 0, CLI_TEXT, offsetof(struct settings, format), 0, 0, "NAME",
     "write it in this chat format, not by the file's template"},
    {"tokens", 0, CLI_FLAG, offsetof(struct settings, tokens), 0, 0, NULL,
     "print token ids on one line instead of the text"},
    {"marks", 0, CLI_FLAG, offsetof(struct settings, marks), 0, 0, NULL,
     "set apart what the conversation says, of which no control token is made: a line for each piece"},
};

static const struct cli_command description = {
    .name      = "calmoe template",
    .summary   = "Prints a conversation as the model is to read it, by the chat template of its file.",
    .options   = options,
    .n_options = sizeof options / sizeof options[0],
    .notes     = "The conversation is JSON in the form of OpenAI's chat completions: an object with\n"
                 "\"messages\", and \"tools\", \"documents\", \"add_generation_prompt\", \"continue_final_message\",\n"
                 "\"reasoning_effort\" and \"chat_template_kwargs\" where wanted. The text is written byte for byte,\n"
                 "with a newline behind it only on a terminal.\n\n"
                 "Example:\n"
                 "  echo '{\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]}' | calmoe template -m MODEL\n",
};

static void print_tokens(const calmoe_chat_prompt *prompt)
{
    size_t         n;
    const int32_t *tokens = calmoe_chat_prompt_tokens(prompt, &n);
    for (size_t i = 0; i < n; i++) printf(i == 0 ? "%d" : " %d", tokens[i]);
    putchar('\n');
}

/* Prints a line of JSON for each piece that the template or the conversation wrote: {"from": "template", "text": …}. */
static bool print_marks(const calmoe_chat_prompt *prompt)
{
    size_t               n, begin = 0;
    const char          *text = calmoe_chat_prompt_text(prompt, &n);
    const unsigned char *marks = calmoe_chat_prompt_marks(prompt);
    for (size_t at = 1; at <= n; at++) {
        if (at < n && marks[at] == marks[begin]) continue;
        struct json_output json = {0};
        cm_json_open_object(&json);
        cm_json_text(&json, json.root, "from", marks[begin] ? "conversation" : "template");
        cm_json_bytes(&json, json.root, "text", text + begin, at - begin);
        const bool succeeded = cm_json_write(&json, true);
        cm_json_close(&json);
        if (!succeeded) return false;
        begin = at;
    }
    return true;
}

static int print(struct front *front, const struct settings *settings)
{
    struct bytes               text = {0};
    calmoe_chat_prompt        *prompt = NULL;
    calmoe_chat_prompt_options how;
    calmoe_chat_prompt_options_init(&how);
    how.chat_format = settings->format;
    bool succeeded = cm_bytes_read_file(&text, settings->file != NULL ? settings->file : "-") &&
                     cm_front_succeeded(front, calmoe_chat_prompt_open(front->context, front->model, text.at, text.n,
                                                                       &how, &prompt));
    if (succeeded && settings->marks) {
        succeeded = print_marks(prompt);
    } else if (succeeded && settings->tokens) {
        print_tokens(prompt);
    } else if (succeeded) {
        size_t      n;
        const char *written = calmoe_chat_prompt_text(prompt, &n);
        (void)fwrite(written, 1, n, stdout);
        if (isatty(STDOUT_FILENO)) putchar('\n');
    }
    calmoe_chat_prompt_close(&prompt);
    cm_bytes_close(&text);
    return succeeded ? 0 : 1;
}

static int run(int argc, char **argv)
{
    struct settings settings = {0};
    int             n_operands;
    const int       status = cm_cli_parse(&description, argc, argv, &settings, &n_operands);
    if (status != CLI_GO_ON) return status;
    if (settings.tokens && settings.marks)
        return cm_usage_error(description.name, "wanted either --tokens or --marks, found both");
    struct front front = {0};
    const int    result = cm_front_open_model(&front, settings.model, true) ? print(&front, &settings) : 1;
    cm_front_close(&front);
    return result;
}

const struct command cm_command_template = {
    .name    = "template",
    .summary = "a conversation as the model is to read it",
    .run     = run,
};
