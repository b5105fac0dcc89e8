/* base/control_groups.h - finds the Linux control groups that this process is in, as folders of files, and reads such
 * files. Versions 1 and 2 are known, also side by side. Everything is read below the folder `root`, which is "" for
 * this machine. */
#ifndef BASE_CONTROL_GROUPS_H
#define BASE_CONTROL_GROUPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct control_group {
    const char *folder;  /* the folder with the group's files                      */
    const char *name;    /* the group's path as the system names it, shortened for messages */
    int         version; /* 1 or 2                                                 */
    bool        is_own;  /* the process's own group, not one that contains it      */
};

/* Calls see() for the group that the process is in for the controller ("memory", "cpu"), and then for each group that
 * contains it, up to the outermost one that is mounted: first the groups of version 1, then those of version 2, as far
 * as they exist. */
void cm_control_groups(const char *root, const char *controller,
                       void (*see)(void *arg, const struct control_group *group), void *arg);

/* Reads the beginning of a file as NUL-terminated text; false if it cannot be read. The path is folder/name, or folder
 * followed by name if name begins with "/". */
bool cm_read_small_file(const char *folder, const char *name, char *text, size_t n_text);

/* The number after the word that begins a line; false if no line begins with that word. */
bool cm_row_number(const char *text, const char *word, uint64_t *out);

#endif
