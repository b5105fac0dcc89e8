/* runtime/constrain/constraint.h - what stands behind calmoe_constraint: a program, and the vocabulary that it is asked
 * about. It does not change; each sampler has a walker of its own. */
#ifndef RUNTIME_CONSTRAIN_CONSTRAINT_H
#define RUNTIME_CONSTRAIN_CONSTRAINT_H

#include <calmoe/constraint.h>

#include "runtime/constrain/program.h"
#include "runtime/constrain/token_trie.h"

struct calmoe_constraint {
    struct calmoe_context   *ctx;
    struct program           program;
    const struct token_trie *trie; /* the model's */
};

#endif
