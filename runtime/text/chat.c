/* chat.c - the table of turn formats, and how a turn is put together from a row. */
#include "runtime/text/chat.h"

#include <string.h>

#include "runtime/text/tokenizer_parts.h"

#define BAR "\xef\xbd\x9c" /* U+FF5C */

struct chat_format {
    const char *name;
    const char *with[4];    /* all of these stand in the template; ends with NULL         */
    const char *without[4]; /* and none of these                                          */
    bool        bos;        /* BOS opens the conversation, also where the file adds none  */
    bool        trims;      /* white space around contents is dropped                     */
    bool        literal;    /* SPM: the spaces written here are all there are             */
    bool        system_in_user; /* the system text stands inside the first user turn      */
    const char *opening;    /* of the conversation                                        */
    const char *system_prefix, *system_suffix;
    const char *user_prefix, *user_suffix;
    const char *answer_prefix; /* what asks for the answer                                */
    const char *answer_end;    /* what the model itself writes last; NULL: the EOS token  */
    const char *answer_suffix; /* what stands between that and the next turn              */
};

/* The first row that fits a template is its format. */
static const struct chat_format formats[] = {
    { .name = "chatml", .with = { "<|im_start|>" },
      .system_prefix = "<|im_start|>system\n", .system_suffix = "<|im_end|>\n",
      .user_prefix = "<|im_start|>user\n", .user_suffix = "<|im_end|>\n",
      .answer_prefix = "<|im_start|>assistant\n",
      .answer_end = "<|im_end|>", .answer_suffix = "\n" },
    { .name = "mistral-v3", .with = { "[INST]", "[AVAILABLE_TOOLS]" },
      .without = { " [INST]", "\"[INST]\"", "[SYSTEM_PROMPT]" },
      .bos = true, .literal = true, .system_in_user = true, .system_suffix = "\n\n",
      .user_prefix = "[INST] ", .user_suffix = "[/INST]" },
    { .name = "mistral-v1", .with = { "[INST]" },
      .without = { "<<SYS>>", "\"[INST]\"", "[SYSTEM_PROMPT]" },
      .bos = true, .literal = true, .system_in_user = true, .system_suffix = "\n\n",
      .user_prefix = " [INST] ", .user_suffix = " [/INST]" },
    { .name = "phi3", .with = { "<|assistant|>", "<|end|>" },
      .system_prefix = "<|system|>\n", .system_suffix = "<|end|>\n",
      .user_prefix = "<|user|>\n", .user_suffix = "<|end|>\n",
      .answer_prefix = "<|assistant|>\n", .answer_end = "<|end|>", .answer_suffix = "\n" },
    { .name = "glm4", .with = { "[gMASK]<sop>" }, .opening = "[gMASK]<sop>",
      .system_prefix = "<|system|>\n", .user_prefix = "<|user|>\n",
      .answer_prefix = "<|assistant|>\n", .answer_end = "" },
    { .name = "olmoe", .with = { "<|user|>", "<|assistant|>", "eos_token" }, .without = { "</s>" },
      .bos = true, .system_prefix = "<|system|>\n", .system_suffix = "\n",
      .user_prefix = "<|user|>\n", .user_suffix = "\n",
      .answer_prefix = "<|assistant|>\n", .answer_suffix = "\n" },
    { .name = "llama3", .with = { "<|start_header_id|>", "<|end_header_id|>" }, .bos = true, .trims = true,
      .system_prefix = "<|start_header_id|>system<|end_header_id|>\n\n", .system_suffix = "<|eot_id|>",
      .user_prefix = "<|start_header_id|>user<|end_header_id|>\n\n", .user_suffix = "<|eot_id|>",
      .answer_prefix = "<|start_header_id|>assistant<|end_header_id|>\n\n",
      .answer_end = "<|eot_id|>" },
    { .name = "llama4", .with = { "<|header_start|>", "<|header_end|>" }, .bos = true, .trims = true,
      .system_prefix = "<|header_start|>system<|header_end|>\n\n", .system_suffix = "<|eot|>",
      .user_prefix = "<|header_start|>user<|header_end|>\n\n", .user_suffix = "<|eot|>",
      .answer_prefix = "<|header_start|>assistant<|header_end|>\n\n", .answer_end = "<|eot|>" },
    { .name = "deepseek-v2", .with = { "'Assistant: ' + message['content'] + eos_token" }, .bos = true,
      .system_suffix = "\n\n", .user_prefix = "User: ", .user_suffix = "\n\n",
      .answer_prefix = "Assistant:" },
    { .name = "deepseek-v3", .with = { "<" BAR "Assistant" BAR ">", "<" BAR "User" BAR ">" }, .bos = true,
      .user_prefix = "<" BAR "User" BAR ">", .answer_prefix = "<" BAR "Assistant" BAR ">" },
    { .name = "granite", .with = { "<|start_of_role|>" },
      .system_prefix = "<|start_of_role|>system<|end_of_role|>", .system_suffix = "<|end_of_text|>\n",
      .user_prefix = "<|start_of_role|>user<|end_of_role|>", .user_suffix = "<|end_of_text|>\n",
      .answer_prefix = "<|start_of_role|>assistant<|end_of_role|>",
      .answer_end = "<|end_of_text|>", .answer_suffix = "\n" },
};

enum { N_FORMATS = sizeof formats / sizeof formats[0] };

/* ---- choosing a row ---- */

static bool contains(struct meta_string text, const char *word)
{
    return memmem(text.bytes, (size_t)text.n_bytes, word, strlen(word)) != NULL;
}

static bool fits(const struct chat_format *format, struct meta_string text)
{
    for (size_t i = 0; i < 4 && format->with[i]; i++)
        if (!contains(text, format->with[i])) return false;
    for (size_t i = 0; i < 4 && format->without[i]; i++)
        if (contains(text, format->without[i])) return false;
    return true;
}

const struct chat_format *cm_chat_format_of_file(const struct model_file *file)
{
    struct meta_string text = { "", 0 };
    if (cm_meta_get_string(NULL, file, "tokenizer.chat_template", &text) != CALMOE_OK) return NULL;
    for (int i = 0; i < N_FORMATS; i++)
        if (fits(&formats[i], text)) return &formats[i];
    return NULL;
}

const struct chat_format *cm_chat_format_of_name(const char *name)
{
    for (int i = 0; i < N_FORMATS; i++)
        if (!strcmp(formats[i].name, name)) return &formats[i];
    return NULL;
}

const struct chat_format *cm_chat_format_at(int i)
{
    return i >= 0 && i < N_FORMATS ? &formats[i] : NULL;
}

const char *cm_chat_format_name(const struct chat_format *format)
{
    return format->name;
}

/* ---- a turn ---- */

struct turn {
    struct text_part parts[12];
    int              n_parts;
    bool             trims;
};

static void add_marker(struct turn *turn, const char *text)
{
    if (text) turn->parts[turn->n_parts++] = (struct text_part){ text, strlen(text), true };
}

static void add_content(struct turn *turn, const char *text)
{
    static const char white[] = " \t\n\v\f\r";
    if (turn->trims) text += strspn(text, white);
    size_t n = strlen(text);
    while (turn->trims && n && strchr(white, text[n - 1])) n--;
    turn->parts[turn->n_parts++] = (struct text_part){ text, n, false };
}

static void add_system(struct turn *turn, const struct chat_format *format, const char *system)
{
    if (!system) return;
    add_marker(turn, format->system_prefix);
    add_content(turn, system);
    add_marker(turn, format->system_suffix);
}

calmoe_status cm_chat_turn(struct calmoe_context *ctx, const struct chat_format *format,
                           const struct tokenizer *tokenizer, const char *system, const char *user,
                           bool is_first, bool previous_ended, struct token_list *list)
{
    struct turn turn = { .trims = format->trims };
    int32_t     opening = -1; /* a token without text, before all others */
    if (is_first && (tokenizer->adds_bos || (format->bos && tokenizer->names_bos))) opening = tokenizer->bos;
    if (!is_first && !previous_ended && !format->answer_end) opening = tokenizer->eos;

    if (is_first) add_marker(&turn, format->opening);
    if (!is_first && !previous_ended) add_marker(&turn, format->answer_end);
    if (!is_first) add_marker(&turn, format->answer_suffix);
    if (is_first && !format->system_in_user) add_system(&turn, format, system);
    add_marker(&turn, format->user_prefix);
    if (is_first && format->system_in_user) add_system(&turn, format, system);
    add_content(&turn, user);
    add_marker(&turn, format->user_suffix);
    add_marker(&turn, format->answer_prefix);

    const int n_before = list->n;
    if (opening >= 0) CM_TRY(cm_token_list_put(ctx, list, opening));
    const calmoe_status status = cm_tokenize_parts(ctx, tokenizer, turn.parts, turn.n_parts,
                                                   format->literal ? TOKENIZE_NO_ADDED_SPACE : 0, list);
    if (status != CALMOE_OK) list->n = n_before;
    return status;
}
