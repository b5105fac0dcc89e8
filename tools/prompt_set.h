/* tools/prompt_set.h - takes prompts from files: pieces that are cut out of texts, and JSON lines with prompts or
 * documents. */
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
    struct bytes        tokens;  /* int32_t each: the tokens of all prompts and references */
    struct bytes        pieces;  /* struct piece each, file by file            */
    calmoe_prompt      *prompts; /* (n_prompts) the chosen prompts             */
    int                 n_prompts;
};

/* Adds a file's prompts. A text is cut into pieces of n_cut tokens, each from the beginning of a paragraph if one is
 * near. A file named *.jsonl has JSON lines (json_lines.h): documents are cut, prompts are taken as they are. False
 * with a sentence. */
bool cm_prompt_set_add(struct prompt_set *set, const char *path);
/* Chooses at most n_most prompts (0 = all): equally many from each file as long as it has some, spread over the file.
 * False with a sentence: there are none, or only some have references. */
bool cm_prompt_set_choose(struct prompt_set *set, int n_most);
void cm_prompt_set_close(struct prompt_set *set);

#endif
