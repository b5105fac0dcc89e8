/* template_strings.c - texts of templates: pieces of bytes in UTF-8, with marks that go along. What is not UTF-8 counts
 * as characters of one byte. */
#include <ctype.h>
#include <locale.h>
#include <string.h>
#include <wctype.h>

#include "runtime/text/template_parts.h"
#include "runtime/text/utf8.h"

struct string cm_string(const char *text)
{
    return (struct string){ text, strlen(text), NULL };
}

struct string cm_string_of(const char *text, size_t n)
{
    return (struct string){ text, n, NULL };
}

struct string cm_string_part(struct string string, size_t from, size_t to)
{
    return (struct string){ string.text + from, to - from, string.marks ? string.marks + from : NULL };
}

bool cm_string_is(struct string string, const char *text)
{
    return string.n == strlen(text) && !memcmp(string.text, text, string.n);
}

bool cm_same_string(struct string a, struct string b)
{
    return a.n == b.n && (a.n == 0 || !memcmp(a.text, b.text, a.n));
}

int cm_string_shown(struct string string)
{
    return string.n < 40 ? (int)string.n : 40;
}

size_t cm_string_step(struct string string, size_t at)
{
    const int length = cm_utf8_length(string.text + at, string.n - at);
    return length < 1 ? 1 : (size_t)length;
}

size_t cm_string_step_back(struct string string, size_t at)
{
    size_t begin = at - 1;
    while (begin > 0 && at - begin < 4 && ((unsigned char)string.text[begin] & 0xc0) == 0x80) begin--;
    return begin + cm_string_step(cm_string_part(string, 0, at), begin) == at ? at - begin : 1;
}

size_t cm_string_length(struct string string)
{
    size_t n = 0;
    for (size_t at = 0; at < string.n; at += cm_string_step(string, at)) n++;
    return n;
}

size_t cm_string_find(struct string string, struct string part, size_t at)
{
    const char *found = at < string.n ? memmem(string.text + at, string.n - at, part.text, part.n) : NULL;
    return found ? (size_t)(found - string.text) : string.n;
}

static bool is_white(struct string string, size_t at, size_t length)
{
    const unsigned char first = (unsigned char)string.text[at];
    return (length > 1 || first < 0x80) && cm_utf8_is_white(cm_utf8_point(string.text + at, (int)length));
}

struct string cm_string_strip(struct string string, bool left, bool right)
{
    size_t from = 0, to = string.n;
    while (left && from < to && is_white(string, from, cm_string_step(string, from)))
        from += cm_string_step(string, from);
    while (right && to > from) {
        const size_t length = cm_string_step_back(string, to);
        if (!is_white(string, to - length, length)) break;
        to -= length;
    }
    return cm_string_part(string, from, to);
}

/* ---- letters ---- */

/* The characters of a locale that knows Unicode's letters; where there is none, those of ASCII. */
static locale_t letters_locale(void)
{
    return newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

static uint32_t change_letter(uint32_t point, bool upper, locale_t locale)
{
    if (point < 0x80) return (uint32_t)(upper ? toupper((int)point) : tolower((int)point));
    if (!locale) return point;
    return (uint32_t)(upper ? towupper_l((wint_t)point, locale) : towlower_l((wint_t)point, locale));
}

static bool is_letter(uint32_t point, locale_t locale)
{
    if (point < 0x80) return isalpha((int)point) != 0;
    return locale && iswalpha_l((wint_t)point, locale);
}

/* Whether a word's first letter may follow a character, as Python's title() has it, and Jinja's filter. */
static bool may_begin(uint32_t before, enum letters letters, locale_t locale)
{
    if (letters == LETTERS_TITLE) return !is_letter(before, locale);
    return letters == LETTERS_TITLE_FILTER &&
           (cm_utf8_is_white(before) || (before < 0x80 && before && strchr("-({[<", (int)before)));
}

static calmoe_status change_letters(struct run *run, struct string text, enum letters letters, locale_t locale,
                                    struct text_buffer *buffer)
{
    bool begins = true;
    for (size_t at = 0; at < text.n;) {
        const size_t        length = cm_string_step(text, at);
        const unsigned char mark = text.marks ? text.marks[at] : 0;
        char                changed[4];
        if (length == 1 && (unsigned char)text.text[at] >= 0x80) {
            CM_TRY(cm_buffer_put(run, buffer, cm_string_part(text, at, at + 1)));
            at++;
            continue;
        }
        const uint32_t point = cm_utf8_point(text.text + at, (int)length);
        const bool     upper = letters == LETTERS_UPPER || (letters != LETTERS_LOWER && begins);
        const int      n = cm_utf8_write(change_letter(point, upper, locale), changed);
        if (point == 0xdf && upper) /* the German ss has no capital of one letter */
            CM_TRY(cm_buffer_put_marked(run, buffer, letters == LETTERS_UPPER ? "SS" : "Ss", 2, mark));
        else
            CM_TRY(cm_buffer_put_marked(run, buffer, changed, (size_t)n, mark));
        begins = may_begin(point, letters, locale);
        at += length;
    }
    return CALMOE_OK;
}

calmoe_status cm_string_letters(struct run *run, struct string text, enum letters letters, struct value *out)
{
    struct text_buffer  buffer = { .text = NULL };
    const locale_t      locale = letters_locale();
    const calmoe_status status = change_letters(run, text, letters, locale, &buffer);
    if (locale) freelocale(locale);
    *out = cm_buffer_value(&buffer);
    return status;
}
