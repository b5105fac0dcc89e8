/* base/control_groups.c - see control_groups.h. proc(5) and cgroups(7) describe /proc/self/cgroup and mountinfo. */
#include "base/control_groups.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LINE = 4096, MAX_FOLDER = 2 * MAX_LINE };

bool cm_read_small_file(const char *folder, const char *name, char *text, size_t n_text)
{
    char      path[MAX_FOLDER + 64];
    const int n = snprintf(path, sizeof path, "%s%s%s", folder, name[0] == '/' ? "" : "/", name);
    FILE     *file = n > 0 && (size_t)n < sizeof path ? fopen(path, "re") : NULL;
    if (!file) return false;
    const size_t n_read = fread(text, 1, n_text - 1, file);
    const bool   is_read = !ferror(file);
    text[n_read] = '\0';
    fclose(file);
    return is_read;
}

bool cm_row_number(const char *text, const char *word, uint64_t *out)
{
    const size_t n = strlen(word);
    for (const char *line = text; line; line = strchr(line, '\n'), line += line != NULL) {
        char *end;
        if (strncmp(line, word, n) != 0) continue;
        *out = strtoull(line + n, &end, 10);
        return end != line + n;
    }
    return false;
}

/* ---- which group ---- */

/* Whether the word is in the list "a,b,c" of n bytes. */
static bool is_listed(const char *word, const char *list, size_t n)
{
    const size_t n_word = strlen(word);
    for (size_t at = 0; at < n;) {
        const char  *comma = memchr(list + at, ',', n - at);
        const size_t n_item = comma ? (size_t)(comma - list) - at : n - at;
        if (n_item == n_word && memcmp(list + at, word, n_word) == 0) return true;
        at += n_item + 1;
    }
    return false;
}

static bool next_line(FILE *file, char line[MAX_LINE])
{
    if (!fgets(line, MAX_LINE, file)) return false;
    const size_t n = strlen(line);
    if (n > 0 && line[n - 1] == '\n') line[n - 1] = '\0';
    else /* longer than any line that matters: skip its rest, which is not a line of its own */
        for (int byte = fgetc(file); byte != '\n' && byte != EOF;) byte = fgetc(file);
    return true;
}

static FILE *open_proc(const char *root, const char *name)
{
    char      path[MAX_LINE];
    const int n = snprintf(path, sizeof path, "%s/proc/self/%s", root, name);
    return n > 0 && (size_t)n < sizeof path ? fopen(path, "re") : NULL;
}

/* Finds the path of the process's group in lines "number:controllers:path"; version 2 has number 0 and no
 * controllers. */
static bool find_group(const char *root, const char *controller, int version, char group[MAX_LINE])
{
    char  line[MAX_LINE];
    FILE *file = open_proc(root, "cgroup");
    bool  is_found = false;
    while (file && !is_found && next_line(file, line)) {
        const char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;
        if (!path || path[1] != '/') continue;
        const size_t n_list = (size_t)(path - list - 1);
        is_found = version == 2 ? n_list == 0 : is_listed(controller, list + 1, n_list);
        if (is_found) memmove(group, path + 1, strlen(path + 1) + 1);
    }
    if (file) fclose(file);
    const size_t n = is_found ? strlen(group) : 0;
    if (n > 0 && group[n - 1] == '/') group[n - 1] = '\0'; /* so the outermost group is "" */
    return is_found;
}

/* ---- where it is mounted ---- */

/* Blanks and some other characters are written as "\040". */
static void decode(char *text)
{
    char *to = text;
    for (const char *from = text; *from; to++) {
        const bool is_octal = from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' &&
                              from[3] >= '0' && from[3] <= '7';
        *to = is_octal ? (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0')) : *from;
        from += is_octal ? 4 : 1;
    }
    *to = '\0';
}

struct mount_line {
    char *root, *point, *type, *options; /* pointers into the line */
};

/* "31 23 0:28 ROOT POINT OPTIONS OPTIONAL… - TYPE SOURCE SUPER_OPTIONS" */
static bool cut_mount(char *line, struct mount_line *out)
{
    char *save = NULL, *word = strtok_r(line, " ", &save);
    for (int i = 0; word && i < 5; i++) {
        if (i == 3) out->root = word;
        if (i == 4) out->point = word;
        word = strtok_r(NULL, " ", &save);
    }
    while (word && strcmp(word, "-") != 0) word = strtok_r(NULL, " ", &save);
    if (!word) return false;
    out->type = strtok_r(NULL, " ", &save);
    (void)strtok_r(NULL, " ", &save);
    out->options = strtok_r(NULL, " ", &save);
    return out->type && out->options;
}

/* The part of the group's path that lies below the mounted folder; NULL if the group is not below it. */
static const char *below(const char *group, const char *mounted)
{
    const size_t n = strcmp(mounted, "/") == 0 ? 0 : strlen(mounted);
    return strncmp(group, mounted, n) == 0 && (group[n] == '/' || group[n] == '\0') ? group + n : NULL;
}

/* Finds the group's folder, and how much of its path belongs to the mount. A group outside of what is mounted, as seen
 * from inside a container, is taken to be the mount's root. */
static bool find_folder(const char *root, const char *controller, int version, const char *group,
                        char folder[MAX_FOLDER], size_t *n_mount)
{
    char  line[MAX_LINE];
    FILE *file = open_proc(root, "mountinfo");
    bool  is_found = false, is_below = false;
    while (file && !is_below && next_line(file, line)) {
        struct mount_line mount = {0};
        if (!cut_mount(line, &mount)) continue;
        if (strcmp(mount.type, version == 2 ? "cgroup2" : "cgroup") != 0) continue;
        if (version == 1 && !is_listed(controller, mount.options, strlen(mount.options))) continue;
        decode(mount.root);
        decode(mount.point);
        const char *rest = below(group, mount.root);
        if (!rest && is_found) continue;
        const int n = snprintf(folder, MAX_FOLDER, "%s%s%s", root, mount.point, rest ? rest : "");
        if (n < 0 || n >= MAX_FOLDER) continue;
        *n_mount = strlen(root) + strlen(mount.point);
        is_found = true;
        is_below = rest != NULL;
    }
    if (file) fclose(file);
    return is_found;
}

/* ---- all of them ---- */

static void walk(const char *root, const char *controller, int version,
                 void (*see)(void *arg, const struct control_group *group), void *arg)
{
    char   group[MAX_LINE], folder[MAX_FOLDER];
    size_t n_mount;
    if (!find_group(root, controller, version, group) ||
        !find_folder(root, controller, version, group, folder, &n_mount))
        return;
    for (bool is_own = true;; is_own = false) {
        const struct control_group found = {.folder = folder, .name = group, .version = version, .is_own = is_own};
        see(arg, &found);
        char *slash = strrchr(folder + n_mount, '/'), *name_slash = strrchr(group, '/');
        if (!slash) return;
        *slash = '\0';
        if (name_slash) *name_slash = '\0';
    }
}

void cm_control_groups(const char *root, const char *controller,
                       void (*see)(void *arg, const struct control_group *group), void *arg)
{
    walk(root, controller, 1, see, arg);
    walk(root, controller, 2, see, arg);
}
