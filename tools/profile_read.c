/* tools/profile_read.c - see profile_read.h. */
#include "tools/profile_read.h"

#include <stdlib.h>
#include <string.h>

#include "tools/policy_request.h"

enum { STEP_TOKENS = 512, POLICY_STEP_TOKENS = 64 }; /* with a policy, every token needs its logits */

/* ---- tokens that are remembered ---- */

void cm_reading_see(void *user, const calmoe_routing_event *event)
{
    struct reading *reading = user;
    struct kept    *kept    = reading->now;
    if (reading->trace != NULL) calmoe_trace_writer_see(reading->trace, event);
    const int at = kept->n + event->position - reading->first;
    if (at >= KEPT_TOKENS || event->n > reading->n_used) return;
    const size_t cell = ((size_t)at * (size_t)reading->n_layers + (size_t)event->layer) * (size_t)reading->n_used;
    memcpy(kept->experts + cell, event->experts, (size_t)event->n * sizeof *event->experts);
    memcpy(kept->weights + cell, event->weights, (size_t)event->n * sizeof *event->weights);
}

static void close_kept(struct kept *kept)
{
    free(kept->name);
    free(kept->tokens);
    free(kept->experts);
    free(kept->weights);
    free(kept->layers);
}

/* Finds a domain, or adds it. */
static struct kept *keep_domain(struct reading *reading, const char *name)
{
    const size_t n = (size_t)KEPT_TOKENS * (size_t)reading->n_layers * (size_t)reading->n_used;
    for (int i = 0; i < reading->n_domains; i++)
        if (strcmp(reading->domains[i].name, name) == 0) return &reading->domains[i];
    struct kept *domains = realloc(reading->domains, ((size_t)reading->n_domains + 1) * sizeof *domains);
    if (domains == NULL) {
        cm_say("no memory for another domain");
        return NULL;
    }
    reading->domains       = domains;
    struct kept *const now = &domains[reading->n_domains];
    *now = (struct kept){.name = strdup(name), .tokens = calloc(KEPT_TOKENS, sizeof *now->tokens),
                         .experts = calloc(n, sizeof *now->experts), .weights = calloc(n, sizeof *now->weights),
                         .layers = calloc(KEPT_TOKENS, sizeof *now->layers)};
    if (now->name == NULL || now->tokens == NULL || now->experts == NULL || now->weights == NULL ||
        now->layers == NULL) {
        close_kept(now);
        cm_say("no memory for the tokens of a domain");
        return NULL;
    }
    reading->n_domains++;
    return now;
}

void cm_reading_close(struct reading *reading)
{
    for (int i = 0; i < reading->n_domains; i++) close_kept(&reading->domains[i]);
    free(reading->domains);
    reading->domains   = NULL;
    reading->n_domains = 0;
}

const struct kept *cm_reading_domain(const struct reading *reading, const char *name)
{
    for (int i = 0; i < reading->n_domains; i++)
        if (strcmp(reading->domains[i].name, name) == 0) return &reading->domains[i];
    return NULL;
}

/* ---- reading ---- */

static bool tokenize(const struct front *front, const char *path, const struct bytes *text, struct bytes *tokens,
                     size_t *n_tokens)
{
    if (text->n == 0) {
        cm_say("'%s' is empty: there is nothing to count", path);
        return false;
    }
    const size_t room = text->n + 16; /* at most one token a byte, and two at the ends */
    int32_t     *ids  = malloc(room * sizeof *ids);
    if (ids == NULL) {
        cm_say("no memory for %zu tokens", room);
        return false;
    }
    const bool is_fine = cm_front_succeeded(front, calmoe_tokenize(front->context, front->model, text->at, text->n,
                                                                   CALMOE_TOKENIZE_BOS, ids, room, n_tokens)) &&
                         cm_bytes_append(tokens, ids, *n_tokens * sizeof *ids);
    free(ids);
    return is_fine;
}

/* Remembers the step's n tokens as far as there is room, without experts yet; returns how many. */
static int begin_step(struct reading *reading, const int32_t *tokens, int n)
{
    struct kept *const kept = reading->now;
    const int          n_new = n < KEPT_TOKENS - kept->n ? n : KEPT_TOKENS - kept->n;
    const size_t       n_choice = (size_t)reading->n_layers * (size_t)reading->n_used;
    memcpy(kept->tokens + kept->n, tokens, (size_t)n_new * sizeof *tokens);
    for (size_t i = 0; i < (size_t)n_new * n_choice; i++) kept->experts[(size_t)kept->n * n_choice + i] = -1;
    return n_new;
}

static void end_step(struct reading *reading, const calmoe_session *session, int n_new)
{
    struct kept *const kept = reading->now;
    for (int i = 0; i < n_new; i++) {
        calmoe_depth depth = {.size = sizeof depth, .layers = reading->n_layers};
        if (reading->policy != NULL) (void)calmoe_session_depth(session, i, &depth);
        kept->layers[kept->n + i] = depth.layers;
    }
    kept->n += n_new;
}

/* Reads one window, a sequence of its own. */
static bool read_window(struct reading *reading, calmoe_session *session, const int32_t *tokens, size_t n)
{
    const struct front *front  = reading->front;
    const size_t        step   = reading->policy != NULL ? POLICY_STEP_TOKENS : STEP_TOKENS;
    const int           logits = reading->policy != NULL ? CALMOE_LOGITS_ALL : CALMOE_LOGITS_NONE;
    if (!cm_front_succeeded(front, calmoe_session_rewind(session, 0))) return false;
    if (reading->policy != NULL) calmoe_session_begin_answer(session);
    for (size_t at = 0; at < n; at += step) {
        const int          n_chunk = (int)(n - at < step ? n - at : step);
        const calmoe_chunk chunk   = {session, tokens + at, n_chunk, logits};
        const int          n_new   = begin_step(reading, tokens + at, n_chunk);
        reading->first = calmoe_session_n_positions(session);
        if (!cm_front_succeeded(front, calmoe_engine_step(front->engine, &chunk, 1))) return false;
        end_step(reading, session, n_new);
    }
    reading->now->n_read += n;
    reading->now->n_windows++;
    return true;
}

static bool read_tokens(struct reading *reading, const int32_t *tokens, size_t n, int n_done, int n_files)
{
    calmoe_session_options options;
    calmoe_session        *session = NULL;
    struct progress_bar    bar;
    bool                   is_stopped = false;
    calmoe_session_options_init(&options);
    options.context = reading->window;
    options.policy  = reading->policy;
    options.quality = reading->quality;
    if (!cm_front_succeeded(reading->front, calmoe_session_open(reading->front->engine, &options, &session)))
        return false;
    if (n_done == 0) cm_policy_say(reading->policy, session);
    cm_bar_begin(&bar, "reading");
    bool is_fine = true;
    for (size_t at = 0; at < n && is_fine && !is_stopped; at += (size_t)reading->window) {
        const size_t n_window = n - at < (size_t)reading->window ? n - at : (size_t)reading->window;
        is_fine    = read_window(reading, session, tokens + at, n_window);
        is_stopped = cm_bar_move(&bar, (n_done + (double)(at + n_window) / (double)n) / n_files) != 0;
    }
    cm_bar_end(&bar);
    calmoe_session_close(&session);
    if (is_stopped) cm_say("interrupted");
    return is_fine && !is_stopped;
}

bool cm_reading_file(struct reading *reading, const char *domain, const char *path, int n_done, int n_files)
{
    struct bytes text = {0}, tokens = {0};
    size_t       n_tokens;
    reading->now = keep_domain(reading, domain);
    bool is_fine = reading->now != NULL && cm_bytes_read_file(&text, path) &&
                   tokenize(reading->front, path, &text, &tokens, &n_tokens) &&
                   cm_front_succeeded(reading->front, calmoe_engine_profile_domain(reading->front->engine, domain));
    if (is_fine) {
        if (reading->max_tokens > 0 && n_tokens > (size_t)reading->max_tokens) n_tokens = (size_t)reading->max_tokens;
        is_fine = read_tokens(reading, (const int32_t *)(const void *)tokens.at, n_tokens, n_done, n_files);
    }
    cm_bytes_close(&text);
    cm_bytes_close(&tokens);
    return is_fine;
}

/* ---- tokens ---- */

void cm_token_text(const struct front *front, int32_t token, char *text, size_t n_text)
{
    calmoe_text_stream stream = {{0}};
    text[0] = '\0';
    if (calmoe_text_stream_put(front->model, &stream, token, text, n_text) == CALMOE_OK) {
        const size_t n = strlen(text);
        if (calmoe_text_stream_put(front->model, &stream, -1, text + n, n_text - n) != CALMOE_OK) text[n] = '\0';
    }
    cm_clean_text(text);
}

static int by_token(const void *left, const void *right)
{
    const struct liked *const x = left, *const y = right;
    return (x->token > y->token) - (x->token < y->token);
}

static int by_score(const void *left, const void *right)
{
    const struct liked *const x = left, *const y = right;
    return x->score != y->score ? (x->score < y->score) - (x->score > y->score) : by_token(left, right);
}

/* The weight that remembered token i gave the expert; -1: it did not take it. */
static double weight_of(const struct reading *reading, const struct kept *kept, int i, int layer, int expert)
{
    const size_t cell = ((size_t)i * (size_t)reading->n_layers + (size_t)layer) * (size_t)reading->n_used;
    for (int slot = 0; slot < reading->n_used; slot++)
        if (kept->experts[cell + (size_t)slot] == expert) return (double)kept->weights[cell + (size_t)slot];
    return -1;
}

int cm_liked_tokens(const struct reading *reading, const char *domain, int layer, int expert, struct liked *liked,
                    int n)
{
    const struct kept *kept = cm_reading_domain(reading, domain);
    struct liked      *all  = kept != NULL ? malloc(((size_t)kept->n + 1) * sizeof *all) : NULL;
    int                n_found = 0;
    if (all == NULL) return 0;
    for (int i = 0; i < kept->n; i++)
        all[i] = (struct liked){kept->tokens[i], weight_of(reading, kept, i, layer, expert)};
    qsort(all, (size_t)kept->n, sizeof *all, by_token);
    for (int i = 0; i < kept->n;) {
        struct liked sum   = {all[i].token, 0};
        int          taken = 0, seen = 0;
        for (; i < kept->n && all[i].token == sum.token; i++, seen++)
            if (all[i].score >= 0) {
                taken++;
                sum.score += all[i].score;
            }
        sum.score *= (double)taken / seen;
        if (taken > 0) all[n_found++] = sum;
    }
    qsort(all, (size_t)n_found, sizeof *all, by_score);
    if (n_found > n) n_found = n;
    memcpy(liked, all, (size_t)n_found * sizeof *all);
    free(all);
    return n_found;
}
