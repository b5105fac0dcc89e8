/* base/whole_file.h - writes files that appear under their name only when they are complete: a file is written as
 * "NAME.part" and then renamed. If two processes want to write the same file at the same time, the second one is
 * refused. Anything that is not a regular file, such as /dev/null or a pipe, is written to directly. */
#ifndef BASE_WHOLE_FILE_H
#define BASE_WHOLE_FILE_H

#include <stdbool.h>
#include <stdio.h>

#include "base/status.h"

struct whole_file { /* zeroed = closed */
    FILE *stream;     /* write to it; errors are remembered in it until the end */
    char *path;       /* the path with symbolic links resolved */
    char *temporary;  /* path of the temporary file; NULL: the target is written to directly */
    bool  is_taken;   /* it could not be opened because another process is writing it */
    int   note;       /* where calmoe_remove_unfinished() finds the temporary path; 0: nowhere */
};

/* IO, NO_MEMORY; *out is then closed, and its is_taken says whether another process is writing the file. */
calmoe_status cm_whole_file_open(struct calmoe_context *ctx, const char *path, struct whole_file *out);
/* IO if something could not be written so far. */
calmoe_status cm_whole_file_check(struct calmoe_context *ctx, const struct whole_file *file);
/* Flushes the file to the disk, renames and closes it. IO: the name still refers to what it referred to before. */
calmoe_status cm_whole_file_finish(struct calmoe_context *ctx, struct whole_file *file);
/* Closes the file; unless it was finished before, nothing is left of it. A closed one is fine. */
void          cm_whole_file_close(struct whole_file *file);

#endif
