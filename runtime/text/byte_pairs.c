/* byte_pairs.c - byte pair encoding: pieces by pattern, then merges by rank inside each piece.
 *
 * At byte level symbols are bytes, not the printable characters that files write for them; the two say the same. Of
 * plain texts they are characters. */
#include "runtime/text/tokenizer_parts.h"
#include "runtime/text/utf8.h"

static bool may_join_by_rule(const struct tokenizer *tokenizer, const char *text,
                             const struct symbol *left, const struct symbol *right, uint32_t *order,
                             int32_t *id)
{
    (void)text;
    if (left->id < 0 || right->id < 0) return false;
    const struct merge_rule *rule = cm_merge_rule(tokenizer, left->id, right->id);
    *order = rule->rank;
    *id = rule->made - 1;
    return rule->made != 0;
}

/* Where there is no list of merges, ids are ranks (tiktoken). */
static bool may_join_by_id(const struct tokenizer *tokenizer, const char *text, const struct symbol *left,
                           const struct symbol *right, uint32_t *order, int32_t *id)
{
    *id = cm_vocabulary_find(tokenizer, text + left->at, left->n_bytes + right->n_bytes);
    *order = (uint32_t)*id;
    return *id >= 0;
}

/* Of a tokenizer whose texts are plain. Line ends that follow each other are one token, where there is one. */
static calmoe_status encode_plain_piece(struct encoder *encoder, const char *piece, size_t n_bytes)
{
    const int32_t lines = piece[0] == '\n' ? cm_vocabulary_find(encoder->tokenizer, piece, n_bytes) : -1;
    if (lines >= 0) return cm_token_list_put(encoder->ctx, encoder->list, lines);
    return cm_encode_characters(encoder, piece, n_bytes, may_join_by_rule);
}

static calmoe_status encode_piece(void *arg, const char *piece, size_t n_bytes)
{
    struct encoder         *encoder = arg;
    const struct tokenizer *tokenizer = encoder->tokenizer;
    if (tokenizer->is_plain) return encode_plain_piece(encoder, piece, n_bytes);
    if (n_bytes == 1) return cm_encode_byte(encoder, (unsigned char)piece[0]);
    if (tokenizer->row->ignore_merges) {
        const int32_t id = cm_vocabulary_find(tokenizer, piece, n_bytes);
        if (id >= 0 && tokenizer->tokens[id].type == TOKEN_NORMAL)
            return cm_token_list_put(encoder->ctx, encoder->list, id);
    }
    struct pair_work *work = &encoder->work;
    CM_TRY(cm_pair_work_reserve(encoder->ctx, work, n_bytes));
    work->n_symbols = (int32_t)n_bytes;
    for (size_t at = 0; at < n_bytes; at++)
        work->symbols[at] = (struct symbol){ .at = (uint32_t)at, .n_bytes = 1,
                                             .id = tokenizer->byte_ids[(unsigned char)piece[at]] };
    cm_merge_pairs(work, tokenizer, piece, tokenizer->rules ? may_join_by_rule : may_join_by_id);
    for (int32_t i = 0; i >= 0; i = work->symbols[i].next) {
        const struct symbol *symbol = &work->symbols[i];
        CM_TRY(symbol->id >= 0 ? cm_token_list_put(encoder->ctx, encoder->list, symbol->id)
                               : cm_encode_byte(encoder, (unsigned char)piece[symbol->at]));
    }
    return CALMOE_OK;
}

/* Patterns see valid UTF-8 only; bytes that are none go between as they are. */
calmoe_status cm_encode_byte_pairs(struct encoder *encoder, const char *text, size_t n_bytes)
{
    size_t begin = 0, at = 0;
    while (at < n_bytes) {
        const int length = cm_utf8_length(text + at, n_bytes - at);
        if (length > 0) {
            at += (size_t)length;
            continue;
        }
        CM_TRY(cm_split(encoder->splitter, text + begin, at - begin, encode_piece, encoder));
        CM_TRY(cm_encode_byte(encoder, (unsigned char)text[at]));
        begin = ++at;
    }
    return cm_split(encoder->splitter, text + begin, n_bytes - begin, encode_piece, encoder);
}
