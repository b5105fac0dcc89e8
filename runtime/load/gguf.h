/* runtime/load/gguf.h - a GGUF model file (versions 2 and 3, one file or shards), mapped and checked.
 *
 * Everything here was verified when the file was opened: counts, types, names, shapes, and that each
 * tensor lies inside its file and shares no byte with another. Metadata is copied; tensors are views
 * into the maps, which live until cm_gguf_close(). Layout: ggml's gguf.md.
 *
 * Messages begin with the file's name and count keys and tensors from 0, as they stand in the file. */
#ifndef RUNTIME_LOAD_GGUF_H
#define RUNTIME_LOAD_GGUF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/file_map.h"
#include "base/status.h"
#include "kernels/weight_type.h"

enum { GGUF_MAX_DIMS = 4, GGUF_MAX_NAME_BYTES = 64, GGUF_MAX_SHARDS = 1024 };

/* What is read at most; a file with more is UNSUPPORTED. Published models stay far below. */
enum {
    GGUF_MAX_KEY_BYTES      = 65535,
    GGUF_MAX_ENTRIES        = 65536,
    GGUF_MAX_TENSORS        = 1 << 20, /* of all shards */
    GGUF_MAX_METADATA_BYTES = 1 << 29, /* of one shard  */
    GGUF_MAX_ALIGNMENT      = 1 << 30
};

enum gguf_type { /* the ids in files */
    GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL,
    GGUF_STRING, GGUF_ARRAY, GGUF_U64, GGUF_I64, GGUF_F64, GGUF_TYPE_COUNT
};

struct gguf_string {
    const char *bytes;   /* not NUL-terminated; may hold any bytes */
    uint64_t    n_bytes;
};

struct gguf_entry { /* one key of the metadata */
    const char    *key;          /* NUL-terminated                                           */
    enum gguf_type type;
    enum gguf_type element_type; /* of an array; nested arrays are refused                   */
    uint64_t       count;        /* elements of an array; 1 for a scalar                     */
    const uint8_t *bytes;        /* the values as in the file, little-endian (strings: see cm_gguf_string) */
    struct gguf_string *strings; /* (count) for a string or an array of strings, else NULL  */
};

struct gguf_tensor {
    char            name[GGUF_MAX_NAME_BYTES];
    uint32_t        file_id;              /* ggml type id                                     */
    bool            is_weight;            /* file_id is one of ours; then type says which     */
    enum weight_type type;
    int             n_dims;
    uint64_t        shape[GGUF_MAX_DIMS]; /* shape[0] is contiguous; missing dimensions are 1  */
    const uint8_t  *bytes;                /* (n_bytes) in the map of shard                     */
    uint64_t        n_bytes;
    int             shard;
};

struct gguf {
    char               *name;     /* the last component of the path, for messages */
    int                 n_shards;
    struct file_map    *maps;     /* (n_shards); NULL after cm_gguf_parse()       */
    uint32_t            version;
    uint64_t            n_entries;
    struct gguf_entry  *entries;  /* (n_entries) of shard 0, in file order   */
    uint64_t            n_tensors;
    struct gguf_tensor *tensors;  /* (n_tensors) of all shards, in file order */
    uint64_t            n_file_bytes; /* of all shards */
    void               *index;    /* the reader's own: name → tensor, key → entry */
};

/* Opens path and, where its metadata says split.count > 1, the other shards beside it.
 * A tensor of a type that cannot be sized (unknown id) fails BAD_FILE; one that is known but not read
 * (the codebook types IQ1–IQ3, ternary types …) fails UNSUPPORTED with the type's name. */
calmoe_status cm_gguf_open(struct calmoe_context *ctx, const char *path, struct gguf **out);
/* The same for one file in memory, which must outlive *out; split keys are not looked at. */
calmoe_status cm_gguf_parse(struct calmoe_context *ctx, const char *name, const void *bytes,
                            size_t n_bytes, struct gguf **out);
void          cm_gguf_close(struct gguf **gguf); /* sets *gguf to NULL; NULL is fine */

const struct gguf_tensor *cm_gguf_tensor(const struct gguf *gguf, const char *name); /* NULL: absent */
const struct gguf_entry  *cm_gguf_entry(const struct gguf *gguf, const char *key);   /* NULL: absent */

/* Typed reads of a scalar, each with the same manner: absent key → *out keeps the value that it had
 * (the default) and OK; wrong type or a value outside [min, max] → BAD_FILE naming key, found, wanted.
 * Integers are accepted in any width, floats in either. cm_gguf_need_* fail for an absent key too. */
calmoe_status cm_gguf_get_int(struct calmoe_context *ctx, const struct gguf *gguf, const char *key,
                              int64_t min, int64_t max, int64_t *out);
calmoe_status cm_gguf_need_int(struct calmoe_context *ctx, const struct gguf *gguf, const char *key,
                               int64_t min, int64_t max, int64_t *out);
calmoe_status cm_gguf_get_float(struct calmoe_context *ctx, const struct gguf *gguf, const char *key,
                                double min, double max, float *out);
calmoe_status cm_gguf_get_bool(struct calmoe_context *ctx, const struct gguf *gguf, const char *key,
                               bool *out);
/* *out is borrowed until cm_gguf_close(); untouched when the key is absent. */
calmoe_status cm_gguf_get_string(struct calmoe_context *ctx, const struct gguf *gguf, const char *key,
                                 struct gguf_string *out);
calmoe_status cm_gguf_need_string(struct calmoe_context *ctx, const struct gguf *gguf, const char *key,
                                  struct gguf_string *out);

/* Element i of an entry (scalar: i = 0), converted; the caller knows that the type fits and that
 * i < count. Booleans read as 0 or 1. */
int64_t cm_gguf_element_int(const struct gguf_entry *entry, uint64_t i);
double  cm_gguf_element_float(const struct gguf_entry *entry, uint64_t i);
bool    cm_gguf_is_integer(enum gguf_type type);
const char *cm_gguf_type_name(enum gguf_type type);

#endif
