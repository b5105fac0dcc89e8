/* base/whole_file.c - see whole_file.h. */
#include "base/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

/* ---- what is being written ---- */

/* Names of temporary files, where a signal handler finds them; those beyond so many at once it does not. */
enum { N_NOTED = 16 };
enum { NOTE_FREE, NOTE_CHANGES, NOTE_STANDS };
static struct {
    atomic_int state;
    char       temporary[PATH_MAX + 8];
} noted[N_NOTED];

/* Which of them it is, from 1 on; 0: none. */
static int note(const char *temporary)
{
    const size_t n = strlen(temporary) + 1;
    for (int i = 0; i < N_NOTED && n <= sizeof noted[i].temporary; i++) {
        int state = NOTE_FREE;
        if (!atomic_compare_exchange_strong(&noted[i].state, &state, NOTE_CHANGES)) continue;
        memcpy(noted[i].temporary, temporary, n);
        atomic_store(&noted[i].state, NOTE_STANDS);
        return i + 1;
    }
    return 0;
}

static void forget(struct whole_file *file)
{
    if (file->note > 0) atomic_store(&noted[file->note - 1].state, NOTE_FREE);
    file->note = 0;
}

void calmoe_remove_unfinished(void)
{
    for (int i = 0; i < N_NOTED; i++)
        if (atomic_load(&noted[i].state) == NOTE_STANDS) (void)unlink(noted[i].temporary);
}

/* ---- written ---- */

static calmoe_status fail(struct calmoe_context *ctx, const char *path)
{
    return cm_fail(ctx, CALMOE_IO, "cannot write '%s': %s", path, strerror(errno));
}

/* Opens and locks the temporary file. The locked file may have been renamed by its writer in the meantime; the name
 * then means another file, or none, and is opened again. Returns -1 and sets errno; EWOULDBLOCK = another process
 * writes the file. */
static int open_alone(const char *temporary)
{
    for (;;) {
        struct stat locked, named;
        const int file = open(temporary, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
        if (file < 0) return -1;
        if (flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) { /* some file systems have no locks */
            close(file);
            errno = EWOULDBLOCK;
            return -1;
        }
        if (fstat(file, &locked) == 0 && stat(temporary, &named) == 0 && locked.st_ino == named.st_ino &&
            locked.st_dev == named.st_dev)
            return file;
        close(file);
    }
}

/* old: the file that the name means now, or NULL. */
static calmoe_status open_beside(struct calmoe_context *ctx, struct whole_file *out, const struct stat *old)
{
    const int file = open_alone(out->temporary);
    out->is_taken = file < 0 && errno == EWOULDBLOCK;
    if (out->is_taken)
        return cm_fail(ctx, CALMOE_IO, "cannot write '%s': another process is writing it", out->path);
    if (file < 0) return fail(ctx, out->path);
    out->note = note(out->temporary);
    const mode_t permissions = old ? old->st_mode & 0777 : 0;
    if (ftruncate(file, 0) == 0 && (!old || fchmod(file, permissions) == 0 || errno == EPERM))
        out->stream = fdopen(file, "wb");
    if (out->stream) return CALMOE_OK;
    const calmoe_status status = fail(ctx, out->path);
    unlink(out->temporary);
    forget(out);
    close(file);
    return status;
}

/* Devices and pipes are written to directly: renaming would replace them by a file. */
static calmoe_status open_in_place(struct calmoe_context *ctx, struct whole_file *out)
{
    cm_free(out->temporary);
    out->temporary = NULL;
    out->stream = fopen(out->path, "wbe");
    return out->stream ? CALMOE_OK : fail(ctx, out->path);
}

/* Names of open streams, such as /dev/stdout, mean the stream, even if it is a regular file. */
static bool names_stream(const char *path)
{
    return strncmp(path, "/dev/std", 8) == 0 || strncmp(path, "/dev/fd/", 8) == 0 || strncmp(path, "/proc/", 6) == 0;
}

static calmoe_status open_file(struct calmoe_context *ctx, const char *path, struct whole_file *out)
{
    struct stat old;
    char        target[PATH_MAX];
    const bool  is_there = stat(path, &old) == 0, is_regular = is_there && S_ISREG(old.st_mode) && !names_stream(path);
    /* A symbolic link stays a link; the file that it points to is replaced. */
    const char *const name = is_regular && realpath(path, target) ? target : path;
    const size_t n = strlen(name);
    *out = (struct whole_file){.path = cm_copy_text(ctx, name, n), .temporary = cm_alloc(ctx, n + 6, 1, "a path")};
    if (!out->path || !out->temporary) return CALMOE_NO_MEMORY;
    snprintf(out->temporary, n + 6, "%s.part", out->path);
    if (is_there && S_ISDIR(old.st_mode)) errno = EISDIR;
    if (is_there && (S_ISDIR(old.st_mode) || access(path, W_OK) != 0)) return fail(ctx, path);
    return is_there && !is_regular ? open_in_place(ctx, out) : open_beside(ctx, out, is_there ? &old : NULL);
}

calmoe_status cm_whole_file_open(struct calmoe_context *ctx, const char *path, struct whole_file *out)
{
    const calmoe_status status = open_file(ctx, path, out);
    const bool          is_taken = out->is_taken;
    if (status != CALMOE_OK) cm_whole_file_close(out);
    out->is_taken = is_taken;
    return status;
}

calmoe_status cm_whole_file_check(struct calmoe_context *ctx, const struct whole_file *file)
{
    return ferror(file->stream) ? fail(ctx, file->path) : CALMOE_OK;
}

calmoe_status cm_whole_file_finish(struct calmoe_context *ctx, struct whole_file *file)
{
    CM_TRY(cm_whole_file_check(ctx, file));
    if (fflush(file->stream) != 0) return fail(ctx, file->path);
    if (file->temporary && (fsync(fileno(file->stream)) != 0 || rename(file->temporary, file->path) != 0))
        return fail(ctx, file->path);
    forget(file);
    fclose(file->stream);
    file->stream = NULL;
    cm_whole_file_close(file);
    return CALMOE_OK;
}

void cm_whole_file_close(struct whole_file *file)
{
    if (file->stream) {
        if (file->temporary) unlink(file->temporary);
        forget(file);
        fclose(file->stream);
    }
    cm_free(file->path);
    cm_free(file->temporary);
    *file = (struct whole_file){0};
}
