/* tools/calmoe_tokenize.c - `calmoe tokenize`: text to token ids, and back. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/command.h"
#include "tools/front.h"

struct settings {
    const char *model;
    const char *file;
    int         bos;
    int         special;
    int         decode;
};

static const struct cli_option options[] = {
    {"model", 'm', CLI_TEXT, offsetof(struct settings, model), 0, 0, "MODEL",
     "GGUF file, with or without weights (default: the embedded model)"},
    {"file", 'f', CLI_TEXT, offsetof(struct settings, file), 0, 0, "FILE",
     "take the text from FILE, byte for byte; - reads standard input"},
    {"bos", 0, CLI_FLAG, offsetof(struct settings, bos), 0, 0, NULL,
     "begin with the start token where the model wants one"},
    {"special", 0, CLI_FLAG, offsetof(struct settings, special), 0, 0, NULL,
     "treat control tokens such as <|im_start|> as tokens; with --decode, show them"},
    {"decode", 0, CLI_FLAG, offsetof(struct settings, decode), 0, 0, NULL,
     "the other way: ids, as arguments or in FILE, become text"},
};

static const struct cli_command description = {
    .name         = "calmoe tokenize",
    .summary      = "Prints the token ids of a text on one line, or with --decode the text of token ids.",
    .operands     = "TEXT | --decode ID...",
    .max_operands = 1 << 20,
    .options      = options,
    .n_options    = sizeof options / sizeof options[0],
    .notes        = "--decode writes the tokens' bytes as they are, with a newline only on a terminal, so\n"
                    "that what was tokenized comes back byte for byte; in Unicode's form C (letters with their\n"
                    "accents as one character) where the model's own tokenizer works on that.\n\n"
                    "Example:\n  calmoe tokenize \"Once upon a time\" | calmoe tokenize --decode -f -\n",
};

static int print_ids(struct front *front, const struct settings *settings, const struct bytes *text)
{
    const unsigned flags = (settings->bos ? CALMOE_TOKENIZE_BOS : 0u) |
                           (settings->special ? CALMOE_TOKENIZE_SPECIAL : 0u);
    const char *const bytes    = text->n != 0 ? text->at : "";
    size_t            n_tokens = 0;
    calmoe_status     status   = calmoe_tokenize(front->context, front->model, bytes, text->n, flags,
                                                 NULL, 0, &n_tokens);
    if (status != CALMOE_FULL && !cm_front_succeeded(front, status)) return 1;
    int32_t *tokens = calloc(n_tokens + 1, sizeof *tokens);
    if (tokens == NULL) {
        cm_say("no memory for %zu tokens", n_tokens);
        return 1;
    }
    status = calmoe_tokenize(front->context, front->model, bytes, text->n, flags, tokens, n_tokens + 1,
                             &n_tokens);
    const bool succeeded = cm_front_succeeded(front, status);
    for (size_t i = 0; succeeded && i < n_tokens; i++) printf(i == 0 ? "%d" : " %d", tokens[i]);
    if (succeeded) putchar('\n');
    free(tokens);
    return succeeded ? 0 : 1;
}

/* Writes a token's bytes. A SentencePiece vocabulary puts a blank before the first word, which is not part of the text;
 * only the text stream knows that, so the first bytes are compared with what the stream gives. */
static void print_token(const struct front *front, int32_t token, int show_special, bool *is_first)
{
    size_t      n_bytes;
    const char *bytes = calmoe_token_bytes(front->model, token, show_special, &n_bytes);
    if (n_bytes == 0) return;
    if (*is_first && bytes[0] == ' ') {
        calmoe_text_stream stream = {{0}};
        char               text[1024];
        if (calmoe_text_stream_put(front->model, &stream, token, text, sizeof text) == CALMOE_OK &&
            text[0] != ' ' && n_bytes == strlen(text) + 1)
            bytes++, n_bytes--;
    }
    *is_first = false;
    (void)fwrite(bytes, 1, n_bytes, stdout);
}

/* Prints the tokens whose ids, separated by white space, a text contains. */
static int print_text(const struct front *front, const struct settings *settings, const char *ids,
                      int n_vocab, bool *is_first)
{
    for (;;) {
        while (isspace((unsigned char)*ids)) ids++;
        if (*ids == '\0') return 0;
        char *end  = NULL;
        errno      = 0;
        const long id = strtol(ids, &end, 10);
        if (end == ids || (*end != '\0' && !isspace((unsigned char)*end)) || errno != 0 || id < 0 ||
            id >= n_vocab)
            return cm_usage_error(description.name, "--decode wants token ids from 0 to %d, found '%.*s'",
                                  n_vocab - 1, (int)strcspn(ids, " \t\r\n"), ids);
        print_token(front, (int32_t)id, settings->special, is_first);
        ids = end;
    }
}

static int decode(struct front *front, const struct settings *settings, const struct bytes *file,
                  int n_operands, char **operands)
{
    calmoe_model_info info = {.size = sizeof info};
    bool              is_first = true;
    int               status   = 0;
    if (!cm_front_succeeded(front, calmoe_model_get_info(front->model, &info))) return 1;
    if (settings->file != NULL) status = print_text(front, settings, file->at, info.n_vocab, &is_first);
    for (int i = 0; i < n_operands && status == 0; i++)
        status = print_text(front, settings, operands[i], info.n_vocab, &is_first);
    if (status == 0 && isatty(STDOUT_FILENO)) putchar('\n');
    return status;
}

static int check(const struct settings *settings, int n_operands, char **operands)
{
    if (n_operands == 0 && settings->file == NULL)
        return cm_usage_error(description.name, "wanted a text, or -f FILE, found neither");
    if (n_operands > 0 && settings->file != NULL)
        return cm_usage_error(description.name, "unexpected argument '%s' beside -f; wanted one of them",
                              operands[0]);
    if (n_operands > 1 && !settings->decode)
        return cm_usage_error(description.name, "unexpected argument '%s'; wanted one text (use quotes)",
                              operands[1]);
    return CLI_GO_ON;
}

static int run(int argc, char **argv)
{
    struct settings settings = {0};
    int             n_operands;
    int             status = cm_cli_parse(&description, argc, argv, &settings, &n_operands);
    if (status == CLI_GO_ON) status = check(&settings, n_operands, argv + 1);
    if (status != CLI_GO_ON) return status;

    struct front front = {0};
    struct bytes text  = {0};
    bool         fine  = cm_front_open_model(&front, settings.model, true);
    if (fine && settings.file != NULL) fine = cm_bytes_read_file(&text, settings.file);
    if (fine && settings.file == NULL && !settings.decode)
        fine = cm_bytes_append(&text, argv[1], strlen(argv[1]));
    if (fine && settings.decode) fine = cm_bytes_append(&text, "", 1);
    if (!fine) status = 1;
    else if (settings.decode) status = decode(&front, &settings, &text, n_operands, argv + 1);
    else status = print_ids(&front, &settings, &text);
    cm_bytes_close(&text);
    cm_front_close(&front);
    return status;
}

const struct command cm_command_tokenize = {
    .name    = "tokenize",
    .summary = "token ids of a text, and back",
    .run     = run,
};
