/* runtime/documents/tuning_file.c - see tuning_file.h. */
#include "runtime/documents/tuning_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/sha256.h"
#include "base/whole_file.h"

enum { MAX_BYTES = 1024 }; /* of such a file */

/* The parts of the folder's path that the environment gives; false where it gives none. */
static bool folder_parts(const char **first, const char **second)
{
    const char *own = getenv("CALMOE_CACHE"), *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    *second = "";
    *first = own;
    if (own != NULL) return own[0] != '\0';
    *second = "/calmoe";
    *first = cache;
    if (cache != NULL && cache[0] == '/') return true;
    *second = "/.cache/calmoe";
    *first = home;
    return home != NULL && home[0] == '/';
}

char *cm_cache_path(const char *kind, const char *of)
{
    struct sha256 sha = cm_sha256();
    char          hex[65];
    const char   *first, *second;
    if (!folder_parts(&first, &second)) return NULL;
    cm_sha256_add(&sha, of, strlen(of));
    cm_sha256_hex(&sha, hex);
    const size_t n = strlen(first) + strlen(second) + strlen(kind) + sizeof "/-" + 16;
    char        *path = cm_alloc(NULL, n, 1, "a path");
    if (path) snprintf(path, n, "%s%s/%s-%.16s", first, second, kind, hex);
    return path;
}

char *cm_tuning_path(const char *machine) { return cm_cache_path("tuning", machine); }

/* The file's text, NUL-terminated; false where it cannot be read or is longer than such a file is. */
static bool read_text(const char *path, char text[MAX_BYTES])
{
    FILE *file = fopen(path, "rbe");
    if (!file) return false;
    const size_t n = fread(text, 1, MAX_BYTES, file);
    fclose(file);
    if (n == MAX_BYTES || memchr(text, '\0', n)) return false;
    text[n] = '\0';
    return true;
}

bool cm_tuning_read(struct calmoe_context *ctx, const char *path, const char *machine,
                    char read_ahead[TUNING_NAME_BYTES])
{
    struct stat facts;
    char        text[MAX_BYTES], wanted[MAX_BYTES];
    if (stat(path, &facts) != 0 && (errno == ENOENT || errno == ENOTDIR)) return false;
    snprintf(wanted, sizeof wanted, "calmoe tuning 1\nmachine: %s\nread ahead: ", machine);
    if (read_text(path, text) && strncmp(text, wanted, strlen(wanted)) == 0) {
        const char  *name = text + strlen(wanted);
        const size_t n = strcspn(name, "\n");
        if (n > 0 && n < TUNING_NAME_BYTES && strcmp(name + n, "\n") == 0) {
            memcpy(read_ahead, name, n);
            read_ahead[n] = '\0';
            return true;
        }
    }
    cm_log(ctx, "'%s' does not tell what was measured on this machine; it is ignored", path);
    return false;
}

/* The folder of the file, and those above it. Fails only where the file will. */
static void make_folders(char *path)
{
    for (char *at = path + 1; *at != '\0'; at++) {
        if (*at != '/') continue;
        *at = '\0';
        mkdir(path, 0700);
        *at = '/';
    }
}

void cm_cache_write(struct calmoe_context *ctx, const char *path, cache_text_fn text, const void *what)
{
    struct calmoe_context own = { .message = "" }; /* its failure is no failure of the caller's */
    struct whole_file     file = { 0 };
    char                 *copy = cm_copy_text(&own, path, strlen(path));
    calmoe_status         status = copy ? CALMOE_OK : CALMOE_NO_MEMORY;
    if (copy) make_folders(copy);
    if (status == CALMOE_OK) status = cm_whole_file_open(&own, path, &file);
    if (status == CALMOE_OK) {
        text(file.stream, what);
        status = cm_whole_file_finish(&own, &file);
    }
    if (status != CALMOE_OK && !file.is_taken) cm_log(ctx, "what was measured is not kept: %s", own.message);
    cm_whole_file_close(&file);
    cm_free(copy);
}

struct tuning {
    const char *machine, *read_ahead;
};

static void write_tuning(FILE *file, const void *what)
{
    const struct tuning *tuning = what;
    fprintf(file, "calmoe tuning 1\nmachine: %s\nread ahead: %s\n", tuning->machine, tuning->read_ahead);
}

void cm_tuning_write(struct calmoe_context *ctx, const char *path, const char *machine, const char *read_ahead)
{
    const struct tuning tuning = {machine, read_ahead};
    cm_cache_write(ctx, path, write_tuning, &tuning);
}
