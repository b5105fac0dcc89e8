/* tools/generation.c - see generation.h. */
#include "tools/generation.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Makes room for the text of one token and for pending bytes before it; see calmoe_text_stream_put(). */
static bool reserve_piece(struct generation *generation, int32_t token)
{
    size_t n_bytes = 0;
    (void)calmoe_token_bytes(generation->front->model, token, 1, &n_bytes);
    const size_t wanted = 4 * n_bytes + 64;
    if (wanted <= generation->n_piece) return true;
    char *grown = realloc(generation->piece, wanted < 1024 ? 1024 : wanted);
    if (grown == NULL) {
        cm_say("no memory for the text of a token");
        return false;
    }
    generation->piece   = grown;
    generation->n_piece = wanted < 1024 ? 1024 : wanted;
    return true;
}

static bool put_colored(const struct generation *generation, const char *text, size_t n_bytes, int layers)
{
    const char *begin = cm_exit_color(&generation->exits, layers), *end = cm_exit_color_end(&generation->exits);
    return (*begin == '\0' || cm_put(begin, strlen(begin))) && cm_put(text, n_bytes) &&
           (*end == '\0' || cm_put(end, strlen(end)));
}

/* Prints and keeps the first n bytes of the held text, each token's part in its colour, and goes on holding the
 * rest. */
static bool release(struct generation *generation, size_t n)
{
    struct token_use *const uses   = (struct token_use *)(void *)generation->held_uses.at;
    const size_t            n_uses = generation->held_uses.n / sizeof *uses;
    size_t                  done = 0, i = 0;
    for (; i < n_uses && done + uses[i].n_bytes <= n; i++) {
        if (generation->prints && uses[i].n_bytes > 0 &&
            !put_colored(generation, generation->held.at + done, uses[i].n_bytes, uses[i].depth.layers))
            return false;
        done += uses[i].n_bytes;
    }
    if (done < n) {
        if (generation->prints && !put_colored(generation, generation->held.at + done, n - done, uses[i].depth.layers))
            return false;
        uses[i].n_bytes -= n - done;
    }
    if (generation->keeps && !cm_bytes_append(&generation->text, generation->held.at, n)) return false;
    cm_bytes_drop(&generation->held, n);
    cm_bytes_drop(&generation->held_uses, i * sizeof *uses);
    return true;
}

/* Discards the held text, which is also the end of the texts of the kept tokens. */
static void drop_held(struct generation *generation)
{
    struct token_use *const uses = (struct token_use *)(void *)generation->uses.at;
    size_t                  n    = generation->held.n;
    for (size_t i = generation->uses.n / sizeof *uses; generation->keeps_uses && i > 0 && n > 0; i--) {
        const size_t taken = uses[i - 1].n_bytes < n ? uses[i - 1].n_bytes : n;
        uses[i - 1].n_bytes -= taken;
        n -= taken;
    }
    cm_bytes_drop(&generation->held, generation->held.n);
    cm_bytes_drop(&generation->held_uses, generation->held_uses.n);
}

/* Adds text to the held text, and prints it as far as it cannot belong to a stop text; *is_stopped: a stop text
 * occurred, and everything before it was printed. */
static bool release_text(struct generation *generation, const char *text, bool is_end, bool *is_stopped)
{
    const char *shown;
    size_t      n_shown;
    const calmoe_status status = calmoe_stops_put(generation->stops, text, strlen(text), &shown, &n_shown, NULL);
    *is_stopped = status == CALMOE_END;
    if (!*is_stopped && !cm_front_succeeded(generation->front, status)) return false;
    if (!*is_stopped && is_end) n_shown = generation->held.n;
    if (!*is_stopped && is_end) calmoe_stops_end(generation->stops, &shown, &(size_t){0});
    if (!release(generation, n_shown)) return false;
    if (*is_stopped) drop_held(generation);
    return true;
}

/* Prints and keeps one token; -1: prints what is still pending at the end. */
static bool show(struct generation *generation, calmoe_text_stream *stream, int32_t token, bool *is_stopped)
{
    if (!reserve_piece(generation, token)) return false;
    const calmoe_status status = calmoe_text_stream_put(generation->front->model, stream, token,
                                               generation->piece, generation->n_piece);
    if (!cm_front_succeeded(generation->front, status)) return false;
    const size_t n_bytes = strlen(generation->piece);
    struct token_use use = {.depth = {.size = sizeof use.depth, .layers = generation->exits.n_layers},
                            .n_bytes = n_bytes};
    if (token >= 0) {
        (void)calmoe_session_depth(generation->session, -1, &use.depth);
        cm_exit_colors_count(&generation->exits, use.depth.layers);
    }
    if (generation->keeps && generation->keeps_uses && token >= 0 &&
        !cm_bytes_append(&generation->uses, &use, sizeof use))
        return false;
    if (generation->keeps && token >= 0 && !cm_bytes_append(&generation->ids, &token, sizeof token)) return false;
    return cm_bytes_append(&generation->held, generation->piece, n_bytes) &&
           cm_bytes_append(&generation->held_uses, &use, sizeof use) &&
           release_text(generation, generation->piece, token < 0, is_stopped);
}

/* One calmoe_session_next(), timed. */
static calmoe_status next_token(struct generation *generation, bool is_prompt, int32_t *token)
{
    struct run_times *const times  = &generation->times;
    const int               before = calmoe_session_n_positions(generation->session);
    const double            start  = cm_seconds();
    const calmoe_status     status = calmoe_session_next(generation->session, token);
    const int               n_read = calmoe_session_n_positions(generation->session) - before;
    if (n_read <= 0) return status;
    if (is_prompt) {
        times->n_prompt += (uint64_t)n_read;
        times->prompt_seconds += cm_seconds() - start;
    } else {
        times->n_steps += (uint64_t)n_read;
        times->step_seconds += cm_seconds() - start;
    }
    return status;
}

static void interrupt_session(void *session) { calmoe_session_interrupt(session); }

static enum answer_end generate(struct generation *generation, int *n_tokens)
{
    calmoe_text_stream stream = {{0}};
    enum answer_end    end    = ANSWER_LIMIT;
    int32_t            token  = -1;
    bool               is_stopped = false;
    calmoe_status      status = next_token(generation, true, &token);
    generation->of_prompt     = (calmoe_stats){.size = sizeof generation->of_prompt};
    (void)calmoe_engine_get_stats(generation->front->engine, &generation->of_prompt);
    while (status == CALMOE_OK && *n_tokens < generation->max_tokens) {
        if (!show(generation, &stream, token, &is_stopped)) return ANSWER_FAILED;
        generation->times.n_generated++;
        ++*n_tokens;
        if (is_stopped) return ANSWER_STOPPED;
        if (cm_interrupted()) end = ANSWER_INTERRUPTED;
        if (cm_interrupted() || *n_tokens == generation->max_tokens) break;
        status = next_token(generation, false, &token);
    }
    if (status == CALMOE_END) end = ANSWER_ENDED;
    else if (status == CALMOE_FULL) end = ANSWER_FULL;
    else if (status == CALMOE_CANCELLED) end = ANSWER_INTERRUPTED;
    else if (!cm_front_succeeded(generation->front, status)) return ANSWER_FAILED;
    if (!show(generation, &stream, -1, &is_stopped)) return ANSWER_FAILED;
    return is_stopped ? ANSWER_STOPPED : end;
}

enum answer_end cm_generate(struct generation *generation, int *n_tokens)
{
    *n_tokens = 0;
    cm_on_interrupt(interrupt_session, generation->session);
    if (cm_interrupted()) calmoe_session_interrupt(generation->session); /* it came before that call */
    const enum answer_end end = generate(generation, n_tokens);
    cm_on_interrupt(NULL, NULL);
    return end;
}

void cm_generation_close(struct generation *generation)
{
    cm_bytes_close(&generation->text);
    cm_bytes_close(&generation->ids);
    cm_bytes_close(&generation->uses);
    cm_bytes_close(&generation->held);
    cm_bytes_close(&generation->held_uses);
    free(generation->piece);
    generation->piece = NULL;
}

double cm_tokens_per_second(uint64_t n_tokens, double seconds)
{
    return n_tokens > 0 && seconds > 0 ? (double)n_tokens / seconds : 0;
}

void cm_print_times(const struct run_times *times)
{
    cm_say("prompt     %6" PRIu64 " tokens %9.3f s %10.1f tokens/s", times->n_prompt,
           times->prompt_seconds, cm_tokens_per_second(times->n_prompt, times->prompt_seconds));
    cm_say("generation %6" PRIu64 " tokens %9.3f s %10.1f tokens/s", times->n_generated,
           times->step_seconds, cm_tokens_per_second(times->n_steps, times->step_seconds));
}
