/* token_trie.c - see token_trie.h. */
#include "runtime/constrain/token_trie.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct text { /* of a plain token */
    const char *bytes;
    int32_t     n_bytes;
    int32_t     id;
};

static int compare(const void *a, const void *b)
{
    const struct text *one = a, *other = b;
    const int32_t      n = one->n_bytes < other->n_bytes ? one->n_bytes : other->n_bytes;
    const int          order = memcmp(one->bytes, other->bytes, (size_t)n);
    if (order != 0) return order;
    if (one->n_bytes != other->n_bytes) return one->n_bytes < other->n_bytes ? -1 : 1;
    return one->id < other->id ? -1 : one->id > other->id;
}

static bool is_bracketed(const char *bytes, int n)
{
    return n >= 3 && ((bytes[0] == '<' && bytes[n - 1] == '>') || (bytes[0] == '[' && bytes[n - 1] == ']'));
}

enum token_class { CLASS_NONE, CLASS_PLAIN, CLASS_SPECIAL, CLASS_END };

static enum token_class classify(const struct tokenizer *tokenizer, int32_t id, struct text *text)
{
    int n_plain;
    if (!cm_token_is_usable(tokenizer, id)) return CLASS_NONE;
    if (cm_token_ends_generation(tokenizer, id)) return CLASS_END;
    (void)cm_token_bytes(tokenizer, id, false, &n_plain);
    text->id = id;
    text->bytes = cm_token_bytes(tokenizer, id, true, &text->n_bytes);
    if (text->n_bytes == 0) return CLASS_NONE;
    const bool is_special = cm_token_is_special(tokenizer, id) &&
                            (n_plain == 0 || is_bracketed(text->bytes, text->n_bytes));
    return is_special ? CLASS_SPECIAL : CLASS_PLAIN;
}

/* Fills the lists but the nodes, and texts (n_tokens); returns how many of those there are. */
static int32_t list_tokens(struct token_trie *trie, struct text *texts)
{
    int32_t n = 0;
    for (int32_t id = 0; id < trie->n_tokens; id++) {
        struct text text;
        trie->same[id] = -1;
        switch (classify(trie->tokenizer, id, &text)) {
        case CLASS_PLAIN: texts[n++] = text; break;
        case CLASS_END: trie->ends[trie->n_ends++] = id; break;
        case CLASS_SPECIAL:
            trie->specials[trie->n_specials++] = (struct special_token){text.bytes, text.n_bytes, id};
            break;
        default: break;
        }
    }
    return n;
}

static int32_t n_shared(const struct text *a, const struct text *b)
{
    int32_t n = 0;
    while (n < a->n_bytes && n < b->n_bytes && a->bytes[n] == b->bytes[n]) n++;
    return n;
}

/* Texts in order: each adds the bytes that it does not share with the one before. */
static void add_nodes(struct token_trie *trie, const struct text *texts, int32_t n)
{
    uint32_t path[CM_TOKEN_BYTES]; /* nodes of the last text, by depth */
    int32_t  n_path = 0;
    for (int32_t i = 0; i < n; i++) {
        const struct text *text = &texts[i];
        const int32_t      shared = i > 0 ? n_shared(text, &texts[i - 1]) : 0;
        while (n_path > shared) trie->nodes[path[--n_path]].end = trie->n_nodes;
        while (n_path < text->n_bytes) {
            path[n_path] = trie->n_nodes++;
            trie->nodes[path[n_path]] = (struct trie_node){.token = -1, .depth = (uint16_t)(n_path + 1),
                                                           .byte = (uint8_t)text->bytes[n_path]};
            n_path++;
        }
        struct trie_node *last = &trie->nodes[path[n_path - 1]];
        trie->same[text->id] = last->token;
        last->token = text->id;
    }
    while (n_path > 0) trie->nodes[path[--n_path]].end = trie->n_nodes;
}

static uint32_t count_nodes(const struct text *texts, int32_t n)
{
    uint32_t n_nodes = 0;
    for (int32_t i = 0; i < n; i++)
        n_nodes += (uint32_t)(texts[i].n_bytes - (i > 0 ? n_shared(&texts[i], &texts[i - 1]) : 0));
    return n_nodes;
}

static calmoe_status fill(struct calmoe_context *ctx, struct token_trie *trie, struct text *texts)
{
    const size_t n_tokens = (size_t)trie->n_tokens;
    trie->same = cm_alloc(ctx, n_tokens, sizeof *trie->same, "the vocabulary");
    trie->specials = cm_alloc(ctx, n_tokens, sizeof *trie->specials, "the vocabulary");
    trie->ends = cm_alloc(ctx, n_tokens, sizeof *trie->ends, "the vocabulary");
    if (!trie->same || !trie->specials || !trie->ends) return CALMOE_NO_MEMORY;
    const int32_t n = list_tokens(trie, texts);
    qsort(texts, (size_t)n, sizeof *texts, compare);
    trie->nodes = cm_alloc(ctx, count_nodes(texts, n), sizeof *trie->nodes, "the vocabulary");
    if (!trie->nodes) return CALMOE_NO_MEMORY;
    add_nodes(trie, texts, n);
    return CALMOE_OK;
}

calmoe_status cm_token_trie_open(struct calmoe_context *ctx, const struct tokenizer *tokenizer,
                                 struct token_trie **out)
{
    const int32_t      n_tokens = cm_tokenizer_n_tokens(tokenizer);
    struct token_trie *trie = cm_alloc(ctx, 1, sizeof *trie, "the vocabulary");
    struct text       *texts = cm_alloc(ctx, (size_t)n_tokens, sizeof *texts, "the vocabulary");
    calmoe_status      status = CALMOE_NO_MEMORY;
    if (trie) *trie = (struct token_trie){.tokenizer = tokenizer, .n_tokens = n_tokens};
    if (trie && texts) status = fill(ctx, trie, texts);
    cm_free(texts);
    if (status != CALMOE_OK && trie) cm_token_trie_close(&trie);
    *out = trie;
    return status;
}

void cm_token_trie_close(struct token_trie **trie)
{
    if (!*trie) return;
    cm_free((*trie)->nodes);
    cm_free((*trie)->same);
    cm_free((*trie)->specials);
    cm_free((*trie)->ends);
    cm_free(*trie);
    *trie = NULL;
}
