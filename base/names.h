/* base/names.h - the names of a table's rows: finds a row by its name, and lists the names in a sentence, so that
 * messages and tables cannot disagree. */
#ifndef BASE_NAMES_H
#define BASE_NAMES_H

#include <stddef.h>

#include "base/status.h"

struct names {
    const char *const *first; /* the name of the first row; the next name is `stride` bytes further */
    size_t             stride;
    int                n;
};

/* The names of a const array of structs whose `member` is the name; the names in a const array of texts. The array's
 * length must be known at compile time. */
#define CM_NAMES(rows, member) \
    ((struct names){&(rows)[0].member, sizeof(rows)[0], (int)(sizeof(rows) / sizeof(rows)[0])})
#define CM_TEXTS(texts) ((struct names){&(texts)[0], sizeof(texts)[0], (int)(sizeof(texts) / sizeof(texts)[0])})

/* The names without those of the first n rows. */
static inline struct names cm_names_from(struct names names, int n)
{
    return (struct names){(const char *const *)(const void *)((const char *)names.first + (size_t)n * names.stride),
                          names.stride, names.n - n};
}

/* The index of the row with that name; names.n if there is none. */
int cm_name_find(struct names names, const char *name);

enum { NAMES_BYTES = 256 };
/* Writes the names as a list, "ratio, top_p or fixed", and returns text. What does not fit is cut off. */
const char *cm_names_tell(struct names names, char text[NAMES_BYTES]);

/* Finds the row with that name, or fails with INVALID_ARGUMENT: "WHAT is 'NAME'; ratio, top_p or fixed is wanted". */
calmoe_status cm_name_choose(struct calmoe_context *ctx, const char *what, struct names names, const char *name,
                             int *out);

#endif
