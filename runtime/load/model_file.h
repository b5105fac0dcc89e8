/* runtime/load/model_file.h - a GGUF model file (versions 2 and 3, one file or shards), mapped and checked.
 *
 * Everything here was verified when the file was opened: counts, types, names, shapes, and that each
 * tensor lies inside its file and shares no byte with another. Metadata is copied; tensors are views
 * into the maps, which live until cm_model_file_close(). The layout is the one that ggml's
 * documentation of GGUF describes.
 *
 * Messages begin with the file's name and count keys and tensors from 0, as they stand in the file. */
#ifndef RUNTIME_LOAD_MODEL_FILE_H
#define RUNTIME_LOAD_MODEL_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/file_map.h"
#include "base/status.h"
#include "kernels/weight_type.h"

enum { FILE_MAX_DIMS = 4, FILE_MAX_NAME_BYTES = 64, FILE_MAX_SHARDS = 1024 };

/* What is read at most; a file with more is UNSUPPORTED. Published models stay far below. */
enum {
    META_MAX_KEY_BYTES      = 65535,
    META_MAX_ENTRIES        = 65536,
    FILE_MAX_TENSORS        = 1 << 20, /* of all shards */
    META_MAX_METADATA_BYTES = 1 << 29, /* of one shard  */
    FILE_MAX_ALIGNMENT      = 1 << 30
};

enum meta_type { /* the ids in files */
    META_U8, META_I8, META_U16, META_I16, META_U32, META_I32, META_F32, META_BOOL,
    META_STRING, META_ARRAY, META_U64, META_I64, META_F64, META_TYPE_COUNT
};

struct meta_string {
    const char *bytes;   /* not NUL-terminated; may hold any bytes */
    uint64_t    n_bytes;
};

struct meta_entry { /* one key of the metadata */
    const char    *key;          /* NUL-terminated                                           */
    enum meta_type type;
    enum meta_type element_type; /* of an array; nested arrays are refused                   */
    uint64_t       count;        /* elements of an array; 1 for a scalar                     */
    const uint8_t *bytes;        /* the values as in the file, little-endian (strings: see cm_meta_string) */
    struct meta_string *strings; /* (count) for a string or an array of strings, else NULL  */
};

struct file_tensor {
    char            name[FILE_MAX_NAME_BYTES];
    uint32_t        file_id;              /* ggml type id; its name: tensor_types.h           */
    bool            is_weight;            /* file_id is one of ours; then type says which     */
    enum weight_type type;
    int             n_dims;
    uint64_t        shape[FILE_MAX_DIMS]; /* shape[0] is contiguous; missing dimensions are 1  */
    const uint8_t  *bytes;                /* (n_bytes) in the map of shard                     */
    uint64_t        n_bytes;              /* 0: how the type lies in files is not known        */
    int             shard;
};

struct model_file {
    char               *name;     /* the last component of the path, for messages */
    int                 n_shards;
    struct file_map    *maps;     /* (n_shards); NULL after cm_model_file_parse()       */
    uint32_t            version;
    uint64_t            n_entries;
    struct meta_entry  *entries;  /* (n_entries) of shard 0, in file order   */
    uint64_t            n_tensors;
    struct file_tensor *tensors;  /* (n_tensors) of all shards, in file order */
    uint64_t            n_file_bytes; /* of all shards */
    void               *index;    /* the reader's own: name → tensor, key → entry */
};

/* Opens path and, where its metadata says split.count > 1, the other shards beside it.
 * A tensor of a type whose id means nothing fails BAD_FILE. Types that have a name but are no weight types here
 * (codebook types, ternary types, integers …) are listed; who needs their weights must look at is_weight. */
calmoe_status cm_model_file_open(struct calmoe_context *ctx, const char *path, struct model_file **out);
/* The same for one file in memory, which must outlive *out; split keys are not looked at. */
calmoe_status cm_model_file_parse(struct calmoe_context *ctx, const char *name, const void *bytes,
                            size_t n_bytes, struct model_file **out);
/* The same for shards whose maps are open; they are the file's from now on, and the array, of cm_alloc(), too, also
 * where this fails. */
calmoe_status cm_model_file_of_maps(struct calmoe_context *ctx, const char *name, struct file_map *maps, int n_shards,
                                    struct model_file **out);
void          cm_model_file_close(struct model_file **file); /* sets *file to NULL; NULL is fine */

const struct file_tensor *cm_file_tensor(const struct model_file *file, const char *name); /* NULL: absent */
const struct meta_entry  *cm_meta_entry(const struct model_file *file, const char *key);   /* NULL: absent */

/* Typed reads of a scalar, each with the same manner: absent key → *out keeps the value that it had
 * (the default) and OK; wrong type or a value outside [min, max] → BAD_FILE naming key, found, wanted.
 * Integers are accepted in any width, floats in either. cm_meta_need_* fail for an absent key too. */
calmoe_status cm_meta_get_int(struct calmoe_context *ctx, const struct model_file *file, const char *key,
                              int64_t min, int64_t max, int64_t *out);
calmoe_status cm_meta_need_int(struct calmoe_context *ctx, const struct model_file *file, const char *key,
                               int64_t min, int64_t max, int64_t *out);
calmoe_status cm_meta_get_float(struct calmoe_context *ctx, const struct model_file *file, const char *key,
                                double min, double max, float *out);
calmoe_status cm_meta_get_bool(struct calmoe_context *ctx, const struct model_file *file, const char *key,
                               bool *out);
/* *out is borrowed until cm_model_file_close(); untouched when the key is absent. */
calmoe_status cm_meta_get_string(struct calmoe_context *ctx, const struct model_file *file, const char *key,
                                 struct meta_string *out);
calmoe_status cm_meta_need_string(struct calmoe_context *ctx, const struct model_file *file, const char *key,
                                  struct meta_string *out);

/* Element i of an entry (scalar: i = 0), converted; the caller knows that the type fits and that
 * i < count. Booleans read as 0 or 1. */
int64_t cm_meta_element_int(const struct meta_entry *entry, uint64_t i);
double  cm_meta_element_float(const struct meta_entry *entry, uint64_t i);
bool    cm_meta_is_integer(enum meta_type type);
const char *cm_meta_type_name(enum meta_type type);

#endif
