/* text_stream.c - tokens to text as they come, in whole characters. */
#include <string.h>

#include "runtime/text/tokenizer_parts.h"
#include "runtime/text/utf8.h"

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

/* Writes whole characters out of pending and drops them there; of what can be none, the longest
 * beginning of a character, or one byte, becomes one U+FFFD. */
static int put_characters(struct text_stream *stream, char *out)
{
    const char *text = (const char *)stream->pending;
    int         begin = 0, n_out = 0;
    while (begin < stream->n_pending) {
        const size_t n_left = (size_t)(stream->n_pending - begin);
        const int    length = cm_utf8_length(text + begin, n_left);
        if (length < 0) break;
        if (length > 0) {
            memcpy(out + n_out, text + begin, (size_t)length);
            n_out += length;
            begin += length;
            continue;
        }
        int n_bad = 1;
        while ((size_t)n_bad < n_left && cm_utf8_length(text + begin, (size_t)n_bad + 1) < 0) n_bad++;
        memcpy(out + n_out, replacement, 3);
        n_out += 3;
        begin += n_bad;
    }
    stream->n_pending -= begin;
    memmove(stream->pending, stream->pending + begin, (size_t)stream->n_pending);
    return n_out;
}

int cm_text_stream_put(const struct tokenizer *tokenizer, struct text_stream *stream, int32_t token,
                       bool show_special, char *out, int capacity)
{
    int         n_bytes, n_out = 0, at = 0;
    const char *bytes = cm_token_bytes(tokenizer, token, show_special, &n_bytes);
    if (n_bytes == 0) return 0;
    if (!stream->started && tokenizer->adds_space && bytes[0] == ' ') at = 1;
    stream->started = true;
    for (; at < n_bytes; at++) {
        char chars[2 * sizeof stream->pending * 3];
        stream->pending[stream->n_pending++] = (unsigned char)bytes[at];
        const int n = put_characters(stream, chars);
        if (n > capacity - n_out) break;
        memcpy(out + n_out, chars, (size_t)n);
        n_out += n;
    }
    return n_out;
}

int cm_text_stream_end(struct text_stream *stream, char *out, int capacity)
{
    const bool is_cut = stream->n_pending > 0 && capacity >= 3;
    if (is_cut) memcpy(out, replacement, 3);
    stream->n_pending = 0;
    return is_cut ? 3 : 0;
}
