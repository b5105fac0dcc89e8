/* characters.c - see characters.h. */
#include "runtime/constrain/characters.h"

#include <string.h>

#include "runtime/text/utf8.h"

/* ---- sets ---- */

void cm_characters_add(struct characters *set, uint32_t first, uint32_t last)
{
    if (set->n == CHARACTERS_MAX_RANGES) set->is_full = true;
    else set->ranges[set->n++] = (struct character_range){first, last};
}

void cm_characters_sort(struct characters *set)
{
    struct character_range *ranges = set->ranges;
    for (int i = 1; i < set->n; i++) {
        const struct character_range moved = ranges[i];
        int at = i;
        for (; at > 0 && moved.first < ranges[at - 1].first; at--) ranges[at] = ranges[at - 1];
        ranges[at] = moved;
    }
    int n = 0;
    for (int i = 0; i < set->n; i++) {
        if (n > 0 && ranges[i].first <= ranges[n - 1].last + 1) {
            if (ranges[i].last > ranges[n - 1].last) ranges[n - 1].last = ranges[i].last;
        } else {
            ranges[n++] = ranges[i];
        }
    }
    set->n = n;
}

void cm_characters_invert(struct characters *set)
{
    struct characters others = {.is_full = set->is_full};
    uint32_t first = 0;
    for (int i = 0; i < set->n; i++) {
        if (set->ranges[i].first > first) cm_characters_add(&others, first, set->ranges[i].first - 1);
        first = set->ranges[i].last + 1;
    }
    if (first <= LAST_CHARACTER) cm_characters_add(&others, first, LAST_CHARACTER);
    *set = others;
}

/* ---- UTF-8 ---- */

static bool are_all(const unsigned char *bytes, int n, unsigned char byte)
{
    for (int i = 0; i < n; i++)
        if (bytes[i] != byte) return false;
    return true;
}

/* All texts of n bytes from `first` to `last`, whose bytes behind the first are any of 0x80 to 0xbf in between. */
static int32_t emit_between(struct program *program, const unsigned char *first, const unsigned char *last, int n,
                            int32_t next)
{
    static const unsigned char lowest[3] = {0x80, 0x80, 0x80}, highest[3] = {0xbf, 0xbf, 0xbf};
    int low = first[0], high = last[0];
    if (n == 1) return cm_emit_range(program, low, high, next);
    if (low == high) return cm_emit_range(program, low, low, emit_between(program, first + 1, last + 1, n - 1, next));
    int32_t ways = NO_NODE;
    if (!are_all(last + 1, n - 1, 0xbf)) {
        ways = cm_emit_range(program, high, high, emit_between(program, lowest, last + 1, n - 1, next));
        high--;
    }
    if (!are_all(first + 1, n - 1, 0x80)) {
        const int32_t tail = emit_between(program, first + 1, highest, n - 1, next);
        ways = cm_emit_fork(program, cm_emit_range(program, low, low, tail), ways);
        low++;
    }
    if (low > high) return ways;
    const int32_t tail = emit_between(program, lowest, highest, n - 1, next);
    return cm_emit_fork(program, cm_emit_range(program, low, high, tail), ways);
}

/* Those of a range that take more than one byte. */
static int32_t emit_long(struct program *program, struct character_range range, int32_t next)
{
    static const struct character_range parts[] = { /* of one length each, without surrogates */
        {0x80, 0x7ff}, {0x800, 0xd7ff}, {0xe000, 0xffff}, {0x10000, LAST_CHARACTER}};
    int32_t ways = NO_NODE;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const uint32_t first = range.first > parts[i].first ? range.first : parts[i].first;
        const uint32_t last = range.last < parts[i].last ? range.last : parts[i].last;
        char from[4], to[4];
        if (first > last) continue;
        const int n = cm_utf8_write(first, from);
        (void)cm_utf8_write(last, to);
        ways = cm_emit_fork(program, emit_between(program, (unsigned char *)from, (unsigned char *)to, n, next), ways);
    }
    return ways;
}

/* ---- JSON ---- */

/* How a character below 128 is written inside a JSON string, NUL-terminated; false: as it is. */
static bool escape(unsigned char character, char out[8])
{
    static const char digits[] = "0123456789abcdef", names[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *name = character ? strchr(names, character) : NULL;
    if (!name && character >= 0x20) return false;
    memcpy(out, "\\u00", 4);
    out[4] = digits[character >> 4];
    out[5] = digits[character & 15];
    out[6] = '\0';
    if (name) out[1] = letters[name - names];
    if (name) out[2] = '\0';
    return true;
}

static int32_t emit_short(struct program *program, const struct characters *set, enum writing writing, int32_t next)
{
    struct byte_set plain = {{0}};
    int32_t         ways = NO_NODE;
    bool            has_plain = false;
    for (int i = 0; i < set->n && set->ranges[i].first < 0x80; i++)
        for (uint32_t c = set->ranges[i].first; c <= set->ranges[i].last && c < 0x80; c++) {
            char text[8];
            if (writing == WRITING_JSON && c == 0) continue;
            if (writing == WRITING_JSON && escape((unsigned char)c, text)) {
                ways = cm_emit_fork(program, cm_emit_text(program, text, strlen(text), next), ways);
            } else {
                cm_byte_set_add(&plain, (int)c, (int)c);
                has_plain = true;
            }
        }
    return has_plain ? cm_emit_fork(program, cm_emit_bytes(program, &plain, next), ways) : ways;
}

int32_t cm_emit_characters(struct program *program, const struct characters *set, enum writing writing, int32_t next)
{
    int32_t ways = emit_short(program, set, writing, next);
    for (int i = 0; i < set->n; i++)
        if (set->ranges[i].last >= 0x80) ways = cm_emit_fork(program, ways, emit_long(program, set->ranges[i], next));
    if (ways == NO_NODE) ways = cm_emit_fork(program, NO_NODE, NO_NODE); /* no character: nothing leads on */
    return ways;
}

/* \uXXXX without surrogates and the character 0. */
static int32_t emit_code(struct program *program, int32_t next)
{
    struct byte_set any = {{0}}, plain = {{0}}, below_8 = {{0}}, not_0 = {{0}}, d = {{0}};
    cm_byte_set_add(&any, '0', '9');
    cm_byte_set_add(&any, 'a', 'f');
    cm_byte_set_add(&any, 'A', 'F');
    not_0 = any;
    not_0.bits['0' / 64] &= ~((uint64_t)1 << '0' % 64);
    cm_byte_set_add(&below_8, '0', '7');
    cm_byte_set_add(&d, 'd', 'd');
    cm_byte_set_add(&d, 'D', 'D');
    plain = not_0; /* of the first digit: what begins neither a surrogate nor a 0 */
    for (int i = 0; i < 4; i++) plain.bits[i] &= ~d.bits[i];
    const int32_t one = cm_emit_bytes(program, &any, next), two = cm_emit_bytes(program, &any, one);
    const int32_t three = cm_emit_bytes(program, &any, two);
    int32_t zeros = cm_emit_bytes(program, &not_0, next); /* behind "000" */
    const int32_t longer[2] = {one, two};
    for (int i = 0; i < 2; i++)
        zeros = cm_emit_fork(program, cm_emit_bytes(program, &not_0, longer[i]),
                             cm_emit_range(program, '0', '0', zeros));
    const int32_t after_d = cm_emit_bytes(program, &below_8, two);
    int32_t ways = cm_emit_fork(program, cm_emit_bytes(program, &d, after_d),
                                cm_emit_range(program, '0', '0', zeros));
    ways = cm_emit_fork(program, cm_emit_bytes(program, &plain, three), ways);
    return cm_emit_text(program, "\\u", 2, ways);
}

int32_t cm_emit_any_json_character(struct program *program, int32_t next)
{
    struct characters plain = {.n = 0};
    struct byte_set   letters = {{0}};
    cm_characters_add(&plain, 0x20, '"' - 1);
    cm_characters_add(&plain, '"' + 1, '\\' - 1);
    cm_characters_add(&plain, '\\' + 1, LAST_CHARACTER);
    for (const char *letter = "\"\\/bfnrt"; *letter; letter++) cm_byte_set_add(&letters, *letter, *letter);
    const int32_t escaped = cm_emit_text(program, "\\", 1, cm_emit_bytes(program, &letters, next));
    return cm_emit_fork(program, cm_emit_characters(program, &plain, WRITING_PLAIN, next),
                        cm_emit_fork(program, escaped, emit_code(program, next)));
}

int32_t cm_emit_json_text(struct program *program, const char *text, size_t n_bytes, int32_t next)
{
    for (size_t i = n_bytes; i-- > 0;) {
        char escaped[8];
        if (escape((unsigned char)text[i], escaped)) next = cm_emit_text(program, escaped, strlen(escaped), next);
        else next = cm_emit_text(program, text + i, 1, next);
    }
    return next;
}
