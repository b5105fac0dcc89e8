/* tools/generation.h - generates one answer to what a session was fed: prints it as it is made, counts its tokens and
 * measures its time. Used by plain runs and by conversations. */
#ifndef TOOLS_GENERATION_H
#define TOOLS_GENERATION_H

#include "tools/exit_colors.h"
#include "tools/front.h"

struct chat_history; /* chat_history.h */

struct run_times { /* sums over all answers of the run */
    uint64_t n_prompt;       /* tokens that were read before the first token of an answer */
    uint64_t n_generated;    /* tokens of answers, without end tokens         */
    uint64_t n_steps;        /* tokens that were read one by one, after the prompt */
    double   prompt_seconds;
    double   step_seconds;   /* time that these took                          */
};

struct token_use { /* one token of an answer */
    calmoe_depth depth;
    size_t       n_bytes; /* bytes of text that this token completed           */
};

struct generation {
    const struct front *front;
    calmoe_session     *session;
    struct chat_history *history;   /* NULL: turns are appended to the session. Else ids must be kept */
    int                 max_tokens; /* most tokens of an answer; 0 = only read the prompt */
    bool                prints;     /* print the text to stdout as it comes         */
    bool                keeps;      /* keep text and ids                            */
    calmoe_stops       *stops;      /* texts that end an answer and are not shown   */
    struct bytes        held;       /* text that is held back, since it may begin a stop text */
    struct bytes        held_uses;  /* struct token_use of the tokens that this text is from */
    struct bytes        text;
    struct bytes        ids;        /* int32_t each                                 */
    bool                keeps_uses;
    struct bytes        uses;       /* struct token_use each                        */
    struct exit_colors  exits;
    calmoe_stats        of_prompt;  /* the engine's statistics when the last prompt had been read */
    struct run_times    times;
    char               *piece;      /* (n_piece) text of one token                  */
    size_t              n_piece;
};

enum answer_end {
    ANSWER_ENDED,       /* by the model's end token, or because there was no token to continue from */
    ANSWER_STOPPED,     /* by a stop text                                               */
    ANSWER_LIMIT,       /* max_tokens was reached                                       */
    ANSWER_FULL,        /* the context is full                                          */
    ANSWER_INTERRUPTED, /* Ctrl-C                                                       */
    ANSWER_FAILED       /* there is a sentence on stderr, or stdout cannot be written   */
};

/* Reads what was fed and generates the answer; *n_tokens is the number of its tokens. */
enum answer_end cm_generate(struct generation *generation, int *n_tokens);
void            cm_generation_close(struct generation *generation); /* leaves the session and the stops open */

double cm_tokens_per_second(uint64_t n_tokens, double seconds); /* 0 if nothing was timed */
/* Prints two lines on stderr: tokens, seconds and tokens/s of the prompt and of the generation. */
void cm_print_times(const struct run_times *times);

#endif
