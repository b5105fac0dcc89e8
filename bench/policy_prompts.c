/* bench/policy_prompts.c - the prompts that policies are measured on. */
#include <stdlib.h>
#include <string.h>

#include "bench/policy_bench.h"

/* The token with which texts begin: *n_begin of them, 0 or 1. */
static bool begin_token(const struct front *front, int32_t *token, size_t *n_begin)
{
    const calmoe_status status = calmoe_tokenize(front->context, front->model, "", 0, CALMOE_TOKENIZE_BOS, token, 1,
                                                 n_begin);
    return cm_front_succeeded(front, status);
}

/* ---- of files ---- */

static bool read_tokens(const struct front *front, const char *path, struct prompts *out)
{
    struct bytes text = {0};
    size_t       n = 0;
    bool         fine = cm_bytes_read_file(&text, path);
    if (fine) out->tokens = calloc(text.n + 1, sizeof *out->tokens); /* every token has at least a byte */
    fine = fine && out->tokens != NULL &&
           cm_front_succeeded(front, calmoe_tokenize(front->context, front->model, text.n > 0 ? text.at : "", text.n, 0,
                                                     out->tokens, text.n + 1, &n));
    cm_bytes_close(&text);
    out->n_tokens = 1;
    out->n        = (int)n;
    return fine;
}

/* Takes piece i of each file in turn. */
static bool cut(const struct front *front, const struct prompts *texts, int n_texts, int n, struct prompts *out)
{
    size_t  n_begin = 0;
    int32_t begin = 0;
    if (!begin_token(front, &begin, &n_begin)) return false;
    const int n_piece = out->n_tokens - (int)n_begin;
    bool      is_left = n_piece > 0;
    for (int i = 0; is_left && out->n < n; i++) {
        is_left = false;
        for (int f = 0; f < n_texts && out->n < n; f++) {
            if (texts[f].n / n_piece <= i) continue;
            int32_t *to = out->tokens + (size_t)out->n++ * (size_t)out->n_tokens;
            if (n_begin > 0) *to++ = begin;
            memcpy(to, texts[f].tokens + (size_t)i * (size_t)n_piece, (size_t)n_piece * sizeof *to);
            is_left = true;
        }
    }
    if (out->n == 0) cm_say("the texts are too short for a prompt of %d tokens", out->n_tokens);
    return out->n > 0;
}

static bool read_files(const struct front *front, const struct cli_list *files, int n, struct prompts *out)
{
    struct prompts texts[CLI_LIST_MAX] = {{0, 0, NULL}};
    bool           fine = true;
    for (int i = 0; fine && i < files->n; i++) fine = read_tokens(front, files->values[i], &texts[i]);
    fine = fine && cut(front, texts, files->n, n, out);
    for (int i = 0; i < files->n; i++) free(texts[i].tokens);
    return fine;
}

/* ---- of the model ---- */

static bool write_prompt(const struct front *front, calmoe_session *session, int i, struct prompts *out)
{
    int32_t *to = out->tokens + (size_t)i * (size_t)out->n_tokens;
    size_t   n_begin = 0;
    if (!begin_token(front, to, &n_begin) || !cm_front_succeeded(front, calmoe_session_rewind(session, 0)))
        return false;
    if (n_begin == 0) to[0] = 0; /* any token will do */
    for (int t = 1; t < out->n_tokens; t++) {
        const calmoe_chunk chunk = {session, &to[t - 1], 1, CALMOE_LOGITS_LAST};
        if (cm_interrupted() || !cm_front_succeeded(front, calmoe_engine_step(front->engine, &chunk, 1)) ||
            !cm_front_succeeded(front, calmoe_session_sample(session, &to[t])))
            return false;
    }
    return true;
}

static bool write_prompts(const struct front *front, int n, struct prompts *out)
{
    struct progress_bar    bar;
    calmoe_session        *session = NULL;
    calmoe_session_options options;
    calmoe_sampler_options sampler;
    calmoe_session_options_init(&options);
    calmoe_sampler_options_init(&sampler);
    sampler.temperature = 1.0f;
    options.sampler     = &sampler;
    options.context     = out->n_tokens;
    bool fine = cm_front_succeeded(front, calmoe_session_open(front->engine, &options, &session));
    cm_bar_begin(&bar, "prompts");
    for (; fine && out->n < n; out->n++) {
        (void)cm_bar_move(&bar, (double)out->n / n);
        fine = write_prompt(front, session, out->n, out);
    }
    cm_bar_end(&bar);
    calmoe_session_close(&session);
    return fine;
}

bool cm_prompts_open(const struct front *front, const struct cli_list *files, int n, int n_tokens,
                     struct prompts *out)
{
    *out        = (struct prompts){.n_tokens = n_tokens};
    out->tokens = calloc((size_t)n * (size_t)n_tokens, sizeof *out->tokens);
    if (out->tokens == NULL) {
        cm_say("no memory for %d prompts", n);
        return false;
    }
    return files->n > 0 ? read_files(front, files, n, out) : write_prompts(front, n, out);
}

void cm_prompts_close(struct prompts *prompts)
{
    free(prompts->tokens);
    *prompts = (struct prompts){0};
}
