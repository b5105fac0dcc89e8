/* tools/cli.h - each command describes its options in a table, and one parser reads them all.
 *
 * A wrong command line gives one sentence on stderr, which names the option, what was found, what is wanted and where
 * the help is; the exit status is 2. */
#ifndef TOOLS_CLI_H
#define TOOLS_CLI_H

#include <stddef.h>

enum { EXIT_WRONG_USAGE = 2 };
enum { CLI_GO_ON = -1 }; /* result of cm_cli_parse(): the command line is fine */

enum cli_kind {  /* what an option writes to its setting */
    CLI_FLAG,    /* int, set to 1; takes no value        */
    CLI_INT,     /* int                                  */
    CLI_SEED,    /* uint64_t; every value is allowed     */
    CLI_REAL,    /* float                                */
    CLI_BYTES,   /* uint64_t: "12GiB", "800MB", "4096"   */
    CLI_TEXT,    /* const char *                         */
    CLI_INPUT,   /* const char *: a file that will be read */
    CLI_OUTPUT,  /* const char *: a file that will be written */
    CLI_LIST,    /* struct cli_list; the option may be repeated */
    CLI_INPUTS,  /* struct cli_list: files that will be read */
    CLI_CHOICE   /* int: the index of a word in value, "f16|f32" */
};
/* A command line is refused if a CLI_OUTPUT names the same file as a CLI_INPUT, one of CLI_INPUTS or another
 * CLI_OUTPUT: writing the output would destroy the input. If a file may be read and then replaced, the option that
 * reads it is CLI_TEXT. */

enum { CLI_LIST_MAX = 64 };
struct cli_list {
    const char *values[CLI_LIST_MAX]; /* (n) as they were typed */
    int         n;
};

struct cli_option {
    const char   *name;       /* after the two dashes                                     */
    char          short_name; /* after one dash; 0 = none                                 */
    enum cli_kind kind;
    size_t        offset;     /* of the setting in the struct that is passed to cm_cli_parse() */
    double        min, max;   /* allowed range of CLI_INT and CLI_REAL                    */
    const char   *value;      /* name of the value in --help; for CLI_CHOICE, the words   */
    const char   *help;
};

struct cli_command {
    const char              *name;     /* as typed: "calmoe run"                          */
    const char              *summary;  /* one line                                        */
    const char              *operands; /* name of the other arguments in --help; NULL = there are none */
    int                      max_operands;
    const struct cli_option *options;
    size_t                   n_options;
    const char              *notes;    /* end of --help: remarks and an example           */
};

/* Reads argv[1 …] into *settings, which holds the defaults. Options may stand anywhere; "--" ends them. The other
 * arguments are moved to argv[1 … *n_operands]. Returns CLI_GO_ON, or the exit status with which to end: 0 after --help
 * or --version, else EXIT_WRONG_USAGE. */
int cm_cli_parse(const struct cli_command *command, int argc, char **argv, void *settings,
                 int *n_operands);

/* For commands whose operands, also as NAME=FILE, are files that the command reads: checks that no option writes one of
 * them. Returns CLI_GO_ON, or EXIT_WRONG_USAGE after a sentence. */
int cm_cli_keep_operands(const struct cli_command *command, const void *settings, char **operands, int n_operands);

/* Prints what is wrong and where the help is. Returns EXIT_WRONG_USAGE. */
int cm_usage_error(const char *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
