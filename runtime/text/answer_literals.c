/* answer_literals.c - calls whose arguments are literals of another language, turned into JSON as they come: Python's
 * [name(key='value', other=[1, True])], and call:name{key:<|"|>value<|"|>,other:[1,true]}. */
#include <ctype.h>
#include <string.h>

#include "runtime/text/answer_parts.h"

/* ---- what both have in common ---- */

static bool is_word_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.' || c == '-' || c == '+' || (unsigned char)c >= 0x80;
}

/* Bytes of the word that is held; 0: more is needed to know its end. */
static size_t whole_word(const struct answer_parser *p, bool (*belongs)(char c))
{
    size_t n = 0;
    while (n < cm_left(p) && belongs(cm_held(p)[n])) n++;
    return n == cm_left(p) && !p->at_end ? 0 : n;
}

static bool is_number(const char *word, size_t n)
{
    const size_t first = n > 0 && word[0] == '-';
    size_t       at = first;
    while (at < n && (isdigit((unsigned char)word[at]) || strchr(".eE+-", word[at]))) at++;
    return first < n && at == n && isdigit((unsigned char)word[first]) && isdigit((unsigned char)word[n - 1]);
}

/* A word that is no key: a constant, a number, or else a text. */
static void tell_word(struct answer_parser *p, const char *word, size_t n)
{
    static const char *const words[][2] = { { "True", "true" }, { "False", "false" }, { "None", "null" },
                                            { "true", "true" }, { "false", "false" }, { "null", "null" } };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strlen(words[i][0]) == n && !memcmp(words[i][0], word, n)) {
            cm_answer_arguments(p, words[i][1], strlen(words[i][1]));
            return;
        }
    if (is_number(word, n)) {
        cm_answer_arguments(p, word, n);
        return;
    }
    cm_answer_arguments(p, "\"", 1);
    cm_answer_escaped(p, word, n);
    cm_answer_arguments(p, "\"", 1);
}

/* A bracket: an array for tuples and lists, else an object. False where there are too many inside each other. */
static bool open_bracket(struct answer_parser *p, char c)
{
    if (p->depth == ANSWER_MAX_DEPTH) return false;
    const char as = c == '(' ? '[' : c;
    p->brackets[p->depth++] = as;
    cm_answer_arguments(p, &as, 1);
    return true;
}

static void close_bracket(struct answer_parser *p)
{
    const char *as = p->brackets[--p->depth] == '[' ? "]" : "}";
    cm_answer_arguments(p, as, 1);
}

static void give_up(struct answer_parser *p)
{
    if (p->opener != SIZE_MAX) {
        cm_answer_no_call(p);
        return;
    }
    if (p->has_name) cm_answer_end_call(p);
    cm_answer_close_body(p);
}

/* ---- Python ---- */

enum { PYTHON_SEEK, PYTHON_NAME, PYTHON_KEY, PYTHON_VALUE };

/* Whether a quote ends a text: what may follow one stands behind it. Models, and the templates that they learned from,
 * do not always write a backslash before a quote that belongs to the text. False with *waits: more is needed. */
static bool ends_text(const struct answer_parser *p, bool *waits)
{
    size_t at = 1;
    while (at < cm_left(p) && cm_answer_is_white(cm_held(p)[at])) at++;
    *waits = at == cm_left(p) && !p->at_end;
    return at == cm_left(p) ? p->at_end : cm_held(p)[at] && strchr(",)]}:", cm_held(p)[at]);
}

/* One byte, or an escape, inside a text. False: more is needed. */
static bool text_byte(struct answer_parser *p)
{
    const char *held = cm_held(p);
    const char  c = *held;
    bool        waits = false;
    if (c == p->quote && ends_text(p, &waits)) {
        cm_answer_arguments(p, "\"", 1);
        p->quote = 0;
    } else if (waits) {
        return false;
    } else if (c == '\\') {
        if (cm_left(p) < 2) return false;
        if (held[1] == '\'') cm_answer_arguments(p, "'", 1);
        else if (strchr("\"\\nrtbfu", held[1]) && held[1]) cm_answer_arguments(p, held, 2);
        else if (held[1] == 'x') cm_answer_arguments(p, "\\u00", 4);
        else cm_answer_escaped(p, held, 2);
        p->at++;
    } else {
        cm_answer_escaped(p, held, 1);
    }
    p->at++;
    return true;
}

static bool python_value(struct answer_parser *p)
{
    if (cm_left(p) == 0) return false;
    const char c = *cm_held(p);
    if (p->quote) return text_byte(p);
    if (p->depth == 0 && (c == ',' || c == ')')) {
        p->stage = PYTHON_KEY;
        return true;
    }
    if (is_word_byte(c)) {
        const size_t n = whole_word(p, is_word_byte);
        if (n > 0) tell_word(p, cm_held(p), n);
        p->at += n;
        return n > 0;
    }
    p->at++;
    if (c == '\'' || c == '"') {
        p->quote = c;
        cm_answer_arguments(p, "\"", 1);
    } else if (strchr("([{", c) && c) {
        if (!open_bracket(p, c)) give_up(p);
    } else if (strchr(")]}", c) && c) {
        if (p->depth == 0) give_up(p);
        else close_bracket(p);
    } else if (c == ',' || c == ':' || c == ' ') {
        cm_answer_arguments(p, &c, 1);
    }
    return true;
}

static bool python_seek(struct answer_parser *p)
{
    const char *close = p->is_unmarked ? NULL : p->form->call_close;
    bool        may = false;
    cm_answer_skip_white(p);
    if (cm_left(p) == 0) return false;
    const char c = *cm_held(p);
    if (close && cm_answer_sees(p, close, &may) && p->opener == SIZE_MAX) {
        p->at += strlen(close);
        cm_answer_close_body(p);
        return true;
    }
    if (may) return false;
    if (c == '{' && p->opener != SIZE_MAX) {
        cm_answer_open_body(p, BODY_JSON);
    } else if (c == '[' || c == ',' || c == ']') {
        p->at++;
        p->in_array = true;
        if (c == ']' && !close) give_up(p);
    } else if (isalpha((unsigned char)c) || c == '_') {
        p->stage = PYTHON_NAME;
    } else {
        give_up(p);
    }
    return true;
}

static bool python_name(struct answer_parser *p)
{
    const size_t n = whole_word(p, is_word_byte);
    if (n == 0) return false;
    const char *name = cm_held(p);
    const bool  must_know = p->is_unmarked || p->in_thought;
    const bool  is_call = n < cm_left(p) && name[n] == '(' && (!must_know || cm_answer_knows_tool(p, name, n));
    if (!is_call) {
        give_up(p);
        return true;
    }
    p->at += n + 1;
    cm_answer_begin_call(p, name, n);
    cm_answer_arguments(p, "{", 1);
    p->stage = PYTHON_KEY;
    return true;
}

static bool python_key(struct answer_parser *p)
{
    cm_answer_skip_white(p);
    if (cm_left(p) == 0) return false;
    const char c = *cm_held(p);
    if (c == ')') {
        p->at++;
        cm_answer_arguments(p, "}", 1);
        cm_answer_end_call(p);
        p->stage = PYTHON_SEEK;
        return true;
    }
    if (!is_word_byte(c)) { /* a comma, or what does not belong here */
        p->at++;
        return true;
    }
    const size_t n = whole_word(p, is_word_byte);
    size_t       behind = n;
    while (behind < cm_left(p) && cm_held(p)[behind] == ' ') behind++;
    if (n == 0 || (behind == cm_left(p) && !p->at_end)) return false;
    if (behind < cm_left(p) && cm_held(p)[behind] == '=') {
        cm_answer_key(p, cm_held(p), n);
        behind++;
        p->stage = PYTHON_VALUE;
        p->depth = 0;
        p->quote = 0;
    }
    p->at += behind;
    return true;
}

bool cm_answer_step_python(struct answer_parser *p)
{
    switch (p->stage) {
    case PYTHON_SEEK: return python_seek(p);
    case PYTHON_NAME: return python_name(p);
    case PYTHON_KEY: return python_key(p);
    default: return python_value(p);
    }
}

/* ---- call:name{…} ---- */

enum { QUOTED_NAME, QUOTED_VALUE, QUOTED_BEHIND };

static const char quote_mark[] = "<|\"|>";

static bool quoted_name(struct answer_parser *p)
{
    static const char        prefix[] = "call:";
    const char *const        marks[] = { "{", p->form->call_close };
    int                      which;
    cm_answer_skip_white(p);
    const size_t n = cm_answer_find(p, marks, 2, &which);
    if (which < 0) return false;
    const char *name = cm_held(p);
    const size_t n_prefix = n > strlen(prefix) && !memcmp(name, prefix, strlen(prefix)) ? strlen(prefix) : 0;
    const bool   is_unknown = p->in_thought && !cm_answer_knows_tool(p, name + n_prefix, n - n_prefix);
    if (which > 0 || n == 0 || is_unknown) {
        cm_answer_no_call(p);
        return true;
    }
    p->at += n;
    cm_answer_begin_call(p, name + n_prefix, n - n_prefix);
    p->stage = QUOTED_VALUE;
    p->depth = 0;
    p->quote = 0;
    return true;
}

static bool is_bare_byte(char c)
{
    return c && !strchr("{}[],:<", c);
}

/* A key, or a word that is a value. */
static bool quoted_word(struct answer_parser *p)
{
    const size_t n = whole_word(p, is_bare_byte);
    if (n == 0) return false;
    const char *word = cm_held(p);
    size_t      begin = 0, end = n;
    while (begin < end && cm_answer_is_white(word[begin])) begin++;
    while (end > begin && cm_answer_is_white(word[end - 1])) end--;
    p->at += n;
    if (begin == end) return true;
    if (n < p->held.n - (p->at - n) && word[n] == ':') {
        cm_answer_arguments(p, "\"", 1);
        cm_answer_escaped(p, word + begin, end - begin);
        cm_answer_arguments(p, "\"", 1);
    } else {
        tell_word(p, word + begin, end - begin);
    }
    return true;
}

static bool quoted_text(struct answer_parser *p)
{
    const char *const marks[] = { quote_mark };
    int               which;
    const size_t      n = cm_answer_find(p, marks, 1, &which);
    cm_answer_escaped(p, cm_held(p), n);
    p->at += n;
    if (which < 0) return n > 0;
    p->at += strlen(quote_mark);
    p->quote = 0;
    cm_answer_arguments(p, "\"", 1);
    return true;
}

static bool quoted_value(struct answer_parser *p)
{
    bool may;
    if (cm_left(p) == 0) return false;
    if (p->quote) return quoted_text(p);
    const char c = *cm_held(p);
    if (is_bare_byte(c)) return quoted_word(p);
    if (cm_answer_sees(p, quote_mark, &may)) {
        p->at += strlen(quote_mark);
        p->quote = '"';
        cm_answer_arguments(p, "\"", 1);
        return true;
    }
    if (may) return false;
    if (c == '<' && cm_answer_sees(p, p->form->call_close, &may)) {
        give_up(p);
        return true;
    }
    if (may) return false;
    p->at++;
    if (c == '{' || c == '[') {
        if (!open_bracket(p, c)) give_up(p);
    } else if (c == '}' || c == ']') {
        close_bracket(p);
        if (p->depth > 0) return true;
        cm_answer_end_call(p);
        p->stage = QUOTED_BEHIND;
    } else if (c == ',' || c == ':') {
        cm_answer_arguments(p, &c, 1);
    }
    return true;
}

static bool quoted_behind(struct answer_parser *p)
{
    const char *const marks[] = { p->form->call_close };
    int               which;
    const size_t      n = cm_answer_find(p, marks, 1, &which);
    p->at += n;
    if (which < 0) return n > 0;
    p->at += strlen(marks[0]);
    cm_answer_close_body(p);
    return true;
}

bool cm_answer_step_quoted(struct answer_parser *p)
{
    switch (p->stage) {
    case QUOTED_NAME: return quoted_name(p);
    case QUOTED_VALUE: return quoted_value(p);
    default: return quoted_behind(p);
    }
}
