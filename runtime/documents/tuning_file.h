/* runtime/documents/tuning_file.h - what was measured on a machine, kept so that it is measured once: a text file in
 * the user's cache.
 *
 *     calmoe tuning 1
 *     machine: GenuineIntel, Intel(R) Xeon(R) Platinum 8480+, amx, 56 threads
 *     read ahead: lines at 4 KB
 *
 * The folder is CALMOE_CACHE of the environment (empty: none), else XDG_CACHE_HOME/calmoe, else HOME/.cache/calmoe. The
 * file's name is "tuning-" and a digest of the machine's line, so that machines may share a home. Whatever
 * is wrong with folder or file means only that it is measured again. */
#ifndef RUNTIME_DOCUMENTS_TUNING_FILE_H
#define RUNTIME_DOCUMENTS_TUNING_FILE_H

#include <stdbool.h>
#include <stdio.h>

#include "base/status.h"

enum { TUNING_NAME_BYTES = 64 };

/* ---- anything that is measured once ---- */

/* A file of that folder: the kind, "tuning", and a digest of what it depends on. NULL where there is no folder, or no
 * memory; free with cm_free(). */
char *cm_cache_path(const char *kind, const char *of);
/* Makes the folder, too, and lets text() write the file. Where that fails, nothing is kept, with a sentence in the
 * log; without one where another process, such as a rank on the same machine, is writing the same file just now. */
typedef void (*cache_text_fn)(FILE *file, const void *what);
void cm_cache_write(struct calmoe_context *ctx, const char *path, cache_text_fn text, const void *what);

/* ---- how weights are read ---- */

/* Where what belongs to the machine is kept, as cm_cache_path(). */
char *cm_tuning_path(const char *machine);

/* False where nothing is kept. A file that is damaged or tells of another machine is ignored, with a sentence in the
 * log. */
bool cm_tuning_read(struct calmoe_context *ctx, const char *path, const char *machine,
                    char read_ahead[TUNING_NAME_BYTES]);
/* Makes the folder, too. Where that fails, nothing is kept, with a sentence in the log. */
void cm_tuning_write(struct calmoe_context *ctx, const char *path, const char *machine, const char *read_ahead);

#endif
