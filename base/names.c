/* base/names.c - see names.h. */
#include "base/names.h"

#include <stdio.h>
#include <string.h>

static const char *name_at(struct names names, int i)
{
    return *(const char *const *)(const void *)((const char *)names.first + (size_t)i * names.stride);
}

int cm_name_find(struct names names, const char *name)
{
    int i = 0;
    while (i < names.n && strcmp(name_at(names, i), name) != 0) i++;
    return i;
}

const char *cm_names_tell(struct names names, char text[NAMES_BYTES])
{
    text[0] = '\0';
    for (int i = 0; i < names.n; i++) {
        const size_t n = strlen(text);
        snprintf(text + n, NAMES_BYTES - n, "%s%s", i == 0 ? "" : i + 1 < names.n ? ", " : " or ", name_at(names, i));
    }
    return text;
}

calmoe_status cm_name_choose(struct calmoe_context *ctx, const char *what, struct names names, const char *name,
                             int *out)
{
    char text[NAMES_BYTES];
    *out = cm_name_find(names, name);
    if (*out < names.n) return CALMOE_OK;
    return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "%s is '%s'; %s is wanted", what, name, cm_names_tell(names, text));
}
