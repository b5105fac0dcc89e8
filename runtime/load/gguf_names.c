/* gguf_names.c - names of keys and tensors, and the sentence for a file that ends before it should. */
#include <stdbool.h>
#include <string.h>

#include "runtime/load/gguf_parts.h"

calmoe_status cm_gguf_ends_inside(const struct gguf_parse *parse, const char *kind, uint64_t i)
{
    const size_t n_bytes = (size_t)(parse->reader.end - parse->reader.begin);
    return cm_fail(parse->ctx, CALMOE_BAD_FILE, "'%s' ends at byte %zu, inside %s %llu",
                   parse->file->name, n_bytes, kind, (unsigned long long)i);
}

/* Bytes of the UTF-8 sequence at text, 0 where it is none (overlong, surrogate, cut off, too large). */
static size_t utf8_sequence(const uint8_t *text, size_t n_left)
{
    static const struct {
        uint8_t first, last;
        uint8_t second_min, second_max;
        uint8_t n_bytes;
    } forms[] = {
        {0x00, 0x7f, 0x00, 0x00, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t form = 0; form < sizeof forms / sizeof forms[0]; form++) {
        const size_t n_bytes = forms[form].n_bytes;
        if (text[0] < forms[form].first || text[0] > forms[form].last) continue;
        if (n_bytes > n_left) return 0;
        if (n_bytes > 1 && (text[1] < forms[form].second_min || text[1] > forms[form].second_max))
            return 0;
        for (size_t i = 2; i < n_bytes; i++)
            if ((text[i] & 0xc0) != 0x80) return 0;
        return n_bytes;
    }
    return 0;
}

static bool is_utf8(const uint8_t *text, size_t n_bytes)
{
    for (size_t at = 0; at < n_bytes;) {
        const size_t step = utf8_sequence(text + at, n_bytes - at);
        if (step == 0) return false;
        at += step;
    }
    return true;
}

calmoe_status cm_gguf_read_name(struct gguf_parse *parse, const char *kind, uint64_t i,
                                uint64_t max_bytes, const char **name, size_t *n_bytes)
{
    const char              *file = parse->file->name;
    const unsigned long long position = i;
    const uint64_t           length = cm_read_u64(&parse->reader);
    if (parse->reader.failed) return cm_gguf_ends_inside(parse, kind, i);
    if (length == 0)
        return cm_fail(parse->ctx, CALMOE_BAD_FILE, "'%s': %s %llu has an empty name", file, kind,
                       position);
    if (length > max_bytes)
        return cm_fail(parse->ctx, CALMOE_BAD_FILE,
                       "'%s': %s %llu has a name of %llu bytes; at most %llu are allowed", file,
                       kind, position, (unsigned long long)length, (unsigned long long)max_bytes);
    const uint8_t *text = cm_read_bytes(&parse->reader, length);
    if (text == NULL) return cm_gguf_ends_inside(parse, kind, i);
    if (memchr(text, 0, (size_t)length) != NULL)
        return cm_fail(parse->ctx, CALMOE_BAD_FILE, "'%s': %s %llu has a NUL byte in its name",
                       file, kind, position);
    if (!is_utf8(text, (size_t)length))
        return cm_fail(parse->ctx, CALMOE_BAD_FILE, "'%s': %s %llu has a name that is not UTF-8",
                       file, kind, position);
    *name = (const char *)text;
    *n_bytes = (size_t)length;
    return CALMOE_OK;
}
