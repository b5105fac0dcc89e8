/* bench/same_bits.c - the program `same-bits`: one sequence under many settings, one hash of all its logits.
 *
 * A prompt of random tokens is read and answered greedily with every instruction set, every number of threads and every
 * chunk size (tokens of the sequence in one step), both alone and in a batch of four, in which the other sessions read
 * other tokens in the same steps. The SHA-256 of all logits must be the same each time; if not, the exit status is 1.
 * */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/front.h"

enum { MAX_VALUES = 16, N_BATCH = 4, SEED = 20240229 };

struct settings {
    const char *model, *isa, *threads, *chunks, *batches, *slow_threads;
    int         n_prompt, n_new;
};

#define AT(member) offsetof(struct settings, member)
static const struct cli_option options[] = {
    {"model", 'm', CLI_TEXT, AT(model), 0, 0, "MODEL", "GGUF file (default: the embedded model)"},
    {"prompt", 'p', CLI_INT, AT(n_prompt), 1, 4096, "N", "tokens of the prompt (default 48)"},
    {"tokens", 'n', CLI_INT, AT(n_new), 0, 4096, "N", "tokens to generate (default 8)"},
    {"isa", 0, CLI_TEXT, AT(isa), 0, 0, "LIST",
     "instruction sets, separated by commas (default: all; those that are not here are told)"},
    {"threads", 't', CLI_TEXT, AT(threads), 0, 0, "LIST", "numbers of threads (default 1,2,3)"},
    {"chunks", 'c', CLI_TEXT, AT(chunks), 0, 0, "LIST", "tokens in one step, 0 = the whole prompt (default 1,7,32,0)"},
    {"batch", 'b', CLI_TEXT, AT(batches), 0, 0, "LIST", "sessions in a step, up to 4 (default 1,4)"},
    {"slow-threads", 0, CLI_TEXT, AT(slow_threads), 0, 0, "LIST",
     "threads with ref, which is slow and reads the prompt as a whole, alone (default 2)"},
};

static const struct cli_command description = {
    .name      = "same-bits",
    .summary   = "Runs one sequence under many settings and compares the hashes of all its logits.",
    .options   = options,
    .n_options = sizeof options / sizeof options[0],
    .notes     = "Exit status 1 when a hash differs from the first.\n\n"
                 "Example:\n  same-bits -m model.gguf -p 48 -n 8 -t 1,2,3 --chunks 1,7,32,0\n",
};

struct list {
    int values[MAX_VALUES], n;
};

struct proof {
    struct front           front;
    const struct settings *settings;
    int32_t               *tokens; /* (N_BATCH, n_prompt): row 0 is the sequence's, the others are its companions' */
    char                   wanted[65];
    int                    n_runs, n_different;
};

/* splitmix64 (Steele, Lea and Flood 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z          = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z          = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* Reads "1,7,32": numbers from `least` to `most`. */
static bool read_list(const char *option, const char *text, int least, int most, struct list *list)
{
    list->n = 0;
    while (*text != '\0') {
        char      *end;
        const long value = strtol(text, &end, 10);
        if (end == text || (*end != ',' && *end != '\0') || value < least || value > most || list->n == MAX_VALUES) {
            cm_usage_error(description.name, "option '%s' wants numbers from %d to %d separated by commas, found '%s'",
                           option, least, most, text);
            return false;
        }
        list->values[list->n++] = (int)value;
        text = *end == ',' ? end + 1 : end;
    }
    return true;
}

/* Makes one step with the sequence's tokens from `at` on, and as many of each companion's. */
static bool step(struct proof *proof, calmoe_session **sessions, int n_batch, const int32_t *tokens, int at, int n)
{
    calmoe_chunk chunks[N_BATCH];
    for (int i = 0; i < n_batch; i++) {
        const int          row   = (i + 1) % n_batch; /* the sequence is the last of the batch */
        const calmoe_chunk chunk = {sessions[row], tokens + row * proof->settings->n_prompt + at, n,
                                    row == 0 ? CALMOE_LOGITS_ALL : CALMOE_LOGITS_LAST};
        chunks[i] = chunk;
    }
    return cm_front_succeeded(&proof->front, calmoe_engine_step(proof->front.engine, chunks, n_batch));
}

/* Reads the prompts in chunks, then generates greedily. */
static bool read_and_answer(struct proof *proof, calmoe_session **sessions, int n_chunk, int n_batch)
{
    const int n_prompt = proof->settings->n_prompt;
    for (int at = 0; at < n_prompt; at += n_chunk) {
        const int left = n_prompt - at;
        if (!step(proof, sessions, n_batch, proof->tokens, at, left < n_chunk ? left : n_chunk)) return false;
    }
    for (int i = 0; i < proof->settings->n_new; i++) {
        calmoe_chunk chunks[N_BATCH];
        int32_t      tokens[N_BATCH];
        for (int row = 0; row < n_batch; row++) {
            const calmoe_chunk chunk = {sessions[row], &tokens[row], 1, CALMOE_LOGITS_ALL};
            chunks[row] = chunk;
            if (!cm_front_succeeded(&proof->front, calmoe_session_sample(sessions[row], &tokens[row]))) return false;
        }
        if (!cm_front_succeeded(&proof->front, calmoe_engine_step(proof->front.engine, chunks, n_batch))) return false;
    }
    return true;
}

/* Prints one row of the table. False if it could not be computed; a hash that differs is counted. */
static bool run_once(struct proof *proof, const char *isa, int n_threads, int n_chunk, int n_batch)
{
    calmoe_session        *sessions[N_BATCH] = {0};
    calmoe_session_options session;
    char                   hash[65] = "", chunk[24] = "whole";
    const int              n_prompt = proof->settings->n_prompt;
    calmoe_session_options_init(&session);
    session.context     = n_prompt + proof->settings->n_new;
    session.hash_logits = 1;
    bool fine           = true;
    for (int i = 0; fine && i < n_batch; i++)
        fine = cm_front_succeeded(&proof->front, calmoe_session_open(proof->front.engine, &session, &sessions[i]));
    const double start = cm_seconds();
    fine = fine && read_and_answer(proof, sessions, n_chunk > 0 ? n_chunk : n_prompt, n_batch) &&
           cm_front_succeeded(&proof->front, calmoe_session_logit_hash(sessions[0], hash));
    const double seconds = cm_seconds() - start;
    for (int i = 0; i < n_batch; i++) calmoe_session_close(&sessions[i]);
    if (!fine) return false;
    if (proof->n_runs++ == 0) memcpy(proof->wanted, hash, sizeof hash);
    const bool is_same = strcmp(hash, proof->wanted) == 0;
    proof->n_different += !is_same;
    if (n_chunk > 0) snprintf(chunk, sizeof chunk, "%d", n_chunk);
    printf("| %s | %d | %s | %d | %.2f | %s | %s |\n", isa, n_threads, chunk, n_batch, seconds, hash,
           is_same ? "same" : "DIFFERENT");
    return fflush(stdout) == 0;
}

/* Runs all chunk sizes, alone and in a batch, on one engine. An instruction set that this machine does not have is
 * reported and skipped. */
static bool run_engine(struct proof *proof, const char *isa, int n_threads, const struct list *chunks,
                       const struct list *batches)
{
    calmoe_engine_options engine;
    calmoe_engine_options_init(&engine);
    engine.n_threads          = n_threads;
    engine.pin_threads        = 0; /* since there may be more threads than cores */
    engine.isa                = isa;
    engine.max_rows           = N_BATCH * proof->settings->n_prompt;
    const calmoe_status status = calmoe_engine_open(proof->front.model, &engine, &proof->front.engine);
    bool                fine   = status == CALMOE_UNSUPPORTED || cm_front_succeeded(&proof->front, status);
    if (status == CALMOE_UNSUPPORTED) cm_say("left out: %s", calmoe_context_message(proof->front.context));
    for (int c = 0; status == CALMOE_OK && fine && c < chunks->n; c++)
        for (int b = 0; fine && b < batches->n; b++)
            fine = run_once(proof, isa, n_threads, chunks->values[c], batches->values[b]);
    calmoe_engine_close(&proof->front.engine);
    return fine;
}

struct lists {
    struct list threads, slow_threads, chunks, batches;
};

static bool run_all(struct proof *proof, const struct lists *lists)
{
    static const struct list whole = {{0}, 1}, alone = {{1}, 1};
    bool                     fine  = true;
    const char              *at    = proof->settings->isa;
    printf("| isa | threads | tokens in a step | sessions | seconds | SHA-256 of all logits | |\n"
           "|---|---:|---:|---:|---:|---|---|\n");
    while (fine && *at != '\0') {
        char         isa[32];
        const size_t length = strcspn(at, ",");
        snprintf(isa, sizeof isa, "%.*s", (int)length, at);
        const bool         is_slow = strcmp(isa, "ref") == 0;
        const struct list *threads = is_slow ? &lists->slow_threads : &lists->threads;
        for (int t = 0; fine && t < threads->n; t++)
            fine = run_engine(proof, isa, threads->values[t], is_slow ? &whole : &lists->chunks,
                              is_slow ? &alone : &lists->batches);
        at += length + (at[length] == ',');
    }
    return fine;
}

static bool open_model(struct proof *proof)
{
    calmoe_model_info info     = {.size = sizeof info};
    uint64_t          state    = SEED;
    const int         n_tokens = N_BATCH * proof->settings->n_prompt;
    if (!cm_front_open_model(&proof->front, proof->settings->model, false) ||
        !cm_front_succeeded(&proof->front, calmoe_model_get_info(proof->front.model, &info)))
        return false;
    proof->tokens = calloc((size_t)n_tokens, sizeof *proof->tokens);
    if (proof->tokens == NULL || info.n_vocab <= 0) {
        cm_say("no memory for %d tokens", n_tokens);
        return false;
    }
    for (int i = 0; i < n_tokens; i++)
        proof->tokens[i] = (int32_t)(next_random(&state) % (uint64_t)info.n_vocab);
    return true;
}

static int run(int argc, char **argv)
{
    struct settings settings = {.isa = "ref,neon,neondot,avx2,avxvnni,avx512vnni,amx", .threads = "1,2,3",
                                .chunks = "1,7,32,0", .batches = "1,4", .slow_threads = "2", .n_prompt = 48,
                                .n_new = 8};
    struct proof    proof    = {.settings = &settings};
    struct lists    lists;
    int             n_operands;
    const int       parsed = cm_cli_parse(&description, argc, argv, &settings, &n_operands);
    if (parsed != CLI_GO_ON) return parsed;
    if (!read_list("--threads", settings.threads, 1, 4096, &lists.threads) ||
        !read_list("--slow-threads", settings.slow_threads, 1, 4096, &lists.slow_threads) ||
        !read_list("--chunks", settings.chunks, 0, 4096, &lists.chunks) ||
        !read_list("--batch", settings.batches, 1, N_BATCH, &lists.batches))
        return EXIT_WRONG_USAGE;
    const bool fine = open_model(&proof) && run_all(&proof, &lists);
    if (fine)
        printf("\n%d settings, %d of them with another hash than the first.\n", proof.n_runs, proof.n_different);
    free(proof.tokens);
    cm_front_close(&proof.front);
    return fine && proof.n_runs > 1 && proof.n_different == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    cm_begin_streams();
    return cm_end_streams(run(argc, argv));
}
