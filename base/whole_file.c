/* base/whole_file.c - see whole_file.h. */
#include "base/whole_file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"

static calmoe_status fail(struct calmoe_context *ctx, const char *path)
{
    return cm_fail(ctx, CALMOE_IO, "cannot write '%s': %s", path, strerror(errno));
}

calmoe_status cm_whole_file_open(struct calmoe_context *ctx, const char *path, struct whole_file *out)
{
    const size_t  n = strlen(path);
    calmoe_status status = CALMOE_NO_MEMORY;
    *out = (struct whole_file){.path = cm_copy_text(ctx, path, n), .temporary = cm_alloc(ctx, n + 6, 1, "a path")};
    if (out->path && out->temporary) {
        snprintf(out->temporary, n + 6, "%s.part", path);
        out->stream = fopen(out->temporary, "wbe");
        status = out->stream ? CALMOE_OK : fail(ctx, out->temporary);
    }
    if (status != CALMOE_OK) cm_whole_file_close(out);
    return status;
}

calmoe_status cm_whole_file_check(struct calmoe_context *ctx, const struct whole_file *file)
{
    return ferror(file->stream) ? fail(ctx, file->path) : CALMOE_OK;
}

calmoe_status cm_whole_file_finish(struct calmoe_context *ctx, struct whole_file *file)
{
    CM_TRY(cm_whole_file_check(ctx, file));
    if (fflush(file->stream) != 0 || fsync(fileno(file->stream)) != 0 || rename(file->temporary, file->path) != 0)
        return fail(ctx, file->path);
    fclose(file->stream);
    file->stream = NULL;
    cm_whole_file_close(file);
    return CALMOE_OK;
}

void cm_whole_file_close(struct whole_file *file)
{
    if (file->stream) {
        fclose(file->stream);
        unlink(file->temporary);
    }
    cm_free(file->path);
    cm_free(file->temporary);
    *file = (struct whole_file){0};
}
