/* bench/serve_bench.h - `calmoe-bench --serve URL`: measures how long clients of a server wait, and how many tokens a
 * second it generates for all of them. It works with every server that streams OpenAI's completions. */
#ifndef BENCH_SERVE_BENCH_H
#define BENCH_SERVE_BENCH_H

#include "bench/bench.h"

struct serve_url { /* http://HOST[:PORT][/PREFIX] */
    char host[256], port[16], prefix[512];
};
/* False with a sentence. */
bool cm_serve_url_read(const char *command, const char *text, struct serve_url *out);

/* ---- one request ---- */

struct serve_answer {
    double first;         /* seconds from the request to the first piece of text               */
    double whole;         /* seconds to the last piece                                         */
    int    n_gaps;
    double gaps[BENCH_MAX_BATCH]; /* seconds between pieces; only the first ones of long answers */
    int    n_prompt_tokens, n_tokens; /* as counted by the server; if it does not count, the number of pieces */
};
/* The name of the server's first model; "" if it gives none. False with a sentence: there is no server. */
bool cm_serve_model(const struct serve_url *url, char *name, size_t n_name);
/* Requests one streamed continuation, n_tokens long, of a prompt that consists of letters and blanks. False: the server
 * did not answer properly; problem has its message, or the reason. */
bool cm_serve_request(const struct serve_url *url, const char *model, const char *prompt, int n_tokens,
                      struct serve_answer *answer, char *problem, size_t n_problem);

/* ---- many requests ---- */

/* Measures every combination of the plan's clients (batches), prompts and answers, and prints a row for each in this
 * form of output ("md", "csv", "json", "jsonl"). False with a sentence. */
bool cm_serve_measure(const struct serve_url *url, const struct bench_plan *plan, const char *format);

#endif
