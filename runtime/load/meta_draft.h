/* runtime/load/meta_draft.h - metadata of a GGUF file that has no source: entries are added, and model_writer.h
 * takes draft->file as if it had been read. */
#ifndef RUNTIME_LOAD_META_DRAFT_H
#define RUNTIME_LOAD_META_DRAFT_H

#include "runtime/load/model_file.h"

enum { META_DRAFT_ENTRIES = 64, META_DRAFT_KEY_BYTES = 96 };

struct meta_draft {
    struct model_file        file; /* n_entries and entries; nothing else is set */
    const char        *prefix; /* what a key's leading '%' stands for: the architecture */
    struct meta_entry  entries[META_DRAFT_ENTRIES];
    char               keys[META_DRAFT_ENTRIES][META_DRAFT_KEY_BYTES];
    uint8_t            values[META_DRAFT_ENTRIES][4];
    struct meta_string strings[META_DRAFT_ENTRIES];
};

/* The draft is not moved afterwards; arrays and texts are borrowed until the file is written. prefix shorter than
 * 32 bytes, keys than 64; no more than META_DRAFT_ENTRIES entries: our mistakes. */
void cm_meta_draft_begin(struct meta_draft *draft, const char *prefix);
void cm_meta_draft_u32(struct meta_draft *draft, const char *key, uint32_t value);
void cm_meta_draft_f32(struct meta_draft *draft, const char *key, float value);
void cm_meta_draft_bool(struct meta_draft *draft, const char *key, bool value);
void cm_meta_draft_text(struct meta_draft *draft, const char *key, const char *text);
void cm_meta_draft_texts(struct meta_draft *draft, const char *key, struct meta_string *texts, uint64_t n);
void cm_meta_draft_bools(struct meta_draft *draft, const char *key, const uint8_t *values, uint64_t n); /* 0 or 1 */
void cm_meta_draft_i32s(struct meta_draft *draft, const char *key, const int32_t *values, uint64_t n);

#endif
