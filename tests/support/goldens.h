/* tests/support/goldens.h - the models of tests/golden, found by their names: a new one needs no line in tests. */
#ifndef TESTS_SUPPORT_GOLDENS_H
#define TESTS_SUPPORT_GOLDENS_H

#define GOLDEN_FOLDER CALMOE_SOURCE_DIR "/tests/golden"

#include <stdbool.h>

enum { GOLDEN_MAX = 64, GOLDEN_NAME = 64 };

struct goldens {
    int  n; /* 10 at least: less aborts */
    char names[GOLDEN_MAX][GOLDEN_NAME];
};

/* Those with expectations (NAME.gguf, NAME.expect.gguf), by name. */
struct goldens goldens(void);

/* Whether all that is in the model, mixers and options of layers, is in another one, too: tests that try many ways may
 * try fewer on it. */
bool golden_has_twin(const char *name);
/* Whether it is left out where many models are tried in many ways: in a thin run (thin.h) all but one of each mixer and
 * of each kind of layer are. */
bool golden_is_left_out(const char *name);

/* FOLDER/NAME.gguf. */
const char *golden_path(char path[600], const char *name);

#endif
