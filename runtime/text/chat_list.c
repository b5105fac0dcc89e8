/* chat_list.c - the table of chat formats that can be chosen by name, for files without a template or with one that
 * is not understood. {bos} and {eos} stand for the texts of these tokens. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/text/chat_format.h"
#include "runtime/text/tokenizer_parts.h"

#define BAR "\xef\xbd\x9c" /* U+FF5C */
#define USER "<" BAR "User" BAR ">"
#define ASSISTANT "<" BAR "Assistant" BAR ">"
#define LING(role) "<role>" role "</role>"
#define CHANNEL "<|channel|>"
#define FINAL CHANNEL "final<|message|>"

/* Formats whose texts all stand between the same marks, with the role's name in the first. */
#define MARKED(first, role_begin, role_end, text_end)                                                    \
    .begin = first role_begin "user" role_end, .system_begin = first role_begin "system" role_end,        \
    .system_end = text_end role_begin "user" role_end, .ask = text_end role_begin "assistant" role_end,   \
    .between = text_end role_begin "user" role_end
#define STRIPPED                                                                                          \
    .strip_user = STRIP_BOTH, .strip_user_with_system = STRIP_BOTH, .strip_system = STRIP_BOTH,           \
    .strip_answer = STRIP_BOTH

static const struct chat_format rows[] = {
    { .name = "chatml", MARKED("", "<|im_start|>", "\n", "<|im_end|>\n") },
    { .name = "chatml-thoughts", MARKED("", "<|im_start|>", "\n", "<|im_end|>\n"),
      .drops_thoughts = true, .strip_thoughtful = STRIP_LINES },
    { .name = "nemotron3", .begin = "<|im_start|>system\n<|im_end|>\n<|im_start|>user\n",
      .system_begin = "<|im_start|>system\n", .system_end = "<|im_end|>\n<|im_start|>user\n",
      .ask = "<|im_end|>\n<|im_start|>assistant\n<think>\n",
      .answer = "<|im_end|>\n<|im_start|>assistant\n<think></think>",
      .between = "<|im_end|>\n<|im_start|>user\n", .drops_thoughts = true, .strip_answer = STRIP_BOTH,
      .strip_thoughtful = STRIP_BOTH },
    { .name = "mistral-v1", .begin = "{bos} [INST] ", .system_begin = "{bos} [INST] ", .system_end = "\n\n",
      .ask = " [/INST]", .answer = " [/INST] ", .between = "{eos} [INST] " },
    { .name = "mistral-v3", .begin = "{bos}[INST] ", .system_begin = "{bos}[INST] ", .system_end = "\n\n",
      .ask = "[/INST]", .between = "{eos}[INST] " },
    { .name = "llama2", .begin = "{bos}[INST] ", .system_begin = "{bos}[INST] <<SYS>>\n",
      .system_end = "\n<</SYS>>\n\n", .ask = " [/INST]", .answer = " [/INST] ", .between = " {eos}{bos}[INST] ",
      .strip_user = STRIP_BOTH, .strip_user_with_system = STRIP_RIGHT, .strip_answer = STRIP_BOTH },
    { .name = "llama3", MARKED("{bos}", "<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>"), STRIPPED },
    { .name = "llama4", MARKED("{bos}", "<|header_start|>", "<|header_end|>\n\n", "<|eot|>"), STRIPPED },
    { .name = "zephyr", MARKED("", "<|", "|>\n", "{eos}\n") },
    { .name = "olmoe", .begin = "{bos}<|user|>\n", .system_begin = "{bos}<|system|>\n",
      .system_end = "\n<|user|>\n", .ask = "\n<|assistant|>\n", .between = "{eos}\n<|user|>\n" },
    { .name = "phi3", MARKED("", "<|", "|>\n", "<|end|>\n") },
    { .name = "granite", MARKED("", "<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>\n") },
    { .name = "glm4", MARKED("[gMASK]<sop>", "<|", "|>\n", "") },
    { .name = "deepseek-v2", .begin = "{bos}User: ", .system_begin = "{bos}", .system_end = "\n\nUser: ",
      .ask = "\n\nAssistant:", .answer = "\n\nAssistant: ", .between = "{eos}User: " },
    { .name = "deepseek-v3", .begin = "{bos}" USER, .system_begin = "{bos}", .system_end = USER, .ask = ASSISTANT,
      .between = "{eos}" USER },
    { .name = "deepseek-r1", .begin = "{bos}" USER, .system_begin = "{bos}", .system_end = USER,
      .ask = ASSISTANT "<think>\n", .answer = ASSISTANT, .between = "{eos}" USER, .drops_thoughts = true },
    { .name = "glm4.7", .begin = "[gMASK]<sop><|user|>", .system_begin = "[gMASK]<sop><|system|>",
      .system_end = "<|user|>", .ask = "<|assistant|><think>", .answer = "<|assistant|></think>", .between = "<|user|>",
      .drops_thoughts = true, .strip_answer = STRIP_BOTH, .strip_thoughtful = STRIP_BOTH },
    { .name = "minimax-m2", .begin = "]~!b[]~b]system\nYou are a helpful assistant.[e~[\n]~b]user\n",
      .system_begin = "]~!b[]~b]system\n", .system_end = "[e~[\n]~b]user\n", .ask = "[e~[\n]~b]ai\n<think>\n",
      .answer = "[e~[\n]~b]ai\n", .between = "[e~[\n]~b]user\n", .drops_thoughts = true,
      .strip_thoughtful = STRIP_LINES },
    { .name = "gemma", .begin = "{bos}<start_of_turn>user\n", .system_begin = "{bos}<start_of_turn>user\n",
      .system_end = "\n\n", .ask = "<end_of_turn>\n<start_of_turn>model\n",
      .between = "<end_of_turn>\n<start_of_turn>user\n", .strip_user = STRIP_BOTH,
      .strip_user_with_system = STRIP_BOTH, .strip_answer = STRIP_BOTH },
    { .name = "gemma4", .begin = "{bos}<|turn>user\n", .system_begin = "{bos}<|turn>system\n",
      .system_end = "<turn|>\n<|turn>user\n", .ask = "<turn|>\n<|turn>model\n", .between = "<turn|>\n<|turn>user\n",
      STRIPPED },
    { .name = "ernie4.5", .begin = "<|begin_of_sentence|>User: ", .system_begin = "<|begin_of_sentence|>",
      .system_end = "\nUser: ", .ask = "\nAssistant: ", .between = "<|end_of_sentence|>User: " },
    { .name = "hunyuan-moe", .begin = "<|startoftext|>", .system_begin = "<|startoftext|>",
      .system_end = "<|extra_4|><|startoftext|>", .ask = "<|extra_0|>", .between = "<|eos|><|startoftext|>" },
    { .name = "dots1", .begin = "<|userprompt|>", .system_begin = "<|system|>",
      .system_end = "<|endofsystem|><|userprompt|>", .ask = "<|endofuserprompt|><|response|>",
      .between = "<|endofresponse|><|userprompt|>" },
    { .name = "ling2", .begin = LING("SYSTEM") "detailed thinking off<|role_end|>" LING("HUMAN"),
      .system_begin = LING("SYSTEM"), .system_end = "<|role_end|>" LING("HUMAN"),
      .ask = "<|role_end|>" LING("ASSISTANT"), .between = "<|role_end|>" LING("HUMAN") },
    { .name = "baichuan", .begin = "<reserved_102>", .system_begin = "", .system_end = "<reserved_102>",
      .ask = "<reserved_103>", .between = "<reserved_102>" },
    { .name = "baichuan2", .begin = "<reserved_106>", .system_begin = "", .system_end = "<reserved_106>",
      .ask = "<reserved_107>", .between = "<reserved_106>" },
    { .name = "harmony", .begin = "<|start|>user<|message|>",
      .system_begin = "<|start|>developer<|message|># Instructions\n\n",
      .system_end = "\n\n<|end|><|start|>user<|message|>", .ask = "<|end|><|start|>assistant",
      .answer = "<|end|><|start|>assistant" FINAL, .between = "<|end|><|start|>user<|message|>", .opening = FINAL,
      .n_mark = sizeof CHANNEL - 1 },
};

enum { N_ROWS = sizeof rows / sizeof rows[0] };

/* The texts of a format, by their place in the struct. */
static const size_t texts[] = {
    offsetof(struct chat_format, begin),  offsetof(struct chat_format, system_begin),
    offsetof(struct chat_format, system_end), offsetof(struct chat_format, ask),
    offsetof(struct chat_format, answer), offsetof(struct chat_format, between),
    offsetof(struct chat_format, opening), offsetof(struct chat_format, name),
};
enum { N_TEXTS = sizeof texts / sizeof texts[0] };

static const char *text_of(const struct chat_format *format, size_t i)
{
    const char *text;
    memcpy(&text, (const char *)format + texts[i], sizeof text);
    return text;
}

/* ---- copies ---- */

static void copy_token(const struct tokenizer *tokenizer, int32_t token, char *out)
{
    int         n;
    const char *bytes = cm_token_bytes(tokenizer, token, true, &n);
    memcpy(out, bytes, (size_t)n);
    out[n] = '\0';
}

void cm_chat_tokens(const struct tokenizer *tokenizer, struct chat_tokens *tokens)
{
    const bool has_bos = tokenizer->names_bos || tokenizer->adds_bos;
    copy_token(tokenizer, has_bos ? tokenizer->bos : -1, tokens->bos);
    copy_token(tokenizer, tokenizer->eos, tokens->eos);
}

/* Writes text with {bos} and {eos} replaced into out, if it is not NULL; the number of bytes. tokens NULL: as it is. */
static size_t substitute(const char *text, const struct chat_tokens *tokens, char *out)
{
    size_t n = 0;
    while (*text) {
        const bool  is_bos = tokens && !strncmp(text, "{bos}", 5), is_eos = tokens && !strncmp(text, "{eos}", 5);
        const char *from = is_bos ? tokens->bos : is_eos ? tokens->eos : text;
        const size_t n_from = is_bos || is_eos ? strlen(from) : 1;
        if (out) memcpy(out + n, from, n_from);
        n += n_from;
        text += is_bos || is_eos ? 5 : 1;
    }
    return n;
}

calmoe_status cm_chat_format_copy(struct calmoe_context *ctx, const struct chat_format *from,
                                  const struct chat_tokens *tokens, struct chat_format **out)
{
    size_t n = 0;
    for (size_t i = 0; i < N_TEXTS; i++)
        if (text_of(from, i)) n += substitute(text_of(from, i), tokens, NULL) + 1;
    struct chat_format *copy = cm_alloc(ctx, sizeof *copy + n, 1, "a chat format"); /* its texts stand behind it */
    *out = copy;
    if (!copy) return CALMOE_NO_MEMORY;
    *copy = *from;
    char *at = (char *)(copy + 1);
    for (size_t i = 0; i < N_TEXTS; i++) {
        if (!text_of(from, i)) continue;
        memcpy((char *)copy + texts[i], &at, sizeof at);
        at += substitute(text_of(from, i), tokens, at) + 1; /* zeroed: a NUL stands there */
    }
    if (!copy->answer) copy->answer = copy->ask;
    return CALMOE_OK;
}

void cm_chat_format_close(struct chat_format **format)
{
    cm_free(*format);
    *format = NULL;
}

/* ---- names ---- */

const char *cm_chat_format_name(const struct chat_format *format)
{
    return format->name;
}

const char *cm_chat_format_name_at(int i)
{
    return i >= 0 && i < N_ROWS ? rows[i].name : NULL;
}

static void list_names(char *out, size_t size)
{
    size_t n = 0;
    for (int i = 0; i < N_ROWS && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%s", i == 0 ? "" : ", ", rows[i].name);
}

calmoe_status cm_chat_format_of_name(struct calmoe_context *ctx, const char *name, const struct tokenizer *tokenizer,
                                     struct chat_format **out)
{
    char               names[CM_MESSAGE_BYTES / 2];
    struct chat_tokens tokens;
    *out = NULL;
    cm_chat_tokens(tokenizer, &tokens);
    for (int i = 0; i < N_ROWS; i++)
        if (!strcmp(rows[i].name, name)) return cm_chat_format_copy(ctx, &rows[i], &tokens, out);
    list_names(names, sizeof names);
    return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "chat format '%.40s' is not known; wanted one of %s", name, names);
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static bool same_format(const struct chat_format *a, const struct chat_format *b)
{
    for (size_t i = 0; i < N_TEXTS; i++)
        if (texts[i] != offsetof(struct chat_format, name) && !same_text(text_of(a, i), text_of(b, i))) return false;
    return a->strip_user == b->strip_user && a->strip_user_with_system == b->strip_user_with_system &&
           a->strip_system == b->strip_system && a->strip_answer == b->strip_answer &&
           a->n_mark == b->n_mark && a->drops_thoughts == b->drops_thoughts &&
           a->strip_thoughtful == b->strip_thoughtful;
}

calmoe_status cm_chat_format_find_name(struct calmoe_context *ctx, const struct chat_format *format,
                                       const struct chat_tokens *tokens, const char **name)
{
    for (int i = 0; i < N_ROWS; i++) {
        struct chat_format *row;
        CM_TRY(cm_chat_format_copy(ctx, &rows[i], tokens, &row));
        if (same_format(row, format)) *name = rows[i].name;
        cm_chat_format_close(&row);
    }
    return CALMOE_OK;
}
