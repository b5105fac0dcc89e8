/* vote.c - self-consistency: several chains of thought are sampled from one prompt, each ends with one of the allowed
 * answers, and the majority wins. The share of chains that agree says how certain the model is.
 *
 * The prompt is read once, and the chains are forks of it, which run in one batch. A chain's vote is not sampled: for
 * each allowed answer, its probability after the chain is computed, and the likeliest answer is the vote.
 *
 *     vote [-m MODEL.gguf] [-c] [-s] [-n CHAINS] [-t TOKENS] [-a ANSWER|ANSWER…] QUESTION
 *
 * Without -m, the model that comes with the library is used. -c: the question is put in the model's chat format, else
 * as plain text. -s: at the end the same chains are made by separate runs, to compare the speed. The default answers
 * are yes|no. */
#include <calmoe/calmoe.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_CHAINS = 64, MAX_ANSWERS = 16, MAX_TOKENS = 8192, STEP = 512 };

struct vote {
    calmoe_context *context;
    calmoe_model   *model;
    calmoe_engine  *engine;
    int             n_chains, n_tokens; /* n_tokens: most tokens of a chain                  */
    int32_t         prompt[MAX_TOKENS];
    size_t          n_prompt;
    const char     *answers[MAX_ANSWERS];
    size_t          answer_bytes[MAX_ANSWERS];
    int             n_answers;
    calmoe_session *chains[MAX_CHAINS];
};

static double now(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static calmoe_status tokenize(struct vote *v, const char *text, size_t n_bytes, unsigned flags, int32_t *tokens,
                              size_t capacity, size_t *n_tokens)
{
    return calmoe_tokenize(v->context, v->model, text, n_bytes, flags, tokens, capacity, n_tokens);
}

/* The question as the prompt's tokens. */
static calmoe_status ask(struct vote *v, const char *question, int is_chat)
{
    char            text[MAX_TOKENS];
    calmoe_session *session = NULL;
    if (!is_chat) {
        const int n = snprintf(text, sizeof text, "Question: %s\nLet us think step by step.", question);
        if (n >= (int)sizeof text) return CALMOE_FULL;
        return tokenize(v, text, (size_t)n, CALMOE_TOKENIZE_BOS, v->prompt, MAX_TOKENS, &v->n_prompt);
    }
    calmoe_status status = calmoe_session_open(v->engine, NULL, &session);
    if (status == CALMOE_OK) status = calmoe_session_feed_chat(session, NULL, question);
    if (status == CALMOE_OK) v->n_prompt = (size_t)calmoe_session_n_tokens(session);
    if (status == CALMOE_OK && v->n_prompt > MAX_TOKENS) status = CALMOE_FULL;
    if (status == CALMOE_OK) memcpy(v->prompt, calmoe_session_tokens(session), v->n_prompt * sizeof *v->prompt);
    calmoe_session_close(&session);
    return status;
}

/* Reads tokens without their logits. */
static calmoe_status read_tokens(calmoe_engine *engine, calmoe_session *session, const int32_t *tokens, size_t n)
{
    calmoe_status status = CALMOE_OK;
    for (size_t i = 0; i < n && status == CALMOE_OK; i += STEP) {
        const calmoe_chunk chunk = { session, tokens + i, (int)(n - i < STEP ? n - i : STEP), CALMOE_LOGITS_NONE };
        status = calmoe_engine_step(engine, &chunk, 1);
    }
    return status;
}

/* Opens a session that has read the prompt except for its last token, which is pending. */
static calmoe_status open_prompt(struct vote *v, calmoe_session **session)
{
    calmoe_session_options options;
    calmoe_session_options_init(&options);
    options.max_new_tokens = v->n_tokens;
    options.context = (int)v->n_prompt + v->n_tokens + 64;
    calmoe_status status = calmoe_session_open(v->engine, &options, session);
    if (status == CALMOE_OK) status = read_tokens(v->engine, *session, v->prompt, v->n_prompt - 1);
    if (status == CALMOE_OK) status = calmoe_session_feed_tokens(*session, v->prompt + v->n_prompt - 1, 1);
    return status;
}

/* Chain i has its own seed, and draws the same tokens whatever else is in the batch. */
static calmoe_status seed(calmoe_session *chain, int i)
{
    calmoe_sampler_options sampler;
    calmoe_sampler_options_init(&sampler);
    sampler.temperature = 0.8f;
    sampler.top_p = 0.95f;
    sampler.seed = (uint64_t)i + 1;
    return calmoe_session_set_sampler(chain, &sampler);
}

/* Runs all sessions until they have nothing left to do; *n_tokens: how many tokens they wrote. */
static calmoe_status run(struct vote *v, int *n_tokens)
{
    calmoe_event  events[MAX_CHAINS];
    calmoe_status status;
    int           n_events;
    while ((status = calmoe_engine_next(v->engine, events, MAX_CHAINS, &n_events)) == CALMOE_OK)
        for (int i = 0; i < n_events; i++) *n_tokens += events[i].status == CALMOE_OK;
    return status == CALMOE_END ? CALMOE_OK : status;
}

static void close_chains(struct vote *v)
{
    for (int i = 0; i < MAX_CHAINS; i++) calmoe_session_close(&v->chains[i]);
}

/* Makes n chains as forks of one prompt, in one batch. */
static calmoe_status make_chains(struct vote *v, int n, int *n_tokens)
{
    calmoe_status status = open_prompt(v, &v->chains[0]);
    for (int i = 1; i < n && status == CALMOE_OK; i++) status = calmoe_session_fork(v->chains[0], &v->chains[i]);
    for (int i = 0; i < n && status == CALMOE_OK; i++) status = seed(v->chains[i], i);
    return status == CALMOE_OK ? run(v, n_tokens) : status;
}

/* Makes the same chains one by one: the prompt is read n times, and weights are read for one token in each step. */
static calmoe_status make_chains_apart(struct vote *v, int n, int *n_tokens)
{
    calmoe_status status = CALMOE_OK;
    for (int i = 0; i < n && status == CALMOE_OK; i++) {
        if ((status = open_prompt(v, &v->chains[i])) == CALMOE_OK) status = seed(v->chains[i], i);
        if (status == CALMOE_OK) status = run(v, n_tokens);
    }
    return status;
}

/* The answer that is likeliest after "Answer:", by the mean over its tokens. Each answer is tried on a fork of the
 * chain. */
static calmoe_status cast_vote(struct vote *v, calmoe_session *chain, int *vote)
{
    double best = 0.0;
    *vote = -1;
    for (int a = 0; a < v->n_answers; a++) {
        char            text[256];
        int32_t         tokens[64], sampled;
        size_t          n_tail, n_all;
        double          sum = 0.0;
        calmoe_session *fork = NULL;
        const int n = snprintf(text, sizeof text, "\nAnswer: %.*s", (int)v->answer_bytes[a], v->answers[a]);
        if (n < 0 || (size_t)n >= sizeof text) return CALMOE_INVALID_ARGUMENT;
        calmoe_status status = tokenize(v, text, 8, 0, tokens, 64, &n_tail);
        if (status == CALMOE_OK) status = tokenize(v, text, (size_t)n, 0, tokens, 64, &n_all);
        if (status == CALMOE_OK && n_all <= n_tail) status = CALMOE_INVALID_ARGUMENT;
        if (status == CALMOE_OK) status = calmoe_session_fork(chain, &fork);
        if (status == CALMOE_OK) status = calmoe_session_keep_logprobs(fork, 0);
        const int begin = calmoe_session_n_tokens(fork);
        if (status == CALMOE_OK) status = calmoe_session_feed_tokens(fork, tokens, n_all);
        if (status == CALMOE_OK) status = calmoe_session_next(fork, &sampled); /* reads all of it */
        if (status == CALMOE_END) status = CALMOE_OK;
        for (size_t i = n_tail; i < n_all && status == CALMOE_OK; i++) {
            float logprob;
            status = calmoe_session_kept_logprobs(fork, begin + (int)i, &logprob, 0, NULL, NULL);
            sum += (double)logprob;
        }
        calmoe_session_close(&fork);
        if (status != CALMOE_OK) return status;
        const double mean = sum / (double)(n_all - n_tail);
        if (*vote < 0 || mean > best) *vote = a, best = mean;
    }
    return CALMOE_OK;
}

static calmoe_status decide(struct vote *v)
{
    int           counts[MAX_ANSWERS] = { 0 }, n_tokens = 0, winner = 0;
    calmoe_status status = make_chains(v, v->n_chains, &n_tokens);
    for (int i = 0; i < v->n_chains && status == CALMOE_OK; i++) {
        int vote;
        if ((status = cast_vote(v, v->chains[i], &vote)) == CALMOE_OK) counts[vote]++;
    }
    close_chains(v);
    if (status != CALMOE_OK) return status;
    for (int a = 0; a < v->n_answers; a++) {
        printf("%-20.*s %d of %d\n", (int)v->answer_bytes[a], v->answers[a], counts[a], v->n_chains);
        if (counts[a] > counts[winner]) winner = a;
    }
    printf("answer: %.*s, agreement %.2f\n", (int)v->answer_bytes[winner], v->answers[winner],
           (double)counts[winner] / v->n_chains);
    return CALMOE_OK;
}

static calmoe_status compare_speed(struct vote *v)
{
    calmoe_status status = CALMOE_OK;
    fprintf(stderr, "chains  tokens/s in a batch  apart  ratio\n");
    for (int n = 1; n <= v->n_chains && status == CALMOE_OK; n *= 2) {
        double speed[2] = { 0.0, 0.0 };
        for (int is_apart = 0; is_apart < 2 && status == CALMOE_OK; is_apart++) {
            int          n_tokens = 0;
            const double began = now();
            status = is_apart ? make_chains_apart(v, n, &n_tokens) : make_chains(v, n, &n_tokens);
            speed[is_apart] = n_tokens / (now() - began);
            close_chains(v);
        }
        if (status == CALMOE_OK)
            fprintf(stderr, "%6d  %19.1f %6.1f %6.2f\n", n, speed[0], speed[1], speed[0] / speed[1]);
    }
    return status;
}

static void split_answers(struct vote *v, const char *list)
{
    for (v->n_answers = 0; *list != '\0' && v->n_answers < MAX_ANSWERS; v->n_answers++) {
        v->answers[v->n_answers] = list;
        v->answer_bytes[v->n_answers] = strcspn(list, "|");
        list += v->answer_bytes[v->n_answers];
        list += *list == '|';
    }
}

int main(int argc, char **argv)
{
    static struct vote v = { .n_chains = 8, .n_tokens = 48 };
    const char        *path = NULL, *question = NULL, *answers = "yes|no";
    int                is_chat = 0, is_compared = 0;
    calmoe_status      status;

    for (int i = 1; i < argc; i++) {
        if (i + 1 < argc && strcmp(argv[i], "-m") == 0) path = argv[++i];
        else if (strcmp(argv[i], "-c") == 0) is_chat = 1;
        else if (strcmp(argv[i], "-s") == 0) is_compared = 1;
        else if (i + 1 < argc && strcmp(argv[i], "-n") == 0) v.n_chains = (int)strtol(argv[++i], NULL, 10);
        else if (i + 1 < argc && strcmp(argv[i], "-t") == 0) v.n_tokens = (int)strtol(argv[++i], NULL, 10);
        else if (i + 1 < argc && strcmp(argv[i], "-a") == 0) answers = argv[++i];
        else question = argv[i];
    }
    split_answers(&v, answers);
    if (!question || v.n_chains < 1 || v.n_chains > MAX_CHAINS || v.n_tokens < 1) {
        fprintf(stderr, "usage: vote [-m MODEL.gguf] [-c] [-s] [-n CHAINS, 1 to %d] [-t TOKENS] [-a ANSWER|ANSWER...] "
                        "QUESTION\n", MAX_CHAINS);
        return 2;
    }

    if ((status = calmoe_context_open(NULL, &v.context)) == CALMOE_OK &&
        (status = calmoe_model_open(v.context, path, NULL, &v.model)) == CALMOE_OK &&
        (status = calmoe_engine_open(v.model, NULL, &v.engine)) == CALMOE_OK &&
        (status = ask(&v, question, is_chat)) == CALMOE_OK && (status = decide(&v)) == CALMOE_OK && is_compared)
        status = compare_speed(&v);
    if (status != CALMOE_OK)
        fprintf(stderr, "vote: %s: %s\n", calmoe_status_text(status), calmoe_context_message(v.context));

    close_chains(&v);
    calmoe_engine_close(&v.engine);
    calmoe_model_close(&v.model);
    calmoe_context_close(&v.context);
    return status == CALMOE_OK ? 0 : 1;
}
