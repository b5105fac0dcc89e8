/* tools/serve/generation_request.c - see generation_request.h. */
#include "tools/serve/generation_request.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { MAX_STOPS = 64, MAX_BIASES = 4096, MAX_PENALTY = 1000, MAX_REPEAT_LAST = 1 << 20 };

/* ---- stop texts ---- */

static bool read_stops(const struct sent_value *body, const char *name, struct job *job, struct refusal *refusal)
{
    const struct sent_value *stop = cm_sent_member(body, name);
    const char              *texts[MAX_STOPS];
    size_t                   n_bytes[MAX_STOPS], n = 0;
    const bool   is_list = cm_sent_kind(stop) == SENT_ARRAY;
    const size_t n_given = stop == NULL ? 0 : is_list ? cm_sent_n(stop) : 1;
    if (n_given > MAX_STOPS)
        return cm_refuse(refusal, 400, name, "'%s' wants at most %d texts, found %zu", name, MAX_STOPS, n_given);
    for (size_t i = 0; i < n_given; i++) {
        const struct sent_value *value = is_list ? cm_sent_at(stop, i) : stop;
        texts[n] = cm_sent_string(value, &n_bytes[n]);
        if (texts[n] == NULL)
            return cm_refuse(refusal, 400, name, "'%s' wants a text or an array of texts, found %s", name,
                             cm_sent_kind_name(value));
        if (n_bytes[n] == 0) continue; /* an empty text stops nothing; some clients send it instead of none */
        if (memchr(texts[n], '\0', n_bytes[n]) != NULL)
            return cm_refuse(refusal, 400, name, "'%s' wants texts without NUL characters", name);
        if (!cm_bytes_append(&job->want.stop_texts, texts[n], n_bytes[n] + 1)) return cm_refuse_memory(refusal);
        n++;
    }
    if (calmoe_stops_open(job->context, texts, n_bytes, (int)n, &job->want.stops) != CALMOE_OK)
        return cm_refuse_memory(refusal);
    return true;
}

/* ---- biases ---- */

struct bias_list {
    calmoe_sampler_options        *sampler; /* its arrays are filled; the job owns them in any case      */
    const struct generation_scope *scope;
    struct refusal                *refusal;
};

static bool put_bias(struct bias_list *list, int32_t token, float bias)
{
    calmoe_sampler_options *const sampler = list->sampler;
    if (sampler->n_biases == MAX_BIASES)
        return cm_refuse(list->refusal, 400, "logit_bias", "'logit_bias' wants at most %d tokens", MAX_BIASES);
    /* The sampler has pointers to const; here the arrays are filled. */
    int32_t *const tokens = (int32_t *)(uintptr_t)sampler->bias_tokens;
    float *const   biases = (float *)(uintptr_t)sampler->biases;
    tokens[sampler->n_biases]   = token;
    biases[sampler->n_biases++] = bias;
    return true;
}

/* Reads what is added to a logit: a number; false, or -100 and less, excludes the token. */
static bool read_bias(const struct bias_list *list, const struct sent_value *value, float *out)
{
    const enum sent_kind kind = cm_sent_kind(value);
    const double         bias = cm_sent_number(value);
    if (kind != SENT_FALSE && kind != SENT_INTEGER && kind != SENT_REAL)
        return cm_refuse(list->refusal, 400, "logit_bias", "'logit_bias' wants numbers or false, found %s",
                         cm_sent_kind_name(value));
    if (kind != SENT_FALSE && !(fabs(bias) <= 1e6))
        return cm_refuse(list->refusal, 400, "logit_bias", "'logit_bias' wants numbers up to 1e6, found %.9g", bias);
    *out = kind == SENT_FALSE || bias <= -100.0 ? -INFINITY : (float)bias;
    return true;
}

static bool add_bias(struct bias_list *list, int64_t token, const struct sent_value *value)
{
    float bias = 0;
    if (token < 0 || token >= list->scope->n_vocab)
        return cm_refuse(list->refusal, 400, "logit_bias", "'logit_bias' wants tokens from 0 to %d, found %lld",
                         list->scope->n_vocab - 1, (long long)token);
    return read_bias(list, value, &bias) && put_bias(list, (int32_t)token, bias);
}

/* Of each token of a text. */
static bool add_text_bias(struct bias_list *list, const char *text, size_t n_bytes, const struct sent_value *value)
{
    enum { MOST = 256 };
    int32_t tokens[MOST];
    float   bias = 0;
    size_t  n = 0;
    if (!read_bias(list, value, &bias)) return false;
    const calmoe_status status =
        list->scope->model == NULL ? CALMOE_UNSUPPORTED
                                   : calmoe_tokenize(NULL, list->scope->model, text, n_bytes, 0, tokens, MOST, &n);
    if (status != CALMOE_OK || n == 0)
        return cm_refuse(list->refusal, 400, "logit_bias", "'logit_bias' wants numbers of tokens, or texts of 1 to %d "
                                                           "tokens, found '%.40s'", MOST, text);
    for (size_t i = 0; i < n; i++)
        if (!put_bias(list, tokens[i], bias)) return false;
    return true;
}

static bool see_bias(void *user, const char *name, const struct sent_value *value)
{
    char *end = NULL;
    errno = 0;
    const long token = strtol(name, &end, 10);
    if (end == name || *end != '\0' || errno != 0) return add_text_bias(user, name, strlen(name), value);
    return add_bias(user, token, value);
}

/* An object {"id": bias}, or an array of [id, bias]; a text instead of the id means its tokens. */
static bool read_biases(const struct sent_value *body, const struct generation_scope *scope, struct job_request *want,
                        struct refusal *refusal)
{
    const struct sent_value *given = cm_sent_member(body, "logit_bias");
    const size_t             n = cm_sent_n(given);
    struct bias_list         list = {.sampler = &want->sampler, .scope = scope, .refusal = refusal};
    if (given == NULL || refusal->status != 0) return refusal->status == 0;
    if (cm_sent_kind(given) != SENT_OBJECT && cm_sent_kind(given) != SENT_ARRAY)
        return cm_refuse(refusal, 400, "logit_bias", "'logit_bias' wants an object, found %s",
                         cm_sent_kind_name(given));
    if (n == 0) return true;
    want->sampler.bias_tokens = calloc(MAX_BIASES, sizeof *want->sampler.bias_tokens);
    want->sampler.biases      = calloc(MAX_BIASES, sizeof *want->sampler.biases);
    if (want->sampler.bias_tokens == NULL || want->sampler.biases == NULL) return cm_refuse_memory(refusal);
    bool is_fine = true;
    if (cm_sent_kind(given) == SENT_OBJECT) is_fine = cm_sent_each(given, see_bias, &list);
    for (size_t i = 0; is_fine && cm_sent_kind(given) == SENT_ARRAY && i < n; i++) {
        const struct sent_value *const pair = cm_sent_at(given, i), *const token = cm_sent_at(pair, 0);
        size_t            n_text = 0;
        const char *const text = cm_sent_string(token, &n_text);
        const bool        is_pair = cm_sent_kind(pair) == SENT_ARRAY && cm_sent_n(pair) == 2;
        is_fine = is_pair && text != NULL ? add_text_bias(&list, text, n_text, cm_sent_at(pair, 1))
                  : is_pair && cm_sent_kind(token) == SENT_INTEGER
                      ? add_bias(&list, cm_sent_int(token), cm_sent_at(pair, 1))
                      : cm_refuse(refusal, 400, "logit_bias", "'logit_bias' wants pairs [token, bias]");
    }
    return is_fine;
}

/* ---- the rest ---- */

static bool read_seed(const struct sent_value *body, struct job_request *want, struct refusal *refusal)
{
    int64_t seed = -1;
    if (!cm_read_integer(body, "seed", INT64_MIN, INT64_MAX, &seed, refusal)) return false;
    want->sampler.seed = (uint64_t)seed;
    /* Without a seed, or with -1, each request gets another one. */
    if (seed == -1 && getrandom(&want->sampler.seed, sizeof want->sampler.seed, GRND_NONBLOCK) < 0)
        want->sampler.seed = (uint64_t)(cm_seconds() * 1e9);
    return true;
}

static bool read_sampler(const struct sent_value *body, calmoe_sampler_options *sampler, struct refusal *refusal)
{
    return cm_read_real(body, "temperature", 0, MAX_PENALTY, &sampler->temperature, refusal) &&
           cm_read_int(body, "top_k", -1, INT_MAX, &sampler->top_k, refusal) &&
           cm_read_real(body, "top_p", 0, 1, &sampler->top_p, refusal) &&
           cm_read_real(body, "min_p", 0, 1, &sampler->min_p, refusal) &&
           cm_read_real(body, "repetition_penalty", 0.01, MAX_PENALTY, &sampler->repeat_penalty, refusal) &&
           cm_read_real(body, "repeat_penalty", 0.01, MAX_PENALTY, &sampler->repeat_penalty, refusal) &&
           cm_read_int(body, "repeat_last_n", -1, INT_MAX, &sampler->repeat_last, refusal) &&
           cm_read_real(body, "presence_penalty", -MAX_PENALTY, MAX_PENALTY, &sampler->presence_penalty, refusal) &&
           cm_read_real(body, "frequency_penalty", -MAX_PENALTY, MAX_PENALTY, &sampler->frequency_penalty, refusal);
}

/* ---- adapters ---- */

bool cm_read_scales(const struct sent_value *list, const char *name, int *n, float scales[CALMOE_MAX_ADAPTERS],
                    struct refusal *refusal)
{
    *n = 0;
    for (int i = 0; i < CALMOE_MAX_ADAPTERS; i++) scales[i] = 0;
    for (size_t i = 0; i < cm_sent_n(list); i++) {
        const struct sent_value *const one = cm_sent_at(list, i);
        int   id = -1;
        float scale = 1;
        if (cm_sent_kind(one) != SENT_OBJECT)
            return cm_refuse(refusal, 400, name, "'%s' wants objects {\"id\", \"scale\"}, found %s", name,
                             cm_sent_kind_name(one));
        if (!cm_read_int(one, "id", 0, CALMOE_MAX_ADAPTERS - 1, &id, refusal) ||
            !cm_read_real(one, "scale", -1e6, 1e6, &scale, refusal))
            return false;
        if (id < 0) return cm_refuse(refusal, 400, name, "'%s' wants an 'id' in each of its objects", name);
        scales[id] = scale;
        if (id >= *n) *n = id + 1;
    }
    return true;
}

static bool read_adapters(const struct sent_value *body, struct job_request *want, struct refusal *refusal)
{
    const struct sent_value *list = NULL;
    if (!cm_read_value(body, "lora", SENT_ARRAY, &list, refusal)) return false;
    want->has_scales = list != NULL;
    return list == NULL || cm_read_scales(list, "lora", &want->n_scales, want->scales, refusal);
}

/* Sampling options of other servers that are not supported. Their clients often send them with values that have no
 * effect; these are accepted. */
static bool refuse_samplers(const struct sent_value *body, struct refusal *refusal)
{
    static const struct {
        const char *name;
        float       least, most; /* range of values without effect */
    } samplers[] = {
        {"mirostat", 0, 0},        {"typical_p", 1, 1e9f},      {"tfs_z", 1, 1e9f},          {"top_n_sigma", -1e9f, 0},
        {"xtc_probability", 0, 0}, {"dry_multiplier", 0, 0},    {"dynatemp_range", 0, 0},    {"min_tokens", 0, 0},
        {"length_penalty", 1, 1},
    };
    for (size_t i = 0; i < sizeof samplers / sizeof *samplers; i++) {
        const char *const name = samplers[i].name;
        float             value = samplers[i].least;
        if (!cm_read_real(body, name, -1e9, 1e9, &value, refusal)) return false;
        if (value < samplers[i].least || value > samplers[i].most)
            return cm_refuse(refusal, 400, name, "'%s' is not supported: wanted %g, which changes nothing, found %g",
                             name, (double)(samplers[i].least > 0 ? samplers[i].least : 0), (double)value);
    }
    return true;
}

/* A request for something that is not supported must be refused: the client would get something else than it asked
 * for. */
static bool refuse_unsupported(const struct sent_value *body, struct refusal *refusal)
{
    int n = 1, best_of = 1;
    if (!cm_read_int(body, "n", INT_MIN, INT_MAX, &n, refusal) ||
        !cm_read_int(body, "best_of", INT_MIN, INT_MAX, &best_of, refusal))
        return false;
    if (n != 1) return cm_refuse(refusal, 400, "n", "'n' wants 1: one answer is made of a request, found %d", n);
    if (best_of != 1) return cm_refuse(refusal, 400, "best_of", "'best_of' wants 1, found %d", best_of);
    return refuse_samplers(body, refusal);
}

bool cm_read_generation(const struct sent_value *body, const struct generation_names *names,
                        const struct generation_scope *scope, struct job *job, struct refusal *refusal)
{
    struct job_request *const want = &job->want;
    int                       milliseconds = 0;
    const size_t n_names = sizeof names->max_tokens / sizeof names->max_tokens[0];
    for (size_t i = 0; i < n_names && names->max_tokens[i] != NULL; i++) {
        if (cm_sent_member(body, names->max_tokens[i]) == NULL) continue;
        if (!cm_read_int(body, names->max_tokens[i], -1, INT_MAX, &want->max_tokens, refusal)) return false;
        break;
    }
    if (!refuse_unsupported(body, refusal) || !read_sampler(body, &want->sampler, refusal) ||
        !read_seed(body, want, refusal) || !read_biases(body, scope, want, refusal) ||
        !cm_read_bool(body, "ignore_eos", &want->ignore_end, refusal) ||
        !cm_read_bool(body, "cache_prompt", &want->uses_cache, refusal) ||
        !cm_read_int(body, "id_slot", -1, scope->n_slots - 1, &want->slot, refusal) ||
        !cm_read_int(body, "t_max_predict_ms", -1, INT_MAX, &milliseconds, refusal) ||
        !read_adapters(body, want, refusal) || !read_stops(body, names->stop, job, refusal))
        return false;
    if (want->sampler.top_k < 0) want->sampler.top_k = 0;
    /* -1 means everything before, which is no more than the context. */
    if (want->sampler.repeat_last < 0 || want->sampler.repeat_last > scope->n_context)
        want->sampler.repeat_last = scope->n_context < MAX_REPEAT_LAST ? scope->n_context : MAX_REPEAT_LAST;
    want->max_seconds = milliseconds > 0 ? milliseconds / 1e3 : 0;
    return true;
}

bool cm_read_own_request(const struct sent_value *body, int n_experts_used, struct job_request *want,
                         struct own_request *own, struct refusal *refusal)
{
    const struct sent_value *given = NULL;
    float                    quality = (float)want->quality;
    const char              *context = "";
    if (!cm_read_value(body, "calmoe", SENT_OBJECT, &given, refusal)) return false;
    if (given == NULL) return true;
    const bool is_fine = cm_read_real(given, "quality", 0, 1, &quality, refusal) &&
                         cm_read_int(given, "experts", 1, n_experts_used, &want->n_experts, refusal) &&
                         cm_read_bool(given, "tokens", &own->tokens, refusal) &&
                         cm_read_bool(given, "routing", &own->routing, refusal) &&
                         cm_read_text(given, "context", &context, refusal);
    (void)snprintf(own->context, sizeof own->context, "%s", context);
    if (cm_sent_member(given, "quality") != NULL) want->quality = cm_sent_number(cm_sent_member(given, "quality"));
    own->tokens         = own->tokens || own->routing;
    want->wants_routing = own->routing;
    if (is_fine && want->n_experts > 0 && want->quality > 0)
        return cm_refuse(refusal, 400, "calmoe", "'quality' is for what is proven, 'experts' for what is not; one of "
                                                 "them is wanted");
    return is_fine;
}
