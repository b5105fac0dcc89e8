/* tests/support/temp_folder.h - a folder for a test's files, removed with all that is in it. */
#ifndef TESTS_SUPPORT_TEMP_FOLDER_H
#define TESTS_SUPPORT_TEMP_FOLDER_H

#include <stddef.h>

struct temp_folder {
    char path[256];
    char file[1024]; /* the last result of temp_file() */
};

/* Under $TMPDIR, or /tmp. Aborts where there is no room for it. */
struct temp_folder *temp_folder_open(void);
void                temp_folder_close(struct temp_folder **folder); /* NULL is fine */

/* The path of a file of that name in the folder; valid until the next call for this folder. */
const char *temp_file(struct temp_folder *folder, const char *name);
/* The same, after writing the bytes into it; folders of the name are made. */
const char *temp_file_with(struct temp_folder *folder, const char *name, const void *bytes,
                           size_t n_bytes);

#endif
