/* tools/stop_texts.c - see stop_texts.h. */
#include "tools/stop_texts.h"

#include <string.h>

bool cm_stop_find(const struct cli_list *stops, const char *text, size_t n, size_t *at)
{
    bool found = false;
    for (int i = 0; i < stops->n; i++) {
        const char *begin = n > 0 ? memmem(text, n, stops->values[i], strlen(stops->values[i])) : NULL;
        if (begin == NULL || (found && (size_t)(begin - text) >= *at)) continue;
        *at   = (size_t)(begin - text);
        found = true;
    }
    return found;
}

size_t cm_stop_held(const struct cli_list *stops, const char *text, size_t n)
{
    size_t longest = 0;
    for (int i = 0; i < stops->n; i++) {
        size_t most = strlen(stops->values[i]) - 1;
        if (most > n) most = n;
        for (size_t held = most; held > longest; held--)
            if (memcmp(text + n - held, stops->values[i], held) == 0) longest = held;
    }
    return longest;
}
