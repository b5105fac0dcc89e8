/* bench/serve_bench.c - see serve_bench.h: runs several clients at the same time and reports what they saw. */
#include "bench/serve_bench.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROBLEM_BYTES = 400, WORD_BYTES = 12 };

struct sample { /* numbers that will be sorted */
    double *at;
    size_t  n, capacity;
};

struct client {
    const struct serve_run *run;
    int                     number;
    pthread_t               thread;
    struct sample           firsts, gaps, prompts;
    double                  n_tokens;
    int                     n_failed;
    char                    problem[PROBLEM_BYTES];
};

struct serve_run {
    const struct serve_url *url;
    const char             *model;
    int                     n_clients, n_prompt, n_answer, n_requests; /* n_requests: of each client */
    uint64_t                seed; /* so that no prompt begins as one before it */
};

struct serve_row {
    int    n_clients, n_answer, n_failed, n_done;
    double prompt_tokens;            /* median, as the server counts                    */
    double first, first_99;          /* seconds to the first piece                      */
    double between, between_99;      /* between pieces                                  */
    double tokens_per_s, requests_per_s; /* of all clients together                     */
};

static bool add(struct sample *sample, double value)
{
    if (sample->n == sample->capacity) {
        const size_t capacity = sample->capacity > 0 ? 2 * sample->capacity : 256;
        double      *larger = realloc(sample->at, capacity * sizeof *larger);
        if (larger == NULL) return false;
        sample->at       = larger;
        sample->capacity = capacity;
    }
    sample->at[sample->n++] = value;
    return true;
}

static bool add_all(struct sample *into, const struct sample *from)
{
    for (size_t i = 0; i < from->n; i++)
        if (!add(into, from->at[i])) return false;
    return true;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The value that a share of them is not above; NAN of none. */
static double quantile(struct sample *sample, double share)
{
    if (sample->n == 0) return NAN;
    qsort(sample->at, sample->n, sizeof *sample->at, compare);
    size_t i = (size_t)(share * (double)sample->n);
    if (i >= sample->n) i = sample->n - 1;
    return sample->at[i];
}

/* ---- clients ---- */

/* Common words of about one token each, in an order that the seed determines. */
static char *make_prompt(int n_words, uint64_t seed)
{
    static const char *const words[] = {"time", "water", "house", "line", "number", "people", "part", "work",
                                        "place", "sound", "light", "name", "world", "paper", "group", "car"};
    char    *text = malloc((size_t)n_words * WORD_BYTES + 1);
    size_t   n = 0;
    uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
    if (text == NULL) return NULL;
    text[0] = '\0';
    for (int i = 0; i < n_words; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        n += (size_t)snprintf(text + n, WORD_BYTES + 1, "%s%s", i > 0 ? " " : "", words[state >> 60]);
    }
    return text;
}

static void *run_client(void *user)
{
    struct client *const client = user;
    const struct serve_run *const run = client->run;
    struct serve_answer *const    answer = malloc(sizeof *answer);
    for (int i = 0; answer != NULL && i < run->n_requests && !cm_interrupted(); i++) {
        char *const prompt = make_prompt(run->n_prompt, run->seed + (uint64_t)(client->number * run->n_requests + i));
        bool        is_fine = prompt != NULL && cm_serve_request(run->url, run->model, prompt, run->n_answer, answer,
                                                                client->problem, sizeof client->problem);
        free(prompt);
        if (is_fine) {
            client->n_tokens += answer->n_tokens;
            is_fine = add(&client->firsts, answer->first) && add(&client->prompts, answer->n_prompt_tokens);
            for (int k = 0; is_fine && k < answer->n_gaps; k++) is_fine = add(&client->gaps, answer->gaps[k]);
        }
        client->n_failed += !is_fine;
    }
    free(answer);
    return NULL;
}

/* All clients start at the same time; each sends its next request when the one before is answered. */
static bool run_clients(const struct serve_run *run, struct client *clients, double *seconds)
{
    const double begin = cm_seconds();
    int          n = 0;
    for (; n < run->n_clients; n++) {
        clients[n] = (struct client){.run = run, .number = n};
        if (pthread_create(&clients[n].thread, NULL, run_client, &clients[n]) != 0) break;
    }
    for (int i = 0; i < n; i++) (void)pthread_join(clients[i].thread, NULL);
    *seconds = cm_seconds() - begin;
    if (n < run->n_clients) cm_say("the system refused a thread for client %d of %d", n + 1, run->n_clients);
    return n == run->n_clients;
}

static bool sum_up(const struct serve_run *run, struct client *clients, double seconds, struct serve_row *row)
{
    struct sample firsts = {.n = 0}, gaps = {.n = 0}, prompts = {.n = 0};
    double        n_tokens = 0;
    bool          is_fine = true;
    const char   *problem = "";
    *row = (struct serve_row){.n_clients = run->n_clients, .n_answer = run->n_answer};
    for (int i = 0; i < run->n_clients; i++) {
        const struct client *const client = &clients[i];
        is_fine = is_fine && add_all(&firsts, &client->firsts) && add_all(&gaps, &client->gaps) &&
                  add_all(&prompts, &client->prompts);
        n_tokens += client->n_tokens;
        row->n_failed += client->n_failed;
        if (client->n_failed > 0) problem = client->problem;
    }
    row->n_done         = (int)firsts.n;
    row->prompt_tokens  = quantile(&prompts, 0.5);
    row->first          = quantile(&firsts, 0.5);
    row->first_99       = quantile(&firsts, 0.99);
    row->between        = quantile(&gaps, 0.5);
    row->between_99     = quantile(&gaps, 0.99);
    row->tokens_per_s   = n_tokens / seconds;
    row->requests_per_s = row->n_done / seconds;
    free(firsts.at);
    free(gaps.at);
    free(prompts.at);
    if (row->n_failed > 0) cm_say("%d requests of %d failed: %s", row->n_failed, row->n_failed + row->n_done, problem);
    return is_fine && row->n_done > 0;
}

static bool measure(const struct serve_run *run, struct serve_row *row)
{
    struct client *const clients = calloc((size_t)run->n_clients, sizeof *clients);
    double               seconds = 0;
    bool is_fine = clients != NULL && run_clients(run, clients, &seconds) && sum_up(run, clients, seconds, row);
    for (int i = 0; clients != NULL && i < run->n_clients; i++) {
        free(clients[i].firsts.at);
        free(clients[i].gaps.at);
        free(clients[i].prompts.at);
    }
    free(clients);
    return is_fine;
}

/* ---- reports ---- */

static bool print_md(const struct serve_row *row, int number)
{
    if (number == 0 &&
        !cm_bench_print("| clients | prompt | answer | requests | first token ms | 99 %% | between tokens ms | 99 %% | "
                        "tokens/s | requests/s |\n|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"))
        return false;
    return cm_bench_print("| %d | %.0f | %d | %d | %.1f | %.1f | %.2f | %.2f | %.1f | %.2f |\n", row->n_clients,
                          row->prompt_tokens, row->n_answer, row->n_done, row->first * 1e3, row->first_99 * 1e3,
                          row->between * 1e3, row->between_99 * 1e3, row->tokens_per_s, row->requests_per_s);
}

static bool print_csv(const struct serve_row *row, int number)
{
    if (number == 0 && !cm_bench_print("clients,prompt_tokens,answer_tokens,requests,failed,first_ms,first_99_ms,"
                                       "between_ms,between_99_ms,tokens_per_s,requests_per_s\n"))
        return false;
    return cm_bench_print("%d,%.0f,%d,%d,%d,%.3f,%.3f,%.3f,%.3f,%.3f,%.4f\n", row->n_clients, row->prompt_tokens,
                          row->n_answer, row->n_done, row->n_failed, row->first * 1e3, row->first_99 * 1e3,
                          row->between * 1e3, row->between_99 * 1e3, row->tokens_per_s, row->requests_per_s);
}

/* NAN becomes null. */
static void add_real(struct json_output *json, const char *name, double value)
{
    cm_json_real(json, json->root, name, value);
}

static bool print_json(const struct serve_row *row, int number)
{
    struct json_output json;
    (void)number;
    cm_json_open_object(&json);
    cm_json_integer(&json, json.root, "clients", (uint64_t)row->n_clients);
    add_real(&json, "prompt_tokens", row->prompt_tokens);
    cm_json_integer(&json, json.root, "answer_tokens", (uint64_t)row->n_answer);
    cm_json_integer(&json, json.root, "requests", (uint64_t)row->n_done);
    cm_json_integer(&json, json.root, "failed", (uint64_t)row->n_failed);
    add_real(&json, "first_ms", row->first * 1e3);
    add_real(&json, "first_99_ms", row->first_99 * 1e3);
    add_real(&json, "between_ms", row->between * 1e3);
    add_real(&json, "between_99_ms", row->between_99 * 1e3);
    add_real(&json, "tokens_per_s", row->tokens_per_s);
    add_real(&json, "requests_per_s", row->requests_per_s);
    const bool is_fine = cm_json_write(&json, true);
    cm_json_close(&json);
    return is_fine;
}

static const struct serve_format {
    const char *name;
    bool      (*row)(const struct serve_row *row, int number);
} formats[] = {{"md", print_md}, {"csv", print_csv}, {"jsonl", print_json}, {"json", print_json}};

bool cm_serve_measure(const struct serve_url *url, const struct bench_plan *plan, const char *format)
{
    char             model[256];
    struct serve_run run = {.url = url, .model = model, .n_requests = plan->n_repeats,
                            .seed = (uint64_t)(cm_seconds() * 1e6)};
    struct serve_row row;
    int              number = 0;
    size_t           form = 0;
    while (strcmp(formats[form].name, format) != 0) form++; /* the command line was checked */
    if (!cm_serve_model(url, model, sizeof model)) return false;
    for (int i = 0; i < plan->batches.n * plan->prompts.n * plan->answers.n && !cm_interrupted(); i++) {
        run.n_answer  = plan->answers.values[i % plan->answers.n];
        run.n_prompt  = plan->prompts.values[i / plan->answers.n % plan->prompts.n];
        run.n_clients = plan->batches.values[i / plan->answers.n / plan->prompts.n];
        run.seed += (uint64_t)(run.n_clients * run.n_requests);
        if (!measure(&run, &row) || !formats[form].row(&row, number++)) return false;
    }
    return true;
}
