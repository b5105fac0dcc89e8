/* tools/memory_request.h - the options that say how much of a model stays in memory: --memory-limit and those that
 * belong to it, as rows of an option table. See docs/DISK.md. */
#ifndef TOOLS_MEMORY_REQUEST_H
#define TOOLS_MEMORY_REQUEST_H

#include <calmoe/engine.h>
#include <stdbool.h>

struct memory_request { /* as given; 0 or NULL = not given */
    uint64_t    limit;
    const char *profile, *packed;
    int         disk_reads, no_lookahead;
};

/* Rows for a table of struct cli_option. AT(member) is the offset of that member of the struct memory_request in the
 * settings. */
#define MEMORY_REQUEST_ROWS(AT)                                                                                       \
    {"memory-limit", 0, CLI_BYTES, AT(limit), 0, 0, "BYTES",                                                          \
     "memory for weights, 12GiB: experts that do not fit are read from disk when needed"},                            \
    {"keep-by", 0, CLI_INPUT, AT(profile), 0, 0, "PROFILE",                                                            \
     "with --memory-limit, a profile of the model that says which experts stay in memory"},                           \
    {"packed", 0, CLI_INPUT, AT(packed), 0, 0, "FILE",                                                                 \
     "the model's packed experts, of calmoe pack: mapped, or with --memory-limit read one by one"},                   \
    {"disk-reads", 0, CLI_CHOICE, AT(disk_reads), 0, 0, "auto|cached|direct",                                         \
     "with --memory-limit, through the system's cache or past it; auto = as the file fits (default)"},                \
    {"no-lookahead", 0, CLI_FLAG, AT(no_lookahead), 0, 0, NULL,                                                       \
     "with --memory-limit, read no expert before its layer's router has named it"}

/* Checks that the options which belong to a limit are only given with one, or with a plan that may put experts on disk
 * (plan NULL: there is none): else false, with a sentence on the wrong usage of the command. */
bool cm_memory_request_is_fine(const char *command, const struct memory_request *request, const char *plan);
void cm_memory_request_set(const struct memory_request *request, calmoe_engine_options *engine);

struct front;
struct json_output;
/* Report what was read from disk, on stderr and as the member "disk"; nothing if all experts are in memory, or if there
 * is no engine. False with a sentence. */
bool cm_disk_say(const struct front *front);
bool cm_disk_add(const struct front *front, struct json_output *json);

#endif
