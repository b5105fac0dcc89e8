/* tools/serve/completions_api.c - plain continuations: OpenAI's completions, also of several prompts at once and with
 * the prompt's log-probabilities, as evaluations want them. */
#include <stdlib.h>
#include <string.h>

#include "tools/serve/answering.h"
#include "tools/serve/constraints.h"
#include "tools/serve/contexts.h"
#include "tools/serve/prompts.h"

enum { MAX_PROMPTS = 64 };

/* One choice. The lists of log-probabilities are elements with commas between them. */
struct completion {
    int                index;
    bool               echo;
    char              *prompt;   /* its text, if it is echoed */
    size_t             n_prompt;
    size_t             offset;   /* of the next token in the text */
    struct json_writer tokens, logprobs, tops, offsets;
};

static void close_more(struct answering *answering)
{
    struct completion *const completion = answering->more;
    if (completion == NULL) return;
    cm_writer_close(&completion->tokens);
    cm_writer_close(&completion->logprobs);
    cm_writer_close(&completion->tops);
    cm_writer_close(&completion->offsets);
    free(completion->prompt);
    free(completion);
}

/* ---- log-probabilities in the old form ---- */

static void write_tops(struct json_writer *writer, const struct answering *answering, const struct job_record *record)
{
    if (record->token.n_top == 0) {
        cm_write_null(writer, NULL);
        return;
    }
    cm_write_object(writer, NULL);
    for (int i = 0; i < record->token.n_top; i++) {
        struct job_top top;
        size_t         n = 0;
        char           name[256];
        memcpy(&top, record->top + (size_t)i * sizeof top, sizeof top);
        const char *bytes = calmoe_token_bytes(cm_server_model(answering->server), top.token, 1, &n);
        if (n >= sizeof name) n = sizeof name - 1;
        if (n > 0) memcpy(name, bytes, n);
        name[n] = '\0';
        cm_write_real(writer, name, top.logprob);
    }
    cm_write_end_object(writer);
}

static void see_token(struct answering *answering, const struct job_record *record)
{
    struct completion *const completion = answering->more;
    size_t                   n = 0;
    const char              *bytes = "";
    if (record->token.token < 0 || answering->job->want.n_top == JOB_NO_LOGPROBS) return;
    bytes = calmoe_token_bytes(cm_server_model(answering->server), record->token.token, 1, &n);
    cm_write_bytes(&completion->tokens, NULL, bytes, n);
    if (record->token.has_logprob) cm_write_real(&completion->logprobs, NULL, record->token.logprob);
    else cm_write_null(&completion->logprobs, NULL);
    write_tops(&completion->tops, answering, record);
    cm_write_integer(&completion->offsets, NULL, (int64_t)completion->offset);
    completion->offset += n;
}

static void write_list(struct json_writer *writer, const char *name, struct json_writer *from)
{
    cm_write_array(writer, name);
    if (from->bytes.n > 0 && cm_bytes_append(&from->bytes, "", 1)) cm_write_json(writer, NULL, from->bytes.at);
    cm_write_end_array(writer);
    from->bytes.n = 0;
}

static void write_logprobs(struct json_writer *writer, struct answering *answering)
{
    struct completion *const completion = answering->more;
    if (answering->job->want.n_top == JOB_NO_LOGPROBS || completion->tokens.bytes.n == 0) {
        cm_write_null(writer, "logprobs");
        return;
    }
    cm_write_object(writer, "logprobs");
    write_list(writer, "tokens", &completion->tokens);
    write_list(writer, "token_logprobs", &completion->logprobs);
    write_list(writer, "top_logprobs", &completion->tops);
    write_list(writer, "text_offset", &completion->offsets);
    cm_write_end_object(writer);
}

/* ---- answers ---- */

static const char object[] = "text_completion"; /* also the type of a stream's pieces */

static void write_choice(struct json_writer *writer, struct answering *answering, const char *text, size_t n,
                         const char *finish_reason)
{
    const struct completion *const completion = answering->more;
    cm_write_object(writer, NULL);
    cm_write_bytes(writer, "text", text, n);
    cm_write_integer(writer, "index", completion->index);
    write_logprobs(writer, answering);
    if (finish_reason != NULL) cm_write_text(writer, "finish_reason", finish_reason);
    else cm_write_null(writer, "finish_reason");
    cm_write_end_object(writer);
}

static void write_chunk(struct answering *answering, const char *text, size_t n, const char *finish_reason)
{
    struct json_writer *const out = &answering->out;
    cm_write_raw(out, "data: ");
    cm_write_head(out, answering, object);
    write_choice(out, answering, text, n, finish_reason);
    cm_write_end_array(out);
    if (finish_reason != NULL || answering->tells_timings) cm_write_timings(out, answering);
    cm_write_own(out, answering, finish_reason != NULL);
    cm_write_end_object(out);
    cm_write_raw(out, "\n\n");
}

static void begin(struct answering *answering)
{
    const struct completion *const completion = answering->more;
    if (completion->echo) write_chunk(answering, completion->prompt, completion->n_prompt, NULL);
}

static void piece(struct answering *answering, const calmoe_answer_event *event)
{
    write_chunk(answering, event->text, event->n_bytes, NULL);
}

static void finish(struct answering *answering)
{
    write_chunk(answering, "", 0, cm_finish_reason(answering));
    cm_write_stream_end(answering, object);
}

static void write_whole_choice(struct json_writer *writer, struct answering *answering)
{
    const struct completion *const completion = answering->more;
    struct bytes                   text = {0};
    if (!cm_bytes_append(&text, completion->prompt, completion->echo ? completion->n_prompt : 0) ||
        !cm_bytes_append(&text, answering->text.at, answering->text.n))
        writer->failed = true;
    write_choice(writer, answering, text.at, text.n, cm_finish_reason(answering));
    cm_bytes_close(&text);
}

/* Answers all prompts. */
static void write_sums(struct json_writer *writer, struct answering *const *all, size_t n)
{
    int n_prompt = 0, n_generated = 0, n_cached = 0;
    for (size_t i = 0; i < n; i++) {
        n_prompt += all[i]->job->want.n_tokens;
        n_generated += all[i]->job->figures.n_generated;
        n_cached += all[i]->job->figures.n_cached;
    }
    cm_write_object(writer, "usage");
    cm_write_integer(writer, "prompt_tokens", n_prompt);
    cm_write_integer(writer, "completion_tokens", n_generated);
    cm_write_integer(writer, "total_tokens", n_prompt + n_generated);
    cm_write_object(writer, "prompt_tokens_details");
    cm_write_integer(writer, "cached_tokens", n_cached);
    cm_write_end_object(writer);
    cm_write_end_object(writer);
}

static const struct answer_form form = {.begin = begin, .piece = piece, .finish = finish, .token = see_token,
                                        .close = close_more};

/* ---- requests ---- */

static bool read_completion(struct answering *answering, const struct sent_value *body, const struct prompt *prompt,
                            struct refusal *refusal)
{
    static const struct generation_names names = {.max_tokens = {"max_tokens", "max_completion_tokens", "n_predict"},
                                                  .stop = "stop"};
    struct completion *const    completion = calloc(1, sizeof *completion);
    struct job_request *const   want = &answering->job->want;
    if (completion == NULL) return cm_refuse_memory(refusal);
    answering->more = completion;
    want->max_tokens = 16; /* OpenAI's default of this endpoint */
    if (!cm_read_generation_request(answering, &names, body, refusal) ||
        !cm_constrain_format(answering->server, body, false, answering->job, refusal) ||
        !cm_read_int(body, "logprobs", 0, JOB_MAX_TOP, &want->n_top, refusal) ||
        !cm_read_bool(body, "echo", &completion->echo, refusal) ||
        !cm_prompt_tokens(answering->server, prompt, answering->own.context[0] == '\0', &want->tokens,
                          &want->n_tokens, refusal) ||
        !cm_prepend_context(answering, refusal))
        return false;
    if (completion->echo && answering->own.context[0] != '\0')
        return cm_refuse(refusal, 400, "echo", "'echo' wants no 'context': its text is not told");
    want->echo_logprobs = completion->echo && want->n_top != JOB_NO_LOGPROBS;
    return !completion->echo || cm_prompt_text(answering->server, prompt, &completion->prompt, &completion->n_prompt,
                                               refusal);
}

/* All jobs are submitted before the first is waited for, so that they share steps. */
static void answer_all(struct answering *const *all, size_t n, struct http_exchange *exchange, struct refusal *refusal)
{
    struct json_writer writer = {.failed = false};
    bool               is_fine = true;
    for (size_t i = 0; is_fine && i < n; i++)
        is_fine = cm_service_submit(all[i]->server->service, all[i]->job, refusal);
    for (size_t i = 0; is_fine && i < n; i++) is_fine = cm_answering_wait(all[i], refusal);
    if (!is_fine) {
        cm_reply_refusal(exchange, refusal);
        return;
    }
    cm_write_head(&writer, all[0], object);
    for (size_t i = 0; i < n; i++) write_whole_choice(&writer, all[i]);
    cm_write_end_array(&writer);
    write_sums(&writer, all, n);
    if (n == 1) cm_write_timings(&writer, all[0]);
    if (n == 1) cm_write_own(&writer, all[0], true);
    cm_write_end_object(&writer);
    cm_reply(exchange, 200, &writer);
}

static bool read_all(struct server *server, struct http_exchange *exchange, const struct sent_value *body,
                     struct answering **all, size_t *n, struct refusal *refusal)
{
    struct prompt_list prompts = {.n = 0};
    bool is_fine = !cm_refuses_suffix(body, refusal) && cm_read_prompts(body, &prompts, MAX_PROMPTS, refusal);
    for (size_t i = 0; is_fine && i < prompts.n; i++) {
        all[i] = cm_answering_open(server, exchange, &form, "cmpl-", refusal);
        is_fine = all[i] != NULL;
        *n += is_fine;
        is_fine = is_fine && cm_read_stream(all[i], body, refusal) &&
                  read_completion(all[i], body, &prompts.at[i], refusal);
        if (is_fine) ((struct completion *)all[i]->more)->index = (int)i;
    }
    cm_prompts_close(&prompts);
    if (is_fine && *n > 1 && all[0]->is_stream)
        return cm_refuse(refusal, 400, "prompt", "a stream is of one 'prompt', found %zu", *n);
    return is_fine;
}

void cm_serve_completions(struct server *server, struct http_exchange *exchange, const struct http_request *request)
{
    struct refusal           refusal = {0};
    struct answering        *all[MAX_PROMPTS];
    size_t                   n = 0;
    struct sent_value *const body = cm_sent_read(request->body, request->n_body, &refusal);
    const bool is_fine = body != NULL && read_all(server, exchange, body, all, &n, &refusal);
    cm_sent_free(body);
    if (is_fine && all[0]->is_stream) {
        cm_answer(all[0]);
        return;
    }
    if (is_fine) answer_all(all, n, exchange, &refusal);
    else cm_reply_refusal(exchange, &refusal);
    for (size_t i = 0; i < n; i++) cm_answering_close(all[i]);
}
