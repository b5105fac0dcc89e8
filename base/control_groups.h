/* base/control_groups.h - the control groups that this process is in, as folders of files, and reading such files. Both
 * versions, also both at once. Everything is read below the folder `root`; "" is this machine. */
#ifndef BASE_CONTROL_GROUPS_H
#define BASE_CONTROL_GROUPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct control_group {
    const char *folder;  /* of its files                                           */
    const char *name;    /* its path as the system tells it, cut for messages      */
    int         version; /* 1 or 2                                                 */
    bool        is_own;  /* the process's own group, not one round it              */
};

/* Calls see() for the process's group of the controller ("memory", "cpu") and then for each group round it, up to the
 * outermost that is mounted; first of version 1, then of version 2, where they are. */
void cm_control_groups(const char *root, const char *controller,
                       void (*see)(void *arg, const struct control_group *group), void *arg);

/* The beginning of a file, NUL-terminated; false where it cannot be read. The path is folder, "/" unless name begins
 * with one, name. */
bool cm_read_small_file(const char *folder, const char *name, char *text, size_t n_text);

/* The number behind the word that begins a line; false where no line begins so. */
bool cm_row_number(const char *text, const char *word, uint64_t *out);

#endif
