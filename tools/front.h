/* tools/front.h - what all programs have in common: they open a model and an engine, report failures, and read text
 * files. bench/ includes this header for everything that it shares with tools/: options, messages, JSON, policies,
 * adapters. */
#ifndef TOOLS_FRONT_H
#define TOOLS_FRONT_H

#include <calmoe/calmoe.h>
#include <calmoe/ranks.h>
#include <stdbool.h>

#include "tools/adapter_request.h"
#include "tools/cli.h"
#include "tools/engine_request.h"
#include "tools/json_output.h"
#include "tools/memory_request.h"
#include "tools/model_request.h"
#include "tools/policy_request.h"
#include "tools/terminal.h"

struct front {
    calmoe_context *context;
    calmoe_model   *model;
    calmoe_model   *draft_model;  /* NULL: there is none                          */
    calmoe_engine  *engine;
    calmoe_ranks   *ranks;        /* NULL: the program was not started by mpirun  */
    bool            shares_file;  /* only rank 0 has the models' files            */
    bool            is_as_one;    /* this rank has opened an engine together with the others */
};

/* Each of these functions reports on stderr why it failed. path NULL = the embedded model. cm_front_close() may follow
 * any of them, and a zeroed front is fine. */
bool cm_front_open(struct front *front);
bool cm_front_open_model(struct front *front, const char *path, bool vocabulary_only);
/* Opens the draft model for the engine that will be opened next; path NULL: none. */
bool cm_front_open_draft_model(struct front *front, const char *path);
/* Opens the engine and shows a progress bar. If mpirun started several processes, they run the model together: on all
 * ranks except 0 this function does not return; they take part until rank 0 is done, and then exit with status 0, or 1
 * after a failure. */
bool cm_front_open_engine(struct front *front, const calmoe_engine_options *options);
/* Whether this is the process that prints and writes (rank 0); may be asked before ranks are opened. */
bool cm_front_leads(const struct front *front);
void cm_front_close(struct front *front);

/* True if status is CALMOE_OK; else prints the context's sentence on stderr. */
bool cm_front_succeeded(const struct front *front, calmoe_status status);

struct bytes { /* zeroed = empty */
    char  *at;
    size_t n;
    size_t capacity;
};
/* False, with a sentence on stderr, if there is no memory. */
bool cm_bytes_append(struct bytes *bytes, const void *from, size_t n);
void cm_bytes_drop(struct bytes *bytes, size_t n); /* removes the first n bytes */
void cm_bytes_close(struct bytes *bytes);
/* Reads all bytes of a file; path "-" = standard input. False with a sentence. */
bool cm_bytes_read_file(struct bytes *bytes, const char *path);

#endif
