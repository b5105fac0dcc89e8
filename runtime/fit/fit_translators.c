/* fit_translators.c - the sums of all windows that are fitted, saved now and then; and what is solved of them. */
#include "runtime/fit/fit_parts.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "runtime/documents/fit_sums_file.h"

static float size_of(const float *state, int dim)
{
    double sum = 0.0;
    for (int i = 0; i < dim; i++) sum += (double)state[i] * (double)state[i];
    return (float)sqrt(sum / dim);
}

/* The head's norm takes the size of a state away, so what is fitted is the direction of the last state: at the size
 * that the state has at the exit, and with errors that are relative to it. Without that, the map's few ranks would go
 * into making all of the state larger, as it grows from layer to layer, and the first token of a sequence, which in
 * many models is some hundred times as large as others, would count for all. */
static void add_states(void *user, int n)
{
    struct fitting *f = user;
    const int    dim = f->learned.dim;
    const float *to = cm_last_states(&f->reader);
    for (int i = 0; i < f->n_exits; i++) {
        const float *from = cm_states(&f->reader, i);
        for (int r = 0; r < n; r++, from += dim) {
            const float *last = to + (size_t)r * (size_t)dim;
            const float  size = size_of(from, dim), ratio = size / size_of(last, dim), weight = 1.0f / (size * size);
            if (!(ratio > 0.0f && weight > 0.0f && weight < INFINITY)) continue;
            for (int j = 0; j < dim; j++) f->scaled[j] = ratio * last[j];
            cm_translator_fit_add(f->fits[i], from, f->scaled, &weight, 1);
        }
    }
}

static void add_number(struct sha256 *sha, uint64_t number) { cm_sha256_add(sha, &number, sizeof number); }

/* All that the sums depend on, but for the library of linear algebra. */
static void make_key(const struct fitting *f, char key[65])
{
    struct sha256 sha = cm_sha256();
    cm_sha256_add(&sha, CALMOE_VERSION_TEXT, sizeof CALMOE_VERSION_TEXT);
    cm_sha256_add(&sha, f->engine->model->fingerprint, sizeof f->engine->model->fingerprint);
    add_number(&sha, (uint64_t)f->engine->options.kv_float32);
    add_number(&sha, (uint64_t)f->n_exits);
    for (int i = 0; i < f->n_exits; i++) add_number(&sha, (uint64_t)f->layers[i]);
    add_number(&sha, (uint64_t)f->text.window);
    add_number(&sha, (uint64_t)(f->held_out.tokens != NULL));
    cm_sha256_add(&sha, f->text.tokens, f->text.n_tokens * sizeof *f->text.tokens);
    cm_sha256_hex(&sha, key);
}

struct saving {
    struct fit_sums sums;
    double         *parts[CALMOE_MAX_EXITS];
    uint64_t        last_ns;
};

/* Rows that wait go into the sums after each window, so that where a break falls changes no bit of them. */
static void settle(struct fitting *f, struct saving *saving, size_t n_windows)
{
    size_t n = 0;
    saving->sums.n_windows = n_windows;
    for (int i = 0; i < f->n_exits; i++) saving->parts[i] = cm_translator_fit_sums(f->fits[i], &n);
    saving->sums.n_doubles = n;
}

static void resume(struct fitting *f, struct saving *saving)
{
    make_key(f, saving->sums.key);
    saving->sums.n_parts = f->n_exits;
    saving->sums.parts = saving->parts;
    settle(f, saving, 0);
    if (access(f->sums_path, F_OK) != 0) return;
    f->was_resumed = cm_fit_sums_read(f->sums_path, &saving->sums);
    if (f->was_resumed) cm_log(f->ctx, "going on from '%s'", f->sums_path);
    else cm_log(f->ctx, "'%s' is broken, or of another fit: beginning anew", f->sums_path);
}

static calmoe_status gather(struct fitting *f)
{
    struct saving saving = {.last_ns = cm_now_ns()};
    const size_t  n = cm_fit_windows(&f->text);
    resume(f, &saving);
    f->n_worked += saving.sums.n_windows;
    for (size_t i = (size_t)saving.sums.n_windows; i < n; i++) {
        const struct fit_text window = cm_fit_window(&f->text, i);
        if (cm_fit_use(f, i) == FIT_SUMS) CM_TRY(cm_state_reader_read(&f->reader, &window, add_states, f));
        settle(f, &saving, i + 1);
        const calmoe_status status = cm_fit_advance(f);
        const bool is_due = (double)(cm_now_ns() - saving.last_ns) * 1e-9 >= f->options.save_every;
        if (status == CALMOE_OK && !is_due && i + 1 < n) continue;
        /* of a call that was stopped, the sentence is that it was */
        const calmoe_status saved =
            cm_fit_sums_write(status == CALMOE_OK ? f->ctx : NULL, f->sums_path, &saving.sums);
        CM_TRY(status);
        CM_TRY(saved);
        saving.last_ns = cm_now_ns();
    }
    return CALMOE_OK;
}

/* up stands as (rank, dim) in what was solved, as (dim, rank) where it is multiplied. */
static calmoe_status keep(struct fitting *f, int i, const struct translator *solved)
{
    struct learned_exit *exit = &f->learned.exits[i];
    const size_t dim = (size_t)solved->dim, rank = (size_t)solved->rank;
    CM_TRY(cm_learned_translator_reserve(f->ctx, exit, solved->dim, solved->rank));
    memcpy(exit->down, solved->down, rank * dim * sizeof *exit->down);
    memcpy(exit->bias, solved->bias, dim * sizeof *exit->bias);
    for (size_t r = 0; r < rank; r++)
        for (size_t j = 0; j < dim; j++) exit->up[j * rank + r] = solved->up[r * dim + j];
    f->explained[i] = solved->explained;
    return CALMOE_OK;
}

static calmoe_status solve(struct fitting *f, int i)
{
    struct translator solved;
    CM_TRY(cm_translator_fit_solve(f->ctx, f->fits[i], f->options.rank, f->options.ridge, &solved));
    const calmoe_status status = keep(f, i, &solved);
    cm_translator_close(&solved);
    f->n_fitted = cm_translator_fit_rows(f->fits[i]);
    cm_translator_fit_close(&f->fits[i]); /* 16 dim^2 bytes */
    return status;
}

calmoe_status cm_fit_translators(struct fitting *f)
{
    const int dim = f->engine->model->spec.dim;
    if (f->options.rank == 0) return CALMOE_OK;
    f->scaled = cm_alloc(f->ctx, (size_t)dim, sizeof *f->scaled, "a state");
    if (!f->scaled) return CALMOE_NO_MEMORY;
    for (int i = 0; i < f->n_exits; i++) CM_TRY(cm_translator_fit_open(f->ctx, dim, &f->fits[i]));
    CM_TRY(cm_fit_open_reader(f, f->engine->options.max_rows, false));
    CM_TRY(gather(f));
    for (int i = 0; i < f->n_exits; i++) CM_TRY(solve(f, i));
    return CALMOE_OK;
}
