/* special_tokens.c - the tokens that mean more than their text: beginning, end, unknown, those that
 * end generation, and those that are cut out of raw text before it is tokenized. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/text/tokenizer_parts.h"

#define KEY(name) "tokenizer.ggml." name

/* Texts that end generation in every vocabulary, as their files seldom say so otherwise. */
static const char *const endings[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>",
    "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<|eot|>", "<|eom|>", "<|endofresponse|>", "<|role_end|>",
    "<EOT>", "_<EOT>", "[EOT]", "[EOS]",
    "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>",
    "<\xef\xbd\x9c" "end" SPM_SPACE "of" SPM_SPACE "sentence\xef\xbd\x9c>", "[e~[",
    /* what separates files and pads holes in code models */
    "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]", "<|fim_repo|>", "<|repo_name|>",
    "<fim-repo>", "<REPO>", "<reponame>", "<|file_sep|>", NULL
};
/* Keys that name further ones. */
static const char *const ending_keys[] = {
    KEY("eot_token_id"), KEY("eom_token_id"), KEY("fim_pad_token_id"), KEY("fim_rep_token_id"),
    KEY("fim_sep_token_id"), NULL
};
/* Where all of `with` are there, `text` ends a part of an answer, not the answer. */
static const struct {
    const char *text, *with[2];
} parts_of_answers[] = {
    { "<|end|>", { "<|return|>", "<|call|>" } },
    { "<|end|>", { "<|calls|>", "<|flush|>" } },
    { "</s>", { "<|tool_response>", "<|tool_response>" } },
};
/* Control tokens that structure an answer; it cannot be read without them. */
static const char *const shown[] = { "<|channel|>", "<|message|>", "<|start|>", "<|constrain|>", NULL };

/* Models whose special tokens take the white space behind them; files have no field for it. */
static const struct {
    const char *key, *contains;
} right_strippers[] = {
    { "general.name", "phi-3" }, { "general.name", "phi3" }, { "general.architecture", "phi3" },
    { "general.architecture", "phimoe" },
};
static const char *const never_stripping[] = { "<unk>", "<s>", "<|endoftext|>", NULL };

static bool is_one_of(const struct token *token, const char *const *texts)
{
    for (; *texts; texts++)
        if (strlen(*texts) == token->n_text && !memcmp(*texts, token->text, token->n_text)) return true;
    return false;
}

/* ---- ids ---- */

/* Published files have ids such as the vocabulary's size, or -1 for "none": a remark, and the default. */
static void remark_bad_id(struct calmoe_context *ctx, const struct model_file *file,
                          const struct tokenizer *tokenizer, const struct meta_entry *entry, int64_t value,
                          int32_t used)
{
    const bool is_huge = value < 0 && (entry->type == META_U64 || entry->element_type == META_U64);
    char       found[32], instead[32] = "none";
    if (is_huge)
        snprintf(found, sizeof found, "%" PRIu64, (uint64_t)value);
    else
        snprintf(found, sizeof found, "%" PRId64, value);
    if (used >= 0) snprintf(instead, sizeof instead, "%d", used);
    cm_log(ctx, "'%s': key '%s' says token %s, and there are %d; %s is used in its place", file->name, entry->key,
           found, tokenizer->n_tokens, instead);
}

/* Reads an id; *id keeps what it was where the key is absent or names no token. */
static calmoe_status get_id(struct calmoe_context *ctx, const struct model_file *file,
                            const struct tokenizer *tokenizer, const char *key, int32_t *id, bool *is_named)
{
    const struct meta_entry *entry = cm_meta_entry(file, key);
    int64_t                  value = -1;
    *is_named = false;
    if (!entry) return CALMOE_OK;
    if (!cm_meta_is_integer(entry->type))
        return cm_meta_get_int(ctx, file, key, 0, tokenizer->n_tokens - 1, &value); /* says what is wrong */
    value = cm_meta_element_int(entry, 0);
    *is_named = value >= 0 && value < tokenizer->n_tokens;
    if (*is_named)
        *id = (int32_t)value;
    else
        remark_bad_id(ctx, file, tokenizer, entry, value, *id);
    return CALMOE_OK;
}

/* What the file says, else `usual` where that token can be it. */
static calmoe_status read_id(struct calmoe_context *ctx, const struct model_file *file,
                             const struct tokenizer *tokenizer, const char *key, int32_t usual, int32_t *id,
                             bool *is_named)
{
    *id = usual < tokenizer->n_tokens ? usual : -1;
    /* Byte-level BPE's usual id is an accident of history and a comma elsewhere. */
    if (*id >= 0 && !tokenizer->is_spm && tokenizer->tokens[*id].type != TOKEN_CONTROL) *id = -1;
    return get_id(ctx, file, tokenizer, key, id, is_named);
}

/* A file that itself asks for a token at an end of texts must name it, where no other is usual (id -1). */
static calmoe_status check_named(struct calmoe_context *ctx, const struct model_file *file, const char *asking,
                                 int32_t id, const char *naming)
{
    bool asks = false;
    CM_TRY(cm_meta_get_bool(ctx, file, asking, &asks));
    if (!asks || id >= 0 || cm_meta_entry(file, naming)) return CALMOE_OK;
    return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': key '%s' is missing; '%s' asks for that token", file->name, naming,
                   asking);
}

static calmoe_status read_ids(struct calmoe_context *ctx, const struct model_file *file,
                              struct tokenizer *tokenizer)
{
    const bool is_spm = tokenizer->is_spm;
    const bool no_bos = tokenizer->row && tokenizer->row->no_bos;
    bool       is_named;
    CM_TRY(read_id(ctx, file, tokenizer, KEY("bos_token_id"), is_spm ? 1 : no_bos ? -1 : 11, &tokenizer->bos,
                   &tokenizer->names_bos));
    CM_TRY(read_id(ctx, file, tokenizer, KEY("eos_token_id"), is_spm ? 2 : 11, &tokenizer->eos, &is_named));
    const bool has_unknown = is_spm && tokenizer->tokens[0].type == TOKEN_UNKNOWN;
    CM_TRY(read_id(ctx, file, tokenizer, KEY("unknown_token_id"), has_unknown ? 0 : -1, &tokenizer->unknown,
                   &is_named));
    tokenizer->adds_bos = is_spm || tokenizer->row->add_bos;
    tokenizer->adds_space = is_spm;
    CM_TRY(cm_meta_get_bool(ctx, file, KEY("add_bos_token"), &tokenizer->adds_bos));
    CM_TRY(cm_meta_get_bool(ctx, file, KEY("add_eos_token"), &tokenizer->adds_eos));
    CM_TRY(cm_meta_get_bool(ctx, file, KEY("add_space_prefix"), &tokenizer->adds_space));
    tokenizer->adds_space = tokenizer->adds_space && is_spm;
    if (!is_spm && tokenizer->row->always_bos) tokenizer->adds_bos = true;
    CM_TRY(check_named(ctx, file, KEY("add_bos_token"), tokenizer->bos, KEY("bos_token_id")));
    CM_TRY(check_named(ctx, file, KEY("add_eos_token"), tokenizer->eos, KEY("eos_token_id")));
    if (tokenizer->adds_bos && tokenizer->bos < 0) {
        cm_log(ctx, "'%s' asks for a BOS token before texts and names none; none is added", file->name);
        tokenizer->adds_bos = false;
    }
    if (tokenizer->adds_eos && tokenizer->eos < 0) {
        cm_log(ctx, "'%s' asks for an EOS token behind texts and names none; none is added", file->name);
        tokenizer->adds_eos = false;
    }
    return CALMOE_OK;
}

/* ---- what ends generation ---- */

static bool has_text(const struct tokenizer *tokenizer, const char *text)
{
    return cm_tokenizer_find(tokenizer, text) >= 0;
}

/* An entry that merges can make is text, whatever it looks like. */
static void mark_by_text(struct tokenizer *tokenizer)
{
    for (int32_t id = 0; id < tokenizer->n_tokens; id++) {
        struct token *token = &tokenizer->tokens[id];
        if (token->type == TOKEN_UNUSED || token->is_made) continue;
        if (is_one_of(token, endings)) {
            token->ends_generation = true;
            token->type = TOKEN_CONTROL; /* many files say otherwise */
        }
        if (is_one_of(token, shown)) token->is_shown = true;
    }
    for (size_t i = 0; i < sizeof parts_of_answers / sizeof parts_of_answers[0]; i++) {
        const int32_t id = cm_tokenizer_find(tokenizer, parts_of_answers[i].text);
        if (id >= 0 && has_text(tokenizer, parts_of_answers[i].with[0]) &&
            has_text(tokenizer, parts_of_answers[i].with[1]))
            tokenizer->tokens[id].ends_generation = false;
    }
}

static calmoe_status mark_endings(struct calmoe_context *ctx, const struct model_file *file,
                                  struct tokenizer *tokenizer)
{
    mark_by_text(tokenizer);
    if (tokenizer->eos >= 0) tokenizer->tokens[tokenizer->eos].ends_generation = true;
    for (const char *const *key = ending_keys; *key; key++) {
        int32_t id = -1;
        bool    is_named;
        CM_TRY(get_id(ctx, file, tokenizer, *key, &id, &is_named));
        if (is_named) tokenizer->tokens[id].ends_generation = true;
    }
    const struct meta_entry *more;
    CM_TRY(cm_token_array(ctx, file, KEY("eos_token_ids"), "integers", true, &more));
    bool has_remarked = false;
    for (uint64_t i = 0; more && i < more->count; i++) {
        const int64_t id = cm_meta_element_int(more, i);
        const bool    is_token = id >= 0 && id < tokenizer->n_tokens;
        if (is_token) tokenizer->tokens[id].ends_generation = true;
        if (!is_token && !has_remarked) remark_bad_id(ctx, file, tokenizer, more, id, -1);
        has_remarked = has_remarked || !is_token;
    }
    return CALMOE_OK;
}

/* ---- what is cut out of raw text ---- */

static bool is_cut(const struct token *token, bool with_special)
{
    if (token->n_text == 0) return false;
    if (token->type == TOKEN_USER_DEFINED) return true;
    return with_special && (token->type == TOKEN_CONTROL || token->type == TOKEN_UNKNOWN);
}

/* By first byte, then longest first, then by id. qsort has no argument to pass, hence the copies. */
struct cut_entry {
    int32_t       id;
    uint16_t      n_text;
    unsigned char first;
};

static int compare(const void *a, const void *b)
{
    const struct cut_entry *const left = a, *const right = b;
    if (left->first != right->first) return left->first < right->first ? -1 : 1;
    if (left->n_text != right->n_text) return left->n_text > right->n_text ? -1 : 1;
    return left->id < right->id ? -1 : 1;
}

static calmoe_status build_special_index(struct calmoe_context *ctx, const struct tokenizer *tokenizer,
                                         bool with_special, struct special_index *index)
{
    size_t n = 0;
    for (int32_t id = 0; id < tokenizer->n_tokens; id++) n += is_cut(&tokenizer->tokens[id], with_special);
    index->ids = cm_alloc(ctx, n, sizeof *index->ids, "special tokens");
    struct cut_entry *entries = index->ids ? cm_alloc(ctx, n, sizeof *entries, "special tokens") : NULL;
    if (!entries) return CALMOE_NO_MEMORY;
    n = 0;
    for (int32_t id = 0; id < tokenizer->n_tokens; id++) {
        const struct token *token = &tokenizer->tokens[id];
        if (is_cut(token, with_special))
            entries[n++] = (struct cut_entry){ id, token->n_text, (unsigned char)token->text[0] };
    }
    qsort(entries, n, sizeof *entries, compare);
    for (size_t i = 0; i < n; i++) {
        index->ids[i] = entries[i].id;
        index->first[entries[i].first + 1]++;
    }
    for (int byte = 0; byte < 256; byte++) index->first[byte + 1] += index->first[byte];
    cm_free(entries);
    return CALMOE_OK;
}

int32_t cm_special_at(const struct tokenizer *tokenizer, const struct special_index *index,
                      const char *text, size_t n_bytes)
{
    const unsigned char first = (unsigned char)text[0];
    for (int32_t i = index->first[first]; i < index->first[first + 1]; i++) {
        const struct token *token = &tokenizer->tokens[index->ids[i]];
        if (token->n_text <= n_bytes && !memcmp(token->text, text, token->n_text)) return index->ids[i];
    }
    return -1;
}

static bool contains_any_case(struct meta_string text, const char *word)
{
    const size_t n = strlen(word);
    for (size_t at = 0; at + n <= text.n_bytes; at++) {
        size_t i = 0;
        while (i < n && tolower((unsigned char)text.bytes[at + i]) == word[i]) i++;
        if (i == n) return true;
    }
    return false;
}

static calmoe_status mark_strippers(struct calmoe_context *ctx, const struct model_file *file,
                                    struct tokenizer *tokenizer)
{
    bool strips = false;
    for (size_t i = 0; i < sizeof right_strippers / sizeof right_strippers[0]; i++) {
        struct meta_string text = { "", 0 };
        CM_TRY(cm_meta_get_string(ctx, file, right_strippers[i].key, &text));
        strips = strips || contains_any_case(text, right_strippers[i].contains);
    }
    for (int32_t id = 0; strips && id < tokenizer->n_tokens; id++) {
        struct token *token = &tokenizer->tokens[id];
        token->strips_right = is_cut(token, true) && !is_one_of(token, never_stripping);
    }
    return CALMOE_OK;
}

/* Without byte tokens some text would be lost; the unknown token at least says so. In byte-level BPE
 * what lacks are bytes that no UTF-8 has. */
static calmoe_status check_bytes(struct calmoe_context *ctx, const struct model_file *file,
                                 const struct tokenizer *tokenizer)
{
    int n_missing = 0;
    for (int byte = 0; byte < 256; byte++) n_missing += tokenizer->byte_ids[byte] < 0;
    if (n_missing && tokenizer->unknown < 0 && tokenizer->is_plain)
        return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': %d of 256 bytes have no token, and there is no unknown "
                       "token to stand for them", file->name, n_missing);
    if (n_missing)
        cm_log(ctx, "'%s': %d of 256 bytes have no token; %s", file->name, n_missing,
               tokenizer->unknown < 0 ? "they are left out" : "the unknown token stands for them");
    return CALMOE_OK;
}

calmoe_status cm_special_tokens_read(struct calmoe_context *ctx, const struct model_file *file,
                                     struct tokenizer *tokenizer)
{
    CM_TRY(read_ids(ctx, file, tokenizer));
    CM_TRY(check_bytes(ctx, file, tokenizer));
    CM_TRY(mark_endings(ctx, file, tokenizer));
    CM_TRY(mark_strippers(ctx, file, tokenizer));
    CM_TRY(build_special_index(ctx, tokenizer, false, &tokenizer->always));
    return build_special_index(ctx, tokenizer, true, &tokenizer->with_special);
}
