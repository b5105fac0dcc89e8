/* template_letters.c - texts of templates in capitals and small letters. */
#include <ctype.h>
#include <locale.h>
#include <string.h>
#include <wctype.h>

#include "runtime/text/template_parts.h"
#include "runtime/text/utf8.h"

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

/* What a letter becomes where the C library, which changes one character into one, cannot say it; else NULL. The German
 * ss has no capital of one letter; the small form of a capital I with a dot keeps the dot; four pairs of letters that
 * are one character have a form of their own at the beginning of a word. */
static const char *special_letter(uint32_t point, enum letters letters, bool upper)
{
    const bool is_title = upper && (letters == LETTERS_TITLE || letters == LETTERS_CAPITALIZE);
    if (point == 0xDF && upper) return is_title ? "Ss" : "SS";
    if (point == 0x130 && !upper) return "i\u0307";
    if (is_title && point >= 0x1C4 && point <= 0x1CC)
        return point < 0x1C7 ? "\u01C5" : point < 0x1CA ? "\u01C8" : "\u01CB";
    return is_title && point >= 0x1F1 && point <= 0x1F3 ? "\u01F2" : NULL;
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
        const char    *special = locale ? special_letter(point, letters, upper) : NULL;
        const int      n = cm_utf8_write(change_letter(point, upper, locale), changed);
        CM_TRY(cm_buffer_put_marked(run, buffer, special ? special : changed, special ? strlen(special) : (size_t)n,
                                    mark));
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
