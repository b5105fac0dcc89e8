/* base/whole_file.h - a file that stands under its name only once it is complete: it is written beside it, as
 * "NAME.part", and renamed. Two processes do not write one file at a time: the second one is refused. What is no
 * regular file, such as /dev/null or a pipe, is written to in place. */
#ifndef BASE_WHOLE_FILE_H
#define BASE_WHOLE_FILE_H

#include <stdio.h>

#include "base/status.h"

struct whole_file { /* zeroed = closed */
    FILE *stream;     /* to write to; errors stay in it until the end */
    char *path;       /* links resolved */
    char *temporary;  /* NULL: written in place */
    int   note;       /* where calmoe_remove_unfinished() finds that name; 0: nowhere */
};

/* IO, NO_MEMORY: *out is closed. */
calmoe_status cm_whole_file_open(struct calmoe_context *ctx, const char *path, struct whole_file *out);
/* IO where anything could not be written so far. */
calmoe_status cm_whole_file_check(struct calmoe_context *ctx, const struct whole_file *file);
/* Flushes to the disk, renames and closes. IO: the name still means what it meant before. */
calmoe_status cm_whole_file_finish(struct calmoe_context *ctx, struct whole_file *file);
/* Without a finish nothing is left of it. Fine for a closed one. */
void          cm_whole_file_close(struct whole_file *file);

#endif
