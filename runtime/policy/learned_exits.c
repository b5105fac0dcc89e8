/* learned_exits.c - see learned_exits.h. */
#include "runtime/policy/learned_exits.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/sha256.h"

/* ---- memory ---- */

void cm_learned_translator_drop(struct learned_exit *exit)
{
    cm_free(exit->down);
    cm_free(exit->up);
    cm_free(exit->bias);
    cm_free(exit->path);
    exit->down = exit->up = exit->bias = exit->path = NULL;
    exit->rank = 0;
}

void cm_learned_exits_close(struct learned_exits *exits)
{
    for (int i = 0; i < POLICY_MAX_EXITS; i++) {
        cm_learned_translator_drop(&exits->exits[i]);
        cm_free(exits->exits[i].classifier);
    }
    *exits = (struct learned_exits){.n = 0};
}

calmoe_status cm_learned_translator_reserve(struct calmoe_context *ctx, struct learned_exit *exit, int dim, int rank)
{
    size_t n;
    if (!cm_multiply((size_t)dim, (size_t)rank, &n))
        return cm_fail(ctx, CALMOE_NO_MEMORY, "a translator of rank %d for states of %d numbers", rank, dim);
    cm_learned_translator_drop(exit);
    exit->down = cm_alloc(ctx, n, sizeof(float), "a translator");
    exit->up = cm_alloc(ctx, n, sizeof(float), "a translator");
    exit->bias = cm_alloc(ctx, (size_t)dim, sizeof(float), "a translator");
    exit->rank = rank;
    return exit->down && exit->up && exit->bias ? CALMOE_OK : CALMOE_NO_MEMORY;
}

calmoe_status cm_learned_path_reserve(struct calmoe_context *ctx, struct learned_exit *exit, int n_layers)
{
    cm_free(exit->path);
    exit->path = cm_alloc(ctx, (size_t)n_layers, sizeof(float), "a translator");
    return exit->path ? CALMOE_OK : CALMOE_NO_MEMORY;
}

calmoe_status cm_learned_classifier_reserve(struct calmoe_context *ctx, struct learned_exit *exit, int dim)
{
    cm_free(exit->classifier);
    exit->classifier_bias = 0.0f;
    exit->classifier = cm_alloc(ctx, (size_t)dim, sizeof(float), "a classifier");
    return exit->classifier ? CALMOE_OK : CALMOE_NO_MEMORY;
}

/* ---- fingerprint ---- */

static void add_number(struct sha256 *sha, int number)
{
    uint8_t bytes[4];
    for (int i = 0; i < 4; i++) bytes[i] = (uint8_t)((uint32_t)number >> 8 * i);
    cm_sha256_add(sha, bytes, sizeof bytes);
}

static void add_floats(struct sha256 *sha, const float *values, size_t n)
{
    if (values) cm_sha256_add(sha, values, n * sizeof *values);
}

void cm_learned_exits_seal(struct learned_exits *exits)
{
    const size_t  dim = (size_t)exits->dim;
    struct sha256 sha = cm_sha256();
    char          hex[65];
    cm_sha256_add(&sha, exits->model, sizeof exits->model);
    add_number(&sha, exits->n_layers);
    add_number(&sha, exits->dim);
    for (int i = 0; i < exits->n; i++) {
        const struct learned_exit *exit = &exits->exits[i];
        const size_t n = (size_t)exit->rank * dim;
        add_number(&sha, exit->layer);
        add_number(&sha, exit->rank);
        add_number(&sha, (exit->classifier != NULL) + 2 * (exit->path != NULL));
        add_floats(&sha, exit->down, n);
        add_floats(&sha, exit->up, n);
        add_floats(&sha, exit->bias, dim);
        add_floats(&sha, exit->path, (size_t)exits->n_layers);
        add_floats(&sha, exit->classifier, dim);
        if (exit->classifier) add_floats(&sha, &exit->classifier_bias, 1);
    }
    cm_sha256_hex(&sha, hex);
    memcpy(exits->fingerprint, hex, sizeof exits->fingerprint - 1);
    exits->fingerprint[sizeof exits->fingerprint - 1] = '\0';
}

/* ---- checks ---- */

static bool are_finite(const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(values[i])) return false;
    return true;
}

static calmoe_status check_numbers(struct calmoe_context *ctx, const struct learned_exit *exit, size_t n_layers,
                                   size_t dim)
{
    const size_t n = (size_t)exit->rank * dim;
    if (exit->rank > 0 &&
        !(are_finite(exit->down, n) && are_finite(exit->up, n) && are_finite(exit->bias, dim) &&
          (!exit->path || are_finite(exit->path, n_layers))))
        return cm_fail(ctx, CALMOE_BAD_FILE, "the translator after layer %d has a number that is not finite",
                       exit->layer);
    if (exit->classifier && !(are_finite(exit->classifier, dim) && isfinite(exit->classifier_bias)))
        return cm_fail(ctx, CALMOE_BAD_FILE, "the classifier after layer %d has a number that is not finite",
                       exit->layer);
    return CALMOE_OK;
}

calmoe_status cm_learned_exits_check(struct calmoe_context *ctx, const struct learned_exits *exits)
{
    if (exits->n < 1 || exits->n > POLICY_MAX_EXITS)
        return cm_fail(ctx, CALMOE_BAD_FILE, "%d exits; 1 to %d are supported", exits->n, POLICY_MAX_EXITS);
    for (int i = 0; i < exits->n; i++) {
        const struct learned_exit *exit = &exits->exits[i];
        if (exit->layer < 1 || exit->layer >= exits->n_layers)
            return cm_fail(ctx, CALMOE_BAD_FILE, "an exit after layer %d; of a model with %d layers, 1 to %d are exits",
                           exit->layer, exits->n_layers, exits->n_layers - 1);
        if (i > 0 && exit->layer <= exit[-1].layer)
            return cm_fail(ctx, CALMOE_BAD_FILE, "an exit after layer %d behind one after layer %d; they must ascend",
                           exit->layer, exit[-1].layer);
        if (exit->rank < 0 || exit->rank > exits->dim)
            return cm_fail(ctx, CALMOE_BAD_FILE,
                           "the translator after layer %d has rank %d; states of %d numbers allow 1 to %d",
                           exit->layer, exit->rank, exits->dim, exits->dim);
        if (exit->rank == 0 && !exit->classifier)
            return cm_fail(ctx, CALMOE_BAD_FILE, "the exit after layer %d has neither a translator nor a classifier",
                           exit->layer);
        if (exit->rank == 0 && exit->path)
            return cm_fail(ctx, CALMOE_BAD_FILE, "the exit after layer %d has a path, but no translator", exit->layer);
        CM_TRY(check_numbers(ctx, exit, (size_t)exits->n_layers, (size_t)exits->dim));
    }
    return CALMOE_OK;
}

calmoe_status cm_learned_exits_fit(struct calmoe_context *ctx, const struct learned_exits *exits, const char *model,
                                   int n_layers, int dim)
{
    if (strcmp(exits->model, model) != 0)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "the exits are for a model with fingerprint %s; this one's is %s",
                       exits->model, model);
    if (exits->n_layers != n_layers || exits->dim != dim)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT,
                       "the exits are for %d layers of width %d; this model has %d of width %d", exits->n_layers,
                       exits->dim, n_layers, dim);
    return CALMOE_OK;
}
