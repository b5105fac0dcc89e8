/* meta_draft.c - see meta_draft.h. Values are kept little-endian, as a file has them. */
#include "runtime/load/meta_draft.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

void cm_meta_draft_begin(struct meta_draft *draft, const char *prefix)
{
    memset(draft, 0, sizeof *draft);
    draft->file.entries = draft->entries;
    draft->prefix = prefix;
}

static struct meta_entry *add(struct meta_draft *draft, const char *key, enum meta_type type)
{
    const uint64_t at = draft->file.n_entries++;
    assert(at < META_DRAFT_ENTRIES);
    const bool is_prefixed = key[0] == '%';
    const int  n = snprintf(draft->keys[at], META_DRAFT_KEY_BYTES, "%s%s", is_prefixed ? draft->prefix : "",
                            key + is_prefixed);
    assert(n > 0 && n < META_DRAFT_KEY_BYTES);
    (void)n;
    draft->entries[at] = (struct meta_entry){.key = draft->keys[at], .type = type, .count = 1,
                                             .bytes = draft->values[at]};
    return &draft->entries[at];
}

static void put_u32(struct meta_draft *draft, const struct meta_entry *entry, uint32_t value)
{
    uint8_t *bytes = draft->values[entry - draft->entries];
    for (int i = 0; i < 4; i++) bytes[i] = (uint8_t)(value >> 8 * i);
}

void cm_meta_draft_u32(struct meta_draft *draft, const char *key, uint32_t value)
{
    put_u32(draft, add(draft, key, META_U32), value);
}

void cm_meta_draft_f32(struct meta_draft *draft, const char *key, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_u32(draft, add(draft, key, META_F32), bits);
}

void cm_meta_draft_bool(struct meta_draft *draft, const char *key, bool value)
{
    put_u32(draft, add(draft, key, META_BOOL), value ? 1 : 0);
}

void cm_meta_draft_text(struct meta_draft *draft, const char *key, const char *text)
{
    struct meta_entry  *entry = add(draft, key, META_STRING);
    struct meta_string *string = &draft->strings[entry - draft->entries];
    *string = (struct meta_string){text, strlen(text)};
    entry->strings = string;
}

void cm_meta_draft_texts(struct meta_draft *draft, const char *key, struct meta_string *texts, uint64_t n)
{
    struct meta_entry *entry = add(draft, key, META_ARRAY);
    entry->element_type = META_STRING;
    entry->strings = texts;
    entry->count = n;
}

void cm_meta_draft_bools(struct meta_draft *draft, const char *key, const uint8_t *values, uint64_t n)
{
    struct meta_entry *entry = add(draft, key, META_ARRAY);
    entry->element_type = META_BOOL;
    entry->bytes = values;
    entry->count = n;
}

void cm_meta_draft_i32s(struct meta_draft *draft, const char *key, const int32_t *values, uint64_t n)
{
    struct meta_entry *entry = add(draft, key, META_ARRAY);
    entry->element_type = META_I32;
    entry->bytes = (const uint8_t *)values;
    entry->count = n;
}
