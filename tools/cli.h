/* tools/cli.h - a command's options as a table, and the one parser that reads them.
 *
 * A command line that is wrong gives one sentence on stderr (which option, what was found, what is
 * wanted, where the help is) and exit status 2. */
#ifndef TOOLS_CLI_H
#define TOOLS_CLI_H

#include <stddef.h>

enum { EXIT_WRONG_USAGE = 2 };
enum { CLI_GO_ON = -1 }; /* of cm_cli_parse(): the command line is fine, do the work */

enum cli_kind {  /* the setting that an option writes    */
    CLI_FLAG,    /* int, set to 1; takes no value        */
    CLI_INT,     /* int                                  */
    CLI_SEED,    /* uint64_t; every value is allowed     */
    CLI_REAL,    /* float                                */
    CLI_BYTES,   /* uint64_t: "12GiB", "800MB", "4096"   */
    CLI_TEXT,    /* const char *                         */
    CLI_INPUT,   /* the same: a file that is read        */
    CLI_OUTPUT,  /* the same: a file that is written     */
    CLI_LIST,    /* struct cli_list; may be repeated     */
    CLI_INPUTS,  /* the same: files that are read        */
    CLI_CHOICE   /* int: which word of value, "f16|f32"  */
};
/* A command line on which a CLI_OUTPUT is the same file as a CLI_INPUT, one of CLI_INPUTS or another CLI_OUTPUT is
 * wrong: the model would be gone. A file that may be written anew where it was read is CLI_TEXT to the option that
 * reads it. */

enum { CLI_LIST_MAX = 64 };
struct cli_list {
    const char *values[CLI_LIST_MAX]; /* (n), as they were typed */
    int         n;
};

struct cli_option {
    const char   *name;       /* after the two dashes                                     */
    char          short_name; /* after one dash; 0 = none                                 */
    enum cli_kind kind;
    size_t        offset;     /* of the setting in the struct handed to cm_cli_parse()    */
    double        min, max;   /* what CLI_INT and CLI_REAL may be                         */
    const char   *value;      /* what --help calls the value; of CLI_CHOICE its words     */
    const char   *help;
};

struct cli_command {
    const char              *name;     /* as typed: "calmoe run"                          */
    const char              *summary;  /* one line                                        */
    const char              *operands; /* what --help calls the other arguments, or NULL  */
    int                      max_operands;
    const struct cli_option *options;
    size_t                   n_options;
    const char              *notes;    /* end of --help: remarks and an example           */
};

/* Reads argv[1 …] into *settings, which holds the defaults. Options may stand anywhere; "--" ends
 * them. The other arguments are moved to argv[1 … *n_operands]. Answers CLI_GO_ON, or the exit
 * status with which to leave: 0 after --help or --version, else EXIT_WRONG_USAGE. */
int cm_cli_parse(const struct cli_command *command, int argc, char **argv, void *settings,
                 int *n_operands);

/* For operands that are files which the command reads, NAME=FILE too: whether no option writes one of them. CLI_GO_ON,
 * else EXIT_WRONG_USAGE with a sentence. */
int cm_cli_keep_operands(const struct cli_command *command, const void *settings, char **operands, int n_operands);

/* Says what is wrong and where the help is; answers EXIT_WRONG_USAGE. */
int cm_usage_error(const char *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
