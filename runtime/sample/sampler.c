/* sampler.c - the next token from logits: deterministic, and without allocation once open. */
#include "runtime/sample/sampler.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "runtime/constrain/walker.h"
#include "runtime/sample/likeliest.h"

enum { MAX_REPEAT_LAST_N = 1 << 20 };

struct choice {
    double  weight; /* proportional to the probability */
    float   logit;
    int32_t id;
};

enum problem { BANNED, STUCK, COMPLETE };

struct sampler {
    struct sampler_options options;
    struct random  random;
    int32_t        n_vocab;
    int32_t       *recent;   /* (repeat_last_n) a ring of the last tokens          */
    int            n_recent;
    int            next;     /* where the next one goes                            */
    int32_t       *n_times;  /* (n_vocab) how often each token stands in the ring  */
    int32_t       *n_in_answer; /* (n_vocab) how often each token stands in the answer; NULL where nobody asks */
    int32_t       *bias_tokens; /* (n_biases) of the options                       */
    float         *biases;
    struct walker *walker;   /* through the constraint; NULL: there is none        */
    uint8_t       *allowed;  /* (n_vocab) scratch: what the constraint lets through */
    enum problem   problem;  /* of the last pick that was -1                       */
    struct random  marked;   /* cm_sampler_mark()                                  */
    struct choice *choices;  /* (n_vocab) scratch; NULL where none is drawn        */
    float         *adjusted; /* (n_vocab) scratch; NULL where logits are taken as they are */
};

/* ---- open, close ---- */

struct sampler_options cm_sampler_defaults(void)
{
    return (struct sampler_options){ .top_p = 1, .repeat_penalty = 1, .repeat_last_n = 64 };
}

static calmoe_status check_biases(struct calmoe_context *ctx, const struct sampler_options *options, int32_t n_vocab)
{
    if (options->n_biases < 0 || (options->n_biases > 0 && (!options->bias_tokens || !options->biases)))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "%d biases; wanted 0 or more, with their tokens and values",
                       options->n_biases);
    for (int i = 0; i < options->n_biases; i++) {
        if (options->bias_tokens[i] < 0 || options->bias_tokens[i] >= n_vocab)
            return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "bias %d is of token %d; wanted 0 to %d", i,
                           (int)options->bias_tokens[i], (int)n_vocab - 1);
        if (!(options->biases[i] < INFINITY)) /* nor NaN */
            return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "the bias of token %d is %g; wanted a number, or -infinity",
                           (int)options->bias_tokens[i], (double)options->biases[i]);
    }
    return CALMOE_OK;
}

static calmoe_status check(struct calmoe_context *ctx, const struct sampler_options *options)
{
    const calmoe_status status = CALMOE_INVALID_ARGUMENT;
    if (!(options->temperature >= 0) || isinf(options->temperature))
        return cm_fail(ctx, status, "temperature is %g; wanted 0 or a positive number",
                       (double)options->temperature);
    if (options->top_k < 0)
        return cm_fail(ctx, status, "top-k is %d; wanted 0 (all) or a positive number", options->top_k);
    if (!(options->top_p >= 0 && options->top_p <= 1))
        return cm_fail(ctx, status, "top-p is %g; wanted 0 to 1", (double)options->top_p);
    if (!(options->min_p >= 0 && options->min_p <= 1))
        return cm_fail(ctx, status, "min-p is %g; wanted 0 to 1", (double)options->min_p);
    if (!(options->repeat_penalty > 0) || isinf(options->repeat_penalty))
        return cm_fail(ctx, status, "repeat penalty is %g; wanted a positive number",
                       (double)options->repeat_penalty);
    if (options->repeat_last_n < 0 || options->repeat_last_n > MAX_REPEAT_LAST_N)
        return cm_fail(ctx, status, "repeat penalty looks back %d tokens; wanted 0 to %d",
                       options->repeat_last_n, MAX_REPEAT_LAST_N);
    if (!isfinite(options->presence_penalty) || !isfinite(options->frequency_penalty))
        return cm_fail(ctx, status, "presence penalty %g and frequency penalty %g; wanted numbers",
                       (double)options->presence_penalty, (double)options->frequency_penalty);
    return CALMOE_OK;
}

static bool counts_answer(const struct sampler_options *options)
{
    return options->presence_penalty != 0 || options->frequency_penalty != 0;
}

/* Do logits change before a token is chosen? */
static bool adjusts(const struct sampler_options *options)
{
    return options->repeat_penalty != 1 || options->n_biases > 0 || counts_answer(options);
}

static calmoe_status copy_biases(struct calmoe_context *ctx, struct sampler *sampler)
{
    struct sampler_options *options = &sampler->options;
    const size_t n = (size_t)options->n_biases;
    if (n == 0) return CALMOE_OK;
    sampler->bias_tokens = cm_alloc(ctx, n, sizeof *sampler->bias_tokens, "biases");
    sampler->biases = cm_alloc(ctx, n, sizeof *sampler->biases, "biases");
    if (!sampler->bias_tokens || !sampler->biases) return CALMOE_NO_MEMORY;
    memcpy(sampler->bias_tokens, options->bias_tokens, n * sizeof *sampler->bias_tokens);
    memcpy(sampler->biases, options->biases, n * sizeof *sampler->biases);
    options->bias_tokens = sampler->bias_tokens;
    options->biases = sampler->biases;
    return CALMOE_OK;
}

static calmoe_status reserve(struct calmoe_context *ctx, struct sampler *sampler)
{
    const struct sampler_options *options = &sampler->options;
    const size_t n_vocab = (size_t)sampler->n_vocab;
    sampler->recent = cm_alloc(ctx, (size_t)options->repeat_last_n, sizeof *sampler->recent, "recent tokens");
    sampler->n_times = cm_alloc(ctx, n_vocab, sizeof *sampler->n_times, "recent tokens");
    if (!sampler->recent || !sampler->n_times) return CALMOE_NO_MEMORY;
    if (options->temperature > 0) {
        sampler->choices = cm_alloc(ctx, n_vocab, sizeof *sampler->choices, "sampling");
        if (!sampler->choices) return CALMOE_NO_MEMORY;
    }
    if (adjusts(options)) {
        sampler->adjusted = cm_alloc(ctx, n_vocab, sizeof *sampler->adjusted, "sampling");
        if (!sampler->adjusted) return CALMOE_NO_MEMORY;
    }
    if (counts_answer(options)) {
        sampler->n_in_answer = cm_alloc(ctx, n_vocab, sizeof *sampler->n_in_answer, "tokens of the answer");
        if (!sampler->n_in_answer) return CALMOE_NO_MEMORY;
    }
    if (options->constraint) {
        sampler->allowed = cm_alloc(ctx, n_vocab, sizeof *sampler->allowed, "sampling");
        if (!sampler->allowed) return CALMOE_NO_MEMORY;
        CM_TRY(cm_walker_open(ctx, &options->constraint->program, options->constraint->trie, sampler->n_vocab,
                              &sampler->walker));
    }
    return copy_biases(ctx, sampler);
}

calmoe_status cm_sampler_open(struct calmoe_context *ctx, const struct sampler_options *options,
                              int32_t n_vocab, struct sampler **out)
{
    *out = NULL;
    CM_TRY(check(ctx, options));
    if (n_vocab < 1)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "the vocabulary has %d tokens; wanted 1 or more", n_vocab);
    CM_TRY(check_biases(ctx, options, n_vocab));
    struct sampler *sampler = cm_alloc(ctx, 1, sizeof *sampler, "a sampler");
    if (!sampler) return CALMOE_NO_MEMORY;
    sampler->options = *options;
    sampler->n_vocab = n_vocab;
    sampler->random = cm_random(options->seed);
    const calmoe_status status = reserve(ctx, sampler);
    if (status != CALMOE_OK) cm_sampler_close(&sampler);
    *out = sampler;
    return status;
}

calmoe_status cm_sampler_fork(struct calmoe_context *ctx, const struct sampler *from, struct sampler **out)
{
    CM_TRY(cm_sampler_open(ctx, &from->options, from->n_vocab, out));
    struct sampler *to = *out;
    to->random = from->random;
    to->n_recent = from->n_recent;
    to->next = from->next;
    memcpy(to->recent, from->recent, (size_t)from->options.repeat_last_n * sizeof *to->recent);
    memcpy(to->n_times, from->n_times, (size_t)from->n_vocab * sizeof *to->n_times);
    if (from->n_in_answer)
        memcpy(to->n_in_answer, from->n_in_answer, (size_t)from->n_vocab * sizeof *to->n_in_answer);
    if (from->walker) cm_walker_copy(to->walker, from->walker);
    return CALMOE_OK;
}

void cm_sampler_close(struct sampler **sampler)
{
    if (!*sampler) return;
    cm_free((*sampler)->recent);
    cm_free((*sampler)->n_times);
    cm_free((*sampler)->n_in_answer);
    cm_walker_close(&(*sampler)->walker);
    cm_free((*sampler)->allowed);
    cm_free((*sampler)->bias_tokens);
    cm_free((*sampler)->biases);
    cm_free((*sampler)->choices);
    cm_free((*sampler)->adjusted);
    cm_free(*sampler);
    *sampler = NULL;
}

calmoe_status cm_sampler_refusal(struct calmoe_context *ctx, const struct sampler *sampler)
{
    switch (sampler->problem) {
    case COMPLETE: return CALMOE_END;
    case STUCK:
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "no token of the vocabulary goes on with the answer as its "
                       "constraint asks: it was begun without, or the vocabulary lacks the bytes");
    default:
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "the sampler's biases ban all tokens that may come");
    }
}

void cm_sampler_mark(struct sampler *sampler)
{
    sampler->marked = sampler->random;
    if (sampler->walker) cm_walker_mark(sampler->walker);
}

void cm_sampler_suppose(struct sampler *sampler, int32_t token)
{
    if (sampler->walker) (void)cm_walker_accept(sampler->walker, token);
}

void cm_sampler_return(struct sampler *sampler)
{
    sampler->random = sampler->marked;
    if (sampler->walker) cm_walker_return(sampler->walker);
}

int cm_sampler_repeat_last(const struct sampler *sampler) { return sampler->options.repeat_last_n; }

void cm_sampler_begin_answer(struct sampler *sampler)
{
    if (sampler->n_in_answer) memset(sampler->n_in_answer, 0, (size_t)sampler->n_vocab * sizeof *sampler->n_in_answer);
    if (sampler->walker) cm_walker_begin(sampler->walker);
}

void cm_sampler_forget(struct sampler *sampler)
{
    memset(sampler->n_times, 0, (size_t)sampler->n_vocab * sizeof *sampler->n_times);
    sampler->n_recent = sampler->next = 0;
    cm_sampler_begin_answer(sampler);
}

void cm_sampler_accept(struct sampler *sampler, int32_t token, bool is_answer)
{
    const int size = sampler->options.repeat_last_n;
    if (token < 0 || token >= sampler->n_vocab) return;
    if (is_answer && sampler->n_in_answer) sampler->n_in_answer[token]++;
    if (is_answer) cm_sampler_suppose(sampler, token);
    if (size == 0) return;
    if (sampler->n_recent == size)
        sampler->n_times[sampler->recent[sampler->next]]--;
    else
        sampler->n_recent++;
    sampler->recent[sampler->next] = token;
    sampler->n_times[token]++;
    sampler->next = sampler->next + 1 < size ? sampler->next + 1 : 0;
}

/* ---- choosing ---- */

/* e^x for x <= 0: x = n ln 2 + r with |r| <= ln 2 / 2, the Taylor series of e^r to r^13 / 13! (the rest is
 * below the last bit), and n added to the exponent. */
static double exponential(double x)
{
    if (!(x > -700)) return 0;
    const double n = floor(x * 1.4426950408889634 + 0.5);
    const double r = (x - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
    double       sum = 1;
    for (int power = 13; power >= 1; power--) sum = 1 + sum * r / power;
    const uint64_t bits = (uint64_t)((int64_t)n + 1023) << 52;
    double         scale;
    memcpy(&scale, &bits, sizeof scale);
    return sum * scale;
}

static bool comes_before(const struct choice *a, const struct choice *b)
{
    return a->logit > b->logit || (!(a->logit < b->logit) && a->id < b->id);
}

static float penalise(const struct sampler *sampler, float logit)
{
    const float penalty = sampler->options.repeat_penalty;
    return logit > 0 ? logit / penalty : logit * penalty;
}

/* By its adjusted logit. */
static bool is_banned(const struct sampler *sampler, float logit)
{
    return sampler->options.n_biases > 0 && !(logit > -INFINITY);
}

/* Fills choices in the order of ids; returns how many there are. */
static int32_t gather(struct sampler *sampler, const float *logits, const uint8_t *usable)
{
    int32_t n = 0;
    for (int32_t id = 0; id < sampler->n_vocab; id++) {
        if (isnan(logits[id]) || (usable && !usable[id])) continue;
        if (is_banned(sampler, logits[id])) continue;
        sampler->choices[n++] = (struct choice){ .logit = logits[id], .id = id };
    }
    return n;
}

/* Logits (n_vocab) with penalties and biases; where there are none, the logits themselves. */
static const float *adjust(struct sampler *sampler, const float *logits)
{
    const struct sampler_options *options = &sampler->options;
    float *adjusted = sampler->adjusted;
    if (!adjusted) return logits;
    memcpy(adjusted, logits, (size_t)sampler->n_vocab * sizeof *logits);
    for (int i = 0; i < sampler->n_recent; i++) {
        const int32_t id = sampler->recent[i];
        adjusted[id] = penalise(sampler, logits[id]);
    }
    for (int i = 0; i < options->n_biases; i++) adjusted[sampler->bias_tokens[i]] += sampler->biases[i];
    for (int32_t id = 0; sampler->n_in_answer && id < sampler->n_vocab; id++) {
        const int32_t n = sampler->n_in_answer[id];
        if (n > 0) adjusted[id] -= options->presence_penalty + options->frequency_penalty * (float)n;
    }
    return adjusted;
}

static float largest_logit(const struct choice *choices, int32_t n)
{
    float best = -INFINITY;
    for (int32_t i = 0; i < n; i++) best = choices[i].logit > best ? choices[i].logit : best;
    return best;
}

/* The heap's order: the choice that comes first is at the top. */
static void sift_down(struct choice *heap, int32_t n, int32_t at)
{
    const struct choice moved = heap[at];
    for (;;) {
        int32_t child = 2 * at + 1;
        if (child >= n) break;
        if (child + 1 < n && comes_before(&heap[child + 1], &heap[child])) child++;
        if (!comes_before(&heap[child], &moved)) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
}

static void weigh(struct choice *choice, float best, double temperature)
{
    /* Equal infinities have no difference. */
    const bool is_best = !(choice->logit < best);
    choice->weight = is_best ? 1 : exponential(((double)choice->logit - (double)best) / temperature);
}

static double sum_of_weights(const struct choice *choices, int32_t n)
{
    double sum = 0;
    for (int32_t i = 0; i < n; i++) sum += choices[i].weight;
    return sum;
}

/* Moves the most likely choices, best last, to the end of the array; returns how many: top_k at most,
 * and no more than have the share top_p of the weight of those top_k, but one at least. */
static int32_t take_best(struct choice *choices, int32_t n, int32_t top_k, double top_p)
{
    if (top_p <= 0) {
        top_k = 1;
        top_p = 1;
    }
    for (int32_t at = n / 2 - 1; at >= 0; at--) sift_down(choices, n, at);
    double  wanted = top_k < n ? INFINITY : top_p * sum_of_weights(choices, n);
    double  sum = 0;
    int32_t n_taken = 0;
    if (top_p >= 1) wanted = INFINITY;
    while (n_taken < top_k && n_taken < n && sum < wanted) {
        const struct choice best = choices[0];
        const int32_t       last = n - 1 - n_taken++;
        choices[0] = choices[last];
        choices[last] = best;
        if (last > 0) sift_down(choices, last, 0);
        sum += best.weight;
    }
    if (top_k >= n || top_p >= 1) return n_taken;
    /* The share is of the top k, whose sum is known only now. */
    double  share = 0;
    int32_t n_kept = 0;
    while (n_kept < n_taken && share < top_p * sum) share += choices[n - 1 - n_kept++].weight;
    return n_kept;
}

static int32_t draw(struct sampler *sampler, const struct choice *choices, int32_t n)
{
    const double least = (double)sampler->options.min_p; /* the best weight is 1 */
    double       sum = 0;
    for (int32_t i = 0; i < n; i++)
        if (choices[i].weight >= least) sum += choices[i].weight;
    double  left = cm_random_unit(&sampler->random) * sum;
    int32_t id = choices[n - 1].id;
    for (int32_t i = n - 1; i >= 0; i--) {
        if (choices[i].weight < least || choices[i].weight <= 0) continue;
        id = choices[i].id;
        left -= choices[i].weight;
        if (left < 0) break;
    }
    return id;
}

static int32_t likeliest(const struct sampler *sampler, const float *logits, const uint8_t *usable)
{
    const int32_t id = cm_likeliest_token(logits, sampler->n_vocab, usable);
    return is_banned(sampler, logits[id]) ? -1 : id;
}

/* Of the usable tokens those that the constraint lets through; NULL: there are none. */
static const uint8_t *constrain(struct sampler *sampler, const uint8_t *usable)
{
    const uint64_t *mask = cm_walker_mask(sampler->walker);
    int             any = 0;
    for (int32_t id = 0; id < sampler->n_vocab; id++) {
        sampler->allowed[id] = (uint8_t)(mask[id / 64] >> id % 64 & 1) & (usable ? usable[id] : 1);
        any |= sampler->allowed[id];
    }
    return any ? sampler->allowed : NULL;
}

static int32_t pick(struct sampler *sampler, const float *logits, const uint8_t *usable)
{
    const struct sampler_options *options = &sampler->options;
    struct choice                *choices = sampler->choices;
    logits = adjust(sampler, logits);
    if (!(options->temperature > 0)) return likeliest(sampler, logits, usable);
    const int32_t n = gather(sampler, logits, usable);
    if (n == 0) return likeliest(sampler, logits, usable);
    const float best = largest_logit(choices, n);
    for (int32_t i = 0; i < n; i++) weigh(&choices[i], best, (double)options->temperature);
    const int32_t top_k = options->top_k && options->top_k < n ? options->top_k : n;
    const bool    takes_all = top_k == n && options->top_p >= 1;
    const int32_t n_taken = takes_all ? n : take_best(choices, n, top_k, (double)options->top_p);
    return draw(sampler, choices + (n - n_taken), n_taken);
}

int32_t cm_sampler_pick(struct sampler *sampler, const float *logits, const uint8_t *usable)
{
    if (sampler->walker && !(usable = constrain(sampler, usable))) {
        sampler->problem = cm_walker_is_complete(sampler->walker) ? COMPLETE : STUCK;
        return -1;
    }
    sampler->problem = BANNED;
    return pick(sampler, logits, usable);
}
