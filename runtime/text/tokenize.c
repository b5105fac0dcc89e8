/* tokenize.c - text to ids: cuts special tokens out, hands what lies between to the algorithm, adds the
 * beginning and the end. */
#include <string.h>

#include "base/memory.h"
#include "runtime/text/nfc.h"
#include "runtime/text/tokenizer_parts.h"

struct cutter { /* one cm_tokenize_parts() */
    struct encoder encoder;
    struct nfc     nfc;
    char  *pending;       /* (capacity) plain text since the last special token */
    size_t n_pending;
    bool   after_special; /* or at the beginning */
    bool   adds_space;
    bool   spares_space;  /* not before white space */
    int    bos_at;        /* where in the list BOS was added, -1: it was not */
};

/* ---- plain text ---- */

static bool is_white(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void append(struct cutter *cutter, const char *text, size_t n_bytes)
{
    if (n_bytes == 0) return;
    char *end = cutter->pending + cutter->n_pending;
    if (!cutter->encoder.tokenizer->is_plain) {
        memcpy(end, text, n_bytes);
        cutter->n_pending += n_bytes;
        return;
    }
    const bool spares = cutter->spares_space && is_white(text[0]);
    if (cutter->n_pending == 0 && cutter->after_special && cutter->adds_space && !spares) {
        memcpy(end, SPM_SPACE, 3);
        end += 3;
    }
    for (size_t i = 0; i < n_bytes; i++) {
        if (text[i] == ' ') {
            memcpy(end, SPM_SPACE, 3);
            end += 3;
        } else {
            *end++ = text[i];
        }
    }
    cutter->n_pending = (size_t)(end - cutter->pending);
}

static calmoe_status flush(struct cutter *cutter)
{
    if (cutter->n_pending == 0) return CALMOE_OK;
    const size_t n = cutter->n_pending;
    cutter->n_pending = 0;
    cutter->after_special = false;
    if (cutter->encoder.tokenizer->is_spm) return cm_encode_score_pairs(&cutter->encoder, cutter->pending, n);
    const char *text = cutter->pending;
    size_t      n_bytes = n;
    if (cutter->encoder.tokenizer->row->nfc)
        CM_TRY(cm_nfc(cutter->encoder.ctx, &cutter->nfc, text, n, &text, &n_bytes));
    return cm_encode_byte_pairs(&cutter->encoder, text, n_bytes);
}

/* ---- special tokens ---- */

static calmoe_status cut(struct cutter *cutter, const struct text_part *part)
{
    struct encoder             *encoder = &cutter->encoder;
    const struct tokenizer     *tokenizer = encoder->tokenizer;
    const struct special_index *index = part->parse_special ? &tokenizer->with_special : &tokenizer->always;
    size_t                      begin = 0, at = 0;
    while (at < part->n_bytes) {
        const int32_t id = cm_special_at(tokenizer, index, part->text + at, part->n_bytes - at);
        if (id < 0) {
            at++;
            continue;
        }
        append(cutter, part->text + begin, at - begin);
        CM_TRY(flush(cutter));
        /* A BOS that opens the text itself is not doubled. */
        const bool is_double = id == tokenizer->bos && cutter->bos_at >= 0 &&
                               cutter->bos_at == encoder->list->n - 1;
        if (!is_double) CM_TRY(cm_token_list_put(encoder->ctx, encoder->list, id));
        cutter->after_special = true;
        at += tokenizer->tokens[id].n_text;
        while (tokenizer->tokens[id].strips_right && at < part->n_bytes && is_white(part->text[at])) at++;
        begin = at;
    }
    append(cutter, part->text + begin, at - begin);
    return CALMOE_OK;
}

static calmoe_status cut_parts(struct cutter *cutter, const struct text_part *parts, int n_parts,
                               unsigned flags)
{
    struct encoder         *encoder = &cutter->encoder;
    const struct tokenizer *tokenizer = encoder->tokenizer;
    const bool              adds = flags & TOKENIZE_ADD_BOS;
    cutter->bos_at = -1;
    if (adds && tokenizer->adds_bos) {
        cutter->bos_at = encoder->list->n;
        CM_TRY(cm_token_list_put(encoder->ctx, encoder->list, tokenizer->bos));
    }
    for (int i = 0; i < n_parts; i++) CM_TRY(cut(cutter, &parts[i]));
    CM_TRY(flush(cutter));
    if (adds && tokenizer->adds_eos) CM_TRY(cm_token_list_put(encoder->ctx, encoder->list, tokenizer->eos));
    return CALMOE_OK;
}

calmoe_status cm_tokenize_parts(struct calmoe_context *ctx, const struct tokenizer *tokenizer,
                                const struct text_part *parts, int n_parts, unsigned flags,
                                struct token_list *list)
{
    size_t n_bytes = 0;
    for (int i = 0; i < n_parts; i++) {
        if (parts[i].n_bytes > MAX_TEXT_BYTES - n_bytes)
            return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "the text has more than %d bytes", MAX_TEXT_BYTES);
        n_bytes += parts[i].n_bytes;
    }
    const int     n_before = list->n;
    struct cutter cutter = {
        .encoder = { .ctx = ctx, .tokenizer = tokenizer, .list = list },
        .after_special = true,
        .adds_space = tokenizer->adds_space,
        .spares_space = (flags & TOKENIZE_SPARE_SPACE) != 0,
    };
    calmoe_status status = CALMOE_NO_MEMORY;
    /* As SPM_SPACE a space takes three bytes, and one may be added. */
    cutter.pending = cm_alloc(ctx, tokenizer->is_plain ? 3 * n_bytes + 3 : n_bytes, 1, "text to tokenize");
    if (cutter.pending) status = CALMOE_OK;
    if (status == CALMOE_OK && tokenizer->pretokenizer)
        status = cm_splitter_open(ctx, tokenizer->pretokenizer, &cutter.encoder.splitter);
    if (status == CALMOE_OK) status = cut_parts(&cutter, parts, n_parts, flags);
    if (status != CALMOE_OK) list->n = n_before;
    cm_splitter_close(&cutter.encoder.splitter);
    cm_pair_work_close(&cutter.encoder.work);
    cm_nfc_close(&cutter.nfc);
    cm_free(cutter.pending);
    return status;
}

calmoe_status cm_tokenize(struct calmoe_context *ctx, const struct tokenizer *tokenizer, const char *text,
                          size_t n_bytes, unsigned flags, struct token_list *list)
{
    const struct text_part part = { text, n_bytes, (flags & TOKENIZE_PARSE_SPECIAL) != 0 };
    return cm_tokenize_parts(ctx, tokenizer, &part, 1, flags & TOKENIZE_ADD_BOS, list);
}
