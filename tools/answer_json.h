/* tools/answer_json.h - an answer, and what it took, as one JSON object on stdout: `calmoe run --json`. */
#ifndef TOOLS_ANSWER_JSON_H
#define TOOLS_ANSWER_JSON_H

#include "tools/generation.h"

/* is_lossless: drafts are told, too. hash: of all logits; NULL = nobody asked. False with a sentence. */
bool cm_answer_json_print(const struct generation *generation, bool is_lossless, const char *hash);

#endif
