/* runtime/load/gguf_parts.h - what the files of the GGUF reader share with each other and nobody else.
 *
 * model_file.c opens files and shards; gguf_parse.c reads header and metadata, gguf_tensors.c the list of tensors,
 * gguf_names.c the names in both; gguf_index.c finds by name; gguf_values.c reads values by their types. */
#ifndef RUNTIME_LOAD_GGUF_PARTS_H
#define RUNTIME_LOAD_GGUF_PARTS_H

#include "base/byte_reader.h"
#include "runtime/load/model_file.h"

/* Positions of entries and tensors, sorted by name: a search is a bisection, and no choice of names
 * makes it slow, as colliding names would make a hash table. */
struct gguf_index {
    uint64_t *entries; /* (n_entries) */
    uint64_t *tensors; /* (n_tensors) */
};

struct gguf_parse { /* one file being read */
    struct calmoe_context *ctx;
    struct model_file           *file;
    struct byte_reader     reader; /* over the whole file */
};

/* An open, empty file that cm_model_file_close() accepts. */
calmoe_status cm_gguf_create(struct calmoe_context *ctx, const char *path, struct model_file **out);
/* Fills the entries and tensors of a created file from the bytes of one file. */
calmoe_status cm_gguf_read(struct calmoe_context *ctx, struct model_file *file, const uint8_t *bytes,
                           size_t n_bytes);

/* The next string, which is the name of the i-th key or tensor (kind says which): UTF-8 without NUL,
 * 1 to max_bytes bytes. *name is in the file. */
calmoe_status cm_gguf_read_name(struct gguf_parse *parse, const char *kind, uint64_t i,
                                uint64_t max_bytes, const char **name, size_t *n_bytes);
/* Fails: the file ends inside the i-th key or tensor. */
calmoe_status cm_gguf_ends_inside(const struct gguf_parse *parse, const char *kind, uint64_t i);
/* The tensor descriptions, and all checks of where the tensors lie. */
calmoe_status cm_gguf_read_tensors(struct gguf_parse *parse);

/* Order positions 0 … n - 1 by compare, in place, in n log n steps whatever the order was. */
typedef int (*gguf_compare)(const struct model_file *file, uint64_t a, uint64_t b);
void cm_gguf_sort(const struct model_file *file, uint64_t *order, uint64_t n, gguf_compare compare);

/* Build (again) the index of one kind; a name that occurs twice fails. */
calmoe_status cm_gguf_index_entries(struct calmoe_context *ctx, struct model_file *file);
calmoe_status cm_gguf_index_tensors(struct calmoe_context *ctx, struct model_file *file);
void          cm_gguf_index_close(struct model_file *file);

/* Bytes of one value of a type with values of fixed size, else 0. */
uint64_t cm_gguf_type_bytes(enum meta_type type);

#endif
