/* tools/answer_json.h - writes an answer and its figures as one JSON object to stdout: `calmoe run --json`. */
#ifndef TOOLS_ANSWER_JSON_H
#define TOOLS_ANSWER_JSON_H

#include "tools/generation.h"

/* is_lossless: also report drafts. hash: of all logits; NULL = it was not requested. False with a sentence. */
bool cm_answer_json_print(const struct generation *generation, bool is_lossless, const char *hash);

#endif
