/* runtime/documents/costs_file.h - what parts of a token cost, as a file: measured on a machine and kept in the user's
 * cache, or stated by whoever wants the same choice of policies everywhere.
 *
 *     {"schema": "calmoe.costs.1", "version": "0.1.0", "model": {"fingerprint": "0123456789abcdef"},
 *      "machine": "AuthenticAMD, AMD EPYC 9R14, avx512vnni, 2 threads",
 *      "costs": {"layer": 6.8, "expert": 1.5, "fill": 1.1, "lazy_fill": 0.3, "head": 18, "softmax": 4.5}}
 *
 * Costs are of any unit (microseconds, where they were measured), each at least 0; what is left out is not known
 * (NaN). "machine" is for people and for the cache, and may be left out. */
#ifndef RUNTIME_DOCUMENTS_COSTS_FILE_H
#define RUNTIME_DOCUMENTS_COSTS_FILE_H

#include <stdio.h>

#include "base/status.h"
#include "runtime/documents/json.h"
#include "runtime/policy/parts.h"

enum { COSTS_MACHINE_BYTES = 256 };

struct costs_file {
    char         fingerprint[JSON_FINGERPRINT_DIGITS + 1]; /* of the model */
    char         machine[COSTS_MACHINE_BYTES];             /* "" = not told */
    struct parts prices;
};

/* IO, BAD_FILE. */
calmoe_status cm_costs_file_read(struct calmoe_context *ctx, const char *path, struct costs_file *out);
/* Where what was measured on this machine with this model is kept; NULL where there is no folder for it. Free with
 * cm_free(). */
char         *cm_costs_path(const struct costs_file *of);
/* Makes the folder, too. Where that fails, nothing is kept, with a sentence in the log. */
void          cm_costs_file_keep(struct calmoe_context *ctx, const char *path, const struct costs_file *costs);

/* An object of parts by name, numbers of 0 to most; those that it leaves out are `otherwise`. */
calmoe_status cm_parts_read(struct calmoe_context *ctx, const struct json_value *object, double most, double otherwise,
                            struct parts *out);
/* Such an object, without those that are `otherwise`. */
void          cm_parts_write(FILE *file, const struct parts *parts, double otherwise);

#endif
