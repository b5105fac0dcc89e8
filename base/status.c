/* status.c - names of the status codes, and how a sentence gets into a context or to its log.
 *
 * A sentence may quote names from a hostile file. Bytes that could disturb a terminal or a log are replaced here, so
 * that no caller has to think of them. */
#include "base/status.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    const char *text;
} codes[] = {
#define STATUS_ROW(name, text) [CALMOE_##name] = {#name, text},
    CALMOE_STATUS_LIST(STATUS_ROW)
#undef STATUS_ROW
};

enum { N_CODES = sizeof codes / sizeof codes[0] };

const char *calmoe_status_name(calmoe_status status)
{
    return (unsigned)status < N_CODES ? codes[status].name : "UNKNOWN";
}

const char *calmoe_status_text(calmoe_status status)
{
    return (unsigned)status < N_CODES ? codes[status].text : "not a status of this version";
}

/* The number of bytes of the well-formed, printable UTF-8 character at text; 0 if there is none (RFC 3629: no overlong
 * forms, no surrogates, nothing above U+10FFFF; also no C1 controls). text ends in NUL, which is no continuation byte,
 * so nothing after the end is read. */
static size_t printable_length(const char *text)
{
    const unsigned char first = (unsigned char)text[0];
    if (first >= 0x20 && first < 0x7f) return 1;
    const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4) return 0;

    uint32_t point = first & (0x7fu >> length);
    for (size_t at = 1; at < length; at++) {
        const unsigned char next = (unsigned char)text[at];
        if ((next & 0xc0) != 0x80) return 0;
        point = point << 6 | (next & 0x3f);
    }
    static const uint32_t lowest[] = {0, 0, 0xa0, 0x800, 0x10000};
    if (point < lowest[length] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return 0;
    return length;
}

static void make_printable(char *text)
{
    while (*text) {
        const size_t length = printable_length(text);
        if (!length) *text = '?';
        text += length ? length : 1;
    }
}

/* If text was cut off, it ends in "...", without half a character before that. */
static void mark_cut(char *text, size_t n_bytes)
{
    static const char dots[] = "...";
    const size_t      last = n_bytes - sizeof dots;
    size_t            end = last;
    while (last - end < 3 && ((unsigned char)text[end] & 0xc0) == 0x80) end--;
    memcpy(text + end, dots, sizeof dots);
}

CM_PRINTF(2, 0)
static void write_sentence(char *sentence, const char *format, va_list arguments)
{
    const int n_wanted = vsnprintf(sentence, CM_MESSAGE_BYTES, format, arguments);
    if (n_wanted < 0) memcpy(sentence, "?", 2);
    if (n_wanted >= CM_MESSAGE_BYTES) mark_cut(sentence, CM_MESSAGE_BYTES);
    make_printable(sentence);
}

/* ---- sentences of threads ---- */

static atomic_uint_fast64_t   n_threads;
static _Thread_local uint64_t this_thread;

uint64_t cm_message_thread(void)
{
    if (this_thread == 0) this_thread = atomic_fetch_add_explicit(&n_threads, 1, memory_order_relaxed) + 1;
    return this_thread;
}

void cm_message_thread_be(uint64_t thread) { this_thread = thread; }

static void lock(struct calmoe_context *ctx)
{
    while (atomic_exchange_explicit(&ctx->lock, 1, memory_order_acquire)) continue; /* held briefly */
}

static void unlock(struct calmoe_context *ctx) { atomic_store_explicit(&ctx->lock, 0, memory_order_release); }

/* This thread's place, or one that is free; -1: there is neither. */
static int find_place(const struct calmoe_context *ctx)
{
    const uint64_t thread = cm_message_thread();
    int            free = -1;
    for (int i = CM_MESSAGE_THREADS - 1; i >= 0; i--) {
        if (ctx->threads[i] == thread) return i;
        if (ctx->threads[i] == 0) free = i;
    }
    return free;
}

static char *place_text(struct calmoe_context *ctx, int place)
{
    return place == 0 ? ctx->message : ctx->others[place - 1];
}

const char *cm_message(const struct calmoe_context *given)
{
    struct calmoe_context *ctx = (struct calmoe_context *)(uintptr_t)given; /* its lock is taken */
    lock(ctx);
    const int   place = find_place(ctx);
    const bool  is_own = place >= 0 && ctx->threads[place] == cm_message_thread();
    const char *text = is_own ? place_text(ctx, place) : "";
    unlock(ctx);
    return text;
}

calmoe_status cm_fail(struct calmoe_context *ctx, calmoe_status status, const char *format, ...)
{
    if (!ctx) return status;

    char    sentence[CM_MESSAGE_BYTES]; /* separate, since an argument may be the old message */
    va_list arguments;
    va_start(arguments, format);
    write_sentence(sentence, format, arguments);
    va_end(arguments);
    lock(ctx);
    int place = find_place(ctx);
    if (place < 0) place = 1 + ctx->n_replaced++ % (CM_MESSAGE_THREADS - 1);
    ctx->threads[place] = cm_message_thread();
    memcpy(place_text(ctx, place), sentence, strlen(sentence) + 1);
    unlock(ctx);
    return status;
}

void cm_log(struct calmoe_context *ctx, const char *format, ...)
{
    if (!ctx || !ctx->log) return;

    char    sentence[CM_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    write_sentence(sentence, format, arguments);
    va_end(arguments);
    ctx->log(ctx->log_user, sentence);
}
