/* tools/output_file.c - see output_file.h. */
#include "tools/output_file.h"

#include <calmoe/ranks.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/terminal.h"

bool cm_is_same_file(const char *a, const char *b)
{
    struct stat of_a, of_b;
    const bool are_there = stat(a, &of_a) == 0 && stat(b, &of_b) == 0;
    if (!are_there) return strcmp(a, b) == 0;
    return S_ISREG(of_a.st_mode) && of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
}

static bool fail(const char *path, int error)
{
    cm_say("cannot write '%s': %s", path, strerror(error));
    return false;
}

/* Whether the path is a device, a pipe or the name of an open stream, which is written to directly. */
static bool is_stream(const char *path, const struct stat *file)
{
    return !S_ISREG(file->st_mode) || strncmp(path, "/dev/std", 8) == 0 || strncmp(path, "/dev/fd/", 8) == 0 ||
           strncmp(path, "/proc/", 6) == 0;
}

/* The path of the temporary file "NAME.part", in which a file is written until it is complete; *is_beside is false if
 * the path itself is written to. False with a sentence. */
static bool find_place(const char *path, char *place, size_t n_place, bool *is_beside)
{
    struct stat old;
    char        target[PATH_MAX];
    const bool  is_there = stat(path, &old) == 0;
    if (is_there && S_ISDIR(old.st_mode)) return fail(path, EISDIR);
    if (is_there && access(path, W_OK) != 0) return fail(path, errno);
    *is_beside = !is_there || !is_stream(path, &old);
    const char *const name = is_there && *is_beside && realpath(path, target) != NULL ? target : path;
    const int n = snprintf(place, n_place, "%s%s", name, *is_beside ? ".part" : "");
    return (n > 0 && (size_t)n < n_place && path[0] != '\0') || fail(path, path[0] == '\0' ? ENOENT : ENAMETOOLONG);
}

bool cm_can_write(const char *path)
{
    char place[PATH_MAX + 8];
    bool is_beside;
    if (path == NULL || calmoe_ranks_launched() > 1) return true;
    if (!find_place(path, place, sizeof place, &is_beside)) return false;
    char *const slash = strrchr(place, '/');
    if (!is_beside) return true;
    if (slash != NULL) slash[slash == place] = '\0'; /* the folder */
    return access(slash != NULL ? place : ".", W_OK | X_OK) == 0 || fail(path, errno);
}

bool cm_write_file(const char *path, const char *bytes, size_t n)
{
    char place[PATH_MAX + 8];
    bool is_beside;
    if (!find_place(path, place, sizeof place, &is_beside)) return false;
    FILE *const file = fopen(place, "wbe");
    if (file == NULL) return fail(path, errno);
    cm_remove_at_signal(is_beside ? place : NULL);
    errno = 0;
    bool is_written = fwrite(bytes, 1, n, file) == n && fflush(file) == 0;
    int  error      = errno;
    if (fclose(file) != 0 && is_written) {
        is_written = false;
        error      = errno;
    }
    if (is_beside && is_written) {
        char *const dot = strrchr(place, '.');
        char        name[PATH_MAX + 8];
        snprintf(name, sizeof name, "%.*s", (int)(dot - place), place);
        is_written = rename(place, name) == 0;
        error      = errno;
    }
    if (!is_written && is_beside) unlink(place);
    cm_remove_at_signal(NULL);
    return is_written || fail(path, error);
}
