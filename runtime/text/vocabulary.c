/* vocabulary.c - reads the token list: texts, types, what each token stands for, and the index that
 * finds a token by its text. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/text/tokenizer_parts.h"
#include "runtime/text/utf8.h"

#define TOKENS_KEY "tokenizer.ggml.tokens"
#define TYPES_KEY  "tokenizer.ggml.token_type"

/* ---- bytes as printable characters ---- */

/* Byte-level BPE writes the bytes 33-126, 161-172 and 174-255 as the characters of the same number and
 * the other 68, in order, as U+0100, U+0101, … The byte of a character, -1: of none. */
static int byte_of_point(uint32_t point)
{
    if ((point >= 33 && point <= 126) || (point >= 161 && point <= 172) || (point >= 174 && point <= 255))
        return (int)point;
    if (point < 0x100 || point >= 0x100 + 68) return -1;
    const int i = (int)point - 0x100;
    if (i < 33) return i;
    if (i < 67) return i - 33 + 127; /* 127 … 160 */
    return 173;
}

bool cm_bytes_of_text(const char *text, size_t n_bytes, char *out, size_t *n_out)
{
    *n_out = 0;
    for (size_t at = 0; at < n_bytes;) {
        const int length = cm_utf8_length(text + at, n_bytes - at);
        const int byte = length > 0 ? byte_of_point(cm_utf8_point(text + at, length)) : -1;
        if (byte < 0) return false;
        out[(*n_out)++] = (char)byte;
        at += (size_t)length;
    }
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The value of "<0xHH>", -1 for another text. */
static int byte_of_name(const char *text, size_t n_bytes)
{
    if (n_bytes != 6 || memcmp(text, "<0x", 3) || text[5] != '>') return -1;
    const int high = hex_digit(text[3]), low = hex_digit(text[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* ---- the file's arrays ---- */

calmoe_status cm_token_array(struct calmoe_context *ctx, const struct model_file *file, const char *key,
                             const char *wanted, bool is_optional, const struct meta_entry **out)
{
    const struct meta_entry *entry = *out = cm_meta_entry(file, key);
    if (!entry && is_optional) return CALMOE_OK;
    if (!entry)
        return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': key '%s' is missing; wanted an array of %s",
                       file->name, key, wanted);
    const bool wants_strings = !strcmp(wanted, "strings"), wants_integers = !strcmp(wanted, "integers");
    if (entry->type != META_ARRAY)
        return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': key '%s' has type %s; wanted an array of %s",
                       file->name, key, cm_meta_type_name(entry->type), wanted);
    const enum meta_type type = entry->element_type;
    const bool is_number = cm_meta_is_integer(type) || type == META_F32 || type == META_F64;
    if (wants_strings ? type != META_STRING : wants_integers ? !cm_meta_is_integer(type) : !is_number)
        return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': key '%s' is an array of %s; wanted one of %s",
                       file->name, key, cm_meta_type_name(type), wanted);
    return CALMOE_OK;
}

static calmoe_status read_types(struct calmoe_context *ctx, const struct model_file *file,
                                struct tokenizer *tokenizer)
{
    const struct meta_entry *entry;
    CM_TRY(cm_token_array(ctx, file, TYPES_KEY, "integers", true, &entry));
    if (entry && entry->count != (uint64_t)tokenizer->n_tokens)
        return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': key '" TYPES_KEY "' has %llu entries for %d tokens",
                       file->name, (unsigned long long)entry->count, tokenizer->n_tokens);
    for (int32_t id = 0; id < tokenizer->n_tokens; id++) {
        int64_t type = entry ? cm_meta_element_int(entry, (uint64_t)id) : TOKEN_NORMAL;
        if (type < 0 || type > TOKEN_BYTE)
            return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': token %d has type %lld; wanted 1 to 6", file->name,
                           id, (long long)type);
        tokenizer->tokens[id].type = (uint8_t)(type ? type : TOKEN_NORMAL); /* 0: "undefined" */
    }
    return CALMOE_OK;
}

/* ---- texts ---- */

/* "[PAD102399]" with its own id as the number: what converters write into rows without a token, under
 * several types. */
static bool is_padding(const struct token *token, int32_t id)
{
    char name[32];
    const int n = snprintf(name, sizeof name, "[PAD%d]", id);
    return n == token->n_text && !memcmp(name, token->text, (size_t)n);
}

/* Writes what the token stands for to out (n_text bytes of room at least), and says whether plain text
 * may turn into it. Control tokens never do, so that nobody can type them; nor do user-defined tokens
 * of byte-level BPE, which are cut out before, and whose texts are no byte alphabet. */
static calmoe_status write_bytes(struct calmoe_context *ctx, const struct model_file *file,
                                 const struct tokenizer *tokenizer, int32_t id, char *out)
{
    struct token *token = &tokenizer->tokens[id];
    size_t        n = 0;
    token->bytes = out;
    if (token->type == TOKEN_BYTE && !tokenizer->is_plain) token->type = TOKEN_NORMAL;
    if (token->type == TOKEN_BYTE) {
        const int byte = byte_of_name(token->text, token->n_text);
        if (byte < 0)
            return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': token %d has type byte, but its text is '%.*s'; "
                           "wanted '<0x00>' to '<0xFF>'", file->name, id,
                           token->n_text < 80 ? token->n_text : 80, token->text);
        out[n++] = (char)byte;
    } else if (token->type == TOKEN_NORMAL && tokenizer->is_plain) {
        for (size_t at = 0; at < token->n_text; n++) {
            const bool is_space = token->n_text - at >= 3 && !memcmp(token->text + at, SPM_SPACE, 3);
            out[n] = is_space ? ' ' : token->text[at];
            at += is_space ? 3 : 1;
        }
        token->is_text = true;
    } else if (token->type == TOKEN_NORMAL && cm_bytes_of_text(token->text, token->n_text, out, &n)) {
        token->is_text = true;
    } else {
        memcpy(out, token->text, token->n_text);
        n = token->n_text;
        token->is_text = tokenizer->is_plain && token->type == TOKEN_USER_DEFINED;
    }
    token->n_bytes = (uint16_t)n;
    return CALMOE_OK;
}

static calmoe_status read_texts(struct calmoe_context *ctx, const struct model_file *file,
                                struct tokenizer *tokenizer, const struct meta_entry *entry)
{
    size_t n_bytes = 0;
    for (int32_t id = 0; id < tokenizer->n_tokens; id++) {
        const struct meta_string text = entry->strings[id];
        if (text.n_bytes > CM_TOKEN_BYTES)
            return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': token %d has %llu bytes; at most %d are allowed",
                           file->name, id, (unsigned long long)text.n_bytes, CM_TOKEN_BYTES);
        n_bytes += 2 * (size_t)text.n_bytes; /* at most MAX_TOKENS * 2 * CM_TOKEN_BYTES */
    }
    char *end = tokenizer->arena = cm_alloc(ctx, n_bytes, 1, "token texts");
    if (!end) return CALMOE_NO_MEMORY;
    for (int32_t id = 0; id < tokenizer->n_tokens; id++) {
        struct token *token = &tokenizer->tokens[id];
        token->text = end;
        token->n_text = (uint16_t)entry->strings[id].n_bytes;
        if (token->n_text) memcpy(end, entry->strings[id].bytes, token->n_text);
        if (token->n_text == 0 || is_padding(token, id)) token->type = TOKEN_UNUSED;
        end += token->n_text;
        CM_TRY(write_bytes(ctx, file, tokenizer, id, end));
        end += token->n_text;
    }
    return CALMOE_OK;
}

/* ---- the index ---- */

static uint32_t hash(const char *key, size_t n_bytes)
{
    uint64_t bits = 0xcbf29ce484222325u; /* FNV-1a, then its high bits folded down */
    for (size_t i = 0; i < n_bytes; i++) bits = (bits ^ (unsigned char)key[i]) * 0x100000001b3u;
    return (uint32_t)(bits ^ bits >> 32);
}

static const char *key_of(const struct tokenizer *tokenizer, int32_t id, size_t *n_bytes)
{
    const struct token *token = &tokenizer->tokens[id];
    *n_bytes = tokenizer->is_plain ? token->n_text : token->n_bytes;
    return tokenizer->is_plain ? token->text : token->bytes;
}

/* The slot where key stands or would stand. */
static uint32_t slot_of(const struct tokenizer *tokenizer, const char *key, size_t n_bytes)
{
    const uint32_t mask = tokenizer->n_slots - 1;
    uint32_t       slot = hash(key, n_bytes) & mask;
    for (; tokenizer->slots[slot]; slot = (slot + 1) & mask) {
        size_t      n;
        const char *found = key_of(tokenizer, tokenizer->slots[slot] - 1, &n);
        if (n == n_bytes && !memcmp(found, key, n)) break;
    }
    return slot;
}

int32_t cm_vocabulary_find(const struct tokenizer *tokenizer, const char *key, size_t n_bytes)
{
    if (n_bytes == 0 || n_bytes > (size_t)tokenizer->max_key_bytes) return -1;
    return tokenizer->slots[slot_of(tokenizer, key, n_bytes)] - 1;
}

int32_t cm_tokenizer_find(const struct tokenizer *tokenizer, const char *text)
{
    const size_t n = strlen(text);
    for (int32_t id = tokenizer->n_tokens - 1; id >= 0; id--)
        if (tokenizer->tokens[id].n_text == n && !memcmp(tokenizer->tokens[id].text, text, n)) return id;
    return -1;
}

bool cm_word_begins(const char *text, size_t n_bytes, size_t at)
{
    if (at == 0 || n_bytes - at < 3 || memcmp(text + at, SPM_SPACE, 3)) return false;
    return at < 3 || memcmp(text + at - 3, SPM_SPACE, 3);
}

static bool words_are_apart(const struct tokenizer *tokenizer)
{
    for (int32_t id = 0; id < tokenizer->n_tokens; id++) {
        const struct token *token = &tokenizer->tokens[id];
        for (size_t at = 1; token->is_text && at < token->n_text; at++)
            if (cm_word_begins(token->text, token->n_text, at)) return false;
    }
    return true;
}

static calmoe_status build_index(struct calmoe_context *ctx, struct tokenizer *tokenizer)
{
    tokenizer->n_slots = 2;
    while (tokenizer->n_slots < 2 * (uint32_t)tokenizer->n_tokens) tokenizer->n_slots *= 2;
    tokenizer->slots = cm_alloc(ctx, tokenizer->n_slots, sizeof *tokenizer->slots, "the token index");
    if (!tokenizer->slots) return CALMOE_NO_MEMORY;
    int32_t n_twice = 0;
    for (int32_t id = 0; id < tokenizer->n_tokens; id++) {
        if (!tokenizer->tokens[id].is_text) continue;
        size_t         n;
        const char    *key = key_of(tokenizer, id, &n);
        const uint32_t slot = slot_of(tokenizer, key, n);
        n_twice += tokenizer->slots[slot] != 0;
        tokenizer->slots[slot] = id + 1; /* of equal texts the last one counts */
        if ((int)n > tokenizer->max_key_bytes) tokenizer->max_key_bytes = (int)n;
    }
    if (n_twice) cm_log(ctx, "%d tokens have the text of another; the last of each is used", n_twice);
    return CALMOE_OK;
}

static void find_bytes(struct tokenizer *tokenizer)
{
    for (int byte = 0; byte < 256; byte++) {
        const char key = (char)byte;
        tokenizer->byte_ids[byte] = cm_vocabulary_find(tokenizer, &key, 1);
    }
    for (int32_t id = 0; tokenizer->is_plain && id < tokenizer->n_tokens; id++) {
        const int byte = byte_of_name(tokenizer->tokens[id].text, tokenizer->tokens[id].n_text);
        if (byte >= 0) tokenizer->byte_ids[byte] = id;
    }
}

calmoe_status cm_vocabulary_read(struct calmoe_context *ctx, const struct model_file *file,
                                 struct tokenizer *tokenizer)
{
    const struct meta_entry *entry;
    CM_TRY(cm_token_array(ctx, file, TOKENS_KEY, "strings", false, &entry));
    if (entry->count == 0 || entry->count > MAX_TOKENS)
        return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': key '" TOKENS_KEY "' has %llu entries; wanted 1 to %d",
                       file->name, (unsigned long long)entry->count, MAX_TOKENS);
    tokenizer->n_tokens = (int32_t)entry->count;
    tokenizer->tokens = cm_alloc(ctx, (size_t)entry->count, sizeof *tokenizer->tokens, "tokens");
    if (!tokenizer->tokens) return CALMOE_NO_MEMORY;
    CM_TRY(read_types(ctx, file, tokenizer));
    CM_TRY(read_texts(ctx, file, tokenizer, entry));
    CM_TRY(build_index(ctx, tokenizer));
    tokenizer->words_apart = tokenizer->is_spm && words_are_apart(tokenizer);
    find_bytes(tokenizer);
    return CALMOE_OK;
}
