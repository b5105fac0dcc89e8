/* runtime/mixers/sequence_state.h - what the layers keep of one sequence, and the way back.
 *
 * Positions are the sequence's own: its first token has position 0. Where trained keys and values stand before it
 * (prefix.h), each position stands n_prefix further behind in the cache, and that place is the one by which heads are
 * rotated and windows are counted: cm_kv_position().
 *
 * Keys and values are kept by position: going back means that later positions are written over. Other mixers keep a
 * state of fixed size that cannot be taken back; and a window forgets what lies before it. So the sequence takes
 * snapshots of its fixed-size state, within a number of bytes, the least recently used going first; and going back to
 * a position means: to the nearest place before it from which the rest can be read again. */
#ifndef RUNTIME_MIXERS_SEQUENCE_STATE_H
#define RUNTIME_MIXERS_SEQUENCE_STATE_H

#include "experts/machine.h"
#include "runtime/mixers/kv_cache.h"
#include "runtime/mixers/row.h"

/* Who is told of all that is done to a state, so that other ranks do it to theirs. value: the position, if any. */
enum state_event {
    STATE_CLOSE, STATE_NOTE, STATE_SNAPSHOT, STATE_TOUCH, STATE_LOSE, STATE_REWIND, STATE_TAKE_KEPT, STATE_COPY
};
struct state_listener {
    void (*tell)(void *user, enum state_event event, int id, int value, int from_id); /* NULL: nobody */
    void *user;
    int   id; /* of the state; from_id: of the one that is copied; the number of the kept state that is taken */
};

struct kept_state { /* copies of a sequence have the same ones: they are never written to */
    int     n_holders;
    uint8_t bytes[]; /* (fixed_bytes) */
};
struct state_snapshot {
    int                position; /* positions that it has seen */
    uint64_t           used;     /* when it was last of use    */
    struct kept_state *kept;
};

struct sequence_state {
    struct calmoe_context   *ctx;
    const struct machine    *machine;
    const struct model_spec *spec;
    struct kv_cache kv;
    int             n_prefix;       /* positions of the cache that stand before the sequence's own                  */
    int             n_written;      /* positions that were ever written, since position 0 was last begun with */
    int             n_least;        /* going back to less means to 0: a copy or a file had no more of windows; 0: all */
    /* state of fixed size, of all layers that have one; layer l's lies at fixed + fixed_at[l] */
    size_t          fixed_bytes;    /* 0: no layer has one                       */
    uint8_t        *fixed;
    int             n_seen;         /* positions that it has seen; -1 = of none it is the state */
    size_t         *fixed_at;       /* (n_layers + 1)                            */
    int             n_snapshots, max_snapshots;
    struct state_snapshot *snapshots; /* (max_snapshots), positions ascending    */
    uint64_t        n_uses;
    int             n_kept;         /* further states that rows of a step may leave behind them */
    uint8_t       **kept;           /* (n_kept) (fixed_bytes)                    */
    struct state_listener listener;
};

struct state_place { /* where and how large */
    enum kv_type           type;
    int                    n_positions;
    int                    n_prefix;       /* beside them                        */
    int                    max_rows;       /* of a step                          */
    size_t                 snapshot_bytes; /* that snapshots may take in all     */
};

calmoe_status cm_sequence_state_open(const struct machine *machine, const struct model_spec *spec,
                                     const struct state_place *place, struct sequence_state *out);
void          cm_sequence_state_close(struct sequence_state *state); /* zeroed is fine */

/* Where in the cache a position of the sequence stands; and how much of it n positions fill: without a token nothing
 * counts, since what stands before the first one is written with it. */
static inline int cm_kv_position(const struct sequence_state *state, int position)
{
    return state->n_prefix + position;
}
static inline int cm_row_position(const struct row *row)
{
    return cm_kv_position(row->asked.sequence->state, row->asked.position);
}
static inline int cm_kv_filled(const struct sequence_state *state, int n) { return n > 0 ? state->n_prefix + n : 0; }

/* After a step: positions before n_positions are written, and the fixed-size state is the one behind them. */
void cm_sequence_state_note(struct sequence_state *state, int n_positions);

/* Keeps the fixed-size state as it is after `position` positions. NO_MEMORY: it is not kept. Without such state nothing
 * happens. */
calmoe_status cm_sequence_state_snapshot(struct sequence_state *state, int position);

/* The snapshot at that position is of use: others go before it. */
void cm_sequence_state_touch(struct sequence_state *state, int position);

/* Room for states behind so many rows of a step (row_request.kept): as many as fit in n_bytes, n_kept of
 * them. NO_MEMORY. */
calmoe_status cm_sequence_state_keep(struct sequence_state *state, int n, size_t n_bytes);
/* The fixed-size state becomes kept state i, which is that behind n_positions; what it was is lost. */
void cm_sequence_state_take_kept(struct sequence_state *state, int i, int n_positions);

/* A step broke off: the fixed-size state is of no position, until the next rewind. */
void cm_sequence_state_lose(struct sequence_state *state);

/* Goes back to `position`, or as far before it as is needed; answers where the sequence stands now: what lies between
 * must be read again. */
int cm_sequence_state_rewind(struct sequence_state *state, int position);

/* to, just opened for the same model and at least as many positions, with as many before them, becomes what from is
 * after n_positions; it may have another number of rows in a step. Snapshots are shared. Spans of the cache before
 * n_shared, which neither writes unless it goes back, are not copied but shared, where they lie alike; *n_shared: how
 * many of its positions were. Answers where it stands: before n_positions where the fixed-size state of from is of
 * other positions (what lies between must be read again). */
int cm_sequence_state_copy(const struct sequence_state *from, int n_positions, struct sequence_state *to,
                           int *n_shared);
/* Before positions first … end - 1 are written, of which those before n_kept were: keys and values become the
 * sequence's own where they are shared; those before position 0 with it. NO_MEMORY. */
calmoe_status cm_sequence_state_own(struct sequence_state *state, int first, int end, int n_kept);

/* What rows behind the first n_positions look at, in a fixed order, handed to put() or taken by get(): for files. The
 * same bytes whatever the context, the rows of a step, the plan and the number of ranks are: for each layer, span and
 * kv head the blocks of keys and those of values that are begun; then the state of fixed size, which must be that after
 * n_positions. Both stop at the first status that is not OK.
 * Several ranks call this together: rank 0 puts what all have, and gets what it hands them; put, get and user of the
 * others are not looked at. CANCELLED on them: rank 0 stopped. */
uint64_t      cm_sequence_state_bytes(const struct sequence_state *state, int n_positions);
calmoe_status cm_sequence_state_write(const struct sequence_state *state, int n_positions,
                                      calmoe_status (*put)(void *user, const void *bytes, size_t n), void *user);
calmoe_status cm_sequence_state_read(struct sequence_state *state, int n_positions,
                                     calmoe_status (*get)(void *user, void *bytes, size_t n), void *user);
/* Zeroes what lies behind the first n_positions in blocks that they begin: nothing of what was taken back is in a
 * file then. */
void          cm_sequence_state_wipe(struct sequence_state *state, int n_positions);

#endif
