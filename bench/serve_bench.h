/* bench/serve_bench.h - `calmoe-bench --serve URL`: how long clients of a server wait, and how much it makes for all of
 * them. Works on any server that speaks OpenAI's completions, by what it streams. */
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
    double whole;         /* to the last                                                       */
    int    n_gaps;
    double gaps[BENCH_MAX_BATCH]; /* between pieces; of longer answers the first ones           */
    int    n_prompt_tokens, n_tokens; /* as the server counts them; the pieces where it does not */
};
/* The name of the server's first model; "" where it tells none. False with a sentence: there is no server. */
bool cm_serve_model(const struct serve_url *url, char *name, size_t n_name);
/* One continuation of the prompt (letters and blanks only), n_tokens long, streamed. False: the server did not answer
 * as it should; what it said, or why not, is in problem. */
bool cm_serve_request(const struct serve_url *url, const char *model, const char *prompt, int n_tokens,
                      struct serve_answer *answer, char *problem, size_t n_problem);

/* ---- many ---- */

/* Every combination of the plan's clients (batches), prompts and answers, a row each, in this form of output ("md",
 * "csv", "json", "jsonl"). False with a sentence. */
bool cm_serve_measure(const struct serve_url *url, const struct bench_plan *plan, const char *format);

#endif
