/* temp_folder.c - a folder for a test's files. */
#include "tests/support/temp_folder.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

void temp_folder_close(struct temp_folder **closing)
{
    if (closing == NULL || *closing == NULL) return;
    struct temp_folder *folder = *closing;
    DIR                *list = opendir(folder->path);
    for (struct dirent *entry; list != NULL && (entry = readdir(list)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlink(temp_file(folder, entry->d_name));
    if (list != NULL) closedir(list);
    rmdir(folder->path);
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
    FILE        *file = must(fopen(temp_file(folder, name), "wb"), folder->file);
    const size_t n_written = n_bytes > 0 ? fwrite(bytes, 1, n_bytes, file) : 0;
    if (fclose(file) != 0 || n_written != n_bytes) must(NULL, folder->file);
    return folder->file;
}
