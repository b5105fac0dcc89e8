/* learned.c - see learned.h. */
#include "tests/support/learned.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/random.h"

static void fill(struct random *random, float *values, size_t n, float scale)
{
    for (size_t i = 0; i < n; i++) values[i] = scale * cm_random_normal(random);
}

struct learned_exits learned_random(const char *model, int n_layers, int dim, const int *layers, int n, int rank,
                                    uint64_t seed)
{
    struct learned_exits exits = {.n_layers = n_layers, .dim = dim, .n = n};
    struct random random = cm_random(seed);
    const size_t n_factor = (size_t)rank * (size_t)dim;
    snprintf(exits.model, sizeof exits.model, "%s", model);
    for (int i = 0; i < n; i++) {
        struct learned_exit *exit = &exits.exits[i];
        exit->layer = layers[i];
        assert_int_equal(cm_learned_classifier_reserve(NULL, exit, dim), CALMOE_OK);
        fill(&random, exit->classifier, (size_t)dim, 0.05f);
        fill(&random, &exit->classifier_bias, 1, 0.1f);
        if (rank == 0) continue;
        assert_int_equal(cm_learned_translator_reserve(NULL, exit, dim, rank), CALMOE_OK);
        fill(&random, exit->down, n_factor, 0.1f);
        fill(&random, exit->up, n_factor, 0.1f);
        fill(&random, exit->bias, (size_t)dim, 0.1f);
        if (exit->layer + 1 >= n_layers) continue;
        assert_int_equal(cm_learned_path_reserve(NULL, exit, n_layers), CALMOE_OK);
        for (int l = exit->layer + 1; l < n_layers; l++)
            exit->path[l] = (float)(l - exit->layer) / (float)(n_layers - exit->layer);
    }
    cm_learned_exits_seal(&exits);
    return exits;
}
