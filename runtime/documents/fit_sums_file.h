/* runtime/documents/fit_sums_file.h - the sums of a fit that is not done, so that a break costs little. A file of this
 * program for this program: binary, little-endian as in memory, with a digest at its end.
 *
 *     8 bytes "CALMOEFS" · u64 1 · 64 hex digits: the key · u64 windows read · u64 doubles · the doubles
 *     64 hex digits: SHA-256 of all before */
#ifndef RUNTIME_DOCUMENTS_FIT_SUMS_FILE_H
#define RUNTIME_DOCUMENTS_FIT_SUMS_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct fit_sums {
    char     key[65];   /* SHA-256 of all that the sums depend on: 64 hex digits */
    uint64_t n_windows; /* that are in them                                      */
    int      n_parts;
    double  *const *parts; /* (n_parts) arrays of n_doubles each                 */
    uint64_t n_doubles;
};

/* Whole or not at all. IO. */
calmoe_status cm_fit_sums_write(struct calmoe_context *ctx, const char *path, const struct fit_sums *sums);
/* Fills the parts and n_windows; false, with both as they were, for a file that is not there, broken, or of another
 * key. */
bool cm_fit_sums_read(const char *path, struct fit_sums *sums);

#endif
