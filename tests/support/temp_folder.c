/* temp_folder.c - a folder for a test's files. */
#include "tests/support/temp_folder.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void *must(void *pointer, const char *what)
{
    if (pointer == NULL) {
        fprintf(stderr, "temp_folder: cannot make '%s'\n", what);
        abort();
    }
    return pointer;
}

struct temp_folder *temp_folder_open(void)
{
    const char         *place = getenv("TMPDIR");
    struct temp_folder *folder = must(calloc(1, sizeof *folder), "a folder");
    snprintf(folder->path, sizeof folder->path, "%s/calmoe-test-XXXXXX",
             place != NULL ? place : "/tmp");
    must(mkdtemp(folder->path), folder->path);
    return folder;
}

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *where)
{
    (void)facts, (void)kind, (void)where;
    (void)remove(path);
    return 0;
}

void temp_folder_close(struct temp_folder **closing)
{
    if (closing == NULL || *closing == NULL) return;
    struct temp_folder *folder = *closing;
    (void)nftw(folder->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(folder);
    *closing = NULL;
}

const char *temp_file(struct temp_folder *folder, const char *name)
{
    snprintf(folder->file, sizeof folder->file, "%s/%s", folder->path, name);
    return folder->file;
}

const char *temp_file_with(struct temp_folder *folder, const char *name, const void *bytes,
                           size_t n_bytes)
{
    for (size_t n = strcspn(name, "/"); name[n] != '\0'; n += 1 + strcspn(name + n + 1, "/")) {
        char inside[512];
        snprintf(inside, sizeof inside, "%.*s", (int)n, name);
        (void)mkdir(temp_file(folder, inside), 0700);
    }
    FILE        *file = must(fopen(temp_file(folder, name), "wb"), folder->file);
    const size_t n_written = n_bytes > 0 ? fwrite(bytes, 1, n_bytes, file) : 0;
    if (fclose(file) != 0 || n_written != n_bytes) must(NULL, folder->file);
    return folder->file;
}
