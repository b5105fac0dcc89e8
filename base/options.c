/* options.c - reads and hands out structs of any version. */
#include "base/options.h"

#include <string.h>

/* Larger than any version's struct will be: such a size is garbage, and the bytes must not be read. */
enum { MAX_OPTION_BYTES = 1 << 16 };

calmoe_status cm_options_copy(struct calmoe_context *ctx, const char *what,
                              void *known_with_defaults, size_t known_size, const void *given)
{
    if (!given) return CALMOE_OK;

    size_t size;
    memcpy(&size, given, sizeof size);
    if (size < sizeof size || size > MAX_OPTION_BYTES)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "%s: size is %zu; fill the struct with its init function first", what, size);

    const unsigned char *bytes = given;
    for (size_t at = known_size; at < size; at++)
        if (bytes[at])
            return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                           "%s: an option at byte %zu is set, but this version knows only the first"
                           " %zu bytes; use a newer library or leave the option alone",
                           what, at, known_size);

    memcpy(known_with_defaults, given, size < known_size ? size : known_size);
    memcpy(known_with_defaults, &known_size, sizeof known_size);
    return CALMOE_OK;
}

void cm_options_give(void *out, const void *filled, size_t n_filled)
{
    size_t size;
    memcpy(&size, out, sizeof size);
    if (size > n_filled) size = n_filled;
    memcpy(out, filled, size);
    memcpy(out, &size, sizeof size);
}
