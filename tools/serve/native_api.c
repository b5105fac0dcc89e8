/* tools/serve/native_api.c - POST /completion, the form of llama.cpp's server. */
#include <stdlib.h>
#include <string.h>

#include "tools/serve/answering.h"
#include "tools/serve/constraints.h"
#include "tools/serve/contexts.h"
#include "tools/serve/prompts.h"

static void write_probabilities(struct json_writer *writer, struct answering *answering)
{
    if (answering->logprobs.bytes.n == 0 || !cm_bytes_append(&answering->logprobs.bytes, "", 1)) return;
    cm_write_array(writer, "completion_probabilities");
    cm_write_json(writer, NULL, answering->logprobs.bytes.at);
    cm_write_end_array(writer);
    answering->logprobs.bytes.n = 0;
}

static void piece(struct answering *answering, const calmoe_answer_event *event)
{
    struct json_writer *const out = &answering->out;
    cm_write_raw(out, "data: ");
    cm_write_object(out, NULL);
    cm_write_integer(out, "index", 0);
    cm_write_bytes(out, "content", event->text, event->n_bytes);
    cm_write_bool(out, "stop", false);
    cm_write_integer(out, "id_slot", answering->job->figures.slot);
    write_probabilities(out, answering);
    if (answering->tells_timings) cm_write_timings(out, answering);
    cm_write_own(out, answering, false);
    cm_write_end_object(out);
    cm_write_raw(out, "\n\n");
}

static void progress(struct answering *answering, int n_read)
{
    struct json_writer *const out = &answering->out;
    cm_write_raw(out, "data: ");
    cm_write_object(out, NULL);
    cm_write_integer(out, "index", 0);
    cm_write_text(out, "content", "");
    cm_write_bool(out, "stop", false);
    cm_write_progress(out, answering, n_read);
    cm_write_end_object(out);
    cm_write_raw(out, "\n\n");
}

static void write_end(struct json_writer *writer, struct answering *answering, const char *text, size_t n)
{
    static const char *const    types[] = {[JOB_ENDED] = "eos", [JOB_STOPPED] = "word", [JOB_LENGTH] = "limit"};
    const struct job *const     job = answering->job;
    const calmoe_sampler_options *sampler = &job->want.sampler;
    cm_write_object(writer, NULL);
    cm_write_integer(writer, "index", 0);
    cm_write_bytes(writer, "content", text, n);
    cm_write_bool(writer, "stop", true);
    cm_write_integer(writer, "id_slot", job->figures.slot);
    cm_write_text(writer, "model", answering->model);
    cm_write_integer(writer, "tokens_predicted", job->figures.n_generated);
    cm_write_integer(writer, "tokens_evaluated", job->want.n_tokens);
    cm_write_integer(writer, "tokens_cached", job->figures.n_cached);
    cm_write_bool(writer, "truncated", false);
    cm_write_text(writer, "stop_type", types[job->end]);
    cm_write_text(writer, "stopping_word", cm_job_stop_text(job) != NULL ? cm_job_stop_text(job) : "");
    cm_write_object(writer, "generation_settings");
    cm_write_integer(writer, "n_predict", job->want.max_tokens);
    cm_write_real(writer, "temperature", sampler->temperature);
    cm_write_integer(writer, "top_k", sampler->top_k);
    cm_write_real(writer, "top_p", sampler->top_p);
    cm_write_real(writer, "min_p", sampler->min_p);
    cm_write_real(writer, "repeat_penalty", sampler->repeat_penalty);
    cm_write_end_object(writer);
    write_probabilities(writer, answering);
    cm_write_timings(writer, answering);
    cm_write_own(writer, answering, true);
    cm_write_end_object(writer);
}

static void finish(struct answering *answering)
{
    cm_write_raw(&answering->out, "data: ");
    write_end(&answering->out, answering, "", 0);
    cm_write_raw(&answering->out, "\n\n");
}

static void whole(struct answering *answering, struct json_writer *writer)
{
    write_end(writer, answering, answering->text.at, answering->text.n);
}

static const struct answer_form form = {.piece = piece, .progress = progress, .finish = finish, .whole = whole};

static bool read_native(struct answering *answering, const struct sent_value *body, struct refusal *refusal)
{
    static const struct generation_names names = {.max_tokens = {"n_predict", "max_tokens"}, .stop = "stop"};
    struct server *const      server = answering->server;
    struct job_request *const want = &answering->job->want;
    struct prompt_list        prompts = {.n = 0};
    int                       n_probs = 0;
    bool is_fine = cm_read_stream(answering, body, refusal) &&
                   cm_read_generation_request(answering, &names, body, refusal) &&
                   cm_constrain_format(server, body, false, answering->job, refusal) &&
                   cm_read_int(body, "n_probs", 0, JOB_MAX_TOP, &n_probs, refusal) &&
                   cm_read_prompts(body, &prompts, 1, refusal) &&
                   cm_prompt_tokens(server, &prompts.at[0], answering->own.context[0] == '\0', &want->tokens,
                                    &want->n_tokens, refusal) &&
                   cm_prepend_context(answering, refusal);
    want->n_top = n_probs > 0 ? n_probs : JOB_NO_LOGPROBS;
    cm_prompts_close(&prompts);
    return is_fine;
}

void cm_serve_completion(struct server *server, struct http_exchange *exchange, const struct http_request *request)
{
    struct refusal           refusal = {0};
    struct answering *const  answering = cm_answering_open(server, exchange, &form, "", &refusal);
    struct sent_value *const body = answering != NULL ? cm_sent_read(request->body, request->n_body, &refusal) : NULL;
    const bool               is_fine = body != NULL && read_native(answering, body, &refusal);
    cm_sent_free(body);
    if (is_fine) cm_answer(answering);
    else if (answering != NULL) cm_answer_refusal(answering, &refusal);
    else cm_reply_refusal(exchange, &refusal);
}
