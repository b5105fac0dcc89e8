/* runtime/engine/followers.h - what rank 0's engine tells those of other ranks (followers.c), and what they do then
 * (follow.c). */
#ifndef RUNTIME_ENGINE_FOLLOWERS_H
#define RUNTIME_ENGINE_FOLLOWERS_H

#include "runtime/engine/handles.h"

/* What is told begins with one of these; the events of a state (sequence_state.h) come first. Where nothing is said, id
 * is a sequence's. */
enum {
    WORD_OPEN = STATE_COPY + 1, /* id; value: positions                                                             */
    WORD_RUNG,                  /* id of the rung, the next or one that is another's now; value: words of it
                                   (rung_words.h), which follow                                                     */
    WORD_WAIT,                  /* what waits of a sequence before the next step: value: at most; other: rows, which
                                   follow, each a told_waiting. They are the first of those that the last step left */
    WORD_DRIVE,                 /* for the next step alone: cm_exits_drive(); value: below                          */
    WORD_STEP,                  /* id: rows, which follow, each a told_row; value: logits; other: STEP_*            */
    WORD_KEEP,                  /* value: states that rows of a step may leave behind them                          */
    WORD_DRAFTERS,              /* drafters are opened, and all agree on how that went                              */
    WORD_OPEN_READER,           /* a sequence of a drafter; value: positions; other: enum drafter_kind              */
    WORD_STATES,                /* of a reader; value: states of the model's that it has; other: its session's id   */
    WORD_ADAPTER,               /* value: bytes of its path, which follows: it is opened, and all agree             */
    WORD_DROP_ADAPTER,          /* id: its number                                                                   */
    WORD_USE,                   /* value: adapters that the sequence uses, which follow, each a told_use            */
    WORD_SAVE,                  /* value: positions, of which all ranks put what they keep                          */
    WORD_RESTORE,               /* value: positions, of which all ranks get what they keep                          */
    WORD_DRAFT,                 /* as WORD_STEP, of a drafter; other: enum drafter_kind                             */
    WORD_TRANSLATORS,           /* id: exits; value: words of the translators that were fitted, which follow        */
    WORD_PROBE,                 /* id: rows; value: words of their states, which follow; other: layers that have run,
                                   twice, and one more where they are translated: what does the head say?          */
    WORD_END
};
enum {
    STEP_HAS_EXITS = 1,    /* something runs between layers      */
    STEP_TELLS_CHOICES = 2 /* as of struct step                  */
};
struct told {
    int32_t word, id, value, other;
};
struct told_row { /* as struct row has them; kept, state, before: which of those that its sequence has, -1 = none */
    int32_t id, position, token, logits_row;
    int32_t rung, t; /* rung 0: none */
    int32_t kept, state, before;
};
struct told_use {
    int32_t number; /* of the adapter */
    float   scale;
};
struct told_waiting {
    int32_t logits_row, kept, state;
};
enum {
    WORDS_TOLD = sizeof(struct told) / sizeof(int32_t),
    WORDS_OF_ROW = sizeof(struct told_row) / sizeof(int32_t),
    WORDS_OF_USE = sizeof(struct told_use) / sizeof(int32_t),
    WORDS_OF_WAITING = sizeof(struct told_waiting) / sizeof(int32_t)
};

/* A translator among them: layer and rank, then down, bias, up. */
static inline size_t cm_translator_words(int dim, int rank)
{
    return 2 + (2 * (size_t)rank + 1) * (size_t)dim;
}

struct followers; /* of an engine of rank 0 that has other ranks */
calmoe_status cm_followers_open(calmoe_engine *engine, struct followers **out);
void          cm_followers_close(struct followers **followers); /* NULL inside is fine */
/* A session was opened: whatever is done to its states, and to those of its drafters, is told. */
void          cm_followers_add(struct followers *followers, calmoe_session *session);
/* The step that is built begins on all ranks; then it is run, and ended. exits: what runs between its layers; NULL:
 * nothing does. */
calmoe_status cm_followers_begin_step(struct followers *followers, const struct step *step,
                                      const struct exits *exits);
void          cm_followers_end_step(struct followers *followers);
/* A drafter's step likewise. */
calmoe_status cm_followers_begin_draft(struct followers *followers, const struct step *step, enum drafter_kind kind);
/* All ranks open an adapter likewise; the number of one that is closed; what the session uses. */
calmoe_status cm_followers_begin_adapter(struct followers *followers, const char *path);
void          cm_followers_drop_adapter(struct followers *followers, int number);
void          cm_followers_use(struct followers *followers, const calmoe_session *session);
/* What a state keeps of its first positions is saved (WORD_SAVE) or restored (WORD_RESTORE) by all ranks likewise. */
calmoe_status cm_followers_begin_state(struct followers *followers, int word, const struct sequence_state *state,
                                       int n_positions);
/* All ranks will have the translators of these exits; and probe states (n, dim) likewise (exits/exit_probe.h). */
void          cm_followers_take_translators(struct followers *followers, const struct learned_exits *learned);
calmoe_status cm_followers_begin_probe(struct followers *followers, int n_layers_run, bool is_translated,
                                       const float *states, int n, int dim);
/* All ranks open their drafters, between this and cm_followers_end_step(). */
calmoe_status cm_followers_begin_drafters(struct followers *followers);

#endif
