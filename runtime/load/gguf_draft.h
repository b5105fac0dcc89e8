/* runtime/load/gguf_draft.h - metadata of a GGUF file that has no source: entries are added, and gguf_writer.h
 * takes draft->gguf as if it had been read. */
#ifndef RUNTIME_LOAD_GGUF_DRAFT_H
#define RUNTIME_LOAD_GGUF_DRAFT_H

#include "runtime/load/gguf.h"

enum { GGUF_DRAFT_ENTRIES = 64, GGUF_DRAFT_KEY_BYTES = 96 };

struct gguf_draft {
    struct gguf        gguf; /* n_entries and entries; nothing else is set */
    const char        *prefix; /* what a key's leading '%' stands for: the architecture */
    struct gguf_entry  entries[GGUF_DRAFT_ENTRIES];
    char               keys[GGUF_DRAFT_ENTRIES][GGUF_DRAFT_KEY_BYTES];
    uint8_t            values[GGUF_DRAFT_ENTRIES][4];
    struct gguf_string strings[GGUF_DRAFT_ENTRIES];
};

/* The draft is not moved afterwards; arrays and texts are borrowed until the file is written. prefix shorter than
 * 32 bytes, keys than 64; no more than GGUF_DRAFT_ENTRIES entries: our mistakes. */
void cm_gguf_draft_begin(struct gguf_draft *draft, const char *prefix);
void cm_gguf_draft_u32(struct gguf_draft *draft, const char *key, uint32_t value);
void cm_gguf_draft_f32(struct gguf_draft *draft, const char *key, float value);
void cm_gguf_draft_bool(struct gguf_draft *draft, const char *key, bool value);
void cm_gguf_draft_text(struct gguf_draft *draft, const char *key, const char *text);
void cm_gguf_draft_texts(struct gguf_draft *draft, const char *key, struct gguf_string *texts, uint64_t n);
void cm_gguf_draft_i32s(struct gguf_draft *draft, const char *key, const int32_t *values, uint64_t n);

#endif
