/* runtime/text/tokenizer_parts.h - the inside of a tokenizer, for the files of runtime/text/ only. */
#ifndef RUNTIME_TEXT_TOKENIZER_PARTS_H
#define RUNTIME_TEXT_TOKENIZER_PARTS_H

#include "runtime/text/pair_merge.h"
#include "runtime/text/pretokenize.h"
#include "runtime/text/tokenizer.h"

#define SPM_SPACE "\xe2\x96\x81" /* U+2581, which stands for a space in SPM token texts */

enum { MAX_TOKENS = 1 << 24, MAX_TEXT_BYTES = 1 << 29 /* of one text to be tokenized */ };

enum token_type { /* the ids in files */
    TOKEN_NORMAL = 1, TOKEN_UNKNOWN, TOKEN_CONTROL, TOKEN_USER_DEFINED, TOKEN_UNUSED, TOKEN_BYTE
};

struct token {
    const char *text;            /* (n_text) as the file writes it, in the arena             */
    const char *bytes;           /* (n_bytes) what it stands for, in the arena               */
    uint16_t    n_text;
    uint16_t    n_bytes;
    uint8_t     type;            /* enum token_type                                          */
    bool        is_text;         /* its text may come out of plain text: the key is indexed  */
    bool        is_made;         /* BPE: some merge makes it                                 */
    bool        is_shown;        /* a control token that is printed all the same             */
    bool        ends_generation;
    bool        strips_right;    /* cut out of a text, it takes the white space behind it    */
};

struct merge_rule { /* of a hash table with open addressing */
    uint64_t pair;   /* left id << 32 | right id          */
    uint32_t rank;   /* lower goes first                  */
    int32_t  made;   /* id + 1; 0 marks an empty slot     */
};

struct special_index { /* tokens that are cut out of the raw text */
    int32_t *ids;             /* (first[256]) by first byte, then longest first, then by id */
    int32_t  first[257];      /* ids of texts that begin with byte b: first[b] … first[b + 1] - 1 */
};

struct tokenizer {
    bool    is_spm;           /* merged by scores, not by a list of merges                           */
    bool    is_plain;         /* texts are what they say, but for SPM_SPACE in place of spaces, and bytes that no
                                 token covers have tokens "<0xHH>" (so in SPM); else texts are bytes that are
                                 written as printable characters                                     */
    int32_t n_tokens;
    struct token *tokens;     /* (n_tokens) */
    char         *arena;
    int32_t  *slots;          /* (n_slots) key → id + 1, hash table with open addressing; 0 = empty */
    uint32_t  n_slots;        /* a power of two */
    int       max_key_bytes;
    uint32_t *orders;         /* (n_tokens) SPM: by score, best first                           */
    struct merge_rule *rules; /* (n_rules) BPE; NULL: the lowest id of a made token goes first  */
    uint32_t  n_rules;        /* a power of two */
    int32_t   byte_ids[256];  /* -1: no such token */
    int32_t   bos, eos, unknown; /* -1: none */
    bool      names_bos;      /* the file does, it is not a default */
    bool      adds_bos, adds_eos, adds_space;
    bool      words_apart;    /* SPM: no token reaches across the beginning of a word, so that words
                                 can be merged one by one with the same result                  */
    const struct pretokenizer_row *row;          /* BPE */
    struct pretokenizer           *pretokenizer; /* BPE */
    struct special_index always;        /* user-defined tokens                  */
    struct special_index with_special;  /* these and control and unknown tokens */
    char      name[64];
};

/* ---- vocabulary.c: the token list ---- */

/* Fills tokens, arena, slots, byte_ids from the file's lists. */
calmoe_status cm_vocabulary_read(struct calmoe_context *ctx, const struct model_file *file,
                                 struct tokenizer *tokenizer);
/* What merging compares: the text where texts are plain, else the bytes. -1: no token that text can make. */
int32_t cm_vocabulary_find(const struct tokenizer *tokenizer, const char *key, size_t n_bytes);
/* Turns the printable characters of byte-level BPE back to bytes; out holds n_bytes. False where text
 * has other characters. */
bool cm_bytes_of_text(const char *text, size_t n_bytes, char *out, size_t *n_out);
/* Whether a word begins at byte at: a space that follows something else. SPM only. */
bool cm_word_begins(const char *text, size_t n_bytes, size_t at);
/* The array of a key, or BAD_FILE; wanted says of what: "strings". NULL out for an absent key if optional. */
calmoe_status cm_token_array(struct calmoe_context *ctx, const struct model_file *file, const char *key,
                             const char *wanted, bool is_optional, const struct meta_entry **out);

/* ---- merge_rules.c ---- */
calmoe_status cm_merge_rules_read(struct calmoe_context *ctx, const struct model_file *file,
                                  struct tokenizer *tokenizer);
/* The rule of two neighbours; its made is 0 where there is none. */
const struct merge_rule *cm_merge_rule(const struct tokenizer *tokenizer, int32_t left, int32_t right);

/* ---- special_tokens.c: ids with a meaning, and what is cut out of texts ---- */
calmoe_status cm_special_tokens_read(struct calmoe_context *ctx, const struct model_file *file,
                                     struct tokenizer *tokenizer);
/* The longest token of index that text[0 .. n_bytes) begins with, -1: none. */
int32_t cm_special_at(const struct tokenizer *tokenizer, const struct special_index *index,
                      const char *text, size_t n_bytes);

/* ---- tokenize.c ---- */

enum { TOKENIZE_SPARE_SPACE = 4 }; /* SPM: no space is added before text that begins with white space */

struct text_part {
    const char *text;
    size_t      n_bytes;
    bool        parse_special; /* control tokens are cut out of this part */
};
/* The parts as one text: pieces may reach across their borders. */
calmoe_status cm_tokenize_parts(struct calmoe_context *ctx, const struct tokenizer *tokenizer,
                                const struct text_part *parts, int n_parts, unsigned flags,
                                struct token_list *list);
calmoe_status cm_token_list_put(struct calmoe_context *ctx, struct token_list *list, int32_t id);

/* ---- byte_pairs.c, score_pairs.c: plain text to ids ---- */

struct encoder { /* the scratch of one cm_tokenize() */
    struct calmoe_context  *ctx;
    const struct tokenizer *tokenizer;
    struct token_list      *list;
    struct pair_work        work;
    struct splitter        *splitter; /* BPE */
};
calmoe_status cm_encode_byte_pairs(struct encoder *encoder, const char *text, size_t n_bytes);
/* Spaces are written as SPM_SPACE in text. */
calmoe_status cm_encode_score_pairs(struct encoder *encoder, const char *text, size_t n_bytes);
/* A stretch of text whose characters are merged by what may_join says; bytes for characters without a token. */
calmoe_status cm_encode_characters(struct encoder *encoder, const char *text, size_t n_bytes, cm_pair_fn may_join);
/* The token of a byte that no token covers: its byte token, else the unknown token, else nothing. */
calmoe_status cm_encode_byte(struct encoder *encoder, unsigned char byte);

#endif
