/* score_pairs.c - SPM: characters merged by the score of the token that they make, bytes for the rest.
 *
 * The published algorithm remembers how symbols were merged, to take apart those that are no tokens.
 * Here only tokens are ever made, so what is left without one is a single character. */
#include "runtime/text/tokenizer_parts.h"
#include "runtime/text/utf8.h"

static bool may_join_by_score(const struct tokenizer *tokenizer, const char *text, const struct symbol *left,
                              const struct symbol *right, uint32_t *order, int32_t *id)
{
    *id = cm_vocabulary_find(tokenizer, text + left->at, left->n_bytes + right->n_bytes);
    if (*id < 0 || tokenizer->tokens[*id].type == TOKEN_CONTROL) return false;
    *order = tokenizer->orders[*id];
    return true;
}

calmoe_status cm_encode_characters(struct encoder *encoder, const char *text, size_t n_bytes, cm_pair_fn may_join)
{
    const struct tokenizer *tokenizer = encoder->tokenizer;
    struct pair_work       *work = &encoder->work;
    CM_TRY(cm_pair_work_reserve(encoder->ctx, work, n_bytes));
    work->n_symbols = 0;
    for (size_t at = 0; at < n_bytes;) {
        int length = cm_utf8_length(text + at, n_bytes - at);
        if (length < 1) length = 1;
        work->symbols[work->n_symbols++] = (struct symbol){
            .at = (uint32_t)at, .n_bytes = (uint32_t)length,
            .id = cm_vocabulary_find(tokenizer, text + at, (size_t)length) };
        at += (size_t)length;
    }
    cm_merge_pairs(work, tokenizer, text, may_join);
    for (int32_t i = 0; i >= 0; i = work->symbols[i].next) {
        const struct symbol *symbol = &work->symbols[i];
        if (symbol->id >= 0) {
            CM_TRY(cm_token_list_put(encoder->ctx, encoder->list, symbol->id));
            continue;
        }
        for (uint32_t byte = 0; byte < symbol->n_bytes; byte++)
            CM_TRY(cm_encode_byte(encoder, (unsigned char)text[symbol->at + byte]));
    }
    return CALMOE_OK;
}

calmoe_status cm_encode_score_pairs(struct encoder *encoder, const char *text, size_t n_bytes)
{
    size_t begin = 0;
    for (size_t at = 1; encoder->tokenizer->words_apart && at < n_bytes; at++) {
        if (!cm_word_begins(text, n_bytes, at)) continue;
        CM_TRY(cm_encode_characters(encoder, text + begin, at - begin, may_join_by_score));
        begin = at;
    }
    if (begin == n_bytes) return CALMOE_OK;
    return cm_encode_characters(encoder, text + begin, n_bytes - begin, may_join_by_score);
}
