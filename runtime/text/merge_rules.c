/* merge_rules.c - what decides the order of merging: the list of merges of byte-level BPE, the scores
 * of SPM. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "runtime/text/tokenizer_parts.h"

#define MERGES_KEY "tokenizer.ggml.merges"
#define SCORES_KEY "tokenizer.ggml.scores"

/* ---- scores ---- */

static calmoe_status read_scores(struct calmoe_context *ctx, const struct model_file *file,
                                 struct tokenizer *tokenizer)
{
    const struct meta_entry *entry;
    CM_TRY(cm_token_array(ctx, file, SCORES_KEY, "numbers", false, &entry));
    if (entry->count != (uint64_t)tokenizer->n_tokens)
        return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': key '" SCORES_KEY "' has %llu entries for %d tokens",
                       file->name, (unsigned long long)entry->count, tokenizer->n_tokens);
    tokenizer->orders = cm_alloc(ctx, (size_t)entry->count, sizeof *tokenizer->orders, "token scores");
    if (!tokenizer->orders) return CALMOE_NO_MEMORY;
    for (int32_t id = 0; id < tokenizer->n_tokens; id++) {
        const float score = (float)cm_meta_element_float(entry, (uint64_t)id) + 0.0f; /* no -0 */
        if (isnan(score))
            return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': the score of token %d is not a number", file->name,
                           id);
        uint32_t bits;
        memcpy(&bits, &score, sizeof bits);
        /* As integers, positive floats rise and negative ones fall; turned so that the best is lowest. */
        tokenizer->orders[id] = bits >> 31 ? bits : bits ^ 0x7fffffff;
    }
    return CALMOE_OK;
}

/* ---- merges ---- */

static uint32_t slot_of(const struct tokenizer *tokenizer, uint64_t pair)
{
    uint64_t bits = pair * 0x9e3779b97f4a7c15u;
    bits ^= bits >> 32;
    const uint32_t mask = tokenizer->n_rules - 1;
    uint32_t       slot = (uint32_t)bits & mask;
    while (tokenizer->rules[slot].made && tokenizer->rules[slot].pair != pair) slot = (slot + 1) & mask;
    return slot;
}

const struct merge_rule *cm_merge_rule(const struct tokenizer *tokenizer, int32_t left, int32_t right)
{
    return &tokenizer->rules[slot_of(tokenizer, (uint64_t)(uint32_t)left << 32 | (uint32_t)right)];
}

/* What merging compares, of a token's text in the list of merges. */
static bool key_of_text(const struct tokenizer *tokenizer, const char *text, size_t n_bytes, char *out, size_t *n_out)
{
    if (!tokenizer->is_plain) return cm_bytes_of_text(text, n_bytes, out, n_out);
    memcpy(out, text, *n_out = n_bytes);
    return true;
}

/* The rule of a text "left right", cut at the first space behind byte 0, since a token may begin with
 * one. False where one of its three tokens is not there. */
static bool read_rule(struct tokenizer *tokenizer, const char *text, size_t at_space, size_t n_bytes,
                      uint32_t rank)
{
    char   bytes[2 * CM_TOKEN_BYTES];
    size_t n_left, n_right;
    if (at_space > CM_TOKEN_BYTES || n_bytes - at_space - 1 > CM_TOKEN_BYTES) return false;
    if (!key_of_text(tokenizer, text, at_space, bytes, &n_left)) return false;
    if (!key_of_text(tokenizer, text + at_space + 1, n_bytes - at_space - 1, bytes + n_left, &n_right))
        return false;
    const int32_t left = cm_vocabulary_find(tokenizer, bytes, n_left);
    const int32_t right = cm_vocabulary_find(tokenizer, bytes + n_left, n_right);
    const int32_t made = cm_vocabulary_find(tokenizer, bytes, n_left + n_right);
    if (left < 0 || right < 0 || made < 0) return false;

    const uint64_t     pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    struct merge_rule *rule = &tokenizer->rules[slot_of(tokenizer, pair)];
    if (!rule->made) *rule = (struct merge_rule){ .pair = pair, .rank = rank, .made = made + 1 };
    tokenizer->tokens[made].is_made = true;
    return true;
}

static calmoe_status read_merges(struct calmoe_context *ctx, const struct model_file *file,
                                 struct tokenizer *tokenizer)
{
    const struct meta_entry *entry;
    CM_TRY(cm_token_array(ctx, file, MERGES_KEY, "strings", tokenizer->row->merges_may_lack, &entry));
    if (!entry) return CALMOE_OK;
    if (entry->count > MAX_TOKENS)
        return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': key '" MERGES_KEY "' has %llu entries; at most %d are "
                       "allowed", file->name, (unsigned long long)entry->count, MAX_TOKENS);
    tokenizer->n_rules = 2;
    while (tokenizer->n_rules < 2 * entry->count) tokenizer->n_rules *= 2;
    tokenizer->rules = cm_alloc(ctx, tokenizer->n_rules, sizeof *tokenizer->rules, "merges");
    if (!tokenizer->rules) return CALMOE_NO_MEMORY;
    uint32_t n_ignored = 0;
    for (uint32_t rank = 0; rank < entry->count; rank++) {
        const struct meta_string text = entry->strings[rank];
        const char *space = text.n_bytes > 1 ? memchr(text.bytes + 1, ' ', (size_t)text.n_bytes - 1) : NULL;
        if (!space)
            return cm_fail(ctx, CALMOE_BAD_FILE, "'%s': merge %u is '%.*s'; wanted two texts with a space "
                           "between", file->name, rank, (int)(text.n_bytes < 80 ? text.n_bytes : 80),
                           text.n_bytes ? text.bytes : "");
        n_ignored += !read_rule(tokenizer, text.bytes, (size_t)(space - text.bytes), (size_t)text.n_bytes,
                                rank);
    }
    if (n_ignored)
        cm_log(ctx, "'%s': %u of %u merges name or make a text that is no token; they are ignored",
               file->name, n_ignored, (unsigned)entry->count);
    return CALMOE_OK;
}

calmoe_status cm_merge_rules_read(struct calmoe_context *ctx, const struct model_file *file,
                                  struct tokenizer *tokenizer)
{
    return tokenizer->is_spm ? read_scores(ctx, file, tokenizer) : read_merges(ctx, file, tokenizer);
}
