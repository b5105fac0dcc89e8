/* tests/ranks/driver.h - what the parts of ranks_driver share: one engine of one model, whose rank 0 leads. */
#ifndef TESTS_RANKS_DRIVER_H
#define TESTS_RANKS_DRIVER_H

#include <stdbool.h>

#include <calmoe/calmoe.h>
#include <calmoe/ranks.h>

#include "base/sha256.h"

enum { MAX_ROWS = 12, CONTEXT = 64, N_TOKENS = 40, N_SESSIONS = 3 };

struct run {
    calmoe_context  *context;
    calmoe_ranks    *ranks;
    int              n_threads;
    bool             is_shared;  /* rank 0 alone has files */
    bool             has_whole_experts; /* each is whole on a rank */
    const char      *path; /* of the model */
    calmoe_model    *model, *draft_model;
    calmoe_engine   *engine;
    calmoe_session  *sessions[N_SESSIONS + 1]; /* the last one: a fork */
    int              n_vocab, n_layers;
    int32_t          tokens[N_TOKENS];
    struct sha256    hash; /* of all that must be the same on one rank and on several */
};

/* Ends the program, unless it is OK. */
void must(const struct run *run, calmoe_status status);
void open_sessions(struct run *run, const calmoe_session_options *options);
void close_sessions(struct run *run);
/* n[i] tokens of session i, in one step, from token `from` on; its logits go into the hash. */
void step(struct run *run, const int *n, int from, int logits);
/* A step of so many tokens that is interrupted: it is undone on all ranks. */
void interrupt(struct run *run, int n_tokens);
/* So many tokens; they and their logits go into the hash. */
void generate(struct run *run, calmoe_session *session, int n);

/* What is asked: in the table of driver.c. */
void read_steps(struct run *run);   /* driver.c */
void read_leaving(struct run *run); /* leaving.c: policies of all kinds, and audits */
void read_fitted(struct run *run);  /* leaving.c: exits are fitted, and their file is the same */
void read_drafts(struct run *run);  /* drafts.c: lossless sessions */
void read_saved(struct run *run);   /* saved.c: sessions in files */
void read_adapted(struct run *run); /* adapted.c: adapters */
void read_disk(struct run *run);    /* disk.c: as read_steps(), and experts come from disk */
void read_failing(struct run *run); /* disk.c: and some cannot be read */
/* A file of fitted exits for the model, of this rank's own, that holds the same random numbers on each. */
const char *write_exits(const struct run *run);
/* Experts packed in a file of this rank's own. */
const char *pack_experts(const struct run *run);
/* The smallest limit of memory that this rank can work with. */
void limit_memory(struct run *run, calmoe_engine_options *options);
void let_reads_fail(const struct run *run);

#endif
