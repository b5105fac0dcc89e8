/* answer_events.c - what is held of an answer until it is understood, looked at; and events, told in whole
 * characters. */
#include <string.h>

#include "base/memory.h"
#include "runtime/text/answer_parts.h"
#include "runtime/text/utf8.h"

/* ---- growing texts ---- */

void cm_answer_add(struct answer_parser *p, struct answer_text *text, const char *bytes, size_t n)
{
    if (p->status != CALMOE_OK || n == 0) return;
    if (n + 1 > text->n_room - text->n) { /* a NUL fits behind it */
        const size_t n_room = 2 * text->n_room + n + 64;
        p->status = cm_grow(p->ctx, &text->at, text->n, n_room, 1, "an answer");
        if (p->status != CALMOE_OK) return;
        text->n_room = n_room;
    }
    memcpy(text->at + text->n, bytes, n);
    text->n += n;
}

/* ---- telling ---- */

/* Bytes of whole characters at the beginning of text; what is no UTF-8 counts as such. */
static size_t whole_characters(const char *text, size_t n, bool *is_valid)
{
    size_t at = 0;
    *is_valid = true;
    while (at < n) {
        const int length = cm_utf8_length(text + at, n - at);
        if (length < 0) break;
        *is_valid = *is_valid && length > 0;
        at += length > 0 ? (size_t)length : 1;
    }
    return at;
}

static void tell(struct answer_parser *p, enum answer_kind kind, const char *text, size_t n)
{
    const bool               has_id = kind == ANSWER_CALL_BEGIN && p->id.n > 0;
    const struct answer_told told = { kind, text, n, p->n_calls - 1, has_id ? p->id.at : "" };
    if (!p->is_silent && p->status == CALMOE_OK) p->tell(p->user, &told);
}

/* Tells the first n bytes of what was gathered, with U+FFFD for what is no UTF-8. */
static void tell_mended(struct answer_parser *p, size_t n)
{
    struct answer_text mended = { NULL, 0, 0 };
    for (size_t at = 0; at < n;) {
        const int length = cm_utf8_length(p->out.at + at, p->out.n - at); /* by what follows, told now or not */
        if (length > 0) cm_answer_add(p, &mended, p->out.at + at, (size_t)length);
        else cm_answer_add(p, &mended, "\xef\xbf\xbd", 3);
        at += length > 0 ? (size_t)length : length < 0 ? n - at : 1;
    }
    if (p->status == CALMOE_OK && mended.n > 0) {
        mended.at[mended.n] = '\0';
        tell(p, p->out_kind, mended.at, mended.n);
    }
    cm_free(mended.at);
}

void cm_answer_tell(struct answer_parser *p, bool all)
{
    bool         is_valid;
    const size_t whole = whole_characters(p->out.at, p->out.n, &is_valid), n = all ? p->out.n : whole;
    if (n == 0 || p->status != CALMOE_OK) return;
    if (is_valid && n == whole) {
        const char behind = p->out.at[n];
        p->out.at[n] = '\0';
        tell(p, p->out_kind, p->out.at, n);
        p->out.at[n] = behind;
    } else {
        tell_mended(p, n);
    }
    memmove(p->out.at, p->out.at + n, p->out.n - n);
    p->out.n -= n;
}

void cm_answer_say(struct answer_parser *p, enum answer_kind kind, const char *bytes, size_t n)
{
    if (p->out.n > 0 && p->out_kind != kind) cm_answer_tell(p, true);
    p->out_kind = kind;
    if (kind == ANSWER_CALL_END || (kind == ANSWER_CALL_BEGIN && n == 0)) tell(p, kind, "", 0);
    else cm_answer_add(p, &p->out, bytes, n);
    if (kind == ANSWER_CALL_BEGIN) cm_answer_tell(p, true);
}

bool cm_answer_is_white(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

void cm_answer_say_prose(struct answer_parser *p, enum answer_kind kind, const char *bytes, size_t n)
{
    size_t begin = 0, end = n;
    if (p->drops_blank)
        while (begin < n && cm_answer_is_white(bytes[begin])) begin++;
    while (end > begin && cm_answer_is_white(bytes[end - 1])) end--;
    if (begin < end) {
        cm_answer_say(p, kind, p->blank.at, p->blank.n);
        p->blank.n = 0;
        p->drops_blank = false;
        p->has_begun = true;
        cm_answer_say(p, kind, bytes + begin, end - begin);
    }
    if (!p->drops_blank) cm_answer_add(p, &p->blank, bytes + end, n - end);
}

void cm_answer_pass_mark(struct answer_parser *p)
{
    p->blank.n = 0;
    p->drops_blank = true;
    p->has_begun = true;
}

/* ---- looking at what is held ---- */

bool cm_answer_sees(const struct answer_parser *p, const char *mark, bool *may)
{
    const size_t n = strlen(mark), left = cm_left(p), both = n < left ? n : left;
    const bool   fits = both == 0 || !memcmp(cm_held(p), mark, both);
    *may = fits && left < n && !p->at_end;
    return fits && left >= n;
}

size_t cm_answer_find(const struct answer_parser *p, const char *const marks[], int n, int *which)
{
    const char  *text = cm_held(p);
    const size_t left = cm_left(p);
    *which = -1;
    for (size_t at = 0; at < left; at++) {
        for (int i = 0; i < n; i++) {
            if (!marks[i] || text[at] != marks[i][0]) continue;
            const size_t n_mark = strlen(marks[i]), both = n_mark < left - at ? n_mark : left - at;
            if (memcmp(text + at, marks[i], both) != 0 || (both < n_mark && p->at_end)) continue;
            if (both == n_mark) *which = i;
            return at; /* a mark, or what may be one */
        }
    }
    return left;
}

void cm_answer_skip_white(struct answer_parser *p)
{
    while (cm_left(p) > 0 && cm_answer_is_white(*cm_held(p))) p->at++;
}
