/* tools/generation.h - one answer, from what a session was fed to its end: shown as it is made,
 * counted and timed. Used by plain runs and by conversations. */
#ifndef TOOLS_GENERATION_H
#define TOOLS_GENERATION_H

#include "tools/exit_colors.h"
#include "tools/front.h"

struct run_times { /* sums over all answers */
    uint64_t n_prompt;       /* tokens read before the first of an answer     */
    uint64_t n_generated;    /* tokens of the answers, without end tokens     */
    uint64_t n_steps;        /* steps of one token after the prompt           */
    double   prompt_seconds;
    double   step_seconds;   /* of n_steps                                    */
};

struct token_use { /* of one token of an answer */
    calmoe_depth depth;
    size_t       n_bytes; /* of the text, that became whole characters with it */
};

struct generation {
    const struct front *front;
    calmoe_session     *session;
    int                 max_tokens; /* of one answer; 0 = only read the prompt      */
    bool                prints;     /* stream the text to stdout                    */
    bool                keeps;      /* keep text and ids                            */
    calmoe_stops       *stops;      /* texts that end an answer and are not shown   */
    struct bytes        held;       /* text that may be the beginning of one        */
    struct bytes        held_uses;  /* struct token_use of the tokens that it is of */
    struct bytes        text;
    struct bytes        ids;        /* int32_t each                                 */
    bool                keeps_uses;
    struct bytes        uses;       /* struct token_use each                        */
    struct exit_colors  exits;
    calmoe_stats        of_prompt;  /* the engine's, when the last prompt was read  */
    struct run_times    times;
    char               *piece;      /* (n_piece) text of one token                  */
    size_t              n_piece;
};

enum answer_end {
    ANSWER_ENDED,       /* by the model's end token, or there was nothing to go on from */
    ANSWER_STOPPED,     /* by a stop text                                               */
    ANSWER_LIMIT,       /* max_tokens                                                   */
    ANSWER_FULL,        /* no position is left in the context                           */
    ANSWER_INTERRUPTED, /* Ctrl-C                                                       */
    ANSWER_FAILED       /* a sentence is on stderr, or stdout cannot be written         */
};

/* Reads what was fed and makes the answer; *n_tokens counts its tokens. */
enum answer_end cm_generate(struct generation *generation, int *n_tokens);
void            cm_generation_close(struct generation *generation); /* not the session, nor the stops */

double cm_tokens_per_second(uint64_t n_tokens, double seconds); /* 0 where nothing was timed */
/* Two lines on stderr: tokens, seconds and tokens/s of the prompt and of the generation. */
void cm_print_times(const struct run_times *times);

#endif
