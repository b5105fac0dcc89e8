/* bench/plan.c - reads lists of numbers from the command line, and enumerates their combinations as tests. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"

static bool read_number(const char **at, int min, int max, int *out)
{
    char *end = NULL;
    if (!isdigit((unsigned char)**at)) return false;
    errno = 0;
    const long number = strtol(*at, &end, 10);
    if (errno != 0 || number < min || number > max || (*end != '\0' && *end != ',')) return false;
    *out = (int)number;
    *at = end;
    return true;
}

bool cm_bench_read_ints(const char *command, const char *option, const char *text, int min, int max,
                        struct bench_ints *out)
{
    const char *at = text;
    out->n = 0;
    for (;;) {
        if (out->n == BENCH_MAX_LIST || !read_number(&at, min, max, &out->values[out->n])) {
            (void)cm_usage_error(command, "option '%s' wants whole numbers from %d to %d, at most %d of them with "
                                 "commas between, found '%s'", option, min, max, BENCH_MAX_LIST, text);
            return false;
        }
        out->n++;
        if (*at == '\0') return true;
        at++;
    }
}

bool cm_bench_test_at(const struct bench_plan *plan, int i, struct bench_test *out)
{
    const int n_prompts = plan->depths.n * plan->prompts.n;
    const int n_answers = plan->depths.n * plan->batches.n * plan->answers.n;
    if (i < n_prompts) {
        *out = (struct bench_test){.is_prompt = true, .batch = 1, .n_tokens = plan->prompts.values[i % plan->prompts.n],
                                   .depth = plan->depths.values[i / plan->prompts.n]};
        return true;
    }
    i -= n_prompts;
    if (i >= n_answers) return false;
    const int of_depth = i % (plan->batches.n * plan->answers.n);
    *out = (struct bench_test){.n_tokens = plan->answers.values[of_depth % plan->answers.n],
                               .batch = plan->batches.values[of_depth / plan->answers.n],
                               .depth = plan->depths.values[i / (plan->batches.n * plan->answers.n)]};
    return true;
}
