/* gguf_draft.c - see gguf_draft.h. Values are kept little-endian, as a file has them. */
#include "runtime/load/gguf_draft.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

void cm_gguf_draft_begin(struct gguf_draft *draft, const char *prefix)
{
    memset(draft, 0, sizeof *draft);
    draft->gguf.entries = draft->entries;
    draft->prefix = prefix;
}

static struct gguf_entry *add(struct gguf_draft *draft, const char *key, enum gguf_type type)
{
    const uint64_t at = draft->gguf.n_entries++;
    assert(at < GGUF_DRAFT_ENTRIES);
    const bool is_prefixed = key[0] == '%';
    const int  n = snprintf(draft->keys[at], GGUF_DRAFT_KEY_BYTES, "%s%s", is_prefixed ? draft->prefix : "",
                            key + is_prefixed);
    assert(n > 0 && n < GGUF_DRAFT_KEY_BYTES);
    (void)n;
    draft->entries[at] = (struct gguf_entry){.key = draft->keys[at], .type = type, .count = 1,
                                             .bytes = draft->values[at]};
    return &draft->entries[at];
}

static void put_u32(struct gguf_draft *draft, const struct gguf_entry *entry, uint32_t value)
{
    uint8_t *bytes = draft->values[entry - draft->entries];
    for (int i = 0; i < 4; i++) bytes[i] = (uint8_t)(value >> 8 * i);
}

void cm_gguf_draft_u32(struct gguf_draft *draft, const char *key, uint32_t value)
{
    put_u32(draft, add(draft, key, GGUF_U32), value);
}

void cm_gguf_draft_f32(struct gguf_draft *draft, const char *key, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_u32(draft, add(draft, key, GGUF_F32), bits);
}

void cm_gguf_draft_bool(struct gguf_draft *draft, const char *key, bool value)
{
    put_u32(draft, add(draft, key, GGUF_BOOL), value ? 1 : 0);
}

void cm_gguf_draft_text(struct gguf_draft *draft, const char *key, const char *text)
{
    struct gguf_entry  *entry = add(draft, key, GGUF_STRING);
    struct gguf_string *string = &draft->strings[entry - draft->entries];
    *string = (struct gguf_string){text, strlen(text)};
    entry->strings = string;
}

void cm_gguf_draft_texts(struct gguf_draft *draft, const char *key, struct gguf_string *texts, uint64_t n)
{
    struct gguf_entry *entry = add(draft, key, GGUF_ARRAY);
    entry->element_type = GGUF_STRING;
    entry->strings = texts;
    entry->count = n;
}

void cm_gguf_draft_i32s(struct gguf_draft *draft, const char *key, const int32_t *values, uint64_t n)
{
    struct gguf_entry *entry = add(draft, key, GGUF_ARRAY);
    entry->element_type = GGUF_I32;
    entry->bytes = (const uint8_t *)values;
    entry->count = n;
}
