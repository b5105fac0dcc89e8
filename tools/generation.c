/* tools/generation.c - see generation.h. */
#include "tools/generation.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Makes room for the text of one token, pending bytes included; see calmoe_text_stream_put(). */
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

static bool put_colored(const struct generation *generation, size_t n_bytes, int layers)
{
    const char *begin = cm_exit_color(&generation->exits, layers), *end = cm_exit_color_end(&generation->exits);
    return (*begin == '\0' || cm_put(begin, strlen(begin))) && cm_put(generation->piece, n_bytes) &&
           (*end == '\0' || cm_put(end, strlen(end)));
}

/* Shows and keeps one token; -1: what is still pending at the end. */
static bool show(struct generation *generation, calmoe_text_stream *stream, int32_t token)
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
    if (generation->prints && n_bytes > 0 && !put_colored(generation, n_bytes, use.depth.layers)) return false;
    if (!generation->keeps) return true;
    if (generation->keeps_uses && token >= 0 && !cm_bytes_append(&generation->uses, &use, sizeof use)) return false;
    return cm_bytes_append(&generation->text, generation->piece, n_bytes) &&
           (token < 0 || cm_bytes_append(&generation->ids, &token, sizeof token));
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

enum answer_end cm_generate(struct generation *generation, int *n_tokens)
{
    calmoe_text_stream stream = {{0}};
    enum answer_end    end    = ANSWER_LIMIT;
    int32_t            token  = -1;
    calmoe_status      status = next_token(generation, true, &token);
    *n_tokens                 = 0;
    generation->of_prompt     = (calmoe_stats){.size = sizeof generation->of_prompt};
    (void)calmoe_engine_get_stats(generation->front->engine, &generation->of_prompt);
    while (status == CALMOE_OK && *n_tokens < generation->max_tokens) {
        if (!show(generation, &stream, token)) return ANSWER_FAILED;
        generation->times.n_generated++;
        ++*n_tokens;
        if (cm_interrupted()) end = ANSWER_INTERRUPTED;
        if (cm_interrupted() || *n_tokens == generation->max_tokens) break;
        status = next_token(generation, false, &token);
    }
    if (status == CALMOE_END) end = ANSWER_ENDED;
    else if (status == CALMOE_FULL) end = ANSWER_FULL;
    else if (!cm_front_succeeded(generation->front, status)) return ANSWER_FAILED;
    return show(generation, &stream, -1) ? end : ANSWER_FAILED;
}

void cm_generation_close(struct generation *generation)
{
    cm_bytes_close(&generation->text);
    cm_bytes_close(&generation->ids);
    cm_bytes_close(&generation->uses);
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
