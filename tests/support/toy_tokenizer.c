/* toy_tokenizer.c - the toys, and how they become GGUF metadata. */
#include "tests/support/toy_tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE };

int toy_add_token(struct toy_tokenizer *toy, const char *text, int32_t type)
{
    if (toy->n_tokens == TOY_MAX || strlen(text) >= TOY_MAX_TEXT) abort();
    snprintf(toy->tokens[toy->n_tokens], TOY_MAX_TEXT, "%s", text);
    toy->types[toy->n_tokens] = type;
    return toy->n_tokens++;
}

int toy_id(const struct toy_tokenizer *toy, const char *text)
{
    for (int id = 0; id < toy->n_tokens; id++)
        if (!strcmp(toy->tokens[id], text)) return id;
    return -1;
}

static void add_point(struct toy_tokenizer *toy, unsigned point)
{
    char text[3] = { (char)point, 0, 0 };
    if (point >= 0x80) {
        text[0] = (char)(0xc0 | point >> 6);
        text[1] = (char)(0x80 | (point & 0x3f));
    }
    toy_add_token(toy, text, NORMAL);
}

static void add_bytes(struct toy_tokenizer *toy)
{
    unsigned n_other = 0;
    for (unsigned byte = 0; byte < 256; byte++)
        if ((byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174) add_point(toy, byte);
    for (unsigned byte = 0; byte < 256; byte++)
        if (!((byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174))
            add_point(toy, 0x100 + n_other++);
}

void toy_bpe(struct toy_tokenizer *toy, const char *pre)
{
    /* Ġ is a space, Ċ a newline; Ã ©  makes é, ä ¸ Ń makes 中. */
    static const char *const merges[] = {
        "h e", "l l", "he ll", "hell o", "Ġ w", "o r", "l d", "or ld", "Ġw orld", "Ġ Ġ",
        "ĠĠ ĠĠ", "a a", "aa aa", "Ċ Ċ", "1 2", "12 3", "t he",
        "Ġ the", "e r", "i n", "in g", "s t", "r e", "a n", "an d", "Ġ and", "b c", "a b", "u s",
        "us er", "Ã ©", "ä ¸", "ä¸ Ń", "e Ġ",
    };
    static const char *const specials[] = { TOY_SPECIALS };
    memset(toy, 0, sizeof *toy);
    toy->model = "gpt2";
    toy->pre = pre;
    toy->bos = toy->eos = toy->unknown = -1;
    toy->add_bos = toy->add_eos = toy->add_space = -1;
    add_bytes(toy);
    for (size_t i = 0; i < sizeof merges / sizeof merges[0]; i++) {
        const char *space = strchr(merges[i] + 1, ' ');
        char        text[TOY_MAX_TEXT];
        snprintf(text, sizeof text, "%.*s%s", (int)(space - merges[i]), merges[i], space + 1);
        toy_add_token(toy, text, NORMAL);
        snprintf(toy->merges[toy->n_merges++], TOY_MAX_TEXT, "%s", merges[i]);
    }
    for (size_t i = 0; i < sizeof specials / sizeof specials[0]; i++)
        toy_add_token(toy, specials[i], CONTROL);
    toy->eos = toy_id(toy, "<|endoftext|>");
    toy_add_token(toy, "<tool>", USER_DEFINED);
    toy_add_token(toy, "  ", USER_DEFINED);
    char padding[32];
    snprintf(padding, sizeof padding, "[PAD%d]", toy->n_tokens);
    toy_add_token(toy, padding, UNUSED);
}

void toy_spm(struct toy_tokenizer *toy)
{
    /* U+2581 stands for a space. */
    static const char *const pieces[] = {
        "▁t", "he", "▁the", "▁a", "in", "er", "re", "▁w", "or", "ld",
        "orld", "▁world", "ll", "hell", "hello", "▁hello", "▁▁", "aa",
        "aaaa", "▁", "e", "t", "a", "o", "i", "n", "s", "r", "h", "l", "w", "d", "é", "[", "]",
        "I", "N", "S", "T", "/",
    };
    memset(toy, 0, sizeof *toy);
    toy->model = "llama";
    toy->bos = toy->eos = toy->unknown = -1;
    toy->add_bos = toy->add_eos = toy->add_space = -1;
    toy_add_token(toy, "<unk>", UNKNOWN);
    toy_add_token(toy, "<s>", CONTROL);
    toy_add_token(toy, "</s>", CONTROL);
    for (int byte = 0; byte < 256; byte++) {
        char name[16];
        snprintf(name, sizeof name, "<0x%02X>", byte);
        toy_add_token(toy, name, BYTE);
    }
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++)
        toy->scores[toy_add_token(toy, pieces[i], NORMAL)] = -(float)i;
    toy_add_token(toy, "<tool>", USER_DEFINED);
}

/* Every way to make the token of two others. */
static void add_merges(struct toy_tokenizer *toy, const char *made)
{
    char left[TOY_MAX_TEXT];
    for (size_t n = 1; n < strlen(made); n++) {
        snprintf(left, sizeof left, "%.*s", (int)n, made);
        if (toy_id(toy, left) < 0 || toy_id(toy, made + n) < 0) continue;
        snprintf(toy->merges[toy->n_merges++], TOY_MAX_TEXT, "%.30s %.30s", left, made + n);
    }
}

void toy_plain_bpe(struct toy_tokenizer *toy)
{
    toy_spm(toy);
    toy->model = "gemma4";
    for (int id = 3 + 256; id < toy->n_tokens; id++)
        if (toy->types[id] == NORMAL) add_merges(toy, toy->tokens[id]);
    toy_add_token(toy, "\n\n", NORMAL);
    toy_add_token(toy, "<turn|>", CONTROL);
    toy_add_token(toy, "<|tool_response>", CONTROL);
    toy->eos = toy_add_token(toy, "<eos>", NORMAL);
    toy->bos = toy_id(toy, "<s>");
}

/* ---- as a file ---- */

static bool has(const struct toy_tokenizer *toy, const char *key)
{
    return !toy->without || strcmp(toy->without, key) != 0;
}

static void add_strings(struct gguf_builder *builder, const char *key, const char texts[][TOY_MAX_TEXT], int n)
{
    const char *values[TOY_MAX];
    for (int i = 0; i < n; i++) values[i] = texts[i];
    builder_add_strings(builder, key, values, (size_t)n);
}

static void add_text(const struct toy_tokenizer *toy, struct gguf_builder *builder, const char *key,
                     const char *value)
{
    if (value && has(toy, key)) builder_add_string(builder, key, value);
}

static void add_id(const struct toy_tokenizer *toy, struct gguf_builder *builder, const char *key, int64_t id)
{
    if (id >= 0 && has(toy, key)) builder_add_u32(builder, key, (uint32_t)id);
}

static void add_flag(const struct toy_tokenizer *toy, struct gguf_builder *builder, const char *key, int flag)
{
    if (flag >= 0 && has(toy, key)) builder_add_bool(builder, key, flag != 0);
}

void toy_write(const struct toy_tokenizer *toy, struct gguf_builder *builder)
{
    const bool is_spm = toy->model && !strcmp(toy->model, "llama");
    add_text(toy, builder, "tokenizer.ggml.model", toy->model);
    add_text(toy, builder, "tokenizer.ggml.pre", toy->pre);
    if (has(toy, "tokenizer.ggml.tokens"))
        add_strings(builder, "tokenizer.ggml.tokens", toy->tokens, toy->n_tokens);
    if (has(toy, "tokenizer.ggml.token_type"))
        builder_add_i32s(builder, "tokenizer.ggml.token_type", toy->types, (size_t)toy->n_tokens);
    if (is_spm && has(toy, "tokenizer.ggml.scores"))
        builder_add_f32s(builder, "tokenizer.ggml.scores", toy->scores, (size_t)toy->n_tokens);
    if (!is_spm && has(toy, "tokenizer.ggml.merges"))
        add_strings(builder, "tokenizer.ggml.merges", toy->merges, toy->n_merges);
    add_id(toy, builder, "tokenizer.ggml.bos_token_id", toy->bos);
    add_id(toy, builder, "tokenizer.ggml.eos_token_id", toy->eos);
    add_id(toy, builder, "tokenizer.ggml.unknown_token_id", toy->unknown);
    add_flag(toy, builder, "tokenizer.ggml.add_bos_token", toy->add_bos);
    add_flag(toy, builder, "tokenizer.ggml.add_eos_token", toy->add_eos);
    add_flag(toy, builder, "tokenizer.ggml.add_space_prefix", toy->add_space);
    add_text(toy, builder, "tokenizer.chat_template", toy->chat_template);
    add_text(toy, builder, "tokenizer.chat_template.tool_use", toy->tool_template);
}

calmoe_status toy_open_builder(struct calmoe_context *ctx, struct gguf_builder *builder,
                               struct tokenizer **out)
{
    size_t         n_bytes;
    const uint8_t *bytes = builder_bytes(builder, &n_bytes);
    struct model_file   *file = NULL;
    calmoe_status  status = cm_model_file_parse(ctx, "toy.gguf", bytes, n_bytes, &file);
    *out = NULL;
    if (status == CALMOE_OK) status = cm_tokenizer_open(ctx, file, out);
    cm_model_file_close(&file);
    return status;
}

calmoe_status toy_open(struct calmoe_context *ctx, const struct toy_tokenizer *toy, struct tokenizer **out)
{
    struct gguf_builder *builder = builder_open();
    toy_write(toy, builder);
    const calmoe_status status = toy_open_builder(ctx, builder, out);
    builder_close(&builder);
    return status;
}
