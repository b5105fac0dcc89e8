/* base/names.h - the names of a table's rows: to find a row by its name, and to tell the names in a sentence, so that
 * no sentence has a list of its own. */
#ifndef BASE_NAMES_H
#define BASE_NAMES_H

#include <stddef.h>

#include "base/status.h"

struct names {
    const char *const *first; /* the first row's name; the next one stands `stride` bytes on */
    size_t             stride;
    int                n;
};

/* Of a const array of structs whose `member` is the name; of a const array of texts. Its length must be known. */
#define CM_NAMES(rows, member) \
    ((struct names){&(rows)[0].member, sizeof(rows)[0], (int)(sizeof(rows) / sizeof(rows)[0])})
#define CM_TEXTS(texts) ((struct names){&(texts)[0], sizeof(texts)[0], (int)(sizeof(texts) / sizeof(texts)[0])})

/* The same without the first `n` rows. */
static inline struct names cm_names_from(struct names names, int n)
{
    return (struct names){(const char *const *)(const void *)((const char *)names.first + (size_t)n * names.stride),
                          names.stride, names.n - n};
}

/* The row of that name; names.n where there is none. */
int cm_name_find(struct names names, const char *name);

enum { NAMES_BYTES = 256 };
/* "ratio, top_p or fixed"; returns text. What does not fit is cut. */
const char *cm_names_tell(struct names names, char text[NAMES_BYTES]);

/* The row of that name, or INVALID_ARGUMENT: "WHAT is 'NAME'; ratio, top_p or fixed is wanted". */
calmoe_status cm_name_choose(struct calmoe_context *ctx, const char *what, struct names names, const char *name,
                             int *out);

#endif
