/* tools/front.h - what the programs do alike: open a model and an engine, tell a failure, read a
 * file of text. Brings in the rest of what bench/ shares: options, messages, JSON, policies, adapters. */
#ifndef TOOLS_FRONT_H
#define TOOLS_FRONT_H

#include <calmoe/calmoe.h>
#include <calmoe/ranks.h>
#include <stdbool.h>

#include "tools/adapter_request.h"
#include "tools/cli.h"
#include "tools/json_output.h"
#include "tools/memory_request.h"
#include "tools/model_request.h"
#include "tools/policy_request.h"
#include "tools/terminal.h"

struct front {
    calmoe_context *context;
    calmoe_model   *model;
    calmoe_model   *draft_model;  /* NULL: none                                   */
    calmoe_engine  *engine;
    calmoe_ranks   *ranks;        /* NULL: the program was started by itself      */
    bool            shares_file;  /* rank 0 has the models' files, and no other   */
    bool            is_as_one;    /* it opened an engine together with the others */
};

/* Each says on stderr why it failed. path NULL = the embedded model. cm_front_close() is fine after
 * any of them, and for a zeroed front. */
bool cm_front_open(struct front *front);
bool cm_front_open_model(struct front *front, const char *path, bool vocabulary_only);
/* The model that drafts for the engine that is opened then; NULL: none. */
bool cm_front_open_draft_model(struct front *front, const char *path);
/* With a progress bar of its own. Where mpirun started the program several times, all of them run the model together:
 * on ranks but 0 this does not return; they take part until rank 0 is done, then end with status 0, else 1. */
bool cm_front_open_engine(struct front *front, const calmoe_engine_options *options);
/* Whether this process is the one that prints and writes; for what happens before that. */
bool cm_front_leads(const struct front *front);
void cm_front_close(struct front *front);

/* True for CALMOE_OK; else the context's sentence goes to stderr. */
bool cm_front_succeeded(const struct front *front, calmoe_status status);

struct bytes { /* zeroed = empty */
    char  *at;
    size_t n;
    size_t capacity;
};
/* False, with a sentence on stderr, when memory is used up. */
bool cm_bytes_append(struct bytes *bytes, const void *from, size_t n);
void cm_bytes_drop(struct bytes *bytes, size_t n); /* the first n of them */
void cm_bytes_close(struct bytes *bytes);
/* All bytes of the file as they are; path "-" = standard input. False with a sentence. */
bool cm_bytes_read_file(struct bytes *bytes, const char *path);

#endif
