/* runtime/families/keys.h - a model's metadata, read by the names that follow "<architecture>.". What was read is
 * noted, so that keys which nobody asked for can be judged when all is read: metadata that would change the
 * arithmetic is never passed over. */
#ifndef RUNTIME_FAMILIES_KEYS_H
#define RUNTIME_FAMILIES_KEYS_H

#include "runtime/load/model_file.h"

struct keys {
    struct calmoe_context   *ctx;
    const struct model_file *file;
    bool                    *is_read; /* (n_entries)                     */
    int                      first_block; /* layer l is block first_block + l of the file */
    char                     architecture[32];
    char                     key[128]; /* the last one, in full           */
};

/* Reads the architecture's name. *name: as it stands in the file, for messages, even where it is too long to be one
 * that is known; keys->architecture is "" then. The keys are closed by the caller, also after a failure. */
calmoe_status cm_keys_open(struct calmoe_context *ctx, const struct model_file *file, struct keys *out,
                           struct meta_string *name);
void          cm_keys_close(struct keys *keys);

/* Each leaves *out as it is where the key is absent, and fails with BAD_FILE for another type or a value outside
 * [min, max]; the two with "need" fail where it is absent, too. */
calmoe_status cm_key_int(struct keys *keys, const char *name, int min, int max, int *out);
calmoe_status cm_key_need_int(struct keys *keys, const char *name, int min, int max, int *out);
calmoe_status cm_key_float(struct keys *keys, const char *name, double min, double max, float *out);
calmoe_status cm_key_need_float(struct keys *keys, const char *name, double min, double max, float *out);
calmoe_status cm_key_bool(struct keys *keys, const char *name, bool *out);
calmoe_status cm_key_string(struct keys *keys, const char *name, struct meta_string *out);
/* Fails where the key is absent. */
calmoe_status cm_key_need(struct keys *keys, const char *name);
/* A number for each layer: one for all of them, or an array that has those of n_layers blocks from first_block on. */
calmoe_status cm_key_layer_ints(struct keys *keys, const char *name, int min, int max, int n_layers, int *out);

/* The entry itself, noted as read; NULL where it is absent. keys->key is the full name. */
const struct meta_entry *cm_key_entry(struct keys *keys, const char *name);
/* Whether the file has the key; that alone does not count as reading it. */
bool cm_key_exists(struct keys *keys, const char *name);

/* After everything was read: UNSUPPORTED, by name, for the first key "<architecture>.…" that nobody read, unless it is
 * in the table of those that ask for nothing, or has the value that does. */
calmoe_status cm_keys_check_rest(struct keys *keys, const char *family);

#endif
