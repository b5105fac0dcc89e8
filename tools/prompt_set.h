/* tools/prompt_set.h - prompts out of files: texts cut into pieces, and JSON lines with prompts or documents. */
#ifndef TOOLS_PROMPT_SET_H
#define TOOLS_PROMPT_SET_H

#include <calmoe/calibration.h>

#include "tools/front.h"

enum { PROMPT_SET_FILES = 64 };

struct prompt_set {
    const struct front *front;
    int                 n_cut; /* tokens of a prompt that is cut out of a text */
    size_t              n_of[PROMPT_SET_FILES];
    int                 n_files;
    struct bytes        tokens;  /* int32_t each: of all prompts and references */
    struct bytes        pieces;  /* struct piece each, file after file         */
    calmoe_prompt      *prompts; /* (n_prompts) as chosen                      */
    int                 n_prompts;
};

/* Cuts the file up. A text: pieces of n_cut tokens, each from a paragraph's beginning where there is one. A file that
 * is named *.jsonl: see json_lines.h; documents are cut, prompts are taken as they are. False with a sentence. */
bool cm_prompt_set_add(struct prompt_set *set, const char *path);
/* At most n_most (0 = all), as many of one file as of another while they last, spread over each. False with a
 * sentence: none, or only some have references. */
bool cm_prompt_set_choose(struct prompt_set *set, int n_most);
void cm_prompt_set_close(struct prompt_set *set);

#endif
