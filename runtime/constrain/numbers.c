/* numbers.c - see numbers.h.
 *
 * A bound is written out as digits, before the point and behind it. A number is read from its first digit on, and it
 * is known at each digit whether what was read is still the beginning of the lower bound, of the upper one, of both
 * or of neither: then anything may follow. There are a row of four nodes for each digit. */
#include "runtime/constrain/numbers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIGITS = 15, ON_LEAST = 1, ON_MOST = 2, BOTH = 3 };

struct decimal { /* without its sign */
    int  n_whole, n_part;
    char whole[DIGITS + 1], part[DIGITS + 1]; /* digits; no zeros before the first or behind the last; whole "0" */
};

struct range { /* of numbers from 0 on */
    struct program *program;
    struct decimal  least, most;
    bool            is_above, is_below;
    bool            is_whole;
    int32_t         next;
};

/* The fewest digits that are this very number. False where it takes more than there is room for. */
static bool write_decimal(double value, struct decimal *out)
{
    char text[64];
    if (!(fabs(value) < 1e15)) return false;
    for (int n_digits = 1; n_digits <= 17; n_digits++) {
        snprintf(text, sizeof text, "%.*e", n_digits - 1, fabs(value));
        if (strtod(text, NULL) == fabs(value)) break;
    }
    const int exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
    char      digits[32];
    int       n = 0;
    for (const char *c = text; *c != 'e'; c++)
        if (*c >= '0' && *c <= '9') digits[n++] = *c; /* the point is the locale's */
    *out = (struct decimal){.n_whole = exponent < 0 ? 1 : exponent + 1};
    out->n_part = n - 1 - exponent > 0 ? n - 1 - exponent : 0;
    if (out->n_whole > DIGITS || out->n_whole + out->n_part > DIGITS + 1) return false;
    for (int i = 0; i < out->n_whole; i++) out->whole[i] = exponent >= 0 && i < n ? digits[i] : '0';
    for (int i = 0; i < out->n_part; i++) {
        const int at = exponent + 1 + i;
        out->part[i] = at >= 0 && at < n ? digits[at] : '0';
    }
    while (out->n_part > 0 && out->part[out->n_part - 1] == '0') out->n_part--;
    return out->n_part <= DIGITS;
}

/* ---- between two numbers from 0 on ---- */

static char part_digit(const struct decimal *decimal, int i) { return i < decimal->n_part ? decimal->part[i] : '0'; }

static bool rest_is_zero(const struct decimal *decimal, int i) { return i >= decimal->n_part; }

/* May the number end where its first i digits behind the point are read? */
static bool may_end(const struct range *range, int i, int on)
{
    const bool least_is_met = !(on & ON_LEAST) || (rest_is_zero(&range->least, i) && !range->is_above);
    const bool most_is_met = !(on & ON_MOST) || !rest_is_zero(&range->most, i) || !range->is_below;
    return least_is_met && most_is_met;
}

/* A digit between those of the bounds that the number is still on, and what follows by whether it stays on them. */
static int32_t emit_digit(struct program *program, char least, char most, int on, bool is_first,
                          const int32_t after[4])
{
    const char low = on & ON_LEAST ? least : is_first ? '1' : '0', high = on & ON_MOST ? most : '9';
    int32_t    ways = NO_NODE;
    for (int digit = high; digit >= low;) {
        const int stays = (on & ON_LEAST && digit == least ? ON_LEAST : 0) |
                          (on & ON_MOST && digit == most ? ON_MOST : 0);
        const int last = digit;
        if (stays) digit--;
        else digit = on & ON_LEAST ? least : low - 1; /* all down to the bound go alike */
        if (after[stays] != NO_NODE)
            ways = cm_emit_fork(program, cm_emit_range(program, digit + 1, last, after[stays]), ways);
    }
    return ways;
}

/* after (4): what follows the digits before the point, by the bounds that they are on; NO_NODE: nothing may. */
static void emit_part(const struct range *range, int n_whole, int32_t after[4])
{
    struct program *program = range->program;
    const int       most = DIGITS - n_whole > 1 ? DIGITS - n_whole : 1;
    int32_t         behind[4]; /* the first i digits */
    for (int on = 0; on < 4; on++) after[on] = may_end(range, 0, on) ? range->next : NO_NODE;
    if (range->is_whole) return;
    for (int on = 0; on < 4; on++) behind[on] = may_end(range, most, on) ? range->next : NO_NODE;
    for (int i = most - 1; i >= 0; i--) {
        int32_t before[4];
        for (int on = 0; on < 4; on++) {
            before[on] = emit_digit(program, part_digit(&range->least, i), part_digit(&range->most, i), on, false,
                                    behind);
            if (i > 0 && may_end(range, i, on)) before[on] = cm_emit_fork(program, before[on], range->next);
        }
        memcpy(behind, before, sizeof behind);
    }
    for (int on = 0; on < 4; on++)
        if (behind[on] != NO_NODE)
            after[on] = cm_emit_fork(program, cm_emit_text(program, ".", 1, behind[on]), after[on]);
}

/* Numbers with n digits before the point. */
static int32_t emit_length(const struct range *range, int n)
{
    int32_t behind[4];
    emit_part(range, n, behind);
    for (int i = n - 1; i > 0; i--) {
        int32_t before[4];
        for (int on = 0; on < 4; on++)
            before[on] = emit_digit(range->program, range->least.whole[i], range->most.whole[i], on, false, behind);
        memcpy(behind, before, sizeof behind);
    }
    const int on = (n == range->least.n_whole ? ON_LEAST : 0) | (n == range->most.n_whole ? ON_MOST : 0);
    return emit_digit(range->program, range->least.whole[0], range->most.whole[0], on, n > 1, behind);
}

/* least <= most */
static int32_t emit_range(const struct range *range)
{
    int32_t ways = NO_NODE;
    for (int n = range->least.n_whole; n <= range->most.n_whole; n++)
        ways = cm_emit_fork(range->program, emit_length(range, n), ways);
    return ways;
}

/* ---- of any sign ---- */

static int32_t emit_side(struct program *program, const struct bounds *bounds, bool is_negative, bool is_whole,
                         const char *where, int32_t next)
{
    struct range range = {.program = program, .is_whole = is_whole, .next = next};
    /* A side's numbers without their sign, from `low` to `high`. */
    double low = is_negative ? -bounds->most : bounds->least, high = is_negative ? -bounds->least : bounds->most;
    range.is_above = is_negative ? bounds->is_below : bounds->is_above;
    range.is_below = is_negative ? bounds->is_above : bounds->is_below;
    if (low < 0 || (low == 0 && is_negative)) { /* a whole 0 has no sign */
        low = is_negative && is_whole ? 1 : 0;
        range.is_above = is_negative && !is_whole;
    }
    if (low > high || (low == high && (range.is_above || range.is_below))) return NO_NODE;
    if (!write_decimal(low, &range.least) || !write_decimal(high, &range.most)) {
        cm_program_fail(program, cm_fail(program->ctx, CALMOE_UNSUPPORTED, "%s: bounds of more than %d digits", where,
                                         DIGITS));
        return NO_NODE;
    }
    const int32_t ways = emit_range(&range);
    return is_negative && ways != NO_NODE ? cm_emit_text(program, "-", 1, ways) : ways;
}

static int32_t emit_free(struct program *program, bool is_whole, int32_t next)
{
    struct byte_set e = {{0}}, sign = {{0}};
    const int32_t   digit = cm_emit_range(program, '0', '9', program->returns);
    int32_t         rest = next;
    if (!is_whole) {
        cm_byte_set_add(&e, 'e', 'e');
        cm_byte_set_add(&e, 'E', 'E');
        cm_byte_set_add(&sign, '+', '+');
        cm_byte_set_add(&sign, '-', '-');
        const int32_t power = cm_emit_repeat(program, digit, 1, 2, next);
        const int32_t exponent =
            cm_emit_bytes(program, &e, cm_emit_fork(program, power, cm_emit_bytes(program, &sign, power)));
        rest = cm_emit_fork(program, next, exponent);
        const int32_t part = cm_emit_repeat(program, digit, 1, DIGITS, rest);
        rest = cm_emit_fork(program, rest, cm_emit_text(program, ".", 1, part));
    }
    const int32_t digits = cm_emit_range(program, '1', '9', cm_emit_repeat(program, digit, 0, DIGITS - 1, rest));
    const int32_t zero = cm_emit_range(program, '0', '0', rest);
    const int32_t negative = cm_emit_text(program, "-", 1, is_whole ? digits : cm_emit_fork(program, digits, zero));
    return cm_emit_fork(program, cm_emit_fork(program, digits, zero), negative);
}

int32_t cm_emit_number(struct program *program, const struct bounds *given, bool is_whole, const char *where,
                       int32_t next)
{
    static const double largest = 999999999999999; /* of DIGITS digits */
    struct bounds bounds = *given;
    if (!bounds.has_least && !bounds.has_most) return emit_free(program, is_whole, next);
    if (!bounds.has_least) bounds.least = -largest;
    if (!bounds.has_most) bounds.most = largest;
    if (is_whole) { /* the next whole numbers inside */
        const double least = ceil(bounds.least), most = floor(bounds.most);
        bounds.least = bounds.is_above && least == bounds.least ? least + 1 : least;
        bounds.most = bounds.is_below && most == bounds.most ? most - 1 : most;
        bounds.is_above = bounds.is_below = false;
    }
    const int32_t positive = emit_side(program, &bounds, false, is_whole, where, next);
    const int32_t negative = bounds.least < 0 ? emit_side(program, &bounds, true, is_whole, where, next) : NO_NODE;
    if (program->status != CALMOE_OK) return 0;
    if (positive == NO_NODE && negative == NO_NODE) {
        cm_program_fail(program, cm_fail(program->ctx, CALMOE_INVALID_ARGUMENT, "%s: no number lies between its bounds",
                                         where));
        return 0;
    }
    return cm_emit_fork(program, positive, negative);
}
